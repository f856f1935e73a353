/**
 * What Services cost and how fast they are: 10, 100, 1,000 of them made at once on three nodes in network namespaces. How
 * long until the kernel of a node has each address (and so answers for it), what the processes cost then while nothing
 * happens, which requests they make, and how long a lost node's share is away. Writes docs/benchmarks/services.md and .json.
 *
 *     npm run bench:services -- [--counts 10,100,1000] [--seconds 20] [--api embedded|real] [--print]
 *
 * Every address is asked once from outside at the end. Needs root (or user namespaces). The longest time that a process'
 * loop stood still is measured within it (monitorEventLoopDelay), so the program runs from its sources here.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { ApiClient } from '../test/lab/api-client.ts';
import { nowMs, sleep } from '../test/lab/clock.ts';
import { isStartedOver, namespacePrivilege, startOverInUserNamespace } from '../test/lab/namespace.ts';
import { EXEC_ARGV } from './build.ts';
import { waitFor } from '../test/lab/process.ts';
import { ServicesCluster } from '../test/lab/services-cluster.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDER = join(ROOT, 'docs', 'benchmarks');
const SETTLE_MS = 15_000;
const SERVED_MAX_MS = 120_000;

interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface Row {
  readonly count: number;
  /** Making all of them. */
  readonly createMs: number;
  /** From the last create until all addresses are on a node. */
  readonly servedAfterLastMs: number;
  /** From the create of each until its address is on a node. */
  readonly served: Quantiles;
  /** From the loss of the node until each of its addresses is on another. */
  readonly lostCount: number;
  readonly lost: Quantiles;
  readonly idle: readonly {
    readonly node: string;
    readonly residentMiB: number;
    readonly cpuMsPerSecond: number;
    /** A second, by verb and resource; watches that lasted aren't in it. */
    readonly requests: Readonly<Record<string, number>>;
  }[];
  /** The longest standstill of a process' loop, all three taken together. */
  readonly stallMs: { readonly creating: number; readonly idle: number; readonly losing: number };
}

/** Runs in each manager: writes the longest standstill since the last time to standard error, each half second. */
const STALL_PROGRAM = `import { monitorEventLoopDelay } from 'node:perf_hooks';
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
setInterval(() => {
  process.stderr.write('STALL ' + (delay.max / 1e6).toFixed(1) + '\\n');
  delay.reset();
}, 500).unref();
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      counts: { type: 'string', default: '10,100,1000' },
      seconds: { type: 'string', default: '20' },
      api: { type: 'string', default: 'embedded' },
      print: { type: 'boolean', default: false },
    },
  });
  const privilege = namespacePrivilege();
  if (privilege.kind === 'none') {
    console.error(`The benchmark can't run here: ${privilege.reason}.`);
    return 3;
  }
  if (privilege.kind === 'user-namespace' && !isStartedOver()) return startOverInUserNamespace();
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-services-'));
  const rows: Row[] = [];
  try {
    const preload = join(folder, 'stall.mjs');
    writeFileSync(preload, STALL_PROGRAM);
    process.env['HOLDFAST_PROGRAM'] =
      `${[process.execPath, ...EXEC_ARGV].join(' ')} --import ${preload} ${join(ROOT, 'src', 'main.ts')}`;
    for (const count of values.counts.split(',').map(Number)) {
      const row = await measure(count, values.api === 'real' ? 'real' : 'embedded', Number(values.seconds) * 1000);
      console.error(JSON.stringify(row));
      rows.push(row);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  publish(rows, values.api, values.print);
  return 0;
}

async function measure(count: number, api: 'embedded' | 'real', windowMs: number): Promise<Row> {
  const services = await ServicesCluster.create({
    prefix: 'hf-bench',
    api,
    pool: poolOf(count),
    env: { svc_election: 'true', vip_servicesinterface: 'eth0', log_level: 'warn' },
  });
  try {
    execFileSync('ip', ['-n', services.lab.client.namespace, 'route', 'add', '10.99.0.0/16', 'dev', 'eth0']);
    await services.startAll();
    await sleep(3_000);
    const stalls = new Stalls(services);
    const creation = await create(services, count);
    const creating = stalls.longest();
    await sleep(SETTLE_MS);
    stalls.longest();
    const idle = await idleOf(services, windowMs);
    const idleStall = stalls.longest();
    const loss = await lose(services, creation.addresses);
    await services.answered(creation.addresses, 60_000);
    return {
      count,
      ...creation.times,
      ...loss,
      idle,
      stallMs: { creating, idle: idleStall, losing: stalls.longest() },
    };
  } finally {
    await services.close();
  }
}

/** As many as there are Services, from 10.99.0.1 on without a gap. */
function poolOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `10.99.${Math.floor((index + 1) / 256)}.${(index + 1) % 256}`);
}

async function create(
  services: ServicesCluster,
  count: number,
): Promise<{
  readonly addresses: readonly string[];
  readonly times: Pick<Row, 'createMs' | 'servedAfterLastMs' | 'served'>;
}> {
  const madeAt = new Map<string, number>();
  const from = nowMs();
  await services.createAtOnce(count, (name) => madeAt.set(name, nowMs()));
  const lastMs = nowMs();
  const addresses = await services.served(count, SERVED_MAX_MS);
  await waitFor('all addresses are held', () => services.owners(addresses).size === count, {
    deadlineMs: SERVED_MAX_MS,
    everyMs: 20,
  });
  const heldAt = (address: string): number =>
    services.holders.changes.find((change) => change.address === address && change.holders.length === 1)?.atMs ?? NaN;
  const each = (await services.services()).flatMap(
    ({ name, addresses: [address = ''] }) => heldAt(address) - (madeAt.get(name) ?? NaN),
  );
  const lastHeld = Math.max(...addresses.map(heldAt));
  return {
    addresses,
    times: {
      createMs: Math.round(lastMs - from),
      servedAfterLastMs: Math.max(0, Math.round(lastHeld - lastMs)),
      served: quantiles(each),
    },
  };
}

