/**
 * A whole small cluster of the product in the lab: nodes, an API (the embedded one behind the switch, or a real etcd and
 * kube-apiserver on every node), `holdfast manager` on each node, a client that probes the virtual IPs, and everything
 * that watches from outside. The demo and the lab's tests are written against this.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Family } from '../../src/base/ip.ts';
import type { FaultRule } from '../embedded-api/faults.ts';
import { ApiClient } from './api-client.ts';
import { Capture } from './capture.ts';
import { nowMs } from './clock.ts';
import { HolderWatch } from './holders.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { Lab, type LabNode } from './lab.ts';
import type { OutageSummary } from './outage.ts';
import { startEcho, TlsProber, UdpProber } from './prober.ts';
import type { LabProcess, ProcessEnd, ProcessOptions } from './process.ts';
import { RealApi } from './real-api.ts';

const ROOT = join(import.meta.dirname, '..', '..');

export type ApiKind = 'embedded' | 'real';

export interface ClusterOptions {
  readonly api?: ApiKind;
  readonly families?: readonly Family[];
  readonly nodes?: number;
  /** Environment of every manager, over the defaults. */
  readonly env?: Readonly<Record<string, string>>;
  /** Begins the names of its namespaces; default hf-lab. */
  readonly prefix?: string;
}

/** Host number of the virtual IPs in the lab's networks. */
const VIP_HOST = 50;
const API_PORT = 6443;

/** The product's command line: $HOLDFAST_PROGRAM, the built executable if it is newer than the sources, or these. */
export function holdfastProgram(): readonly string[] {
  const given = process.env['HOLDFAST_PROGRAM'];
  if (given !== undefined && given !== '') return given.split(' ');
  const built = join(ROOT, 'dist', 'holdfast');
  const isCurrent = existsSync(built) && statSync(built).mtimeMs > newestSourceMs();
  return isCurrent ? [built] : [process.execPath, join(ROOT, 'src', 'main.ts')];
}

function newestSourceMs(): number {
  const folder = join(ROOT, 'src');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return Math.max(...files.map((file) => statSync(join(folder, file)).mtimeMs));
}

export class Cluster {
  readonly lab: Lab;
  readonly vips: readonly string[];
  readonly holders: HolderWatch;
  readonly prober: UdpProber;
  readonly capture: Capture;
  /** The embedded API's process, or the real API. */
  readonly api:
    | { readonly kind: 'embedded'; readonly program: LabProcess }
    | { readonly kind: 'real'; readonly real: RealApi };
  /** Every manager that was started, the newest last, by node. */
  readonly managers = new Map<string, LabProcess>();
  readonly #tls: TlsProber | undefined;
  readonly #tlsTargets: readonly string[];
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #kubeconfigs: (node: LabNode) => string;
  /** It is being taken down: whoever starts programs again doesn't any more. */
  isClosed = false;
  /** How often the embedded API was paused or resumed. */
  #toggles = 0;

