/**
 * The whole node as one function: `step(rules, state, event, now) → { state, effects }`. It reads no clock and performs
 * nothing; `agentDeadline` says when it next wants a tick. One turn runs these stages, each a function of the last:
 *
 *   kernel ─▶ names ─▶ peers ─▶ election ─▶ departure ─▶ addresses ─▶ services ─▶ capture ─▶ heartbeat ─▶ shutdown ─▶ report
 *   (what is) (which)  (who is  (who may)   (who should) (hold, drop) (the same   (listen)   (tell)       (release)   (log,
 *                       there)                                         for many)                                       Event)
 *
 * Effects come out with the machine's own first (addresses, frames) and the API's after them: nothing that another
 * machine must answer ever precedes a withdrawal.
 */

import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import type { ElectionEvent, ElectionOutput } from '../leader/election-state.ts';
import { electionDeadline, stepElection } from '../leader/election.ts';
import { hasHeldAlone, isIdle, vipDeadline } from '../vip/vip-state.ts';
import { stepAddresses } from './addresses.ts';
import { captureEffects } from './capture.ts';
import { assess, LOST_AFTER_MS } from './assessment.ts';
import { heartbeatEffects } from './beat.ts';
import { connectionEffects } from './connections.ts';
import {
  departureDeadline,
  hearReasons,
  HANDOVER_PATIENCE_MS,
  isTakenOver,
  successor,
  unwillingness,
} from './departure.ts';
import type { Effect } from './effect.ts';
import { isEligible, obstacle } from './eligibility.ts';
import type { AgentEvent } from './event.ts';
import { applyChange, applyChanges, findVipLink, viewOfSnapshot } from './kernel-view.ts';
import { nameDeadline, stepNames } from './names.ts';
import { followVoters, hearPeers, peersDeadline, registerEffects, votersToWrite } from './peers.ts';
import { reportProblems } from './problems.ts';
import { reportTurn } from './report.ts';
import { isReservedFor, reservation } from './reserved.ts';
import { partKernelNews } from './services/found.ts';
import { isServicesGone, isServing, servicesDeadline, stepServices } from './services/step.ts';
import type { AgentRules, AgentState, KernelView } from './state.ts';
import { noteSuspicion } from './suspicion.ts';

export interface AgentStep {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

/** A resignation waits this long for the kernel to confirm withdrawals; a stop, this long in all for the Lease to be released. */
export const WITHDRAW_PATIENCE_MS = 500;
export const SHUTDOWN_DEADLINE_MS = 3000;
/** Addresses of Services that a process leaves behind answer on, for minutes where there are thousands: within a Pod's ten seconds. */
export const SERVICES_DEADLINE_MS = 8000;
/** Who handed over lets go within this: its patience, and its kernel's word. */
const PARTNER_MS = HANDOVER_PATIENCE_MS + WITHDRAW_PATIENCE_MS;

export function step(rules: AgentRules, before: AgentState, happened: AgentEvent, now: MonotonicMs): AgentStep {
  if (before.lifecycle === 'stopped') return { state: before, effects: [] };
  const parted = partEvent(rules, happened.kind === 'shutdown' ? beginStop(before, now) : before, happened);
  const { event } = parted;
  const seen = seeKernel(rules, parted.state, event);
  const named = stepNames(rules, seen, event, now);
  const heard = noteSuspicion(rules, hearReasons(rules, hearPeers(rules, named.state, event, now), event, now), now);
  const elected = elect(rules, heard, event, now);
  const departed = depart(rules, { state: followVoters(rules, elected.state, now), outputs: elected.outputs }, now);
  const held = stepAddresses(rules, departed.state, event, now);
  const { hasConsent } = departed.state;
  const served = stepServices(rules, held.state, { event: happened, hasConsent }, now);
  const withdrawn = confirmWithdrawal(rules, { state: served.state, outputs: departed.outputs }, now);
  const cut = connectionEffects(rules, { before, after: served.state, happened }, [held.effects, served.effects]);
  const capture = captureEffects(rules, withdrawn.state);
  const told = heartbeatEffects(rules, capture.state, event, now);
  const registered = registerEffects(rules, told.state, now);
  const stopped = finishStop(rules, registered.state, now);
  const reported = reportTurn(rules, stopped.state, { outputs: withdrawn.outputs, notes: held.notes, event }, now);
  const problems = reportProblems(rules, reported.state, now);
  return {
    state: problems.state,
    effects: joined(
      capture.effects,
      held.effects,
      served.effects,
      cut,
      told.effects,
      leaseEffects(withdrawn.outputs),
      registered.effects,
      named.effects,
      reported.effects,
      problems.effects,
      stopped.effects,
    ),
  };
}

const NONE: readonly never[] = [];

/** One list of all; most are empty in most turns. */
function joined(...parts: readonly (readonly Effect[])[]): readonly Effect[] {
  const effects: Effect[] = [];
  parts.forEach((part) => {
    if (part.length > 0) effects.push(...part);
  });
  return effects;
}

/** When the node next wants a tick; NEVER while only events can change anything. */
export function agentDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  if (state.lifecycle === 'stopped') return NEVER;
  let vips = NEVER;
  state.vips.forEach((vip) => (vips = earliest(vips, vipDeadline(vip))));
  return earliest(
    electionDeadline(rules.election, state.election, assess(rules, state, now), now),
    peersDeadline(rules, state, now),
    departureDeadline(state, now),
    nameDeadline(state),
    servicesDeadline(rules, state, now),
    stopDeadline(rules, state, now),
    vips,
  );
}

function stopDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  let next = NEVER;
  [
    state.resigningSince === undefined ? NEVER : after(state.resigningSince, WITHDRAW_PATIENCE_MS),
    endOfStop(rules, state),
    state.partner?.until ?? NEVER,
    state.leftoversAt ?? NEVER,
  ].forEach((moment) => {
    if (moment > now && moment < next) next = moment;
  });
  return next;
}

function beginStop(state: AgentState, now: MonotonicMs): AgentState {
  return state.lifecycle === 'running' ? { ...state, lifecycle: 'stopping', stoppingSince: now } : state;
}

function seeKernel(rules: AgentRules, state: AgentState, event: AgentEvent): AgentState {
  const kernel = kernelAfter(state.kernel, event);
  if (kernel === undefined || kernel === state.kernel) return state;
  // The default route may move while we hold: the interface stays the one we hold on for as long as it exists.
  const isPinned = rules.interfaceName === undefined && state.ifindex !== undefined && kernel.links.has(state.ifindex);
  return { ...state, kernel, ifindex: isPinned ? state.ifindex : findVipLink(rules, kernel)?.index };
}

function kernelAfter(kernel: KernelView | undefined, event: AgentEvent): KernelView | undefined {
  switch (event.kind) {
    case 'kernel.dumped':
      return viewOfSnapshot(event.snapshot);
    case 'kernel.changed':
      return kernel === undefined ? undefined : applyChange(kernel, event.change);
    case 'kernel.changes':
      return kernel === undefined ? undefined : applyChanges(kernel, event.changes);
    default:
      return kernel;
  }
}

/** What the kernel says of Service addresses is taken out of the event, and kept apart (services/found.ts). */
function partEvent(
  rules: AgentRules,
  state: AgentState,
  event: AgentEvent,
): { readonly state: AgentState; readonly event: AgentEvent } {
  if (!isServing(rules)) return { state, event };
  const parted = partKernelNews(rules, state, event);
  const isSame = parted.found === state.services.found;
  return {
    state: isSame ? state : { ...state, services: { ...state.services, found: parted.found } },
    event: parted.event,
  };
}

interface Elected {
  readonly state: AgentState;
  readonly outputs: readonly ElectionOutput[];
}

function elect(rules: AgentRules, state: AgentState, event: AgentEvent, now: MonotonicMs): Elected {
  const begun: Elected = { state, outputs: NONE };
  // A Lease that is seen released, or for the first time, isn't taken before it is known whose it is.
  const isOthers = event.kind === 'lease.observed' && isReservedFor(rules, event.lease);
  const ready = isOthers ? applyElection(rules, begun, { kind: 'eligible', isEligible: false }, now) : begun;
  const heard = isElectionEvent(event) ? applyElection(rules, ready, event, now) : ready;
  const isWilling = isEligible(rules, heard.state) && unwillingness(rules, heard.state, now) === undefined;
  const eligible: ElectionEvent = { kind: 'eligible', isEligible: isWilling };
  return applyElection(rules, heard, eligible, now);
}

function applyElection(rules: AgentRules, turn: Elected, event: ElectionEvent, now: MonotonicMs): Elected {
  const voters = votersToWrite(rules, turn.state, now);
  const reserved = reservation(rules, turn.state);
  const election =
    voters === undefined && reserved === undefined
      ? rules.election
      : { ...rules.election, annotations: { ...rules.election.annotations, ...voters, ...reserved } };
  const stepped = stepElection(election, turn.state.election, assess(rules, turn.state, now), event, now);
  const isSame = stepped.state === turn.state.election;
  let state: AgentState = isSame ? turn.state : { ...turn.state, election: stepped.state };
  for (const output of stepped.outputs) {
    if (output.kind === 'gained') {
      const isAgreed = output.cause === 'handed-over' && output.previousHolder !== rules.node;
      const partner = isAgreed ? { name: output.previousHolder, until: after(now, PARTNER_MS) } : undefined;
      const missedSince = state.suspicion?.missedSince;
      const isFormerLost =
        output.cause === 'silent' && missedSince !== undefined && now >= after(missedSince, LOST_AFTER_MS);
      state = { ...state, leadingSince: now, hasConsent: output.consent, partner, isFormerLost };
    }
    if (output.kind === 'handed-over') state = { ...state, handoverSince: output.isWritten ? now : undefined };
    if (output.kind === 'lost' || output.kind === 'released') {
      state = {
        ...state,
        leadingSince: undefined,
        handoverSince: undefined,
        resigningSince: undefined,
        hasConsent: false,
      };
    }
  }
  return { state, outputs: stepped.outputs.length === 0 ? turn.outputs : [...turn.outputs, ...stepped.outputs] };
}

