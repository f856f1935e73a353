import { assert as check, constantFrom, dictionary, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatRange } from '../../../../src/services/address-range.ts';
import { firstFree, type SearchCursor } from '../../../../src/services/address-search.ts';
import type { Pool } from '../../../../src/services/model.ts';
import { readKubeVipPools } from '../../../../src/services/pools/kube-vip.ts';
import { poolTerms } from '../../../../src/services/pools/pool.ts';
import { scopeRefusal } from '../../../../src/services/scope.ts';
import { FAMILIES, FREE, LOOKUPS, SETS, SPLITS } from '../../../vectors/pools/kube-vip.ts';

function read(data: Readonly<Record<string, string>>) {
  return readKubeVipPools({ key: 'kube-system/kubevip', data });
}

/** The pools a Service of the namespace may get new addresses from. */
function poolsFor(data: Readonly<Record<string, string>>, namespace: string): readonly Pool[] {
  const service = { namespace, name: 'web', labels: {} };
  return read(data).pools.filter((pool) => !pool.isClosed && scopeRefusal(pool.scope, service, {}) === undefined);
}

/** Every address of the pool, in the order it is given, .0 and .255 included. */
function addresses(pool: Pool): readonly string[] {
  const found: string[] = [];
  let cursor: SearchCursor | undefined;
  for (;;) {
    const result = firstFree({ ...pool, avoidsBuggy: false }, () => true, cursor);
    if (result.kind !== 'found') return found;
    found.push(result.address.text);
    cursor = result.next;
  }
}

describe('values as kube-vip-cloud-provider reads them', () => {
  test('there are vectors', () => {
    expect([SETS, SPLITS, FREE, LOOKUPS, FAMILIES].map(({ length }) => length)).toEqual([13, 2, 20, 15, 9]);
  });

  test.each(SETS)(
    '$value (skips ends: $skipsEnds) is $addresses ($source)',
    ({ value, skipsEnds, addresses: expected }) => {
      const [pool] = poolsFor({ 'cidr-global': value, 'skip-end-ips-in-cidr': String(skipsEnds === true) }, 'test');
      expect(pool && addresses(pool)).toEqual(expected);
    },
  );

  test.each(SPLITS)('$value is $ipv4 and $ipv6 ($source)', ({ value, ipv4, ipv6 }) => {
    const [pool] = poolsFor({ 'cidr-global': value }, 'test');
    const given = (family: string) => pool?.ranges.filter(({ first }) => first.family === family).map(formatRange);
    expect([given('ipv4'), given('ipv6')]).toEqual([ipv4, ipv6]);
  });

  test.each(FREE)('of $value less $used, $address is given ($settings, $source)', (row) => {
    const [pool] = poolsFor({ 'range-global': row.value, ...row.settings }, 'test');
    const result = pool && firstFree(pool, ({ text }) => row.used?.includes(text) !== true);
    expect(result?.kind).toBe(row.address === undefined ? 'exhausted' : 'found');
    expect(result?.kind === 'found' ? result.address.text : undefined).toBe(row.address);
  });

  test.each(FAMILIES)('$source: $address', ({ value, used, family, address }) => {
    const [pool] = poolsFor({ 'range-global': value }, 'test');
    const result = pool && firstFree({ ...pool, family }, ({ text }) => used?.includes(text) !== true);
    expect(result?.kind === 'found' ? result.address.text : undefined).toBe(address);
  });
});

describe('the key that is looked up', () => {
  test.each(LOOKUPS)('$namespace: $key ($source)', ({ data, namespace, key, isGlobal, shares, interfaceName }) => {
    const pools = poolsFor(data, namespace);
    expect(pools.map(({ shortName }) => shortName)).toEqual(key === undefined ? [] : [key]);
    const [pool] = pools;
    if (pool === undefined) return;
    expect(pool.scope.namespaces === undefined).toBe(isGlobal === true);
    const terms = poolTerms(pool, namespace);
    expect([terms.sharing, terms.interfaceName]).toEqual([shares === true ? 'by-ports' : 'by-key', interfaceName]);
  });

  test('is never more than one, and the first of cidr-<ns>, cidr-global, range-<ns>, range-global that exists', () => {
    const keys = ['cidr-a', 'cidr-global', 'range-a', 'range-global'];
    for (let mask = 0; mask < 2 ** keys.length; mask++) {
      const present = keys.filter((_, index) => (mask & (1 << index)) !== 0);
      const data = Object.fromEntries(present.map((key, index) => [key, `10.${index}.0.0/30`]));
      const own = poolsFor(data, 'a').map(({ shortName }) => shortName);
      const others = poolsFor(data, 'b').map(({ shortName }) => shortName);
      expect(own).toEqual(present.slice(0, 1));
      expect(others).toEqual(present.filter((key) => key.endsWith('global')).slice(0, 1));
    }
  });

  test('that is never reached is told, and closed: what it gave stays', () => {
    const { pools, problems } = read({ 'cidr-global': '10.0.0.0/24', 'range-a': '10.1.0.1-10.1.0.9' });
    expect(problems.map(({ code, message, remedy }) => [code, message, remedy])).toEqual([
      [
        'POOL_SHADOWED',
        'range-a can never be used: cidr-global is looked up first',
        'Remove range-a, or cidr-global, which is looked up first.',
      ],
    ]);
    expect(pools.map(({ name, isClosed, ranges }) => [name, isClosed, ranges.map(formatRange)])).toEqual([
      ['kubevip/cidr-global', false, ['10.0.0.0/24']],
      ['kubevip/range-a', true, ['10.1.0.1-10.1.0.9']],
    ]);
  });

  test('pools of namespaces come before those of all, so that they keep what both have', () => {
    const { pools } = read({ 'cidr-global': '10.0.0.0/8', 'cidr-z': '10.0.1.0/24', 'cidr-b': '10.0.2.0/24' });
    expect(pools.map(({ shortName }) => shortName)).toEqual(['cidr-b', 'cidr-z', 'cidr-global']);
  });

  test('interface and sharing of a namespace hold within the pool of all', () => {
    const [pool] = read({
      'cidr-global': '10.0.0.0/24',
      'interface-global': 'eth0',
      'interface-a': 'eth1',
      'allow-share-b': 'true',
      'interface-c': '',
    }).pools;
    const terms = ['a', 'b', 'c', 'd', 'constructor'].map((namespace) => pool && poolTerms(pool, namespace));
    expect(terms.map((each) => [each?.sharing, each?.interfaceName])).toEqual([
      ['by-key', 'eth1'],
      ['by-ports', 'eth0'],
      ['by-key', undefined],
      ['by-key', 'eth0'],
      ['by-key', 'eth0'],
    ]);
  });
});

