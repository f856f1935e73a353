/**
 * MetalLB on the lab's nodes before their real API servers, as its manifests run it in L2 mode: one controller, one speaker
 * a node that finds the others by memberlist, native BGP without peers, its own definitions, one pool and one
 * L2Advertisement. Executables of it: METALLB_CONTROLLER_BIN and METALLB_SPEAKER_BIN, or `scripts/assets metallb-controller
 * metallb-speaker`, which builds them.
 *
 * A speaker wants what its DaemonSet gives it: METALLB_NODE_NAME, a Node of that name, METALLB_POD_NAME and a Pod of that
 * name in METALLB_NAMESPACE (it refuses to start without), METALLB_HOST (where its metrics listen, port 7472),
 * METALLB_ML_BIND_ADDR, METALLB_ML_LABELS (the speakers' Pods, whose status.podIP are the members to join) and
 * METALLB_ML_SECRET_KEY_PATH (a folder with the file secretkey). Different here: the controller's webhook is off, since
 * nothing runs that would lead the API server to it, and every program is an administrator.
 *
 * MetalLB answers ARP and NDP from user space and puts no address on an interface: kube-proxy takes the packets. acceptFor
 * is kube-proxy's part in the lab: a packet that reaches a node is taken by it, and the kernel answers no ARP for it.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ApiClient, RequestParts } from './api-client.ts';
import type { Cluster } from './cluster.ts';
import { definitionsOfSet } from './custom-resources.ts';
import type { LabNode } from './lab.ts';
import { inNamespace } from './namespace.ts';
import { waitFor, type LabProcess } from './process.ts';

export interface MetallbPrograms {
  readonly controller: string;
  readonly speaker: string;
}

export interface MetallbOptions {
  /** What the IPAddressPool has: CIDRs and ranges. */
  readonly pool: readonly string[];
  readonly logLevel?: 'info' | 'warn' | 'debug';
}

const NAMESPACE = 'metallb-system';
const SPEAKER_LABELS = { app: 'metallb', component: 'speaker' };
/** The release whose definitions are installed; the programs of scripts/assets are of the same one. */
const DEFINITIONS = 'metallb-0.15';
const READY_MS = 60_000;

/** Those that the environment names; undefined where it doesn't. */
export function metallbPrograms(): MetallbPrograms | undefined {
  const [controller = '', speaker = ''] = [process.env['METALLB_CONTROLLER_BIN'], process.env['METALLB_SPEAKER_BIN']];
  return controller === '' || speaker === '' ? undefined : { controller, speaker };
}

export class Metallb {
  readonly #cluster: Cluster;
  readonly #programs: MetallbPrograms;
  readonly #options: MetallbOptions;
  readonly #speakers = new Map<string, LabProcess>();
  #controller: LabProcess | undefined;

  /** Writes its objects into the API; nothing runs yet. The cluster's Nodes have to be there. */
  static async on(cluster: Cluster, programs: MetallbPrograms, options: MetallbOptions): Promise<Metallb> {
    const metallb = new Metallb(cluster, programs, options);
    await metallb.#install();
    return metallb;
  }

  private constructor(cluster: Cluster, programs: MetallbPrograms, options: MetallbOptions) {
    this.#cluster = cluster;
    this.#programs = programs;
    this.#options = options;
  }

