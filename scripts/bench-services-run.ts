/**
 * One run of the Services' benchmark: a cluster in the lab, some program on its nodes, so many Services made at once, asked
 * for from outside until every address is answered for; then quiet, in which costs are counted; then a node without power.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import type { Family } from '../src/base/ip.ts';
import { Asker, type Answer } from '../test/lab/asker.ts';
import { nowMs, sleep } from '../test/lab/clock.ts';
import { Cluster, type ApiKind } from '../test/lab/cluster.ts';
import type { LabNode } from '../test/lab/lab.ts';
import { ManyServices } from '../test/lab/many-services.ts';

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The longest time in which a process' loop did nothing else, ms. */
export interface Standstill {
  /** On the clock, with what other processes had of the processors (monitorEventLoopDelay). */
  readonly wall: number;
  /** Of the thread's own processor time. */
  readonly busy: number;
}

export interface IdleNode {
  readonly node: string;
  readonly residentMiB: number;
  /** The most it ever had, making and all. */
  readonly peakMiB: number;
  readonly cpuMsPerSecond: number;
}

export interface Row {
  readonly program: string;
  readonly api: ApiKind;
  readonly count: number;
  readonly families: readonly Family[];
  /** Making all of them. */
  readonly createMs: number;
  /** From the last create until every address is answered for, from outside; undefined: not all of them were. */
  readonly answeredAfterLastMs: number | undefined;
  /** From the create of each until all its addresses are. */
  readonly answered: Quantiles | undefined;
  readonly idle: readonly IdleNode[];
  /** Of all nodes together while nothing happens, a second, by verb and resource; watches that lasted aren't in it. */
  readonly requests: Readonly<Record<string, number>>;
  /** Addresses that the lost node had. */
  readonly lostCount: number;
  /** From its loss until each is answered for by another; undefined: not all of them were. */
  readonly lost: Quantiles | undefined;
  readonly standstill: Readonly<Record<'creating' | 'losing', Standstill>> | undefined;
  /** Requests of all nodes together from the first create until hardly any was made, by verb and resource. */
  readonly creatingRequests: Readonly<Record<string, number>>;
  /** Processor time that each node's program took from the first create to the last answer. */
  readonly creatingCpuMs: readonly number[];
}

/** A program that answers for Services: Holdfast, or one of others. */
export interface Program {
  readonly name: string;
  /** On every node; resolves when it takes part. */
  start(cluster: Cluster, pool: readonly string[]): Promise<void>;
  /** Process ids on the node. */
  pids(cluster: Cluster, node: LabNode): readonly number[];
  /** Requests made so far, by verb and resource. */
  requests(cluster: Cluster): Promise<ReadonlyMap<string, number>>;
  /** Waited after the creation; without it until hardly any request is made. */
  readonly settleMs?: number;
  /** What a Service must say of its address itself, where nobody gives any. */
  readonly extra?: (index: number) => { readonly spec?: object; readonly annotations?: object };
  /** Begins to measure standstills, and ends it with the longest. */
  readonly standstill?: {
    begin(cluster: Cluster): void;
    end(cluster: Cluster): Promise<Standstill>;
  };
}

export interface RunOptions {
  readonly program: Program;
  readonly count: number;
  readonly families: readonly Family[];
  readonly api: ApiKind;
  /** 0: nothing is waited for, and no costs are counted. */
  readonly windowMs: number;
  /** How long until every address must be answered for. */
  readonly patienceMs: number;
}

const QUIET_STEP_MS = 2_000;
/** One after the other: a busy machine keeps anybody from asking for a moment. */
const QUIET_STEPS = 4;
const QUIET_MAX_MS = 400_000;
/** Requests a second of all nodes with which nothing is on its way any more. */
const QUIET_RATE = 8;

