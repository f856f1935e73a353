/**
 * The queue before patchServiceStatus: one patch of a Service under way, and the latest one waiting behind it; a few
 * under way at a time, no more than so many a second. Addresses come first: traffic waits for them. Mere words
 * (conditions, annotations) are written slowly where there are many, so that a thousand Services made at once are
 * answered for before each has been told so. While the API is away everything waits, with growing pauses, and nothing is
 * lost: each patch handed in comes to exactly one end, which is told.
 *
 *     write ──▶ waiting ──token, place──▶ under way ──▶ told (ok, conflict, gone, failed)
 *                 │  ▲                        │
 *        newer: told 'superseded'             └──no answer, 5xx, 429, 401, 403──▶ waiting again, after a pause
 */

import { HoldfastError } from '../base/errors.ts';
import type { ApiFailure } from './api-result.ts';
import { Backoff } from './backoff.ts';
import type { ApiClient } from './client.ts';
import type { Log } from './log.ts';
import { fullBucket, takeToken, type Bucket } from './token-bucket.ts';
import { patchServiceStatus, type StatusOutcome, type StatusPatch } from './service-status.ts';

export type WriteEnd =
  | Exclude<StatusOutcome, { readonly kind: 'forbidden' }>
  /** A later patch of the same Service took its place. */
  | { readonly kind: 'superseded' }
  /** clear() or close(), or more than QUEUE_MAX Services wait. */
  | { readonly kind: 'dropped'; readonly reason: string };

export interface StatusWriterOptions {
  readonly client: ApiClient;
  readonly deadlineMs: number;
  readonly log: Log;
  readonly onEnd: (patch: StatusPatch, end: WriteEnd) => void;
  /** Default 16. */
  readonly inFlightMax?: number;
  /** Of all patches. Default 500. */
  readonly perSecond?: number;
  /** Of those that say no addresses, after WORDS_BURST at once. Default 30. */
  readonly wordsPerSecond?: number;
  /** In [0, 1); default Math.random. */
  readonly random?: () => number;
  /** Default 2 s. */
  readonly transientMs?: number;
}

export interface StatusWriter {
  write(patch: StatusPatch): void;
  /** Drops what waits: tenure is over, so what was decided is no longer ours to write. Under way stays under way. */
  clear(reason: string): void;
  /** Patches waiting or under way. */
  readonly pending: number;
  /** Why nothing is written now; undefined while it is, and for the first two seconds. */
  readonly problem: HoldfastError | undefined;
  close(): void;
}

export function openStatusWriter(options: StatusWriterOptions): StatusWriter {
  return new QueuedWriter(options);
}

/** Services that wait at a time. */
export const QUEUE_MAX = 50_000;
const IN_FLIGHT_MAX = 16;
/** Of those that say no addresses. */
const WORDS_IN_FLIGHT_MAX = 4;
const PER_SECOND = 500;
const WORDS_PER_SECOND = 30;
const WORDS_BURST = 20;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** Trouble that is over sooner isn't told: a server that restarts, and for a second or two knows nobody's rights. */
const TRANSIENT_MS = 2_000;

/** Patches of one urgency that wait: no more than `inFlightMax` of them under way, and of these `perSecond`. */
class Queue {
  readonly waiting = new Map<string, StatusPatch>();
  readonly inFlightMax: number;
  underWay = 0;
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #bucket: Bucket;

  constructor(inFlightMax: number, perSecond: number, burst: number) {
    this.inFlightMax = inFlightMax;
    this.#intervalMs = 1000 / perSecond;
    this.#burst = Math.max(1, Math.floor(burst));
    this.#bucket = fullBucket(this.#burst);
  }

  /** 0 when one more may go now (and is counted), else ms until one may. */
  takeToken(): number {
    return takeToken(this.#bucket, this.#burst, this.#intervalMs);
  }
}

class QueuedWriter implements StatusWriter {
  problem: HoldfastError | undefined;
  readonly #options: StatusWriterOptions;
  readonly #addresses: Queue;
  readonly #words: Queue;
  readonly #underWay = new Set<string>();
  readonly #backoff: Backoff;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  /** Since when nothing is written although it is tried. */
  #troubledSince: number | undefined;
  /** Counts calls of clear(): what was under way then isn't repeated. */
  #clearings = 0;
  #isClosed = false;

  constructor(options: StatusWriterOptions) {
    const { inFlightMax = IN_FLIGHT_MAX, perSecond = PER_SECOND, wordsPerSecond = WORDS_PER_SECOND } = options;
    this.#options = options;
    this.#addresses = new Queue(inFlightMax, perSecond, perSecond / 10);
    this.#words = new Queue(
      Math.min(inFlightMax, WORDS_IN_FLIGHT_MAX),
      wordsPerSecond,
      Math.min(WORDS_BURST, wordsPerSecond),
    );
    this.#backoff = new Backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS, options.random ?? Math.random);
  }

  get pending(): number {
    return this.#waiting + this.#underWay.size;
  }

