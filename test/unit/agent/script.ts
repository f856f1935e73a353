/**
 * A script for a whole node: events at explicit times, every deadline in between honoured, effects collected with the time
 * they came at. The simulator's kernel performs address effects and reports them at once, unless `kernel` says otherwise.
 */

import { expect } from 'vitest';
import { monotonic } from '../../../src/base/time.ts';
import type { Effect } from '../../../src/agent/effect.ts';
import type { AgentEvent } from '../../../src/agent/event.ts';
import { startAgent, type AgentRules, type AgentState } from '../../../src/agent/state.ts';
import { agentDeadline, step } from '../../../src/agent/step.ts';
import type { ApiFailureKind, LeaseRecord } from '../../../src/leader/lease-record.ts';
import type { KernelChange } from '../../../src/protocol/netlink/records.ts';
import type { VipState } from '../../../src/vip/vip-state.ts';
import { ADDRESS_PROTOCOL, ipOf, macOf, SimKernel } from '../../sim/kernel.ts';
import { RULES as ELECTION } from '../leader/script.ts';
import { RULES as VIP } from '../vip/script.ts';

export const VIP4 = '192.0.2.10';
export const VIP6 = '2001:db8::10';
export const NODE_MAC = macOf('02:00:00:00:00:01');

export const RULES: AgentRules = {
  node: 'a',
  leaseNamespace: 'kube-system',
  leaseName: 'plndr-cp-lock',
  election: ELECTION,
  vip: VIP,
  sources: [{ kind: 'ip', ip: ipOf(VIP4), prefixLength: 32 }],
  interfaceName: 'eth0',
  allowInterfaceNotUp: false,
  loopbackGlobalScope: false,
  nameRefreshMs: 30_000,
  heartbeat: { isEnabled: false, intervalMs: 100, multiplier: 3, port: 6460, priority: 100, isPreempting: false },
  apiHealth: { rise: 2, fall: 3 },
  addressProtocol: ADDRESS_PROTOCOL,
};

export const DUAL: Partial<AgentRules> = {
  sources: [
    { kind: 'ip', ip: ipOf(VIP4), prefixLength: 32 },
    { kind: 'ip', ip: ipOf(VIP6), prefixLength: 128 },
  ],
};

export interface Timed {
  readonly at: number;
  readonly effect: Effect;
}

type LeaseEffect = Extract<Effect, { kind: 'lease.create' | 'lease.update' | 'lease.read' }>;

export class NodeScript {
  /** Of each tick in between; see AgentEvent. */
  portion: number | undefined;
  state: AgentState;
  readonly rules: AgentRules;
  readonly kernel: SimKernel;
  readonly log: Timed[] = [];
  /** Whether address effects reach the kernel at all. */
  isKernelObeying = true;
  readonly #pending: KernelChange[] = [];
  #now = 0;
  #deadline = Number.POSITIVE_INFINITY;
  #version = 100;

  constructor(change: Partial<AgentRules> = {}) {
    this.rules = { ...RULES, ...change };
    this.state = startAgent(1, monotonic(0));
    this.kernel = new SimKernel(
      {
        now: () => this.#now,
        after: () => {},
        lateness: () => 0,
        notify: (one) => void this.#pending.push(one),
        onChange: () => {},
      },
      NODE_MAC,
    );
  }

  get now(): number {
    return this.#now;
  }

  /** As computed after the last step: what the running loop sleeps until. */
  get deadline(): number {
    return this.#deadline;
  }

  vip(address = VIP4): VipState {
    const vip = this.state.vips.get(address);
    if (vip === undefined) throw new Error(`${address} is not known`);
    return vip;
  }

  holds(address = VIP4): boolean {
    return this.kernel.has(ipOf(address));
  }

  /** Runs every deadline up to `at`, then the event and what the kernel says to its effects. */
  at(at: number, event: AgentEvent): readonly Effect[] {
    this.until(at);
    return this.#step(event);
  }

  until(at: number): readonly Timed[] {
    const from = this.log.length;
    for (let ticks = 0; this.deadline <= at; ticks += 1) {
      expect(ticks, 'ticks before the next event').toBeLessThan(5000);
      this.#now = Math.max(this.#now, this.deadline);
      this.#step({ kind: 'tick', ...(this.portion === undefined ? {} : { portion: this.portion }) });
    }
    this.#now = Math.max(at, this.#now);
    return this.log.slice(from);
  }

