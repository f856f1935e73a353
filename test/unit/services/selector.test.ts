import { expect, it } from 'vitest';

import {
  decodeSelector,
  EVERYTHING,
  matchesSelector,
  REQUIREMENTS_MAX,
  VALUES_MAX,
} from '../../../src/services/selector.ts';

function matches(selector: unknown, labels: Record<string, string>): boolean {
  const decoded = decodeSelector(selector);
  if (!decoded.ok) throw new Error(decoded.detail);
  return matchesSelector(decoded.value, labels);
}

const expression = (operator: string, values?: readonly string[]) => ({
  matchExpressions: [{ key: 'tier', operator, ...(values === undefined ? {} : { values }) }],
});

it.each([
  [expression('In', ['web', 'db']), true, false, false],
  [expression('NotIn', ['web', 'db']), false, true, true],
  [expression('Exists'), true, true, false],
  [expression('DoesNotExist'), false, false, true],
  [{ matchLabels: { tier: 'web' } }, true, false, false],
  [{ matchLabels: { tier: '' } }, false, false, false],
  [{}, true, true, true],
  [undefined, true, true, true],
  [null, true, true, true],
  [{ matchLabels: null, matchExpressions: null }, true, true, true],
])('%j matches tier=web: %s, tier=other: %s, no tier: %s', (selector, web, other, none) => {
  expect(matches(selector, { app: 'x', tier: 'web' })).toBe(web);
  expect(matches(selector, { app: 'x', tier: 'other' })).toBe(other);
  expect(matches(selector, { app: 'x' })).toBe(none);
});

it('all requirements must hold, labels and expressions', () => {
  const selector = {
    matchLabels: { app: 'x', zone: 'a' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['web'] },
      { key: 'old', operator: 'DoesNotExist' },
    ],
  };
  const labels = { app: 'x', zone: 'a', tier: 'web' };
  expect(matches(selector, labels)).toBe(true);
  expect(matches(selector, { ...labels, old: '' })).toBe(false);
  expect(matches(selector, { ...labels, zone: 'b' })).toBe(false);
  expect(matches(selector, { ...labels, tier: 'db' })).toBe(false);
});

it('a label with an empty value exists', () => {
  expect(matches(expression('Exists'), { tier: '' })).toBe(true);
  expect(matches(expression('DoesNotExist'), { tier: '' })).toBe(false);
  expect(matches(expression('In', ['']), { tier: '' })).toBe(true);
  expect(matches({ matchLabels: { tier: null } }, { tier: '' })).toBe(true);
});

it('what every JavaScript object has is no label', () => {
  const selector = { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] };
  expect(matches(selector, {})).toBe(false);
  expect(matches(selector, { constructor: 'x' })).toBe(true);
  expect(matches({ matchLabels: { constructor: 'x' } }, { constructor: 'x' })).toBe(true);
});

it('an absent selector and an empty one are the same', () => {
  expect(decodeSelector(undefined)).toEqual({ ok: true, value: EVERYTHING });
  expect(decodeSelector({ matchLabels: {}, matchExpressions: [] })).toEqual({ ok: true, value: EVERYTHING });
});

const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
const expressions = (count: number) => Array.from({ length: count }, () => ({ key: 'a', operator: 'Exists' }));
const values = (count: number) => Array.from({ length: count }, (_, index) => `v${index}`);

