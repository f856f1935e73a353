/**
 * Which addresses to ask for on the wire, and through which interface: those of the pools that nobody has, and the virtual
 * IPs while nobody is known to hold them. Of large pools a sample: a DHCP server's range is seldom a single address. One is asked for through the interface whose subnet holds it, for elsewhere nobody would answer.
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
function freeRanges({ facts, pools, services, isServing }: Subject): readonly AddressRange[] {
  // Without the Services every address of them would look like a stranger's.
  if (!isServing || !services.isKnown) return [];
  const { kernel } = facts.machine;
  const own = kernel.isKnown ? kernel.value.addresses.map(({ prefix }) => prefix.ip) : [];
  const taken = [...ingressOf(services.value), ...own].map((ip) => ({ first: ip, last: ip }));
  return withoutRanges(pools.usable, sortRanges(taken));
}

/** Up to `max` addresses: small ranges whole, of the others an equal share each. */
function sample(ranges: readonly AddressRange[], max: number): readonly Ip[] {
  const bySize = ranges.map((range) => ({ range, size: rangeSize(range) }));
  bySize.sort((a, b) => (a.size < b.size ? -1 : Number(a.size > b.size)));
  let left = max;
  return bySize.flatMap(({ range, size }, index) => {
    const share = Math.ceil(left / (bySize.length - index));
    const count = size < BigInt(share) ? Number(size) : share;
    left -= count;
    return sampleOf(range, size, count);
  });
}

/** Half of them the first ones, which are given next; the others at even distances over the rest. */
function sampleOf({ first }: AddressRange, size: bigint, count: number): readonly Ip[] {
  const begin = Math.ceil(count / 2);
  const [rest, spread] = [size - BigInt(begin), BigInt(count - begin)];
  return Array.from({ length: count }, (_, index) => {
    const place = index < begin ? BigInt(index) : BigInt(begin) + (BigInt(index - begin) * rest) / spread;
    return ipAt(first.family, ipValue(first) + place);
  });
}
