/**
 * The whole node as one function: `step(rules, state, event, now) → { state, effects }`. It reads no clock and performs
 * nothing; `agentDeadline` says when it next wants a tick. One turn runs these stages, each a function of the last:
 *
 *   kernel ──▶ names ──▶ election ──▶ addresses ──▶ capture ──▶ shutdown ──▶ report
 *   (what is)  (which)   (who may)    (hold, drop)  (listen)    (release)    (log, Event)
 *
 * Effects come out with the machine's own first (addresses, frames) and the API's after them: nothing that another
 * machine must answer ever precedes a withdrawal.
 */

import { assert } from '../base/assert.ts';
import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import { electionDeadline, stepElection, type ElectionEvent, type ElectionOutput } from '../leader/election.ts';
import { isIdle, vipDeadline } from '../vip/vip.ts';
import { stepAddresses } from './addresses.ts';
import { captureEffects } from './capture.ts';
import type { Effect } from './effect.ts';
import { isEligible } from './eligibility.ts';
import type { AgentEvent } from './event.ts';
import { applyChange, findVipLink, viewOfSnapshot } from './kernel-view.ts';
import { nameDeadline, stepNames } from './names.ts';
import { reportElection, reportProblems } from './report.ts';
import type { AgentRules, AgentState } from './state.ts';

export interface AgentStep {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

/** A stop waits this long for the kernel to confirm withdrawals, and this long in all for the Lease to be released. */
export const WITHDRAW_PATIENCE_MS = 500;
export const SHUTDOWN_DEADLINE_MS = 3000;

export function step(rules: AgentRules, before: AgentState, event: AgentEvent, now: MonotonicMs): AgentStep {
  if (before.lifecycle === 'stopped') return { state: before, effects: [] };
  const seen = seeKernel(rules, event.kind === 'shutdown' ? beginStop(before, now) : before, event);
  const named = stepNames(rules, seen, event, now);
  const elected = elect(rules, named.state, event, now);
  const held = stepAddresses(rules, elected.state, event, now);
  const resigned = resign(rules, held.state, now);
  const capture = captureEffects(resigned.state);
  const stopped = finishStop(capture.state, now);
  const outputs = [...elected.outputs, ...resigned.outputs];
  const reported = reportElection(rules, stopped.state, outputs, held.notes, now);
  const problems = reportProblems(rules, reported.state);
  return {
    state: problems.state,
    effects: [
      ...capture.effects,
      ...held.effects,
      ...leaseEffects(outputs),
      ...named.effects,
      ...reported.effects,
      ...problems.effects,
      ...stopped.effects,
    ],
  };
}

/** When the node next wants a tick; NEVER while only events can change anything. */
export function agentDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  if (state.lifecycle === 'stopped') return NEVER;
  const vips = [...state.vips.values()].map(vipDeadline);
  return earliest(
    electionDeadline(rules.election, state.election),
    nameDeadline(state),
    stopDeadline(state, now),
    ...vips,
  );
}

function stopDeadline(state: AgentState, now: MonotonicMs): MonotonicMs {
  if (state.stoppingSince === undefined) return NEVER;
  const patience = after(state.stoppingSince, WITHDRAW_PATIENCE_MS);
  return now < patience ? patience : after(state.stoppingSince, SHUTDOWN_DEADLINE_MS);
}

function beginStop(state: AgentState, now: MonotonicMs): AgentState {
  return state.lifecycle === 'running' ? { ...state, lifecycle: 'stopping', stoppingSince: now } : state;
}

function seeKernel(rules: AgentRules, state: AgentState, event: AgentEvent): AgentState {
  if (event.kind !== 'kernel.dumped' && event.kind !== 'kernel.changed') return state;
  if (event.kind === 'kernel.changed' && state.kernel === undefined) return state;
  const kernel =
    event.kind === 'kernel.dumped'
      ? viewOfSnapshot(event.snapshot)
      : applyChange(state.kernel ?? assertView(), event.change);
  // The default route may move while we hold: the interface stays the one we hold on for as long as it exists.
  const isPinned = rules.interfaceName === undefined && state.ifindex !== undefined && kernel.links.has(state.ifindex);
  return { ...state, kernel, ifindex: isPinned ? state.ifindex : findVipLink(rules, kernel)?.index };
}

function assertView(): never {
  assert(false, 'a kernel view exists');
}

interface Elected {
  readonly state: AgentState;
  readonly outputs: readonly ElectionOutput[];
}

function elect(rules: AgentRules, state: AgentState, event: AgentEvent, now: MonotonicMs): Elected {
  const eligible: ElectionEvent = { kind: 'eligible', isEligible: isEligible(rules, state) };
  const events: readonly ElectionEvent[] = isElectionEvent(event) ? [event, eligible] : [eligible];
  return events.reduce<Elected>((turn, one) => applyElection(rules, turn, one, now), { state, outputs: [] });
}

function applyElection(rules: AgentRules, turn: Elected, event: ElectionEvent, now: MonotonicMs): Elected {
  const stepped = stepElection(rules.election, turn.state.election, event, now);
  let state: AgentState = { ...turn.state, election: stepped.state };
  for (const output of stepped.outputs) {
    if (output.kind === 'gained') state = { ...state, leadingSince: now, hasConsent: output.consent };
    if (output.kind === 'lost' || output.kind === 'released') {
      state = { ...state, leadingSince: undefined, hasConsent: false };
    }
  }
  return { state, outputs: [...turn.outputs, ...stepped.outputs] };
}

function isElectionEvent(event: AgentEvent): event is Extract<AgentEvent, ElectionEvent> {
  return (
    event.kind === 'lease.observed' ||
    event.kind === 'lease.written' ||
    event.kind === 'lease.failed' ||
    event.kind === 'clock.jumped'
  );
}

/** A holder that can't serve any more stops renewing, withdraws, and only then gives the Lease away. */
function resign(rules: AgentRules, state: AgentState, now: MonotonicMs): Elected {
  let turn: Elected = { state, outputs: [] };
  if (state.election.phase !== 'leading') return turn;
  const isResignationDue = !state.election.isResigning && !isEligible(rules, state);
  if (isResignationDue) turn = applyElection(rules, turn, { kind: 'resign' }, now);
  const patienceIsOver = state.stoppingSince !== undefined && now >= after(state.stoppingSince, WITHDRAW_PATIENCE_MS);
  const isConfirmed = [...turn.state.vips.values()].every(isIdle);
  return turn.state.election.isResigning && (isConfirmed || patienceIsOver)
    ? applyElection(rules, turn, { kind: 'withdrawn', isConfirmed }, now)
    : turn;
}

function finishStop(state: AgentState, now: MonotonicMs): AgentStep {
  if (state.stoppingSince === undefined) return { state, effects: [] };
  const isDone =
    state.election.phase === 'following' &&
    state.election.pending === undefined &&
    [...state.vips.values()].every(isIdle);
  if (!isDone && now < after(state.stoppingSince, SHUTDOWN_DEADLINE_MS)) return { state, effects: [] };
  return { state: { ...state, lifecycle: 'stopped' }, effects: [{ kind: 'exit', code: 0 }] };
}

function leaseEffects(outputs: readonly ElectionOutput[]): readonly Effect[] {
  return outputs.flatMap((output) =>
    output.kind === 'lease.read' || output.kind === 'lease.create' || output.kind === 'lease.update' ? [output] : [],
  );
}
