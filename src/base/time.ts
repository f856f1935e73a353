/**
 * Time as values. The core never reads a clock: each event carries a MonotonicMs, and a deadline is one too. Wall time
 * exists only to be shown to people or written into the Kubernetes API; nothing is ever decided by it.
 */

/** Milliseconds on this process's monotonic clock (CLOCK_MONOTONIC); comparable only within one boot of one machine. */
export type MonotonicMs = number & { readonly __unit: 'MonotonicMs' };

/** Milliseconds since the Unix epoch. For display and for API fields such as `renewTime`; never compared for safety. */
export type WallMs = number & { readonly __unit: 'WallMs' };

export const NEVER: MonotonicMs = Number.POSITIVE_INFINITY as MonotonicMs;

export function monotonic(ms: number): MonotonicMs {
  return ms as MonotonicMs;
}

export function wall(ms: number): WallMs {
  return ms as WallMs;
}

/** The moment `ms` milliseconds after `at`. */
export function after(at: MonotonicMs, ms: number): MonotonicMs {
  return (at + ms) as MonotonicMs;
}

/** The earliest of several deadlines; NEVER for none. */
export function earliest(...deadlines: readonly MonotonicMs[]): MonotonicMs {
  let first = NEVER;
  // By index: this is asked in every turn, and an iterator makes an object for each step.
  for (let index = 0; index < deadlines.length; index += 1) {
    const deadline = deadlines[index];
    if (deadline !== undefined && deadline < first) first = deadline;
  }
  return first;
}
