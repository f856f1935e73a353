/**
 * All objects of one kind, decoded and kept up to date by a reflector. What the API server doesn't say again (an outage)
 * stays as it was; what may not be read is told once, with what to do, and read when it becomes possible. Listeners hear
 * of changes of what was decoded, not of every new version, and of a list only when it is complete.
 */

import { isDeepStrictEqual } from 'node:util';
import { HoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { ApiFailure } from './api-result.ts';
import type { ApiClient } from './client.ts';
import type { Log } from './log.ts';
import { startReflector, type Reflector, type ReflectorEvent } from './reflector.ts';
import { attributesOf } from './request-attributes.ts';

export interface CollectionOptions<T> {
  readonly client: ApiClient;
  /** Of the collection: /api/v1/nodes. */
  readonly path: string;
  /** One object of it. */
  readonly name?: string;
  readonly decode: (raw: JsonObject) => T | undefined;
  /** False: a change of this object is nobody's business now; it is kept all the same. Default: always true. */
  readonly isRelevant?: (raw: JsonObject) => boolean;
  readonly log: Log;
  /** What is kept has changed, or whether it is complete. */
  readonly onChange: () => void;
  /** The API server has no such resource. */
  readonly onAbsent?: () => void;
  /** It answers again after it didn't. */
  readonly onRecovered?: () => void;
  /** A refusal that is over sooner is none, ms. Default FORBIDDEN_AFTER_MS. */
  readonly forbiddenAfterMs?: number;
  /** Known from before, until a list says otherwise. */
  readonly seed?: ReadonlyMap<string, T>;
}

export interface ObjectCollection<T> {
  /** By namespace/name, or name. */
  readonly items: ReadonlyMap<string, T>;
  /** A complete list has been seen since the start. */
  readonly hasSynced: boolean;
  /** A complete list has been seen, and nothing says that it is out of date. */
  readonly isCurrent: boolean;
  /** It may not be read: verb, resource and remedy. */
  readonly problem: HoldfastError | undefined;
  /** Resolves after stop(); rejects with what decode threw. */
  readonly done: Promise<void>;
  stop(): void;
}

export function openCollection<T>(options: CollectionOptions<T>): ObjectCollection<T> {
  return new ReflectedCollection(options);
}

/** An API server refuses everybody for a second or two after it has started: it doesn't know the roles yet. */
export const FORBIDDEN_AFTER_MS = 3_000;

interface Projection<T> {
  readonly object: T;
  readonly isRelevant: boolean;
}

class ReflectedCollection<T> implements ObjectCollection<T> {
  readonly items: Map<string, T>;
  hasSynced = false;
  problem: HoldfastError | undefined;
  readonly #options: CollectionOptions<T>;
  readonly #reflector: Reflector;
  /** Keys of the seed that no list has confirmed yet. */
  readonly #unconfirmed: Set<string>;
  #isFailing = false;
  /** Of refusals without an answer in between. */
  #refusedSince: number | undefined;

  constructor(options: CollectionOptions<T>) {
    this.#options = options;
    this.items = new Map(options.seed);
    this.#unconfirmed = new Set(this.items.keys());
    this.#reflector = startReflector<Projection<T>>({
      client: options.client,
      path: options.path,
      ...(options.name === undefined ? {} : { name: options.name }),
      connection: 'general',
      project: (raw) => this.#project(raw),
      listener: (event) => this.#take(event),
      log: options.log,
      onOutcome: (failure) => this.#observe(failure),
    });
  }

  get isCurrent(): boolean {
    return this.#reflector.isSynced;
  }

  get done(): Promise<void> {
    return this.#reflector.done;
  }

  stop(): void {
    this.#reflector.stop();
  }

  #project(raw: JsonObject): Projection<T> | undefined {
    const object = this.#options.decode(raw);
    return object === undefined ? undefined : { object, isRelevant: this.#options.isRelevant?.(raw) ?? true };
  }

  #take(event: ReflectorEvent<Projection<T>>): void {
    switch (event.kind) {
      case 'changed': {
        const { object, isRelevant } = event.object;
        this.#unconfirmed.delete(event.key);
        if (isDeepStrictEqual(this.items.get(event.key), object)) return;
        this.items.set(event.key, object);
        if (isRelevant) this.#changed();
        return;
      }
      case 'deleted':
        if (this.items.delete(event.key)) this.#changed();
        return;
      case 'synced':
        this.#finishList();
    }
  }

  #changed(): void {
    // Told once the list is complete: who gives addresses by half a list doesn't know which are taken.
    if (this.#reflector.isSynced) this.#options.onChange();
  }

  #finishList(): void {
    for (const key of this.#unconfirmed) this.items.delete(key);
    this.#unconfirmed.clear();
    this.hasSynced = true;
    this.#options.onChange();
  }

  #observe(failure: ApiFailure | undefined): void {
    if (failure?.failure !== 'forbidden') this.#refusedSince = undefined;
    if (failure === undefined) {
      this.#allowed();
      if (this.#isFailing) this.#options.onRecovered?.();
      this.#isFailing = false;
      return;
    }
    this.#isFailing = true;
    if (failure.failure === 'not-found') this.#options.onAbsent?.();
    if (failure.failure === 'forbidden') this.#refused(failure);
  }

  #allowed(): void {
    if (this.problem === undefined) return;
    this.#options.log('info', 'objects are read again', { resource: this.problem.context['resource'] });
    this.problem = undefined;
    this.#options.onChange();
  }

  #refused(failure: ApiFailure): void {
    const now = performance.now();
    this.#refusedSince ??= now;
    const isOver = now - this.#refusedSince >= (this.#options.forbiddenAfterMs ?? FORBIDDEN_AFTER_MS);
    if (this.problem !== undefined || !isOver) return;
    this.problem = this.#forbidden(failure);
    const { code, message: reason, remedy, context } = this.problem;
    this.#options.log('warn', 'objects may not be read, and are not looked at', {
      resource: context['resource'],
      code,
      reason,
      remedy,
    });
    this.#options.onChange();
  }

  #forbidden(failure: ApiFailure): HoldfastError {
    const { path, name } = this.#options;
    const { resource, namespace } = attributesOf({ method: 'GET', path });
    const [, prefix, group] = path.split('/');
    return new HoldfastError(failure.code, failure.message, {
      context: {
        verb: 'list and watch',
        resource: `${prefix === 'apis' ? `${resource}.${group ?? ''}` : resource}${name === undefined ? '' : `/${name}`}`,
        namespace: namespace === '' ? 'the cluster' : namespace,
      },
    });
  }
}
