/** From three empty machines to a control plane of three, watched all the while. */

import { nowMs, sleep } from '../../test/lab/clock.ts';
import type { Darkness } from './client-traffic.ts';
import { seconds, type ControlPlane } from './control-plane.ts';
import type { Bootstrap } from './product.ts';

export interface BootstrapResult {
  readonly initS: number;
  /** From the start of `kubeadm init` to the address on the first node, and to the first answer through it. */
  readonly heldAfterS: number | undefined;
  readonly answeredAfterS: number | undefined;
  readonly joinsS: readonly number[];
  /** From the last join to everything well. */
  readonly settledAfterS: number | undefined;
  /** The longest outage between the first answer and the end, and the one from changing to admin.conf where that is done. */
  readonly reads: Darkness;
  readonly switchReads: Darkness | undefined;
  /** Owners in their order; one name: it never moved. */
  readonly owners: readonly string[];
  readonly twoOwnersS: number;
  readonly twoAnsweringS: number;
  readonly restarts: number;
  /** Nodes whose kubelet took the virtual IP for the node's own address. */
  readonly mistakenNodes: readonly string[];
}

/** How long the change to admin.conf is watched: the kubelet ends the old pod completely before it starts the new one. */
const SWITCH_MS = 30_000;

export async function runBootstrap(cluster: ControlPlane, kind: Bootstrap): Promise<BootstrapResult> {
  const startMs = nowMs();
  const traffic = cluster.traffic();
  const initS = await cluster.init();
  let switchReads: Darkness | undefined;
  if (kind === 'super-admin.conf') {
    const switchMs = nowMs();
    cluster.switchToAdminConf();
    await sleep(SWITCH_MS);
    switchReads = await traffic.darkness('read', switchMs);
  }
  const joinsS: number[] = [];
  for (const machine of cluster.machines.slice(1)) joinsS.push(await cluster.join(machine));
  const settledAfterS = await cluster.settled();
  if (settledAfterS === undefined) throw new Error('after the last join the cluster never was well');
  const { firstAnswerMs = startMs } = traffic;
  const changes = cluster.holders.since(cluster.vip, startMs);
  const held = changes.find(({ holders }) => holders.length > 0);
  const owners = changes.map(({ holders }) => holders.join('+') || 'nobody').slice(1);
  const result = {
    initS,
    heldAfterS: held === undefined ? undefined : seconds(held.atMs - startMs),
    answeredAfterS: seconds(firstAnswerMs - startMs),
    joinsS,
    settledAfterS,
    reads: await traffic.darkness('read', firstAnswerMs),
    switchReads,
    owners,
    twoOwnersS: seconds(cluster.holders.longestOverlapMs(cluster.vip, startMs)),
    twoAnsweringS: seconds(cluster.capture.longestSharedMs(cluster.vip, startMs)),
    restarts: await cluster.restarts(),
    mistakenNodes: await cluster.mistakenNodes(),
  };
  await traffic.stop();
  return result;
}
