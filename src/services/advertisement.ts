/**
 * Where an address may be answered as far as advertisements say: L2Advertisement (MetalLB) and CiliumL2AnnouncementPolicy.
 *
 * An advertisement covers an address when it selects its pool and the Services on it. Services that share an address never
 * split, so each of them must be covered, though not by the same advertisement; a node, and an interface of it, may answer
 * when for each Service there is an advertisement that allows it. (MetalLB leaves a shared address dark as soon as one of
 * its advertisements has serviceSelectors.) Over the advertisements of one Service: nodeSelectors and interfaces are
 * united, one without interfaces allows all, and preferences are summed over those that select the node.
 *
 * A selector that can't be read selects nothing; what it would have selected is not known (unclearFor).
 *
 * Pools that need no advertisement are covered everywhere; so is an address that no pool holds any more, because a pool
 * that went must not darken a running Service.
 */

import type { Advertisement, Allocation, NodeObject, Pool, Reason, ServiceAddress } from './model.ts';
import { matchesInterface } from './pools/interface-pattern.ts';
import { NOTHING } from './pools/selection.ts';
import { compareNames } from './rendezvous.ts';
import { selectsService } from './scope.ts';
import { matchesSelector } from './selector.ts';

export type Coverage =
  | { readonly kind: 'everywhere' }
  /** One group for each Service on the address, those with the same advertisements as one; none of them empty. */
  | { readonly kind: 'advertised'; readonly groups: readonly (readonly Advertisement[])[] }
  | { readonly kind: 'refused'; readonly reason: Reason };

/** Of an address that needs no advertisement. */
export const EVERYWHERE: Exclude<Coverage, { kind: 'refused' }> = Object.freeze({ kind: 'everywhere' });

/** Advertisements with what has been found out about them; good for one set of advertisements, pools and Services. */
export interface CoverageBook {
  /** By name, each with its place. */
  readonly advertisements: ReadonlyMap<Advertisement, number>;
  readonly protocol: Advertisement['protocol'];
  readonly ofPool: Map<Pool, PoolCoverage>;
  /** By the places of their advertisements: equal coverages are one object, so that others can remember by it. */
  readonly known: Map<string, Coverage>;
}

interface PoolCoverage {
  /** Of the protocol that runs here. */
  readonly own: readonly Advertisement[];
  /** Of BGP where L2 is what runs here. */
  readonly others: readonly Advertisement[];
  /** Of the protocol that runs here, with a selector that can't be read: they cover the pool, or may. */
  readonly unclear: readonly Advertisement[];
  /** What holds for any Service; undefined: it depends on the Service. */
  readonly always: Coverage | undefined;
}

/** `protocol`: which one runs here. */
export function coverageBook(
  advertisements: readonly Advertisement[],
  protocol: Advertisement['protocol'] = 'l2',
): CoverageBook {
  const sorted = advertisements.toSorted((a, b) => compareNames(a.origin, b.origin) || compareNames(a.name, b.name));
  const places = new Map(sorted.map((each, place) => [each, place]));
  return { advertisements: places, protocol, ofPool: new Map(), known: new Map() };
}

/** Which advertisements cover the address. The same object for the same answer. */
export function coverageOf({ pool, allocations }: ServiceAddress, book: CoverageBook): Coverage {
  if (pool?.needsAdvertisement !== true) return EVERYWHERE;
  const found = poolCoverage(pool, book);
  if (found.always !== undefined) return found.always;
  const groups: (readonly Advertisement[])[] = [];
  for (const allocation of allocations) {
    const own = found.own.filter((each) => coversService(each, allocation));
    if (own.length === 0) return { kind: 'refused', reason: serviceRefusal(pool, allocation, found) };
    groups.push(own);
  }
  return intern(groups, book);
}

/**
 * Advertisements that would perhaps cover the address if they could be read. None where one of its Services has neither
 * such a one nor another.
 */
export function unclearFor({ pool, allocations }: ServiceAddress, book: CoverageBook): readonly Advertisement[] {
  if (pool?.needsAdvertisement !== true) return NO_ADVERTISEMENTS;
  const { own, unclear } = poolCoverage(pool, book);
  if (unclear.length === 0) return unclear;
  const all = [...own, ...unclear];
  const isEach = allocations.every((allocation) =>
    all.some((each) => each.serviceSelectors.includes(NOTHING) || coversService(each, allocation)),
  );
  return isEach ? unclear : NO_ADVERTISEMENTS;
}

const NO_ADVERTISEMENTS: readonly Advertisement[] = Object.freeze([]);

function isUnclear({ poolSelectors, nodeSelectors, serviceSelectors }: Advertisement): boolean {
  return [poolSelectors, nodeSelectors, serviceSelectors].some((selectors) => selectors.includes(NOTHING));
}

function mayCoverPool(advertisement: Advertisement, pool: Pool): boolean {
  const isOpen = advertisement.origin === pool.origin && advertisement.poolSelectors.includes(NOTHING);
  return isOpen || coversPool(advertisement, pool);
}

function poolCoverage(pool: Pool, book: CoverageBook): PoolCoverage {
  const known = book.ofPool.get(pool);
  if (known !== undefined) return known;
  const all = [...book.advertisements.keys()].filter((each) => coversPool(each, pool));
  const own = all.filter(({ protocol }) => protocol === book.protocol);
  const others = all.filter(({ protocol }) => protocol !== book.protocol && book.protocol === 'l2');
  const unclear = [...book.advertisements.keys()].filter(
    (each) => each.protocol === book.protocol && isUnclear(each) && mayCoverPool(each, pool),
  );
  const isForAll = own.every(({ serviceSelectors }) => serviceSelectors.length === 0);
  const found = { own, others, unclear, always: isForAll ? coverageByPool(pool, own, others, book) : undefined };
  book.ofPool.set(pool, found);
  return found;
}