  /** Sets everything up but the managers. */
  static async create(options: ClusterOptions = {}): Promise<Cluster> {
    const families = options.families ?? ['ipv4', 'ipv6'];
    const lab = new Lab({
      families,
      ...(options.nodes === undefined ? {} : { nodes: options.nodes }),
      ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
    });
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-lab-'));
    try {
      const vips = families.map((family) => (family === 'ipv4' ? lab.ipv4(VIP_HOST) : lab.ipv6(VIP_HOST)));
      const api = options.api === 'real' ? await startRealApi(lab, vips) : await startEmbeddedApi(lab, folder);
      for (const node of lab.nodes) await startEcho(lab, node);
      return new Cluster({ lab, vips, api, folder, env: options.env ?? {} });
    } catch (error) {
      await lab.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(parts: {
    readonly lab: Lab;
    readonly vips: readonly string[];
    readonly api: StartedApi;
    readonly folder: string;
    readonly env: Readonly<Record<string, string>>;
  }) {
    const { lab, vips } = parts;
    this.lab = lab;
    this.vips = vips;
    this.api = parts.api.api;
    this.#kubeconfigs = parts.api.kubeconfig;
    this.#folder = parts.folder;
    this.#env = { ...parts.api.env, ...parts.env };
    this.holders = new HolderWatch(lab, vips);
    this.capture = new Capture(lab);
    this.prober = new UdpProber(lab, { targets: vips });
    this.#tlsTargets = vips.map((vip) => new URL(`https://${bracketed(vip)}:${API_PORT}`).href);
    if (this.api.kind !== 'real') return;
    this.#tls = new TlsProber(lab, { targets: this.#tlsTargets, caFile: this.api.real.caFile });
  }

  /** The environment that a node's manager runs with. */
  managerEnv(node: LabNode): Record<string, string> {
    return {
      vip_arp: 'true',
      cp_enable: 'true',
      vip_leaderelection: 'true',
      vip_interface: 'eth0',
      address: this.vips.join(','),
      vip_nodename: node.name,
      k8s_config_file: this.#kubeconfigs(node),
      vip_leaseduration: '5',
      vip_renewdeadline: '3',
      vip_retryperiod: '1',
      ...this.#env,
    };
  }

  /** The kubeconfig that a node's manager is given. */
  kubeconfig(node: LabNode): string {
    return readFileSync(this.#kubeconfigs(node), 'utf8');
  }

  /** Where it lies. */
  kubeconfigFile(node: LabNode): string {
    return this.#kubeconfigs(node);
  }

  startManager(node: LabNode, options: ProcessOptions = {}): LabProcess {
    const manager = this.lab.spawn(node, [...holdfastProgram(), 'manager'], {
      name: `holdfast@${node.name}`,
      ...options,
      env: { ...this.managerEnv(node), ...options.env },
    });
    this.managers.set(node.name, manager);
    return manager;
  }

  manager(node: LabNode): LabProcess {
    const manager = this.managers.get(node.name);
    if (manager === undefined) throw new Error(`no manager was started on ${node.name}`);
    return manager;
  }

  /** Resolves when one node, and not one of `except`, holds every virtual IP, alone among those not `apart`. */
  async settled(
    options: {
      readonly except?: readonly string[];
      readonly apart?: readonly string[];
      readonly deadlineMs?: number;
    } = {},
  ): Promise<LabNode> {
    const { except = [], apart = [], deadlineMs = 20_000 } = options;
    let holder = '';
    try {
      await this.holders.until((lists) => {
        const names = new Set(lists.flat().filter((name) => !apart.includes(name)));
        const isComplete = lists.every((list) => list.some((name) => !apart.includes(name)));
        [holder = ''] = names;
        return isComplete && names.size === 1 && !except.includes(holder);
      }, deadlineMs);
    } catch (error) {
      throw new Error(`no single holder: ${error instanceof Error ? error.message : ''}\n${this.logs(8)}`, {
        cause: error,
      });
    }
    return this.lab.node(holder);
  }

  /** Resolves when a probe of each virtual IP sent after `sinceMs` was answered. */
  async reachable(sinceMs = nowMs(), deadlineMs = 20_000): Promise<void> {
    await Promise.all(this.vips.map((vip) => this.prober.answered(vip, sinceMs, deadlineMs)));
  }

  realApi(): RealApi {
    if (this.api.kind !== 'real') throw new Error('this cluster has no real API');
    return this.api.real;
  }

  /** An administrator's client of the API, of one of the nodes' where each has its own. */
  apiClient(node?: LabNode): ApiClient {
    const [first] = this.lab.nodes;
    const member = node ?? first;
    if (member === undefined) throw new Error('a cluster without nodes');
    if (this.api.kind === 'real') return this.api.real.client(member.name);
    return new ApiClient({ ...readKubeconfig(this.#kubeconfigs(member)), namespace: this.lab.switchNamespace });
  }

  /** Replaces the embedded API's faults; none makes it healthy. */
  async setFaults(rules: readonly FaultRule[]): Promise<void> {
    if (this.api.kind !== 'embedded') throw new Error('only the embedded API has faults to order');
    await this.apiClient().request('PUT', '/holdfast-test/faults', { body: rules });
  }

  /** Starts a manager and waits until it takes part: it has loaded its credentials and knows who holds the Lease. */
  async startCandidate(node: LabNode): Promise<void> {
    await this.startManager(node).waitForLine(/api credentials loaded/);
  }

  /** Ends every API server at once, as an outage; what they store stays. */
  async stopApi(): Promise<void> {
    if (this.api.kind === 'real') {
      const { real } = this.api;
      for (const { name } of this.lab.nodes) real.processesOf(name).apiServer?.kill('SIGKILL');
      return;
    }
    await this.#toggleEmbeddedApi('paused');
  }

  async startApi(): Promise<void> {
    if (this.api.kind === 'real') {
      const { real } = this.api;
      for (const { name } of this.lab.nodes) real.startApiServer(name);
      await Promise.all(this.lab.nodes.map(({ name }) => real.waitReady(name)));
      return;
    }
    await this.#toggleEmbeddedApi('resumed');
  }

  async #toggleEmbeddedApi(state: 'paused' | 'resumed'): Promise<void> {
    if (this.api.kind !== 'embedded') return;
    this.#toggles += 1;
    this.api.program.kill('SIGUSR2');
    await this.api.program.waitForLine(new RegExp(`^${state} ${this.#toggles}$`));
  }

  /** Resolves when a new TLS connection to each virtual IP begun from now on succeeded. */
  async reachableByTls(deadlineMs = 20_000): Promise<void> {
    const tls = this.#tls;
    if (tls === undefined) throw new Error('there is no TLS server behind the virtual IPs of this cluster');
    const now = nowMs();
    await Promise.all(this.#tlsTargets.map((target) => tls.answered(target, now, deadlineMs)));
  }

  /** What new TLS connections met since a moment, for each virtual IP; empty with the embedded API. */
  async tlsSummaries(fromMs: number): Promise<readonly OutageSummary[]> {
    const tls = this.#tls;
    if (tls === undefined) return [];
    return Promise.all(this.#tlsTargets.map((target) => tls.summary(target, fromMs)));
  }

  /** The managers' last lines, for messages. */
  logs(count = 20): string {
    return [...this.managers].map(([name, manager]) => `--- ${name}\n${manager.tail(count)}`).join('\n');
  }

  /** After a power loss: the node's kernel, echo program and API member again; the manager is the caller's business. */
  async powerOn(node: LabNode): Promise<void> {
    this.lab.heal(node);
    await startEcho(this.lab, node);
    if (this.api.kind !== 'real') return;
    this.api.real.startEtcd(node.name);
    this.api.real.startApiServer(node.name);
    await this.api.real.waitReady(node.name);
  }

  async powerOff(node: LabNode): Promise<void> {
    await this.lab.powerOff(node);
    if (this.api.kind === 'real') await this.api.real.stopped(node.name);
  }

  /** Stops every manager in order and at once; answers how each ended. */
  async stopManagers(): Promise<readonly ProcessEnd[]> {
    return Promise.all([...this.managers.values()].map((manager) => manager.stop()));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.holders.close();
    this.capture.close();
    if (this.api.kind === 'real') await this.api.real.close();
    await this.lab.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface StartedApi {
  readonly api: Cluster['api'];
  readonly kubeconfig: (node: LabNode) => string;
  readonly env: Readonly<Record<string, string>>;
}

async function startEmbeddedApi(lab: Lab, folder: string): Promise<StartedApi> {
  const kubeconfig = join(folder, 'admin.conf');
  const host = bracketed(lab.families.includes('ipv4') ? lab.switchIpv4 : lab.switchIpv6);
  const server = `https://${host}:${API_PORT}`;
  const main = join(ROOT, 'test', 'embedded-api', 'main.ts');
  const names = [lab.switchIpv4, lab.switchIpv6].flatMap((name) => ['--name', name]);
  const argv = ['--listen', `[::]:${API_PORT}`, '--tls', ...names, '--server', server, '--kubeconfig-out', kubeconfig];
  const program = lab.spawn('switch', [process.execPath, main, ...argv], { name: 'embedded-api' });
  await program.waitForLine(/listening/);
  return { api: { kind: 'embedded', program }, kubeconfig: () => kubeconfig, env: { kubernetes_addr: server } };
}

async function startRealApi(lab: Lab, vips: readonly string[]): Promise<StartedApi> {
  const real = await RealApi.create({
    vips,
    members: lab.nodes.map((node) => ({
      name: node.name,
      namespace: node.namespace,
      address: node.ipv4 ?? node.ipv6 ?? '',
      otherAddresses: node.ipv4 !== undefined && node.ipv6 !== undefined ? [node.ipv6] : [],
    })),
  });
  try {
    await real.start();
  } catch (error) {
    await real.close();
    throw error;
  }
  const files = new Map(lab.nodes.map((node) => [node.name, real.adminConf(node.name)]));
  return { api: { kind: 'real', real }, kubeconfig: (node) => files.get(node.name) ?? '', env: {} };
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
