/**
 * What must be true of Service addresses at every moment, checked from outside with true time.
 *
 *   service-one       Two kernels that reach each other, each with a process that could hear, answer for one address no
 *                     longer than a departure takes (YIELD_MS) and what it takes to hear of each other. Kernels apart, or
 *                     one without a process, until standing or the lifetime ends.
 *   service-standing  Who hears no majority of three or more voters (or, svc_election=false, doesn't lead) has none up
 *                     that it put up itself, but for the time of patience.
 *   service-wire      Where another node could be heard to answer for as long as the probes take, an address is put up only
 *                     when that node goes, says so, or it had been up here a moment before.
 *   service-answered  While all nodes that live are well, agree and know the record, an address that one of them may have
 *                     is answered for within ANSWERED_MS, the API being there or away for everybody.
 *   service-settled   After the calm, once every node knows the record, each address is on one node, the first in order.
 */

import type { Effect } from '../../src/agent/effect.ts';
import type { AgentEvent } from '../../src/agent/event.ts';
import type { AgentRules } from '../../src/agent/state.ts';
import { YIELD_MS } from '../../src/agent/services/decide.ts';
import { ISOLATION_PATIENCE_MS } from '../../src/leader/tenure.ts';
import { majorityOf } from '../../src/leader/view.ts';
import type { Ip } from '../../src/base/ip.ts';
import { CONNECTED_MS, SAMPLE_MS, SWIFT_MS, Violation } from './invariants.ts';
import type { SimApi } from './api.ts';
import { LATENESS_MAX_MS } from './kernel.ts';
import type { LanHost, SimLan } from './lan.ts';
import type { SimNode } from './node.ts';
import type { Schedule } from './schedule.ts';
import type { SimServices } from './services.ts';

export interface ServicesWatchmanOptions {
  readonly schedule: Schedule;
  readonly rules: AgentRules;
  readonly nodes: readonly SimNode[];
  readonly strangers: ReadonlySet<LanHost>;
  readonly lan: SimLan;
  readonly api: SimApi;
  readonly services: SimServices;
  /** Two answering kernels are bounded, not excluded, now. */
  readonly isExcusing: () => boolean;
}

/** Where the leader answers for all, there has to be one first. */
const LEADER_MS = 4000;
export const ANSWERED_MS = SWIFT_MS;
/** Silence, a loop that is busy with something else, and the kernel's word. */
const STANDING_MS = ISOLATION_PATIENCE_MS + 800;
const REFUSED_AGAIN_MS = 1300;
const RIVAL_MS = 250;
const LEADING_MS = 300;

interface Overlap {
  readonly since: number;
  readonly hearingSince: number | undefined;
}

export class ServicesWatchman {
  readonly #options: ServicesWatchmanOptions;
  readonly #overlaps = new Map<string, Overlap>();
  /** When a node took in another's heartbeat. */
  readonly #heardAt = new Map<string, number>();
  readonly #aloneSince = new Map<string, number>();
  readonly #notLeadingSince = new Map<string, number>();
  readonly #rivalSince = new Map<string, number>();
  readonly #lastUpAt = new Map<string, number>();
  readonly #unansweredSince = new Map<string, number>();
  #wellText = '';
  #wellSince = 0;

  constructor(options: ServicesWatchmanOptions) {
    this.#options = options;
    this.#sample();
  }

  stepped(node: SimNode, event: AgentEvent): void {
    if (event.kind !== 'heartbeat.received') return;
    this.#heardAt.set(`${node.name}<${event.heartbeat.sender}`, this.#options.schedule.now);
  }

