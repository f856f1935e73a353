/** How leadership ends: lost, released or handed over. Each leaves the election following, or on its way there. */

import type { MonotonicMs } from '../base/time.ts';
import type { ElectionState, ElectionStep, LossCause } from './election-state.ts';

export function lose(state: ElectionState, cause: LossCause, now: MonotonicMs): ElectionStep {
  return {
    state: { ...state, phase: 'following', ...NOT_LEADING, nextAttemptAt: now },
    outputs: [{ kind: 'lost', cause, holder: state.observed?.lease?.holder ?? '' }],
  };
}

export function finishRelease(state: ElectionState, isWritten: boolean): ElectionStep {
  return {
    state: { ...state, phase: 'following', ...NOT_LEADING },
    outputs: [{ kind: 'released', isWritten }],
  };
}

export function finishHandover(state: ElectionState, isWritten: boolean): ElectionStep {
  if (state.handover === undefined || state.handover.isWritten || state.phase !== 'leading') {
    return { state, outputs: [] };
  }
  const handover = isWritten ? { ...state.handover, isWritten } : undefined;
  return { state: { ...state, handover }, outputs: [{ kind: 'handed-over', to: state.handover.to, isWritten }] };
}

const NOT_LEADING = {
  isResigning: false,
  isWithdrawn: false,
  provisionalSince: undefined,
  handover: undefined,
} as const;
