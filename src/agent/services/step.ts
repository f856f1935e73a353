/**
 * This node's share of Service addresses, one turn of it: takes in what happened, decides whose what is, does what is due,
 * and says what became of it. A turn that concerns none of the addresses looks at none of them; one that concerns all
 * decides about all at once and does what follows from it in portions, so that the loop breathes.
 *
 *   liveness, sites ─▶ decide (all, or those the event is about) ─▶ drive (what is due, a portion) ─▶ strays ─▶ tell
 */

import { after, earliest, NEVER, type MonotonicMs } from '../../base/time.ts';
import { majorityOf } from '../../leader/view.ts';
import { withAnnouncementsDue } from '../../vip/news.ts';
import type { VipRules } from '../../vip/vip-state.ts';
import type { AddressDuty, ServiceDuty } from '../../services/duty.ts';
import type { Effect } from '../effect.ts';
import type { AgentEvent } from '../event.ts';
import { addressKey } from '../kernel-view.ts';
import type { AgentRules, AgentState, KernelView } from '../state.ts';
import { decide } from './decide.ts';
import { drive } from './drive.ts';
import { countMissing, judgeLiveness, livenessDeadline, type Judged } from './liveness.ts';
import { finishMoves } from './moves.ts';
import { draftOf, dueInDraft, eachOfShards, finishDraft, inShards, putInDraft } from './shards.ts';
import { interfaceNamesOf, sitesOf, usedHere } from './site.ts';
import type { ServicesState } from './state.ts';
import { removeStrays, suspectStray } from './strays.ts';
import { everyVip, takeEvent } from './take.ts';
import { changesOf, entryDeadline, type Turn } from './turn.ts';
import { countersWith, tellTurn } from './tell.ts';
import { watch } from './watch.ts';

