/**
 * Addresses that are never given to a Service because the cluster uses them itself, or nobody can: nodes, control-plane
 * VIPs, gateways, network and broadcast address of attached subnets (but of /31, /32, /127 and /128: RFC 3021, RFC 6164),
 * Pod and Service CIDRs, and what no machine can own. Pools that contain some are told; the rest of them is given.
 *
 * Thousands of look-ups go to an index that is searched by halving.
 */

import { assert } from '../base/assert.ts';
import type { Ip, Prefix } from '../base/ip.ts';
import { formatRange, ipAt, parseRange, prefixRange, rangeSize, withoutRanges } from './address-range.ts';
import type { AddressRange, NodeObject, ObjectProblem, Pool, Reservation } from './model.ts';
import { SVC_POOLS_REF } from './pools/environment.ts';
import { problemOf } from './pools/report.ts';
import { addToIndex, ownedParts, ownerIn, type Indexed, type RangeIndex } from './range-index.ts';

/** Reservations that are told for one pool; how many more there are is told in one more problem. */
const TOLD_MAX = 8;

export interface ReservedThings {
  readonly nodes: readonly NodeObject[];
  /** The control plane's virtual IPs. */
  readonly vips: readonly Ip[];
  readonly gateways: readonly Ip[];
  /** Subnets attached to interfaces of nodes: addresses with their prefix lengths will do. */
  readonly subnets: readonly Prefix[];
  /** Service CIDRs, and Pod CIDRs of the whole cluster. */
  readonly clusterCidrs: readonly Prefix[];
}

/** RFC 1122 §3.2.1.3, RFC 5771, RFC 6890; RFC 4291 §2.4. */
const UNUSABLE: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', 'an address of "this network", which no machine can own'],
  ['127.0.0.0/8', 'a loopback address'],
  ['224.0.0.0/4', 'a multicast address'],
  ['255.255.255.255/32', 'the broadcast address'],
  ['::/127', 'the unspecified or the loopback address'],
  ['ff00::/8', 'a multicast address'],
];

export function reservationsOf(things: ReservedThings): readonly Reservation[] {
  const { nodes, vips, gateways, subnets, clusterCidrs } = things;
  return [
    ...nodes.flatMap(({ name, addresses }) => addresses.map((ip) => single(ip, `the address of node ${name}`))),
    ...vips.map((ip) => single(ip, "the control plane's virtual IP")),
    ...gateways.map((ip) => single(ip, 'a gateway')),
    ...subnets.flatMap(subnetEnds),
    ...nodes.flatMap(({ name, podCidrs }) =>
      podCidrs.map((prefix) => ({ range: prefixRange(prefix), reason: `in the Pod CIDR of node ${name}` })),
    ),
    ...clusterCidrs.map((prefix) => ({ range: prefixRange(prefix), reason: 'in a CIDR of the cluster itself' })),
    ...UNUSABLE.map(([text, reason]) => {
      const range = parseRange(text);
      assert(range.ok, `${text} is a range`);
      return { range: range.value, reason };
    }),
    ipv4Mapped(),
  ];
}

/** RFC 4291 §2.5.5.2: ::ffff:0:0/96, which isn't read as a range. */
function ipv4Mapped(): Reservation {
  const range = { first: ipAt('ipv6', 0xffff_0000_0000n), last: ipAt('ipv6', 0xffff_ffff_ffffn) };
  return { range, reason: 'an IPv4 address in IPv6 clothes' };
}

function single(ip: Ip, reason: string): Reservation {
  return { range: { first: ip, last: ip }, reason };
}

function subnetEnds(prefix: Prefix): readonly Reservation[] {
  const { first, last } = prefixRange(prefix);
  const bits = first.bytes.length * 8;
  if (prefix.length >= bits - 1) return [];
  const subnet = `${first.text}/${prefix.length}`;
  const network = single(
    first,
    first.family === 'ipv4' ? `the network address of ${subnet}` : `the router anycast address of ${subnet}`,
  );
  return first.family === 'ipv4' ? [network, single(last, `the broadcast address of ${subnet}`)] : [network];
}

/** Everything reserved; of several reservations of an address the narrowest has it, whose reason says most. */
export type ReservationIndex = RangeIndex<Reservation>;

export function indexReservations(reservations: readonly Reservation[]): ReservationIndex {
  const bySize = reservations.map((reservation) => ({ reservation, size: rangeSize(reservation.range) }));
  bySize.sort((a, b) => (a.size < b.size ? -1 : Number(a.size > b.size)));
  const index: Indexed<Reservation>[] = [];
  for (const { reservation } of bySize) addToIndex(index, [reservation.range], reservation);
  return index;
}

export function isReserved(index: ReservationIndex, ip: Ip): Reservation | undefined {
  return ownerIn(index, ip);
}

/** The ranges less what is reserved, in their order: where to search, so that no step is taken through a Pod CIDR. */
export function unreservedRanges(ranges: readonly AddressRange[], index: ReservationIndex): readonly AddressRange[] {
  return withoutRanges(ranges, index);
}

/** What of the pools isn't given because it is reserved, TOLD_MAX a pool; closed ones give nothing anyway. */
export function reservationProblems(
  pools: readonly Pool[],
  reservations: readonly Reservation[],
): readonly ObjectProblem[] {
  const index = indexReservations(reservations);
  return pools.flatMap((pool) => {
    if (pool.isClosed) return [];
    const reserved = pool.ranges.flatMap((range) => ownedParts(index, range));
    const object = pool.object ?? SVC_POOLS_REF;
    const problems = reserved.slice(0, TOLD_MAX).map(({ first, last, owner: { reason } }) => {
      const range = formatRange({ first, last });
      const message = `${range} in the pool ${pool.name} is ${reason}: it is not given`;
      return problemOf(object, 'POOL_RESERVED', message, { range, reason });
    });
    const untold = reserved.length - problems.length;
    if (untold > 0) {
      const message = `${untold} more parts of the pool ${pool.name} are in use by the cluster: they are not given`;
      problems.push(problemOf(object, 'POOL_RESERVED', message, { range: 'them', reason: 'in use by the cluster' }));
    }
    return problems;
  });
}
