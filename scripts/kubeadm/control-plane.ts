/**
 * A kubeadm control plane on the lab's machines: `kubeadm init` and `kubeadm join` as the documentation has them, with the
 * product's static pod put down before, and everything that is watched from outside meanwhile.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { parse } from 'yaml';

import { Capture } from '../../test/lab/capture.ts';
import { nowMs, sleep } from '../../test/lab/clock.ts';
import { HolderWatch } from '../../test/lab/holders.ts';
import { Lab } from '../../test/lab/lab.ts';
import { KUBERNETES_VERSION } from '../assets.ts';
import { ClientTraffic, type ClientFiles } from './client-traffic.ts';
import { Machine, NODE_SCRIPT, PRODUCT_ARCHIVE, sweep } from './machine.ts';
import { cacheFolder, type Parts } from './parts.ts';
import { imageOf, type Bootstrap, type LeaseTimes, type Product } from './product.ts';

const PREFIX = 'hf-kubeadm';
const VIP_HOST = 50;
const MANIFEST = '/etc/kubernetes/manifests/vip.yaml';
/** Somebody asks the segment for the address this often, as a newcomer would. */
const ASK_EVERY_MS = 50;
const SETTLED_MAX_MS = 180_000;

export interface ControlPlaneOptions {
  readonly parts: Parts;
  readonly product: Product;
  readonly bootstrap: Bootstrap;
  readonly lease: LeaseTimes;
  readonly say: (line: string) => void;
}

/** What `kubeadm init` printed for those who join. */
interface JoinSecrets {
  readonly token: string;
  readonly caHash: string;
  readonly certificateKey: string;
}

export class ControlPlane {
  readonly lab: Lab;
  readonly machines: readonly Machine[];
  readonly vip: string;
  readonly holders: HolderWatch;
  readonly capture: Capture;
  /** Of the pod that is under test. */
  readonly image: string;
  readonly folder: string;
  readonly #options: ControlPlaneOptions;
  #secrets: JoinSecrets | undefined;
  /** After Ctrl-C: the lab has ended the processes by then. */
  readonly #onExit = (): void => this.#removeMachines();

