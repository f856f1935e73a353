/**
 * Kubernetes Events (core/v1) about one object, or about any: best effort, for people. Recording never waits and never
 * fails; equal events are counted on one object (a patch) instead of written anew, the rate is limited, for each object and
 * reason as well, the queue is bounded and drops its oldest. What an API server didn't answer, or was too busy for, is
 * tried again under the same name, so that it is written once. Whoever may not write Events in a namespace (kube-vip's
 * RBAC has no rule for them) is told once, and asks again later.
 *
 * core/v1 and not events.k8s.io/v1: both are the same objects, and of this form every kubectl shows count and times.
 */

import { randomBytes } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import type { ApiFailure } from './api-result.ts';
import { Backoff } from './backoff.ts';
import type { ApiClient } from './client.ts';
import type { Log } from './log.ts';
import { fullBucket, takeToken, type Bucket } from './token-bucket.ts';

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
  /** What a note is about unless it is said with it; a function is asked with each (its uid may become known later). */
  readonly about: InvolvedObject | (() => InvolvedObject);
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
  /** How long nothing is written in a namespace that refused it. Default 60 s. */
  readonly forbiddenMs?: number;
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
/**
 * Who adds the missing right looks for Events soon after; one refused request a minute and namespace is nothing to an API
 * server. Not shorter: a cluster that means it is asked for as long as it runs.
 */
const FORBIDDEN_PAUSE_MS = 60_000;
/** As client-go (maxTriesPerEvent): an Event that an API server doesn't take so often is given up. */
const TRIES_MAX = 12;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 10_000;
/** An API server that has just started refuses everybody: it doesn't know the roles yet. */
const REFUSAL_MS = 3_000;
/** Limit of the API for Event.message. */
const MESSAGE_MAX = 1024;
/** Names of objects have 253 characters (RFC 1123 subdomain); an Event's has the object's before its own 17. */
const NAME_MAX = 253 - 17;

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
  /** Of the Event object, if one is made of it. */
  readonly name: string;
  tries: number;
}

type Outcome =
  | { readonly kind: 'done' }
  /** Later, in so many ms. */
  | { readonly kind: 'again'; readonly inMs: number }
  | { readonly kind: 'lost' };

const DONE: Outcome = { kind: 'done' };
const LOST: Outcome = { kind: 'lost' };

