/**
 * LoadBalancer Services with the real program on three nodes: they get addresses, a client outside reaches each at exactly
 * one node, and what they have survives losses, restarts, drains and an API that is away. The API is the embedded one here;
 * test/conformance/services.conformance.ts asks a real one.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 12;

/** What is restarted adopts what its kernel still has: for longer than a start takes where every core is busy. */
const SLOW_STARTS = {
  vip_leaseduration: '15',
  vip_renewdeadline: '10',
  vip_retryperiod: '2',
  vip_address_lifetime: '12s',
};

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-w', env: { ...SLOW_STARTS, svc_election: 'true' } });
  await services.startAll();
}, 120_000);

afterAll(() => services?.close());

describe('addresses spread over the nodes', () => {
  it('each Service gets an address, answered for by exactly one node, and is told who', async () => {
    await services.createServices(COUNT);
    const addresses = await services.served(COUNT);
    const owners = await services.ownedOnce(addresses);
    expect(new Set(owners.values()).size).toBe(3);
    await services.answered(addresses);
    await services.told((service) => {
      const [address = ''] = service.addresses;
      const host = owners.get(address);
      return (
        service.annotations['kube-vip.io/vipHost'] === host &&
        service.conditions.get('holdfast.io/Allocated') === 'True' &&
        service.conditions.get('holdfast.io/Announced') === 'True'
      );
    });
  }, 60_000);

  it('writes nothing while nothing happens', async () => {
    const before = await services.versions();
    await services.quiet(3_000);
    expect(await services.versions()).toEqual(before);
  }, 30_000);

  it("a lost node's share moves to the others, and stays there when it returns", async () => {
    const addresses = await services.served(COUNT);
    const before = services.owners(addresses);
    const node = services.nodeWithMost(addresses);
    await services.lab.powerOff(node);
    const after = await services.ownedOnce(addresses, [node.name]);
    for (const [address, owner] of before) if (owner !== node.name) expect(after.get(address)).toBe(owner);
    await services.answered(addresses);
    await services.unrecorded(node);
    await services.powerOn(node);
    await services.quiet(3_000);
    expect(services.owners(addresses)).toEqual(after);
  }, 90_000);

  it('a restart adopts: the same node answers on, without a gap', async () => {
    const addresses = await services.served(COUNT);
    const before = await services.ownedOnce(addresses);
    const node = services.nodeWithMost(addresses);
    const own = addresses.filter((address) => before.get(address) === node.name);
    const from = nowMs();
    await services.crash(node);
    await services.start(node);
    await services.quiet(5_000);
    expect(await services.ownedOnce(addresses)).toEqual(before);
    const gaps = own
      .flatMap((address) => services.holders.since(address, from))
      .filter(({ holders }) => holders.length !== 1);
    expect(gaps).toEqual([]);
  }, 90_000);

  it('an API that is away takes no address from anybody', async () => {
    const addresses = await services.served(COUNT);
    const before = await services.ownedOnce(addresses);
    await services.cluster.stopApi();
    await services.quiet(8_000);
    expect(services.owners(addresses)).toEqual(before);
    await services.answered(addresses);
    await services.cluster.startApi();
    await services.quiet(2_000);
    expect(services.owners(addresses)).toEqual(before);
  }, 90_000);

  it('a drain hands over before it lets go, and who comes back takes nothing', async () => {
    const addresses = await services.served(COUNT);
    const node = services.nodeWithMost(addresses);
    const own = addresses.filter((address) => services.owners(addresses).get(address) === node.name);
    expect(own.length).toBeGreaterThan(0);
    await services.answered(own);
    const from = nowMs();
    services.holdfast(node, ['drain']);
    const after = await services.ownedOnce(addresses, [node.name]);
    // What two kernels report within the same milliseconds is read one after the other.
    for (const address of own) expect(services.longestDarkMs(address, from)).toBeLessThan(30);
    // A busy machine delays probes and answers; an address that was down is asked for on the wire first, with three probes.
    const longest = await services.longestOutages(own, from);
    expect(Math.max(...longest.values())).toBeLessThan(500);
    await services.unrecorded(node);
    services.holdfast(node, ['drain', '--undo']);
    await services.quiet(2_000);
    expect(services.owners(addresses)).toEqual(after);
  }, 60_000);

  it('an address that somebody uses already is set aside, with its MAC, and the next one is given', async () => {
    const taken = await services.served(COUNT);
    const next = services.pool.find((address) => !taken.includes(address)) ?? '';
    services.useOutside(next);
    await services.createServices(1, COUNT);
    const addresses = await services.served(COUNT + 1);
    expect(addresses).not.toContain(next);
    const { mac } = services.lab.client;
    await services.event(`web-${COUNT}`, new RegExp(`^AddressQuarantined: ${next} is answered for by ${mac}`));
    await services.event(`web-${COUNT}`, /^AddressAllocated: .* of pool svc_pools\./);
    await services.event(`web-${COUNT}`, /^Announced: .* node n\d answers on eth0\./);
    await services.ownedOnce(addresses);
  }, 60_000);

  it('explain says who answers for a Service and why, on the owner also what it sees of that', async () => {
    const addresses = await services.served(COUNT + 1);
    const owners = await services.ownedOnce(addresses);
    const service = (await services.services()).find(({ name }) => name === 'web-1');
    const [address = ''] = service?.addresses ?? [];
    const owner = services.lab.node(owners.get(address) ?? '');
    const text = services.holdfast(owner, ['explain', 'service', 'web-1']);
    expect(text).toContain(`Service default/web-1, as ${owner.name} sees it`);
    expect(text).toMatch(/✓ class +it is ours/);
    expect(text).toContain(`✓ allocation  ${address} of pool svc_pools`);
    expect(text).toMatch(/✓ candidate +n1 answers on eth0/);
    expect(text).toContain(`✓ owner       ${owner.name} answers for ${address}: `);
    expect(text).toMatch(
      new RegExp(`✓ holding +${owner.name}: holding on eth0 \\(${owner.mac}\\) for .+, announced \\d+ times`),
    );
    expect(services.holdfast(owner, ['status'])).toMatch(/Services\nserved +13 Services, none pending; 13 addresses/);
  }, 30_000);

  it('a Service that is no load balancer any more keeps nothing of ours', async () => {
    await services.patchService('web-0', { spec: { type: 'ClusterIP' } });
    await services.told(
      ({ name, addresses, conditions, annotations }) =>
        name !== 'web-0' ||
        (addresses.length === 0 &&
          conditions.size === 0 &&
          Object.keys(annotations).every((key) => !key.startsWith('holdfast.io/') && key !== 'kube-vip.io/vipHost')),
    );
  }, 60_000);
});

describe('one node for all', () => {
  it('svc_election=false: the leader answers for every address, and hands all of them over', async () => {
    await services.restartAll({ svc_election: 'false' });
    const addresses = (await services.services()).flatMap((service) => service.addresses);
    const owners = await services.ownedOnce(addresses);
    const leader = await services.cluster.settled();
    expect([...new Set(owners.values())]).toEqual([leader.name]);
    await services.lab.powerOff(leader);
    const next = await services.cluster.settled({ except: [leader.name] });
    const after = await services.ownedOnce(addresses, [leader.name]);
    expect([...new Set(after.values())]).toEqual([next.name]);
    await services.answered(addresses);
  }, 90_000);
});
