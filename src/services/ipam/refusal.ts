/**
 * What speaks against a pool, or against an address of it, for a Service: the rule and, where somebody has the address,
 * who. One reason a pool, in words that go after its name: "lan: full 50/50".
 */

import type { ErrorCode, ErrorContext } from '../../base/errors.ts';
import type { Family, Ip } from '../../base/ip.ts';
import { formatRange } from '../address-range.ts';
import { isBuggy } from '../address-search.ts';
import type { Pool, Reason, ServiceObject } from '../model.ts';
import { shown } from '../objects/shown.ts';
import { poolSize, type PoolSize } from '../pools/pool.ts';
import { isReserved } from '../reservation.ts';
import { scopeRefusal } from '../scope.ts';
import { joinRefusal, type Claim } from './ledger.ts';
import { isCalled, nearestPools, poolsHolding, poolsOfNamespace } from './pool-book.ts';
import type { SharingRefusal } from './sharing.ts';
import { isStatic, STATIC_POOL } from './static-pool.ts';
import type { Table } from './table.ts';

/** Pools that are asked for their reasons; how many more refuse is told in one more. */
export const REASONS_MAX = 32;

const RANGES_SHOWN = 3;
const NAMES_SHOWN = 8;

export const FAMILY_NAMES: Readonly<Record<Family, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' };

export function reason(pool: string, code: ErrorCode, message: string, context?: ErrorContext): Reason {
  return context === undefined ? { pool, code, message } : { pool, code, message, context };
}

/** The pools the Service may look into: those it names, or all of them; or why there are none. */
export function candidatePools(table: Table, claim: Claim): readonly Pool[] | Reason {
  const { ordered } = table.book;
  if (ordered.length === 0) return reason('', 'POOL_MISSING', 'there is no pool of addresses');
  const name = claim.request.pool;
  if (name === undefined) return ordered;
  const named = table.book.byName.get(name);
  if (named !== undefined) return named;
  const names = ordered.slice(0, NAMES_SHOWN).map(({ shortName }) => shortName);
  const present = names.join(', ') + (ordered.length > NAMES_SHOWN ? ', …' : '');
  return reason('', 'POOL_UNKNOWN', `there is no pool ${shown(name)}; there are: ${present}`, { present });
}

/** Why the pool gives this Service nothing, whatever is free in it; undefined: it may. */
export function poolRefusal(table: Table, claim: Claim, pool: Pool): Reason | undefined {
  const scope = outOfScope(table, claim, pool);
  if (scope !== undefined) return scope;
  if (pool.isDhcp) return reason(pool.name, 'POOL_DHCP', 'addresses from DHCP, which is not supported yet');
  return pool.isClosed ? closedReason(pool) : undefined;
}

function closedReason({ name, closure }: Pool): Reason {
  const saying = 'it keeps what it gave and gives nothing new';
  if (closure === undefined) return reason(name, 'POOL_CLOSED', `closed: ${saying}`);
  return reason(name, closure.code, `${closure.message}: ${saying}`, closure.context);
}

/** The candidates that may give the Service something; what speaks against the others isn't put in words yet. */
export function openPools(table: Table, { request }: Claim, candidates: readonly Pool[]): readonly Pool[] {
  const { service, pool: name } = request;
  const labels = table.namespaceLabels.get(service.namespace);
  const pools = name === undefined ? poolsOfNamespace(table.book, service.namespace) : candidates;
  return pools.filter(
    (pool) =>
      !pool.isDhcp &&
      !pool.isClosed &&
      (pool.isAutoAssigned || name !== undefined) &&
      scopeRefusal(pool.scope, service, labels) === undefined,
  );
}

/** Besides: whether it gives without being asked. */
export function automaticRefusal(claim: Claim, pool: Pool): Reason | undefined {
  if (pool.isAutoAssigned || claim.request.pool !== undefined) return undefined;
  return reason(pool.name, 'POOL_NOT_AUTOMATIC', 'autoAssign=false');
}

