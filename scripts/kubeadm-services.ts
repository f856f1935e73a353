/**
 * The proof for Services: a kubeadm control plane (kubeadm.ts) whose static pods serve Services of type LoadBalancer, and a
 * client outside that reaches Pods through them and the cluster's own kube-proxy, while owners are drained and lost.
 * `npm run kubeadm -- --services`.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';

import { nowMs } from '../test/lab/clock.ts';
import { runBootstrap, type BootstrapResult } from './kubeadm/bootstrap.ts';
import { ControlPlane, seconds } from './kubeadm/control-plane.ts';
import { cacheFolder, type Parts } from './kubeadm/parts.ts';
import { provideProduct, type ManifestRequest, type Product } from './kubeadm/product.ts';
import { isAllGood, servicesReport, type ServicesRun, type StepResult } from './kubeadm-services/report.ts';
import { Scene } from './kubeadm-services/scene.ts';
import { STEPS, type Step } from './kubeadm-services/steps.ts';

export interface ServicesOptions {
  readonly parts: Parts;
  readonly say: (line: string) => void;
  readonly isWriting: boolean;
  /** Keeps the machines up until somebody has seen enough. */
  readonly linger: ((cluster: ControlPlane) => Promise<void>) | undefined;
}

const ROOT = join(import.meta.dirname, '..');
const BENCHMARKS = join(ROOT, 'docs', 'benchmarks');
const POOL_HOSTS = Array.from({ length: 10 }, (_, index) => 200 + index);
/** The steps before it have an API to ask. */
const LAST_WITH_API = 'node-addresses';

/** Whether everything came as it must. Throws AssetUnavailable where it can't run. */
export async function playServices({ parts, say, isWriting, linger }: ServicesOptions): Promise<boolean> {
  const base = await provideProduct('holdfast', cacheFolder());
  const lease = { duration: 15, renewDeadline: 10, retryPeriod: 2 };
  const product: Product = { ...base, manifest: servicesManifest };
  const cluster = await ControlPlane.create({ parts, product, bootstrap: 'own', lease, say });
  const pool = POOL_HOSTS.map((host) => cluster.lab.ipv4(host));
  const scene = new Scene(cluster, pool);
  const logs = join(cacheFolder(), 'logs', 'services');
  mkdirSync(logs, { recursive: true });
  const steps: StepResult[] = [];
  let bootstrap: BootstrapResult | undefined;
  let problem: string | undefined;
  let proxyMode = '';
  try {
    bootstrap = await runBootstrap(cluster, 'own');
    say(`bootstrap: ${JSON.stringify(bootstrap)}`);
    proxyMode = await scene.admin.sh('curl -s http://127.0.0.1:10249/proxyMode');
    for (const step of STEPS) {
      const result = await playStep(step, scene);
      say(`${step.name}: ${JSON.stringify(result)}`);
      steps.push(result);
      if (step.name === LAST_WITH_API) {
        await scene.keep(logs);
        await cluster.keepLogs(logs);
      }
    }
    if (linger !== undefined) await linger(cluster);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
    say(`failed: ${problem}`);
    await scene.keep(logs).catch(() => undefined);
  } finally {
    const after = join(logs, 'end');
    await cluster.keepLogs(after).catch(() => undefined);
    say(`logs are in ${logs}`);
    await scene.close();
    await cluster.close();
  }
  const run: ServicesRun = {
    version: base.version.startsWith('holdfast') ? base.version : `holdfast ${base.version}`,
    parts: parts.versions,
    kernel: release().split('-', 1)[0] ?? '',
    proxyMode,
    client: cluster.lab.client.ipv4 ?? '',
    pool: rangeText(cluster.vip),
    ...(bootstrap === undefined ? {} : { bootstrap }),
    steps,
    ...(problem === undefined ? {} : { problem }),
  };
  console.log(JSON.stringify(run, undefined, 2));
  if (isWriting) write(run);
  return isAllGood(run);
}

/** Writes the document anew from its numbers. */
export function renderServices(): void {
  // Written below.
  write(JSON.parse(readFileSync(join(BENCHMARKS, 'kubeadm-services.json'), 'utf8')) as ServicesRun);
}

/** A step that fails is told, and the next one tried. */
async function playStep(step: Step, scene: Scene): Promise<StepResult> {
  const { name, title, play } = step;
  const startMs = nowMs();
  try {
    return { name, title, ...(await play(scene)), tookS: seconds(nowMs() - startMs) };
  } catch (error) {
    const text = `failed: ${error instanceof Error ? error.message : String(error)}`;
    return { name, title, isGood: false, text: text.slice(0, 2000), tookS: seconds(nowMs() - startMs) };
  }
}

/** As the program prints it. */
function servicesManifest({ vip, lease }: ManifestRequest): string {
  const flags = '--interface eth0 --controlplane --arp --leaderElection --services --servicesElection'.split(' ');
  const times = `--leaseDuration ${lease.duration} --leaseRenewDuration ${lease.renewDeadline} --leaseRetry ${lease.retryPeriod}`;
  const argv = ['manifest', 'pod', '--address', vip, ...flags, '--servicesPools', rangeText(vip), ...times.split(' ')];
  return execFileSync(join(ROOT, 'dist', 'holdfast'), argv, { encoding: 'utf8' });
}

/** The pool, in the network of the virtual IP. */
function rangeText(vip: string): string {
  const network = vip.slice(0, vip.lastIndexOf('.'));
  return `${network}.${POOL_HOSTS[0]}-${network}.${POOL_HOSTS.at(-1)}`;
}

function write(run: ServicesRun): void {
  mkdirSync(BENCHMARKS, { recursive: true });
  writeFileSync(join(BENCHMARKS, 'kubeadm-services.json'), `${JSON.stringify(run, undefined, 2)}\n`);
  writeFileSync(join(BENCHMARKS, 'kubeadm-services.md'), servicesReport(run));
}
