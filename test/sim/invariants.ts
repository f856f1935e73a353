/**
 * What must be true of a cluster at every moment, checked from outside with true time. The bounds follow from the rules:
 *
 *   one-holder      Without heartbeats: no two kernels answer for one address. Lifetimes end at the latest `leaseDuration - 1 s + 0.55 s` after
 *                   the sending of the last good renewal, and nobody else may write the Lease before `leaseDuration` after
 *                   it: so there is no overlap at all, whatever is partitioned, crashed or frozen, but for the cases that
 *                   `excuse` names with their bound (a virtual machine that was paused, a process stopped between
 *                   deciding and the system call, a deleted Lease, a kernel that refuses to delete).
 *                   With heartbeats a majority may depose a holder that it neither hears nor finds on the wire, and a
 *                   handover is make-before-break: two who reach each other answer for no longer than it takes to hear of
 *                   the other (CONNECTED_MS), or to finish a handover; where one has no process that could hear, until
 *                   its lifetime ends; two who can't reach each other, until the tenure of the deposed one ends.
 *   tenure          After each turn, a process whose own address is up sent a good write at most `renewDeadline` ago, or
 *                   hears a majority of its voters.
 *   lifetime        What is put on an address ends before the Lease can be anybody else's, however late the kernel is; by a
 *                   majority's word it is never longer than configured.
 *   lease-kept      A Lease changes hands only when it was free or not renewed for its duration, or handed over by its
 *                   holder, or when a majority of the voters had not heard its holder for the time of silence, or had
 *                   heard it say for IDLE_HOLDER_MS that it holds nothing.
 *   transitions     Never go back; each change of holder counts one.
 *   released-after  A release is sent only when the kernel no longer has the address.
 *   wire            An address is put up only where nobody answered for as long as the probes take, or after the conflict
 *                   timeout, or with consent, or where it had been a moment before.
 *   ordinary        An address that a person configured is never taken away.
 *   held            While the API works and a node is well, an address that nobody else uses is held, within
 *                   `leaseDuration` + 2.5 s; counted from the last word of a holder who can't act.
 *   swift           With heartbeats, while a majority of three or more voters is well and hears each other, such an address is
 *                   held within SWIFT_MS, whether the API works or is away for everybody; IDLE_HOLDER_MS later where the
 *                   Lease names somebody who lives and let go.
 *   isolated        Who hears no majority of three or more voters and gets no answer from the API stops within ISOLATED_MS.
 *   restored        An address that somebody deletes is back within half a second.
 *   connections     Connections are ended only of addresses that this node's kernel doesn't have.
 *   live            A loop does not spin, a node does not chatter.
 */

import type { Effect } from '../../src/agent/effect.ts';
import { HANDOVER_PATIENCE_MS } from '../../src/agent/departure.ts';
import { IDLE_HOLDER_MS } from '../../src/agent/assessment.ts';
import type { AgentEvent } from '../../src/agent/event.ts';
import type { AgentRules } from '../../src/agent/state.ts';
import type { Ip } from '../../src/base/ip.ts';
import type { MonotonicMs } from '../../src/base/time.ts';
import type { LeaseRecord } from '../../src/leader/lease-record.ts';
import { hasConsent } from '../../src/leader/lease-write.ts';
import { ISOLATION_PATIENCE_MS, OUTAGE_SKEW_MS } from '../../src/leader/tenure.ts';
import { majorityOf } from '../../src/leader/view.ts';
import { readVoters } from '../../src/leader/voters.ts';
import type { SimApi, Write } from './api.ts';
import { ADDRESS_PROTOCOL, LATENESS_MAX_MS } from './kernel.ts';
import type { LanHost, SimLan } from './lan.ts';
import { JUMP_MIN_MS, type SimNode } from './node.ts';
import type { Schedule } from './schedule.ts';

export class Violation extends Error {
  readonly invariant: string;
  readonly at: number;

