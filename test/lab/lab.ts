/**
 * Three control-plane nodes on one switch, in network namespaces: each node is a namespace with `eth0`, the switch is a
 * namespace with a bridge, and a client hangs on the same switch. Cables are cut with or without the carrier going,
 * nodes lose power, and everything is gone afterwards, also after Ctrl-C and after an earlier run that crashed.
 *
 * Needs root, or a user namespace (namespace.ts). `ip` sets the lab up; the product under test never sees it.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

import type { Family } from '../../src/base/ip.ts';
import { argvIn, inNamespace, NETNS_FOLDER } from './namespace.ts';
import { LabProcess, type ProcessOptions } from './process.ts';

export interface LabOptions {
  /** Begins the name of every namespace; the process id is added. */
  readonly prefix?: string;
  readonly nodes?: number;
  /** Default: both. */
  readonly families?: readonly Family[];
  /** First three octets of the IPv4 network (a /24), default 10.77.0. */
  readonly ipv4Network?: string;
  /** The IPv6 network's prefix (a /64) up to and with its last colon, default `fd77::`. */
  readonly ipv6Network?: string;
}

export interface LabNode {
  /** n1, n2, … */
  readonly name: string;
  readonly namespace: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** Hardware address of eth0, the same after a power loss. */
  readonly mac: string;
  /** The switch port it hangs on, an interface of the switch's namespace. */
  readonly port: string;
}

export interface AddressOnNode {
  readonly interface: string;
  readonly family: Family;
  readonly address: string;
  readonly prefixLength: number;
  /** Seconds; Infinity = forever. */
  readonly validSeconds: number;
  readonly flags: readonly string[];
}

export type NodeState = 'on' | 'cut' | 'unplugged' | 'off';

/** Host number of the switch itself. */
const SWITCH_HOST = 1;

const NAME_PATTERN = /^(hf-[a-z]+)-(\d+)-(sw|client|n\d+)$/;

export class Lab {
  readonly prefix: string;
  readonly nodes: readonly LabNode[];
  readonly client: LabNode;
  /** Namespace of the switch; its bridge has the addresses .1 and ::1. */
  readonly switchNamespace: string;
  readonly families: readonly Family[];
  readonly switchIpv4: string;
  readonly switchIpv6: string;
  readonly #ipv4Network: string;
  readonly #ipv6Network: string;
  readonly #processes = new Map<LabProcess, string | undefined>();
  readonly #states = new Map<string, NodeState>();
  readonly #powerListeners = new Set<(node: LabNode, isOn: boolean) => void>();
  readonly #onExit = (): void => this.#tearDown();
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#tearDown();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };

  constructor(options: LabOptions = {}) {
    this.prefix = `${options.prefix ?? 'hf-lab'}-${process.pid}`;
    this.families = options.families ?? ['ipv4', 'ipv6'];
    this.#ipv4Network = options.ipv4Network ?? '10.77.0';
    this.#ipv6Network = options.ipv6Network ?? 'fd77::';
    this.switchNamespace = `${this.prefix}-sw`;
    this.switchIpv4 = this.ipv4(SWITCH_HOST);
    this.switchIpv6 = this.ipv6(SWITCH_HOST);
    const count = options.nodes ?? 3;
    this.nodes = Array.from({ length: count }, (_, index) => this.#describe(`n${index + 1}`, 11 + index));
    this.client = this.#describe('client', 100);
    removeStaleNamespaces();
    process.on('exit', this.#onExit);
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
    try {
      this.#setUpSwitch();
      for (const member of [...this.nodes, this.client]) this.#setUpMember(member);
    } catch (error) {
      this.#tearDown();
      throw error;
    }
  }

  /** An IPv4 address of the lab's network, without prefix length. */
  ipv4(host: number): string {
    return `${this.#ipv4Network}.${host}`;
  }

  /** An IPv6 address of the lab's network; the host number's decimal digits are the last group, as in fd77::11. */
  ipv6(host: number): string {
    return `${this.#ipv6Network}${host}`;
  }

  /** The bridge's hardware address. */
  switchMac(): Buffer {
    return Buffer.from(hardwareAddress(SWITCH_HOST).replaceAll(':', ''), 'hex');
  }

  node(name: string): LabNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`the lab has no node ${name}`);
    return found;
  }

  state(node: LabNode): NodeState {
    return this.#states.get(node.name) ?? 'off';
  }

