/**
 * Services in a simulated cluster: some tens of addresses, and in place of the runtimes that read the cluster's objects one
 * record of who may answer for each, best first. It is kept as the running process keeps it: the leader, while the API
 * takes its writes, takes out who has been lost or draining for a while, and puts who returns last. Every node gets it when
 * its watch does, late as that may be; a process that starts has none until then.
 */

import type { AddressDuty, ServiceDuty } from '../../src/services/duty.ts';
import type { Ip } from '../../src/base/ip.ts';
import { majorityOf } from '../../src/leader/view.ts';
import type { SimApi } from './api.ts';
import type { Dice } from './dice.ts';
import { ipOf } from './kernel.ts';
import type { SimNode, SimProcess } from './node.ts';
import type { Schedule } from './schedule.ts';

/** A loss is written down once it lasts, as a departure is; who returns has to be well for as long. */
const SETTLED_MS = 1500;
const LOOK_MS = 100;
const ADDRESSES = { min: 8, max: 30 };
/** How much a planned move is asked for, per look. */
const REORDER_CHANCE = 0.002;

export interface SimServicesOptions {
  readonly schedule: Schedule;
  readonly dice: Dice;
  readonly api: SimApi;
  readonly nodes: readonly SimNode[];
  /** Planned moves end here: the calm is one. */
  readonly movesUntil: number;
  readonly say: (text: string) => void;
}

export class SimServices {
  readonly isSpread: boolean;
  readonly addresses: readonly Ip[];
  /** By address text. */
  readonly orders = new Map<string, readonly string[]>();
  version = 1;
  readonly #options: SimServicesOptions;
  readonly #outSince = new Map<string, number>();
  readonly #inSince = new Map<string, number>();
  readonly #out = new Set<string>();
  readonly #known = new WeakMap<SimProcess, number>();
  readonly #sent = new WeakMap<SimProcess, number>();

  constructor(options: SimServicesOptions) {
    this.#options = options;
    const { dice } = options;
    this.isSpread = dice.chance(0.8);
    const count = dice.whole(ADDRESSES.min, ADDRESSES.max);
    this.addresses = Array.from({ length: count }, (_, index) =>
      ipOf(dice.chance(0.7) ? `192.0.2.${100 + index}` : `2001:db8::5:${index + 1}`),
    );
  }

  /** Once all nodes are there. */
  begin(): void {
    const { nodes, dice, schedule } = this.#options;
    const names = nodes.map(({ name }) => name);
    for (const { text } of this.addresses) {
      const first = dice.whole(0, names.length - 1);
      this.orders.set(text, [...names.slice(first), ...names.slice(0, first)]);
    }
    schedule.in(LOOK_MS, () => this.#look());
  }

  /** Whether the process has been told what the record says now. */
  isTold(node: SimNode): boolean {
    return node.process !== undefined && this.#known.get(node.process) === this.version;
  }

  duty(): ServiceDuty {
    const addresses = this.addresses.map((ip): AddressDuty => {
      const prefix = { ip, length: ip.family === 'ipv4' ? 32 : 128 };
      return { prefix, order: this.orders.get(ip.text) ?? [], interfaceName: 'eth0', isTentative: false };
    });
    return { addresses, isSpread: this.isSpread, fellows: new Set(this.#options.nodes.map(({ mac }) => mac.text)) };
  }

  #look(): void {
    const { schedule, nodes } = this.#options;
    this.#keepRecord();
    for (const node of nodes) this.#tell(node);
    schedule.in(LOOK_MS, () => this.#look());
  }

  /** The leader's runtime. */
  #keepRecord(): void {
    const { nodes, api, schedule, dice, movesUntil, say } = this.#options;
    const leader = nodes.find((node) => node.name === api.lease?.holder);
    const state = leader?.process?.state;
    if (leader === undefined || state === undefined || !leader.isActing || !api.isHealthyFor(leader.id)) return;
    if (state.election.phase !== 'leading' || state.election.provisionalSince !== undefined) return;
    const { lost, draining } = state.services.liveness;
    for (const { name } of nodes) {
      const isOut = lost.includes(name) || draining.includes(name);
      const [since, other] = isOut ? [this.#outSince, this.#inSince] : [this.#inSince, this.#outSince];
      other.delete(name);
      if (!since.has(name)) since.set(name, schedule.now);
      const isSettled = schedule.now - (since.get(name) ?? schedule.now) >= SETTLED_MS;
      if (!isSettled || isOut === this.#out.has(name)) continue;
      if (isOut) this.#out.add(name);
      else this.#out.delete(name);
      this.#reorder(name, isOut);
      say(`the record has ${name} ${isOut ? 'out' : 'last'}`);
    }
    if (this.isSpread && schedule.now < movesUntil && dice.chance(REORDER_CHANCE)) this.#move();
  }

  #reorder(name: string, isOut: boolean): void {
    this.orders.forEach((order, address) => {
      const others = order.filter((one) => one !== name);
      if (isOut && others.length === 0) return;
      this.orders.set(address, isOut ? others : [...others, name]);
    });
    this.version += 1;
  }

  /** One address is wanted elsewhere: the endpoints, or a better balance. */
  #move(): void {
    const { dice, say } = this.#options;
    const { text } = dice.pick(this.addresses);
    const [first, second, ...others] = this.orders.get(text) ?? [];
    if (first === undefined || second === undefined) return;
    this.orders.set(text, [second, first, ...others]);
    this.version += 1;
    say(`the record moves ${text} from ${first} to ${second}`);
  }

  #tell(node: SimNode): void {
    const { api, schedule, dice } = this.#options;
    const { process } = node;
    if (process === undefined || !api.isHealthyFor(node.id) || this.#sent.get(process) === this.version) return;
    const { version } = this;
    this.#sent.set(process, version);
    const duty = this.duty();
    schedule.in(dice.skewed(20, 800), () => {
      if (node.process !== process || version < (this.#known.get(process) ?? 0)) return;
      this.#known.set(process, version);
      node.inject({ kind: 'services.duty', duty });
    });
  }

  /** Whether the nodes that live are a majority of the voters, agree on them, and each knows the record. */
  isUnited(well: readonly SimNode[]): boolean {
    const set = well[0]?.process?.state.peers.view.set;
    if (set === undefined || set.voters.length < 3) return false;
    const isAlike = well.every((node) => node.process?.state.peers.view.set?.epoch === set.epoch && this.isTold(node));
    const voters = well.filter(({ name }) => set.voters.some((voter) => voter.name === name));
    const mute = well.filter((node) => !voters.includes(node));
    // Who has no vote is heard by the voters once they know of each other.
    const areHeard = voters.every(({ process }) =>
      mute.every(({ name }) => process?.state.peers.view.others.get(name)?.heardAt !== undefined),
    );
    // Who never registered is in no plan of the running process: nobody knows whether it lives.
    const others = voters[0]?.process?.state.peers.view.others;
    const isKnown = (name: string): boolean =>
      set.voters.some((voter) => voter.name === name) || others?.has(name) === true;
    const areKnown = this.#options.nodes.every(({ name }) => isKnown(name));
    return isAlike && areHeard && areKnown && voters.length >= majorityOf(set.voters.length);
  }
}
