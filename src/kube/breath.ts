/**
 * Long work and the loop that heartbeats and renewals need: after each slice of it the loop has a turn. Whoever works asks
 * between two things whether the slice is over.
 */

import type { Steps } from '../base/steps.ts';

/** As long as one slice may take, ms: several of them, of different work, may come in one turn of the loop. */
const SLICE_MS = 4;

export class Breath {
  readonly #sliceMs: number;
  #begunAt = performance.now();
  #doneMs = 0;

  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs;
  }

  /** What the work itself took so far, ms. */
  get busyMs(): number {
    return this.#doneMs + performance.now() - this.#begunAt;
  }

  /** The slice is over: take() next. */
  get isDue(): boolean {
    return performance.now() - this.#begunAt >= this.#sliceMs;
  }

  /** Resolves when whatever else was waiting has had its turn. */
  async take(): Promise<void> {
    this.#doneMs += performance.now() - this.#begunAt;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    this.#begunAt = performance.now();
  }

  /** Between two pieces of work. */
  async takeIfDue(): Promise<void> {
    if (this.isDue) await this.take();
  }

  /** The result of work in steps. */
  async finish<Result>(steps: Steps<Result>): Promise<Result> {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (this.isDue) await this.take();
    }
  }
}
