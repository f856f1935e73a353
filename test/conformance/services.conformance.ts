/**
 * LoadBalancer Services before real API servers (etcd and kube-apiserver on each of three nodes), with the real program:
 * addresses come into the status and out of it again as the real validation and the real status subresource will have it,
 * in both families, and pools of MetalLB are taken when their definitions are installed while it runs.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { definitionsOf } from '../lab/custom-resources.ts';
import { realApiVersions } from '../lab/real-api.ts';
import { ServicesCluster } from '../lab/services-cluster.ts';
import { waitFor } from '../lab/process.ts';

const COUNT = 8;

let services: ServicesCluster;

beforeAll(async () => {
  console.log(await realApiVersions());
  services = await ServicesCluster.create({ prefix: 'hf-x', api: 'real', env: { svc_election: 'true' } });
  await services.createNodes();
  await services.startAll();
}, 180_000);

afterAll(() => services?.close());

describe('before a real API server', () => {
  it('each Service gets an address, answered for by one node, with conditions and vipHost', async () => {
    await services.createServices(COUNT);
    const addresses = await services.served(COUNT);
    const owners = await services.ownedOnce(addresses);
    await services.answered(addresses);
    await services.told(
      (service) =>
        service.annotations['kube-vip.io/vipHost'] === owners.get(service.addresses[0] ?? '') &&
        service.annotations['holdfast.io/allocated-from-pool'] === 'svc_pools' &&
        service.conditions.get('holdfast.io/Allocated') === 'True' &&
        service.conditions.get('holdfast.io/Announced') === 'True',
    );
  }, 60_000);

  it('nothing is written while nothing happens', async () => {
    await services.quiet(1_000);
    const before = await services.versions();
    await services.quiet(3_000);
    expect(await services.versions()).toEqual(before);
  }, 30_000);

  it('one that is no load balancer any more keeps nothing of ours, and gets an address when it is one again', async () => {
    await services.patchService('web-0', { spec: { type: 'ClusterIP' } });
    await services.told(
      ({ name, addresses, conditions, annotations }) =>
        name !== 'web-0' ||
        (addresses.length === 0 &&
          conditions.size === 0 &&
          annotations['holdfast.io/allocated-from-pool'] === undefined),
    );
    await services.patchService('web-0', { spec: { type: 'LoadBalancer' } });
    await services.ownedOnce(await services.served(COUNT));
  }, 60_000);

  it('an asked-for address outside of every pool is served, one that is taken is refused in words', async () => {
    const [taken = ''] = await services.served(COUNT);
    await services.createServices(1, COUNT, { 'metallb.io/loadBalancerIPs': taken });
    await services.event(`web-${COUNT}`, /ddress(Taken|NotShareable): /);
    const [, pending] = (await services.services()).filter(({ name }) => name === `web-${COUNT}` || name === 'web-1');
    expect(pending?.conditions.get('holdfast.io/Allocated')).toBe('False');
    await services.deleteService(`web-${COUNT}`);
  }, 60_000);

  it("MetalLB's pools are used once they are installed", async () => {
    const client = services.cluster.apiClient();
    for (const { document: definition } of definitionsOf('metallb.io')) {
      const { status } = await client.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
        body: definition,
      });
      expect(status).toBe(201);
    }
    const address = services.lab.ipv4(200);
    const pools = '/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools';
    const pool = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan' },
      spec: { addresses: [`${address}/32`] },
    };
    await waitFor(
      'the kind is served',
      async () => (await client.request('POST', pools, { body: pool })).status === 201,
      {
        deadlineMs: 30_000,
        everyMs: 300,
      },
    );
    const advertisement = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'L2Advertisement',
      metadata: { name: 'lan' },
      spec: {},
    };
    const made = await client.request('POST', '/apis/metallb.io/v1beta1/namespaces/default/l2advertisements', {
      body: advertisement,
    });
    expect(made.status).toBe(201);
    await services.createServices(1, COUNT, { 'metallb.io/address-pool': 'lan' });
    await services.told(
      ({ name, addresses, annotations }) =>
        name !== `web-${COUNT}` ||
        (addresses[0] === address && annotations['metallb.io/ip-allocated-from-pool'] === 'lan'),
      90_000,
    );
    await waitFor('somebody answers', () => services.lab.whoHolds(address).length === 1);
  }, 150_000);

  it('an outage of every API server takes no address from anybody', async () => {
    const addresses = (await services.served(COUNT + 1)).filter((address) => services.pool.includes(address));
    const before = await services.ownedOnce(addresses);
    await services.cluster.stopApi();
    await services.quiet(8_000);
    expect(services.owners(addresses)).toEqual(before);
    await services.cluster.startApi();
    await services.quiet(3_000);
    expect(services.owners(addresses)).toEqual(before);
    await services.answered(addresses);
  }, 120_000);
});
