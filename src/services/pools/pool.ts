/** A pool from what its source says of it, how many addresses it has, and what it is to the Services of a namespace. */

import type { Family } from '../../base/ip.ts';
import { rangeSize, ipValue } from '../address-range.ts';
import { EVERY_SERVICE, type AddressRange, type Pool, type PoolClosure, type PoolTerms } from '../model.ts';

/** Open to everybody and given automatically, unless said otherwise. */
const PLAIN: Omit<Pool, 'name' | 'shortName' | 'origin' | 'ranges'> = Object.freeze({
  object: undefined,
  labels: Object.freeze({}),
  order: 'ascending',
  isAutoAssigned: true,
  isClosed: false,
  priority: 0,
  avoidsBuggy: false,
  scope: EVERY_SERVICE,
  sharing: 'by-key',
  interfaceName: undefined,
  isDhcp: false,
  needsAdvertisement: false,
});

export function newPool(given: Pick<Pool, 'name' | 'shortName' | 'origin' | 'ranges'> & Partial<Pool>): Pool {
  return { ...PLAIN, ...given };
}

/** The pool, which from now on keeps what it gave and gives nothing new. */
export function closePool(pool: Pool, closure: PoolClosure): Pool {
  return { ...pool, isClosed: true, closure };
}

/** How addresses of the pool are held by Services of the namespace. */
export function poolTerms(pool: Pool, namespace: string): PoolTerms {
  const own = pool.perNamespace;
  return (own !== undefined && Object.hasOwn(own, namespace) ? own[namespace] : undefined) ?? pool;
}

export type PoolSize = Readonly<Record<Family, bigint>>;

/** Addresses the pool may give, in use or not: what it avoids isn't counted, what is reserved is. */
export function poolSize(pool: Pick<Pool, 'ranges' | 'avoidsBuggy'>): PoolSize {
  const size = { ipv4: 0n, ipv6: 0n };
  for (const range of pool.ranges) {
    size[range.first.family] += rangeSize(range) - (pool.avoidsBuggy ? countBuggy(range) : 0n);
  }
  return size;
}

/** IPv4 addresses ending in .0 or .255. */
function countBuggy(range: AddressRange): bigint {
  if (range.first.family === 'ipv6') return 0n;
  const first = ipValue(range.first);
  const last = ipValue(range.last);
  const endingIn0 = last / 256n - (first + 255n) / 256n + 1n;
  const endingIn255 = (last + 1n) / 256n - first / 256n;
  return endingIn0 + endingIn255;
}
