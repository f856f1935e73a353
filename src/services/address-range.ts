/**
 * Ranges of addresses: one text read as a range, and arithmetic on ranges. Nothing is ever enumerated to answer a
 * question, so that ::/0 costs what a /32 costs; walking a range address by address is `address-search.ts`.
 *
 * Read are `address/length` (host bits are ignored: it names its network) and `first-last` with spaces allowed around the
 * dash. Refused is what different tools read differently: mixed families (MetalLB takes that for an empty pool), octets
 * with leading zeros, zones, IPv4-mapped IPv6.
 */

import { familyBits, ipFromBytes, parseIp, type Family, type Ip, type IpReason, type Prefix } from '../base/ip.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import type { AddressRange } from './model.ts';

/** Two IPv6 addresses in full with a dash are 79 characters; what is longer is no range and isn't looked at. */
const RANGE_TEXT_MAX = 128;

export type RangeReason = IpReason | 'not-a-range' | 'mixed-family' | 'reversed' | 'prefix-length';

export interface RangeForm {
  /** First and last address of a CIDR are left out, unless it has one or two addresses (RFC 3021, RFC 6164). */
  readonly skipEnds?: boolean;
  /** A bare address is a range of one. */
  readonly allowsSingle?: boolean;
}

/** `detail` of a refusal is the part of the text that is wrong. */
export function parseRange(text: string, form: RangeForm = {}): Outcome<AddressRange, RangeReason> {
  const trimmed = text.trim();
  if (trimmed.length > RANGE_TEXT_MAX) return refused('not-a-range', `${trimmed.slice(0, RANGE_TEXT_MAX)}…`);
  const slash = trimmed.indexOf('/');
  const dash = trimmed.indexOf('-');
  if (slash >= 0) {
    const prefix = parsePrefix(trimmed, slash);
    if (!prefix.ok) return prefix;
    const range = prefixRange(prefix.value);
    return ok(form.skipEnds === true ? withoutEnds(range) : range);
  }
  if (dash >= 0) return parseEnds(trimmed.slice(0, dash).trim(), trimmed.slice(dash + 1).trim());
  const single = parseIp(trimmed);
  if (single.ok && form.allowsSingle === true) return ok({ first: single.value, last: single.value });
  return single.ok || single.reason === 'not-an-address' ? refused('not-a-range', trimmed) : single;
}

/** From `first` to `last` as texts: what Cilium's blocks give apart. */
export function parseEnds(first: string, last: string): Outcome<AddressRange, RangeReason> {
  const from = parseIp(first);
  if (!from.ok) return from;
  const to = parseIp(last);
  if (!to.ok) return to;
  if (from.value.family !== to.value.family) return refused('mixed-family', `${first}-${last}`);
  if (compareIps(from.value, to.value) > 0) return refused('reversed', `${first}-${last}`);
  return ok({ first: from.value, last: to.value });
}

const REASONS: Readonly<Record<RangeReason, string>> = {
  'not-an-address': 'is not an IP address',
  'leading-zero': 'has an octet with a leading zero, which some programs read as octal',
  zone: 'has a zone (%interface), which a range has not',
  'ipv4-mapped': 'is an IPv4 address in IPv6 clothes; write the IPv4 address',
  'not-a-range': 'is neither a CIDR (192.0.2.0/28) nor a range (192.0.2.10-192.0.2.20)',
  'mixed-family': 'begins in one address family and ends in the other',
  reversed: 'ends before it begins',
  'prefix-length': 'has a prefix length that its family has not (0–32 for IPv4, 0–128 for IPv6)',
};

/** What is wrong, as the predicate of a sentence that begins with the text: `"1.2.3.0/33" has a prefix length that …`. */
export function rangeFault(text: string, refusal: { readonly reason: RangeReason; readonly detail?: string }): string {
  const culprit = refusal.detail ?? text;
  return `${JSON.stringify(culprit.slice(0, RANGE_TEXT_MAX))} ${REASONS[refusal.reason]}`;
}

