/**
 * The pools of all sources as one list: environment, kube-vip, MetalLB, Cilium; within each by creation, then name, and
 * what has no creation yet last.
 *
 * Two pools with addresses in common are a soft conflict, as in Cilium: the earlier one is as it was, the later one is closed
 * until it is resolved. It keeps what it gave (Services that run on it must lose nothing: not their address, nor the
 * advertisement and interface that their pool decides) and gives nothing new. Closed pools give nothing, so they are in
 * nobody's way and yield nothing.
 *
 * Within kube-vip's ConfigMap it is no conflict: its keys say which namespace may have what, cidr-shop may well be a part of
 * cidr-global, and both give what is free. (kube-vip counts each by itself and gives an address twice; here an address is
 * given once, whichever pools hold it.) Of two pools of `svc_pools` the later one yields the common part and goes on giving
 * the rest; the common part stays as a closed pool of its own, `<name> (conflict)`, with everything else as it was.
 */

import { formatRange } from '../address-range.ts';
import { compareCreation } from '../creation.ts';
import type { Advertisement, Decoding, NodeObject, ObjectProblem, ObjectRef, Pool, PoolClosure } from '../model.ts';
import { addToIndex, ownedParts, type Indexed } from '../range-index.ts';
import { advertisementProblems } from './advertisement-rules.ts';
import { SVC_POOLS_REF, type PoolList } from './environment.ts';
import { closePool } from './pool.ts';
import { problemOf } from './report.ts';
import { NOTHING } from './selection.ts';

/** Other pools that are told of one; how many more there are is told with the last. */
const CONFLICTS_TOLD_MAX = 8;

export interface PoolSources {
  /** parseSvcPools. */
  readonly environment: PoolList;
  /** readKubeVipPools. */
  readonly kubeVip: PoolList;
  /** decodeIpAddressPool and decodeCiliumPool, in any order. */
  readonly pools: readonly Decoding<Pool>[];
  /** decodeL2Advertisement, decodeBgpAdvertisement and decodeCiliumPolicy, in any order. */
  readonly advertisements: readonly Decoding<Advertisement>[];
  readonly nodes: readonly NodeObject[];
}

export interface AssembledPools {
  readonly pools: readonly Pool[];
  readonly advertisements: readonly Advertisement[];
  /** Those of which nothing can be used, as what selects nothing: for who answers they count as well (advertisement.ts). */
  readonly unread: readonly Advertisement[];
  /** Those of the sources, and those that only show when all is seen together. */
  readonly problems: readonly ObjectProblem[];
}

export const NO_POOLS: PoolList = Object.freeze({ pools: [], problems: [] });

export const NO_SOURCES: PoolSources = Object.freeze({
  environment: NO_POOLS,
  kubeVip: NO_POOLS,
  pools: [],
  advertisements: [],
  nodes: [],
});

export function assemblePools(sources: PoolSources): AssembledPools {
  const { environment, kubeVip, nodes } = sources;
  const problems: ObjectProblem[] = [
    ...environment.problems,
    ...kubeVip.problems,
    ...sources.pools.flatMap((decoding) => decoding.problems),
    ...sources.advertisements.flatMap((decoding) => decoding.problems),
  ];
  const decoded = sources.pools.flatMap(({ value }) => value ?? []).toSorted(byCreation);
  const named = nameApart(
    [
      ...environment.pools,
      ...kubeVip.pools,
      ...decoded.filter(({ origin }) => origin === 'metallb'),
      ...decoded.filter(({ origin }) => origin === 'cilium'),
    ],
    problems,
  );
  const pools = settleConflicts(named, problems);
  const advertisements = sources.advertisements.flatMap(({ value }) => value ?? []).toSorted(byCreation);
  const unread = sources.advertisements.flatMap((decoding) => unreadable(decoding) ?? []).toSorted(byCreation);
  problems.push(...advertisementProblems(advertisements, named, nodes));
  return { pools, advertisements, unread, problems };
}

const ORIGINS: Readonly<Record<string, Advertisement['origin']>> = {
  L2Advertisement: 'metallb',
  CiliumL2AnnouncementPolicy: 'cilium',
};
const NOTHING_ONLY = Object.freeze([NOTHING]);
const NO_LIST: readonly never[] = Object.freeze([]);

/** It selects nothing, and nobody knows what it should (advertisement.ts, unclearFor). */
function unreadable({ value, isVoid, problems }: Decoding<Advertisement>): Advertisement | undefined {
  const object = problems.at(0)?.object;
  const origin = ORIGINS[object?.kind ?? ''];
  if (value !== undefined || isVoid === true || object === undefined || origin === undefined) return undefined;
  return {
    name: object.key,
    object,
    origin,
    protocol: 'l2',
    poolNames: NO_LIST,
    poolSelectors: NOTHING_ONLY,
    nodeSelectors: NOTHING_ONLY,
    serviceSelectors: NOTHING_ONLY,
    interfaceNames: NO_LIST,
    interfacePatterns: NO_LIST,
    preferredNodes: NO_LIST,
  };
}

