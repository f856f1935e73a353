/**
 * Who has which address while an allocation is worked out, and what speaks against one more Service on it. Mutable, and
 * never seen outside `allocate`: it begins empty with each call.
 */

import type { Family, Ip } from '../../base/ip.ts';
import { isBuggy } from '../address-search.ts';
import type { Pool, Reason, ServiceRequest } from '../model.ts';
import { poolTerms } from '../pools/pool.ts';
import { poolsHolding, type PoolBook } from './pool-book.ts';
import {
  byPortsRefusal,
  hasUnknownPorts,
  isKeyless,
  keyRefusal,
  stayRefusal,
  type Sharing,
  type SharingRefusal,
} from './sharing.ts';

/** Services that may come to share one address; what is on it already stays. */
export const SHARERS_MAX = 1_000;

/** An address a Service has, and the pool it counts as being of; undefined: none holds it. */
export interface Place {
  readonly ip: Ip;
  readonly pool: Pool | undefined;
}

/** One Service of ours, and what becomes of it. */
export interface Claim {
  readonly request: ServiceRequest;
  readonly sharing: Sharing;
  /** Families to be had, in order; the request's, unless it is refused: then those of the status as well. */
  readonly families: readonly Family[];
  /** Why it gets nothing new; empty: it may. */
  readonly refusals: readonly Reason[];
  readonly held: Partial<Record<Family, Place>>;
  from: 'kept' | 'requested' | 'pool';
  /** What of the status it lost, and why its wishes can't be met. */
  readonly complaints: Reason[];
  /** When it has nothing: why, pool by pool. */
  reasons: readonly Reason[];
}

export interface Holding {
  readonly ip: Ip;
  readonly pools: readonly Pool[];
  readonly claims: Claim[];
  /** Who has an endpoint (TCP/80, and by number 80) of it; made when first asked for. */
  byPort: Map<string, Claim> | undefined;
}

/** Addresses of one pool and family that Services on the same terms may share, as they came. */
export interface ShareGroup {
  readonly ips: Ip[];
  /** By port: those before this index have it. */
  readonly cursors: Map<string, number>;
  /** Ledger.releases when the cursors were last true. */
  releases: number;
}

export interface Ledger {
  readonly book: PoolBook;
  readonly holdings: Map<string, Holding>;
  readonly groups: Map<Pool, Map<string, ShareGroup>>;
  /** Addresses in use that the pool may give: those it avoids aren't counted (as in poolSize). */
  readonly used: Map<Pool, Record<Family, number>>;
  releases: number;
}

export function openLedger(book: PoolBook): Ledger {
  return { book, holdings: new Map(), groups: new Map(), used: new Map(), releases: 0 };
}

export function hold(ledger: Ledger, claim: Claim, { ip, pool }: Place): void {
  let holding = ledger.holdings.get(ip.text);
  if (holding === undefined) {
    holding = { ip, pools: poolsHolding(ledger.book, ip), claims: [], byPort: undefined };
    ledger.holdings.set(ip.text, holding);
    countUsed(ledger, holding, 1);
  }
  holding.claims.push(claim);
  if (holding.byPort !== undefined) notePorts(holding.byPort, claim);
  claim.held[ip.family] = { ip, pool };
  for (const each of holding.pools) noteGroup(ledger, each, claim, ip);
}

export function release(ledger: Ledger, claim: Claim, ip: Ip): void {
  const holding = ledger.holdings.get(ip.text);
  const place = holding?.claims.indexOf(claim) ?? -1;
  if (holding === undefined || place < 0) return;
  delete claim.held[ip.family];
  ledger.releases += 1;
  holding.claims.splice(place, 1);
  holding.byPort = undefined;
  if (holding.claims.length > 0) return;
  ledger.holdings.delete(ip.text);
  countUsed(ledger, holding, -1);
}

/** On which terms the Service would share addresses of the pool; undefined: with nobody. */
export function shareGroupName(pool: Pool, { sharing }: Claim, family: Family): string | undefined {
  if (hasUnknownPorts(sharing)) return undefined;
  if (!isKeyless(sharing)) return `${family} ${sharing.request.sharingKey}`;
  if (family === 'ipv6' || poolTerms(pool, sharing.request.service.namespace).sharing === 'by-key') return undefined;
  return sharing.numbers.length === 0 ? undefined : family;
}

