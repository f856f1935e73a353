import { describe, expect, it } from 'vitest';

import { eachInSteps, finish, mapInSteps, STRIDE } from '../../../src/base/steps.ts';

const MANY = Array.from({ length: 10 * STRIDE + 1 }, (_, index) => index);

describe('work in steps', () => {
  it('does a stride of it between two yields, each thing once and in order', () => {
    const done: number[] = [];
    const steps = eachInSteps(MANY, (item) => void done.push(item));
    const counts: number[] = [];
    while (steps.next().done !== true) counts.push(done.length);
    expect(counts).toEqual(Array.from({ length: 10 }, (_, index) => (index + 1) * STRIDE));
    expect(done).toEqual(MANY);
  });

  it('comes to the same when it is done at once', () => {
    expect(finish(mapInSteps(MANY, (item) => item * 2))).toEqual(MANY.map((item) => item * 2));
    expect(finish(mapInSteps([], () => 1))).toEqual([]);
  });
});
