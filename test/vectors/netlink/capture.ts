/**
 * Records what this machine's kernel says over rtnetlink, as the vectors beside this file: one JSON document on stdout.
 * Run it as root in a fresh network namespace whose loopback is down:
 *
 *   unshare --net node test/vectors/netlink/capture.ts > test/vectors/netlink/<kernel>.json
 *
 * Commands the kernel or this iproute2 does not know are left out and named on stderr; netlink.test.ts says which vectors
 * it expects of each file.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { encodeAddAddress, encodeAddressDump, encodeDeleteAddress } from '../../../src/protocol/netlink/address.ts';
import { encodeU32 } from '../../../src/protocol/netlink/attribute.ts';
import { encodeLinkDump } from '../../../src/protocol/netlink/link.ts';
import { encodeMainRouteDump } from '../../../src/protocol/netlink/route.ts';
import { parseIp, type Prefix } from '../../../src/base/ip.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';

interface Vector {
  readonly name: string;
  readonly command: string;
  readonly datagrams: readonly string[];
}

const AF_NETLINK = 16;
const SOL_NETLINK = 270;
const GROUPS: readonly number[] = [1, 5, 7, 9, 11];
const netfd = loadNetfd();
const vectors: Vector[] = [];
const notifications = open(GROUPS);

function open(groups: readonly number[], options: readonly number[] = []): number {
  const fd = netfd.socket(AF_NETLINK, 3, 0);
  netfd.bind(fd, Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  for (const group of groups) netfd.setsockopt(fd, SOL_NETLINK, 1, encodeU32(group));
  for (const option of options) netfd.setsockopt(fd, SOL_NETLINK, option, encodeU32(1));
  return fd;
}

function drain(fd: number): readonly string[] {
  const datagrams: string[] = [];
  for (;;) {
    const received = netfd.receive(fd, 65_536);
    if (typeof received === 'number') return datagrams;
    datagrams.push(Buffer.from(received.data).toString('hex'));
  }
}

/** What the kernel notifies of while (and 50 ms after) `ip` runs. */
async function notified(name: string, ...args: readonly string[]): Promise<void> {
  drain(notifications);
  try {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim().split('\n').at(-1) : '';
    process.stderr.write(`left out: ${name}: ${reason}\n`);
    return;
  }
  await sleep(50);
  vectors.push({ name, command: `ip ${args.join(' ')}`, datagrams: drain(notifications) });
}

/** The kernel's answer to one request, and (IPv6: a moment later) what it notifies of because of it. */
async function answered(name: string, command: string, request: Uint8Array, options: readonly number[]): Promise<void> {
  drain(notifications);
  const fd = open([], options);
  netfd.send(fd, request);
  vectors.push({ name, command, datagrams: drain(fd) });
  netfd.close(fd);
  await sleep(50);
  const caused = drain(notifications);
  if (caused.length > 0) vectors.push({ name: `${name}, notified`, command, datagrams: caused });
}

function prefix(text: string, length: number): Prefix {
  const ip = parseIp(text);
  if (!ip.ok) throw new Error(text);
  return { ip: ip.value, length };
}

await notified('loopback up', 'link', 'set', 'lo', 'up');
await notified(
  'veth added',
  ...'link add eth0 index 10 address 02:00:00:00:00:0a type veth'.split(' '),
  'peer',
  'name',
  'peer0',
  'index',
  '11',
);
await notified('veth up without carrier', 'link', 'set', 'eth0', 'up');
await notified('veth carrier', 'link', 'set', 'peer0', 'up');
await sleep(2500); // until the link-local addresses are no longer tentative
await notified('bridge added', ...'link add br0 index 12 type bridge'.split(' '));
await notified('bridge port joins', ...'link set peer0 master br0'.split(' '));
await notified('bridge port leaves', ...'link set peer0 nomaster'.split(' '));
await notified('bond added', ...'link add bond0 index 13 type bond mode active-backup'.split(' '));
await notified('dummy added', ...'link add dummy0 index 14 type dummy'.split(' '));
await notified('dummy joins bond', ...'link set dummy0 master bond0'.split(' '));
await notified('bond up', ...'link set bond0 up'.split(' '));
await notified('vlan added', ...'link add link eth0 name eth0.100 index 15 type vlan id 100'.split(' '));
await notified('vrf added', ...'link add vrf0 index 16 type vrf table 1000'.split(' '));
await notified('ipv4 address added', ...'addr add 10.9.0.1/24 dev eth0'.split(' '));
await notified('ipv4 peer address added', ...'addr add 10.9.9.1 peer 10.9.9.2/32 dev eth0'.split(' '));
await notified('ipv6 address added', ...'addr add fd99::1/64 dev eth0 nodad'.split(' '));
await notified('ipv4 address deleted', ...'addr del 10.9.9.1 peer 10.9.9.2/32 dev eth0'.split(' '));