export interface ServicesStep {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

/**
 * Machines driven in one turn, at most: some five milliseconds, system calls included, where each of them is quick. The
 * rest follows after the loop has breathed. What an event is about comes first, and a part of what is due.
 */
export const PORTION = 40;
const DUE_MIN = 20;
const BREATH_MS = 1;
/** What a portion left undone that was found at start is looked for again. */
const SETTLE_MS = 1000;
/** Renewals and announcements of all addresses together stay below some 60 and 20 a second. */
const ADDRESSES_PER_LIFETIME_SECOND = 20;
const LIFETIME_MAX_S = 300;
/** With more than so many, each is announced less often: thousands of broadcasts a second serve nobody on the link. */
const MANY = 64;
const BURST_OF_MANY_MS: readonly number[] = [0, 100, 700, 3000];
/** Questions to those who go on answering: some 400 a second in all. */
const RIVAL_PROBE_MS = { min: 40, max: 5000, each: 2.5 };

export function isServing(rules: AgentRules): boolean {
  return rules.services?.isEnabled === true;
}

const NONE: readonly Effect[] = [];

/** `hasConsent`: the election was gained with the former holder's consent in this turn. */
export function stepServices(
  rules: AgentRules,
  before: AgentState,
  context: { readonly event: AgentEvent; readonly hasConsent: boolean },
  now: MonotonicMs,
): ServicesStep {
  if (!isServing(rules)) return { state: before, effects: NONE };
  const { event } = context;
  const duty = event.kind === 'services.duty' ? event.duty : undefined;
  const state = moveToControlPlane(before);
  const informed = noteMissed(state, inform(state, duty), countMissing(rules, state, now), now);
  const { isMissed } = informed;
  const judged = judgeLiveness(rules, informed === state.services ? state : { ...state, services: informed }, now);
  if (isIdleTurn(state.services, informed, { judged, context, now })) {
    return { state: withJudged(state, informed, judged), effects: NONE };
  }
  const turn = beginTurn(rules, { ...state, services: informed }, { judged, hasConsent: context.hasConsent, now });
  decideWhat(turn, state.services, duty);
  takeEvent(turn, event);
  if (state.services.isMissed && !isMissed) everyVip(turn, (vip) => withAnnouncementsDue(vip, now));
  for (const address of portionOf(turn, event)) drive(turn, address);
  removeStrays(turn);
  return finishTurn(turn, judged);
}

/**
 * Of what is due, what this turn does. Where there are many addresses that is the tick's alone: other events come dozens at
 * a time out of their sockets, without a breath in between.
 */
function portionOf({ entries, now, driven }: Turn, event: AgentEvent): readonly string[] {
  const isTick = event.kind === 'tick';
  if (!isTick && entries.before.size > MANY) return [];
  const portion = (isTick ? event.portion : undefined) ?? PORTION;
  const limit = Math.max(Math.min(DUE_MIN, portion), portion - driven);
  return dueInDraft(entries, { deadlineOf: entryDeadline, now, limit });
}

/** What is known of the surroundings, brought up to date: interfaces, addresses of the node, and the duty's terms. */
function inform(state: AgentState, duty: ServiceDuty | undefined): ServicesState {
  const { services, kernel } = state;
  const interfaceNames = duty === undefined ? services.interfaceNames : interfaceNamesOf(duty);
  const isSame = interfaceNames === services.interfaceNames && kernel?.links === services.seen.links;
  const sites = isSame || kernel === undefined ? services.sites : sitesOf(kernel, interfaceNames, services.sites);
  const isUsedSame = duty === undefined && kernel?.addresses === services.seen.addresses && isSame;
  const used = isUsedSame || kernel === undefined ? services.used : usedHere(kernel, servedBy(services, duty, kernel));
  if (isSame && isUsedSame && duty === undefined) return services;
  return {
    ...services,
    isDutyKnown: services.isDutyKnown || duty !== undefined,
    isSpread: duty?.isSpread ?? services.isSpread,
    fellows: duty?.fellows ?? services.fellows,
    interfaceNames,
    sites,
    used: isSameSet(used, services.used) ? services.used : used,
    seen: { links: kernel?.links, addresses: kernel?.addresses, vips: services.seen.vips },
  };
}

/** Who of the others misses this node: some of them, or a majority of all voters. */
function noteMissed(state: AgentState, services: ServicesState, count: number, now: MonotonicMs): ServicesState {
  const isMissed = count > 0;
  const isByMajority = isMissed && count >= majorityOf(state.peers.view.set?.voters.length ?? 0);
  const missedSince = isByMajority ? (services.missedSince ?? now) : undefined;
  const isSame = isMissed === services.isMissed && missedSince === services.missedSince;
  return isSame ? services : { ...services, isMissed, missedSince };
}

/** Of the addresses that the kernel has (few: those of Services are kept apart), which the duty has too. */
function servedBy(
  services: ServicesState,
  duty: ServiceDuty | undefined,
  kernel: KernelView,
): { has: (address: string) => boolean } {
  if (duty === undefined) return { has: (address) => inShards(services.entries, address) !== undefined };
  const own = new Set(Array.from(kernel.addresses.values(), ({ prefix }) => prefix.ip.text));
  return new Set(duty.addresses.flatMap(({ prefix: { ip } }) => (own.has(ip.text) ? [ip.text] : [])));
}

function isSameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a === b || (a.size === b.size && [...a].every((one) => b.has(one)));
}

/** Nothing to decide, nothing due, and the event is about none of the addresses. */
function isIdleTurn(
  before: ServicesState,
  informed: ServicesState,
  facts: {
    readonly judged: Judged;
    readonly context: { readonly event: AgentEvent; readonly hasConsent: boolean };
    readonly now: MonotonicMs;
  },
): boolean {
  const { judged, context, now } = facts;
  const isSettled =
    judged.liveness === before.liveness &&
    informed.sites === before.sites &&
    informed.used === before.used &&
    informed.found === before.found &&
    informed.isMissed === before.isMissed;
  const isDue = informed.entries.dueAt <= now || informed.watchAt <= now || straysDueAt(informed) <= now;
  return isSettled && !isDue && !context.hasConsent && !isAboutServices(context.event);
}

