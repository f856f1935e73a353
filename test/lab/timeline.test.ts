import { expect, test } from 'vitest';

import { drawTimeline } from './timeline.ts';

test('draws holders, outages however short, events and a scale', () => {
  const lines = drawTimeline({
    fromMs: 0,
    toMs: 8000,
    width: 46,
    rows: [
      { label: 'n1', spans: [{ fromMs: 0, toMs: 4000 }], mark: '#', space: ' ', showsShort: false },
      { label: 'n2', spans: [{ fromMs: 4100, toMs: Infinity }], mark: '#', space: ' ', showsShort: false },
      { label: 'dark', spans: [{ fromMs: 4000, toMs: 4010 }], mark: '!', space: '-', showsShort: true },
    ],
    events: [
      { atMs: 4000, label: 'stop n1' },
      { atMs: 4500, label: 'then' },
    ],
  });
  expect(lines).toEqual([
    `${' '.repeat(27)}then`,
    `${' '.repeat(25)}stop n1`,
    `${' '.repeat(25)}▼ ▼`,
    `n1    ${'#'.repeat(19)}${' '.repeat(19)}`,
    `n2    ${' '.repeat(19)}${'#'.repeat(19)}`,
    `dark  ${'-'.repeat(19)}!${'-'.repeat(18)}`,
    '      |0 s      |2 s     |4 s      |6 s',
  ]);
});
