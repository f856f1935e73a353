/**
 * `address` and `vip_subnet` to the list of virtual IPs. Refuses what no machine can own on a network, what different
 * tools read differently (leading zeros, IPv4-mapped), and prefix lengths that would silently be wrong for one family.
 */

import {
  familyBits,
  ipFromBytes,
  isLinkLocal,
  parseIp,
  prefixContains,
  type Family,
  type Ip,
  type IpReason,
} from '../base/ip.ts';
import type { NameFamilies, VipSource } from './config.ts';
import { finding, type Findings } from './finding.ts';
import { parseInteger } from './value.ts';

/** More virtual IPs than any control plane has; each costs probes and frames. */
const ADDRESSES_MAX = 16;

/** RFC 1123 §2.1 labels, RFC 1035 §2.3.4 lengths; a last dot is allowed, an all-numeric last label is not. */
const DNS_NAME =
  /^(?=.{1,253}\.?$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+\.?$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?$/i;

const REASONS: Readonly<Record<IpReason, string>> = {
  'not-an-address': 'is neither an IP address nor a DNS name',
  'leading-zero': 'has an octet with a leading zero, which some programs read as octal',
  zone: 'has a zone (%interface); vip_interface names the interface',
  'ipv4-mapped': 'is an IPv4 address in IPv6 clothes; write the IPv4 address',
};

export interface PrefixLengths {
  readonly ipv4: number;
  readonly ipv6: number;
}

/** One entry of `address` before prefix lengths are known. */
export type AddressEntry = { readonly kind: 'ip'; readonly ip: Ip } | { readonly kind: 'name'; readonly name: string };

/** The entries of `text`; each wrong one is a problem of `name` (`address` or `vip_address`). */
export function parseAddresses(name: string, text: string, findings: Findings): readonly AddressEntry[] {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  const seen = new Set<string>();
  const entries: AddressEntry[] = [];
  if (items.length > ADDRESSES_MAX) {
    const message = `${name} has ${items.length} entries; at most ${ADDRESSES_MAX} are held`;
    findings.problems.push(
      finding('CONFIG_ADDRESS_INVALID', name, message, { expected: `at most ${ADDRESSES_MAX} addresses` }),
    );
    return [];
  }
  for (const item of items) {
    const entry = parseEntry(name, item, findings);
    if (entry === undefined) continue;
    const key = entry.kind === 'ip' ? entry.ip.text : entry.name.toLowerCase().replace(/\.$/, '');
    if (seen.has(key)) {
      findings.problems.push(
        finding('CONFIG_ADDRESS_DUPLICATE', name, `${key} is given twice in ${name}`, { address: key }),
      );
    } else {
      seen.add(key);
      entries.push(entry);
    }
  }
  return entries;
}

/**
 * Prefix lengths out of vip_subnet for these entries, the family's full length where it says nothing. kube-vip gives a
 * single number to both families; here that is a problem when both are present, for `32` on IPv6 is never meant.
 */
export function parseSubnet(text: string, entries: readonly AddressEntry[], findings: Findings): PrefixLengths {
  const fallback: PrefixLengths = { ipv4: 32, ipv6: 128 };
  if (text === '' || entries.length === 0) return fallback;
  const hasName = entries.some((entry) => entry.kind === 'name');
  const has = (family: Family): boolean => entries.some((entry) => entry.kind === 'ip' && entry.ip.family === family);
  const expected =
    hasName || (has('ipv4') && has('ipv6'))
      ? '"32,128" (IPv4 first)'
      : has('ipv4')
        ? '"32" or another length up to 32'
        : '"128" or another length up to 128';
  const refuse = (message: string): PrefixLengths => {
    findings.problems.push(finding('CONFIG_SUBNET_INVALID', 'vip_subnet', message, { expected }));
    return fallback;
  };

  const parts = text.split(',').map((part) => part.trim());
  if (parts.some((part) => part.toLowerCase() === 'auto')) {
    return refuse('vip_subnet "auto" is for Services without an address, not for the virtual IP');
  }
  const lengths = parts.map((part) => parseInteger(part.replace(/^\//, '')));
  const [first, second] = lengths;
  if (
    parts.length > 2 ||
    first === undefined ||
    first < 0 ||
    (parts.length === 2 && (second === undefined || second < 0))
  ) {
    return refuse(`vip_subnet "${text}" is not a prefix length, nor two separated by a comma`);
  }
  if (second === undefined) {
    if (has('ipv4') && has('ipv6')) {
      return refuse(`vip_subnet "${text}" gives one prefix length, but there are addresses of both families`);
    }
    if (hasName && !has('ipv4') && !has('ipv6')) {
      return first <= 32
        ? { ...fallback, ipv4: first }
        : first <= 128
          ? { ...fallback, ipv6: first }
          : refuse(tooLong('ipv6', first));
    }
    const family: Family = has('ipv4') ? 'ipv4' : 'ipv6';
    if (first > familyBits(family)) return refuse(tooLong(family, first));
    if (family === 'ipv6' && first <= 32) warnShortPrefix(first, findings);
    return { ...fallback, [family]: first };
  }
  if (first > 32) return refuse(`${tooLong('ipv4', first)}; the IPv4 length comes first`);
  if (second > 128) return refuse(tooLong('ipv6', second));
  if (has('ipv6') && second <= 32) warnShortPrefix(second, findings);
  return { ipv4: first, ipv6: second };
}

/** Entries with their prefix lengths; an address that is the network or broadcast address of its prefix is a problem. */
export function toVipSources(
  name: string,
  entries: readonly AddressEntry[],
  lengths: PrefixLengths,
  families: NameFamilies,
  findings: Findings,
): readonly VipSource[] {
  const hasIpv4 = entries.some((entry) => entry.kind === 'name' || entry.ip.family === 'ipv4');
  if (hasIpv4) warnNetworkLength(lengths.ipv4, findings);
  return entries.map((entry) => {
    if (entry.kind === 'name') return { kind: 'name', name: entry.name, families, prefixLengths: lengths };
    const prefixLength = lengths[entry.ip.family];
    if (isEdgeOfPrefix(entry.ip, prefixLength)) {
      const message = `${entry.ip.text} is the network or broadcast address of ${entry.ip.text}/${prefixLength}`;
      findings.problems.push(finding('CONFIG_ADDRESS_UNUSABLE', name, message));
    }
    return { kind: 'ip', ip: entry.ip, prefixLength };
  });
}

/** What vip_subnet amounts to, in its own form. */
export function formatSubnet(entries: readonly AddressEntry[], lengths: PrefixLengths): string {
  const families = new Set(
    entries.flatMap((entry) => (entry.kind === 'ip' ? [entry.ip.family] : (['ipv4', 'ipv6'] as const))),
  );
  return (['ipv4', 'ipv6'] as const)
    .filter((family) => families.has(family))
    .map((family) => lengths[family])
    .join(',');
}

function parseEntry(name: string, item: string, findings: Findings): AddressEntry | undefined {
  const refuse = (message: string, expected: string): undefined => {
    findings.problems.push(finding('CONFIG_ADDRESS_INVALID', name, `${name}: "${item}" ${message}`, { expected }));
  };
  const slash = /^\[?([^\]/]+)\]?\/(\d+)$/.exec(item);
  if (slash !== null) {
    return refuse('has a prefix length; vip_subnet holds it', `${slash[1]} in ${name} and ${slash[2]} in vip_subnet`);
  }
  if (/^\[.*\]$/.test(item)) return refuse('is in brackets', item.slice(1, -1));
  const ip = parseIp(item);
  if (ip.ok) {
    const kind = unusableKind(ip.value);
    if (kind === undefined) return { kind: 'ip', ip: ip.value };
    findings.problems.push(finding('CONFIG_ADDRESS_UNUSABLE', name, `${name}: ${item} is ${kind}`));
    return undefined;
  }
  if (ip.reason === 'not-an-address' && DNS_NAME.test(item)) return { kind: 'name', name: item };
  return refuse(
    REASONS[ip.reason],
    'an IPv4 address such as 192.0.2.10, an IPv6 address such as 2001:db8::10, or a DNS name',
  );
}

/** Why no machine can own this address on a network; undefined when one can. */
function unusableKind(ip: Ip): string | undefined {
  const [first = 0] = ip.bytes;
  if (ip.bytes.every((octet) => octet === 0)) return 'the unspecified address (DHCP is not supported for it)';
  if (ip.family === 'ipv4') {
    if (ip.bytes.every((octet) => octet === 255)) return 'the broadcast address';
    if (first === 0) return 'of "this network" (RFC 1122 §3.2.1.3)';
    if (first === 127) return 'a loopback address';
    if (first >= 224 && first <= 239) return 'a multicast address';
    return first >= 240 ? 'reserved (RFC 1112 §4)' : undefined;
  }
  if (first === 0xff) return 'a multicast address';
  if (ip.text === '::1') return 'the loopback address';
  return isLinkLocal(ip) ? 'a link-local address, which clients cannot use without naming an interface' : undefined;
}

/** IPv4 only, up to /30: in /31 (RFC 3021) and /32 every address is a host's. */
function isEdgeOfPrefix(ip: Ip, length: number): boolean {
  if (ip.family !== 'ipv4' || length > 30) return false;
  const edge = (fill: number): Ip => {
    const bytes = ip.bytes.map((octet, index) => {
      const mask = (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff;
      return (octet & mask) | (fill & ~mask & 0xff);
    });
    return ipFromBytes(bytes);
  };
  return [edge(0), edge(0xff)].some(
    (candidate) => candidate.text === ip.text && prefixContains({ ip, length }, candidate),
  );
}

function tooLong(family: Family, length: number): string {
  return `vip_subnet ${length} is more than the ${familyBits(family)} bits of an ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`;
}

/**
 * Of the IPv4 addresses of one network on an interface the first is primary and the others its secondaries, which go with
 * it (Linux net/ipv4/devinet.c, __inet_del_ifa). Usually the node's own came first, but not after it was set anew. IPv6
 * knows no secondaries.
 */
function warnNetworkLength(length: number, findings: Findings): void {
  if (length === familyBits('ipv4')) return;
  const message = `vip_subnet puts the virtual IP on the interface with a prefix of ${length} bits: if it comes before an address of the node in the same network, the kernel removes that one together with the virtual IP`;
  findings.warnings.push(finding('CONFIG_SUBNET_WIDE', 'vip_subnet', message));
}

function warnShortPrefix(length: number, findings: Findings): void {
  const message = `vip_subnet gives the IPv6 address a prefix of only ${length} bits; that is an IPv4 habit and routes a /${length} to the interface`;
  findings.warnings.push(
    finding('CONFIG_VALUE_ADJUSTED', 'vip_subnet', message, { expected: '128 (or 32,128 for both families)' }),
  );
}
