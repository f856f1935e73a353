/**
 * A plan as text for somebody who wants to know what will happen: who gets which address, who gets none and why, who
 * answers for what (with --drain: what moves), what is wrong. Names and messages come out of files that anybody may have
 * written: control characters are stripped.
 */

import { styleText } from 'node:util';
import { clean, plainTable } from '../observe/plain-table.ts';
import { ERRORS, fillRemedy } from '../base/errors.ts';
import type { Allocation, Candidate, ObjectProblem, ObjectRef, Ownership, Reason } from '../services/model.ts';
import type { Plan } from '../services/plan.ts';
import { poolNames, sortProblems } from './plan-report.ts';

export interface PlanTableOptions {
  readonly isColored: boolean;
  readonly problems: readonly ObjectProblem[];
  /** The documents an object is in, '' if in none. */
  readonly whereOf: (object: ObjectRef) => string;
  /** The owners as they are now, when nodes are to be drained. */
  readonly before: readonly Ownership[] | undefined;
  readonly drained: readonly string[];
  /** Documents of kinds that don't matter. */
  readonly ignored: number;
  /** Nodes among the documents, in order. */
  readonly nodes: readonly string[];
  /** What else must be known to read it rightly; each a sentence. */
  readonly notes: readonly string[];
}

type Tint = 'bold' | 'dim' | 'green' | 'red' | 'yellow';
type Paint = (tint: Tint, text: string) => string;

/** The plan as lines, newline at the end. */
export function renderPlan(plan: Plan, options: PlanTableOptions): string {
  const paint: Paint = options.isColored
    ? (tint, text) => styleText(tint, text, { validateStream: false })
    : (_, text) => text;
  const parts = [
    allocationTable(plan, paint),
    pendingTable(plan, paint),
    foreignTable(plan, paint),
    ownerTable(plan, options, paint),
    remedyList(plan, options.nodes.length > 0, paint),
    problemList(options, paint),
    [summary(plan, options), ...options.notes].join('\n'),
  ];
  const text = parts.filter((part) => part !== '').join('\n\n');
  return `${text.replaceAll(/ +$/gm, '')}\n`; // the table library pads the last column too
}

function allocationTable(plan: Plan, paint: Paint): string {
  if (plan.allocations.length === 0) return '';
  const nameOf = poolNames(plan.pools);
  const table = plainTable(['SERVICE', 'ADDRESSES', 'POOL', 'HOW'].map((title) => paint('dim', title)));
  for (const allocation of plan.allocations) {
    const addresses = allocation.addresses.map(({ text }) => text).join('\n');
    const shortcomings = allocation.shortcomings.map(({ code, message }) =>
      paint('yellow', `${code}: ${clean(message)}`),
    );
    const pool = allocation.pool === '' ? 'none' : clean(nameOf(allocation.pool));
    table.push([clean(allocation.service.key), addresses, pool, [howText(allocation), ...shortcomings].join('\n')]);
  }
  return table.toString();
}

function howText({ from, request }: Allocation): string {
  if (from === 'kept') return 'has it already';
  if (from === 'pool') return 'new';
  return request.addressesFrom === '' ? 'asked for' : `asked for by ${request.addressesFrom}`;
}

function pendingTable(plan: Plan, paint: Paint): string {
  if (plan.pending.length === 0) return '';
  const nameOf = poolNames(plan.pools);
  const table = plainTable(['PENDING', 'POOL', 'WHY NOT'].map((title) => paint('dim', title)));
  for (const { service, reasons } of plan.pending) {
    for (const [index, { pool, code, message }] of reasons.entries()) {
      const key = index === 0 ? paint('red', clean(service.key)) : '';
      table.push([key, clean(nameOf(pool)), `${code}: ${clean(message)}`]);
    }
    if (reasons.length === 0) table.push([paint('red', clean(service.key)), '', '']);
  }
  return table.toString();
}

const FOREIGN_MAX = 20;

/** Load balancers that are somebody else's: whoever misses one finds it here. */
function foreignTable({ foreign }: Plan, paint: Paint): string {
  if (foreign.length === 0) return '';
  const table = plainTable(['NOT OURS', 'WHY'].map((title) => paint('dim', title)));
  for (const { service, code, message } of foreign.slice(0, FOREIGN_MAX)) {
    table.push([clean(service.key), `${code}: ${clean(message)}`]);
  }
  if (foreign.length > FOREIGN_MAX) table.push([`and ${foreign.length - FOREIGN_MAX} more`, '']);
  return table.toString();
}

function ownerTable(plan: Plan, options: PlanTableOptions, paint: Paint): string {
  if (plan.ownerships.length === 0 || options.nodes.length === 0) return '';
  const { before } = options;
  const now = new Map(before?.map(({ address, node }) => [address.text, node]));
  const after = `WITHOUT ${options.drained.map(clean).join(', ')}`;
  const titles = before === undefined ? ['ADDRESS', 'NODE'] : ['ADDRESS', 'NODE', after];
  const table = plainTable([...titles, 'NEXT', 'NOT'].map((title) => paint('dim', title)));
  for (const ownership of plan.ownerships) {
    const { address, node, candidates } = ownership;
    const holder = (name: string | undefined): string => (name === undefined ? paint('red', 'nobody') : clean(name));
    const former = now.get(address.text);
    const moved =
      former === node ? 'stays' : paint('yellow', `moves to ${node === undefined ? 'nobody' : clean(node)}`);
    const next = candidates.filter((candidate) => candidate.isEligible && candidate.node !== node);
    const columns = before === undefined ? [holder(node)] : [holder(former), moved];
    table.push([address.text, ...columns, namesText(next), refusalText(ownership)]);
  }
  return table.toString();
}

