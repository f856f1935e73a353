/**
 * LoadBalancer Services with the real program on three nodes: they get addresses, a client outside reaches each at exactly
 * one node, and what they have survives losses, restarts, drains and an API that is away. The API is the embedded one here;
 * test/conformance/services.conformance.ts asks a real one.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 12;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-w', env: { svc_election: 'true' } });
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
    expect(services.owners(addresses)).toEqual(before);
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
});
