/**
 * The other candidates as this node lives with them: takes their heartbeats and sends its own, registers itself, follows
 * and (while leading) writes the voter set, and sums all of that up for the election as an Assessment.
 */

import type { MonotonicMs } from '../base/time.ts';
import { after, earliest, NEVER } from '../base/time.ts';
import { isApiAway, type Assessment, ALONE } from '../leader/tenure.ts';
import { readVoters, VOTERS_ANNOTATION, wantedVoters, writeVoters, type Member } from '../leader/voters.ts';
import {
  ageView,
  changeVoters,
  hasSupport,
  hearHeartbeat,
  hearsBitmap,
  hearsMajority,
  holding,
  idleSince,
  isApiWorkingElsewhere,
  isHeard,
  isHeldElsewhere,
  isMissedByMajority,
  isMissing,
  isOverdue,
  majorityLostAt,
  replacedBy,
  succession,
  viewDeadline,
  type Heartbeat,
  type ViewRules,
  type Voter,
  type VoterSet,
} from '../leader/view.ts';
import { isWireSilent, type VipState } from '../vip/vip.ts';
import type { Effect } from './effect.ts';
import type { AgentEvent } from './event.ts';
import { isEligible, servesOnly } from './eligibility.ts';
import { isOurs } from './kernel-view.ts';
import type { AgentRules, AgentState, KernelView, PeersState } from './state.ts';

type Beat = Extract<Effect, { kind: 'heartbeat.send' }>['beat'];

/** A change worth telling at once is told at once, but not more often than this. */
const BEAT_SPACING_MS = 10;
/** A registration that failed, or a test write while the Lease is stale, is repeated after this. */
const REGISTER_RETRY_MS = 1000;
/** As long as this nobody is heard before it is told as a problem: a cluster that starts takes some seconds. */
const UNHEARD_AFTER_MS = 15_000;
/** Who holds nothing for this long while the Lease names him is not about to take over: he has let go, or can't. */
export const IDLE_HOLDER_MS = 2000;
/** A claim that the kernel hasn't carried out after this is one that it refuses. */
const REFUSED_AFTER_MS = 1000;
/** A takeover counts as one for this long; then holding some of the addresses is holding. */
const TAKEOVER_MS = 1000;
/** Missed for this long, a holder has no process any more that could serve, whatever its kernel answers. */
export const LOST_AFTER_MS = 1500;
/** How long a write that succeeded says that the API takes writes. */
const WRITE_PROOF_MS = 3000;

const VIEW_RULES = new WeakMap<AgentRules, ViewRules>();

/** One object for each rules: what the view remembers, it remembers with it. */
export function viewRules(rules: AgentRules): ViewRules {
  const known = VIEW_RULES.get(rules);
  if (known !== undefined) return known;
  const { intervalMs, multiplier } = rules.heartbeat;
  const made = { self: rules.node, intervalMs, multiplier };
  VIEW_RULES.set(rules, made);
  return made;
}

/** Takes in what others said, and notes when nobody says anything. */
export function hearPeers(rules: AgentRules, before: AgentState, event: AgentEvent, now: MonotonicMs): AgentState {
  const state = takePeers(rules, before, event, now);
  const { view, isUnheard } = state.peers;
  let lastAt: number = view.setAt;
  let hasOthers = false;
  view.set?.voters.forEach(({ name }) => {
    if (name === rules.node) return;
    hasOthers = true;
    lastAt = Math.max(lastAt, view.peers.get(name)?.heardAt ?? lastAt);
  });
  const isSilent = hasOthers && now >= lastAt + UNHEARD_AFTER_MS;
  return isSilent === isUnheard ? state : withPeers(state, { isUnheard: isSilent });
}

function takePeers(rules: AgentRules, state: AgentState, event: AgentEvent, now: MonotonicMs): AgentState {
  const peers = state.peers;
  switch (event.kind) {
    case 'heartbeat.received': {
      const heard = hearHeartbeat(viewRules(rules), peers.view, event.heartbeat, now);
      if (heard.verdict !== 'taken') return state;
      const lastSeenAt = new Map(peers.lastSeenAt).set(event.heartbeat.sender, now);
      return withPeers(state, { view: heard.view, lastSeenAt });
    }
    case 'members.observed': {
      const lastSeenAt = new Map(peers.lastSeenAt);
      for (const member of event.members) if (!lastSeenAt.has(member.name)) lastSeenAt.set(member.name, now);
      return withPeers(state, { members: event.members, lastSeenAt });
    }
    case 'member.registered':
      return withPeers(state, {
        writeProvedAt: event.isOk ? now : undefined,
        registered: event.isOk ? peers.registering : '',
        registering: '',
        registerAt: after(now, REGISTER_RETRY_MS),
      });
    case 'clock.jumped':
      return withPeers(state, { view: ageView(peers.view, event.byMs) });
    default:
      return state;
  }
}

