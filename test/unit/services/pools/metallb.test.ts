import { assert as check, anything, property, record } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatPrefix } from '../../../../src/base/ip.ts';
import { formatRange, parseRange, rangePrefixes } from '../../../../src/services/address-range.ts';
import type { NodeObject } from '../../../../src/services/model.ts';
import { assemblePools, NO_SOURCES } from '../../../../src/services/pools/assemble.ts';
import {
  decodeBgpAdvertisement,
  decodeIpAddressPool,
  decodeL2Advertisement,
} from '../../../../src/services/pools/metallb.ts';
import { poolSize } from '../../../../src/services/pools/pool.ts';
import { scopeRefusal } from '../../../../src/services/scope.ts';
import { BGP, L2, POOLS, SIZES, SUMMARY } from '../../../vectors/pools/metallb.ts';

function raw(kind: string, name: string, spec: unknown) {
  const metadata = {
    name,
    namespace: 'metallb-system',
    creationTimestamp: '2026-01-31T12:00:00Z',
    labels: { pool: name },
  };
  return { apiVersion: 'metallb.io/v1beta1', kind, metadata, spec };
}

function pool(spec: Readonly<Record<string, unknown>>) {
  return decodeIpAddressPool(raw('IPAddressPool', 'pool1', spec));
}

function node(name: string): NodeObject {
  const facts = { isReady: true, isNetworkUnavailable: false, isCordoned: false, isOutOfService: false };
  const labels = { 'kubernetes.io/hostname': name };
  return { name, labels, annotations: {}, addresses: [], podCidrs: [], ...facts };
}

const nodes = ['first', 'second'].map(node);

test('there are vectors', () => {
  expect([POOLS, SIZES, BGP, L2].map(({ length }) => length)).toEqual([16, 5, 26, 13]);
});

