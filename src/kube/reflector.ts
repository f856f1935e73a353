/**
 * List, then watch: keeps a listener informed of one named object or of a collection, for as long as the process lives.
 *
 *        ┌────────────────── 410, garbage, three answered failures ──────────────────┐
 *        ▼                                                                           │
 *     listing ──all pages read──▶ watching ──end, cut, silence──▶ (backoff) ──▶ watching from the last version
 *        └──failed──▶ (backoff) ──▶ listing
 *
 * Objects deleted while nobody watched are found by the next list. What the listener throws ends the reflector and rejects
 * `done`: it is never swallowed. Keeps no objects, only their keys and versions; the listener gets projections.
 */

import type { IncomingMessage } from 'node:http';
import type { ApiFailure } from './api-result.ts';
import { Backoff, Pause } from './backoff.ts';
import { Breath } from './breath.ts';
import type { ApiClient } from './client.ts';
import type { ConnectionClass } from './http-exchange.ts';
import type { JsonObject } from '../base/json.ts';
import { asArray, asInteger, asObject, asText, isObject, metadataText, parseJson } from '../base/json.ts';
import type { Log } from './log.ts';
import { readLines, type LinesEnd } from './watch-lines.ts';

export type ReflectorEvent<T> =
  /** New, or another version than before. `key` is namespace/name, or name. */
  | { readonly kind: 'changed'; readonly key: string; readonly object: T }
  | { readonly kind: 'deleted'; readonly key: string }
  /** A list is complete: everything that exists has been told, and what no longer does. */
  | { readonly kind: 'synced'; readonly count: number };

export interface ReflectorOptions<T> {
  readonly client: ApiClient;
  /** The collection. */
  readonly path: string;
  /** One object of it. */
  readonly name?: string;
  readonly labelSelector?: string;
  readonly connection: ConnectionClass;
  /** What the listener needs of an object; undefined when it is none of its business. */
  readonly project: (raw: JsonObject) => T | undefined;
  readonly listener: (event: ReflectorEvent<T>) => void;
  readonly log: Log;
  /** Objects a page; default and maximum 250, which keeps the event loop free (a page is parsed in one go). */
  readonly pageLimit?: number;
  /** Longest pause between attempts, ms. Default 30 s. The first is 100 ms. */
  readonly backoffMaxMs?: number;
  /** Silence after which a stream is taken for dead, ms. Default 90 s: bookmarks come about once a minute. */
  readonly idleTimeoutMs?: number;
  /** For one page, and for the head of a watch, ms. Default 10 s. */
  readonly deadlineMs?: number;
  /** In [0, 1); default Math.random. */
  readonly random?: () => number;
  /** What became of each list, and of the head of each watch: why it failed, or undefined when it didn't. */
  readonly onOutcome?: ((failure: ApiFailure | undefined) => void) | undefined;
  /** A watch ended, and will be opened again. */
  readonly onRestart?: ((reason: RestartReason) => void) | undefined;
}

export type ReflectorState = 'listing' | 'watching' | 'waiting' | 'stopped';

export interface Reflector {
  readonly state: ReflectorState;
  /** A complete list has been delivered and nothing says that it is out of date. */
  readonly isSynced: boolean;
  /** Since the API server last said anything on this watch, bookmarks and lists included, ms; Infinity before the first. */
  readonly lastEventAgeMs: number;
  /** Resolves after stop(); rejects with what the listener threw. */
  readonly done: Promise<void>;
  stop(): void;
}

export function startReflector<T>(options: ReflectorOptions<T>): Reflector {
  return new ListWatch(options);
}

const PAGE_LIMIT = 250;
/** 100,000 objects: more than that is no workload of ours. */
const PAGES_MAX = 400;
const PAGE_BYTES_MAX = 64 << 20;
/** etcd takes objects of up to 1.5 MiB; as JSON they grow. */
const LINE_BYTES_MAX = 8 << 20;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 30_000;
const IDLE_TIMEOUT_MS = 90_000;
const DEADLINE_MS = 10_000;
/** The server ends a watch after this long; jitter keeps nodes apart. */
const WATCH_SECONDS = 290;
/** A stream that lasted this long was a success, whatever ended it. */
const LASTING_MS = 1000;
/** A server that answers but refuses the version this often in a row (etcd restored from a backup) is asked for a list. */
const ANSWERED_FAILURES_MAX = 3;

type Ending =
  /** As announced by timeoutSeconds, or because credentials changed. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'idle' }
  /** The version can't be watched from. */
  | { readonly kind: 'expired'; readonly message: string }
  | {
      readonly kind: 'failed';
      readonly message: string;
      readonly isAnswered: boolean;
      readonly retryAfterMs?: number | undefined;
    };

export type RestartReason = Ending['kind'];