function isAboutServices(event: AgentEvent): boolean {
  switch (event.kind) {
    case 'services.duty':
    case 'kernel.dumped':
    case 'kernel.changed':
    case 'kernel.changes':
    case 'frame.received':
    case 'effect.failed':
    case 'clock.jumped':
    case 'shutdown':
      return true;
    default:
      return false;
  }
}

function withJudged(state: AgentState, services: ServicesState, judged: Judged): AgentState {
  const memberNames = membersOf(state, services);
  const isSame =
    services === state.services && judged.departed === services.departed && memberNames === services.memberNames;
  return isSame ? state : { ...state, services: { ...services, departed: judged.departed, memberNames } };
}

function membersOf(state: AgentState, services: ServicesState): readonly string[] {
  const { set, others } = state.peers.view;
  const { memberNames } = services;
  const voters = set?.voters ?? [];
  const isSame =
    memberNames.length === voters.length + others.size &&
    voters.every(({ name }, index) => name === memberNames[index]) &&
    (others.size === 0 || memberNames.slice(voters.length).every((name) => others.has(name)));
  return isSame ? memberNames : [...voters.map(({ name }) => name), ...others.keys()];
}

function beginTurn(
  rules: AgentRules,
  state: AgentState,
  context: { readonly judged: Judged; readonly hasConsent: boolean; readonly now: MonotonicMs },
): Turn {
  const { services } = state;
  return {
    rules,
    state,
    services,
    liveness: context.judged.liveness,
    sites: services.sites,
    vipRules: vipRulesFor(rules, services.counts.own),
    hasConsent: context.hasConsent,
    now: context.now,
    entries: draftOf(services.entries),
    effects: [],
    driven: 0,
    tally: new Map(),
    moves: new Map(),
    counts: services.counts,
    inquiries: changesOf(services.inquiries),
    strays: changesOf(services.strays),
    duties: services.duties,
    rivals: services.rivals,
    isNews: false,
    isWatchGrown: false,
    isWatchShrunk: false,
  };
}

/** The rules of one address, so that those of thousands cost no more than those of a few. */
export function vipRulesFor({ vip }: Pick<AgentRules, 'vip'>, count: number): VipRules {
  const seconds = Math.min(LIFETIME_MAX_S, Math.ceil(count / ADDRESSES_PER_LIFETIME_SECOND));
  const { min, max, each } = RIVAL_PROBE_MS;
  return {
    ...vip,
    lifetimeSeconds: Math.max(vip.lifetimeSeconds, seconds),
    renewalMaxMs: Number.POSITIVE_INFINITY,
    refreshIntervalMs: Math.max(vip.refreshIntervalMs, seconds * 1000),
    rivalProbeMs: Math.min(max, Math.max(min, count * each)),
    // A Service's address is never taken from somebody who answers for it: another one can be given.
    conflictTimeoutMs: Number.POSITIVE_INFINITY,
    ...(count > MANY ? { burstOffsetsMs: BURST_OF_MANY_MS } : {}),
  };
}

function decideWhat(turn: Turn, before: ServicesState, duty: ServiceDuty | undefined): void {
  if (duty !== undefined) {
    followDuty(turn, before, duty.addresses);
    return;
  }
  const { services } = turn;
  if (isOtherwise(turn, before)) {
    for (const [address] of eachOfShards(services.entries)) decide(turn, address);
    return;
  }
  if (services.used === before.used) return;
  for (const address of new Set([...services.used, ...before.used])) decide(turn, address);
}

/** Something changed that concerns every address. */
function isOtherwise({ services, liveness, hasConsent }: Turn, before: ServicesState): boolean {
  const isSame =
    liveness === before.liveness && services.sites === before.sites && services.isSpread === before.isSpread;
  return !isSame || hasConsent;
}

