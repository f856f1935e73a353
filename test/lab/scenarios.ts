/**
 * The failures, one by one, as things done to a cluster whose virtual IPs are held: what is done, who has to hold them
 * afterwards, and how it is undone. The demo, the lab's tests and the benchmark play the same ones and differ in what
 * they make of the result.
 */

import { nowMs, sleep } from './clock.ts';
import type { Cluster } from './cluster.ts';
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
  /** Who holds each virtual IP at the end, when everything is undone. */
  readonly holdersAtEnd: readonly (readonly string[])[];
}

export interface Scenario {
  readonly title: string;
  /** Needs a real API on the nodes. */
  readonly needsRealApi?: boolean;
  readonly act: (cluster: Cluster, holder: LabNode) => Promise<Outcome>;
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

/** Waits until one node other than `holder` has every virtual IP, and the client is answered. */
async function takenOver(cluster: Cluster, holder: LabNode, apart: readonly string[] = []): Promise<void> {
  await cluster.settled({ except: [holder.name], apart, deadlineMs: DEADLINE_MS });
}

function restart(cluster: Cluster, node: LabNode): () => Promise<void> {
  return async () => {
    await cluster.startCandidate(node);
  };
}

export const SCENARIOS = {
  stop: {
    title: 'graceful stop (SIGTERM)',
    act: async (cluster, holder) => {
      cluster.manager(holder).kill('SIGTERM');
      await takenOver(cluster, holder);
      await cluster.manager(holder).ended;
      return { undo: restart(cluster, holder) };
    },
  },
  crash: {
    title: 'crash (SIGKILL), not restarted',
    act: async (cluster, holder) => {
      cluster.manager(holder).kill('SIGKILL');
      await takenOver(cluster, holder);
      return { undo: restart(cluster, holder) };
    },
  },
  'crash-restart': {
    title: 'crash (SIGKILL), restarted after 0.5 s',
    act: async (cluster, holder) => {
      cluster.manager(holder).kill('SIGKILL');
      await cluster.manager(holder).ended;
      await sleep(500);
      await cluster.startCandidate(holder);
      // Longer than the lifetime on the addresses: either somebody renews them, or they are gone by then.
      await sleep(4500);
      await cluster.settled({ deadlineMs: DEADLINE_MS });
      return { undo: () => Promise.resolve() };
    },
  },
  freeze: {
    title: 'freeze (SIGSTOP), thawed afterwards',
    act: async (cluster, holder) => {
      cluster.manager(holder).freeze();
      await takenOver(cluster, holder);
      return {
        undo: async () => {
          cluster.manager(holder).thaw();
          await sleep(2000);
        },
      };
    },
  },
  power: {
    title: 'node loss (power)',
    act: async (cluster, holder) => {
      await cluster.powerOff(holder);
      await takenOver(cluster, holder);
      return {
        undo: async () => {
          await cluster.powerOn(holder);
          await cluster.startCandidate(holder);
        },
      };
    },
  },
  cut: {
    title: 'cable cut, the carrier stays',
    act: (cluster, holder) => severed(cluster, holder, () => cluster.lab.cut(holder)),
  },
  unplug: {
    title: 'cable pulled, the carrier goes',
    act: (cluster, holder) => severed(cluster, holder, () => cluster.lab.unplug(holder)),
  },
  'api-stop': {
    title: "the holder's API server is killed",
    needsRealApi: true,
    act: async (cluster, holder) => {
      const real = cluster.realApi();
      real.processesOf(holder.name).apiServer?.kill('SIGKILL');
      await cluster.reachableByTls(DEADLINE_MS);
      return {
        undo: async () => {
          real.startApiServer(holder.name);
          await real.waitReady(holder.name);
          await cluster.settled({ deadlineMs: DEADLINE_MS });
        },
      };
    },
  },
  'api-outage': {
    title: 'every API server is away for 8 s',
    act: async (cluster) => {
      await cluster.stopApi();
      await sleep(8000);
      await cluster.startApi();
      await cluster.settled({ deadlineMs: DEADLINE_MS });
      return { undo: () => Promise.resolve() };
    },
  },
  deleted: {
    title: 'somebody deletes the addresses',
    act: async (cluster, holder) => {
      const startMs = nowMs();
      for (const vip of cluster.vips) cluster.lab.deleteAddress(holder, vip);
      const wasGone = (vip: string): boolean =>
        cluster.holders.since(vip, startMs).some(({ atMs, holders }) => atMs > startMs && holders.length === 0);
      await waitFor('the deletions', () => cluster.vips.every(wasGone));
      await cluster.settled({ deadlineMs: DEADLINE_MS });
      return { undo: () => Promise.resolve() };
    },
  },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof SCENARIOS;

async function severed(cluster: Cluster, holder: LabNode, sever: () => void): Promise<Outcome> {
  sever();
  await takenOver(cluster, holder, [holder.name]);
  // The one that is alone has to let go by itself, while nobody can tell it to.
  await takenOver(cluster, holder);
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
): Promise<ScenarioResult> {
  const holder = await cluster.settled();
  const startMs = nowMs();
  observer.onAct?.(holder);
  const { apart = [], undo } = await (SCENARIOS[name] as Scenario).act(cluster, holder);
  await cluster.reachable();
  const [to = ''] = cluster.holders.now(cluster.vips[0] ?? '');
  const heldAt = cluster.vips.map((vip) => cluster.holders.since(vip, startMs).at(-1)?.atMs ?? startMs);
  await sleep(CALM_MS);
  const outages = await Promise.all(cluster.vips.map((vip) => cluster.prober.summary(vip, startMs)));
  const tlsOutages = await cluster.tlsSummaries(startMs);
  const result = {
    scenario: name,
    from: holder.name,
    to,
    startMs,
    outages,
    tlsOutages,
    heldAfterMs: Math.max(...heldAt) - startMs,
    sharedMs: Math.max(...cluster.vips.map((vip) => cluster.holders.longestOverlapMs(vip, startMs, apart))),
  };
  observer.onResult?.(result);
  observer.onUndo?.(holder);
  const undoneMs = nowMs();
  await undo();
  await sleep(CALM_MS);
  const shared = Math.max(...cluster.vips.map((vip) => cluster.holders.longestOverlapMs(vip, undoneMs)));
  return {
    ...result,
    sharedMs: Math.max(result.sharedMs, shared),
    holdersAtEnd: cluster.vips.map((vip) => cluster.holders.now(vip)),
  };
}

/** Whether one node, and only one, has every virtual IP. */
export function hasOneHolder(holders: readonly (readonly string[])[]): boolean {
  return new Set(holders.flat()).size === 1 && holders.every((list) => list.length === 1);
}
