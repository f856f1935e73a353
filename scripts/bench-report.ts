/** The failover benchmark's results as numbers (JSON) and as a page (Markdown), the goals of the project checked against them. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';

import type { Cluster } from '../test/lab/cluster.ts';
import type { Outage } from '../test/lab/outage.ts';
import { hasOneHolder, SCENARIOS, type ScenarioName, type ScenarioResult } from '../test/lab/scenarios.ts';
import { ETCD_VERSION, KUBERNETES_VERSION } from './assets.ts';

const ROOT = join(import.meta.dirname, '..');
/** The prober sends every 2 ms; gaps of its own above this are the machine's doing, and noted. */
const STALL_MS = 20;
/** Until everybody takes part. */

export const SCENARIO_NAMES = [
  'stop',
  'crash',
  'freeze',
  'power',
  'power-etcd',
  'cut',
  'api-stop',
  'api-outage',
  'power-no-api',
  'etcd-stall',
] as const satisfies readonly ScenarioName[];

export type ContenderName = 'holdfast' | 'keepalived-1s' | 'keepalived-0.1s' | 'kube-vip';

/** One run of a scenario; lists are by virtual IP: IPv4, IPv6. Times in ms. */
export interface Run {
  readonly from: string;
  readonly to: string;
  /** Without what only the prober's own standstill made late. */
  readonly outageMs: readonly number[];
  /** With it. */
  readonly latenessMs: readonly number[];
  readonly lost: readonly number[];
  readonly tlsOutageMs: readonly number[];
  /** The longest time two nodes of one segment had an address, by their kernels. */
  readonly sharedMs: number;
  /** The longest time two nodes answered ARP requests or neighbour solicitations for one address in turns. */
  readonly answeredTogetherMs: number;
  readonly holdersThen: readonly (readonly string[])[];
  /** Since when after the event, so many nodes have had the IPv4 address. */
  readonly holderCounts: readonly (readonly [number, number])[];
  readonly isDarkUntilUndone: boolean;
  readonly holdersAtEnd: readonly (readonly string[])[];
  readonly isSoundAtEnd: boolean;
  /** The longest time the prober itself was kept from sending. */
  readonly stallMs: number;
}

export interface Cell {
  readonly contender: ContenderName;
  readonly scenario: ScenarioName;
  readonly runs: readonly Run[];
  /** Runs that came to no end. */
  readonly failures: readonly string[];
}

export interface Report {
  readonly command: string;
  readonly program: string;
  /** Wanted, each cell. */
  readonly runs: number;
  readonly titles: Readonly<Partial<Record<ContenderName, string>>>;
  readonly missing: readonly string[];
  readonly minutes: number;
  /** The machine's load average (one minute) before the lab was set up and at the end. */
  readonly load: readonly number[];
  /** What a reader should know of this very run. */
  readonly note: string;
  readonly cells: readonly Cell[];
}

/** What was measured, on what. */
export interface Published extends Report {
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: string;
}

export function runOf(cluster: Cluster, result: ScenarioResult): Run {
  const apart = result.scenario === 'cut' ? [result.from] : [];
  const stalls = cluster.prober.stalls(result.startMs, STALL_MS);
  const together = cluster.vips.map((vip) => cluster.capture.longestSharedMs(vip, result.startMs, apart));
  return {
    from: result.from,
    to: result.to,
    outageMs: result.outages.map(({ outages }) => round(longestBut(outages, stalls))),
    latenessMs: result.outages.map(({ longestMs }) => round(longestMs)),
    lost: result.outages.map(({ lost }) => lost),
    tlsOutageMs: result.tlsOutages.map(({ longestMs }) => round(longestMs)),
    sharedMs: round(result.sharedMs),
    answeredTogetherMs: round(Math.max(0, ...together)),
    holdersThen: result.holdersThen,
    holderCounts: result.holderCounts,
    isDarkUntilUndone: result.isDarkUntilUndone,
    holdersAtEnd: result.holdersAtEnd,
    isSoundAtEnd: hasOneHolder(result.holdersAtEnd),
    stallMs: round(Math.max(0, ...stalls.map(({ lengthMs }) => lengthMs))),
  };
}

