/** A cluster of the lab that serves LoadBalancer Services: makes them, and says who answers for them from outside. */

import { execFileSync, spawnSync } from 'node:child_process';

import type { Family } from '../../src/base/ip.ts';
import { VOTERS_MAX } from '../../src/leader/view.ts';
import type { ApiKind } from './cluster.ts';
import { Cluster, holdfastProgram } from './cluster.ts';
import { nowMs, sleep } from './clock.ts';
import { HolderWatch } from './holders.ts';
import type { Lab, LabNode } from './lab.ts';
import { NETNS_FOLDER } from './namespace.ts';
import { waitFor } from './process.ts';
import { UdpProber } from './prober.ts';
import {
  createNode,
  createService,
  patchNode,
  SERVICES_PATH,
  SLICES_PATH,
  type WantedService,
} from './service-objects.ts';

export interface ServicesClusterOptions {
  readonly prefix: string;
  readonly api?: ApiKind;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodes?: number;
  /** Default: IPv4 alone. */
  readonly families?: readonly Family[];
  /** Its addresses, ascending, family by family. Default: twenty of the lab's network, ten of each of two. */
  readonly pool?: readonly string[];
}

export interface SeenService {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  /** Type → status. */
  readonly conditions: ReadonlyMap<string, string>;
  readonly resourceVersion: string;
}

/** Hosts of the pool in the lab's networks. */
const FIRST_HOST = 120;
const POOL_SIZE = 20;
const STARTS_AT_ONCE = 3;

