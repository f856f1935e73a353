/**
 * One virtual IP on one interface: from wanted to answered for, and back. ARP and neighbor discovery share this path; the
 * family only decides how a probe or an announcement looks (wire.ts).
 *
 *              wanted           wire silent            kernel reports it
 *     ┌──────┐ ─────▶ ┌─────────┐ ─────▶ ┌──────────┐ ─────▶ ┌─────────┐
 *     │ idle │        │ probing │        │ claiming │        │ holding │ announce, renew lifetime, defend
 *     └──────┘        └─────────┘        └──────────┘ ◀───── └─────────┘
 *        ▲   answered │  ▲ silent             ▲   somebody deleted it
 *        │            ▼  │                    │
 *        │        ┌──────────┐  conflict timeout and policy 'defend'
 *        │        │ conflict │ ───────────────┘
 *        │        └──────────┘
 *        │  kernel reports it gone        not wanted, from any state with the address on the interface
 *        └─────────────────────── ┌─────────────┐
 *                                 │ withdrawing │
 *                                 └─────────────┘
 *
 * Standards: RFC 5227 (probe, announce, defend), RFC 4861 §7.2.6 (unsolicited advertisements), RFC 4862 §5.4 (duplicate
 * address detection). What is deliberately absent: any knowledge of why the address is wanted, and any clock.
 */

import type { Ip, Prefix } from '../base/ip.ts';
import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import type { Mac } from '../base/mac.ts';
import { answered, asked, claimProbeMs, isSilentSuspect, suspectProbeMs, UNASKED, type Inquiry } from './silence.ts';

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

/** Announcements after a claim, milliseconds after the first (RFC 5227 §2.3 asks for two, two seconds apart; more and
 * sooner, since one lost frame must not cost a client its neighbour cache's lifetime). */
export const BURST_OFFSETS_MS: readonly number[] = [0, 30, 100, 300, 700, 1500, 3000];
/** DEFEND_INTERVAL of RFC 5227 §1.1, seconds → ms. */
export const DEFEND_INTERVAL_MS = 10_000;
/** While a former holder's kernel lifetime may still run, look often; afterwards a stranger is looked at slowly. */
const RIVAL_PATIENCE_MS = 5000;
const RIVAL_PROBE_SLOW_MS = 1000;
/** Announcements against a former holder that still answers come no closer together than this. */
const REPEAT_SPACING_MS = 10;
const RETRY_MS = 1000;
const RENEWAL_MAX_MS = 1000;
/** No whole second of lifetime is left until the Lease is renewed, which is soon; not in step with it. */
const LIFETIME_WAIT_MS = 50;

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

export function vipAddress(state: VipState): Ip {
  return state.prefix.ip;
}

