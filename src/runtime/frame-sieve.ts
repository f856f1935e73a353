/**
 * Which frames are about one of thousands of addresses, told by a few octets of each: a thousand addresses that another
 * node announces are thousands of frames that mean nothing here, and no decoding is spent on them. Only what is surely
 * another's is held back; everything else (malformed frames, tags, other protocols) passes, to be decoded, told and counted.
 */

import type { Ip } from '../base/ip.ts';
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from '../protocol/ethernet/ethernet.ts';
import { IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6 } from '../protocol/ip/ipv6.ts';
import { NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from '../protocol/ndp/ndp.ts';

const ETHERTYPE_AT = 12;
/** RFC 826: hardware type, protocol type, lengths; the sender's address. */
const ARP_AT = ETHERNET_HEADER_LENGTH;
const ARP_SENDER_AT = ARP_AT + 14;
const ARP_END = ARP_AT + 28;
const NEXT_HEADER_AT = ETHERNET_HEADER_LENGTH + 6;
const ICMPV6_AT = ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH;
/** RFC 4861 §4.3, §4.4: both messages have their target here. */
const NDP_TARGET_AT = ICMPV6_AT + 8;
const NDP_END = NDP_TARGET_AT + 16;

export interface FrameSieve {
  /** One more address. */
  add(ip: Ip): void;
  /** False: nobody says in it that he uses one of the addresses. */
  isMeant(frame: Uint8Array): boolean;
}

export function frameSieve(addresses: readonly Ip[]): FrameSieve {
  const digests = { ipv4: new Set<number>(), ipv6: new Set<number>() };
  const add = ({ family, bytes }: Ip): void => void digests[family].add(digestAt(bytes, 0, bytes.length));
  addresses.forEach(add);
  return {
    add,
    isMeant: (frame) => {
      const etherType = u16(frame, ETHERTYPE_AT);
      if (etherType === ETHERTYPE_ARP && isOrdinaryArp(frame)) {
        return digests.ipv4.has(digestAt(frame, ARP_SENDER_AT, 4));
      }
      if (etherType === ETHERTYPE_IPV6 && isNeighborDiscovery(frame)) {
        return digests.ipv6.has(digestAt(frame, NDP_TARGET_AT, 16));
      }
      return true;
    },
  };
}

function isOrdinaryArp(frame: Uint8Array): boolean {
  const operation = u16(frame, ARP_AT + 6);
  return (
    frame.length >= ARP_END &&
    u16(frame, ARP_AT) === 1 &&
    u16(frame, ARP_AT + 2) === ETHERTYPE_IPV4 &&
    u16(frame, ARP_AT + 4) === 0x0604 &&
    (operation === 1 || operation === 2)
  );
}

function isNeighborDiscovery(frame: Uint8Array): boolean {
  const type = frame[ICMPV6_AT];
  return (
    frame.length >= NDP_END &&
    frame[NEXT_HEADER_AT] === NEXT_HEADER_ICMPV6 &&
    (type === NEIGHBOR_SOLICITATION || type === NEIGHBOR_ADVERTISEMENT)
  );
}

/** XOR of the words: of two addresses with the same one, decoding tells which it is. */
function digestAt(bytes: Uint8Array, start: number, length: number): number {
  let digest = 0;
  for (let at = start; at < start + length; at += 4) digest ^= (u16(bytes, at) << 16) | u16(bytes, at + 2);
  return digest;
}

/** 0 beyond the end. */
function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
