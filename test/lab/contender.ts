/**
 * What holds the virtual IPs in the lab, seen from a scenario: programs, one a node, that are started, stopped, killed,
 * frozen and thawed. The product's managers are such (managersOf), and so are the programs it is measured against
 * (ForeignCandidates), which may end with two holders or none without that being the lab's failure.
 */

import { readFileSync } from 'node:fs';

import { sleep } from './clock.ts';
import type { Cluster } from './cluster.ts';
import type { LabNode } from './lab.ts';
import type { LabProcess } from './process.ts';

/** How long a scenario waits for what may never come; without it the wait is long and its end an error. */
export interface Patience {
  /** Until another node has every virtual IP, ms. */
  readonly takeOverMs: number;
  /** From then on until the former holder has none, ms. */
  readonly letGoMs: number;
}

export interface Candidates {
  /** Starts the program on a node; resolves when it takes part. */
  start(node: LabNode): Promise<void>;
  /** Asks it to end in order; resolves when it has. */
  stop(node: LabNode): Promise<void>;
  kill(node: LabNode): void;
  freeze(node: LabNode): void;
  thaw(node: LabNode): void;
  readonly patience: Patience | undefined;
}

/** The product's managers. `isAtDefaults`: without the lab's short Lease timings. */
export function managersOf(
  cluster: Cluster,
  options: { readonly isAtDefaults?: boolean; readonly patience?: Patience } = {},
): Candidates {
  const names = ['vip_leaseduration', 'vip_renewdeadline', 'vip_retryperiod'];
  const unset = Object.fromEntries(names.map((name) => [name, undefined]));
  return {
    patience: options.patience,
    start: async (node) => {
      if (options.isAtDefaults !== true) return cluster.startCandidate(node);
      await cluster.startManager(node, { env: unset }).waitForLine(/api credentials loaded/);
    },
    stop: async (node) => {
      await cluster.manager(node).stop();
    },
    kill: (node) => cluster.manager(node).kill('SIGKILL'),
    freeze: (node) => cluster.manager(node).freeze(),
    thaw: (node) => cluster.manager(node).thaw(),
  };
}

export interface ForeignProgram {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The line after which it takes part. */
  readonly takesPart: RegExp;
  /** Started again this long after it ended by itself, ms, as a kubelet would; without it never. */
  readonly restartMs?: number;
}

/** How long another program has for what Holdfast is given ten times as long in tests. */
const FOREIGN_PATIENCE: Patience = { takeOverMs: 12_000, letGoMs: 3000 };

/** Programs of others, one a node. Killed and frozen with all their children. */
export class ForeignCandidates implements Candidates {
  readonly patience = FOREIGN_PATIENCE;
  readonly #cluster: Cluster;
  readonly #name: string;
  readonly #program: (node: LabNode) => ForeignProgram;
  readonly #running = new Map<string, LabProcess>();
  /** Nodes on which it is to run: whoever ends there by itself is started again. */
  readonly #wanted = new Set<string>();

  constructor(cluster: Cluster, name: string, program: (node: LabNode) => ForeignProgram) {
    this.#cluster = cluster;
    this.#name = name;
    this.#program = program;
  }

  async start(node: LabNode): Promise<void> {
    this.#wanted.add(node.name);
    if (this.#running.get(node.name)?.isRunning === true) return;
    // What a crashed one left behind: whoever starts it again has cleaned up first.
    const left = this.#cluster.lab.addresses(node).filter(({ address }) => this.#cluster.vips.includes(address));
    for (const { address } of left) this.#cluster.lab.deleteAddress(node, address);
    const { program, takesPart } = this.#spawn(node);
    await program.waitForLine(takesPart, 20_000);
  }

  async stop(node: LabNode): Promise<void> {
    this.#wanted.delete(node.name);
    await this.#running.get(node.name)?.stop();
  }

  kill(node: LabNode): void {
    this.#wanted.delete(node.name);
    this.#signal(node, 'SIGKILL');
  }

  freeze(node: LabNode): void {
    this.#signal(node, 'SIGSTOP');
  }

  thaw(node: LabNode): void {
    this.#signal(node, 'SIGCONT');
  }

  #spawn(node: LabNode): { readonly program: LabProcess; readonly takesPart: RegExp } {
    const { argv, env = {}, takesPart, restartMs } = this.#program(node);
    const program = this.#cluster.lab.spawn(node, argv, { name: `${this.#name}@${node.name}`, env });
    this.#running.set(node.name, program);
    if (restartMs !== undefined) {
      void program.ended.then(async () => {
        await sleep(restartMs);
        const isOn = this.#cluster.lab.state(node) !== 'off';
        if (isOn && this.#wanted.has(node.name) && this.#running.get(node.name) === program) this.#spawn(node);
      });
    }
    return { program, takesPart };
  }

  /** The children first: the parent of a killed one would start it again, or end it in order. */
  #signal(node: LabNode, signal: NodeJS.Signals): void {
    const program = this.#running.get(node.name);
    if (program?.isRunning !== true) return;
    const family = [program.pid, ...descendants(program.pid)];
    const isEnding = signal === 'SIGKILL';
    // Stopped first, so that between two kills none of them acts.
    for (const pid of isEnding ? family : []) process.kill(pid, 'SIGSTOP');
    for (const pid of family.toReversed()) process.kill(pid, signal);
  }
}

/** Process ids of the children, their children, and so on (proc(5), /proc/pid/task/tid/children). */
function descendants(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}
