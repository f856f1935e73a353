/**
 * What a node's operator gets wrong: one clear line with a code and a remedy, no stack trace, no address and no socket left
 * behind. What can mend itself (a kubeconfig that isn't there yet, an interface to come, an API that refuses) is waited
 * for; what can't ends the process.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { createAuthority } from './certificates.ts';
import { Cluster, holdfastProgram } from './cluster.ts';
import type { LabNode } from './lab.ts';
import { inNamespace } from './namespace.ts';
import type { LabProcess, OutputLine } from './process.ts';

/** Time for a process to start, on a busy machine. */
const DEADLINE_MS = 15_000;

const folder = mkdtempSync(join(tmpdir(), 'holdfast-bad-input-'));
let cluster: Cluster;
let node: LabNode;
let running: LabProcess | undefined;

beforeAll(async () => {
  cluster = await Cluster.create({ nodes: 1 });
  const [only] = cluster.lab.nodes;
  if (only === undefined) throw new Error('a cluster without nodes');
  node = only;
});
afterEach(async () => {
  await running?.stop();
  await cluster.setFaults([]);
  expect(
    running?.lines.filter((line) => /^\s+at .*[:(]\d+/.test(line.text)),
    'a stack trace',
  ).toEqual([]);
  for (const vip of cluster.vips) expect(cluster.holders.now(vip), 'an address left behind').toEqual([]);
  expect(socketsOf(node), 'a socket left behind').toEqual({ packet: 0, status: 0, listening: 0 });
});
afterAll(async () => {
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
});

function start(env: Readonly<Record<string, string>>, wrapper: readonly string[] = []): LabProcess {
  const argv = [...wrapper, ...holdfastProgram(), 'manager'];
  running = cluster.lab.spawn(node, argv, { name: 'holdfast', env: { ...cluster.managerEnv(node), ...env } });
  return running;
}

/** The lines with this code, each read as the JSON it is. */
function findings(program: LabProcess, code: string): readonly Readonly<Record<string, unknown>>[] {
  return program.lines.filter((line) => line.text.includes(`"${code}"`)).map(parse);
}

function parse(line: OutputLine): Readonly<Record<string, unknown>> {
  return JSON.parse(line.text) as Readonly<Record<string, unknown>>;
}

/** While it waits a process holds nothing, and listens to nobody but those who ask how it is. */
function expectNobodyHolds(): void {
  for (const vip of cluster.vips) expect(cluster.holders.now(vip)).toEqual([]);
  expect(socketsOf(node).packet).toBe(0);
}

/** The finding of this code, which must be all that the process complains of. */
function onlyFinding(program: LabProcess, code: string): Readonly<Record<string, unknown>> {
  const complaints = program.lines.map(parse).filter(({ level }) => level !== 'info');
  expect(complaints.map((line) => line['code'])).toEqual([code]);
  const [finding = {}] = complaints;
  expect(finding['remedy']).not.toMatch(/[{}]/);
  return finding;
}

interface Sockets {
  readonly packet: number;
  readonly status: number;
  readonly listening: number;
}

/** Sockets of the namespace: packet sockets (packet(7)), the status socket, and who listens on the metrics port. */
function socketsOf({ namespace }: LabNode): Sockets {
  return inNamespace(namespace, () => {
    const rows = (file: string): readonly string[] =>
      readFileSync(`/proc/thread-self/net/${file}`, 'utf8').trim().split('\n').slice(1);
    return {
      packet: rows('packet').length,
      status: rows('unix').filter((row) => row.endsWith('@holdfast')).length,
      // Local port 2112 in state LISTEN (linux/tcp_states.h).
      listening: rows('tcp6').filter((row) => /^\s*\d+: \w+:0840 \S+ 0A /.test(row)).length,
    };
  });
}

/** The good kubeconfig, spoilt. */
function kubeconfigWith(change: (cluster: Parts, user: Parts) => void): string {
  const config = JSON.parse(cluster.kubeconfig(node)) as {
    readonly clusters: readonly { readonly cluster: Parts }[];
    readonly users: readonly { readonly user: Parts }[];
  };
  change(config.clusters[0]?.cluster ?? {}, config.users[0]?.user ?? {});
  const path = join(folder, 'spoilt.conf');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

type Parts = Record<string, string>;

test('an interface that is not there: names those that are, waits, and goes on when it comes', async () => {
  const program = start({ vip_interface: 'eth9' });
  await program.waitForLine(/INTERFACE_MISSING/, DEADLINE_MS);
  const finding = onlyFinding(program, 'INTERFACE_MISSING');
  expect(finding).toMatchObject({ level: 'error', msg: 'interface eth9 does not exist' });
  expect(finding['remedy']).toMatch(/Set vip_interface to one of: .*eth0/);
  expectNobodyHolds();
  const link = (...args: readonly string[]): void => {
    execFileSync('ip', ['-n', node.namespace, 'link', ...args]);
  };
  link('add', 'eth9', 'type', 'veth', 'peer', 'name', 'eth9-peer');
  try {
    link('set', 'eth9-peer', 'up');
    link('set', 'eth9', 'up');
    await program.waitForLine(/virtual ip held/, DEADLINE_MS);
    await program.stop();
  } finally {
    link('del', 'eth9');
  }
});

test('an address that is none: exit code 2 before anything is opened', async () => {
  const program = start({ address: '10.77.0.999' });
  expect(await program.ended).toMatchObject({ code: 2 });
  const text = program.lines.map((line) => line.text).join('\n');
  expect(text).toMatch(/^CONFIG_ADDRESS_INVALID: .*10\.77\.0\.999/);
  expect(text).toContain('remedy:');
});

test('several mistakes are all named at once', async () => {
  const program = start({ address: '10.77.0.999', vip_leaseduration: 'soon', port: '70000', vip_interfac: 'eth1' });
  expect(await program.ended).toMatchObject({ code: 2 });
  const text = program.tail();
  for (const name of ['address', 'vip_leaseduration', 'port']) {
    expect(text).toMatch(new RegExp(`^CONFIG_\\w+: ${name}`, 'm'));
  }
  expect(text).toMatch(/^CONFIG_NAME_MISSPELLED: /m);
});

test('a kubeconfig that is not there yet is waited for', async () => {
  const path = join(folder, 'later.conf');
  const program = start({ k8s_config_file: path });
  try {
    await program.waitForLine(/KUBECONFIG_MISSING/, DEADLINE_MS);
    expect(onlyFinding(program, 'KUBECONFIG_MISSING')['remedy']).toContain('/etc/kubernetes/admin.conf');
    expectNobodyHolds();
    writeFileSync(path, cluster.kubeconfig(node));
    await program.waitForLine(/virtual ip held/, DEADLINE_MS);
  } finally {
    rmSync(path, { force: true });
  }
});

test('a kubeconfig that is none names the file', async () => {
  const program = start({ k8s_config_file: '/etc/hostname' });
  await program.waitForLine(/KUBECONFIG_INVALID/, DEADLINE_MS);
  expect(onlyFinding(program, 'KUBECONFIG_INVALID')['remedy']).toContain('/etc/hostname');
  expectNobodyHolds();
});

test.each(['NET_ADMIN', 'NET_RAW'])('without %s: names the capability and where to add it', async (capability) => {
  const bound = `--bounding-set=-${capability.toLowerCase()}`;
  const program = start({}, ['setpriv', bound, '--inh-caps=-all']);
  expect(await program.ended).toMatchObject({ code: 1 });
  const found = findings(program, 'CAPABILITY_MISSING');
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject({ level: 'fatal', msg: `the process lacks ${capability}` });
  expect(String(found[0]?.['remedy'])).toContain('securityContext.capabilities.add');
});

test('a misspelled variable is a warning with the right name, and the rest works', async () => {
  const program = start({ vip_interfac: 'eth1' });
  await program.waitForLine(/virtual ip held/, DEADLINE_MS);
  // What the other tests see none of.
  expect(socketsOf(node)).toEqual({ packet: 1, status: 1, listening: 1 });
  const found = findings(program, 'CONFIG_NAME_MISSPELLED');
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject({ level: 'warn', remedy: 'Rename vip_interfac to vip_interface.' });
});

test('an API that answers 403: names what is forbidden, and goes on as soon as it is allowed', async () => {
  await cluster.setFaults([{ path: '/leases', action: { kind: 'status', code: 403 } }]);
  const program = start({});
  await program.waitForLine(/API_FORBIDDEN/, DEADLINE_MS);
  const { remedy } = onlyFinding(program, 'API_FORBIDDEN');
  expect(remedy).toMatch(/holdfast manifest rbac.* may list leases in kube-system/);
  expectNobodyHolds();
  await cluster.setFaults([]);
  await program.waitForLine(/virtual ip held/, DEADLINE_MS);
});

test('a kubeconfig that may not be read says so', async () => {
  const path = kubeconfigWith(() => undefined);
  chmodSync(path, 0o000);
  const bound = '--bounding-set=-dac_override,-dac_read_search';
  const program = start({ k8s_config_file: path }, ['setpriv', bound, '--inh-caps=-all']);
  await program.waitForLine(/KUBECONFIG_INVALID/, DEADLINE_MS);
  expect(onlyFinding(program, 'KUBECONFIG_INVALID')['reason']).toContain('EACCES');
  expectNobodyHolds();
});

test('credentials that are not accepted: names the file', async () => {
  const path = kubeconfigWith((_, user) => {
    delete user['client-certificate-data'];
    delete user['client-key-data'];
    user['token'] = 'expired';
  });
  const program = start({ k8s_config_file: path });
  await program.waitForLine(/API_UNAUTHORIZED/, DEADLINE_MS);
  expect(onlyFinding(program, 'API_UNAUTHORIZED')['remedy']).toContain(path);
  expectNobodyHolds();
});

test('an API whose certificate another authority signed: names the endpoint', async () => {
  const other = createAuthority('another').certificatePem;
  const path = kubeconfigWith((parts) => {
    parts['certificate-authority-data'] = Buffer.from(other).toString('base64');
  });
  const program = start({ k8s_config_file: path });
  await program.waitForLine(/API_UNTRUSTED/, DEADLINE_MS);
  expect(onlyFinding(program, 'API_UNTRUSTED')['remedy']).toContain(cluster.managerEnv(node)['kubernetes_addr']);
  expectNobodyHolds();
});

test('an API that is not there: said once, and once when it comes', async () => {
  await cluster.stopApi();
  const program = start({});
  try {
    await program.waitForLine(/API_UNREACHABLE/, DEADLINE_MS);
    expect(onlyFinding(program, 'API_UNREACHABLE')['reason']).toContain('ECONNREFUSED');
    const status = await statusOf();
    expect(status['problems']).toMatchObject([{ code: 'API_UNREACHABLE', remedy: expect.stringContaining('crictl') }]);
    expectNobodyHolds();
  } finally {
    await cluster.startApi();
  }
  await program.waitForLine(/virtual ip held/, DEADLINE_MS);
  expect(findings(program, 'API_UNREACHABLE').map(({ msg }) => msg)).toEqual([
    'no api server answers',
    'the api works again',
  ]);
  expect((await statusOf())['problems']).toEqual([]);
});

async function statusOf(): Promise<Readonly<Record<string, unknown>>> {
  const status = cluster.lab.spawn(node, [...holdfastProgram(), 'status', '--json'], { name: 'status' });
  await status.ended;
  const text = status.lines.map((line) => line.text).join('\n');
  return JSON.parse(text) as Readonly<Record<string, unknown>>;
}

test('an address that this node has already, permanently: refused, and left alone', async () => {
  const own = node.ipv4 ?? '';
  const program = start({ address: own });
  await program.waitForLine(/ADDRESS_IN_USE_HERE/, DEADLINE_MS);
  const [finding] = findings(program, 'ADDRESS_IN_USE_HERE');
  expect(String(finding?.['remedy'])).toContain(own);
  await program.stop();
  expect(
    cluster.lab.addresses(node).some(({ address, validSeconds }) => address === own && validSeconds === Infinity),
  ).toBe(true);
});
