/**
 * Who has an address keeps it: through restarts of all processes at once, and a change of the leader; who was lost gets
 * nothing back. What is found at a start goes only if it is ours; an address that a stranger took meanwhile is the
 * stranger's, and the Service says so. With the real program on three nodes.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import { ip, kernelAddress } from './node-kernel.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 12;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-o', env: { svc_election: 'true' } });
  await services.startAll();
  await services.createServices(COUNT);
  await services.ownedOnce(await services.served(COUNT));
}, 120_000);

afterAll(() => services?.close());

function countOf(owners: ReadonlyMap<string, string>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    services.lab.nodes.map(({ name }) => [name, [...owners.values()].filter((owner) => owner === name).length]),
  );
}

/** What moved since, by the kernels' own word, and whether two nodes ever had one. */
function changesSince(addresses: readonly string[], fromMs: number) {
  const moved = addresses.filter((address) =>
    services.holders.since(address, fromMs).some(({ holders }) => holders.length !== 1),
  );
  const overlapMs = Math.max(...addresses.map((address) => services.holders.longestOverlapMs(address, fromMs)));
  return { moved, overlapMs };
}

describe('who has an address keeps it', () => {
  it('when all processes are killed at once and started again', async () => {
    const addresses = await services.served(COUNT);
    const before = await services.ownedOnce(addresses);
    const from = nowMs();
    await Promise.all(services.lab.nodes.map((node) => services.crash(node)));
    await Promise.all(services.lab.nodes.map((node) => services.start(node)));
    await services.everyVote();
    await services.quiet(3_000);
    expect(services.owners(addresses)).toEqual(before);
    expect(changesSince(addresses, from)).toEqual({ moved: [], overlapMs: 0 });
  }, 60_000);

  it('when another node comes to lead', async () => {
    const addresses = await services.served(COUNT);
    const leader = await services.cluster.settled();
    const before = await services.ownedOnce(addresses);
    const from = nowMs();
    // Its share goes to the others when it stops; nobody else's does.
    await services.cluster.manager(leader).stop();
    await services.cluster.settled({ except: [leader.name] });
    const after = await services.ownedOnce(addresses, [leader.name]);
    for (const [address, owner] of before) if (owner !== leader.name) expect(after.get(address)).toBe(owner);
    const others = addresses.filter((address) => before.get(address) !== leader.name);
    expect(changesSince(others, from)).toEqual({ moved: [], overlapMs: 0 });
    await services.start(leader);
    await services.everyVote();
  }, 60_000);

  it('who was stopped and came back has nothing, and gets nothing while svc_rebalance is off', async () => {
    const addresses = await services.served(COUNT);
    const before = await services.ownedOnce(addresses);
    expect(Math.min(...Object.values(countOf(before)))).toBe(0);
    await services.quiet(4_000);
    expect(services.owners(addresses)).toEqual(before);
  }, 30_000);
});

describe('what is found at start', () => {
  it('goes if it is ours and nobody’s now; what others put there stays', async () => {
    const addresses = await services.served(COUNT);
    const free = services.pool.filter((address) => !addresses.includes(address));
    const [foreign = '', deprecated = '', left = ''] = free;
    const node = services.nodeWithMost(addresses);
    ip(node, ['addr', 'add', `${foreign}/32`, 'dev', 'eth0']);
    // In the shape of kube-vip's, which marks nothing: of an address that no Service has, and of another node's.
    ip(node, ['addr', 'add', `${deprecated}/32`, 'dev', 'eth0', 'preferred_lft', '0']);
    const before = await services.ownedOnce(addresses);
    const others = addresses.find((address) => before.get(address) !== node.name) ?? '';
    // Ours, of a Service that goes while the process is away.
    await services.create({ name: 'web-left', annotations: { 'kube-vip.io/loadbalancerIPs': left } });
    const all = await services.served(COUNT + 1);
    const owner = services.lab.node((await services.ownedOnce(all)).get(left) ?? '');
    await services.crash(owner);
    await services.deleteService('web-left');
    await services.start(owner);
    await services.holders.until(() => services.holders.now(left).length === 0);
    await services.crash(node);
    ip(node, ['addr', 'add', `${others}/32`, 'dev', 'eth0', 'preferred_lft', '0']);
    await services.start(node);
    await services.holders.until(() => services.holders.now(others).length === 1);
    expect(services.owners(addresses)).toEqual(before);
    expect(kernelAddress(node, foreign)).toMatchObject({ validSeconds: undefined, isDeprecated: false });
    expect(kernelAddress(node, deprecated)).toMatchObject({ validSeconds: undefined });
    for (const address of [foreign, deprecated]) ip(node, ['addr', 'del', `${address}/32`, 'dev', 'eth0']);
  }, 60_000);
});

describe('an address that a stranger has when its node is lost', () => {
  it('is left to the stranger, the Service says whose it is, and is ours again when the stranger goes', async () => {
    const addresses = await services.served(COUNT);
    const node = services.nodeWithMost(addresses);
    const [address = ''] = addresses.filter((each) => services.owners(addresses).get(each) === node.name);
    const service = (await services.services()).find((each) => each.addresses.includes(address));
    await services.lab.powerOff(node);
    services.useOutside(address);
    const { mac } = services.lab.client;
    const name = service?.name ?? '';
    await services.event(name, new RegExp(`^AddressConflict: ${address} is answered for by ${mac}`), 30_000);
    await services.told((each) => each.name !== name || each.conditions.get('holdfast.io/Announced') === 'False');
    expect(services.holders.now(address)).toEqual([]);
    ip(services.lab.client, ['addr', 'del', `${address}/32`, 'dev', 'eth0']);
    await services.ownedOnce([address], [node.name]);
    await services.told((each) => each.conditions.get('holdfast.io/Announced') === 'True');
  }, 90_000);
});
