/**
 * The addresses of this node against the verdict of the election: each wanted one is driven through its machine
 * (vip/vip.ts), and what carries our mark without being wanted is removed. What the kernel reports decides, not what was
 * commanded.
 */

import { assert } from '../base/assert.ts';
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { after, type MonotonicMs } from '../base/time.ts';
import { tenureBasis, type Assessment } from '../leader/tenure.ts';
import { idleSince, silentAfterMs } from '../leader/view.ts';
import type { KernelChange, Link } from '../protocol/netlink/records.ts';
import { startVip, type VipEvent, type VipOutput, type VipState, type VipWish } from '../vip/vip-state.ts';
import { stepVip } from '../vip/vip.ts';
import { announcementFrames, interpretFrame, probeFrame } from '../vip/wire.ts';
import type { Effect } from './effect.ts';
import { obstacle } from './eligibility.ts';
import type { AgentEvent } from './event.ts';
import { addressKey, isLoopback, isOurs, isOwnMac, looksLikeVip } from './kernel-view.ts';
import { wantedPrefixes } from './names.ts';
import { assess, isSuspect } from './assessment.ts';
import { viewRules } from './view-rules.ts';
import { vipLink, type AgentRules, type AgentState } from './state.ts';

/** A vip machine's output that is worth telling, with the address it is about. */
export interface AddressNote {
  readonly address: string;
  readonly output: VipOutput;
}

export interface AddressesStep {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
  readonly notes: readonly AddressNote[];
}

/** The kernel removes an expired address up to this much late (measured: 0.55 s at HZ 250). */
export const KERNEL_LATENESS_MS = 1000;
/** What the kernel refused to delete is looked for again after this. */
const LEFTOVERS_AGAIN_MS = 1000;

export function stepAddresses(
  rules: AgentRules,
  before: AgentState,
  event: AgentEvent,
  now: MonotonicMs,
): AddressesStep {
  const wanted = wantedPrefixes(rules, before);
  const joined = withWantedVips(before, wanted, now);
  const hasParted = joined.partner !== undefined && hasLetGo(joined, now);
  const state = hasParted ? { ...joined, partner: undefined } : joined;
  if (state.kernel === undefined) return { state, effects: [], notes: [] };
  let { vips } = state;
  const effects: Effect[] = [];
  const notes: AddressNote[] = [];
  let hasDecided = state.hasDecided;
  const assessment = assess(rules, state, now);
  const use = useByAnother(state, event);
  state.vips.forEach((vip, key) => {
    const wish = wishFor(rules, state, vip, { isWanted: wanted.has(key), assessment, now });
    hasDecided ||= wish.verdict !== 'undecided';
    const stepped = drive(rules, state, vip, wish, { event, use, hasParted, now });
    for (const output of stepped.outputs) {
      effects.push(...effectsOf(rules, state, vip, output));
      notes.push({ address: key, output });
    }
    const isOver = stepped.state.phase === 'idle' && !stepped.state.isPresent && !wanted.has(key);
    if (isOver || stepped.state !== vip) vips = withVip(vips, key, isOver ? undefined : stepped.state);
  });
  const isKernelNews =
    event.kind === 'kernel.dumped' || event.kind === 'kernel.changed' || event.kind === 'kernel.changes';
  const isRefused = event.kind === 'effect.failed' && event.effect === 'address.delete';
  const isAgain = before.leftoversAt !== undefined && now >= before.leftoversAt;
  const isDue = isKernelNews || isAgain || hasDecided !== before.hasDecided || state !== before;
  const removals = isDue ? leftoverRemovals(rules, state, hasDecided) : [];
  const leftoversAt = isRefused ? after(now, LEFTOVERS_AGAIN_MS) : isAgain ? undefined : before.leftoversAt;
  // Consent is about the addresses of the former holder, now: not about one that a name comes to mean later.
  const isSame =
    vips === state.vips && hasDecided === state.hasDecided && !state.hasConsent && leftoversAt === state.leftoversAt;
  const stepped = isSame ? state : { ...state, vips, hasDecided, hasConsent: false, leftoversAt };
  return { state: stepped, effects: removals.length === 0 ? effects : [...removals, ...effects], notes };
}

function withVip(vips: AgentState['vips'], key: string, vip: VipState | undefined): AgentState['vips'] {
  const changed = new Map(vips);
  if (vip === undefined) changed.delete(key);
  else changed.set(key, vip);
  return changed;
}

/** Whether who handed over to us has let go: clients that it answered last are told once more. */
function hasLetGo(state: AgentState, now: MonotonicMs): boolean {
  const { partner, election, peers } = state;
  if (partner === undefined || election.phase !== 'leading' || now >= partner.until) return true;
  const idle = idleSince(peers.view, partner.name);
  return idle !== undefined && state.leadingSince !== undefined && idle >= state.leadingSince;
}

