/** A node without a vote among nine that have one: what it may take, by whose word, and what it leaves alone. */

import { describe, expect, it } from 'vitest';
import { dutyOf, S4, ServiceScript } from './services-script.ts';

const VOTERS = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];

/** 'a' hears all nine and has nothing yet. */
function ready(order: readonly string[]): ServiceScript {
  const node = new ServiceScript(VOTERS).ready();
  const members = ['a', ...VOTERS].map((name) => ({
    name,
    addresses: ['192.0.2.9'],
    port: 6460,
    isLeaving: false,
    isServicesOnly: true,
  }));
  node.at(500, { kind: 'members.observed', members });
  node.duty(600, [dutyOf(S4, order)]);
  node.go(1000);
  return node;
}

describe('a node without a vote', () => {
  it("takes a lost voter's address when a majority of the voters misses that one", () => {
    const node = ready(['d', 'a']);
    expect(node.holds(S4)).toBe(false);
    node.beating.delete('d');
    node.missed.add('d');
    node.go(2500);
    expect(node.phase(S4)).toBe('holding');
    expect(node.moves().at(-1)).toMatchObject({ cause: 'node-lost', other: 'd' });
  });

  it('takes none that only itself misses: its ears are no vote', () => {
    const node = ready(['d', 'a']);
    node.says.set('d', { hears: 0 });
    node.go(1500);
    for (const name of VOTERS.filter((each) => each !== 'd')) node.says.set(name, { hears: 0x1ff });
    node.beating.delete('d');
    // Four of nine say that they miss it, and it does itself.
    for (const name of VOTERS.slice(4, 8)) node.says.set(name, { hears: 0x1ff & ~(1 << VOTERS.indexOf('d')) });
    node.go(4000);
    expect(node.holds(S4)).toBe(false);
    node.says.set('j', { hears: 0x1ff & ~(1 << VOTERS.indexOf('d')) });
    node.go(5000);
    expect(node.phase(S4)).toBe('holding');
  });

  it('leaves an expired Lease to a holder that is heard, and contends when it no longer is', () => {
    const node = ready(['b']);
    node.isApiUp = false;
    node.go(20_000);
    expect(node.effects('lease.update')).toEqual([]);
    node.beating.delete('b');
    node.go(25_000);
    expect(node.effects('lease.update').length).toBeGreaterThan(0);
  });
});
