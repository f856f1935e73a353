/**
 * Kubernetes Events (core/v1) about one object, or about any: best effort, for people. Recording never waits and never
 * fails; equal events are counted on one object (a patch) instead of written anew, the rate is limited, for each object and
 * reason as well, the queue is bounded and drops its oldest. Whoever may not write Events (kube-vip's RBAC has no rule for them) is told once, and asks again later.
 */

import { randomBytes } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import type { ApiFailure } from './api-result.ts';
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
  /** What a note is about unless it is said with it. */
  readonly about: InvolvedObject;
  /** Name of this node: source.host and reportingInstance. */
  readonly node: string;
  readonly log: Log;
  /** Default Date.now. */
  readonly wallClock?: () => number;
  /** Smallest distance between requests after a burst, ms. Default 2 s. */
  readonly intervalMs?: number;
  /** Requests that may be made at once. Default 10. */
  readonly burst?: number;
  /** Notes that may wait. Default 64. */
  readonly queueMax?: number;
  /** How long after a first refusal it is tried again; a second one is believed. Default 3 s. */
  readonly refusalMs?: number;
  /** Of each object and reason so many at once, and then one in `intervalMs`. Default: no such limit. */
  readonly subject?: { readonly burst: number; readonly intervalMs: number };
}

/** For notes about thousands of Services: a rollout is told in seconds, and one that flaps doesn't drown the others. */
export const SERVICE_EVENT_LIMITS = {
  intervalMs: 50,
  burst: 50,
  queueMax: 2_000,
  subject: { burst: 4, intervalMs: 60_000 },
} as const satisfies Pick<EventRecorderOptions, 'intervalMs' | 'burst' | 'queueMax' | 'subject'>;

export function aboutService(service: {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}): InvolvedObject {
  const { namespace, name, uid } = service;
  return { apiVersion: 'v1', kind: 'Service', namespace, name, uid };
}

export interface EventRecorder {
  record(note: EventNote, about?: InvolvedObject): void;
  /** Resolves when the queue is empty, or after `deadlineMs`: for the end of the process. */
  flush(deadlineMs: number): Promise<void>;
  /** Notes that were never written: queue full, too many of a kind, or the API refused them. */
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
/** Equal notes within this time are one Event with a count (client-go aggregates over ten minutes too); as many of them as may wait. */
const SERIES_MS = 600_000;
/** Objects and reasons that are counted at a time; one that is forgotten begins anew. */
const SUBJECTS_MAX = 10_000;
const FORBIDDEN_PAUSE_MS = 300_000;
/** An API server that has just started refuses everybody: it doesn't know the roles yet. */
const REFUSAL_MS = 3_000;
/** Limit of the API for Event.message. */
const MESSAGE_MAX = 1024;

interface Series {
  /** Name of the Event object. */
  readonly name: string;
  count: number;
  lastAt: number;
}

interface Entry {
  readonly note: EventNote;
  readonly about: InvolvedObject;
  readonly at: number;
}

interface Bucket {
  tokens: number;
  refilledAt: number;
}

class QueuedRecorder implements EventRecorder {
  dropped = 0;
  readonly #options: EventRecorderOptions;
  readonly #queue: Entry[] = [];
  readonly #subjects = new Map<string, Bucket>();
  readonly #series = new Map<string, Series>();
  readonly #idleListeners = new Set<() => void>();
  readonly #bucket: Bucket;
  #pausedUntil = 0;
  #wasRefused = false;
  #resumeAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isSending = false;
  #isClosed = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#bucket = { tokens: options.burst ?? BURST, refilledAt: performance.now() };
  }

