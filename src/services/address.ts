/**
 * From Services to addresses: an address is what has an owner, so all Services that have it stand on it together. In
 * numeric order, IPv4 first, whatever the order of the allocations.
 */

import { eachInSteps, finish, mapInSteps, type Steps } from '../base/steps.ts';
import type { Ip } from '../base/ip.ts';
import { isSameValues } from '../base/lists.ts';
import { compareIps, rangeContains } from './address-range.ts';
import { compareCreation } from './creation.ts';
import type { Allocation, Pool, ServiceAddress } from './model.ts';
import { compareNames } from './rendezvous.ts';
import { reuseOf } from './reuse.ts';

/** One for each distinct address; the Services on it by creation, then key. */
export function serviceAddresses(
  allocations: readonly Allocation[],
  pools: readonly Pool[],
): readonly ServiceAddress[] {
  return finish(serviceAddressesInSteps(allocations, pools));
}

/** `before`: those of the last time, which are used again where they say the same. */
export function* serviceAddressesInSteps(
  allocations: readonly Allocation[],
  pools: readonly Pool[],
  before: readonly ServiceAddress[] = [],
): Steps<readonly ServiceAddress[]> {
  const found = new Map<string, { readonly address: Ip; readonly allocations: Allocation[] }>();
  yield* eachInSteps(allocations, (allocation) => {
    for (const address of allocation.addresses) {
      const open = found.get(address.text);
      if (open === undefined) found.set(address.text, { address, allocations: [allocation] });
      else if (!open.allocations.includes(allocation)) open.allocations.push(allocation);
    }
  });
  const byName = new Map(pools.map((pool) => [pool.name, pool]));
  const sorted = [...found.values()].sort((a, b) => compareIps(a.address, b.address));
  yield;
  const reuse = reuseOf(before, (a, b) => compareIps(a.address, b.address), isSameAddress);
  return yield* mapInSteps(sorted, ({ address, allocations: own }) => {
    own.sort(compareAllocations);
    return reuse({ address, pool: poolOf(address, own, { pools, byName }), allocations: own });
  });
}

function isSameAddress(a: ServiceAddress, b: ServiceAddress): boolean {
  return a.pool === b.pool && isSameValues(a.allocations, b.allocations);
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
