/**
 * A whole cluster in one seed: nodes, segment, API, a client, strangers, and what goes wrong with them. `runSeed` plays it
 * to its end or to the first broken invariant; the same seed gives the same run, to the last octet.
 */

import type { Effect } from '../../src/agent/effect.ts';
import type { AgentEvent } from '../../src/agent/event.ts';
import type { AgentRules } from '../../src/agent/state.ts';
import type { Ip } from '../../src/base/ip.ts';
import type { Heard } from '../../src/vip/wire.ts';
import { SimApi, type Write } from './api.ts';
import { SimClient } from './client.ts';
import { Dice } from './dice.ts';
import { FAULTS, type Begun } from './faults.ts';
import { Violation, Watchman } from './invariants.ts';
import { ipOf, LATENESS_MAX_MS, macOf } from './kernel.ts';
import { SimLan, type LanHost } from './lan.ts';
import { SimNode, type NodeWitness, type StepFunction } from './node.ts';
import { rollProfile, VIP4, VIP4_OTHER, withServices, withStragglers, type Profile } from './profile.ts';
import { Schedule } from './schedule.ts';
import { SimServices } from './services.ts';
import { ServicesWatchman } from './services-watchman.ts';

/** A change of the core or of its surroundings that the invariants must catch; src itself is never edited. */
export interface Mutant {
  readonly name: string;
  readonly what: string;
  readonly rules?: (rules: AgentRules) => AgentRules;
  readonly step?: StepFunction;
  readonly ignoresVersions?: boolean;
  /** It is about Services: every seed has some. */
  readonly isOfServices?: boolean;
  /** The kinds of faults that bring it to light; undefined: any. */
  readonly faults?: readonly string[];
}

export interface RunOptions {
  readonly seed: number;
  readonly mutant?: Mutant;
  readonly trace?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  /** undefined: every invariant held. */
  readonly failure: { readonly invariant: string; readonly at: number; readonly message: string } | undefined;
  readonly simulatedMs: number;
  readonly steps: number;
  readonly moves: number;
  readonly faults: readonly string[];
  readonly worstOverlapMs: number;
  readonly worstOutageMs: number;
}

/** One seed in so many has Services. */
const SERVICES_EVERY = 24;

/** A mutant of the rest is looked for where there are none: what is broken there is broken here, under another name. */
function hasServices({ seed, mutant }: RunOptions): boolean {
  return mutant === undefined ? seed % SERVICES_EVERY === 7 : mutant.isOfServices === true;
}

export function runSeed(options: RunOptions): RunResult {
  const world = new World(options);
  const failure = world.run();
  return {
    seed: options.seed,
    failure,
    simulatedMs: world.schedule.now,
    steps: world.nodes.reduce((sum, node) => sum + node.steps, 0),
    moves: world.moves,
    faults: world.faultsBegun,
    worstOverlapMs: world.watchman.worstOverlapMs,
    worstOutageMs: world.client.worstMs,
  };
}

/** The holder is what most faults are about. */
const HOLDER_BIAS = 0.5;
/** Until the next deadline of a holder, a second at most (the lifetime is renewed every second), and what its loop is late. */
const RESUME_MS = 1300;