/** What each pool says, in their order. Of too many, those that might be for the Service's namespace come before others. */
export function pollPools(
  table: Table,
  claim: Claim,
  candidates: readonly Pool[],
  saying: (pool: Pool) => Reason,
): readonly Reason[] {
  if (candidates.length <= REASONS_MAX) return candidates.map(saying);
  const { book } = table;
  const nearest =
    candidates === book.ordered
      ? nearestPools(book, claim.request.service.namespace, REASONS_MAX)
      : candidates.slice(0, REASONS_MAX);
  const told = nearest.map(saying);
  const code = told.at(-1)?.code ?? 'POOL_FULL';
  return [...told, reason('', code, `and ${candidates.length - REASONS_MAX} more pools refuse`)];
}

export function outOfScope(table: Table, claim: Claim, pool: Pool): Reason | undefined {
  const { service } = claim.request;
  const refusal = scopeRefusal(pool.scope, service, table.namespaceLabels.get(service.namespace));
  if (refusal === undefined) return undefined;
  if (refusal === 'namespace') return reason(pool.name, 'POOL_NAMESPACE', namespaceRule(pool, service));
  return reason(pool.name, 'POOL_SELECTOR', 'its serviceSelectors do not match the labels of the Service');
}

/** Where the Service can have this very address, or why nowhere. */
export function findPlace(
  table: Table,
  claim: Claim,
  ip: Ip,
): { readonly pool: Pool } | { readonly reasons: readonly Reason[] } {
  if (isStatic(table, claim, ip)) {
    const refusal = addressRefusal(table, claim, ip, STATIC_POOL);
    return refusal === undefined ? { pool: STATIC_POOL } : { reasons: [refusal] };
  }
  const candidates = candidatePools(table, claim);
  if ('code' in candidates) return { reasons: [candidates] };
  const { pool: name } = claim.request;
  const holding = poolsHolding(table.book, ip).filter((pool) => name === undefined || isCalled(pool, name));
  if (holding.length === 0) {
    const outside = (pool: Pool) =>
      reason(pool.name, 'ADDRESS_OUTSIDE', `address ${ip.text} is not in ${factsOf(pool).text}`);
    return { reasons: pollPools(table, claim, candidates, outside) };
  }
  const reasons: Reason[] = [];
  for (const pool of holding) {
    const refusal = poolRefusal(table, claim, pool) ?? addressRefusal(table, claim, ip, pool);
    if (refusal === undefined) return { pool };
    reasons.push(refusal);
  }
  return { reasons };
}

/** Why the pool can't give this address to this Service. */
function addressRefusal(table: Table, claim: Claim, ip: Ip, pool: Pool): Reason | undefined {
  const unusable = unusableReason(table, ip, pool);
  if (unusable !== undefined) return unusable;
  const holding = table.ledger.holdings.get(ip.text);
  const refusal = holding === undefined ? undefined : joinRefusal(holding, claim, pool);
  if (refusal !== undefined) return sharedReason(pool.name, ip, refusal.claim.request.service, refusal);
  return foreignReason(table, ip, pool.name);
}

/** Why nobody is given the address; undefined: somebody might be. */
export function unusableReason(table: Table, ip: Ip, pool: Pool | undefined): Reason | undefined {
  const name = pool?.name ?? '';
  if (pool?.avoidsBuggy === true && isBuggy(ip)) {
    return reason(name, 'ADDRESS_AVOIDED', `address ${ip.text} ends in .0 or .255, which the pool avoids`);
  }
  const reservation = isReserved(table.reserved, ip);
  if (reservation !== undefined) {
    return reason(name, 'ADDRESS_RESERVED', `address ${ip.text} is ${reservation.reason}`);
  }
  const quarantine = table.input.quarantined.get(ip.text);
  if (quarantine === undefined) return undefined;
  const { mac } = quarantine;
  return reason(name, 'ADDRESS_QUARANTINED', `address ${ip.text} is answered for by ${mac}`, { mac });
}