function followDuty(turn: Turn, before: ServicesState, addresses: readonly AddressDuty[]): void {
  const isSettled = !isOtherwise(turn, before) && turn.services.used === before.used;
  const duties = new Set(addresses);
  const decided = new Set<string>();
  for (const duty of addresses) {
    // The very same duty under the same circumstances was decided about when it came.
    if (isSettled && before.duties.has(duty)) continue;
    const address = duty.prefix.ip.text;
    if (decided.has(address)) continue;
    decided.add(address);
    decide(turn, address, duty);
  }
  for (const duty of before.duties) {
    const address = duty.prefix.ip.text;
    if (duties.has(duty) || decided.has(address)) continue;
    decide(turn, address, null);
    if (inShards(turn.services.found, address) !== undefined) suspectStray(turn, address);
  }
  turn.duties = duties;
  if (before.isDutyKnown) return;
  const wanted = new Set(addresses.map(({ prefix }) => prefix.ip.text));
  for (const [address] of eachOfShards(turn.services.found)) {
    suspectStray(turn, address, wanted.has(address) ? SETTLE_MS : 0);
  }
}

/** An address that a name of the control plane has come to mean is the control plane's. */
function moveToControlPlane(state: AgentState): AgentState {
  const { services, vips, kernel } = state;
  if (vips === services.seen.vips) return state;
  const seen = { ...services.seen, vips };
  if (kernel === undefined || services.found.size === 0) return { ...state, services: { ...services, seen } };
  const found = draftOf(services.found);
  const addresses = new Map(kernel.addresses);
  vips.forEach((_vip, address) => {
    for (const one of inShards(services.found, address) ?? []) {
      addresses.set(addressKey(one.ifindex, one.prefix.ip, one.prefix.length), one);
    }
    putInDraft(found, address, undefined);
  });
  const isSame = addresses.size === kernel.addresses.size;
  return {
    ...state,
    kernel: isSame ? kernel : { ...kernel, addresses },
    services: { ...services, seen, found: finishDraft(found) },
  };
}

function finishTurn(turn: Turn, judged: Judged): ServicesStep {
  const { state, services, effects } = turn;
  const entries = finishDraft(turn.entries, entryDeadline);
  const isNews = turn.isNews || judged.liveness !== services.liveness;
  const next: ServicesState = {
    ...services,
    ...watch(turn),
    version: isNews ? services.version + 1 : services.version,
    entries,
    liveness: judged.liveness,
    hasStood: services.hasStood || (services.isDutyKnown && judged.liveness.hasStanding),
    departed: judged.departed,
    memberNames: membersOf(state, services),
    inquiries: turn.inquiries.map,
    counts: turn.counts,
    moves: finishMoves(services, turn.moves),
    rivals: turn.rivals,
    strays: turn.strays.map,
    duties: turn.duties,
  };
  tellTurn(turn);
  return { state: { ...state, services: next, counters: countersWith(turn) }, effects };
}

function straysDueAt({ strays }: ServicesState): MonotonicMs {
  let next = NEVER;
  strays.forEach((at) => {
    if (at < next) next = at;
  });
  return next;
}

/** When Services next want a tick. A portion that is left over waits until the loop has breathed. */
export function servicesDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  if (!isServing(rules)) return NEVER;
  const { services } = state;
  const isTime = services.isDutyKnown || state.lifecycle !== 'running';
  const due = earliest(services.entries.dueAt, services.watchAt, isTime ? straysDueAt(services) : NEVER);
  const soonest = due === NEVER ? NEVER : (Math.max(due, after(now, BREATH_MS)) as MonotonicMs);
  return earliest(soonest, livenessDeadline(rules, state, now));
}

/** Whether nothing is left of Services on this node that it would have to take away before it goes. */
export function isServicesGone(rules: AgentRules, { services }: AgentState): boolean {
  return !isServing(rules) || (services.counts.involved === 0 && services.strays.size === 0);
}