export async function run(options: RunOptions): Promise<Row> {
  const { program, count, families, api } = options;
  const cluster = await Cluster.create({ api, prefix: 'hf-bench', families });
  let services: ManyServices | undefined;
  try {
    // What they are for isn't measured here, and they would be part of the load.
    cluster.capture.close();
    await cluster.prober.stop();
    execFileSync('ip', ['-n', cluster.lab.client.namespace, 'route', 'add', '10.99.0.0/16', 'dev', 'eth0']);
    const pool = poolOf(count, families);
    await program.start(cluster, pool);
    const { extra } = program;
    services = new ManyServices({ cluster, count, families, ...(extra === undefined ? {} : { extra }) });
    await services.prepare();
    await sleep(3_000);
    const before = await program.requests(cluster);
    const creation = await create(options, { cluster, services, pool });
    if (options.windowMs > 0) await quiet(program, cluster);
    const creatingRequests = since(before, await program.requests(cluster), Math.round);
    const { idle, requests } = await idleOf(options, cluster);
    const loss = await lose(options, cluster, creation.answers);
    const { creating, creatingCpuMs } = creation;
    return {
      program: program.name,
      api,
      count,
      families,
      ...creation.times,
      idle,
      requests,
      ...loss.times,
      standstill: creating === undefined || loss.losing === undefined ? undefined : { creating, losing: loss.losing },
      creatingRequests,
      creatingCpuMs,
    };
  } finally {
    services?.close();
    await cluster.close();
  }
}

/** As many of each family as there are Services, without a gap. */
export function poolOf(count: number, families: readonly Family[]): readonly string[] {
  return families.flatMap((family) =>
    Array.from({ length: count }, (_, index) =>
      family === 'ipv4'
        ? `10.99.${Math.floor((index + 1) / 256)}.${(index + 1) % 256}`
        : `fd77::99:${(index + 1).toString(16)}`,
    ),
  );
}

interface Creation {
  readonly answers: ReadonlyMap<string, Answer>;
  readonly creating: Standstill | undefined;
  readonly creatingCpuMs: readonly number[];
  readonly times: Pick<Row, 'createMs' | 'answeredAfterLastMs' | 'answered'>;
}

async function create(
  { program, patienceMs }: RunOptions,
  parts: { readonly cluster: Cluster; readonly services: ManyServices; readonly pool: readonly string[] },
): Promise<Creation> {
  const { cluster, services, pool } = parts;
  const asker = await Asker.start(cluster.lab, pool);
  try {
    const before = cpuOf(program, cluster);
    program.standstill?.begin(cluster);
    const { firstMs, lastMs } = await services.create();
    const isAnswered = await isDone(Promise.all([services.served(patienceMs), asker.all(patienceMs)]));
    if (!isAnswered) tellUnanswered(cluster, pool, asker);
    const creatingCpuMs = cpuOf(program, cluster).map((ms, index) => ms - (before[index] ?? 0));
    const creating = await program.standstill?.end(cluster);
    const lastAnswer = Math.max(...[...asker.answers.values()].map(({ atMs }) => atMs));
    const each = [...services.addresses].map(
      ([name, addresses]) =>
        Math.max(...addresses.map((address) => asker.answers.get(address)?.atMs ?? Number.NaN)) -
        (services.madeAt.get(name) ?? Number.NaN),
    );
    return {
      answers: new Map(asker.answers),
      creating,
      creatingCpuMs,
      times: {
        createMs: Math.round(lastMs - firstMs),
        answeredAfterLastMs: isAnswered ? Math.max(0, Math.round(lastAnswer - lastMs)) : undefined,
        answered: isAnswered ? quantiles(each) : undefined,
      },
    };
  } finally {
    await asker.close();
  }
}

/** Resolves when what the creation set off (Events, for one) is over. */
async function quiet(program: Program, cluster: Cluster): Promise<void> {
  if (program.settleMs !== undefined) return sleep(program.settleMs);
  const until = nowMs() + QUIET_MAX_MS;
  let before = sum(await program.requests(cluster));
  let quietSteps = 0;
  while (nowMs() < until && quietSteps < QUIET_STEPS) {
    await sleep(QUIET_STEP_MS);
    const now = sum(await program.requests(cluster));
    quietSteps = (now - before) / (QUIET_STEP_MS / 1000) < QUIET_RATE ? quietSteps + 1 : 0;
    before = now;
  }
}