  turned(node: SimNode): void {
    const { services, schedule } = this.#options;
    const { process } = node;
    const { now } = schedule;
    this.#noteAlone(node);
    const isLeading = process?.state.election.phase === 'leading';
    if (isLeading || services.isSpread) this.#notLeadingSince.delete(node.name);
    else if (!this.#notLeadingSince.has(node.name)) this.#notLeadingSince.set(node.name, now);
    if (process === undefined || process.isFrozen || node.isPaused || process.isDeafToKernel) return;
    if (now - node.lastRefusedAt < REFUSED_AGAIN_MS || now - process.startedAt < STANDING_MS) return;
    const aloneMs = now - (this.#aloneSince.get(node.name) ?? now);
    const ledMs = now - (this.#notLeadingSince.get(node.name) ?? now);
    if (aloneMs <= STANDING_MS && ledMs <= LEADING_MS) return;
    for (const ip of services.addresses) {
      if (node.kernel.find(ip).some((held) => held.addedBy === process.incarnation)) {
        this.#fail('service-standing', `${node.name} answers for ${ip.text}, alone for ${Math.round(aloneMs)} ms`);
      }
    }
  }

  /** Since when it has heard no majority of its three voters or more, by the heartbeats that reached it. */
  #noteAlone(node: SimNode): void {
    const { schedule, rules, services } = this.#options;
    const view = node.process?.state.peers.view;
    const voters = view?.set?.voters ?? [];
    const hasMajorities = voters.length >= 3 && rules.heartbeat.isEnabled;
    const isYoung = view?.set !== undefined && node.mono() - view.setAt < STANDING_MS;
    const silenceMs = rules.heartbeat.intervalMs * rules.heartbeat.multiplier + 20;
    const heard = voters.filter(({ name }) => {
      const at = this.#heardAt.get(`${node.name}<${name}`) ?? Number.NEGATIVE_INFINITY;
      return name === node.name || schedule.now - at <= silenceMs;
    });
    const isAlone = services.isSpread && hasMajorities && !isYoung && heard.length < majorityOf(voters.length);
    if (!isAlone) this.#aloneSince.delete(node.name);
    else if (!this.#aloneSince.has(node.name)) this.#aloneSince.set(node.name, schedule.now);
  }

  effect(node: SimNode, effect: Effect): void {
    if (effect.kind !== 'address.add') return;
    const { services, rules, schedule } = this.#options;
    const { ip } = effect.prefix;
    if (!services.addresses.some(({ text }) => text === ip.text) || node.kernel.has(ip)) return;
    const key = `${node.name} ${ip.text}`;
    const rivalMs = schedule.now - (this.#rivalSince.get(key) ?? schedule.now);
    const wasUp = schedule.now - (this.#lastUpAt.get(key) ?? Number.NEGATIVE_INFINITY) < 700;
    const probesMs = rules.vip.probeCount * rules.vip.probeIntervalMs + RIVAL_MS;
    if (wasUp || rivalMs <= probesMs || this.#options.isExcusing()) return;
    const rivals = this.#rivals(node, ip);
    const isAgreed = rivals.some((rival) => isGoing(rival) || !services.isSpread);
    if (rivals.length === 0 || isAgreed) return;
    this.#fail(
      'service-wire',
      `${node.name} puts up ${ip.text}, answered for by another for ${Math.round(rivalMs)} ms`,
    );
  }

  #rivals(node: SimNode, ip: Ip): readonly LanHost[] {
    const { lan } = this.#options;
    return lan.hosts.filter((host) => host !== node && host.isAnswering(ip) && lan.isConnected(host, node));
  }

  #isClear(): boolean {
    return this.#options.lan.lossProbability === 0 && this.#options.lan.delayMaxMs < 20;
  }

  #sample(): void {
    const { schedule, services, nodes } = this.#options;
    const isDue = this.#isAnswerDue();
    for (const ip of services.addresses) {
      const holders = nodes.filter((node) => node.isAnswering(ip));
      for (const node of holders) this.#lastUpAt.set(`${node.name} ${ip.text}`, schedule.now);
      for (const node of nodes) {
        const key = `${node.name} ${ip.text}`;
        const isHeard = this.#isClear() && this.#rivals(node, ip).length > 0;
        if (!isHeard) this.#rivalSince.delete(key);
        else if (!this.#rivalSince.has(key)) this.#rivalSince.set(key, schedule.now);
      }
      this.#checkPairs(ip, holders);
      this.#checkAnswered(ip, isDue, holders.length > 0);
    }
    schedule.in(SAMPLE_MS, () => this.#sample());
  }

  #checkPairs(ip: Ip, holders: readonly SimNode[]): void {
    const seen = new Set<string>();
    for (const [index, a] of holders.entries()) {
      for (const b of holders.slice(index + 1)) {
        seen.add(`${ip.text} ${a.name} ${b.name}`);
        this.#checkPair(`${ip.text} ${a.name} ${b.name}`, a, b);
      }
    }
    for (const key of this.#overlaps.keys()) {
      if (key.startsWith(`${ip.text} `) && !seen.has(key)) this.#overlaps.delete(key);
    }
  }

  #checkPair(key: string, a: SimNode, b: SimNode): void {
    const { schedule, lan, rules } = this.#options;
    const { now } = schedule;
    const known = this.#overlaps.get(key);
    const isHearing = this.#isClear() && lan.isConnected(a, b) && a.isActing && b.isActing;
    const overlap = { since: known?.since ?? now, hearingSince: isHearing ? (known?.hearingSince ?? now) : undefined };
    this.#overlaps.set(key, overlap);
    if (this.#options.isExcusing()) {
      this.#overlaps.set(key, { since: now, hearingSince: undefined });
      return;
    }
    const { leaseDurationMs, retryPeriodMs } = rules.election;
    const hearingMs = now - (overlap.hearingSince ?? now);
    if (hearingMs > YIELD_MS + CONNECTED_MS + SAMPLE_MS) {
      this.#fail('service-one', `two kernels that hear each other answer for ${Math.round(hearingMs)} ms: ${key}`);
    }
    const lifetimeMs = rules.vip.lifetimeSeconds * 1000 + LATENESS_MAX_MS;
    const apartMs = Math.max(lifetimeMs, leaseDurationMs + retryPeriodMs) + 2 * ISOLATION_PATIENCE_MS + CONNECTED_MS;
    if (now - overlap.since > apartMs) {
      this.#fail('service-one', `two kernels answer for ${Math.round(now - overlap.since)} ms: ${key}`);
    }
  }

  /** Everybody who lives is well, connected, and knows the same; whoever doesn't live can't be heard either. */
  #isAnswerDue(): boolean {
    const { nodes, lan, api, services, strangers, schedule, rules } = this.#options;
    const well = nodes.filter((node) => node.isWell);
    const isSure = nodes.every(
      (node) => node.isWell || node.process === undefined || node.process.isFrozen || !node.isPowered,
    );
    const isApiAlike = well.every((node) => api.isHealthyFor(node.id)) || api.isAwayForAll();
    const isDue =
      rules.heartbeat.isEnabled &&
      isSure &&
      isApiAlike &&
      strangers.size === 0 &&
      this.#isClear() &&
      services.isUnited(well) &&
      well.every((a) => well.every((b) => a === b || lan.isConnected(a, b)));
    const text = isDue
      ? `${services.version} ${well.map(({ name, process }) => `${name} ${process?.incarnation}`).join()}`
      : '';
    if (text === '' || text !== this.#wellText) this.#wellSince = schedule.now;
    this.#wellText = text;
    return isDue;
  }

  #checkAnswered(ip: Ip, isDue: boolean, isAnswered: boolean): void {
    const { schedule, services, nodes, rules } = this.#options;
    const { now } = schedule;
    const order = services.orders.get(ip.text) ?? [];
    const isPossible = order.some((name) => nodes.some((node) => node.name === name && node.isWell));
    if (!isDue || isAnswered || !isPossible) this.#unansweredSince.set(ip.text, now);
    const sinceMs = now - Math.max(this.#wellSince, this.#unansweredSince.get(ip.text) ?? now);
    const boundMs = ANSWERED_MS + (services.isSpread ? 0 : LEADER_MS + rules.election.leaseDurationMs);
    if (sinceMs > boundMs) {
      this.#fail('service-answered', `nobody answers for ${ip.text} for ${Math.round(sinceMs)} ms; ${order.join()}`);
    }
  }

  /** After the calm. */
  checkEnd(): void {
    const { services, nodes, rules, api } = this.#options;
    if (!rules.heartbeat.isEnabled || !nodes.every((node) => services.isTold(node))) return;
    for (const ip of services.addresses) {
      const holders = nodes.filter((node) => node.kernel.has(ip)).map(({ name }) => name);
      const order = services.orders.get(ip.text) ?? [];
      const owner = services.isSpread ? order[0] : api.lease?.holder;
      if (holders.length !== 1 || holders[0] !== owner) {
        const on = holders.join(', ') || 'no node';
        this.#fail('service-settled', `after the calm ${ip.text} is on ${on}, and ${order.join()} may have it`);
      }
    }
  }

  #fail(invariant: string, message: string): never {
    throw new Violation(invariant, this.#options.schedule.now, message);
  }
}

/** It lets others take what it has. */
function isGoing(host: LanHost): boolean {
  if (!('process' in host)) return false;
  const { process } = host as SimNode;
  const { peers, lifecycle } = process?.state ?? {};
  return lifecycle === 'stopping' || peers?.isDrainedByOperator === true || peers?.isDrainedByNode === true;
}