  get #waiting(): number {
    return this.#addresses.waiting.size + this.#words.waiting.size;
  }

  write(patch: StatusPatch): void {
    const queue = patch.ingress === undefined ? this.#words : this.#addresses;
    const other = queue === this.#words ? this.#addresses : this.#words;
    const before = queue.waiting.get(patch.key) ?? other.waiting.get(patch.key);
    if (this.#isClosed) this.#drop(patch, 'the writer is closed');
    else if (before === undefined && this.#waiting >= QUEUE_MAX) {
      this.#drop(patch, `more than ${QUEUE_MAX} Services wait to be written`);
    } else {
      other.waiting.delete(patch.key);
      // Keeps its place in the queue.
      queue.waiting.set(patch.key, patch);
      if (before !== undefined) this.#options.onEnd(before, { kind: 'superseded' });
      this.#pump();
    }
  }

  clear(reason: string): void {
    this.#clearings += 1;
    const patches = [...this.#addresses.waiting.values(), ...this.#words.waiting.values()];
    this.#addresses.waiting.clear();
    this.#words.waiting.clear();
    for (const patch of patches) this.#drop(patch, reason);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.clear('the writer is closed');
  }

  #drop(patch: StatusPatch, reason: string): void {
    this.#options.onEnd(patch, { kind: 'dropped', reason });
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    const pauseMs = this.#pausedUntil - performance.now();
    if (pauseMs > 0) {
      if (this.#waiting > 0) this.#later(pauseMs);
      return;
    }
    const waits = [this.#pumpQueue(this.#addresses), this.#pumpQueue(this.#words)].filter((ms) => ms > 0);
    if (waits.length > 0) this.#later(Math.min(...waits));
  }

  /** Sends what may go; ms until the next one may, 0 where nothing waits or the end of one that is under way is news. */
  #pumpQueue(queue: Queue): number {
    for (const [key, patch] of queue.waiting) {
      if (queue.underWay >= queue.inFlightMax || this.#isProbing) return 0;
      if (this.#underWay.has(key)) continue;
      const waitMs = queue.takeToken();
      if (waitMs > 0) return waitMs;
      queue.waiting.delete(key);
      void this.#send(patch, queue);
    }
    return 0;
  }

  /** One at a time while the API is in trouble: whether it is over needs one patch to find out. */
  get #isProbing(): boolean {
    return this.#troubledSince !== undefined && this.#underWay.size > 0;
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.#pump(), Math.ceil(ms));
  }

  async #send(patch: StatusPatch, queue: Queue): Promise<void> {
    const clearings = this.#clearings;
    this.#underWay.add(patch.key);
    queue.underWay += 1;
    const { client, deadlineMs } = this.#options;
    const outcome = await patchServiceStatus({ client, patch, deadlineMs });
    this.#underWay.delete(patch.key);
    queue.underWay -= 1;
    if (outcome.kind === 'forbidden' || (outcome.kind === 'failed' && isWorthRepeating(outcome.failure))) {
      this.#meetTrouble(outcome.failure);
      this.#again(patch, queue, clearings);
    } else {
      this.#finish(patch, outcome);
    }
    this.#pump();
  }

  #finish(patch: StatusPatch, outcome: Exclude<StatusOutcome, { readonly kind: 'forbidden' }>): void {
    if (this.problem !== undefined) {
      this.#options.log('info', 'status of services is written again', { waiting: this.pending });
    }
    this.problem = undefined;
    this.#troubledSince = undefined;
    this.#backoff.reset();
    for (const { waiting } of [this.#addresses, this.#words]) {
      const next = waiting.get(patch.key);
      if (outcome.kind !== 'ok' || next?.resourceVersion !== patch.resourceVersion) continue;
      // Decided from the same Service as the one just written, and nobody wrote in between: it holds for ours as well.
      waiting.set(patch.key, { ...next, resourceVersion: outcome.resourceVersion });
    }
    this.#options.onEnd(patch, outcome);
  }

  #again(patch: StatusPatch, queue: Queue, clearings: number): void {
    const isSuperseded = this.#addresses.waiting.has(patch.key) || this.#words.waiting.has(patch.key);
    if (this.#isClosed) this.#drop(patch, 'the writer is closed');
    else if (clearings !== this.#clearings) this.#drop(patch, 'what waited was cleared');
    else if (isSuperseded) this.#options.onEnd(patch, { kind: 'superseded' });
    else queue.waiting.set(patch.key, patch);
  }

  #meetTrouble(failure: ApiFailure): void {
    const now = performance.now();
    this.#troubledSince ??= now;
    // Of those that were under way together, the first one's pause counts for all.
    if (now >= this.#pausedUntil) {
      this.#pausedUntil = now + Math.max(this.#backoff.next(), failure.retryAfterMs ?? 0);
    }
    if (this.problem !== undefined || now - this.#troubledSince < (this.#options.transientMs ?? TRANSIENT_MS)) return;
    this.problem = new HoldfastError(failure.code, failure.message, {
      context: { verb: 'patch', resource: 'services/status', namespace: 'the cluster' },
    });
    const { code, message: reason, remedy } = this.problem;
    this.#options.log('warn', 'status of services cannot be written now', {
      code,
      reason,
      remedy,
      waiting: this.pending,
    });
  }
}

/** It says nothing about what was to be written. */
function isWorthRepeating({ failure }: ApiFailure): boolean {
  return (
    failure === 'timeout' ||
    failure === 'unreachable' ||
    failure === 'server-error' ||
    failure === 'throttled' ||
    failure === 'unauthorized'
  );
}
