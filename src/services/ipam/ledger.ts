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
  /** One of each family, unless more are asked for by name. */
  readonly held: Place[];
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
  /** Made when first asked for. */
  company: Company | undefined;
}

/** Who is on an address, so that one more needn't be compared with each. */
export interface Company {
  /** Who has an endpoint (TCP/80, and by number 80) of it. */
  readonly byPort: Map<string, Claim>;
  /** The first of each kind: what is true of one is true of all that share on the same terms. */
  readonly byTerms: Map<string, Claim>;
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
    holding = { ip, pools: poolsHolding(ledger.book, ip), claims: [], company: undefined };
    ledger.holdings.set(ip.text, holding);
    countUsed(ledger, holding, 1);
  }
  holding.claims.push(claim);
  if (holding.company !== undefined) noteCompany(holding.company, claim);
  claim.held.push({ ip, pool });
  for (const each of holding.pools) noteGroup(ledger, each, claim, ip);
}

/** Of the family, as they were asked for, then as they came. */
export function heldOf({ held, request }: Claim, family: Family): readonly Place[] {
  const places = held.filter(({ ip }) => ip.family === family);
  if (places.length < 2) return places;
  const rank = ({ ip }: Place): number => {
    const index = request.addresses.findIndex(({ text }) => text === ip.text);
    return index < 0 ? request.addresses.length : index;
  };
  return places.sort((a, b) => rank(a) - rank(b));
}

export function hasFamily({ held }: Claim, family: Family): boolean {
  return held.some(({ ip }) => ip.family === family);
}

export function release(ledger: Ledger, claim: Claim, ip: Ip): void {
  const holding = ledger.holdings.get(ip.text);
  const place = holding?.claims.indexOf(claim) ?? -1;
  if (holding === undefined || place < 0) return;
  const mine = claim.held.findIndex((held) => held.ip.text === ip.text);
  if (mine >= 0) claim.held.splice(mine, 1);
  ledger.releases += 1;
  holding.claims.splice(place, 1);
  holding.company = undefined;
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

export type HolderRefusal = SharingRefusal & { readonly claim: Claim };

/** Why the Service, which isn't on the address, can't come to it as one of the pool; undefined: it can. */
export function joinRefusal(holding: Holding, claim: Claim, pool: Pool): HolderRefusal | undefined {
  const company = companyOf(holding);
  for (const other of company.byTerms.values()) {
    const refusal = pairRefusal(claim, other, pool, holding.ip.family);
    if (refusal !== undefined) return { ...refusal, claim: other };
  }
  const [first] = holding.claims;
  if (first !== undefined && holding.claims.length >= SHARERS_MAX) {
    const rule = `and ${holding.claims.length - 1} more, which is the most`;
    return { code: 'ADDRESS_NOT_SHAREABLE', rule, claim: first };
  }
  return portRefusal(company, groupPorts(claim));
}

/** Why the Service can't stay on an address that older ones have kept. */
export function remainRefusal(holding: Holding, claim: Claim): HolderRefusal | undefined {
  const company = companyOf(holding);
  for (const other of company.byTerms.values()) {
    const refusal = stayRefusal(claim.sharing, other.sharing);
    if (refusal !== undefined) return { ...refusal, claim: other };
  }
  const refusal = portRefusal(company, claim.sharing.endpoints);
  return refusal === undefined || !isKeyless(claim.sharing) ? refusal : { ...refusal, code: 'ADDRESS_TAKEN' };
}

/** Whether somebody there has one of the ports; undefined: nobody, or not looked at yet. */
export function knownClash(holding: Holding, ports: readonly string[]): string | undefined {
  return ports.find((port) => holding.company?.byPort.has(port));
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

function portRefusal({ byPort }: Company, ports: readonly string[]): HolderRefusal | undefined {
  for (const port of ports) {
    const other = byPort.get(port);
    if (other !== undefined) return { code: 'ADDRESS_NOT_SHAREABLE', rule: `both have port ${port}`, claim: other };
  }
  return undefined;
}

function companyOf(holding: Holding): Company {
  if (holding.company !== undefined) return holding.company;
  const company: Company = { byPort: new Map(), byTerms: new Map() };
  for (const each of holding.claims) noteCompany(company, each);
  holding.company = company;
  return company;
}

/** Of several with the same port, the first is told of. */
function noteCompany({ byPort, byTerms }: Company, claim: Claim): void {
  const { endpoints, numbers, terms } = claim.sharing;
  for (const port of endpoints) if (!byPort.has(port)) byPort.set(port, claim);
  for (const port of numbers) if (!byPort.has(port)) byPort.set(port, claim);
  if (!byTerms.has(terms)) byTerms.set(terms, claim);
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
