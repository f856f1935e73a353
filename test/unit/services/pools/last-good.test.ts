import { describe, expect, test } from 'vitest';
import { formatRange } from '../../../../src/services/address-range.ts';
import type { Advertisement, Decoding, Pool } from '../../../../src/services/model.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../../../../src/services/pools/cilium.ts';
import { readKubeVipPools } from '../../../../src/services/pools/kube-vip.ts';
import { nextAdvertisement, nextKubeVipPools, nextPool } from '../../../../src/services/pools/last-good.ts';
import { decodeIpAddressPool, decodeL2Advertisement } from '../../../../src/services/pools/metallb.ts';

const metadata = { name: 'lan', namespace: 'metallb-system' };

/** What is made of one edit after the other. */
function pools(...decodings: readonly Decoding<Pool>[]): Pool | undefined {
  let good: Pool | undefined;
  let value: Pool | undefined;
  for (const decoding of decodings) {
    const known = nextPool(good, decoding);
    good = known.good;
    value = known.decoding.value;
  }
  return value;
}

function advertisements(...decodings: readonly Decoding<Advertisement>[]): Decoding<Advertisement> | undefined {
  let good: Advertisement | undefined;
  let last: Decoding<Advertisement> | undefined;
  for (const each of decodings) {
    const known = nextAdvertisement(good, each);
    good = known.good;
    last = known.decoding;
  }
  return last;
}

describe('a pool edited into nonsense', () => {
  const metallb = (spec: unknown): Decoding<Pool> => decodeIpAddressPool({ metadata, spec });
  const good = { addresses: ['10.0.0.0/30', '10.1.0.0/30'], serviceAllocation: { namespaces: ['a'] } };

  test.each([
    [{ addresses: ['10.0.0.0/30', '10.1.0.0/3O'] }],
    [{ addresses: 'none' }],
    [{ addresses: [] }],
    [undefined],
  ])('(%j) is what it was to those who have an address of it, and gives nothing new', (bad) => {
    for (const edits of [
      [good, bad],
      [good, bad, bad],
      [bad, good, bad],
    ]) {
      const pool = pools(...edits.map(metallb));
      expect(pool?.ranges.map(formatRange)).toEqual(['10.0.0.0/30', '10.1.0.0/30']);
      expect(pool).toMatchObject({ isClosed: true, closure: { code: 'POOL_INVALID' }, scope: { namespaces: ['a'] } });
    }
  });

  test('is open again when it is right, with what it says then', () => {
    const pool = pools(metallb(good), metallb({ addresses: [] }), metallb({ addresses: ['10.2.0.0/30'] }));
    expect(pool).toMatchObject({ isClosed: false, scope: { namespaces: undefined } });
    expect(pool?.ranges.map(formatRange)).toEqual(['10.2.0.0/30']);
  });

  test('that was never right is closed with what can be read; one that is disabled is no nonsense', () => {
    expect(pools(metallb({ addresses: ['10.0.0.0/30', 'x'] }))).toMatchObject({ isClosed: true });
    const cilium = (spec: unknown) => decodeCiliumPool({ metadata: { name: 'blue' }, spec });
    const edits = [{ blocks: [{ cidr: '10.0.0.0/30' }] }, { blocks: [{ cidr: '10.9.0.0/30' }], disabled: true }];
    expect(pools(...edits.map(cilium))?.ranges.map(formatRange)).toEqual(['10.9.0.0/30']);
  });

  test('of the ConfigMap is a key of its own', () => {
    const read = (data: Readonly<Record<string, string>>) =>
      readKubeVipPools({ key: 'kube-system/kubevip', data }).pools;
    const { good: first } = nextKubeVipPools(
      new Map(),
      read({ 'cidr-global': '10.0.0.0/24', 'cidr-a': '10.1.0.0/24', 'interface-a': 'eth1' }),
    );
    const edited = nextKubeVipPools(first, read({ 'cidr-global': '10.0.0.0/25', 'cidr-a': '10.1.0.0/244' }));
    const shapes = edited.pools.map(({ name, isClosed, ranges, interfaceName }) => [
      name,
      isClosed,
      ranges.map(formatRange),
      interfaceName,
    ]);
    expect(shapes).toEqual([
      ['kubevip/cidr-global', false, ['10.0.0.0/25'], undefined],
      ['kubevip/cidr-a', true, ['10.1.0.0/24'], 'eth1'],
    ]);
    expect(nextKubeVipPools(edited.good, read({})).pools).toEqual([]);
  });
});

describe('an advertisement edited into nonsense', () => {
  const l2 = (spec: unknown): Decoding<Advertisement> => decodeL2Advertisement({ metadata, spec });
  const good = { ipAddressPools: ['lan'], nodeSelectors: [{ matchLabels: { rack: 'a' } }], interfaces: ['eth1'] };

  test.each([
    [{ ...good, ipAddressPools: 'lan' }],
    [{ ...good, nodeSelectors: [{ matchExpressions: [{ key: 'rack', operator: 'Near' }] }] }],
    [{ ...good, interfaces: ['eth1', 7] }],
    [7],
  ])('(%j) goes on saying what it said, and its problems say so', (bad) => {
    for (const edits of [
      [good, bad],
      [good, bad, bad],
    ]) {
      const decoding = advertisements(...edits.map(l2));
      expect(decoding?.value).toEqual(l2(good).value);
      expect(decoding?.problems[0]?.remedy).toMatch(/^Correct spec.*; until then it counts as it was before\.$/);
    }
    expect(advertisements(l2(bad))).toEqual(l2(bad));
  });

  test('says the new when it is right', () => {
    const decoding = advertisements(l2(good), l2(7), l2({ interfaces: ['eth2'] }));
    expect(decoding).toMatchObject({ value: { interfaceNames: ['eth2'] }, problems: [] });
  });

  test('is not one that is told to announce nothing: that ends what it said', () => {
    const policy = (spec: unknown): Decoding<Advertisement> => decodeCiliumPolicy({ metadata: { name: 'p' }, spec });
    const on = policy({ loadBalancerIPs: true });
    expect(advertisements(on, policy({ loadBalancerIPs: false }))?.value).toBeUndefined();
    expect(advertisements(on, policy({}))?.value).toBeUndefined();
    expect(advertisements(on, policy({}), policy({ loadBalancerIPs: 'yes' }))?.value).toBeUndefined();
    expect(advertisements(on, policy({ loadBalancerIPs: 'yes' }))?.value).toEqual(on.value);
    expect(advertisements(on, policy({ loadBalancerIPs: true, interfaces: ['('] }))?.value).toEqual(on.value);
  });
});
