/**
 * The Internet checksum (RFC 1071), and as ICMPv6 uses it: over a pseudo-header and the message (RFC 4443 §2.3).
 */

import type { Ip } from '../../base/ip.ts';
import { NEXT_HEADER_ICMPV6 } from './ipv6.ts';

/**
 * Checksum of an ICMPv6 message whose checksum field is zero: what belongs into the field. Over a message with its
 * checksum in place the result is 0 exactly when it is right.
 */
export function icmpv6Checksum(source: Ip, destination: Ip, message: Uint8Array): number {
  const pseudoHeader = sum(source.bytes) + sum(destination.bytes) + message.length + NEXT_HEADER_ICMPV6;
  return folded(pseudoHeader + sum(message));
}

/** Checksum of these octets one after another; all but the last are an even number of octets. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  return folded(parts.reduce((total, part) => total + sum(part), 0));
}

function folded(words: number): number {
  let total = words;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x1_0000);
  return ~total & 0xffff;
}

/** Sum of the 16-bit words, an odd last octet being the high half of one. Frames are far too short to overflow. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += (bytes[at] ?? 0) * 0x100 + (bytes[at + 1] ?? 0);
  return total;
}
