/**
 * The watched objects as the plan takes them: decoded, in lists that stay the same value while nothing in them changes. An
 * object that was edited into nonsense keeps what it last said (services/pools/last-good.ts), and its problems are told: a
 * slip in a pool or an advertisement must not take an address from a Service that runs.
 */

import { isDeepStrictEqual } from 'node:util';
import { metadataText, type JsonObject } from '../../base/json.ts';
import { finish, type Steps } from '../../base/steps.ts';
import type { CustomKind, ObjectWatch, WatchedKind } from '../../kube/object-watch.ts';
import { indexEndpoints, replaceSlicesInSteps, type EndpointIndex } from '../../services/endpoints.ts';
import type {
  Advertisement,
  Decoding,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  ObjectProblem,
  ObjectRef,
  Pool,
  ServiceObject,
} from '../../services/model.ts';
import { decodeConfigMap, type ConfigMapObject } from '../../services/objects/config-map.ts';
import { decodeEndpointSlice } from '../../services/objects/endpoint-slice.ts';
import { decodeNamespace } from '../../services/objects/namespace.ts';
import { decodeNode } from '../../services/objects/node.ts';
import { decodeService } from '../../services/objects/service.ts';
import { assemblePools, NO_POOLS, type PoolSources } from '../../services/pools/assemble.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../../services/pools/cilium.ts';
import type { PoolList } from '../../services/pools/environment.ts';
import { readKubeVipPools } from '../../services/pools/kube-vip.ts';
import { nextAdvertisement, nextKubeVipPools, nextPool, type Known } from '../../services/pools/last-good.ts';
import { decodeBgpAdvertisement, decodeIpAddressPool, decodeL2Advertisement } from '../../services/pools/metallb.ts';
import { settlePools, UNSETTLED } from '../../services/pools/settling.ts';
import { UnknownPools } from './unknown-pools.ts';

/** What the watch keeps of each object; see OBJECT_DECODERS. */
export interface ObjectDecodings {
  readonly service: Decoding<ServiceObject>;
  readonly node: Decoding<NodeObject>;
  readonly namespace: Decoding<NamespaceObject>;
  readonly endpointSlice: Decoding<EndpointSliceObject>;
  readonly configMap: Decoding<ConfigMapObject>;
}

export const OBJECT_DECODERS = {
  service: decodeService,
  node: decodeNode,
  namespace: decodeNamespace,
  endpointSlice: decodeEndpointSlice,
  configMap: decodeConfigMap,
} as const;

/**
 * The uid of an object that is watched, which Events are found by; a Node's are found by its name. Kinds whose contents
 * the API server checks itself have none kept.
 */
export function uidOf(watch: WatchedObjects, { kind, key }: ObjectRef): string | undefined {
  if (kind === 'Node') return key;
  if (kind === 'Service') return watch.services.get(key)?.value?.uid;
  if (kind === 'ConfigMap') return watch.configMap?.value?.key === key ? watch.configMap.value.uid : undefined;
  const custom = [...keysOf(POOL_DECODERS), ...keysOf(ADVERTISEMENT_DECODERS)].find((each) => each === kind);
  return custom === undefined ? undefined : metadataText(watch.custom(custom).get(key) ?? {}, 'uid');
}

export type WatchedObjects = Pick<
  ObjectWatch<ObjectDecodings>,
  | 'services'
  | 'nodes'
  | 'namespaces'
  | 'endpointSlices'
  | 'configMap'
  | 'custom'
  | 'isListed'
  | 'isSynced'
  | 'isCurrent'
  | 'expectKinds'
>;

export interface BookedObjects {
  readonly services: readonly ServiceObject[];
  readonly namespaces: readonly NamespaceObject[];
  readonly nodes: readonly NodeObject[];
  readonly endpoints: EndpointIndex;
  readonly pools: readonly Pool[];
  readonly advertisements: readonly Advertisement[];
  /** Of all objects, and of the pools together. */
  readonly problems: readonly ObjectProblem[];
  /** As ObjectWatch has it, when the taking in began: what was seen since may not be in yet. */
  readonly isSynced: boolean;
  readonly isCurrent: boolean;
}

