/**
 * The demonstration: three control-plane nodes in network namespaces of this machine, `holdfast manager` on each, and a
 * client outside that uses the virtual IP all the time. The holder is stopped, killed and cut off, and each time the
 * client's outage is measured. See `scripts/demo --help`.
 */

import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';

import type { Family } from '../src/base/ip.ts';
import { Cluster, holdfastProgram, type ApiKind } from '../test/lab/cluster.ts';
import { nowMs, sleep } from '../test/lab/clock.ts';
import { everybodyHeard } from '../test/lab/everybody-heard.ts';
import type { LabNode } from '../test/lab/lab.ts';
import { isStartedOver, namespacePrivilege, startOverInUserNamespace } from '../test/lab/namespace.ts';
import { hasOneHolder, play, type ScenarioName, type ScenarioResult } from '../test/lab/scenarios.ts';
import { drawTimeline, type TimelineEvent } from '../test/lab/timeline.ts';
import { AssetUnavailable } from './assets.ts';

const HELP = `Usage: scripts/demo [--api embedded|real] [--family ipv4|ipv6|dual] [--steps LIST] [--verbose]

Three nodes in network namespaces, one virtual IP (an IPv4 and an IPv6 address), a client that probes it every 2 ms.

  --api real      a real etcd and kube-apiserver on each node, built on first use (needs Go; some minutes)
  --family        default dual
  --steps         of stop, crash, freeze, cut, power; default stop,crash,cut
  --verbose       shows the nodes' logs

Settings of Holdfast in the environment (vip_leaseduration …) are handed to the nodes; without them the Lease timings are
5/3/1 s. Needs root, or a kernel that lets ordinary users make user namespaces. Changes nothing outside of them.
Exit code: 0 when every step ended with exactly one holder, 1 when not, 3 when it can't run here.`;

/** Settings of the environment that the nodes get: Holdfast's own, not this shell's others. */
const SETTING = /^(vip_|cp_|lease|log_format$|prometheus_server$|health_check_port$)/i;
const EXIT_CANNOT_RUN = 3;
/** How long the first start may take, ms. */
const START_DEADLINE_MS = 30_000;

const STEPS = {
  stop: 'graceful stop of the holder (SIGTERM, as when its pod is deleted)',
  crash: 'crash of the holder (SIGKILL): the kernel takes its address when the lifetime ends',
  freeze: 'the holder is frozen (SIGSTOP), and thawed when another has taken over',
  cut: "the holder's cable is cut: it is alone, and has to let go by itself",
  power: 'the holder loses its power',
} as const satisfies Partial<Record<ScenarioName, string>>;
type StepName = keyof typeof STEPS;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      api: { type: 'string', default: 'embedded' },
      family: { type: 'string', default: 'dual' },
      steps: { type: 'string', default: 'stop,crash,cut' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const steps = values.steps.split(',').filter((name): name is StepName => name in STEPS);
  const families = FAMILIES[values.family];
  if (families === undefined || !isApiKind(values.api) || steps.length !== values.steps.split(',').length) {
    console.error(HELP);
    return 2;
  }
  const privilege = namespacePrivilege();
  if (privilege.kind === 'none') {
    console.error(`The demo can't run here: ${privilege.reason}.`);
    return EXIT_CANNOT_RUN;
  }
  if (privilege.kind === 'user-namespace' && !isStartedOver()) return startOverInUserNamespace();
  return new Demo({ api: values.api, families, steps, isVerbose: values.verbose }).run();
}

const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ipv4: ['ipv4'],
  ipv6: ['ipv6'],
  dual: ['ipv4', 'ipv6'],
};

function isApiKind(text: string): text is ApiKind {
  return text === 'embedded' || text === 'real';
}

interface DemoOptions {
  readonly api: ApiKind;
  readonly families: readonly Family[];
  readonly steps: readonly StepName[];
  readonly isVerbose: boolean;
}

class Demo {
  readonly #options: DemoOptions;
  readonly #events: TimelineEvent[] = [];
  readonly #startMs = nowMs();
  #live: NodeJS.Timeout | undefined;

