import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Assignment } from '../../../src/services/assignment.ts';
import type { NodeFacts, Ownership, ServiceAddress } from '../../../src/services/model.ts';
import { owners } from '../../../src/services/owner.ts';
import { MOVES_MAX, rebalance } from '../../../src/services/rebalance.ts';
import { rendezvousOrder } from '../../../src/services/rendezvous.ts';
import {
  address,
  advertisement,
  allocation,
  ip,
  labelled,
  metallbPool,
  nodeFacts,
  ownerContext,
  slice,
} from './owner-facts.ts';

const range24 = (count: number): ServiceAddress[] =>
  Array.from({ length: count }, (_, index) => address(`10.0.${index >> 8}.${index & 255}`));
const all = (count: number, node: string): Assignment =>
  new Map(range24(count).map(({ address: of }) => [of.text, node]));
const countsOf = (assignment: Assignment): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const node of assignment.values()) counts[node] = (counts[node] ?? 0) + 1;
  return counts;
};
const movesOf = (before: Assignment, after: Assignment): string[] =>
  [...after].filter(([of, node]) => before.get(of) !== node).map(([of]) => of);

/** Round after round as the leader does it, until nothing moves. */
function settle(
  start: Assignment,
  ownershipsOf: (assignment: Assignment) => readonly Ownership[],
  { nodes, movesMax }: { readonly nodes: readonly NodeFacts[]; readonly movesMax: number },
): { readonly assignment: Assignment; readonly rounds: number; readonly moves: number } {
  let assignment = start;
  let moves = 0;
  for (let rounds = 0; rounds < 1_000; rounds++) {
    const next = rebalance(assignment, ownershipsOf(assignment), { movesMax, nodes });
    if (next === assignment) return { assignment, rounds, moves };
    const moved = movesOf(assignment, next);
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.length).toBeLessThanOrEqual(movesMax);
    moves += moved.length;
    assignment = next;
  }
  throw new Error('it never settles');
}

