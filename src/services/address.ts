/**
 * From Services to addresses: an address is what has an owner, so all Services that have it stand on it together. In
 * numeric order, IPv4 first, whatever the order of the allocations.
 */

import type { Ip } from '../base/ip.ts';
import { compareIps, rangeContains } from './address-range.ts';
import { compareCreation } from './creation.ts';
import type { Allocation, Pool, ServiceAddress } from './model.ts';
import { compareNames } from './rendezvous.ts';

/** One for each distinct address; the Services on it by creation, then key. */
export function serviceAddresses(
  allocations: readonly Allocation[],
  pools: readonly Pool[],
): readonly ServiceAddress[] {
  const found = new Map<string, { readonly address: Ip; readonly allocations: Allocation[] }>();
  for (const allocation of allocations) {
    for (const address of allocation.addresses) {
      const open = found.get(address.text);
      if (open === undefined) found.set(address.text, { address, allocations: [allocation] });
      else if (!open.allocations.includes(allocation)) open.allocations.push(allocation);
    }
  }
  const byName = new Map(pools.map((pool) => [pool.name, pool]));
  return [...found.values()]
    .sort((a, b) => compareIps(a.address, b.address))
    .map(({ address, allocations }) => {
      allocations.sort(compareAllocations);
      return { address, pool: poolOf(address, allocations, { pools, byName }), allocations };
    });
}

function compareAllocations({ service: a }: Allocation, { service: b }: Allocation): number {
  return compareCreation(a.createdAt, b.createdAt) || compareNames(a.key, b.key);
}

/** The pool it was allocated from if the address is in it (of several addresses, the pool is the first one's), else any. */
function poolOf(
  address: Ip,
  allocations: readonly Allocation[],
  { pools, byName }: { readonly pools: readonly Pool[]; readonly byName: ReadonlyMap<string, Pool> },
): Pool | undefined {
  for (const allocation of allocations) {
    const named = byName.get(allocation.pool);
    if (named !== undefined && holds(named, address)) return named;
  }
  return pools.find((pool) => holds(pool, address));
}

function holds(pool: Pool, address: Ip): boolean {
  return pool.ranges.some((range) => rangeContains(range, address));
}
