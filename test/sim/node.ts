/**
 * One machine of the cluster: power, a clock of its own, a kernel, a cable, and at most one Holdfast process, which is
 * nothing but `step` and `agentDeadline` of src/agent driven as the running loop drives them. What goes wrong with a
 * process (crash, freeze, freeze between two system calls) and with its machine (pause, power loss) is done from outside.
 */

import { startAgent, type AgentRules, type AgentState } from '../../src/agent/state.ts';
import { agentDeadline, step } from '../../src/agent/step.ts';
import type { Effect } from '../../src/agent/effect.ts';
import type { AgentEvent } from '../../src/agent/event.ts';
import type { Ip } from '../../src/base/ip.ts';
import type { Mac } from '../../src/base/mac.ts';
import { monotonic, type MonotonicMs } from '../../src/base/time.ts';
import type { KernelChange } from '../../src/protocol/netlink/records.ts';
import type { Heartbeat } from '../../src/leader/view.ts';
import type { Heard } from '../../src/vip/wire.ts';
import type { SimApi } from './api.ts';
import type { Dice } from './dice.ts';
import { ADDRESS_PROTOCOL, ETH0, LATENESS_MAX_MS, prefixOf, SimKernel } from './kernel.ts';
import type { LanHost, SimLan } from './lan.ts';
import type { Schedule } from './schedule.ts';

export interface StepFunction {
  (
    rules: AgentRules,
    state: AgentState,
    event: AgentEvent,
    now: MonotonicMs,
  ): {
    readonly state: AgentState;
    readonly effects: readonly Effect[];
  };
}

/** What the world wants to know of a node. */
export interface NodeWitness {
  kernelChanged(node: SimNode): void;
  /** Before the effect is performed. */
  effect(node: SimNode, effect: Effect): void;
  /** The event has been taken in; its effects follow. */
  stepped(node: SimNode, event: AgentEvent): void;
  turned(node: SimNode, event: AgentEvent): void;
  exited(node: SimNode): void;
  /** The process stops before it performs effects that it has decided on. */
  frozenBetween(node: SimNode, effects: readonly Effect[], forMs: number): void;
}

export interface NodeOptions {
  readonly id: number;
  readonly name: string;
  readonly mac: Mac;
  readonly schedule: Schedule;
  readonly dice: Dice;
  readonly lan: SimLan;
  readonly api: SimApi;
  readonly rules: AgentRules;
  readonly resolve: () => readonly Ip[];
  readonly witness: NodeWitness;
  /** The node of that name, if there is one: where heartbeats go. */
  readonly peer: (name: string) => SimNode | undefined;
  /** In place of `step`: how mutants are made. */
  readonly step?: StepFunction;
}

interface Arrived {
  readonly event: AgentEvent;
  readonly at: number;
}

export interface SimProcess {
  readonly incarnation: string;
  readonly rules: AgentRules;
  readonly startedAt: number;
  state: AgentState;
  inbox: Arrived[];
  isFrozen: boolean;
  isTurnDue: boolean;
  timer: number;
  /** Addresses listened for, by interface. */
  readonly capture: Map<number, ReadonlySet<string>>;
  /** As computed after the last step: what the running loop sleeps until. */
  deadline: number;
  unwatch: () => void;
  /** Freeze before the next effect of this kind is performed. */
  freezeBefore: { readonly kind: Effect['kind']; readonly forMs: number } | undefined;
  unperformed: readonly Effect[];
  sequence: number;
  /** Runs of other nodes that are over: what they sent late is dropped, as the running process does. */
  readonly peers: Map<string, number>;
  lastNotifyAt: number;
  isDeafToKernel: boolean;
}

const API_LOOK_MS = 1000;
const INBOX_FRAMES_MAX = 200;
/** More steps at one instant than this: the loop spins. */
const STEPS_AT_ONCE_MAX = 50;
/** Clock jumps below this are taken for drift by the running loop (runtime/clock-watch.ts). */
export const JUMP_MIN_MS = 250;

