/**
 * What the machine of one address (vip.ts) is made of: its rules, its state, what it is told and what it says, and what can be
 * read off a state alone.
 */

import type { Prefix } from '../base/ip.ts';
import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import type { Mac } from '../base/mac.ts';
import { UNASKED, type Inquiry } from './silence.ts';

export interface VipRules {
  readonly lifetimeSeconds: number;
  readonly probeCount: number;
  readonly probeIntervalMs: number;
  readonly refreshIntervalMs: number;
  readonly conflictTimeoutMs: number;
  readonly conflictPolicy: 'defend' | 'yield';
  /** A lifetime is renewed after a third of it, and after this at most; undefined: one second. */
  readonly renewalMaxMs?: number;
  /** How often who goes on answering is asked; undefined: as often as nobody known, and each second when that lasts. */
  readonly rivalProbeMs?: number;
  /** When an address is announced, ms after it is held; undefined: BURST_OFFSETS_MS. */
  readonly burstOffsetsMs?: readonly number[];
}

export type VipPhase = 'idle' | 'probing' | 'conflict' | 'claiming' | 'holding' | 'withdrawing';

/** Somebody else who answers for the address. */
export interface Rival {
  readonly mac: Mac;
  readonly firstHeardAt: MonotonicMs;
  readonly lastHeardAt: MonotonicMs;
  /** Whether it has been reported as a conflict (and not only waited for). */
  readonly isReported: boolean;
}

export interface VipState {
  readonly prefix: Prefix;
  readonly phase: VipPhase;
  readonly since: MonotonicMs;
  /** The kernel reports the address on our interface. */
  readonly isPresent: boolean;
  /** What was asked of the wire in the present round, and what it answered. */
  readonly inquiry: Inquiry;
  readonly burstSent: number;
  readonly announcements: number;
  readonly lastAnnouncedAt: MonotonicMs | undefined;
  readonly lastDefendedAt: MonotonicMs | undefined;
  /** The next step of the phase: probe, burst or refresh, retry. */
  readonly nextAt: MonotonicMs;
  /** When the kernel lifetime is renewed next. */
  readonly lifetimeAt: MonotonicMs;
  /** When the kernel lifetime last put on ends: an address gone after that was not deleted by anybody. */
  readonly validUntil: MonotonicMs;
  readonly rival: Rival | undefined;
  /** The claim began with a suspicion: who still answers is the lost holder's kernel, which answers at once or not at all. */
  readonly isSuspected: boolean;
  /** The questions come more often than they began: see isHolderLost. */
  readonly isHurried: boolean;
  /** When a lifetime last ended under us, while what the others did meanwhile isn't known yet. */
  readonly lapsedAt: MonotonicMs | undefined;
}

/** What the owner of the decision says, anew at each step. */
export interface VipWish {
  /**
   * 'suspect': not ours, but its holder may be gone: ask the wire over and over, so that a claim needn't begin with it.
   * 'undecided': an address found at start stays (its kernel lifetime bounds that) until the Lease says whose it is.
   */
  readonly verdict: 'hold' | 'drop' | 'suspect' | 'undecided';
  /** Claim without waiting for the wire: the previous holder said that it has withdrawn. */
  readonly hasConsent: boolean;
  /** No kernel lifetime may reach beyond this moment. */
  readonly lifetimeLimit: MonotonicMs;
  /** A successor is about to announce the address: answer on, but neither announce nor defend it any more. */
  readonly isYielding: boolean;
  /** The former holder's process is gone, its kernel answers on: ask quickly for the end of that. */
  readonly isHolderLost: boolean;
  /** The former holder still answers, as agreed: it is no rival, but whom it answers has to be told again. */
  readonly isSucceeding: boolean;
  /** Of the rival that is known, or was just heard, and us, it is the rival's while that one answers. Default false. */
  readonly isOutranked?: boolean;
}

export type VipEvent =
  | { readonly kind: 'tick' }
  /** The kernel reports the address on, or off, our interface. */
  | { readonly kind: 'present'; readonly isPresent: boolean }
  /** A frame in which somebody else uses the address as its own. */
  | { readonly kind: 'rival'; readonly mac: Mac }
  /** The kernel refused to add the address. */
  | { readonly kind: 'failed' }
  /** Time passed that our clock did not count: the kernel lifetime reaches further than it should. */
  | { readonly kind: 'clock-jumped' }
  /** Carrier or the active port came back: neighbours may have to be told again. */
  | { readonly kind: 'reannounce' };

export type VipOutput =
  | { readonly kind: 'probe' }
  | { readonly kind: 'announce' }
  | { readonly kind: 'defend' }
  | { readonly kind: 'add'; readonly validSeconds: number }
  | { readonly kind: 'delete' }
  | { readonly kind: 'waiting'; readonly mac: Mac }
  | { readonly kind: 'conflict'; readonly mac: Mac; readonly while: 'claiming' | 'holding' }
  | { readonly kind: 'yielded'; readonly mac: Mac }
  | { readonly kind: 'restored' }
  /** The lifetime ended while the process stood still. */
  | { readonly kind: 'lapsed' }
  | { readonly kind: 'silent'; readonly afterMs: number }
  | { readonly kind: 'up' }
  | { readonly kind: 'announced' }
  | { readonly kind: 'down' };

export interface VipStep {
  readonly state: VipState;
  readonly outputs: readonly VipOutput[];
}

/** DEFEND_INTERVAL of RFC 5227 §1.1, seconds → ms. */
export const DEFEND_INTERVAL_MS = 10_000;
/** What was refused, or isn't done yet, is tried again after this. */
export const RETRY_MS = 1000;
/** While a former holder's kernel lifetime may still run, look often; afterwards a stranger is looked at slowly. */
export const RIVAL_PATIENCE_MS = 5000;
export const RIVAL_PROBE_SLOW_MS = 1000;

export function startVip(prefix: Prefix, now: MonotonicMs): VipState {
  return {
    prefix,
    phase: 'idle',
    since: now,
    isPresent: false,
    inquiry: UNASKED,
    burstSent: 0,
    announcements: 0,
    lastAnnouncedAt: undefined,
    lastDefendedAt: undefined,
    nextAt: NEVER,
    lifetimeAt: NEVER,
    validUntil: NEVER,
    rival: undefined,
    isSuspected: false,
    isHurried: false,
    lapsedAt: undefined,
  };
}

/** Whether nothing of the address is left on this node that we know of. */
export function isIdle(state: VipState): boolean {
  return !state.isPresent && (state.phase === 'idle' || state.phase === 'probing' || state.phase === 'conflict');
}

/**
 * Whether this node has announced the address in its last claim and nobody else was heard to use it of late: only then may
 * its word spare the next holder the question.
 */
export function hasHeldAlone(state: VipState, now: MonotonicMs): boolean {
  const isDisputed = state.rival !== undefined && now < after(state.rival.lastHeardAt, DEFEND_INTERVAL_MS);
  return state.burstSent > 0 && !isDisputed;
}

export function vipDeadline(state: VipState): MonotonicMs {
  return state.phase === 'holding' ? earliest(state.nextAt, state.lifetimeAt) : state.nextAt;
}

/** The state at the beginning of a phase. */
export function enter(state: VipState, phase: VipPhase, now: MonotonicMs, change: Partial<VipState> = {}): VipState {
  return { ...state, phase, since: now, nextAt: now, lifetimeAt: NEVER, ...change };
}
