import { array, assert as check, constantFrom, integer, property, record, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatRange, ipAt, ipValue } from '../../../../src/services/address-range.ts';
import type { Pool } from '../../../../src/services/model.ts';
import { assemblePools, NO_SOURCES } from '../../../../src/services/pools/assemble.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../../../../src/services/pools/cilium.ts';
import { parseSvcPools } from '../../../../src/services/pools/environment.ts';
import { readKubeVipPools } from '../../../../src/services/pools/kube-vip.ts';
import {
  decodeBgpAdvertisement,
  decodeIpAddressPool,
  decodeL2Advertisement,
} from '../../../../src/services/pools/metallb.ts';
import { NOTHING } from '../../../../src/services/pools/selection.ts';

interface Made {
  readonly name: string;
  readonly createdAt?: string;
  readonly ranges: readonly string[];
  readonly namespace?: string;
}

function metallb({ name, createdAt, ranges, namespace }: Made) {
  const metadata = { name, namespace: namespace ?? 'metallb-system', creationTimestamp: createdAt };
  return decodeIpAddressPool({ metadata, spec: { addresses: ranges } });
}

function cilium({ name, createdAt, ranges }: Made, disabled = false) {
  const metadata = { name, creationTimestamp: createdAt };
  return decodeCiliumPool({ metadata, spec: { disabled, blocks: ranges.map((cidr) => ({ cidr })) } });
}

const shape = (pools: readonly Pool[]) =>
  pools.map(({ name, isClosed, ranges }) => [name, isClosed ? 'closed' : 'open', ranges.map(formatRange).join(' ')]);

/** Every address of the pool, for small pools. */
function members({ ranges }: Pool): readonly string[] {
  return ranges.flatMap(({ first, last }) => {
    const size = Number(ipValue(last) - ipValue(first)) + 1;
    return Array.from({ length: size }, (_, index) => ipAt(first.family, ipValue(first) + BigInt(index)).text);
  });
}

describe('pools of all sources', () => {
  test('come in the order environment, kube-vip, MetalLB, Cilium; within one by creation, then name', () => {
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      environment: parseSvcPools('10.0.0.0/30'),
      kubeVip: readKubeVipPools({ key: 'kube-system/kubevip', data: { 'cidr-global': '10.1.0.0/30' } }),
      pools: [
        cilium({ name: 'a', ranges: ['10.5.0.0/30'], createdAt: '2020-01-01T00:00:00Z' }),
        metallb({ name: 'new', ranges: ['10.2.0.0/30'] }),
        metallb({ name: 'young', ranges: ['10.3.0.0/30'], createdAt: '2026-01-02T00:00:00Z' }),
        metallb({ name: 'z', ranges: ['10.4.0.0/30'], createdAt: '2026-01-01T00:00:00Z' }),
        metallb({ name: 'b', ranges: ['10.4.1.0/30'], createdAt: '2026-01-01T00:00:00Z' }),
      ],
    });
    expect(pools.map(({ name }) => name)).toEqual([
      'svc_pools',
      'kubevip/cidr-global',
      'metallb/b',
      'metallb/z',
      'metallb/young',
      'metallb/new',
      'cilium/a',
    ]);
    expect(problems).toEqual([]);
  });

  test('keep their problems, and a source without anything is none', () => {
    expect(assemblePools(NO_SOURCES)).toEqual({ pools: [], advertisements: [], unread: [], problems: [] });
    const { problems } = assemblePools({
      ...NO_SOURCES,
      environment: parseSvcPools('x'),
      kubeVip: readKubeVipPools({ key: 'a/b', data: { 'cidr-global': 'x' } }),
      pools: [metallb({ name: 'a', ranges: ['x'] }), decodeIpAddressPool(7)],
    });
    expect(problems.map(({ object }) => object.kind)).toEqual([
      'Environment',
      'ConfigMap',
      'IPAddressPool',
      'IPAddressPool',
    ]);
  });

  test('of one name in two namespaces are told apart, and told', () => {
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      pools: ['one', 'two', 'two'].map((namespace, index) =>
        metallb({ name: 'lan', namespace, ranges: [`10.0.${index}.0/30`] }),
      ),
    });
    expect(pools.map(({ name, shortName }) => [name, shortName])).toEqual([
      ['metallb/lan', 'lan'],
      ['metallb/two/lan', 'lan'],
      ['metallb/two/lan-2', 'lan'],
    ]);
    expect(problems.map(({ code, object }) => [code, object.key])).toEqual([
      ['OBJECT_INVALID', 'two/lan'],
      ['OBJECT_INVALID', 'two/lan'],
    ]);
  });
});