async function lose(services: ServicesCluster, addresses: readonly string[]): Promise<Pick<Row, 'lostCount' | 'lost'>> {
  const node = services.nodeWithMost(addresses);
  const before = services.owners(addresses);
  const own = addresses.filter((address) => before.get(address) === node.name);
  const from = nowMs();
  await services.lab.powerOff(node);
  await waitFor('the lost addresses are held', () => services.owners(own).size === own.length, {
    deadlineMs: SERVED_MAX_MS,
    everyMs: 20,
  });
  const times = own.map((address) => {
    const change = services.holders.changes.findLast((each) => each.address === address && each.holders.length === 1);
    return (change?.atMs ?? NaN) - from;
  });
  return { lostCount: own.length, lost: quantiles(times) };
}

async function idleOf(services: ServicesCluster, windowMs: number): Promise<Row['idle']> {
  const { nodes } = services.lab;
  const look = (): Promise<readonly (readonly [Map<string, number>, number])[]> =>
    Promise.all(
      nodes.map(async (node) => [await requestsOf(node.namespace), cpuMs(services.cluster.manager(node).pid)]),
    );
  const [beforeMs, before] = [nowMs(), await look()];
  await sleep(windowMs);
  const [afterMs, after] = [nowMs(), await look()];
  const seconds = (afterMs - beforeMs) / 1000;
  return nodes.map((node, index) => {
    const [requestsBefore, cpuBefore] = before[index] ?? [new Map<string, number>(), 0];
    const [requestsAfter, cpuAfter] = after[index] ?? [new Map<string, number>(), 0];
    const requests = [...requestsAfter].map(([key, total]): [string, number] => {
      const rate = (total - (requestsBefore.get(key) ?? 0)) / seconds;
      return [key, Math.round(rate * 100) / 100];
    });
    return {
      node: node.name,
      residentMiB: residentMiB(services.cluster.manager(node).pid),
      cpuMsPerSecond: Math.round(((cpuAfter - cpuBefore) / seconds) * 10) / 10,
      requests: Object.fromEntries(requests.filter(([, rate]) => rate > 0)),
    };
  });
}

async function requestsOf(namespace: string): Promise<Map<string, number>> {
  const { body } = await new ApiClient({ server: 'http://127.0.0.1:2112', namespace }).request('GET', '/metrics');
  const found = new Map<string, number>();
  for (const line of String(body).split('\n')) {
    const match = /^holdfast_kube_requests_total\{verb="(\w+)",resource="([^"]+)",outcome="([^"]+)"\} (\d+)/.exec(line);
    if (match === null) continue;
    const key = `${match[1] ?? ''} ${match[2] ?? ''}`;
    found.set(key, (found.get(key) ?? 0) + Number(match[4]));
  }
  return found;
}

/** What the managers said of standstills since the last time they were asked. */
class Stalls {
  readonly #services: ServicesCluster;
  #seen = new Map<string, number>();

  constructor(services: ServicesCluster) {
    this.#services = services;
    this.longest();
  }

  longest(): number {
    let longest = 0;
    for (const [name, manager] of this.#services.cluster.managers) {
      const lines = manager.lines.filter(({ text }) => text.startsWith('STALL '));
      for (const { text } of lines.slice(this.#seen.get(name) ?? 0)) {
        longest = Math.max(longest, Number(text.slice('STALL '.length)));
      }
      this.#seen.set(name, lines.length);
    }
    return Math.round(longest);
  }
}

function quantiles(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function residentMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Math.round(Number(line?.[1] ?? NaN) / 1024);
}

function publish(rows: readonly Row[], api: string, isPrinted: boolean): void {
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, Linux ${release()}, ${process.arch}, load ${loadavg()[0]?.toFixed(1) ?? ''}`;
  const text = document(rows, api, machine);
  if (isPrinted) return console.log(text);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'services.json'), `${JSON.stringify({ machine, api, rows }, null, 2)}\n`);
  writeFileSync(join(FOLDER, 'services.md'), text);
}

function document(rows: readonly Row[], api: string, machine: string): string {
  const text = ({ p50, p99, max }: Quantiles): string => `${p50} / ${p99} / ${max} ms`;
  const times = rows.map(
    (row) =>
      `| ${row.count} | ${row.createMs} ms | ${row.servedAfterLastMs} ms | ${text(row.served)} | ${row.lostCount} | ${text(row.lost)} | ${row.stallMs.creating} / ${row.stallMs.idle} / ${row.stallMs.losing} ms |`,
  );
  const costs = rows.flatMap((row) =>
    row.idle.map(({ node, residentMiB: resident, cpuMsPerSecond, requests }) => {
      const rates = Object.entries(requests).map(([key, rate]) => `${key} ${rate}`);
      return `| ${row.count} | ${node} | ${resident} MiB | ${cpuMsPerSecond} ms/s | ${rates.join(', ')} |`;
    }),
  );
  return `# Services

\`npm run bench:services\`, three nodes in network namespaces, ${api} API, ${machine}. The program runs from its sources, with
a monitor of its event loop, which costs some memory.

| Services | made in | all held after the last one | each held (p50 / p99 / max) | lost with a node | held again (p50 / p99 / max) | longest standstill (making / idle / loss) |
|---|---|---|---|---|---|---|
${times.join('\n')}

While nothing happens, requests a second by verb and resource:

| Services | node | resident | processor | requests |
|---|---|---|---|---|
${costs.join('\n')}
`;
}

process.exitCode = await main();