export function foreignReason(table: Table, ip: Ip, pool: string): Reason | undefined {
  const holder = table.foreign.get(ip.text);
  if (holder === undefined) return undefined;
  return reason(
    pool,
    'ADDRESS_TAKEN',
    `address ${ip.text} used by ${holder.key}, which is not served by this Holdfast`,
  );
}

export function sharedReason(pool: string, ip: Ip, holder: ServiceObject, { code, rule }: SharingRefusal): Reason {
  return reason(pool, code, `address ${ip.text} used by ${holder.key}, ${rule}`);
}

interface PoolFacts {
  /** Its ranges, in short. */
  readonly text: string;
  readonly size: PoolSize;
  readonly families: ReadonlySet<Family>;
}

const factsMemo: WeakMap<Pool, PoolFacts> = new WeakMap();

function factsOf(pool: Pool): PoolFacts {
  const known = factsMemo.get(pool);
  if (known !== undefined) return known;
  const facts = {
    text: rangesText(pool),
    size: poolSize(pool),
    families: new Set(pool.ranges.map(({ first }) => first.family)),
  };
  factsMemo.set(pool, facts);
  return facts;
}

/** Why the pool has no address left, or none at all, of the family. */
export function lackReason(table: Table, pool: Pool, family: Family): Reason {
  const { size: sizes, families } = factsOf(pool);
  const name = FAMILY_NAMES[family];
  if (!families.has(family)) return reason(pool.name, 'POOL_FAMILY', `no ${name} addresses`);
  const size = sizes[family];
  const used = BigInt(table.ledger.used.get(pool)?.[family] ?? 0);
  const rest = size - used;
  const saying = `full ${used}/${size}` + (rest > 0n ? `, the other ${rest} reserved, quarantined or spoken for` : '');
  return reason(pool.name, 'POOL_FULL', families.size > 1 ? `${name} ${saying}` : saying);
}

/** One for each pool: a Service that asks for several addresses may have been refused each of them by each pool. */
export function onePerPool(reasons: readonly Reason[]): readonly Reason[] {
  const byPool = new Map<string, Reason>();
  const merged: Reason[] = [];
  for (const each of reasons) {
    const first = each.pool === '' ? undefined : byPool.get(each.pool);
    if (first === undefined) {
      byPool.set(each.pool, each);
      merged.push(each);
    } else if (first.message !== each.message) {
      const both = { ...first, message: `${first.message}; ${each.message}` };
      merged[merged.indexOf(first)] = both;
      byPool.set(each.pool, both);
    }
  }
  return merged;
}

/** All that is told of one Service, whose pools were polled once or twice. */
export function limitReasons(reasons: readonly Reason[]): readonly Reason[] {
  const most = 3 * REASONS_MAX;
  const next = reasons[most];
  if (next === undefined) return reasons;
  return [...reasons.slice(0, most), reason('', next.code, `and ${reasons.length - most} more reasons`)];
}

function rangesText({ ranges }: Pool): string {
  if (ranges.length === 0) return 'it';
  const texts = ranges.slice(0, RANGES_SHOWN).map(formatRange);
  return texts.join(', ') + (ranges.length > RANGES_SHOWN ? ', …' : '');
}

function namespaceRule({ scope }: Pool, { namespace }: ServiceObject): string {
  const own = `namespace ${shown(namespace)}`;
  if (scope.exceptNamespaces.includes(namespace)) return `${own} has a pool of its own`;
  const names = scope.namespaces ?? [];
  const listed = names.slice(0, NAMES_SHOWN).join(', ') + (names.length > NAMES_SHOWN ? ', …' : '');
  const among = names.length > 0 ? `${own} not in [${listed}]` : own;
  return scope.namespaceSelectors.length > 0 ? `${among}, and its labels match no namespaceSelector` : among;
}
