import { array, assert as check, constantFrom, integer, property, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Prefix } from '../../../src/base/ip.ts';
import {
  formatRange,
  ipAt,
  ipValue,
  parseRange,
  rangeContains,
  rangeSize,
} from '../../../src/services/address-range.ts';
import type { AddressRange, NodeObject, Reservation } from '../../../src/services/model.ts';
import { newPool } from '../../../src/services/pools/pool.ts';
import {
  indexReservations,
  isReserved,
  reservationProblems,
  reservationsOf,
  unreservedRanges,
  type ReservedThings,
} from '../../../src/services/reservation.ts';
import { ip } from '../base/values.ts';

const NOTHING: ReservedThings = { nodes: [], vips: [], gateways: [], subnets: [], clusterCidrs: [] };

function prefix(text: string): Prefix {
  const [address, length] = text.split('/');
  return { ip: ip(address ?? ''), length: Number(length) };
}

function range(text: string): AddressRange {
  const parsed = parseRange(text, { allowsSingle: true });
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

function node(name: string, addresses: readonly string[], podCidrs: readonly string[]): NodeObject {
  const facts = { isReady: true, isNetworkUnavailable: false, isCordoned: false, isOutOfService: false };
  return { name, labels: {}, annotations: {}, addresses: addresses.map(ip), podCidrs: podCidrs.map(prefix), ...facts };
}

function reasons(things: Partial<ReservedThings>, addresses: readonly string[]) {
  const index = indexReservations(reservationsOf({ ...NOTHING, ...things }));
  return addresses.map((text) => isReserved(index, ip(text))?.reason);
}

describe('what is reserved', () => {
  test('are nodes, their Pods, the control plane’s VIPs, gateways, subnets and the cluster’s CIDRs', () => {
    const things: ReservedThings = {
      nodes: [node('n1', ['10.0.0.11', 'fd00::11'], ['10.244.1.0/24', 'fd01:1::/64'])],
      vips: [ip('10.0.0.10')],
      gateways: [ip('10.0.0.1')],
      subnets: [prefix('10.0.0.11/24'), prefix('fd00::11/64')],
      clusterCidrs: [prefix('10.96.0.0/12'), prefix('10.244.0.0/16')],
    };
    const expected: readonly (readonly [string, string | undefined])[] = [
      ['10.0.0.11', 'the address of node n1'],
      ['fd00::11', 'the address of node n1'],
      ['10.244.1.77', 'in the Pod CIDR of node n1'],
      ['fd01:1::77', 'in the Pod CIDR of node n1'],
      ['10.244.2.77', 'in a CIDR of the cluster itself'],
      ['10.96.0.1', 'in a CIDR of the cluster itself'],
      ['10.0.0.10', "the control plane's virtual IP"],
      ['10.0.0.1', 'a gateway'],
      ['10.0.0.0', 'the network address of 10.0.0.0/24'],
      ['10.0.0.255', 'the broadcast address of 10.0.0.0/24'],
      ['fd00::', 'the router anycast address of fd00::/64'],
      ['fd00::ffff:ffff:ffff:ffff', undefined],
      ['10.0.0.2', undefined],
      ['10.112.0.0', undefined],
    ];
    const found = reasons(
      things,
      expected.map(([address]) => address),
    );
    expect(expected.map(([address], index) => [address, found[index]])).toEqual(expected);
  });

  test('a subnet of one or two addresses has neither network nor broadcast address (RFC 3021, RFC 6164)', () => {
    for (const subnet of ['10.0.0.4/31', '10.0.0.4/32', 'fd00::4/127', 'fd00::4/128']) {
      const { first, last } = range(subnet);
      expect(reasons({ subnets: [prefix(subnet)] }, [first.text, last.text])).toEqual([undefined, undefined]);
    }
    expect(reasons({ subnets: [prefix('10.0.0.5/30')] }, ['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.7'])).toEqual([
      'the network address of 10.0.0.4/30',
      undefined,
      undefined,
      'the broadcast address of 10.0.0.4/30',
    ]);
    expect(reasons({ subnets: [prefix('fd00::5/126')] }, ['fd00::4', 'fd00::7'])).toEqual([
      'the router anycast address of fd00::4/126',
      undefined,
    ]);
  });

  test('is also what no machine can own', () => {
    const addresses = ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', 'ff02::1'];
    for (const reason of reasons({}, addresses)) expect(reason).toBeDefined();
    const others = [
      '1.0.0.0',
      '169.254.1.1',
      '192.0.2.1',
      '223.255.255.255',
      '::2',
      'fe80::1',
      'fd00::1',
      '2001:db8::1',
    ];
    for (const reason of reasons({}, others)) expect(reason).toBeUndefined();
  });
});

describe('the index', () => {
  const reservations = array(
    tuple(constantFrom<'ipv4' | 'ipv6'>('ipv4', 'ipv6'), integer({ min: 0, max: 100 }), integer({ min: 0, max: 30 })),
    { maxLength: 10 },
  ).map((list) =>
    list.map(([family, start, extent], number): Reservation => {
      const base = family === 'ipv4' ? 0x0a00_0000n : 0xfdn << 120n;
      const first = ipAt(family, base + BigInt(start));
      return { range: { first, last: ipAt(family, base + BigInt(start + extent)) }, reason: String(number) };
    }),
  );

  test('finds what a look at every reservation finds, the narrowest first', () => {
    check(
      property(reservations, (all) => {
        const index = indexReservations(all);
        for (let offset = 0n; offset <= 140n; offset++) {
          const address = ipAt('ipv4', 0x0a00_0000n + offset);
          const holding = all.filter((each) => rangeContains(each.range, address));
          const least = holding.reduce(
            (size, each) => (rangeSize(each.range) < size ? rangeSize(each.range) : size),
            1n << 40n,
          );
          const found = isReserved(index, address);
          expect(found === undefined).toBe(holding.length === 0);
          if (found !== undefined) expect(rangeSize(found.range)).toBe(least);
        }
      }),
    );
  });

  test('leaves of ranges what is not reserved, in their order', () => {
    check(
      property(reservations, (all) => {
        const index = indexReservations(all);
        const ranges = [range('fd00::/121'), range('10.0.0.64/26'), range('10.0.0.0/26')];
        const left = unreservedRanges(ranges, index).flatMap(({ first, last }) => {
          const size = Number(ipValue(last) - ipValue(first)) + 1;
          return Array.from({ length: size }, (_, offset) => ipAt(first.family, ipValue(first) + BigInt(offset)).text);
        });
        const expected = ranges.flatMap(({ first, last }) => {
          const size = Number(ipValue(last) - ipValue(first)) + 1;
          const addresses = Array.from({ length: size }, (_, offset) =>
            ipAt(first.family, ipValue(first) + BigInt(offset)),
          );
          return addresses.filter((address) => isReserved(index, address) === undefined).map(({ text }) => text);
        });
        expect(left).toEqual(expected);
      }),
    );
  });

  test('of thousands of nodes is built once and asked thousands of times', () => {
    const nodes = Array.from({ length: 5_000 }, (_, index) =>
      node(`n${index}`, [`192.168.${index >> 8}.${index & 255}`], [`10.${index >> 8}.${index & 255}.0/24`]),
    );
    const index = indexReservations(reservationsOf({ ...NOTHING, nodes, clusterCidrs: [prefix('10.0.0.0/8')] }));
    for (let number = 0; number < 5_000; number++) {
      expect(isReserved(index, ip(`10.${number >> 8}.${number & 255}.9`))?.reason).toBe(
        `in the Pod CIDR of node n${number}`,
      );
    }
    expect(isReserved(index, ip('10.200.0.1'))?.reason).toBe('in a CIDR of the cluster itself');
  });
});

describe('pools that contain what is reserved', () => {
  const lan = newPool({
    name: 'metallb/lan',
    shortName: 'lan',
    origin: 'metallb',
    object: { kind: 'IPAddressPool', key: 'metallb-system/lan' },
    ranges: [range('10.0.0.0/24')],
  });

  test('are told the range, its owner and what to do', () => {
    const reservations = reservationsOf({ ...NOTHING, nodes: [node('n1', ['10.0.0.11'], ['10.0.0.128/26'])] });
    expect(reservationProblems([lan], reservations)).toEqual([
      {
        object: { kind: 'IPAddressPool', key: 'metallb-system/lan' },
        code: 'POOL_RESERVED',
        message: '10.0.0.11 in the pool metallb/lan is the address of node n1: it is not given',
        remedy:
          'Take 10.0.0.11 out of IPAddressPool metallb-system/lan: it is the address of node n1. It is not given to Services.',
      },
      {
        object: { kind: 'IPAddressPool', key: 'metallb-system/lan' },
        code: 'POOL_RESERVED',
        message: '10.0.0.128/26 in the pool metallb/lan is in the Pod CIDR of node n1: it is not given',
        remedy:
          'Take 10.0.0.128/26 out of IPAddressPool metallb-system/lan: it is in the Pod CIDR of node n1. It is not given to Services.',
      },
    ]);
  });

  test('are told a bounded number of times, closed ones not at all', () => {
    const nodes = Array.from({ length: 50 }, (_, index) => node(`n${index}`, [`10.0.0.${index + 10}`], []));
    const reservations = reservationsOf({ ...NOTHING, nodes });
    const problems = reservationProblems([lan, { ...lan, isClosed: true }], reservations);
    expect(problems).toHaveLength(9);
    expect(problems.at(-1)?.message).toContain('42 more parts of the pool metallb/lan');
  });

  test('of the environment are told on svc_pools, and of every size in no time', () => {
    const all = newPool({
      name: 'svc_pools',
      shortName: 'svc_pools',
      origin: 'environment',
      ranges: [range('0.0.0.0/0'), range('::/0')],
    });
    const problems = reservationProblems([all], reservationsOf(NOTHING));
    expect(problems.map(({ object }) => object.key)).toEqual(Array.from({ length: 7 }, () => 'svc_pools'));
    const [first] = unreservedRanges(all.ranges, indexReservations(reservationsOf(NOTHING)));
    expect(first && formatRange(first)).toBe('1.0.0.0-126.255.255.255');
  });
});