export class World implements NodeWitness {
  readonly schedule = new Schedule();
  readonly dice: Dice;
  readonly profile: Profile;
  readonly lan: SimLan;
  readonly api: SimApi;
  readonly nodes: SimNode[] = [];
  readonly vips: readonly Ip[];
  readonly watchman: Watchman;
  services: SimServices | undefined;
  #servicesWatchman: ServicesWatchman | undefined;
  readonly client: SimClient;
  readonly faultsBegun: string[] = [];
  moves = 0;
  readonly #options: RunOptions;
  readonly #strangers = new Set<LanHost>();
  readonly #open = new Set<() => void>();
  #named: readonly Ip[];
  #nameChangedAt = 0;
  #strangerCount = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    this.dice = new Dice(options.seed);
    const rolled = rollProfile(this.dice);
    const ofServices = hasServices(options) ? new Dice(options.seed ^ 0x5eed) : undefined;
    const profile =
      ofServices === undefined
        ? withStragglers(rolled, new Dice(options.seed ^ 0x57a6))
        : withServices(rolled, ofServices);
    const rules = options.mutant?.rules?.(profile.rules) ?? profile.rules;
    this.profile = profile;
    const literals = profile.rules.sources.flatMap((source) => (source.kind === 'ip' ? [source.ip] : []));
    const isNamed = profile.rules.sources.some(({ kind }) => kind === 'name');
    this.vips = isNamed ? [ipOf(VIP4), ipOf(VIP4_OTHER)] : literals;
    this.#named = this.vips.slice(0, 1);
    this.lan = new SimLan(this.schedule, this.dice.fork());
    this.lan.lossProbability = profile.lossProbability;
    this.api = new SimApi({
      schedule: this.schedule,
      dice: this.dice.fork(),
      deadlineMs: profile.apiDeadlineMs,
      onWrite: (write) => this.#wrote(write),
      ...(options.mutant?.ignoresVersions === undefined ? {} : { ignoresVersions: options.mutant.ignoresVersions }),
    });
    for (let id = 0; id < profile.nodeCount; id += 1) this.#addNode(id, rules);
    if (ofServices !== undefined) this.services = this.#makeServices(ofServices);
    this.client = new SimClient({
      mac: macOf('02:00:00:00:ff:01'),
      lan: this.lan,
      schedule: this.schedule,
      ip: this.#firstVip(),
    });
    this.watchman = new Watchman({
      schedule: this.schedule,
      rules: profile.rules,
      apiDeadlineMs: profile.apiDeadlineMs,
      vips: this.vips,
      nodes: this.nodes,
      strangers: this.#strangers,
      lan: this.lan,
      api: this.api,
      isWanted: (ip) => this.#isWanted(ip),
    });
    if (this.services !== undefined) this.#servicesWatchman = this.#watchServices(this.services);
    this.#seedLease();
    this.#planFaults();
  }

  /** Addresses that something may happen to. */
  get targets(): readonly Ip[] {
    return this.services === undefined ? this.vips : [...this.vips, ...this.services.addresses];
  }

  #makeServices(dice: Dice): SimServices {
    const { schedule, api, nodes } = this;
    const { faultsUntil: movesUntil } = this.profile;
    const say = (text: string): void => this.say('svc', text);
    const services = new SimServices({ schedule, dice, api, nodes, movesUntil, say });
    services.begin();
    return services;
  }

  #watchServices(services: SimServices): ServicesWatchman {
    const { schedule, nodes, lan, api, watchman } = this;
    return new ServicesWatchman({
      schedule,
      rules: this.profile.rules,
      nodes,
      strangers: this.#strangers,
      lan,
      api,
      services,
      isExcusing: () => watchman.isExcusing,
    });
  }

  run(): RunResult['failure'] {
    this.#describe();
    try {
      while (this.schedule.next(this.profile.until));
      this.watchman.checkEnd(this.client.isServed() || (this.vips.length > 0 && !this.#isWanted(this.#firstVip())));
      this.#servicesWatchman?.checkEnd();
      return undefined;
    } catch (error) {
      const { now } = this.schedule;
      const invariant = error instanceof Violation ? error.invariant : 'exception';
      const message = error instanceof Error ? error.message : String(error);
      this.say('!', `${invariant}: ${message}`);
      if (!(error instanceof Violation) && error instanceof Error) this.say('!', error.stack ?? '');
      return { invariant, at: now, message };
    }
  }

  /** A machine that uses `ip` as its own, statically: it answers and announces like any other. */
  addStranger(ip: Ip): () => void {
    this.#strangerCount += 1;
    const mac = macOf(`02:00:00:00:ee:${(this.#strangerCount & 0xff).toString(16).padStart(2, '0')}`);
    const host: LanHost = { mac, isOnline: () => true, isAnswering: (asked) => asked.text === ip.text, hear: () => {} };
    this.#strangers.add(host);
    this.lan.add(host);
    const announce = (): void => {
      if (!this.#strangers.has(host)) return;
      const heard: Heard = { kind: 'uses', ip, mac };
      this.lan.announce(host, heard);
      this.schedule.in(this.dice.between(500, 4000), announce);
    };
    announce();
    return () => {
      this.#strangers.delete(host);
      this.lan.remove(host);
    };
  }

  /** Whether configuration asks for the address: always, but for one that the name doesn't mean now. */
  isNamed(ip: Ip): boolean {
    return (
      this.profile.rules.sources.some((source) => source.kind === 'ip') ||
      this.#named.some((one) => one.text === ip.text)
    );
  }

  changeName(): Begun | undefined {
    if (this.profile.rules.sources.some((source) => source.kind === 'ip')) return undefined;
    const isFailing = this.dice.chance(0.3);
    const before = this.#named;
    this.#named = isFailing ? [] : this.vips.filter((ip) => !before.includes(ip)).slice(0, 1);
    if (!isFailing) this.#nameChangedAt = this.schedule.now;
    const text = isFailing ? 'the name does not resolve' : `the name is ${this.#named[0]?.text} now`;
    const end = (): void => {
      if (isFailing) this.#named = before;
    };
    return { text, forMs: isFailing ? this.dice.skewed(500, 10_000) : 0, end };
  }

  kernelChanged(): void {
    // The first kernels change while the world is still being built.
    (this.watchman as Watchman | undefined)?.look();
  }

  effect(node: SimNode, effect: Effect): void {
    this.watchman.effect(node, effect);
    this.#servicesWatchman?.effect(node, effect);
    if (this.#options.trace === undefined) return;
    switch (effect.kind) {
      case 'address.add':
        return this.say(node.name, `adds ${effect.prefix.ip.text} for ${effect.validSeconds} s`);
      case 'address.delete':
        return this.say(node.name, `deletes ${effect.prefix.ip.text}/${effect.prefix.length} from #${effect.ifindex}`);
      case 'frame.send':
        return this.say(node.name, `sends ${effect.purpose} ${effect.address.text}`);
      case 'lease.read':
        return this.say(node.name, `reads the Lease (${effect.attempt})`);
      case 'lease.create':
      case 'lease.update':
        return this.say(
          node.name,
          `sends ${effect.kind} (${effect.attempt}) holder "${effect.lease.holder}" over ${effect.lease.resourceVersion}`,
        );
      case 'log':
        return this.say(node.name, `${effect.level}: ${effect.msg} ${JSON.stringify(effect.fields)}`);
      case 'exit':
        return this.say(node.name, 'exits');
      case 'member.register':
        return this.say(node.name, 'registers itself');
      case 'connections.end':
        return this.say(
          node.name,
          `ends connections (${effect.cause}) of ${effect.addresses.map(({ text }) => text).join(' ')}`,
        );
      case 'heartbeat.send':
      case 'capture.set':
      case 'name.resolve':
      case 'event.record':
    }
  }

  stepped(node: SimNode, event: AgentEvent): void {
    this.watchman.stepped(node, event);
    this.#servicesWatchman?.stepped(node, event);
    if (this.#options.trace !== undefined && event.kind !== 'tick') this.say(node.name, `· ${describeEvent(event)}`);
  }

  turned(node: SimNode, event: AgentEvent): void {
    this.watchman.turned(node, event);
    this.#servicesWatchman?.turned(node);
  }

  exited(node: SimNode): void {
    this.say(node.name, 'has ended');
  }

  frozenBetween(node: SimNode, effects: readonly Effect[], forMs: number): void {
    this.say(node.name, `is frozen before ${effects[0]?.kind ?? 'nothing'} for ${Math.round(forMs)} ms`);
    // A late add is undone by the turn after it: what the loop may be late.
    if (effects.some((effect) => effect.kind === 'address.add')) this.watchman.excuse(forMs + 250);
  }

  /**
   * A paused machine's lifetimes stand still: when it resumes, its kernel answers until its process has run, or, without
   * a process that runs, until what was left of the lifetime has passed.
   */
  resumes(node: SimNode): void {
    const { process } = node;
    this.watchman.excuse(process === undefined || process.isFrozen ? this.#lifetimeMs() : RESUME_MS);
  }

  /** A process that ends or freezes just when its machine has resumed leaves what it would have removed. */
  stops(): void {
    if (this.watchman.isExcusing) this.watchman.excuse(this.#lifetimeMs());
  }

  #lifetimeMs(): number {
    return this.profile.rules.vip.lifetimeSeconds * 1000 + LATENESS_MAX_MS;
  }

  say(who: string, text: string): void {
    this.#options.trace?.(`${(this.schedule.now / 1000).toFixed(3).padStart(8)}  ${who.padEnd(6)} ${text}`);
  }

  /** Unless something that befell it has started it already. */
  #join(node: SimNode): void {
    if (node.process === undefined && node.isPowered) node.start();
  }

  #addNode(id: number, rules: AgentRules): void {
    const name = `n${id}`;
    const { schedule, lan, api } = this;
    const step = this.#options.mutant?.step;
    const node = new SimNode({
      id,
      name,
      mac: macOf(`02:00:00:00:00:0${id + 1}`),
      schedule,
      dice: this.dice.fork(),
      lan,
      api,
      rules: {
        ...rules,
        node: name,
        election: { ...rules.election, identity: name },
        heartbeat: {
          ...rules.heartbeat,
          isEnabled: rules.heartbeat.isEnabled && !this.profile.mutes.includes(id),
          priority: this.dice.chance(0.2) ? 200 : 100,
        },
      },
      resolve: () => this.#named,
      witness: this,
      peer: (peer) => this.nodes.find((one) => one.name === peer),
      ...(step === undefined ? {} : { step }),
    });
    this.nodes.push(node);
    lan.add(node);
    const startAt = this.dice.skewed(0, 2000);
    schedule.at(this.profile.joins.get(id) ?? startAt, () => this.#join(node));
  }

  /** Most clusters begin with nothing; some find what a former holder left. */
  #seedLease(): void {
    if (!this.dice.chance(0.25)) return;
    this.api.lease = {
      holder: this.dice.pick(['', 'gone']),
      durationMs: this.dice.pick([1000, 5000]),
      transitions: 0,
      acquireTime: 'once',
      renewTime: 'once',
      annotations: {},
      labels: {},
      resourceVersion: '1',
    };
  }

  #planFaults(): void {
    const kinds = this.#drawKinds();
    const total = kinds.reduce((sum, kind) => sum + (FAULTS[kind]?.[0] ?? 0), 0);
    let at = 0;
    for (let count = 0; count < this.profile.faultCount; count += 1) {
      // Troubles come together: half of them soon after another.
      const isSoon = count > 0 && this.dice.chance(0.5);
      at = isSoon ? at + this.dice.skewed(0, 8000) : this.dice.between(500, this.profile.faultsUntil);
      let roll = this.dice.next() * total;
      const kind = kinds.find((one) => (roll -= FAULTS[one]?.[0] ?? 0) < 0) ?? 'crash';
      if (at < this.profile.faultsUntil) this.schedule.at(at, () => this.#beginFault(kind));
    }
    this.schedule.at(this.profile.faultsUntil, () => this.#mend());
  }

  #drawKinds(): readonly string[] {
    const all = Object.keys(FAULTS);
    if (this.#options.mutant?.faults !== undefined) return this.#options.mutant.faults;
    const drawn = new Set<string>();
    while (drawn.size < Math.min(this.profile.faultKinds, all.length)) drawn.add(this.dice.pick(all));
    return [...drawn];
  }

  #beginFault(kind: string): void {
    const holder =
      this.nodes.find((node) => this.vips.some((ip) => node.kernel.has(ip))) ??
      (this.services === undefined ? undefined : this.nodes.find(({ name }) => name === this.api.lease?.holder));
    const node = holder !== undefined && this.dice.chance(HOLDER_BIAS) ? holder : this.dice.pick(this.nodes);
    const begun = FAULTS[kind]?.[1](this, node);
    if (begun === undefined) return;
    this.faultsBegun.push(kind);
    this.say('*', `${kind}: ${begun.text}${begun.forMs > 0 ? ` (${Math.round(begun.forMs)} ms)` : ''}`);
    const end = (): void => {
      if (!this.#open.delete(end)) return;
      begun.end();
      if (begun.forMs > 0) this.say('*', `${kind} is over`);
    };
    this.#open.add(end);
    this.schedule.in(begun.forMs, end);
  }

  #mend(): void {
    for (const end of this.#open) end();
    this.lan.lossProbability = 0;
    this.say('*', 'everything is mended');
    for (const node of this.nodes) {
      node.isApiIll = false;
      if (node.process === undefined) node.start();
      // One that is just stopping is started again by its kubelet.
      this.schedule.in(4000, () => node.start());
    }
  }

  #wrote(write: Write): void {
    const { before, after } = write;
    if (before?.holder !== after.holder) this.moves += 1;
    this.say(
      'api',
      `${after.resourceVersion}: holder "${after.holder}", transitions ${after.transitions}, by n${write.by}`,
    );
    this.watchman.wrote(write);
  }

  #isWanted(ip: Ip): boolean {
    const { sources, nameRefreshMs } = this.profile.rules;
    if (sources.some((source) => source.kind === 'ip')) return true;
    const isSettled = this.schedule.now - this.#nameChangedAt > nameRefreshMs + 3000;
    return isSettled && this.#named.some((one) => one.text === ip.text);
  }

  #firstVip(): Ip {
    const [first] = this.targets;
    if (first === undefined) throw new Error('a profile has an address');
    return first;
  }

  #describe(): void {
    const { rules, nodeCount, faultCount } = this.profile;
    const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = rules.election;
    const timing = [leaseDurationMs, renewDeadlineMs, retryPeriodMs].map((ms) => ms / 1000).join('/');
    const addresses = this.vips.map((ip) => ip.text).join(', ');
    const { mutes, joins } = this.profile;
    const heartbeats = `heartbeats ${rules.heartbeat.isEnabled ? 'on' : 'off'}`;
    const apart = [
      ...mutes.map((id) => `, n${id} speaks none`),
      ...[...joins.keys()].map((id) => `, n${id} joins late`),
    ];
    this.say(
      '#',
      `seed ${this.#options.seed}: ${nodeCount} nodes, ${timing} s, ${addresses}, ${faultCount} faults, ${rules.vip.conflictPolicy}, ${heartbeats}${apart.join('')}`,
    );
  }
}

function describeEvent(event: AgentEvent): string {
  switch (event.kind) {
    case 'lease.observed':
      return `${event.source} saw ${event.lease === undefined ? 'no Lease' : `"${event.lease.holder}" ${event.lease.resourceVersion}`}`;
    case 'lease.written':
      return `write ${event.attempt} is done: ${event.lease.resourceVersion}`;
    case 'lease.failed':
      return `call ${event.attempt} failed: ${event.failure}`;
    case 'kernel.changed':
      return event.change.kind === 'address' || event.change.kind === 'address-gone'
        ? `kernel: ${event.change.kind} ${event.change.address.prefix.ip.text}`
        : `kernel: ${event.change.kind}`;
    case 'clock.jumped':
      return `clocks jumped by ${Math.round(event.byMs)} ms`;
    case 'effect.failed':
      return `${event.effect} ${event.address} was refused`;
    default:
      return event.kind;
  }
}
