/**
 * What serving Services needs to be allowed: reading Services, EndpointSlices, Namespaces and the pools of MetalLB and
 * Cilium, writing the status of Services and Events about them, kube-vip's ConfigMap of pools (reading), and the one that
 * says who owns which address. Specs are never written, and no object but Events and that ConfigMap is made.
 */

import type { V1PolicyRule } from '@kubernetes/client-node';
import type { Values } from '../resolve.ts';
import { podNamespace } from './pod.ts';

export interface RulesOfPlace {
  /** undefined: the whole cluster. */
  readonly namespace: string | undefined;
  readonly rules: readonly V1PolicyRule[];
}

const READ = ['get', 'list', 'watch'];
/** kube/owners-record.ts. */
const OWNERS_PREFIX = 'holdfast-owners-';
/** Of an object's name. Longer ones are cut there, which isn't repeated here. */
const NAME_MAX = 253;

const OF_SERVICES: readonly V1PolicyRule[] = [
  { apiGroups: [''], resources: ['services'], verbs: READ },
  { apiGroups: [''], resources: ['services/status'], verbs: ['patch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
];
const EVENTS: V1PolicyRule = { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] };
const OF_CLUSTER: readonly V1PolicyRule[] = [
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  { apiGroups: ['metallb.io'], resources: ['ipaddresspools', 'l2advertisements', 'bgpadvertisements'], verbs: READ },
  { apiGroups: ['cilium.io'], resources: ['ciliumloadbalancerippools', 'ciliuml2announcementpolicies'], verbs: READ },
];

/** `isWithin`: nothing may be asked outside of namespaces; Services are then those of svc_namespace, or of the pod's. */
export function serviceRules(
  values: Values,
  options: { readonly leaseNamespace: string; readonly isWithin: boolean },
): readonly RulesOfPlace[] {
  if (values.svc_enable.value !== 'true') return [];
  const { leaseNamespace, isWithin } = options;
  const watched = values.svc_namespace.value;
  const home = watched === '' && isWithin ? podNamespace(values) : watched;
  const pools = values.svc_configmap_namespace.value;
  return [
    { namespace: leaseNamespace, rules: ownersRules(values) },
    {
      namespace: pools === '' ? podNamespace(values) : pools,
      rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [values.svc_configmap.value], verbs: READ }],
    },
    {
      namespace: home === '' ? undefined : home,
      // Events of the namespace of the Lease may be written in any case.
      rules: home === leaseNamespace ? OF_SERVICES : [...OF_SERVICES, EVENTS],
    },
    ...(isWithin ? [] : [{ namespace: undefined, rules: OF_CLUSTER }]),
  ];
}

/** For either Lease: nodes with a control plane elect on the one, the others perhaps on the other, by one account. */
function ownersRules(values: Values): readonly V1PolicyRule[] {
  const leases = [values.svc_leasename.value, values.vip_leasename.value];
  const names = [...new Set(leases.map((lease) => `${OWNERS_PREFIX}${lease.split('/').at(-1) ?? ''}`))];
  const byName = names.every((name) => name.length <= NAME_MAX) ? { resourceNames: names } : {};
  return [
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
    { apiGroups: [''], resources: ['configmaps'], ...byName, verbs: [...READ, 'update'] },
  ];
}
