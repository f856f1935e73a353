/**
 * `npm run sim`: plays simulated clusters (test/sim) and says which seeds break an invariant.
 *
 *   node scripts/sim.ts [--seeds N] [--from N] [--mutant NAME]    many seeds, on every core; ends at the first failures
 *   node scripts/sim.ts --digest [--seeds N] [--from N]           each seed's digest: two versions of the core whose
 *                                                                 digests are equal decide alike, to the last effect
 *   node scripts/sim.ts --seed N [--trace] [--mutant NAME]        one seed, with its timeline
 *   node scripts/sim.ts --mutants                                 what the mutants are
 */

import { parseArgs } from 'node:util';
import { digestSeed } from '../test/sim/digest.ts';
import { MUTANTS } from '../test/sim/mutants.ts';
import { Players } from '../test/sim/players.ts';
import { runSeed, type Mutant, type RunResult } from '../test/sim/world.ts';

const SEEDS_DEFAULT = 2000;
const FAILURES_SHOWN_MAX = 10;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string', default: String(SEEDS_DEFAULT) },
      from: { type: 'string', default: '1' },
      mutant: { type: 'string' },
      mutants: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      digest: { type: 'boolean', default: false },
    },
  });
  if (values.mutants) {
    for (const mutant of MUTANTS) console.log(`${mutant.name.padEnd(24)} ${mutant.what}`);
    return 0;
  }
  const mutant = values.mutant === undefined ? undefined : MUTANTS.find((one) => one.name === values.mutant);
  if (values.mutant !== undefined && mutant === undefined) {
    console.error(`no mutant is called ${values.mutant}; --mutants lists them`);
    return 2;
  }
  const change = mutant === undefined ? {} : { mutant };
  if (values.seed !== undefined) {
    const trace = values.trace ? { trace: (line: string) => console.log(line) } : {};
    return report(runSeed({ seed: Number(values.seed), ...change, ...trace }), mutant) ? 0 : 1;
  }
  if (values.digest) {
    const last = Number(values.from) + Number(values.seeds) - 1;
    for (let seed = Number(values.from); seed <= last; seed += 1) console.log(`${seed} ${digestSeed(seed, mutant)}`);
    return 0;
  }
  return runMany(Number(values.from), Number(values.seeds), mutant);
}

async function runMany(from: number, count: number, mutant: Mutant | undefined): Promise<number> {
  const players = new Players();
  const began = performance.now();
  const totals = { simulatedMs: 0, steps: 0, moves: 0, worstOverlapMs: 0 };
  const faults = new Map<string, number>();
  let failures = 0;
  let played = 0;
  for await (const result of players.play({ from, count, mutant: mutant?.name })) {
    played += 1;
    totals.simulatedMs += result.simulatedMs;
    totals.steps += result.steps;
    totals.moves += result.moves;
    totals.worstOverlapMs = Math.max(totals.worstOverlapMs, result.worstOverlapMs);
    for (const fault of result.faults) faults.set(fault, (faults.get(fault) ?? 0) + 1);
    if (result.failure !== undefined) {
      failures += 1;
      report(result, mutant);
    }
    if (failures === FAILURES_SHOWN_MAX) break;
  }
  await players.close();
  const seconds = (performance.now() - began) / 1000;
  const hours = totals.simulatedMs / 3_600_000;
  console.log(
    `${played} seeds, ${hours.toFixed(1)} simulated hours, ${totals.steps} steps, ${totals.moves} moves in ${seconds.toFixed(1)} s (${(played / seconds).toFixed(1)} a second); ` +
      `${failures} failed; longest excused overlap ${Math.round(totals.worstOverlapMs)} ms`,
  );
  console.log([...faults].map(([kind, times]) => `${kind} ${times}`).join(', '));
  return failures === 0 ? 0 : 1;
}

function report(result: RunResult, mutant: Mutant | undefined): boolean {
  const { failure, seed } = result;
  if (failure === undefined) {
    console.log(
      `seed ${seed}: every invariant held (${result.steps} steps, ${result.moves} moves; ${result.faults.join(', ')})`,
    );
    return true;
  }
  console.log(`seed ${seed} breaks "${failure.invariant}" at ${(failure.at / 1000).toFixed(3)} s: ${failure.message}`);
  console.log(`  npm run sim -- --seed ${seed} --trace${mutant === undefined ? '' : ` --mutant ${mutant.name}`}`);
  return false;
}

process.exitCode = await main();