const POOL_DECODERS: Readonly<Partial<Record<CustomKind, (raw: unknown) => Decoding<Pool>>>> = {
  IPAddressPool: decodeIpAddressPool,
  CiliumLoadBalancerIPPool: decodeCiliumPool,
};
const ADVERTISEMENT_DECODERS: Readonly<Partial<Record<CustomKind, (raw: unknown) => Decoding<Advertisement>>>> = {
  L2Advertisement: decodeL2Advertisement,
  BGPAdvertisement: decodeBgpAdvertisement,
  CiliumL2AnnouncementPolicy: decodeCiliumPolicy,
};

type Origin = Advertisement['origin'];

/** Who says where addresses of a pool are answered for on this segment. */
const ADVERTISED_BY: Readonly<Record<Origin, CustomKind>> = {
  metallb: 'L2Advertisement',
  cilium: 'CiliumL2AnnouncementPolicy',
};
const POOLS_OF: Readonly<Record<Origin, CustomKind>> = {
  metallb: 'IPAddressPool',
  cilium: 'CiliumLoadBalancerIPPool',
};

/** Whether there may be pools of it that aren't seen here. */
function isUnseen(watch: WatchedObjects, origin: Origin): boolean {
  return !watch.isListed(POOLS_OF[origin]) || !watch.isListed(ADVERTISED_BY[origin]);
}

const POOL_KINDS = new Set<WatchedKind>([
  'ConfigMap',
  'Node',
  ...keysOf(POOL_DECODERS),
  ...keysOf(ADVERTISEMENT_DECODERS),
]);

/** Everything, at the first call of update. */
export const ALL_KINDS: ReadonlySet<WatchedKind> = new Set<WatchedKind>([
  'Service',
  'Namespace',
  'EndpointSlice',
  ...POOL_KINDS,
]);

/** Objects that are merely looked at between two yields: about a millisecond. */
const LIGHT_STRIDE = 512;

