/**
 * The main loop's pulse: after each turn the runtime says when it wants to turn next; being late for that is being stuck.
 * A loop with nothing to do until NEVER is not late, so an idle node needs no turns for the sake of being watched.
 */

import type { MonotonicMs } from '../base/time.ts';
import type { LoopPulse } from './health.ts';

export interface Heartbeat {
  /** The loop finished a turn and will turn again at `deadline` at the latest (NEVER: when something happens). */
  turned(deadline: MonotonicMs): void;
  read(): LoopPulse;
}

/** `now` is the clock that the deadlines are on. */
export function openHeartbeat(now: () => MonotonicMs): Heartbeat {
  let turnedAt = now();
  // until the first turn the loop is due at once
  let deadline: MonotonicMs = turnedAt;
  return {
    turned: (next) => {
      turnedAt = now();
      deadline = next;
    },
    read: () => {
      const at = now();
      return { turnedAgoMs: at - turnedAt, overdueMs: Math.max(0, at - Math.max(deadline, turnedAt)) };
    },
  };
}
