/**
 * The failures, one by one, as things done to a cluster whose virtual IPs are held: what is done, who has to hold them
 * afterwards, and how it is undone. The demo, the lab's tests and the benchmark play the same ones and differ in what
 * they make of the result.
 */

import { nowMs, sleep } from './clock.ts';
import type { Cluster } from './cluster.ts';
import { managersOf, type Candidates } from './contender.ts';
import { etcdLeader, moveEtcdLeader } from './etcd-leader.ts';
import type { LabNode } from './lab.ts';
import type { OutageSummary } from './outage.ts';
import { waitFor } from './process.ts';

export interface ScenarioResult {
  readonly scenario: string;
  readonly from: string;
  /** Who holds afterwards, before anything is undone. */
  readonly to: string;
  readonly startMs: number;
  /** The client's view of each virtual IP, in the cluster's order. */
  readonly outages: readonly OutageSummary[];
  /** The client's view by new TLS connections, where there is a real API behind the virtual IPs. */
  readonly tlsOutages: readonly OutageSummary[];
  /** From the event until the last virtual IP was on its new holder, ms. */
  readonly heldAfterMs: number;
  /** The longest time two nodes of one segment had an address at once, by their kernels, ms. */
  readonly sharedMs: number;
  /** Who holds each virtual IP when it is over, before anything is undone; nodes off the segment included. */
  readonly holdersThen: readonly (readonly string[])[];
  /** The client was answered again only after everything was undone. */
  readonly isDarkUntilUndone: boolean;
  /** From the event on, for the first virtual IP: since when, ms, so many nodes have had it. */
  readonly holderCounts: readonly (readonly [number, number])[];
  /** Who holds each virtual IP at the end, when everything is undone. */
  readonly holdersAtEnd: readonly (readonly string[])[];
}

export interface Scenario {
  readonly title: string;
  /** Needs a real API on the nodes. */
  readonly needsRealApi?: boolean;
  /** What has to be so before the event. */
  readonly prepare?: (stage: Stage) => Promise<void>;
  readonly act: (stage: Stage) => Promise<Outcome>;
}

/** Where a scenario is played: the node that holds the virtual IPs is the one that things happen to. */
interface Stage {
  readonly cluster: Cluster;
  readonly holder: LabNode;
  readonly candidates: Candidates;
}

interface Outcome {
  /** Nodes off the segment meanwhile: what they had nobody could see. */
  readonly apart?: readonly string[];
  readonly undo: () => Promise<void>;
}

/** How long a scenario may take until one node holds again: Lease expiry, retry, and a slow machine. */
const DEADLINE_MS = 30_000;
/** How long the state is watched before and after anything is undone, to see that it lasts. */
const CALM_MS = 700;

/** How long every API server is away, and etcd stands still. */
const OUTAGE_MS = 8000;
/** From the start of an API outage until a node is lost in it: the short Lease timings' renew deadline. */
const OUTAGE_BEFORE_LOSS_MS = 3000;

/**
 * Waits until one node other than `holder` has every virtual IP, alone among those not `apart`. Candidates with patience
 * may leave two of them, or none.
 */
async function takenOver({ cluster, holder, candidates }: Stage, apart: readonly string[] = []): Promise<void> {
  const { patience } = candidates;
  if (patience === undefined) {
    await cluster.settled({ except: [holder.name], apart, deadlineMs: DEADLINE_MS });
    return;
  }
  const isTaken = await inTime(
    cluster.holders.until(
      (lists) => lists.every((list) => list.some((name) => name !== holder.name && !apart.includes(name))),
      patience.takeOverMs,
    ),
  );
  if (!isTaken) return;
  await inTime(cluster.settled({ except: [holder.name], apart, deadlineMs: patience.letGoMs }));
}

/** Waits until one node holds: as long as it takes, or as long as the candidates are given. */
async function heldAgain({ cluster, candidates }: Stage): Promise<void> {
  const { patience } = candidates;
  const waiting = cluster.settled({ deadlineMs: patience?.takeOverMs ?? DEADLINE_MS });
  await (patience === undefined ? waiting : inTime(waiting));
}

/** Whether it came about. */
async function inTime(waiting: Promise<unknown>): Promise<boolean> {
  try {
    await waiting;
    return true;
  } catch {
    return false;
  }
}

function restart({ candidates, holder }: Stage): () => Promise<void> {
  return () => candidates.start(holder);
}

function powerBack({ cluster, candidates, holder }: Stage): () => Promise<void> {
  return async () => {
    await cluster.powerOn(holder);
    await candidates.start(holder);
  };
}

