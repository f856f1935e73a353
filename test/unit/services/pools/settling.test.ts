import { describe, expect, it } from 'vitest';

import type { Advertisement, Pool } from '../../../../src/services/model.ts';
import { SETTLING_MS, settlePools, UNSETTLED, type Settled } from '../../../../src/services/pools/settling.ts';
import { advertisement, metallbPool } from '../owner-facts.ts';

const lan = metallbPool('lan', ['10.0.0.1-10.0.0.9']);
const dmz = metallbPool('dmz', ['10.0.1.1-10.0.1.9']);
const own = metallbPool('own', ['10.0.2.1-10.0.2.9'], { origin: 'environment', needsAdvertisement: false });
const ad = advertisement('lan', { poolNames: ['lan'] });

interface Given {
  readonly pools?: readonly Pool[];
  readonly advertisements?: readonly Advertisement[];
  readonly isListed?: boolean;
  readonly isSynced?: boolean;
}

/** What it comes to, one look after the other: the names of pools that are settling, of advertisements, and when to wake. */
function looks(...steps: readonly (readonly [number, Given])[]): readonly unknown[] {
  let state = UNSETTLED;
  return steps.map(([now, { pools = [], advertisements = [], isListed = true, isSynced = true }]) => {
    const settled: Settled = settlePools(state, { pools, advertisements, isListed: () => isListed, isSynced, now });
    state = settled.state;
    const settling = settled.pools.filter((pool) => pool.isSettling === true).map(({ shortName }) => shortName);
    return [settling, settled.advertisements.map(({ name }) => name), settled.wakeAt];
  });
}

const END = 1_000 + SETTLING_MS;

describe('a pool', () => {
  it('is settled when it was there as everything was first seen', () => {
    expect(looks([0, { pools: [lan], isSynced: false }], [1_000, { pools: [lan, own] }])).toEqual([
      [[], [], undefined],
      [[], [], undefined],
    ]);
  });

  it('that appears later is settling for some seconds', () => {
    const later = { pools: [lan, dmz, own] };
    expect(looks([0, { pools: [dmz] }], [1_000, later], [END - 1, later], [END, later], [END + 1, later])).toEqual([
      [[], [], undefined],
      [['lan'], [], END],
      [['lan'], [], END],
      [[], [], undefined],
      [[], [], undefined],
    ]);
  });

  it('that went and comes again is a new one', () => {
    expect(looks([0, { pools: [lan] }], [500, {}], [1_000, { pools: [lan] }]).at(-1)).toEqual([['lan'], [], END]);
  });

  it('is settling while its advertisements can’t be seen, from the first look on, and for some seconds after', () => {
    const half = { pools: [lan, own], isListed: false };
    const whole = { pools: [lan, own] };
    expect(looks([0, half], [90_000, half], [1_000, whole], [END - 1, whole], [END, whole])).toEqual([
      [['lan'], [], undefined],
      [['lan'], [], undefined],
      [['lan'], [], END],
      [['lan'], [], END],
      [[], [], undefined],
    ]);
  });

  it('whose advertisements can’t be seen any more is settling', () => {
    const before = { pools: [lan], advertisements: [ad] };
    expect(looks([0, before], [1_000, { pools: [lan], isListed: false }])).toEqual([
      [[], ['metallb/lan'], undefined],
      [['lan'], ['metallb/lan'], END],
    ]);
  });
});

describe('an advertisement that is gone', () => {
  const before = { pools: [lan, dmz], advertisements: [ad] };

  it('counts for some seconds more where nothing else covers its pool', () => {
    const after = { pools: [lan, dmz] };
    expect(looks([0, before], [1_000, after], [END - 1, after], [END, after], [END + 1, after])).toEqual([
      [[], ['metallb/lan'], undefined],
      [[], ['metallb/lan'], END],
      [[], ['metallb/lan'], END],
      [[], [], undefined],
      [[], [], undefined],
    ]);
  });

  it('and comes again is what it says then', () => {
    const again = { pools: [lan], advertisements: [{ ...ad, interfaceNames: ['eth1'] }] };
    let state = settlePools(UNSETTLED, { ...before, isListed: () => true, isSynced: true, now: 0 }).state;
    state = settlePools(state, {
      pools: [lan],
      advertisements: [],
      isListed: () => true,
      isSynced: true,
      now: 1,
    }).state;
    const settled = settlePools(state, { ...again, isListed: () => true, isSynced: true, now: 2 });
    expect(settled.advertisements).toEqual(again.advertisements);
    expect(settled.wakeAt).toBeUndefined();
  });

  it.each([
    ['another of L2 covers the pool', { pools: [lan], advertisements: [advertisement('all')] }, ['metallb/all']],
    ['the pool is gone as well', { pools: [dmz] }, []],
  ])('is over at once where %s', (_, after, names) => {
    expect(looks([0, before], [1_000, after]).at(-1)).toEqual([[], names, undefined]);
  });

  it('goes on where what is left is for BGP', () => {
    const bgp = advertisement('bgp', { protocol: 'bgp' });
    const after = { pools: [lan], advertisements: [bgp] };
    expect(looks([0, before], [1_000, after]).at(-1)).toEqual([[], ['metallb/bgp', 'metallb/lan'], END]);
  });
});
