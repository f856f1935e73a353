/**
 * The objects, their one resourceVersion counter, and the history that watches start from: etcd and the API server's
 * storage layer in one, without the network. Each write is one version; an update that changes nothing is none.
 */

import { randomUUID } from 'node:crypto';

import { apiVersionOf, KINDS, qualified, type Kind } from './kinds.ts';
import {
  ApiFailure,
  badRequest,
  conflict,
  expired,
  invalid,
  isJson,
  isSameJson,
  type Json,
  type KubeObject,
  type ObjectMeta,
} from './object.ts';

export interface Change {
  readonly version: number;
  readonly kind: Kind;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  /** What was there before; undefined when it is new. */
  readonly previous: KubeObject | undefined;
}

export interface Place {
  readonly kind: Kind;
  /** '' for a kind without namespaces, or for all of them in a list. */
  readonly namespace: string;
}

export interface StoreOptions {
  /** How many changes a watch can go back. */
  readonly historyMax?: number;
}

export class Store {
  readonly #objects = new Map<string, KubeObject>();
  readonly #kinds = new Map<string, Kind>();
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #historyMax: number;
  #history: Change[] = [];
  #version = 1000;
  /** The newest version that is no longer in the history. */
  #forgotten = 1000;

  constructor(options: StoreOptions = {}) {
    this.#historyMax = options.historyMax ?? 1000;
    for (const kind of KINDS) {
      if (kind.isCustom === true) continue;
      this.#kinds.set(`${apiVersionOf(kind)}/${kind.resource}`, kind);
      if (kind.kind !== 'Namespace') continue;
      for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
        this.create({ kind, namespace: '' }, { metadata: { name } });
      }
    }
  }

  get version(): number {
    return this.#version;
  }

  /** Everything that is there now. */
  get kinds(): readonly Kind[] {
    return [...this.#kinds.values()];
  }

  /** Brings the custom resources of a group (`metallb.io`), or one of them, or takes them away with all their objects. */
  install(name: string, isInstalled: boolean): void {
    const isMeant = (kind: Kind): boolean => kind.group === name || qualified(kind) === name;
    for (const kind of KINDS.filter((candidate) => candidate.isCustom === true && isMeant(candidate))) {
      const key = `${apiVersionOf(kind)}/${kind.resource}`;
      if (isInstalled) this.#kinds.set(key, kind);
      else if (this.#kinds.delete(key)) {
        for (const { metadata } of this.list({ kind, namespace: '' })) {
          this.delete({ kind, namespace: metadata.namespace ?? '' }, metadata.name);
        }
      }
    }
  }

  kind(apiVersion: string, resource: string): Kind | undefined {
    return this.#kinds.get(`${apiVersion}/${resource}`);
  }

  get(place: Place, name: string): KubeObject {
    const found = this.#objects.get(keyOf(place, name));
    if (found === undefined) throw notFound(place.kind, name);
    return found;
  }

  /** All objects of a place, by namespace and name as the real server sorts them. */
  list(place: Place): readonly KubeObject[] {
    const start = place.namespace === '' ? `${qualified(place.kind)}|` : `${qualified(place.kind)}|${place.namespace}|`;
    return [...this.#objects]
      .filter(([key]) => key.startsWith(start))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  create(place: Place, body: unknown): KubeObject {
    const { kind, namespace } = place;
    const { object, metadata } = this.#accept(place, body);
    const prefix = typeof metadata['generateName'] === 'string' ? metadata['generateName'] : '';
    const generated = prefix === '' ? undefined : `${prefix}${randomUUID().slice(0, 5)}`;
    const name = typeof metadata['name'] === 'string' && metadata['name'] !== '' ? metadata['name'] : generated;
    if (name === undefined) throw invalid('metadata.name: Required value: name or generateName is required');
    if ((metadata['resourceVersion'] ?? '') !== '') {
      throw new ApiFailure(500, 'InternalError', 'resourceVersion should not be set on objects to be created');
    }
    if (kind.isNamespaced && !this.#objects.has(`namespaces||${namespace}`)) {
      throw new ApiFailure(404, 'NotFound', `namespaces "${namespace}" not found`);
    }
    if (this.#objects.has(keyOf(place, name))) {
      throw new ApiFailure(409, 'AlreadyExists', `${qualified(kind)} "${name}" already exists`);
    }
    const fresh: Json = {
      ...object,
      metadata: {
        ...metadata,
        name,
        ...(kind.isNamespaced ? { namespace } : {}),
        uid: randomUUID(),
        creationTimestamp: `${new Date().toISOString().slice(0, 19)}Z`,
      },
    };
    kind.validate?.(fresh);
    return this.#commit(place, fresh, undefined);
  }

  /** PUT; `part` says whether the object or its status is written. `isNew`: it did not exist before. */
  update(
    place: Place,
    name: string,
    body: unknown,
    part: 'object' | 'status' = 'object',
  ): { readonly object: KubeObject; readonly isNew: boolean } {
    const { kind } = place;
    const { object, metadata } = this.#accept(place, body);
    if (metadata['name'] !== undefined && metadata['name'] !== name) {
      throw badRequest(
        `the name of the object (${JSON.stringify(metadata['name'])}) does not match the name on the URL (${name})`,
      );
    }
    const previous = this.#objects.get(keyOf(place, name));
    if (previous === undefined) {
      if (kind.createsOnUpdate !== true || part === 'status') throw notFound(kind, name);
      const { resourceVersion: _, ...rest } = metadata;
      return { object: this.create(place, { ...object, metadata: { ...rest, name } }), isNew: true };
    }
    const wanted = metadata['resourceVersion'] ?? '';
    if (wanted === '' && kind.updatesUnconditionally !== true) {
      throw invalid(
        `${qualified(kind)} "${name}" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update`,
      );
    }
    if (wanted !== '' && wanted !== previous.metadata.resourceVersion) throw modified(kind, name);
    if (metadata['uid'] !== undefined && metadata['uid'] !== previous.metadata.uid) {
      throw conflict(
        `Precondition failed: UID in precondition: ${JSON.stringify(metadata['uid'])}, UID in object meta: ${previous.metadata.uid}`,
      );
    }
    return { object: this.#commit(place, merge(previous, object, kind, part), previous), isNew: false };
  }

  delete(place: Place, name: string, preconditions: Json = {}): KubeObject {
    const previous = this.get(place, name);
    const { uid, resourceVersion } = preconditions;
    if (uid !== undefined && uid !== previous.metadata.uid) {
      throw conflict(
        `Precondition failed: UID in precondition: ${JSON.stringify(uid)}, UID in object meta: ${previous.metadata.uid}`,
      );
    }
    if (resourceVersion !== undefined && resourceVersion !== previous.metadata.resourceVersion) {
      throw conflict(`Precondition failed: ResourceVersion in precondition: ${JSON.stringify(resourceVersion)}`);
    }
    this.#objects.delete(keyOf(place, name));
    const version = ++this.#version;
    const object = { ...previous, metadata: { ...previous.metadata, resourceVersion: String(version) } };
    this.#announce({ version, kind: place.kind, type: 'DELETED', object, previous });
    return object;
  }

  /**
   * Changes after `version`, and then each new one as it happens until the function returned is called.
   *
   * @throws ApiFailure 410 when the history doesn't go back that far.
   */
  follow(version: number, listener: (change: Change) => void): () => void {
    if (version < this.#forgotten) throw expired(`too old resource version: ${version} (${this.#forgotten})`);
    for (const change of this.#history) if (change.version > version) listener(change);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets the history, as compaction and a restarted API server do. */
  compact(): void {
    this.#history = [];
    this.#forgotten = this.#version;
  }

  #accept({ kind, namespace }: Place, body: unknown): { readonly object: Json; readonly metadata: Json } {
    if (!isJson(body)) throw badRequest('the body is not a JSON object');
    const { apiVersion = apiVersionOf(kind), kind: kindName = kind.kind, metadata = {} } = body;
    if (apiVersion !== apiVersionOf(kind) || kindName !== kind.kind) {
      throw badRequest(
        `${String(kindName)} in version ${JSON.stringify(apiVersion)} cannot be handled as a ${kind.kind}: no kind "${String(kindName)}" is registered for this path`,
      );
    }
    if (!isJson(metadata)) throw badRequest('metadata is not an object');
    if (metadata['namespace'] !== undefined && metadata['namespace'] !== '' && metadata['namespace'] !== namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
    return { object: { ...body, apiVersion, kind: kindName }, metadata };
  }

  #commit(place: Place, json: Json, previous: KubeObject | undefined): KubeObject {
    place.kind.validate?.(json);
    const metadata = isJson(json['metadata']) ? json['metadata'] : {};
    if (
      previous !== undefined &&
      isSameJson({ ...json, metadata: { ...metadata, resourceVersion: '' } }, withoutVersion(previous))
    ) {
      return previous;
    }
    const version = ++this.#version;
    const { name, uid, creationTimestamp } = metadata;
    const meta: ObjectMeta = {
      ...metadata,
      name: String(name),
      uid: String(uid),
      creationTimestamp: String(creationTimestamp),
      resourceVersion: String(version),
    };
    const object: KubeObject = { ...json, apiVersion: apiVersionOf(place.kind), kind: place.kind.kind, metadata: meta };
    this.#objects.set(keyOf(place, meta.name), object);
    this.#announce({
      version,
      kind: place.kind,
      type: previous === undefined ? 'ADDED' : 'MODIFIED',
      object,
      previous,
    });
    return object;
  }

  #announce(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > this.#historyMax) this.#forgotten = this.#history.shift()?.version ?? this.#forgotten;
    for (const listener of this.#listeners) listener(change);
  }
}

/** The object to store: what the client may not set comes from the one before. */
function merge(previous: KubeObject, sent: Json, kind: Kind, part: 'object' | 'status'): Json {
  const sentMeta = isJson(sent['metadata']) ? sent['metadata'] : {};
  if (part === 'status') {
    const { labels, annotations } = sentMeta;
    const isTaken = kind.statusTakesMetadata === true;
    const kept = isTaken ? { ...previous.metadata, labels, annotations } : previous.metadata;
    return { ...previous, metadata: kept, status: sent['status'] };
  }
  const { name, namespace, uid, creationTimestamp } = previous.metadata;
  const metadata = { ...sentMeta, name, ...(namespace === undefined ? {} : { namespace }), uid, creationTimestamp };
  const { status: _, ...rest } = sent;
  if (kind.hasStatus !== true) return { ...sent, metadata };
  return { ...rest, metadata, ...(previous['status'] === undefined ? {} : { status: previous['status'] }) };
}

function withoutVersion(object: KubeObject): Json {
  return { ...object, metadata: { ...object.metadata, resourceVersion: '' } };
}

function keyOf({ kind, namespace }: Place, name: string): string {
  return `${qualified(kind)}|${kind.isNamespaced ? namespace : ''}|${name}`;
}

function notFound(kind: Kind, name: string): ApiFailure {
  return new ApiFailure(404, 'NotFound', `${qualified(kind)} "${name}" not found`);
}

/** The real server's words: clients match on the reason, people read the message. */
export function modified(kind: Kind, name: string): ApiFailure {
  return conflict(
    `Operation cannot be fulfilled on ${qualified(kind)} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
  );
}