  constructor(options: DemoOptions) {
    this.#options = options;
  }

  async run(): Promise<number> {
    const { api, families, steps } = this.#options;
    const settings = Object.entries(process.env).filter(([name]) => SETTING.test(name));
    this.#say(
      `Setting up three nodes, a switch and a client; ${api === 'real' ? 'etcd and kube-apiserver on each node' : 'an embedded API'} …`,
    );
    const cluster = await Cluster.create({
      api,
      families,
      prefix: 'hf-demo',
      env: Object.fromEntries(settings.map(([name, value]) => [name, value ?? ''])),
    });
    try {
      const isPassed = await this.#play(cluster, steps);
      return isPassed ? 0 : 1;
    } catch (error) {
      this.#stopLive();
      console.error(error instanceof Error ? error.message : error);
      return 1;
    } finally {
      this.#stopLive();
      await cluster.close();
    }
  }

  async #play(cluster: Cluster, steps: readonly StepName[]): Promise<boolean> {
    const beginMs = nowMs();
    for (const node of cluster.lab.nodes) this.#start(cluster, node);
    const first = await cluster.settled({ deadlineMs: START_DEADLINE_MS });
    const heldMs = nowMs() - beginMs;
    await cluster.reachable(beginMs);
    this.#say(`${describeProgram()}, on n1, n2 and n3`);
    this.#say(
      `${first.name} holds ${cluster.vips.join(' and ')} ${seconds(heldMs)} after the start; the client is answered after ${seconds(nowMs() - beginMs)}`,
    );
    this.#startLive(cluster);
    // A holder that nobody has heard yet has nobody to hand over to.
    await everybodyHeard(cluster);
    this.#say(`every node is heard by the holder ${seconds(nowMs() - beginMs)} after the start`);

    const results: ScenarioResult[] = [];
    for (const [index, name] of steps.entries()) {
      if (index > 0) await everybodyHeard(cluster);
      this.#say('');
      this.#say(`${index + 1}. ${STEPS[name]}`);
      const result = await play(cluster, name, {
        onAct: (holder) => this.#events.push({ atMs: nowMs(), label: `${name} ${holder.name}` }),
        onResult: (seen) => this.#report(cluster, seen),
        onUndo: (holder) => this.#events.push({ atMs: nowMs(), label: `${holder.name} back` }),
      });
      results.push(result);
      this.#say(`   ${verdict(result)}`);
    }
    await sleep(500);
    this.#stopLive();
    this.#draw(cluster, beginMs);
    return summary(results);
  }

  #start(cluster: Cluster, node: LabNode): void {
    const manager = cluster.startManager(node, {
      onLine: ({ text }) => {
        if (this.#options.isVerbose) this.#say(`   [${node.name}] ${text}`);
      },
    });
    void manager.ended.then(({ code, signal }) => {
      if (code === 0 || signal !== null) return;
      this.#say(`   holdfast on ${node.name} ended with ${code}:\n${manager.tail(5)}`);
    });
  }

  #report(cluster: Cluster, result: Omit<ScenarioResult, 'holdersAtEnd'>): void {
    for (const [index, vip] of cluster.vips.entries()) {
      const outage = result.outages[index];
      if (outage === undefined) continue;
      const lost = outage.lost === 1 ? '1 probe' : `${outage.lost} probes`;
      this.#say(
        `   ${vip.padEnd(12)} ${result.from} → ${result.to}   client's outage ${duration(outage.longestMs)} (${lost} of ${outage.probes} lost)`,
      );
    }
    const tls = result.tlsOutages.map((outage) => duration(outage.longestMs));
    if (tls.length === 0) return;
    this.#say(`   new TLS connections to it, the certificate verified: outage ${tls.join(' and ')}`);
  }

  #draw(cluster: Cluster, beginMs: number): void {
    const endMs = nowMs();
    const rows = cluster.vips.flatMap((vip) => [
      ...cluster.lab.nodes.map((node) => ({
        label: `${vip} on ${node.name}`,
        mark: '█',
        space: '·',
        showsShort: false,
        spans: spansOf(cluster, vip, node.name, beginMs),
      })),
      {
        label: 'client unanswered',
        mark: '×',
        space: ' ',
        showsShort: true,
        spans: cluster.prober
          .outagesNow(vip)
          .filter((outage) => outage.startMs >= beginMs && outage.from !== undefined)
          .map((outage) => ({ fromMs: outage.startMs, toMs: outage.startMs + outage.durationMs })),
      },
    ]);
    const width = process.stdout.columns ?? 110;
    console.log('');
    for (const line of drawTimeline({ fromMs: beginMs, toMs: endMs, rows, events: this.#events, width })) {
      console.log(line);
    }
    console.log('');
  }

  /** On a terminal the last line always says who holds and who answers; elsewhere each change is a line. */
  #startLive(cluster: Cluster): void {
    let last = '';
    const show = (): void => {
      const states = cluster.vips.map((vip) => {
        const holders = cluster.holders.now(vip).join('+') || 'nobody';
        return `${vip} on ${holders.padEnd(6)} client: ${(cluster.prober.answeringNow(vip) ?? 'no answer').padEnd(9)}`;
      });
      const text = states.join('   ');
      if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${clock(this.#startMs)} ${text}`);
      else if (text !== last) console.log(`${clock(this.#startMs)} ${text}`);
      last = text;
    };
    this.#live = setInterval(show, process.stdout.isTTY ? 50 : 20);
  }

  #stopLive(): void {
    if (this.#live === undefined) return;
    clearInterval(this.#live);
    this.#live = undefined;
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[2K');
  }

  #say(text: string): void {
    if (process.stdout.isTTY && this.#live !== undefined) process.stdout.write('\r\x1b[2K');
    console.log(text === '' ? '' : `${clock(this.#startMs)} ${text}`);
  }
}

function spansOf(cluster: Cluster, vip: string, node: string, fromMs: number): { fromMs: number; toMs: number }[] {
  const spans: { fromMs: number; toMs: number }[] = [];
  let since: number | undefined;
  for (const change of cluster.holders.since(vip, fromMs)) {
    const isHolding = change.holders.includes(node);
    if (isHolding) since ??= change.atMs;
    else if (since !== undefined) {
      spans.push({ fromMs: since, toMs: change.atMs });
      since = undefined;
    }
  }
  if (since !== undefined) spans.push({ fromMs: since, toMs: Number.POSITIVE_INFINITY });
  return spans;
}

/** The command line as a reader of the repository would type it. */
function describeProgram(): string {
  const root = join(import.meta.dirname, '..');
  const words = [...holdfastProgram(), 'manager'].map((word) => (word === process.execPath ? 'node' : word));
  return words.map((word) => (word.startsWith(root) ? relative(root, word) : word)).join(' ');
}

function verdict(result: ScenarioResult): string {
  const shared = result.sharedMs > 0 ? `; two nodes had the address for ${duration(result.sharedMs)}` : '';
  return `${hasOneHolder(result.holdersAtEnd) ? 'exactly one holder' : 'NOT exactly one holder'} afterwards${shared}`;
}

function summary(results: readonly ScenarioResult[]): boolean {
  const failed = results.filter((result) => !hasOneHolder(result.holdersAtEnd));
  for (const result of results) {
    const longest = Math.max(...result.outages.map((outage) => outage.longestMs));
    console.log(`${result.scenario.padEnd(7)} client's outage ${duration(longest).padStart(8)}, ${verdict(result)}`);
  }
  const count = failed.length;
  console.log(
    count === 0
      ? '\nEvery step ended with exactly one holder.'
      : `\n${count} of ${results.length} steps did not end with exactly one holder.`,
  );
  return count === 0;
}

function clock(startMs: number): string {
  return `${((nowMs() - startMs) / 1000).toFixed(2).padStart(6)} s`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function duration(ms: number): string {
  if (!Number.isFinite(ms)) return 'without end';
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof AssetUnavailable)) throw error;
  console.error(`The demo can't run with --api real here: ${error.message}`);
  process.exitCode = EXIT_CANNOT_RUN;
}
