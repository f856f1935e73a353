/**
 * What is told on a Service: its status conditions, and an Event for each change. Pure texts from decisions already made.
 *
 * `holdfast.io/Allocated` says which addresses it has and whence, or one line per pool why not; `holdfast.io/Announced`
 * who answers for them, or why nobody does; `cilium.io/IPAMRequestSatisfied` is what users of Cilium's pools look at, with
 * Cilium's own reasons. Conditions of others are kept as they are, and a condition that says the same keeps its
 * lastTransitionTime, so that nothing is written when nothing is new.
 */

import { ERRORS, type ErrorCode } from '../base/errors.ts';
import type {
  Allocation,
  Condition,
  ObjectProblem,
  Ownership,
  PendingService,
  Pool,
  Reason,
  ServiceObject,
} from './model.ts';
import { fitLines, fitText } from './status-text.ts';

export const ALLOCATED = 'holdfast.io/Allocated';
export const ANNOUNCED = 'holdfast.io/Announced';
/** Cilium's LB IPAM, operator/pkg/lbipam: ciliumSvcRequestSatisfiedCondition. */
export const SATISFIED = 'cilium.io/IPAMRequestSatisfied';

/** metav1.Condition.message: maxLength. */
export const CONDITION_MESSAGE_MAX = 32_768;
/** events.k8s.io/v1 Event.note. */
export const EVENT_MESSAGE_MAX = 1_024;

/** What is decided about one Service. */
export interface ServiceDecision {
  readonly service: ServiceObject;
  /** undefined: it is pending. */
  readonly allocation: Allocation | undefined;
  readonly pending: PendingService | undefined;
  /** Of its addresses, in their order; those nobody has worked out yet are missing. */
  readonly ownerships: readonly Ownership[];
}

/** What of a decision the next one is compared with: little, since it is kept for each Service, and with it all it names. */
export interface ToldDecision {
  readonly allocation: Pick<Allocation, 'addresses' | 'shortcomings'> | undefined;
  readonly pending: Pick<PendingService, 'reasons'> | undefined;
  readonly ownerships: readonly Pick<Ownership, 'address' | 'node' | 'reasons'>[];
}

export function toldDecision({ allocation, pending, ownerships }: ServiceDecision): ToldDecision {
  return {
    allocation:
      allocation === undefined ? undefined : { addresses: allocation.addresses, shortcomings: allocation.shortcomings },
    pending: pending === undefined ? undefined : { reasons: pending.reasons },
    ownerships: ownerships.map(({ address, node, reasons }) => ({ address, node, reasons })),
  };
}

/** A Kubernetes Event without the object it is about. */
export interface ServiceEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** PoolFull of POOL_FULL: the form of reasons in conditions and Events. */
export function reasonOfCode(code: ErrorCode): string {
  return code
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('');
}

const CODES = new Map((Object.keys(ERRORS) as ErrorCode[]).map((code) => [reasonOfCode(code), code])); // keys of a constant

/** The code that a condition's reason was made of; undefined: of none. */
export function codeOfReason(reason: string): ErrorCode | undefined {
  return CODES.get(reason);
}

/**
 * The Service's conditions with ours brought up to date; the very list it has when nothing is new. `now` is RFC 3339 to
 * the second. `poolOf` finds a pool by Pool.name.
 */
export function serviceConditions(
  decision: ServiceDecision,
  poolOf: (name: string) => Pool | undefined,
  now: string,
): readonly Condition[] {
  return mergeConditions(decision.service.conditions, wantedConditions(decision, poolOf), now);
}

/** The Service's conditions without ours: for one that isn't ours any more. Cilium's own stays. */
export function foreignConditions(service: ServiceObject): readonly Condition[] {
  return mergeConditions(service.conditions, [], '');
}

/** A condition as it should be, without its time. */
export interface WantedCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export function wantedConditions(
  decision: ServiceDecision,
  poolOf: (name: string) => Pool | undefined,
): readonly WantedCondition[] {
  const satisfied = satisfiedCondition(decision, poolOf);
  const ours = [allocatedCondition(decision), announcedCondition(decision)];
  return satisfied === undefined ? ours : [...ours, satisfied];
}

