/**
 * Which addresses to ask for on the wire, and through which interface: those of the pools that nobody has, and the virtual
 * IPs while nobody is known to hold them. Of large pools a sample, spread evenly: a DHCP server's range is seldom a single
 * address. An address is asked for through the interface whose subnet holds it, for elsewhere nobody would answer.
 */

import { prefixContains, type Ip } from '../base/ip.ts';
import type { Link } from '../protocol/netlink/records.ts';
import {
  compareIps,
  ipAt,
  ipValue,
  prefixRange,
  rangeIntersection,
  rangeSize,
  sortRanges,
  withoutRanges,
} from '../services/address-range.ts';
import type { AddressRange } from '../services/model.ts';
import { valueOr } from './fact.ts';
import { ingressOf, leaseHolder, subnetsOf, type Subject } from './subject.ts';

/** Addresses asked for in one examination: three probes each are 1.2 s of four frames every 2 ms (RFC 5227 §2.1.1). */
export const PROBED_MAX = 256;
/** linux/if_arp.h. */
const ARPHRD_ETHER = 1;

export interface ProbeTarget {
  readonly link: Link;
  readonly addresses: readonly Ip[];
}

export function planProbes(subject: Subject): readonly ProbeTarget[] {
  const { kernel } = subject.facts.machine;
  if (!kernel.isKnown) return [];
  const subnets = subnetsOf(kernel.value).filter(
    ({ link }) => link.isUp && link.hasCarrier && link.hardwareType === ARPHRD_ETHER && link.mac !== undefined,
  );
  const free = freeRanges(subject);
  const byLink = new Map<Link, Ip[]>();
  const add = (ip: Ip): void => {
    const best = subnets
      .filter(({ prefix }) => prefixContains(prefix, ip))
      .toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
    if (best === undefined) return;
    byLink.set(best.link, [...(byLink.get(best.link) ?? []), ip]);
  };
  for (const ip of vipsToProbe(subject)) add(ip);
  const near = free.flatMap((range) =>
    subnets.flatMap(({ prefix }) => rangeIntersection(range, prefixRange(prefix)) ?? []),
  );
  for (const ip of sample(sortRanges(near), PROBED_MAX)) add(ip);
  return [...byLink].map(([link, addresses]) => ({ link, addresses: addresses.toSorted(compareIps) }));
}

/** Held by nobody as far as the Lease and the local Holdfast tell. */
function vipsToProbe({ facts, vips }: Subject): readonly Ip[] {
  const holder = leaseHolder(facts);
  const isHeld = facts.status.isKnown || (holder.isKnown && holder.value !== '');
  return isHeld ? [] : vips.ips;
}

/** Of the pools, less what anybody in the cluster has. */
function freeRanges({ facts, pools, services, nodes, vips, isServing }: Subject): readonly AddressRange[] {
  // Without the Services every address of them would look like a stranger's.
  if (!isServing || !services.isKnown) return [];
  const own = facts.machine.kernel.isKnown ? facts.machine.kernel.value.addresses.map(({ prefix }) => prefix.ip) : [];
  const gateways = facts.machine.kernel.isKnown
    ? facts.machine.kernel.value.defaultRoutes.flatMap(({ gateway }) => gateway ?? [])
    : [];
  const taken = [
    ...ingressOf(services.value),
    ...valueOr(nodes, []).flatMap(({ addresses }) => addresses),
    ...vips.ips,
    ...own,
    ...gateways,
  ].map((ip) => ({ first: ip, last: ip }));
  return withoutRanges(sortRanges(pools.pools.flatMap(({ ranges }) => ranges)), sortRanges(taken));
}

/** Up to `max` addresses at even distances over all ranges. */
function sample(ranges: readonly AddressRange[], max: number): readonly Ip[] {
  const total = ranges.reduce((sum, range) => sum + rangeSize(range), 0n);
  const count = total < BigInt(max) ? Number(total) : max;
  const addresses: Ip[] = [];
  let passed = 0n;
  let next = 0;
  for (const range of ranges) {
    const size = rangeSize(range);
    for (; next < count; next += 1) {
      const place = (BigInt(next) * total) / BigInt(count);
      if (place >= passed + size) break;
      addresses.push(ipAt(range.first.family, ipValue(range.first) + place - passed));
    }
    passed += size;
  }
  return addresses;
}