  constructor(invariant: string, at: number, message: string) {
    super(message);
    this.name = 'Violation';
    this.invariant = invariant;
    this.at = at;
  }
}

export interface WatchmanOptions {
  readonly schedule: Schedule;
  readonly rules: AgentRules;
  readonly apiDeadlineMs: number;
  readonly vips: readonly Ip[];
  readonly nodes: readonly SimNode[];
  readonly strangers: ReadonlySet<LanHost>;
  readonly lan: SimLan;
  readonly api: SimApi;
  /** Whether every node has had the time to learn that the address is one of ours. */
  readonly isWanted: (ip: Ip) => boolean;
}

interface Overlap {
  readonly since: number;
  /** Since when the two could hear each other, frames neither lost nor late. */
  readonly connectedSince: number | undefined;
  /** The same, and both had a process that could hear. */
  readonly hearingSince: number | undefined;
}

/** Silence, what others say of it, the wire, the API's patience, and loops that are busy with something else. */
export const SWIFT_MS = 3000;
const STRANGER_GONE_MS = 5000;
/** A call that is under way, and a loop that is busy with something else, come on top. */
export const ISOLATED_MS = ISOLATION_PATIENCE_MS + 300;
/** A majority that is no longer heard counts for this long, and what a turn is late. */
const GRACE_MS = ISOLATION_PATIENCE_MS + 50;
/** A heartbeat that is sent at once, or with the next beat (or a refused write), and two loops that are busy with something else. */
export const CONNECTED_MS = 600;
/** What the others hear may be told in heartbeats that are as old as silence takes, and acted on as much later. */
const OLD_NEWS_MS = 900;
/** Clock drift of 200 ppm over the longest time that is counted, and rounding, ms. */
const DRIFT_MS = 10;
/** Claim after an expired Lease: jitter, a stale watch's refused write and read, the retry after a failure, the probes. */
export const HELD_SLACK_MS = 2500;
/** A refused delete is tried again after a second. */
const REFUSED_AGAIN_MS = 1300;
/** A notification, and a loop that is busy with something else. */
const RESTORED_MS = 500;
/** Per node: a suspected holder is asked for a hundred times a second at first, and every node hears every answer in IPv6. */
const STEPS_PER_SECOND_MAX = 1200;
export const SAMPLE_MS = 100;

export class Watchman {
  /** Longest overlap seen, ms: excused ones included. */
  worstOverlapMs = 0;
  readonly #options: WatchmanOptions;
  readonly #sentAt = new Map<number, number>();
  readonly #overlaps = new Map<string, Overlap>();
  /** When a node's process last took in a heartbeat of another, and when a silence of that other last ended. */
  readonly #heard = new Map<
    string,
    { readonly at: number; readonly silenceEndedAt: number; readonly idleSince: number | undefined }
  >();
  #handover: { readonly from: number; readonly to: number; readonly at: number } | undefined;
  readonly #unheldSince = new Map<string, number>();
  /** Since when a node has been well, the API with it. */
  readonly #wellSince = new Map<SimNode, number>();
  /** Since when a majority of well voters has been able to act on its own, and nobody has held an address. */
  #unitedSince: number | undefined;
  readonly #swiftSince = new Map<string, number>();
  /** Since when a node has heard no majority, and when the API last answered it. */
  readonly #aloneSince = new Map<number, number>();
  readonly #answeredAt = new Map<number, number>();
  /** Since when a node could hear another answer, by node and address. */
  readonly #rivalSince = new Map<string, number>();
  /** When, by the node's own clock, its kernel last had the address. */
  readonly #lastUpAt = new Map<string, MonotonicMs>();
  /** When somebody last deleted an address from a node. */
  readonly #deletedAt = new Map<string, number>();
  #leaseChangedAt = 0;
  #highestTransitions = 0;
  #excusedUntil = Number.NEGATIVE_INFINITY;
  #leaseExcusedUntil = Number.NEGATIVE_INFINITY;
  #sampledSteps = 0;
  /** The node that took the Lease over with the consent of its former holder, while it is the holder. */
  #consentedTo: number | undefined;

