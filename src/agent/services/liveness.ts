/**
 * Who of the nodes may answer for Service addresses, as this node sees it at this moment, and by what right it answers
 * itself. Worked out anew in each turn from a handful of voters; nothing here looks at an address.
 *
 *   lost       a majority of the voters misses it; with fewer than three voters the leader's own ears decide
 *   draining   it said so in its last heartbeat (one that falls silent on its way out doesn't come back by that)
 *   standing   three voters or more: a majority is heard, API or not, and doesn't say that it misses us (whom nobody hears
 *              is replaced, and may not be told); fewer: it leads, sees the Lease being renewed, or the API is away and all
 *              other voters are heard; svc_election=false: it leads
 *
 * A node that left the voter set keeps its last verdict for REMEMBER_MS: by then the duty says what it is.
 */

import { after, NEVER, type MonotonicMs } from '../../base/time.ts';
import { ISOLATION_PATIENCE_MS } from '../../leader/tenure.ts';
import { hearsMajority, holding, isHeard, isMissedByMajority, isMissing, majorityLostAt } from '../../leader/view.ts';
import type { AddressDuty } from '../../services/duty.ts';
import { isApiWorking, isDraining, viewRules } from '../assessment.ts';
import type { AgentRules, AgentState } from '../state.ts';
import type { Liveness, ServicesState } from './state.ts';

/** With fewer voters no majority outlives a loss. */
const MAJORITY_VOTERS_MIN = 3;

/** First in order that isn't lost, nor draining while there is somebody else; without spreading, the leader or nobody. */
export function ownerAmong(
  duty: Pick<AddressDuty, 'order' | 'isTentative'>,
  services: Pick<ServicesState, 'liveness' | 'isSpread'>,
): string | undefined {
  if (duty.isTentative) return undefined;
  const { lost, draining, leader } = services.liveness;
  if (!services.isSpread) return leader !== undefined && duty.order.includes(leader) ? leader : undefined;
  let first: string | undefined;
  for (const name of duty.order) {
    if (lost.includes(name)) continue;
    if (!draining.includes(name)) return name;
    first ??= name;
  }
  return first;
}

/** What a node was when it left the voter set, and until when that counts. */
export interface Departed {
  readonly kind: 'lost' | 'draining';
  readonly until: MonotonicMs;
}

const REMEMBER_MS = 60_000;

export interface Judged {
  readonly liveness: Liveness;
  readonly departed: ReadonlyMap<string, Departed>;
}

/** Objects of `before` are handed on where nothing changed. */
export function judgeLiveness(rules: AgentRules, state: AgentState, now: MonotonicMs): Judged {
  const before = state.services;
  const voters = state.peers.view.set?.voters ?? NOBODY;
  const lost: string[] = [];
  const draining: string[] = [];
  for (const { name } of voters) {
    if (name === rules.node) continue;
    if (isLost(rules, state, name, now)) lost.push(name);
    if (state.peers.view.peers.get(name)?.heartbeat.isDraining === true) draining.push(name);
  }
  if (isLeaving(state)) draining.push(rules.node);
  for (const { name, isLeaving: isGoing } of state.peers.members) {
    if (isGoing && name !== rules.node && !voters.some((voter) => voter.name === name)) draining.push(name);
  }
  const departed = departedOf(before, voters, now);
  departed.forEach(({ kind }, name) => {
    const list = kind === 'lost' ? lost : draining;
    if (!list.includes(name)) list.push(name);
  });
  const liveness: Liveness = {
    lost: lost.sort(),
    draining: draining.sort(),
    leader: leaderOf(rules, state, now),
    hasStanding: hasStanding(rules, state, now),
  };
  return { liveness: isSameLiveness(liveness, before.liveness) ? before.liveness : liveness, departed };
}

const NOBODY: readonly { readonly name: string }[] = [];

/** Whether this node is on its way out: others may take what they can have. */
export function isLeaving(state: AgentState): boolean {
  return isDraining(state) || state.lifecycle !== 'running';
}

function isLost(rules: AgentRules, state: AgentState, name: string, now: MonotonicMs): boolean {
  const own = viewRules(rules);
  const { view } = state.peers;
  if ((view.set?.voters.length ?? 0) >= MAJORITY_VOTERS_MIN) return isMissedByMajority(own, view, name, now);
  return isLeading(state) && isMissing(own, view, name, now);
}

/** By tenure: an election that leads has it, or ends its leading in the same turn. */
function isLeading({ election }: AgentState): boolean {
  return election.phase === 'leading' && !election.isResigning;
}

