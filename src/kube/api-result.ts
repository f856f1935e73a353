/**
 * What an API call came to, as values: the kinds the core decides by, the code an operator looks up, and the mapping from
 * HTTP status and `Status` objects (apimachinery meta/v1) to both. Pure.
 */

import type { ErrorCode } from '../base/errors.ts';
import type { ApiFailureKind } from '../leader/lease-record.ts';
import { asInteger, asObject, asText, type JsonObject } from '../base/json.ts';

export interface ApiSuccess {
  readonly ok: true;
  readonly status: number;
  /** The parsed answer; {} for an answer without a body. */
  readonly body: JsonObject;
  /** Endpoint.name of who answered. */
  readonly endpoint: string;
}

export interface ApiFailure {
  readonly ok: false;
  readonly failure: ApiFailureKind;
  readonly code: ErrorCode;
  readonly message: string;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** Status.reason, e.g. Expired. */
  readonly reason?: string;
  readonly retryAfterMs?: number;
  readonly endpoint?: string;
  /** The request may have taken effect although this failure says otherwise: an earlier attempt of it got no answer. */
  readonly isAmbiguous?: boolean;
  /** Nothing came back in the time given: whoever listens there would be silent at its other addresses too. */
  readonly isSilent?: boolean;
}

export type ApiResult = ApiSuccess | ApiFailure;

/** A server that asks for more patience than this is asked again anyway. */
const RETRY_AFTER_MAX_MS = 30_000;

/** An answer outside 2xx. `body` is the parsed Status, if it was one; `method` tells the two meanings of 409 apart. */
export function failureOfStatus(options: {
  readonly status: number;
  readonly body: unknown;
  readonly retryAfter: string | undefined;
  readonly method: string;
  readonly endpoint: string;
}): ApiFailure {
  const { status, endpoint } = options;
  const object = asObject(options.body);
  const reason = asText(object?.['reason']);
  const retryAfterMs = retryAfter(options.retryAfter, object);
  const failure = kindOfStatus(status, reason, options.method, retryAfterMs !== undefined);
  return {
    ok: false,
    failure,
    code: codeOfKind(failure),
    message: asText(object?.['message']) ?? `${endpoint} answered with status ${status}`,
    status,
    endpoint,
    ...(reason === undefined ? {} : { reason }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** Status.reason decides where the same number means two things (409). */
export function kindOfStatus(
  status: number,
  reason: string | undefined,
  method: string,
  hasRetryAfter: boolean,
): ApiFailureKind {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'not-found';
    case 409:
      if (reason === 'AlreadyExists') return 'already-exists';
      return reason === undefined && method === 'POST' ? 'already-exists' : 'conflict';
    case 429:
      return 'throttled';
    case 503:
      return hasRetryAfter ? 'throttled' : 'server-error';
    default:
      return status >= 500 ? 'server-error' : 'invalid';
  }
}

/** A failure without an answer. */
export function failureWithoutAnswer(
  failure: 'timeout' | 'unreachable',
  message: string,
  endpoint?: string,
  code: ErrorCode = 'API_UNREACHABLE',
): ApiFailure {
  return { ok: false, failure, code, message, ...(endpoint === undefined ? {} : { endpoint }) };
}

function codeOfKind(kind: ApiFailureKind): ErrorCode {
  switch (kind) {
    case 'forbidden':
      return 'API_FORBIDDEN';
    case 'unauthorized':
      return 'API_UNAUTHORIZED';
    case 'timeout':
    case 'unreachable':
      return 'API_UNREACHABLE';
    case 'conflict':
    case 'already-exists':
    case 'not-found':
    case 'invalid':
    case 'throttled':
    case 'server-error':
      return 'API_REQUEST_FAILED';
  }
}

/** Retry-After in whole seconds (RFC 9110 §10.2.3; the API server sends no dates), else Status.details. */
function retryAfter(header: string | undefined, body: JsonObject | undefined): number | undefined {
  const fromHeader = header !== undefined && /^\d+$/.test(header) ? Number(header) : undefined;
  const seconds = fromHeader ?? asInteger(asObject(body?.['details'])?.['retryAfterSeconds']);
  return seconds === undefined || seconds <= 0 ? undefined : Math.min(seconds * 1000, RETRY_AFTER_MAX_MS);
}