export class SimNode implements LanHost {
  readonly id: number;
  readonly name: string;
  readonly mac: Mac;
  readonly kernel: SimKernel;
  isPowered = true;
  process: SimProcess | undefined;
  /** The kernel refuses these. */
  refuses: ReadonlySet<'address.add' | 'address.delete'> = new Set();
  /** Its own API server fails; calls go to those of others. */
  isApiIll = false;
  lastRefusedAt = Number.NEGATIVE_INFINITY;
  steps = 0;
  readonly #options: NodeOptions;
  readonly #offset: number;
  readonly #rate: number;
  #pausedAt: number | undefined;
  #pausedMs = 0;
  #seenPausedMs = 0;
  #boots = 0;
  #runs = 0;
  #resumed: (() => void)[] = [];

  constructor(options: NodeOptions) {
    const { id, name, mac, dice, witness } = options;
    this.#options = options;
    this.id = id;
    this.name = name;
    this.mac = mac;
    this.#offset = dice.between(0, 10_000_000);
    this.#rate = 1 + dice.between(-200, 200) / 1_000_000;
    this.kernel = new SimKernel(
      {
        now: () => this.mono(),
        after: (ms, run) => this.#afterKernel(this.mono() + ms, run),
        lateness: () => dice.between(0, LATENESS_MAX_MS),
        notify: (change) => this.#notify(change),
        onChange: () => witness.kernelChanged(this),
      },
      mac,
    );
    const forever = Number.POSITIVE_INFINITY;
    const prefix = prefixOf(`192.0.2.${id + 1}/24`);
    this.kernel.add({ ifindex: ETH0, prefix, validSeconds: forever, preferredSeconds: forever, isOrdinary: true });
  }

  get isPaused(): boolean {
    return this.#pausedAt !== undefined;
  }

  /** Acting, its cable is in, and nobody wants it empty. */
  get isWell(): boolean {
    const peers = this.process?.state.peers;
    const isDraining = peers?.isDrainedByOperator === true || peers?.isDrainedByNode === true;
    return this.isActing && this.isOnline() && !isDraining;
  }

  /** The machine and its process are in order. */
  get isActing(): boolean {
    const { process } = this;
    return (
      this.isPowered &&
      !this.isPaused &&
      process !== undefined &&
      !process.isFrozen &&
      !process.isDeafToKernel &&
      process.freezeBefore === undefined &&
      process.state.lifecycle === 'running' &&
      this.refuses.size === 0
    );
  }