function isElectionEvent(event: AgentEvent): event is Extract<AgentEvent, ElectionEvent> {
  return (
    event.kind === 'lease.observed' ||
    event.kind === 'lease.written' ||
    event.kind === 'lease.failed' ||
    event.kind === 'clock.jumped'
  );
}

/** A holder that can't serve drops everything; one that should not hands over first, if there is somebody to hand to. */
function depart(rules: AgentRules, turn: Elected, now: MonotonicMs): Elected {
  const { election } = turn.state;
  if (election.phase !== 'leading' || election.isResigning) return turn;
  if (obstacle(rules, turn.state) !== undefined) return resign(rules, turn, now);
  if (election.handover !== undefined) {
    if (!election.handover.isWritten) return turn;
    const isOver =
      turn.state.handoverSince !== undefined && now >= after(turn.state.handoverSince, HANDOVER_PATIENCE_MS);
    return isOver || isTakenOver(rules, turn.state, now) ? resign(rules, turn, now) : turn;
  }
  const reason = unwillingness(rules, turn.state, now);
  if (reason === undefined) return turn;
  const hasFailed = turn.outputs.some((output) => output.kind === 'handed-over' && !output.isWritten);
  const to = hasFailed ? undefined : successor(rules, turn.state, now);
  if (to !== undefined) {
    // What we don't hold, or not alone, nobody may take over without asking the wire.
    const isOurs = [...turn.state.vips.values()].every((vip) => vip.phase === 'holding' && hasHeldAlone(vip, now));
    return isOurs ? applyElection(rules, turn, { kind: 'hand-over', to }, now) : resign(rules, turn, now);
  }
  // Told to go, it goes even if nobody comes; for any other reason it stays until there is somebody.
  return reason === 'shutdown' || turn.state.peers.isDrainedByOperator ? resign(rules, turn, now) : turn;
}

function resign(rules: AgentRules, turn: Elected, now: MonotonicMs): Elected {
  const state = { ...turn.state, resigningSince: now };
  return applyElection(rules, { state, outputs: turn.outputs }, { kind: 'resign' }, now);
}

/** Only what the kernel reports gone is withdrawn; the Lease is given away after that, or when patience is over. */
function confirmWithdrawal(rules: AgentRules, turn: Elected, now: MonotonicMs): Elected {
  const { election, resigningSince } = turn.state;
  if (election.phase !== 'leading' || !election.isResigning) return turn;
  const isPatienceOver = resigningSince !== undefined && now >= after(resigningSince, WITHDRAW_PATIENCE_MS);
  const vips = [...turn.state.vips.values()];
  // The Lease says who answers for the addresses of Services too, unless these are spread.
  const isRid = turn.state.services.isSpread || isServicesGone(rules, turn.state);
  const isGone = isRid && vips.every(isIdle);
  const isConfirmed = isGone && vips.every((vip) => hasHeldAlone(vip, now));
  return isGone || isPatienceOver ? applyElection(rules, turn, { kind: 'withdrawn', isConfirmed }, now) : turn;
}

function finishStop(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentStep {
  if (state.stoppingSince === undefined) return { state, effects: [] };
  const isDone =
    state.election.phase === 'following' &&
    state.election.pending === undefined &&
    isServicesGone(rules, state) &&
    [...state.vips.values()].every(isIdle);
  if (!isDone && now < endOfStop(rules, state)) return { state, effects: [] };
  return { state: { ...state, lifecycle: 'stopped' }, effects: [{ kind: 'exit', code: 0 }] };
}

/** When the process ends whatever is left to do. */
function endOfStop(rules: AgentRules, state: AgentState): MonotonicMs {
  if (state.stoppingSince === undefined) return NEVER;
  return after(state.stoppingSince, isServicesGone(rules, state) ? SHUTDOWN_DEADLINE_MS : SERVICES_DEADLINE_MS);
}

function leaseEffects(outputs: readonly ElectionOutput[]): readonly Effect[] {
  if (outputs.length === 0) return NONE;
  return outputs.flatMap((output) =>
    output.kind === 'lease.read' || output.kind === 'lease.create' || output.kind === 'lease.update' ? [output] : [],
  );
}
