/**
 * Election: who may act, decided by compare-and-swap on one `coordination.k8s.io/v1` Lease, with the semantics of
 * client-go's leaderelection so that both can contend for one Lease: expiry counts on this process's own clock from the
 * moment it *saw* the record change, times written by other machines are never compared, `leaseTransitions` counts
 * changes of holder, a release writes an empty holder. Different from client-go: a follower watches instead of polling
 * (a stale watch costs a refused CAS, never a wrong one); tenure counts from the *sending* of the last good renewal; a
 * majority of voters may depose a silent holder early; and while no API server takes writes, the majority stands in for it.
 *
 *               Lease absent, free, expired, ours or handed to us, or its holder missed by a majority and silent on the wire;
 *               the CAS succeeds, or (missed, and a majority names us) nobody answers it: then provisionally
 *       ┌─────────┐ ───────────────────────────────────────────────▶ ┌─────────┐ renew every retryPeriod
 *       │following│                                                   │ leading │ hand over: write another's name, hold on
 *       └─────────┘ ◀─────────────────────────────────────────────── └─────────┘ until it holds, then resign
 *           ▲        tenure ended · Lease names another · replaced        │ resign, then withdrawn
 *           │                                                             ▼
 *           └───────────────── released (or given up) ───────────── ┌──────────┐
 *                                                                    │releasing │
 *                                                                    └──────────┘
 *
 * Pure: no clock, no timer, no API in here. A Lease is no fencing token for other systems.
 */

import { after, earliest, type MonotonicMs } from '../base/time.ts';
import { nextRandom } from '../base/random.ts';
import { attempt, attemptAt, claimProvisionally, provisionalAt, read } from './attempt.ts';
import type { ElectionEvent, ElectionOutput, ElectionRules, ElectionState, ElectionStep } from './election-state.ts';
import { finishHandover, finishRelease, lose } from './ending.ts';
import type { LeaseRecord } from './lease-record.ts';
import { hasConsent, isNewerRecord, isOfAnother, isSameTerm, previousHolder } from './lease-write.ts';
import { isApiAway, isAway, tenureBasis, tenureDeadline, type Assessment } from './tenure.ts';

/** Pause after a failed call; short because a holder's tenure is running. Never longer than the retry period. */
const RETRY_AFTER_FAILURE_MS = 500;
/** Who holds by a majority's word alone asks for the API's more often: another may have it. */
const RETRY_BY_MAJORITY_MS = 200;
/** Nothing is under way that could leave a Lease naming us behind: the process may end. */
export function isSettled(state: ElectionState): boolean {
  return state.phase === 'following' && state.pending === undefined;
}

/** When the election next wants a tick. */
export function electionDeadline(
  rules: ElectionRules,
  state: ElectionState,
  assessment: Assessment,
  now: MonotonicMs,
): MonotonicMs {
  const call = state.pending;
  const next = call === undefined ? attemptAt(rules, state, assessment) : provisionalAt(rules, state, assessment);
  return state.phase === 'leading' ? earliest(tenureDeadline(rules, state, now), next) : next;
}

/** The election as a function. `now` never decreases; outputs are to be performed in order. */
export function stepElection(
  rules: ElectionRules,
  state: ElectionState,
  assessment: Assessment,
  event: ElectionEvent,
  now: MonotonicMs,
): ElectionStep {
  const checked = endTenure(rules, noteOthers(state, assessment, now), assessment, now);
  const handled = handle(rules, checked.state, assessment, event, now);
  // What was just heard (a refused call, another's claim) may have ended tenure too.
  const rechecked = endTenure(rules, handled.state, assessment, now);
  const claimed = claimProvisionally(rules, rechecked.state, assessment, now);
  const attempted = attempt(rules, claimed.state, assessment, now);
  const outputs: ElectionOutput[] = [];
  [checked, handled, rechecked, claimed, attempted].forEach((part) => {
    if (part.outputs.length > 0) outputs.push(...part.outputs);
  });
  return { state: attempted.state, outputs };
}

/** Losing the majority, and hearing that the API works elsewhere, are reasons to ask it at once, not at the next renewal. */
function noteOthers(state: ElectionState, assessment: Assessment, now: MonotonicMs): ElectionState {
  const isLost = assessment.voterCount > 0 && !assessment.hearsMajority;
  const isContradicted = assessment.isApiElsewhere && (state.provisionalSince !== undefined || isApiAway(state));
  const majorityLostAt = isLost ? (state.majorityLostAt ?? now) : undefined;
  const contradictedAt = isContradicted ? (state.contradictedAt ?? now) : undefined;
  if (majorityLostAt === state.majorityLostAt && contradictedAt === state.contradictedAt) return state;
  const isNews = majorityLostAt === now || contradictedAt === now;
  const nextAttemptAt = isNews && state.phase === 'leading' ? now : state.nextAttemptAt;
  return { ...state, majorityLostAt, contradictedAt, nextAttemptAt };
}

