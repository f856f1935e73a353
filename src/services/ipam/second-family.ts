/**
 * Where the second family of a Service may come from. MetalLB and kube-vip give both from one pool: one IPAddressPool, one key
 * of the ConfigMap. Cilium's pools are asked family by family, and so are those of `svc_pools`, which is often written as one
 * pool for each.
 */

import type { Family } from '../../base/ip.ts';
import type { Pool } from '../model.ts';
import { choose, type Chooser } from './chooser.ts';
import type { Claim, Place } from './ledger.ts';
import { candidatePools, openPools } from './refusal.ts';

export function isCombinable({ origin }: Pool): boolean {
  return origin === 'cilium' || origin === 'environment';
}

/** From the pool, or from another one that may be combined with it. */
export function chooseBeside(chooser: Chooser, claim: Claim, pool: Pool, family: Family): Place | undefined {
  const ip = choose(chooser, claim, pool, family);
  if (ip !== undefined) return { ip, pool };
  if (!isCombinable(pool)) return undefined;
  const candidates = candidatePools(chooser.table, claim);
  if ('code' in candidates) return undefined;
  const others = openPools(chooser.table, claim, candidates).filter((other) => other !== pool && isCombinable(other));
  return chooseAmong(chooser, claim, others, family);
}

/** From the first that has one. */
export function chooseAmong(chooser: Chooser, claim: Claim, pools: readonly Pool[], family: Family): Place | undefined {
  for (const pool of pools) {
    const ip = choose(chooser, claim, pool, family);
    if (ip !== undefined) return { ip, pool };
  }
  return undefined;
}
