/**
 * LoadBalancer Services before real API servers (etcd and kube-apiserver on each of three nodes), with the real program:
 * addresses come into the status and out of it again as the real validation and the real status subresource will have it,
 * in both families, and pools of MetalLB are taken when their definitions are installed while it runs.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ApiClient } from '../lab/api-client.ts';
import { nowMs } from '../lab/clock.ts';
import { definitionsOfSet, originsOf, type Definition } from '../lab/custom-resources.ts';
import { HolderWatch } from '../lab/holders.ts';
import { realApiVersions } from '../lab/real-api.ts';
import { ServicesCluster, type SeenService } from '../lab/services-cluster.ts';
import { waitFor } from '../lab/process.ts';

const COUNT = 8;

const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

let services: ServicesCluster;

beforeAll(async () => {
  console.log(await realApiVersions());
  services = await ServicesCluster.create({ prefix: 'hf-x', api: 'real', env: { svc_election: 'true' } });
  await services.createNodes();
  await services.startAll();
}, 180_000);

afterAll(() => services?.close());

function ask(method: string, path: string, body?: object): ReturnType<ApiClient['request']> {
  const contentType = method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {};
  return services.cluster.apiClient().request(method, path, body === undefined ? {} : { body, ...contentType });
}

function metallb(kind: string, spec: object): object {
  return { apiVersion: 'metallb.io/v1beta1', kind, metadata: { name: 'lan' }, spec };
}

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

  it('an address that is asked for and taken is refused in words', async () => {
    const [taken = ''] = await services.served(COUNT);
    await services.createServices(1, COUNT, { 'metallb.io/loadBalancerIPs': taken });
    await services.event(`web-${COUNT}`, /ddress(Taken|NotShareable): /);
    const [, pending] = (await services.services()).filter(({ name }) => name === `web-${COUNT}` || name === 'web-1');
    expect(pending?.conditions.get('holdfast.io/Allocated')).toBe('False');
    await services.deleteService(`web-${COUNT}`);
  }, 60_000);

  it('one whose address another program takes out again and again is left alone, told why, and served when that is over', async () => {
    const path = '/api/v1/namespaces/default/services/web-1';
    const seen = async (): Promise<SeenService> => {
      const found = (await services.services()).find(({ name }) => name === 'web-1');
      if (found === undefined) throw new Error('web-1 is gone');
      return found;
    };
    let losses = 0;
    await waitFor(
      'it is left alone',
      async () => {
        const { addresses, conditions } = await seen();
        if (addresses.length > 0) {
          losses += 1;
          await ask('PATCH', `${path}/status`, { status: { loadBalancer: { ingress: [] } } });
        }
        return conditions.get('holdfast.io/Allocated') === 'False';
      },
      { deadlineMs: 30_000, everyMs: 20 },
    );
    expect(losses).toBe(3);
    await services.event('web-1', /^ServiceContested: .*another program takes \S+ out of the status/i);
    const { resourceVersion } = await seen();
    await services.quiet(3_000);
    expect((await seen()).resourceVersion).toBe(resourceVersion);
    await services.ownedOnce(await services.served(COUNT));
    await services.told(({ conditions }) => conditions.get('holdfast.io/Announced') === 'True');
  }, 90_000);

  describe("with MetalLB's pools", () => {
    const pools = '/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools';
    const advertisements = '/apis/metallb.io/v1beta1/namespaces/default/l2advertisements';
    let definitions: readonly Definition[] = [];
    let address = '';
    let holders: HolderWatch;

    beforeAll(() => {
      address = services.lab.ipv4(200);
      holders = new HolderWatch(services.lab, [address]);
    });

    afterAll(() => holders?.close());

    async function install(): Promise<void> {
      definitions = await definitionsOfSet('metallb-0.16');
      console.log(originsOf(definitions));
      for (const { document } of definitions) expect((await ask('POST', DEFINITIONS, document)).status).toBe(201);
      await made(pools, metallb('IPAddressPool', { addresses: [`${address}/32`] }));
      await made(advertisements, metallb('L2Advertisement', {}));
    }

    /** A definition that is installed is served some moments later. */
    function made(path: string, object: object): Promise<unknown> {
      const options = { deadlineMs: 30_000, everyMs: 300 };
      return waitFor('the kind is served', async () => (await ask('POST', path, object)).status === 201, options);
    }

    /**
     * Since a moment, who had the pool's address then has it, and nobody else had it. Where the whole machine stood still
     * for seconds, so that nodes didn't hear one another, that ends by the kernel's clock: then nobody let go in nobody's favour.
     */
    function staysWith(owner: readonly string[], fromMs: number): void {
      expect(owner).toHaveLength(1);
      const changes = holders.since(address, fromMs);
      const said = words(fromMs);
      if (changes.length > 1 && said.some((text) => /"cause":"(standing-lost|isolated|renewal-late)"/.test(text))) {
        console.log('the machine stood still', said.join('\n'));
        expect(said.filter((text) => /"cause":"(reordered|removed)","count"/.test(text))).toEqual([]);
        return;
      }
      const seen = changes.map((change) => `${change.atMs - fromMs} ms: ${change.holders.join(' ') || 'nobody'}`);
      expect(
        changes.map((change) => change.holders),
        [...seen, ...said].join('\n'),
      ).toEqual([owner]);
    }

    /** What the managers have logged since, for whoever has to find out why. */
    function words(fromMs: number): readonly string[] {
      return [...services.cluster.managers].flatMap(([name, { lines }]) =>
        lines.filter(({ atMs }) => atMs >= fromMs).map(({ atMs, text }) => `${name} ${atMs - fromMs} ms: ${text}`),
      );
    }

    it('they are used once they are installed', async () => {
      await install();
      await services.createServices(1, COUNT, { 'metallb.io/address-pool': 'lan' });
      await services.told(
        ({ name, addresses, annotations }) =>
          name !== `web-${COUNT}` ||
          (addresses[0] === address && annotations['metallb.io/ip-allocated-from-pool'] === 'lan'),
        90_000,
      );
      await waitFor('somebody answers', () => holders.now(address).length === 1);
    }, 150_000);

    it('one that is edited into nonsense is told so by an Event that describe finds, and nobody loses an address', async () => {
      const from = nowMs();
      const owner = holders.now(address);
      const { body: before } = await ask('GET', `${pools}/lan`);
      await ask('PATCH', `${pools}/lan`, {
        spec: { addresses: ['10.0.0.9-10.0.0.1', 'nonsense', 'fd00::/8-10.0.0.1'] },
      });
      const uid = (before as { readonly metadata: { readonly uid: string } }).metadata.uid;
      const selector = encodeURIComponent(`involvedObject.kind=IPAddressPool,involvedObject.uid=${uid}`);
      await waitFor('the Events', async () => {
        const { body } = await ask('GET', `/api/v1/namespaces/default/events?fieldSelector=${selector}`);
        const { items } = body as { readonly items: readonly { readonly message: string }[] };
        return ['spec.addresses[0]', 'spec.addresses[1]', 'spec.addresses[2]'].every((field) =>
          items.some(({ message }) => message.includes(field)),
        );
      });
      await services.quiet(1_500);
      staysWith(owner, from);
      await ask('PATCH', `${pools}/lan`, { spec: { addresses: [`${address}/32`] } });
    }, 60_000);

    it('an advertisement that is edited into nonsense goes on saying what it said', async () => {
      const from = nowMs();
      const owner = holders.now(address);
      const near = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'Near', values: ['x'] }] }];
      const { status, body } = await ask('PATCH', `${advertisements}/lan`, { spec: { nodeSelectors: near } });
      expect(status).toBe(200);
      const { uid } = (body as { readonly metadata: { readonly uid: string } }).metadata;
      const selector = encodeURIComponent(`involvedObject.kind=L2Advertisement,involvedObject.uid=${uid}`);
      await waitFor('the Event', async () => {
        const { body: events } = await ask('GET', `/api/v1/namespaces/default/events?fieldSelector=${selector}`);
        const { items } = events as { readonly items: readonly { readonly message: string }[] };
        return items.some(({ message }) => message.includes('until then it counts as it was before'));
      });
      await services.quiet(1_500);
      staysWith(owner, from);
      expect((await ask('PATCH', `${advertisements}/lan`, { spec: { nodeSelectors: null } })).status).toBe(200);
    }, 60_000);

    it('one that nobody has ever been able to read leaves an address with who had it', async () => {
      const near = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'Near', values: ['x'] }] }];
      expect((await ask('PATCH', `${advertisements}/lan`, { spec: { nodeSelectors: near } })).status).toBe(200);
      await services.restartAll({});
      await waitFor('somebody answers', () => holders.now(address).length === 1, { deadlineMs: 30_000 });
      const from = nowMs();
      const owner = holders.now(address);
      await services.quiet(3_000);
      staysWith(owner, from);
      const [node] = services.lab.nodes;
      if (node === undefined) throw new Error('no node');
      const told = services.holdfast(node, ['explain', 'address', address], { mayFail: true });
      expect(told).toContain("L2Advertisement default/lan can't be read");
      expect((await ask('PATCH', `${advertisements}/lan`, { spec: { nodeSelectors: null } })).status).toBe(200);
      await services.quiet(1_500);
      staysWith(owner, from);
    }, 120_000);

    it('without their definitions, which are removed and installed again while it runs, nobody loses an address', async () => {
      const from = nowMs();
      const owner = holders.now(address);
      for (const { name } of definitions) expect((await ask('DELETE', `${DEFINITIONS}/${name}`)).status).toBe(200);
      for (const manager of services.cluster.managers.values()) {
        await manager.waitForLine(/"IPAddressPool".*a kind of objects is no longer installed/, 90_000);
        await manager.waitForLine(/"L2Advertisement".*a kind of objects is no longer installed/, 90_000);
      }
      await services.quiet(2_000);
      staysWith(owner, from);
      await services.told(({ name, addresses }) => name !== `web-${COUNT}` || addresses[0] === address);
      await waitFor('the definitions are gone', async () => {
        const { body } = await ask('GET', DEFINITIONS);
        return (body as { readonly items: readonly unknown[] }).items.length === 0;
      });
      await install();
      await services.told(
        ({ name, annotations }) =>
          name !== `web-${COUNT}` || annotations['metallb.io/ip-allocated-from-pool'] === 'lan',
        90_000,
      );
      staysWith(owner, from);
    }, 240_000);
  });

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