  /** CLOCK_MONOTONIC of this machine, ms. */
  mono(): MonotonicMs {
    const at = this.#pausedAt ?? this.#options.schedule.now;
    return monotonic(this.#offset + (at - this.#pausedMs) * this.#rate);
  }

  isOnline(): boolean {
    const link = this.kernel.links.get(ETH0);
    return this.isPowered && !this.isPaused && link !== undefined && link.isUp && link.hasCarrier;
  }

  /** Linux answers on any interface for any address of the machine (arp_ignore 0). */
  isAnswering(ip: Ip): boolean {
    return this.isOnline() && this.kernel.has(ip);
  }

  hear(heard: Heard, frame: () => Uint8Array): void {
    const { process } = this;
    const ifindex = process === undefined ? undefined : listeningIndex(process, heard.ip);
    if (process === undefined || ifindex === undefined) return;
    // A packet socket that nobody reads overflows.
    if (process.inbox.length > INBOX_FRAMES_MAX) return;
    this.#deliver(process, { kind: 'frame.received', ifindex, frame: frame() }, 0.05, 1);
  }

  start(): void {
    if (!this.isPowered || this.isPaused || this.process !== undefined) return;
    const { dice, api, id, schedule } = this.#options;
    this.#runs += 1;
    const incarnation = `${this.name}-${this.#runs}`;
    const process: SimProcess = {
      incarnation,
      rules: { ...this.#options.rules, election: { ...this.#options.rules.election, incarnation } },
      startedAt: schedule.now,
      state: startAgent(dice.whole(0, 0xffff_ffff), this.mono()),
      inbox: [],
      isFrozen: false,
      isTurnDue: false,
      timer: 0,
      capture: new Map(),
      deadline: Number.POSITIVE_INFINITY,
      unwatch: () => {},
      freezeBefore: undefined,
      unperformed: [],
      sequence: 0,
      peers: new Map(),
      lastNotifyAt: 0,
      isDeafToKernel: false,
    };
    this.process = process;
    this.#seenPausedMs = this.#pausedMs;
    process.unwatch = api.watch(id, (event) => this.#deliver(process, event, 0.05, 3));
    this.#push(process, { kind: 'tick' });
    this.#push(process, { kind: 'kernel.dumped', snapshot: this.kernel.snapshot() });
    this.#turnIn(process, 0);
    if (process.rules.heartbeat.isEnabled) this.#lookAtApi(process);
  }

  /** SIGKILL, OOM: the kernel keeps what it has. */
  crash(): void {
    this.process?.unwatch();
    this.process = undefined;
  }

  /** SIGTERM. */
  terminate(): void {
    if (this.process !== undefined) this.#deliver(this.process, { kind: 'shutdown' }, 0.05, 2);
  }

  freeze(): void {
    if (this.process !== undefined) this.process.isFrozen = true;
  }

  thaw(): void {
    const { process } = this;
    if (process === undefined || !process.isFrozen) return;
    process.isFrozen = false;
    const { unperformed } = process;
    process.unperformed = [];
    this.#perform(process, unperformed);
    // Timers that came due meanwhile run before sockets are read, or after: it depends on where the loop was stopped.
    if (this.#options.dice.chance(0.5)) {
      process.inbox.unshift({ event: { kind: 'tick' }, at: this.#options.schedule.now });
    }
    this.#turnIn(process, 0);
  }

  /** The virtual machine stands still, its kernel too. */
  pause(): void {
    if (!this.isPowered || this.isPaused) return;
    this.#pausedAt = this.#options.schedule.now;
    this.#options.witness.kernelChanged(this);
  }

  resume(): void {
    if (this.#pausedAt === undefined) return;
    this.#pausedMs += this.#options.schedule.now - this.#pausedAt;
    this.#pausedAt = undefined;
    const { process } = this;
    const resumed = this.#resumed;
    this.#resumed = [];
    for (const run of resumed) run();
    if (process !== undefined) {
      this.#arm(process);
      if (process.inbox.length > 0) this.#turnIn(process, 0.1);
    }
    this.#options.witness.kernelChanged(this);
  }

  powerOff(): void {
    this.isPowered = false;
    this.crash();
    this.resume();
    this.#boots += 1;
    this.kernel.reset();
    this.#options.witness.kernelChanged(this);
  }

  powerOn(): void {
    this.isPowered = true;
    this.#options.witness.kernelChanged(this);
  }

  /** Notifications of the kernel are lost until the function is called, which makes the process dump anew. */
  loseNotifications(): () => void {
    const { process } = this;
    if (process === undefined) return () => {};
    process.isDeafToKernel = true;
    return () => {
      process.isDeafToKernel = false;
      if (this.process !== process) return;
      this.#deliver(process, { kind: 'kernel.dumped', snapshot: this.kernel.snapshot() }, 0.05, 1);
    };
  }

  /** An event from outside for the process that runs now, if one does. */
  inject(event: AgentEvent): void {
    if (this.process !== undefined) this.#deliver(this.process, event, 0.05, 1);
  }

  #notify(change: KernelChange): void {
    const { process } = this;
    if (process === undefined || process.isDeafToKernel) return;
    const { schedule, dice } = this.#options;
    process.lastNotifyAt = Math.max(process.lastNotifyAt, schedule.now + dice.skewed(0.02, 2));
    schedule.at(process.lastNotifyAt, () => this.#receive(process, { kind: 'kernel.changed', change }));
  }

  #deliver(process: SimProcess, event: AgentEvent, lowMs: number, highMs: number): void {
    const { schedule, dice } = this.#options;
    schedule.in(dice.skewed(lowMs, highMs), () => this.#receive(process, event));
  }

  #receive(process: SimProcess, event: AgentEvent): void {
    if (this.process !== process) return;
    this.#push(process, event);
    const { dice } = this.#options;
    // The loop is sometimes busy with other things: garbage collection, a slow disk, a full core.
    this.#turnIn(process, dice.chance(0.01) ? dice.between(5, 200) : dice.skewed(0.01, 1));
  }

  #turnIn(process: SimProcess, ms: number): void {
    if (process.isTurnDue) return;
    process.isTurnDue = true;
    this.#options.schedule.in(ms, () => {
      process.isTurnDue = false;
      if (this.process === process && !process.isFrozen && !this.isPaused) this.#turn(process);
    });
  }

  #turn(process: SimProcess): void {
    let ticks = 0;
    for (;;) {
      const arrived = process.inbox.shift();
      // runtime/heartbeats.ts: a datagram that waited for longer than silence takes is no news.
      if (arrived?.event.kind === 'heartbeat.received' && this.#waitedMs(arrived) > silentAfterMs(process)) continue;
      const event = arrived?.event;
      const isDue = process.deadline <= this.mono();
      if (event === undefined && !isDue) break;
      ticks += event === undefined ? 1 : 0;
      if (ticks > STEPS_AT_ONCE_MAX) throw new Error(`${this.name} spins: its deadline stays in the past`);
      const jumpMs = this.#pausedMs - this.#seenPausedMs;
      this.#seenPausedMs = this.#pausedMs;
      if (jumpMs >= JUMP_MIN_MS) this.#step(process, { kind: 'clock.jumped', byMs: jumpMs });
      this.#step(process, event ?? { kind: 'tick' });
      if (this.process !== process || process.isFrozen) return;
    }
    this.#arm(process);
  }

  #step(process: SimProcess, event: AgentEvent): void {
    if (this.process !== process || process.isFrozen) {
      process.inbox.unshift({ event, at: this.#options.schedule.now });
      return;
    }
    this.steps += 1;
    const now = this.mono();
    const stepped = (this.#options.step ?? step)(process.rules, process.state, event, now);
    process.state = stepped.state;
    process.deadline = agentDeadline(process.rules, process.state, now);
    this.#options.witness.stepped(this, event);
    this.#perform(process, stepped.effects);
    this.#options.witness.turned(this, event);
  }

  /** One timer, set anew after each turn. */
  #arm(process: SimProcess): void {
    process.timer += 1;
    const { timer } = process;
    if (process.deadline === Number.POSITIVE_INFINITY) return;
    this.#afterKernel(process.deadline, () => {
      if (this.process !== process || process.timer !== timer) return;
      const { dice } = this.#options;
      this.#turnIn(process, dice.chance(0.01) ? dice.between(5, 200) : dice.skewed(0.01, 1.5));
    });
  }

  /** Runs at `at` of this machine's clock; not at all once it was switched off. */
  #afterKernel(at: number, run: () => void): void {
    const boot = this.#boots;
    const { schedule } = this.#options;
    const isOver = (): boolean => this.#boots !== boot;
    schedule.in(Math.max(0, (at - this.mono()) / this.#rate), () => {
      if (isOver()) return;
      if (this.isPaused) this.#resumed.push(() => this.#afterKernel(at, run));
      else if (this.mono() < at - 1e-3) this.#afterKernel(at, run);
      else run();
    });
  }