/** The longest outage that isn't one of the prober itself: no probe lost, and late in a time it didn't run. */
function longestBut(outages: readonly Outage[], stalls: ReturnType<Cluster['prober']['stalls']>): number {
  const isOwn = ({ startMs, durationMs, lost }: Outage): boolean =>
    lost === 0 && stalls.some(({ atMs, lengthMs }) => startMs <= atMs + lengthMs && startMs + durationMs >= atMs);
  return Math.max(0, ...outages.filter((outage) => !isOwn(outage)).map(({ durationMs }) => durationMs));
}

/** The run's outage, ms: of the worse family. */
export function longestOf(run: Run): number {
  return Math.max(0, ...run.outageMs);
}

export function publish(report: Published, isPrinted: boolean): void {
  const text = document(report);
  if (isPrinted) {
    console.log(text);
    return;
  }
  const folder = join(ROOT, 'docs', 'benchmarks');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'failover.md'), text);
  writeFileSync(join(folder, 'failover.json'), `${JSON.stringify(report)}\n`);
}

/** The last published results. */
export function readPublished(): Published {
  // What publish wrote.
  return JSON.parse(readFileSync(join(ROOT, 'docs', 'benchmarks', 'failover.json'), 'utf8')) as Published;
}

export function about(): { readonly versions: Readonly<Record<string, string>>; readonly machine: string } {
  // package.json of this project.
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
  return {
    versions: { holdfast: `${version} (${commit})`, kubernetes: KUBERNETES_VERSION, etcd: ETCD_VERSION },
    machine: `${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Linux ${release().split('-')[0] ?? ''}`,
  };
}

function document(report: Published): string {
  const { versions, machine } = report;
  const names = contendersOf(report);
  const rows = SCENARIO_NAMES.filter((name) => report.cells.some(({ scenario }) => scenario === name));
  const loads = report.load.map((load) => load.toFixed(0)).join(' before, ') + ' at the end';
  const missing = report.missing.length === 0 ? '' : ` Not run: ${report.missing.join('; ')}.`;
  const note = report.note === '' ? '' : `${report.note}\n\n`;
  return `# Failover, measured

Holdfast ${versions['holdfast']}, ${report.program}, **at its defaults** (Lease 15/10/2 s, heartbeats every 100 ms), beside its
peers in one run: three nodes in network namespaces, a real etcd ${versions['etcd']} and kube-apiserver
${versions['kubernetes']} on each, an IPv4 and an IPv6 address held together. ${machine}.
${report.runs} runs of each cell, one contender after the other, ${report.minutes.toFixed(0)} minutes in all; load average ${loads}.${missing}
Made by

    ${report.command}

${note}A client outside sends a UDP probe every 2 ms to each address and makes a new, verified TLS connection every 50 ms. Its
outage is the time from the first probe lost (or answered after more than 40 ms) to the first answer; answers late while
the prober itself stood still don't count where none was lost (with them: latenessMs in the JSON). keepalived: multicast,
both addresses in one sync group, \`nopreempt\`, priorities 100, 99 and 98, everything else its default; it has no eyes for
the API. kube-vip: ARP mode, its documented 5/3/1 s; it ends when it loses the election and is started again after a
second, as by a kubelet.
The raw numbers, and how many nodes had the address when, are in [failover.json](failover.json). Two cores for all of it:
read ratios, not digits.

## In short

The client's longest outage, the worse family of each run: median (worst), seconds.

| event on the holder | ${names.map((name) => report.titles[name]).join(' | ')} |
|---|${names.map(() => '---|').join('')}
${rows.map((name) => shortRow(report, name, names)).join('\n')}

**Two holders**: when everything had settled, and before anything was repaired, two nodes had the address.
**Kept behind the cut too**: the node that was cut off still had it; nobody could see both, until the cable was back.
**Until repaired**: the client was without answer until the event was undone; the number is the lab's patience.

## Against the goals

${goals(report)
  .map((line) => `- ${line}`)
  .join('\n')}

## In full

Outage: median / worst, seconds, UDP; for "${SCENARIOS['api-stop'].title}" new TLS connections (the node and its address are
well, the server behind it is not). Lost: probes never answered, median / worst, of one every 2 ms, both families.
Overlap: the longest time two nodes of one segment had an address at once, by the kernels' own notifications. After: who
had the address when it was over and nothing undone yet → when everything was undone.

| event | contender | IPv4 | IPv6 | lost | overlap | after | runs |
|---|---|---|---|---|---|---|---|
${rows.flatMap((name) => names.flatMap((contender) => fullRow(report, name, contender))).join('\n')}
`;
}