function withWantedVips(state: AgentState, wanted: ReturnType<typeof wantedPrefixes>, now: MonotonicMs): AgentState {
  let { vips } = state;
  wanted.forEach((prefix, key) => {
    if (!vips.has(key)) vips = withVip(vips, key, startVip(prefix, now));
  });
  return vips === state.vips ? state : { ...state, vips };
}

function wishFor(
  rules: AgentRules,
  state: AgentState,
  vip: VipState,
  context: { readonly isWanted: boolean; readonly assessment: Assessment; readonly now: MonotonicMs },
): VipWish {
  const { isWanted, assessment, now } = context;
  const { election } = state;
  return {
    verdict: isWanted ? verdictFor(rules, state, vip, { assessment, now }) : 'drop',
    hasConsent: state.hasConsent,
    lifetimeLimit: lifetimeLimit(rules, election, assessment, now),
    // The successor may see its name in the Lease, and announce, before we hear that ours was taken.
    isYielding: election.handover !== undefined,
    isHolderLost: state.isFormerLost,
    isSucceeding: state.partner !== undefined,
  };
}

function verdictFor(
  rules: AgentRules,
  state: AgentState,
  vip: VipState,
  context: { readonly assessment: Assessment; readonly now: MonotonicMs },
): VipWish['verdict'] {
  const { election } = state;
  const { now } = context;
  if (election.phase === 'leading') {
    if (election.isResigning || obstacle(rules, state) !== undefined) return 'drop';
    return isUpToDate(rules, state, vip, context) ? 'hold' : 'suspect';
  }
  if (isUndecided(rules, state, vip)) return 'undecided';
  return isSuspect(rules, state, now) ? 'suspect' : 'drop';
}

/**
 * Whether this process knows what went on while it stood still for so long that a lifetime ended: a write sent since then
 * was taken, or a majority has been heard since then. Until that, an address that lapsed isn't put back.
 */
function isUpToDate(
  rules: AgentRules,
  state: AgentState,
  vip: VipState,
  context: { readonly assessment: Assessment; readonly now: MonotonicMs },
): boolean {
  const { lapsedAt } = vip;
  if (lapsedAt === undefined || state.election.renewedAt >= lapsedAt) return true;
  const freshFrom = after(lapsedAt, silentAfterMs(viewRules(rules)));
  return context.now >= freshFrom && context.assessment.hearsMajority;
}

/**
 * How far a kernel lifetime may reach: not beyond what another could see as the Lease's expiry; and while a majority, not
 * the Lease, gives tenure, no further than any lifetime does.
 */
function lifetimeLimit(
  rules: AgentRules,
  election: AgentState['election'],
  assessment: Assessment,
  now: MonotonicMs,
): MonotonicMs {
  const byLease = after(election.renewedAt, rules.election.leaseDurationMs - KERNEL_LATENESS_MS);
  const basis = tenureBasis(rules.election, election, assessment, now);
  return basis === 'majority' ? after(now, rules.vip.lifetimeSeconds * 1000) : byLease;
}

/**
 * At start an address of ours may still be there with some kernel lifetime left. It stays until the Lease says whose it
 * is: removing it would be an outage if it is still ours, and its lifetime ends by itself if it is not.
 */
function isUndecided(rules: AgentRules, state: AgentState, vip: VipState): boolean {
  if (state.hasDecided || state.ifindex === undefined || state.lifecycle !== 'running') return false;
  const found = state.kernel?.addresses.get(addressKey(state.ifindex, vip.prefix.ip, vip.prefix.length));
  if (found !== undefined && !Number.isFinite(found.validSeconds)) return false;
  const observed = state.election.observed;
  return observed === undefined || observed.lease?.holder === rules.election.identity;
}

function drive(
  rules: AgentRules,
  state: AgentState,
  vip: VipState,
  wish: VipWish,
  context: {
    readonly event: AgentEvent;
    readonly use: Use | undefined;
    readonly hasParted: boolean;
    readonly now: MonotonicMs;
  },
): { readonly state: VipState; readonly outputs: readonly VipOutput[] } {
  const { event, use, now } = context;
  const found =
    state.ifindex === undefined
      ? undefined
      : state.kernel?.addresses.get(addressKey(state.ifindex, vip.prefix.ip, vip.prefix.length));
  const isPresent = found !== undefined && isOurs(rules, vip, found);
  const presence: readonly VipEvent[] = isPresent === vip.isPresent ? NONE : [{ kind: 'present', isPresent }];
  const parted: readonly VipEvent[] = context.hasParted ? [{ kind: 'reannounce' }] : NONE;
  const news = vipEvents(state, vip, event, use);
  const events = [...presence, ...parted, ...news];
  if (events.length === 0) return stepVip(rules.vip, vip, wish, TICK, now);
  let current = vip;
  const outputs: VipOutput[] = [];
  for (const one of events) {
    const stepped = stepVip(rules.vip, current, wish, one, now);
    current = stepped.state;
    outputs.push(...stepped.outputs);
  }
  return { state: current, outputs };
}

