/**
 * Many seeds on every core: worker threads, each of which plays simulated clusters (player.ts). Who plays a seed, and what
 * else it plays, changes nothing about the seed.
 */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { RunResult } from './world.ts';

/** Neighbouring seeds, played by one worker. */
export interface Job {
  readonly from: number;
  readonly count: number;
  /** By name: functions don't go from thread to thread. */
  readonly mutant?: string | undefined;
}

/** Seeds at once: few enough that none waits for another's last, enough that asking costs nothing. */
const SEEDS_PER_JOB = 10;
/** What one seed allocates lives for milliseconds: a large young generation is hardly ever collected. MiB. */
const YOUNG_GENERATION_MIB = 64;

interface Assigned {
  readonly job: Job;
  readonly resolve: (results: readonly RunResult[]) => void;
  readonly reject: (error: Error) => void;
}

export class Players {
  readonly #workers: readonly Worker[];
  readonly #idle: Worker[];
  readonly #waiting: Assigned[] = [];

  constructor(size = availableParallelism()) {
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB };
    const script = new URL('./player.ts', import.meta.url);
    this.#workers = Array.from({ length: size }, () => new Worker(script, { resourceLimits }));
    this.#idle = [...this.#workers];
  }

  /** The results of the seeds in their order. Who stops asking leaves the seeds that are being played to close(). */
  async *play(job: Job): AsyncGenerator<RunResult, void, void> {
    const end = job.from + job.count;
    const ahead: Promise<readonly RunResult[]>[] = [];
    let next = job.from;
    const assign = (): void => {
      if (next >= end) return;
      ahead.push(this.#assign({ ...job, from: next, count: Math.min(SEEDS_PER_JOB, end - next) }));
      next += SEEDS_PER_JOB;
    };
    for (let count = 0; count < 2 * this.#workers.length; count += 1) assign();
    for (let first = ahead.shift(); first !== undefined; first = ahead.shift()) {
      yield* await first;
      assign();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #assign(job: Job): Promise<readonly RunResult[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject });
      this.#start();
    });
  }

  #start(): void {
    if (this.#waiting.length === 0) return;
    const worker = this.#idle.pop();
    const assigned = worker === undefined ? undefined : this.#waiting.shift();
    if (worker === undefined || assigned === undefined) return;
    const done = (results: readonly RunResult[]): void => {
      worker.off('error', assigned.reject);
      this.#idle.push(worker);
      assigned.resolve(results);
      this.#start();
    };
    worker.once('message', done);
    worker.once('error', assigned.reject);
    worker.postMessage(assigned.job, []);
  }
}
