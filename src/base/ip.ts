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
    const octets = text.split('.');
    if (octets.some((octet) => octet.length > 1 && octet.startsWith('0'))) return refused('leading-zero', text);
    if (octets.some((octet) => Number(octet) > 255)) return refused('not-an-address', text);
    return ok(ipv4(new Uint8Array(octets.map(Number))));
  }
  if (text.includes('%')) return refused('zone', text);
  if (/:0\d+\.|\.0\d/.test(text)) return refused('leading-zero', text);
  const parsed = text.includes(':') ? parseIpv6(text) : undefined;
  if (parsed === undefined) return refused('not-an-address', text);
  if (isIpv4Mapped(parsed)) return refused('ipv4-mapped', text);
  return ok(ipv6(new Uint8Array(parsed.toByteArray()), parsed));
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2). The library's own test goes through every special range first. */
function isIpv4Mapped({ parts }: ipaddr.IPv6): boolean {
  return parts[5] === 0xffff && parts.slice(0, 5).every((part) => part === 0);
}

function parseIpv6(text: string): ipaddr.IPv6 | undefined {
  try {
    return ipaddr.IPv6.parse(text);
  } catch {
    return undefined;
  }
}

/** An Ip from 4 or 16 octets in network order; the octets are copied. Throws RangeError on any other length. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return ipv4(new Uint8Array(bytes));
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 octets, not ${bytes.length}`);
  return ipv6(new Uint8Array(bytes), new ipaddr.IPv6(Array.from(bytes)));
}

function ipv4(bytes: Uint8Array): Ip {
  return { family: 'ipv4', text: bytes.join('.'), bytes };
}

function ipv6(bytes: Uint8Array, parsed: ipaddr.IPv6): Ip {
  return { family: 'ipv6', text: parsed.toRFC5952String(), bytes };
}

/** Bits in an address of the family: 32 or 128. */
export function familyBits(family: Family): 32 | 128 {
  return family === 'ipv4' ? 32 : 128;
}

export function isSameIp(a: Ip, b: Ip): boolean {
  return a.text === b.text;
}

/** In the same order. */
export function isSameIps(a: readonly Ip[], b: readonly Ip[]): boolean {
  return a.length === b.length && a.every((ip, index) => ip.text === b[index]?.text);
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