function contendersOf(report: Report): readonly ContenderName[] {
  const all: readonly ContenderName[] = ['holdfast', 'keepalived-1s', 'keepalived-0.1s', 'kube-vip'];
  return all.filter((name) => report.titles[name] !== undefined);
}

function runsOf(report: Report, scenario: ScenarioName, contender: ContenderName): readonly Run[] {
  return report.cells.find((cell) => cell.scenario === scenario && cell.contender === contender)?.runs ?? [];
}

function outages(runs: readonly Run[], scenario: ScenarioName, family?: number): readonly number[] {
  const listOf = (run: Run): readonly number[] => (scenario === 'api-stop' ? run.tlsOutageMs : run.outageMs);
  return runs.map((run) => (family === undefined ? Math.max(0, ...listOf(run)) : (listOf(run)[family] ?? 0)));
}

function shortRow(report: Report, scenario: ScenarioName, names: readonly ContenderName[]): string {
  const cells = names.map((name) => {
    const runs = runsOf(report, scenario, name);
    if (runs.length === 0) return withoutRuns(name, scenario);
    const values = outages(runs, scenario);
    const marks = [
      ...(runs.some(hasTwoHolders) ? [scenario === 'cut' ? 'kept behind the cut too' : '**two holders**'] : []),
      ...(runs.some(({ isDarkUntilUndone }) => isDarkUntilUndone) ? ['until repaired'] : []),
    ];
    return [`${seconds(median(values))} (${seconds(Math.max(...values))})`, ...marks].join(', ');
  });
  return `| ${[SCENARIOS[scenario].title, ...cells].join(' | ')} |`;
}

function withoutRuns(name: ContenderName, scenario: ScenarioName): string {
  if (name === 'holdfast' || name === 'kube-vip') return 'not run';
  if (scenario === 'power-etcd' || scenario === 'power-no-api') return 'as any node loss';
  return scenario === 'api-stop' ? 'by a script only' : 'not affected';
}

function fullRow(report: Report, scenario: ScenarioName, name: ContenderName): readonly string[] {
  const cell = report.cells.find((each) => each.scenario === scenario && each.contender === name);
  const title = report.titles[name] ?? name;
  if (cell === undefined) return [];
  const { runs } = cell;
  const both = (values: readonly number[]): string =>
    values.length === 0 ? '–' : `${seconds(median(values))} / ${seconds(Math.max(...values))}`;
  const lost = runs.map((run) => run.lost.reduce((sum, count) => sum + count, 0));
  const overlap = Math.max(0, ...runs.map(({ sharedMs }) => sharedMs));
  const isLasting = runs.some(hasTwoHolders);
  const cells = [
    SCENARIOS[scenario].title,
    title,
    both(outages(runs, scenario, 0)),
    both(outages(runs, scenario, 1)),
    lost.length === 0 ? '–' : `${median(lost)} / ${Math.max(...lost)}`,
    overlap === 0 ? 'none' : `${isLasting && scenario !== 'cut' ? '≥ ' : ''}${seconds(overlap)} s`,
    `${[...new Set(runs.map(then))].join(', ')} → ${[...new Set(runs.map(atEnd))].join(', ')}`,
    `${runs.length}${cell.failures.length === 0 ? '' : ` (${cell.failures.length} without a result)`}`,
  ];
  return [`| ${cells.join(' | ')} |`];
}

function hasTwoHolders(run: Run): boolean {
  return run.holdersThen.some((list) => list.length > 1);
}

function then(run: Run): string {
  return counted(run.holdersThen);
}

function atEnd(run: Run): string {
  return counted(run.holdersAtEnd);
}

function counted(lists: readonly (readonly string[])[]): string {
  if (hasOneHolder(lists)) return 'one';
  if (lists.some((list) => list.length > 1)) return '**two**';
  return lists.every((list) => list.length === 0) ? 'nobody' : '**apart**';
}

