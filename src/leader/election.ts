/**
 * Lease election: who may act, decided by compare-and-swap on one `coordination.k8s.io/v1` Lease, with the semantics of
 * client-go's leaderelection so that both can contend for one Lease: expiry counts on this process's own clock from the
 * moment it *saw* the record change, times written by other machines are never compared, `leaseTransitions` counts
 * changes of holder, a release writes an empty holder. Different from client-go: a follower watches instead of polling
 * (a stale watch costs a refused CAS, never a wrong one), and tenure counts from the *sending* of the last good renewal.
 *
 *                 Lease absent, free, expired or our own; CAS succeeds
 *       ┌────────┐ ────────────────────────────────────────────────▶ ┌─────────┐
 *       │following│                                                   │ leading │──┐ renew every retryPeriod
 *       └────────┘ ◀──────────────────────────────────────────────── └─────────┘◀─┘
 *           ▲        tenure ended · Lease names another · duplicate       │ resign, then withdrawn
 *           │                                                             ▼
 *           └───────────────── released (or given up) ───────────── ┌──────────┐
 *                                                                    │releasing │
 *                                                                    └──────────┘
 *
 * Pure: no clock, no timer, no API in here. A Lease is no fencing token for other systems.
 */

import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import { nextRandom, type Seed } from '../base/random.ts';
import type { ApiFailureKind, LeaseRecord } from './lease-record.ts';
import {
  hasConsent,
  isNewerRecord,
  isSameTerm,
  leaseToAcquire,
  leaseToRelease,
  INCARNATION_ANNOTATION,
} from './lease-write.ts';

