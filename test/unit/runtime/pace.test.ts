import { describe, expect, it } from 'vitest';

import { Pace } from '../../../src/runtime/pace.ts';

/** What a portion is in the end where each address takes so long, ms. */
function settled(eachMs: number, ownMs = 0.5): { readonly portion: number; readonly turnMs: number } {
  const pace = new Pace(40);
  for (let turn = 0; turn < 50; turn += 1) pace.took(ownMs + pace.portion * eachMs);
  return { portion: pace.portion, turnMs: ownMs + pace.portion * eachMs };
}

describe('the pace of thousands of addresses', () => {
  it('is the whole portion where each is quick', () => {
    expect(settled(0.03)).toMatchObject({ portion: 40 });
  });

  it('is as many as make a turn of a few ms where each is slow', () => {
    const { portion, turnMs } = settled(0.5);
    expect(portion).toBeLessThan(40);
    expect(turnMs).toBeLessThanOrEqual(6.5);
    expect(turnMs).toBeGreaterThan(2);
  });

  it('goes on with some however slow they are, and comes back when they are quick again', () => {
    const pace = new Pace(40);
    for (let turn = 0; turn < 10; turn += 1) pace.took(500);
    expect(pace.portion).toBe(6);
    for (let turn = 0; turn < 20; turn += 1) pace.took(1);
    expect(pace.portion).toBe(40);
  });
});
