/**
 * The queue before patchServiceStatus: one patch of a Service under way, and the latest one waiting behind it; a few
 * under way at a time, no more than so many a second. While the API is away everything waits, with growing pauses, and
 * nothing is lost: each patch handed in comes to exactly one end, which is told.
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
  /** Default 500. */
  readonly perSecond?: number;
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
const PER_SECOND = 500;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** Trouble that is over sooner isn't told: a server that restarts, and for a second or two knows nobody's rights. */
const TRANSIENT_MS = 2_000;

class QueuedWriter implements StatusWriter {
  problem: HoldfastError | undefined;
  readonly #options: StatusWriterOptions;
  readonly #waiting = new Map<string, StatusPatch>();
  readonly #underWay = new Map<string, StatusPatch>();
  readonly #backoff: Backoff;
  readonly #perSecond: number;
  #tokens: number;
  #refilledAt = performance.now();
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  /** Since when nothing is written although it is tried. */
  #troubledSince: number | undefined;
  /** Counts calls of clear(): what was under way then isn't repeated. */
  #clearings = 0;
  #isClosed = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#perSecond = options.perSecond ?? PER_SECOND;
    this.#tokens = this.#burst;
    this.#backoff = new Backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS, options.random ?? Math.random);
  }

  get pending(): number {
    return this.#waiting.size + this.#underWay.size;
  }

  write(patch: StatusPatch): void {
    const before = this.#waiting.get(patch.key);
    if (this.#isClosed) this.#drop(patch, 'the writer is closed');
    else if (before === undefined && this.#waiting.size >= QUEUE_MAX) {
      this.#drop(patch, `more than ${QUEUE_MAX} Services wait to be written`);
    } else {
      // Keeps its place in the queue.
      this.#waiting.set(patch.key, patch);
      if (before !== undefined) this.#options.onEnd(before, { kind: 'superseded' });
      this.#pump();
    }
  }

  clear(reason: string): void {
    this.#clearings += 1;
    const patches = [...this.#waiting.values()];
    this.#waiting.clear();
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
      if (this.#waiting.size > 0) this.#later(pauseMs);
      return;
    }
    for (const [key, patch] of this.#waiting) {
      if (this.#underWay.size >= this.#inFlightMax()) return;
      if (this.#underWay.has(key)) continue;
      const waitMs = this.#takeToken();
      if (waitMs > 0) {
        this.#later(waitMs);
        return;
      }
      this.#waiting.delete(key);
      void this.#send(patch);
    }
  }

  /** One at a time while the API is in trouble: whether it is over needs one patch to find out. */
  #inFlightMax(): number {
    return this.#troubledSince === undefined ? (this.#options.inFlightMax ?? IN_FLIGHT_MAX) : 1;
  }

  get #burst(): number {
    return Math.max(1, Math.floor(this.#perSecond / 10));
  }

  /** 0 when a patch may go now (and is counted), else ms until one may. */
  #takeToken(): number {
    const now = performance.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#refilledAt) * this.#perSecond) / 1000);
    this.#refilledAt = now;
    if (this.#tokens < 1) return ((1 - this.#tokens) * 1000) / this.#perSecond;
    this.#tokens -= 1;
    return 0;
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.#pump(), Math.ceil(ms));
  }

  async #send(patch: StatusPatch): Promise<void> {
    const clearings = this.#clearings;
    this.#underWay.set(patch.key, patch);
    const { client, deadlineMs } = this.#options;
    const outcome = await patchServiceStatus({ client, patch, deadlineMs });
    this.#underWay.delete(patch.key);
    if (outcome.kind === 'forbidden' || (outcome.kind === 'failed' && isWorthRepeating(outcome.failure))) {
      this.#meetTrouble(outcome.failure);
      this.#again(patch, clearings);
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
    const next = this.#waiting.get(patch.key);
    if (outcome.kind === 'ok' && next?.resourceVersion === patch.resourceVersion) {
      // Decided from the same Service as the one just written, and nobody wrote in between: it holds for ours as well.
      this.#waiting.set(patch.key, { ...next, resourceVersion: outcome.resourceVersion });
    }
    this.#options.onEnd(patch, outcome);
  }

  #again(patch: StatusPatch, clearings: number): void {
    if (this.#isClosed) this.#drop(patch, 'the writer is closed');
    else if (clearings !== this.#clearings) this.#drop(patch, 'what waited was cleared');
    else if (this.#waiting.has(patch.key)) this.#options.onEnd(patch, { kind: 'superseded' });
    else this.#waiting.set(patch.key, patch);
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
