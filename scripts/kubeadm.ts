/**
 * The real bootstrap: a three-node control plane with kubeadm, kubelets, containerd and static pods on this machine, whose
 * virtual IP Holdfast holds from the first second on; then faults on the owner, one after the other. Measured from
 * outside, and written down on demand (docs/benchmarks/kubeadm.md). See `npm run kubeadm -- --help`.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { AssetUnavailable } from './assets.ts';
import { runBootstrap, type BootstrapResult } from './kubeadm/bootstrap.ts';
import { ControlPlane } from './kubeadm/control-plane.ts';
import { FAULT_NAMES, inflict, isFaultName, type FaultName, type FaultResult } from './kubeadm/faults.ts';
import { cacheFolder, provideParts, type Parts } from './kubeadm/parts.ts';
import {
  BOOTSTRAPS,
  PRODUCTS,
  provideProduct,
  type Bootstrap,
  type LeaseTimes,
  type Product,
  type ProductName,
} from './kubeadm/product.ts';
import { isGood, reportText, type Measurements, type Run } from './kubeadm/report.ts';
import { playServices, renderServices } from './kubeadm-services.ts';

const HELP = `Usage: npm run kubeadm [-- OPTION…]

Three machines in namespaces, \`kubeadm init --control-plane-endpoint VIP:6443\` and two \`kubeadm join --control-plane\`
through the VIP, then faults on its owner. About six minutes.

  --product     ${PRODUCTS.join(' or ')} (KUBE_VIP=its executable); default holdfast
  --bootstrap   ${BOOTSTRAPS.join(', ')}; default own
                own: the manifest the product generates; the others: kube-vip's own manifest, with that file mounted
  --lease       duration/renew deadline/retry period in seconds; default 15/10/2, as kube-vip
  --faults      of ${FAULT_NAMES.join(',')}; or none, or all (default)
  --services    instead: Services of type LoadBalancer behind kube-proxy, about eight minutes; its own document,
                docs/benchmarks/kubeadm-services.md and .json
  --write       puts the results into docs/benchmarks/kubeadm.json and .md
  --all         every run of that document, about 40 minutes, and writes it
  --render      writes docs/benchmarks/kubeadm.md anew from kubeadm.json (with --services: that of Services)
  --keep        leaves the machines up at the end until Ctrl-C, and says how to get into them

Needs root, cgroup v1, Go and Debian's apt-get; builds what it needs on first use (about nine minutes), in
${cacheFolder()}. KUBEBUILDER_ASSETS names a folder that has some of the programs already.
Exit code: 0 when everything ended with exactly one owner, 1 when not, 3 when it can't run here.`;

const EXIT_CANNOT_RUN = 3;
const BENCHMARKS = join(import.meta.dirname, '..', 'docs', 'benchmarks');

interface Plan {
  readonly product: ProductName;
  readonly bootstrap: Bootstrap;
  readonly lease: LeaseTimes;
  readonly faults: readonly FaultName[];
}

const defaultLease: LeaseTimes = { duration: 15, renewDeadline: 10, retryPeriod: 2 };
const quickLease: LeaseTimes = { duration: 5, renewDeadline: 3, retryPeriod: 1 };

const ALL_PLANS: readonly Plan[] = [
  { product: 'holdfast', bootstrap: 'own', lease: defaultLease, faults: FAULT_NAMES },
  { product: 'kube-vip', bootstrap: 'admin.conf', lease: defaultLease, faults: FAULT_NAMES },
  { product: 'holdfast', bootstrap: 'own', lease: quickLease, faults: FAULT_NAMES },
  { product: 'kube-vip', bootstrap: 'admin.conf', lease: quickLease, faults: FAULT_NAMES },
  { product: 'holdfast', bootstrap: 'admin.conf', lease: defaultLease, faults: [] },
  { product: 'holdfast', bootstrap: 'super-admin.conf', lease: defaultLease, faults: [] },
  { product: 'kube-vip', bootstrap: 'super-admin.conf', lease: defaultLease, faults: [] },
];

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      product: { type: 'string', default: 'holdfast' },
      bootstrap: { type: 'string', default: 'own' },
      lease: { type: 'string', default: '15/10/2' },
      faults: { type: 'string', default: 'all' },
      all: { type: 'boolean', default: false },
      services: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      render: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (values.render) {
    if (values.services) renderServices();
    else writeReport(readMeasurements());
    return 0;
  }
  const plan = planOf(values);
  if (plan === undefined) {
    console.error(HELP);
    return 2;
  }
  const obstacle = findObstacle();
  if (obstacle !== undefined) {
    console.error(`kubeadm: can't run here: ${obstacle}`);
    return EXIT_CANNOT_RUN;
  }
  try {
    const parts = await provideParts(say);
    if (values.services) {
      const isAllGood = await playServices({
        parts,
        say,
        isWriting: values.write,
        linger: values.keep ? linger : undefined,
      });
      return isAllGood ? 0 : 1;
    }
    const plans = values.all ? ALL_PLANS : [plan];
    const products = new Map<ProductName, Product>();
    for (const name of new Set(plans.map(({ product }) => product))) {
      products.set(name, await provideProduct(name, cacheFolder()));
    }
    const runs: Run[] = [];
    for (const each of plans) {
      const product = products.get(each.product);
      if (product === undefined) continue;
      const run = await play(each, { parts, product, isKept: values.keep });
      runs.push(run);
      if (values.all || values.write) writeReport(withRun(readMeasurements(), run, parts.versions));
    }
    console.log(JSON.stringify({ parts: parts.versions, runs }, undefined, 2));
    return runs.every(isGood) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof AssetUnavailable)) throw error;
    console.error(`kubeadm: ${error.message}`);
    return EXIT_CANNOT_RUN;
  }
}

/** One control plane from nothing to nothing. */
async function play(
  plan: Plan,
  { parts, product, isKept }: { readonly parts: Parts; readonly product: Product; readonly isKept: boolean },
): Promise<Run> {
  const lease = leaseText(plan.lease);
  say(`${product.name} ${product.version}, ${plan.bootstrap} manifest, Lease ${lease}`);
  const cluster = await ControlPlane.create({ ...plan, parts, product, say });
  let bootstrap: BootstrapResult | undefined;
  const faults: FaultResult[] = [];
  let problem: string | undefined;
  try {
    bootstrap = await runBootstrap(cluster, plan.bootstrap);
    say(`bootstrap: ${JSON.stringify(bootstrap)}`);
    for (const fault of plan.faults) {
      const result = await inflict(cluster, fault, plan.lease);
      say(`${fault}: ${JSON.stringify(result)}`);
      faults.push(result);
    }
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
    say(`failed: ${problem}`);
  }
  try {
    const logs = join(cacheFolder(), 'logs', `${plan.product}-${plan.bootstrap}-${lease.replaceAll('/', '-')}`);
    await cluster.keepLogs(logs);
    say(`logs are in ${logs}`);
    if (isKept) await linger(cluster);
  } finally {
    await cluster.close();
  }
  return {
    product: plan.product,
    version: product.version,
    manifest: plan.bootstrap,
    lease,
    ...(bootstrap === undefined ? {} : { bootstrap }),
    faults,
    ...(problem === undefined ? {} : { problem }),
  };
}