function byCreation(
  a: { readonly createdAt?: string; readonly object?: ObjectRef | undefined },
  b: { readonly createdAt?: string; readonly object?: ObjectRef | undefined },
): number {
  const order = compareCreation(a.createdAt, b.createdAt);
  if (order !== 0) return order;
  const [name, other] = [a.object?.key ?? '', b.object?.key ?? ''];
  return name < other ? -1 : Number(name > other);
}

/**
 * Pools of one name in two namespaces, which MetalLB doesn't know: it reads its own namespace only. The later one is called
 * by its namespace as well; who asks for the name may get either.
 */
function nameApart(pools: readonly Pool[], problems: ObjectProblem[]): readonly Pool[] {
  const earlier = new Map<string, Pool>();
  return pools.map((pool) => {
    const namesake = earlier.get(pool.name);
    if (namesake === undefined) {
      earlier.set(pool.name, pool);
      return pool;
    }
    const object = pool.object ?? SVC_POOLS_REF;
    const message = `${describe(namesake)} has the same name: a Service that asks for ${pool.shortName} may get either`;
    problems.push(problemOf(object, 'OBJECT_INVALID', message, { field: 'metadata.name' }));
    let name = `${pool.origin}/${object.key}`;
    for (let count = 2; earlier.has(name); count++) name = `${pool.origin}/${object.key}-${count}`;
    earlier.set(name, pool);
    return { ...pool, name };
  });
}

function settleConflicts(pools: readonly Pool[], problems: ObjectProblem[]): readonly Pool[] {
  const index: Indexed<Pool>[] = [];
  return pools.flatMap((pool): readonly Pool[] => {
    if (pool.isClosed) return [pool];
    const common = pool.ranges.flatMap((range) => ownedParts(index, range));
    const foreign = common.filter(({ owner }) => sourceOf(owner) !== sourceOf(pool));
    if (foreign.length > 0) {
      const conflicts = conflictProblems(pool, foreign, ', and the later pool gives nothing new');
      problems.push(...conflicts.map(({ problem }) => problem));
      const [first] = conflicts;
      return [first === undefined ? pool : closePool(pool, first.closure)];
    }
    const ranges = addToIndex(index, pool.ranges, pool);
    if (common.length === 0 || pool.origin === 'kube-vip') return [pool];
    const conflicts = conflictProblems(pool, common, '');
    problems.push(...conflicts.map(({ problem }) => problem));
    const closure = conflicts[0]?.closure ?? { code: 'POOL_CONFLICT', message: 'in conflict with another' };
    if (ranges.length === 0) return [closePool(pool, closure)];
    const yielded = common.map(({ first, last }) => ({ first, last }));
    return [{ ...pool, ranges }, closePool({ ...pool, name: `${pool.name} (conflict)`, ranges: yielded }, closure)];
  });
}

/** Pools out of one object have the same. */
function sourceOf({ origin, object }: Pool): string {
  return `${origin}/${object?.key ?? ''}`;
}

interface Conflict {
  readonly problem: ObjectProblem;
  readonly closure: PoolClosure;
}

/** One for each other pool. `besides`: what else follows from it. */
function conflictProblems(pool: Pool, common: readonly Indexed<Pool>[], besides: string): readonly Conflict[] {
  const byOwner = new Map<Pool, Indexed<Pool>[]>();
  for (const part of common) {
    const parts = byOwner.get(part.owner);
    if (parts === undefined) byOwner.set(part.owner, [part]);
    else parts.push(part);
  }
  const owners = Array.from(byOwner).slice(0, CONFLICTS_TOLD_MAX);
  const untold = byOwner.size - owners.length;
  return owners.map(([owner, [part, ...more]], index) => {
    const range = part === undefined ? '' : formatRange(part);
    const others = more.length > 0 ? ` (and ${more.length} more ranges)` : '';
    const rest = untold > 0 && index === owners.length - 1 ? `; ${untold} more pools are in conflict with it` : '';
    const message = `${range}${others} of the pool ${pool.name} is in ${owner.name} as well, which alone gives it${besides}${rest}`;
    const context = { range, object: describe(pool), other: describe(owner), besides };
    return {
      problem: problemOf(pool.object ?? SVC_POOLS_REF, 'POOL_CONFLICT', message, context),
      closure: { code: 'POOL_CONFLICT', message: `${range}${others} is in ${owner.name} as well`, context },
    };
  });
}

/** The object to be edited; of kube-vip and the environment, where in it. */
function describe({ object, origin, name, shortName }: Pool): string {
  if (object === undefined) return name;
  const text = `${object.kind} ${object.key}`;
  return origin === 'kube-vip' ? `${shortName} of ${text}` : text;
}