function coverageByPool(
  pool: Pool,
  own: readonly Advertisement[],
  others: readonly Advertisement[],
  book: CoverageBook,
): Coverage {
  return own.length > 0 ? intern([own], book) : { kind: 'refused', reason: poolRefusal(pool, others) };
}

/** By name or by label; an advertisement that says nothing of pools covers all of its origin. */
function coversPool({ origin, poolNames, poolSelectors }: Advertisement, pool: Pool): boolean {
  if (origin !== pool.origin) return false;
  if (poolNames.length === 0 && poolSelectors.length === 0) return true;
  return poolNames.includes(pool.shortName) || poolSelectors.some((selector) => matchesSelector(selector, pool.labels));
}

function coversService(advertisement: Advertisement, { service }: Allocation): boolean {
  return selectsService(advertisement.serviceSelectors, service);
}

function poolRefusal(pool: Pool, others: readonly Advertisement[]): Reason {
  if (others.length > 0) {
    return {
      pool: pool.name,
      code: 'ADVERTISEMENT_NOT_L2',
      message: `pool ${pool.name} is advertised by ${namesOf(others)} only, which is not for this segment`,
    };
  }
  return { pool: pool.name, code: 'NO_ADVERTISEMENT', message: `no advertisement covers pool ${pool.name}` };
}

function serviceRefusal(pool: Pool, allocation: Allocation, { own, others }: PoolCoverage): Reason {
  const { key } = allocation.service;
  const foreign = others.filter((each) => coversService(each, allocation));
  if (foreign.length > 0) {
    return {
      pool: pool.name,
      code: 'ADVERTISEMENT_NOT_L2',
      message: `Service ${key} is advertised by ${namesOf(foreign)} only, which is not for this segment`,
    };
  }
  return {
    pool: pool.name,
    code: 'NO_ADVERTISEMENT',
    message: `no advertisement of pool ${pool.name} covers Service ${key}: ${namesOf(own)} is for other Services`,
  };
}

function intern(groups: readonly (readonly Advertisement[])[], book: CoverageBook): Coverage {
  const byKey = new Map<string, readonly Advertisement[]>();
  for (const group of groups) byKey.set(group.map((each) => book.advertisements.get(each)).join(','), group);
  const key = [...byKey.keys()].sort().join(';');
  const known = book.known.get(key);
  if (known !== undefined) return known;
  const coverage: Coverage = { kind: 'advertised', groups: [...byKey.values()] };
  book.known.set(key, coverage);
  return coverage;
}

/** Interfaces that are allowed, and by which advertisements. */
export interface InterfaceRule {
  readonly names: readonly string[];
  readonly patterns: readonly string[];
  readonly from: string;
}

/** What a coverage says of one node. */
export type NodeCoverage =
  | {
      readonly kind: 'selected';
      readonly preference: number;
      /** All must allow an interface; none: any will do. */
      readonly rules: readonly InterfaceRule[];
    }
  | { readonly kind: 'refused'; readonly message: string };

const ANY_NODE: NodeCoverage = Object.freeze({ kind: 'selected', preference: 0, rules: [] });

/** Of coverages that aren't refused. */
export function coverageOnNode(coverage: Exclude<Coverage, { kind: 'refused' }>, node: NodeObject): NodeCoverage {
  if (coverage.kind === 'everywhere') return ANY_NODE;
  const selecting = new Set<Advertisement>();
  const rules: InterfaceRule[] = [];
  for (const group of coverage.groups) {
    const own = group.filter((each) => selectsNode(each, node));
    if (own.length === 0) return { kind: 'refused', message: `is not selected by ${namesOf(group)}` };
    for (const each of own) selecting.add(each);
    if (!own.some(allowsAnyInterface)) rules.push(ruleOf(own));
  }
  let preference = 0;
  for (const { preferredNodes } of selecting) {
    for (const { weight, selector } of preferredNodes) if (matchesSelector(selector, node.labels)) preference += weight;
  }
  return { kind: 'selected', preference, rules };
}

export function allowsInterface({ names, patterns }: InterfaceRule, name: string): boolean {
  return names.includes(name) || patterns.some((pattern) => matchesInterface(pattern, name));
}

function selectsNode({ nodeSelectors }: Advertisement, { labels }: NodeObject): boolean {
  return nodeSelectors.length === 0 || nodeSelectors.some((selector) => matchesSelector(selector, labels));
}

function allowsAnyInterface({ interfaceNames, interfacePatterns }: Advertisement): boolean {
  return interfaceNames.length === 0 && interfacePatterns.length === 0;
}

function ruleOf(advertisements: readonly Advertisement[]): InterfaceRule {
  return {
    names: [...new Set(advertisements.flatMap(({ interfaceNames }) => interfaceNames))],
    patterns: [...new Set(advertisements.flatMap(({ interfacePatterns }) => interfacePatterns))],
    from: namesOf(advertisements),
  };
}

const NAMES_SHOWN_MAX = 3;

/** More are counted, not named. */
export function namesOf(advertisements: readonly Advertisement[]): string {
  const shown = advertisements.slice(0, NAMES_SHOWN_MAX).map(({ object }) => `${object.kind} ${object.key}`);
  const more = advertisements.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}
