/**
 * Requests to the Kubernetes API: over the endpoints in order, within one deadline, as the present identity. A refused
 * connection costs nothing and the next endpoint is tried; one that swallows everything costs at most half of what is
 * left. The endpoint that answered last is asked first, until a better one (this node's own) is well again.
 *
 * Failures are values. Nothing here retries over time: that is the caller's (a reducer with deadlines, a reflector with
 * backoff). One request is repeated only where that can't do harm: at another endpoint, after re-reading rotated
 * credentials (401), or as super-admin.conf where admin.conf has no rights yet (403).
 */

import type { IncomingMessage } from 'node:http';
import type { ErrorCode, HoldfastError } from '../base/errors.ts';
import { failureOfStatus, failureWithoutAnswer, type ApiFailure, type ApiResult } from './api-result.ts';
import type { Endpoint } from './endpoints.ts';
import {
  exchangeHead,
  headerOf,
  readBody,
  type BodyResult,
  type ConnectionClass,
  type ExchangeFailure,
} from './http-exchange.ts';
import { isObject, parseJson } from '../base/json.ts';
import { attributesOf, type RequestAttributes } from './request-attributes.ts';
import {
  headersOf,
  SessionKeeper,
  type LocalAnswer,
  type LocalProbe,
  type Session,
  type SessionOptions,
} from './session.ts';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** e.g. /apis/coordination.k8s.io/v1/namespaces/kube-system/leases */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: unknown;
  /** Default application/json. */
  readonly contentType?: string;
  /** For everything: all endpoints, all repetitions, the body. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** Default general. */
  readonly connection?: ConnectionClass;
  /** Octets of the answer. Default 16 MiB. */
  readonly bodyLimit?: number;
}

/** The head of an answer whose body goes on for as long as the server likes (a watch). */
export type StreamResult =
  | { readonly ok: true; readonly response: IncomingMessage; readonly endpoint: string }
  | ApiFailure;

/** One exchange with one endpoint, for metrics. */
export interface ExchangeReport extends RequestAttributes {
  readonly endpoint: string;
  /** HTTP status, or why there was none. */
  readonly outcome: number | ExchangeFailure['cause'];
  readonly durationMs: number;
}

export interface ApiClientOptions extends SessionOptions {
  readonly onExchange?: (report: ExchangeReport) => void;
  /** What became of a request in the end, unless its sender gave it up; of a stream, its head. */
  readonly onResult?: (request: RequestAttributes, result: { readonly ok: true } | ApiFailure) => void;
}

export interface ApiClient {
  request(request: ApiRequest): Promise<ApiResult>;
  /** As request, but hands over the answer after its head; `deadlineMs` is for the head alone. */
  stream(request: ApiRequest): Promise<StreamResult>;
  /** A look at this node's own API server alone, whatever else is asked; undefined: it has none, or there are no credentials. */
  probeLocal(probe: LocalProbe): Promise<LocalAnswer | undefined>;
  /** The API servers of other candidates, `host:port` or URLs; tried last. */
  setPeers(peers: readonly string[]): void;
  /** The virtual IPs changed (a DNS name was resolved): they are never dialled. */
  setVips(vips: readonly string[]): void;
  /** The endpoint asked first now; undefined before the credentials are there. For status. */
  readonly preferredEndpoint: string | undefined;
  /** Why the credentials can't be used, or not in their latest form; the last good ones stay in use. */
  readonly problem: HoldfastError | undefined;
  /** Called when streams should be opened (anew): first or new certificates, another server. Returns the unsubscriber. */
  onReconnect(listener: () => void): () => void;
  close(): void;
}

export function openApiClient(options: ApiClientOptions): ApiClient {
  return new HttpsApiClient(options);
}

const BODY_LIMIT = 16 << 20;

interface Answer {
  readonly ok: true;
  readonly response: IncomingMessage;
  readonly isRepeated: boolean;
  readonly endpoint: Endpoint;
}

type Success = { readonly ok: true };

