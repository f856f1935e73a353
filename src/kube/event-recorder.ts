/**
 * Kubernetes Events (core/v1) about one object: best effort, for people. Recording never waits and never fails; equal
 * events are counted on one object (a patch) instead of written anew, the rate is limited, the queue is bounded and drops
 * its oldest. Whoever may not write Events (kube-vip's RBAC has no rule for them) is told once, and asks again later.
 */

import { randomBytes } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import type { ApiClient } from './client.ts';
import { metadataText } from '../base/json.ts';
import type { Log } from './log.ts';

export interface InvolvedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** '' for cluster-scoped objects (Node): their Events lie in `default`. */
  readonly namespace: string;
  readonly uid?: string;
}

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** UpperCamelCase, e.g. LeadershipGained. */
  readonly reason: string;
  readonly message: string;
}

export interface EventRecorderOptions {
  readonly client: ApiClient;
  readonly about: InvolvedObject;
  /** Name of this node: source.host and reportingInstance. */
  readonly node: string;
  readonly log: Log;
  /** Default Date.now. */
  readonly wallClock?: () => number;
  /** Smallest distance between requests after a burst of BURST, ms. Default 2 s. */
  readonly intervalMs?: number;
}

export interface EventRecorder {
  record(note: EventNote): void;
  /** Resolves when the queue is empty, or after `deadlineMs`: for the end of the process. */
  flush(deadlineMs: number): Promise<void>;
  /** Notes that were never written: queue full, or the API refused them. */
  readonly dropped: number;
  close(): void;
}

export function openEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new QueuedRecorder(options);
}

const QUEUE_MAX = 64;
const BURST = 10;
const INTERVAL_MS = 2000;
const REQUEST_DEADLINE_MS = 3000;
/** Equal notes within this time are one Event with a count (client-go aggregates over ten minutes too). */
const SERIES_MS = 600_000;
const SERIES_MAX = 64;
const FORBIDDEN_PAUSE_MS = 300_000;
/** Limit of the API for Event.message. */
const MESSAGE_MAX = 1024;

interface Series {
  /** Name of the Event object. */
  readonly name: string;
  count: number;
  lastAt: number;
}

class QueuedRecorder implements EventRecorder {
  dropped = 0;
  readonly #options: EventRecorderOptions;
  readonly #queue: { readonly note: EventNote; readonly at: number }[] = [];
  readonly #series = new Map<string, Series>();
  readonly #idleListeners = new Set<() => void>();
  #tokens = BURST;
  #refilledAt = performance.now();
  #pausedUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #isSending = false;
  #isClosed = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(note: EventNote): void {
    if (this.#isClosed || performance.now() < this.#pausedUntil) {
      this.dropped += 1;
      return;
    }
    if (this.#queue.length >= QUEUE_MAX) {
      this.#queue.shift();
      this.dropped += 1;
    }
    this.#queue.push({ note, at: (this.#options.wallClock ?? Date.now)() });
    this.#pump();
  }

  flush(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isIdle()) {
        resolve();
        return;
      }
      const finish = (): void => {
        clearTimeout(timer);
        this.#idleListeners.delete(finish);
        resolve();
      };
      const timer = setTimeout(finish, deadlineMs);
      this.#idleListeners.add(finish);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.dropped += this.#queue.length;
    this.#queue.length = 0;
    clearTimeout(this.#timer);
    for (const listener of this.#idleListeners) listener();
  }

  #isIdle(): boolean {
    return this.#queue.length === 0 && !this.#isSending;
  }

  #pump(): void {
    if (this.#isSending || this.#isClosed) return;
    const next = this.#queue[0];
    if (next === undefined) {
      for (const listener of this.#idleListeners) listener();
      return;
    }
    const waitMs = this.#takeToken();
    clearTimeout(this.#timer);
    if (waitMs > 0) {
      this.#timer = setTimeout(() => this.#pump(), waitMs);
      this.#timer.unref();
      return;
    }
    this.#queue.shift();
    this.#isSending = true;
    void this.#send(next.note, next.at).then(() => {
      this.#isSending = false;
      this.#pump();
    });
  }

  /** 0 when a request may go now (and is counted), else ms until one may. */
  #takeToken(): number {
    const interval = this.#options.intervalMs ?? INTERVAL_MS;
    const now = performance.now();
    const earned = Math.floor((now - this.#refilledAt) / interval);
    if (earned > 0) {
      this.#tokens = Math.min(BURST, this.#tokens + earned);
      this.#refilledAt += earned * interval;
    }
    if (this.#tokens === 0) return this.#refilledAt + interval - now;
    this.#tokens -= 1;
    return 0;
  }

  async #send(note: EventNote, at: number): Promise<void> {
    const key = `${note.type}\n${note.reason}\n${note.message}`;
    const series = this.#series.get(key);
    if (series !== undefined && at - series.lastAt < SERIES_MS && (await this.#count(series, at))) return;
    await this.#create(key, note, at);
  }

  async #count(series: Series, at: number): Promise<boolean> {
    const result = await this.#options.client.request({
      method: 'PATCH',
      path: `${this.#collection()}/${series.name}`,
      contentType: 'application/merge-patch+json',
      body: { count: series.count + 1, lastTimestamp: secondsText(at) },
      deadlineMs: REQUEST_DEADLINE_MS,
    });
    if (!result.ok) return false;
    series.count += 1;
    series.lastAt = at;
    return true;
  }

  async #create(key: string, note: EventNote, at: number): Promise<void> {
    const { about, node } = this.#options;
    const name = `${about.name}.${randomBytes(8).toString('hex')}`;
    const result = await this.#options.client.request({
      method: 'POST',
      path: this.#collection(),
      body: {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace: this.#namespace() },
        involvedObject: about,
        type: note.type,
        reason: note.reason,
        message: note.message.slice(0, MESSAGE_MAX),
        source: { component: 'holdfast', host: node },
        reportingComponent: 'holdfast',
        reportingInstance: node,
        firstTimestamp: secondsText(at),
        lastTimestamp: secondsText(at),
        count: 1,
      },
      deadlineMs: REQUEST_DEADLINE_MS,
    });
    if (result.ok) {
      this.#keepSeries(key, { name: metadataText(result.body, 'name') ?? name, count: 1, lastAt: at });
      return;
    }
    this.dropped += 1;
    if (result.failure !== 'forbidden') return;
    this.#pausedUntil = performance.now() + FORBIDDEN_PAUSE_MS;
    this.dropped += this.#queue.length;
    this.#queue.length = 0;
    const context = { verb: 'create', resource: 'events', namespace: this.#namespace() };
    const { code, message: reason, remedy } = new HoldfastError(result.code, result.message, { context });
    this.#options.log('warn', 'events may not be written', { code, reason, remedy });
  }

  #keepSeries(key: string, series: Series): void {
    this.#series.delete(key);
    this.#series.set(key, series);
    for (const oldest of this.#series.keys()) {
      if (this.#series.size <= SERIES_MAX) break;
      this.#series.delete(oldest);
    }
  }

  #namespace(): string {
    return this.#options.about.namespace === '' ? 'default' : this.#options.about.namespace;
  }

  #collection(): string {
    return `/api/v1/namespaces/${encodeURIComponent(this.#namespace())}/events`;
  }
}

/** metav1.Time: RFC 3339 in whole seconds. */
function secondsText(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}
