/**
 * Our own heartbeat: what it says, to whom, and when. It goes out each interval, at once when something has changed that
 * the others decide by, and a little early when another's has woken us.
 */

import { after, type MonotonicMs } from '../base/time.ts';
import { hearsBitmap, holding, isMissing, type Voter, type VoterSet } from '../leader/view.ts';
import type { VipState } from '../vip/vip.ts';
import { idleHolder, isApiWorking, isDraining, nextInLine, ownTerm, viewRules } from './assessment.ts';
import type { Effect } from './effect.ts';
import { isEligible, servesOnly } from './eligibility.ts';
import type { AgentEvent } from './event.ts';
import { withPeers, type AgentRules, type AgentState } from './state.ts';

type Beat = Extract<Effect, { kind: 'heartbeat.send' }>['beat'];

/** A change worth telling at once is told at once, but not more often than this. */
export const BEAT_SPACING_MS = 10;
/** A claim that the kernel hasn't carried out after this is one that it refuses. */
const REFUSED_AFTER_MS = 1000;
/** A takeover counts as one for this long; then holding some of the addresses is holding. */
const TAKEOVER_MS = 1000;

/** Our heartbeat to every other voter, when it is due or when something the others decide by has changed. */
export function heartbeatEffects(
  rules: AgentRules,
  state: AgentState,
  event: AgentEvent,
  now: MonotonicMs,
): { readonly state: AgentState; readonly effects: readonly Effect[] } {
  const { peers } = state;
  const others = rules.heartbeat.isEnabled ? otherVoters(rules, peers.view.set) : NOBODY;
  if (others.length === 0) return { state, effects: [] };
  const beat = ownBeat(rules, state, now);
  const isNews = peers.lastBeat === undefined || isDifferent(beat, peers.lastBeat);
  // Awake for another's beat, it sends its own if that is nearly due: soon all beat together, and wake once instead of each.
  const earlyMs = event.kind === 'heartbeat.received' ? rules.heartbeat.intervalMs / 4 : 0;
  const isDue = now >= peers.nextBeatAt - earlyMs || (isNews && now >= after(peers.lastBeatAt, BEAT_SPACING_MS));
  if (!isDue) {
    return { state: isNews === peers.isNewsWaiting ? state : withPeers(state, { isNewsWaiting: isNews }), effects: [] };
  }
  const sent = {
    isNewsWaiting: false,
    lastBeat: beat,
    lastBeatAt: now,
    nextBeatAt: after(now, rules.heartbeat.intervalMs),
  };
  return { state: withPeers(state, sent), effects: [{ kind: 'heartbeat.send', to: others, beat }] };
}

const NOBODY: readonly Voter[] = [];
const OTHERS = new WeakMap<VoterSet, { readonly rules: AgentRules; readonly others: readonly Voter[] }>();

/** Whom to send heartbeats to: the others of a voter set that names us. */
function otherVoters(rules: AgentRules, set: VoterSet | undefined): readonly Voter[] {
  if (set === undefined) return NOBODY;
  const known = OTHERS.get(set);
  if (known?.rules === rules) return known.others;
  const rest = set.voters.filter((voter) => voter.name !== rules.node);
  const others = rest.length === set.voters.length ? NOBODY : rest;
  OTHERS.set(set, { rules, others });
  return others;
}

function ownBeat(rules: AgentRules, state: AgentState, now: MonotonicMs): Beat {
  const own = viewRules(rules);
  const { view } = state.peers;
  const holder = state.election.observed?.lease?.holder ?? '';
  const idle = idleHolder(rules, state, now);
  const isGone = holder !== '' && (idle === holder || isMissing(own, view, holder, now));
  // Who has taken over already, without the API, is the one to stand behind.
  const next = isGone ? (holding(own, view, now) ?? nextInLine(rules, state, now)[0]) : undefined;
  const place = view.set?.voters.findIndex((voter) => voter.name === next) ?? -1;
  return {
    epoch: view.set?.epoch ?? 0,
    hears: hearsBitmap(own, view, now, idle),
    supports: place < 0 ? undefined : place,
    term: ownTerm(state),
    isApiWorking: isApiWorking(rules, state, now),
    isEligible: isEligible(rules, state) && !state.peers.isDrainedByOperator,
    isDraining: isDraining(state) || (rules.services?.isEnabled === true && state.lifecycle !== 'running'),
    isHolding: servesOnly(rules) ? isServing(state, now) : isHolding(state, now),
    isLeading: isActing(state, now),
    isProvisional: state.election.provisionalSince !== undefined,
    priority: rules.heartbeat.priority,
  };
}

/**
 * Whether this node answers for the addresses. While it takes over, only all of them count: who hands over waits for that.
 * Afterwards any does: nobody else may contend while one is held.
 */
function isHolding(state: AgentState, now: MonotonicMs): boolean {
  if (state.election.phase !== 'leading') return false;
  const vips = [...state.vips.values()];
  const move = state.moves.at(-1);
  const isTakingOver = move?.kind === 'gained' && !move.isComplete && now < after(move.at, TAKEOVER_MS);
  const holds = (vip: (typeof vips)[number]): boolean => vip.phase === 'holding';
  return vips.length > 0 && (isTakingOver ? vips.every(holds) : vips.some(holds));
}

/** The same where there are only Services: who leads does, once it answers for what comes with the lead. */
function isServing({ election, services, moves }: AgentState, now: MonotonicMs): boolean {
  if (election.phase !== 'leading' || election.isResigning) return false;
  const move = moves.at(-1);
  const isTakingOver = move?.kind === 'gained' && now < after(move.at, TAKEOVER_MS);
  return services.isSpread || !isTakingOver || services.counts.held >= services.counts.own;
}

/** Whether this node is, or is about to be, the holder. A kernel that goes on refusing every address makes it none. */
function isActing({ election, vips }: AgentState, now: MonotonicMs): boolean {
  if (election.phase !== 'leading' || election.isResigning) return false;
  const isRefused = (vip: VipState): boolean => vip.phase === 'claiming' && now >= after(vip.since, REFUSED_AFTER_MS);
  return vips.size === 0 || ![...vips.values()].every(isRefused);
}

function isDifferent(a: Beat, b: Beat): boolean {
  return (
    a.hears !== b.hears ||
    a.supports !== b.supports ||
    a.isHolding !== b.isHolding ||
    a.isLeading !== b.isLeading ||
    a.isProvisional !== b.isProvisional ||
    a.isApiWorking !== b.isApiWorking ||
    a.isEligible !== b.isEligible ||
    a.isDraining !== b.isDraining ||
    a.epoch !== b.epoch
  );
}
