/**
 * What makes a node one that may answer, and what no longer: labels, conditions, kube-proxy, carrier of the interface of
 * Services, endpoints. With the real program on three nodes whose Services have a network of their own (eth1), apart from
 * heartbeats and the API (eth0); what a client on that network gets is counted.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import type { LabNode } from './lab.ts';
import type { LabProcess } from './process.ts';
import { moveEndpoints, patchNode } from './service-objects.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 6;
const EXCLUDE = 'node.kubernetes.io/exclude-from-external-load-balancers';
/** An address that moves by plan is dark for the questions asked of the wire (three, 100 ms apart) and no longer. */
const PLANNED_MS = 1_000;
/** A kube-proxy that doesn't listen any more counts after 10 s. */
const PROXY_GONE_MS = 12_000;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({
    prefix: 'hf-c',
    env: { svc_election: 'true', vip_servicesinterface: 'eth1' },
    pool: Array.from({ length: 12 }, (_, index) => `10.77.7.${120 + index}`),
  });
  services.lab.addNetwork('eth1', { ipv4: '10.77.7', ipv6: 'fd77:7::' });
  await services.createNodes();
  await services.startAll();
  await services.createServices(COUNT);
  await services.ownedOnce(await services.served(COUNT));
  await services.answered(await services.served(COUNT));
}, 120_000);

afterAll(() => services?.close());

/** What the node with most of them answers for, and what becomes of that when something is done. */
async function lose(act: (node: LabNode) => Promise<void> | void) {
  const addresses = await services.served(COUNT);
  const before = await services.ownedOnce(addresses);
  const node = services.nodeWithMost(addresses);
  const own = addresses.filter((address) => before.get(address) === node.name);
  expect(own.length).toBeGreaterThan(0);
  await services.answered(own);
  const from = nowMs();
  await act(node);
  const after = await services.ownedOnce(addresses, [node.name]);
  for (const [address, owner] of before) if (owner !== node.name) expect(after.get(address)).toBe(owner);
  const outages = await services.longestOutages(own, from);
  return { node, after, longestMs: Math.max(...outages.values()) };
}

describe('a node that may no longer answer', () => {
  it('excluded by label: its addresses move, and stay away when the label goes', async () => {
    const { node, after, longestMs } = await lose((each) => patch(each, { metadata: { labels: { [EXCLUDE]: '' } } }));
    expect(longestMs).toBeLessThan(PLANNED_MS);
    await patch(node, { metadata: { labels: { [EXCLUDE]: null } } });
    await services.quiet(1_500);
    expect(services.owners(await services.served(COUNT))).toEqual(after);
  }, 60_000);

  it('with the condition NetworkUnavailable', async () => {
    const condition = { type: 'NetworkUnavailable', status: 'True', reason: 'x', message: 'x' };
    const { node, longestMs } = await lose((each) => patch(each, { status: { conditions: [condition] } }));
    expect(longestMs).toBeLessThan(PLANNED_MS);
    await patch(node, { status: { conditions: [] } });
  }, 60_000);

  it('cordoned, though its heartbeats go on', async () => {
    const { node, longestMs } = await lose((each) => patch(each, { spec: { unschedulable: true } }));
    expect(longestMs).toBeLessThan(PLANNED_MS);
    await patch(node, { spec: { unschedulable: false } });
    await services.quiet(1_500);
  }, 60_000);

  it('without carrier on the interface of Services, while heartbeats and API go on', async () => {
    const { node, longestMs } = await lose((each) => services.lab.setCarrier(each, 'eth1', false));
    expect(longestMs).toBeLessThan(2_000);
    services.lab.setCarrier(node, 'eth1', true);
    await services.quiet(3_000);
  }, 60_000);
});

describe('kube-proxy', () => {
  it('that answers badly costs the node its addresses; one that never was, nothing', async () => {
    const addresses = await services.served(COUNT);
    const before = services.owners(addresses);
    const proxies = new Map<string, LabProcess>();
    // So far there was none, and that mattered to nobody.
    for (const node of services.lab.nodes) proxies.set(node.name, await startProxy(node, 200));
    await services.quiet(3_000);
    expect(services.owners(addresses)).toEqual(before);
    const { node, longestMs } = await lose(async (each) => {
      await proxies.get(each.name)?.stop();
      proxies.set(each.name, await startProxy(each, 503));
    });
    expect(longestMs).toBeLessThan(PLANNED_MS);
    await proxies.get(node.name)?.stop();
    proxies.set(node.name, await startProxy(node, 200));
    await services.quiet(3_000);
    // Dead, and its port closed.
    await lose(async (each) => {
      await proxies.get(each.name)?.stop();
    });
    for (const proxy of proxies.values()) await proxy.stop();
    // Taken away everywhere: something else does its work, and no address goes dark for that.
    await services.quiet(PROXY_GONE_MS);
    await services.answered(addresses);
    await services.ownedOnce(addresses);
  }, 90_000);
});

describe('endpoints', () => {
  it('with local traffic only the address follows the Pod', async () => {
    const [first, second, third] = services.lab.nodes.map(({ name }) => name);
    const wanted = (endpoints: readonly (string | undefined)[]) => ({
      name: 'web-local',
      endpoints: endpoints.filter((name) => name !== undefined),
    });
    await services.create({ ...wanted([first]), spec: { externalTrafficPolicy: 'Local' } });
    const addresses = await services.served(COUNT + 1);
    const address = (await services.services()).find(({ name }) => name === 'web-local')?.addresses[0] ?? '';
    expect((await services.ownedOnce(addresses)).get(address)).toBe(first);
    for (const next of [second, third, first]) {
      const from = nowMs();
      const client = services.cluster.apiClient();
      await moveEndpoints(client, wanted([next]));
      const others = services.lab.nodes.map(({ name }) => name).filter((name) => name !== next);
      expect((await services.ownedOnce([address], others)).get(address)).toBe(next);
      expect((await services.longestOutages([address], from)).get(address)).toBeLessThan(PLANNED_MS);
    }
    await moveEndpoints(services.cluster.apiClient(), wanted([]));
    await services.holders.until(() => services.holders.now(address).length === 0);
    await services.event('web-local', /NoEndpoints/);
  }, 60_000);

  it('without any nobody answers, unless the Service says that it needs none', async () => {
    await services.create({ name: 'web-none', endpoints: [] });
    await services.event('web-none', /NoEndpoints/);
    await services.patchService('web-none', {
      metadata: { annotations: { 'kube-vip.io/allow-reconcile-without-endpoints': 'true' } },
    });
    const address = (await services.services()).find(({ name }) => name === 'web-none')?.addresses[0] ?? '';
    await services.ownedOnce([address]);
  }, 60_000);
});

describe('all the while', () => {
  it('nobody took another node of the cluster for a stranger', () => {
    for (const node of services.lab.nodes) {
      expect(services.cluster.manager(node).lines.filter(({ text }) => text.includes('ADDRESS_CONFLICT'))).toEqual([]);
    }
  });
});

function patch(node: LabNode, body: object): Promise<void> {
  return patchNode(services.cluster.apiClient(), node.name, body);
}

/** Answers on kube-proxy's health port with this status. */
async function startProxy(node: LabNode, status: number): Promise<LabProcess> {
  const program = `require('node:http').createServer((q, a) => { a.statusCode = ${status}; a.end(); }).listen(10256, '127.0.0.1', () => console.log('ready'));`;
  const proxy = services.lab.spawn(node, [process.execPath, '-e', program], { name: `kube-proxy@${node.name}` });
  await proxy.waitForLine(/ready/);
  return proxy;
}
