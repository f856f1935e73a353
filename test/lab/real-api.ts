/**
 * A real etcd and kube-apiserver, one or three of each, stacked as kubeadm does it: every member has both, all API
 * servers share one CA whose serving certificates name `kubernetes`, the node and the VIPs but not 127.0.0.1, and
 * admin.conf points at the VIP. Members run in the namespaces of a lab's nodes, or on loopback ports of this machine.
 *
 * Different from kubeadm: etcd speaks plain HTTP between the members (nobody else is on that network), and there is
 * neither scheduler, controller manager nor kubelet.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { provideAsset } from '../../scripts/assets.ts';
import { ApiClient, type ApiAccess } from './api-client.ts';
import { createAuthority, createServiceAccountKeys, issue, type Certificate } from './certificates.ts';
import { kubeconfigText } from './kubeconfig.ts';
import { argvIn } from './namespace.ts';
import { LabProcess, waitFor } from './process.ts';

export interface RealApiMember {
  /** Node name; also the name of the etcd member. */
  readonly name: string;
  /** Network namespace; undefined: this one. */
  readonly namespace?: string | undefined;
  /** Address the member is reached at by the others. */
  readonly address: string;
  /** Further addresses of the node, for its certificate (the other family). */
  readonly otherAddresses?: readonly string[];
}

export interface RealApiOptions {
  readonly members: readonly RealApiMember[];
  /** Virtual IPs: in every serving certificate, the first one in admin.conf. */
  readonly vips?: readonly string[];
  /** Further names and addresses in the serving certificates. */
  readonly names?: readonly string[];
  /** The API server's port; undefined: 6443 in a namespace, a free one on this machine. */
  readonly port?: number;
}

interface Ports {
  readonly api: number;
  readonly client: number;
  readonly peer: number;
}

interface Member extends RealApiMember {
  readonly folder: string;
  readonly ports: Ports;
  etcd: LabProcess | undefined;
  apiServer: LabProcess | undefined;
}

/** kube-apiserver needs some 3 s to answer /readyz here on an idle machine; much longer while something else builds. */
const READY_DEADLINE_MS = 120_000;

export class RealApi {
  readonly authority = createAuthority('kubernetes');
  readonly folder: string;
  readonly adminAccess: Omit<ApiAccess, 'server'>;
  readonly #members: Member[];
  readonly #options: RealApiOptions;
  readonly #binaries: { readonly etcd: string; readonly apiServer: string };

  /** The CA's certificate, as a client of the cluster has it. */
  get caFile(): string {
    return join(this.#members[0]?.folder ?? '', 'ca.crt');
  }

  /** Writes certificates and kubeconfigs; nothing runs yet. */
  static async create(options: RealApiOptions): Promise<RealApi> {
    const binaries = { etcd: await provideAsset('etcd'), apiServer: await provideAsset('kube-apiserver') };
    const ports: Ports[] = [];
    for (const member of options.members) ports.push(await choosePorts(member, options.port));
    return new RealApi(options, ports, binaries);
  }

  private constructor(
    options: RealApiOptions,
    ports: readonly Ports[],
    binaries: { readonly etcd: string; readonly apiServer: string },
  ) {
    this.#options = options;
    this.#binaries = binaries;
    this.folder = mkdtempSync(join(tmpdir(), 'holdfast-api-'));
    const serviceAccounts = createServiceAccountKeys();
    this.#members = options.members.map((member, index) => {
      const folder = join(this.folder, member.name);
      mkdirSync(folder);
      const own = ports[index];
      if (own === undefined) throw new Error('a member without ports');
      this.#writeFiles(member, folder, serviceAccounts);
      return { ...member, folder, ports: own, etcd: undefined, apiServer: undefined };
    });
    this.adminAccess = { authority: this.authority, client: this.#superUser() };
  }

