/**
 * What a holder costs that has nothing to do: resident and private memory, processor time, and how soon after its start
 * it holds its virtual IPs. Beside it the floor, Node itself, in the steps that lead from one to the other; and kube-vip,
 * when KUBE_VIP_BIN names its executable. Writes docs/benchmarks/idle.md and .json.
 *
 *     npm run bench:idle -- [--seconds 60] [--starts 5] [--api embedded|real] [--print]
 *
 * One node in network namespaces, IPv4 and IPv6 VIP, 5/3/1 s; then three of them, which exchange heartbeats. Needs root (or user namespaces) and `npm run build`.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { nowMs, sleep } from '../test/lab/clock.ts';
import { Cluster } from '../test/lab/cluster.ts';
import { isStartedOver, namespacePrivilege, startOverInUserNamespace } from '../test/lab/namespace.ts';
import type { LabProcess } from '../test/lab/process.ts';
import { EXEC_ARGV } from './build.ts';
import { dropFromCache } from './page-cache.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDER = join(ROOT, 'docs', 'benchmarks');

/** After this much time everything that happens once at start has happened, the trim of the mappings included. */
const SETTLE_MS = 15_000;
const FIRST_VIP_MAX_MS = 30_000;

/** The goals of the project's first issue; of its fourth, for each of three nodes with heartbeats. */
const GOALS = { residentMiB: 60, privateMiB: 25, cpuMsPerSecond: 5, firstVipMs: 500, heartbeatsCpuMsPerSecond: 10 };

interface Usage {
  /** MiB; resident = private + files. */
  readonly resident: number;
  readonly private: number;
  readonly cpuMsPerSecond: number;
}

interface Row extends Usage {
  readonly name: string;
  /** The same executable read from a disk cache in small pieces, as after a reboot. */
  readonly residentCold: number;
}

