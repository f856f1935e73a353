/**
 * Measures how long a client is without its virtual IPs, failure by failure, contender by contender in one run: the
 * scenarios of test/lab/scenarios.ts on three nodes with a real etcd and kube-apiserver each, a UDP probe every 2 ms and
 * a new TLS connection every 50 ms to each virtual IP. Writes docs/benchmarks/failover.md and .json.
 *
 *     npm run bench:failover -- [--runs 5] [--contenders holdfast,keepalived,kube-vip] [--scenarios a,b]
 *                               [--minutes 60] [--note TEXT] [--print]
 *     npm run bench:failover -- --render
 *
 * Holdfast is the built executable where it is newer than its sources, at its defaults. keepalived is the distribution's,
 * installed if this is root; kube-vip is the executable that KUBE_VIP_BIN names. Who is missing is said, and left out.
 * --print shows the page and writes nothing, --render writes the page anew from the JSON. No run begins after --minutes.
 * Needs root.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { nowMs, sleep } from '../test/lab/clock.ts';
import { Cluster, holdfastProgram } from '../test/lab/cluster.ts';
import { keepalivedOn, keepalivedVersion } from '../test/lab/contender-keepalived.ts';
import { kubeVipOn, kubeVipVersion } from '../test/lab/contender-kube-vip.ts';
import { managersOf, type Candidates } from '../test/lab/contender.ts';
import { everybodyHeard } from '../test/lab/everybody-heard.ts';
import { namespacePrivilege } from '../test/lab/namespace.ts';
import { play, type ScenarioName } from '../test/lab/scenarios.ts';
import {
  about,
  longestOf,
  publish,
  readPublished,
  runOf,
  SCENARIO_NAMES,
  type Cell,
  type ContenderName,
  type Published,
  type Run,
} from './bench-report.ts';

const EXIT_CANNOT_RUN = 3;
/** Between two runs: addresses announced, voters registered, the machine quiet. */
const PAUSE_MS = 1000;
const FIRST_MS = 30_000;
/** An overlap of the product's holders longer than this is told with what they logged. */
const SHARED_ODD_MS = 50;
/** What the product is given in the benchmark; more than its lifetime on an address at the defaults. */
const OWN_PATIENCE = { takeOverMs: 25_000, letGoMs: 15_000 };
/** keepalived doesn't know of the API: these rows would show what others show already, or the lab's load. */
const WITHOUT_API: readonly ScenarioName[] = ['stop', 'crash', 'freeze', 'power', 'cut'];

interface Contender {
  readonly name: ContenderName;
  readonly title: string;
  readonly scenarios: readonly ScenarioName[];
  readonly candidates: Candidates;
  /** Resolves when all of them take part, whatever that means to them. */
  readonly ready: () => Promise<void>;
}

