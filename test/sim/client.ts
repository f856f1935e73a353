/**
 * A machine on the segment that uses the address: it keeps whom it was told in its neighbour cache, takes up announcements
 * as Linux does (entries are updated, not made), and asks anew when the one it knows is silent.
 */

import type { Ip } from '../../src/base/ip.ts';
import type { Mac } from '../../src/base/mac.ts';
import type { Heard } from '../../src/vip/wire.ts';
import type { LanHost, SimLan } from './lan.ts';
import type { Schedule } from './schedule.ts';

/** How often it uses the address, ms. */
export const CLIENT_INTERVAL_MS = 200;
/** An entry is asked for again after this long without an answer (Linux: delay_first_probe_time 5 s and three probes). */
const STALE_MS = 6000;

export class SimClient implements LanHost {
  readonly mac: Mac;
  /** Longest time without an answer, ms. */
  worstMs = 0;
  readonly #lan: SimLan;
  readonly #schedule: Schedule;
  readonly #ip: Ip;
  #cached: Mac | undefined;
  #failingSince: number | undefined;

  constructor(options: { readonly mac: Mac; readonly lan: SimLan; readonly schedule: Schedule; readonly ip: Ip }) {
    this.mac = options.mac;
    this.#lan = options.lan;
    this.#schedule = options.schedule;
    this.#ip = options.ip;
    options.lan.add(this);
    this.#use();
  }

  isOnline(): boolean {
    return true;
  }

  isAnswering(): boolean {
    return false;
  }

  hear(heard: Heard): void {
    if (heard.kind === 'uses' && heard.ip.text === this.#ip.text && this.#cached !== undefined) {
      this.#cached = heard.mac;
    }
  }

  /** Whether the address answers it now, through the host it has in its cache. */
  isServed(): boolean {
    const cached = this.#cached;
    if (cached === undefined) return false;
    const host = this.#lan.hosts.find((one) => one.mac.text === cached.text);
    return host !== undefined && host.isAnswering(this.#ip) && this.#lan.isConnected(host, this);
  }

  #use(): void {
    const { now } = this.#schedule;
    if (this.isServed()) this.#failingSince = undefined;
    else {
      this.#failingSince ??= now;
      this.worstMs = Math.max(this.worstMs, now - this.#failingSince);
      if (now - this.#failingSince >= STALE_MS) this.#cached = undefined;
      if (this.#cached === undefined) this.#lan.ask(this, this.#ip, (mac) => (this.#cached ??= mac));
    }
    this.#schedule.in(CLIENT_INTERVAL_MS, () => this.#use());
  }
}
