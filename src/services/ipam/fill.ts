/**
 * Those that ask for nothing in particular, in order of creation: the first pool that has what they need. Both families
 * come from one pool, or from two that may be combined (second-family.ts); failing that, PreferDualStack takes what there is
 * (its first family before its second), and the other family is added once there is one.
 *
 * Two families weigh more than the priority of a pool: the priority orders the pools that can give what was asked for.
 */

import type { Family } from '../../base/ip.ts';
import { eachInSteps, type Steps } from '../../base/steps.ts';
import type { Pool, Reason } from '../model.ts';
import { choose, type Chooser } from './chooser.ts';
import { heldOf, hold, type Claim, type Place } from './ledger.ts';
import {
  automaticRefusal,
  candidatePools,
  FAMILY_NAMES,
  lackReason,
  openPools,
  pollPools,
  poolRefusal,
  reason,
} from './refusal.ts';
import { chooseAmong, chooseBeside, isCombinable } from './second-family.ts';
import { missingFamilies, type Table } from './table.ts';
import { grantRequest } from './wishes.ts';

export function* fillFromPools(table: Table, chooser: Chooser): Steps<void> {
  yield* eachInSteps(table.claims, (claim) => {
    if (claim.refusals.length > 0) return;
    if (claim.held.length === 0) {
      if (claim.request.addresses.length > 0) grantRequest(table, chooser, claim);
      else chooseFor(table, chooser, claim);
    }
    if (claim.held.length > 0) complete(table, chooser, claim);
  });
}

function chooseFor(table: Table, chooser: Chooser, claim: Claim): void {
  const candidates = candidatePools(table, claim);
  if ('code' in candidates) {
    claim.reasons = [candidates];
    return;
  }
  const open = openPools(table, claim, candidates);
  const { families, isDualRequired } = claim.request;
  if (takeFirst(table, chooser, claim, { pools: open, families })) return;
  if (families.length > 1 && takeSeveral(table, chooser, claim, open)) return;
  if (families.length > 1 && !isDualRequired) {
    for (const family of families) if (takeFirst(table, chooser, claim, { pools: open, families: [family] })) return;
  }
  claim.reasons = pollPools(
    table,
    claim,
    candidates,
    (pool) => poolRefusal(table, claim, pool) ?? automaticRefusal(claim, pool) ?? lackOf(table, chooser, claim, pool),
  );
}

/** From the first of the pools that has all the families. */
function takeFirst(
  table: Table,
  chooser: Chooser,
  claim: Claim,
  { pools, families }: { readonly pools: readonly Pool[]; readonly families: readonly Family[] },
): boolean {
  for (const pool of pools) {
    const places: Place[] = [];
    for (const family of families) {
      const ip = choose(chooser, claim, pool, family);
      if (ip === undefined) break;
      places.push({ ip, pool });
    }
    if (places.length < families.length) continue;
    for (const place of places) hold(table.ledger, claim, place);
    claim.from = 'pool';
    return true;
  }
  return false;
}

/** Each family from the first pool that has it, of pools that may be combined. */
function takeSeveral(table: Table, chooser: Chooser, claim: Claim, pools: readonly Pool[]): boolean {
  const places: Place[] = [];
  for (const family of claim.request.families) {
    const place = chooseAmong(chooser, claim, pools.filter(isCombinable), family);
    if (place === undefined) return false;
    places.push(place);
  }
  for (const place of places) hold(table.ledger, claim, place);
  claim.from = 'pool';
  return true;
}

function lackOf(table: Table, chooser: Chooser, claim: Claim, pool: Pool): Reason {
  const { families } = claim.request;
  const lacking = families.find((family) => choose(chooser, claim, pool, family) === undefined);
  return lackReason(table, pool, lacking ?? families[0] ?? 'ipv4');
}

/** The family it lacks, from the pool of the one it has; unless it asks for an address of it, which it was refused. */
function complete(table: Table, chooser: Chooser, claim: Claim): void {
  for (const family of missingFamilies(claim)) {
    const pool = claim.families.map((each) => heldOf(claim, each)[0]).find((place) => place !== undefined)?.pool;
    const isWished = claim.request.addresses.some((ip) => ip.family === family);
    const refusal = pool === undefined || isWished ? undefined : poolRefusal(table, claim, pool);
    const place =
      pool === undefined || isWished || refusal !== undefined ? undefined : chooseBeside(chooser, claim, pool, family);
    if (place !== undefined) {
      hold(table.ledger, claim, place);
      continue;
    }
    const head = `no ${FAMILY_NAMES[family]} address`;
    const cause = isWished || pool === undefined ? '' : `: ${(refusal ?? lackReason(table, pool, family)).message}`;
    claim.complaints.push(reason(pool?.name ?? '', 'DUAL_STACK_INCOMPLETE', `${head}${cause}`));
  }
}