export interface ElectionRules {
  readonly identity: string;
  /** Tells two runs with one identity apart; written as an annotation. */
  readonly incarnation: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export type GainCause = 'created' | 'free' | 'expired' | 'own' | 'late-answer';
export type LossCause = 'tenure-ended' | 'superseded' | 'duplicate-identity' | 'clock-jumped';

interface PendingCall {
  readonly attempt: number;
  readonly purpose: 'acquire' | 'renew' | 'release' | 'read';
  readonly sentAt: MonotonicMs;
  readonly cause: GainCause;
  /** What the write replaces; the watch may show the result before the answer does. */
  readonly base: LeaseRecord | undefined;
}

export interface Observation {
  /** undefined: the Lease does not exist. */
  readonly lease: LeaseRecord | undefined;
  /** When this process saw the record change. */
  readonly at: MonotonicMs;
  /** In [0, 1): spreads candidates that see the same change. */
  readonly jitter: number;
}

export interface ElectionState {
  readonly phase: 'following' | 'leading' | 'releasing';
  readonly isEligible: boolean;
  readonly isResigning: boolean;
  /** The kernel confirmed that our addresses are gone: a release may say so. */
  readonly isWithdrawn: boolean;
  readonly observed: Observation | undefined;
  /** How often somebody else changed a Lease that names our identity: another process uses it too. */
  readonly impostorChanges: number;
  readonly pending: PendingCall | undefined;
  /** Send time of the last good renewal; meaningful while leading. */
  readonly renewedAt: MonotonicMs;
  readonly nextAttemptAt: MonotonicMs;
  readonly attempts: number;
  readonly lastFailure:
    | { readonly failure: ApiFailureKind; readonly message: string; readonly at: MonotonicMs }
    | undefined;
  readonly lastSuccessAt: MonotonicMs | undefined;
  readonly seed: Seed;
}

export type ElectionEvent =
  | { readonly kind: 'tick' }
  | { readonly kind: 'lease.observed'; readonly source: 'watch' | 'read'; readonly lease: LeaseRecord | undefined }
  | { readonly kind: 'lease.written'; readonly attempt: number; readonly lease: LeaseRecord }
  | {
      readonly kind: 'lease.failed';
      readonly attempt: number;
      readonly failure: ApiFailureKind;
      readonly message: string;
    }
  /** Whether this node could hold the addresses at all (interface up, carrier, not stopping). */
  | { readonly kind: 'eligible'; readonly isEligible: boolean }
  /** Stop renewing: the addresses are being withdrawn. */
  | { readonly kind: 'resign' }
  /** The Lease may be released; `isConfirmed`: the kernel reports every address off this node, not only our patience over. */
  | { readonly kind: 'withdrawn'; readonly isConfirmed: boolean }
  | { readonly kind: 'clock.jumped'; readonly byMs: number };

export type ElectionOutput =
  | { readonly kind: 'lease.read'; readonly attempt: number }
  | {
      readonly kind: 'lease.create' | 'lease.update';
      readonly attempt: number;
      readonly lease: LeaseRecord;
      readonly stamp: 'acquire' | 'renew';
    }
  /** `consent`: the previous holder said in the Lease that its addresses are withdrawn. */
  | {
      readonly kind: 'gained';
      readonly cause: GainCause;
      readonly consent: boolean;
      readonly previousHolder: string;
      /** When the write that won was sent; what follows is measured from here. */
      readonly sentAt: MonotonicMs;
    }
  | { readonly kind: 'lost'; readonly cause: LossCause; readonly holder: string }
  | { readonly kind: 'released'; readonly isWritten: boolean }
  | { readonly kind: 'impostor'; readonly identity: string };

export interface ElectionStep {
  readonly state: ElectionState;
  readonly outputs: readonly ElectionOutput[];
}

/** Pause after a failed call; short because a holder's tenure is running. Never longer than the retry period. */
const RETRY_AFTER_FAILURE_MS = 500;
/** Candidates that see a Lease become free spread their first attempt over this. */
const FREE_JITTER_MS = 20;
/** The same for one that expired; client-go's standby polls would spread over seconds. */
const EXPIRED_JITTER_MS = 100;

export function startElection(seed: Seed): ElectionState {
  return {
    phase: 'following',
    isEligible: false,
    isResigning: false,
    isWithdrawn: false,
    observed: undefined,
    impostorChanges: 0,
    pending: undefined,
    renewedAt: 0 as MonotonicMs,
    nextAttemptAt: 0 as MonotonicMs,
    attempts: 0,
    lastFailure: undefined,
    lastSuccessAt: undefined,
    seed,
  };
}

/** When tenure ends unless a renewal succeeds; only meaningful while leading. */
export function tenureEnd(rules: ElectionRules, state: ElectionState): MonotonicMs {
  return after(state.renewedAt, rules.renewDeadlineMs);
}

/** Nothing is under way that could leave a Lease naming us behind: the process may end. */
export function isSettled(state: ElectionState): boolean {
  return state.phase === 'following' && state.pending === undefined;
}

/** When the election next wants a tick. */
export function electionDeadline(rules: ElectionRules, state: ElectionState): MonotonicMs {
  const attempt = state.pending === undefined ? attemptAt(rules, state) : NEVER;
  return state.phase === 'leading' ? earliest(tenureEnd(rules, state), attempt) : attempt;
}

/** The election as a function. `now` never decreases; outputs are to be performed in order. */
export function stepElection(
  rules: ElectionRules,
  state: ElectionState,
  event: ElectionEvent,
  now: MonotonicMs,
): ElectionStep {
  const expired = endTenure(rules, state, now);
  const handled = handle(rules, expired.state, event, now);
  const attempted = attempt(rules, handled.state, now);
  return { state: attempted.state, outputs: [...expired.outputs, ...handled.outputs, ...attempted.outputs] };
}

function endTenure(rules: ElectionRules, state: ElectionState, now: MonotonicMs): ElectionStep {
  if (state.phase !== 'leading' || now < tenureEnd(rules, state)) return { state, outputs: [] };
  return lose(state, 'tenure-ended', now);
}

function handle(rules: ElectionRules, state: ElectionState, event: ElectionEvent, now: MonotonicMs): ElectionStep {
  switch (event.kind) {
    case 'tick':
      return { state, outputs: [] };
    case 'lease.observed':
      return observe(rules, state, event, now);
    case 'lease.written':
      return written(rules, state, event, now);
    case 'lease.failed':
      return failed(rules, state, event, now);
    case 'eligible':
      return { state: { ...state, isEligible: event.isEligible }, outputs: [] };
    case 'resign':
      return { state: { ...state, isResigning: state.phase === 'leading' }, outputs: [] };
    case 'withdrawn':
      return state.phase === 'leading' && state.isResigning
        ? { state: { ...state, phase: 'releasing', isWithdrawn: event.isConfirmed, nextAttemptAt: now }, outputs: [] }
        : { state, outputs: [] };
    case 'clock.jumped':
      return jumped(rules, state, event.byMs, now);
  }
}

/** What was sent was sent that much longer ago. Another's expiry is not brought forward: waiting longer is safe. */
function jumped(rules: ElectionRules, before: ElectionState, byMs: number, now: MonotonicMs): ElectionStep {
  const { pending } = before;
  const state: ElectionState = {
    ...before,
    renewedAt: after(before.renewedAt, -byMs),
    pending: pending === undefined ? undefined : { ...pending, sentAt: after(pending.sentAt, -byMs) },
  };
  return state.phase === 'leading' && now >= tenureEnd(rules, state)
    ? lose(state, 'clock-jumped', now)
    : { state, outputs: [] };
}

function observe(
  rules: ElectionRules,
  before: ElectionState,
  event: Extract<ElectionEvent, { kind: 'lease.observed' }>,
  now: MonotonicMs,
): ElectionStep {
  const isAnswer = event.source === 'read' && before.pending?.purpose === 'read';
  const state = isAnswer ? { ...before, pending: undefined, nextAttemptAt: now, lastSuccessAt: now } : before;
  const known = state.observed;
  if (known !== undefined && known.lease?.resourceVersion === event.lease?.resourceVersion) {
    return { state, outputs: [] };
  }
  if (event.source === 'watch' && known !== undefined) {
    const news = isNewerRecord(known.lease, event.lease);
    if (news === 'older') return { state, outputs: [] };
    if (news === 'unknown' && state.phase === 'leading') return read(state, now);
  }
  return learn(rules, state, event.lease, now);
}

/** Takes a record as the truth of now: restarts its expiry, and ends leadership where it names somebody else. */
function learn(
  rules: ElectionRules,
  before: ElectionState,
  lease: LeaseRecord | undefined,
  now: MonotonicMs,
): ElectionStep {
  const [jitter, seed] = nextRandom(before.seed);
  const known = before.observed;
  const isImpostor = known?.lease !== undefined && lease?.holder === rules.identity && isOfAnother(rules, lease);
  const state: ElectionState = {
    ...before,
    observed: known !== undefined && isSameTerm(known.lease, lease) ? { ...known, lease } : { lease, at: now, jitter },
    impostorChanges: isImpostor
      ? before.impostorChanges + 1
      : lease?.holder === rules.identity
        ? before.impostorChanges
        : 0,
    lastFailure: before.phase === 'following' ? undefined : before.lastFailure,
    seed,
  };
  const outputs: ElectionOutput[] =
    isImpostor && before.impostorChanges === 0 ? [{ kind: 'impostor', identity: rules.identity }] : [];
  if (state.phase === 'leading') {
    if (lease === undefined) return { state: { ...state, nextAttemptAt: now }, outputs };
    if (isImpostor) return join(outputs, lose(state, 'duplicate-identity', now));
    if (lease.holder !== rules.identity) return join(outputs, lose(state, 'superseded', now));
  }
  if (state.phase === 'releasing' && lease?.holder !== rules.identity && state.pending === undefined) {
    return join(outputs, finishRelease(state, true));
  }
  return { state, outputs };
}

function written(
  rules: ElectionRules,
  before: ElectionState,
  event: Extract<ElectionEvent, { kind: 'lease.written' }>,
  now: MonotonicMs,
): ElectionStep {
  const call = before.pending;
  if (call === undefined || call.attempt !== event.attempt) return { state: before, outputs: [] };
  const known = before.observed;
  const isOvertaken = isNewerRecord(event.lease, known?.lease) === 'newer';
  const state: ElectionState = {
    ...before,
    pending: undefined,
    observed: known !== undefined && isOvertaken ? known : { lease: event.lease, at: now, jitter: known?.jitter ?? 0 },
    impostorChanges: 0,
    lastSuccessAt: now,
    lastFailure: undefined,
    nextAttemptAt: after(call.sentAt, rules.retryPeriodMs),
  };
  if (call.purpose === 'release') return finishRelease(state, true);
  if (isOvertaken && known?.lease?.holder !== rules.identity) {
    return state.phase === 'releasing' ? finishRelease(state, true) : { state, outputs: [] };
  }
  const isWorthHolding = state.isEligible && now < after(call.sentAt, rules.renewDeadlineMs);
  if (state.phase === 'leading') return { state: { ...state, renewedAt: call.sentAt }, outputs: [] };
  if (state.phase === 'releasing' || !isWorthHolding) {
    // Ours by the Lease, but not wanted any more or too old to act on: give it back rather than let it lapse.
    const isWithdrawn = state.phase === 'releasing' && state.isWithdrawn;
    return { state: { ...state, phase: 'releasing', isWithdrawn, nextAttemptAt: now }, outputs: [] };
  }
  const gained: ElectionOutput = {
    kind: 'gained',
    cause: call.purpose === 'renew' ? 'late-answer' : call.cause,
    consent: hasConsent(call.base),
    previousHolder: call.base?.holder ?? '',
    sentAt: call.sentAt,
  };
  return { state: { ...state, phase: 'leading', isResigning: false, renewedAt: call.sentAt }, outputs: [gained] };
}

function failed(
  rules: ElectionRules,
  before: ElectionState,
  event: Extract<ElectionEvent, { kind: 'lease.failed' }>,
  now: MonotonicMs,
): ElectionStep {
  const call = before.pending;
  if (call === undefined || call.attempt !== event.attempt) return { state: before, outputs: [] };
  const state: ElectionState = {
    ...before,
    pending: undefined,
    lastFailure: { failure: event.failure, message: event.message, at: now },
    nextAttemptAt: after(now, Math.min(rules.retryPeriodMs, RETRY_AFTER_FAILURE_MS)),
  };
  const isOutrun = event.failure === 'conflict' || event.failure === 'already-exists' || event.failure === 'not-found';
  if (isOutrun && call.purpose !== 'read') return read(state, now);
  if (event.failure === 'not-found') return learn(rules, state, undefined, now);
  if (call.purpose === 'release') return finishRelease(state, false);
  return { state, outputs: [] };
}

/** Sends what is due: a renewal, an acquisition or a release; at most one call is under way at a time. */
function attempt(rules: ElectionRules, state: ElectionState, now: MonotonicMs): ElectionStep {
  if (state.pending !== undefined || now < attemptAt(rules, state)) return { state, outputs: [] };
  const known = state.observed?.lease;
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
  return send(state, { purpose, cause: acquireCause(rules, known), base: known }, now, (attempt) => ({
    kind: known === undefined ? 'lease.create' : 'lease.update',
    attempt,
    lease: leaseToAcquire(rules, known),
    stamp: known?.holder === rules.identity ? 'renew' : 'acquire',
  }));
}

/** When the next call is due; NEVER while there is nothing to attempt. */
function attemptAt(rules: ElectionRules, state: ElectionState): MonotonicMs {
  if (state.phase === 'leading') return state.isResigning ? NEVER : state.nextAttemptAt;
  if (state.phase === 'releasing') return state.nextAttemptAt;
  if (!state.isEligible || state.observed === undefined) return NEVER;
  return Math.max(state.nextAttemptAt, acquirableAt(rules, state, state.observed)) as MonotonicMs;
}

function acquirableAt(rules: ElectionRules, state: ElectionState, observed: Observation): MonotonicMs {
  const lease = observed.lease;
  if (lease === undefined || lease.holder === '') return after(observed.at, observed.jitter * FREE_JITTER_MS);
  if (lease.holder === rules.identity && state.impostorChanges === 0) return observed.at;
  return after(observed.at, lease.durationMs + observed.jitter * EXPIRED_JITTER_MS);
}

function acquireCause(rules: ElectionRules, known: LeaseRecord | undefined): GainCause {
  if (known === undefined) return 'created';
  if (known.holder === '') return 'free';
  return known.holder === rules.identity ? 'own' : 'expired';
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

function read(state: ElectionState, now: MonotonicMs): ElectionStep {
  if (state.pending !== undefined) return { state, outputs: [] };
  return send(state, { purpose: 'read', cause: 'own', base: undefined }, now, (attempt) => ({
    kind: 'lease.read',
    attempt,
  }));
}

/** A record under our name that another process wrote (our former run, or an impostor). */
function isOfAnother(rules: ElectionRules, lease: LeaseRecord): boolean {
  const incarnation = lease.annotations[INCARNATION_ANNOTATION];
  return incarnation !== undefined && incarnation !== rules.incarnation;
}

function lose(state: ElectionState, cause: LossCause, now: MonotonicMs): ElectionStep {
  return {
    state: { ...state, phase: 'following', isResigning: false, isWithdrawn: false, nextAttemptAt: now },
    outputs: [{ kind: 'lost', cause, holder: state.observed?.lease?.holder ?? '' }],
  };
}

function finishRelease(state: ElectionState, isWritten: boolean): ElectionStep {
  return {
    state: { ...state, phase: 'following', isResigning: false, isWithdrawn: false },
    outputs: [{ kind: 'released', isWritten }],
  };
}

function join(outputs: readonly ElectionOutput[], step: ElectionStep): ElectionStep {
  return { state: step.state, outputs: [...outputs, ...step.outputs] };
}
