/** The steps of losing a holder as this node lives through them, each with its moment: what a move's timings are made of. */

import type { MonotonicMs } from '../base/time.ts';
import { assess, isSuspect } from './peers.ts';
import type { AgentRules, AgentState, Suspicion } from './state.ts';

export function noteSuspicion(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentState {
  if (state.election.phase !== 'following') return state;
  if (!isSuspect(rules, state, now)) return state.suspicion === undefined ? state : { ...state, suspicion: undefined };
  const holder = state.election.observed?.lease?.holder ?? '';
  if (holder === rules.node) return state;
  const known: Suspicion = state.suspicion?.holder === holder ? state.suspicion : { holder, noticedAt: now };
  const { isHolderMissed, isWireSilent } = assess(rules, state, now);
  const suspicion: Suspicion = {
    ...known,
    ...(isHolderMissed && known.majorityAt === undefined ? { majorityAt: now } : {}),
    ...(isWireSilent && known.wireAt === undefined ? { wireAt: now } : {}),
  };
  const isSame = suspicion.majorityAt === state.suspicion?.majorityAt && suspicion.wireAt === state.suspicion?.wireAt;
  return isSame && known === state.suspicion ? state : { ...state, suspicion };
}
