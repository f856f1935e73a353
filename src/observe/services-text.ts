/** The part of a status report that is about Services, as text: how many are served, pools, what is here, latest moves. */

import { durationText } from './duration-text.ts';
import { clean, plainTable } from './plain-table.ts';
import type { ServiceAddressStatus, ServicesStatus } from './services-model.ts';

export interface ServicesTextTools {
  readonly paint: (tint: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string) => string;
}

/** More are counted, not listed; `--json` has up to ADDRESSES_SHOWN_MAX. */
const ADDRESSES_LISTED_MAX = 20;
const POOLS_LISTED_MAX = 10;
const MOVES_LISTED_MAX = 5;

/** '' where Services are left alone. */
export function servicesText(services: ServicesStatus | undefined, tools: ServicesTextTools): string {
  if (services === undefined) return '';
  const parts = [
    `${tools.paint('bold', 'Services')}\n${summary(services, tools)}`,
    poolTable(services, tools),
    hereTable(services, tools),
    moveTable(services, tools),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function summary(services: ServicesStatus, { paint }: ServicesTextTools): string {
  const rows = plainTable();
  const { served, pending, addresses, dark, owned, held } = services;
  const waiting = pending === 0 ? 'none pending' : paint('yellow', `${pending} pending`);
  rows.push([paint('dim', 'served'), `${served} Services, ${waiting}; ${addresses} addresses`]);
  if (dark > 0) rows.push([paint('dim', 'dark'), paint('red', `nobody may answer for ${dark} of the addresses`)]);
  const share = held === owned ? `${held} addresses` : paint('yellow', `${held} of its ${owned} addresses`);
  rows.push([paint('dim', 'here'), `this node answers for ${share}`]);
  if (!services.hasStanding) rows.push([paint('dim', 'standing'), paint('yellow', 'this node may not answer now')]);
  const news = services.isCurrent ? 'current' : services.isSynced ? 'as last seen' : paint('yellow', 'not read yet');
  const role = services.isAllocating ? ', this node gives addresses' : '';
  const writes = services.writesWaiting === 0 ? '' : `, ${services.writesWaiting} writes wait`;
  rows.push([paint('dim', 'objects'), `${news}${role}${writes}`]);
  for (const { kind, code, count } of services.configProblems) {
    rows.push([paint('dim', 'problem'), `${paint('yellow', code)} of ${count} × ${kind}`]);
  }
  return rows.toString();
}

function poolTable({ pools }: ServicesStatus, { paint }: ServicesTextTools): string {
  if (pools.length === 0) return '';
  const rows = plainTable(['POOL', 'FAMILY', 'USED', 'OF', ''].map((title) => paint('dim', title)));
  for (const { name, family, used, size, isClosed } of pools.slice(0, POOLS_LISTED_MAX)) {
    const isFull = BigInt(used) >= BigInt(size);
    const state = isClosed ? 'gives nothing new' : isFull ? paint('yellow', 'full') : '';
    rows.push([clean(name), family, String(used), size, state]);
  }
  return withMore(rows.toString(), pools.length - POOLS_LISTED_MAX, 'pools');
}

function hereTable({ here, held }: ServicesStatus, { paint }: ServicesTextTools): string {
  if (here.length === 0) return '';
  const rows = plainTable(
    ['ADDRESS', 'STATE', 'SINCE', 'ON', 'ANNOUNCED', 'SERVICES'].map((title) => paint('dim', title)),
  );
  // What isn't well comes first.
  const sorted = here.toSorted((a, b) => Number(a.state === 'holding') - Number(b.state === 'holding'));
  for (const each of sorted.slice(0, ADDRESSES_LISTED_MAX)) rows.push(hereRow(each, { paint }));
  return withMore(rows.toString(), Math.max(here.length, held) - ADDRESSES_LISTED_MAX, 'addresses');
}

function hereRow(each: ServiceAddressStatus, { paint }: ServicesTextTools): string[] {
  const announced =
    each.lastAnnouncedAgoMs === undefined
      ? 'never'
      : `${durationText(each.lastAnnouncedAgoMs)} ago (${each.announcements}×)`;
  const rival = each.conflict === undefined ? '' : paint('red', ` ${each.conflict} answers too`);
  return [
    each.address,
    each.state === 'holding' ? paint('green', each.state) : paint('yellow', each.state),
    durationText(each.sinceMs),
    each.interface ?? '-',
    announced,
    `${clean(each.services.join(', '))}${rival}`,
  ];
}

/** Each as the end of "... because ". */
const CAUSES: Readonly<Record<string, string>> = {
  assigned: 'new here, or nobody had them',
  adopted: 'found here at start',
  'node-lost': 'a majority no longer heard the other node',
  'node-draining': 'the other node is being drained, or stops',
  reordered: 'the order of candidates changed',
  leading: 'this node leads now',
  'not-leading': 'this node does not lead any more',
  removed: 'their Services are gone',
  'standing-lost': 'this node may not answer now',
  'interface-lost': 'the interface went away or down',
  conflict: 'another machine answers',
};

function moveTable({ moves }: ServicesStatus, { paint }: ServicesTextTools): string {
  if (moves.length === 0) return '';
  const rows = plainTable(['WHEN', 'WHAT', 'WHY', 'TOOK'].map((title) => paint('dim', title)));
  for (const { at, kind, cause, other, count, timings } of moves.slice(-MOVES_LISTED_MAX).toReversed()) {
    const direction = other === undefined ? '' : kind === 'gained' ? ` from ${clean(other)}` : ` to ${clean(other)}`;
    const took = timings['total'] ?? timings['announced'];
    const what = `${kind} ${count} ${count === 1 ? 'address' : 'addresses'}${direction}`;
    rows.push([at, what, CAUSES[cause] ?? clean(cause), took === undefined ? '' : durationText(took)]);
  }
  return `${paint('dim', 'Last moves of addresses of Services, newest first')}\n${rows.toString()}`;
}

function withMore(text: string, more: number, what: string): string {
  return more > 0 ? `${text}\nand ${more} more ${what}` : text;
}
