/**
 * Addresses that move because somebody changed a setting: as many as svc_rebalance says and no more, and all of them when
 * svc_election is turned off or on node by node. With the real program on three nodes.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { YIELD_MS } from '../../src/agent/services/decide.ts';
import { nowMs } from './clock.ts';
import { waitFor } from './process.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 12;
/** Between two moves. */
const SPACING_MS = 4_000;
/** A node that was stopped is lost for good after five seconds. */
const SETTLED_MS = 6_000;
/** Make before break: who stops answers on until the next is heard, this long at most. */
const OVERLAP_MS = YIELD_MS + 100;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-m', env: { svc_election: 'true' } });
  await services.startAll();
  await services.createServices(COUNT);
  await services.ownedOnce(await services.served(COUNT));
}, 120_000);

afterAll(() => services?.close());

function countOf(owners: ReadonlyMap<string, string>): readonly number[] {
  return services.lab.nodes.map(({ name }) => [...owners.values()].filter((owner) => owner === name).length);
}

/** When the address came to another node than had it. */
function arrivals(address: string, fromMs: number): readonly number[] {
  const alone = services.holders.since(address, fromMs).filter(({ holders }) => holders.length === 1);
  return alone.slice(1).flatMap(({ atMs, holders }, index) => (holders[0] === alone[index]?.holders[0] ? [] : [atMs]));
}

/** The longest time that two kernels had one of the addresses. */
function overlapSince(addresses: readonly string[], fromMs: number): number {
  return Math.max(...addresses.map((address) => services.holders.longestOverlapMs(address, fromMs)));
}

describe('svc_rebalance', () => {
  it('moves so many addresses a minute and no more, one by one, until the shares are even', async () => {
    const addresses = await services.served(COUNT);
    await services.restartEach({ svc_rebalance: String(60_000 / SPACING_MS) });
    // What the restarts moved has come to rest by then.
    await services.quiet(SETTLED_MS);
    const from = nowMs();
    await waitFor('even shares', () => Math.min(...countOf(services.owners(addresses))) === COUNT / 3, {
      deadlineMs: 40_000,
      everyMs: 200,
    });
    await services.quiet(SPACING_MS * 1.5);
    expect(countOf(services.owners(addresses))).toEqual([COUNT / 3, COUNT / 3, COUNT / 3]);
    const moments = addresses.flatMap((address) => arrivals(address, from)).sort((a, b) => a - b);
    const gaps = moments.slice(1).map((moment, index) => moment - (moments[index] ?? 0));
    for (const gap of gaps) expect(gap).toBeGreaterThan(SPACING_MS / 2);
    expect(overlapSince(addresses, from)).toBeLessThan(OVERLAP_MS);
  }, 90_000);
});

describe('svc_election', () => {
  it('turned off node by node leaves each address with one node at a time, in the end the leader', async () => {
    const addresses = await services.served(COUNT);
    const from = nowMs();
    await services.restartEach({ svc_election: 'false', svc_rebalance: '0' });
    const leader = await services.cluster.settled();
    await waitFor('the leader has all', () => {
      const owners = services.owners(addresses);
      return owners.size === COUNT && [...owners.values()].every((name) => name === leader.name);
    });
    await services.answered(addresses);
    expect(overlapSince(addresses, from)).toBeLessThan(OVERLAP_MS);
  }, 60_000);

  it('turned on node by node again, too', async () => {
    const addresses = await services.served(COUNT);
    const from = nowMs();
    await services.restartEach({ svc_election: 'true' });
    await services.ownedOnce(addresses);
    await services.answered(addresses);
    expect(overlapSince(addresses, from)).toBeLessThan(OVERLAP_MS);
  }, 60_000);
});
