/** Lists: selectors, pages that continue from a snapshot, and versions that a list must not be older than. */

import { apiVersionOf } from './kinds.ts';
import { ApiFailure, expired, type Json, type KubeObject } from './object.ts';
import { numberParameter } from './request.ts';
import { parseSelectors } from './selector.ts';
import type { Place, Store } from './store.ts';

interface Snapshot {
  readonly version: string;
  readonly rest: readonly KubeObject[];
}

/** Unfinished lists remembered; the oldest one's token expires first. */
const SNAPSHOTS_MAX = 100;

export class Collection {
  readonly #store: Store;
  readonly #freshnessWaitMs: number;
  readonly #snapshots = new Map<string, Snapshot>();
  #tokens = 0;

  constructor(store: Store, freshnessWaitMs: number) {
    this.#store = store;
    this.#freshnessWaitMs = freshnessWaitMs;
  }

  /** The `…List` document for a GET of the collection. */
  async list(place: Place, query: URLSearchParams): Promise<Json> {
    const limit = numberParameter(query, 'limit') ?? 0;
    const token = query.get('continue') ?? '';
    const { version, rest } = token === '' ? await this.#begin(place, query) : this.#resume(token);
    const items = limit === 0 ? rest : rest.slice(0, limit);
    const left = rest.slice(items.length);
    const metadata: Record<string, unknown> = { resourceVersion: version };
    if (left.length > 0) {
      metadata['continue'] = this.#remember({ version, rest: left });
      metadata['remainingItemCount'] = left.length;
    }
    return { kind: `${place.kind.kind}List`, apiVersion: apiVersionOf(place.kind), metadata, items: items.map(asItem) };
  }

  /** Deletes all that a list with the same selectors would name, and answers that list. */
  deleteAll(place: Place, query: URLSearchParams): Json {
    const items = this.#select(place, query);
    for (const item of items) {
      this.#store.delete({ kind: place.kind, namespace: item.metadata.namespace ?? '' }, item.metadata.name);
    }
    const metadata = { resourceVersion: String(this.#store.version) };
    return { kind: `${place.kind.kind}List`, apiVersion: apiVersionOf(place.kind), metadata, items: items.map(asItem) };
  }

  async #begin(place: Place, query: URLSearchParams): Promise<Snapshot> {
    const least = numberParameter(query, 'resourceVersion') ?? 0;
    if (least > this.#store.version) await new Promise((resolve) => setTimeout(resolve, this.#freshnessWaitMs));
    if (least > this.#store.version) {
      throw new ApiFailure(504, 'Timeout', `Too large resource version: ${least}, current: ${this.#store.version}`);
    }
    return { version: String(this.#store.version), rest: this.#select(place, query) };
  }

  #select(place: Place, query: URLSearchParams): readonly KubeObject[] {
    return this.#store.list(place).filter(parseSelectors(query.get('labelSelector'), query.get('fieldSelector')));
  }

  #remember(snapshot: Snapshot): string {
    const token = Buffer.from(JSON.stringify({ v: 'embedded', n: ++this.#tokens })).toString('base64url');
    this.#snapshots.set(token, snapshot);
    const [oldest] = this.#snapshots.keys();
    if (this.#snapshots.size > SNAPSHOTS_MAX && oldest !== undefined) this.#snapshots.delete(oldest);
    return token;
  }

  #resume(token: string): Snapshot {
    const snapshot = this.#snapshots.get(token);
    if (snapshot === undefined) {
      throw expired('The provided continue parameter is too old to display a consistent list result.');
    }
    return snapshot;
  }
}

/** Items of a list carry neither kind nor apiVersion. */
function asItem({ kind: _kind, apiVersion: _apiVersion, ...rest }: KubeObject): Json {
  return rest;
}
