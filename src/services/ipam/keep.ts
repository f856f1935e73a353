/**
 * First of all every Service keeps what its status says it has, the older before the younger: nothing is ever taken away
 * because a pool, a configuration or a wish has changed. What is given up is what can't be served: an address of a
 * family the Service no longer has, a second one of a family that it doesn't ask for, a host name (case 22), and an address that an older
 * Service has and that the two may not share. All that is wrong with an address that is kept is told beside it.
 */

import type { Family, Ip } from '../../base/ip.ts';
import { METALLB_POOL_ANNOTATION, POOL_ANNOTATION } from '../annotations.ts';
import { eachInSteps, type Steps } from '../../base/steps.ts';
import type { Pool, Reason } from '../model.ts';
import { poolTerms } from '../pools/pool.ts';
import { hasFamily, heldOf, hold, remainRefusal, type Claim, type Holding, type Place } from './ledger.ts';
import { isCalled, poolsHolding } from './pool-book.ts';
import { foreignReason, outOfScope, reason, sharedReason, unusableReason } from './refusal.ts';
import { isKeyless } from './sharing.ts';
import { isStatic, STATIC_POOL } from './static-pool.ts';
import type { Table } from './table.ts';

export function* keepAddresses(table: Table): Steps<void> {
  yield* eachInSteps(table.claims, (claim) => {
    const { ingress, hasForeignIngress } = claim.request.service;
    if (hasForeignIngress && claim.refusals.length === 0) {
      const message = 'the status holds a host name, or something that is no address: it is given up';
      claim.complaints.push(reason('', 'ADDRESS_RELEASED', message, { address: 'it' }));
    }
    if (ingress.length > 0) keepOf(table, claim, ingress);
  });
}

function keepOf(table: Table, claim: Claim, ingress: readonly Ip[]): void {
  for (const family of claim.families) {
    const ips = ingress.filter((ip) => ip.family === family);
    keepFamily(table, claim, ips);
  }
  for (const ip of ingress) if (!claim.families.includes(ip.family)) noteUnwanted(claim, ip);
}

/** Everything that is wrong with what the Service has kept. */
export function keptShortcomings(table: Table, claim: Claim): readonly Reason[] {
  const found: Reason[] = [];
  for (const family of claim.families) {
    for (const place of heldOf(claim, family)) {
      if (isInStatus(claim, place.ip)) found.push(...placeShortcomings(table, claim, place));
    }
  }
  return found;
}

/**
 * Of several of one family as many as are asked for by name, those first; else one: the first that is in a pool, else the
 * first. All, when nobody can tell what is asked for. What others hold is passed over.
 */
function keepFamily(table: Table, claim: Claim, ips: readonly Ip[]): void {
  const [first] = ips;
  if (first === undefined) return;
  const isWished = (ip: Ip): boolean => claim.request.addresses.some(({ text }) => text === ip.text);
  const worth = (ip: Ip): number => (isWished(ip) ? 2 : 0) + (isPooled(table, ip) ? 1 : 0);
  const ordered = ips.length === 1 ? ips : ips.toSorted((a, b) => worth(b) - worth(a));
  const family: Family = first.family;
  // What is asked for may be taken by others still: until it moves, it keeps as many as it asks for.
  const wishes = claim.request.addresses.filter((ip) => ip.family === family).length;
  const most = claim.refusals.length > 0 ? ips.length : Math.max(1, wishes);
  const lost: Reason[] = [];
  for (const ip of ordered) {
    if (heldOf(claim, family).length >= most && !isWished(ip)) {
      noteSurplus(claim, ip);
      continue;
    }
    const holding = table.ledger.holdings.get(ip.text);
    const refusal = holding === undefined ? undefined : remainRefusal(holding, claim);
    if (refusal === undefined) hold(table.ledger, claim, { ip, pool: homeOf(table, claim, ip) });
    else {
      const { code, message } = sharedReason('', ip, refusal.claim.request.service, refusal);
      // Of no pool: what its pool says to the Service now is another matter.
      lost.push(reason('', code, `${message}: it stood in both statuses, and the older Service keeps it`));
    }
  }
  if (hasFamily(claim, family)) claim.from = 'kept';
  claim.complaints.push(...lost);
}

function isPooled(table: Table, ip: Ip): boolean {
  return poolsHolding(table.book, ip).length > 0;
}

/** Of several pools that hold the address, the one it was given from as far as that is noted; else one it might have been. */
function homeOf(table: Table, claim: Claim, ip: Ip): Pool | undefined {
  const pools = poolsHolding(table.book, ip);
  if (pools.length === 0) return isStatic(table, claim, ip) ? STATIC_POOL : undefined;
  if (pools.length < 2) return pools[0];
  const { pool: name, service } = claim.request;
  const noted = service.annotations[POOL_ANNOTATION] ?? service.annotations[METALLB_POOL_ANNOTATION];
  const giver = noted === undefined ? undefined : pools.find((pool) => isCalled(pool, noted));
  if (giver !== undefined) return giver;
  const fitting = pools.filter((pool) => outOfScope(table, claim, pool) === undefined);
  return fitting.find((pool) => name !== undefined && isCalled(pool, name)) ?? fitting[0] ?? pools[0];
}

function noteSurplus(claim: Claim, { text }: Ip): void {
  const message = `the status holds ${text} besides: it is not one the Service asks for, and it is given up`;
  claim.complaints.push(reason('', 'ADDRESS_RELEASED', message, { address: text }));
}

function noteUnwanted(claim: Claim, { text }: Ip): void {
  const message = `the status holds ${text}, of a family the Service does not ask for: it is given up`;
  claim.complaints.push(reason('', 'ADDRESS_RELEASED', message, { address: text }));
}

function isInStatus(claim: Claim, ip: Ip): boolean {
  return claim.request.service.ingress.some(({ text }) => text === ip.text);
}

function placeShortcomings(table: Table, claim: Claim, { ip, pool }: Place): readonly Reason[] {
  const found: (Reason | undefined)[] = [];
  if (pool === undefined) {
    found.push(reason('', 'ADDRESS_ORPHANED', `address ${ip.text} is in no pool any more`));
  } else {
    found.push(outOfScope(table, claim, pool));
  }
  found.push(unusableReason(table, ip, pool), foreignReason(table, ip, pool?.name ?? ''));
  const holding = table.ledger.holdings.get(ip.text);
  if (holding !== undefined) found.push(companyReason(claim, holding, pool));
  return found.filter((each) => each !== undefined);
}

/** Two without a key on one address work, and stay; the younger is told, unless the pool is for that. */
function companyReason(claim: Claim, holding: Holding, pool: Pool | undefined): Reason | undefined {
  const [eldest] = holding.claims;
  if (eldest === undefined || eldest === claim || !isKeyless(claim.sharing)) return undefined;
  const isMeant = [claim, eldest].every(
    ({ request }) => pool !== undefined && poolTerms(pool, request.service.namespace).sharing === 'by-ports',
  );
  if (isMeant) return undefined;
  const rule = 'neither has a sharing key';
  const code = 'ADDRESS_NOT_SHAREABLE';
  return sharedReason(pool?.name ?? '', holding.ip, eldest.request.service, { code, rule });
}
