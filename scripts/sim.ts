/**
 * `npm run sim`: plays simulated clusters (test/sim) and says which seeds break an invariant.
 *
 *   node scripts/sim.ts [--seeds N] [--from N] [--mutant NAME]    many seeds, on every core; ends at the first failures
 *   node scripts/sim.ts --digest [--seeds N] [--from N]           each seed's digest: two versions of the core whose
 *                                                                 digests are equal decide alike, to the last effect
 *   node scripts/sim.ts --seed N [--trace] [--mutant NAME]        one seed, with its timeline
 *   node scripts/sim.ts --mutants                                 what the mutants are
 *   node scripts/sim.ts --hunt [--seeds N]                        seeks each mutant's seeds anew: test/sim/mutant-seeds.ts
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { digestSeed } from '../test/sim/digest.ts';
import { SEEDS_PER_MUTANT } from '../test/sim/mutant-seeds.ts';
import { controlOf, MUTANTS, type NamedMutant } from '../test/sim/mutants.ts';
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
      hunt: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      digest: { type: 'boolean', default: false },
    },
  });
  if (values.mutants) {
    for (const mutant of MUTANTS) console.log(`${mutant.name.padEnd(24)} ${mutant.what}`);
    return 0;
  }
  if (values.hunt) return huntAll(Number(values.seeds));
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

/** Writes down the first seeds that show each mutant, and only it: what test/sim/mutants.sim.ts plays. */
async function huntAll(count: number): Promise<number> {
  const lines: string[] = [];
  const uncaught: string[] = [];
  for (const mutant of MUTANTS) {
    const seeds = await hunt(mutant, count);
    console.log(`${mutant.name.padEnd(24)} ${seeds.join(' ')}`);
    if (seeds.length === 0) uncaught.push(mutant.name);
    lines.push(`  '${mutant.name}': [${seeds.join(', ')}],`);
  }
  const file = new URL('../test/sim/mutant-seeds.ts', import.meta.url);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(/(= \{\n)[^}]*(\};\n)/, `$1${lines.join('\n')}\n$2`));
  for (const name of uncaught) console.log(`nothing in ${count} seeds shows ${name}`);
  return uncaught.length === 0 ? 0 : 1;
}

async function hunt(mutant: NamedMutant, count: number): Promise<readonly number[]> {
  const players = new Players();
  const seeds: number[] = [];
  for await (const { seed, failure } of players.play({ from: 1, count, mutant: mutant.name })) {
    if (failure === undefined || !mutant.breaks.includes(failure.invariant)) continue;
    if (runSeed({ seed, mutant: controlOf(mutant) }).failure === undefined) seeds.push(seed);
    if (seeds.length === SEEDS_PER_MUTANT) break;
  }
  await players.close();
  return seeds;
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
