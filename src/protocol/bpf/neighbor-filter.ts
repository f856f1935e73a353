/**
 * Which frames are worth waking the process for: ARP packets whose sender or target is one of the addresses, and
 * neighbor solicitations and advertisements about one of them, received (not sent) on the untagged network. Everything
 * else stays in the kernel: on a busy interface that is all but a few frames in a million.
 *
 * The filter is the first sieve, not the last: the reader decodes and compares in full. It may therefore pass more than
 * asked, and does so in two cases that keep it short (the kernel charges it to the socket, net.core.optmem_max):
 * - An IPv6 target is compared by the XOR of its four words; one foreign address in four thousand million passes too.
 * - Beyond EXACT_MAX addresses of a family, their common prefixes are compared, so short that they are PREFIXES_MAX at
 *   most. One more address is then likely to be among them already (filteredPrefixes), and needs no other filter.
 */

import { assert } from '../../base/assert.ts';
import { ByteReader } from '../../base/bytes.ts';
import type { Family, Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../ethernet/ethernet.ts';
import { IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6 } from '../ip/ipv6.ts';
import { NDP_HOP_LIMIT, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from '../ndp/ndp.ts';
import {
  assemble,
  at,
  BPF_AND_K,
  BPF_JEQ_K,
  BPF_JGT_K,
  BPF_LD_B_ABS,
  BPF_LD_H_ABS,
  BPF_LD_W_ABS,
  BPF_RET_K,
  BPF_TAX,
  BPF_XOR_X,
  jump,
  OFFSET_PACKET_TYPE,
  OFFSET_VLAN_TAG,
  OFFSET_VLAN_TAG_PRESENT,
  op,
  type Line,
} from './assembler.ts';

export interface NeighborFilterOptions {
  readonly ipv4: readonly Ip[];
  readonly ipv6: readonly Ip[];
  /** Frames from this MAC are our own, come back (a loop, a switch that reflects): refused. */
  readonly ownMac?: Mac;
}

/**
 * Addresses of one family up to which the filter passes those only (but for the XOR's chance hits). Two comparisons for
 * each must fit between a conditional jump and its goal.
 */
export const EXACT_MAX = 100;
/** Prefixes of one family that are compared when there are more addresses than that. */
export const PREFIXES_MAX = 16;

/** To compare by when there are more addresses, longest prefix first. Without any (0) every address is the same. */
const MASKS: readonly number[] = [32, 30, 28, 26, 24, 20, 16, 12, 8, 4].map(
  (bits) => (0xffff_ffff << (32 - bits)) >>> 0,
);

/** PACKET_HOST 0, PACKET_BROADCAST 1, PACKET_MULTICAST 2 (linux/if_packet.h); 3 is for others, 4 what we send. */
const PACKET_TYPE_RECEIVED_MAX = 2;
/** What the kernel keeps of an accepted frame: all of it. */
const KEEP_ALL = 0x0004_0000;
const VLAN_ID_MASK = 0x0fff;

const SOURCE_MAC_OFFSET = 6;
const ETHERTYPE_OFFSET = 12;
const ARP_OFFSET = ETHERNET_HEADER_LENGTH;
const ARP_SENDER_OFFSET = ARP_OFFSET + 14;
const ARP_TARGET_OFFSET = ARP_OFFSET + 24;
const HARDWARE_ETHERNET = 1;
const ARP_ADDRESS_LENGTHS = 0x0604;
const IPV6_OFFSET = ETHERNET_HEADER_LENGTH;
const ICMPV6_OFFSET = IPV6_OFFSET + IPV6_HEADER_LENGTH;
const NDP_TARGET_OFFSET = ICMPV6_OFFSET + 8;

/** The program, as Netfd.attachFilter takes it. With no addresses at all it refuses every frame. */
export function neighborFilter(options: NeighborFilterOptions): Uint8Array {
  const { ipv4, ipv6, ownMac } = options;
  assert(
    ipv4.every((ip) => ip.family === 'ipv4') && ipv6.every((ip) => ip.family === 'ipv6'),
    'families are kept apart',
  );
  return assemble([
    op(BPF_LD_H_ABS, ETHERTYPE_OFFSET),
    ...(ipv6.length > 0 ? [jump(BPF_JEQ_K, ETHERTYPE_IPV6, { ifTrue: 'ipv6' })] : []),
    ...(ipv4.length > 0 ? [jump(BPF_JEQ_K, ETHERTYPE_ARP, { ifTrue: 'arp' })] : []),
    op(BPF_RET_K, 0),
    ...(ipv4.length > 0 ? arpLines(ipv4, ownMac) : []),
    ...(ipv6.length > 0 ? ndpLines(ipv6, ownMac) : []),
  ]);
}

/** Whether the filter for these addresses passes those only, or, there being too many, also their neighbors. */
export function isNeighborFilterExact(options: NeighborFilterOptions): boolean {
  return (
    distinct(options.ipv4.map(digest)).length <= EXACT_MAX && distinct(options.ipv6.map(digest)).length <= EXACT_MAX
  );
}

function arpLines(addresses: readonly Ip[], ownMac: Mac | undefined): readonly Line[] {
  const refused = 'arp-refused';
  const wanted = comparands(addresses);
  return [
    at('arp'),
    op(BPF_LD_W_ABS, ARP_OFFSET),
    jump(BPF_JEQ_K, HARDWARE_ETHERNET * 0x1_0000 + ETHERTYPE_IPV4, { ifFalse: refused }),
    op(BPF_LD_H_ABS, ARP_OFFSET + 4),
    jump(BPF_JEQ_K, ARP_ADDRESS_LENGTHS, { ifFalse: refused }),
    ...receivedLines('arp', refused, ownMac),
    op(BPF_LD_W_ABS, ARP_SENDER_OFFSET),
    ...oneOfLines(wanted, 'arp-accepted', 'arp-target'),
    at('arp-accepted'),
    op(BPF_RET_K, KEEP_ALL),
    at('arp-target'),
    op(BPF_LD_W_ABS, ARP_TARGET_OFFSET),
    ...oneOfLines(wanted, 'arp-accepted-too', refused),
    at('arp-accepted-too'),
    op(BPF_RET_K, KEEP_ALL),
    at(refused),
    op(BPF_RET_K, 0),
  ];
}

function ndpLines(addresses: readonly Ip[], ownMac: Mac | undefined): readonly Line[] {
  const refused = 'ndp-refused';
  return [
    at('ipv6'),
    op(BPF_LD_B_ABS, IPV6_OFFSET + 6),
    jump(BPF_JEQ_K, NEXT_HEADER_ICMPV6, { ifFalse: refused }),
    op(BPF_LD_B_ABS, ICMPV6_OFFSET),
    jump(BPF_JEQ_K, NEIGHBOR_SOLICITATION, { ifTrue: 'ndp' }),
    jump(BPF_JEQ_K, NEIGHBOR_ADVERTISEMENT, { ifFalse: refused }),
    at('ndp'),
    op(BPF_LD_B_ABS, IPV6_OFFSET + 7),
    jump(BPF_JEQ_K, NDP_HOP_LIMIT, { ifFalse: refused }),
    ...receivedLines('ndp', refused, ownMac),
    ...targetDigestLines(),
    ...oneOfLines(comparands(addresses), 'ndp-accepted', refused),
    at('ndp-accepted'),
    op(BPF_RET_K, KEEP_ALL),
    at(refused),
    op(BPF_RET_K, 0),
  ];
}

/** Goes on when the frame came in for us, without a VLAN tag but for one that is only a priority, and not from us. */
function receivedLines(name: string, refused: string, ownMac: Mac | undefined): readonly Line[] {
  const lines: Line[] = [
    op(BPF_LD_W_ABS, OFFSET_PACKET_TYPE),
    jump(BPF_JGT_K, PACKET_TYPE_RECEIVED_MAX, { ifTrue: refused }),
    op(BPF_LD_W_ABS, OFFSET_VLAN_TAG_PRESENT),
    jump(BPF_JEQ_K, 0, { ifTrue: `${name}-untagged` }),
    op(BPF_LD_W_ABS, OFFSET_VLAN_TAG),
    op(BPF_AND_K, VLAN_ID_MASK),
    jump(BPF_JEQ_K, 0, { ifFalse: refused }),
    at(`${name}-untagged`),
  ];
  if (ownMac === undefined) return lines;
  const reader = new ByteReader(ownMac.bytes);
  return [
    ...lines,
    op(BPF_LD_W_ABS, SOURCE_MAC_OFFSET),
    jump(BPF_JEQ_K, reader.u32(), { ifFalse: `${name}-foreign` }),
    op(BPF_LD_H_ABS, SOURCE_MAC_OFFSET + 4),
    jump(BPF_JEQ_K, reader.u16(), { ifTrue: refused }),
    at(`${name}-foreign`),
  ];
}

/** Leaves the digest of the target in A. */
function targetDigestLines(): readonly Line[] {
  const lines = [op(BPF_LD_W_ABS, NDP_TARGET_OFFSET)];
  for (const offset of [4, 8, 12]) {
    lines.push(op(BPF_TAX), op(BPF_LD_W_ABS, NDP_TARGET_OFFSET + offset), op(BPF_XOR_X));
  }
  return lines;
}

/** What A is compared with: values, and the mask under which every address has one of them. */
interface Comparands {
  readonly values: readonly number[];
  readonly mask: number;
}

/** Compares A with the digests of the addresses. */
function oneOfLines({ values, mask }: Comparands, ifFound: string, ifNot: string): readonly Line[] {
  return [
    ...(mask === 0xffff_ffff ? [] : [op(BPF_AND_K, mask)]),
    ...values.map((value, index) =>
      jump(BPF_JEQ_K, value, { ifTrue: ifFound, ...(index === values.length - 1 ? { ifFalse: ifNot } : {}) }),
    ),
  ];
}

/**
 * The addresses themselves, EXACT_MAX at most; of more, PREFIXES_MAX values at most, under the longest mask that manages.
 * Sorted once, equal prefixes stand side by side.
 */
function comparands(addresses: readonly Ip[]): Comparands {
  const digests = Uint32Array.from(addresses, digest).sort();
  const [all = 0] = MASKS;
  const exact = distinctUnder(digests, all, EXACT_MAX);
  if (exact !== undefined) return { values: exact, mask: all };
  for (const mask of MASKS) {
    const values = distinctUnder(digests, mask, PREFIXES_MAX);
    if (values !== undefined) return { values, mask };
  }
  return { values: [0], mask: 0 };
}

/** undefined: more than `max`. */
function distinctUnder(sorted: Uint32Array, mask: number, max: number): readonly number[] | undefined {
  const values: number[] = [];
  let last = -1;
  for (const digest of sorted) {
    const value = (digest & mask) >>> 0;
    if (value === last) continue;
    if (values.length === max) return undefined;
    values.push(value);
    last = value;
  }
  return values;
}

/** What the filter for these addresses passes; asked of an address that isn't among them. */
export function filteredPrefixes(addresses: readonly Ip[]): { readonly has: (ip: Ip) => boolean } {
  const of = (family: Family): Comparands => comparands(addresses.filter((ip) => ip.family === family));
  const families = { ipv4: of('ipv4'), ipv6: of('ipv6') };
  return {
    has: (ip) => {
      const { values, mask } = families[ip.family];
      return values.includes((digest(ip) & mask) >>> 0);
    },
  };
}

/** An IPv4 address as a number; the XOR of the four words of an IPv6 address. Unsigned. */
function digest({ bytes }: Ip): number {
  let value = 0;
  for (let at = 0; at < bytes.length; at += 4) {
    value ^=
      ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
  }
  return value >>> 0;
}

function distinct(values: readonly number[]): readonly number[] {
  return [...new Set(values)];
}
