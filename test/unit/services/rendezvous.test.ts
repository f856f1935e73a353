import { createHash } from 'node:crypto';

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  compareScores,
  DRAWS_MAX,
  rendezvousMemo,
  rendezvousOrder,
  rendezvousScore,
  type Entrant,
} from '../../../src/services/rendezvous.ts';

const NODE_NAMES = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), { minLength: 1, maxLength: 9 });
const equal = (names: readonly string[]): Entrant[] => names.map((name) => ({ name, weight: 1 }));
const addressOf = (index: number): string => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
const firstOf = (address: string, entrants: readonly Entrant[], memo = rendezvousMemo()): string | undefined =>
  rendezvousOrder(address, entrants, memo)[0];

describe('rendezvous hashing', () => {
  it('with equal weights is in order of the octets of sha256(node#address), as MetalLB', () => {
    fc.assert(
      fc.property(NODE_NAMES, fc.ipV4(), (names, address) => {
        const digest = (name: string): string => createHash('sha256').update(`${name}#${address}`).digest('hex');
        const expected = names.toSorted((a, b) => (digest(a) < digest(b) ? -1 : 1));
        expect(rendezvousOrder(address, equal(names))).toEqual(expected);
        expect(
          rendezvousOrder(
            address,
            equal(names).map((each) => ({ ...each, weight: 37 })),
          ),
        ).toEqual(expected);
      }),
    );
  });

  it('scores by the first 53 bits of the digest: -weight / ln(1 - d / 2⁵³)', () => {
    const digest = createHash('sha256').update('n1#10.0.0.1').digest();
    const d = Number(digest.readBigUInt64BE() >> 11n);
    expect(rendezvousScore('n1', 3, '10.0.0.1', rendezvousMemo())).toBe(-3 / Math.log1p(-d / 2 ** 53));
    expect(rendezvousScore('n1', 3, '10.0.0.1', rendezvousMemo())).toBeCloseTo(-3 / Math.log(1 - d / 2 ** 53), 9);
  });

  it('is the same order whatever the order of the nodes, and whatever was asked before', () => {
    const memo = rendezvousMemo();
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.record({ name: fc.stringMatching(/^n[0-9]{1,2}$/), weight: fc.integer({ min: 0, max: 5 }) }),
          {
            selector: ({ name }) => name,
            maxLength: 20,
          },
        ),
        fc.ipV6(),
        (entrants, address) => {
          const order = rendezvousOrder(address, entrants, memo);
          expect(rendezvousOrder(address, entrants.toReversed())).toEqual(order);
          expect(order.toSorted()).toEqual(
            entrants.flatMap(({ name, weight }) => (weight > 0 ? [name] : [])).toSorted(),
          );
        },
      ),
    );
  });

  it('moves only the addresses of a node that leaves', () => {
    const memo = rendezvousMemo();
    const all = ['a', 'b', 'c', 'd', 'e'].map((name, index) => ({ name, weight: 1 + index }));
    const left = all.filter(({ name }) => name !== 'c');
    let moved = 0;
    for (let index = 0; index < 2_000; index++) {
      const before = firstOf(addressOf(index), all, memo);
      const after = firstOf(addressOf(index), left, memo);
      if (before === 'c') moved += 1;
      else expect(after).toBe(before);
    }
    expect(moved).toBeGreaterThan(0);
  });

  it('gives a node that joins about its share, and moves nothing else', () => {
    const memo = rendezvousMemo();
    const before = equal(['a', 'b', 'c', 'd']);
    const after = equal(['a', 'b', 'c', 'd', 'new']);
    let taken = 0;
    for (let index = 0; index < 5_000; index++) {
      const owner = firstOf(addressOf(index), after, memo);
      if (owner === 'new') taken += 1;
      else expect(owner).toBe(firstOf(addressOf(index), before, memo));
    }
    expect(taken / 5_000).toBeCloseTo(1 / 5, 1);
  });

  it('meets weights over thousands of addresses', () => {
    const memo = rendezvousMemo();
    const entrants = [
      { name: 'a', weight: 1 },
      { name: 'b', weight: 2 },
      { name: 'c', weight: 5 },
      { name: 'd', weight: 0 },
    ];
    const counts = new Map<string | undefined, number>();
    for (let index = 0; index < 8_000; index++) {
      const owner = firstOf(addressOf(index), entrants, memo);
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    // Four standard deviations of a binomial: 4 × √(8000 × p × (1 − p)) is at most 174.
    expect(Math.abs((counts.get('a') ?? 0) - 1_000)).toBeLessThan(120);
    expect(Math.abs((counts.get('b') ?? 0) - 2_000)).toBeLessThan(155);
    expect(Math.abs((counts.get('c') ?? 0) - 5_000)).toBeLessThan(174);
    expect(counts.has('d')).toBe(false);
  });

  it('leaves out whoever has no weight, or none that is a number', () => {
    const entrants = [0, -1, Number.NaN].map((weight, index) => ({ name: `n${index}`, weight }));
    expect(rendezvousOrder('10.0.0.1', entrants)).toEqual([]);
  });

  it('breaks ties of the score by name: two infinite weights', () => {
    const entrants = ['z', 'b', 'y'].map((name) => ({ name, weight: Infinity }));
    expect(rendezvousOrder('10.0.0.1', entrants)).toEqual(['b', 'y', 'z']);
    expect([compareScores(Infinity, Infinity), compareScores(2, 1), compareScores(1, 2)]).toEqual([0, -1, 1]);
  });
});

describe('the memo of draws', () => {
  it('is bounded, however many addresses and nodes come', () => {
    const memo = rendezvousMemo();
    const octets = (): number => [...memo.rows.values()].reduce((sum, row) => sum + row.length, 0);
    for (let index = 0; index < 40_000; index++) rendezvousScore('n', 1, addressOf(index), memo);
    expect(octets()).toBeLessThanOrEqual(DRAWS_MAX);
    for (let index = 0; index < 40_000; index++) rendezvousScore(`n${index}`, 1, addressOf(index % 20), memo);
    expect(octets()).toBeLessThanOrEqual(DRAWS_MAX);
    expect(memo.columns.size).toBeLessThanOrEqual(DRAWS_MAX);
  });

  it('changes no draw when it overflows', () => {
    const memo = rendezvousMemo();
    const fresh = rendezvousScore('n1', 1, '10.0.0.1', rendezvousMemo());
    expect(rendezvousScore('n1', 1, '10.0.0.1', memo)).toBe(fresh);
    for (let index = 0; index < 32_000; index++) rendezvousScore('n2', 1, addressOf(index), memo);
    for (let index = 0; index < 40; index++) rendezvousScore(`m${index}`, 1, '10.0.0.1', memo);
    expect(rendezvousScore('n1', 1, '10.0.0.1', memo)).toBe(fresh);
    expect(rendezvousScore('n1', 1, '10.0.0.1', memo)).toBe(fresh);
  });
});