/** `existing` with `wanted` in it; `existing` itself when that changes nothing. */
export function mergeConditions(
  existing: readonly Condition[],
  wanted: readonly WantedCondition[],
  now: string,
): readonly Condition[] {
  const left = new Map(wanted.map((condition) => [condition.type, condition]));
  const merged: Condition[] = [];
  for (const former of existing) {
    const next = left.get(former.type);
    left.delete(former.type);
    if (next !== undefined) merged.push(updated(former, next, now));
    else if (!isOurs(former.type)) merged.push(former);
  }
  for (const next of left.values()) merged.push({ ...next, lastTransitionTime: now });
  const isSame = merged.length === existing.length && merged.every((condition, index) => condition === existing[index]);
  return isSame ? existing : merged;
}

/** Nobody else writes these. */
function isOurs(type: string): boolean {
  return type === ALLOCATED || type === ANNOUNCED;
}

function updated(former: Condition, next: WantedCondition, now: string): Condition {
  const isSameStatus = former.status === next.status && former.lastTransitionTime !== '';
  if (isSameStatus && former.reason === next.reason && former.message === next.message) return former;
  return { ...next, lastTransitionTime: isSameStatus ? former.lastTransitionTime : now };
}

function allocatedCondition({ allocation, pending }: ServiceDecision): WantedCondition {
  if (allocation === undefined) {
    const reasons = pending?.reasons ?? [];
    const [head, ...lines] = pendingLines(reasons);
    return {
      type: ALLOCATED,
      status: 'False',
      reason: reasonOfCode(chief(reasons)?.code ?? 'POOL_MISSING'),
      message: fitLines(head ?? '', lines, CONDITION_MESSAGE_MAX),
    };
  }
  const [first] = allocation.shortcomings;
  return {
    type: ALLOCATED,
    status: 'True',
    reason: first === undefined ? 'Allocated' : reasonOfCode(first.code),
    message: fitLines(allocationText(allocation), allocation.shortcomings.map(reasonLine), CONDITION_MESSAGE_MAX),
  };
}

/** One sentence, and one line for each pool that refuses; the Service's own reasons are the sentence. */
function pendingLines(reasons: readonly Reason[]): readonly string[] {
  const own = reasons.filter(({ pool }) => pool === '');
  const pools = reasons.filter(({ pool }) => pool !== '');
  if (own.length > 0) return [own.map(({ message }) => sentence(message)).join(' '), ...pools.map(reasonLine)];
  if (pools.length === 0) return ['No address yet.'];
  const count = pools.length === 1 ? 'The only pool has none' : `None of ${pools.length} pools has one`;
  return [`No address: ${lowerFirst(count)} for this Service.`, ...pools.map(reasonLine)];
}

/** Pools that are for others say less than those that would do but can't. */
const SCOPE_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'POOL_NAMESPACE',
  'POOL_SELECTOR',
  'POOL_NOT_AUTOMATIC',
  'POOL_CLOSED',
  'POOL_SHADOWED',
  'ADDRESS_OUTSIDE',
]);

/** The reason that says most: the Service's own, then that of a pool which is for it, then the first. */
function chief(reasons: readonly Reason[]): Reason | undefined {
  return reasons.find(({ pool }) => pool === '') ?? reasons.find(({ code }) => !SCOPE_CODES.has(code)) ?? reasons.at(0);
}

function reasonLine({ pool, code, message }: Reason): string {
  return pool === '' ? `${code}: ${message}` : `${pool}: ${code}: ${message}`;
}

function allocationText({ addresses, pool, from, request }: Allocation): string {
  const list = addresses.map(({ text }) => text).join(', ');
  const of = pool === '' ? '' : ` of pool ${pool}`;
  if (from === 'kept') return `${list}${of}, kept as it was.`;
  if (from === 'pool') return `${list}${of}.`;
  return `${list}${of}, as asked for${request.addressesFrom === '' ? '' : ` by ${request.addressesFrom}`}.`;
}

