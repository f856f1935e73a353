/**
 * Notices that time passed which the monotonic clock did not count: a suspended machine (CLOCK_BOOTTIME runs on), or a
 * paused virtual machine whose wall clock is corrected afterwards. Tenure and kernel lifetimes were measured too short by
 * that much. A wall clock set backwards says nothing and is ignored.
 */

export interface ClockReadings {
  readonly monotonicMs: number;
  readonly boottimeMs: number;
  readonly wallMs: number;
}

/** Smaller steps are drift and rounding. */
const JUMP_MIN_MS = 250;

/** A function that answers by how many ms the clocks have jumped ahead since it was last asked; 0 = not at all. */
export function watchClocks(read: () => ClockReadings): () => number {
  let last = read();
  return () => {
    const next = read();
    const elapsedMs = next.monotonicMs - last.monotonicMs;
    const jumpMs = Math.max(next.boottimeMs - last.boottimeMs, next.wallMs - last.wallMs) - elapsedMs;
    last = next;
    return jumpMs >= JUMP_MIN_MS ? jumpMs : 0;
  };
}