function endTenure(rules: ElectionRules, state: ElectionState, assessment: Assessment, now: MonotonicMs): ElectionStep {
  if (state.phase !== 'leading') return { state, outputs: [] };
  if (assessment.replacedBy !== undefined && state.handover === undefined) return lose(state, 'replaced', now);
  if (tenureBasis(rules, state, assessment, now) !== 'none') return { state, outputs: [] };
  const isExpired = state.provisionalSince !== undefined || now >= after(state.renewedAt, rules.renewDeadlineMs);
  return lose(state, isExpired ? 'tenure-ended' : 'isolated', now);
}

function handle(
  rules: ElectionRules,
  state: ElectionState,
  assessment: Assessment,
  event: ElectionEvent,
  now: MonotonicMs,
): ElectionStep {
  switch (event.kind) {
    case 'tick':
      return { state, outputs: [] };
    case 'lease.observed':
      return observe(rules, state, assessment, event, now);
    case 'lease.written':
      return written(rules, state, event, now);
    case 'lease.failed':
      return failed(rules, state, assessment, event, now);
    case 'eligible':
      return {
        state: event.isEligible === state.isEligible ? state : { ...state, isEligible: event.isEligible },
        outputs: [],
      };
    case 'hand-over':
      return beginHandover(state, event.to, now);
    case 'resign':
      return { state: { ...state, isResigning: state.phase === 'leading' }, outputs: [] };
    case 'withdrawn':
      return state.phase === 'leading' && state.isResigning
        ? { state: { ...state, phase: 'releasing', isWithdrawn: event.isConfirmed, nextAttemptAt: now }, outputs: [] }
        : { state, outputs: [] };
    case 'clock.jumped':
      return jumped(rules, state, assessment, { byMs: event.byMs, now });
  }
}

function beginHandover(state: ElectionState, to: string, now: MonotonicMs): ElectionStep {
  if (state.phase !== 'leading' || state.handover !== undefined || state.isResigning) return { state, outputs: [] };
  return { state: { ...state, handover: { to, isWritten: false }, nextAttemptAt: now }, outputs: [] };
}

/** What was sent was sent that much longer ago. Another's expiry is not brought forward: waiting longer is safe. */
function jumped(
  rules: ElectionRules,
  before: ElectionState,
  assessment: Assessment,
  jump: { readonly byMs: number; readonly now: MonotonicMs },
): ElectionStep {
  const { pending } = before;
  const state: ElectionState = {
    ...before,
    renewedAt: after(before.renewedAt, -jump.byMs),
    pending: pending === undefined ? undefined : { ...pending, sentAt: after(pending.sentAt, -jump.byMs) },
  };
  const isLost = state.phase === 'leading' && tenureBasis(rules, state, assessment, jump.now) === 'none';
  return isLost ? lose(state, 'clock-jumped', jump.now) : { state, outputs: [] };
}

function observe(
  rules: ElectionRules,
  before: ElectionState,
  assessment: Assessment,
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
  return learn(rules, state, assessment, event.lease, now);
}

/** Takes a record as the truth of now: restarts its expiry, and ends leadership where it names somebody else. */
function learn(
  rules: ElectionRules,
  before: ElectionState,
  assessment: Assessment,
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
    claimFailedAt: undefined,
    seed,
  };
  const outputs: ElectionOutput[] =
    isImpostor && before.impostorChanges === 0 ? [{ kind: 'impostor', identity: rules.identity }] : [];
  if (state.phase === 'leading') {
    if (lease === undefined) return { state: { ...state, nextAttemptAt: now }, outputs };
    if (isImpostor) return join(outputs, lose(state, 'duplicate-identity', now));
    if (lease.holder !== rules.identity) return join(outputs, contradicted(state, before, assessment, now));
  }
  if (state.phase === 'releasing' && lease?.holder !== rules.identity && state.pending === undefined) {
    return join(outputs, finishRelease(state, true));
  }
  // A write that was given up came through after all: nobody else can have a Lease that we don't want.
  const isUnwanted = state.phase === 'following' && !state.isEligible && state.pending === undefined;
  if (isUnwanted && lease?.holder === rules.identity && !isOfAnother(rules, lease)) {
    return { state: { ...state, phase: 'releasing', isWithdrawn: false, nextAttemptAt: now }, outputs };
  }
  return { state, outputs };
}

