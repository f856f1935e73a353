import { describe, expect, it } from 'vitest';

import { exactList, isSameValues, TextPool } from '../../../src/base/lists.ts';

describe('lists that are kept', () => {
  it('are copies with the same values', () => {
    const grown: number[] = [];
    for (let value = 0; value < 20; value += 1) grown.push(value);
    expect(exactList(grown)).toEqual(grown);
    expect(exactList(grown)).not.toBe(grown);
    expect(exactList([])).toEqual([]);
  });

  it('are the same where each value is the very same, in order', () => {
    const [a, b] = [{}, {}];
    expect(isSameValues([a, b], [a, b])).toBe(true);
    expect(isSameValues([a, b], [b, a])).toBe(false);
    expect(isSameValues([a], [a, b])).toBe(false);
    expect(isSameValues([a], [{}])).toBe(false);
  });
});

describe('a pool of texts', () => {
  it('answers equal texts, however many there are', () => {
    const pool = new TextPool(10);
    for (let index = 0; index < 100; index += 1) expect(pool.same(`text ${index % 30}`)).toBe(`text ${index % 30}`);
  });
});
