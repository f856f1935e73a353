/**
 * What is done to the owner of the virtual IP, and what came of it: who held it when, as the kernels and the wire tell it,
 * and what a client met. Each fault is healed afterwards, and the next one waits until everything is well again.
 */

import { nowMs, sleep } from '../../test/lab/clock.ts';
import type { ClientTraffic, Darkness } from './client-traffic.ts';
import { seconds, type ControlPlane } from './control-plane.ts';
import type { Machine } from './machine.ts';
import type { LeaseTimes } from './product.ts';

interface Fault {
  readonly title: string;
  readonly strike: (cluster: ControlPlane, machine: Machine) => Promise<void>;
  readonly heal?: (cluster: ControlPlane, machine: Machine) => Promise<void>;
}

const MANIFESTS = '/etc/kubernetes/manifests';

/** In this order: the last one takes its machine out of the cluster. */
export const FAULTS = {
  pod: {
    title: "the pod's process killed (SIGKILL)",
    strike: (cluster, machine) => signal(cluster, machine, 'KILL'),
  },
  freeze: {
    title: "the pod's process frozen (SIGSTOP)",
    strike: (cluster, machine) => signal(cluster, machine, 'STOP'),
    heal: async (cluster, machine) => void (await machine.signal(cluster.image, 'CONT')),
  },
  kubelet: {
    title: 'kubelet stopped',
    strike: async (_, machine) => void (await machine.sh('systemctl stop kubelet')),
    heal: async (_, machine) => void (await machine.sh('systemctl start kubelet')),
  },
  containerd: {
    title: 'containerd stopped',
    strike: async (_, machine) => void (await machine.sh('systemctl stop containerd')),
    heal: async (_, machine) => void (await machine.sh('systemctl start containerd')),
  },
  manifest: {
    title: 'manifest removed (graceful stop)',
    strike: async (_, machine) => void (await machine.sh(`mv ${MANIFESTS}/vip.yaml /var/tmp/`)),
    heal: async (_, machine) => void (await machine.sh(`mv /var/tmp/vip.yaml ${MANIFESTS}/`)),
  },
  apiserver: {
    title: 'API server of the owner gone',
    strike: async (_, machine) => void (await machine.sh(`mv ${MANIFESTS}/kube-apiserver.yaml /var/tmp/`)),
    heal: async (_, machine) => void (await machine.sh(`mv /var/tmp/kube-apiserver.yaml ${MANIFESTS}/`)),
  },
  cut: {
    title: 'cable cut (carrier stays, processes live on)',
    strike: (cluster, machine) => Promise.resolve(cluster.lab.cut(machine.node)),
    heal: (cluster, machine) => Promise.resolve(cluster.lab.heal(machine.node)),
  },
  power: {
    title: 'power cut',
    strike: (_, machine) => machine.powerOff(),
    heal: (_, machine) => machine.boot(),
  },
  reset: {
    title: '`kubeadm reset -f` on the owner, and joining it again afterwards',
    strike: async (_, machine) => void (await machine.sh('kubeadm reset -f')),
    heal: rejoin,
  },
} as const satisfies Readonly<Record<string, Fault>>;

export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS).filter(isFaultName);

export function isFaultName(name: string): name is FaultName {
  return name in FAULTS;
}

export interface FaultResult {
  readonly fault: FaultName;
  readonly owner: string;
  /** Who holds the address when the fault has lasted for long enough, before anything is healed. */
  readonly ownersDuring: readonly string[];
  /** Who answers ARP questions then. */
  readonly answeringDuring: readonly string[];
  /** From the fault to the address on its next owner, s; undefined when it stayed. */
  readonly movedAfterS: number | undefined;
  /** From the fault to the next owner's first announcement on the wire, s. */
  readonly announcedAfterS: number | undefined;
  /** The longest time that two kernels on the segment had the address at once, and that two answered for it, s. */
  readonly twoOwnersS: number;
  readonly twoAnsweringS: number;
  readonly reads: Darkness;
  readonly writes: Darkness;
  /** From healing to everything well again, s; undefined: never. */
  readonly settledAfterS: number | undefined;
  /** Why it could not be healed. */
  readonly problem?: string;
  readonly ownersAfter: readonly string[];
  readonly restarts: number;
}

