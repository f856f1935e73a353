/** The control plane with Services on it, and everything that is watched while something happens to it. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Capture } from '../../test/lab/capture.ts';
import { nowMs, sleep } from '../../test/lab/clock.ts';
import { HolderWatch } from '../../test/lab/holders.ts';
import { waitFor } from '../../test/lab/process.ts';
import { seconds, type ControlPlane } from '../kubeadm/control-plane.ts';
import type { Answer, Machine } from '../kubeadm/machine.ts';
import { ServiceTraffic, UNDERWAY_MS, type Stretch } from './traffic.ts';
import {
  createServices,
  createWebServers,
  readEndpoints,
  readService,
  SERVICES,
  setReplicas,
  type ServiceName,
} from './web.ts';

export type Addresses = Readonly<Record<ServiceName, string>>;

/** Of one address, from a moment on. */
export interface Passage {
  /** Nodes whose kernel has it at the end, and those that answer ARP questions for it then. */
  readonly owners: readonly string[];
  readonly answering: readonly string[];
  /** From the start to the address on another node, and to that node's first announcement, s; undefined: it stayed. */
  readonly movedAfterS: number | undefined;
  readonly announcedAfterS: number | undefined;
  /** The longest time that two kernels had it at once, and that two answered for it in turns, ms. */
  readonly twoOwnersMs: number;
  readonly twoAnsweringMs: number;
  readonly http: Stretch;
  readonly udp: Stretch;
}

const ASK_EVERY_MS = 50;
/** How far back from now an ARP answer counts as one of now. */
const LATELY_MS = 1500;

export class Scene {
  readonly cluster: ControlPlane;
  readonly holders: HolderWatch;
  readonly capture: Capture;
  #addresses: Addresses | undefined;
  #traffic: ServiceTraffic | undefined;

  constructor(cluster: ControlPlane, pool: readonly string[]) {
    this.cluster = cluster;
    this.holders = new HolderWatch(cluster.lab, pool);
    this.capture = new Capture(cluster.lab);
    this.capture.ask(pool, ASK_EVERY_MS);
  }

  /** Names of all machines. */
  get nodes(): readonly string[] {
    return this.cluster.machines.map(({ name }) => name);
  }

  /** Whoever can be asked. */
  get admin(): Machine {
    const found = this.cluster.machines.find(({ isOn }) => isOn);
    if (found === undefined) throw new Error('no machine is on');
    return found;
  }