  /** Runs a program in the node's namespace; it ends with the lab at the latest. */
  spawn(member: LabNode | 'switch' | 'here', argv: readonly string[], options: ProcessOptions = {}): LabProcess {
    const namespace = member === 'here' ? undefined : member === 'switch' ? this.switchNamespace : member.namespace;
    const program = new LabProcess(argvIn(namespace, argv), { name: argv[0] ?? '', ...options });
    this.#processes.set(program, namespace);
    void program.ended.then(() => this.#processes.delete(program));
    return program;
  }

  /** The switch forgets the port: frames stop, the node's carrier stays. */
  cut(node: LabNode): void {
    ip('-n', this.switchNamespace, 'link', 'set', node.port, 'nomaster');
    this.#states.set(node.name, 'cut');
  }

  /** The cable is pulled: the node loses its carrier. */
  unplug(node: LabNode): void {
    ip('-n', this.switchNamespace, 'link', 'set', node.port, 'down');
    this.#states.set(node.name, 'unplugged');
  }

  /** Undoes cut, unplug and isolate; powers a node on that was off (its processes are the caller's business). */
  heal(node: LabNode): void {
    const wasOff = this.state(node) === 'off';
    if (wasOff) this.#setUpMember(node);
    else ip('-n', this.switchNamespace, 'link', 'set', node.port, 'up', 'master', 'br0');
    this.#states.set(node.name, 'on');
    if (wasOff) for (const listener of this.#powerListeners) listener(node, true);
  }

  /** Calls `listener` after a node lost its power or got it back; the function returned ends that. */
  onPower(listener: (node: LabNode, isOn: boolean) => void): () => void {
    this.#powerListeners.add(listener);
    return () => this.#powerListeners.delete(listener);
  }

  /** Nodes that are isolated reach everybody but each other. */
  isolate(nodes: readonly LabNode[], isIsolated = true): void {
    for (const node of nodes) {
      const value = isIsolated ? 'on' : 'off';
      ip('-n', this.switchNamespace, 'link', 'set', node.port, 'type', 'bridge_slave', 'isolated', value);
    }
  }

  /** Power loss: no frame more, every process killed, all kernel state (addresses, neighbours) gone. */
  async powerOff(node: LabNode): Promise<void> {
    this.unplug(node);
    const ending = this.processesOf(node).map((program) => {
      program.kill('SIGKILL');
      return program.ended;
    });
    killAllIn(node.namespace);
    await Promise.all(ending);
    // The namespace may outlive its name while something refers to it: its interface must go by itself.
    ip('-n', this.switchNamespace, 'link', 'del', node.port);
    ip('netns', 'del', node.namespace);
    this.#states.set(node.name, 'off');
    for (const listener of this.#powerListeners) listener(node, false);
  }

  processesOf(node: LabNode): readonly LabProcess[] {
    return [...this.#processes].filter(([, namespace]) => namespace === node.namespace).map(([program]) => program);
  }

  addresses(member: LabNode): readonly AddressOnNode[] {
    if (member !== this.client && this.state(member) === 'off') return [];
    return readAddresses(member.namespace);
  }

  /** Takes an address off a node's eth0, as an operator by mistake. */
  deleteAddress(node: LabNode, address: string): void {
    const found = this.addresses(node).find((candidate) => candidate.address === address);
    if (found === undefined) throw new Error(`${node.name} does not have ${address}`);
    ip('-n', node.namespace, 'addr', 'del', `${address}/${found.prefixLength}`, 'dev', found.interface);
  }

  /** Names of the nodes on which the kernel has this address now. */
  whoHolds(address: string): readonly string[] {
    return this.nodes
      .filter((node) => this.addresses(node).some((candidate) => candidate.address === address))
      .map((node) => node.name);
  }

  /** A further switch, to which every node and the client get an interface of this name: later than everything else. */
  addNetwork(name: string, networks: { readonly ipv4: string; readonly ipv6: string }): void {
    ip('-n', this.switchNamespace, 'link', 'add', `br-${name}`, 'type', 'bridge', 'mcast_snooping', '0');
    ip('-n', this.switchNamespace, 'link', 'set', `br-${name}`, 'up');
    for (const [index, member] of [...this.nodes, this.client].entries()) {
      const port = `${name}-${member.name}`;
      const peer = ['peer', 'name', port, 'netns', this.switchNamespace];
      ip('link', 'add', name, 'netns', member.namespace, 'type', 'veth', ...peer);
      ip('-n', this.switchNamespace, 'link', 'set', port, 'up', 'master', `br-${name}`);
      ipBatch(member.namespace, [
        `addr add ${networks.ipv4}.${11 + index}/24 dev ${name}`,
        `addr add ${networks.ipv6}${11 + index}/64 dev ${name} nodad`,
        `link set ${name} up`,
      ]);
    }
  }

  /** Takes the carrier of one interface of a node away, or gives it back. */
  setCarrier(node: LabNode, name: string, isOn: boolean): void {
    const port = name === 'eth0' ? node.port : `${name}-${node.name}`;
    ip('-n', this.switchNamespace, 'link', 'set', port, isOn ? 'up' : 'down');
  }

  /** Ends every process and removes every namespace of this lab. */
  async close(): Promise<void> {
    const ending = [...this.#processes.keys()].map((program) => program.ended);
    this.#tearDown();
    await Promise.all(ending);
  }

  #describe(name: string, host: number): LabNode {
    return {
      name,
      namespace: `${this.prefix}-${name}`,
      ipv4: this.families.includes('ipv4') ? this.ipv4(host) : undefined,
      ipv6: this.families.includes('ipv6') ? this.ipv6(host) : undefined,
      mac: hardwareAddress(host),
      port: `p-${name}`,
    };
  }

  #setUpSwitch(): void {
    const name = this.switchNamespace;
    ip('netns', 'add', name);
    prepareStack(name);
    ipBatch(name, [
      'link set lo up',
      // Snooping would have the bridge withhold neighbour discovery until it has learnt who listens.
      // A bridge without an address of its own takes its ports' lowest: it would change when a port comes or goes.
      `link add br0 address ${hardwareAddress(SWITCH_HOST)} type bridge mcast_snooping 0`,
      'link set br0 up',
      ...(this.families.includes('ipv4') ? [`addr add ${this.switchIpv4}/24 dev br0`] : []),
      ...(this.families.includes('ipv6') ? [`addr add ${this.switchIpv6}/64 dev br0 nodad`] : []),
    ]);
  }

  #setUpMember(member: LabNode): void {
    ip('netns', 'add', member.namespace);
    prepareStack(member.namespace);
    ip(
      'link',
      'add',
      'eth0',
      'address',
      member.mac,
      'netns',
      member.namespace,
      'type',
      'veth',
      'peer',
      'name',
      member.port,
      'netns',
      this.switchNamespace,
    );
    ip('-n', this.switchNamespace, 'link', 'set', member.port, 'up', 'master', 'br0');
    ipBatch(member.namespace, [
      'link set lo up',
      ...(member.ipv4 === undefined ? [] : [`addr add ${member.ipv4}/24 brd + dev eth0`]),
      ...(member.ipv6 === undefined ? [] : [`addr add ${member.ipv6}/64 dev eth0 nodad`]),
      'link set eth0 up',
      ...(member.ipv4 === undefined ? [] : [`route add default via ${this.switchIpv4}`]),
      ...(member.ipv6 === undefined ? [] : [`route add ::/0 via ${this.switchIpv6}`]),
    ]);
    this.#states.set(member.name, 'on');
  }

  #tearDown(): void {
    process.off('exit', this.#onExit);
    process.off('SIGINT', this.#onSignal);
    process.off('SIGTERM', this.#onSignal);
    for (const program of this.#processes.keys()) program.kill('SIGKILL');
    for (const name of namespaceNames().filter((candidate) => candidate.startsWith(`${this.prefix}-`))) {
      removeNamespace(name);
    }
  }
}

/** A locally administered address from a host number of the lab's networks. */
function hardwareAddress(host: number): string {
  return `02:00:00:00:77:${host.toString(16).padStart(2, '0')}`;
}

/** The lab's interfaces should be usable at once: no duplicate address detection for what the lab itself adds. */
function prepareStack(namespace: string): void {
  inNamespace(namespace, () => {
    const settings = { 'ipv6/conf/all/disable_ipv6': '0', 'ipv6/conf/default/dad_transmits': '0' };
    for (const [name, value] of Object.entries(settings)) {
      const path = `/proc/sys/net/${name}`;
      if (existsSync(path) && readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, value);
    }
  });
}

interface IpAddressRow {
  readonly ifname: string;
  readonly addr_info: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
    readonly valid_life_time: number;
    readonly [flag: string]: unknown;
  }[];
}

const FOREVER = 4_294_967_295;
const FLAGS = ['deprecated', 'tentative', 'noprefixroute', 'nodad', 'permanent', 'dynamic', 'dadfailed'];

function readAddresses(namespace: string): readonly AddressOnNode[] {
  // The format is iproute2's own (ip-address(8), -json).
  const rows = JSON.parse(ip('-n', namespace, '-j', 'addr', 'show')) as readonly IpAddressRow[];
  return rows.flatMap((row) =>
    row.addr_info.map((entry) => ({
      interface: row.ifname,
      family: entry.family === 'inet6' ? ('ipv6' as const) : ('ipv4' as const),
      address: entry.local,
      prefixLength: entry.prefixlen,
      validSeconds: entry.valid_life_time >= FOREVER ? Number.POSITIVE_INFINITY : entry.valid_life_time,
      flags: FLAGS.filter((flag) => entry[flag] === true),
    })),
  );
}

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function ipBatch(namespace: string, lines: readonly string[]): void {
  execFileSync('ip', ['-n', namespace, '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
}

function namespaceNames(): readonly string[] {
  return existsSync(NETNS_FOLDER) ? readdirSync(NETNS_FOLDER) : [];
}

/** Namespaces that a lab of this library left behind whose process is no more. */
function removeStaleNamespaces(): void {
  for (const name of namespaceNames()) {
    const pid = NAME_PATTERN.exec(name)?.[2];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeNamespace(name);
  }
}

function removeNamespace(name: string): void {
  try {
    killAllIn(name);
    ip('netns', 'del', name);
  } catch {
    // Somebody else's clean-up was faster, or the folder holds a name that is no namespace any more.
  }
}

/** Kills what runs in the namespace, whoever started it there: the namespace is the lab's own. */
function killAllIn(namespace: string): void {
  const pids = ip('netns', 'pids', namespace).split('\n').filter(Boolean).map(Number);
  for (const pid of pids) {
    // This very process is never inside for longer than a synchronous call, but its threads' home is checked all the same.
    if (pid === process.pid) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended in the meantime.
    }
  }
}