  constructor(options: WatchmanOptions) {
    this.#options = options;
    this.#sample();
  }

  /** Two answering kernels are bounded, not excluded, until `ms` from now. */
  excuse(ms: number): void {
    this.#excusedUntil = Math.max(this.#excusedUntil, this.#options.schedule.now + ms);
  }

  get isExcusing(): boolean {
    return this.#options.schedule.now <= this.#excusedUntil;
  }

  /** Somebody took the Lease away from under its holder: he has it until he hears of that, or his tenure ends. */
  excuseLease(): void {
    const { leaseDurationMs, renewDeadlineMs } = this.#options.rules.election;
    this.#leaseExcusedUntil = this.#options.schedule.now + leaseDurationMs + renewDeadlineMs;
    this.#highestTransitions = 0;
    this.excuse(leaseDurationMs + renewDeadlineMs);
  }

  /** Whoever could answer may have changed. */
  look(): void {
    const { vips, nodes, schedule } = this.#options;
    for (const ip of vips) {
      const holders = nodes.filter((node) => node.isAnswering(ip) && !isForeign(node, ip));
      for (const node of holders) this.#lastUpAt.set(`${node.name} ${ip.text}`, node.mono());
      const pairs = new Map<string, readonly [SimNode, SimNode]>();
      for (const [index, a] of holders.entries()) {
        for (const b of holders.slice(index + 1)) pairs.set(`${ip.text} ${a.name} ${b.name}`, [a, b]);
      }
      for (const [pair, overlap] of this.#overlaps) {
        const isTold = overlap.connectedSince !== undefined;
        if (isTold) this.worstOverlapMs = Math.max(this.worstOverlapMs, schedule.now - (overlap.connectedSince ?? 0));
        if (!pairs.has(pair) && pair.startsWith(`${ip.text} `)) this.#overlaps.delete(pair);
      }
      for (const [pair, [a, b]] of pairs) this.#overlap(pair, a, b);
    }
  }

  #overlap(pair: string, a: SimNode, b: SimNode): void {
    const { rules, schedule, lan } = this.#options;
    const { now } = schedule;
    const isTogether = this.#isClear() && lan.isConnected(a, b);
    const known = this.#overlaps.get(pair);
    const isHearing = isTogether && a.isActing && b.isActing;
    const overlap: Overlap = {
      since: known?.since ?? now,
      connectedSince: isTogether ? (known?.connectedSince ?? now) : undefined,
      hearingSince: isHearing ? (known?.hearingSince ?? now) : undefined,
    };
    this.#overlaps.set(pair, overlap);
    if (this.isExcusing || this.#isHandedOver(a, b)) return;
    if (!rules.heartbeat.isEnabled) this.#fail('one-holder', `two kernels answer: ${pair}`);
    const lifetimeMs = rules.vip.lifetimeSeconds * 1000 + LATENESS_MAX_MS;
    const apartMs = Math.max(rules.election.renewDeadlineMs + OUTAGE_SKEW_MS + 1000, lifetimeMs);
    const togetherMs = now - (overlap.connectedSince ?? now);
    const isTooLong = togetherMs > lifetimeMs || now - (overlap.hearingSince ?? now) > CONNECTED_MS;
    if (isTooLong) {
      this.#fail('one-holder', `two kernels that reach each other answer for ${Math.round(togetherMs)} ms: ${pair}`);
    }
    if (now - overlap.since > apartMs) {
      this.#fail('one-holder', `two kernels apart answer for ${Math.round(now - overlap.since)} ms: ${pair}`);
    }
  }

