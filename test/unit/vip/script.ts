/**
 * A script for one address: events and wishes at explicit times, every deadline in between honoured, and a kernel that
 * reports what was added or deleted when it is asked to (`kernel: 'prompt'`) or by hand.
 */

import { expect } from 'vitest';
import { parseIp } from '../../../src/base/ip.ts';
import { parseMac, type Mac } from '../../../src/base/mac.ts';
import { monotonic, NEVER } from '../../../src/base/time.ts';
import {
  startVip,
  vipDeadline,
  type VipEvent,
  type VipOutput,
  type VipRules,
  type VipState,
  type VipWish,
} from '../../../src/vip/vip-state.ts';
import { stepVip } from '../../../src/vip/vip.ts';

export const RULES: VipRules = {
  lifetimeSeconds: 3,
  probeCount: 3,
  probeIntervalMs: 40,
  refreshIntervalMs: 3000,
  conflictTimeoutMs: 30_000,
  conflictPolicy: 'defend',
};

export interface Timed {
  readonly at: number;
  readonly output: VipOutput;
}

export function mac(text: string): Mac {
  const parsed = parseMac(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

export class VipScript {
  state: VipState;
  wish: VipWish = {
    verdict: 'drop',
    hasConsent: false,
    isYielding: false,
    isHolderLost: false,
    isSucceeding: false,
    lifetimeLimit: NEVER,
  };
  readonly rules: VipRules;
  readonly log: Timed[] = [];
  readonly #kernel: 'prompt' | 'by hand';
  #now = 0;

  constructor(change: Partial<VipRules> = {}, kernel: 'prompt' | 'by hand' = 'prompt', address = '192.0.2.10') {
    this.rules = { ...RULES, ...change };
    this.#kernel = kernel;
    const ip = parseIp(address);
    if (!ip.ok) throw new Error(address);
    this.state = startVip({ ip: ip.value, length: ip.value.family === 'ipv4' ? 32 : 128 }, monotonic(0));
  }

  get now(): number {
    return this.#now;
  }

  get deadline(): number {
    return vipDeadline(this.state);
  }

  at(at: number, event: VipEvent): readonly VipOutput[] {
    this.until(at);
    return this.#step(event);
  }

  wishAt(at: number, change: Partial<VipWish>): readonly VipOutput[] {
    this.until(at);
    this.wish = { ...this.wish, ...change };
    return this.#step({ kind: 'tick' });
  }

  until(at: number): readonly Timed[] {
    const from = this.log.length;
    for (let ticks = 0; this.deadline <= at; ticks += 1) {
      expect(ticks, 'ticks before the next event').toBeLessThan(2000);
      this.#now = Math.max(this.#now, this.deadline);
      this.#step({ kind: 'tick' });
    }
    this.#now = at;
    return this.log.slice(from);
  }

  /** Wanted from 0, the wire silent: held from about 120 ms on. */
  hold(): this {
    this.wishAt(0, { verdict: 'hold' });
    this.until(200);
    expect(this.state.phase).toBe('holding');
    return this;
  }

  rival(at: number, address = '02:00:00:00:00:99'): readonly VipOutput[] {
    return this.at(at, { kind: 'rival', mac: mac(address) });
  }

  times(kind: VipOutput['kind']): readonly number[] {
    return this.log.filter(({ output }) => output.kind === kind).map(({ at }) => at);
  }

  #step(event: VipEvent): readonly VipOutput[] {
    const stepped = stepVip(this.rules, this.state, this.wish, event, monotonic(this.#now));
    this.state = stepped.state;
    expect(this.deadline, 'a deadline in the past would make the loop spin').toBeGreaterThan(this.#now);
    this.log.push(...stepped.outputs.map((output) => ({ at: this.#now, output })));
    const outputs = [...stepped.outputs];
    if (this.#kernel === 'by hand') return outputs;
    for (const output of stepped.outputs) {
      if (output.kind === 'add') outputs.push(...this.#step({ kind: 'present', isPresent: true }));
      if (output.kind === 'delete') outputs.push(...this.#step({ kind: 'present', isPresent: false }));
    }
    return outputs;
  }
}

export function kinds(outputs: readonly VipOutput[]): readonly string[] {
  return outputs.map((output) => output.kind);
}