/** Follows the holder and the voter set that the newest Lease known carries. */
export function followVoters(before: AgentState, now: MonotonicMs): AgentState {
  const lease = before.election.observed?.lease;
  const holder = lease?.holder ?? '';
  const state = holder === before.peers.named.holder ? before : withPeers(before, { named: { holder, since: now } });
  const text = lease?.annotations[VOTERS_ANNOTATION];
  if (text === undefined || text === state.peers.votersText) return state;
  const set = readVoters(lease);
  const view = set === undefined ? state.peers.view : changeVoters(state.peers.view, set, now);
  return withPeers(state, { votersText: text, view });
}

/** The voter set to write with the next renewal, as an annotation; nothing unless we lead by the Lease. */
export function votersToWrite(
  rules: AgentRules,
  state: AgentState,
  now: MonotonicMs,
): Readonly<Record<string, string>> | undefined {
  const { election, peers } = state;
  const isDue =
    election.phase === 'leading' && election.provisionalSince === undefined && election.pending === undefined;
  // Who is not registered could not register: perhaps the others can't either, and a set of one would be a lie.
  const isRegistered = peers.registered !== '';
  if (!rules.heartbeat.isEnabled || !isRegistered || !isDue || now < election.nextAttemptAt) return undefined;
  const self = selfAsMember(rules, state);
  if (self === undefined) return undefined;
  const wanted = wantedVoters({
    self,
    present: peers.view.set,
    members: peers.members,
    lastSeenAt: peers.lastSeenAt,
    now,
  });
  return { [VOTERS_ANNOTATION]: writeVoters(wanted) };
}

interface Assessed {
  readonly rules: AgentRules;
  readonly now: MonotonicMs;
  readonly assessment: Assessment;
}

const ASSESSED = new WeakMap<AgentState, Assessed>();

/**
 * Everything the election wants to know of the others, the wire and this node's own reach, at this moment. Most stages of
 * most turns change nothing, and the state they hand on is the same: it is worked out once for all of them.
 */
export function assess(rules: AgentRules, state: AgentState, now: MonotonicMs): Assessment {
  const known = ASSESSED.get(state);
  if (known !== undefined && known.rules === rules && known.now === now) return known.assessment;
  const assessment = workOut(rules, state, now);
  ASSESSED.set(state, { rules, now, assessment });
  return assessment;
}

function workOut(rules: AgentRules, state: AgentState, now: MonotonicMs): Assessment {
  // Without a control-plane VIP there is nothing to ask for: who leads answers for nothing by that alone.
  let isSilent = servesOnly(rules);
  state.vips.forEach((vip) => (isSilent ||= isWireSilent(rules.vip, vip, now)));
  const { view } = state.peers;
  const voters = view.set?.voters ?? [];
  if (!rules.heartbeat.isEnabled || !voters.some((voter) => voter.name === rules.node)) {
    return { ...ALONE, isWireSilent: isSilent };
  }
  const own = viewRules(rules);
  const holder = state.election.observed?.lease?.holder ?? '';
  const isIdle = idleHolder(rules, state, now) === holder;
  const { provisionalSince } = state.election;
  const term = { term: ownTerm(state), isProvisional: provisionalSince !== undefined };
  const missedSince = state.suspicion?.holder === holder ? state.suspicion.missedSince : undefined;
  return {
    voterCount: voters.length,
    hearsMajority: hearsMajority(own, view, now),
    isHeldElsewhere: isHeldElsewhere(own, view, now),
    holder,
    isHolderMissed: isMissedByMajority(own, view, holder, now, isIdle),
    isHolderLost: missedSince !== undefined && now >= after(missedSince, LOST_AFTER_MS),
    isApiElsewhere: isApiWorkingElsewhere(own, view, now),
    replacedBy: state.election.phase === 'leading' ? replacedBy(own, view, term, now) : undefined,
    isWireSilent: isSilent,
    // Only asked for where a holder is missed, or a majority: not in most turns.
    get majorityLostAt() {
      return majorityLostAt(own, view, now);
    },
    get isNext() {
      return nextInLine(rules, state, now)[0] === rules.node;
    },
    get hasSupport() {
      return hasSupport(own, view, now);
    },
  };
}

