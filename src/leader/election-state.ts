/**
 * What the election is told, remembers and answers: rules, state, events and outputs, as plain data. What follows from them is
 * in election.ts.
 */

import type { MonotonicMs } from '../base/time.ts';
import type { Seed } from '../base/random.ts';
import type { ApiFailureKind, LeaseRecord } from './lease-record.ts';

export interface ElectionRules {
  readonly identity: string;
  /** Tells two runs with one identity apart; written as an annotation. */
  readonly incarnation: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  readonly annotations: Readonly<Record<string, string>>;
  /** How long a claim on a lost node's addresses waits for the API before it is made provisionally, ms. */
  readonly claimPatienceMs: number;
}

export type GainCause = 'created' | 'free' | 'expired' | 'own' | 'late-answer' | 'silent' | 'handed-over';
export type LossCause = 'tenure-ended' | 'superseded' | 'duplicate-identity' | 'clock-jumped' | 'replaced' | 'isolated';

export interface PendingCall {
  readonly attempt: number;
  readonly purpose: 'acquire' | 'renew' | 'release' | 'read' | 'hand-over';
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
  /** The addresses are held without the API having said so yet, since then. */
  readonly provisionalSince: MonotonicMs | undefined;
  readonly majorityLostAt: MonotonicMs | undefined;
  readonly contradictedAt: MonotonicMs | undefined;
  /** Whom the Lease is being, or has been, handed to. */
  readonly handover: { readonly to: string; readonly isWritten: boolean } | undefined;
  /** When a claim was last refused for want of an API; forgotten with the next success or news. */
  readonly claimFailedAt: MonotonicMs | undefined;
  /** How often the Lease changed in the old holder's name since we claimed provisionally. */
  readonly provisionalDoubts: number;
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
  /** Write another candidate's name into the Lease, and go on holding until it holds. */
  | { readonly kind: 'hand-over'; readonly to: string }
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
      /** The API hasn't said so: a majority has. */
      readonly isProvisional: boolean;
    }
  /** The API confirmed a provisional claim. */
  | { readonly kind: 'ratified'; readonly afterMs: number }
  | { readonly kind: 'lost'; readonly cause: LossCause; readonly holder: string }
  | { readonly kind: 'handed-over'; readonly to: string; readonly isWritten: boolean }
  | { readonly kind: 'released'; readonly isWritten: boolean }
  | { readonly kind: 'impostor'; readonly identity: string };

export interface ElectionStep {
  readonly state: ElectionState;
  readonly outputs: readonly ElectionOutput[];
}

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
    provisionalSince: undefined,
    majorityLostAt: undefined,
    contradictedAt: undefined,
    handover: undefined,
    claimFailedAt: undefined,
    provisionalDoubts: 0,
    nextAttemptAt: 0 as MonotonicMs,
    attempts: 0,
    lastFailure: undefined,
    lastSuccessAt: undefined,
    seed,
  };
}
