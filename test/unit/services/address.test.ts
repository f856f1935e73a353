import { describe, expect, it } from 'vitest';

import { serviceAddresses } from '../../../src/services/address.ts';
import type { ServiceAddress } from '../../../src/services/model.ts';
import { newPool } from '../../../src/services/pools/pool.ts';
import { allocation, range } from './owner-facts.ts';

const pool = (name: string, ...ranges: string[]) =>
  newPool({ name, shortName: name, origin: 'environment', ranges: ranges.map(range) });
const shown = (all: readonly ServiceAddress[]): unknown =>
  all.map(({ address, pool: of, allocations }) => [
    address.text,
    of?.name,
    allocations.map(({ service }) => service.key).join(' '),
  ]);

describe('the addresses of Services', () => {
  const lan = pool('lan', '10.0.0.1-10.0.0.99', 'fd00::1-fd00::ff');

  it('come in numeric order, IPv4 first', () => {
    const all = serviceAddresses(
      [
        allocation('ns/a', ['fd00::2', '10.0.0.10'], { pool: 'lan' }),
        allocation('ns/b', ['10.0.0.9'], { pool: 'lan' }),
        allocation('ns/c', ['fd00::1'], { pool: 'lan' }),
      ],
      [lan],
    );
    expect(shown(all)).toEqual([
      ['10.0.0.9', 'lan', 'ns/b'],
      ['10.0.0.10', 'lan', 'ns/a'],
      ['fd00::1', 'lan', 'ns/c'],
      ['fd00::2', 'lan', 'ns/a'],
    ]);
  });

  it('hold all Services that share one, the oldest first, then by name, whatever the order they come in', () => {
    const shared = [
      allocation('ns/young', ['10.0.0.1'], { pool: 'lan', createdAt: '2026-02-01T00:00:00Z' }),
      allocation('ns/b', ['10.0.0.1'], { pool: 'lan', createdAt: '2026-01-01T00:00:00Z' }),
      allocation('ns/a', ['10.0.0.1', '10.0.0.1'], { pool: 'lan', createdAt: '2026-01-01T00:00:00Z' }),
    ];
    const expected = [['10.0.0.1', 'lan', 'ns/a ns/b ns/young']];
    expect(shown(serviceAddresses(shared, [lan]))).toEqual(expected);
    expect(shown(serviceAddresses(shared.toReversed(), [lan]))).toEqual(expected);
  });

  it('know their own pool, where a dual-stack Service has addresses of two', () => {
    const v6 = pool('v6', 'fd01::1-fd01::9');
    const all = serviceAddresses([allocation('ns/a', ['10.0.0.1', 'fd01::1'], { pool: 'lan' })], [v6, lan]);
    expect(shown(all)).toEqual([
      ['10.0.0.1', 'lan', 'ns/a'],
      ['fd01::1', 'v6', 'ns/a'],
    ]);
  });

  it('prefer the pool they were given from, where two pools hold them', () => {
    const wide = pool('wide', '10.0.0.0-10.255.255.255');
    expect(shown(serviceAddresses([allocation('ns/a', ['10.0.0.1'], { pool: 'lan' })], [wide, lan]))).toEqual([
      ['10.0.0.1', 'lan', 'ns/a'],
    ]);
  });

  it('have no pool when none holds them any more', () => {
    const all = serviceAddresses([allocation('ns/a', ['192.0.2.1'], { pool: 'lan' })], [lan]);
    expect(shown(all)).toEqual([['192.0.2.1', undefined, 'ns/a']]);
  });
});