describe('pools with addresses in common', () => {
  test('the later one is closed until that is resolved: it keeps what it gave, and all that it is', () => {
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      pools: [
        cilium({ name: 'blue', ranges: ['10.0.0.0/24', 'fd00::/124'] }),
        metallb({ name: 'lan', ranges: ['10.0.0.16/28'] }),
      ],
    });
    expect(shape(pools)).toEqual([
      ['metallb/lan', 'open', '10.0.0.16/28'],
      ['cilium/blue', 'closed', '10.0.0.0/24 fd00::/124'],
    ]);
    expect(pools[1]?.closure).toMatchObject({
      code: 'POOL_CONFLICT',
      message: '10.0.0.16/28 is in metallb/lan as well',
    });
    expect(problems).toEqual([
      {
        object: { kind: 'CiliumLoadBalancerIPPool', key: 'blue' },
        code: 'POOL_CONFLICT',
        message:
          '10.0.0.16/28 of the pool cilium/blue is in metallb/lan as well, which alone gives it, and the later pool gives nothing new',
        remedy:
          'Take 10.0.0.16/28 out of CiliumLoadBalancerIPPool blue: until then only IPAddressPool metallb-system/lan gives these addresses, and the later pool gives nothing new.',
      },
    ]);
  });

  test('one that has nothing of its own is closed whole', () => {
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      environment: parseSvcPools('a=10.0.0.0/24;b=10.0.0.0/28'),
    });
    expect(shape(pools)).toEqual([
      ['svc_pools/a', 'open', '10.0.0.0/24'],
      ['svc_pools/b', 'closed', '10.0.0.0/28'],
    ]);
    expect(problems[0]?.remedy).toBe(
      'Take 10.0.0.0/28 out of svc_pools/b: until then only svc_pools/a gives these addresses.',
    );
  });

  test('keys of kube-vip’s ConfigMap may have addresses in common, and both give them', () => {
    const data = { 'cidr-global': '10.0.0.0/24', 'cidr-a': '10.0.0.0/28' };
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      kubeVip: readKubeVipPools({ key: 'kube-system/kubevip', data }),
    });
    expect(shape(pools)).toEqual([
      ['kubevip/cidr-a', 'open', '10.0.0.0/28'],
      ['kubevip/cidr-global', 'open', '10.0.0.0/24'],
    ]);
    expect(problems).toEqual([]);
  });

  test('of two of svc_pools the later one yields the common part, keeps what it gave there, and gives the rest', () => {
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      environment: parseSvcPools('a=10.0.0.0/28;b=10.0.0.0/24'),
    });
    expect(shape(pools)).toEqual([
      ['svc_pools/a', 'open', '10.0.0.0/28'],
      ['svc_pools/b', 'open', '10.0.0.16-10.0.0.255'],
      ['svc_pools/b (conflict)', 'closed', '10.0.0.0/28'],
    ]);
    expect(pools[2]).toMatchObject({
      ...pools[1],
      name: 'svc_pools/b (conflict)',
      isClosed: true,
      ranges: pools[0]?.ranges,
    });
    expect(problems[0]?.remedy).toContain('Take 10.0.0.0/28 out of svc_pools/b');
  });

  test('a closed pool is in nobody’s way, and yields nothing', () => {
    const { pools, problems } = assemblePools({
      ...NO_SOURCES,
      pools: [
        cilium({ name: 'a', ranges: ['10.0.0.0/24'] }, true),
        cilium({ name: 'b', ranges: ['10.0.0.0/28'] }),
        cilium({ name: 'c', ranges: ['10.0.0.0/28'] }, true),
      ],
    });
    expect(shape(pools)).toEqual([
      ['cilium/a', 'closed', '10.0.0.0/24'],
      ['cilium/b', 'open', '10.0.0.0/28'],
      ['cilium/c', 'closed', '10.0.0.0/28'],
    ]);
    expect(problems).toEqual([]);
  });

  test('of many, one problem names one other pool, and the last how many there are besides', () => {
    const { problems } = assemblePools({
      ...NO_SOURCES,
      pools: [
        ...Array.from({ length: 20 }, (_, index) =>
          metallb({ name: `p${index}`, ranges: [`10.0.${index}.0/24`, `10.1.${index}.0/24`] }),
        ),
        cilium({ name: 'all', ranges: ['10.0.0.0/8'] }),
      ],
    });
    expect(problems.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => 'POOL_CONFLICT'));
    expect(problems[0]?.message).toBe(
      '10.0.0.0/24 (and 1 more ranges) of the pool cilium/all is in metallb/p0 as well, which alone gives it, and the later pool gives nothing new',
    );
    expect(problems.at(-1)?.message).toContain('12 more pools are in conflict with it');
  });

  test('no address is given by two pools, none is forgotten, and what is given the earliest open one gives', () => {
    const range = tuple(integer({ min: 0, max: 60 }), integer({ min: 0, max: 20 })).map(
      ([start, extent]) => `10.0.0.${start}-10.0.0.${start + extent}`,
    );
    const made = record({ ranges: array(range, { maxLength: 3 }), origin: constantFrom('metallb', 'environment') });
    check(
      property(array(made, { maxLength: 6 }), (list) => {
        const texts = list.filter(({ origin }) => origin === 'environment').map(({ ranges }) => ranges.join(','));
        const environment = parseSvcPools(texts.map((text, index) => `e${index}=${text}`).join(';'));
        const decoded = list.map(({ ranges }, index) => metallb({ name: `m${index}`, ranges }));
        const given = [...environment.pools, ...decoded.flatMap(({ value }) => value ?? [])];
        const { pools } = assemblePools({ ...NO_SOURCES, environment, pools: decoded });
        const open = pools.filter(({ isClosed }) => !isClosed);
        const isOpen = (name: string) => open.some((pool) => pool.name === name);
        const sets = new Map([...given, ...pools].map((pool) => [pool, new Set(members(pool))] as const));
        const has = (pool: Pool, address: string) => sets.get(pool)?.has(address) === true;
        const givers = new Map<string, string>();
        const twice: string[] = [];
        for (const pool of open) {
          for (const address of members(pool)) {
            if (givers.has(address)) twice.push(address);
            givers.set(address, pool.name);
          }
        }
        expect(twice).toEqual([]);
        for (const pool of given) {
          const holders = pools.filter(({ name }) => name === pool.name || name === `${pool.name} (conflict)`);
          const addresses = members(pool);
          const firsts = addresses.map(
            (address) => given.find((each) => has(each, address) && isOpen(each.name))?.name,
          );
          expect(addresses.map((address) => givers.get(address))).toEqual(firsts);
          expect(addresses.filter((address) => !holders.some((each) => has(each, address)))).toEqual([]);
        }
        expect(new Set(pools.map(({ name }) => name)).size).toBe(pools.length);
      }),
    );
  });

  test('thousands of pools are settled without comparing each with each', () => {
    const pools = Array.from({ length: 5_000 }, (_, index) =>
      metallb({ name: `p${index}`, ranges: [`10.${index >> 8}.${index & 255}.0/24`] }),
    );
    const assembled = assemblePools({
      ...NO_SOURCES,
      pools: [...pools, cilium({ name: 'all', ranges: ['10.0.0.0/8'] })],
    });
    expect([assembled.pools.length, assembled.problems.length]).toEqual([5_001, 8]);
    expect(assembled.pools[5_000]).toMatchObject({ name: 'cilium/all', isClosed: true });
  });
});

