import { assert as check, array, constantFrom, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatRange } from '../../../../src/services/address-range.ts';
import { parseSvcPools } from '../../../../src/services/pools/environment.ts';
import { POOL_RANGES_MAX } from '../../../../src/services/pools/report.ts';

function read(text: string) {
  const { pools, problems } = parseSvcPools(text);
  return {
    pools: pools.map(({ name, shortName, ranges }) => [name, shortName, ranges.map(formatRange).join(' ')]),
    problems: problems.map(({ message }) => message),
    codes: problems.map(({ code }) => code),
  };
}

describe('svc_pools', () => {
  test('is one pool without a name', () => {
    expect(read('192.168.0.200-192.168.0.250')).toEqual({
      pools: [['svc_pools', 'svc_pools', '192.168.0.200-192.168.0.250']],
      problems: [],
      codes: [],
    });
  });

  test('takes both families in one pool, CIDRs, ranges and single addresses', () => {
    expect(read('10.0.0.8/29, 10.0.1.1 ,fd00::10-fd00::1f').pools).toEqual([
      ['svc_pools', 'svc_pools', '10.0.0.8/29 10.0.1.1 fd00::10/124'],
    ]);
  });

  test('has named pools beside pools without a name, each under a name of its own', () => {
    expect(read('lan=10.0.0.0/30;10.0.1.0/30; dmz = 10.0.2.0/30 ;10.0.3.0/30;').pools).toEqual([
      ['svc_pools/lan', 'lan', '10.0.0.0/30'],
      ['svc_pools', 'svc_pools', '10.0.1.0/30'],
      ['svc_pools/dmz', 'dmz', '10.0.2.0/30'],
      ['svc_pools-2', 'svc_pools-2', '10.0.3.0/30'],
    ]);
  });

  test('may be empty, which is no problem', () => {
    for (const text of ['', ' ', ';', ' ; ; ']) expect(read(text)).toEqual({ pools: [], problems: [], codes: [] });
  });

  test.each([
    ['lan=10.0.0.0/33', 'pool lan: "10.0.0.0/33" has a prefix length that its family has not'],
    ['lan=10.0.0.9-10.0.0.1', 'pool lan: "10.0.0.9-10.0.0.1" ends before it begins'],
    ['1.2.3.10-1000::1', 'pool svc_pools: "1.2.3.10-1000::1" begins in one address family and ends in the other'],
    ['lan=10.0.0.1-20', 'pool lan: "20" is not an IP address'],
    ['lan=010.0.0.1', 'pool lan: "010.0.0.1" has an octet with a leading zero'],
    ['lan=', 'pool lan has no ranges'],
    ['lan', 'pool svc_pools: "lan" is neither a CIDR'],
    ['=10.0.0.9', 'there is no name before "="'],
    ['l an=10.0.0.9', '"l an" is no name for a pool'],
    ['lan=10.0.0.9=10.0.0.10', 'pool lan: "10.0.0.9=10.0.0.10" is neither a CIDR'],
    ['lan=10.0.0.9,10.0.0.8/30', 'the pool names 10.0.0.9 more than once: it counts once'],
    ['lan=10.0.0.9;lan=10.0.0.10', 'the pool lan is given twice: its ranges are taken together'],
  ])('%s: %s', (text, message) => {
    const { problems, codes } = read(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(message);
    expect(codes).toEqual(['POOL_INVALID']);
  });

  test('keeps what is right beside what is wrong', () => {
    const { pools, problems } = read('a=10.0.0.0/30,rubbish,10.0.1.0/30;b=rubbish;c=10.0.2.0/30');
    expect(pools).toEqual([
      ['svc_pools/a', 'a', '10.0.0.0/30 10.0.1.0/30'],
      ['svc_pools/c', 'c', '10.0.2.0/30'],
    ]);
    expect(problems).toHaveLength(2);
  });

  test('says what to correct, and where', () => {
    expect(parseSvcPools('lan=10.0.0.0/33').problems[0]).toMatchObject({
      object: { kind: 'Environment', key: 'svc_pools' },
      remedy: 'Correct pool lan of svc_pools: a CIDR, or first-last of one family; its other ranges are used.',
    });
  });

  test('is bounded in pools, ranges and problems, and says so', () => {
    const many = parseSvcPools(
      Array.from({ length: 5_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`).join(';'),
    );
    expect([many.pools.length, many.problems.length]).toEqual([100, 1]);
    const wide = Array.from({ length: POOL_RANGES_MAX + 9 }, (_, index) => `10.${index >> 8}.${index & 255}.1`);
    const { pools, problems } = parseSvcPools(wide.join(','));
    expect([pools[0]?.ranges.length, problems.length]).toEqual([POOL_RANGES_MAX, 1]);
    expect(parseSvcPools(Array.from({ length: 500 }, () => 'x').join(',')).problems.length).toBe(17);
  });

  test('reads any text without an exception, and gives pools of different names', () => {
    const parts = array(
      constantFrom('lan', '=', ';', ',', '10.0.0.1', '/30', '-', '10.0.0.9', 'svc_pools', '-2', ' ', '::'),
    );
    for (const text of [string(), parts.map((list) => list.join(''))]) {
      check(
        property(text, (written) => {
          const { pools } = parseSvcPools(written);
          expect(new Set(pools.map(({ name }) => name)).size).toBe(pools.length);
          expect(new Set(pools.map(({ shortName }) => shortName)).size).toBe(pools.length);
        }),
      );
    }
  });
});
