/**
 * The first address of some ranges that nobody has yet, and from where to go on: an allocator that fills a pool keeps the
 * cursor, so that filling it costs its size and not its square. One call looks at SEARCH_STEPS_MAX addresses at most and
 * says when it stopped for that; the caller goes on at once, or later.
 *
 * What is taken in long stretches (reservations, other pools) belongs cut out of the ranges beforehand (`withoutRanges`),
 * not into `isUsable`: stepping over a /8 takes 16 million calls.
 */

import type { Family, Ip } from '../base/ip.ts';
import { compareIps, nextIp, previousIp, rangeContains } from './address-range.ts';
import type { AddressRange } from './model.ts';

/** A /18, and some 20 ms of looking; a pool that is full up to there goes on with the next call. */
export const SEARCH_STEPS_MAX = 16_384;

/** A Pool is one; `{ ...pool, family }` searches one family of it. */
export interface SearchSpace {
  readonly ranges: readonly AddressRange[];
  /** 'descending': from the last address of the last range. */
  readonly order: 'ascending' | 'descending';
  /** IPv4 addresses ending in .0 or .255 are passed over. */
  readonly avoidsBuggy?: boolean;
  /** Ranges of the other family are passed over whole. */
  readonly family?: Family;
}

/** Where a search stopped; means something for the space it came from only. */
export interface SearchCursor {
  /** Ranges passed, in the order of the search. */
  readonly position: number;
  /** The last address looked at in the range at `position`; undefined: none yet. */
  readonly after: Ip | undefined;
}

export type SearchResult =
  | { readonly kind: 'found'; readonly address: Ip; readonly next: SearchCursor }
  /** No address is left from the cursor on. */
  | { readonly kind: 'exhausted' }
  /** SEARCH_STEPS_MAX were looked at; `next` goes on. */
  | { readonly kind: 'unfinished'; readonly next: SearchCursor };

/** The first address, from the cursor on, that `isUsable`. It is called once for each address that is looked at. */
export function firstFree(space: SearchSpace, isUsable: (ip: Ip) => boolean, from?: SearchCursor): SearchResult {
  let steps = 0;
  let after = from?.after;
  for (let position = from?.position ?? 0; position < space.ranges.length; position++) {
    const range = rangeAt(space, position);
    if (range === undefined || (space.family !== undefined && range.first.family !== space.family)) continue;
    let ip = after !== undefined && rangeContains(range, after) ? step(space, range, after) : startOf(space, range);
    after = undefined;
    for (; ip !== undefined; ip = step(space, range, ip)) {
      if (steps === SEARCH_STEPS_MAX) return { kind: 'unfinished', next: { position, after } };
      steps += 1;
      after = ip;
      if (space.avoidsBuggy === true && isBuggy(ip)) continue;
      if (isUsable(ip)) return { kind: 'found', address: ip, next: { position, after } };
    }
    after = undefined;
  }
  return { kind: 'exhausted' };
}

/** IPv4 ending in .0 or .255: old equipment takes it for a network or a broadcast address (MetalLB avoidBuggyIPs). */
export function isBuggy(ip: Ip): boolean {
  if (ip.family !== 'ipv4') return false;
  const octet = ip.bytes[3];
  return octet === 0 || octet === 255;
}

function rangeAt(space: SearchSpace, position: number): AddressRange | undefined {
  return space.ranges[space.order === 'ascending' ? position : space.ranges.length - 1 - position];
}

function startOf(space: SearchSpace, range: AddressRange): Ip {
  return space.order === 'ascending' ? range.first : range.last;
}

/** The next address of the range in the order of the search. */
function step(space: SearchSpace, range: AddressRange, ip: Ip): Ip | undefined {
  if (space.order === 'ascending') return compareIps(ip, range.last) < 0 ? nextIp(ip) : undefined;
  return compareIps(ip, range.first) > 0 ? previousIp(ip) : undefined;
}