class QueuedRecorder implements EventRecorder {
  dropped = 0;
  readonly #options: EventRecorderOptions;
  readonly #queue: Entry[] = [];
  readonly #subjects = new Map<string, Bucket>();
  readonly #series = new Map<string, Series>();
  readonly #idleListeners = new Set<() => void>();
  readonly #bucket: Bucket;
  readonly #backoff = new Backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS, Math.random);
  /** Namespaces in which Events may not be written → when to ask again. */
  readonly #forbidden = new Map<string, number>();
  #wasRefused = false;
  #resumeAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isSending = false;
  #isClosed = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#bucket = fullBucket(options.burst ?? BURST);
  }

  record(note: EventNote, given?: InvolvedObject): void {
    const { about: usual } = this.#options;
    const about = given ?? (typeof usual === 'function' ? usual() : usual);
    if (this.#isClosed || this.#isForbidden(about) || this.#isTooMuch(note, about)) {
      this.dropped += 1;
      return;
    }
    if (this.#queue.length >= (this.#options.queueMax ?? QUEUE_MAX)) {
      this.#queue.shift();
      this.dropped += 1;
    }
    const at = (this.#options.wallClock ?? Date.now)();
    this.#queue.push({ note, about, at, name: eventName(about), tries: 0 });
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
    const outcome = await this.#send(entry);
    this.#isSending = false;
    if (outcome.kind === 'again' && !this.#isClosed) {
      this.#queue.unshift(entry);
      this.#resumeAt = performance.now() + outcome.inMs;
    } else if (outcome.kind !== 'done') {
      this.dropped += 1;
    }
    this.#pump();
  }

  #isForbidden(about: InvolvedObject): boolean {
    return performance.now() < (this.#forbidden.get(namespaceOf(about)) ?? Number.NEGATIVE_INFINITY);
  }

  #isTooMuch(note: EventNote, about: InvolvedObject): boolean {
    const { subject } = this.#options;
    if (subject === undefined) return false;
    const key = [nameOf(about), note.reason].join('\n');
    const bucket = this.#subjects.get(key) ?? fullBucket(subject.burst);
    keepLatest(this.#subjects, key, bucket, SUBJECTS_MAX);
    return takeToken(bucket, subject.burst, subject.intervalMs) > 0;
  }

  async #send(entry: Entry): Promise<Outcome> {
    const { note, about, at } = entry;
    const key = [nameOf(about), note.type, note.reason, note.message].join('\n');
    const series = this.#series.get(key);
    const isRepeated = series !== undefined && at - series.lastAt < SERIES_MS;
    return (isRepeated ? await this.#count(series, entry) : undefined) ?? this.#create(key, entry);
  }

  /** undefined: it can't be counted there (any more). */
  async #count(series: Series, entry: Entry): Promise<Outcome | undefined> {
    const { about, at } = entry;
    const result = await this.#options.client.request({
      method: 'PATCH',
      path: `${collectionOf(about)}/${series.name}`,
      contentType: 'application/merge-patch+json',
      body: { count: series.count + 1, lastTimestamp: secondsText(at) },
      deadlineMs: REQUEST_DEADLINE_MS,
    });
    if (!result.ok) return this.#later(entry, result);
    series.count += 1;
    series.lastAt = at;
    this.#backoff.reset();
    return DONE;
  }

  async #create(key: string, entry: Entry): Promise<Outcome> {
    const { note, about, at, name } = entry;
    const { node } = this.#options;
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
    // The name is of this entry alone: who has it already is an earlier try of it.
    if (result.ok || result.failure === 'already-exists') {
      keepLatest(this.#series, key, { name, count: 1, lastAt: at }, this.#options.queueMax ?? QUEUE_MAX);
      this.#backoff.reset();
      this.#allowed(about);
      return DONE;
    }
    // A namespace that is being deleted takes nothing new: that says nothing about our rights.
    if (result.failure !== 'forbidden' || result.message.includes('is being terminated')) {
      return this.#later(entry, result) ?? LOST;
    }
    if (!this.#wasRefused) {
      this.#wasRefused = true;
      return { kind: 'again', inMs: this.#options.refusalMs ?? REFUSAL_MS };
    }
    this.#giveUp(result, about);
    return LOST;
  }

  /** When a failure says nothing about what was to be written: that it is tried again, but not while the process ends. */
  #later(entry: Entry, { failure, retryAfterMs }: ApiFailure): Outcome | undefined {
    if (!TRANSIENT.has(failure)) return undefined;
    entry.tries += 1;
    if (entry.tries >= TRIES_MAX || this.#idleListeners.size > 0) return LOST;
    return { kind: 'again', inMs: Math.max(this.#backoff.next(), retryAfterMs ?? 0) };
  }

  #allowed(about: InvolvedObject): void {
    this.#wasRefused = false;
    if (!this.#forbidden.delete(namespaceOf(about))) return;
    this.#options.log('info', 'events are written again', { namespace: namespaceOf(about) });
  }

  #giveUp(refusal: ApiFailure, about: InvolvedObject): void {
    const namespace = namespaceOf(about);
    const isKnown = this.#forbidden.has(namespace);
    this.#wasRefused = false;
    keepLatest(this.#forbidden, namespace, performance.now() + this.#pauseMs(), SUBJECTS_MAX);
    const kept = this.#queue.filter((entry) => namespaceOf(entry.about) !== namespace);
    this.dropped += this.#queue.length - kept.length;
    this.#queue.splice(0, this.#queue.length, ...kept);
    if (isKnown) return;
    const context = { verb: 'create', resource: 'events', namespace };
    const { code, message: reason, remedy } = new HoldfastError(refusal.code, refusal.message, { context });
    this.#options.log('warn', 'events may not be written', { code, reason, remedy });
  }

  #pauseMs(): number {
    return this.#options.forbiddenMs ?? FORBIDDEN_PAUSE_MS;
  }
}

/** They say nothing about what was to be written. */
const TRANSIENT: ReadonlySet<ApiFailure['failure']> = new Set([
  'timeout',
  'unreachable',
  'server-error',
  'throttled',
  'unauthorized',
]);

/** Puts the entry last, and forgets the first ones beyond `max`. */
function keepLatest<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= max) break;
    map.delete(oldest);
  }
}

/** Joined, and not put together piece by piece: V8 keeps the pieces of a long text, and thousands of these are kept. */
function nameOf({ kind, namespace, name, uid }: InvolvedObject): string {
  return [kind, namespace, name, uid ?? ''].join('/');
}

function namespaceOf(about: InvolvedObject): string {
  return about.namespace === '' ? 'default' : about.namespace;
}

/** Of its own, and such that the API server takes it. */
function eventName({ name }: InvolvedObject): string {
  return `${name.slice(0, NAME_MAX).replace(/[^a-z0-9]+$/, '')}.${randomBytes(8).toString('hex')}`;
}

function collectionOf(about: InvolvedObject): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespaceOf(about))}/events`;
}

/** metav1.Time: RFC 3339 in whole seconds. */
function secondsText(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}
