/** The steps of losing a holder as this node lives through them, each with its moment: what a move's timings are made of. */

import type { MonotonicMs } from '../base/time.ts';
import { isMissing } from '../leader/view.ts';
import { assess, isSuspect } from './assessment.ts';
import { viewRules } from './view-rules.ts';
import type { AgentRules, AgentState, Suspicion } from './state.ts';

export function noteSuspicion(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentState {
  if (state.election.phase !== 'following') return state;
  if (!isSuspect(rules, state, now)) return state.suspicion === undefined ? state : { ...state, suspicion: undefined };
  const holder = state.election.observed?.lease?.holder ?? '';
  if (holder === rules.node) return state;
  const known: Suspicion = state.suspicion?.holder === holder ? state.suspicion : { holder, noticedAt: now };
  const { isHolderMissed, isWireSilent } = assess(rules, state, now);
  // A holder that is heard and merely holds nothing is no dead process.
  const isUnheard = isHolderMissed && isMissing(viewRules(rules), state.peers.view, holder, now);
  const suspicion: Suspicion = {
    ...known,
    missedSince: isUnheard ? (known.missedSince ?? now) : undefined,
    ...(isHolderMissed && known.majorityAt === undefined ? { majorityAt: now } : {}),
    ...(isWireSilent && known.wireAt === undefined ? { wireAt: now } : {}),
  };
  const before = state.suspicion;
  const isSame =
    known === before &&
    suspicion.majorityAt === before.majorityAt &&
    suspicion.wireAt === before.wireAt &&
    suspicion.missedSince === before.missedSince;
  return isSame ? state : { ...state, suspicion };
}
