/**
 * `holdfast doctor` on a node of the lab: a stranger that answers for addresses of the pool is named by its MAC in both
 * families, sysctls are those of the node's own network, and without leave nothing is asked on the wire.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { Finding } from '../../src/doctor/finding.ts';
import type { ApiClient } from './api-client.ts';
import { nowMs } from './clock.ts';
import { Cluster, holdfastProgram } from './cluster.ts';
import type { LabNode } from './lab.ts';
import { inNamespace } from './namespace.ts';

/** Of the pool 10.77.0.200-203, and of its IPv6 brother. */
const STRANGER_HOST = 202;

const FORWARDING = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'];

let cluster: Cluster;
let node: LabNode;
let api: ApiClient;

beforeAll(async () => {
  cluster = await Cluster.create({ nodes: 1, prefix: 'hf-doctor' });
  const [only] = cluster.lab.nodes;
  if (only === undefined) throw new Error('a cluster without nodes');
  node = only;
  api = cluster.apiClient();
  // As on every node of a cluster; a new network namespace forwards nothing.
  for (const name of FORWARDING) setSysctl(name, '1');
  const addresses = [node.ipv4, node.ipv6].map((address) => ({ type: 'InternalIP', address }));
  await put('POST', '/api/v1/nodes', { metadata: { name: node.name }, status: { addresses } });
  await put('PUT', `/api/v1/nodes/${node.name}/status`, { metadata: { name: node.name }, status: { addresses } });
});
afterAll(() => cluster.close());

function setSysctl(name: string, value: string): void {
  inNamespace(node.namespace, () => writeFileSync(`/proc/sys/${name}`, value));
}

async function put(method: string, path: string, body: unknown): Promise<void> {
  const { status, body: answer } = await api.request(method, path, { body });
  expect(status, JSON.stringify(answer)).toBeLessThan(300);
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', ['-n', ...args]);
}

