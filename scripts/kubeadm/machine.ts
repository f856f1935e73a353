/**
 * One machine of the kubeadm lab: a node of the lab's network (test/lab/lab.ts) with containerd and a kubelet on a disk of
 * its own. What has to be done from inside the machine is done by node.sh.
 */

import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { execFileSync, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';

import type { Lab, LabNode } from '../../test/lab/lab.ts';
import { waitFor, type LabProcess } from '../../test/lab/process.ts';
import type { Parts } from './parts.ts';

export const NODE_SCRIPT = join(import.meta.dirname, 'node.sh');
/** Where the machine finds the image archive of the product. */
export const PRODUCT_ARCHIVE = '/var/tmp/product.tar';
const ROOT_FILES = join(import.meta.dirname, 'rootfs');
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface MachineOptions {
  readonly lab: Lab;
  readonly node: LabNode;
  readonly parts: Parts;
  /** A folder of its own, on a file system that loop devices can be made of. */
  readonly folder: string;
  /** The disk image that its own is copied from. */
  readonly template: string;
  /** Image archive of the product. */
  readonly archive: string;
}

export interface Answer {
  readonly code: number;
  readonly text: string;
  /** Standard output alone. */
  readonly out: string;
}

export class Machine {
  readonly node: LabNode;
  readonly #options: MachineOptions;
  /** Outermost process; it lives in the machine's cgroups and outside of its pid namespace. */
  #shell: LabProcess | undefined;
  /** The machine's process 1, as this machine counts. */
  #init = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.node = options.node;
    const { folder, template, archive } = options;
    mkdirSync(join(folder, 'mnt'), { recursive: true });
    execFileSync('cp', ['--sparse=always', template, join(folder, 'disk.img')]);
    cpSync(ROOT_FILES, join(folder, 'files'), { recursive: true });
    cpSync(archive, join(folder, 'files', PRODUCT_ARCHIVE));
    for (const [path, text] of Object.entries(this.#ownFiles())) {
      mkdirSync(dirname(join(folder, 'files', path)), { recursive: true });
      writeFileSync(join(folder, 'files', path), text);
    }
  }

  get name(): string {
    return this.node.name;
  }

  get isOn(): boolean {
    return this.#shell?.isRunning === true && this.#options.lab.state(this.node) !== 'off';
  }

  /** Pod network of this machine, first three octets. */
  get podNetwork(): string {
    return `10.244.${this.node.name.slice(1)}`;
  }

  /** Switches it on; containerd answers when this returns. */
  async boot(): Promise<void> {
    const { lab, node, folder, parts } = this.#options;
    if (lab.state(node) === 'off') lab.heal(node);
    this.#setUpRoutes();
    const argv = ['bash', NODE_SCRIPT, 'boot', node.namespace, node.namespace, folder, parts.folder];
    const log = join(folder, 'boot.log');
    this.#shell = lab.spawn('here', argv, {
      name: `boot of ${node.name}`,
      onLine: ({ text }) => appendFileSync(log, `${text}\n`),
    });
    const { pid } = this.#shell;
    await this.#shell.waitForLine(/^ready$/, 60_000);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    this.#init = Number(children[0]);
    await waitFor(`containerd of ${this.name}`, async () => (await this.run('ctr version')).code === 0);
  }

  /** Power loss: no frame more, and everything gone that isn't on the disk. */
  async powerOff(): Promise<void> {
    const { lab, node } = this.#options;
    lab.unplug(node);
    // The kernel takes every process of the pid namespace along with its first.
    if (this.#init > 0) process.kill(this.#init, 'SIGKILL');
    await this.#shell?.ended;
    await lab.powerOff(node);
    sweep(node.namespace);
  }

  /** What remains of it is removed; its processes end with the lab. */
  close(): void {
    if (this.#shell?.isRunning === true && this.#init > 0) process.kill(this.#init, 'SIGKILL');
    sweep(this.node.namespace);
    rmSync(this.#options.folder, { recursive: true, force: true });
  }

  /** The command line that runs a shell command on the machine. */
  argv(command: string): readonly string[] {
    const enter = ['nsenter', '-t', String(this.#init), '-m', '-u', '-i', '-n', '-p', '-C', '--'];
    const env = ['env', '-i', `PATH=${PATH}`, 'HOME=/root', 'LANG=C', 'KUBECONFIG=/etc/kubernetes/admin.conf'];
    return [...enter, ...env, 'bash', '-c', command];
  }

  /** Runs a shell command on the machine. */
  async run(command: string): Promise<Answer> {
    const program = this.#options.lab.spawn('here', this.argv(command), { name: `${command} on ${this.name}` });
    const { code } = await program.ended;
    const text = (lines: typeof program.lines): string => lines.map((line) => line.text).join('\n');
    return {
      code: code ?? 1,
      text: text(program.lines),
      out: text(program.lines.filter(({ stream }) => stream === 'stdout')),
    };
  }

  /** Runs a shell command that has to succeed; its standard output. */
  async sh(command: string): Promise<string> {
    const { code, text, out } = await this.run(command);
    if (code !== 0) throw new Error(`${this.name}: ${command}: exit code ${code}\n${text.slice(-3000)}`);
    return out;
  }

  /** Writes a file; the kubelet reads every name that has no dot in front, half-written ones too, hence the renaming. */
  put(path: string, text: string): void {
    const fresh = join(dirname(path), '.fresh');
    const command = `umask 077; mkdir -p ${dirname(path)} && cat >${fresh} && mv ${fresh} ${path}`;
    const [program = '', ...args] = this.argv(command);
    execFileSync(program, args, { input: text });
  }

  /** Sends a signal to the main process of every running container of an image; how many there were. */
  async signal(image: string, signal: 'KILL' | 'STOP' | 'CONT'): Promise<number> {
    const rows = async (what: string): Promise<readonly (readonly string[])[]> =>
      (await this.sh(`ctr -n k8s.io ${what} ls`)).split('\n').map((line) => line.trim().split(/\s+/));
    const containers = (await rows('containers')).filter((row) => row[1] === image).map(([id]) => id);
    const tasks = (await rows('tasks')).filter(([id, , status]) => containers.includes(id) && status !== 'STOPPED');
    const pids = tasks.map(([, pid]) => pid);
    if (pids.length > 0) await this.sh(`kill -${signal} ${pids.join(' ')}`);
    return pids.length;
  }

  /** Pods of the other machines are reached through their machines. */
  #setUpRoutes(): void {
    const { lab, node } = this.#options;
    execFileSync('ip', ['netns', 'exec', node.namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    for (const other of lab.nodes) {
      if (other === node || other.ipv4 === undefined) continue;
      execFileSync('ip', [
        '-n',
        node.namespace,
        'route',
        'replace',
        `10.244.${other.name.slice(1)}.0/24`,
        'via',
        other.ipv4,
      ]);
    }
  }

  #ownFiles(): Readonly<Record<string, string>> {
    const { lab, node, parts } = this.#options;
    const hosts = lab.nodes.map(({ ipv4, name }) => `${ipv4} ${name}\n`);
    return {
      'etc/hostname': `${node.name}\n`,
      'etc/machine-id': `${createHash('md5').update(node.name).digest('hex')}\n`,
      'etc/hosts': `127.0.0.1 localhost\n${hosts.join('')}`,
      // Nobody answers there, as on a node that boots before its network does.
      'etc/resolv.conf': `nameserver ${lab.switchIpv4}\n`,
      'etc/containerd/config.toml': containerdConfig(parts.pauseReference),
      'etc/cni/net.d/10-lab.conflist': cniConfig(this.podNetwork),
    };
  }
}

/** Removes cgroups that a machine left behind. */
export function sweep(name: string): void {
  spawnSync('bash', [NODE_SCRIPT, 'sweep', name]);
}

function containerdConfig(pauseReference: string): string {
  return `version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '${pauseReference}'
[plugins.'io.containerd.cri.v1.runtime']
  # Without CAP_SYS_RESOURCE a lower oom_score_adj is refused, and runc dies of it.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '/usr/local/bin/runc'
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/opt/cni/bin']
  conf_dir = '/etc/cni/net.d'
`;
}

function cniConfig(podNetwork: string): string {
  const bridge = {
    type: 'bridge',
    bridge: 'cni0',
    isGateway: true,
    ipam: { type: 'host-local', ranges: [[{ subnet: `${podNetwork}.0/24` }]], routes: [{ dst: '0.0.0.0/0' }] },
  };
  const plugins = [bridge, { type: 'portmap', capabilities: { portMappings: true } }];
  return `${JSON.stringify({ cniVersion: '1.0.0', name: 'lab', plugins }, undefined, 2)}\n`;
}
