/**
 * One election Lease: read, create, compare-and-swap, watch. All on the connection kept for Lease traffic, each with the
 * same deadline. Reads are consistent (no resourceVersion: the API server asks etcd).
 *
 * A write whose answer was lost may have been done; asking another API server to do it again then says "conflict". Before
 * that is believed, the Lease is read: if it holds exactly what was sent, the write succeeded.
 */

import { HoldfastError } from '../base/errors.ts';
import { wall, type WallMs } from '../base/time.ts';
import type { LeaseRecord } from '../leader/lease-record.ts';
import { failureWithoutAnswer, type ApiFailure, type ApiResult } from './api-result.ts';
import type { ApiClient, ApiRequest } from './client.ts';
import type { JsonObject } from '../base/json.ts';
import { metadataText } from '../base/json.ts';
import { decodeLease, encodeLease, formatMicroTime, isSameWrite } from './lease-codec.ts';
import type { Log } from './log.ts';
import { startReflector, type Reflector, type RestartReason } from './reflector.ts';

export type LeaseResult = { readonly ok: true; readonly lease: LeaseRecord; readonly endpoint: string } | ApiFailure;

/** 'acquire' sets acquireTime and renewTime to the moment of sending, 'renew' renewTime alone. */
export type LeaseStamp = 'acquire' | 'renew';

export interface LeaseApiOptions {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly name: string;
  /** Of each call, ms. */
  readonly deadlineMs: number;
  readonly log: Log;
  /** Default Date.now, with a fraction from the monotonic clock so that no two writes carry the same time. */
  readonly wallClock?: () => WallMs;
  /** Silence after which the watch is opened anew, ms. Default 15 s. */
  readonly watchIdleMs?: number;
  readonly onWatchRestart?: (reason: RestartReason) => void;
}

export interface LeaseApi {
  /** Of the Lease as last seen; undefined before. */
  readonly uid: string | undefined;
  /** A missing Lease is the failure 'not-found'. */
  get(): Promise<LeaseResult>;
  create(lease: LeaseRecord, stamp: LeaseStamp): Promise<LeaseResult>;
  /** Compare-and-swap on lease.resourceVersion. */
  update(lease: LeaseRecord, stamp: LeaseStamp): Promise<LeaseResult>;
  /** Calls `listener` with each version seen; undefined when the Lease does not exist (also once synced without one). */
  watch(listener: (lease: LeaseRecord | undefined) => void): Reflector;
}

export function openLeaseApi(options: LeaseApiOptions): LeaseApi {
  return new LeaseCalls(options);
}

/** Versions kept to lay a write over; the elections's next write is nearly always over the newest. */
const BASES_MAX = 4;
/** After an API restart the election should see the Lease again quickly; one small request a second is nothing. */
const WATCH_BACKOFF_MAX_MS = 2000;
/** A holder renews every second or two, so silence means a dead holder or a dead stream: opening it anew tells which. */
const WATCH_IDLE_MS = 15_000;

class LeaseCalls implements LeaseApi {
  uid: string | undefined;
  readonly #options: LeaseApiOptions;
  readonly #collection: string;
  readonly #wallClock: () => WallMs;
  /** Raw objects by resourceVersion. */
  readonly #bases = new Map<string, JsonObject>();
  #loggedProblems = '';