class HttpsApiClient implements ApiClient {
  readonly #sessions: SessionKeeper;
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
    this.#sessions = new SessionKeeper(options);
  }

  request(request: ApiRequest): Promise<ApiResult> {
    return this.#reported(request, async (answer, deadlineAt) => {
      const read = await readAnswer(answer, request, deadlineAt);
      if (!read.ok) return failureOfExchange(read, answer.endpoint);
      const body = read.body.length === 0 ? {} : parseJson(read.body.toString());
      const endpoint = answer.endpoint.name;
      if (isObject(body)) return { ok: true, status: answer.response.statusCode ?? 0, body, endpoint };
      return {
        ok: false,
        failure: 'server-error',
        code: 'API_REQUEST_FAILED',
        message: `${endpoint} answered with something that is no JSON object`,
        endpoint,
        isAmbiguous: true,
      };
    });
  }

  stream(request: ApiRequest): Promise<StreamResult> {
    return this.#reported(request, ({ response, endpoint }) =>
      Promise.resolve({ ok: true, response, endpoint: endpoint.name }),
    );
  }

  probeLocal(probe: LocalProbe): Promise<LocalAnswer | undefined> {
    return this.#sessions.probeLocal(probe);
  }

  setPeers(peers: readonly string[]): void {
    this.#sessions.setPeers(peers);
  }

  setVips(vips: readonly string[]): void {
    this.#sessions.setVips(vips);
  }

  get preferredEndpoint(): string | undefined {
    const session = this.#sessions.current;
    return session === undefined ? undefined : this.#sessions.inOrder(session)[0]?.name;
  }

  get problem(): HoldfastError | undefined {
    return this.#sessions.problem ?? this.#options.credentials.problem;
  }

  onReconnect(listener: () => void): () => void {
    return this.#sessions.onReconnect(listener);
  }

  close(): void {
    this.#sessions.close();
  }

  async #reported<Result extends Success>(
    request: ApiRequest,
    finish: (answer: Answer, deadlineAt: number) => Promise<Result | ApiFailure>,
  ): Promise<Result | ApiFailure> {
    const result = await this.#asWhoever(request, finish);
    const isGivenUp = request.signal?.aborted === true || this.#sessions.isClosed;
    if (!isGivenUp) this.#options.onResult?.(attributesOf(request), result);
    return result;
  }

  /** One pass over the endpoints, and a second when other credentials turn out to be there for a 401 or 403. */
  async #asWhoever<Result extends Success>(
    request: ApiRequest,
    finish: (answer: Answer, deadlineAt: number) => Promise<Result | ApiFailure>,
  ): Promise<Result | ApiFailure> {
    const deadlineAt = performance.now() + request.deadlineMs;
    const session = this.#sessions.current;
    if (session === undefined) return this.#withoutSession();
    this.#sessions.considerReturn(session);
    const result = await this.#anywhere(session, request, deadlineAt, finish);
    if (result.ok) return result;
    if (result.failure === 'unauthorized') await this.#options.credentials.refresh(true);
    else if (result.failure === 'forbidden') await this.#sessions.reportForbidden(session.credentials, request.path);
    else return result;
    const renewed = this.#sessions.current;
    if (renewed === undefined || renewed.credentials.generation === session.credentials.generation) return result;
    return this.#anywhere(renewed, request, deadlineAt, finish);
  }

  async #anywhere<Result extends Success>(
    session: Session,
    request: ApiRequest,
    deadlineAt: number,
    finish: (answer: Answer, deadlineAt: number) => Promise<Result | ApiFailure>,
  ): Promise<Result | ApiFailure> {
    let worst: ApiFailure | undefined;
    let isAmbiguous = false;
    let left = this.#sessions.inOrder(session);
    for (let endpoint = left[0]; endpoint !== undefined; endpoint = left[0]) {
      const others = left.slice(1);
      const elsewhere = others.filter((other) => !isSameServer(other, endpoint));
      const share = elsewhere.length === 0 ? 1 : 0.5;
      const answer = await this.#open(session, endpoint, request, (deadlineAt - performance.now()) * share);
      const result = answer.ok ? await finishOrFail(answer, request, deadlineAt, finish) : answer;
      if (result.ok) return result;
      if (answer.ok && answer.isRepeated && request.method !== 'GET') isAmbiguous = true;
      if (!isWorthAnotherEndpoint(result)) return isAmbiguous ? { ...result, isAmbiguous } : result;
      worst = moreTelling(worst, result);
      isAmbiguous ||= isUndecided(request.method, result);
      if (request.signal?.aborted === true || performance.now() >= deadlineAt) break;
      left = result.isSilent === true ? elsewhere : others;
    }
    if (worst === undefined) return failureWithoutAnswer('unreachable', 'there is no endpoint');
    // What may have happened must not be reported as what has not.
    if (isAmbiguous && worst.failure === 'unreachable') return { ...worst, failure: 'timeout', isAmbiguous };
    return isAmbiguous ? { ...worst, isAmbiguous } : worst;
  }

  async #open(
    session: Session,
    endpoint: Endpoint,
    request: ApiRequest,
    headTimeoutMs: number,
  ): Promise<Answer | ApiFailure> {
    const startedAt = performance.now();
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const head = await exchangeHead({
      endpoint,
      transport: session.transport,
      connection: request.connection ?? 'general',
      method: request.method,
      target: request.path + queryText(request.query),
      headers: headersOf(session.credentials, request.contentType, body),
      body,
      headTimeoutMs,
      signal: request.signal,
    });
    const status = head.ok ? (head.response.statusCode ?? 0) : 0;
    this.#options.onExchange?.({
      ...attributesOf(request),
      endpoint: endpoint.name,
      outcome: head.ok ? status : head.cause,
      durationMs: performance.now() - startedAt,
    });
    if (!head.ok) return failureOfExchange(head, endpoint);
    if (status < 500) this.#sessions.prefer(session, endpoint);
    return { ...head, endpoint };
  }

  #withoutSession(): ApiFailure {
    if (this.#sessions.isClosed) return failureWithoutAnswer('unreachable', 'the client is closed');
    const problem = this.problem;
    const message = problem?.message ?? 'there are no credentials yet';
    return failureWithoutAnswer('unreachable', message, undefined, problem?.code ?? 'KUBECONFIG_MISSING');
  }
}