it.each([
  ['text', 'selector', 'the selector is "text", not matchLabels and matchExpressions'],
  [5, 'selector', 'the selector is 5, not matchLabels and matchExpressions'],
  [[], 'selector', 'the selector is a list, not matchLabels and matchExpressions'],
  [{ matchlabels: {} }, 'selector', 'the selector has "matchlabels": it knows matchLabels and matchExpressions only'],
  [{ app: 'x' }, 'selector', 'the selector has "app": it knows matchLabels and matchExpressions only'],
  [{ matchLabels: [] }, 'labels', 'matchLabels is a list, not labels'],
  [{ matchLabels: { a: 1 } }, 'labels', 'matchLabels[a] is 1, which no label can have as its value'],
  [{ matchLabels: { a: 'b c' } }, 'labels', 'matchLabels[a] is "b c", which no label can have as its value'],
  [{ matchLabels: { 'a b': 'c' } }, 'labels', 'matchLabels has the key "a b", which no label can have'],
  [{ matchLabels: { '': 'c' } }, 'labels', 'matchLabels has the key "", which no label can have'],
  [{ matchLabels: { '/a': 'c' } }, 'labels', 'matchLabels has the key "/a", which no label can have'],
  [
    JSON.parse('{"matchLabels":{"__proto__":"c"}}'),
    'labels',
    'matchLabels has the key "__proto__", which no label can have',
  ],
  [{ matchLabels: many(REQUIREMENTS_MAX + 1) }, 'size', 'matchLabels has 101 entries: 100 are allowed'],
  [{ matchExpressions: {} }, 'expressions', 'matchExpressions is an object, not a list'],
  [{ matchExpressions: [null] }, 'expressions', 'matchExpressions[0] is null, not key, operator and values'],
  [
    { matchExpressions: [{ operator: 'Exists' }] },
    'expressions',
    'matchExpressions[0].key is absent, which no label can have as its key',
  ],
  [
    { matchExpressions: expressions(REQUIREMENTS_MAX + 1) },
    'size',
    'matchExpressions has 101 entries: 100 are allowed',
  ],
  [expression('in', ['a']), 'operator', 'matchExpressions[0].operator is "in", not In, NotIn, Exists or DoesNotExist'],
  [
    { matchExpressions: [{ key: 'a' }] },
    'operator',
    'matchExpressions[0].operator is absent, not In, NotIn, Exists or DoesNotExist',
  ],
  [expression('In'), 'values', 'matchExpressions[0].values is empty: In needs values'],
  [expression('NotIn', []), 'values', 'matchExpressions[0].values is empty: NotIn needs values'],
  [expression('Exists', ['a']), 'values', 'matchExpressions[0].values is given: Exists has none'],
  [expression('DoesNotExist', ['a']), 'values', 'matchExpressions[0].values is given: DoesNotExist has none'],
  [
    { matchExpressions: [{ key: 'a', operator: 'In', values: ['a', true] }] },
    'values',
    'matchExpressions[0].values[1] is true, which no label can have as its value',
  ],
  [
    { matchExpressions: [{ key: 'a', operator: 'In', values: 'a' }] },
    'values',
    'matchExpressions[0].values is "a", not a list',
  ],
  [expression('In', values(VALUES_MAX + 1)), 'size', 'matchExpressions[0].values has 1001 entries: 1000 are allowed'],
])('refuses %j as a whole (%s)', (selector, reason, detail) => {
  expect(decodeSelector(selector)).toEqual({ ok: false, reason, detail });
});

it.each(['a', 'A', '0', 'a.b_c-d', 'example.org/a', 'x'.repeat(63), `${'x'.repeat(253)}/a`])(
  '%s can be the key of a label',
  (key) => {
    expect(matches({ matchLabels: { [key]: 'v' } }, { [key]: 'v' })).toBe(true);
  },
);

it.each(['-a', 'a-', 'a/b/c', 'Example.org/a', 'a/', 'x'.repeat(64), `${'x'.repeat(254)}/a`, 'ä'])(
  '%s cannot be the key of a label',
  (key) => {
    expect(decodeSelector({ matchLabels: { [key]: 'v' } })).toMatchObject({ ok: false, reason: 'labels' });
  },
);

it('takes as much as is allowed', () => {
  expect(decodeSelector({ matchLabels: many(REQUIREMENTS_MAX) }).ok).toBe(true);
  expect(decodeSelector({ matchExpressions: expressions(REQUIREMENTS_MAX) }).ok).toBe(true);
  expect(decodeSelector(expression('In', values(VALUES_MAX))).ok).toBe(true);
});