function departedOf(
  before: ServicesState,
  voters: readonly { readonly name: string }[],
  now: MonotonicMs,
): Judged['departed'] {
  const isVoter = (name: string): boolean => voters.some((voter) => voter.name === name);
  const { liveness, departed, voterNames } = before;
  let kept = departed;
  departed.forEach(({ until }, name) => {
    if (now >= until || isVoter(name)) kept = withDeparted(kept, name, undefined);
  });
  for (const name of voterNames) {
    const kind = liveness.lost.includes(name) ? 'lost' : liveness.draining.includes(name) ? 'draining' : undefined;
    if (kind === undefined || isVoter(name) || departed.has(name)) continue;
    kept = withDeparted(kept, name, { kind, until: after(now, REMEMBER_MS) });
  }
  return kept;
}

function withDeparted(
  departed: Judged['departed'],
  name: string,
  verdict: Departed | undefined,
): ReadonlyMap<string, Departed> {
  const changed = new Map(departed);
  if (verdict === undefined) changed.delete(name);
  else changed.set(name, verdict);
  return changed;
}

function leaderOf(rules: AgentRules, state: AgentState, now: MonotonicMs): string | undefined {
  if (isLeading(state)) return rules.node;
  const name = holding(viewRules(rules), state.peers.view, now) ?? state.election.observed?.lease?.holder ?? '';
  return name === '' || name === rules.node ? undefined : name;
}

function hasStanding(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  if (!state.services.isSpread) return isLeading(state);
  const own = viewRules(rules);
  const { view } = state.peers;
  const voters = view.set?.voters ?? NOBODY;
  const isVoter = rules.heartbeat.isEnabled && voters.some(({ name }) => name === rules.node);
  if (isVoter && voters.length >= MAJORITY_VOTERS_MIN) {
    const { missedSince } = state.services;
    if (missedSince !== undefined && now >= after(missedSince, ISOLATION_PATIENCE_MS)) return false;
    if (hearsMajority(own, view, now)) return true;
    // Patience is for who had it: two voters heard one after the other are no majority.
    const lostAt = state.services.liveness.hasStanding ? majorityLostAt(own, view, now) : undefined;
    return lostAt !== undefined && now < after(lostAt, ISOLATION_PATIENCE_MS);
  }
  if (isLeading(state) || now < leaseFreshUntil(rules, state)) return true;
  const hearsAll = !isVoter || voters.every(({ name }) => isHeard(own, view, name, now));
  return state.election.observed !== undefined && !isApiWorking(rules, state, now) && hearsAll;
}

/** A leader that goes is replaced when its Lease ends: who waits for that has standing a little beyond it. */
function leaseFreshUntil(rules: AgentRules, state: AgentState): MonotonicMs {
  const { observed } = state.election;
  if (observed === undefined) return state.startedAt;
  const durationMs = observed.lease?.durationMs ?? rules.election.leaseDurationMs;
  return after(observed.at, durationMs + rules.election.retryPeriodMs + ISOLATION_PATIENCE_MS);
}

function isSameLiveness(a: Liveness, b: Liveness): boolean {
  return (
    a.hasStanding === b.hasStanding &&
    a.leader === b.leader &&
    isSameList(a.lost, b.lost) &&
    isSameList(a.draining, b.draining)
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

/** When time alone may change something that no deadline of the election or of the view stands for. */
export function livenessDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  const lostAt = majorityLostAt(viewRules(rules), state.peers.view, now);
  let next = NEVER;
  const note = (moment: MonotonicMs): void => {
    if (moment > now && moment < next) next = moment;
  };
  note(leaseFreshUntil(rules, state));
  const { missedSince } = state.services;
  if (missedSince !== undefined) note(after(missedSince, ISOLATION_PATIENCE_MS));
  if (lostAt !== undefined) note(after(lostAt, ISOLATION_PATIENCE_MS));
  state.services.departed.forEach(({ until }) => note(until));
  return next;
}

/** How many of the voters that are heard say that they don't hear this node. */
export function countMissing(rules: AgentRules, state: AgentState, now: MonotonicMs): number {
  const { view } = state.peers;
  const place = view.set?.voters.findIndex(({ name }) => name === rules.node) ?? -1;
  if (place < 0) return 0;
  let count = 0;
  view.peers.forEach(({ heartbeat }, name) => {
    if (heartbeat.epoch !== view.set?.epoch || !isHeard(viewRules(rules), view, name, now)) return;
    if ((heartbeat.hears & (1 << place)) === 0) count += 1;
  });
  return count;
}