function parsePrefix(text: string, slash: number): Outcome<Prefix, RangeReason> {
  const ip = parseIp(text.slice(0, slash));
  if (!ip.ok) return ip;
  const digits = text.slice(slash + 1);
  const length = /^(0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Infinity;
  if (length > familyBits(ip.value.family)) return refused('prefix-length', text);
  return ok({ ip: ip.value, length });
}

/** The network of a prefix, whatever its host bits. */
export function prefixRange(prefix: Prefix): AddressRange {
  const first = Uint8Array.from(prefix.ip.bytes);
  const last = Uint8Array.from(prefix.ip.bytes);
  for (let index = 0; index < first.length; index++) {
    const kept = Math.min(8, Math.max(0, prefix.length - 8 * index));
    const hosts = 0xff >> kept;
    first[index] = (first[index] ?? 0) & ~hosts;
    last[index] = (last[index] ?? 0) | hosts;
  }
  return { first: ipFromBytes(first), last: ipFromBytes(last) };
}

/** Less its first and last address; a range of one or two stays as it is. */
export function withoutEnds(range: AddressRange): AddressRange {
  const first = nextIp(range.first);
  const last = previousIp(range.last);
  if (first === undefined || last === undefined || compareIps(first, last) > 0) return range;
  return { first, last };
}

/** The shortest list of prefixes that is exactly the range, in ascending order; at most 2 × 128 − 2 of them. */
export function rangePrefixes(range: AddressRange): readonly Prefix[] {
  const { family } = range.first;
  const bits = familyBits(family);
  const last = ipValue(range.last);
  const prefixes: Prefix[] = [];
  for (let value = ipValue(range.first); value <= last;) {
    let length: number = bits;
    let size = 1n;
    while (length > 0 && (value & (2n * size - 1n)) === 0n && value + 2n * size - 1n <= last) {
      length -= 1;
      size *= 2n;
    }
    prefixes.push({ ip: ipAt(family, value), length });
    value += size;
  }
  return prefixes;
}

/** As one would write it: an address, a CIDR when it is one, else first-last. */
export function formatRange(range: AddressRange): string {
  if (range.first.text === range.last.text) return range.first.text;
  const [prefix, more] = rangePrefixes(range);
  if (prefix !== undefined && more === undefined) return `${prefix.ip.text}/${prefix.length}`;
  return `${range.first.text}-${range.last.text}`;
}

/** By family (IPv4 first), then by value. */
export function compareIps(a: Ip, b: Ip): number {
  if (a.family !== b.family) return a.family === 'ipv4' ? -1 : 1;
  for (let index = 0; index < a.bytes.length; index++) {
    const difference = (a.bytes[index] ?? 0) - (b.bytes[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The following address; undefined after the last of the family. */
export function nextIp(ip: Ip): Ip | undefined {
  return neighbour(ip, 0xff, 0x00, 1);
}

/** The address before; undefined before the first of the family. */
export function previousIp(ip: Ip): Ip | undefined {
  return neighbour(ip, 0x00, 0xff, -1);
}

/** Octets at `wraps` from the right become `wrapped`, the first other one takes the step. */
function neighbour(ip: Ip, wraps: number, wrapped: number, step: number): Ip | undefined {
  const bytes = Uint8Array.from(ip.bytes);
  for (let index = bytes.length - 1; index >= 0; index--) {
    const octet = bytes[index] ?? 0;
    if (octet !== wraps) {
      bytes[index] = octet + step;
      return ipFromBytes(bytes);
    }
    bytes[index] = wrapped;
  }
  return undefined;
}

export function ipValue(ip: Ip): bigint {
  const view = new DataView(ip.bytes.buffer, ip.bytes.byteOffset, ip.bytes.length);
  if (ip.family === 'ipv4') return BigInt(view.getUint32(0));
  return (view.getBigUint64(0) << 64n) | view.getBigUint64(8);
}

/** The address with that value. Throws RangeError on a value the family has not. */
export function ipAt(family: Family, value: bigint): Ip {
  if (value < 0n || value >> BigInt(familyBits(family)) !== 0n) {
    throw new RangeError(`${value} is no ${family} address`);
  }
  const bytes = new Uint8Array(familyBits(family) / 8);
  const view = new DataView(bytes.buffer);
  if (family === 'ipv4') {
    view.setUint32(0, Number(value));
  } else {
    view.setBigUint64(0, value >> 64n);
    view.setBigUint64(8, value & 0xffff_ffff_ffff_ffffn);
  }
  return ipFromBytes(bytes);
}

export function rangeSize(range: AddressRange): bigint {
  return ipValue(range.last) - ipValue(range.first) + 1n;
}

/** Never across families, since compareIps puts one wholly before the other. */
export function rangeContains(range: AddressRange, ip: Ip): boolean {
  return compareIps(range.first, ip) <= 0 && compareIps(ip, range.last) <= 0;
}

export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  return compareIps(a.first, b.last) <= 0 && compareIps(b.first, a.last) <= 0;
}

/** What both have in common. */
export function rangeIntersection(a: AddressRange, b: AddressRange): AddressRange | undefined {
  if (!rangesOverlap(a, b)) return undefined;
  return { first: later(a.first, b.first), last: earlier(a.last, b.last) };
}

export interface MergedRanges {
  readonly ranges: readonly AddressRange[];
  /** What was in more than one of them. */
  readonly overlaps: readonly AddressRange[];
}

/** Ranges that overlap become one, at the place of the one that was named first; the others keep their order. */
export function mergeRanges(ranges: readonly AddressRange[]): MergedRanges {
  const byValue = ranges.map((range, place) => ({ ...range, place }));
  byValue.sort((a, b) => compareIps(a.first, b.first) || a.place - b.place);
  const merged: { first: Ip; last: Ip; place: number }[] = [];
  const overlaps: AddressRange[] = [];
  for (const range of byValue) {
    const open = merged.at(-1);
    if (open === undefined || compareIps(range.first, open.last) > 0) {
      merged.push({ ...range });
      continue;
    }
    overlaps.push({ first: range.first, last: earlier(range.last, open.last) });
    open.last = later(open.last, range.last);
    open.place = Math.min(open.place, range.place);
  }
  merged.sort((a, b) => a.place - b.place);
  return { ranges: merged.map(({ first, last }) => ({ first, last })), overlaps };
}

/** The same addresses in ascending order, IPv4 first, in as few ranges as can be: adjacent ones are joined as well. */
export function sortRanges(ranges: readonly AddressRange[]): readonly AddressRange[] {
  const sorted = ranges.toSorted((a, b) => compareIps(a.first, b.first));
  const joined: { first: Ip; last: Ip }[] = [];
  for (const { first, last } of sorted) {
    const open = joined.at(-1);
    const next = open === undefined ? undefined : nextIp(open.last);
    const touches = open?.last.family === first.family && (next === undefined || compareIps(first, next) <= 0);
    if (open !== undefined && touches) open.last = later(open.last, last);
    else joined.push({ first, last });
  }
  return joined;
}

/** `ranges` in their order, less every address of `taken` (which must be sorted: see sortRanges). */
export function withoutRanges(
  ranges: readonly AddressRange[],
  taken: readonly AddressRange[],
): readonly AddressRange[] {
  return ranges.flatMap((range) => remainder(range, taken));
}

function remainder(range: AddressRange, taken: readonly AddressRange[]): readonly AddressRange[] {
  const parts: AddressRange[] = [];
  let first: Ip | undefined = range.first;
  for (let index = indexOfEnding(taken, range.first); first !== undefined && index < taken.length; index++) {
    const hole = taken[index];
    if (hole === undefined || compareIps(hole.first, range.last) > 0) break;
    const before = compareIps(first, hole.first) < 0 ? previousIp(hole.first) : undefined;
    if (before !== undefined) parts.push({ first, last: before });
    first = compareIps(hole.last, range.last) < 0 ? nextIp(hole.last) : undefined;
  }
  if (first !== undefined) parts.push({ first, last: range.last });
  return parts;
}

/** Of sorted ranges, the place of the first that ends at or after `ip`; their number when none does. */
export function indexOfEnding(sorted: readonly AddressRange[], ip: Ip): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = sorted[middle];
    if (range !== undefined && compareIps(range.last, ip) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function earlier(a: Ip, b: Ip): Ip {
  return compareIps(a, b) <= 0 ? a : b;
}

function later(a: Ip, b: Ip): Ip {
  return compareIps(a, b) >= 0 ? a : b;
}