interface Contender {
  readonly name: string;
  readonly executable: string;
  readonly args: readonly string[];
  /** Whether it takes the lab's settings and is to hold the virtual IPs. */
  readonly isHolder: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

interface Result {
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: string;
  readonly seconds: number;
  readonly api: string;
  readonly rows: readonly Row[];
  readonly starts: readonly { readonly name: string; readonly ms: readonly number[] }[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      starts: { type: 'string', default: '5' },
      // kube-vip speaks protobuf, which the embedded API doesn't.
      api: { type: 'string', default: (process.env['KUBE_VIP_BIN'] ?? '') === '' ? 'embedded' : 'real' },
      print: { type: 'boolean', default: false },
    },
  });
  const holdfast = join(ROOT, 'dist', 'holdfast');
  const privilege = namespacePrivilege();
  if (privilege.kind === 'none' || !existsSync(holdfast)) {
    console.error(
      privilege.kind === 'none' ? `The benchmark can't run here: ${privilege.reason}.` : 'npm run build comes first',
    );
    return 3;
  }
  if (privilege.kind === 'user-namespace' && !isStartedOver()) return startOverInUserNamespace();

  const [loadAtStart] = loadavg();
  const cluster = await Cluster.create({
    nodes: 1,
    api: values.api === 'real' ? 'real' : 'embedded',
    prefix: 'hf-idle',
  });
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-idle-'));
  try {
    const bench = new Bench(cluster, folder, Number(values.seconds) * 1000);
    const contenders = listContenders(holdfast, folder, cluster.lab.nodes[0]?.ipv4 ?? '');
    const rows: Row[] = [];
    for (const contender of contenders) rows.push(await bench.measure(contender));
    const starts = [];
    for (const contender of contenders.filter(({ isHolder }) => isHolder)) {
      starts.push({ name: contender.name, ms: await bench.starts(contender, Number(values.starts)) });
    }
    const api = values.api === 'real' ? 'real' : 'embedded';
    rows.push(...(await measureThree(api, holdfast, folder, Number(values.seconds) * 1000)));
    const loads = [loadAtStart, ...loadavg().slice(0, 1)].map((load) => load?.toFixed(1)).join(' → ');
    const result: Result = {
      versions: versions(holdfast),
      machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, Linux ${release()}, ${process.arch}, load ${loads}`,
      seconds: Number(values.seconds),
      api: values.api,
      rows,
      starts,
    };
    publish(result, values.print);
    return 0;
  } finally {
    await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Three nodes, one of which holds: what it costs, and what one of the others does. */
async function measureThree(
  api: 'embedded' | 'real',
  executable: string,
  folder: string,
  windowMs: number,
): Promise<readonly Row[]> {
  const cluster = await Cluster.create({ nodes: 3, api, prefix: 'hf-idle3' });
  try {
    const fresh = await usageOfThree(cluster, copyOf(executable, folder), windowMs);
    const copy = copyOf(executable, folder);
    dropFromCache(copy);
    const cold = await usageOfThree(cluster, copy, windowMs);
    const rows = [
      { name: '**holdfast, holding, of three**', ...fresh.holder, residentCold: cold.holder.resident },
      { name: 'holdfast, following, of three', ...fresh.follower, residentCold: cold.follower.resident },
    ];
    rows.forEach(tell);
    return rows;
  } finally {
    await cluster.close();
  }
}

async function usageOfThree(
  cluster: Cluster,
  executable: string,
  windowMs: number,
): Promise<{ readonly holder: Usage; readonly follower: Usage }> {
  const programs = new Map<string, LabProcess>();
  for (const node of cluster.lab.nodes) {
    const program = cluster.lab.spawn(node, [executable, 'manager'], { env: cluster.managerEnv(node) });
    programs.set(node.name, program);
    await program.waitForLine(/api credentials loaded/);
  }
  const { name } = await cluster.settled();
  const holder = programs.get(name);
  const follower = [...programs].find(([other]) => other !== name)?.[1];
  if (holder === undefined || follower === undefined) throw new Error('a cluster of three has a holder and a follower');
  await sleep(SETTLE_MS);
  const [held, followed] = await Promise.all([usageOf(holder, windowMs), usageOf(follower, windowMs)]);
  await Promise.all([...programs.values()].map((program) => program.stop()));
  await cluster.holders.until((lists) => lists.every((list) => list.length === 0), FIRST_VIP_MAX_MS);
  return { holder: held, follower: followed };
}

/** What the process costs for as long as the window is, and has at its end. */
async function usageOf(program: LabProcess, windowMs: number): Promise<Usage> {
  const [beforeMs, beforeCpu] = [nowMs(), cpuMs(program.pid)];
  await sleep(windowMs);
  const cpuMsPerSecond = (cpuMs(program.pid) - beforeCpu) / ((nowMs() - beforeMs) / 1000);
  return {
    resident: memoryMiB(program.pid, 'VmRSS'),
    private: memoryMiB(program.pid, 'RssAnon'),
    cpuMsPerSecond: Math.round(cpuMsPerSecond * 10) / 10,
  };
}

function tell(row: Row): void {
  console.error(
    `${row.name}: ${row.resident} MiB, private ${row.private}, ${row.cpuMsPerSecond} ms/s; cold ${row.residentCold}`,
  );
}

/** As a container runtime may leave it: written just now, and in the page cache in the largest pieces. */
function copyOf(executable: string, folder: string): string {
  const copy = join(folder, 'program');
  rmSync(copy, { force: true });
  writeFileSync(copy, readFileSync(executable), { mode: 0o755 });
  return copy;
}

function listContenders(holdfast: string, folder: string, address: string): Contender[] {
  const node = process.execPath;
  const idle = 'setInterval(() => {}, 60_000);';
  const script = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const https = `const https = require('node:https'); const tls = require('node:tls');
    new https.Agent({ keepAlive: true }); tls.createSecureContext({}); https.createServer({}); ${idle}`;
  const list: Contender[] = [
    { name: 'Node, idle', executable: node, args: [script('idle.cjs', idle)], isHolder: false },
    {
      name: 'Node with our V8 flags',
      executable: node,
      args: [...EXEC_ARGV, script('idle.cjs', idle)],
      isHolder: false,
    },
    {
      name: '… and node:https loaded',
      executable: node,
      args: [...EXEC_ARGV, script('https.cjs', https)],
      isHolder: false,
    },
    {
      name: 'holdfast without an API to talk to',
      executable: holdfast,
      args: ['manager'],
      isHolder: false,
      env: { k8s_config_file: join(folder, 'absent.conf') },
    },
    { name: '**holdfast, holding**', executable: holdfast, args: ['manager'], isHolder: true },
  ];
  const kubeVip = process.env['KUBE_VIP_BIN'] ?? '';
  if (kubeVip !== '') {
    // By itself it would look for the API behind the VIP that it is to hold.
    const env = { kubernetes_addr: `https://${address}:6443` };
    list.push({ name: 'kube-vip, holding', executable: kubeVip, args: ['manager'], isHolder: true, env });
  }
  return list;
}

class Bench {
  readonly #cluster: Cluster;
  readonly #folder: string;
  readonly #windowMs: number;

  constructor(cluster: Cluster, folder: string, windowMs: number) {
    this.#cluster = cluster;
    this.#folder = folder;
    this.#windowMs = windowMs;
  }

  async measure(contender: Contender): Promise<Row> {
    const fresh = await this.#usage(contender, this.#copy(contender.executable));
    const copy = this.#copy(contender.executable);
    dropFromCache(copy);
    const cold = await this.#usage(contender, copy);
    const row = { name: contender.name, ...fresh, residentCold: cold.resident };
    tell(row);
    return row;
  }

