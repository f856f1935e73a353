/**
 * Tenure: by what right a holder goes on answering for the addresses, and when that right ends.
 *
 *     tenure = its last good renewal was *sent* less than renewDeadline ago, and it isn't isolated
 *           or no API endpoint takes writes, and it hears a majority of the voters, none of whom reports the API as working
 *
 * Isolated is who hears no majority and gets no answer from the API either: the others are about to replace it, and it
 * can't be told. With one or two voters no majority outlives a loss, so there only the Lease counts. Pure.
 */

import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import type { ApiFailureKind } from './lease-record.ts';

/** What the other voters, the wire and this node say at this moment; worked out anew for each step. */
export interface Assessment {
  /** Voters in the set that names us; 0 = no voter set, or no heartbeats: then only the Lease counts. */
  readonly voterCount: number;
  readonly hearsMajority: boolean;
  /** Since when it doesn't, by the heartbeats themselves; undefined: not known, since now. */
  readonly majorityLostAt?: MonotonicMs | undefined;
  /** Another voter is heard that says it answers for the addresses, whatever the Lease says. */
  readonly isHeldElsewhere: boolean;
  /** Whom the next two are about: the Lease's holder when this was worked out. A Lease taken in since may name another. */
  readonly holder: string;
  /** A majority of the voters misses the Lease's holder. */
  readonly isHolderMissed: boolean;
  /** It has for so long that its process is gone, whatever its kernel still answers. */
  readonly isHolderLost: boolean;
  /** We are the first in the order of succession. */
  readonly isNext: boolean;
  /** A majority names us as the one to take over. */
  readonly hasSupport: boolean;
  /** A voter that is heard reports the API as working. */
  readonly isApiElsewhere: boolean;
  /** A voter that is heard holds the addresses under a later term than we know. */
  readonly replacedBy: string | undefined;
  /** Nobody answered the last probes for one of the addresses at least (kernel lifetimes end one by one). */
  readonly isWireSilent: boolean;
}

/** Without heartbeats: the Lease decides alone, as in client-go. */
export const ALONE: Assessment = {
  voterCount: 0,
  hearsMajority: false,
  isHeldElsewhere: false,
  holder: '',
  isHolderMissed: false,
  isHolderLost: false,
  isNext: false,
  hasSupport: false,
  isApiElsewhere: false,
  replacedBy: undefined,
  isWireSilent: false,
};

/** What of the election's state tenure depends on. */
export interface TenureFacts {
  /** Send time of the last good renewal. */
  readonly renewedAt: MonotonicMs;
  /** The addresses were claimed without the API: the Lease says nothing about us yet. */
  readonly provisionalSince: MonotonicMs | undefined;
  /** Since when no majority has been heard. */
  readonly majorityLostAt: MonotonicMs | undefined;
  /** Since when a voter has reported the API as working while we can't write to it. */
  readonly contradictedAt: MonotonicMs | undefined;
  readonly lastSuccessAt: MonotonicMs | undefined;
  readonly lastFailure: { readonly failure: ApiFailureKind; readonly at: MonotonicMs } | undefined;
}

export interface TenureRules {
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
}

export type TenureBasis = 'lease' | 'majority' | 'none';

/**
 * A majority that isn't heard is missed for this long before it counts, and the API gets as long to answer who misses it: a
 * machine whose cores are all busy is deaf for some hundred milliseconds now and then. Nobody claims what is answered for.
 */
export const ISOLATION_PATIENCE_MS = 1000;
/** Voters notice the beginning and the end of an API outage at different times: tenure stands this long against "works here". */
export const OUTAGE_SKEW_MS = 3000;
const ISOLATION_VOTERS_MIN = 3;
/**
 * A set of one says nothing of others: they may speak no heartbeats (kube-vip), or have no right to register. And who is alone
 * serves nobody while its own API server is away.
 */
const MAJORITY_VOTERS_MIN = 2;

/** Whether the last thing heard of the API is that it doesn't take writes: down, stalled, or overloaded. */
export function isApiAway(facts: Pick<TenureFacts, 'lastFailure' | 'lastSuccessAt'>): boolean {
  const failure = facts.lastFailure;
  if (failure === undefined || (facts.lastSuccessAt !== undefined && facts.lastSuccessAt >= failure.at)) return false;
  return isAway(failure.failure);
}

/**
 * Failures that say "not now", rather than "somebody wrote before you". A refusal is one of them: an API server that has just
 * started refuses everybody until it has read who may do what.
 */
export function isAway(failure: ApiFailureKind): boolean {
  return failure !== 'conflict' && failure !== 'already-exists' && failure !== 'not-found';
}

export function tenureBasis(
  rules: TenureRules,
  facts: TenureFacts,
  assessment: Assessment,
  now: MonotonicMs,
): TenureBasis {
  const isFresh = facts.provisionalSince === undefined && now < after(facts.renewedAt, rules.renewDeadlineMs);
  if (isFresh && !isIsolated(facts, assessment, now)) return 'lease';
  return hasMajorityTenure(rules, facts, assessment, now) ? 'majority' : 'none';
}

function hasMajorityTenure(rules: TenureRules, facts: TenureFacts, assessment: Assessment, now: MonotonicMs): boolean {
  // By the heartbeats, not by when we noticed: who stood still finds that his majority is long gone.
  const lostAt = assessment.majorityLostAt ?? facts.majorityLostAt;
  const isDeaf = lostAt !== undefined && now >= after(lostAt, ISOLATION_PATIENCE_MS);
  if (assessment.voterCount < MAJORITY_VOTERS_MIN || isDeaf) return false;
  if (assessment.isApiElsewhere && now >= skewEnd(rules, facts)) return false;
  return facts.provisionalSince !== undefined || isApiAway(facts);
}

/** Until when a voter's "the API works here" may be old news, or news that we have yet to make use of. */
function skewEnd(rules: TenureRules, facts: TenureFacts): MonotonicMs {
  const begin = facts.provisionalSince ?? after(facts.renewedAt, rules.renewDeadlineMs);
  return after(Math.max(begin, facts.contradictedAt ?? begin) as MonotonicMs, OUTAGE_SKEW_MS);
}

function isIsolated(facts: TenureFacts, assessment: Assessment, now: MonotonicMs): boolean {
  if (assessment.voterCount < ISOLATION_VOTERS_MIN || facts.majorityLostAt === undefined) return false;
  if (facts.lastSuccessAt !== undefined && facts.lastSuccessAt >= facts.majorityLostAt) return false;
  return now >= after(facts.majorityLostAt, ISOLATION_PATIENCE_MS);
}

/** The next moment at which tenure may end by time alone; NEVER when only an event can end it. */
export function tenureDeadline(rules: TenureRules, facts: TenureFacts, now: MonotonicMs): MonotonicMs {
  const moments = [
    facts.provisionalSince === undefined ? after(facts.renewedAt, rules.renewDeadlineMs) : NEVER,
    skewEnd(rules, facts),
    facts.majorityLostAt === undefined ? NEVER : after(facts.majorityLostAt, ISOLATION_PATIENCE_MS),
  ];
  return earliest(NEVER, ...moments.filter((moment) => moment > now));
}