/** What the command says, by code. */
async function doctor(
  ...flags: readonly string[]
): Promise<{ readonly code: number | null; readonly findings: readonly Finding[] }> {
  const argv = [...holdfastProgram(), 'doctor', '--json', ...flags];
  const env = {
    ...cluster.managerEnv(node),
    svc_enable: 'true',
    svc_pools: `${cluster.lab.ipv4(200)}-${cluster.lab.ipv4(203)},${cluster.lab.ipv6(200)}-${cluster.lab.ipv6(203)}`,
  };
  const program = cluster.lab.spawn(node, argv, { name: 'doctor', env });
  const { code } = await program.ended;
  const text = program.lines
    .filter(({ stream }) => stream === 'stdout')
    .map((line) => line.text)
    .join('\n');
  expect(text, program.tail()).toMatch(/^\{/);
  return { code, findings: (JSON.parse(text) as { readonly findings: readonly Finding[] }).findings };
}

function of(code: string, findings: readonly Finding[]): readonly string[] {
  return findings.filter((finding) => finding.code === code).map(({ level, evidence }) => `${level}: ${evidence}`);
}

test('nobody answers for the pool: exit code 0, and the addresses were asked for on the wire', async () => {
  const sinceMs = nowMs();
  const { code, findings } = await doctor();
  expect(findings.filter(({ level }) => level === 'error' || level === 'warning')).toEqual([]);
  expect(code).toBe(0);
  // Eight of the pool and the two virtual IPs, which nobody holds yet.
  expect(of('ADDRESS_QUARANTINED', findings)).toEqual([expect.stringMatching(/^ok: nobody answers for 10 addresses/)]);
  for (const address of [cluster.lab.ipv4(203), cluster.lab.ipv6(203), ...cluster.vips]) {
    const unspecified = address.includes(':') ? '::' : '0.0.0.0';
    const frames = cluster.capture.about(address, sinceMs).filter(({ from }) => from === node.name);
    // Three, asked without claiming: no sender address (RFC 5227 §2.1.1, RFC 4862 §5.4.2).
    expect(frames.filter(({ sender }) => sender === unspecified).length, address).toBe(3);
    // The virtual IPs are dialled as well, for their certificate.
    const isVip = cluster.vips.includes(address);
    expect(isVip || frames.length === 3, address).toBe(true);
  }
});

test('a stranger answers for an address of the pool: named by address, MAC and interface, in both families', async () => {
  const { client } = cluster.lab;
  ip(client.namespace, 'address', 'add', `${cluster.lab.ipv4(STRANGER_HOST)}/24`, 'dev', 'eth0');
  ip(client.namespace, 'address', 'add', `${cluster.lab.ipv6(STRANGER_HOST)}/64`, 'dev', 'eth0', 'nodad');
  const { code, findings } = await doctor();
  expect(of('ADDRESS_QUARANTINED', findings)).toEqual([
    expect.stringMatching(`^error: ${client.mac} answers for ${cluster.lab.ipv4(STRANGER_HOST)} on eth0`),
    expect.stringMatching(`^error: ${client.mac} answers for ${cluster.lab.ipv6(STRANGER_HOST)} on eth0`),
  ]);
  expect(code).toBe(1);
});

test('with --no-probe nothing is asked, and that is said', async () => {
  const sinceMs = nowMs();
  const { findings } = await doctor('--no-probe');
  expect(of('ADDRESS_QUARANTINED', findings)).toContain('unknown: --no-probe: nothing was sent');
  expect(of('ADDRESS_QUARANTINED', findings).join()).not.toContain('ok:');
  // The virtual IPs' neighbour entries of the run before may still be asked for by the kernel, with its own address.
  const frames = [cluster.lab.ipv4(203), cluster.lab.ipv6(203), ...cluster.vips].flatMap((address) =>
    cluster.capture
      .about(address, sinceMs)
      .filter(({ from, sender }) => from === node.name && (sender === '0.0.0.0' || sender === '::')),
  );
  expect(frames).toEqual([]);
});

test("kube-proxy in IPVS mode: the node's own sysctls decide", async () => {
  const config = {
    metadata: { name: 'kube-proxy', namespace: 'kube-system' },
    data: { 'config.conf': 'mode: ipvs\nipvs: {strictARP: true}\n' },
  };
  await put('POST', '/api/v1/namespaces/kube-system/configmaps', config);
  // Of any kind: what counts is its name.
  ip(node.namespace, 'link', 'add', 'kube-ipvs0', 'type', 'veth', 'peer', 'name', 'ipvs-end');
  const strict = async (): Promise<readonly string[]> =>
    of('STRICT_ARP_OFF', (await doctor('--no-probe', '--only', 'STRICT_ARP_OFF')).findings);
  expect(await strict()).toEqual([
    'warning: arp_ignore 0 and arp_announce 0 on eth0, and there is kube-ipvs0, though strictARP is set',
  ]);
  inNamespace(node.namespace, () => {
    writeFileSync('/proc/sys/net/ipv4/conf/all/arp_ignore', '1');
    writeFileSync('/proc/sys/net/ipv4/conf/eth0/arp_announce', '2');
  });
  expect(await strict()).toEqual(['ok: kube-proxy is in mode ipvs, with arp_ignore and arp_announce set on eth0']);
});

test('a running Holdfast: its address is no conflict, and its ports are its own', async () => {
  cluster.startManager(node);
  await cluster.settled();
  const { findings } = await doctor();
  expect(of('NOT_RUNNING', findings)[0]).toMatch(new RegExp(`^ok: Holdfast .* runs as ${node.name}, leader`));
  expect(of('ADDRESS_CONFLICT', findings)).toEqual([]);
  expect(of('PORT_IN_USE', findings)[0]).toMatch(/^ok: Holdfast runs/);
  await cluster.manager(node).stop();
});

test("what the node's own network can't do: no IPv6 on the interface, nothing forwarded", async () => {
  setSysctl('net/ipv4/ip_forward', '0');
  setSysctl('net/ipv6/conf/eth0/disable_ipv6', '1');
  const { code, findings } = await doctor('--no-probe');
  expect(code).toBe(1);
  expect(of('FORWARDING_OFF', findings)).toEqual(['warning: net.ipv4.ip_forward is 0']);
  expect(of('IPV6_DISABLED', findings)).toEqual([
    'error: net.ipv6.conf.eth0.disable_ipv6 is 1: eth0 can have no IPv6 address',
  ]);
});