async function finishOrFail<Result extends Success>(
  answer: Answer,
  request: ApiRequest,
  deadlineAt: number,
  finish: (answer: Answer, deadlineAt: number) => Promise<Result | ApiFailure>,
): Promise<Result | ApiFailure> {
  const { response, endpoint } = answer;
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return finish(answer, deadlineAt);
  const read = await readAnswer(answer, request, deadlineAt);
  return failureOfStatus({
    status,
    body: read.ok ? parseJson(read.body.toString()) : undefined,
    retryAfter: headerOf(response.headers, 'retry-after'),
    method: request.method,
    endpoint: endpoint.name,
  });
}

function readAnswer(answer: Answer, request: ApiRequest, deadlineAt: number): Promise<BodyResult> {
  return readBody(answer.response, {
    limit: request.bodyLimit ?? BODY_LIMIT,
    timeoutMs: deadlineAt - performance.now(),
    signal: request.signal,
  });
}

function queryText(query: ApiRequest['query']): string {
  if (query === undefined) return '';
  const pairs = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
  return `?${new URLSearchParams(pairs).toString()}`;
}

function failureOfExchange(failed: ExchangeFailure, endpoint: Endpoint): ApiFailure {
  const kind = failed.stage === 'connect' ? 'unreachable' : 'timeout';
  const code: ErrorCode = failed.cause === 'untrusted' ? 'API_UNTRUSTED' : 'API_UNREACHABLE';
  return {
    ...failureWithoutAnswer(kind, failed.message, endpoint.name, code),
    ...(kind === 'timeout' ? { isAmbiguous: true } : {}),
    ...(failed.cause === 'timeout' ? { isSilent: true } : {}),
  };
}

/** Whether another API server may do better: it is this one that fails, not the request. */
function isWorthAnotherEndpoint(failure: ApiFailure): boolean {
  return (
    failure.failure === 'timeout' ||
    failure.failure === 'unreachable' ||
    failure.failure === 'server-error' ||
    failure.failure === 'throttled'
  );
}

/** A write that got no clear refusal may have been done. */
function isUndecided(method: string, failure: ApiFailure): boolean {
  return method !== 'GET' && (failure.failure === 'timeout' || failure.failure === 'server-error');
}

/** 127.0.0.1 and ::1 are one server: where the first swallowed the request, the second would too. */
function isSameServer(one: Endpoint, other: Endpoint): boolean {
  return one === other || (one.origin === 'local' && other.origin === 'local');
}

/** An answer tells more than silence, silence more than no connection; of equals, the first endpoint's. */
function moreTelling(first: ApiFailure | undefined, second: ApiFailure): ApiFailure {
  const rank = (failure: ApiFailure): number =>
    failure.status !== undefined ? 3 : failure.code === 'API_UNTRUSTED' ? 2 : failure.failure === 'timeout' ? 1 : 0;
  return first === undefined || rank(second) > rank(first) ? second : first;
}