export const SCENARIOS = {
  stop: {
    title: 'graceful stop (SIGTERM)',
    act: async (stage) => {
      const stopping = stage.candidates.stop(stage.holder);
      await takenOver(stage);
      await stopping;
      return { undo: restart(stage) };
    },
  },
  crash: {
    title: 'crash (SIGKILL), not restarted',
    act: async (stage) => {
      stage.candidates.kill(stage.holder);
      await takenOver(stage);
      return { undo: restart(stage) };
    },
  },
  'crash-restart': {
    title: 'crash (SIGKILL), restarted after 0.5 s',
    act: async (stage) => {
      stage.candidates.kill(stage.holder);
      await sleep(500);
      await stage.candidates.start(stage.holder);
      // Longer than the lifetime on the addresses: either somebody renews them, or they are gone by then.
      await sleep(4500);
      await heldAgain(stage);
      return { undo: () => Promise.resolve() };
    },
  },
  freeze: {
    title: 'freeze (SIGSTOP), thawed afterwards',
    act: async (stage) => {
      stage.candidates.freeze(stage.holder);
      await takenOver(stage);
      return {
        undo: async () => {
          stage.candidates.thaw(stage.holder);
          await sleep(2000);
        },
      };
    },
  },
  power: {
    title: 'node loss (power)',
    prepare: async ({ cluster, holder }) => {
      if (cluster.api.kind !== 'real') return;
      const other = cluster.lab.nodes.find((node) => node !== holder);
      if ((await etcdLeader(cluster)) === holder && other !== undefined) await moveEtcdLeader(cluster, other);
    },
    act: async (stage) => {
      await stage.cluster.powerOff(stage.holder);
      await takenOver(stage);
      return { undo: powerBack(stage) };
    },
  },
  'power-etcd': {
    title: 'node loss (power), with the etcd leader on it',
    needsRealApi: true,
    prepare: ({ cluster, holder }) => moveEtcdLeader(cluster, holder),
    act: async (stage) => {
      await stage.cluster.powerOff(stage.holder);
      await takenOver(stage);
      return { undo: powerBack(stage) };
    },
  },
  cut: {
    title: 'cable cut, the carrier stays',
    act: (stage) => severed(stage, () => stage.cluster.lab.cut(stage.holder)),
  },
  unplug: {
    title: 'cable pulled, the carrier goes',
    act: (stage) => severed(stage, () => stage.cluster.lab.unplug(stage.holder)),
  },
  'api-stop': {
    title: "the holder's API server is killed",
    needsRealApi: true,
    act: async (stage) => {
      const { cluster, holder, candidates } = stage;
      const real = cluster.realApi();
      real.processesOf(holder.name).apiServer?.kill('SIGKILL');
      const reachable = cluster.reachableByTls(candidates.patience?.takeOverMs ?? DEADLINE_MS);
      await (candidates.patience === undefined ? reachable : inTime(reachable));
      return {
        undo: async () => {
          real.startApiServer(holder.name);
          await real.waitReady(holder.name);
          await heldAgain(stage);
        },
      };
    },
  },
  'api-outage': {
    title: 'every API server is away for 8 s',
    act: async (stage) => {
      await stage.cluster.stopApi();
      await sleep(OUTAGE_MS);
      await stage.cluster.startApi();
      await heldAgain(stage);
      return { undo: () => Promise.resolve() };
    },
  },
  'power-no-api': {
    title: 'node loss (power) while every API server is away',
    needsRealApi: true,
    act: async (stage) => {
      const { cluster, holder } = stage;
      await cluster.stopApi();
      await sleep(OUTAGE_BEFORE_LOSS_MS);
      await cluster.powerOff(holder);
      await takenOver(stage);
      return {
        undo: async () => {
          const real = cluster.realApi();
          for (const node of cluster.lab.nodes) if (node !== holder) real.startApiServer(node.name);
          await powerBack(stage)();
          await Promise.all(cluster.lab.nodes.map(({ name }) => real.waitReady(name)));
          await heldAgain(stage);
        },
      };
    },
  },
  'etcd-stall': {
    title: 'etcd stalls for 8 s (every member SIGSTOPped)',
    needsRealApi: true,
    act: async (stage) => {
      const { cluster } = stage;
      const members = cluster.lab.nodes.map(({ name }) => cluster.realApi().processesOf(name).etcd);
      for (const etcd of members) etcd?.freeze();
      await sleep(OUTAGE_MS);
      for (const etcd of members) etcd?.thaw();
      await Promise.all(cluster.lab.nodes.map(({ name }) => cluster.realApi().waitReady(name)));
      await heldAgain(stage);
      return { undo: () => Promise.resolve() };
    },
  },
  deleted: {
    title: 'somebody deletes the addresses',
    act: async (stage) => {
      const { cluster, holder } = stage;
      const startMs = nowMs();
      for (const vip of cluster.vips) cluster.lab.deleteAddress(holder, vip);
      const wasGone = (vip: string): boolean =>
        cluster.holders.since(vip, startMs).some(({ atMs, holders }) => atMs > startMs && holders.length === 0);
      await waitFor('the deletions', () => cluster.vips.every(wasGone));
      await heldAgain(stage);
      return { undo: () => Promise.resolve() };
    },
  },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof SCENARIOS;

async function severed(stage: Stage, sever: () => void): Promise<Outcome> {
  const { cluster, holder } = stage;
  sever();
  await takenOver(stage, [holder.name]);
  // The one that is alone has to let go by itself, while nobody can tell it to.
  await takenOver(stage);
  return {
    apart: [holder.name],
    undo: () => {
      cluster.lab.heal(holder);
      return Promise.resolve();
    },
  };
}

/** What happens in between, for whoever shows it. */
export interface ScenarioObserver {
  readonly onAct?: (holder: LabNode) => void;
  readonly onResult?: (result: Omit<ScenarioResult, 'holdersAtEnd'>) => void;
  readonly onUndo?: (holder: LabNode) => void;
}

/** Plays one scenario on a cluster whose virtual IPs are held, and undoes it. */
export async function play(
  cluster: Cluster,
  name: ScenarioName,
  observer: ScenarioObserver = {},
  candidates: Candidates = managersOf(cluster),
): Promise<ScenarioResult> {
  const holder = await cluster.settled();
  const stage = { cluster, holder, candidates };
  const scenario: Scenario = SCENARIOS[name];
  await scenario.prepare?.(stage);
  const startMs = nowMs();
  observer.onAct?.(holder);
  const { apart = [], undo } = await scenario.act(stage);
  const reachable = cluster.reachable(nowMs(), candidates.patience?.letGoMs);
  const isBack = await (candidates.patience === undefined ? reachable.then(() => true) : inTime(reachable));
  const then = await standing(stage, name, startMs, apart);
  const before = { ...then, isDarkUntilUndone: !isBack };
  observer.onResult?.(before);
  observer.onUndo?.(holder);
  const undoneMs = nowMs();
  await undo();
  if (!isBack) await cluster.reachable(nowMs(), DEADLINE_MS);
  await sleep(CALM_MS);
  const shared = Math.max(...cluster.vips.map((vip) => cluster.holders.longestOverlapMs(vip, undoneMs)));
  return {
    ...before,
    ...(isBack ? {} : await clientsView(cluster, startMs)),
    sharedMs: Math.max(before.sharedMs, shared),
    holdersAtEnd: cluster.vips.map((vip) => cluster.holders.now(vip)),
  };
}

/** How things are once they have stayed so for a moment. */
async function standing(
  { cluster, holder }: Stage,
  scenario: string,
  startMs: number,
  apart: readonly string[],
): Promise<Omit<ScenarioResult, 'holdersAtEnd' | 'isDarkUntilUndone'>> {
  const [first = ''] = cluster.vips;
  const names = cluster.holders.now(first);
  const heldAt = cluster.vips.map((vip) => cluster.holders.since(vip, startMs).at(-1)?.atMs ?? startMs);
  await sleep(CALM_MS);
  return {
    scenario,
    from: holder.name,
    to: names.find((name) => name !== holder.name) ?? names[0] ?? '',
    startMs,
    ...(await clientsView(cluster, startMs)),
    heldAfterMs: Math.max(...heldAt) - startMs,
    sharedMs: Math.max(...cluster.vips.map((vip) => cluster.holders.longestOverlapMs(vip, startMs, apart))),
    holdersThen: cluster.vips.map((vip) => cluster.holders.now(vip)),
    holderCounts: cluster.holders
      .since(first, startMs)
      .map(({ atMs, holders }) => [Math.round(atMs - startMs), holders.length]),
  };
}

async function clientsView(cluster: Cluster, fromMs: number): Promise<Pick<ScenarioResult, 'outages' | 'tlsOutages'>> {
  const outages = await Promise.all(cluster.vips.map((vip) => cluster.prober.summary(vip, fromMs)));
  return { outages, tlsOutages: await cluster.tlsSummaries(fromMs) };
}

/** Whether one node, and only one, has every virtual IP. */
export function hasOneHolder(holders: readonly (readonly string[])[]): boolean {
  return new Set(holders.flat()).size === 1 && holders.every((list) => list.length === 1);
}