describe('the ConfigMap otherwise', () => {
  test('0.0.0.0/32 is DHCP', () => {
    expect(read({ 'cidr-global': '0.0.0.0/32' })).toMatchObject({
      pools: [{ isDhcp: true, ranges: [] }],
      problems: [],
    });
    expect(read({ 'cidr-global': '0.0.0.0/32,10.0.0.0/30' }).pools[0]?.isDhcp).toBe(false);
  });

  test('addresses are searched from the lowest, whatever the order they are written in', () => {
    const [pool] = read({ 'cidr-global': '10.0.9.0/30,10.0.1.0/30,fd00::/127' }).pools;
    expect(pool?.ranges.map(formatRange)).toEqual(['10.0.1.0/30', '10.0.9.0/30', 'fd00::/127']);
  });

  test('joined prefixes lose the ends of the whole', () => {
    const data = { 'cidr-global': '10.0.0.0/25,10.0.0.128/25,fd00::/126', 'skip-end-ips-in-cidr': 'true' };
    expect(read(data).pools[0]?.ranges.map(formatRange)).toEqual(['10.0.0.1-10.0.0.254', 'fd00::/126']);
  });

  test.each([
    'rubbish',
    '',
    '10.0.0.0/24,',
    '10.0.0.0/24,10.0.1.1-10.0.1.9',
    '10.0.0.9-10.0.0.1',
    '10.0.0.1',
    '10.0.0.0/33',
  ])(
    'a value that is wrong anywhere (%s) closes its key only, and its namespace gets nothing from elsewhere',
    (value) => {
      const data = { 'cidr-a': value, 'cidr-b': '10.2.0.0/24', 'cidr-global': '10.3.0.0/24' };
      const { problems } = read(data);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatchObject({
        code: 'POOL_INVALID',
        object: { kind: 'ConfigMap', key: 'kube-system/kubevip' },
      });
      expect(problems[0]?.message).toMatch(/^cidr-a: /);
      expect(problems[0]?.remedy).toContain('until then it gives nothing new, and what it gave is kept.');
      expect(['a', 'b', 'c'].map((namespace) => poolsFor(data, namespace).map(({ shortName }) => shortName))).toEqual([
        [],
        ['cidr-b'],
        ['cidr-global'],
      ]);
    },
  );

  test('settings that are none are told, and the default is used', () => {
    const { pools, problems } = read({
      'cidr-global': '10.0.0.0/24',
      'search-order': 'descending',
      'skip-end-ips-in-cidr': 'yes',
      'allow-share-global': 'maybe',
      'interface-global': 'eth0,eth1 and more',
      cidr_global: '10.0.0.0/24',
      'cidr-Global': '10.0.0.0/24',
    });
    expect(pools).toHaveLength(1);
    expect(pools[0]).toMatchObject({ order: 'ascending', sharing: 'by-key', interfaceName: undefined });
    expect(pools[0]?.ranges.map(formatRange)).toEqual(['10.0.0.0/24']);
    expect(problems.map(({ code }) => code)).toEqual(Array.from({ length: 6 }, () => 'OBJECT_INVALID'));
    expect(new Set(problems.map(({ message }) => message.split(' ')[0]))).toEqual(
      new Set([
        '"cidr-Global"',
        '"cidr_global"',
        'allow-share-global',
        'interface-global',
        'search-order',
        'skip-end-ips-in-cidr',
      ]),
    );
  });

  test('thousands of keys are bounded, and no namespace falls through to the pool of all', () => {
    const data: Record<string, string> = { 'cidr-global': '10.0.0.0/8' };
    for (let index = 0; index < 5_000; index++) data[`cidr-n${String(index).padStart(5, '0')}`] = '10.0.0.0/30';
    const { pools, problems } = read(data);
    expect([pools.length, problems.length]).toEqual([1_001, 1]);
    expect(poolsFor(data, 'n04999')).toEqual([]);
  });

  test('any data is read without an exception, into pools of different names', () => {
    const keys = constantFrom(
      'cidr-global',
      'cidr-a',
      'range-a',
      'range-global',
      'interface-a',
      'allow-share-global',
      '__proto__',
      'search-order',
    );
    const values = constantFrom('10.0.0.0/30', '10.0.0.1-10.0.0.9', '0.0.0.0/32', '', 'x', 'true', 'desc', '::/0');
    for (const data of [dictionary(keys, values), dictionary(string(), string())]) {
      check(
        property(data, (written) => {
          const { pools } = read(written);
          expect(new Set(pools.map(({ name }) => name)).size).toBe(pools.length);
        }),
      );
    }
  });
});
