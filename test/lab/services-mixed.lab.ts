/**
 * Nodes that hold the control plane's address beside nodes, or processes, that only answer for Services: in one election the
 * latter never lead while one of the former could, and two processes on one node leave each other's addresses alone.
 */

import { afterEach, describe, expect, it } from 'vitest';

import { SECOND } from '../../src/config/manifest/environment.ts';
import type { LabNode } from './lab.ts';
import { waitFor } from './process.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 6;
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock';
const FOR_SERVICES = { cp_enable: 'false', address: '' };

let services: ServicesCluster | undefined;

afterEach(async () => {
  await services?.close();
  services = undefined;
});

async function open(nodes: number): Promise<ServicesCluster> {
  services = await ServicesCluster.create({ prefix: 'hf-mix', nodes, env: { svc_election: 'true' } });
  await services.createNodes();
  for (const { name } of services.lab.nodes) await services.ready(name);
  return services;
}

async function holder(cluster: ServicesCluster): Promise<string> {
  const { body } = await cluster.cluster.apiClient().request('GET', LEASE);
  return (body as { readonly spec?: { readonly holderIdentity?: string } }).spec?.holderIdentity ?? '';
}

async function startServant(cluster: ServicesCluster, node: LabNode): Promise<void> {
  cluster.configure({ ...FOR_SERVICES, svc_leasename: 'plndr-cp-lock' });
  await cluster.start(node);
  cluster.configure({ cp_enable: 'true', address: cluster.cluster.vips.join(',') });
}

describe('one election of masters and workers', () => {
  it('is led by a worker only as long as there is no master, and never again after that', async () => {
    const cluster = await open(3);
    const [first, second, worker] = cluster.lab.nodes;
    if (first === undefined || second === undefined || worker === undefined) throw new Error('three nodes');
    await startServant(cluster, worker);
    await waitFor('the worker leads', async () => (await holder(cluster)) === worker.name, { deadlineMs: 20_000 });
    await cluster.start(first);
    await cluster.start(second);
    const held = await cluster.cluster.settled({ except: [worker.name], deadlineMs: 30_000 });
    expect([first.name, second.name]).toContain(held.name);
    await cluster.createServices(COUNT);
    const owners = await cluster.ownedOnce(await cluster.served(COUNT));
    expect(new Set(owners.values()), 'the worker has its share').toContain(worker.name);
    for (const each of [first, second]) await cluster.cluster.manager(each).stop();
    await waitFor('the masters are gone', async () => (await holder(cluster)) !== held.name, { deadlineMs: 20_000 });
    await cluster.ownedOnce([...owners.keys()], [first.name, second.name]);
    expect([first.name, second.name, ''], 'the worker leaves the election to masters').toContain(await holder(cluster));
    expect(cluster.cluster.manager(worker).lines.filter(({ text }) => text.includes('"lease acquired"'))).toHaveLength(
      1,
    );
    await cluster.start(first);
    expect((await cluster.cluster.settled({ deadlineMs: 30_000 })).name).toBe(first.name);
  }, 120_000);
});

describe('two processes on one node', () => {
  it('one for the control plane and one for Services, leave each other in peace', async () => {
    const cluster = await open(1);
    const [node] = cluster.lab.nodes;
    if (node === undefined) throw new Error('one node');
    cluster.configure({ svc_enable: 'false' });
    await cluster.start(node);
    const master = cluster.cluster.manager(node);
    await cluster.cluster.settled();
    cluster.configure({ ...FOR_SERVICES, svc_enable: 'true', svc_election: 'false', ...SECOND });
    await cluster.start(node);
    await cluster.createServices(COUNT);
    const addresses = await cluster.served(COUNT);
    await cluster.ownedOnce(addresses);
    await cluster.quiet(3_000);
    const lines = [master, cluster.cluster.manager(node)].flatMap(({ lines: all }) => all.map(({ text }) => text));
    expect(lines.filter((text) => /PORT_IN_USE|LISTEN_FAILED|was deleted|restored/.test(text))).toEqual([]);
    expect(cluster.owners(addresses).size).toBe(COUNT);
    expect((await cluster.cluster.settled()).name).toBe(node.name);
    const [vip = ''] = cluster.cluster.vips;
    expect(cluster.cluster.holders.changes.filter(({ address }) => address === vip)).toHaveLength(1);
    await master.stop();
    await cluster.quiet(1_000);
    expect(cluster.owners(addresses).size, 'the other stopped, and took only its own').toBe(COUNT);
  }, 90_000);
});