const v4 = prefix('10.9.0.50', 32);
const v6 = prefix('fd99::50', 128);
await answered(
  'holdfast adds ipv4',
  'encodeAddAddress',
  encodeAddAddress(7, { ifindex: 10, prefix: v4, validSeconds: 30, scope: 'global' }),
  [10, 11],
);
await answered(
  'holdfast adds ipv6',
  'encodeAddAddress',
  encodeAddAddress(8, { ifindex: 10, prefix: v6, validSeconds: 30, scope: 'global' }),
  [10, 11],
);
await answered('address dump', 'encodeAddressDump', encodeAddressDump(9), [12]);
await answered(
  'holdfast deletes ipv4',
  'encodeDeleteAddress',
  encodeDeleteAddress(10, { ifindex: 10, prefix: v4 }),
  [10, 11],
);
await answered(
  'ipv4 delete refused',
  'encodeDeleteAddress',
  encodeDeleteAddress(11, { ifindex: 10, prefix: v4 }),
  [10, 11],
);
await answered(
  'ipv4 delete refused, request echoed',
  'encodeDeleteAddress',
  encodeDeleteAddress(12, { ifindex: 10, prefix: v4 }),
  [11],
);
await answered(
  'ipv4 delete refused, no text',
  'encodeDeleteAddress',
  encodeDeleteAddress(13, { ifindex: 10, prefix: v4 }),
  [],
);

await notified('ipv4 default route', ...'route add default via 10.9.0.2 metric 100'.split(' '));
await notified('ipv6 default route', ...'route add default via fd99::2 metric 1024'.split(' '));
await notified(
  'ipv4 default route through ipv6',
  ...'-4 route add default via inet6 fd99::2 dev eth0 metric 101'.split(' '),
);
await notified(
  'ipv4 multipath default route',
  ...'route add default metric 102 nexthop via 10.9.0.3 dev eth0 nexthop via 10.9.0.4 dev eth0'.split(' '),
);
await notified('ipv4 default route in table 1000', ...'route add default via 10.9.0.2 table 1000'.split(' '));
await notified('ipv4 unreachable default route', ...'route add unreachable default metric 4000'.split(' '));
await notified('ipv4 route', ...'route add 192.0.2.0/24 via 10.9.0.2'.split(' '));
await notified('ipv6 route', ...'route add 2001:db8::/32 via fd99::2'.split(' '));
await answered('ipv4 route dump', 'encodeMainRouteDump', encodeMainRouteDump(14, 'ipv4'), [12]);
await answered('ipv6 route dump', 'encodeMainRouteDump', encodeMainRouteDump(15, 'ipv6'), [12]);
await notified('ipv4 default route deleted', ...'route del default via 10.9.0.2 metric 100'.split(' '));
await answered('link dump', 'encodeLinkDump', encodeLinkDump(16), [12]);
await notified('veth carrier lost', 'link', 'set', 'peer0', 'down');
await notified('veth renamed', ...'link set peer0 name peer1'.split(' '));
await notified('veth deleted', 'link', 'del', 'eth0');

const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim().split('-')[0];
const iproute2 = execFileSync('ip', ['-V'], { encoding: 'utf8' }).trim();
const json = JSON.stringify({ kernel, tool: `${iproute2}; capture.ts`, vectors }, null, 1);
process.stdout.write(`${json}\n`);
