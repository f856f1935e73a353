/**
 * IP addresses and prefixes as plain immutable values. Parsing is ipaddr.js's (the one dependency a pure folder has, see
 * docs/dependencies.md); this file adds strictness (no leading zeros, no zone, no IPv4-mapped IPv6) and one canonical
 * text, so that two values are equal exactly when their `text` is.
 */

import ipaddr from 'ipaddr.js';
import { ok, refused, type Outcome } from './outcome.ts';

export type Family = 'ipv4' | 'ipv6';

/** One address. `bytes` is in network order (4 or 16 octets); `text` is canonical (RFC 5952 for IPv6). */
export interface Ip {
  readonly family: Family;
  readonly text: string;
  readonly bytes: Uint8Array;
}

/** An address with a prefix length in bits (0–32 or 0–128). Host bits may be set: it is "address/length", not a network. */
export interface Prefix {
  readonly ip: Ip;
  readonly length: number;
}

export type IpReason = 'not-an-address' | 'leading-zero' | 'zone' | 'ipv4-mapped';

/** Parses dotted-quad IPv4 or IPv6 text. Refuses what looks like an address but means different things to different tools. */
export function parseIp(text: string): Outcome<Ip, IpReason> {
  if (/^\d+(\.\d+){3}$/.test(text)) {
    if (text.split('.').some((octet) => octet.length > 1 && octet.startsWith('0'))) {
      return refused('leading-zero', text);
    }
    if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return refused('not-an-address', text);
    return ok(ipFromBytes(Uint8Array.from(ipaddr.IPv4.parse(text).toByteArray())));
  }
  if (text.includes('%')) return refused('zone', text);
  if (!text.includes(':') || !ipaddr.IPv6.isValid(text)) return refused('not-an-address', text);
  const parsed = ipaddr.IPv6.parse(text);
  if (parsed.isIPv4MappedAddress()) return refused('ipv4-mapped', text);
  return ok(ipFromBytes(Uint8Array.from(parsed.toByteArray())));
}

/** An Ip from 4 or 16 octets in network order; the octets are copied. Throws RangeError on any other length. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) {
    return { family: 'ipv4', text: Array.from(bytes).join('.'), bytes: Uint8Array.from(bytes) };
  }
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 octets, not ${bytes.length}`);
  const text = new ipaddr.IPv6(Array.from(bytes)).toRFC5952String();
  return { family: 'ipv6', text, bytes: Uint8Array.from(bytes) };
}

/** Bits in an address of the family: 32 or 128. */
export function familyBits(family: Family): 32 | 128 {
  return family === 'ipv4' ? 32 : 128;
}

export function isSameIp(a: Ip, b: Ip): boolean {
  return a.text === b.text;
}

export function isSamePrefix(a: Prefix, b: Prefix): boolean {
  return a.length === b.length && a.ip.text === b.ip.text;
}

export function formatPrefix(prefix: Prefix): string {
  return `${prefix.ip.text}/${prefix.length}`;
}

/** Whether the network that `prefix` names contains `ip` (false across families). */
export function prefixContains(prefix: Prefix, ip: Ip): boolean {
  if (prefix.ip.family !== ip.family) return false;
  for (let bit = 0; bit < prefix.length; bit += 8) {
    const mask = bit + 8 <= prefix.length ? 0xff : (0xff << (bit + 8 - prefix.length)) & 0xff;
    const index = bit >> 3;
    if (((prefix.ip.bytes[index] ?? 0) & mask) !== ((ip.bytes[index] ?? 0) & mask)) return false;
  }
  return true;
}

/** fe80::/10 (RFC 4291 §2.5.6). */
export function isLinkLocal(ip: Ip): boolean {
  return ip.family === 'ipv6' && ip.bytes[0] === 0xfe && ((ip.bytes[1] ?? 0) & 0xc0) === 0x80;
}