  /** Of the release that the programs say they are, once they run. */
  get version(): string {
    const line = this.#controller?.lines.find(({ text }) => text.includes('MetalLB controller starting'));
    return /"version":"([^"]*)"/.exec(line?.text ?? '')?.[1] || 'of unknown version';
  }

  /** Starts everything; resolves when every speaker sees every other one. */
  async startAll(): Promise<void> {
    this.startController();
    for (const node of this.#cluster.lab.nodes) this.startSpeaker(node);
    await this.joined();
  }

  /** In the switch's namespace, so that the loss of a node isn't its loss as well. */
  startController(): LabProcess {
    const [first] = this.#cluster.lab.nodes;
    if (first === undefined) throw new Error('a cluster without nodes');
    const { lab } = this.#cluster;
    const argv = [
      this.#programs.controller,
      `--kubeconfig=${this.#kubeconfig(first)}`,
      `--namespace=${NAMESPACE}`,
      '--webhook-mode=disabled',
      '--disable-cert-rotation',
      `--log-level=${this.#options.logLevel ?? 'info'}`,
    ];
    const env = { METALLB_BGP_TYPE: 'native' };
    this.#controller = lab.spawn('switch', argv, { name: 'metallb-controller', env });
    return this.#controller;
  }

  startSpeaker(node: LabNode): LabProcess {
    const folder = join(this.#cluster.realApi().folder, 'metallb');
    mkdirSync(folder, { recursive: true });
    // Base64 of what the controller would draw.
    writeFileSync(join(folder, 'secretkey'), 'aG9sZGZhc3QtbGFiLWtleQ');
    const argv = [
      this.#programs.speaker,
      `--kubeconfig=${this.#kubeconfig(node)}`,
      '--port=7472',
      `--log-level=${this.#options.logLevel ?? 'info'}`,
    ];
    const env = {
      METALLB_NAMESPACE: NAMESPACE,
      METALLB_NODE_NAME: node.name,
      METALLB_POD_NAME: podName(node),
      METALLB_HOST: addressOf(node),
      METALLB_ML_BIND_ADDR: addressOf(node),
      METALLB_ML_LABELS: Object.entries(SPEAKER_LABELS)
        .map((pair) => pair.join('='))
        .join(','),
      METALLB_ML_SECRET_KEY_PATH: folder,
      METALLB_BGP_TYPE: 'native',
    };
    const speaker = this.#cluster.lab.spawn(node, argv, { name: `metallb-speaker@${node.name}`, env });
    this.#speakers.set(node.name, speaker);
    return speaker;
  }

  speaker(node: LabNode): LabProcess {
    const speaker = this.#speakers.get(node.name);
    if (speaker === undefined) throw new Error(`no speaker was started on ${node.name}`);
    return speaker;
  }

  get controller(): LabProcess {
    if (this.#controller === undefined) throw new Error('no controller was started');
    return this.#controller;
  }

  /** Every process of it that runs, for what they cost. */
  get processes(): readonly LabProcess[] {
    const all = [...(this.#controller === undefined ? [] : [this.#controller]), ...this.#speakers.values()];
    return all.filter((program) => program.isRunning);
  }

  /**
   * Resolves when each speaker has heard each other one join. One that was asked to join before the others listened tries
   * again when a Node changes, else after a minute: so a Node is touched.
   */
  async joined(): Promise<void> {
    const { nodes } = this.#cluster.lab;
    let touches = 0;
    await waitFor(
      'the speakers see each other',
      async () => {
        const ended = [...this.#speakers.values()].find((program) => !program.isRunning);
        if (ended !== undefined) throw new Error(`${ended.name} ended:\n${ended.tail()}`);
        const isJoined = nodes.every((node) => {
          const lines = this.speaker(node).lines.filter(({ text }) => text.includes('NodeJoin'));
          return nodes.every(({ name }) => lines.some(({ text }) => text.includes(`"node name":"${name}"`)));
        });
        if (isJoined) return true;
        touches += 1;
        const body = { metadata: { labels: { 'holdfast.test/touched': String(touches) } } };
        await this.#ask('PATCH', `/api/v1/nodes/${nodes[0]?.name ?? ''}`, { body, contentType: MERGE });
        return false;
      },
      { deadlineMs: READY_MS, everyMs: 1_000 },
    );
  }

  /**
   * kube-proxy's part for addresses of the pool, on every node: the kernel takes packets for the network, whoever they
   * are for, and answers ARP only for addresses on the interface.
   */
  acceptFor(network: string): void {
    for (const node of this.#cluster.lab.nodes) {
      execFileSync('ip', ['-n', node.namespace, 'route', 'replace', 'local', network, 'dev', 'lo']);
      inNamespace(node.namespace, () => writeFileSync('/proc/sys/net/ipv4/conf/all/arp_ignore', '1'));
    }
  }

  async #install(): Promise<void> {
    for (const { document } of await definitionsOfSet(DEFINITIONS)) {
      await this.#ask('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { body: document });
    }
    await this.#ask('POST', '/api/v1/namespaces', { body: { metadata: { name: NAMESPACE } } });
    for (const node of this.#cluster.lab.nodes) await this.#createPod(node);
    const metallb = `/apis/metallb.io/v1beta1/namespaces/${NAMESPACE}`;
    const pool = custom('IPAddressPool', { addresses: this.#options.pool });
    await waitFor(
      'the kinds are served',
      async () => (await this.#client().request('POST', `${metallb}/ipaddresspools`, { body: pool })).status === 201,
      { deadlineMs: READY_MS, everyMs: 100 },
    );
    await this.#ask('POST', `${metallb}/l2advertisements`, { body: custom('L2Advertisement', {}) });
  }

  async #createPod(node: LabNode): Promise<void> {
    const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
    const spec = { nodeName: node.name, hostNetwork: true, containers: [{ name: 'speaker', image: 'speaker' }] };
    await this.#ask('POST', pods, { body: { metadata: { name: podName(node), labels: SPEAKER_LABELS }, spec } });
    const podIP = addressOf(node);
    const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], hostIP: podIP };
    await this.#ask('PATCH', `${pods}/${podName(node)}/status`, { body: { status }, contentType: MERGE });
  }

  #kubeconfig(node: LabNode): string {
    const real = this.#cluster.realApi();
    const identity = { user: 'metallb', groups: ['system:masters'], server: real.url(node.name) };
    return real.writeKubeconfig(node.name, 'metallb.conf', identity);
  }

  #client(): ApiClient {
    return this.#cluster.apiClient();
  }

  async #ask(method: string, path: string, parts: RequestParts): Promise<void> {
    const { status, body } = await this.#client().request(method, path, parts);
    if (status >= 300 && status !== 409) throw new Error(`${method} ${path}: ${JSON.stringify(body)}`);
  }
}

const MERGE = 'application/merge-patch+json';

function custom(kind: string, spec: object): object {
  return { apiVersion: 'metallb.io/v1beta1', kind, metadata: { name: 'lab' }, spec };
}

function podName(node: LabNode): string {
  return `speaker-${node.name}`;
}

function addressOf(node: LabNode): string {
  return node.ipv4 ?? node.ipv6 ?? '';
}
