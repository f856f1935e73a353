/** A worker thread of players.ts: plays the seeds it is given, one job after the other. */

import { parentPort } from 'node:worker_threads';
import { MUTANTS } from './mutants.ts';
import type { Job } from './players.ts';
import { runSeed } from './world.ts';

parentPort?.on('message', ({ from, count, mutant: name }: Job) => {
  const mutant = MUTANTS.find((one) => one.name === name);
  const seeds = Array.from({ length: count }, (_, index) => from + index);
  const results = seeds.map((seed) => runSeed({ seed, ...(mutant === undefined ? {} : { mutant }) }));
  parentPort?.postMessage(results, []);
});