const NAMES_MAX = 3;

function namesText(candidates: readonly Candidate[]): string {
  const names = candidates.slice(0, NAMES_MAX).map(({ node }) => clean(node));
  return candidates.length > NAMES_MAX
    ? `${names.join(', ')} and ${candidates.length - NAMES_MAX} more`
    : names.join(', ');
}

/** Nodes by why they may not: one line for each reason. What is against all of them is said once. */
function refusalText({ node, candidates, reasons }: Ownership): string {
  const isOwn = ({ code, message }: Reason): boolean =>
    candidates.length === 0 ||
    candidates.some(({ reason }) => reason === message) ||
    (code !== 'NO_CANDIDATE' && candidates.every((candidate) => candidate.code !== code));
  const own = reasons
    .filter((reason) => node === undefined && isOwn(reason))
    .map(({ code, message }) => `${code}: ${clean(message)}`);
  const refused = Map.groupBy(
    candidates.filter(({ isEligible }) => !isEligible),
    ({ code, reason }) => `${code}: ${clean(reason)}`,
  );
  const lines = [...refused].filter(([why]) => !own.includes(why)).map(([why, group]) => `${namesText(group)}: ${why}`);
  return [...own, ...lines].join('\n');
}

/** What to do about what is pending or dark: each remedy once. */
function remedyList(plan: Plan, hasNodes: boolean, paint: Paint): string {
  const dark = hasNodes ? plan.ownerships.filter(({ node }) => node === undefined) : [];
  const reasons = [...plan.pending, ...dark].flatMap((each) => each.reasons);
  const remedies = new Set(
    reasons.map(
      ({ code, context }) => `${paint('yellow', code)}: ${clean(fillRemedy(ERRORS[code].remedy, context ?? {}))}`,
    ),
  );
  if (remedies.size === 0) return '';
  const shown = [...remedies].slice(0, REMEDIES_MAX);
  const more = remedies.size - shown.length;
  if (more > 0) shown.push(`and ${more} more: docs/errors.md has them by code`);
  return `${paint('bold', 'What to do')}\n${shown.join('\n')}`;
}

const REMEDIES_MAX = 12;

function problemList({ problems, whereOf }: PlanTableOptions, paint: Paint): string {
  if (problems.length === 0) return '';
  const items = sortProblems(problems).map(({ object, code, message, remedy }) => {
    const where = whereOf(object);
    const place = where === '' ? '' : paint('dim', ` (${clean(where)})`);
    const title = `${paint('yellow', code)}: ${object.kind} ${clean(object.key)}${place}: ${clean(message)}`;
    return `${title}\n  remedy: ${clean(remedy)}`;
  });
  return `${paint('bold', 'Problems')}\n${items.join('\n')}`;
}

/** `3 Services: 2 served, 1 pending. 2 addresses: node n1 answers for 2, n2 for none. …` */
function summary(plan: Plan, { before, ignored, nodes }: PlanTableOptions): string {
  const served = plan.allocations.length;
  const pending = plan.pending.length;
  const services = `${counted(served + pending, 'Service')}: ${served} served, ${pending} pending.`;
  const sentences = [services];
  if (nodes.length > 0 && plan.ownerships.length > 0) {
    sentences.push(
      `${counted(plan.ownerships.length, 'address', 'addresses')}: ${sharesText(plan.ownerships, nodes)}.`,
    );
  } else if (nodes.length === 0 && plan.ownerships.length > 0) {
    sentences.push('No Node among the documents: who would answer is not said.');
  }
  if (before !== undefined) {
    const now = new Map(before.map(({ address, node }) => [address.text, node]));
    const moving = plan.ownerships.filter(({ address, node }) => now.get(address.text) !== node);
    sentences.push(`${counted(moving.length, 'address moves', 'addresses move')}.`);
  }
  if (ignored > 0) sentences.push(`${counted(ignored, 'object')} of other kinds not looked at.`);
  return sentences.join(' ');
}

const SHARES_MAX = 8;

function sharesText(ownerships: readonly Ownership[], nodes: readonly string[]): string {
  const shares = new Map<string, number>(nodes.map((node) => [node, 0]));
  let unowned = 0;
  for (const { node } of ownerships) {
    if (node === undefined) unowned += 1;
    else shares.set(node, (shares.get(node) ?? 0) + 1);
  }
  const texts = [...shares].slice(0, SHARES_MAX).map(([node, count]) => `${clean(node)} ${count}`);
  if (shares.size > SHARES_MAX) texts.push(`${shares.size - SHARES_MAX} more nodes`);
  if (unowned > 0) texts.push(`nobody ${unowned}`);
  return texts.join(', ');
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
