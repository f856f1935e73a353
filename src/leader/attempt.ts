/**
 * When the election calls the API, and with what: renewing, acquiring, handing over, releasing, reading; and when it claims
 * without the API, because nobody answers and a majority stands behind the claim. At most one call is under way at a time.
 */

import { after, NEVER, type MonotonicMs } from '../base/time.ts';
import type {
  ElectionOutput,
  ElectionRules,
  ElectionState,
  ElectionStep,
  GainCause,
  Observation,
  PendingCall,
} from './election-state.ts';
import { finishHandover, finishRelease } from './ending.ts';
import type { LeaseRecord } from './lease-record.ts';
import {
  hasConsent,
  isHandedOver,
  isOfAnother,
  leaseToAcquire,
  leaseToHandOver,
  leaseToRelease,
} from './lease-write.ts';
import { isApiAway, type Assessment } from './tenure.ts';

/** Candidates that see a Lease become free spread their first attempt over this. */
const FREE_JITTER_MS = 20;
/** The same for one that expired; client-go's standby polls would spread over seconds. */
const EXPIRED_JITTER_MS = 100;

/** Nobody answers the write that would depose a lost holder: with a majority behind us, and a silent wire, we act first. */
export function claimProvisionally(
  rules: ElectionRules,
  state: ElectionState,
  assessment: Assessment,
  now: MonotonicMs,
): ElectionStep {
  if (now < provisionalAt(rules, state, assessment)) return { state, outputs: [] };
  const gained: ElectionOutput = {
    kind: 'gained',
    cause: 'silent',
    consent: false,
    previousHolder: state.observed?.lease?.holder ?? '',
    sentAt: state.pending?.sentAt ?? now,
    isProvisional: true,
  };
  const claim = { phase: 'leading', isResigning: false, provisionalSince: now, provisionalDoubts: 0 } as const;
  return { state: { ...state, ...claim }, outputs: [gained] };
}

/** When a claim under way, or one the API just refused to hear, may be made without it; NEVER while it may not. */
export function provisionalAt(rules: ElectionRules, state: ElectionState, assessment: Assessment): MonotonicMs {
  if (state.phase !== 'following' || !state.isEligible || state.observed?.lease === undefined) return NEVER;
  const isOpen = assessment.isWireSilent && assessment.hasSupport;
  if (!isOpen || !isDeposable(state.observed.lease, assessment)) return NEVER;
  if (state.pending === undefined) return isApiAway(state) ? (state.claimFailedAt ?? NEVER) : NEVER;
  return state.pending.purpose === 'acquire' ? after(state.pending.sentAt, rules.claimPatienceMs) : NEVER;
}

/**
 * Whether the Lease may be taken from its holder before it expires: a majority misses it, and nobody answers on the wire
 * (or the majority has missed it for so long that what answers is a kernel whose process is gone: then the Lease comes
 * first, and the addresses when the wire falls silent).
 */
function isDeposable(lease: LeaseRecord | undefined, assessment: Assessment): boolean {
  const { isHolderMissed, hearsMajority, isHeldElsewhere, isWireSilent, isHolderLost } = assessment;
  if (lease?.holder !== assessment.holder) return false;
  // Last what is only worked out when it is asked for.
  return isHolderMissed && hearsMajority && !isHeldElsewhere && (isWireSilent || isHolderLost) && assessment.isNext;
}

/** Sends what is due: a renewal, an acquisition or a release; at most one call is under way at a time. */
export function attempt(
  rules: ElectionRules,
  state: ElectionState,
  assessment: Assessment,
  now: MonotonicMs,
): ElectionStep {
  if (state.pending !== undefined || now < attemptAt(rules, state, assessment)) return { state, outputs: [] };
  const known = state.observed?.lease;
  const to = state.phase === 'leading' ? state.handover?.to : undefined;
  if (to !== undefined) {
    if (known === undefined || known.holder !== rules.identity) return finishHandover(state, false);
    return send(state, { purpose: 'hand-over', cause: 'own', base: known }, now, (attempt) => ({
      kind: 'lease.update',
      attempt,
      lease: leaseToHandOver(rules, known, to),
      stamp: 'acquire',
    }));
  }
  if (state.phase === 'releasing') {
    const isOurs = known?.holder === rules.identity && !isOfAnother(rules, known);
    if (!isOurs) return finishRelease(state, true);
    return send(state, { purpose: 'release', cause: 'own', base: known }, now, (attempt) => ({
      kind: 'lease.update',
      attempt,
      lease: leaseToRelease(rules, known, state.isWithdrawn),
      stamp: 'acquire',
    }));
  }
  const purpose = state.phase === 'leading' ? 'renew' : 'acquire';
  return send(state, { purpose, cause: acquireCause(rules, known, assessment), base: known }, now, (attempt) => ({
    kind: known === undefined ? 'lease.create' : 'lease.update',
    attempt,
    lease: leaseToAcquire(rules, known),
    stamp: known?.holder === rules.identity ? 'renew' : 'acquire',
  }));
}

/** When the next call is due; NEVER while there is nothing to attempt. */
export function attemptAt(rules: ElectionRules, state: ElectionState, assessment: Assessment): MonotonicMs {
  if (state.phase === 'leading') {
    return state.isResigning || state.handover?.isWritten === true ? NEVER : state.nextAttemptAt;
  }
  if (state.phase === 'releasing') return state.nextAttemptAt;
  if (!state.isEligible || state.observed === undefined) return NEVER;
  return Math.max(state.nextAttemptAt, acquirableAt(rules, state, assessment, state.observed)) as MonotonicMs;
}

function acquirableAt(
  rules: ElectionRules,
  state: ElectionState,
  assessment: Assessment,
  observed: Observation,
): MonotonicMs {
  const lease = observed.lease;
  if (isDeposable(lease, assessment)) return observed.at;
  if (hasConsent(lease, rules.identity)) {
    return after(observed.at, lease?.holder === rules.identity ? 0 : observed.jitter * FREE_JITTER_MS);
  }
  // Whoever is heard and answers for the addresses merely can't write the Lease: its own tenure decides when it stops.
  if (assessment.isHeldElsewhere) return NEVER;
  if (lease === undefined || lease.holder === '') return after(observed.at, observed.jitter * FREE_JITTER_MS);
  if (lease.holder === rules.identity && state.impostorChanges === 0) return observed.at;
  return after(observed.at, lease.durationMs + observed.jitter * EXPIRED_JITTER_MS);
}

function acquireCause(rules: ElectionRules, known: LeaseRecord | undefined, assessment: Assessment): GainCause {
  if (known === undefined) return 'created';
  if (known.holder === '') return 'free';
  if (known.holder === rules.identity) return isHandedOver(known) ? 'handed-over' : 'own';
  return isDeposable(known, assessment) ? 'silent' : 'expired';
}

function send(
  state: ElectionState,
  call: Pick<PendingCall, 'purpose' | 'cause' | 'base'>,
  now: MonotonicMs,
  output: (attempt: number) => ElectionOutput,
): ElectionStep {
  const number = state.attempts + 1;
  return {
    state: { ...state, attempts: number, pending: { ...call, attempt: number, sentAt: now } },
    outputs: [output(number)],
  };
}

export function read(state: ElectionState, now: MonotonicMs): ElectionStep {
  if (state.pending !== undefined) return { state, outputs: [] };
  return send(state, { purpose: 'read', cause: 'own', base: undefined }, now, (attempt) => ({
    kind: 'lease.read',
    attempt,
  }));
}