/** The order of succession as this node sees it, itself included where it could serve. */
export function nextInLine(rules: AgentRules, state: AgentState, now: MonotonicMs): readonly string[] {
  const self = {
    isEligible: isEligible(rules, state) && !state.peers.isDrainedByOperator,
    isDraining: isDraining(state),
    isApiWorking: isApiWorking(rules, state, now),
    priority: rules.heartbeat.priority,
  };
  return succession(viewRules(rules), state.peers.view, self, now);
}

/**
 * The Lease's holder, where it is heard to hold nothing for longer than any takeover takes: it let go (a drain, a flapping
 * cable, a kernel that refuses) and can't say so in the Lease. Ourselves, where the API doesn't take our claim.
 */
export function idleHolder(rules: AgentRules, state: AgentState, now: MonotonicMs): string | undefined {
  const { named, view } = state.peers;
  if (named.holder === '' || !rules.heartbeat.isEnabled) return undefined;
  if (named.holder === rules.node) return isStranded(state) ? named.holder : undefined;
  const idle = idleSince(view, named.holder);
  if (idle === undefined || !isHeard(viewRules(rules), view, named.holder, now)) return undefined;
  return now >= after(Math.max(idle, named.since) as MonotonicMs, IDLE_HOLDER_MS) ? named.holder : undefined;
}

/** The Lease names us, we don't hold, and nobody takes the write that would begin anew. */
function isStranded({ election }: AgentState): boolean {
  return election.phase === 'following' && election.claimFailedAt !== undefined && isApiAway(election);
}

export function isDraining(state: AgentState): boolean {
  return state.peers.isDrainedByOperator || state.peers.isDrainedByNode;
}

/** Whether the holder named by the Lease may be gone, so that the wire is worth asking before it is sure. */
export function isSuspect(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  const { election, peers } = state;
  const lease = election.observed?.lease;
  if (election.phase !== 'following' || lease === undefined || lease.holder === '') return false;
  // The watch may show our own claim before its answer comes: what has been asked of the wire till then goes on counting.
  const isClaiming = state.suspicion !== undefined && election.pending?.purpose === 'acquire';
  if (lease.holder === rules.node) return isClaiming || (isStranded(state) && isEligible(rules, state));
  if (!isEligible(rules, state)) return false;
  const isVoter = peers.view.set?.voters.some((voter) => voter.name === lease.holder) === true;
  const isMember = peers.view.set?.voters.some((voter) => voter.name === rules.node) === true;
  if (rules.heartbeat.isEnabled && isVoter && isMember) {
    const isIdle = idleHolder(rules, state, now) !== undefined;
    return isIdle || isOverdue(viewRules(rules), peers.view, lease.holder, now);
  }
  return now >= suspectLeaseAt(rules, state);
}

/** Without heartbeats: shortly before the Lease expires, by the time that probing takes. */
function suspectLeaseAt(rules: AgentRules, state: AgentState): MonotonicMs {
  const observed = state.election.observed;
  const lease = observed?.lease;
  if (observed === undefined || lease === undefined || lease.holder === '') return NEVER;
  return after(observed.at, Math.max(0, lease.durationMs - (rules.vip.probeCount + 1) * rules.vip.probeIntervalMs));
}

/** Whether, as far as this node can tell, the API takes writes. */
export function isApiWorking(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  const { election, peers } = state;
  if (state.apiHealth.isHealthy === false) return false;
  if (election.phase === 'leading') return election.provisionalSince === undefined && !isApiAway(election);
  const observed = election.observed;
  if (observed === undefined) return false;
  const isProved = peers.writeProvedAt !== undefined && now < after(peers.writeProvedAt, WRITE_PROOF_MS);
  return isProved || (!isApiAway(election) && !isLeaseStale(rules, state, now));
}

/** The Lease has a holder that hasn't renewed it for as long as it should take at most. */
function isLeaseStale(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  const observed = state.election.observed;
  if (observed?.lease === undefined || observed.lease.holder === '') return false;
  return now >= after(observed.at, rules.election.renewDeadlineMs);
}