  static async create(options: ControlPlaneOptions): Promise<ControlPlane> {
    const template = provideTemplate(options.parts, options.say);
    const lab = new Lab({ prefix: PREFIX, families: ['ipv4'] });
    removeRemains();
    const folder = join(cacheFolder(), `run-${process.pid}`);
    try {
      const machines = lab.nodes.map(
        (node) =>
          new Machine({
            lab,
            node,
            parts: options.parts,
            archive: options.product.archive,
            template,
            folder: join(folder, node.name),
          }),
      );
      const cluster = new ControlPlane(options, lab, machines, folder);
      await Promise.all(machines.map((machine) => machine.boot()));
      await Promise.all(machines.map((machine) => cluster.#importImage(machine)));
      return cluster;
    } catch (error) {
      await lab.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(options: ControlPlaneOptions, lab: Lab, machines: readonly Machine[], folder: string) {
    this.#options = options;
    this.lab = lab;
    this.machines = machines;
    this.folder = folder;
    this.vip = lab.ipv4(VIP_HOST);
    this.image = imageOf(this.#manifest(false));
    this.holders = new HolderWatch(lab, [this.vip]);
    this.capture = new Capture(lab);
    this.capture.ask([this.vip], ASK_EVERY_MS);
    process.on('exit', this.#onExit);
  }

  machine(name: string): Machine {
    const found = this.machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Error(`there is no machine ${name}`);
    return found;
  }

  /** Names of the machines whose kernel has the virtual IP. */
  holderNames(): readonly string[] {
    return this.holders.now(this.vip);
  }

  /** `kubeadm init` on the first machine; seconds it took. */
  async init(): Promise<number> {
    const [first] = this.machines;
    if (first === undefined) throw new Error('a control plane has a first machine');
    first.put(MANIFEST, this.#manifest(true));
    const startMs = nowMs();
    const text = await this.#kubeadm(first, [
      `init --control-plane-endpoint ${this.vip}:6443 --kubernetes-version v${KUBERNETES_VERSION} --upload-certs`,
      '--pod-network-cidr 10.244.0.0/16',
    ]);
    const tookMs = nowMs() - startMs;
    const part = (pattern: RegExp): string => {
      const found = pattern.exec(text)?.[1];
      if (found === undefined) throw new Error(`kubeadm init did not print ${pattern}`);
      return found;
    };
    this.#secrets = {
      token: part(/--token (\S+)/),
      caHash: part(/(sha256:\S+)/),
      certificateKey: part(/--certificate-key (\S+)/),
    };
    // In a network namespace nf_conntrack_max is not the node's to write.
    await first.sh(
      "kubectl -n kube-system get cm kube-proxy -o yaml | sed 's/maxPerCore: null/maxPerCore: 0/' | kubectl apply -f - && " +
        'kubectl -n kube-system rollout restart ds kube-proxy',
    );
    return seconds(tookMs);
  }

  /** The first machine's manifest as it is to stay; only super-admin.conf needs that. */
  switchToAdminConf(): void {
    this.machines[0]?.put(MANIFEST, this.#manifest(false));
  }

  /** `kubeadm join --control-plane` through the virtual IP; seconds it took. */
  async join(machine: Machine): Promise<number> {
    const secrets = this.#secrets;
    if (secrets === undefined) throw new Error('kubeadm init comes before kubeadm join');
    machine.put(MANIFEST, this.#manifest(false));
    const startMs = nowMs();
    await this.#kubeadm(machine, [
      `join ${this.vip}:6443 --token ${secrets.token} --discovery-token-ca-cert-hash ${secrets.caHash}`,
      `--control-plane --certificate-key ${secrets.certificateKey}`,
    ]);
    return seconds(nowMs() - startMs);
  }

  /** kubeadm's outputs and the product's logs, kept when the machines are gone. */
  async keepLogs(folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true });
    for (const machine of this.machines.filter(({ isOn }) => isOn)) {
      const { text } = await machine.run(
        'for log in /var/log/pods/kube-system_*/{holdfast,kube-vip}/*.log; do [ ! -e "$log" ] || { echo "== $log"; cat "$log"; }; done',
      );
      writeFileSync(join(folder, `product-${machine.name}.log`), text);
      writeFileSync(
        join(folder, `kubelet-${machine.name}.log`),
        (await machine.run('tail -n 2000 /var/log/lab/kubelet.log')).text,
      );
    }
    const machine = this.machines.find(({ isOn }) => isOn);
    if (machine === undefined) return;
    writeFileSync(
      join(folder, 'events.txt'),
      (await machine.run('kubectl --request-timeout 5s -n kube-system get events --sort-by .lastTimestamp')).text,
    );
    writeFileSync(
      join(folder, 'pods.txt'),
      (await machine.run('kubectl --request-timeout 5s get nodes,pods -A -o wide')).text,
    );
    for (const name of readdirSync(this.folder).filter((each) => each.endsWith('.log'))) {
      renameSync(join(this.folder, name), join(folder, name));
    }
  }

  /** Certificates of the administrator, for the client. */
  async clientFiles(): Promise<ClientFiles> {
    const machine = await this.#anyAdmin();
    const config = parse(await machine.sh('cat /etc/kubernetes/admin.conf')) as {
      readonly clusters: readonly [{ readonly cluster: Readonly<Record<string, string>> }];
      readonly users: readonly [{ readonly user: Readonly<Record<string, string>> }];
    };
    const write = (name: string, base64: string | undefined): string => {
      const path = join(this.folder, name);
      writeFileSync(path, Buffer.from(base64 ?? '', 'base64'), { mode: 0o600 });
      return path;
    };
    await machine.sh('kubectl create configmap probe --dry-run=client -o yaml | kubectl apply -f -');
    return {
      ca: write('ca.crt', config.clusters[0].cluster['certificate-authority-data']),
      certificate: write('client.crt', config.users[0].user['client-certificate-data']),
      key: write('client.key', config.users[0].user['client-key-data']),
    };
  }

  traffic(files?: ClientFiles): ClientTraffic {
    return new ClientTraffic(this.lab, this.vip, files);
  }

  /** Every machine on, every API server and node ready, one holder: seconds until then; undefined when it never was. */
  async settled(): Promise<number | undefined> {
    const startMs = nowMs();
    while (nowMs() - startMs < SETTLED_MAX_MS) {
      if (await this.#isSettled()) return seconds(nowMs() - startMs);
      await sleep(500);
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.capture.close();
    this.holders.close();
    await this.lab.close();
    process.off('exit', this.#onExit);
    this.#removeMachines();
  }

  #removeMachines(): void {
    for (const machine of this.machines) machine.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #isSettled(): Promise<boolean> {
    if (this.holderNames().length !== 1 || !this.machines.every(({ isOn }) => isOn)) return false;
    for (const machine of this.machines) {
      const { out } = await machine.run(`curl -sk -m 2 https://${machine.node.ipv4}:6443/readyz`);
      if (out !== 'ok') return false;
    }
    const nodes = await this.#nodes();
    return nodes.length === this.machines.length && nodes.every((line) => line.includes(' Ready '));
  }

  /** Nodes whose kubelet reports the virtual IP as its own: none, or other nodes would connect to the wrong one. */
  async mistakenNodes(): Promise<readonly string[]> {
    return (await this.#nodes()).filter((line) => line.includes(` ${this.vip} `));
  }

  /** How often the product's containers were started again, over all nodes. */
  async restarts(): Promise<number> {
    const machine = await this.#anyAdmin();
    const listed = await machine.sh('kubectl --request-timeout 5s -n kube-system get pods -o json');
    const { items } = JSON.parse(listed) as {
      readonly items: readonly {
        readonly status: {
          readonly containerStatuses?: readonly { readonly image: string; readonly restartCount: number }[];
        };
      }[];
    };
    const statuses = items.flatMap(({ status }) => status.containerStatuses ?? []);
    return statuses
      .filter(({ image }) => image === this.image)
      .reduce((sum, { restartCount }) => sum + restartCount, 0);
  }

  async #nodes(): Promise<readonly string[]> {
    const [holder = ''] = this.holderNames();
    const asked = this.machines.find(({ name }) => name === holder) ?? this.machines[0];
    const answer = await asked?.run('kubectl --request-timeout 3s get nodes --no-headers -o wide');
    return answer?.code === 0 ? answer.out.split('\n').filter(Boolean) : [];
  }

  async #anyAdmin(): Promise<Machine> {
    for (const machine of this.machines.filter(({ isOn }) => isOn)) {
      if ((await machine.run('test -r /etc/kubernetes/admin.conf')).code === 0) return machine;
    }
    throw new Error('no machine has an admin.conf');
  }

  #manifest(isFirst: boolean): string {
    const { product, bootstrap, lease } = this.#options;
    return product.manifest({ bootstrap, lease, isFirst, vip: this.vip });
  }

  async #importImage(machine: Machine): Promise<void> {
    await machine.sh(`ctr -n k8s.io images import --snapshotter overlayfs ${PRODUCT_ARCHIVE}`);
  }

  async #kubeadm(machine: Machine, words: readonly string[]): Promise<string> {
    const common = '--patches /etc/lab-patches --ignore-preflight-errors=SystemVerification';
    const { code, text } = await machine.run(`kubeadm ${words.join(' ')} ${common}`);
    const name = `kubeadm-${words[0]?.split(' ')[0]}-${machine.name}.log`;
    writeFileSync(join(this.folder, name), text);
    if (code !== 0) {
      throw new Error(`kubeadm ${words.join(' ')} on ${machine.name}: exit code ${code}\n${text.slice(-3000)}`);
    }
    return text;
  }
}

