/** What a decoding says, for tests: the messages of its problems; every problem has the form that is promised. */

import { expect } from 'vitest';

import type { Decoding } from '../../../../src/services/model.ts';

export function messages(decoding: Decoding<unknown>): readonly string[] {
  for (const problem of decoding.problems) {
    expect(problem.code).toBe('OBJECT_INVALID');
    expect(problem.remedy).toContain(problem.object.key);
  }
  return decoding.problems.map((problem) => problem.message);
}

/** The value; fails when there is none, or something was wrong with it. */
export function flawless<T>(decoding: Decoding<T>): T {
  expect(messages(decoding)).toEqual([]);
  if (decoding.value === undefined) throw new Error('nothing was decoded');
  return decoding.value;
}

/** The value, whatever was wrong. */
export function valueOf<T>(decoding: Decoding<T>): T {
  if (decoding.value === undefined) throw new Error(decoding.problems.map((each) => each.message).join('\n'));
  return decoding.value;
}