async function linger(cluster: ControlPlane): Promise<void> {
  for (const machine of cluster.machines.filter(({ isOn }) => isOn)) {
    const [command = '', ...rest] = machine.argv('bash');
    say(`${machine.name}: ${[command, ...rest.slice(0, -3)].join(' ')} bash`);
  }
  say('Ctrl-C ends it');
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {}, 60_000);
    process.once('SIGINT', () => {
      clearInterval(timer);
      resolve();
    });
  });
}

function planOf(values: {
  readonly product: string;
  readonly bootstrap: string;
  readonly lease: string;
  readonly faults: string;
}): Plan | undefined {
  const product = PRODUCTS.find((name) => name === values.product);
  const bootstrap = BOOTSTRAPS.find((name) => name === values.bootstrap);
  const match = /^(\d+)\/(\d+)\/(\d+)$/.exec(values.lease);
  const names = { all: FAULT_NAMES, none: [] }[values.faults] ?? values.faults.split(',');
  if (product === undefined || bootstrap === undefined || match === null || !names.every(isFaultName)) return undefined;
  if (product === 'kube-vip' && bootstrap === 'own') return planOf({ ...values, bootstrap: 'admin.conf' });
  const [duration, renewDeadline, retryPeriod] = match.slice(1).map(Number) as [number, number, number];
  return { product, bootstrap, lease: { duration, renewDeadline, retryPeriod }, faults: names };
}

function findObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root';
  // The nodes' control groups are made the old way.
  if (!existsSync('/sys/fs/cgroup/memory')) return 'this machine has cgroup v2, and the lab has only been made for v1';
  return undefined;
}

function readMeasurements(): Measurements {
  const path = join(BENCHMARKS, 'kubeadm.json');
  // Written by writeReport below.
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Measurements) : { parts: {}, runs: [] };
}

/**
 * A run takes the place of an earlier one of the same kind, which keeps the faults that were not repeated; they stay in the
 * order of the plans.
 */
function withRun(before: Measurements, run: Run, parts: Measurements['parts']): Measurements {
  const place = (each: Run): number =>
    ALL_PLANS.findIndex(
      ({ product, bootstrap, lease }) =>
        product === each.product && bootstrap === each.manifest && leaseText(lease) === each.lease,
    );
  const others = before.runs.filter((each) => place(each) !== place(run) || place(run) < 0);
  const kept = before.runs
    .filter((each) => !others.includes(each))
    .flatMap(({ faults }) => faults.filter(({ fault }) => !run.faults.some((result) => result.fault === fault)));
  const faults = FAULT_NAMES.flatMap((name) => [...kept, ...run.faults].filter(({ fault }) => fault === name));
  return { parts, runs: [...others, { ...run, faults }].toSorted((a, b) => place(a) - place(b)) };
}

function leaseText({ duration, renewDeadline, retryPeriod }: LeaseTimes): string {
  return `${duration}/${renewDeadline}/${retryPeriod}`;
}

function writeReport(measurements: Measurements): void {
  mkdirSync(BENCHMARKS, { recursive: true });
  writeFileSync(join(BENCHMARKS, 'kubeadm.json'), `${JSON.stringify(measurements, undefined, 2)}\n`);
  writeFileSync(join(BENCHMARKS, 'kubeadm.md'), reportText(measurements));
}

function say(line: string): void {
  console.error(`[${new Date().toISOString().slice(11, 19)}] ${line}`);
}

if (import.meta.main) process.exitCode = await main();