  /** The process starts: first tick, then the kernel as it is. */
  start(at = 0): readonly Effect[] {
    this.#pending.length = 0;
    this.at(at, { kind: 'tick' });
    return this.at(at, { kind: 'kernel.dumped', snapshot: this.kernel.snapshot() });
  }

  /** Something else changes the kernel; its notifications follow. */
  outside(at: number, change: (kernel: SimKernel) => void): readonly Effect[] {
    this.until(at);
    change(this.kernel);
    return this.#drain();
  }

  observe(at: number, lease: LeaseRecord | undefined): readonly Effect[] {
    return this.at(at, { kind: 'lease.observed', source: 'watch', lease });
  }

  accept(at: number): readonly Effect[] {
    this.until(at);
    const call = this.call();
    if (call.kind === 'lease.read') throw new Error('a read is under way');
    this.#version = Math.max(this.#version, Number(call.lease.resourceVersion)) + 1;
    return this.#step({
      kind: 'lease.written',
      attempt: call.attempt,
      lease: { ...call.lease, resourceVersion: String(this.#version) },
    });
  }

  fail(at: number, failure: ApiFailureKind): readonly Effect[] {
    this.until(at);
    return this.#step({ kind: 'lease.failed', attempt: this.call().attempt, failure, message: failure });
  }

  call(): LeaseEffect {
    for (const { effect } of this.log.toReversed()) {
      if (effect.kind === 'lease.create' || effect.kind === 'lease.update' || effect.kind === 'lease.read') {
        return effect;
      }
    }
    throw new Error('no call was sent');
  }

  /** Accepts each write a few ms after it was sent, until `at`. */
  serve(at: number): void {
    while (this.#now < at) {
      const isWaiting = this.state.election.pending !== undefined;
      if (isWaiting) this.accept(Math.min(at, this.#now + 5));
      else this.until(Math.min(at, Math.max(this.#now + 1, this.deadline)));
    }
  }

  /** Started on an empty cluster and served until it holds. */
  hold(): this {
    this.start();
    this.observe(1, undefined);
    this.serve(400);
    expect([...this.state.vips.values()].map((vip) => vip.phase)).toEqual(
      [...this.state.vips.keys()].map(() => 'holding'),
    );
    return this;
  }

  effects<Kind extends Effect['kind']>(
    kind: Kind,
  ): readonly (Extract<Effect, { kind: Kind }> & { readonly at: number })[] {
    return this.log.flatMap(({ at, effect }) =>
      effect.kind === kind ? [{ ...(effect as Extract<Effect, { kind: Kind }>), at }] : [],
    );
  }

  logs(): readonly string[] {
    return this.effects('log').map((effect) => effect.msg);
  }

  #step(event: AgentEvent): readonly Effect[] {
    const stepped = step(this.rules, this.state, event, monotonic(this.#now));
    this.state = stepped.state;
    this.#deadline = agentDeadline(this.rules, this.state, monotonic(this.#now));
    expect(this.deadline, 'a deadline in the past would make the loop spin').toBeGreaterThan(this.#now);
    const effects: Effect[] = [...stepped.effects];
    for (const effect of stepped.effects) {
      this.log.push({ at: this.#now, effect });
      this.#perform(effect);
    }
    effects.push(...this.#drain());
    return effects;
  }

  #drain(): readonly Effect[] {
    const effects: Effect[] = [];
    for (let change = this.#pending.shift(); change !== undefined; change = this.#pending.shift()) {
      effects.push(...this.#step({ kind: 'kernel.changed', change }));
    }
    return effects;
  }

  #perform(effect: Effect): void {
    if (!this.isKernelObeying) return;
    if (effect.kind === 'address.add') {
      const { ifindex, prefix, validSeconds } = effect;
      this.kernel.add({ ifindex, prefix, validSeconds, protocol: ADDRESS_PROTOCOL });
    }
    if (effect.kind === 'address.delete') this.kernel.delete(effect.ifindex, effect.prefix);
  }
}

export function kinds(effects: readonly Effect[]): readonly string[] {
  return effects.map((effect) => effect.kind).filter((kind) => kind !== 'log' && kind !== 'event.record');
}
