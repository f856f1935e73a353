/**
 * What Holdfast is measured against in the Services' benchmark, each before real API servers as its own manifests run it:
 * kube-vip with an election for each Service (it gives no addresses: each Service says its own), and MetalLB in L2 mode.
 * Their requests are counted by the API servers, less what these ask of themselves.
 */

import { spawnSync } from 'node:child_process';

import { sleep } from '../test/lab/clock.ts';
import type { Cluster } from '../test/lab/cluster.ts';
import { kubeVipVersion } from '../test/lab/contender-kube-vip.ts';
import { Metallb, metallbPrograms, type MetallbPrograms } from '../test/lab/contender-metallb.ts';
import type { LabNode } from '../test/lab/lab.ts';
import type { LabProcess } from '../test/lab/process.ts';
import { rangesOf } from './bench-services-pools.ts';
import { dropFromCache } from './page-cache.ts';
import { poolOf, type Program } from './bench-services-run.ts';

/** Sooner than a kubelet's back-off would be: in favour of kube-vip. */
const RESTART_MS = 1000;
const BASELINE_MS = 5000;
/** What a creation sets off is over by then; some of them never cease to ask. */
const SETTLE_MS = 20_000;

/** Those that the environment names executables of. */
export function otherPrograms(): readonly (() => Program)[] {
  const kubeVip = process.env['KUBE_VIP_BIN'];
  const metallb = metallbPrograms();
  return [
    ...(kubeVip === undefined || kubeVip === '' ? [] : [() => new KubeVip(fromDisk(kubeVip))]),
    ...(metallb === undefined
      ? []
      : [() => new MetallbInLab({ controller: fromDisk(metallb.controller), speaker: fromDisk(metallb.speaker) })]),
  ];
}

function fromDisk(path: string): string {
  dropFromCache(path);
  return path;
}

/** Requests that all API servers took, by verb and resource, less what they took a second before the program ran. */
class ApiCount {
  #rates = new Map<string, number>();
  #since = 0;

  async begin(cluster: Cluster): Promise<void> {
    const before = await servedBy(cluster);
    await sleep(BASELINE_MS);
    const after = await servedBy(cluster);
    for (const [key, count] of after) this.#rates.set(key, (count - (before.get(key) ?? 0)) / BASELINE_MS);
    this.#since = performance.now();
  }

  async read(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
    const lastedMs = performance.now() - this.#since;
    const served = await servedBy(cluster);
    return new Map([...served].map(([key, count]) => [key, count - (this.#rates.get(key) ?? 0) * lastedMs]));
  }
}

async function servedBy(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
  const all = new Map<string, number>();
  for (const node of cluster.lab.nodes) {
    if (cluster.lab.state(node) === 'off') continue;
    const { body } = await cluster.apiClient(node).request('GET', '/metrics', { deadlineMs: 30_000 });
    for (const line of String(body).split('\n')) {
      if (!line.startsWith('apiserver_request_total{')) continue;
      const label = (name: string): string => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';
      const verb = label('verb').toLowerCase();
      const resource = label('resource');
      if (resource === '' || verb === 'watch' || verb === 'connect') continue;
      const name = label('subresource') === '' ? resource : `${resource}/${label('subresource')}`;
      all.set(`${verb} ${name}`, (all.get(`${verb} ${name}`) ?? 0) + Number(line.split(' ').at(-1)));
    }
  }
  return all;
}

class KubeVip implements Program {
  readonly name: string;
  readonly settleMs = SETTLE_MS;
  readonly #executable: string;
  readonly #count = new ApiCount();
  readonly #running = new Map<string, LabProcess>();

  constructor(executable: string) {
    this.#executable = executable;
    this.name = `kube-vip ${kubeVipVersion(executable)}`;
  }

  readonly extra = (index: number): { readonly spec: object } => ({
    spec: { loadBalancerIP: poolOf(index + 1, ['ipv4'])[index] },
  });

  async start(cluster: Cluster): Promise<void> {
    await this.#count.begin(cluster);
    for (const node of cluster.lab.nodes) this.#spawn(cluster, node);
    await cluster.settled({ deadlineMs: 60_000 });
  }

  pids(_cluster: Cluster, node: LabNode): readonly number[] {
    const program = this.#running.get(node.name);
    return program?.isRunning === true ? [program.pid] : [];
  }

  requests(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
    return this.#count.read(cluster);
  }

  /** It ends by itself when it loses the election; a kubelet would start it again. */
  #spawn(cluster: Cluster, node: LabNode): void {
    const env = {
      ...cluster.managerEnv(node),
      vip_leaseduration: '5',
      vip_renewdeadline: '3',
      vip_retryperiod: '1',
      svc_enable: 'true',
      svc_election: 'true',
      vip_servicesinterface: 'eth0',
      kubernetes_addr: `https://${node.ipv4 ?? `[${node.ipv6 ?? ''}]`}:6443`,
    };
    const program = cluster.lab.spawn(node, [this.#executable, 'manager'], { name: `kube-vip@${node.name}`, env });
    this.#running.set(node.name, program);
    void program.ended.then(async () => {
      await sleep(RESTART_MS);
      if (cluster.lab.state(node) !== 'off' && !cluster.isClosed) this.#spawn(cluster, node);
    });
  }
}

class MetallbInLab implements Program {
  readonly name: string;
  readonly settleMs = SETTLE_MS;
  readonly #programs: MetallbPrograms;
  readonly #count = new ApiCount();
  #metallb: Metallb | undefined;

  constructor(programs: MetallbPrograms) {
    this.#programs = programs;
    this.name = `metallb ${metallbVersion(programs)}`;
  }

  async start(cluster: Cluster, pool: readonly string[]): Promise<void> {
    for (const node of cluster.lab.nodes) {
      const body = { apiVersion: 'v1', kind: 'Node', metadata: { name: node.name } };
      await cluster.apiClient().request('POST', '/api/v1/nodes', { body });
    }
    await this.#count.begin(cluster);
    this.#metallb = await Metallb.on(cluster, this.#programs, { pool: rangesOf(pool) });
    await this.#metallb.startAll();
  }

  /** The controller runs beside the nodes; its costs are the first node's. */
  pids(cluster: Cluster, node: LabNode): readonly number[] {
    const { controller, speaker } = { controller: this.#metallb?.controller, speaker: this.#metallb?.speaker(node) };
    const isFirst = node === cluster.lab.nodes[0];
    return [...(isFirst ? [controller] : []), speaker]
      .filter((program) => program !== undefined && program.isRunning)
      .map((program) => program?.pid ?? 0);
  }

  requests(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
    return this.#count.read(cluster);
  }
}

/** As Go wrote it into the executable (go version -m shows the same), or nothing. */
function metallbVersion({ speaker }: MetallbPrograms): string {
  const { stdout } = spawnSync('grep', ['-aoE', 'go.universe.tf/metallb.{1,4}v[0-9]+\\.[0-9]+\\.[0-9]+', speaker], {
    encoding: 'utf8',
  });
  return /v\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? '';
}
