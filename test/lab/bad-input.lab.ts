/**
 * What a node's operator gets wrong: one clear line with a code and a remedy, no stack trace, no address left behind. What
 * can mend itself (a kubeconfig that isn't there yet, an interface to come, an API that refuses) is waited for; what
 * can't ends the process.
 */

import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { Cluster, holdfastProgram } from './cluster.ts';
import type { LabNode } from './lab.ts';
import type { LabProcess, OutputLine } from './process.ts';

/** Time for a process to start, on a busy machine. */
const DEADLINE_MS = 15_000;

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
});
afterAll(() => cluster.close());

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

function expectNobodyHolds(): void {
  for (const vip of cluster.vips) expect(cluster.holders.now(vip)).toEqual([]);
}

test('an interface that is not there: names those that are, waits, and goes on when it comes', async () => {
  const program = start({ vip_interface: 'eth9' });
  await program.waitForLine(/INTERFACE_MISSING/, DEADLINE_MS);
  const [finding, ...more] = findings(program, 'INTERFACE_MISSING');
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ level: 'error', msg: 'interface eth9 does not exist' });
  expect(finding?.['remedy']).toMatch(/Set vip_interface to one of: .*eth0/);
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
  const program = start({ address: '10.77.0.999', vip_leaseduration: 'soon', port: '70000' });
  expect(await program.ended).toMatchObject({ code: 2 });
  const text = program.tail();
  for (const name of ['address', 'vip_leaseduration', 'port']) {
    expect(text).toMatch(new RegExp(`^CONFIG_\\w+: ${name}`, 'm'));
  }
});

test('a kubeconfig that is not there yet is waited for', async () => {
  const path = join(tmpdir(), `holdfast-later-${process.pid}.conf`);
  const program = start({ k8s_config_file: path });
  try {
    await program.waitForLine(/KUBECONFIG_MISSING/, DEADLINE_MS);
    const [finding, ...more] = findings(program, 'KUBECONFIG_MISSING');
    expect(more).toEqual([]);
    expect(String(finding?.['remedy'])).toContain('/etc/kubernetes/admin.conf');
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
  const [finding, ...more] = findings(program, 'KUBECONFIG_INVALID');
  expect(more).toEqual([]);
  expect(String(finding?.['remedy'])).toContain('/etc/hostname');
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
  const found = findings(program, 'CONFIG_NAME_MISSPELLED');
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject({ level: 'warn', remedy: 'Rename vip_interfac to vip_interface.' });
});

test('an API that answers 403: names what is forbidden, and goes on as soon as it is allowed', async () => {
  await cluster.setFaults([{ path: '/leases', action: { kind: 'status', code: 403 } }]);
  const program = start({});
  await program.waitForLine(/API_FORBIDDEN/, DEADLINE_MS);
  const [finding] = findings(program, 'API_FORBIDDEN');
  expect(String(finding?.['remedy'])).toMatch(/holdfast manifest rbac/);
  expect(String(finding?.['remedy'])).not.toContain('?');
  expectNobodyHolds();
  await cluster.setFaults([]);
  await program.waitForLine(/virtual ip held/, DEADLINE_MS);
});

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
