/**
 * Giving the addresses away while they are held. A node that can't serve any more drops them at once; one that merely
 * should not goes on answering until its successor does (make before break), and falls back to withdrawing first when
 * there is no successor, the write fails, or the successor doesn't come within HANDOVER_PATIENCE_MS.
 */

import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import { isApiAway } from '../leader/tenure.ts';
import { isHeard } from '../leader/view.ts';
import type { AgentEvent } from './event.ts';
import { isReserved } from './reserved.ts';
import { nextInLine } from './assessment.ts';
import { viewRules } from './view-rules.ts';
import { withPeers, type AgentRules, type AgentState, type MoveCause } from './state.ts';

/** How long the successor may take from the Lease's naming it to its first heartbeat as holder. */
export const HANDOVER_PATIENCE_MS = 1000;
/** A node of higher priority has to be well for this long before addresses are moved to it. */
const PREEMPT_AFTER_MS = 10_000;

/** Why the addresses should be somewhere else, though this node could still serve them. */
export function unwillingness(rules: AgentRules, state: AgentState, now: MonotonicMs): MoveCause | undefined {
  if (state.lifecycle !== 'running') return 'shutdown';
  if (isReserved(rules, state, now)) return 'preempted';
  if (state.peers.isDrainedByOperator) return 'drain';
  // A cordoned node is the best there is when every node is cordoned, or when it is the only one.
  if (state.peers.isDrainedByNode && hasUndrainedPeer(rules, state, now)) return 'drain';
  if (state.apiHealth.isHealthy === false && hasHealthierPeer(rules, state, now)) return 'api-unhealthy';
  if (state.preferredSince !== undefined && now >= after(state.preferredSince, PREEMPT_AFTER_MS)) return 'preempted';
  return undefined;
}

/** Who should take over: the first in line that isn't us and can reach the API. */
export function successor(rules: AgentRules, state: AgentState, now: MonotonicMs): string | undefined {
  const name = nextInLine(rules, state, now).find((one) => one !== rules.node);
  const beat = name === undefined ? undefined : state.peers.view.peers.get(name)?.heartbeat;
  return beat?.isApiWorking === true && !beat.isDraining && !isApiAway(state.election) ? name : undefined;
}

function hasUndrainedPeer(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  return nextInLine(rules, state, now).some((name) => {
    const beat = state.peers.view.peers.get(name)?.heartbeat;
    return beat !== undefined && !beat.isDraining;
  });
}

function hasHealthierPeer(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  const own = viewRules(rules);
  return [...state.peers.view.peers.values()].some(
    ({ heartbeat }) =>
      heartbeat.isApiWorking &&
      heartbeat.isEligible &&
      !heartbeat.isDraining &&
      isHeard(own, state.peers.view, heartbeat.sender, now),
  );
}

/** Whether the one we handed over to says that it answers for the addresses now. */
export function isTakenOver(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  const to = state.election.handover?.to;
  if (to === undefined || state.election.handover?.isWritten !== true) return false;
  return (
    state.peers.view.peers.get(to)?.heartbeat.isHolding === true && isHeard(viewRules(rules), state.peers.view, to, now)
  );
}

/** Notes drain requests, what the local API server answered, and since when a preferred node is well. */
export function hearReasons(rules: AgentRules, before: AgentState, event: AgentEvent, now: MonotonicMs): AgentState {
  const state = notePreference(rules, before, now);
  switch (event.kind) {
    case 'drain':
      return event.source === 'operator'
        ? withPeers(state, { isDrainedByOperator: event.isDraining })
        : withPeers(state, { isDrainedByNode: event.isDraining });
    case 'api.probed':
      return noteApiProbe(rules, state, event.isHealthy);
    default:
      return state;
  }
}

/** Hysteresis: `rise` good answers in a row make it healthy, `fall` bad ones unhealthy. */
function noteApiProbe(rules: AgentRules, state: AgentState, isHealthy: boolean): AgentState {
  const { apiHealth } = state;
  const streak = apiHealth.lastAnswer === isHealthy ? apiHealth.streak + 1 : 1;
  const needed = isHealthy ? rules.apiHealth.rise : rules.apiHealth.fall;
  const verdict = streak >= needed ? isHealthy : apiHealth.isHealthy;
  return { ...state, apiHealth: { lastAnswer: isHealthy, streak, isHealthy: verdict } };
}

function notePreference(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentState {
  const isWanted = rules.heartbeat.isPreempting && state.election.phase === 'leading';
  const first = isWanted ? nextInLine(rules, state, now)[0] : undefined;
  const beat = first === undefined || first === rules.node ? undefined : state.peers.view.peers.get(first)?.heartbeat;
  const isPreferred = beat !== undefined && beat.priority > rules.heartbeat.priority && beat.isApiWorking;
  if (isPreferred === (state.preferredSince !== undefined)) return state;
  return { ...state, preferredSince: isPreferred ? now : undefined };
}

export function departureDeadline(state: AgentState, now: MonotonicMs): MonotonicMs {
  const { handoverSince, preferredSince } = state;
  const takeover = handoverSince === undefined ? NEVER : after(handoverSince, HANDOVER_PATIENCE_MS);
  const preemption = preferredSince === undefined ? NEVER : after(preferredSince, PREEMPT_AFTER_MS);
  return earliest(takeover > now ? takeover : NEVER, preemption > now ? preemption : NEVER);
}
