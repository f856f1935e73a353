/**
 * What Holdfast may do when it runs with a service account: Leases and Events of one namespace, the one Secret with the
 * key of the heartbeats in it, the identity of that namespace and of kube-system, and reading Nodes. Nothing else: no
 * other secret, no Service, no pod. (`create` cannot be limited to a name: the API checks it before there is one.)
 */

import type {
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1PolicyRule,
  V1Role,
  V1RoleBinding,
  V1ServiceAccount,
} from '@kubernetes/client-node';
import type { Values } from '../resolve.ts';
import { podNamespace } from './pod.ts';

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

export function rbacManifests(values: Values, options: RbacOptions): readonly RbacDocument[] {
  const { name } = options;
  const [, leaseNamespace = podNamespace(values)] = values.vip_leasename.value.split('/').reverse();
  const inNamespace = [...IN_NAMESPACE, readNamespace(leaseNamespace)];
  const inCluster =
    leaseNamespace === CLUSTER_NAMESPACE ? [READ_NODES] : [READ_NODES, readNamespace(CLUSTER_NAMESPACE)];
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
  const bindIn = (kind: 'Role' | 'ClusterRole', roleName: string): V1RoleBinding => ({
    apiVersion: API_VERSION,
    kind: 'RoleBinding',
    metadata: { name, namespace: leaseNamespace },
    roleRef: { apiGroup: API_GROUP, kind, name: roleName },
    subjects,
  });

  if (options.isBoundInNamespace && !options.isRoleOnly) {
    return [account, clusterRole(inNamespace), bindIn('ClusterRole', clusterName)];
  }
  const role: V1Role = {
    apiVersion: API_VERSION,
    kind: 'Role',
    metadata: { name, namespace: leaseNamespace },
    rules: inNamespace,
  };
  if (options.isRoleOnly) return [account, role, bindIn('Role', name)];
  const clusterBinding: V1ClusterRoleBinding = {
    apiVersion: API_VERSION,
    kind: 'ClusterRoleBinding',
    metadata: { name: `system:${name}-binding` },
    roleRef: { apiGroup: API_GROUP, kind: 'ClusterRole', name: clusterName },
    subjects,
  };
  return [account, role, bindIn('Role', name), clusterRole(inCluster), clusterBinding];
}