describe('IPAddressPool', () => {
  test.each(POOLS)('$source: $spec is $ranges', ({ spec, ranges, told }) => {
    const { value, problems } = pool(spec);
    expect(value?.ranges.map(formatRange)).toEqual(ranges);
    expect(problems.map(({ code }) => code)).toEqual(told ?? []);
    for (const { object } of problems) expect(object).toEqual({ kind: 'IPAddressPool', key: 'metallb-system/pool1' });
  });

  test('a range is the shortest list of CIDRs (config_test.go:1653, case 25)', () => {
    const parsed = parseRange(SUMMARY.range);
    expect(parsed.ok && rangePrefixes(parsed.value).map(formatPrefix)).toEqual(SUMMARY.prefixes);
  });

  test.each(SIZES)('$addresses (avoids .0 and .255: $avoidsBuggy) has $ipv4 and $ipv6 addresses', (row) => {
    const { value } = pool({ addresses: row.addresses, avoidBuggyIPs: row.avoidsBuggy === true });
    expect(value && poolSize(value)).toEqual({ ipv4: row.ipv4, ipv6: row.ipv6 });
  });

  test('the addresses that are avoided are counted as they are passed over, wherever the range begins and ends', () => {
    for (let first = 250; first <= 262; first++) {
      for (let last = first; last <= 1030; last += 127) {
        const text = (value: number) => `10.0.${value >> 8}.${value & 255}`;
        const { value } = pool({ addresses: [`${text(first)}-${text(last)}`], avoidBuggyIPs: true });
        let count = 0n;
        for (let each = first; each <= last; each++) if ((each & 255) !== 0 && (each & 255) !== 255) count += 1n;
        expect(value && poolSize(value).ipv4).toBe(count);
      }
    }
  });

  test('has every field of v1beta1', () => {
    const { value, problems } = pool({
      addresses: ['10.0.0.0/30'],
      autoAssign: false,
      avoidBuggyIPs: true,
      serviceAllocation: {
        priority: 7,
        namespaces: ['a'],
        namespaceSelectors: [{ matchLabels: { team: 'metallb' } }],
        serviceSelectors: [{ matchLabels: { app: 'web' } }],
      },
    });
    expect(problems).toEqual([]);
    expect(value).toMatchObject({
      name: 'metallb/pool1',
      shortName: 'pool1',
      origin: 'metallb',
      object: { kind: 'IPAddressPool', key: 'metallb-system/pool1' },
      labels: { pool: 'pool1' },
      isAutoAssigned: false,
      avoidsBuggy: true,
      priority: 7,
      needsAdvertisement: true,
      sharing: 'by-key',
      createdAt: '2026-01-31T12:00:00Z',
    });
    const refusal = (namespace: string, namespaceLabels: Record<string, string>, labels: Record<string, string>) =>
      value && scopeRefusal(value.scope, { namespace, name: 'x', labels }, namespaceLabels);
    expect(refusal('a', {}, { app: 'web' })).toBeUndefined();
    expect(refusal('b', { team: 'metallb' }, { app: 'web' })).toBeUndefined();
    expect(refusal('b', {}, { app: 'web' })).toBe('namespace');
    expect(refusal('a', {}, {})).toBe('selector');
  });

  test.each([
    [['10.0.0.0/30', '10.0.0.9-fd00::1'], ['10.0.0.0/30'], 'spec.addresses[1]: "10.0.0.9-fd00::1" begins in one'],
    [['10.0.0.0/30', 7], ['10.0.0.0/30'], 'spec.addresses[1] is 7, not a text'],
    [[], [], 'spec.addresses is empty: the pool has no addresses'],
    ['10.0.0.0/30', [], 'spec.addresses is "10.0.0.0/30", not a list'],
  ])(
    'with anything wrong in its addresses (%j) is closed, says why, and keeps what can be read',
    (addresses, ranges, why) => {
      const { value } = pool({ addresses });
      expect(value?.ranges.map(formatRange)).toEqual(ranges);
      expect(value).toMatchObject({ isClosed: true, closure: { code: 'POOL_INVALID' } });
      expect(value?.closure?.message).toContain(why);
    },
  );

  test('that names an address twice is no worse for it', () => {
    expect(pool({ addresses: ['10.0.0.0/29', '10.0.0.4/30'] }).value?.isClosed).toBe(false);
  });

  test('with only a priority is for every Service (config_test.go:642)', () => {
    const { value } = pool({ addresses: ['10.0.0.0/30'], serviceAllocation: { priority: 3 } });
    expect(value?.priority).toBe(3);
    expect(value && scopeRefusal(value.scope, { namespace: 'a', name: 'x', labels: {} }, {})).toBeUndefined();
  });

  test.each([
    [{ autoAssign: 'false' }, { isAutoAssigned: false }],
    [{ avoidBuggyIPs: 1 }, { avoidsBuggy: true }],
    [{ serviceAllocation: { priority: -1 } }, { priority: 0 }],
    [{ serviceAllocation: { priority: '1' } }, { priority: 0 }],
  ])('%j is read in the sense that gives less', (spec, expected) => {
    const { value, problems } = pool({ addresses: ['10.0.0.0/30'], ...spec });
    expect(value).toMatchObject(expected);
    expect(problems.map(({ code }) => code)).toEqual(['OBJECT_INVALID']);
  });

  test.each([
    [{ serviceAllocation: 'all' }],
    [{ serviceAllocation: { namespaces: 'a' } }],
    [{ serviceAllocation: { namespaces: [7] } }],
    [{ serviceAllocation: { namespaceSelectors: [{ matchLabels: 'team' }] } }],
    [{ serviceAllocation: { namespaceSelectors: {} } }],
    [
      {
        serviceAllocation: { serviceSelectors: [{ matchExpressions: [{ key: 'a', operator: 'in', values: ['b'] }] }] },
      },
    ],
    [{ serviceAllocation: { serviceSelectors: [null] } }],
    [{ serviceAllocation: { serviceSelectors: 'x' } }],
  ])('%j gives to nobody rather than to everybody', (spec) => {
    const { value, problems } = pool({ addresses: ['10.0.0.0/30'], ...spec });
    expect(problems.map(({ code }) => code)).toContain('OBJECT_INVALID');
    expect(value && scopeRefusal(value.scope, { namespace: 'a', name: 'x', labels: {} }, {})).toBeDefined();
  });
});