/** The goals of the project's fourth issue, one line each, with what was measured. */
function goals(report: Report): readonly string[] {
  const own = (scenario: ScenarioName): readonly Run[] => runsOf(report, scenario, 'holdfast');
  const worst = (scenario: ScenarioName): number => Math.max(0, ...outages(own(scenario), scenario));
  const lines: string[] = [];
  const add = (scenario: ScenarioName, what: string, isMet: boolean, measured: string): void => {
    if (own(scenario).length > 0) lines.push(`${isMet ? 'Met' : '**Not met**'}: ${what}. Measured: ${measured}.`);
  };
  const lost = own('stop').reduce((sum, run) => sum + run.lost.reduce((all, count) => all + count, 0), 0);
  add('stop', 'a graceful stop loses no probe', lost === 0, `${lost} lost in ${own('stop').length} stops`);
  for (const scenario of ['crash', 'freeze'] as const) {
    const isOne = own(scenario).every((run) => hasOneHolder(run.holdersThen));
    const what = `a ${scenario} ends with one holder and at most 50 ms of outage`;
    const measured = `${isOne ? 'one holder' : 'NOT one holder'}, at worst ${seconds(worst(scenario))} s`;
    add(scenario, what, isOne && worst(scenario) <= 50, measured);
  }
  for (const scenario of ['power', 'power-etcd'] as const) lines.push(...ratios(report, scenario));
  for (const scenario of ['api-outage', 'etcd-stall'] as const) {
    add(
      scenario,
      `${SCENARIOS[scenario].title}: no outage`,
      worst(scenario) === 0,
      `at worst ${seconds(worst(scenario))} s`,
    );
  }
  const what = "the holder's API server killed: at most 0.5 s for new connections";
  add('api-stop', what, worst('api-stop') <= 500, `at worst ${seconds(worst('api-stop'))} s`);
  const overlap = Math.max(
    0,
    ...report.cells.filter(isOwn).flatMap(({ runs }) => runs.map(({ sharedMs }) => sharedMs)),
  );
  add('stop', 'never two holders of one segment for more than 50 ms', overlap <= 50, `${seconds(overlap)} s at worst`);
  const runs = report.cells.filter(isOwn).flatMap((cell) => cell.runs);
  const astray = runs.filter(({ isSoundAtEnd }) => !isSoundAtEnd).length;
  const end = 'one holder, and only one, when everything has been undone';
  add('stop', end, astray === 0, `not so after ${astray} of ${runs.length} runs`);
  return lines;
}

function isOwn({ contender }: Cell): boolean {
  return contender === 'holdfast';
}

function ratios(report: Report, scenario: ScenarioName): readonly string[] {
  const middle = (name: ContenderName, of: ScenarioName): number | undefined => {
    const runs = runsOf(report, of, name);
    return runs.length === 0 ? undefined : median(outages(runs, of));
  };
  const own = middle('holdfast', scenario);
  if (own === undefined || own === 0) return [];
  const title = SCENARIOS[scenario].title;
  const lines: string[] = [];
  // keepalived knows nothing of etcd: its node loss is one and the same.
  const keepalived = middle('keepalived-0.1s', 'power');
  if (keepalived !== undefined) {
    const times = own / keepalived;
    const verdict = times <= 1.5 ? 'Met' : '**Not met**';
    lines.push(
      `${verdict}: ${title}: at most 1.5 times keepalived's median at 0.1 s. Measured: ${seconds(own)} s against ${seconds(keepalived)} s, ${times.toFixed(2)} times.`,
    );
  }
  const kubeVip = middle('kube-vip', scenario);
  if (kubeVip !== undefined) {
    const times = kubeVip / own;
    const verdict = times >= 15 ? 'Met' : '**Not met**';
    lines.push(
      `${verdict}: ${title}: at least 15 times shorter than kube-vip's. Measured: ${seconds(own)} s against ${seconds(kubeVip)} s, ${times.toFixed(1)} times shorter.`,
    );
  }
  return lines;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = 0, high = 0] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  return (low + high) / 2;
}

/** Stands for an outage whose end was not seen (answers too late to count until the run was over): Infinity doesn't live in JSON. */
const ENDLESS_MS = 1e6;

function round(ms: number): number {
  return Number.isFinite(ms) ? Math.round(ms * 10) / 10 : ENDLESS_MS;
}

function seconds(ms: number): string {
  if (ms === 0) return '0';
  if (ms >= ENDLESS_MS) return 'no end seen';
  return (ms / 1000).toFixed(ms < 1000 ? 3 : 2);
}