/** Before the fault, so that renewals and the client are in their stride. */
const CALM_MS = 5000;
/** Time past the expiry of the Lease that a fault is left to itself: room for the successor, and to see two owners. */
const PAST_EXPIRY_MS = 12_000;
/** How far back from now an answer counts as one of now. */
const LATELY_MS = 2000;
/** A request sent this long before the fault may fail of it. */
const UNDERWAY_MS = 500;

/** Strikes the owner of the moment. Throws when the cluster isn't well before. */
export async function inflict(cluster: ControlPlane, fault: FaultName, lease: LeaseTimes): Promise<FaultResult> {
  if ((await cluster.settled()) === undefined) throw new Error(`the cluster was not well before ${fault}`);
  const restartsBefore = await cluster.restarts();
  const traffic = cluster.traffic(await cluster.clientFiles());
  await sleep(CALM_MS);
  const [owner = ''] = cluster.holderNames();
  const machine = cluster.machine(owner);
  const { strike, heal }: Fault = FAULTS[fault];
  const startMs = nowMs();
  await strike(cluster, machine);
  await sleep(Math.max(0, startMs + lease.duration * 1000 + PAST_EXPIRY_MS - nowMs()));
  const endMs = nowMs();
  const during = {
    ownersDuring: cluster.holderNames(),
    answeringDuring: answering(cluster, endMs - LATELY_MS),
    ...movesSince(cluster, startMs, owner),
    // A machine behind a cut is on no segment with the others: what it believes is its own affair until it is back.
    twoOwnersS: seconds(cluster.holders.longestOverlapMs(cluster.vip, startMs, fault === 'cut' ? [owner] : [])),
    twoAnsweringS: seconds(cluster.capture.longestSharedMs(cluster.vip, startMs)),
    reads: await darknessOf(traffic, 'read', startMs, endMs),
    writes: await darknessOf(traffic, 'write', startMs, endMs),
  };
  await traffic.stop();
  const problem = await heal?.(cluster, machine).then(
    () => undefined,
    (error: unknown) => {
      const lines = String(error).split('\n');
      return lines.findLast((line) => line.startsWith('error')) ?? lines[0] ?? '';
    },
  );
  const settledAfterS = problem === undefined ? await cluster.settled() : undefined;
  return {
    fault,
    owner,
    ...during,
    settledAfterS,
    ...(problem === undefined ? {} : { problem }),
    ownersAfter: cluster.holderNames(),
    restarts: (await cluster.restarts()) - restartsBefore,
  };
}

/** What began with the fault; a request that was on its way then counts as well. */
async function darknessOf(
  traffic: ClientTraffic,
  kind: 'read' | 'write',
  startMs: number,
  endMs: number,
): Promise<Darkness> {
  const darkness = await traffic.darkness(kind, startMs - UNDERWAY_MS, endMs);
  return { ...darkness, startsMs: darkness.startsMs === undefined ? undefined : darkness.startsMs - UNDERWAY_MS };
}

function movesSince(
  cluster: ControlPlane,
  startMs: number,
  owner: string,
): Pick<FaultResult, 'movedAfterS' | 'announcedAfterS'> {
  const moved = cluster.holders
    .since(cluster.vip, startMs)
    .find(({ holders }) => holders.some((name) => name !== owner));
  const announced = cluster.capture.announcements(cluster.vip, startMs).find(({ from }) => from !== owner);
  return {
    movedAfterS: moved === undefined ? undefined : seconds(moved.atMs - startMs),
    announcedAfterS: announced === undefined ? undefined : seconds(announced.atMs - startMs),
  };
}

/** Names of those who answered questions for the address since a moment. */
export function answering(cluster: ControlPlane, sinceMs: number): readonly string[] {
  return [...new Set(cluster.capture.answers(cluster.vip, sinceMs).map(({ from }) => from))].toSorted();
}

async function signal(cluster: ControlPlane, machine: Machine, name: 'KILL' | 'STOP'): Promise<void> {
  const count = await machine.signal(cluster.image, name);
  if (count === 0) throw new Error(`no container of ${cluster.image} runs on ${machine.name}`);
}

async function rejoin(cluster: ControlPlane, machine: Machine): Promise<void> {
  const other = cluster.machines.find((each) => each !== machine && each.isOn);
  // kubeadm refuses to join under the name of a node that it still takes for ready.
  await other?.sh(`kubectl delete node ${machine.name}`);
  await cluster.join(machine);
}