/** Whether the last probes, enough of them, went unanswered for long enough. */
export function isWireSilent(rules: VipRules, state: VipState, now: MonotonicMs): boolean {
  const isAsking = state.phase === 'probing' || state.phase === 'conflict';
  const answerable = state.inquiry.probesSent - (now < state.nextAt ? 1 : 0);
  if (!isAsking || answerable < rules.probeCount) return false;
  return !state.isSuspected || isSilentSuspect(state.inquiry, state.since, state.nextAt, now);
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

/** Seconds of kernel lifetime that may be put on an address now; 0 when not even one whole second is left. */
export function lifetimeSeconds(rules: VipRules, wish: VipWish, now: MonotonicMs): number {
  return Math.max(0, Math.min(rules.lifetimeSeconds, Math.floor((wish.lifetimeLimit - now) / 1000)));
}

/** The address as a function of what is wished and what happens. */
export function stepVip(rules: VipRules, state: VipState, wish: VipWish, event: VipEvent, now: MonotonicMs): VipStep {
  const heard = hear(rules, state, wish, event, now);
  const turned = turn(rules, heard.state, wish, now);
  const done = proceed(rules, turned.state, wish, now);
  if (heard.outputs.length === 0 && turned.outputs.length === 0) return done;
  return { state: done.state, outputs: [...heard.outputs, ...turned.outputs, ...done.outputs] };
}

function enter(state: VipState, phase: VipPhase, now: MonotonicMs, change: Partial<VipState> = {}): VipState {
  return { ...state, phase, since: now, nextAt: now, lifetimeAt: NEVER, ...change };
}

function hear(rules: VipRules, state: VipState, wish: VipWish, event: VipEvent, now: MonotonicMs): VipStep {
  switch (event.kind) {
    case 'tick':
      return { state, outputs: [] };
    case 'present':
      return hearKernel(state, wish, event.isPresent, now);
    case 'rival':
      return wish.isYielding && state.phase === 'holding'
        ? { state, outputs: [] }
        : hearRival(rules, state, wish, event.mac, now);
    case 'failed':
      return { state: state.phase === 'claiming' ? { ...state, nextAt: after(now, RETRY_MS) } : state, outputs: [] };
    case 'clock-jumped':
      return { state: withRenewalDue(state, now), outputs: [] };
    case 'reannounce':
      return { state: withAnnouncementsDue(state, now), outputs: [] };
  }
}

/** What a jump of the clock asks for; done with the next step. */
export function withRenewalDue(state: VipState, now: MonotonicMs): VipState {
  return state.phase === 'holding' ? { ...state, lifetimeAt: now } : state;
}

/** What a new path asks for; done with the next step. */
export function withAnnouncementsDue(state: VipState, now: MonotonicMs): VipState {
  return state.phase === 'holding' ? { ...state, burstSent: 0, nextAt: now } : state;
}

function hearKernel(before: VipState, wish: VipWish, isPresent: boolean, now: MonotonicMs): VipStep {
  if (isPresent === before.isPresent) return { state: before, outputs: [] };
  const state = { ...before, isPresent };
  if (isPresent) {
    if (state.phase !== 'claiming') return { state, outputs: [] };
    return {
      state: enter(state, 'holding', now, { burstSent: 0, lifetimeAt: state.lifetimeAt }),
      outputs: [{ kind: 'up' }],
    };
  }
  if (state.phase === 'withdrawing') {
    return { state: enter(state, 'idle', now, { nextAt: NEVER }), outputs: [{ kind: 'down' }] };
  }
  if (state.phase === 'holding' && wish.verdict === 'drop') {
    // Our last renewal may have put it back after what is reported here.
    return { state: enter(state, 'idle', now, { nextAt: NEVER }), outputs: [{ kind: 'delete' }, { kind: 'down' }] };
  }
  if (state.phase === 'holding' && now >= state.validUntil) return lapse(state, now);
  if (state.phase === 'holding') return { state: enter(state, 'claiming', now), outputs: [{ kind: 'restored' }] };
  return { state, outputs: [] };
}

/**
 * The kernel's lifetime ran out under us: this process stood still for that long, and anybody may have taken the address
 * since. It is claimed like any other, by asking the wire first, and not before its owner knows what went on meanwhile.
 */
function lapse(state: VipState, now: MonotonicMs): VipStep {
  const asking = { inquiry: UNASKED, rival: undefined, isSuspected: true, lapsedAt: now };
  // The kernel is late to take it: then it goes by our hand.
  const removal: readonly VipOutput[] = state.isPresent ? [{ kind: 'delete' }] : [];
  return { state: enter(state, 'probing', now, asking), outputs: [...removal, { kind: 'lapsed' }] };
}

function hearRival(rules: VipRules, before: VipState, wish: VipWish, mac: Mac, now: MonotonicMs): VipStep {
  const known = before.rival?.mac.text === mac.text ? before.rival : undefined;
  // Two strangers who take turns are one conflict: patience is not begun anew with each.
  const firstHeardAt = (before.phase === 'conflict' ? before.rival : known)?.firstHeardAt ?? now;
  const rival: Rival = { mac, firstHeardAt, lastHeardAt: now, isReported: known?.isReported ?? false };
  const inquiry = { ...answered(before.inquiry, before.since, before.nextAt, now), probesSent: 0 };
  const state = { ...before, rival, inquiry };
  if (state.phase === 'probing' && wish.verdict === 'suspect') return { state, outputs: [] };
  if (state.phase === 'probing') {
    return { state: enter(state, 'conflict', now, { inquiry }), outputs: [{ kind: 'waiting', mac }] };
  }
  if (state.phase === 'conflict') {
    // Who has been answered for long is asked slowly, but a question that stays open is repeated soon.
    const { rivalProbeMs = RIVAL_PROBE_SLOW_MS } = rules;
    const isOld = rules.rivalProbeMs !== undefined || now > after(firstHeardAt, RIVAL_PATIENCE_MS);
    const isSlow = isOld && before.inquiry.probesSent > 0;
    return { state: isSlow ? { ...state, nextAt: after(now, rivalProbeMs) } : state, outputs: [] };
  }
  // What we are about to let go of is the other's: defended, it would call clients back to us.
  if (state.phase !== 'holding' || wish.verdict === 'drop') return { state, outputs: [] };
  if (wish.isOutranked === true) return giveUp(state, mac, now);
  return wish.isSucceeding ? repeat({ ...state, rival: before.rival }, now) : defend(rules, state, rival, now);
}

/** The former holder was heard to answer once more: its word must not be the last. */
function repeat(state: VipState, now: MonotonicMs): VipStep {
  const isRecent = state.lastAnnouncedAt !== undefined && now < after(state.lastAnnouncedAt, REPEAT_SPACING_MS);
  return isRecent
    ? { state, outputs: [] }
    : { state: { ...state, lastAnnouncedAt: now }, outputs: [{ kind: 'announce' }] };
}

/** RFC 5227 §2.4 (c): defend at most once per DEFEND_INTERVAL; with policy 'yield', (b): give up at the second conflict. */
function defend(rules: VipRules, state: VipState, rival: Rival, now: MonotonicMs): VipStep {
  const isRecent = state.lastDefendedAt !== undefined && now < after(state.lastDefendedAt, DEFEND_INTERVAL_MS);
  const report: readonly VipOutput[] = rival.isReported ? [] : [{ kind: 'conflict', mac: rival.mac, while: 'holding' }];
  const reported = { ...state, rival: { ...rival, isReported: true } };
  if (!isRecent) {
    return { state: { ...reported, lastDefendedAt: now }, outputs: [{ kind: 'defend' }, ...report] };
  }
  if (rules.conflictPolicy === 'defend') return { state: reported, outputs: report };
  const given = giveUp(reported, rival.mac, now);
  return { state: given.state, outputs: [...report, ...given.outputs] };
}

/** The address is the other's, for as long as that one answers for it. */
function giveUp(state: VipState, mac: Mac, now: MonotonicMs): VipStep {
  const asking = { inquiry: UNASKED, nextAt: after(now, RIVAL_PROBE_SLOW_MS) };
  return { state: enter(state, 'conflict', now, asking), outputs: [{ kind: 'delete' }, { kind: 'yielded', mac }] };
}

/** Follows the wish: starts a claim, or withdraws whatever stage it is in. */
function turn(rules: VipRules, state: VipState, wish: VipWish, now: MonotonicMs): VipStep {
  if (wish.verdict === 'undecided') return { state, outputs: [] };
  if (wish.verdict === 'drop') return withdraw(state, now);
  if (wish.verdict === 'suspect') return suspect(state, now);
  if (state.phase !== 'idle' && state.phase !== 'withdrawing') return { state: hurry(state, wish), outputs: [] };
  const isSure = wish.hasConsent || state.isPresent || rules.probeCount === 0;
  const fresh = { ...UNKNOWN, burstSent: 0, lastDefendedAt: undefined, isSuspected: false, lapsedAt: undefined };
  return { state: enter(state, isSure ? 'claiming' : 'probing', now, fresh), outputs: [] };
}

/** Asked more often from now on, answers come at shorter times: what was learnt of them before counts no more. */
function hurry(state: VipState, wish: VipWish): VipState {
  const isAsking = state.isSuspected && (state.phase === 'probing' || state.phase === 'conflict');
  if (!isAsking || state.isHurried || !wish.isHolderLost) return state;
  return { ...state, isHurried: true, inquiry: { ...state.inquiry, longestGapMs: 0 } };
}

/** How each round of questions begins. */
const UNKNOWN = { inquiry: UNASKED, rival: undefined, isHurried: false } as const;

function suspect(state: VipState, now: MonotonicMs): VipStep {
  if (state.phase === 'probing' && !state.isPresent) return { state, outputs: [] };
  if (!isIdle(state)) return withdraw(state, now);
  return { state: enter(state, 'probing', now, { ...UNKNOWN, isSuspected: true }), outputs: [] };
}

function withdraw(state: VipState, now: MonotonicMs): VipStep {
  switch (state.phase) {
    case 'idle':
      return state.isPresent
        ? { state: enter(state, 'withdrawing', now, { nextAt: after(now, RETRY_MS) }), outputs: [{ kind: 'delete' }] }
        : { state, outputs: [] };
    case 'probing':
    case 'conflict':
    case 'claiming':
    case 'holding': {
      // A claim whose netlink report is still on its way counts as present.
      const isMaybePresent = state.isPresent || state.phase === 'claiming';
      if (!isMaybePresent) return { state: enter(state, 'idle', now, { nextAt: NEVER }), outputs: [] };
      return {
        state: enter(state, 'withdrawing', now, { nextAt: after(now, RETRY_MS) }),
        outputs: [{ kind: 'delete' }],
      };
    }
    case 'withdrawing':
      if (now < state.nextAt) return { state, outputs: [] };
      return state.isPresent
        ? { state: { ...state, nextAt: after(now, RETRY_MS) }, outputs: [{ kind: 'delete' }] }
        : { state: enter(state, 'idle', now, { nextAt: NEVER }), outputs: [{ kind: 'down' }] };
  }
}

/** Does what is due in the phase. */
function proceed(rules: VipRules, state: VipState, wish: VipWish, now: MonotonicMs): VipStep {
  switch (state.phase) {
    case 'idle':
    case 'withdrawing':
      return { state, outputs: [] };
    case 'probing':
      if (wish.verdict === 'suspect') return askOnSuspicion(state, now);
      return now < state.nextAt && !isWireSilent(rules, state, now)
        ? { state, outputs: [] }
        : probe(rules, state, wish, now);
    case 'conflict':
      return now < state.nextAt ? { state, outputs: [] } : probe(rules, state, wish, now);
    case 'claiming':
      return now < state.nextAt ? { state, outputs: [] } : claim(rules, state, wish, now);
    case 'holding':
      return hold(rules, state, wish, now);
  }
}

function askOnSuspicion(state: VipState, now: MonotonicMs): VipStep {
  if (now < state.nextAt) return { state, outputs: [] };
  return {
    state: {
      ...state,
      inquiry: asked(state.inquiry, state.nextAt, now),
      nextAt: after(now, suspectProbeMs(now - state.since)),
    },
    outputs: [{ kind: 'probe' }],
  };
}

function probe(rules: VipRules, state: VipState, wish: VipWish, now: MonotonicMs): VipStep {
  const isSilent = state.isSuspected ? isWireSilent(rules, state, now) : state.inquiry.probesSent >= rules.probeCount;
  if (isSilent) {
    const claiming = enter(state, 'claiming', now, { rival: undefined, lapsedAt: undefined });
    const claimed = claim(rules, claiming, wish, now);
    return { state: claimed.state, outputs: [{ kind: 'silent', afterMs: now - state.since }, ...claimed.outputs] };
  }
  const waitedMs = state.rival === undefined ? 0 : now - state.rival.firstHeardAt;
  const isReportDue = state.rival !== undefined && !state.rival.isReported && waitedMs > RIVAL_PATIENCE_MS;
  const report: readonly VipOutput[] =
    isReportDue && state.rival !== undefined ? [{ kind: 'conflict', mac: state.rival.mac, while: 'claiming' }] : [];
  const reported: VipState =
    isReportDue && state.rival !== undefined ? { ...state, rival: { ...state.rival, isReported: true } } : state;
  const isInsisting = rules.conflictPolicy === 'defend' && wish.isOutranked !== true;
  if (state.phase === 'conflict' && isInsisting && waitedMs > rules.conflictTimeoutMs) {
    const claimed = claim(rules, enter(reported, 'claiming', now), wish, now);
    return { state: claimed.state, outputs: [...report, ...claimed.outputs] };
  }
  const intervalMs = state.isSuspected ? claimProbeMs(wish.isHolderLost) : rules.probeIntervalMs;
  return {
    state: { ...reported, inquiry: asked(state.inquiry, state.nextAt, now), nextAt: after(now, intervalMs) },
    outputs: [...report, { kind: 'probe' }],
  };
}

function claim(rules: VipRules, state: VipState, wish: VipWish, now: MonotonicMs): VipStep {
  const validSeconds = lifetimeSeconds(rules, wish, now);
  if (validSeconds === 0) return { state: { ...state, nextAt: after(now, LIFETIME_WAIT_MS) }, outputs: [] };
  const added: VipState = {
    ...state,
    nextAt: after(now, RETRY_MS),
    lifetimeAt: after(now, renewalMs(rules, validSeconds)),
    validUntil: after(now, validSeconds * 1000),
  };
  const add: VipOutput = { kind: 'add', validSeconds };
  if (!state.isPresent) return { state: added, outputs: [add] };
  // Adopted: the kernel has it already and reports no change of presence.
  const held = hold(rules, enter(added, 'holding', now, { lifetimeAt: added.lifetimeAt }), wish, now);
  return { state: held.state, outputs: [add, { kind: 'up' }, ...held.outputs] };
}

function hold(rules: VipRules, before: VipState, wish: VipWish, now: MonotonicMs): VipStep {
  if (now >= before.validUntil) {
    const lapsed = lapse(before, now);
    const probed = probe(rules, lapsed.state, wish, now);
    return { state: probed.state, outputs: [...lapsed.outputs, ...probed.outputs] };
  }
  const outputs: VipOutput[] = [];
  let state = before;
  if (now >= state.lifetimeAt) {
    const validSeconds = lifetimeSeconds(rules, wish, now);
    if (validSeconds > 0) outputs.push({ kind: 'add', validSeconds });
    const validUntil = validSeconds > 0 ? after(now, validSeconds * 1000) : state.validUntil;
    state = { ...state, lifetimeAt: after(now, renewalMs(rules, validSeconds)), validUntil };
  }
  if (now < state.nextAt) return { state, outputs };
  if (wish.isYielding) return { state: { ...state, nextAt: after(now, RETRY_MS) }, outputs };
  const isFirst = state.burstSent === 0;
  const burstSent = state.burstSent + 1;
  const { burstOffsetsMs = BURST_OFFSETS_MS } = rules;
  const offset = burstOffsetsMs[burstSent - 1] ?? 0;
  const following = burstOffsetsMs[burstSent];
  const nextAt = after(now, following === undefined ? rules.refreshIntervalMs : following - offset);
  outputs.push({ kind: 'announce' });
  if (isFirst) outputs.push({ kind: 'announced' });
  return {
    state: { ...state, burstSent, announcements: state.announcements + 1, lastAnnouncedAt: now, nextAt },
    outputs,
  };
}

/** Three renewals fit into the lifetime that was put on: a stalled loop has two more. */
function renewalMs({ renewalMaxMs = RENEWAL_MAX_MS }: VipRules, validSeconds: number): number {
  return Math.min(renewalMaxMs, (Math.max(1, validSeconds) * 1000) / 3);
}
