/**
 * A script for one node that answers for Services: the other voters send heartbeats and the Lease is renewed for as long as
 * the test wants it, between events at explicit times. The node is 'a' and doesn't lead unless told otherwise.
 */

import type { AgentRules } from '../../../src/agent/state.ts';
import { inShards } from '../../../src/agent/services/shards.ts';
import type { ServiceEntry, ServiceMove } from '../../../src/agent/services/state.ts';
import { serviceHolding } from '../../../src/agent/services/read.ts';
import type { Mac } from '../../../src/base/mac.ts';
import type { VipPhase } from '../../../src/vip/vip-state.ts';
import type { Effect } from '../../../src/agent/effect.ts';
import type { Heartbeat } from '../../../src/leader/view.ts';
import { VOTERS_ANNOTATION } from '../../../src/leader/voters.ts';
import type { AddressDuty } from '../../../src/services/duty.ts';
import { announcementFrames } from '../../../src/vip/wire.ts';
import { ETH0, ipOf, macOf, prefixOf } from '../../sim/kernel.ts';
import { record } from '../leader/script.ts';
import { NodeScript } from './script.ts';

export const OTHER_MAC = macOf('02:00:00:00:00:02');
export const S4 = '192.0.2.50';
export const S6 = '2001:db8::50';

const BEAT_MS = 100;
const LEASE_MS = 1000;

export class ServiceScript extends NodeScript {
  readonly voters: readonly string[];
  /** Who sends heartbeats. */
  readonly beating: Set<string>;
  /** Whom the others don't hear. */
  readonly missed = new Set<string>();
  readonly says = new Map<string, Partial<Heartbeat>>();
  isApiUp = true;
  /** MACs of other nodes. */
  fellows: ReadonlySet<string> = new Set();
  holder = 'b';
  #sequence = 0;
  #version = 1000;
  /** How much of the log has been answered. */
  #answered = 0;

  constructor(voters: readonly string[] = ['a', 'b', 'c'], change: Partial<AgentRules> = {}) {
    super({
      sources: [],
      services: { isEnabled: true },
      heartbeat: { isEnabled: true, intervalMs: 100, multiplier: 3, port: 6460, priority: 100, isPreempting: false },
      ...change,
    });
    this.voters = voters;
    this.beating = new Set(voters.filter((name) => name !== 'a'));
    const forever = Number.POSITIVE_INFINITY;
    const prefix = prefixOf('192.0.2.1/24');
    this.kernel.add({ ifindex: ETH0, prefix, validSeconds: forever, preferredSeconds: forever, isOrdinary: true });
  }

  /** Started, its voter set known, heartbeats flowing for half a second. */
  ready(): this {
    this.start();
    this.renew();
    this.go(500);
    return this;
  }

  /** The Lease as its holder renews it now. */
  renew(): void {
    this.#version += 1;
    const voters = this.voters.map((name, index) => ({ name, addresses: [`192.0.2.${index + 1}`], port: 6460 }));
    const annotations = { [VOTERS_ANNOTATION]: JSON.stringify({ epoch: 1, voters }) };
    this.observe(this.now, record(this.holder, String(this.#version), { annotations }));
  }

  /** Heartbeats and renewals until `until`. */
  go(until: number): void {
    while (this.now < until) {
      const next = Math.min(until, (Math.floor(this.now / BEAT_MS) + 1) * BEAT_MS);
      this.until(next);
      if (next % BEAT_MS !== 0) continue;
      for (const name of this.beating) this.beat(name);
      if (this.isApiUp && next % LEASE_MS === 0 && this.holder !== 'a' && this.beating.has(this.holder)) this.renew();
      this.#answerRegistrations();
    }
  }

  beat(name: string, change: Partial<Heartbeat> = {}): void {
    this.#sequence += 1;
    let hears = 0;
    this.voters.forEach((voter, place) => {
      const isHeard = !this.missed.has(voter) && (voter === 'a' || this.beating.has(voter));
      if (isHeard) hears |= 1 << place;
    });
    const isHolder = name === this.holder;
    const heartbeat: Heartbeat = {
      sender: name,
      incarnation: `${name}-1`,
      sequence: this.#sequence,
      epoch: 1,
      hears,
      supports: undefined,
      term: 3,
      isApiWorking: this.isApiUp,
      isEligible: true,
      isDraining: false,
      isHolding: isHolder,
      isLeading: isHolder,
      isProvisional: false,
      misses: [],
      intervalMs: 100,
      priority: 100,
      ...this.says.get(name),
      ...change,
    };
    this.at(this.now, { kind: 'heartbeat.received', heartbeat });
  }

  duty(at: number, addresses: readonly AddressDuty[], isSpread = true): readonly Effect[] {
    return this.at(at, { kind: 'services.duty', duty: { addresses, isSpread, fellows: this.fellows } });
  }

  /** Somebody with that MAC uses the address. */
  use(at: number, address: string, mac: Mac = OTHER_MAC): readonly Effect[] {
    const [frame] = announcementFrames(mac, ipOf(address));
    if (frame === undefined) throw new Error('no frame');
    return this.at(at, { kind: 'frame.received', ifindex: ETH0, frame });
  }

  /** Somebody with that MAC answers each question about the address until `until`. */
  answer(until: number, address: string, mac: Mac = OTHER_MAC): void {
    while (this.now < until) {
      const before = this.probes(address).length;
      this.go(Math.min(until, this.now + 5));
      if (this.probes(address).length > before) this.use(this.now, address, mac);
    }
  }

  entry(address: string): ServiceEntry | undefined {
    return inShards(this.state.services.entries, address);
  }

  phase(address: string): VipPhase | undefined {
    return serviceHolding(this.state, address)?.phase;
  }

  probes(address: string): readonly number[] {
    return this.#frames(address, 'probe');
  }

  announcements(address: string): readonly number[] {
    return this.#frames(address, 'announce');
  }

  moves(): readonly Pick<ServiceMove, 'kind' | 'cause' | 'other' | 'count' | 'isComplete'>[] {
    return this.state.services.moves.map(({ kind, cause, other, count, isComplete }) => ({
      kind,
      cause,
      other,
      count,
      isComplete,
    }));
  }

  #frames(address: string, purpose: 'probe' | 'announce'): readonly number[] {
    const sent = this.effects('frame.send').filter(
      (effect) => effect.address.text === address && effect.purpose === purpose,
    );
    return sent.map(({ at }) => at);
  }

  #answerRegistrations(): void {
    const unseen = this.log.slice(this.#answered);
    this.#answered = this.log.length;
    for (const { effect } of unseen) {
      if (effect.kind !== 'member.register') continue;
      this.at(this.now, { kind: 'member.registered', isOk: this.isApiUp, message: '' });
    }
  }
}

export function dutyOf(address: string, order: readonly string[], change: Partial<AddressDuty> = {}): AddressDuty {
  const ip = ipOf(address);
  const length = ip.family === 'ipv4' ? 32 : 128;
  return { prefix: { ip, length }, order, interfaceName: 'eth0', isTentative: false, ...change };
}

/** 10.x.y.z, one after the other. */
export function manyDuties(count: number, order: readonly string[]): readonly AddressDuty[] {
  return Array.from({ length: count }, (_, index) =>
    dutyOf(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, order),
  );
}