describe('BGPAdvertisement', () => {
  test.each(BGP)('$source: $specs on $pool tells $told', ({ pool: addresses, specs, told }) => {
    const { problems } = assemblePools({
      ...NO_SOURCES,
      pools: [pool({ addresses })],
      advertisements: specs.map((spec, index) => decodeBgpAdvertisement(raw('BGPAdvertisement', `adv${index}`, spec))),
      nodes,
    });
    expect(problems.map(({ code }) => code)).toEqual(told);
  });

  test('has what the pools need to know, and what BGP will', () => {
    const spec = {
      ipAddressPools: ['pool1'],
      localPref: 100,
      peers: ['p'],
      communities: ['1:2'],
      aggregationLength: 24,
      asPathPrepend: 2,
    };
    expect(decodeBgpAdvertisement(raw('BGPAdvertisement', 'adv', spec))).toMatchObject({
      value: {
        protocol: 'bgp',
        poolNames: ['pool1'],
        bgp: {
          aggregationLength: 24,
          aggregationLengthV6: 128,
          localPreference: 100,
          pathPrepends: 2,
          peers: ['p'],
          communities: ['1:2'],
        },
      },
      problems: [],
    });
  });

  test('with serviceSelectors announces single addresses, whatever lengths it names', () => {
    const spec = { aggregationLength: 24, aggregationLengthV6: 64, serviceSelectors: [{ matchLabels: { a: 'b' } }] };
    const { value } = decodeBgpAdvertisement(raw('BGPAdvertisement', 'adv', spec));
    expect(value?.bgp).toMatchObject({ aggregationLength: 32, aggregationLengthV6: 128 });
  });

  test('says what to do about a conflict, and with whom', () => {
    const { problems } = assemblePools({
      ...NO_SOURCES,
      pools: [pool({ addresses: ['10.0.0.0/24'] })],
      advertisements: [
        decodeBgpAdvertisement(raw('BGPAdvertisement', 'b', { localPref: 2 })),
        decodeBgpAdvertisement(raw('BGPAdvertisement', 'a', { localPref: 1 })),
      ],
      nodes,
    });
    expect(problems).toMatchObject([
      {
        object: { kind: 'BGPAdvertisement', key: 'metallb-system/b' },
        code: 'ADVERTISEMENT_CONFLICT',
        remedy:
          'Give BGPAdvertisement metallb-system/b the localPref of BGPAdvertisement metallb-system/a, or other pools, peers, nodes or aggregation lengths.',
      },
    ]);
  });
});

describe('L2Advertisement', () => {
  test.each(L2)('$source: $spec tells $told', ({ spec, told, isUsed }) => {
    const { problems, advertisements } = assemblePools({
      ...NO_SOURCES,
      pools: [pool({ addresses: ['10.0.0.0/24'] })],
      advertisements: [decodeL2Advertisement(raw('L2Advertisement', 'adv', spec))],
    });
    expect(problems.map(({ code }) => code)).toEqual(told);
    expect(advertisements.length).toBe(isUsed ? 1 : 0);
  });

  test('has every field of v1beta1', () => {
    const { value, problems } = decodeL2Advertisement(
      raw('L2Advertisement', 'adv', {
        ipAddressPools: ['pool1'],
        ipAddressPoolSelectors: [{ matchLabels: { a: 'b' } }],
        nodeSelectors: [{ matchLabels: { c: 'd' } }],
        interfaces: ['eth0'],
        serviceSelectors: [{ matchLabels: { e: 'f' } }],
        preferredNodeSelectors: [{ weight: 50, preference: { matchLabels: { g: 'h' } } }],
      }),
    );
    expect(problems).toEqual([]);
    const selector = (labels: Record<string, string>) => ({ matchLabels: labels, matchExpressions: [] });
    expect(value).toEqual({
      name: 'adv',
      object: { kind: 'L2Advertisement', key: 'metallb-system/adv' },
      origin: 'metallb',
      protocol: 'l2',
      poolNames: ['pool1'],
      poolSelectors: [selector({ a: 'b' })],
      nodeSelectors: [selector({ c: 'd' })],
      serviceSelectors: [selector({ e: 'f' })],
      interfaceNames: ['eth0'],
      interfacePatterns: [],
      preferredNodes: [{ weight: 50, selector: selector({ g: 'h' }) }],
      createdAt: '2026-01-31T12:00:00Z',
    });
  });
});

test('any JSON value is decoded without an exception, and whatever is told names a code and a remedy', () => {
  const shapes = record({ metadata: record({ name: anything(), namespace: anything() }), spec: anything() });
  const specs = record(
    {
      addresses: anything(),
      serviceAllocation: anything(),
      ipAddressPools: anything(),
      interfaces: anything(),
      preferredNodeSelectors: anything(),
      nodeSelectors: anything(),
    },
    { requiredKeys: [] },
  );
  for (const decode of [decodeIpAddressPool, decodeL2Advertisement, decodeBgpAdvertisement]) {
    for (const values of [anything(), shapes, specs.map((spec) => raw('', 'x', spec))]) {
      check(
        property(values, (value) => {
          for (const { code, remedy } of decode(value).problems) {
            expect([code, remedy].every((text) => text !== '')).toBe(true);
          }
        }),
        { numRuns: 50 },
      );
    }
  }
});
