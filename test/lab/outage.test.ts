import { expect, test } from 'vitest';

import { findOutages, summarise, type Sample } from './outage.ts';

/** Probes every 2 ms; `answer` gives an answer's delay in ms, or undefined. */
function probes(count: number, answer: (sentMs: number) => number | undefined): readonly Sample[] {
  return Array.from({ length: count }, (_, index) => {
    const sentMs = index * 2;
    const delay = answer(sentMs);
    return {
      sentMs,
      answeredMs: delay === undefined ? undefined : sentMs + delay,
      by: delay === undefined ? undefined : 'n1',
    };
  });
}

test('no outage where every probe is answered in time', () => {
  expect(
    findOutages(
      probes(100, () => 0.2),
      40,
      300,
    ),
  ).toEqual([]);
});

test('an outage lasts from the first lost probe to the first answer', () => {
  const samples = probes(200, (at) => (at >= 100 && at < 150 ? undefined : 0.5));
  expect(findOutages(samples, 40, 1000)).toEqual([{ startMs: 100, durationMs: 50.5, lost: 25, from: 'n1', to: 'n1' }]);
});

test('probes that the kernel kept back end the outage when their answers arrive, and are not lost', () => {
  const samples = probes(200, (at) => (at >= 100 && at < 200 ? 200 - at + 1 : 0.5));
  const [outage, ...others] = findOutages(samples, 40, 1000);
  expect(others).toEqual([]);
  expect(outage).toMatchObject({ startMs: 100, lost: 0 });
  // The first answer is the one to the probe sent at 200; those kept back came half a millisecond after it.
  expect(outage?.durationMs).toBe(100.5);
});

test('an outage without end is infinite, and what was sent just now is undecided', () => {
  const samples = probes(100, (at) => (at < 100 ? 0.5 : undefined));
  expect(summarise(samples, 40, 200)).toMatchObject({ longestMs: Number.POSITIVE_INFINITY, lost: 31 });
  expect(
    findOutages(
      probes(60, (at) => (at < 100 ? 0.5 : undefined)),
      40,
      120,
    ),
  ).toEqual([]);
});

test('two outages are two', () => {
  const samples = probes(200, (at) => (at === 20 || (at >= 100 && at < 110) ? undefined : 0.5));
  expect(findOutages(samples, 40, 1000).map((outage) => [outage.startMs, outage.lost])).toEqual([
    [20, 1],
    [100, 5],
  ]);
});
