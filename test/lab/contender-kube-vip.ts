/**
 * kube-vip on the lab's nodes, any executable of it, as its static pod runs it: ARP mode, the control plane's address
 * only, its documented 5/3/1 s, one API server each (the node's own). It ends by itself when it loses the election; a
 * kubelet would start it again, and so does the lab.
 */

import { spawnSync } from 'node:child_process';

import type { Cluster } from './cluster.ts';
import { ForeignCandidates } from './contender.ts';

/** Sooner than a kubelet's back-off would be: in favour of kube-vip. */
const RESTART_MS = 1000;

export function kubeVipVersion(executable: string): string {
  const { stdout, stderr } = spawnSync(executable, ['version'], { encoding: 'utf8' });
  return /v\d+\.\d+\.\d+\S*/.exec(`${stdout}${stderr}`)?.[0] ?? 'of unknown version';
}

export function kubeVipOn(cluster: Cluster, executable: string): ForeignCandidates {
  return new ForeignCandidates(cluster, 'kube-vip', (node) => {
    const host = node.ipv4 ?? `[${node.ipv6 ?? ''}]`;
    return {
      argv: [executable, 'manager'],
      env: {
        ...cluster.managerEnv(node),
        vip_leaseduration: '5',
        vip_renewdeadline: '3',
        vip_retryperiod: '1',
        // By itself it would look for the API server by a name that only its pod's /etc/hosts knows.
        kubernetes_addr: `https://${host}:6443`,
      },
      takesPart: /leader|leader election|Starting kube-vip/i,
      restartMs: RESTART_MS,
    };
  });
}
