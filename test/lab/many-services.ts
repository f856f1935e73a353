/**
 * Thousands of Services made at once, and what their status says while it comes: one watch, whoever gives the addresses.
 * Each has a ready endpoint on every node, and an address of each family.
 */

import type { Family } from '../../src/base/ip.ts';
import { ApiClient, type ApiWatch } from './api-client.ts';
import type { Cluster } from './cluster.ts';
import { nowMs } from './clock.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { waitFor } from './process.ts';

export interface ManyServicesOptions {
  readonly cluster: Cluster;
  readonly count: number;
  readonly families: readonly Family[];
  /** Requests under way at a time. */
  readonly atOnce?: number;
  /** More for the spec and annotations of the Service of this number, for whom addresses must be named by hand. */
  readonly extra?: (index: number) => { readonly spec?: object; readonly annotations?: object };
}

const AT_ONCE = 16;
const PATH = '/api/v1/namespaces/default/services';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';

const MANAGED_FIELDS = ['kubectl-client-side-apply', 'kube-controller-manager'].map((manager) => ({
  manager,
  operation: 'Update',
  apiVersion: 'v1',
  time: '2026-01-01T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1: {
    'f:metadata': { 'f:annotations': { '.': {}, 'f:kubectl.kubernetes.io/last-applied-configuration': {} } },
    'f:spec': {
      'f:allocateLoadBalancerNodePorts': {},
      'f:externalTrafficPolicy': {},
      'f:internalTrafficPolicy': {},
      'f:ports': {
        '.': {},
        'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {}, 'f:protocol': {} },
      },
      'f:selector': {},
      'f:sessionAffinity': {},
      'f:type': {},
    },
  },
}));

interface RawService {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } };
}

export class ManyServices {
  /** When the API had taken each, ms. */
  readonly madeAt = new Map<string, number>();
  /** Addresses in each one's status. */
  readonly addresses = new Map<string, readonly string[]>();
  readonly #options: ManyServicesOptions;
  readonly #client: ApiClient;
  readonly #watcher: ApiClient;
  #watch: ApiWatch | undefined;
  #read = 0;

  constructor(options: ManyServicesOptions) {
    const { cluster, atOnce = AT_ONCE } = options;
    this.#options = options;
    const [first] = cluster.lab.nodes;
    if (first === undefined) throw new Error('a cluster without nodes');
    const access =
      cluster.api.kind === 'real'
        ? { ...cluster.api.real.adminAccess, server: cluster.api.real.url(first.name), namespace: first.namespace }
        : { ...readKubeconfig(cluster.kubeconfigFile(first)), namespace: cluster.lab.switchNamespace };
    this.#client = new ApiClient({ ...access, keptConnections: atOnce });
    this.#watcher = new ApiClient(access);
  }

  /** Everything but the Services: what stands behind them, and the watch. */
  async prepare(): Promise<void> {
    await this.#each((index) => this.#post(SLICES, this.#slice(index)));
    this.#watch = await this.#watcher.watch(`${PATH}?watch=1`);
  }

  /** Resolves with the time of the last create. */
  async create(): Promise<{ readonly firstMs: number; readonly lastMs: number }> {
    const firstMs = nowMs();
    await this.#each(async (index) => {
      await this.#post(PATH, this.#service(index));
      this.madeAt.set(nameOf(index), nowMs());
    });
    return { firstMs, lastMs: nowMs() };
  }

  /** Resolves with all addresses when each Service has as many as it asks for. */
  async served(deadlineMs: number): Promise<readonly string[]> {
    const { count, families } = this.#options;
    const all = await waitFor(
      'every Service has its addresses',
      () => {
        this.#take();
        const found = [...this.addresses.values()].flat();
        return found.length === count * families.length ? found : undefined;
      },
      { deadlineMs, everyMs: 50 },
    );
    if (new Set(all).size !== all.length) throw new Error('an address was given twice');
    return all;
  }

  close(): void {
    this.#watch?.close();
    this.#client.close();
  }

  #take(): void {
    const events = this.#watch?.events ?? [];
    for (const { object } of events.slice(this.#read)) {
      // The watch is one of Services.
      const { metadata, status } = object as unknown as RawService;
      const ingress = status?.loadBalancer?.ingress ?? [];
      if (metadata.name.startsWith('many-')) {
        this.addresses.set(
          metadata.name,
          ingress.map(({ ip }) => ip),
        );
      }
    }
    this.#read = events.length;
  }

  async #each(act: (index: number) => Promise<void>): Promise<void> {
    const { count, atOnce = AT_ONCE } = this.#options;
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < count) {
        const index = next;
        next += 1;
        await act(index);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  }

  async #post(path: string, body: object): Promise<void> {
    const made = await this.#client.request('POST', path, { body, deadlineMs: 30_000 });
    if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  }

  #service(index: number): object {
    const { families, extra } = this.#options;
    const { spec = {}, annotations = {} } = extra?.(index) ?? {};
    const name = nameOf(index);
    const isDual = families.length > 1;
    // A real server adds who wrote what, a kilobyte of it.
    const written = this.#options.cluster.api.kind === 'real' ? {} : { managedFields: MANAGED_FIELDS };
    return {
      metadata: { name, annotations, ...written },
      spec: {
        type: 'LoadBalancer',
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
        selector: { app: name },
        ipFamilies: families.map((family) => (family === 'ipv4' ? 'IPv4' : 'IPv6')),
        ipFamilyPolicy: isDual ? 'RequireDualStack' : 'SingleStack',
        ...spec,
      },
    };
  }

  #slice(index: number): object {
    const name = nameOf(index);
    return {
      metadata: { name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: this.#options.cluster.lab.nodes.map((node, place) => ({
        addresses: [`10.244.${place}.${(index % 250) + 1}`],
        nodeName: node.name,
        conditions: { ready: true },
      })),
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    };
  }
}

function nameOf(index: number): string {
  return `many-${index}`;
}
