/**
 * The leader's word on who owns which address, for every node to read: one ConfigMap beside the election Lease, written
 * by compare-and-swap and watched by name. What the text means is for services/; here it is a text and its epoch.
 *
 *     holdfast-owners-<Lease>   data.epoch   a number, one more with each assignment
 *                               data.owners  the assignment
 */

import { createHash } from 'node:crypto';
import { asObject, asText, metadataText, type JsonObject } from '../base/json.ts';
import { failureWithoutAnswer, type ApiFailure, type ApiResult } from './api-result.ts';
import type { ApiClient, ApiRequest } from './client.ts';
import type { Log } from './log.ts';
import { startReflector, type Reflector } from './reflector.ts';

export interface OwnersRecord {
  readonly epoch: number;
  readonly text: string;
  readonly resourceVersion: string;
}

/** undefined: there is no record, or none that can be read. */
export type OwnersResult =
  | { readonly ok: true; readonly record: OwnersRecord | undefined; readonly resourceVersion: string | undefined }
  | ApiFailure;

export type OwnersWriteResult = { readonly ok: true; readonly record: OwnersRecord } | ApiFailure;

export interface OwnersRecordOptions {
  readonly client: ApiClient;
  /** Of the election Lease. */
  readonly namespace: string;
  readonly leaseName: string;
  /** Of each call, ms. */
  readonly deadlineMs: number;
  readonly log: Log;
}

export interface OwnersRecordApi {
  readonly name: string;
  read(): Promise<OwnersResult>;
  /**
   * Writes over the record of that version; undefined: there must be none. A failure 'conflict' or 'already-exists':
   * somebody else wrote. A write whose answer was lost is looked for before it is called one.
   */
  write(record: Pick<OwnersRecord, 'epoch' | 'text'>, resourceVersion: string | undefined): Promise<OwnersWriteResult>;
  /** Calls `listener` with the record once it is known, and with each change; undefined as in OwnersResult. */
  watch(listener: (record: OwnersRecord | undefined) => void): Reflector;
}

/** UTF-8 octets of the text; a ConfigMap may hold 1 MiB. */
export const OWNERS_TEXT_MAX = 512 * 1024;
const NAME_MAX = 253; // RFC 1123 subdomain
const WATCH_BACKOFF_MAX_MS = 5_000;
const PREFIX = 'holdfast-owners-';

export function openOwnersRecord(options: OwnersRecordOptions): OwnersRecordApi {
  return new OwnersConfigMap(options);
}

/** `holdfast-owners-<Lease>`, cut with a mark where that is too long for a name. */
export function ownersRecordName(leaseName: string): string {
  const name = `${PREFIX}${leaseName}`;
  if (name.length <= NAME_MAX) return name;
  const mark = createHash('sha256').update(leaseName).digest('hex').slice(0, 8);
  return `${name.slice(0, NAME_MAX - 9).replace(/[-.]+$/, '')}-${mark}`;
}

/** Pure; undefined when it is no record of ours. */
export function decodeOwners(raw: JsonObject): OwnersRecord | undefined {
  const data = asObject(raw['data']);
  const epoch = asText(data?.['epoch']) ?? '';
  const text = data?.['owners'];
  const resourceVersion = metadataText(raw, 'resourceVersion');
  if (!/^\d{1,15}$/.test(epoch) || typeof text !== 'string' || resourceVersion === undefined) return undefined;
  return isTooLong(text) ? undefined : { epoch: Number(epoch), text, resourceVersion };
}

class OwnersConfigMap implements OwnersRecordApi {
  readonly name: string;
  readonly #options: OwnersRecordOptions;
  readonly #collection: string;
  #toldVersion = '';

  constructor(options: OwnersRecordOptions) {
    this.#options = options;
    this.name = ownersRecordName(options.leaseName);
    this.#collection = `/api/v1/namespaces/${encodeURIComponent(options.namespace)}/configmaps`;
  }

