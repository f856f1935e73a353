/**
 * The clocks of this machine, and whether time went missing. CLOCK_MONOTONIC is what the core counts in. It stands still
 * while the machine is suspended, and so do the kernel's address lifetimes, while other nodes' clocks go on:
 * CLOCK_BOOTTIME tells by how much. A paused or migrated virtual machine often sees neither clock move; there only the wall
 * clock jumps, once the host or NTP corrects it. A process that was frozen alone (SIGSTOP, cgroup freezer, a blocked event
 * loop) sees no clock jump but wakes up late.
 */

import { monotonic, wall, type MonotonicMs, type WallMs } from '../base/time.ts';
import type { Netfd } from './netfd.ts';

type Clocks = Pick<Netfd, 'clockMonotonic' | 'clockBoottime'>;

/** The three clocks read at one moment, milliseconds. */
export interface ClockReading {
  readonly monotonicMs: MonotonicMs;
  readonly boottimeMs: number;
  readonly wallMs: WallMs;
}

/** What happened between two readings, milliseconds; 0 where it is within the measurement's noise. */
export interface ClockGap {
  /** Time that CLOCK_MONOTONIC missed: suspended. Never negative. */
  readonly suspendedMs: number;
  /** How far the wall clock was set, beyond suspension: forward positive (a paused machine catching up), back negative. */
  readonly wallStepMs: number;
  /** How much later than expected the second reading was made: this process was not running. Never negative. */
  readonly stalledMs: number;
}

/** Reads are microseconds apart; more is noise from being preempted between them, and they are read again. */
const READ_SPREAD_MS_MAX = 1;
const READ_ATTEMPTS_MAX = 5;
/** Below this a difference between clocks is noise. */
const SUSPENDED_MS_MIN = 5;
/** NTP slews by 0.05 %: below this, between readings a few seconds apart, nobody set the clock. */
const WALL_STEP_MS_MIN = 50;

export function readMonotonic(clocks: Clocks): MonotonicMs {
  return monotonic(clocks.clockMonotonic());
}

/** CLOCK_BOOTTIME: as CLOCK_MONOTONIC, but counting suspended time. Milliseconds. */
export function readBoottime(clocks: Clocks): number {
  return clocks.clockBoottime();
}

/** Processor time of the calling thread, in the kernel as well, ms. */
export function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** All clocks as close together as the scheduler allows. `readWall` is for tests. */
export function readClocks(clocks: Clocks, readWall: () => number = Date.now): ClockReading {
  for (let attempt = 1; ; attempt += 1) {
    const before = clocks.clockMonotonic();
    const boottimeMs = clocks.clockBoottime();
    const wallMs = wall(readWall());
    const monotonicMs = monotonic(clocks.clockMonotonic());
    if (monotonicMs - before <= READ_SPREAD_MS_MAX || attempt === READ_ATTEMPTS_MAX) {
      return { monotonicMs, boottimeMs, wallMs };
    }
  }
}

/**
 * Compares two readings. `expectedMs` is how long after the first the second was meant to be made (for an event loop that
 * sleeps until a deadline: that deadline); Infinity when nothing was expected.
 */
export function detectSuspend(before: ClockReading, now: ClockReading, expectedMs: number): ClockGap {
  const elapsed = now.monotonicMs - before.monotonicMs;
  const suspended = now.boottimeMs - before.boottimeMs - elapsed;
  const step = now.wallMs - before.wallMs - elapsed - Math.max(0, suspended);
  return {
    suspendedMs: suspended < SUSPENDED_MS_MIN ? 0 : suspended,
    wallStepMs: Math.abs(step) < WALL_STEP_MS_MIN ? 0 : step,
    stalledMs: Math.max(0, elapsed - expectedMs),
  };
}

/**
 * The time that tenure and kernel lifetimes did not count, at most: suspension, and a wall clock that jumped forward. 0
 * for none; this is what a clock.jumped event carries. A stall alone is in CLOCK_MONOTONIC already.
 */
export function missedMs(gap: ClockGap): number {
  return gap.suspendedMs + Math.max(0, gap.wallStepMs);
}