const NONE: readonly never[] = [];
const TICK: VipEvent = { kind: 'tick' };

interface Use {
  readonly ip: Ip;
  readonly mac: Mac;
}

/** What a received frame says about an address that another machine uses. */
function useByAnother(state: AgentState, event: AgentEvent): Use | undefined {
  if (event.kind !== 'frame.received') return undefined;
  if (event.ifindex !== state.ifindex || state.kernel === undefined) return undefined;
  const heard = interpretFrame(event.frame);
  if (!heard.ok || heard.value.kind !== 'uses' || isOwnMac(state.kernel, heard.value.mac.text)) return undefined;
  return heard.value;
}

function vipEvents(state: AgentState, vip: VipState, event: AgentEvent, use: Use | undefined): readonly VipEvent[] {
  switch (event.kind) {
    case 'frame.received':
      return use?.ip.text === vip.prefix.ip.text ? [{ kind: 'rival', mac: use.mac }] : NONE;
    case 'effect.failed':
      return event.effect === 'address.add' && event.address === vip.prefix.ip.text ? [{ kind: 'failed' }] : [];
    case 'clock.jumped':
      return [{ kind: 'clock-jumped' }];
    case 'kernel.changed':
      return isNewPath(event.change, state.ifindex) ? [{ kind: 'reannounce' }] : [];
    case 'kernel.changes':
      return event.changes.some((change) => isNewPath(change, state.ifindex)) ? [{ kind: 'reannounce' }] : [];
    default:
      return NONE;
  }
}

/** A change of a bond, or of a port of our bond or bridge: frames may leave by another port now. */
export function isNewPath(change: KernelChange, ifindex: number | undefined): boolean {
  if (change.kind !== 'link' || ifindex === undefined) return false;
  const { link } = change;
  return link.master === ifindex || (link.index === ifindex && (link.linkKind === 'bond' || link.linkKind === 'team'));
}

function effectsOf(rules: AgentRules, state: AgentState, vip: VipState, output: VipOutput): readonly Effect[] {
  const link = vipLink(state);
  if (output.kind === 'delete') {
    return state.ifindex === undefined ? [] : [{ kind: 'address.delete', ifindex: state.ifindex, prefix: vip.prefix }];
  }
  if (link === undefined) return [];
  switch (output.kind) {
    case 'add': {
      const scope = isLoopback(link) && !rules.loopbackGlobalScope ? 'host' : 'global';
      return [
        { kind: 'address.add', ifindex: link.index, prefix: vip.prefix, validSeconds: output.validSeconds, scope },
      ];
    }
    case 'probe':
      return frames(link, vip, 'probe');
    case 'announce':
      return frames(link, vip, 'announce');
    case 'defend':
      return frames(link, vip, 'defend');
    default:
      return [];
  }
}

function frames(link: Link, vip: VipState, purpose: 'announce' | 'probe' | 'defend'): readonly Effect[] {
  if (isLoopback(link)) return [];
  const mac = link.mac;
  assert(mac !== undefined, 'an eligible link has a MAC');
  const address = vip.prefix.ip;
  const made = purpose === 'probe' ? [probeFrame(mac, address)] : announcementFrames(mac, address);
  return made.map((frame) => ({ kind: 'frame.send', ifindex: link.index, frame, purpose, address }));
}

/** Addresses that carry our mark but are not (or no longer) one of ours on this interface. */
function leftoverRemovals(rules: AgentRules, state: AgentState, hasDecided: boolean): readonly Effect[] {
  const effects: Effect[] = [];
  for (const address of state.kernel?.addresses.values() ?? []) {
    const vip = state.vips.get(address.prefix.ip.text);
    const isInPlace =
      vip !== undefined && address.ifindex === state.ifindex && address.prefix.length === vip.prefix.length;
    if (isInPlace) continue;
    const isMarked = address.protocol === rules.addressProtocol;
    const isStray = vip !== undefined && hasDecided && looksLikeVip(address);
    if (isMarked || isStray) {
      effects.push({ kind: 'address.delete', ifindex: address.ifindex, prefix: address.prefix });
    }
  }
  return effects;
}
