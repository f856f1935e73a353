/**
 * Addresses written into a Service by hand, as kube-vip serves them: it knows no pools, the address that its annotation names
 * (or spec.loadBalancerIP) is the Service's. Whoever comes from there finds that they still are, as long as there are no
 * pools or only kube-vip's own; with other pools an address has to be in one, as MetalLB and Cilium have it. Those pools are
 * where an administrator says what may be given to whom: an annotation, which any user of a namespace can write, must not get
 * around them. What is in a status is kept in any case (keep.ts).
 */

import type { Ip } from '../../base/ip.ts';
import { EVERY_SERVICE, type Pool } from '../model.ts';
import type { Claim } from './ledger.ts';
import { poolsHolding } from './pool-book.ts';
import type { Table } from './table.ts';

/** What such an address counts as being of; told as no pool. Two Services with other ports may name one address. */
export const STATIC_POOL: Pool = {
  name: '',
  shortName: '',
  origin: 'kube-vip',
  object: undefined,
  labels: {},
  ranges: [],
  order: 'ascending',
  isAutoAssigned: false,
  isClosed: false,
  priority: 0,
  avoidsBuggy: false,
  scope: EVERY_SERVICE,
  sharing: 'by-ports',
  interfaceName: undefined,
  isDhcp: false,
  needsAdvertisement: false,
};

/** Whether the Service names this address itself, and no pool is asked for it. */
export function isStatic(table: Table, { request }: Claim, ip: Ip): boolean {
  if (request.pool !== undefined || !request.addresses.some(({ text }) => text === ip.text)) return false;
  if (poolsHolding(table.book, ip).length > 0) return false;
  const isKubeVip = request.addressesFrom.startsWith('kube-vip.io/') || request.addressesFrom === 'spec.loadBalancerIP';
  return isKubeVip && table.book.ordered.every(({ origin }) => origin === 'kube-vip');
}
