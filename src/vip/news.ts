/**
 * What the machine of one address (vip.ts) makes of news: what the kernel reports of the address, who else uses it (RFC 5227
 * §2.4), and what has to be done again.
 */

import { after, NEVER, type MonotonicMs } from '../base/time.ts';
import type { Mac } from '../base/mac.ts';
import { answered, UNASKED } from './silence.ts';
import {
  DEFEND_INTERVAL_MS,
  enter,
  RETRY_MS,
  RIVAL_PATIENCE_MS,
  RIVAL_PROBE_SLOW_MS,
  type Rival,
  type VipEvent,
  type VipOutput,
  type VipRules,
  type VipState,
  type VipStep,
  type VipWish,
} from './vip-state.ts';

/** Announcements against a former holder that still answers come no closer together than this. */
const REPEAT_SPACING_MS = 10;

export function hear(rules: VipRules, state: VipState, wish: VipWish, event: VipEvent, now: MonotonicMs): VipStep {
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
export function lapse(state: VipState, now: MonotonicMs): VipStep {
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
