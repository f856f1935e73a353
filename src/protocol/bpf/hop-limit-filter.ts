/**
 * A classic BPF program for a UDP socket that keeps only datagrams whose TTL (IPv4) or hop limit (IPv6) is still 255: no
 * router has touched them, so their sender is on this link (the Generalized TTL Security Mechanism, RFC 5082 §3). Linux'
 * own IP_MINTTL acts on TCP alone.
 */

import type { Family } from '../../base/ip.ts';
import { assemble, at, BPF_JEQ_K, BPF_LD_B_ABS, BPF_RET_K, jump, op } from './assembler.ts';

/** SKF_NET_OFF of linux/filter.h: offsets from here count from the network header, which the socket itself doesn't see. */
const SKF_NET_OFF = 0xfff0_0000;
/** RFC 791 §3.1, RFC 8200 §3. */
const TTL_OFFSET: Readonly<Record<Family, number>> = { ipv4: 8, ipv6: 7 };
export const ON_LINK_HOPS = 255;
/** Octets to keep: all. */
const KEEP = 0x4_0000;

export function onLinkFilter(family: Family): Uint8Array {
  return assemble([
    op(BPF_LD_B_ABS, SKF_NET_OFF + TTL_OFFSET[family]),
    jump(BPF_JEQ_K, ON_LINK_HOPS, { ifFalse: 'drop' }),
    op(BPF_RET_K, KEEP),
    at('drop'),
    op(BPF_RET_K, 0),
  ]);
}
