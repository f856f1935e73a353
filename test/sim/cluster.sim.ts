import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FAULTS } from './faults.ts';
import { Players } from './players.ts';
import { runSeed } from './world.ts';

/**
 * Seeds of the ordinary run, on every core: enough that each kind of fault is met dozens of times and Services in one seed
 * of 24, in some 40 s on two cores. HOLDFAST_SIM_SEEDS asks for more, as scripts/test does; so does `npm run sim -- --seeds N --from N`.
 */
const SEEDS = Number(process.env['HOLDFAST_SIM_SEEDS'] ?? 800);
const SEEDS_PER_TEST = 50;

describe('a simulated cluster', () => {
  const seen = new Set<string>();
  let players: Players;

  beforeAll(() => {
    players = new Players();
  });
  afterAll(() => players.close());

  /** Failures as lines, each with the command that replays it. */
  async function play(from: number): Promise<readonly string[]> {
    const failures: string[] = [];
    for await (const { seed, failure, faults } of players.play({ from, count: SEEDS_PER_TEST })) {
      for (const fault of faults) seen.add(fault);
      if (failure === undefined) continue;
      const when = `${failure.invariant} at ${(failure.at / 1000).toFixed(3)} s: ${failure.message}`;
      failures.push(`seed ${seed}: ${when}; replay: npm run sim -- --seed ${seed} --trace`);
    }
    return failures;
  }

  it('is played at least a hundred times', () => expect(SEEDS).toBeGreaterThanOrEqual(100));

  for (let from = 1; from <= SEEDS; from += SEEDS_PER_TEST) {
    it(`keeps every invariant whatever goes wrong: seeds ${from} to ${from + SEEDS_PER_TEST - 1}`, async () => {
      expect(await play(from)).toEqual([]);
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

  it('is the same on whatever core it is played', async () => {
    const played = await players.play({ from: 42, count: 1 }).next();
    expect(played.value).toEqual(runSeed({ seed: 42 }));
  });

  it('is another one with another seed', () => {
    expect(runSeed({ seed: 1 }).steps).not.toBe(runSeed({ seed: 2 }).steps);
  });
});
