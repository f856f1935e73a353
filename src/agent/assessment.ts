/**
 * What the others' heartbeats, the wire and this node's own reach come to at one moment: the Assessment that the election
 * decides by, and its parts (order of succession, idle holder, suspicion, whether the API takes writes).
 */

import { after, NEVER, type MonotonicMs } from '../base/time.ts';
import { isApiAway, type Assessment, ALONE } from '../leader/tenure.ts';
import {
  hasSupport,
  hearsMajority,
  idleSince,
  isApiWorkingElsewhere,
  isHeard,
  isHeldElsewhere,
  isMissedByMajority,
  isOverdue,
  majorityLostAt,
  replacedBy,
  succession,
  type ViewRules,
} from '../leader/view.ts';
import { isWireSilent } from '../vip/vip.ts';
import { isEligible, servesOnly } from './eligibility.ts';
import { isReserved } from './reserved.ts';
import type { AgentRules, AgentState } from './state.ts';
import { viewRules } from './view-rules.ts';

/** Who holds nothing for this long while the Lease names him is not about to take over: he has let go, or can't. */
export const IDLE_HOLDER_MS = 2000;
/** Missed for this long, a holder has no process any more that could serve, whatever its kernel answers. */
export const LOST_AFTER_MS = 1500;
/** How long a write that succeeded says that the API takes writes. */
export const WRITE_PROOF_MS = 3000;

interface Moment {
  readonly rules: AgentRules;
  readonly state: AgentState;
  readonly now: MonotonicMs;
}

interface Assessed extends Moment {
  readonly assessment: Assessment;
}

/** No WeakMap: an entry for each state that ever was is work for the collector. */
const LAST: { assessed: Assessed | undefined } = { assessed: undefined };

/**
 * Everything the election wants to know of the others, the wire and this node's own reach, at this moment. Most stages of
 * most turns change nothing, and the state they hand on is the same: it is worked out once for all of them.
 */
export function assess(rules: AgentRules, state: AgentState, now: MonotonicMs): Assessment {
  const known = LAST.assessed;
  if (known?.state === state && known.rules === rules && known.now === now) return known.assessment;
  const assessment = workOut(rules, state, now);
  LAST.assessed = { state, rules, now, assessment };
  return assessment;
}

function workOut(rules: AgentRules, state: AgentState, now: MonotonicMs): Assessment {
  // Without a control-plane VIP there is nothing to ask for: who leads answers for nothing by that alone.
  let isSilent = servesOnly(rules);
  state.vips.forEach((vip) => (isSilent ||= isWireSilent(rules.vip, vip, now)));
  const { view } = state.peers;
  const voters = view.set?.voters ?? [];
  if (!rules.heartbeat.isEnabled) return { ...ALONE, isWireSilent: isSilent };
  const own = viewRules(rules);
  if (!voters.some((voter) => voter.name === rules.node)) {
    // Without a vote the Lease decides, but an expired one is left to a holder that is heard, as voters leave it.
    return { ...ALONE, isWireSilent: isSilent, isHeldElsewhere: isHeldElsewhere(view, now) };
  }
  return new VoterAssessment({ rules, state, now }, own, isSilent);
}

/** A class for its getters alone: those of an object literal are defined anew with each, which took as long as the rest. */
class VoterAssessment implements Assessment {
  readonly voterCount: number;
  readonly hearsMajority: boolean;
  readonly isHeldElsewhere: boolean;
  readonly holder: string;
  readonly isHolderMissed: boolean;
  readonly isHolderLost: boolean;
  readonly isApiElsewhere: boolean;
  readonly replacedBy: string | undefined;
  readonly isWireSilent: boolean;
  readonly #moment: Moment;
  readonly #own: ViewRules;

  constructor(moment: Moment, own: ViewRules, isWireSilent: boolean) {
    const { rules, state, now } = moment;
    const { view } = state.peers;
    const holder = state.election.observed?.lease?.holder ?? '';
    const isIdle = idleHolder(rules, state, now) === holder;
    const { provisionalSince } = state.election;
    const term = { term: ownTerm(state), isProvisional: provisionalSince !== undefined };
    const missedSince = state.suspicion?.holder === holder ? state.suspicion.missedSince : undefined;
    this.voterCount = view.set?.voters.length ?? 0;
    this.hearsMajority = hearsMajority(own, view, now);
    this.isHeldElsewhere = isHeldElsewhere(view, now);
    this.holder = holder;
    this.isHolderMissed = isMissedByMajority(own, view, holder, now, isIdle);
    this.isHolderLost = missedSince !== undefined && now >= after(missedSince, LOST_AFTER_MS);
    this.isApiElsewhere = isApiWorkingElsewhere(view, now);
    this.replacedBy = state.election.phase === 'leading' ? replacedBy(own, view, term, now) : undefined;
    this.isWireSilent = isWireSilent;
    this.#moment = moment;
    this.#own = own;
  }

  // Only asked for where a holder is missed, or a majority: not in most turns.

  get majorityLostAt(): MonotonicMs | undefined {
    return majorityLostAt(this.#own, this.#moment.state.peers.view, this.#moment.now);
  }

  get isNext(): boolean {
    const { rules, state, now } = this.#moment;
    return nextInLine(rules, state, now)[0] === rules.node;
  }

  get hasSupport(): boolean {
    return hasSupport(this.#own, this.#moment.state.peers.view, this.#moment.now);
  }
}

/** The order of succession as this node sees it, itself included where it could serve. */
export function nextInLine(rules: AgentRules, state: AgentState, now: MonotonicMs): readonly string[] {
  const self = {
    isEligible: isEligible(rules, state) && !state.peers.isDrainedByOperator && !isReserved(rules, state, now),
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
export function suspectLeaseAt(rules: AgentRules, state: AgentState): MonotonicMs {
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
export function isLeaseStale(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  const observed = state.election.observed;
  if (observed?.lease === undefined || observed.lease.holder === '') return false;
  return now >= after(observed.at, rules.election.renewDeadlineMs);
}

/** The term we act under: the Lease's, or the one our provisional claim will have once it is written. */
export function ownTerm(state: AgentState): number {
  const transitions = state.election.observed?.lease?.transitions ?? 0;
  return transitions + (state.election.provisionalSince === undefined ? 0 : 1);
}
