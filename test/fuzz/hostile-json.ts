/** JSON that nobody should have written: arbitrary values, and proper objects with pieces replaced, removed and added. */

import * as fc from 'fast-check';

/** Texts that look like something, or like something of JavaScript's own. */
const hostileText = fc.constantFrom(
  '__proto__',
  'constructor',
  'None',
  '192.0.2.1',
  '192.0.2.01',
  '::ffff:192.0.2.1',
  'fe80::1%eth0',
  '2001:DB8::0:1',
  '10.0.0.0/8',
  'fd00::/999',
  '2026-01-31T12:00:00.5Z',
  '\u0000',
  '\ud800',
  ' ',
  'x'.repeat(300),
  '1'.repeat(100_000),
);
export const anything = fc.oneof(
  { arbitrary: fc.jsonValue({ maxDepth: 4 }), weight: 4 },
  { arbitrary: hostileText, weight: 3 },
  { arbitrary: fc.constantFrom(null, 0, -0, -1, 1e300, 0.5, 65_536, true, '', [], {}), weight: 3 },
  { arbitrary: fc.constant(Array.from({ length: 3_000 }, (_, port) => ({ port, ip: `192.0.2.${port}` }))), weight: 1 },
);

export interface Mutation {
  readonly where: readonly number[];
  readonly how: 'replace' | 'remove' | 'add' | 'repeat';
  readonly key: string;
  readonly value: unknown;
}

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  where: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }),
  how: fc.constantFrom('replace', 'remove', 'add', 'repeat'),
  key: fc.oneof(hostileText, fc.string()),
  value: anything,
});

/** Walks along `where` (each a choice among the keys that are there) and changes what it arrives at. */
export function mutate(value: unknown, { where, how, key, value: other }: Mutation, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return other;
  const entries: [string, unknown][] = Object.entries(value);
  const at = (where[depth] ?? 0) % Math.max(entries.length, 1);
  if (depth + 1 < where.length && typeof entries[at]?.[1] === 'object') {
    entries[at] = [entries[at][0], mutate(entries[at][1], { where, how, key, value: other }, depth + 1)];
  } else if (how === 'remove') entries.splice(at, 1);
  else if (how === 'add' || entries[at] === undefined) entries.push([key, other]);
  else if (how === 'repeat') entries.push([key, entries[at][1]]);
  else entries[at] = [entries[at][0], other];
  return Array.isArray(value) ? entries.map((entry) => entry[1]) : Object.fromEntries(entries);
}

/** As the API client reads it: own `__proto__` keys and all. */
export const asParsed = (value: unknown): unknown => {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? undefined : JSON.parse(text);
};
