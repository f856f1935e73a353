/**
 * Services of both families, with the real program on three nodes: order and policy of the addresses, what the kernel has
 * of them, and on the wire what each family says at a claim, while it holds, and to somebody who claims its address.
 */

import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import type { NeighbourFrame } from './capture.ts';
import type { LabNode } from './lab.ts';
import { NETNS_FOLDER } from './namespace.ts';
import { groups, ip, kernelAddress, mainRoutes, sourceFor } from './node-kernel.ts';
import { waitFor } from './process.ts';
import { claimFromOutside } from './rogue.ts';
import { ServicesCluster } from './services-cluster.ts';

/** vip_arpRate at its least. */
const REFRESH_MS = 500;
/** Service addresses are told of again each second at most. */
const SERVICE_REFRESH_MS = 1_000;
const WANTED = [
  { name: 'web-both', families: ['ipv4', 'ipv6'], spec: { ipFamilyPolicy: 'RequireDualStack' } },
  { name: 'web-six-first', families: ['ipv6', 'ipv4'], spec: { ipFamilyPolicy: 'PreferDualStack' } },
  { name: 'web-six', families: ['ipv6'], spec: {} },
  { name: 'web-four', families: ['ipv4'], spec: {} },
] as const;
const ADDRESSES = 6;
/** IFA_PROTO of what is ours: H. */
const HOLDFAST_PROTOCOL = 0x48;

let services: ServicesCluster;
let madeAtMs = 0;

beforeAll(async () => {
  services = await ServicesCluster.create({
    prefix: 'hf-f',
    families: ['ipv4', 'ipv6'],
    env: {
      svc_election: 'true',
      vip_arpRate: String(REFRESH_MS),
      vip_servicesinterface: 'auto',
      svc_pools: '10.77.0.120-10.77.0.129,fd77::120-fd77::129,10.77.7.50/32,fd77:7::50/128',
    },
  });
  await services.startAll();
  madeAtMs = nowMs();
  for (const wanted of WANTED) await services.create(wanted);
  await services.ownedOnce(await services.served(ADDRESSES));
}, 120_000);

afterAll(() => services?.close());

async function addressesOf(name: string): Promise<readonly string[]> {
  return (await services.services()).find((service) => service.name === name)?.addresses ?? [];
}

/** Once nobody is busy taking it over. */
async function ownerOf(address: string): Promise<LabNode> {
  return services.lab.node((await services.ownedOnce([address])).get(address) ?? '');
}

const isIpv6 = (address: string): boolean => address.includes(':');

describe('addresses of both families', () => {
  it('come in the order of ipFamilies, as many as the Service has families, and answer', async () => {
    for (const { name, families } of WANTED) {
      const addresses = await addressesOf(name);
      expect([name, ...addresses.map((address) => (isIpv6(address) ? 'ipv6' : 'ipv4'))]).toEqual([name, ...families]);
    }
    await services.answered(await services.served(ADDRESSES));
  }, 30_000);

  it('are host addresses with a lifetime, our mark and no prefix route; an IPv6 one without duplicate detection', async () => {
    for (const address of await services.served(ADDRESSES)) {
      const node = await ownerOf(address);
      const seen = kernelAddress(node, address);
      expect(seen).toMatchObject({
        interface: 'eth0',
        prefixLength: isIpv6(address) ? 128 : 32,
        preferredSeconds: 0,
        isDeprecated: true,
        hasNoPrefixRoute: true,
        isTentative: false,
      });
      expect(seen?.validSeconds).toBeLessThanOrEqual(3);
      expect(services.holders.protocolOf(node, address)).toBe(HOLDFAST_PROTOCOL);
      if (isIpv6(address)) expect(seen?.hasNoDad).toBe(true);
      expect(mainRoutes(node, isIpv6(address) ? '-6' : '-4').join(' ')).not.toContain(address);
    }
  });

  it('join the group of their solicitations', async () => {
    for (const address of (await services.served(ADDRESSES)).filter(isIpv6)) {
      expect(groups(await ownerOf(address), 'eth0')).toContain(groupOf(address));
    }
  });

  it('are never the source of what the node sends', async () => {
    for (const address of await services.served(ADDRESSES)) {
      const node = await ownerOf(address);
      const { client } = services.lab;
      const [to, from] = isIpv6(address) ? [client.ipv6, node.ipv6] : [client.ipv4, node.ipv4];
      expect(sourceFor(node, to ?? '')).toBe(from);
      expect(services.cluster.capture.frames.filter(isAskingFrom(address, madeAtMs))).toEqual([]);
    }
  });
});

