/**
 * What Holdfast may do when it runs with a service account: Leases and Events of one namespace, the one Secret with the
 * key of the heartbeats in it, the identity of that namespace and of kube-system, and reading Nodes. With svc_enable also
 * what manifest/service-rules.ts lists. Nothing else: no other secret, no pod. (`create` cannot be limited to a name: the
 * API checks it before there is one.)
 */

import type {
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1PolicyRule,
  V1Role,
  V1RoleBinding,
  V1ServiceAccount,
} from '@kubernetes/client-node';
import { electionLease } from '../election-lease.ts';
import type { Values } from '../resolve.ts';
import { podNamespace } from './pod.ts';
import { serviceRules } from './service-rules.ts';

const API_GROUP = 'rbac.authorization.k8s.io';
const API_VERSION = `${API_GROUP}/v1`;

/** kube/heartbeat-key.ts. */
const HEARTBEAT_SECRET = 'holdfast-heartbeat';

const IN_NAMESPACE: V1PolicyRule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'list', 'watch', 'create', 'update'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
  { apiGroups: [''], resources: ['secrets'], resourceNames: [HEARTBEAT_SECRET], verbs: ['get', 'list', 'watch'] },
];
const READ_NODES: V1PolicyRule = { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] };
/** Its uid names the cluster in heartbeats; where it may not be read, the uid of the Lease's namespace does. */
const CLUSTER_NAMESPACE = 'kube-system';

function readNamespace(name: string): V1PolicyRule {
  return { apiGroups: [''], resources: ['namespaces'], resourceNames: [name], verbs: ['get'] };
}

export interface RbacOptions {
  readonly name: string;
  /** kube-vip's --role: nothing outside of the namespace; Nodes are not read then. */
  readonly isRoleOnly: boolean;
  /** kube-vip's --rolebinding: the rules in a ClusterRole, bound in the namespace only. */
  readonly isBoundInNamespace: boolean;
}

export type RbacDocument = V1ServiceAccount | V1Role | V1RoleBinding | V1ClusterRole | V1ClusterRoleBinding;

/** What may be done where; the namespace of the Lease comes first. */
interface Grants {
  readonly namespaced: ReadonlyMap<string, V1PolicyRule[]>;
  readonly cluster: V1PolicyRule[];
}

export function rbacManifests(values: Values, options: RbacOptions): readonly RbacDocument[] {
  const { name } = options;
  const { namespaced, cluster } = grantsOf(values, options);
  const account: V1ServiceAccount = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: podNamespace(values) },
  };
  const subjects = [{ kind: 'ServiceAccount', name, namespace: podNamespace(values) }];
  const clusterName = `system:${name}-role`;
  const clusterRole = (rules: V1PolicyRule[]): V1ClusterRole => ({
    apiVersion: API_VERSION,
    kind: 'ClusterRole',
    metadata: { name: clusterName },
    rules,
  });
  const bindIn = (namespace: string, kind: 'Role' | 'ClusterRole', roleName: string): V1RoleBinding => ({
    apiVersion: API_VERSION,
    kind: 'RoleBinding',
    metadata: { name, namespace },
    roleRef: { apiGroup: API_GROUP, kind, name: roleName },
    subjects,
  });

  if (options.isBoundInNamespace && !options.isRoleOnly) {
    const bindings = [...namespaced.keys()].map((namespace) => bindIn(namespace, 'ClusterRole', clusterName));
    return [account, clusterRole([...namespaced.values()].flat()), ...bindings];
  }
  const roles = [...namespaced].flatMap(([namespace, rules]): readonly RbacDocument[] => [
    { apiVersion: API_VERSION, kind: 'Role', metadata: { name, namespace }, rules },
    bindIn(namespace, 'Role', name),
  ]);
  if (options.isRoleOnly) return [account, ...roles];
  const clusterBinding: V1ClusterRoleBinding = {
    apiVersion: API_VERSION,
    kind: 'ClusterRoleBinding',
    metadata: { name: `system:${name}-binding` },
    roleRef: { apiGroup: API_GROUP, kind: 'ClusterRole', name: clusterName },
    subjects,
  };
  return [account, ...roles, clusterRole(cluster), clusterBinding];
}

function grantsOf(values: Values, options: RbacOptions): Grants {
  const leaseNamespace = electionLease(values).namespace ?? podNamespace(values);
  const isWithin = options.isRoleOnly || options.isBoundInNamespace;
  const namespaced = new Map([[leaseNamespace, [...IN_NAMESPACE, readNamespace(leaseNamespace)]]]);
  const cluster = leaseNamespace === CLUSTER_NAMESPACE ? [READ_NODES] : [READ_NODES, readNamespace(CLUSTER_NAMESPACE)];
  const services = serviceRules(values, { leaseNamespace, isWithin });
  for (const { namespace, rules } of services) {
    if (namespace === undefined) cluster.push(...rules);
    else namespaced.set(namespace, [...(namespaced.get(namespace) ?? []), ...rules]);
  }
  return { namespaced, cluster };
}