describe('rebalancing', () => {
  const nodes = ['a', 'b', 'c'].map((name) => nodeFacts(name));
  const ownershipsOf = (assignment: Assignment): readonly Ownership[] =>
    owners(range24(assignment.size), ownerContext(nodes, { assignment }));

  it('moves no more than it may, and nothing when it may move nothing', () => {
    const start = all(30, 'a');
    for (const movesMax of [0, -1, Number.NaN, 0.5]) {
      expect(rebalance(start, ownershipsOf(start), { movesMax, nodes })).toBe(start);
    }
    expect(movesOf(start, rebalance(start, ownershipsOf(start), { movesMax: 4, nodes }))).toHaveLength(4);
    const many = all(5_000, 'a');
    const next = rebalance(many, ownershipsOf(many), { movesMax: Infinity, nodes });
    expect(movesOf(many, next)).toHaveLength(MOVES_MAX);
  });

  it('ends balanced within one, after about as many moves as that needs', () => {
    const { assignment, rounds, moves } = settle(all(31, 'a'), ownershipsOf, { nodes, movesMax: 3 });
    expect(Object.values(countsOf(assignment)).toSorted((x, y) => x - y)).toEqual([10, 10, 11]);
    expect(rounds).toBe(7);
    expect(moves).toBeLessThanOrEqual(21);
  });

  it('leaves alone what is balanced within one', () => {
    const start = new Map([...all(7, 'a')].map(([of], index) => [of, ['a', 'b', 'c'][index % 3] ?? '']));
    expect(rebalance(start, ownershipsOf(start), { movesMax: 100, nodes })).toBe(start);
  });

  it('gives a node that returns the addresses it is first in line for, before others', () => {
    const first = (of: string): string | undefined =>
      rendezvousOrder(
        of,
        nodes.map(({ node }) => ({ name: node.name, weight: 1 })),
      )[0];
    const without = new Map(
      [...all(60, '')].map(([of]) => [
        of,
        rendezvousOrder(
          of,
          ['a', 'b'].map((name) => ({ name, weight: 1 })),
        )[0] ?? '',
      ]),
    );
    const { assignment } = settle(without, ownershipsOf, { nodes, movesMax: 2 });
    const moved = movesOf(without, assignment);
    expect(moved.every((of) => assignment.get(of) === 'c')).toBe(true);
    expect(moved.filter((of) => first(of) !== 'c').length).toBeLessThanOrEqual(4);
    expect(countsOf(assignment)['c']).toBeGreaterThanOrEqual(19);
  });

  it('sends addresses to where they are first in line, if it can choose', () => {
    const { assignment } = settle(all(120, 'a'), ownershipsOf, { nodes, movesMax: 5 });
    const entrants = nodes.map(({ node }) => ({ name: node.name, weight: 1 }));
    const elsewhere = [...assignment].filter(([of, node]) => node !== 'a' && rendezvousOrder(of, entrants)[0] !== node);
    const had = [...assignment].filter(([of]) => rendezvousOrder(of, entrants)[0] !== 'a').length;
    expect(elsewhere.length).toBeLessThanOrEqual(Math.max(0, 80 - had) + 6);
  });

  it('heeds weights', () => {
    const weighted = [
      nodeFacts('a'),
      nodeFacts('b', { weight: 2 }),
      nodeFacts('c', { weight: 5 }),
      nodeFacts('d', { weight: 0 }),
    ];
    const of = (assignment: Assignment) => owners(range24(80), ownerContext(weighted, { assignment }));
    const { assignment } = settle(all(80, 'a'), of, { nodes: weighted, movesMax: 10 });
    expect(countsOf(assignment)).toEqual({ a: 10, b: 20, c: 50 });
  });

  it('moves addresses only to where they may be answered', () => {
    const local = range24(20).map((each): ServiceAddress => ({
      ...each,
      allocations: [allocation(`ns/${each.address.text}`, [each.address.text], { trafficPolicy: 'Local' })],
    }));
    const slices = local.map(({ address: of }, index) => slice(`ns/${of.text}`, index < 16 ? ['a', 'b'] : ['a', 'c']));
    const of = (assignment: Assignment) => owners(local, ownerContext(nodes, { assignment, slices }));
    const { assignment } = settle(all(20, 'a'), of, { nodes, movesMax: 5 });
    for (const { node, candidates } of of(assignment)) {
      expect(candidates.some((each) => each.isEligible && each.node === node)).toBe(true);
    }
    expect(countsOf(assignment)).toEqual({ a: 8, b: 8, c: 4 });
  });

  it('goes on where the fullest node can give nothing', () => {
    const stuck = range24(12).map((each): ServiceAddress => ({
      ...each,
      allocations: [allocation(`ns/${each.address.text}`, [each.address.text], { trafficPolicy: 'Local' })],
    }));
    const slices = stuck.map(({ address: of }, index) => slice(`ns/${of.text}`, index < 8 ? ['a'] : ['b', 'c']));
    const of = (assignment: Assignment) => owners(stuck, ownerContext(nodes, { assignment, slices }));
    const start = new Map(stuck.map(({ address: at }, index) => [at.text, index < 8 ? 'a' : 'b']));
    expect(countsOf(settle(start, of, { nodes, movesMax: 1 }).assignment)).toEqual({ a: 8, b: 2, c: 2 });
  });

  it('brings addresses back to preferred nodes first, and balances only among these', () => {
    const pool = metallbPool('p', ['10.0.0.0-10.0.255.255']);
    const preferring = advertisement('ad', {
      preferredNodes: [{ weight: 10, selector: labelled({ edge: 'yes' }) }],
    });
    const edges = [nodeFacts('e1', { labels: { edge: 'yes' } }), nodeFacts('e2', { labels: { edge: 'yes' } })];
    const every = [...edges, ...nodes];
    const of = (assignment: Assignment) =>
      owners(
        range24(20).map((each) => ({ ...each, pool })),
        ownerContext(every, { assignment, advertisements: [preferring] }),
      );
    const { assignment, moves } = settle(all(20, 'a'), of, { nodes: every, movesMax: 4 });
    expect(countsOf(assignment)).toEqual({ e1: 10, e2: 10 });
    expect(moves).toBeGreaterThanOrEqual(20);
  });

  it('reads a record that is newer than the ownerships, and ignores what it says of others', () => {
    const start = all(9, 'a');
    const stale = ownershipsOf(start);
    const once = rebalance(start, stale, { movesMax: 3, nodes });
    const twice = rebalance(once, stale, { movesMax: 100, nodes });
    expect(countsOf(twice)).toEqual({ a: 3, b: 3, c: 3 });
    const newer = new Map([...start].map(([of], index) => [of, index < 3 ? 'a' : 'b']));
    const moved = movesOf(newer, rebalance(newer, stale, { movesMax: 100, nodes }));
    expect(moved.map((of) => newer.get(of))).toEqual(['b', 'b', 'b']);
    const odd = new Map([...start, ['192.0.2.1', 'gone'], ['10.0.0.0', 'gone']]);
    expect(rebalance(odd, stale, { movesMax: 100, nodes }).get('192.0.2.1')).toBe('gone');
  });

  it('is the same whatever the order of the ownerships and nodes, settles, and only ever lessens the spread', () => {
    const names = ['a', 'b', 'c', 'd'];
    const given = fc.record({
      weights: fc.tuple(...names.map(() => fc.constantFrom(1, 1, 2, 3))),
      owners: fc.array(fc.record({ on: fc.subarray(names, { minLength: 1 }), first: fc.nat() }), {
        minLength: 1,
        maxLength: 40,
      }),
      movesMax: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(given, ({ weights, owners: items, movesMax }) => {
        const weighted = names.map((name, index) => nodeFacts(name, { weight: weights[index] ?? 1 }));
        const addresses = items.map((_, index): ServiceAddress => {
          const text = `10.0.0.${index}`;
          return {
            address: ip(text),
            pool: undefined,
            allocations: [allocation(`ns/${index}`, [text], { trafficPolicy: 'Local' })],
          };
        });
        const slices = items.map(({ on }, index) => slice(`ns/${index}`, on));
        const of = (assignment: Assignment) => owners(addresses, ownerContext(weighted, { assignment, slices }));
        const start = new Map(items.map(({ on, first }, index) => [`10.0.0.${index}`, on[first % on.length] ?? '']));
        const spreadOf = (assignment: Assignment): number =>
          Object.entries(countsOf(assignment)).reduce(
            (sum, [name, count]) => sum + count ** 2 / (weights[names.indexOf(name)] ?? 1),
            0,
          );
        const one = rebalance(start, of(start), { movesMax, nodes: weighted });
        expect(rebalance(start, of(start).toReversed(), { movesMax, nodes: weighted.toReversed() })).toEqual(one);
        if (one !== start) expect(spreadOf(one)).toBeLessThan(spreadOf(start));
        settle(start, of, { nodes: weighted, movesMax });
      }),
      { numRuns: 200 },
    );
  });
});