async function idleOf({ program, windowMs }: RunOptions, cluster: Cluster): Promise<Pick<Row, 'idle' | 'requests'>> {
  const { nodes } = cluster.lab;
  const [beforeMs, cpuBefore, requestsBefore] = [nowMs(), cpuOf(program, cluster), await program.requests(cluster)];
  await sleep(windowMs);
  const [afterMs, cpuAfter, requestsAfter] = [nowMs(), cpuOf(program, cluster), await program.requests(cluster)];
  const seconds = (afterMs - beforeMs) / 1000;
  return {
    requests: since(requestsBefore, requestsAfter, (count) => Math.round((count / seconds) * 10) / 10),
    idle: nodes.map((node, index) => ({
      node: node.name,
      residentMiB: Math.round(total(program.pids(cluster, node), (pid) => memoryMiB(pid, 'VmRSS'))),
      peakMiB: Math.round(total(program.pids(cluster, node), (pid) => memoryMiB(pid, 'VmHWM'))),
      cpuMsPerSecond: Math.round((((cpuAfter[index] ?? 0) - (cpuBefore[index] ?? 0)) / seconds) * 10) / 10,
    })),
  };
}

async function lose(
  { program, patienceMs }: RunOptions,
  cluster: Cluster,
  answers: ReadonlyMap<string, Answer>,
): Promise<{ readonly times: Pick<Row, 'lostCount' | 'lost'>; readonly losing: Standstill | undefined }> {
  const node = nodeWithMost(cluster, answers);
  const own = [...answers].filter(([, { mac }]) => mac === node.mac).map(([address]) => address);
  const asker = await Asker.start(cluster.lab, own, node);
  try {
    program.standstill?.begin(cluster);
    const from = nowMs();
    await cluster.powerOff(node);
    const isBack = await isDone(asker.all(patienceMs));
    const times = [...asker.answers.values()].map(({ atMs }) => atMs - from);
    const losing = await program.standstill?.end(cluster);
    return { times: { lostCount: own.length, lost: isBack ? quantiles(times) : undefined }, losing };
  } finally {
    await asker.close();
  }
}

/** For whoever looks into it: some of them, and what the programs said last. */
function tellUnanswered(cluster: Cluster, pool: readonly string[], asker: Asker): void {
  const dark = pool.filter((address) => !asker.answers.has(address)).slice(0, 5);
  for (const address of dark) {
    console.error(`${address} is on ${cluster.lab.whoHolds(address).join(', ') || 'no interface'}`);
  }
  console.error(cluster.logs(5));
}

/** False: patience was over; why is told at once. */
async function isDone(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return false;
  }
}

function nodeWithMost(cluster: Cluster, answers: ReadonlyMap<string, Answer>): LabNode {
  const countOf = ({ mac }: LabNode): number => [...answers.values()].filter((answer) => answer.mac === mac).length;
  const [most] = cluster.lab.nodes.toSorted((a, b) => countOf(b) - countOf(a));
  if (most === undefined) throw new Error('a cluster without nodes');
  return most;
}

function quantiles(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

function since(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  rounded: (count: number) => number,
): Readonly<Record<string, number>> {
  const all = [...after].map(([key, count]): [string, number] => [key, rounded(count - (before.get(key) ?? 0))]);
  return Object.fromEntries(all.filter(([, count]) => count > 0));
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((all, count) => all + count, 0);
}

function total(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((all, pid) => all + of(pid), 0);
}

/** Of each node. */
function cpuOf(program: Program, cluster: Cluster): readonly number[] {
  return cluster.lab.nodes.map((node) => total(program.pids(cluster, node), cpuMs));
}

/** proc(5): utime and stime, in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function memoryMiB(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}