  record(note: EventNote, about: InvolvedObject = this.#options.about): void {
    if (this.#isClosed || performance.now() < this.#pausedUntil || this.#isTooMuch(note, about)) {
      this.dropped += 1;
      return;
    }
    if (this.#queue.length >= (this.#options.queueMax ?? QUEUE_MAX)) {
      this.#queue.shift();
      this.dropped += 1;
    }
    this.#queue.push({ note, about, at: (this.#options.wallClock ?? Date.now)() });
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
    const { burst = BURST, intervalMs = INTERVAL_MS } = this.#options;
    const untilResumed = this.#resumeAt - performance.now();
    const waitMs = untilResumed > 0 ? untilResumed : takeToken(this.#bucket, burst, intervalMs);
    clearTimeout(this.#timer);
    if (waitMs > 0) {
      this.#timer = setTimeout(() => this.#pump(), waitMs);
      this.#timer.unref();
      return;
    }
    this.#queue.shift();
    void this.#deliver(next);
  }

  async #deliver(entry: Entry): Promise<void> {
    this.#isSending = true;
    const isWorthRepeating = await this.#send(entry);
    this.#isSending = false;
    if (isWorthRepeating) this.#repeat(entry);
    this.#pump();
  }

  #isTooMuch(note: EventNote, about: InvolvedObject): boolean {
    const { subject } = this.#options;
    if (subject === undefined) return false;
    const key = `${nameOf(about)}\n${note.reason}`;
    const bucket = this.#subjects.get(key) ?? { tokens: subject.burst, refilledAt: performance.now() };
    keepLatest(this.#subjects, key, bucket, SUBJECTS_MAX);
    return takeToken(bucket, subject.burst, subject.intervalMs) > 0;
  }

  #repeat(entry: Entry): void {
    if (this.#isClosed) {
      this.dropped += 1;
      return;
    }
    this.#queue.unshift(entry);
    this.#resumeAt = performance.now() + (this.#options.refusalMs ?? REFUSAL_MS);
  }

  /** Whether it should be tried again. */
  async #send(entry: Entry): Promise<boolean> {
    const { note, about, at } = entry;
    const key = `${nameOf(about)}\n${note.type}\n${note.reason}\n${note.message}`;
    const series = this.#series.get(key);
    if (series !== undefined && at - series.lastAt < SERIES_MS && (await this.#count(series, entry))) return false;
    return this.#create(key, entry);
  }

  async #count(series: Series, { about, at }: Entry): Promise<boolean> {
    const result = await this.#options.client.request({
      method: 'PATCH',
      path: `${collectionOf(about)}/${series.name}`,
      contentType: 'application/merge-patch+json',
      body: { count: series.count + 1, lastTimestamp: secondsText(at) },
      deadlineMs: REQUEST_DEADLINE_MS,
    });
    if (!result.ok) return false;
    series.count += 1;
    series.lastAt = at;
    return true;
  }

  async #create(key: string, { note, about, at }: Entry): Promise<boolean> {
    const { node } = this.#options;
    const name = `${about.name}.${randomBytes(8).toString('hex')}`;
    const result = await this.#options.client.request({
      method: 'POST',
      path: collectionOf(about),
      body: {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace: namespaceOf(about) },
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
      const series = { name: metadataText(result.body, 'name') ?? name, count: 1, lastAt: at };
      keepLatest(this.#series, key, series, this.#options.queueMax ?? QUEUE_MAX);
      this.#wasRefused = false;
      return false;
    }
    // A namespace that is being deleted takes nothing new: that says nothing about our rights.
    const isRefused = result.failure === 'forbidden' && !result.message.includes('is being terminated');
    if (isRefused && !this.#wasRefused) {
      this.#wasRefused = true;
      return true;
    }
    this.dropped += 1;
    if (isRefused) this.#giveUp(result, about);
    return false;
  }

  #giveUp(refusal: ApiFailure, about: InvolvedObject): void {
    this.#wasRefused = false;
    this.#pausedUntil = performance.now() + FORBIDDEN_PAUSE_MS;
    this.dropped += this.#queue.length;
    this.#queue.length = 0;
    const context = { verb: 'create', resource: 'events', namespace: namespaceOf(about) };
    const { code, message: reason, remedy } = new HoldfastError(refusal.code, refusal.message, { context });
    this.#options.log('warn', 'events may not be written', { code, reason, remedy });
  }
}

/** 0 when one may go now (and is counted), else ms until one may. */
function takeToken(bucket: Bucket, burst: number, intervalMs: number): number {
  const now = performance.now();
  const earned = Math.floor((now - bucket.refilledAt) / intervalMs);
  if (earned > 0) {
    bucket.tokens = Math.min(burst, bucket.tokens + earned);
    bucket.refilledAt += earned * intervalMs;
  }
  if (bucket.tokens === 0) return bucket.refilledAt + intervalMs - now;
  bucket.tokens -= 1;
  return 0;
}

/** Puts the entry last, and forgets the first ones beyond `max`. */
function keepLatest<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= max) break;
    map.delete(oldest);
  }
}

function nameOf({ kind, namespace, name, uid }: InvolvedObject): string {
  return `${kind}/${namespace}/${name}/${uid ?? ''}`;
}

function namespaceOf(about: InvolvedObject): string {
  return about.namespace === '' ? 'default' : about.namespace;
}

function collectionOf(about: InvolvedObject): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespaceOf(about))}/events`;
}

/** metav1.Time: RFC 3339 in whole seconds. */
function secondsText(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}
