/**
 * The web server behind the Services: CoreDNS, whose image every kubeadm cluster has. Over HTTP it answers /health; over DNS
 * it says on which node it runs and who asked (whoami.ts), and it logs who asked. One Deployment for each node, so that
 * Pods are where a step wants them. One that is told to end goes on answering for five seconds, as a well-behaved one does.
 */

import type { Machine } from '../kubeadm/machine.ts';

export type ServiceName = 'web-cluster' | 'web-local';
export const SERVICES = ['web-cluster', 'web-local'] as const satisfies readonly ServiceName[];

export interface SeenService {
  readonly address: string | undefined;
  /** Type → the condition. */
  readonly conditions: ReadonlyMap<string, SeenCondition>;
}

export interface SeenCondition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Nodes of the Service's endpoints. */
export interface SeenEndpoints {
  readonly ready: readonly string[];
  readonly terminating: readonly string[];
}

const FILE = '/var/tmp/web.json';
const HTTP_PORT = 8080;
const READY_PORT = 8181;
const COREFILE = `.:53 {
    errors
    log . "{remote} {type} {name} {proto}"
    nsid {$NODE}
    ready :${READY_PORT}
    health :${HTTP_PORT} {
        lameduck 5s
    }
    whoami
}
`;

/** The web servers, none of which runs yet. */
export async function createWebServers(machine: Machine, nodes: readonly string[]): Promise<void> {
  const image = await machine.sh(
    "kubectl -n kube-system get deployment coredns -o jsonpath='{.spec.template.spec.containers[0].image}'",
  );
  const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web' }, data: { Corefile: COREFILE } };
  await apply(machine, [config, ...nodes.map((node) => deployment(node, image))]);
}

/** Two Services of the same Pods, which differ in their traffic policy. */
export async function createServices(machine: Machine): Promise<void> {
  await apply(
    machine,
    SERVICES.map((name) => service(name)),
  );
}

export async function readService(machine: Machine, name: ServiceName): Promise<SeenService> {
  const { status } = JSON.parse(await machine.sh(`kubectl get service ${name} -o json`)) as {
    readonly status: {
      readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] };
      readonly conditions?: readonly (SeenCondition & { readonly type: string })[];
    };
  };
  return {
    address: status.loadBalancer?.ingress?.[0]?.ip,
    conditions: new Map((status.conditions ?? []).map((condition) => [condition.type, condition])),
  };
}

export async function readEndpoints(machine: Machine, name: ServiceName): Promise<SeenEndpoints> {
  const text = await machine.sh(`kubectl get endpointslices -l kubernetes.io/service-name=${name} -o json`);
  const { items } = JSON.parse(text) as {
    readonly items: readonly {
      readonly endpoints?: readonly {
        readonly nodeName?: string;
        readonly conditions?: { readonly ready?: boolean; readonly terminating?: boolean };
      }[];
    }[];
  };
  const endpoints = items.flatMap((item) => item.endpoints ?? []);
  const names = (of: typeof endpoints): readonly string[] =>
    [...new Set(of.map(({ nodeName = '' }) => nodeName))].toSorted();
  return {
    ready: names(endpoints.filter(({ conditions }) => conditions?.ready === true)),
    terminating: names(endpoints.filter(({ conditions }) => conditions?.terminating === true)),
  };
}

/** One Pod on the node, or none. */
export async function setReplicas(machine: Machine, node: string, count: 0 | 1): Promise<void> {
  await machine.sh(`kubectl scale deployment web-${node} --replicas=${count}`);
}

async function apply(machine: Machine, items: readonly object[]): Promise<void> {
  machine.put(FILE, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  await machine.sh(`kubectl apply -f ${FILE}`);
}

function service(name: ServiceName): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      type: 'LoadBalancer',
      externalTrafficPolicy: name === 'web-local' ? 'Local' : 'Cluster',
      selector: { app: 'web' },
      ports: [
        { name: 'http', port: 80, targetPort: HTTP_PORT, protocol: 'TCP' },
        { name: 'dns', port: 53, targetPort: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, targetPort: 53, protocol: 'TCP' },
      ],
    },
  };
}

function deployment(node: string, image: string): object {
  const labels = { app: 'web', place: node };
  const container = {
    name: 'web',
    image,
    imagePullPolicy: 'IfNotPresent',
    args: ['-conf', '/etc/coredns/Corefile'],
    env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    readinessProbe: { httpGet: { path: '/ready', port: READY_PORT }, periodSeconds: 1 },
    volumeMounts: [{ name: 'config', mountPath: '/etc/coredns' }],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: `web-${node}` },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          nodeSelector: { 'kubernetes.io/hostname': node },
          tolerations: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' }],
          terminationGracePeriodSeconds: 15,
          containers: [container],
          volumes: [{ name: 'config', configMap: { name: 'web' } }],
        },
      },
    },
  };
}
