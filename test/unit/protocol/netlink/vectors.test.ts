import { describe, expect, test } from 'vitest';

import { formatPrefix } from '../../../../src/base/ip.ts';
import { decodeAcknowledgement } from '../../../../src/protocol/netlink/ack.ts';
import { decodeChange } from '../../../../src/protocol/netlink/change.ts';
import { NLMSG_DONE, NLMSG_ERROR } from '../../../../src/protocol/netlink/constants.ts';
import { decodeMessages, type NetlinkMessage } from '../../../../src/protocol/netlink/message.ts';
import type { KernelChange } from '../../../../src/protocol/netlink/records.ts';
import { readVectors, type VectorFile } from '../../../vectors/netlink/vectors.ts';

const FILES = ['linux-6.18', 'linux-6.1'] as const;
const EADDRNOTAVAIL = 99;

function messages(file: VectorFile, name: string): readonly NetlinkMessage[] {
  const datagrams = file.vectors.get(name);
  if (datagrams === undefined) throw new Error(`no vector "${name}"`);
  return datagrams.flatMap((datagram) => {
    const decoded = decodeMessages(datagram);
    if (!decoded.ok) throw new Error(`${name}: ${decoded.reason} at ${decoded.offset}`);
    return decoded.value;
  });
}

/** Each change as one line: what a reader of `ip monitor` would recognise. */
function lines(file: VectorFile, name: string): readonly string[] {
  return messages(file, name).flatMap((message) => {
    if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) return [];
    const change = decodeChange(message);
    if (!change.ok) throw new Error(`${name}: ${change.reason} at ${change.offset}`);
    return change.value === undefined ? [] : [line(change.value)];
  });
}

function line(change: KernelChange): string {
  switch (change.kind) {
    case 'link': {
      const { index, name, linkKind, isUp, hasCarrier, operState, master, mtu } = change.link;
      const flags = `${isUp ? 'up' : 'down'} ${hasCarrier ? 'carrier' : 'no-carrier'} oper=${operState}`;
      return `link ${index} ${name} ${linkKind ?? '-'} ${flags} mtu=${mtu}${master === undefined ? '' : ` master=${master}`}`;
    }
    case 'link-gone':
      return `link-gone ${change.index} ${change.name}`;
    case 'address':
    case 'address-gone': {
      const { prefix, ifindex, scope, flags, protocol, validSeconds, preferredSeconds } = change.address;
      const lifetimes = `valid=${validSeconds} preferred=${preferredSeconds}`;
      return `${change.kind} ${formatPrefix(prefix)} on ${ifindex} scope=${scope} flags=${flags.toString(16)} proto=${protocol} ${lifetimes}`;
    }
    case 'route':
    case 'route-gone': {
      const { family, destination, gateway, ifindex, metric, table } = change.route;
      return `${change.kind} ${family} ${destination === undefined ? 'default' : formatPrefix(destination)} via ${gateway?.text} on ${ifindex} metric=${metric} table=${table}`;
    }
    case 'overrun':
      return 'overrun';
  }
}

/** By vector, what every kernel says. Vectors of extra messages (statistics, other tables) show as nothing. */
const EXPECTED: ReadonlyMap<string, readonly string[]> = new Map([
  ['veth up without carrier', ['link 10 eth0 veth up no-carrier oper=3 mtu=1500']],
  [
    'ipv4 address added',
    ['address 10.9.0.1/24 on 10 scope=0 flags=80 proto=undefined valid=Infinity preferred=Infinity'],
  ],
  [
    'ipv4 peer address added',
    ['address 10.9.9.1/32 on 10 scope=0 flags=80 proto=undefined valid=Infinity preferred=Infinity'],
  ],
  [
    'ipv4 address deleted',
    ['address-gone 10.9.9.1/32 on 10 scope=0 flags=80 proto=undefined valid=Infinity preferred=Infinity'],
  ],
  ['holdfast adds ipv4, notified', ['address 10.9.0.50/32 on 10 scope=0 flags=220 proto=72 valid=30 preferred=0']],
  ['holdfast adds ipv6, notified', ['address fd99::50/128 on 10 scope=0 flags=222 proto=72 valid=30 preferred=0']],
  [
    'holdfast deletes ipv4, notified',
    ['address-gone 10.9.0.50/32 on 10 scope=0 flags=220 proto=72 valid=30 preferred=0'],
  ],
  ['ipv4 default route', ['route ipv4 default via 10.9.0.2 on 10 metric=100 table=254']],
  ['ipv6 default route', ['route ipv6 default via fd99::2 on 10 metric=1024 table=254']],
  ['ipv4 default route through ipv6', ['route ipv4 default via fd99::2 on 10 metric=101 table=254']],
  ['ipv4 default route in table 1000', []],
  ['ipv4 unreachable default route', []],
  ['ipv4 route', []],
  ['ipv6 route', []],
  ['ipv4 default route deleted', ['route-gone ipv4 default via 10.9.0.2 on 10 metric=100 table=254']],
  ['veth renamed', ['link 11 peer1 veth down no-carrier oper=2 mtu=1500']],
]);

