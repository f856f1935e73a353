/**
 * Holdfast in the Services' benchmark: the built executable, with a module loaded before it that measures, when it is told
 * to by a signal, how long its loop stands still. While it isn't, the module does nothing.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ApiClient } from '../test/lab/api-client.ts';
import type { Cluster } from '../test/lab/cluster.ts';
import type { LabNode } from '../test/lab/lab.ts';
import { waitFor, type LabProcess } from '../test/lab/process.ts';
import { addressPools } from './bench-services-pools.ts';
import type { Program, Standstill } from './bench-services-run.ts';

/**
 * A signal begins, the next one ends and tells. The clock's view is monitorEventLoopDelay's; the thread's processor time
 * between two turns is what the program itself did, however many others want the processors.
 */
const STANDSTILL_PROGRAM = `
const { monitorEventLoopDelay } = require('node:perf_hooks');
const EVERY_MS = 5;
let delay, timer, before, busy, session, count = 0;
const folder = process.env.HOLDFAST_BENCH_PROFILES;
const profile = () => {
  if (folder === undefined) return;
  if (session === undefined) {
    session = new (require('node:inspector').Session)();
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.setSamplingInterval', { interval: 500 });
    session.post('Profiler.start');
    return;
  }
  session.post('Profiler.stop', (error, { profile }) => {
    count += 1;
    const file = folder + '/' + process.env.vip_nodename + '-' + count + '.cpuprofile';
    require('node:fs').writeFileSync(file, JSON.stringify(profile));
  });
  session.disconnect();
  session = undefined;
};
const look = () => {
  const { user, system } = process.threadCpuUsage();
  const now = (user + system) / 1000;
  if (before !== undefined && now - before > busy) busy = now - before;
  before = now;
};
process.on('SIGUSR2', () => {
  profile();
  if (timer === undefined) {
    busy = 0;
    before = undefined;
    delay = monitorEventLoopDelay({ resolution: EVERY_MS });
    delay.enable();
    timer = setInterval(look, EVERY_MS);
    timer.unref();
    return;
  }
  look();
  clearInterval(timer);
  timer = undefined;
  delay.disable();
  process.stderr.write('STANDSTILL ' + (delay.max / 1e6).toFixed(1) + ' ' + busy.toFixed(1) + '\\n');
});
`;

export class Holdfast implements Program {
  readonly name = 'holdfast';
  readonly #folder = mkdtempSync(join(tmpdir(), 'holdfast-services-'));
  readonly #preload = join(this.#folder, 'standstill.cjs');
  readonly #executable: string;
  readonly #env: Readonly<Record<string, string>>;

  /** `profiles`: a folder for processor profiles of what is measured, which make it slower. */
  constructor(executable: string, profiles?: string) {
    this.#executable = executable;
    this.#env = profiles === undefined ? {} : { HOLDFAST_BENCH_PROFILES: profiles };
    writeFileSync(this.#preload, STANDSTILL_PROGRAM);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async start(cluster: Cluster, pool: readonly string[]): Promise<void> {
    process.env['HOLDFAST_PROGRAM'] = this.#executable;
    const env = {
      NODE_OPTIONS: `--require ${this.#preload}`,
      svc_enable: 'true',
      svc_election: 'true',
      svc_pools: addressPools(pool),
      vip_servicesinterface: 'eth0',
      log_level: 'warn',
      log_format: 'json',
      ...this.#env,
    };
    const { nodes } = cluster.lab;
    for (const node of nodes) cluster.startManager(node, { env });
    await cluster.settled();
    await waitFor('every node votes', async () => (await votersOf(cluster)) === nodes.length, {
      deadlineMs: 30_000,
      everyMs: 200,
    });
  }

  pids(cluster: Cluster, node: LabNode): readonly number[] {
    return [cluster.manager(node).pid];
  }

  async requests(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
    const all = new Map<string, number>();
    for (const { namespace } of cluster.lab.nodes) {
      const { body } = await new ApiClient({ server: 'http://127.0.0.1:2112', namespace }).request('GET', '/metrics');
      for (const line of String(body).split('\n')) {
        const match = /^holdfast_kube_requests_total\{verb="(\w+)",resource="([^"]+)",outcome="[^"]+"\} (\d+)/.exec(
          line,
        );
        if (match === null || match[1] === 'watch') continue;
        const key = `${match[1] ?? ''} ${match[2] ?? ''}`;
        all.set(key, (all.get(key) ?? 0) + Number(match[3]));
      }
    }
    return all;
  }

  readonly standstill = {
    begin: (cluster: Cluster): void => {
      for (const manager of running(cluster)) manager.kill('SIGUSR2');
    },
    end: async (cluster: Cluster): Promise<Standstill> => {
      const each = await Promise.all(
        running(cluster).map(async (manager) => {
          const count = told(manager).length;
          manager.kill('SIGUSR2');
          await waitFor('how long it stood still', () => told(manager).length > count);
          const [, wall, busy] = told(manager).at(-1)?.split(' ') ?? [];
          return { wall: Number(wall), busy: Number(busy) };
        }),
      );
      return {
        wall: Math.round(Math.max(...each.map(({ wall }) => wall))),
        busy: Math.round(Math.max(...each.map(({ busy }) => busy))),
      };
    },
  };
}

function running(cluster: Cluster): readonly LabProcess[] {
  return [...cluster.managers.values()].filter((manager) => manager.isRunning);
}

function told(manager: LabProcess): readonly string[] {
  return manager.lines.map(({ text }) => text).filter((text) => text.startsWith('STANDSTILL '));
}

async function votersOf(cluster: Cluster): Promise<number> {
  const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock';
  const { body } = await cluster.apiClient().request('GET', path);
  const lease = body as { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };
  const text = lease.metadata?.annotations?.['holdfast.io/voters'];
  return text === undefined ? 0 : (JSON.parse(text) as { readonly voters: readonly unknown[] }).voters.length;
}
