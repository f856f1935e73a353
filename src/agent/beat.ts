/**
 * Our own heartbeat: what it says, to whom, and when. It goes to the other voters each interval, at once when something has
 * changed that the others decide by, and a little early when another's has woken us. Between voters and members without a
 * vote it goes less often where those are many (leader/others.ts).
 */

import { after, earliest, type MonotonicMs } from '../base/time.ts';
import { missesOf, paceOf } from '../leader/others.ts';
import { hearsBitmap, holding, isMissing, isVoter, type Voter, type VoterSet } from '../leader/view.ts';
import type { VipState } from '../vip/vip-state.ts';
import { idleHolder, isApiWorking, isDraining, nextInLine, ownTerm } from './assessment.ts';
import { viewRules } from './view-rules.ts';
import type { Effect } from './effect.ts';
import { isEligible, servesOnly } from './eligibility.ts';
import type { AgentEvent } from './event.ts';
import { isReserved } from './reserved.ts';
import { withPeers, type AgentRules, type AgentState } from './state.ts';

type Beat = Extract<Effect, { kind: 'heartbeat.send' }>['beat'];

/** A change worth telling at once is told at once, but not more often than this. */
const BEAT_SPACING_MS = 10;
/** A claim that the kernel hasn't carried out after this is one that it refuses. */
const REFUSED_AFTER_MS = 1000;
/** A takeover counts as one for this long; then holding some of the addresses is holding. */
const TAKEOVER_MS = 1000;