describe('advertisements of which nothing can be read', () => {
  const named = (name: string) => ({ name, namespace: 'metallb-system' });
  const { advertisements, unread, problems } = assemblePools({
    ...NO_SOURCES,
    advertisements: [
      decodeL2Advertisement({ metadata: named('list'), spec: { ipAddressPools: 'lan' } }),
      decodeL2Advertisement({ metadata: named('number'), spec: 7 }),
      decodeCiliumPolicy({ metadata: { name: 'flag' }, spec: { loadBalancerIPs: 'yes' } }),
      decodeCiliumPolicy({ metadata: { name: 'idle' }, spec: { loadBalancerIPs: false } }),
      decodeBgpAdvertisement({ metadata: named('bgp'), spec: { ipAddressPools: 'lan' } }),
    ],
  });

  test('are known as such, but for those that want nothing or are for BGP', () => {
    expect(advertisements).toEqual([]);
    expect(unread.map(({ origin, object }) => [origin, `${object.kind} ${object.key}`])).toEqual([
      ['cilium', 'CiliumL2AnnouncementPolicy flag'],
      ['metallb', 'L2Advertisement metallb-system/list'],
      ['metallb', 'L2Advertisement metallb-system/number'],
    ]);
    expect(unread.every(({ poolSelectors }) => poolSelectors.includes(NOTHING))).toBe(true);
  });

  test('are told as what they are, and nothing besides', () => {
    const told = new Set(problems.map(({ object, code }) => `${object.key} ${code}`));
    expect(told).toEqual(
      new Set([
        'flag ADVERTISEMENT_IDLE',
        'flag OBJECT_INVALID',
        'idle ADVERTISEMENT_IDLE',
        'metallb-system/bgp OBJECT_INVALID',
        'metallb-system/list OBJECT_INVALID',
        'metallb-system/number OBJECT_INVALID',
      ]),
    );
  });
});
