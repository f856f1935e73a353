/**
 * More nodes than may vote: eleven, of which two are heard by the voters but have no voice. What they answer for has to
 * move when they are lost, what a voter leaves behind may come to them, and while they hear nobody they answer for nothing.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { VOTERS_MAX } from '../../src/leader/view.ts';
import { nowMs } from './clock.ts';
import type { LabNode } from './lab.ts';
import { waitFor } from './process.ts';
import { ServicesCluster } from './services-cluster.ts';

const NODES = 11;
const COUNT = 20;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-k', nodes: NODES, env: { svc_election: 'true' } });
  await services.createNodes();
  for (const { name } of services.lab.nodes) await services.ready(name);
  await services.startAll();
  await services.createServices(1);
  await everyCandidate();
  await services.createServices(COUNT - 1, 1);
  await services.ownedOnce(await services.served(COUNT));
}, 300_000);

afterAll(() => services?.close());

/**
 * Resolves when whoever decides takes every node for a candidate. Nine are voters before the last two are known at all, and
 * what is given by then stays where it is.
 */
async function everyCandidate(): Promise<void> {
  const leader = await services.cluster.settled();
  let text = '';
  await waitFor(
    'every node a candidate',
    () => {
      text = services.holdfast(leader, ['explain', 'service', 'web-0'], { mayFail: true });
      return text.match(/^✓ candidate +n\d+ answers on eth0/gm)?.length === NODES;
    },
    { deadlineMs: 60_000, everyMs: 300 },
  ).catch((error: unknown) => {
    throw new Error(text, { cause: error });
  });
}

async function withoutVote(): Promise<readonly LabNode[]> {
  const voters = await services.voterNames();
  return services.lab.nodes.filter(({ name }) => !voters.includes(name));
}

/** A node of these that answers for something, and what. */
async function busiest(nodes: readonly LabNode[]) {
  const addresses = await services.served(COUNT);
  const owners = await services.ownedOnce(addresses);
  const shares = nodes.map((node) => ({ node, own: addresses.filter((each) => owners.get(each) === node.name) }));
  const [most] = shares.sort((a, b) => b.own.length - a.own.length);
  if (most === undefined || most.own.length === 0) throw new Error('no node of these answers for anything');
  return { ...most, addresses };
}

describe('with more nodes than may vote', () => {
  it('every node gets a share, with a vote or without', async () => {
    expect(await services.voters()).toBe(VOTERS_MAX);
    const owners = services.owners(await services.served(COUNT));
    expect(new Set(owners.values()).size).toBeGreaterThan(6);
    const names = (await withoutVote()).map(({ name }) => name);
    expect([...owners.values()].filter((name) => names.includes(name)).length).toBeGreaterThan(0);
    await services.answered(await services.served(COUNT));
  }, 30_000);

  it('who answers is explained on a node without a vote as on any other: it asks the wire, and voters', async () => {
    const without = await withoutVote();
    const [address = ''] = await services.served(COUNT);
    // Eleven that begin together may still be handing addresses to one another: who answers is what is said.
    const wire = new RegExp(`^✓ wire +asked from n\\d+ on eth0: ${address} answered by \\S+ \\(n\\d+\\) in`, 'gm');
    for (const node of [...without.slice(0, 1), services.lab.node('n1')]) {
      let text = '';
      await waitFor(
        'three that asked',
        () => {
          text = services.holdfast(node, ['explain', 'address', address], { mayFail: true });
          return text.match(wire)?.length === 3 && /^✓ holding +n\d+: holding on eth0/m.test(text);
        },
        { deadlineMs: 20_000, everyMs: 300 },
      ).catch((error: unknown) => {
        throw new Error(text, { cause: error });
      });
    }
  }, 60_000);

  it("a lost voter's addresses are answered for at once, also where one without a vote is next in line", async () => {
    const voters = services.lab.nodes.filter(({ name }) => name !== 'n1');
    const without = await withoutVote();
    const { node, own, addresses } = await busiest(voters.filter((each) => !without.includes(each)));
    await services.answered(own);
    const from = nowMs();
    await services.lab.powerOff(node);
    await services.ownedOnce(addresses, [node.name]);
    const outages = await services.longestOutages(own, from);
    expect(Math.max(...outages.values())).toBeLessThan(2_000);
  }, 60_000);

  it("a lost one without a vote is replaced as one decision, and nobody else's address moves", async () => {
    const { node, own, addresses } = await busiest(await withoutVote());
    const before = services.owners(addresses);
    const from = nowMs();
    await services.lab.powerOff(node);
    const after = await services.ownedOnce(addresses, [node.name]);
    for (const [address, owner] of before) if (owner !== node.name) expect(after.get(address)).toBe(owner);
    const outages = await services.longestOutages(own, from);
    expect(Math.max(...outages.values())).toBeLessThan(3_000);
  }, 60_000);

  it('one without a vote that is cut off lets go, and there are never two when it is back', async () => {
    const [node] = (await withoutVote()).filter((each) => services.lab.state(each) === 'on');
    if (node === undefined) throw new Error('none is left');
    const addresses = await services.served(COUNT);
    const own = addresses.filter((each) => services.owners(addresses).get(each) === node.name);
    expect(own.length).toBeGreaterThan(0);
    services.lab.cut(node);
    await waitFor('it has let go', () => own.every((each) => !services.holders.now(each).includes(node.name)), {
      deadlineMs: 15_000,
    });
    await services.ownedOnce(addresses, [node.name]);
    const from = nowMs();
    services.lab.heal(node);
    await services.quiet(3_000);
    for (const address of addresses) expect(services.holders.longestOverlapMs(address, from)).toBe(0);
  }, 60_000);

  it('an API that is away takes no address from one without a vote', async () => {
    const addresses = await services.served(COUNT);
    const before = await services.ownedOnce(addresses);
    await services.cluster.stopApi();
    await services.quiet(9_000);
    expect(services.owners(addresses)).toEqual(before);
    await services.cluster.startApi();
  }, 60_000);
});