  constructor(options: LeaseApiOptions) {
    this.#options = options;
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(options.namespace)}/leases`;
    this.#wallClock = options.wallClock ?? (() => wall(Date.now() + (performance.now() % 1)));
  }

  async get(): Promise<LeaseResult> {
    return this.#toLease(await this.#call({ method: 'GET', path: this.#path() }));
  }

  async create(lease: LeaseRecord, stamp: LeaseStamp): Promise<LeaseResult> {
    const stamped = this.#stamp({ ...lease, resourceVersion: '' }, stamp);
    const body = encodeLease(stamped, this.#identity());
    const result = await this.#call({ method: 'POST', path: this.#collection, body });
    return this.#settle(result, stamped, 'already-exists');
  }

  async update(lease: LeaseRecord, stamp: LeaseStamp): Promise<LeaseResult> {
    let base = this.#bases.get(lease.resourceVersion);
    if (base === undefined) {
      const read = await this.#call({ method: 'GET', path: this.#path() });
      if (!read.ok) return read;
      this.#toLease(read);
      base = read.body;
      if (metadataText(base, 'resourceVersion') !== lease.resourceVersion) return conflict(read.endpoint);
    }
    const stamped = this.#stamp(lease, stamp);
    const body = encodeLease(stamped, this.#identity(), base);
    const result = await this.#call({ method: 'PUT', path: this.#path(), body });
    return this.#settle(result, stamped, 'conflict');
  }

  watch(listener: (lease: LeaseRecord | undefined) => void): Reflector {
    return startReflector({
      client: this.#options.client,
      path: this.#collection,
      name: this.#options.name,
      connection: 'lease',
      project: (raw) => this.#remember(raw),
      log: this.#options.log,
      backoffMaxMs: WATCH_BACKOFF_MAX_MS,
      idleTimeoutMs: this.#options.watchIdleMs ?? WATCH_IDLE_MS,
      deadlineMs: this.#options.deadlineMs,
      onRestart: this.#options.onWatchRestart,
      listener: (event) => {
        if (event.kind === 'changed') listener(event.object);
        else if (event.kind === 'deleted' || event.count === 0) listener(undefined);
      },
    });
  }

  /** Believes a refusal only once it is sure that the refusing version isn't our own write. */
  async #settle(result: ApiResult, sent: LeaseRecord, refusal: 'conflict' | 'already-exists'): Promise<LeaseResult> {
    if (result.ok || result.failure !== refusal || result.isAmbiguous !== true) return this.#toLease(result);
    const found = await this.get();
    if (!found.ok) return failureWithoutAnswer('timeout', `the outcome is unknown: ${found.message}`, found.endpoint);
    return isSameWrite(found.lease, sent) ? found : result;
  }

  #call(request: Pick<ApiRequest, 'method' | 'path' | 'body'>): Promise<ApiResult> {
    return this.#options.client.request({ ...request, deadlineMs: this.#options.deadlineMs, connection: 'lease' });
  }

  #toLease(result: ApiResult): LeaseResult {
    if (!result.ok) return result;
    return { ok: true, lease: this.#remember(result.body), endpoint: result.endpoint };
  }

  #remember(raw: JsonObject): LeaseRecord {
    const { lease, problems } = decodeLease(raw);
    this.uid = metadataText(raw, 'uid');
    this.#bases.delete(lease.resourceVersion);
    this.#bases.set(lease.resourceVersion, raw);
    for (const version of this.#bases.keys()) {
      if (this.#bases.size <= BASES_MAX) break;
      this.#bases.delete(version);
    }
    this.#logProblems(problems);
    return lease;
  }

  #logProblems(problems: readonly string[]): void {
    const text = problems.join('; ');
    if (text === this.#loggedProblems) return;
    this.#loggedProblems = text;
    if (text === '') return;
    const { namespace, name } = this.#options;
    const error = new HoldfastError('LEASE_INVALID', text, { context: { namespace, lease: name } });
    this.#options.log('warn', 'the lease has contents that cannot be used', {
      lease: `${namespace}/${name}`,
      code: error.code,
      reason: error.message,
      remedy: error.remedy,
    });
  }

  #stamp(lease: LeaseRecord, stamp: LeaseStamp): LeaseRecord {
    const now = formatMicroTime(this.#wallClock());
    return {
      ...lease,
      renewTime: now,
      acquireTime: stamp === 'acquire' || lease.acquireTime === '' ? now : lease.acquireTime,
    };
  }

  #identity(): { readonly namespace: string; readonly name: string } {
    return { namespace: this.#options.namespace, name: this.#options.name };
  }

  #path(): string {
    return `${this.#collection}/${encodeURIComponent(this.#options.name)}`;
  }
}

function conflict(endpoint: string): ApiFailure {
  const message = 'the Lease has another resourceVersion by now';
  return { ok: false, failure: 'conflict', code: 'API_REQUEST_FAILED', message, endpoint };
}
