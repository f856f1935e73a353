import { describe, expect, it } from 'vitest';
import { FAULTS } from './faults.ts';
import { runSeed } from './world.ts';

/** Seeds of the ordinary run; `npm run sim -- --seeds N --from N` plays more. */
const SEEDS_PER_TEST = 50;
const TESTS = 6;

/** Failures as lines, each with the command that replays it. */
function play(
  from: number,
  count: number,
): { readonly failures: readonly string[]; readonly faults: ReadonlySet<string> } {
  const failures: string[] = [];
  const faults = new Set<string>();
  for (let seed = from; seed < from + count; seed += 1) {
    const { failure, faults: begun } = runSeed({ seed });
    for (const fault of begun) faults.add(fault);
    if (failure === undefined) continue;
    const when = `${failure.invariant} at ${(failure.at / 1000).toFixed(3)} s: ${failure.message}`;
    failures.push(`seed ${seed}: ${when}; replay: npm run sim -- --seed ${seed} --trace`);
  }
  return { failures, faults };
}

describe('a simulated cluster', () => {
  const seen = new Set<string>();

  for (let part = 0; part < TESTS; part += 1) {
    const from = 1 + part * SEEDS_PER_TEST;
    it(`keeps every invariant whatever goes wrong: seeds ${from} to ${from + SEEDS_PER_TEST - 1}`, () => {
      const { failures, faults } = play(from, SEEDS_PER_TEST);
      for (const fault of faults) seen.add(fault);
      expect(failures).toEqual([]);
    });
  }

  it('has met every kind of fault in that', () => {
    expect([...seen].sort()).toEqual(Object.keys(FAULTS).sort());
  });

  it('is the same to the last step when it is played again', () => {
    const traces = [0, 1].map(() => {
      const lines: string[] = [];
      const result = runSeed({ seed: 42, trace: (line) => lines.push(line) });
      return { result, lines };
    });
    expect(traces[0]?.lines.length).toBeGreaterThan(100);
    expect(traces[1]).toEqual(traces[0]);
  });

  it('is another one with another seed', () => {
    expect(runSeed({ seed: 1 }).steps).not.toBe(runSeed({ seed: 2 }).steps);
  });
});
