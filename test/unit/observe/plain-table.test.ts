import { expect, it } from 'vitest';
import { plainTable } from '../../../src/observe/plain-table.ts';

it('a cell of several lines is shown line by line beside the others, aligned', () => {
  const table = plainTable(['NAME', 'WHY']);
  table.push(['web', 'first\nsecond'], ['db', 'only']);
  table.push(['a\nb', '']);
  const lines = table.toString().split('\n');
  expect(lines.map((line) => line.trimEnd())).toEqual([
    'NAME  WHY',
    'web   first',
    '      second',
    'db    only',
    'a',
    'b',
  ]);
  expect(table.length, 'rows of the library: none that it measures whole').toBe(5);
});
