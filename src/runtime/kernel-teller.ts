/**
 * Kernel notifications as events for the core. What is read in one go is told in one event where addresses come by the
 * thousand, for each event costs a turn; BUNDLE_MAX at a time, so that the loop breathes. After lost notifications
 * everything is looked at anew.
 */

import type { AgentEvent } from '../agent/event.ts';
import { PORTION } from '../agent/services/step.ts';
import type { KernelChange, KernelSnapshot } from '../protocol/netlink/records.ts';

/** Changes in one event: as many as addresses are driven in one turn. */
export const BUNDLE_MAX = PORTION;

export interface KernelTellerOptions {
  readonly dump: () => KernelSnapshot;
  /** False: each change by itself, at once. */
  readonly isBundling: boolean;
}

export function kernelTeller(
  dispatch: (event: AgentEvent) => void,
  { dump, isBundling }: KernelTellerOptions,
): (change: KernelChange) => void {
  let waiting: KernelChange[] = [];
  const flush = (): void => {
    const changes = waiting.slice(0, BUNDLE_MAX);
    waiting = waiting.slice(BUNDLE_MAX);
    if (waiting.length > 0) setImmediate(flush);
    const [first] = changes;
    if (first === undefined) return;
    dispatch(changes.length === 1 ? { kind: 'kernel.changed', change: first } : { kind: 'kernel.changes', changes });
  };
  return (change) => {
    if (change.kind === 'overrun') {
      waiting = []; // older than what is read now
      dispatch({ kind: 'kernel.dumped', snapshot: dump() });
    } else if (isBundling) {
      waiting.push(change);
      if (waiting.length === 1) queueMicrotask(flush);
    } else {
      dispatch({ kind: 'kernel.changed', change });
    }
  };
}