interface Options {
  readonly runs: number;
  readonly contenders: readonly string[];
  readonly scenarios: readonly ScenarioName[];
  readonly untilMs: number;
  readonly isPrinted: boolean;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '5' },
      contenders: { type: 'string', default: 'holdfast,keepalived,kube-vip' },
      scenarios: { type: 'string' },
      minutes: { type: 'string', default: '60' },
      note: { type: 'string', default: '' },
      print: { type: 'boolean', default: false },
      render: { type: 'boolean', default: false },
    },
  });
  if (values.render) {
    publish(readPublished(), values.print);
    return 0;
  }
  const wanted = values.scenarios?.split(',') ?? SCENARIO_NAMES;
  const options: Options = {
    runs: Number(values.runs),
    contenders: values.contenders.split(','),
    scenarios: SCENARIO_NAMES.filter((name) => wanted.includes(name)),
    untilMs: nowMs() + Number(values.minutes) * 60_000,
    isPrinted: values.print,
  };
  if (namespacePrivilege().kind !== 'root') {
    console.error('The benchmark needs root: keepalived and kube-vip do.');
    return EXIT_CANNOT_RUN;
  }
  if (options.contenders.includes('keepalived')) installKeepalived();

  const beginMs = nowMs();
  const before = { ...about(), load: loadavg()[0] ?? 0 };
  const cluster = await Cluster.create({ api: 'real', prefix: 'hf-bench' });
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  try {
    cluster.capture.ask(cluster.vips);
    const { contenders, missing } = contendersIn(cluster, folder, options.contenders);
    const cells: Cell[] = [];
    for (const contender of contenders) cells.push(...(await new Bench(cluster, contender, options).measure()));
    const minutes = (nowMs() - beginMs) / 60_000;
    console.error(`took ${minutes.toFixed(1)} minutes`);
    const report: Published = {
      versions: before.versions,
      machine: before.machine,
      command: `npm run bench:failover -- ${process.argv.slice(2).join(' ')}`.trim(),
      program: holdfastProgram().length === 1 ? 'the built executable' : 'its sources under Node',
      runs: options.runs,
      titles: Object.fromEntries(contenders.map(({ name, title }) => [name, title])),
      missing,
      minutes,
      load: [before.load, loadavg()[0] ?? 0],
      note: values.note,
      cells,
    };
    publish(report, options.isPrinted);
    const own = cells.filter(({ contender }) => contender === 'holdfast').flatMap(({ runs }) => runs);
    return own.every(({ isSoundAtEnd }) => isSoundAtEnd) ? 0 : 1;
  } finally {
    await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function installKeepalived(): void {
  spawnSync(join(import.meta.dirname, 'system-packages'), ['keepalived'], { stdio: 'inherit' });
}

function contendersIn(
  cluster: Cluster,
  folder: string,
  wanted: readonly string[],
): { readonly contenders: readonly Contender[]; readonly missing: readonly string[] } {
  const contenders: Contender[] = [];
  const missing: string[] = [];
  const settled = async (): Promise<void> => {
    await cluster.settled({ deadlineMs: FIRST_MS });
  };
  if (wanted.includes('holdfast')) {
    const candidates = managersOf(cluster, { isAtDefaults: true, patience: OWN_PATIENCE });
    const ready = (): Promise<void> => everybodyHeard(cluster);
    contenders.push({ name: 'holdfast', title: 'Holdfast', scenarios: SCENARIO_NAMES, candidates, ready });
  }
  const keepalived = keepalivedVersion();
  if (wanted.includes('keepalived') && keepalived === undefined) missing.push('keepalived (not installed)');
  if (wanted.includes('keepalived') && keepalived !== undefined) {
    for (const seconds of [1, 0.1] as const) {
      const title = `keepalived ${keepalived}, ${seconds} s`;
      const candidates = keepalivedOn(cluster, folder, seconds);
      contenders.push({
        name: `keepalived-${seconds}s`,
        title,
        scenarios: WITHOUT_API,
        candidates,
        ready: settled,
      });
    }
  }
  const executable = process.env['KUBE_VIP_BIN'] ?? '';
  if (wanted.includes('kube-vip') && executable === '') missing.push('kube-vip (KUBE_VIP_BIN names no executable)');
  if (wanted.includes('kube-vip') && executable !== '') {
    const title = `kube-vip ${kubeVipVersion(executable)}, 5/3/1 s`;
    const candidates = kubeVipOn(cluster, executable);
    contenders.push({ name: 'kube-vip', title, scenarios: SCENARIO_NAMES, candidates, ready: settled });
  }
  return { contenders, missing };
}

class Bench {
  readonly #cluster: Cluster;
  readonly #contender: Contender;
  readonly #options: Options;

  constructor(cluster: Cluster, contender: Contender, options: Options) {
    this.#cluster = cluster;
    this.#contender = contender;
    this.#options = options;
  }

  async measure(): Promise<readonly Cell[]> {
    const { name, scenarios } = this.#contender;
    await this.#startAll();
    const cells: Cell[] = [];
    for (const scenario of this.#options.scenarios.filter((each) => scenarios.includes(each))) {
      const runs: Run[] = [];
      const failures: string[] = [];
      for (let run = 0; run < this.#options.runs && nowMs() < this.#options.untilMs; run += 1) {
        try {
          const result = await this.#run(scenario);
          runs.push(result);
          console.error(`${name} ${scenario} ${run + 1}: ${describe(result)}`);
        } catch (error) {
          const [message = ''] = error instanceof Error ? error.message.split('\n') : [];
          failures.push(message);
          console.error(`${name} ${scenario} ${run + 1}: ${error instanceof Error ? error.message : ''}`);
          await this.#restore();
        }
      }
      cells.push({ contender: name, scenario, runs, failures });
    }
    await this.#stopAll();
    return cells;
  }

  async #run(scenario: ScenarioName): Promise<Run> {
    const { candidates, ready } = this.#contender;
    const cluster = this.#cluster;
    await ready();
    await sleep(PAUSE_MS);
    // One who holds and whom the client doesn't find (after a dispute, say) is dark already: no event would show.
    await cluster.reachable();
    const result = await play(cluster, scenario, {}, candidates);
    const run = runOf(cluster, result);
    const isOdd = longestOf(run) > 1000 || run.sharedMs > SHARED_ODD_MS || !run.isSoundAtEnd;
    if (this.#contender.name === 'holdfast' && isOdd) this.#explain(result.startMs);
    if (!run.isSoundAtEnd) await this.#restore();
    return run;
  }

  /** Who had what when, and what the managers said, on one line of time. */
  #explain(startMs: number): void {
    const { holders, vips, managers } = this.#cluster;
    const changes = vips.flatMap((vip) => holders.since(vip, startMs));
    const said = [...managers].flatMap(([node, manager]) =>
      manager.lines.filter(({ atMs }) => atMs >= startMs).map(({ atMs, text }) => ({ atMs, text: `${node}: ${text}` })),
    );
    const had = changes.map(({ atMs, address, holders: names }) => ({ atMs, text: `${address}: ${names.join('+')}` }));
    for (const { atMs, text } of [...had, ...said].toSorted((a, b) => a.atMs - b.atMs)) {
      console.error(`  ${Math.round(atMs - startMs)} ms ${text}`);
    }
  }

  async #startAll(): Promise<void> {
    const { candidates } = this.#contender;
    for (const node of this.#cluster.lab.nodes) await candidates.start(node);
    await this.#cluster.settled({ deadlineMs: FIRST_MS });
    await this.#cluster.reachable();
  }

  async #stopAll(): Promise<void> {
    const { lab, vips } = this.#cluster;
    await Promise.all(lab.nodes.map((node) => this.#contender.candidates.stop(node)));
    for (const node of lab.nodes) {
      const left = lab.addresses(node).filter(({ address }) => vips.includes(address));
      for (const { address } of left) lab.deleteAddress(node, address);
    }
  }

  /** After a run that left things as they shouldn't be: everything on, nobody's address anywhere, all started anew. */
  async #restore(): Promise<void> {
    const cluster = this.#cluster;
    const real = cluster.realApi();
    for (const node of cluster.lab.nodes) {
      this.#contender.candidates.thaw(node);
      if (cluster.lab.state(node) === 'off') await cluster.powerOn(node);
      else if (cluster.lab.state(node) !== 'on') cluster.lab.heal(node);
      const { etcd, apiServer } = real.processesOf(node.name);
      etcd?.thaw();
      if (apiServer?.isRunning !== true) real.startApiServer(node.name);
    }
    for (const { name } of cluster.lab.nodes) await real.waitReady(name);
    await this.#stopAll();
    await this.#startAll();
  }
}

function describe(run: Run): string {
  const ms = (values: readonly number[]): string => values.map((value) => Math.round(value)).join(' and ');
  const after = run.holdersThen.map((list) => list.join('+') || 'nobody').join(', ');
  return `${run.from} → ${after}; ${ms(run.outageMs)} ms, TLS ${ms(run.tlsOutageMs)} ms, shared ${Math.round(run.sharedMs)} ms, lost ${run.lost.join(' and ')}${run.isDarkUntilUndone ? ', until undone' : ''}${run.isSoundAtEnd ? '' : ', NOT one holder at the end'}${run.stallMs > 0 ? `, the prober stalled for ${Math.round(run.stallMs)} ms` : ''}`;
}

process.exitCode = await main();