/**
 * The Lease names somebody else while we lead. Expected when we handed it over. After a provisional claim, once, when it is
 * the lost holder's last renewal, which we hadn't seen; a second one says that it lives. Else it is the end.
 */
function contradicted(
  state: ElectionState,
  before: ElectionState,
  assessment: Assessment,
  now: MonotonicMs,
): ElectionStep {
  const holder = state.observed?.lease?.holder;
  // Our own writing, which the watch shows before its answer comes, or although that is lost.
  if (state.handover !== undefined && holder === state.handover.to) return finishHandover(state, true);
  const isLastWord = state.provisionalSince !== undefined && holder === before.observed?.lease?.holder;
  if (isLastWord && assessment.isHolderMissed && state.provisionalDoubts === 0) {
    return { state: { ...state, provisionalDoubts: 1, nextAttemptAt: now }, outputs: [] };
  }
  return lose(state, 'superseded', now);
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
    claimFailedAt: undefined,
    nextAttemptAt: after(call.sentAt, rules.retryPeriodMs),
  };
  if (call.purpose === 'release') return finishRelease(state, true);
  if (call.purpose === 'hand-over') return finishHandover(state, true);
  if (isOvertaken && known?.lease?.holder !== rules.identity) {
    return state.phase === 'releasing' ? finishRelease(state, true) : { state, outputs: [] };
  }
  const isWorthHolding = state.isEligible && now < after(call.sentAt, rules.renewDeadlineMs);
  if (state.phase === 'leading') {
    const ratified: readonly ElectionOutput[] =
      state.provisionalSince === undefined ? [] : [{ kind: 'ratified', afterMs: now - state.provisionalSince }];
    const nextAttemptAt = state.handover === undefined ? state.nextAttemptAt : now;
    return {
      state: { ...state, renewedAt: call.sentAt, provisionalSince: undefined, nextAttemptAt },
      outputs: ratified,
    };
  }
  if (state.phase === 'releasing' || !isWorthHolding) {
    // Ours by the Lease, but not wanted any more or too old to act on: give it back rather than let it lapse.
    const isWithdrawn = state.phase === 'releasing' && state.isWithdrawn;
    return { state: { ...state, phase: 'releasing', isWithdrawn, nextAttemptAt: now }, outputs: [] };
  }
  const gained: ElectionOutput = {
    kind: 'gained',
    cause: call.purpose === 'renew' ? 'late-answer' : call.cause,
    consent: hasConsent(call.base, rules.identity),
    previousHolder: previousHolder(call.base),
    sentAt: call.sentAt,
    isProvisional: false,
  };
  const leading = {
    phase: 'leading',
    isResigning: false,
    renewedAt: call.sentAt,
    provisionalSince: undefined,
  } as const;
  return { state: { ...state, ...leading }, outputs: [gained] };
}

function failed(
  rules: ElectionRules,
  before: ElectionState,
  assessment: Assessment,
  event: Extract<ElectionEvent, { kind: 'lease.failed' }>,
  now: MonotonicMs,
): ElectionStep {
  const call = before.pending;
  if (call === undefined || call.attempt !== event.attempt) return { state: before, outputs: [] };
  const isByLease = before.provisionalSince === undefined && now < after(before.renewedAt, rules.renewDeadlineMs);
  const retryMs = before.phase !== 'leading' || isByLease ? RETRY_AFTER_FAILURE_MS : RETRY_BY_MAJORITY_MS;
  const state: ElectionState = {
    ...before,
    pending: undefined,
    lastFailure: { failure: event.failure, message: event.message, at: now },
    claimFailedAt: call.purpose === 'acquire' && isAway(event.failure) ? now : before.claimFailedAt,
    nextAttemptAt: after(now, Math.min(rules.retryPeriodMs, retryMs)),
  };
  if (call.purpose === 'hand-over') return finishHandover(state, false);
  const isOutrun = event.failure === 'conflict' || event.failure === 'already-exists' || event.failure === 'not-found';
  if (isOutrun && call.purpose !== 'read') return read(state, now);
  if (event.failure === 'not-found') return learn(rules, state, assessment, undefined, now);
  if (call.purpose === 'release') return finishRelease(state, false);
  return { state, outputs: [] };
}

function join(outputs: readonly ElectionOutput[], step: ElectionStep): ElectionStep {
  return { state: step.state, outputs: [...outputs, ...step.outputs] };
}
