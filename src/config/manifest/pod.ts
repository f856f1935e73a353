/**
 * The pod: a static pod for the kubelet's manifest folder, and the template of the DaemonSet.
 *
 * The kubeconfig is reached through its folder, not as a file. A hostPath of type File keeps the pod from starting until
 * the file exists, a FileOrCreate or untyped one leaves an empty file or a folder behind when it doesn't: `kubeadm init`
 * and `join` refuse an empty admin.conf ("failed to find CurrentContext"), and an empty super-admin.conf on a joined node
 * breaks `kubeadm certs renew` and `upgrade` (missing context). The folder shows admin.conf when it appears,
 * super-admin.conf while it is there, and files replaced by rename. What else lies in it, the cluster's private keys, is
 * covered by an empty volume mounted over pki (seen with runc 1.1.5: keys gone, also where pki is a symbolic link; where
 * there is no pki the container cannot start, hence --certificatesDir).
 */

import type { V1Container, V1Pod, V1PodSpec, V1Probe, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import type { Values } from '../resolve.ts';
import { manifestArguments, manifestEnvironment, probeTarget } from './environment.ts';

/** Where kubeadm keeps kubeconfigs and, in pki, keys. */
const KUBERNETES_DIRECTORY = '/etc/kubernetes';

/** Value of the class system-node-critical (k8s.io/kubernetes/pkg/apis/scheduling); kubeadm's static pods carry both. */
const NODE_CRITICAL_PRIORITY = 2_000_001_000;

/** Longer than a hand-over takes, shorter than the kubelet's 30 s, so that an upgrade of the manifest isn't slow. */
const TERMINATION_GRACE_SECONDS = 10;

export interface ManifestOptions {
  /** Metadata name: `holdfast`, or another to stand in for something that exists (`kube-vip`). */
  readonly name: string;
  /** Full reference with tag or digest. */
  readonly image: string;
  readonly version: string;
  /** By service account instead of the node's kubeconfig. */
  readonly isInCluster: boolean;
  /** Folder of private keys to cover when it lies under /etc/kubernetes; '' = cover none. */
  readonly certificatesDirectory: string;
}

export function podManifest(values: Values, options: ManifestOptions): V1Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: options.name, namespace: podNamespace(values), labels: podLabels(options) },
    spec: podSpec(values, options, { priority: NODE_CRITICAL_PRIORITY }),
  };
}

/** kube-vip's rule, with cp_namespace before its fixed kube-system. */
export function podNamespace(values: Values): string {
  return values.svc_namespace.value === '' ? values.cp_namespace.value : values.svc_namespace.value;
}

export function podLabels(options: Pick<ManifestOptions, 'name' | 'version'>): Record<string, string> {
  return { 'app.kubernetes.io/name': options.name, 'app.kubernetes.io/version': `v${options.version}` };
}

/** What a static pod, or a pod of a DaemonSet, has more than the other. */
export type PodSpecExtras = Pick<V1PodSpec, 'affinity' | 'priority' | 'tolerations'>;

export function podSpec(values: Values, options: ManifestOptions, extras: PodSpecExtras = {}): V1PodSpec {
  const access = options.isInCluster ? { mounts: [], volumes: [] } : kubeconfigAccess(values, options);
  return {
    ...(options.isInCluster ? { serviceAccountName: options.name } : { automountServiceAccountToken: false }),
    containers: [container(values, options, access.mounts)],
    // Never the cluster's DNS: the virtual IP comes before it.
    dnsPolicy: 'Default',
    enableServiceLinks: false,
    hostNetwork: true,
    ...extras,
    priorityClassName: 'system-node-critical',
    securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
    terminationGracePeriodSeconds: TERMINATION_GRACE_SECONDS,
    volumes: [...access.volumes, { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } }],
  };
}

function container(values: Values, options: ManifestOptions, mounts: readonly V1VolumeMount[]): V1Container {
  return {
    name: options.name,
    image: options.image,
    imagePullPolicy: 'IfNotPresent',
    args: manifestArguments(values),
    env: manifestEnvironment(values),
    ...probes(values),
    resources: { requests: { cpu: '20m', memory: '64Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsGroup: 0,
      runAsUser: 0,
    },
    // /tmp holds the native addon while it is loaded; nothing else is written.
    volumeMounts: [...mounts, { name: 'tmp', mountPath: '/tmp' }],
  };
}

function probes(values: Values): Pick<V1Container, 'startupProbe' | 'livenessProbe' | 'readinessProbe'> {
  const target = probeTarget(values);
  if (target === undefined) return {};
  const probe = (path: string, timing: Omit<V1Probe, 'httpGet'>): V1Probe => ({
    httpGet: { host: target.host, port: target.port, path, scheme: 'HTTP' },
    ...timing,
  });
  return {
    startupProbe: probe('/livez', { periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 60 }),
    livenessProbe: probe('/livez', { periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 }),
    readinessProbe: probe('/readyz', { periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 }),
  };
}

function kubeconfigAccess(values: Values, options: ManifestOptions): { mounts: V1VolumeMount[]; volumes: V1Volume[] } {
  const path = values.k8s_config_file.value;
  if (path.slice(0, path.lastIndexOf('/')) !== KUBERNETES_DIRECTORY) {
    return {
      mounts: [{ name: 'kubeconfig', mountPath: path, readOnly: true }],
      volumes: [{ name: 'kubeconfig', hostPath: { path, type: 'File' } }],
    };
  }
  const mounts: V1VolumeMount[] = [{ name: 'kubernetes', mountPath: KUBERNETES_DIRECTORY, readOnly: true }];
  const volumes: V1Volume[] = [{ name: 'kubernetes', hostPath: { path: KUBERNETES_DIRECTORY, type: 'Directory' } }];
  if (options.certificatesDirectory.startsWith(`${KUBERNETES_DIRECTORY}/`)) {
    mounts.push({ name: 'no-keys', mountPath: options.certificatesDirectory, readOnly: true });
    volumes.push({ name: 'no-keys', emptyDir: {} });
  }
  return { mounts, volumes };
}
