import { describe, expect, test } from 'vitest';

import { monotonic, wall } from '../../../src/base/time.ts';
import { detectSuspend, missedMs, readClocks, type ClockReading } from '../../../src/system/clock.ts';

function reading(monotonicMs: number, boottimeMs: number, wallMs: number): ClockReading {
  return { monotonicMs: monotonic(monotonicMs), boottimeMs, wallMs: wall(wallMs) };
}

const START = reading(1000, 5000, 1_700_000_000_000);

function later(monotonicMs: number, boottimeMs: number, wallMs: number): ClockReading {
  return reading(1000 + monotonicMs, 5000 + boottimeMs, 1_700_000_000_000 + wallMs);
}

describe('detectSuspend', () => {
  test.each([
    ['nothing', later(100, 100, 100), 100, { suspendedMs: 0, wallStepMs: 0, stalledMs: 0 }],
    ['noise', later(100.2, 100.9, 101), 100, { suspendedMs: 0, wallStepMs: 0, stalledMs: expect.closeTo(0.2) }],
    ['woken early', later(60, 60, 60), 100, { suspendedMs: 0, wallStepMs: 0, stalledMs: 0 }],
    ['suspended for 10 s', later(100, 10_100, 10_100), 100, { suspendedMs: 10_000, wallStepMs: 0, stalledMs: 0 }],
    ['a paused machine catching up', later(100, 100, 8100), 100, { suspendedMs: 0, wallStepMs: 8000, stalledMs: 0 }],
    ['wall clock set back', later(100, 100, -3500), 100, { suspendedMs: 0, wallStepMs: -3600, stalledMs: 0 }],
    ['stopped for 4 s', later(4100, 4100, 4100), 100, { suspendedMs: 0, wallStepMs: 0, stalledMs: 4000 }],
    [
      'nothing expected',
      later(4100, 4100, 4100),
      Number.POSITIVE_INFINITY,
      { suspendedMs: 0, wallStepMs: 0, stalledMs: 0 },
    ],
    [
      'suspended, then the wall clock set forward',
      later(100, 5100, 7100),
      100,
      { suspendedMs: 5000, wallStepMs: 2000, stalledMs: 0 },
    ],
  ])('%s', (_, now, expectedMs, gap) => {
    expect(detectSuspend(START, now, expectedMs)).toEqual(gap);
  });

  test('a wall clock set back is no time missed, a stall is counted by the monotonic clock', () => {
    expect(missedMs({ suspendedMs: 0, wallStepMs: -3600, stalledMs: 4000 })).toBe(0);
    expect(missedMs({ suspendedMs: 5000, wallStepMs: 2000, stalledMs: 0 })).toBe(7000);
  });
});

describe('readClocks', () => {
  test('reads again when it was interrupted between two clocks', () => {
    const ticks = [0, 50, 100, 100.1];
    const reading = readClocks({ clockMonotonic: () => ticks.shift() ?? 0, clockBoottime: () => 7 }, () => 9);
    expect(reading).toEqual({ monotonicMs: 100.1, boottimeMs: 7, wallMs: 9 });
  });

  test('gives up on a machine that always interrupts it', () => {
    let now = 0;
    const slow = { clockMonotonic: () => (now += 20), clockBoottime: () => now };
    expect(readClocks(slow, () => now).monotonicMs).toBe(200);
  });
});