class ListWatch<T> implements Reflector {
  state: ReflectorState = 'listing';
  isSynced = false;
  readonly done: Promise<void>;
  readonly #options: ReflectorOptions<T>;
  readonly #known = new Map<string, string>();
  readonly #backoff: Backoff;
  readonly #pause = new Pause();
  readonly #abort = new AbortController();
  #version = '';
  #lastEventAt = Number.NEGATIVE_INFINITY;
  #answeredFailures = 0;
  #isTroubled = false;
  #endStream: ((ending: Ending) => void) | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    const random = options.random ?? Math.random;
    this.#backoff = new Backoff(BACKOFF_MIN_MS, options.backoffMaxMs ?? BACKOFF_MAX_MS, random);
    this.done = this.#run();
  }

  get lastEventAgeMs(): number {
    return performance.now() - this.#lastEventAt;
  }

  stop(): void {
    this.#abort.abort();
    this.#endStream?.({ kind: 'ended' });
    this.#pause.wake();
  }

  async #run(): Promise<void> {
    const unsubscribe = this.#options.client.onReconnect(() => {
      this.#endStream?.({ kind: 'ended' });
      this.#pause.wake();
    });
    try {
      while (!this.#abort.signal.aborted) await this.#round();
    } finally {
      unsubscribe();
      this.state = 'stopped';
      this.isSynced = false;
    }
  }

  async #round(): Promise<void> {
    if (!this.isSynced) {
      this.state = 'listing';
      const failure = await this.#list();
      if (this.#abort.signal.aborted) return;
      this.#options.onOutcome?.(failure);
      if (failure !== undefined) {
        await this.#wait(failure.message, failure.retryAfterMs);
        return;
      }
    }
    const startedAt = performance.now();
    const ending = await this.#watch();
    if (this.#abort.signal.aborted) return;
    this.#options.onRestart?.(ending.kind);
    if (performance.now() - startedAt >= LASTING_MS) this.#backoff.reset();
    await this.#afterWatch(ending);
  }

  async #afterWatch(ending: Ending): Promise<void> {
    if (ending.kind === 'expired') this.isSynced = false;
    if (ending.kind === 'failed') {
      this.#answeredFailures = ending.isAnswered ? this.#answeredFailures + 1 : 0;
      if (this.#answeredFailures >= ANSWERED_FAILURES_MAX) this.isSynced = false;
    }
    switch (ending.kind) {
      case 'ended':
      case 'expired':
        // At once the first time; a server that ends or expires every stream is not to be hammered.
        if (this.#backoff.isFresh) this.#backoff.next();
        else await this.#wait(ending.kind === 'expired' ? ending.message : 'the watch ended early', undefined);
        return;
      case 'idle':
        // A server that is frozen is found out, and passed over, by the next attempt.
        return;
      case 'failed':
        await this.#wait(ending.message, ending.retryAfterMs);
    }
  }

  /** Reads all pages. Answers a failure, or undefined. */
  async #list(): Promise<ApiFailure | undefined> {
    const seen = new Set<string>();
    const breath = new Breath();
    let next = '';
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const result = await this.#options.client.request({
        method: 'GET',
        path: this.#options.path,
        query: { ...this.#selector(), limit: this.#pageLimit(), ...(next === '' ? {} : { continue: next }) },
        deadlineMs: this.#deadlineMs(),
        connection: this.#options.connection,
        bodyLimit: PAGE_BYTES_MAX,
        signal: this.#abort.signal,
      });
      if (!result.ok) return result;
      if (this.#abort.signal.aborted) return undefined;
      this.#lastEventAt = performance.now();
      for (const item of asArray(result.body['items'])) {
        const raw = asObject(item);
        if (raw !== undefined) seen.add(this.#tellChanged(raw));
        if (breath.isDue) await breath.take();
        if (this.#abort.signal.aborted) return undefined;
      }
      next = metadataText(result.body, 'continue') ?? '';
      if (next !== '') continue;
      this.#version = metadataText(result.body, 'resourceVersion') ?? '';
      this.#finishList(seen);
      return undefined;
    }
    const { log, path } = this.#options;
    log('error', 'the collection is too large to be listed', { path, pages: PAGES_MAX });
    this.#finishList(seen);
    return undefined;
  }

  #finishList(seen: ReadonlySet<string>): void {
    for (const key of this.#known.keys()) {
      if (!seen.has(key)) this.#tellDeleted(key);
    }
    this.isSynced = true;
    this.#answeredFailures = 0;
    this.#options.listener({ kind: 'synced', count: this.#known.size });
  }

  async #watch(): Promise<Ending> {
    const random = (this.#options.random ?? Math.random)();
    const result = await this.#options.client.stream({
      method: 'GET',
      path: this.#options.path,
      query: {
        ...this.#selector(),
        watch: 1,
        resourceVersion: this.#version,
        allowWatchBookmarks: true,
        timeoutSeconds: Math.round(WATCH_SECONDS * (0.9 + 0.2 * random)),
      },
      deadlineMs: this.#deadlineMs(),
      connection: this.#options.connection,
      signal: this.#abort.signal,
    });
    if (!result.ok) {
      if (result.status === 410) return { kind: 'expired', message: result.message };
      if (!this.#abort.signal.aborted) this.#options.onOutcome?.(result);
      const { message, retryAfterMs } = result;
      return { kind: 'failed', message, isAnswered: result.status !== undefined, retryAfterMs };
    }
    if (this.#abort.signal.aborted) {
      result.response.destroy();
      return { kind: 'ended' };
    }
    this.state = 'watching';
    this.#lastEventAt = performance.now();
    this.#recovered(result.endpoint);
    this.#options.onOutcome?.(undefined);
    return this.#consume(result.response);
  }

  /** Reads the stream to its end. Rejects with what the listener throws. */
  #consume(response: IncomingMessage): Promise<Ending> {
    const lines = readLines<Ending>(response, {
      lineBytesMax: LINE_BYTES_MAX,
      onData: () => (this.#lastEventAt = performance.now()),
      onLine: (line) => this.#consumeLine(line),
    });
    const idleMs = this.#options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    let timer: NodeJS.Timeout | undefined;
    return new Promise<Ending>((resolve, reject) => {
      const checkIdle = (): void => {
        const left = idleMs - this.lastEventAgeMs;
        if (left <= 0) resolve({ kind: 'idle' });
        else timer = setTimeout(checkIdle, left + 1);
      };
      checkIdle();
      this.#endStream = resolve;
      lines.end.then((end) => resolve(endingOfLines(end)), reject);
    }).finally(() => {
      clearTimeout(timer);
      this.#endStream = undefined;
      lines.close();
      response.on('error', ignore);
      response.destroy();
    });
  }

  #consumeLine(line: string): Ending | undefined {
    const event = parseJson(line);
    const raw = isObject(event) ? asObject(event['object']) : undefined;
    if (!isObject(event) || raw === undefined) return { kind: 'expired', message: 'a line of the watch is no event' };
    const type = asText(event['type']);
    if (type === 'ERROR') return endingOfStatus(raw);
    this.#backoff.reset();
    this.#answeredFailures = 0;
    if (type === 'ADDED' || type === 'MODIFIED') this.#tellChanged(raw);
    else if (type === 'DELETED') this.#tellDeleted(keyOf(raw));
    this.#version = metadataText(raw, 'resourceVersion') ?? this.#version;
    return undefined;
  }

  #tellChanged(raw: JsonObject): string {
    const key = keyOf(raw);
    const version = metadataText(raw, 'resourceVersion') ?? '';
    if (this.#known.has(key) && this.#known.get(key) === version) return key;
    const object = this.#options.project(raw);
    if (object === undefined) {
      this.#tellDeleted(key);
      return key;
    }
    this.#known.set(key, version);
    this.#options.listener({ kind: 'changed', key, object });
    return key;
  }

  #tellDeleted(key: string): void {
    if (this.#known.delete(key)) this.#options.listener({ kind: 'deleted', key });
  }

  async #wait(reason: string, retryAfterMs: number | undefined): Promise<void> {
    this.state = 'waiting';
    this.#trouble(reason);
    await this.#pause.for(Math.max(this.#backoff.next(), retryAfterMs ?? 0));
  }

  /** One line when trouble begins, one when it ends; why requests fail, and what to do, is told by ApiHealth. */
  #trouble(reason: string): void {
    if (this.#isTroubled || this.#abort.signal.aborted) return;
    this.#isTroubled = true;
    this.#options.log('debug', 'api watch interrupted', { path: this.#what(), reason });
  }

  #recovered(endpoint: string): void {
    if (!this.#isTroubled) return;
    this.#isTroubled = false;
    this.#options.log('debug', 'api watch resumed', { path: this.#what(), endpoint });
  }

  #what(): string {
    return this.#options.name === undefined ? this.#options.path : `${this.#options.path}/${this.#options.name}`;
  }

  #selector(): Readonly<Record<string, string>> {
    const { name, labelSelector } = this.#options;
    return {
      ...(name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    };
  }

  #pageLimit(): number {
    return Math.min(this.#options.pageLimit ?? PAGE_LIMIT, PAGE_LIMIT);
  }

  #deadlineMs(): number {
    return this.#options.deadlineMs ?? DEADLINE_MS;
  }
}

function endingOfLines(end: LinesEnd<Ending>): Ending {
  switch (end.kind) {
    case 'told':
      return end.ending;
    case 'complete':
      return { kind: 'ended' };
    case 'cut':
      return { kind: 'failed', message: 'the watch was cut off', isAnswered: false };
    case 'too-long':
      return { kind: 'expired', message: `a line is longer than ${LINE_BYTES_MAX} octets` };
  }
}

/** An ERROR event carries a Status; 410 Gone (Expired) is the version's fault, anything else the server's. */
function endingOfStatus(status: JsonObject): Ending {
  const message = asText(status['message']) ?? 'the watch ended with an error';
  if (asInteger(status['code']) === 410 || status['reason'] === 'Expired') return { kind: 'expired', message };
  const seconds = asInteger(asObject(status['details'])?.['retryAfterSeconds']);
  return {
    kind: 'failed',
    message,
    isAnswered: true,
    retryAfterMs: seconds === undefined ? undefined : Math.min(seconds, 30) * 1000,
  };
}

function keyOf(raw: JsonObject): string {
  const namespace = metadataText(raw, 'namespace');
  const name = metadataText(raw, 'name') ?? '';
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** For a stream that was given up: its last error belongs to nobody. */
function ignore(): void {}
