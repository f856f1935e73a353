/**
 * The pools in the order in which they are tried, and which of them hold an address.
 *
 * Order (MetalLB §1.2 steps 6 and 7, made deterministic): first the pools that are for certain namespaces or Services, by
 * priority, then name; then those for everybody, by priority, origin, name. Priority 1 is first, 0 last.
 */

import type { Family, Ip } from '../../base/ip.ts';
import { compareIps } from '../address-range.ts';
import type { AddressRange, Pool, PoolOrigin } from '../model.ts';

interface Span {
  readonly range: AddressRange;
  readonly pool: Pool;
  /** Place of the pool in the order. */
  readonly place: number;
  /** The greatest last address of this and all spans before it. */
  readonly reach: Ip;
}

export interface PoolBook {
  readonly ordered: readonly Pool[];
  /** By both names of a pool, in order. */
  readonly byName: ReadonlyMap<string, readonly Pool[]>;
  /** Pools of certain namespaces only; there may be one for each. */
  readonly byNamespace: ReadonlyMap<string, readonly Pool[]>;
  /** The others, some of which may not be for the namespace either. */
  readonly elsewhere: readonly Pool[];
  readonly places: ReadonlyMap<Pool, number>;
  /** Of a namespace: the two together, in order, as they are asked for. */
  readonly ofNamespace: Map<string, readonly Pool[]>;
  /** Of a namespace: those that are told of when there are too many. */
  readonly nearest: Map<string, readonly Pool[]>;
  readonly spans: Readonly<Record<Family, readonly Span[]>>;
}

const ORIGINS: Readonly<Record<PoolOrigin, number>> = { environment: 0, 'kube-vip': 1, metallb: 2, cilium: 3 };

const memo: WeakMap<readonly Pool[], PoolBook> = new WeakMap();

export function poolBook(pools: readonly Pool[]): PoolBook {
  const known = memo.get(pools);
  if (known !== undefined) return known;
  const ordered = pools.toSorted(comparePools);
  const byName = new Map<string, Pool[]>();
  const byNamespace = new Map<string, Pool[]>();
  const elsewhere: Pool[] = [];
  for (const pool of ordered) {
    for (const name of new Set([pool.shortName, pool.name])) append(byName, name, pool);
    const { namespaces, namespaceSelectors } = pool.scope;
    if (namespaces === undefined || namespaceSelectors.length > 0) elsewhere.push(pool);
    else for (const namespace of new Set(namespaces)) append(byNamespace, namespace, pool);
  }
  const book: PoolBook = {
    ordered,
    byName,
    byNamespace,
    elsewhere,
    places: new Map(ordered.map((pool, place) => [pool, place])),
    ofNamespace: new Map(),
    nearest: new Map(),
    spans: { ipv4: spansOf(ordered, 'ipv4'), ipv6: spansOf(ordered, 'ipv6') },
  };
  memo.set(pools, book);
  return book;
}

function append(lists: Map<string, Pool[]>, name: string, pool: Pool): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [pool]);
  else list.push(pool);
}

/** In order, without those that name other namespaces. */
export function poolsOfNamespace(book: PoolBook, namespace: string): readonly Pool[] {
  const own = book.byNamespace.get(namespace);
  if (own === undefined) return book.elsewhere;
  const known = book.ofNamespace.get(namespace);
  if (known !== undefined) return known;
  const pools = inOrder(book, [...own, ...book.elsewhere]);
  book.ofNamespace.set(namespace, pools);
  return pools;
}

/** So many pools, in order: those that name other namespaces only if there is room left. */
export function nearestPools(book: PoolBook, namespace: string, count: number): readonly Pool[] {
  const known = book.nearest.get(namespace);
  if (known !== undefined) return known;
  const near = poolsOfNamespace(book, namespace).slice(0, count);
  const isNear = new Set(near);
  const others = book.ordered.filter((pool) => !isNear.has(pool)).slice(0, count - near.length);
  const pools = inOrder(book, [...near, ...others]);
  book.nearest.set(namespace, pools);
  return pools;
}

function inOrder({ places }: PoolBook, pools: readonly Pool[]): readonly Pool[] {
  return pools.toSorted((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0));
}

/** Every pool that has the address in a range of it, in the order of pools. */
export function poolsHolding(book: PoolBook, ip: Ip): readonly Pool[] {
  const spans = book.spans[ip.family];
  const found: Span[] = [];
  for (let index = lastBeginning(spans, ip); index >= 0; index--) {
    const span = spans[index];
    if (span === undefined || compareIps(span.reach, ip) < 0) break;
    if (compareIps(ip, span.range.last) <= 0) found.push(span);
  }
  if (found.length > 1) found.sort((a, b) => a.place - b.place);
  return found.map(({ pool }) => pool);
}

/** By the object's own name, or by the name people are told. */
export function isCalled(pool: Pool, name: string): boolean {
  return pool.shortName === name || pool.name === name;
}

function comparePools(a: Pool, b: Pool): number {
  const pinned = Number(isPinned(b)) - Number(isPinned(a));
  if (pinned !== 0) return pinned;
  const priority = rank(a) - rank(b);
  if (priority !== 0) return priority;
  const origin = isPinned(a) ? 0 : ORIGINS[a.origin] - ORIGINS[b.origin];
  return origin !== 0 ? origin : compareTexts(a.name, b.name);
}

export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** For certain namespaces or Services, and not only for those that have nothing of their own. */
function isPinned({ scope }: Pool): boolean {
  return scope.namespaces !== undefined || scope.namespaceSelectors.length > 0 || scope.serviceSelectors.length > 0;
}

function rank({ priority }: Pool): number {
  return priority > 0 ? priority : Number.MAX_SAFE_INTEGER;
}

function spansOf(ordered: readonly Pool[], family: Family): readonly Span[] {
  const spans = ordered.flatMap((pool, place) =>
    pool.ranges.filter(({ first }) => first.family === family).map((range) => ({ range, pool, place })),
  );
  spans.sort((a, b) => compareIps(a.range.first, b.range.first) || a.place - b.place);
  let reach: Ip | undefined;
  return spans.map((span) => {
    if (reach === undefined || compareIps(span.range.last, reach) > 0) reach = span.range.last;
    return { ...span, reach };
  });
}

/** The place of the last span that begins at or before `ip`; -1: none does. */
function lastBeginning(spans: readonly Span[], ip: Ip): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const span = spans[middle];
    if (span !== undefined && compareIps(span.range.first, ip) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