  #perform(process: SimProcess, effects: readonly Effect[]): void {
    for (const [index, effect] of effects.entries()) {
      if (process.freezeBefore?.kind === effect.kind) {
        const { forMs } = process.freezeBefore;
        process.freezeBefore = undefined;
        process.unperformed = effects.slice(index);
        process.isFrozen = true;
        this.#options.witness.frozenBetween(this, process.unperformed, forMs);
        this.#options.schedule.in(forMs, () => {
          if (this.process === process) this.thaw();
        });
        return;
      }
      this.#options.witness.effect(this, effect);
      this.#performOne(process, effect);
      if (this.process !== process) return;
    }
  }

  #performOne(process: SimProcess, effect: Effect): void {
    const { api, id, lan } = this.#options;
    switch (effect.kind) {
      case 'lease.read':
      case 'lease.create':
      case 'lease.update':
        return api.call(id, effect, (event) => this.#receive(process, event));
      case 'address.add': {
        const { ifindex, prefix, validSeconds } = effect;
        if (this.refuses.has('address.add') || !this.kernel.links.has(ifindex)) {
          return this.#refused(process, effect, prefix.ip.text);
        }
        const { incarnation: addedBy } = process;
        return this.kernel.add({ ifindex, prefix, validSeconds, protocol: ADDRESS_PROTOCOL, addedBy });
      }
      case 'address.delete':
        if (this.refuses.has('address.delete')) return this.#refused(process, effect, effect.prefix.ip.text);
        this.kernel.delete(effect.ifindex, effect.prefix);
        return;
      case 'frame.send':
        if (this.kernel.links.get(effect.ifindex)?.isUp !== true) {
          return this.#refused(process, effect, effect.address.text);
        }
        if (this.isOnline()) lan.broadcast(this, effect.frame);
        return;
      case 'capture.set':
        if (effect.addresses.length === 0) process.capture.delete(effect.ifindex);
        else process.capture.set(effect.ifindex, new Set(effect.addresses.map((ip) => ip.text)));
        return;
      case 'name.resolve': {
        const addresses = this.#options.resolve();
        const { name } = effect;
        const event: AgentEvent =
          addresses.length === 0
            ? { kind: 'name.failed', name, message: 'ESERVFAIL' }
            : { kind: 'name.resolved', name, addresses };
        return this.#deliver(process, event, 1, 300);
      }
      case 'heartbeat.send':
        return this.#beat(process, effect);
      case 'member.register':
        return api.register(id, effect.member, (event) => this.#receive(process, event));
      case 'event.record':
      case 'log':
      case 'connections.end':
        return;
      case 'exit':
        this.crash();
        this.#options.witness.exited(this);
    }
  }

  #push(process: SimProcess, event: AgentEvent): void {
    process.inbox.push({ event, at: this.#options.schedule.now });
  }

  #waitedMs(arrived: Arrived): number {
    return this.#options.schedule.now - arrived.at;
  }

  #beat(process: SimProcess, effect: Extract<Effect, { kind: 'heartbeat.send' }>): void {
    process.sequence += 1;
    const { incarnation, sequence } = process;
    const heartbeat: Heartbeat = { ...effect.beat, sender: this.name, incarnation, sequence };
    for (const voter of effect.to) {
      const peer = this.#options.peer(voter.name);
      if (peer !== undefined) this.#options.lan.carry(this, peer, () => peer.#hearBeat(heartbeat, this.#runs));
    }
  }

  /** What has passed tag and replay window; `run` counts the sender's starts. */
  #hearBeat(heartbeat: Heartbeat, run: number): void {
    const { process } = this;
    if (process === undefined || process.inbox.length > INBOX_FRAMES_MAX) return;
    if (run < (process.peers.get(heartbeat.sender) ?? 0)) return;
    process.peers.set(heartbeat.sender, run);
    this.#receive(process, { kind: 'heartbeat.received', heartbeat });
  }

  /** The running process asks its own API server for /livez once a second. */
  #lookAtApi(process: SimProcess): void {
    const { api, id, schedule } = this.#options;
    if (this.process !== process) return;
    const isHealthy = !this.isApiIll && api.isAnswering(id);
    if (!process.isFrozen && !this.isPaused) {
      this.#deliver(process, { kind: 'api.probed', isHealthy, message: '' }, 1, 20);
    }
    schedule.in(API_LOOK_MS, () => this.#lookAtApi(process));
  }

  #refused(process: SimProcess, effect: Extract<Effect, { ifindex: number }>, address: string): void {
    if (effect.kind === 'capture.set') return;
    this.lastRefusedAt = this.#options.schedule.now;
    const { kind, ifindex } = effect;
    // As in the running process: it happens during the turn, so it is the next event in the queue.
    this.#push(process, {
      kind: 'effect.failed',
      effect: kind,
      ifindex,
      address,
      code: 'NETLINK_FAILED',
      message: 'refused',
    });
    this.#turnIn(process, 0);
  }
}

function listeningIndex({ capture }: SimProcess, ip: Ip): number | undefined {
  for (const [ifindex, addresses] of capture) if (addresses.has(ip.text)) return ifindex;
  return undefined;
}

function silentAfterMs(process: SimProcess): number {
  return process.rules.heartbeat.intervalMs * process.rules.heartbeat.multiplier;
}