function announcedCondition({ allocation, ownerships }: ServiceDecision): WantedCondition {
  const type = ANNOUNCED;
  if (allocation === undefined) {
    return { type, status: 'False', reason: 'NotAllocated', message: 'It has no address yet.' };
  }
  const silent = ownerships.filter(({ node }) => node === undefined);
  const known = new Set(ownerships.map(({ address }) => address.text));
  const unknown = allocation.addresses.filter(({ text }) => !known.has(text));
  const lines = [
    ...ownerships.map(ownershipText),
    ...unknown.map(({ text }) => `${text}: it is not decided yet which node answers.`),
  ];
  const reason = silent[0]?.reasons[0]?.code;
  const isComplete = silent.length === 0 && unknown.length === 0 && lines.length > 0;
  const without = reason === undefined ? 'NotDecided' : reasonOfCode(reason);
  return {
    type,
    status: isComplete ? 'True' : 'False',
    reason: isComplete ? 'Announced' : silent.length > 0 && reason === undefined ? 'NoCandidate' : without,
    message: fitLines(lines[0] ?? '', lines.slice(1), CONDITION_MESSAGE_MAX),
  };
}

/** `192.0.2.10: node n1 answers on eth0.`, or why nobody does. */
function ownershipText({ address, node, candidates, reasons }: Ownership): string {
  if (node === undefined) {
    const why = reasons.map(({ code, message }) => `${code}: ${message}`).join('; ');
    return `${address.text}: nobody answers${why === '' ? '.' : `: ${sentence(why)}`}`;
  }
  const { interfaceName } = candidates.find((candidate) => candidate.node === node) ?? {};
  return `${address.text}: node ${node} answers${interfaceName === undefined ? '' : ` on ${interfaceName}`}.`;
}

/** Cilium's words (operator/pkg/lbipam) for our codes. */
const CILIUM_REASONS: Readonly<Partial<Record<ErrorCode, string>>> = {
  POOL_MISSING: 'no_pool',
  POOL_UNKNOWN: 'no_pool',
  ADDRESS_OUTSIDE: 'no_pool',
  POOL_FAMILY: 'no_pool',
  POOL_CLOSED: 'no_pool',
  POOL_CONFLICT: 'no_pool',
  POOL_INVALID: 'no_pool',
  POOL_SELECTOR: 'pool_selector_mismatch',
  POOL_NAMESPACE: 'pool_selector_mismatch',
  ADDRESS_TAKEN: 'already_allocated',
  ADDRESS_QUARANTINED: 'already_allocated',
  ADDRESS_RESERVED: 'already_allocated',
  ADDRESS_NOT_SHAREABLE: 'already_allocated_incompatible_service',
};

function satisfiedCondition(
  { allocation, pending }: ServiceDecision,
  poolOf: (name: string) => Pool | undefined,
): WantedCondition | undefined {
  const isCilium = (name: string): boolean => poolOf(name)?.origin === 'cilium';
  const type = SATISFIED;
  if (allocation !== undefined) {
    if (!isCilium(allocation.pool)) return undefined;
    const missing = allocation.shortcomings.find(({ code }) => code === 'DUAL_STACK_INCOMPLETE');
    if (missing === undefined) return { type, status: 'True', reason: 'satisfied', message: '' };
    return { type, status: 'False', reason: 'out_of_ips', message: missing.message };
  }
  const pools = (pending?.reasons ?? []).filter(({ pool }) => pool !== '');
  if (pools.length === 0 || !pools.every(({ pool }) => isCilium(pool))) return undefined;
  const reason = chief(pools);
  return {
    type,
    status: 'False',
    reason: (reason === undefined ? undefined : CILIUM_REASONS[reason.code]) ?? 'out_of_ips',
    message: fitLines(reason === undefined ? '' : sentence(reason.message), [], CONDITION_MESSAGE_MAX),
  };
}

/** Events for what is new in `after`; `before` is undefined when the Service was not known. */
export function decisionEvents(before: ToldDecision | undefined, after: ServiceDecision): readonly ServiceEvent[] {
  return [...allocationEvents(before, after), ...ownershipEvents(before?.ownerships ?? [], after.ownerships)];
}

