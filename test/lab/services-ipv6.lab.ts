/**
 * Services where there is no IPv4 at all, with the real program on three nodes: registration, heartbeats, the API and the
 * addresses are IPv6. A loss and a drain cost a client what they cost with IPv4 (services.lab.ts).
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import { ServicesCluster } from './services-cluster.ts';

const COUNT = 6;
/** Who has had an address for less long than its lifetime, and a second, is asked on the wire even if it consents. */
const CONSENT_AFTER_MS = 4_500;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-s', families: ['ipv6'], env: { svc_election: 'true' } });
  await services.startAll();
  for (let index = 0; index < COUNT; index += 1) {
    await services.create({ name: `web-${index}`, families: ['ipv6'] });
  }
  await services.ownedOnce(await services.served(COUNT));
}, 120_000);

afterAll(() => services?.close());

describe('where there is IPv6 alone', () => {
  it('addresses are spread, and a client reaches each', async () => {
    const addresses = await services.served(COUNT);
    expect(new Set(services.owners(addresses).values()).size).toBeGreaterThan(1);
    await services.answered(addresses);
  }, 30_000);

  it('a Service that is IPv4 only is told why it has no address', async () => {
    await services.create({ name: 'four', families: ['ipv4'] });
    await services.event('four', /IPv4/);
  }, 30_000);

  it('a drain hands over before it lets go', async () => {
    const addresses = await services.served(COUNT);
    const node = services.nodeWithMost(addresses);
    const own = addresses.filter((address) => services.owners(addresses).get(address) === node.name);
    await services.quiet(CONSENT_AFTER_MS);
    const from = nowMs();
    services.holdfast(node, ['drain']);
    await services.ownedOnce(addresses, [node.name]);
    for (const address of own) expect(services.longestDarkMs(address, from)).toBeLessThan(30);
    expect(Math.max(...(await services.longestOutages(own, from)).values())).toBeLessThan(500);
    services.holdfast(node, ['drain', '--undo']);
    await services.everyVote();
  }, 60_000);

  it("a lost node's addresses are the others' in less than two seconds, and never two nodes'", async () => {
    const addresses = await services.served(COUNT);
    const node = services.nodeWithMost(addresses);
    const own = addresses.filter((address) => services.owners(addresses).get(address) === node.name);
    const from = nowMs();
    await services.lab.powerOff(node);
    await services.ownedOnce(addresses, [node.name]);
    expect(Math.max(...(await services.longestOutages(own, from)).values())).toBeLessThan(2_000);
    for (const address of addresses) expect(services.holders.longestOverlapMs(address, from)).toBe(0);
  }, 60_000);
});
