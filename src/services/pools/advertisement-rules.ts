/**
 * Rules between advertisements, pools and nodes that MetalLB's webhook checks (reference §1.8) and that can't be seen in
 * one object alone: pools that are named but don't exist, aggregation to more than the pool has, and BGP advertisements
 * that give one route two preferences. Nothing is disabled for them: they are told on the advertisement.
 */

import { formatRange, rangePrefixes } from '../address-range.ts';
import type { Advertisement, AddressRange, BgpTerms, NodeObject, ObjectProblem, Pool } from '../model.ts';
import { matchesSelector } from '../selector.ts';
import { problemOf } from './report.ts';

/** BGP advertisements of one pool that are compared with one another; of more the first are. */
const COMPARED_MAX = 100;
/** Names of pools that are shown as a choice. */
const SHOWN_MAX = 10;

type BgpAdvertisement = Advertisement & { readonly bgp: BgpTerms };

/** Whether the advertisement is for addresses of the pool: by name or label, or it names neither and is for all of its kind. */
export function advertisesPool(advertisement: Advertisement, pool: Pool): boolean {
  const { poolNames, poolSelectors } = advertisement;
  if (advertisement.origin !== pool.origin) return false;
  if (poolNames.length === 0 && poolSelectors.length === 0) return true;
  return poolNames.includes(pool.shortName) || poolSelectors.some((selector) => matchesSelector(selector, pool.labels));
}

export function advertisementProblems(
  advertisements: readonly Advertisement[],
  pools: readonly Pool[],
  nodes: readonly NodeObject[],
): readonly ObjectProblem[] {
  const bgp = advertisements.filter(
    (advertisement): advertisement is BgpAdvertisement => advertisement.bgp !== undefined,
  );
  return [
    ...advertisements.flatMap((advertisement) => poolProblems(advertisement, pools)),
    ...bgp.flatMap((advertisement) => aggregationProblems(advertisement, pools)),
    ...preferenceConflicts(bgp, pools, nodes),
  ];
}

/** Pools that are named and don't exist; or nothing that is selected. */
function poolProblems(advertisement: Advertisement, pools: readonly Pool[]): readonly ObjectProblem[] {
  const { object, origin, poolNames } = advertisement;
  const own = pools.filter((pool) => pool.origin === origin);
  const names = new Set(own.map(({ shortName }) => shortName));
  const missing = poolNames.filter((name) => !names.has(name));
  if (missing.length > 0) {
    const present = Array.from(names).slice(0, SHOWN_MAX).join(', ') || 'none exists';
    const message = `spec.ipAddressPools names ${missing.slice(0, SHOWN_MAX).join(', ')}, which there is not`;
    return [problemOf(object, 'POOL_UNKNOWN', message, { present })];
  }
  const isSelective = poolNames.length + advertisement.poolSelectors.length > 0;
  if (!isSelective || own.some((pool) => advertisesPool(advertisement, pool))) return [];
  const message = 'no pool has the labels it selects';
  return [problemOf(object, 'ADVERTISEMENT_IDLE', message, { field: 'spec.ipAddressPoolSelectors' })];
}

/**
 * A route may not stand for more addresses than the range has. A range that is no CIDR is measured by the largest CIDR in
 * it, as in MetalLB: the smaller ones at its edges are aggregated beyond it.
 */
function aggregationProblems(advertisement: BgpAdvertisement, pools: readonly Pool[]): readonly ObjectProblem[] {
  const { object, bgp } = advertisement;
  return pools.flatMap((pool) => {
    if (!advertisesPool(advertisement, pool)) return [];
    const range = pool.ranges.find((each) => aggregationOf(bgp, each) < shortestPrefix(each));
    if (range === undefined) return [];
    const field = range.first.family === 'ipv4' ? 'spec.aggregationLength' : 'spec.aggregationLengthV6';
    const least = shortestPrefix(range);
    const message = `${field} ${aggregationOf(bgp, range)} is shorter than any prefix of ${formatRange(range)} in the pool ${pool.shortName} (/${least})`;
    return [problemOf(object, 'ADVERTISEMENT_AGGREGATION', message, { field, least })];
  });
}

function aggregationOf(bgp: BgpTerms, range: AddressRange): number {
  return range.first.family === 'ipv4' ? bgp.aggregationLength : bgp.aggregationLengthV6;
}

function shortestPrefix(range: AddressRange): number {
  return Math.min(...rangePrefixes(range).map(({ length }) => length));
}

/** Each advertisement that says otherwise than an earlier one about the same routes, to the same peers, from the same nodes. */
function preferenceConflicts(
  advertisements: readonly BgpAdvertisement[],
  pools: readonly Pool[],
  nodes: readonly NodeObject[],
): readonly ObjectProblem[] {
  const told = new Map<BgpAdvertisement, ObjectProblem>();
  for (const pool of pools) {
    const own = advertisements
      .filter((each) => each.serviceSelectors.length === 0 && advertisesPool(each, pool))
      .slice(0, COMPARED_MAX);
    for (const [index, later] of own.entries()) {
      const earlier = own.slice(0, index).find((each) => isAtOdds(each, later, pool, nodes));
      if (earlier === undefined || told.has(later)) continue;
      const message = `localPref ${later.bgp.localPreference} and ${earlier.bgp.localPreference} of ${earlier.object.kind} ${earlier.object.key} are for the same routes of the pool ${pool.shortName}`;
      const other = `${earlier.object.kind} ${earlier.object.key}`;
      told.set(later, problemOf(later.object, 'ADVERTISEMENT_CONFLICT', message, { other }));
    }
  }
  return Array.from(told.values());
}

function isAtOdds(a: BgpAdvertisement, b: BgpAdvertisement, pool: Pool, nodes: readonly NodeObject[]): boolean {
  if (a.bgp.localPreference === b.bgp.localPreference) return false;
  const hasSameRoutes = pool.ranges.some((range) => aggregationOf(a.bgp, range) === aggregationOf(b.bgp, range));
  if (!hasSameRoutes) return false;
  const hasSamePeer =
    a.bgp.peers.length === 0 || b.bgp.peers.length === 0 || a.bgp.peers.some((peer) => b.bgp.peers.includes(peer));
  return hasSamePeer && nodes.some((node) => selectsNode(a, node) && selectsNode(b, node));
}

function selectsNode({ nodeSelectors }: Advertisement, { labels }: NodeObject): boolean {
  return nodeSelectors.length === 0 || nodeSelectors.some((selector) => matchesSelector(selector, labels));
}
