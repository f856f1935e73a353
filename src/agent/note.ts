/** A log line as an effect, and what a telling function returns. */

import type { Effect } from './effect.ts';
import type { AgentState } from './state.ts';

export interface Told {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

export function logEffect(
  level: 'info' | 'warn' | 'error',
  msg: string,
  fields: Readonly<Record<string, unknown>>,
): Effect {
  return { kind: 'log', level, msg, fields };
}
