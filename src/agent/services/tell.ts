/** What a turn did to Service addresses, told in numbers: a line for all of them, and counters. */

import { logEffect } from '../note.ts';
import type { AgentState } from '../state.ts';
import type { Turn } from './turn.ts';

const COUNTERS: Readonly<Record<string, string>> = {
  up: 'serviceClaims',
  announce: 'serviceAnnouncements',
  probe: 'serviceProbes',
  defend: 'serviceDefences',
  conflict: 'serviceConflicts',
  yielded: 'serviceYields',
  restored: 'serviceRestores',
  lapsed: 'serviceLapses',
};

export function tellTurn({ tally: counted, effects }: Turn): void {
  const restored = counted.get('restored');
  if (restored !== undefined) {
    effects.push(logEffect('warn', 'service addresses were removed by somebody and are put back', { count: restored }));
  }
  const lapsed = counted.get('lapsed');
  if (lapsed === undefined) return;
  const msg = 'service addresses outlived their lifetime while the process stood still';
  effects.push(logEffect('warn', msg, { count: lapsed }));
}

export function countersWith(turn: Turn): AgentState['counters'] {
  const { counters } = turn.state;
  let changed: Record<string, number> | undefined;
  turn.tally.forEach((count, output) => {
    const name = COUNTERS[output];
    if (name === undefined) return;
    changed ??= { ...counters };
    changed[name] = (changed[name] ?? 0) + count;
  });
  return changed ?? counters;
}
