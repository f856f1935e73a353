/** The DaemonSet: the same pod on every node, or on every control-plane node. */

import type { V1Affinity, V1DaemonSet, V1Toleration } from '@kubernetes/client-node';
import type { Values } from '../resolve.ts';
import { podLabels, podNamespace, podSpec, type ManifestOptions } from './pod.ts';

const TOLERATIONS: V1Toleration[] = [
  { effect: 'NoSchedule', operator: 'Exists' },
  { effect: 'NoExecute', operator: 'Exists' },
];

/** Either label: `master` is what clusters before 1.24 have. */
const ON_CONTROL_PLANE: V1Affinity = {
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: ['master', 'control-plane'].map((role) => ({
        matchExpressions: [{ key: `node-role.kubernetes.io/${role}`, operator: 'Exists' }],
      })),
    },
  },
};

/** `isTainted` = kube-vip's --taint: only on control-plane nodes, whatever their taints. One node at a time is updated. */
export function daemonSetManifest(values: Values, options: ManifestOptions, isTainted: boolean): V1DaemonSet {
  const name = `${options.name}-ds`;
  const labels = podLabels({ ...options, name });
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace: podNamespace(values), labels },
    spec: {
      selector: { matchLabels: { 'app.kubernetes.io/name': name } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      template: {
        metadata: { labels },
        spec: podSpec(values, options, isTainted ? { affinity: ON_CONTROL_PLANE, tolerations: TOLERATIONS } : {}),
      },
    },
  };
}
