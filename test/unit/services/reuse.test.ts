import { describe, expect, it } from 'vitest';

import { reuseOf } from '../../../src/services/reuse.ts';

interface Item {
  readonly key: number;
  readonly word: string;
}

const item = (key: number, word = 'a'): Item => ({ key, word });

function again(before: readonly Item[], made: readonly Item[]): readonly boolean[] {
  const reuse = reuseOf(
    before,
    (a, b) => a.key - b.key,
    (a, b) => a.word === b.word,
  );
  return made.map((each) => {
    const used = reuse(each);
    expect(used).toEqual(each);
    return before.includes(used);
  });
}

describe('what was made the last time', () => {
  it('is used again where it says the same, whatever came, went or changed in between', () => {
    const before = [item(1), item(3), item(5), item(7)];
    expect(again(before, [item(1), item(3), item(5), item(7)])).toEqual([true, true, true, true]);
    expect(again(before, [item(0), item(3), item(4), item(5), item(9)])).toEqual([false, true, false, true, false]);
    expect(again(before, [item(1), item(3, 'b'), item(5)])).toEqual([true, false, true]);
    expect(again([], [item(1)])).toEqual([false]);
  });
});
