/**
 * A free address, or one that may be shared, out of a pool. Free addresses are found with a cursor that never goes back,
 * so that filling a pool costs its size; what is reserved is cut out beforehand, so that a reserved /8 costs nothing.
 * Addresses given back while the chooser is in use are kept aside, and given when the cursor finds no more.
 */

import type { Family, Ip } from '../../base/ip.ts';
import { firstFree, type SearchCursor, type SearchSpace } from '../address-search.ts';
import type { Pool } from '../model.ts';
import { unreservedRanges } from '../reservation.ts';
import { groupPorts, joinRefusal, knownClash, shareGroupName, type Claim } from './ledger.ts';
import { poolsHolding } from './pool-book.ts';
import { unusableReason } from './refusal.ts';
import type { Table } from './table.ts';

/** Shared addresses looked at for one Service, those with its ports not counted; then it gets one of its own. */
export const SHARED_LOOKS_MAX = 64;

/** One pool and family on its way to being full. */
interface Shelf {
  readonly space: SearchSpace;
  cursor: SearchCursor | undefined;
  /** Found at the cursor and, as far as is known, still free. */
  ahead: Ip | undefined;
  isExhausted: boolean;
  /** Given back since. */
  readonly returned: Ip[];
}

export interface Chooser {
  readonly table: Table;
  /** Not chosen, though free: somebody asks for them by name and is not served yet. */
  readonly avoided: ReadonlySet<string>;
  readonly shelves: Map<Pool, Partial<Record<Family, Shelf>>>;
}

export function openChooser(table: Table, avoided: ReadonlySet<string>): Chooser {
  return { table, avoided, shelves: new Map() };
}

/** An address of the pool for the Service, which isn't given by this: undefined when there is none. */
export function choose(chooser: Chooser, claim: Claim, pool: Pool, family: Family): Ip | undefined {
  return chooseShared(chooser, claim, pool, family) ?? chooseFree(chooser, pool, family);
}

/** Says that the address is free again. */
export function giveBack(chooser: Chooser, ip: Ip): void {
  for (const pool of poolsHolding(chooser.table.book, ip)) {
    if (unusableReason(chooser.table, ip, pool) === undefined) shelfOf(chooser, pool, ip.family).returned.push(ip);
  }
}

/** The first address that Services on the same terms have come to, of those where nothing speaks against it. */
function chooseShared({ table }: Chooser, claim: Claim, pool: Pool, family: Family): Ip | undefined {
  const { ledger } = table;
  const name = shareGroupName(pool, claim, family);
  const group = name === undefined ? undefined : ledger.groups.get(pool)?.get(name);
  if (group === undefined) return undefined;
  if (group.releases !== ledger.releases) {
    group.cursors.clear();
    group.releases = ledger.releases;
  }
  const ports = groupPorts(claim);
  let index = ports.reduce((most, port) => Math.max(most, group.cursors.get(port) ?? 0), 0);
  let looks = 0;
  for (; index < group.ips.length && looks < SHARED_LOOKS_MAX; index++) {
    const ip = group.ips[index];
    const holding = ip === undefined ? undefined : ledger.holdings.get(ip.text);
    if (ip === undefined || holding === undefined || table.foreign.has(ip.text)) continue;
    const clash = knownClash(holding, ports);
    if (clash !== undefined) {
      if ((group.cursors.get(clash) ?? 0) === index) group.cursors.set(clash, index + 1);
      continue;
    }
    looks += 1;
    if (joinRefusal(holding, claim, pool) === undefined && unusableReason(table, ip, pool) === undefined) return ip;
  }
  return undefined;
}

function chooseFree(chooser: Chooser, pool: Pool, family: Family): Ip | undefined {
  const shelf = shelfOf(chooser, pool, family);
  if (shelf.ahead !== undefined && isFree(chooser, shelf.ahead)) return shelf.ahead;
  shelf.ahead = undefined;
  while (!shelf.isExhausted) {
    const result = firstFree(shelf.space, (ip) => isFree(chooser, ip), shelf.cursor);
    if (result.kind === 'exhausted') {
      shelf.isExhausted = true;
      break;
    }
    shelf.cursor = result.next;
    if (result.kind === 'unfinished') continue;
    shelf.ahead = result.address;
    return result.address;
  }
  while (shelf.returned.length > 0) {
    const [ip] = shelf.returned;
    if (ip !== undefined && isFree(chooser, ip)) return ip;
    shelf.returned.shift();
  }
  return undefined;
}

function isFree({ table, avoided }: Chooser, { text }: Ip): boolean {
  return !(
    table.ledger.holdings.has(text) ||
    table.foreign.has(text) ||
    table.input.quarantined.has(text) ||
    avoided.has(text)
  );
}

function shelfOf({ table, shelves }: Chooser, pool: Pool, family: Family): Shelf {
  let shelf = shelves.get(pool)?.[family];
  if (shelf !== undefined) return shelf;
  const ranges = unreservedRanges(
    pool.ranges.filter(({ first }) => first.family === family),
    table.reserved,
  );
  const { order, avoidsBuggy } = pool;
  shelf = {
    space: { ranges, order, avoidsBuggy },
    cursor: undefined,
    ahead: undefined,
    isExhausted: false,
    returned: [],
  };
  shelves.set(pool, { ...shelves.get(pool), [family]: shelf });
  return shelf;
}
