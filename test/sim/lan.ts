/**
 * One Ethernet segment: who hears whom (links may be cut one way), frames that are late, lost or doubled, and kernels that
 * answer for the addresses they have, whatever their processes do. `carry` moves anything between two hosts under the same
 * faults; datagrams between nodes go the same way.
 */

import { interpretFrame, type Heard } from '../../src/vip/wire.ts';
import { gratuitousArpFrame } from '../../src/protocol/arp/frames.ts';
import { unsolicitedAdvertisementFrame } from '../../src/protocol/ndp/frames.ts';
import type { Ip } from '../../src/base/ip.ts';
import type { Mac } from '../../src/base/mac.ts';
import type { Dice } from './dice.ts';
import type { Schedule } from './schedule.ts';

export interface LanHost {
  readonly mac: Mac;
  /** Powered, running, its cable in. */
  isOnline(): boolean;
  /** Its kernel answers for the address. */
  isAnswering(ip: Ip): boolean;
  /** A frame about an address has arrived (`frame` on demand: the client does not need the octets). */
  hear(heard: Heard, frame: () => Uint8Array): void;
}

export class SimLan {
  readonly hosts: LanHost[] = [];
  lossProbability = 0;
  doubleProbability = 0;
  delayMaxMs = 1;
  readonly #schedule: Schedule;
  readonly #dice: Dice;
  readonly #cuts = new Map<LanHost, Map<LanHost, number>>();

  constructor(schedule: Schedule, dice: Dice) {
    this.#schedule = schedule;
    this.#dice = dice;
  }

  add(host: LanHost): void {
    this.hosts.push(host);
  }

  remove(host: LanHost): void {
    const index = this.hosts.indexOf(host);
    if (index >= 0) this.hosts.splice(index, 1);
  }

  /** Nothing that `from` sends arrives at `to`, until the function is called. */
  cut(from: LanHost, to: LanHost): () => void {
    const cuts = this.#cuts.get(from) ?? new Map<LanHost, number>();
    this.#cuts.set(from, cuts);
    cuts.set(to, (cuts.get(to) ?? 0) + 1);
    return () => cuts.set(to, (cuts.get(to) ?? 1) - 1);
  }

  isHeard(from: LanHost, to: LanHost): boolean {
    return from.isOnline() && to.isOnline() && (this.#cuts.get(from)?.get(to) ?? 0) === 0;
  }

  isConnected(a: LanHost, b: LanHost): boolean {
    return this.isHeard(a, b) && this.isHeard(b, a);
  }

  /** Carries something from one host to another under the faults of the segment. */
  carry(from: LanHost, to: LanHost, arrive: () => void): void {
    if (!this.isHeard(from, to) || this.#dice.chance(this.lossProbability)) return;
    const copies = this.#dice.chance(this.doubleProbability) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      this.#schedule.in(this.#dice.skewed(0.02, this.delayMaxMs), () => {
        if (to.isOnline()) arrive();
      });
    }
  }

  /** A frame of a node, to everybody. */
  broadcast(from: LanHost, frame: Uint8Array): void {
    const heard = interpretFrame(frame);
    if (!heard.ok) throw new Error(`a node sent a frame that cannot be read: ${heard.reason}`);
    for (const host of this.hosts) {
      if (host !== from) this.carry(from, host, () => this.#arrive(from, host, heard.value, () => frame));
    }
  }

  /** The announcement of a host that is no node. */
  announce(from: LanHost, heard: Heard): void {
    for (const host of this.hosts) {
      if (host !== from) {
        this.carry(from, host, () => this.#arrive(from, host, heard, () => useFrame(from.mac, heard.ip)));
      }
    }
  }

  /** "Who has the address?" of a host that is no node: kernels that have it answer to `answered`. */
  ask(from: LanHost, ip: Ip, answered: (mac: Mac) => void): void {
    for (const host of this.hosts) {
      if (host === from) continue;
      this.carry(from, host, () => {
        if (host.isAnswering(ip)) this.carry(host, from, () => answered(host.mac));
      });
    }
  }

  #arrive(from: LanHost, host: LanHost, heard: Heard, frame: () => Uint8Array): void {
    host.hear(heard, frame);
    if (heard.kind === 'uses' || !host.isAnswering(heard.ip)) return;
    const reply: Heard = { kind: 'uses', ip: heard.ip, mac: host.mac };
    const octets = (): Uint8Array => useFrame(host.mac, heard.ip);
    // RFC 4862 §5.4.3: the answer to a solicitation from the unspecified address goes to all nodes.
    const audience = heard.ip.family === 'ipv4' ? [from] : this.hosts.filter((other) => other !== host);
    for (const listener of audience) this.carry(host, listener, () => listener.hear(reply, octets));
  }
}

/** Each made once: a suspected holder answers hundreds of times a second, always with the same octets. */
const USES = new WeakMap<Mac, WeakMap<Ip, Uint8Array>>();

function useFrame(mac: Mac, ip: Ip): Uint8Array {
  const byIp = USES.get(mac) ?? new WeakMap<Ip, Uint8Array>();
  const frame = byIp.get(ip) ?? makeUseFrame(mac, ip);
  USES.set(mac, byIp.set(ip, frame));
  return frame;
}

function makeUseFrame(mac: Mac, ip: Ip): Uint8Array {
  return ip.family === 'ipv4'
    ? gratuitousArpFrame({ form: 'reply', mac, ip })
    : unsolicitedAdvertisementFrame({ mac, target: ip });
}