  /** From starting the process to the last of the virtual IPs in the kernel, ms. */
  async starts(contender: Contender, count: number): Promise<readonly number[]> {
    const copy = this.#copy(contender.executable);
    const times: number[] = [];
    for (let start = 0; start < count; start += 1) {
      const beginMs = nowMs();
      const program = this.#start(contender, copy);
      times.push(Math.round((await this.#held()) - beginMs));
      await program.stop();
      await this.#cluster.holders.until((lists) => lists.every((list) => list.length === 0), FIRST_VIP_MAX_MS);
      await sleep(500);
    }
    return times;
  }

  async #usage(contender: Contender, executable: string): Promise<Usage> {
    const program = this.#start(contender, executable);
    if (contender.isHolder) await this.#held();
    await sleep(SETTLE_MS);
    const usage = await usageOf(program, this.#windowMs);
    await program.stop();
    if (contender.isHolder) {
      await this.#cluster.holders.until((lists) => lists.every((list) => list.length === 0), FIRST_VIP_MAX_MS);
    }
    return usage;
  }

  #start({ args, env }: Contender, executable: string): LabProcess {
    const [node] = this.#cluster.lab.nodes;
    if (node === undefined) throw new Error('a cluster without nodes');
    return this.#cluster.lab.spawn(node, [executable, ...args], { env: { ...this.#cluster.managerEnv(node), ...env } });
  }

  #held(): Promise<number> {
    return this.#cluster.holders.until((lists) => lists.every((list) => list.length === 1), FIRST_VIP_MAX_MS);
  }

  #copy(executable: string): string {
    return copyOf(executable, this.#folder);
  }
}

/** Processor time of all the process's threads so far: /proc/PID/task/TID/schedstat counts nanoseconds. */
function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((id) =>
    Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((total, each) => total + each, 0) / 1e6;
}

function memoryMiB(pid: number, field: 'VmRSS' | 'RssAnon'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has no ${field}: it has ended`);
  return Math.round(Number(kib) / 102.4) / 10;
}

function versions(holdfast: string): Record<string, string> {
  const kubeVip = process.env['KUBE_VIP_BIN'] ?? '';
  return {
    holdfast: execFileSync(holdfast, ['version'], { encoding: 'utf8' }).trim(),
    node: `Node ${process.version}`,
    ...(kubeVip === '' ? {} : { 'kube-vip': `kube-vip ${kubeVipVersion(kubeVip)}` }),
  };
}

function kubeVipVersion(executable: string): string {
  const { stdout } = spawnSync(executable, ['version'], { encoding: 'utf8' });
  return /v\d+\.\S+/.exec(stdout)?.[0] ?? 'of unknown version';
}

function publish(result: Result, isPrinted: boolean): void {
  const text = document(result);
  if (isPrinted) return console.log(text);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'idle.json'), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(join(FOLDER, 'idle.md'), text);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function document({ versions: version, machine, seconds, api, rows, starts }: Result): string {
  const table = rows.map(
    (row) =>
      `| ${row.name} | ${row.resident.toFixed(1)} | ${row.private.toFixed(1)} | ${(row.resident - row.private).toFixed(1)} ` +
      `| ${row.residentCold.toFixed(1)} | ${row.cpuMsPerSecond.toFixed(1)} |`,
  );
  const startLines = starts.map(
    ({ name, ms }) => `| ${name} | ${median(ms)} | ${ms.toSorted((a, b) => a - b).join(' ')} |`,
  );
  return `# Idle

Made by \`npm run bench:idle -- --seconds ${seconds} --api ${api}\`. ${Object.values(version).join('; ')}. ${machine}.

One node that holds an IPv4 and an IPv6 address, election 5/3/1 s (so the Lease and the kernel's lifetimes are renewed
every second), after ${SETTLE_MS / 1000} s, for ${seconds} s. MiB; *private* is anonymous memory, which only the process
has; *files* are pages of the executable and its libraries, which are in the page cache anyway and go when memory is
short. Goal: ${GOALS.residentMiB} resident, ${GOALS.privateMiB} private, ${GOALS.cpuMsPerSecond} ms of processor time a second, first VIP within ${GOALS.firstVipMs} ms; ${GOALS.heartbeatsCpuMsPerSecond} ms of processor time for each
*of three* nodes, which send each other a heartbeat over both families every 100 ms.

| | resident | private | files | resident, cold | CPU ms/s |
|---|---|---|---|---|---|
${table.join('\n')}

*Resident* is for an executable written just before, the worst case for every large executable: the page cache has it in
pieces of up to 2 MiB, and Linux 6.18 maps a piece whole. *Cold*: read from disk again in small pieces, as after a
reboot, and as older kernels do it always.

| start to both VIPs in the kernel | median ms | all |
|---|---|---|
${startLines.join('\n')}

Holdfast asks whether anybody has the address and listens before it claims (RFC 5227 §2.1.1): 0.13 s of each. kube-vip
claims without asking.

## Where it goes

Node itself is the first row. Our V8 flags (a small young generation, no optimizing compilers) come next, then
what any TLS client of Node's needs: OpenSSL's tables and root certificates, node:http, node:https. *Without an API*
is the whole program loaded and waiting for its kubeconfig: its JavaScript (0.8 MB of source, its bytecode), the log, the
metrics, netlink and packet sockets, the status and metrics servers. The last step is TLS connections, the watch and
the state. Ten seconds after its start Holdfast unmaps the executable (\`trim\` in src/system/netfd.ts): of Node's code
and constants only what is still used comes back, so that it can be smaller than an idle Node that never does so.
`;
}

if (import.meta.main) process.exit(await main());