export function seconds(ms: number): number {
  return Math.round(ms / 10) / 100;
}

/** A disk with the images of the control plane imported, made once. */
function provideTemplate(parts: Parts, say: (line: string) => void): string {
  const images = parts.images.map((path) => [path, statSync(path).mtimeMs]);
  const key = createHash('sha256').update(JSON.stringify(images)).digest('hex').slice(0, 12);
  const path = join(cacheFolder(), `template-${key}.img`);
  if (existsSync(path)) return path;
  say('kubeadm: importing the images into a disk');
  const fresh = join(cacheFolder(), `.template-${process.pid}.img`);
  const argv = ['--mount', '--propagation', 'private', 'bash', NODE_SCRIPT, 'template', fresh, parts.folder];
  const { status, stderr } = spawnSync('unshare', [...argv, ...parts.images], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`making the disk failed: ${stderr}`);
  for (const old of readdirSync(cacheFolder()).filter((name) => name.startsWith('template-'))) {
    rmSync(join(cacheFolder(), old));
  }
  renameSync(fresh, path);
  rmSync(`${fresh}.log`, { force: true });
  return path;
}

/** What runs left behind that were killed: their machines are gone with them, or end when the lab removes their namespaces. */
function removeRemains(): void {
  mkdirSync(cacheFolder(), { recursive: true });
  for (const name of readdirSync(cacheFolder())) {
    const pid = /^run-(\d+)$/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    for (const machine of readdirSync(join(cacheFolder(), name))) sweep(`${PREFIX}-${pid}-${machine}`);
    rmSync(join(cacheFolder(), name), { recursive: true, force: true });
  }
}