export class ObjectBook {
  booked: BookedObjects;
  /** When update is to be called although nothing happened. */
  wakeAt: number | undefined;
  readonly #environment: PoolList;
  readonly #lists = {
    services: new KeptList<ServiceObject>(),
    nodes: new KeptList<NodeObject>(),
    namespaces: new KeptList<NamespaceObject>(),
  };
  readonly #custom = new Map<CustomKind, CustomList>();
  #kubeVip: PoolList = NO_POOLS;
  #goodKubeVip: ReadonlyMap<string, Pool> = new Map();
  #configMap: ConfigMapObject | undefined;
  #settling = UNSETTLED;
  readonly #unknownPools = new UnknownPools();
  #poolProblems: readonly ObjectProblem[] = [];
  #sliceProblems: readonly ObjectProblem[] = [];

  constructor(environment: PoolList) {
    this.#environment = environment;
    this.booked = {
      services: [],
      namespaces: [],
      nodes: [],
      endpoints: indexEndpoints([]),
      pools: [],
      advertisements: [],
      problems: [],
      isSynced: false,
      isCurrent: false,
    };
  }

  /** All of updateInSteps. */
  update(watch: WatchedObjects, kinds: ReadonlySet<WatchedKind>, now: number): BookedObjects {
    return finish(this.updateInSteps(watch, kinds, now));
  }

  /**
   * Takes in what has changed of these kinds, and has kinds looked for that Services name pools of. `now`: see
   * SettlingInput. What changes between two steps is news for the next call: some of it may be in already.
   */
  *updateInSteps(watch: WatchedObjects, changed: ReadonlySet<WatchedKind>, now: number): Steps<BookedObjects> {
    const { services, nodes, namespaces } = this.#lists;
    const { isSynced, isCurrent } = watch;
    // What completed them is told a little later than it is seen: until then it would be missing.
    const isComplete = (isSynced && !this.booked.isSynced) || (isCurrent && !this.booked.isCurrent);
    const kinds = isComplete ? ALL_KINDS : changed;
    if (kinds.has('Service')) yield* services.update(watch.services);
    if (kinds.has('Node')) yield* nodes.update(watch.nodes);
    if (kinds.has('Namespace')) yield* namespaces.update(watch.namespaces);
    // A slice that came before its Service was no news when it came (object-watch.ts): the Service is.
    const hasSliceNews = kinds.has('EndpointSlice') || kinds.has('Service');
    const endpoints = hasSliceNews ? yield* this.#updateSlices(watch.endpointSlices) : this.booked.endpoints;
    const isDue = isSynced !== this.#settling.isSynced || now >= (this.wakeAt ?? Number.POSITIVE_INFINITY);
    const hasPoolNews = isDue || [...POOL_KINDS].some((kind) => kinds.has(kind));
    const pools = hasPoolNews ? this.#updatePools(watch, kinds, { isSynced, now }) : this.booked;
    this.booked = {
      services: services.values,
      nodes: nodes.values,
      namespaces: namespaces.values,
      endpoints,
      pools: pools.pools,
      advertisements: pools.advertisements,
      problems: this.#allProblems(),
      isSynced,
      isCurrent,
    };
    const isMissing = (origin: Origin): boolean => isUnseen(watch, origin);
    if (isSynced && this.#unknownPools.isNews(services.values, pools.pools, isMissing)) watch.expectKinds();
    return this.booked;
  }

  #allProblems(): readonly ObjectProblem[] {
    const { services, nodes, namespaces } = this.#lists;
    const parts = [services.problems, nodes.problems, namespaces.problems, this.#sliceProblems, this.#poolProblems];
    const all = parts.flat();
    return isDeepStrictEqual(all, this.booked.problems) ? this.booked.problems : all;
  }

  *#updateSlices(slices: ReadonlyMap<string, Decoding<EndpointSliceObject>>): Steps<EndpointIndex> {
    const index = this.booked.endpoints;
    const changes: [string, EndpointSliceObject | undefined][] = [];
    const problems: ObjectProblem[] = [];
    let known = 0;
    let count = 0;
    for (const [key, { value, problems: own }] of slices) {
      if (own.length > 0) problems.push(...own);
      const before = index.slices.get(key);
      if (before !== undefined) known += 1;
      if (value !== undefined && before !== value) changes.push([key, value]);
      count += 1;
      if (count % LIGHT_STRIDE === 0) yield;
    }
    if (known < index.slices.size) {
      for (const key of index.slices.keys()) if (!slices.has(key)) changes.push([key, undefined]);
    }
    this.#sliceProblems = problems;
    yield;
    return changes.length === 0 ? index : yield* replaceSlicesInSteps(index, changes);
  }

  #updatePools(
    watch: WatchedObjects,
    kinds: ReadonlySet<WatchedKind>,
    { isSynced, now }: { readonly isSynced: boolean; readonly now: number },
  ): Pick<BookedObjects, 'pools' | 'advertisements'> {
    const problems: ObjectProblem[] = [];
    if (kinds.has('ConfigMap')) this.#readConfigMap(watch.configMap);
    for (const kind of [...keysOf(POOL_DECODERS), ...keysOf(ADVERTISEMENT_DECODERS)]) {
      if (kinds.has(kind)) this.#customList(kind).update(watch.custom(kind));
    }
    problems.push(...(watch.configMap?.problems ?? []));
    const sources: PoolSources = {
      environment: this.#environment,
      kubeVip: this.#kubeVip,
      pools: keysOf(POOL_DECODERS).flatMap((kind) => this.#customList(kind).pools()),
      advertisements: keysOf(ADVERTISEMENT_DECODERS).flatMap((kind) => this.#customList(kind).advertisements()),
      nodes: this.#lists.nodes.values,
    };
    const assembled = assemblePools(sources);
    this.#poolProblems = [...problems, ...assembled.problems];
    const isListed = (origin: Origin): boolean => watch.isListed(ADVERTISED_BY[origin]);
    const all = { pools: assembled.pools, advertisements: [...assembled.advertisements, ...assembled.unread] };
    const settled = settlePools(this.#settling, { ...all, isListed, isSynced, now });
    this.#settling = settled.state;
    this.wakeAt = settled.wakeAt;
    const { pools, advertisements } = this.booked;
    return {
      pools: isDeepStrictEqual(settled.pools, pools) ? pools : settled.pools,
      advertisements: isDeepStrictEqual(settled.advertisements, advertisements)
        ? advertisements
        : settled.advertisements,
    };
  }

  #readConfigMap(decoding: Decoding<ConfigMapObject> | undefined): void {
    if (decoding !== undefined && decoding.value === undefined) return; // as it last was
    const configMap = decoding?.value;
    if (configMap === this.#configMap) return;
    this.#configMap = configMap;
    const read = configMap === undefined ? NO_POOLS : readKubeVipPools(configMap);
    const { pools, good } = nextKubeVipPools(this.#goodKubeVip, read.pools);
    this.#goodKubeVip = good;
    this.#kubeVip = { ...read, pools };
  }

  #customList(kind: CustomKind): CustomList {
    let list = this.#custom.get(kind);
    if (list === undefined) {
      list = new CustomList(POOL_DECODERS[kind], ADVERTISEMENT_DECODERS[kind]);
      this.#custom.set(kind, list);
    }
    return list;
  }
}

/** Objects of one kind; what became unusable stays as it was. */
class KeptList<T> {
  values: readonly T[] = [];
  problems: readonly ObjectProblem[] = [];
  #byKey = new Map<string, T>();

  *update(decodings: ReadonlyMap<string, Decoding<T>>): Steps<void> {
    const next = new Map<string, T>();
    const problems: ObjectProblem[] = [];
    let isSame = true;
    let count = 0;
    for (const [key, { value, problems: own }] of decodings) {
      const before = this.#byKey.get(key);
      const kept = value ?? before;
      if (kept !== undefined) next.set(key, kept);
      if (kept !== before) isSame = false;
      if (own.length > 0) problems.push(...own);
      count += 1;
      if (count % LIGHT_STRIDE === 0) yield;
    }
    this.problems = problems;
    if (isSame && next.size === this.#byKey.size) return;
    this.#byKey = next;
    this.values = [...next.values()];
    yield;
  }
}

interface Made<T> extends Known<T> {
  readonly raw: JsonObject;
}

class CustomList {
  readonly #pools: DecodedList<Pool>;
  readonly #advertisements: DecodedList<Advertisement>;

  constructor(
    pool: ((raw: unknown) => Decoding<Pool>) | undefined,
    advertisement: ((raw: unknown) => Decoding<Advertisement>) | undefined,
  ) {
    this.#pools = new DecodedList(pool, nextPool);
    this.#advertisements = new DecodedList(advertisement, nextAdvertisement);
  }

  update(raws: ReadonlyMap<string, JsonObject>): void {
    this.#pools.update(raws);
    this.#advertisements.update(raws);
  }

  pools(): readonly Decoding<Pool>[] {
    return this.#pools.decodings;
  }

  advertisements(): readonly Decoding<Advertisement>[] {
    return this.#advertisements.decodings;
  }
}

/** Decodes only what is new; `next` says what becomes of what was good. */
class DecodedList<T> {
  decodings: readonly Decoding<T>[] = [];
  readonly #decode: ((raw: unknown) => Decoding<T>) | undefined;
  readonly #next: (good: T | undefined, decoding: Decoding<T>) => Known<T>;
  #made = new Map<string, Made<T>>();

  constructor(
    decode: ((raw: unknown) => Decoding<T>) | undefined,
    next: (good: T | undefined, decoding: Decoding<T>) => Known<T>,
  ) {
    this.#decode = decode;
    this.#next = next;
  }

  update(raws: ReadonlyMap<string, JsonObject>): void {
    const decode = this.#decode;
    if (decode === undefined) return;
    const next = new Map<string, Made<T>>();
    for (const [key, raw] of raws) {
      const before = this.#made.get(key);
      if (before?.raw === raw) {
        next.set(key, before);
        continue;
      }
      next.set(key, { raw, ...this.#next(before?.good, decode(raw)) });
    }
    this.#made = next;
    this.decodings = Array.from(next.values(), ({ decoding }) => decoding);
  }
}

function keysOf(decoders: Readonly<Partial<Record<CustomKind, unknown>>>): readonly CustomKind[] {
  return Object.keys(decoders) as CustomKind[]; // the keys of a constant
}