interface RawService {
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] };
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export class ServicesCluster {
  readonly cluster: Cluster;
  readonly holders: HolderWatch;
  readonly pool: readonly string[];
  #env: Readonly<Record<string, string>>;
  #prober: UdpProber | undefined;

  static async create(options: ServicesClusterOptions): Promise<ServicesCluster> {
    const { prefix, api = 'embedded', families = ['ipv4'], nodes = 3 } = options;
    const cluster = await Cluster.create({ api, prefix, families, nodes });
    const pool = options.pool ?? families.flatMap((family) => hostsOf(cluster.lab, family, families.length));
    const env = {
      svc_enable: 'true',
      svc_pools: rangesOf(pool),
      log_format: 'json',
      ...options.env,
    };
    return new ServicesCluster(cluster, pool, env);
  }

  private constructor(cluster: Cluster, pool: readonly string[], env: Readonly<Record<string, string>>) {
    this.cluster = cluster;
    this.pool = pool;
    this.#env = env;
    this.holders = new HolderWatch(cluster.lab, pool);
  }

  get lab(): Lab {
    return this.cluster.lab;
  }

  /** For every manager started from now on. */
  configure(env: Readonly<Record<string, string>>): void {
    this.#env = { ...this.#env, ...env };
  }

  async start(node: LabNode): Promise<void> {
    await this.cluster.startManager(node, { env: this.#env }).waitForLine(/api credentials loaded/, 60_000);
  }

  async startAll(): Promise<void> {
    // More at once would keep each other from the processor for longer than the Lease lasts.
    const waiting = [...this.lab.nodes];
    while (waiting.length > 0) await Promise.all(waiting.splice(0, STARTS_AT_ONCE).map((node) => this.start(node)));
    await this.cluster.settled({ deadlineMs: 60_000 });
    await this.everyVote();
  }

  /** Resolves when every node, nine at most, is one of the voters. */
  async everyVote(): Promise<void> {
    const wanted = Math.min(this.lab.nodes.length, VOTERS_MAX);
    await waitFor('every node a voter', async () => (await this.voters()) === wanted, {
      deadlineMs: 60_000,
      everyMs: 200,
    });
  }

  async voters(): Promise<number> {
    return (await this.voterNames()).length;
  }

  async voterNames(): Promise<readonly string[]> {
    const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock';
    const { body } = await this.cluster.apiClient().request('GET', path);
    const lease = body as { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };
    const text = lease.metadata?.annotations?.['holdfast.io/voters'];
    if (text === undefined) return [];
    const { voters } = JSON.parse(text) as { readonly voters: readonly { readonly name: string }[] };
    return voters.map(({ name }) => name);
  }

  /** Each with an endpoint on every node. */
  async createServices(count: number, first = 0, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
    for (let index = first; index < first + count; index += 1) await this.#createService(index, annotations);
  }

  /** One Service; with an endpoint on every node unless said otherwise. */
  create(wanted: Omit<WantedService, 'endpoints'> & { readonly endpoints?: readonly string[] }): Promise<void> {
    return createService(this.cluster.apiClient(), { endpoints: this.lab.nodes.map(({ name }) => name), ...wanted });
  }

  async deleteService(name: string): Promise<void> {
    const { status } = await this.cluster.apiClient().request('DELETE', `${SERVICES_PATH}/${name}`);
    const sliced = await this.cluster.apiClient().request('DELETE', `${SLICES_PATH}/${name}-ipv4`);
    if (status !== 200 || sliced.status !== 200) throw new Error(`${name} cannot be deleted`);
  }

  /** Where nobody else makes them. */
  async createNodes(): Promise<void> {
    for (const { name } of this.lab.nodes) await createNode(this.cluster.apiClient(), name);
  }

  /** What the kubelet would say of the node. */
  ready(name: string, isReady = true): Promise<void> {
    const condition = { type: 'Ready', status: isReady ? 'True' : 'False', reason: 'x', message: 'x' };
    return patchNode(this.cluster.apiClient(), name, { status: { conditions: [condition] } });
  }

  async services(): Promise<readonly SeenService[]> {
    const { body } = await this.cluster.apiClient().request('GET', SERVICES_PATH);
    const { items } = body as { readonly items: readonly RawService[] };
    return items
      .filter(({ metadata }) => metadata.name.startsWith('web-'))
      .map(({ metadata, status }) => ({
        name: metadata.name,
        addresses: (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip),
        annotations: metadata.annotations ?? {},
        conditions: new Map((status?.conditions ?? []).map((condition) => [condition.type, condition.status])),
        resourceVersion: metadata.resourceVersion,
      }));
  }

  async versions(): Promise<Readonly<Record<string, string>>> {
    const services = await this.services();
    return Object.fromEntries(services.map(({ name, resourceVersion }) => [name, resourceVersion]));
  }

  /** Resolves with all addresses when so many Services have one, no two the same. */
  async served(count: number, deadlineMs = 20_000): Promise<readonly string[]> {
    const addresses = await this.#wait('every Service has an address', deadlineMs, async () => {
      const found = (await this.services()).flatMap((service) => service.addresses);
      return found.length === count ? found : undefined;
    });
    if (new Set(addresses).size !== count) throw new Error(`an address was given twice: ${addresses.join(' ')}`);
    return addresses;
  }

  async told(accept: (service: SeenService) => boolean, deadlineMs = 15_000): Promise<void> {
    await this.#wait('every Service says so', deadlineMs, async () =>
      (await this.services()).every(accept) ? true : undefined,
    );
  }

  /** By address: the node that has it, where exactly one does. */
  owners(addresses: readonly string[]): ReadonlyMap<string, string> {
    return new Map(
      addresses.flatMap((address): [string, string][] => {
        const [only, ...others] = this.holders.now(address);
        return only === undefined || others.length > 0 ? [] : [[address, only]];
      }),
    );
  }

  /** Resolves when each address is on exactly one node, and not one of `except`. */
  async ownedOnce(
    addresses: readonly string[],
    except: readonly string[] = [],
    deadlineMs = 20_000,
  ): Promise<ReadonlyMap<string, string>> {
    return this.#wait('each address is on one node', deadlineMs, () => {
      const owners = this.owners(addresses);
      const isDone = owners.size === addresses.length && [...owners.values()].every((name) => !except.includes(name));
      return Promise.resolve(isDone ? owners : undefined);
    });
  }

  /** Resolves when the record of owners gives nothing to the node any more. */
  async unrecorded(node: LabNode, deadlineMs = 15_000): Promise<void> {
    const path = '/api/v1/namespaces/kube-system/configmaps/holdfast-owners-plndr-cp-lock';
    await this.#wait('the record names others', deadlineMs, async () => {
      const { body } = await this.cluster.apiClient().request('GET', path);
      const { data } = body as { readonly data?: { readonly owners?: string } };
      return data?.owners !== undefined && !data.owners.includes(`"${node.name}"`) ? true : undefined;
    });
  }

  nodeWithMost(addresses: readonly string[]): LabNode {
    const owners = [...this.owners(addresses).values()];
    const counts = this.lab.nodes.map((node) => ({ node, count: owners.filter((name) => name === node.name).length }));
    counts.sort((a, b) => b.count - a.count);
    const [most] = counts;
    if (most === undefined) throw new Error('a cluster without nodes');
    return most.node;
  }

  /** Resolves when a client outside got an answer from each address to a probe sent from now on. */
  async answered(addresses: readonly string[], deadlineMs = 15_000): Promise<void> {
    const from = nowMs();
    this.#prober ??= new UdpProber(this.lab, { targets: this.pool, intervalMs: 10 });
    const prober = this.#prober;
    await Promise.all(addresses.map((address) => prober.answered(address, from, deadlineMs)));
  }

  /** Somebody outside uses the address from now on. */
  useOutside(address: string): void {
    const { namespace } = this.lab.client;
    execFileSync('ip', ['-n', namespace, 'addr', 'add', `${address}/32`, 'dev', 'eth0']);
  }

  /** The longest time since a moment in which no kernel had the address, ms. */
  longestDarkMs(address: string, fromMs: number): number {
    const changes = this.holders.since(address, fromMs);
    const ends = [...changes.slice(1).map(({ atMs }) => atMs), nowMs()];
    return Math.max(
      0,
      ...changes.map(({ atMs, holders }, index) => (holders.length > 0 ? 0 : (ends[index] ?? atMs) - atMs)),
    );
  }

  /** The longest time without an answer since a moment, ms, by address. */
  async longestOutages(addresses: readonly string[], fromMs: number): Promise<ReadonlyMap<string, number>> {
    await this.answered(addresses);
    const prober = this.#prober;
    if (prober === undefined) return new Map();
    const found = await Promise.all(
      addresses.map(async (address): Promise<[string, number]> => {
        const { longestMs } = await prober.summary(address, fromMs);
        return [address, longestMs];
      }),
    );
    return new Map(found);
  }

  async patchService(name: string, body: object): Promise<void> {
    const contentType = 'application/merge-patch+json';
    const { status } = await this.cluster
      .apiClient()
      .request('PATCH', `${SERVICES_PATH}/${name}`, { body, contentType });
    if (status !== 200) throw new Error(`${name} cannot be changed: ${status}`);
  }

  /** `reason: message` of each Event about a Service. */
  async events(name: string): Promise<readonly string[]> {
    const { body } = await this.cluster.apiClient().request('GET', '/api/v1/namespaces/default/events');
    const { items } = body as {
      readonly items: readonly {
        readonly reason: string;
        readonly message: string;
        readonly involvedObject: { readonly name: string };
      }[];
    };
    return items
      .filter((event) => event.involvedObject.name === name)
      .map(({ reason, message }) => `${reason}: ${message}`);
  }

  /** Resolves when an Event about the Service says so. */
  async event(name: string, pattern: RegExp, deadlineMs = 10_000): Promise<void> {
    let events: readonly string[] = [];
    await this.#wait(`${name}: ${pattern}`, deadlineMs, async () => {
      events = await this.events(name);
      return events.some((event) => pattern.test(event)) ? true : undefined;
    }).catch((error: unknown) => {
      throw new Error(`of ${name} only: ${events.join(' | ')}`, { cause: error });
    });
  }

  /** Stops every manager in order and starts it with this besides. */
  async restartAll(env: Readonly<Record<string, string>>): Promise<void> {
    await this.cluster.stopManagers();
    this.configure(env);
    await this.startAll();
  }

  /** One after the other, as an update of a DaemonSet: each is stopped in order and started with this besides. */
  async restartEach(env: Readonly<Record<string, string>>): Promise<void> {
    this.configure(env);
    for (const node of this.lab.nodes) {
      await this.cluster.manager(node).stop();
      await this.start(node);
      await this.everyVote();
    }
  }

  async crash(node: LabNode): Promise<void> {
    const manager = this.cluster.manager(node);
    manager.kill('SIGKILL');
    await manager.ended;
  }

  async powerOn(node: LabNode): Promise<void> {
    await this.cluster.powerOn(node);
    await this.start(node);
  }

  /** For what must not happen: nothing is awaited but time. */
  quiet(ms: number): Promise<void> {
    return sleep(ms);
  }

  /** What a command of the product prints on the node. */
  holdfast(node: LabNode, args: readonly string[], { mayFail = false } = {}): string {
    const [command = '', ...rest] = [...holdfastProgram(), ...args];
    const argv = [`--net=${NETNS_FOLDER}/${node.namespace}`, '--', command, ...rest];
    const { status, stdout, stderr } = spawnSync('nsenter', argv, { encoding: 'utf8' });
    if (status !== 0 && !mayFail) throw new Error(`holdfast ${args.join(' ')}: ${stderr}${stdout}`);
    return stdout;
  }

  async close(): Promise<void> {
    this.holders.close();
    await this.cluster.close();
  }

  #createService(index: number, annotations: Readonly<Record<string, string>>): Promise<void> {
    return this.create({ name: `web-${index}`, annotations });
  }

  async #wait<T>(what: string, deadlineMs: number, look: () => Promise<T | undefined>): Promise<T> {
    try {
      return await waitFor(what, look, { deadlineMs, everyMs: 100 });
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : ''}\n${this.cluster.logs(15)}`, { cause: error });
    }
  }
}

function hostsOf(lab: Lab, family: Family, familyCount: number): readonly string[] {
  const hosts = Array.from({ length: POOL_SIZE / familyCount }, (_, index) => FIRST_HOST + index);
  return hosts.map((host) => (family === 'ipv4' ? lab.ipv4(host) : lab.ipv6(host)));
}

/** From the first to the last of each family. */
function rangesOf(pool: readonly string[]): string {
  const byFamily = Map.groupBy(pool, (address) => address.includes(':'));
  return [...byFamily.values()].map((own) => `${own[0] ?? ''}-${own.at(-1) ?? ''}`).join(',');
}