  /** Both answer on purpose, until the former holder hears that the other does, or its patience is over. */
  #isHandedOver(a: SimNode, b: SimNode): boolean {
    const handover = this.#handover;
    if (handover === undefined) return false;
    const isBetween = [a.id, b.id].includes(handover.from) && [a.id, b.id].includes(handover.to);
    return (
      isBetween && this.#options.schedule.now - handover.at < HANDOVER_PATIENCE_MS + this.#options.apiDeadlineMs + 700
    );
  }

  /** Whether a majority of the voters that the node knows was heard by it lately, itself counted. */
  #hearsMajority(node: SimNode, graceMs: number): boolean {
    const view = node.process?.state.peers.view;
    const voters = view?.set?.voters ?? [];
    // Who has only just been named has not had the time to be heard.
    if (view?.set !== undefined && node.mono() - view.setAt < this.#silenceMs() + graceMs) return true;
    if (!this.#options.rules.heartbeat.isEnabled || !voters.some((voter) => voter.name === node.name)) return false;
    const heard = voters.filter(
      (voter) => voter.name === node.name || this.#silentMs(node.name, voter.name) <= this.#silenceMs() + graceMs,
    );
    return heard.length >= majorityOf(voters.length);
  }

  #silentMs(listener: string, speaker: string): number {
    return this.#options.schedule.now - (this.#heard.get(`${listener}<${speaker}`)?.at ?? Number.NEGATIVE_INFINITY);
  }

  /** Silence, with what two clocks and a turn may differ. */
  #silenceMs(): number {
    const { intervalMs, multiplier } = this.#options.rules.heartbeat;
    return intervalMs * multiplier + DRIFT_MS;
  }

  /** Whether a majority of the voters named in the Lease had missed its holder when it was taken, or shortly before. */
  #wasMissed(lease: LeaseRecord): boolean {
    if (!this.#options.rules.heartbeat.isEnabled) return false;
    const voters = readVoters(lease)?.voters ?? [];
    const missing = voters.filter((voter) => {
      if (voter.name === lease.holder) return false;
      const heard = this.#heard.get(`${voter.name}<${lease.holder}`);
      const isSilent = this.#silentMs(voter.name, lease.holder) >= this.#silenceMs() - 2 * DRIFT_MS;
      const isIdle =
        heard?.idleSince !== undefined && this.#options.schedule.now - heard.idleSince >= IDLE_HOLDER_MS - DRIFT_MS;
      return (
        isSilent ||
        isIdle ||
        (heard !== undefined &&
          this.#options.schedule.now - heard.silenceEndedAt < OLD_NEWS_MS + this.#options.apiDeadlineMs)
      );
    });
    return missing.length >= majorityOf(voters.length);
  }

  #hear(node: SimNode, event: AgentEvent): void {
    if (event.kind !== 'heartbeat.received') return;
    const key = `${node.name}<${event.heartbeat.sender}`;
    const { now } = this.#options.schedule;
    const known = this.#heard.get(key);
    const isAfterSilence = known === undefined || now - known.at >= this.#silenceMs() - 2 * DRIFT_MS;
    const { isHolding, isLeading } = event.heartbeat;
    const idleSince = isHolding || isLeading ? undefined : (known?.idleSince ?? now);
    this.#heard.set(key, { at: now, silenceEndedAt: isAfterSilence ? now : known.silenceEndedAt, idleSince });
  }

  effect(node: SimNode, effect: Effect): void {
    if (effect.kind === 'address.add') this.#add(node, effect);
    if (effect.kind === 'address.delete') {
      for (const held of node.kernel.find(effect.prefix.ip)) {
        const isMeant = held.address.ifindex === effect.ifindex && held.address.prefix.length === effect.prefix.length;
        if (isMeant && held.isOrdinary) {
          this.#fail('ordinary', `${node.name} deletes its ordinary address ${effect.prefix.ip.text}`);
        }
      }
      this.look();
    }
    if (effect.kind === 'connections.end' && effect.cause === 'left') {
      const held = effect.addresses.find((ip) => node.kernel.has(ip));
      // A late add, after a stop between deciding and doing, is reported only after the end that it undid.
      if (held !== undefined && !this.isExcusing) {
        this.#fail('connections', `${node.name} ends connections of ${held.text}, which it has`);
      }
    }
    if (effect.kind === 'lease.update' && effect.lease.holder === '') this.#release(node, hasConsent(effect.lease, ''));
  }

  wrote(write: Write): void {
    const { schedule, nodes } = this.#options;
    const { before, after, by, sentAt } = write;
    const name = nodes[by]?.name ?? '?';
    if (after.holder === name) this.#sentAt.set(by, sentAt);
    const isMove = before !== undefined && before.holder !== after.holder && after.holder !== '';
    if (isMove && before.holder !== '') {
      const ageMs = schedule.now - this.#leaseChangedAt;
      const isEarly = ageMs < before.durationMs - DRIFT_MS && schedule.now > this.#leaseExcusedUntil;
      if (isEarly && before.holder !== name && !this.#wasMissed(before)) {
        this.#fail(
          'lease-kept',
          `${name} takes the Lease of ${before.holder} ${Math.round(ageMs)} ms after its last change`,
        );
      }
    }
    if (after.holder === '' && before?.holder !== name) {
      this.#fail('lease-kept', `${name} releases the Lease of ${before?.holder}`);
    }
    if (isMove && after.transitions !== before.transitions + 1) {
      this.#fail('transitions', `${before.transitions} → ${after.transitions}`);
    }
    if (after.transitions < this.#highestTransitions) this.#fail('transitions', `back to ${after.transitions}`);
    this.#highestTransitions = after.transitions;
    this.#leaseChangedAt = schedule.now;
    if (isMove && before.holder === name) {
      this.#handover = { from: by, to: idOf(nodes, after.holder), at: schedule.now };
    }
    const isConsented = hasConsent(before, after.holder) || hasConsent(after, after.holder);
    if (isMove) this.#consentedTo = isConsented ? idOf(nodes, after.holder) : undefined;
  }

  stepped(node: SimNode, event: AgentEvent): void {
    this.#hear(node, event);
  }

  turned(node: SimNode, event: AgentEvent): void {
    this.#checkIsolation(node, event);
    const { rules, vips, schedule } = this.#options;
    const { process } = node;
    if (process === undefined || process.isFrozen || schedule.now - node.lastRefusedAt < REFUSED_AGAIN_MS) return;
    for (const ip of vips) {
      for (const held of node.kernel.find(ip)) {
        if (held.addedBy !== process.incarnation) continue;
        const ageMs = schedule.now - (this.#sentAt.get(node.id) ?? Number.NEGATIVE_INFINITY);
        if (ageMs > rules.election.renewDeadlineMs + DRIFT_MS + JUMP_MIN_MS && !this.#hearsMajority(node, GRACE_MS)) {
          this.#fail(
            'tenure',
            `${node.name} holds ${ip.text} ${Math.round(ageMs)} ms after its last good write was sent`,
          );
        }
      }
    }
  }

  /** Somebody has deleted the address from a node: if that goes on holding, it is put back. */
  expectRestored(node: SimNode, ip: Ip): void {
    const { schedule } = this.#options;
    const { process } = node;
    const isHolding = (): boolean =>
      node.isWell && node.process?.state.vips.get(ip.text)?.phase === 'holding' && node.process === process;
    if (!isHolding()) return;
    const deletedAt = schedule.now;
    this.#deletedAt.set(`${node.name} ${ip.text}`, deletedAt);
    schedule.in(RESTORED_MS, () => {
      const isLast = this.#deletedAt.get(`${node.name} ${ip.text}`) === deletedAt;
      if (isLast && isHolding() && !node.kernel.has(ip)) {
        this.#fail('restored', `${node.name} has not put ${ip.text} back`);
      }
    });
  }

  #checkIsolation(node: SimNode, event: AgentEvent): void {
    const { schedule, vips } = this.#options;
    const { now } = schedule;
    const { process } = node;
    const isAnswer = event.kind === 'lease.written' || (event.kind === 'lease.observed' && event.source === 'read');
    if (isAnswer) this.#answeredAt.set(node.id, now);
    const voters = process?.state.peers.view.set?.voters ?? [];
    const isAlone =
      voters.length >= 3 && voters.some((voter) => voter.name === node.name) && !this.#hearsMajority(node, 0);
    if (!isAlone) this.#aloneSince.delete(node.id);
    else if (!this.#aloneSince.has(node.id)) this.#aloneSince.set(node.id, now);
    const since = Math.max(this.#aloneSince.get(node.id) ?? now, this.#answeredAt.get(node.id) ?? 0);
    if (
      process === undefined ||
      process.isFrozen ||
      now - since <= ISOLATED_MS ||
      now - node.lastRefusedAt < REFUSED_AGAIN_MS
    ) {
      return;
    }
    // An answer that came before the majority was lost says nothing; one after it allows to go on by the Lease.
    const askedMs = this.#silenceMs() + 15 * DRIFT_MS;
    if ((this.#answeredAt.get(node.id) ?? 0) + askedMs >= (this.#aloneSince.get(node.id) ?? now)) return;
    for (const ip of vips) {
      if (node.kernel.find(ip).some((held) => held.addedBy === process.incarnation)) {
        this.#fail(
          'isolated',
          `${node.name} holds ${ip.text} ${Math.round(now - since)} ms after it lost the majority and the API`,
        );
      }
    }
  }

  /** At the end of a run that ended calm: `node` names who holds. */
  checkEnd(isServed: boolean): void {
    const { nodes, vips } = this.#options;
    if (!nodes.some((node) => node.isWell)) return;
    for (const ip of vips) {
      const holders = nodes.filter((node) => node.kernel.has(ip));
      if (holders.length === 0 && !this.#options.isWanted(ip)) continue;
      if (holders.length !== 1) {
        this.#fail(
          'held',
          `after the calm ${ip.text} is on ${holders.map((node) => node.name).join(', ') || 'no node'}`,
        );
      }
    }
    if (!isServed) this.#fail('held', 'after the calm the client is not served');
  }

  #add(node: SimNode, effect: Extract<Effect, { kind: 'address.add' }>): void {
    const { rules, schedule, vips } = this.#options;
    const { ip } = effect.prefix;
    if (!vips.some((vip) => vip.text === ip.text)) return;
    if (!Number.isFinite(effect.validSeconds)) this.#fail('lifetime', `${node.name} puts ${ip.text} up for ever`);
    const end = schedule.now + effect.validSeconds * 1000 + LATENESS_MAX_MS;
    const limit = (this.#sentAt.get(node.id) ?? Number.NEGATIVE_INFINITY) + rules.election.leaseDurationMs + DRIFT_MS;
    // A process that was stopped between deciding and doing is late by as much: excused, and bounded by its next turn.
    const isByMajority = this.#hearsMajority(node, GRACE_MS) && effect.validSeconds <= rules.vip.lifetimeSeconds;
    if (end > limit && !isByMajority && schedule.now > this.#excusedUntil) {
      this.#fail('lifetime', `${node.name} puts ${ip.text} up to ${Math.round(end - limit)} ms beyond its Lease`);
    }
    const found = node.kernel.find(ip);
    if (found.some((held) => held.isOrdinary)) {
      this.#fail('ordinary', `${node.name} replaces its ordinary address ${ip.text}`);
    }
    if (found.length === 0) this.#claim(node, ip);
  }

  #claim(node: SimNode, ip: Ip): void {
    const { rules, schedule } = this.#options;
    const { process } = node;
    if (process === undefined) return;
    const isConsented = this.#consentedTo === node.id;
    // Stopped between deciding and doing, or found by a machine that resumed: the next turn sees what is.
    if (this.isExcusing) return;
    if (isConsented || this.#wasUp(node, ip) || this.#hasTimedOut(node, ip)) return;
    const rivalMs = schedule.now - (this.#rivalSince.get(`${node.name} ${ip.text}`) ?? schedule.now);
    if (rivalMs > rules.vip.probeCount * rules.vip.probeIntervalMs + SAMPLE_MS && this.#rivals(node, ip).length > 0) {
      this.#fail(
        'wire',
        `${node.name} claims ${ip.text}, which it could hear others answer for ${Math.round(rivalMs)} ms`,
      );
    }
  }

  /** Put back after somebody deleted it or its lifetime ended, or wanted again before the kernel reported it gone. */
  #wasUp(node: SimNode, ip: Ip): boolean {
    const lastUpAt = this.#lastUpAt.get(`${node.name} ${ip.text}`);
    const leadingSince = node.process?.state.leadingSince;
    if (lastUpAt === undefined || leadingSince === undefined) return false;
    return leadingSince <= lastUpAt || node.mono() - lastUpAt < 500;
  }

  #hasTimedOut(node: SimNode, ip: Ip): boolean {
    const { conflictPolicy, conflictTimeoutMs } = this.#options.rules.vip;
    const rival = node.process?.state.vips.get(ip.text)?.rival;
    return conflictPolicy === 'defend' && rival !== undefined && node.mono() - rival.firstHeardAt >= conflictTimeoutMs;
  }

  #release(node: SimNode, isConsent: boolean): void {
    for (const ip of this.#options.vips) {
      const isUp = node.kernel.find(ip).some((held) => held.address.protocol === ADDRESS_PROTOCOL);
      if (!isUp) continue;
      // Without consent it is allowed when a process has waited for a kernel that refuses in vain.
      const isRefused = this.#options.schedule.now - node.lastRefusedAt < REFUSED_AGAIN_MS;
      if (isConsent || !isRefused) {
        this.#fail('released-after', `${node.name} releases the Lease while its kernel has ${ip.text}`);
      }
    }
  }

  #rivals(node: SimNode, ip: Ip): readonly LanHost[] {
    const { lan } = this.#options;
    return lan.hosts.filter((host) => host !== node && host.isAnswering(ip) && lan.isConnected(host, node));
  }

  #isClear(): boolean {
    return this.#options.lan.lossProbability === 0 && this.#options.lan.delayMaxMs < 20;
  }

  #sample(): void {
    const { schedule, vips, nodes, api, rules } = this.#options;
    this.look();
    for (const node of nodes) {
      const isWell = node.isWell && api.isHealthyFor(node.id);
      if (!isWell) this.#wellSince.delete(node);
      else if (!this.#wellSince.has(node)) this.#wellSince.set(node, schedule.now);
    }
    this.#unitedSince = this.#isUnited() ? (this.#unitedSince ?? schedule.now) : undefined;
    const wellSince = Math.min(schedule.now, ...this.#wellSince.values());
    // A holder who can act and can't serve is expected to release.
    const holder = this.#holder();
    const isHolderActing = holder === undefined || (holder.isActing && api.isHealthyFor(holder.id));
    for (const ip of vips) {
      for (const node of nodes) {
        const key = `${node.name} ${ip.text}`;
        const isHeard = this.#isClear() && this.#rivals(node, ip).length > 0;
        if (!isHeard) this.#rivalSince.delete(key);
        else if (!this.#rivalSince.has(key)) this.#rivalSince.set(key, schedule.now);
      }
      const isFree =
        this.#options.strangers.size === 0 && nodes.every((node) => node.refuses.size === 0 && !isForeign(node, ip));
      const isDue = isFree && this.#options.isWanted(ip) && this.#wellSince.size > 0;
      const isHeld = nodes.some((node) => node.isAnswering(ip));
      this.#checkSwift(ip, isFree && this.#options.isWanted(ip), isHeld);
      if (!isDue || isHeld) this.#unheldSince.set(ip.text, schedule.now);
      else if (!isHolderActing) {
        this.#unheldSince.set(ip.text, Math.max(this.#unheldSince.get(ip.text) ?? 0, this.#leaseChangedAt));
      }
      const unheldMs = schedule.now - Math.max(wellSince, this.#unheldSince.get(ip.text) ?? schedule.now);
      if (unheldMs > Math.max(rules.election.leaseDurationMs, api.lease?.durationMs ?? 0) + HELD_SLACK_MS) {
        this.#fail('held', `nobody has held ${ip.text} for ${Math.round(unheldMs)} ms, though somebody could`);
      }
    }
    if (Math.round(schedule.now) % 1000 < SAMPLE_MS) this.#countSteps();
    schedule.in(SAMPLE_MS, () => this.#sample());
  }

  #checkSwift(ip: Ip, isDue: boolean, isHeld: boolean): void {
    const { schedule, strangers } = this.#options;
    const { now } = schedule;
    // A stranger who has gone is asked for once a second, until three times nobody answers.
    if (strangers.size > 0) this.#swiftSince.set(ip.text, now + STRANGER_GONE_MS);
    if (!isDue || isHeld || this.#unitedSince === undefined) {
      this.#swiftSince.set(ip.text, Math.max(now, this.#swiftSince.get(ip.text) ?? 0));
    }
    const unheldMs = now - Math.max(this.#swiftSince.get(ip.text) ?? now, this.#unitedSince ?? now);
    if (unheldMs > SWIFT_MS + (this.#isHolderActing() ? IDLE_HOLDER_MS : 0)) {
      this.#fail('swift', `a united majority leaves ${ip.text} unheld for ${Math.round(unheldMs)} ms`);
    }
  }

  /** A majority of the voters is well, knows the same voters, can hear each other, and sees the API alike. */
  #holder(): SimNode | undefined {
    return this.#options.nodes.find((node) => node.name === this.#options.api.lease?.holder);
  }

  #isHolderActing(): boolean {
    return this.#holder()?.isActing === true;
  }

  #isUnited(): boolean {
    const { nodes, lan, api, rules } = this.#options;
    if (!rules.heartbeat.isEnabled || !this.#isClear()) return false;
    const set = nodes.find((node) => node.isWell)?.process?.state.peers.view.set;
    if (set === undefined || set.voters.length < 3) return false;
    // Whoever speaks no heartbeats can't be missed: its Lease is honoured until it expires.
    const holder = this.#holder();
    if (holder !== undefined && !set.voters.some((voter) => voter.name === holder.name)) return false;
    const united = nodes.filter(
      (node) =>
        node.isWell &&
        set.voters.some((voter) => voter.name === node.name) &&
        node.process?.state.peers.view.set?.epoch === set.epoch &&
        (api.isHealthyFor(node.id) || api.isAwayForAll()),
    );
    if (united.length < majorityOf(set.voters.length)) return false;
    return united.every((a) => united.every((b) => a === b || lan.isConnected(a, b)));
  }

  #countSteps(): void {
    const { nodes } = this.#options;
    const steps = nodes.reduce((sum, node) => sum + node.steps, 0);
    if (steps - this.#sampledSteps > STEPS_PER_SECOND_MAX * nodes.length) {
      this.#fail('live', `${steps - this.#sampledSteps} steps in a second`);
    }
    this.#sampledSteps = steps;
  }

  #fail(invariant: string, message: string): never {
    throw new Violation(invariant, this.#options.schedule.now, message);
  }
}

/** What kube-vip left behind is a stranger's until Holdfast removes it. */
function isForeign(node: SimNode, ip: Ip): boolean {
  const found = node.kernel.find(ip);
  return found.length > 0 && found.every((held) => held.address.protocol !== ADDRESS_PROTOCOL);
}

function idOf(nodes: readonly SimNode[], name: string): number {
  return nodes.findIndex((node) => node.name === name);
}