describe('on the wire', () => {
  it('a claim is announced several times, spaced, in forms that every neighbour learns from', async () => {
    const addresses = await services.served(ADDRESSES);
    const span = (address: string): number => {
      const frames = services.cluster.capture.announcements(address, madeAtMs);
      return (frames.at(-1)?.atMs ?? 0) - (frames[0]?.atMs ?? 0);
    };
    await waitFor('the last of the burst', () => addresses.every((address) => span(address) > 3_100));
    for (const address of await services.served(ADDRESSES)) {
      const frames = services.cluster.capture.announcements(address, madeAtMs);
      const [first] = frames;
      if (first === undefined) throw new Error(`${address} was not announced`);
      const { mac } = await ownerOf(address);
      expect(new Set(frames.map(({ hardware }) => hardware))).toEqual(new Set([mac]));
      const moments = frames.map(({ atMs }) => atMs - first.atMs);
      const isReply = ({ kind }: NeighbourFrame): boolean => kind === 'arp-reply';
      if (isIpv6(address)) {
        expect(frames.map(overrides)).toEqual(frames.map(() => true));
        expect(frames.map(({ destinationMac }) => destinationMac)).toEqual(frames.map(() => '33:33:00:00:00:01'));
        expect(frames.map(({ sender }) => sender)).toEqual(frames.map(() => address));
      } else {
        // Request and reply at each.
        expect(frames.filter(isReply).length).toBeGreaterThanOrEqual(5);
        expect(frames.filter((frame) => !isReply(frame)).length).toBeGreaterThanOrEqual(5);
      }
      // At 0, 30, 100, 300, 700, 1,500 and 3,000 ms, as far as the machine has time for it; then the refresh.
      const spaced = moments.filter((moment, index) => index === 0 || moment - (moments[index - 1] ?? 0) > 10);
      expect(spaced.length).toBeGreaterThanOrEqual(6);
      expect(spaced.filter((moment) => moment < 1_200).length).toBeGreaterThanOrEqual(3);
      expect(Math.max(...spaced)).toBeGreaterThan(2_500);
    }
  }, 20_000);

  it('what is held is told again and again', async () => {
    const from = nowMs();
    await services.quiet(SERVICE_REFRESH_MS * 4);
    for (const address of await services.served(ADDRESSES)) {
      const moments = new Set(
        services.cluster.capture.announcements(address, from).map(({ atMs }) => Math.round(atMs / 50)),
      );
      expect(moments.size).toBeGreaterThanOrEqual(3);
    }
  }, 20_000);

  it('who claims a Service address in either family is answered at once, and named', async () => {
    for (const address of await addressesOf('web-both')) {
      const from = nowMs();
      claimFromOutside(services.lab, address);
      const node = await ownerOf(address);
      const defence = await waitFor('a defence', () =>
        services.cluster.capture.announcements(address, from).find((frame) => frame.from === node.name),
      );
      expect(defence.atMs - from).toBeLessThan(1_000);
      await services.cluster.manager(node).waitForLine(/service address conflict/);
      expect(services.owners([address]).get(address)).toBe(node.name);
    }
    await services.event('web-both', new RegExp(services.lab.client.mac));
  }, 30_000);
});