function allocationEvents(before: ToldDecision | undefined, after: ServiceDecision): readonly ServiceEvent[] {
  const former = before?.allocation?.addresses.map(({ text }) => text).join(', ') ?? '';
  const { allocation, pending } = after;
  if (allocation === undefined) {
    const reasons = pending?.reasons ?? [];
    const [head = '', ...lines] = pendingLines(reasons);
    const message = fitLines(former === '' ? head : `It lost ${former}. ${head}`, lines, EVENT_MESSAGE_MAX);
    const isNew = former !== '' || before === undefined || !isSameReasons(before.pending?.reasons ?? [], reasons);
    return isNew ? [{ type: 'Warning', reason: reasonOfCode(chief(reasons)?.code ?? 'POOL_MISSING'), message }] : [];
  }
  const events: ServiceEvent[] = [];
  const list = allocation.addresses.map(({ text }) => text).join(', ');
  const text = allocationText(allocation);
  if (former === '' && (allocation.from !== 'kept' || before !== undefined)) {
    events.push({ type: 'Normal', reason: 'AddressAllocated', message: fitText(text, EVENT_MESSAGE_MAX) });
  } else if (former !== '' && former !== list) {
    const message = fitText(`It had ${former}, and has ${text}`, EVENT_MESSAGE_MAX);
    events.push({ type: 'Warning', reason: 'AddressChanged', message });
  }
  const told = new Set((before?.allocation?.shortcomings ?? []).map(reasonLine));
  events.push(...reasonEvents(allocation.shortcomings.filter((reason) => !told.has(reasonLine(reason)))));
  return events;
}

function isSameReasons(a: readonly Reason[], b: readonly Reason[]): boolean {
  return a === b || (a.length === b.length && a.every((reason, index) => isSameReason(reason, b[index])));
}

/** Numbers in the words (in use, free) may change without anything new to tell. */
function isSameReason(a: Reason, b: Reason | undefined): boolean {
  return b !== undefined && a.code === b.code && a.pool === b.pool;
}

function ownershipEvents(before: ToldDecision['ownerships'], after: readonly Ownership[]): readonly ServiceEvent[] {
  const former = new Map(before.map((ownership) => [ownership.address.text, ownership]));
  const events: ServiceEvent[] = [];
  for (const ownership of after) {
    const known = former.get(ownership.address.text);
    if (known !== undefined && known.node === ownership.node && ownership.node !== undefined) continue;
    const text = ownershipText(ownership);
    if (ownership.node === undefined) {
      if (known !== undefined && known.node === undefined && isSameReasons(known.reasons, ownership.reasons)) continue;
      const left = known?.node === undefined ? '' : ` Until now it was node ${known.node}.`;
      const reason = reasonOfCode(ownership.reasons[0]?.code ?? 'NO_CANDIDATE');
      events.push({ type: 'Warning', reason, message: fitText(`${text}${left}`, EVENT_MESSAGE_MAX) });
    } else if (known?.node === undefined) {
      events.push({ type: 'Normal', reason: 'Announced', message: fitText(text, EVENT_MESSAGE_MAX) });
    } else {
      const message = fitText(`${text} Until now it was node ${known.node}.`, EVENT_MESSAGE_MAX);
      events.push({ type: 'Normal', reason: 'AddressMoved', message });
    }
  }
  return events;
}

/** `isHeld`: we answer as well; else we leave it to the other. */
export function conflictText(conflict: {
  readonly address: string;
  readonly mac: string;
  readonly isHeld: boolean;
}): string {
  const { address, mac, isHeld } = conflict;
  return isHeld
    ? `${address} is answered for by ${mac} too.`
    : `${address} is answered for by ${mac}, so its node does not.`;
}

/** Warnings about what a Service asks for, or shortcomings of what it got: an Event each. */
export function reasonEvents(reasons: readonly Reason[]): readonly ServiceEvent[] {
  return reasons.map(({ pool, code, message }) => ({
    type: 'Warning',
    reason: reasonOfCode(code),
    message: fitText(pool === '' ? message : `${pool}: ${message}`, EVENT_MESSAGE_MAX),
  }));
}

/** For the object the problem is of: what is wrong, and what to type next. */
export function problemEvent({ code, message, remedy }: ObjectProblem): ServiceEvent {
  const text = fitText(`${sentence(message)} ${remedy}`, EVENT_MESSAGE_MAX);
  return { type: 'Warning', reason: reasonOfCode(code), message: text };
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
