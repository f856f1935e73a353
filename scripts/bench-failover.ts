/**
 * Measures how long a client is without its virtual IPs, failure by failure, and writes docs/benchmarks/failover.md: the
 * scenarios of test/lab/scenarios.ts, several times each, on three nodes with a real etcd and kube-apiserver (or the
 * embedded API), a UDP probe every 2 ms and a new TLS connection every 50 ms to each virtual IP.
 *
 *     npm run bench:failover -- [--runs 5] [--api real|embedded] [--scenarios a,b] [--print]
 *
 * --print shows the table and writes nothing.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { nowMs, sleep } from '../test/lab/clock.ts';
import { Cluster, holdfastProgram, type ApiKind } from '../test/lab/cluster.ts';
import { isStartedOver, namespacePrivilege, startOverInUserNamespace } from '../test/lab/namespace.ts';
import {
  hasOneHolder,
  play,
  SCENARIOS,
  type Scenario,
  type ScenarioName,
  type ScenarioResult,
} from '../test/lab/scenarios.ts';
import { ETCD_VERSION, KUBERNETES_VERSION } from './assets.ts';

const ROOT = join(import.meta.dirname, '..');

/** The same lab and prober with the peers, seconds: measured before, one to five runs each; versions in the header. */
const PEERS: Partial<Record<ScenarioName, { readonly kubeVip: string; readonly keepalived: string }>> = {
  stop: { kubeVip: '2.5', keepalived: '0.61' },
  crash: { kubeVip: '0.006, **two holders for good**', keepalived: '0.013, **two holders for good**' },
  freeze: { kubeVip: '0.006, **two holders for good**', keepalived: '0.008, **two holders for good**' },
  power: { kubeVip: '8.5', keepalived: '3.07' },
  cut: { kubeVip: '8.5', keepalived: '3.09, **two holders**' },
  'api-stop': { kubeVip: '2.0–5.0', keepalived: 'by a script only' },
  'api-outage': { kubeVip: 'until the API is back', keepalived: '0' },
};

interface Row {
  readonly name: ScenarioName;
  readonly results: readonly ScenarioResult[];
}

interface Start {
  readonly heldMs: number;
  readonly answeredMs: number;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '5' },
      api: { type: 'string', default: 'real' },
      scenarios: { type: 'string' },
      print: { type: 'boolean', default: false },
    },
  });
  const api: ApiKind = values.api === 'embedded' ? 'embedded' : 'real';
  const all = Object.keys(SCENARIOS) as ScenarioName[];
  const possible = all.filter((name) => api === 'real' || (SCENARIOS[name] as Scenario).needsRealApi !== true);
  const wanted = values.scenarios?.split(',');
  const names = possible.filter((name) => wanted?.includes(name) ?? true);
  const privilege = namespacePrivilege();
  if (privilege.kind === 'none') {
    console.error(`The benchmark can't run here: ${privilege.reason}.`);
    return 3;
  }
  if (privilege.kind === 'user-namespace' && !isStartedOver()) return startOverInUserNamespace();

  const runs = Number(values.runs);
  const cluster = await Cluster.create({ api, prefix: 'hf-bench' });
  try {
    cluster.capture.ask(cluster.vips);
    const starts = await measureStarts(cluster, runs);
    for (const node of cluster.lab.nodes) await cluster.startCandidate(node);
    await cluster.settled();
    await cluster.reachable();
    const rows: Row[] = [];
    for (const name of names) rows.push(await measure(cluster, name, runs));
    const text = document({ api, runs, starts, rows });
    if (values.print) {
      console.log(text);
    } else {
      const folder = join(ROOT, 'docs', 'benchmarks');
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'failover.md'), text);
    }
    return rows.every((row) => row.results.every((result) => hasOneHolder(result.holdersAtEnd))) ? 0 : 1;
  } finally {
    await cluster.close();
  }
}

