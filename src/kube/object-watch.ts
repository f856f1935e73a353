/**
 * Every object that decides about Services: Services of type LoadBalancer, Nodes, Namespaces, EndpointSlices, kube-vip's
 * ConfigMap and, where their definitions are installed, the pools and advertisements of MetalLB and Cilium. One watch for
 * each kind and nothing else while the cluster is quiet, but a look at what is installed about once a minute (discovery.ts).
 *
 *     discovery ──served──▶ custom collections ─┐
 *                          built-in collections ┴─▶ gathered for 20 ms ──▶ onChange(kinds)
 *
 * Objects are decoded by whoever asks (`decode`): this room knows their paths, not their meaning. An API that is away
 * leaves everything as it was last seen; a kind that may not be read is told once and stands in nobody's way.
 */

import type { HoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { ApiFailure } from './api-result.ts';
import type { ApiClient } from './client.ts';
import { followDiscovery, type Discovery, type ServedResources } from './discovery.ts';
import type { Log } from './log.ts';
import {
  FORBIDDEN_AFTER_MS,
  openCollection,
  type CollectionOptions,
  type ObjectCollection,
} from './object-collection.ts';
import { isLoadBalancer, isMarked, pruneCustom, serviceOfSlice, SlicePruner } from './object-pruning.ts';

export const CUSTOM_KINDS = {
  IPAddressPool: { resource: 'ipaddresspools', groupVersions: ['metallb.io/v1beta1'] },
  L2Advertisement: { resource: 'l2advertisements', groupVersions: ['metallb.io/v1beta1'] },
  BGPAdvertisement: { resource: 'bgpadvertisements', groupVersions: ['metallb.io/v1beta1'] },
  CiliumLoadBalancerIPPool: {
    resource: 'ciliumloadbalancerippools',
    groupVersions: ['cilium.io/v2', 'cilium.io/v2alpha1'],
  },
  CiliumL2AnnouncementPolicy: {
    resource: 'ciliuml2announcementpolicies',
    groupVersions: ['cilium.io/v2', 'cilium.io/v2alpha1'],
  },
} as const;

export type CustomKind = keyof typeof CUSTOM_KINDS;
export type BuiltInKind = 'Service' | 'Node' | 'Namespace' | 'EndpointSlice' | 'ConfigMap';
export type WatchedKind = BuiltInKind | CustomKind;

/** What the objects of each kind are kept as. */
export interface DecodedKinds {
  readonly service: unknown;
  readonly node: unknown;
  readonly namespace: unknown;
  readonly endpointSlice: unknown;
  readonly configMap: unknown;
}

export interface ObjectWatchOptions<T extends DecodedKinds> {
  readonly client: ApiClient;
  /** Services and EndpointSlices of this namespace only; '' = all. */
  readonly namespace: string;
  /** kube-vip's ConfigMap of pools. */
  readonly configMap: { readonly namespace: string; readonly name: string };
  /** Must not throw. undefined: it is kept as little as if it didn't exist. */
  readonly decode: { readonly [Kind in keyof T]: (raw: JsonObject) => T[Kind] | undefined };
  readonly log: Log;
  /** Of each call, ms. */
  readonly deadlineMs: number;
  /** At most once in BATCH_MS: objects of these kinds, or whether they are complete, have changed. */
  readonly onChange: (kinds: ReadonlySet<WatchedKind>) => void;
  /** See DiscoveryOptions. */
  readonly discoveryIntervalMs?: number;
  /** See CollectionOptions. */
  readonly forbiddenAfterMs?: number;
}

export interface KindStatus {
  readonly kind: WatchedKind;
  readonly count: number;
  readonly isCurrent: boolean;
  readonly problem: HoldfastError | undefined;
}

export interface ObjectWatch<T extends DecodedKinds> {
  /** Those of type LoadBalancer, and those that were and have our word in their status; by namespace/name. */
  readonly services: ReadonlyMap<string, T['service']>;
  readonly nodes: ReadonlyMap<string, T['node']>;
  readonly namespaces: ReadonlyMap<string, T['namespace']>;
  readonly endpointSlices: ReadonlyMap<string, T['endpointSlice']>;
  /** undefined: there is none. */
  readonly configMap: T['configMap'] | undefined;
  /** Pruned JSON (object-pruning.ts), by namespace/name or name; empty where the kind isn't installed, or not listed yet. */
  custom(kind: CustomKind): ReadonlyMap<string, JsonObject>;
  /** Whether all objects of the kind are seen, or may not be: what there is none of, there is none of. */
  isListed(kind: CustomKind): boolean;
  /** All that exists has been seen once, and stays seen; kinds that may not be read don't count, but for Services. */
  readonly isSynced: boolean;
  /** Beyond that, nothing says that any of it is out of date. New addresses are given only while it is. */
  readonly isCurrent: boolean;
  readonly kinds: readonly KindStatus[];
  /** Something names an object of a kind that isn't seen here: looks whether it is installed. */
  expectKinds(): void;
  /** Resolves after stop(); rejects with what decode or onChange threw. */
  readonly done: Promise<void>;
  stop(): void;
}

/** Changes are gathered for this long. */
export const BATCH_MS = 20;

const NONE: ReadonlyMap<string, never> = new Map<string, never>();

export function watchServiceObjects<T extends DecodedKinds>(options: ObjectWatchOptions<T>): ObjectWatch<T> {
  return new GatheredWatch(options);
}

class GatheredWatch<T extends DecodedKinds> implements ObjectWatch<T> {
  readonly done: Promise<void>;
  readonly #options: ObjectWatchOptions<T>;
  readonly #services: ObjectCollection<T['service']>;
  readonly #nodes: ObjectCollection<T['node']>;
  readonly #namespaces: ObjectCollection<T['namespace']>;
  readonly #endpointSlices: ObjectCollection<T['endpointSlice']>;
  readonly #configMaps: ObjectCollection<T['configMap']>;
  readonly #custom = new Map<CustomKind, CustomCollection>();
  readonly #discovery: Discovery;
  readonly #changed = new Set<WatchedKind>();
  #finish: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What is installed is known, or may not be known. */
  #isDiscovered = false;
  /** Of discoveries that were refused without an answer in between. */
  #refusedSince: number | undefined;
  #hasSynced = false;
  #isStopped = false;

  constructor(options: ObjectWatchOptions<T>) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    const { decode, configMap } = options;
    const within = options.namespace === '' ? '' : `namespaces/${encodeURIComponent(options.namespace)}/`;
    const pruner = new SlicePruner();
    this.#services = this.#open('Service', `/api/v1/${within}services`, {
      decode: (raw) => (isLoadBalancer(raw) || isMarked(raw) ? decode.service(raw) : undefined),
    });
    this.#nodes = this.#open('Node', '/api/v1/nodes', { decode: decode.node });
    this.#namespaces = this.#open('Namespace', '/api/v1/namespaces', { decode: decode.namespace });
    this.#endpointSlices = this.#open('EndpointSlice', `/apis/discovery.k8s.io/v1/${within}endpointslices`, {
      decode: (raw) => decode.endpointSlice(pruner.prune(raw)),
      // The slice may come before its Service: then the Service is the news.
      isRelevant: (raw) => this.services.has(serviceOfSlice(raw) ?? ''),
    });
    const configMaps = `/api/v1/namespaces/${encodeURIComponent(configMap.namespace)}/configmaps`;
    this.#configMaps = this.#open('ConfigMap', configMaps, { name: configMap.name, decode: decode.configMap });
    this.#discovery = followDiscovery({
      client: options.client,
      wanted: Object.values(CUSTOM_KINDS),
      deadlineMs: options.deadlineMs,
      ...(options.discoveryIntervalMs === undefined ? {} : { intervalMs: options.discoveryIntervalMs }),
      onServed: (served) => this.#adopt(served),
      onFailure: (failure) => this.#undiscovered(failure),
    });
  }

  get services(): ReadonlyMap<string, T['service']> {
    return this.#services.items;
  }

  get nodes(): ReadonlyMap<string, T['node']> {
    return this.#nodes.items;
  }

  get namespaces(): ReadonlyMap<string, T['namespace']> {
    return this.#namespaces.items;
  }

  get endpointSlices(): ReadonlyMap<string, T['endpointSlice']> {
    return this.#endpointSlices.items;
  }

  get configMap(): T['configMap'] | undefined {
    const [found] = this.#configMaps.items.values();
    return found;
  }

  custom(kind: CustomKind): ReadonlyMap<string, JsonObject> {
    const custom = this.#custom.get(kind);
    return custom !== undefined && hasList(custom) ? custom.collection.items : NONE;
  }

  isListed(kind: CustomKind): boolean {
    const custom = this.#custom.get(kind);
    return custom !== undefined && (hasList(custom) || custom.collection.problem !== undefined);
  }

  get isSynced(): boolean {
    this.#hasSynced ||=
      this.#isDiscovered &&
      this.#services.hasSynced &&
      this.#collections().every(([, { hasSynced, problem }]) => hasSynced || problem !== undefined);
    return this.#hasSynced;
  }

  get isCurrent(): boolean {
    if (!this.isSynced || !this.#services.isCurrent) return false;
    return this.#collections().every(([, { isCurrent, problem }]) => isCurrent || problem !== undefined);
  }

  get kinds(): readonly KindStatus[] {
    return this.#collections().map(([kind, { items, isCurrent, problem }]) => ({
      kind,
      count: items.size,
      isCurrent,
      problem,
    }));
  }

  expectKinds(): void {
    this.#discovery.expect();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#discovery.stop();
    for (const [, collection] of this.#collections()) collection.stop();
    this.#finish();
  }

  #collections(): readonly (readonly [WatchedKind, ObjectCollection<unknown>])[] {
    return [
      ['Service', this.#services],
      ['Node', this.#nodes],
      ['Namespace', this.#namespaces],
      ['EndpointSlice', this.#endpointSlices],
      ['ConfigMap', this.#configMaps],
      ...[...this.#custom].map(([kind, { collection }]) => [kind, collection] as const),
    ];
  }

  #open<Kept>(
    kind: WatchedKind,
    path: string,
    options: Pick<CollectionOptions<Kept>, 'name' | 'decode' | 'isRelevant' | 'onAbsent' | 'seed'>,
  ): ObjectCollection<Kept> {
    const { client, log, forbiddenAfterMs = FORBIDDEN_AFTER_MS } = this.#options;
    const collection = openCollection({
      ...options,
      forbiddenAfterMs,
      client,
      path,
      log,
      onChange: () => this.#gather(kind),
      onRecovered: () => this.#discovery.check(),
    });
    collection.done.catch((error: unknown) => this.#fail(error));
    return collection;
  }

  #gather(kind: WatchedKind): void {
    if (this.#isStopped) return;
    this.#changed.add(kind);
    this.#timer ??= setTimeout(() => this.#tell(), BATCH_MS);
  }

  #tell(): void {
    this.#timer = undefined;
    const kinds = new Set(this.#changed);
    this.#changed.clear();
    try {
      this.#options.onChange(kinds);
    } catch (error) {
      this.#fail(error);
    }
  }

  #adopt(served: ServedResources): void {
    const isFirst = !this.#isDiscovered;
    this.#refusedSince = undefined;
    this.#isDiscovered = true;
    for (const kind of customKinds()) this.#follow(kind, served.get(CUSTOM_KINDS[kind].resource));
    if (isFirst) this.#gather('Service');
  }

  /** Watches the kind in this version, or, undefined, no longer. Objects are kept while another version is being read. */
  #follow(kind: CustomKind, groupVersion: string | undefined): void {
    const before = this.#custom.get(kind);
    if (before?.groupVersion === groupVersion) return;
    const { log } = this.#options;
    before?.collection.stop();
    this.#custom.delete(kind);
    const what = { kind, from: before?.groupVersion, to: groupVersion };
    if (groupVersion === undefined) {
      log('info', 'a kind of objects is no longer installed', what);
      this.#gather(kind);
      return;
    }
    log('info', 'a kind of objects is installed', what);
    const collection = this.#open(kind, `/apis/${groupVersion}/${CUSTOM_KINDS[kind].resource}`, {
      decode: (raw) => pruneCustom(raw, groupVersion, kind),
      onAbsent: () => this.#discovery.check(),
      ...(before === undefined ? {} : { seed: before.collection.items }),
    });
    this.#custom.set(kind, { groupVersion, collection, isSeeded: before !== undefined && hasList(before) });
  }

  #undiscovered(failure: ApiFailure): void {
    const now = performance.now();
    if (failure.failure === 'forbidden') this.#refusedSince ??= now;
    else this.#refusedSince = undefined;
    const { forbiddenAfterMs = FORBIDDEN_AFTER_MS } = this.#options;
    const isRefused = this.#refusedSince !== undefined && now - this.#refusedSince >= forbiddenAfterMs;
    if (!isRefused || this.#isDiscovered) return;
    this.#isDiscovered = true;
    const { code, message: reason } = failure;
    this.#options.log('warn', 'pools of metallb and cilium are not looked for: discovery is refused', { code, reason });
    this.#gather('Service');
  }
}

interface CustomCollection {
  readonly groupVersion: string;
  readonly collection: ObjectCollection<JsonObject>;
  /** It began with a complete list of another version. */
  readonly isSeeded: boolean;
}

function hasList({ collection, isSeeded }: CustomCollection): boolean {
  return collection.hasSynced || isSeeded;
}

function customKinds(): readonly CustomKind[] {
  return Object.keys(CUSTOM_KINDS) as CustomKind[]; // the keys of a constant
}