describe('a lost node', () => {
  it("its addresses of both families are the others' as soon as each other", async () => {
    const addresses = await services.served(ADDRESSES);
    await services.answered(addresses);
    const node = services.nodeWithMost(addresses);
    const own = addresses.filter((address) => services.owners(addresses).get(address) === node.name);
    const from = nowMs();
    await services.lab.powerOff(node);
    await services.ownedOnce(addresses, [node.name]);
    const outages = await services.longestOutages(own, from);
    for (const address of own) expect(outages.get(address)).toBeLessThan(2_000);
    await services.powerOn(node);
  }, 60_000);
});

describe('an interface that comes later', () => {
  it('serves a pool of its own subnet, with the group joined there', async () => {
    const { lab } = services;
    lab.addNetwork('eth1', { ipv4: '10.77.7', ipv6: 'fd77:7::' });
    await services.create({
      name: 'later',
      families: ['ipv6', 'ipv4'],
      annotations: { 'kube-vip.io/loadbalancerIPs': 'fd77:7::50,10.77.7.50' },
    });
    const [six, four] = ['fd77:7::50', '10.77.7.50'];
    const node = await waitFor(
      'somebody answers',
      () => lab.nodes.find((each) => kernelAddress(each, six) !== undefined),
      { deadlineMs: 15_000 },
    );
    expect(kernelAddress(node, six)).toMatchObject({ interface: 'eth1', prefixLength: 128 });
    expect(groups(node, 'eth1')).toContain(groupOf(six));
    await waitFor('the other family too', () =>
      lab.nodes.some((each) => kernelAddress(each, four)?.interface === 'eth1'),
    );
    await waitFor('the client finds it', () => neighbourOf(lab.client, six) === macOf(node, 'eth1'), {
      deadlineMs: 5_000,
    });
    // A node whose interface has no address of the subnet any more may not answer for it.
    const place = lab.nodes.indexOf(node);
    ip(node, ['addr', 'del', `fd77:7::${11 + place}/64`, 'dev', 'eth1']);
    await waitFor(
      'another node has it',
      () => lab.nodes.some((each) => each !== node && kernelAddress(each, six) !== undefined),
      { deadlineMs: 10_000 },
    );
    await waitFor('this one has let go', () => kernelAddress(node, six) === undefined);
  }, 60_000);
});

/** The solicited-node group of an address whose last 24 bits are its last group of digits (RFC 4291 §2.7.1). */
function groupOf(address: string): string {
  return `ff02::1:ff00:${address.split(':').at(-1) ?? ''}`;
}

/** RFC 4861 §4.4: the O flag. */
function overrides({ bytes }: NeighbourFrame): boolean {
  return ((bytes[58] ?? 0) & 0x20) !== 0;
}

/** ARP requests and solicitations in which the address asks for another. */
function isAskingFrom(address: string, fromMs: number): (frame: NeighbourFrame) => boolean {
  return ({ atMs, sender, kind, isGratuitous }) =>
    atMs >= fromMs && sender === address && !isGratuitous && (kind === 'arp-request' || kind === 'solicitation');
}

/** The hardware address that a machine finds for it, asked for anew if need be. */
function neighbourOf(machine: Pick<LabNode, 'namespace'>, address: string): string | undefined {
  const argv = [`--net=${NETNS_FOLDER}/${machine.namespace}`, process.execPath, '-e', KNOCK, address];
  spawnSync('nsenter', argv);
  const rows = JSON.parse(ip(machine, ['-6', '-j', 'neigh', 'show', address])) as readonly {
    readonly lladdr?: string;
  }[];
  return rows[0]?.lladdr;
}

/** One datagram to the discard port. */
const KNOCK = `const s = require('node:dgram').createSocket('udp6'); s.send('x', 9, process.argv[1], () => s.close());`;

function macOf(node: LabNode, name: string): string | undefined {
  const rows = JSON.parse(ip(node, ['-j', 'link', 'show', name])) as readonly { readonly address: string }[];
  return rows[0]?.address;
}