/** Registers this node when its addresses changed, and as a test write while the Lease of a holder we hear is stale. */
export function registerEffects(
  rules: AgentRules,
  state: AgentState,
  now: MonotonicMs,
): { readonly state: AgentState; readonly effects: readonly Effect[] } {
  const { peers } = state;
  if (!rules.heartbeat.isEnabled || peers.registering !== '' || now < peers.registerAt) return { state, effects: [] };
  const member = selfAsMember(rules, state);
  if (member === undefined || state.lifecycle !== 'running') return { state, effects: [] };
  const text = memberText(member);
  const isTest = state.election.phase === 'following' && isLeaseStale(rules, state, now);
  if (text === peers.registered && !isTest) return { state, effects: [] };
  return { state: withPeers(state, { registering: text }), effects: [{ kind: 'member.register', member }] };
}

type Place = Pick<AgentState, 'ifindex' | 'vips'>;

const OWN_ADDRESSES = new WeakMap<
  KernelView,
  Place & { readonly rules: AgentRules; readonly addresses: readonly string[] }
>();

/** This node as others should reach it. */
function selfAsMember(rules: AgentRules, state: AgentState): Member | undefined {
  const { kernel, ifindex, vips } = state;
  if (kernel === undefined) return undefined;
  const known = OWN_ADDRESSES.get(kernel);
  const isKnown = known !== undefined && known.rules === rules && known.ifindex === ifindex && known.vips === vips;
  const addresses = isKnown ? known.addresses : ownAddresses(rules, kernel, { ifindex, vips });
  if (!isKnown) OWN_ADDRESSES.set(kernel, { rules, ifindex, vips, addresses });
  if (addresses.length === 0) return undefined;
  return { name: rules.node, addresses, port: rules.heartbeat.port, isLeaving: isDraining(state) };
}

/** This node's ordinary addresses on the interface of the VIPs, one per family. */
function ownAddresses(rules: AgentRules, kernel: KernelView, { ifindex, vips }: Place): readonly string[] {
  const link = ifindex === undefined ? undefined : kernel.links.get(ifindex);
  if (link === undefined) return [];
  const usable = [...kernel.addresses.values()].filter((found) => {
    const vip = vips.get(found.prefix.ip.text);
    return (
      found.ifindex === link.index &&
      found.scope === 0 &&
      found.preferredSeconds > 0 &&
      !(vip !== undefined && isOurs(rules, vip, found))
    );
  });
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => usable.find((found) => found.prefix.ip.family === family)?.prefix.ip.text ?? [],
  );
}

/** What says whether a registration still is as it was written; not JSON, which every turn would have to make. */
function memberText({ name, addresses, port, isLeaving }: Member): string {
  return `${name} ${addresses.join(' ')} ${port} ${isLeaving}`;
}

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

/** The term we act under: the Lease's, or the one our provisional claim will have once it is written. */
function ownTerm(state: AgentState): number {
  const transitions = state.election.observed?.lease?.transitions ?? 0;
  return transitions + (state.election.provisionalSince === undefined ? 0 : 1);
}

export function peersDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  if (!rules.heartbeat.isEnabled) return later(suspectLeaseAt(rules, state), now);
  const { peers, election } = state;
  const hasPeers = (peers.view.set?.voters.length ?? 0) > 1;
  const stale = election.observed === undefined ? NEVER : after(election.observed.at, rules.election.renewDeadlineMs);
  const proof = peers.writeProvedAt === undefined ? NEVER : after(peers.writeProvedAt, WRITE_PROOF_MS);
  const news = after(peers.lastBeatAt, BEAT_SPACING_MS);
  const idle = idleSince(peers.view, peers.named.holder);
  const idleAt = idle === undefined ? NEVER : after(Math.max(idle, peers.named.since) as MonotonicMs, IDLE_HOLDER_MS);
  return earliest(
    later(idleAt, now),
    viewDeadline(viewRules(rules), peers.view, now),
    hasPeers ? later(peers.nextBeatAt, now) : NEVER,
    hasPeers && peers.isNewsWaiting ? later(news, now) : NEVER,
    later(stale, now),
    later(proof, now),
    peers.registering === '' ? later(peers.registerAt, now) : NEVER,
    later(suspectLeaseAt(rules, state), now),
  );
}

/** A moment already past has been acted on: only what lies ahead needs a tick. */
function later(at: MonotonicMs, now: MonotonicMs): MonotonicMs {
  return at > now ? at : NEVER;
}

export function withPeers(state: AgentState, change: Partial<PeersState>): AgentState {
  return { ...state, peers: { ...state.peers, ...change } };
}

export type { Heartbeat };