  async read(): Promise<OwnersResult> {
    const result = await this.#call({ method: 'GET', path: this.#path() });
    if (result.ok) {
      const record = this.#decode(result.body);
      return { ok: true, record, resourceVersion: metadataText(result.body, 'resourceVersion') };
    }
    if (result.failure !== 'not-found') return result;
    return { ok: true, record: undefined, resourceVersion: undefined };
  }

  async write(
    record: Pick<OwnersRecord, 'epoch' | 'text'>,
    resourceVersion: string | undefined,
  ): Promise<OwnersWriteResult> {
    if (isTooLong(record.text)) {
      const message = `the assignment is longer than ${OWNERS_TEXT_MAX} octets`;
      return { ok: false, failure: 'invalid', code: 'API_REQUEST_FAILED', message };
    }
    // A write without a version would go over whatever is there.
    const base = resourceVersion === '' ? undefined : resourceVersion;
    const body = this.#encode(record, base);
    const result =
      base === undefined
        ? await this.#call({ method: 'POST', path: this.#collection, body })
        : await this.#call({ method: 'PUT', path: this.#path(), body });
    if (!result.ok) return this.#settle(result, record);
    const written = this.#decode(result.body);
    return written === undefined
      ? failureWithoutAnswer('timeout', 'the answer to the write is no record', result.endpoint)
      : { ok: true, record: written };
  }

  watch(listener: (record: OwnersRecord | undefined) => void): Reflector {
    const { client, log, deadlineMs } = this.#options;
    return startReflector<{ readonly record: OwnersRecord | undefined }>({
      client,
      path: this.#collection,
      name: this.name,
      connection: 'general',
      deadlineMs,
      backoffMaxMs: WATCH_BACKOFF_MAX_MS,
      log,
      project: (raw) => ({ record: this.#decode(raw) }),
      listener: (event) => {
        if (event.kind === 'changed') listener(event.object.record);
        else if (event.kind === 'deleted' || event.count === 0) listener(undefined);
      },
    });
  }

  /** Believes a refusal only once it is sure that the refusing version isn't our own write. */
  async #settle(failure: ApiFailure, sent: Pick<OwnersRecord, 'epoch' | 'text'>): Promise<OwnersWriteResult> {
    const isRefused = failure.failure === 'conflict' || failure.failure === 'already-exists';
    if (!isRefused || failure.isAmbiguous !== true) return failure;
    const found = await this.read();
    if (!found.ok) return failureWithoutAnswer('timeout', `the outcome is unknown: ${found.message}`, found.endpoint);
    const { record } = found;
    return record?.epoch === sent.epoch && record.text === sent.text ? { ok: true, record } : failure;
  }

  #encode({ epoch, text }: Pick<OwnersRecord, 'epoch' | 'text'>, resourceVersion: string | undefined): JsonObject {
    return {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: this.name,
        namespace: this.#options.namespace,
        labels: { 'app.kubernetes.io/managed-by': 'holdfast' },
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      data: { epoch: String(epoch), owners: text },
    };
  }

  #decode(raw: JsonObject): OwnersRecord | undefined {
    const record = decodeOwners(raw);
    const version = metadataText(raw, 'resourceVersion') ?? '';
    if (record !== undefined || version === this.#toldVersion) return record;
    this.#toldVersion = version;
    const { namespace } = this.#options;
    this.#options.log('warn', 'the record of owners cannot be used', {
      path: `${namespace}/${this.name}`,
      reason: `data.epoch is no number, or data.owners is missing or longer than ${OWNERS_TEXT_MAX} octets`,
      remedy: `Delete the ConfigMap: \`kubectl -n ${namespace} delete configmap ${this.name}\`; a new one is made.`,
    });
    return undefined;
  }

  #call(request: Pick<ApiRequest, 'method' | 'path' | 'body'>): Promise<ApiResult> {
    return this.#options.client.request({ ...request, deadlineMs: this.#options.deadlineMs });
  }

  #path(): string {
    return `${this.#collection}/${encodeURIComponent(this.name)}`;
  }
}

function isTooLong(text: string): boolean {
  return text.length > OWNERS_TEXT_MAX || Buffer.byteLength(text) > OWNERS_TEXT_MAX;
}