/** One candidate alone, the Lease free: from starting the process to the address, and to the client's first answer. */
async function measureStarts(cluster: Cluster, runs: number): Promise<readonly Start[]> {
  const [node] = cluster.lab.nodes;
  if (node === undefined) throw new Error('a cluster without nodes');
  const starts: Start[] = [];
  for (let run = 0; run < runs; run += 1) {
    const beginMs = nowMs();
    const manager = cluster.startManager(node);
    await cluster.settled();
    const heldMs = nowMs() - beginMs;
    const samples = await Promise.all(cluster.vips.map((vip) => cluster.prober.answered(vip, beginMs)));
    starts.push({ heldMs, answeredMs: Math.max(...samples.map((sample) => sample.answeredMs ?? 0)) - beginMs });
    console.error(`start ${run + 1}: held after ${Math.round(heldMs)} ms`);
    await manager.stop();
    await sleep(500);
  }
  return starts;
}

async function measure(cluster: Cluster, name: ScenarioName, runs: number): Promise<Row> {
  const results: ScenarioResult[] = [];
  for (let run = 0; run < runs; run += 1) {
    const result = await play(cluster, name);
    results.push(result);
    const longest = result.outages.map((outage) => Math.round(outage.longestMs));
    console.error(`${name} ${run + 1}: ${result.from} → ${result.to}, ${longest.join(' and ')} ms`);
  }
  return { name, results };
}

function document(parts: {
  readonly api: ApiKind;
  readonly runs: number;
  readonly starts: readonly Start[];
  readonly rows: readonly Row[];
}): string {
  const { api, runs, starts, rows } = parts;
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
  const program = holdfastProgram().length === 1 ? 'the built executable' : 'its sources under Node';
  const where =
    api === 'real'
      ? `a real etcd ${ETCD_VERSION} and kube-apiserver ${KUBERNETES_VERSION} on each node`
      : 'the embedded API behind the switch';
  return `# Failover, measured

Holdfast ${version} (${commit}, ${program}), three nodes in network namespaces, ${where}; Lease 5/3/1 s, address lifetime
3 s; an IPv4 and an IPv6 address held together. ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Linux ${release().split('-')[0] ?? ''}. ${runs} runs each.
Made by \`npm run bench:failover -- --runs ${runs} --api ${api}\`.

A client outside sends a UDP probe every 2 ms to each address${api === 'real' ? ' and makes a new, verified TLS connection every 50 ms' : ''}. Its outage is the time from the first probe
lost to the first answer. Seconds: median (least–most).

First start with the Lease free, one candidate: the addresses are held after **${spread(starts.map((start) => start.heldMs))}**, the
client is answered after ${spread(starts.map((start) => start.answeredMs))} (from the start of the process).

| event on the holder | IPv4 | IPv6 |${api === 'real' ? ' new TLS, IPv4 | new TLS, IPv6 |' : ''} two holders | kube-vip | keepalived 1 s |
|---|---|---|${api === 'real' ? '---|---|' : ''}---|---|---|
${rows.map((row) => tableRow(row, api)).join('\n')}

"Two holders": the longest time two nodes of one segment had an address at once, by the kernels' own notifications; after
every run one node, and only one, had both addresses${rows.every((row) => row.results.every((result) => hasOneHolder(result.holdersAtEnd))) ? '' : ' (NOT in all of these runs)'}. The columns of kube-vip (1.2.3+, main of August 2026, 5/3/1 s) and
keepalived (2.2.7) are from the same kind of lab with the same prober, one to five runs; read ratios, not digits.
`;
}

function tableRow({ name, results }: Row, api: ApiKind): string {
  const of = (pick: (result: ScenarioResult) => number | undefined): string =>
    spread(results.map((result) => pick(result) ?? 0));
  const shared = Math.max(...results.map((result) => result.sharedMs));
  const cells = [
    SCENARIOS[name].title,
    of((result) => result.outages[0]?.longestMs),
    of((result) => result.outages[1]?.longestMs),
    ...(api === 'real'
      ? [of((result) => result.tlsOutages[0]?.longestMs), of((result) => result.tlsOutages[1]?.longestMs)]
      : []),
    shared === 0 ? 'never' : `${(shared / 1000).toFixed(3)} s`,
    PEERS[name]?.kubeVip ?? '–',
    PEERS[name]?.keepalived ?? '–',
  ];
  return `| ${cells.join(' | ')} |`;
}

/** "median (least–most)" in seconds. */
function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b).map((ms) => (ms / 1000).toFixed(ms < 1000 ? 3 : 2));
  const median = sorted[Math.floor(sorted.length / 2)] ?? '–';
  return sorted.length < 2 ? median : `${median} (${sorted[0]}–${sorted.at(-1)})`;
}

process.exitCode = await main();
