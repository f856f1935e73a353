/**
 * What Services ask for by name. First those that have something: one that asks for another address, or for a pool its
 * address isn't of, moves there when all it asks for can be had, and otherwise stays where it is and is told why. Moving
 * frees addresses that others may be waiting for, so this is gone through until nothing moves any more. Then those that
 * have nothing: they get what they ask for, or nothing.
 *
 * An address that no pool holds is never moved because of a pool: its pool was edited, and nobody asked for a change.
 */

import type { Ip } from '../../base/ip.ts';
import type { Reason } from '../model.ts';
import { choose, giveBack, type Chooser } from './chooser.ts';
import { heldOf, hold, release, type Claim, type Place } from './ledger.ts';
import { isCalled } from './pool-book.ts';
import { candidatePools, findPlace, lackReason, poolRefusal } from './refusal.ts';
import { chooseBeside } from './second-family.ts';
import { heldPlaces, missingFamilies, type Table } from './table.ts';

/** Rounds in which Services move into places that others have left; chains longer than that end in the next allocation. */
export const MOVE_ROUNDS_MAX = 16;

/** Addresses asked for by Services that don't have them. */
export function wishedAddresses(table: Table): ReadonlySet<string> {
  const wished = new Set<string>();
  for (const claim of table.claims) {
    if (claim.refusals.length === 0) for (const { text } of unmetWishes(claim)) wished.add(text);
  }
  return wished;
}

export function moveToWishes(table: Table, chooser: Chooser): void {
  let waiting = table.claims.filter(
    ({ request, refusals, from }) =>
      from === 'kept' && refusals.length === 0 && (request.addresses.length > 0 || request.pool !== undefined),
  );
  const blocked = new Map<Claim, readonly Reason[]>();
  for (let round = 0; round < MOVE_ROUNDS_MAX && waiting.length > 0; round++) {
    const { releases } = table.ledger;
    waiting = waiting.filter((claim) => {
      const reasons =
        claim.request.addresses.length > 0 ? moveToAddresses(table, chooser, claim) : moveToPool(table, chooser, claim);
      blocked.set(claim, reasons);
      return reasons.length > 0;
    });
    if (table.ledger.releases === releases) break;
  }
  for (const claim of waiting) claim.complaints.push(...(blocked.get(claim) ?? []));
}

/** What it asks for and, in both families, what is missing then; all of it, but what PreferDualStack can do without. */
export function grantRequest(table: Table, chooser: Chooser, claim: Claim): void {
  const places: Place[] = [];
  const reasons: Reason[] = [];
  for (const ip of claim.request.addresses) {
    const found = findPlace(table, claim, ip);
    if ('pool' in found) places.push({ ip, pool: found.pool });
    else reasons.push(...found.reasons);
  }
  claim.reasons = reasons;
  const pool = places[0]?.pool;
  if (reasons.length > 0 || pool === undefined) return;
  for (const family of missingFamilies(claim)) {
    if (places.some(({ ip }) => ip.family === family)) continue;
    const place = chooseBeside(chooser, claim, pool, family);
    if (place !== undefined) places.push(place);
    else if (claim.request.isDualRequired) {
      claim.reasons = [lackReason(table, pool, family)];
      return;
    }
  }
  for (const place of places) hold(table.ledger, claim, place);
  claim.from = 'requested';
}

/** Empty: it has what it asks for. */
function moveToAddresses(table: Table, chooser: Chooser, claim: Claim): readonly Reason[] {
  const places: Place[] = [];
  const reasons: Reason[] = [];
  for (const ip of unmetWishes(claim)) {
    const found = findPlace(table, claim, ip);
    if ('pool' in found) places.push({ ip, pool: found.pool });
    else reasons.push(...found.reasons);
  }
  if (reasons.length > 0 || places.length === 0) return reasons;
  move(table, chooser, claim, places);
  claim.from = 'requested';
  return reasons;
}

function moveToPool(table: Table, chooser: Chooser, claim: Claim): readonly Reason[] {
  const { pool: name } = claim.request;
  const strays = claim.families.filter((family) => {
    const pool = heldOf(claim, family)[0]?.pool;
    return name !== undefined && pool !== undefined && !isCalled(pool, name);
  });
  if (strays.length === 0) return [];
  const candidates = candidatePools(table, claim);
  if ('code' in candidates) return [candidates];
  const reasons: Reason[] = [];
  for (const pool of candidates) {
    const refusal = poolRefusal(table, claim, pool);
    if (refusal !== undefined) {
      reasons.push(refusal);
      continue;
    }
    const places: Place[] = [];
    for (const family of strays) {
      const ip = choose(chooser, claim, pool, family);
      if (ip !== undefined) places.push({ ip, pool });
      else {
        reasons.push(lackReason(table, pool, family));
        break;
      }
    }
    if (places.length < strays.length) continue;
    move(table, chooser, claim, places);
    claim.from = 'pool';
    return [];
  }
  return reasons;
}

/** Into these places, out of those of their families that aren't asked for. */
function move(table: Table, chooser: Chooser, claim: Claim, places: readonly Place[]): void {
  const families = new Set(places.map(({ ip }) => ip.family));
  for (const { ip } of Array.from(claim.held)) {
    const isWished = claim.request.addresses.some(({ text }) => text === ip.text);
    if (!families.has(ip.family) || isWished) continue;
    release(table.ledger, claim, ip);
    if (!table.ledger.holdings.has(ip.text)) giveBack(chooser, ip);
  }
  for (const place of places) hold(table.ledger, claim, place);
}

function unmetWishes(claim: Claim): readonly Ip[] {
  const held = heldPlaces(claim);
  return claim.request.addresses.filter(({ text }) => !held.some((ip) => ip.text === text));
}