describe.each(FILES)('vectors of %s', (name) => {
  const file = readVectors(name);

  test('every datagram of it decodes', () => {
    expect(file.vectors.size).toBe(name === 'linux-6.18' ? 36 : 42);
    for (const vector of file.vectors.keys()) {
      for (const message of messages(file, vector)) expect(decodeChange(message)).toMatchObject({ ok: true });
    }
  });

  test.each([...EXPECTED])('%s', (vector, expected) => {
    expect(lines(file, vector)).toEqual(expected);
  });

  test('a multipath default route has an interface when all its next hops share one, and no single gateway', () => {
    expect(lines(file, 'ipv4 multipath default route')).toContain(
      'route ipv4 default via undefined on 10 metric=102 table=254',
    );
  });

  test('both ends of a pair get their carrier', () => {
    const seen = lines(file, 'veth carrier');
    expect(seen).toContain('link 11 peer0 veth up carrier oper=6 mtu=1500');
    expect(seen).toContain('link 10 eth0 veth up carrier oper=6 mtu=1500');
  });

  test('a port that leaves its bridge is not a link that goes (AF_BRIDGE)', () => {
    expect(lines(file, 'bridge port joins')).toContain('link 11 peer0 veth up carrier oper=6 mtu=1500 master=12');
    const leaving = lines(file, 'bridge port leaves');
    expect(leaving.filter((text) => text.startsWith('link-gone'))).toEqual([]);
    expect(leaving).toContain('link 11 peer0 veth up carrier oper=6 mtu=1500');
  });

  test('a deleted pair takes its addresses along', () => {
    const seen = lines(file, 'veth deleted');
    expect(seen.filter((text) => text.startsWith('link-gone'))).toEqual(
      expect.arrayContaining(['link-gone 10 eth0', 'link-gone 11 peer1']),
    );
    expect(seen.some((text) => text.startsWith('address-gone fd99::50/128 on 10'))).toBe(true);
  });

  test('a dump of links names each kind', () => {
    const kinds = lines(file, 'link dump').map((text) => text.split(' ').slice(2, 4).join(' '));
    expect(kinds).toEqual(expect.arrayContaining(['lo -', 'eth0 veth', 'peer0 veth', 'br0 bridge']));
  });

  test('a dump of addresses has those of both families', () => {
    const seen = lines(file, 'address dump');
    expect(seen).toEqual(
      expect.arrayContaining([
        'address 127.0.0.1/8 on 1 scope=254 flags=80 proto=undefined valid=Infinity preferred=Infinity',
        'address 10.9.0.50/32 on 10 scope=0 flags=220 proto=72 valid=30 preferred=0',
        'address fd99::50/128 on 10 scope=0 flags=222 proto=72 valid=30 preferred=0',
        'address ::1/128 on 1 scope=254 flags=80 proto=1 valid=Infinity preferred=Infinity',
      ]),
    );
  });

  test('a dump of routes keeps default ones', () => {
    expect(lines(file, 'ipv4 route dump')).toEqual([
      'route ipv4 default via 10.9.0.2 on 10 metric=100 table=254',
      'route ipv4 default via fd99::2 on 10 metric=101 table=254',
      'route ipv4 default via undefined on 10 metric=102 table=254',
    ]);
    expect(lines(file, 'ipv6 route dump')).toEqual(['route ipv6 default via fd99::2 on 10 metric=1024 table=254']);
  });

  test('acknowledgements', () => {
    const answers = ['holdfast adds ipv4', 'holdfast adds ipv6', 'holdfast deletes ipv4', 'address dump'].map(
      (vector) => decodeAcknowledgement(messages(file, vector).at(-1) ?? fail()),
    );
    for (const answer of answers) {
      expect(answer).toEqual({ ok: true, value: { errno: 0, text: undefined, attributeOffset: undefined } });
    }
  });

  // Linux 6.1 gives no words for this refusal.
  const text = name === 'linux-6.18' ? 'ipv4: Address not found' : undefined;
  test.each([
    ['ipv4 delete refused', text],
    ['ipv4 delete refused, request echoed', text],
    ['ipv4 delete refused, no text', undefined],
  ])('%s', (vector, words) => {
    const answer = decodeAcknowledgement(messages(file, vector).at(-1) ?? fail());
    expect(answer).toEqual({ ok: true, value: { errno: EADDRNOTAVAIL, text: words, attributeOffset: undefined } });
  });

  test('sequence numbers are the requests’', () => {
    expect(messages(file, 'holdfast adds ipv4').map((message) => message.sequence)).toEqual([7]);
    expect(new Set(messages(file, 'link dump').map((message) => message.sequence))).toEqual(new Set([16]));
    expect(messages(file, 'ipv4 address added').at(0)?.port).not.toBe(0);
  });
});

describe('kinds of link this machine may not have', () => {
  const file = readVectors('linux-6.1');

  test.each([
    ['bond added', 'link 13 bond0 bond down no-carrier oper=2 mtu=1500'],
    ['dummy added', 'link 14 dummy0 dummy down no-carrier oper=2 mtu=1500'],
    ['dummy joins bond', 'link 14 dummy0 dummy up carrier oper=0 mtu=1500 master=13'],
    ['bond up', 'link 13 bond0 bond up carrier oper=6 mtu=1500'],
    ['vlan added', 'link 15 eth0.100 vlan down no-carrier oper=2 mtu=1500'],
    ['vrf added', 'link 16 vrf0 vrf down no-carrier oper=2 mtu=65575'],
  ])('%s', (vector, expected) => {
    expect(lines(file, vector)).toContain(expected);
  });
});

function fail(): never {
  throw new Error('the vector is empty');
}