  /** Starts every member and waits until all API servers are ready. kubeadm's rights for admin.conf are bound then. */
  async start(): Promise<void> {
    for (const member of this.#members) this.startEtcd(member.name);
    for (const member of this.#members) this.startApiServer(member.name);
    await Promise.all(this.#members.map((member) => this.waitReady(member.name)));
    await this.#bindAdministrators();
  }

  startEtcd(name: string): void {
    const member = this.#member(name);
    const url = (port: number, of: Member = member): string => `http://${bracketed(of.address)}:${port}`;
    const cluster = this.#members.map((other) => `${other.name}=${url(other.ports.peer, other)}`).join(',');
    const local = member.namespace === undefined ? '' : `,http://127.0.0.1:${member.ports.client}`;
    member.etcd = this.#spawn(member, `etcd@${name}`, [
      this.#binaries.etcd,
      `--name=${name}`,
      `--data-dir=${join(member.folder, 'etcd')}`,
      `--listen-client-urls=${url(member.ports.client)}${local}`,
      `--advertise-client-urls=${url(member.ports.client)}`,
      `--listen-peer-urls=${url(member.ports.peer)}`,
      `--initial-advertise-peer-urls=${url(member.ports.peer)}`,
      `--initial-cluster=${cluster}`,
      '--initial-cluster-state=new',
      '--log-level=warn',
      // The lab's disks are shared and its data is worth nothing.
      '--unsafe-no-fsync',
    ]);
  }

  startApiServer(name: string): void {
    const member = this.#member(name);
    const file = (base: string): string => join(member.folder, base);
    const isIpv6 = member.address.includes(':');
    const serviceRange = isIpv6 ? 'fd96::/112' : '10.96.0.0/16';
    member.apiServer = this.#spawn(member, `kube-apiserver@${name}`, [
      this.#binaries.apiServer,
      `--etcd-servers=http://${bracketed(member.address)}:${member.ports.client}`,
      // A node of the lab listens on everything it has, the VIP included; this machine only on its loopback.
      `--bind-address=${member.namespace === undefined ? member.address : '::'}`,
      `--secure-port=${member.ports.api}`,
      `--advertise-address=${member.address}`,
      `--tls-cert-file=${file('apiserver.crt')}`,
      `--tls-private-key-file=${file('apiserver.key')}`,
      `--client-ca-file=${file('ca.crt')}`,
      `--service-account-key-file=${file('sa.pub')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-cluster-ip-range=${serviceRange}`,
      '--authorization-mode=Node,RBAC',
      '--disable-admission-plugins=ServiceAccount',
      '--endpoint-reconciler-type=none',
      '--profiling=false',
      '--v=1',
    ]);
  }

  /** Resolves when the member's /readyz answers 200. */
  async waitReady(name: string, deadlineMs = READY_DEADLINE_MS): Promise<void> {
    const client = this.client(name);
    await waitFor(
      `API server of ${name}`,
      async () => {
        const { apiServer, etcd } = this.#member(name);
        for (const program of [apiServer, etcd]) {
          if (program?.end !== undefined) throw new Error(`${program.name} ended:\n${program.tail()}`);
        }
        try {
          return (await client.request('GET', '/readyz', { deadlineMs: 2000 })).status === 200;
        } catch {
          return false;
        }
      },
      { deadlineMs, everyMs: 50 },
    );
  }

  /** The member's processes, to be frozen, thawed or killed; undefined while it doesn't run. */
  processesOf(name: string): { readonly etcd: LabProcess | undefined; readonly apiServer: LabProcess | undefined } {
    const { etcd, apiServer } = this.#member(name);
    return { etcd, apiServer };
  }

  /** Resolves when the member's processes have ended. */
  async stopped(name: string): Promise<void> {
    const { etcd, apiServer } = this.#member(name);
    await Promise.all([etcd?.ended, apiServer?.ended]);
  }

  url(name: string): string {
    const member = this.#member(name);
    return `https://${bracketed(member.address)}:${member.ports.api}`;
  }

  port(name: string): number {
    return this.#member(name).ports.api;
  }

  /** An administrator's client of this member's API server, connecting from the member's own namespace. */
  client(name: string): ApiClient {
    const { namespace } = this.#member(name);
    return new ApiClient({ ...this.adminAccess, server: this.url(name), namespace });
  }

  /**
   * A kubeconfig file for `user`, in the folder of the member. Without `server` it names the VIP, as kubeadm's
   * admin.conf, or the member itself where there is no VIP.
   */
  writeKubeconfig(
    name: string,
    file: string,
    identity: { readonly user: string; readonly groups?: readonly string[]; readonly server?: string },
  ): string {
    const member = this.#member(name);
    const [vip] = this.#options.vips ?? [];
    const endpoint = vip === undefined ? this.url(name) : `https://${bracketed(vip)}:${member.ports.api}`;
    const { user, groups = [] } = identity;
    const path = join(member.folder, file);
    writeFileSync(
      path,
      kubeconfigText({
        server: identity.server ?? endpoint,
        user,
        authority: this.authority,
        client: issue(this.authority, { name: user, groups, usage: 'client' }),
      }),
      { mode: 0o600 },
    );
    return path;
  }

  /** admin.conf of the member, as kubeadm writes it. */
  adminConf(name: string): string {
    return this.writeKubeconfig(name, 'admin.conf', { user: 'kubernetes-admin', groups: ['kubeadm:cluster-admins'] });
  }

  /** super-admin.conf, as kubeadm writes it on the first node. */
  superAdminConf(name: string): string {
    return this.writeKubeconfig(name, 'super-admin.conf', {
      user: 'kubernetes-super-admin',
      groups: ['system:masters'],
    });
  }

  /** Kills everything and removes all files. */
  async close(): Promise<void> {
    const programs = this.#members
      .flatMap((member) => [member.apiServer, member.etcd])
      .filter((program) => program !== undefined);
    for (const program of programs) program.kill('SIGKILL');
    await Promise.all(programs.map((program) => program.ended));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(member: Member, name: string, argv: readonly string[]): LabProcess {
    const program = new LabProcess(argvIn(member.namespace, argv), {
      name,
      cwd: member.folder,
      env: { GOGC: '60', GOMAXPROCS: '2' },
    });
    const kill = (): void => program.kill('SIGKILL');
    process.on('exit', kill);
    void program.ended.then(() => process.off('exit', kill));
    return program;
  }

  #writeFiles(
    member: RealApiMember,
    folder: string,
    serviceAccounts: ReturnType<typeof createServiceAccountKeys>,
  ): void {
    const serving = issue(this.authority, {
      name: 'kube-apiserver',
      usage: 'server',
      names: [
        member.name,
        'kubernetes',
        'kubernetes.default',
        'kubernetes.default.svc',
        'kubernetes.default.svc.cluster.local',
        member.address,
        ...(member.otherAddresses ?? []),
        ...(this.#options.vips ?? []),
        ...(this.#options.names ?? []),
      ],
    });
    const files = {
      'ca.crt': this.authority.certificatePem,
      'apiserver.crt': serving.certificatePem,
      'apiserver.key': serving.keyPem,
      'sa.key': serviceAccounts.privatePem,
      'sa.pub': serviceAccounts.publicPem,
    };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text, { mode: 0o600 });
  }

  #superUser(): Certificate {
    return issue(this.authority, { name: 'kubernetes-super-admin', groups: ['system:masters'], usage: 'client' });
  }

  /** What kubeadm does once the first API server is up: until then admin.conf may do nothing. */
  async #bindAdministrators(): Promise<void> {
    const [first] = this.#members;
    if (first === undefined) throw new Error('a real API without members');
    const answer = await this.client(first.name).request(
      'POST',
      '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      {
        body: {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name: 'kubeadm:cluster-admins' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'kubeadm:cluster-admins' }],
        },
      },
    );
    if (answer.status !== 201 && answer.status !== 409) {
      throw new Error(`binding kubeadm:cluster-admins: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  }

  #member(name: string): Member {
    const found = this.#members.find((member) => member.name === name);
    if (found === undefined) throw new Error(`the API has no member ${name}`);
    return found;
  }
}

/** The versions that a conformance run prints. */
export async function realApiVersions(): Promise<string> {
  const [etcd, apiServer] = [await provideAsset('etcd'), await provideAsset('kube-apiserver')];
  const first = (path: string): string => execFileSync(path, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
  return `${first(apiServer).trim()}, ${first(etcd).trim()}`;
}

async function choosePorts(member: RealApiMember, port: number | undefined): Promise<Ports> {
  if (member.namespace !== undefined) return { api: port ?? 6443, client: 2379, peer: 2380 };
  const [api, client, peer] = await Promise.all([freePort(member), freePort(member), freePort(member)]);
  return { api: port ?? api, client, peer };
}

function freePort(member: RealApiMember): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, member.address, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
