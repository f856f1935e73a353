/**
 * Who of the nodes may answer for Service addresses, as this node sees it at this moment, and by what right it answers
 * itself. Worked out anew in each turn from a handful of voters; nothing here looks at an address.
 *
 *   lost       a majority of the voters misses it; with fewer than three voters the leader's own ears decide
 *   draining   it said so in its last heartbeat (one that falls silent on its way out doesn't come back by that), or in its
 *              registration, which is all that members without a vote know of one another
 *   standing   three voters or more: a majority is heard, API or not, and doesn't say that it misses us (whom nobody hears
 *              is replaced, and may not be told); fewer: it leads, sees the Lease being renewed, or the API is away and all
 *              other voters are heard; svc_election=false: it leads
 *
 * A node that is no member any more keeps its last verdict for REMEMBER_MS: by then the duty says what it is.
 */

import { isSameValues } from '../../base/lists.ts';
import { after, NEVER, type MonotonicMs } from '../../base/time.ts';
import { ISOLATION_PATIENCE_MS } from '../../leader/tenure.ts';
import { countMissingOther, isOtherLost, voterMajorityLostAt } from '../../leader/others.ts';
import {
  holding,
  isHeard,
  isMissedByMajority,
  isMissing,
  isVoter,
  majorityLostAt,
  type ViewState,
} from '../../leader/view.ts';
import type { AddressDuty } from '../../services/duty.ts';
import { isApiWorking, isDraining } from '../assessment.ts';
import { viewRules } from '../view-rules.ts';
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
  const { view, members } = state.peers;
  const lost: string[] = [];
  const draining: string[] = [];
  for (const { name } of view.set?.voters ?? NOBODY) {
    if (name === rules.node) continue;
    if (isLost(rules, state, name, now)) lost.push(name);
    if (view.peers.get(name)?.heartbeat.isDraining === true) draining.push(name);
  }
  if (isLeaving(state)) draining.push(rules.node);
  if (hasMajorities(view)) {
    for (const name of view.others.keys()) if (isOtherLost(viewRules(rules), view, name, now)) lost.push(name);
  }
  for (const { name, isLeaving: isGoing } of members) {
    if (name === rules.node || view.set?.voters.some((voter) => voter.name === name) === true) continue;
    if (isGoing || view.others.get(name)?.heartbeat?.isDraining === true) draining.push(name);
  }
  const departed = departedOf(before, view, now);
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
  if (hasMajorities(view)) return isMissedByMajority(own, view, name, now);
  return isLeading(state) && isMissing(own, view, name, now);
}

/** Whether a majority of the voters outlives the loss of one. */
function hasMajorities({ set }: ViewState): boolean {
  return (set?.voters.length ?? 0) >= MAJORITY_VOTERS_MIN;
}

/** By tenure: an election that leads has it, or ends its leading in the same turn. */
function isLeading({ election }: AgentState): boolean {
  return election.phase === 'leading' && !election.isResigning;
}

function departedOf(before: ServicesState, { set, others }: ViewState, now: MonotonicMs): Judged['departed'] {
  const isThere = (name: string): boolean =>
    others.has(name) || set?.voters.some((voter) => voter.name === name) === true;
  const { liveness, departed, memberNames } = before;
  let kept = departed;
  departed.forEach(({ until }, name) => {
    if (now >= until || isThere(name)) kept = withDeparted(kept, name, undefined);
  });
  for (const name of memberNames) {
    const kind = liveness.lost.includes(name) ? 'lost' : liveness.draining.includes(name) ? 'draining' : undefined;
    if (kind === undefined || isThere(name) || departed.has(name)) continue;
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
  const name = holding(state.peers.view, now) ?? state.election.observed?.lease?.holder ?? '';
  return name === '' || name === rules.node ? undefined : name;
}

function hasStanding(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  if (!state.services.isSpread) return isLeading(state);
  const own = viewRules(rules);
  const { view } = state.peers;
  if (rules.heartbeat.isEnabled && hasMajorities(view)) {
    const { missedSince } = state.services;
    if (missedSince !== undefined && now >= after(missedSince, ISOLATION_PATIENCE_MS)) return false;
    const lostAt = aloneSince(rules, state, now);
    // Patience is for who had it: two voters heard one after the other are no majority.
    const isPatient = state.services.liveness.hasStanding;
    return lostAt === undefined || (isPatient && now < after(lostAt, ISOLATION_PATIENCE_MS));
  }
  if (isLeading(state) || now < leaseFreshUntil(rules, state)) return true;
  const voters = view.set?.voters ?? NOBODY;
  const hearsAll =
    !rules.heartbeat.isEnabled || !isVoter(own, view) || voters.every(({ name }) => isHeard(own, view, name, now));
  return state.election.observed !== undefined && !isApiWorking(rules, state, now) && hearsAll;
}

/** Since when this node has heard no majority of the voters; undefined while it does. */
function aloneSince(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs | undefined {
  const own = viewRules(rules);
  const { view } = state.peers;
  return isVoter(own, view) ? majorityLostAt(own, view, now) : voterMajorityLostAt(view, now);
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
    isSameValues(a.lost, b.lost) &&
    isSameValues(a.draining, b.draining)
  );
}

/** When time alone may change something that no deadline of the election or of the view stands for. */
export function livenessDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  const lostAt = hasMajorities(state.peers.view) ? aloneSince(rules, state, now) : undefined;
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
  if (place < 0) return countMissingOther(viewRules(rules), view, rules.node, now);
  let count = 0;
  view.peers.forEach(({ heartbeat }, name) => {
    if (heartbeat.epoch !== view.set?.epoch || !isHeard(viewRules(rules), view, name, now)) return;
    if ((heartbeat.hears & (1 << place)) === 0) count += 1;
  });
  return count;
}