interface Told {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

/** Our heartbeat to whoever should hear it, when it is due or when something the others decide by has changed. */
export function heartbeatEffects(rules: AgentRules, state: AgentState, event: AgentEvent, now: MonotonicMs): Told {
  const { peers } = state;
  const voters = rules.heartbeat.isEnabled ? otherVoters(rules, peers.view.set) : NOBODY;
  const others = rules.heartbeat.isEnabled ? othersToTell(rules, state) : NOBODY;
  if (voters.length === 0 && others.length === 0) return { state, effects: [] };
  const beat = ownBeat(rules, state, now);
  const isNews = peers.lastBeat === undefined || isDifferent(beat, peers.lastBeat);
  const toVoters = tellVoters(
    { rules, state, to: voters, beat, isNews, isAwake: event.kind === 'heartbeat.received' },
    now,
  );
  if (others.length === 0) return toVoters;
  const toOthers = tellOthers({ rules, state: toVoters.state, to: others, beat, isNews }, now);
  return { state: toOthers.state, effects: [...toVoters.effects, ...toOthers.effects] };
}

interface Telling {
  readonly rules: AgentRules;
  readonly state: AgentState;
  readonly to: readonly Voter[];
  readonly beat: Beat;
  readonly isNews: boolean;
}

function tellVoters(telling: Telling & { readonly isAwake: boolean }, now: MonotonicMs): Told {
  const { rules, state, to, beat, isNews, isAwake } = telling;
  const { peers } = state;
  const { intervalMs } = beat;
  // Awake for another's beat, it sends its own if that is nearly due: soon all beat together, and wake once instead of each.
  const earlyMs = isAwake ? intervalMs / 4 : 0;
  const newsAt = after(peers.lastBeatAt, beatSpacingMs(rules, peers.lastBeat));
  const isDue = now >= peers.nextBeatAt - earlyMs || (isNews && now >= newsAt);
  if (!isDue) {
    return { state: isNews === peers.isNewsWaiting ? state : withPeers(state, { isNewsWaiting: isNews }), effects: [] };
  }
  const sent = { isNewsWaiting: false, lastBeat: beat, lastBeatAt: now, nextBeatAt: after(now, intervalMs) };
  const effects: readonly Effect[] = to.length === 0 ? [] : [{ kind: 'heartbeat.send', to, beat }];
  return { state: withPeers(state, sent), effects };
}

/** How soon after the last heartbeat news may follow; the more of us there are, the later. */
export function beatSpacingMs(rules: AgentRules, last: Beat | undefined): number {
  return (
    BEAT_SPACING_MS *
    ((last?.intervalMs ?? 0) > rules.heartbeat.intervalMs ? (last?.intervalMs ?? 0) / rules.heartbeat.intervalMs : 1)
  );
}

function tellOthers({ rules, state, to, beat, isNews }: Telling, now: MonotonicMs): Told {
  const { lastToOthersAt, nextToOthersAt } = state.peers;
  const pace = paceOf(to.length);
  const soonAt = after(lastToOthersAt, BEAT_SPACING_MS * pace);
  if (now < (isNews ? earliest(soonAt, nextToOthersAt) : nextToOthersAt)) {
    const isSooner = isNews && soonAt < nextToOthersAt;
    return { state: isSooner ? withPeers(state, { nextToOthersAt: soonAt }) : state, effects: [] };
  }
  const intervalMs = rules.heartbeat.intervalMs * pace;
  return {
    state: withPeers(state, { lastToOthersAt: now, nextToOthersAt: after(now, intervalMs) }),
    effects: [{ kind: 'heartbeat.send', to, beat: { ...beat, intervalMs } }],
  };
}

const NOBODY: readonly Voter[] = [];
const VOTERS = new WeakMap<VoterSet, { readonly rules: AgentRules; readonly voters: readonly Voter[] }>();
const OTHERS = new WeakMap<
  AgentState['peers']['members'],
  { readonly set: VoterSet; readonly others: readonly Voter[] }
>();

/** Every other voter. */
function otherVoters(rules: AgentRules, set: VoterSet | undefined): readonly Voter[] {
  if (set === undefined) return NOBODY;
  const known = VOTERS.get(set);
  if (known?.rules === rules) return known.voters;
  const voters = set.voters.filter((voter) => voter.name !== rules.node);
  VOTERS.set(set, { rules, voters });
  return voters;
}

/** Every member without a vote, where we have one: those among themselves have nothing to say. */
function othersToTell(rules: AgentRules, { peers }: AgentState): readonly Voter[] {
  const { members, view } = peers;
  const { set } = view;
  if (set === undefined || view.others.size === 0 || !isVoter(viewRules(rules), view)) return NOBODY;
  const known = OTHERS.get(members);
  if (known?.set === set) return known.others;
  const others = members.filter(({ name }) => view.others.has(name));
  OTHERS.set(members, { set, others });
  return others;
}

/** How often this node sends to the voters. */
function ownIntervalMs(rules: AgentRules, { peers }: AgentState): number {
  const { view } = peers;
  const pace = isVoter(viewRules(rules), view) ? 1 : paceOf(view.others.size + 1);
  return rules.heartbeat.intervalMs * pace;
}

function ownBeat(rules: AgentRules, state: AgentState, now: MonotonicMs): Beat {
  const own = viewRules(rules);
  const { view } = state.peers;
  const holder = state.election.observed?.lease?.holder ?? '';
  const idle = idleHolder(rules, state, now);
  const isGone = holder !== '' && (idle === holder || isMissing(own, view, holder, now));
  // Who has taken over already, without the API, is the one to stand behind.
  const next = isGone ? (holding(view, now) ?? nextInLine(rules, state, now)[0]) : undefined;
  const place = view.set?.voters.findIndex((voter) => voter.name === next) ?? -1;
  return {
    epoch: view.set?.epoch ?? 0,
    hears: hearsBitmap(own, view, now, idle),
    supports: place < 0 ? undefined : place,
    term: ownTerm(state),
    isApiWorking: isApiWorking(rules, state, now),
    isEligible: isEligible(rules, state) && !state.peers.isDrainedByOperator && !isReserved(rules, state, now),
    isDraining: isDraining(state) || (rules.services?.isEnabled === true && state.lifecycle !== 'running'),
    isHolding: servesOnly(rules) ? isServing(state, now) : isHolding(state, now),
    isLeading: isActing(state, now),
    isProvisional: state.election.provisionalSince !== undefined,
    priority: rules.heartbeat.priority,
    misses: missesOf(own, view, now),
    intervalMs: ownIntervalMs(rules, state),
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
    a.epoch !== b.epoch ||
    a.misses.length !== b.misses.length ||
    a.misses.some((hash, place) => hash !== b.misses[place])
  );
}