/** What the Service must not have in common with others of the group. */
export function groupPorts({ sharing }: Claim): readonly string[] {
  return isKeyless(sharing) ? sharing.numbers : sharing.endpoints;
}

/** Why the Service can't come to the address as one of the pool; undefined: it can. Its own presence doesn't count. */
export function joinRefusal(
  holding: Holding,
  claim: Claim,
  pool: Pool,
): (SharingRefusal & { claim: Claim }) | undefined {
  const others = holding.claims.filter((each) => each !== claim);
  for (const other of others) {
    const refusal = pairRefusal(claim, other, pool, holding.ip.family);
    if (refusal !== undefined) return { ...refusal, claim: other };
  }
  const [first] = others;
  if (first === undefined) return undefined;
  if (others.length >= SHARERS_MAX) {
    return { code: 'ADDRESS_NOT_SHAREABLE', rule: `and ${others.length - 1} more, which is the most`, claim: first };
  }
  return portRefusal(holding, claim, groupPorts(claim));
}

/** Why the Service can't stay on an address that older ones have kept. */
export function remainRefusal(holding: Holding, claim: Claim): (SharingRefusal & { claim: Claim }) | undefined {
  for (const other of holding.claims) {
    const refusal = stayRefusal(claim.sharing, other.sharing);
    if (refusal !== undefined) return { ...refusal, claim: other };
  }
  return holding.claims.length === 0 ? undefined : portRefusal(holding, claim, claim.sharing.endpoints);
}

function pairRefusal(claim: Claim, other: Claim, pool: Pool, family: Family): SharingRefusal | undefined {
  const [a, b] = [claim.sharing, other.sharing];
  if (hasUnknownPorts(a) || hasUnknownPorts(b)) {
    return { code: 'ADDRESS_NOT_SHAREABLE', rule: 'one of them has more ports than are looked at' };
  }
  const isByPorts = [a, b].every(
    (each) => isKeyless(each) && poolTerms(pool, each.request.service.namespace).sharing === 'by-ports',
  );
  return isByPorts ? byPortsRefusal(a, b, family) : keyRefusal(a, b);
}

function portRefusal(
  holding: Holding,
  claim: Claim,
  ports: readonly string[],
): (SharingRefusal & { claim: Claim }) | undefined {
  if (holding.byPort === undefined) {
    holding.byPort = new Map();
    for (const each of holding.claims) notePorts(holding.byPort, each);
  }
  for (const port of ports) {
    const other = holding.byPort.get(port);
    if (other === undefined) continue;
    if (other !== claim) return { code: 'ADDRESS_NOT_SHAREABLE', rule: `both have port ${port}`, claim: other };
  }
  return undefined;
}

function notePorts(byPort: Map<string, Claim>, claim: Claim): void {
  for (const port of claim.sharing.endpoints) byPort.set(port, claim);
  for (const port of claim.sharing.numbers) byPort.set(port, claim);
}

function countUsed(ledger: Ledger, { ip, pools }: Holding, change: 1 | -1): void {
  for (const pool of pools) {
    if (pool.avoidsBuggy && isBuggy(ip)) continue;
    let used = ledger.used.get(pool);
    if (used === undefined) ledger.used.set(pool, (used = { ipv4: 0, ipv6: 0 }));
    used[ip.family] += change;
  }
}

function noteGroup(ledger: Ledger, pool: Pool, claim: Claim, ip: Ip): void {
  const name = shareGroupName(pool, claim, ip.family);
  if (name === undefined) return;
  let groups = ledger.groups.get(pool);
  if (groups === undefined) ledger.groups.set(pool, (groups = new Map()));
  let group = groups.get(name);
  if (group === undefined) groups.set(name, (group = { ips: [], cursors: new Map(), releases: ledger.releases }));
  if (ledger.holdings.get(ip.text)?.claims.length === 1) group.ips.push(ip);
}
