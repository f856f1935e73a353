import { describe, expect, it } from 'vitest';

import { Breath } from '../../../src/kube/breath.ts';
import { Rhythm, RUN_SPACING_MS } from '../../../src/runtime/services/rhythm.ts';

describe('the rhythm of runs', () => {
  it('runs once for what changes together, and once more for what changes meanwhile', async () => {
    const { rhythm, runs, ended } = counting(async (breath) => breath.take());
    rhythm.touch();
    rhythm.touch();
    await ended(1);
    rhythm.touch();
    rhythm.touch();
    await ended(2);
    await idle();
    expect(runs()).toBe(2);
    rhythm.close();
  });

  it('never runs while a run is under way, and keeps its distance', async () => {
    let running = 0;
    let most = 0;
    const begun: number[] = [];
    const { rhythm, ended } = counting(async (breath) => {
      begun.push(performance.now());
      running += 1;
      most = Math.max(most, running);
      if (begun.length < 3) rhythm.touch();
      await breath.take();
      running -= 1;
    });
    rhythm.touch();
    await ended(3);
    expect(most).toBe(1);
    for (const [index, at] of begun.slice(1).entries()) {
      expect(at - (begun[index] ?? 0)).toBeGreaterThanOrEqual(RUN_SPACING_MS - 2);
    }
    rhythm.close();
  });

  it('rests longer after a longer run, and less while others wait for what comes of it', async () => {
    const rests: number[] = [];
    let endedAt: number | undefined;
    const { rhythm, ended } = counting(() => {
      const begun = performance.now();
      if (endedAt !== undefined) rests.push(begun - endedAt);
      while (performance.now() < begun + 20);
      rhythm.isUrgent = rests.length > 0;
      if (rests.length < 2) rhythm.touch();
      endedAt = performance.now();
      return Promise.resolve();
    });
    rhythm.touch();
    await ended(3);
    expect(rests[0]).toBeGreaterThanOrEqual(57);
    expect(rests[1]).toBeGreaterThanOrEqual(17);
    rhythm.close();
  });

  it('runs at the earliest of the moments it is to wake at, and not when it is closed', async () => {
    const { rhythm, runs, ended } = counting(() => Promise.resolve());
    const from = performance.now();
    rhythm.wakeAt(from + 60_000);
    rhythm.wakeAt(from + 30);
    await ended(1);
    expect(performance.now() - from).toBeLessThan(20_000);
    rhythm.wakeAt(performance.now() + 1);
    rhythm.close();
    rhythm.touch();
    await idle();
    expect(runs()).toBe(1);
  });
});

describe('a breath', () => {
  it('lets what waits have its turn between two slices of work in steps, and counts only the work', async () => {
    const breath = new Breath(1);
    let others = 0;
    const timer = setInterval(() => (others += 1), 0);
    const made = await breath.finish(busySteps(20, 2));
    clearInterval(timer);
    expect(made).toBe('done');
    expect(others).toBeGreaterThan(3);
    expect(breath.busyMs).toBeGreaterThan(30);
  });
});

function* busySteps(count: number, eachMs: number): Generator<void, string, void> {
  for (let step = 0; step < count; step += 1) {
    const until = performance.now() + eachMs;
    while (performance.now() < until);
    yield;
  }
  return 'done';
}

function counting(work: (breath: Breath) => Promise<void>): {
  readonly rhythm: Rhythm;
  readonly runs: () => number;
  readonly ended: (count: number) => Promise<void>;
} {
  let count = 0;
  const waiting = new Map<number, () => void>();
  const rhythm = new Rhythm(async (breath) => {
    await work(breath);
    count += 1;
    waiting.get(count)?.();
  });
  return {
    rhythm,
    runs: () => count,
    ended: (wanted) =>
      count >= wanted
        ? Promise.resolve()
        : new Promise((resolve) => {
            waiting.set(wanted, resolve);
          }),
  };
}

/** Longer than two runs are apart, and whatever is due by then has run. */
async function idle(): Promise<void> {
  await new Promise((resolve) => {
    setTimeout(resolve, 3 * RUN_SPACING_MS);
  });
}
