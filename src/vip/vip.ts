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

import { after, NEVER, type MonotonicMs } from '../base/time.ts';
import { hear, lapse } from './news.ts';
import { asked, claimProbeMs, isSilentSuspect, suspectProbeMs, UNASKED } from './silence.ts';
import {
  enter,
  isIdle,
  RETRY_MS,
  RIVAL_PATIENCE_MS,
  type VipEvent,
  type VipOutput,
  type VipRules,
  type VipState,
  type VipStep,
  type VipWish,
} from './vip-state.ts';

/** Announcements after a claim, milliseconds after the first (RFC 5227 §2.3 asks for two, two seconds apart; more and
 * sooner, since one lost frame must not cost a client its neighbour cache's lifetime). */
export const BURST_OFFSETS_MS: readonly number[] = [0, 30, 100, 300, 700, 1500, 3000];
const RENEWAL_MAX_MS = 1000;
/** No whole second of lifetime is left until the Lease is renewed, which is soon; not in step with it. */
const LIFETIME_WAIT_MS = 50;

/** Whether the last probes, enough of them, went unanswered for long enough. */
export function isWireSilent(rules: VipRules, state: VipState, now: MonotonicMs): boolean {
  const isAsking = state.phase === 'probing' || state.phase === 'conflict';
  const answerable = state.inquiry.probesSent - (now < state.nextAt ? 1 : 0);
  if (!isAsking || answerable < rules.probeCount) return false;
  return !state.isSuspected || isSilentSuspect(state.inquiry, state.since, state.nextAt, now);
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