  get traffic(): ServiceTraffic {
    if (this.#traffic === undefined) throw new Error('nothing is asked before the Services have addresses');
    return this.#traffic;
  }

  address(name: ServiceName): string {
    if (this.#addresses === undefined) throw new Error('the Services have no addresses');
    return this.#addresses[name];
  }

  /** Web servers on some nodes, and the Services; seconds from their creation to their addresses. */
  async create(nodes: readonly string[]): Promise<number> {
    await createWebServers(this.admin, this.nodes);
    for (const node of nodes) await setReplicas(this.admin, node, 1);
    const startMs = nowMs();
    await createServices(this.admin);
    const entries = await this.soon('addresses of the Services', 30_000, async () => {
      const found = await Promise.all(
        SERVICES.map(async (name): Promise<[ServiceName, string | undefined]> => {
          return [name, (await readService(this.admin, name)).address];
        }),
      );
      return found.every(([, address]) => address !== undefined) && found;
    });
    const tookMs = nowMs() - startMs;
    const { 'web-cluster': one = '', 'web-local': other = '' } = Object.fromEntries(entries);
    this.#addresses = { 'web-cluster': one, 'web-local': other };
    this.#traffic = new ServiceTraffic(this.cluster.lab, [one, other]);
    await this.#endpointsOn(nodes);
    return seconds(tookMs);
  }

  /** Moves the Pods: those that are missing first, then away with the others. When the others were told to go. */
  async place(nodes: readonly string[]): Promise<number> {
    for (const node of nodes) await setReplicas(this.admin, node, 1);
    await this.soon('Pods where they shall be', 40_000, async () => {
      const { ready } = await readEndpoints(this.admin, 'web-local');
      return nodes.every((node) => ready.includes(node));
    });
    const atMs = nowMs();
    for (const node of this.nodes.filter((name) => !nodes.includes(name))) await setReplicas(this.admin, node, 0);
    await this.#endpointsOn(nodes);
    return atMs;
  }

  /** The node that has the Service's address; throws when there isn't exactly one. */
  owner(name: ServiceName): Machine {
    const [only, ...others] = this.holders.now(this.address(name));
    if (only === undefined || others.length > 0) {
      throw new Error(`${this.address(name)} of ${name} is on ${[only, ...others].join(' and ') || 'no node'}`);
    }
    return this.cluster.machine(only);
  }

  /** Resolves when exactly one node that `accept` wants has the Service's address. */
  async ownedBy(name: ServiceName, accept: (node: string) => boolean, deadlineMs: number): Promise<Machine> {
    return waitFor(
      `${name} on another node`,
      () => {
        const [only, ...others] = this.holders.now(this.address(name));
        return only !== undefined && others.length === 0 && accept(only) && this.cluster.machine(only);
      },
      { deadlineMs },
    );
  }

  /** Resolves when every node hears every other one: seconds until then; undefined: not in time. */
  async heard(deadlineMs = 60_000): Promise<number | undefined> {
    const startMs = nowMs();
    const isHeard = async (): Promise<boolean> => {
      for (const machine of this.cluster.machines) {
        // `holdfast status --json`.
        const { peers } = JSON.parse((await this.holdfast(machine, 'status --json')).out) as {
          readonly peers: readonly { readonly isHeard: boolean }[];
        };
        if (peers.filter((peer) => peer.isHeard).length < this.nodes.length - 1) return false;
      }
      return true;
    };
    return this.soon('heartbeats of all', deadlineMs, isHeard).then(
      () => seconds(nowMs() - startMs),
      () => undefined,
    );
  }

  /** What came of something that began at `startMs`. */
  async passage(name: ServiceName, startMs: number, owner: string, apart: readonly string[] = []): Promise<Passage> {
    const endMs = nowMs();
    const address = this.address(name);
    const moved = this.holders.since(address, startMs).find(({ holders }) => holders.some((each) => each !== owner));
    const announced = this.capture.announcements(address, startMs).find(({ from }) => from !== owner);
    return {
      owners: this.holders.now(address),
      answering: this.answering(name),
      movedAfterS: moved === undefined ? undefined : seconds(moved.atMs - startMs),
      announcedAfterS: announced === undefined ? undefined : seconds(announced.atMs - startMs),
      twoOwnersMs: Math.round(this.holders.longestOverlapMs(address, startMs, apart)),
      twoAnsweringMs: Math.round(this.capture.longestSharedMs(address, startMs, apart)),
      http: await this.traffic.stretch('http', address, startMs - UNDERWAY_MS, endMs),
      udp: await this.traffic.stretch('udp', address, startMs - UNDERWAY_MS, endMs),
    };
  }

  /** Names of those who answer ARP questions for the Service's address now. */
  answering(name: ServiceName): readonly string[] {
    const answers = this.capture.answers(this.address(name), nowMs() - LATELY_MS);
    return [...new Set(answers.map(({ from }) => from))].toSorted();
  }

  /** Runs a command of Holdfast in its container on the machine, as `crictl exec` does. */
  async holdfast(machine: Machine, words: string): Promise<Answer> {
    const running = `ctr -n k8s.io tasks ls | awk '$3 == "RUNNING" { print $1 }'`;
    const ours = `ctr -n k8s.io containers ls | awk '$2 == "${this.cluster.image}" { print $1 }'`;
    const id = `$(comm -12 <(${running} | sort) <(${ours} | sort) | head -n 1)`;
    return machine.run(`ctr -n k8s.io tasks exec --exec-id told-$RANDOM ${id} /holdfast ${words}`);
  }

  /** Polls; a question that fails (the API is moving, too) is asked again. */
  async soon<Value>(what: string, deadlineMs: number, look: () => Promise<Value | undefined | false>): Promise<Value> {
    let last = '';
    const patient = (): Promise<Value | undefined | false> =>
      look().catch((error: unknown) => {
        last = `; ${String(error)}`;
        return undefined;
      });
    try {
      return await waitFor(what, patient, { deadlineMs, everyMs: 100 });
    } catch (error) {
      throw new Error(`${String(error)}${last}`, { cause: error });
    }
  }

  /** What the cluster says of it all, kept when the machines are gone. */
  async keep(folder: string): Promise<void> {
    const write = async (name: string, machine: Machine, command: string): Promise<void> => {
      writeFileSync(join(folder, name), (await machine.run(command)).text);
    };
    await write('services.yaml', this.admin, 'kubectl get services,endpointslices -o yaml');
    await write('events-of-services.txt', this.admin, 'kubectl get events -A --sort-by .lastTimestamp');
    await write('owners.yaml', this.admin, 'kubectl -n kube-system get configmaps,leases -o yaml');
    for (const machine of this.cluster.machines.filter(({ isOn }) => isOn)) {
      writeFileSync(join(folder, `status-${machine.name}.json`), (await this.holdfast(machine, 'status --json')).out);
      await write(`proxy-${machine.name}.txt`, machine, 'tail -n 200 /var/log/pods/kube-system_kube-proxy*/*/*.log');
      await write(`web-${machine.name}.txt`, machine, 'tail -n 500 /var/log/pods/default_web-*/*/*.log');
    }
  }

  async close(): Promise<void> {
    await this.#traffic?.stop();
    this.capture.close();
    this.holders.close();
  }

  async #endpointsOn(nodes: readonly string[]): Promise<void> {
    const wanted = nodes.toSorted().join(' ');
    await this.soon(`endpoints on ${wanted} alone`, 40_000, async () => {
      const seen = await Promise.all(SERVICES.map((name) => readEndpoints(this.admin, name)));
      return seen.every(({ ready, terminating }) => ready.join(' ') === wanted && terminating.length === 0);
    });
    // kube-proxy gathers changes for a second before it writes its rules.
    await sleep(1000);
  }
}
