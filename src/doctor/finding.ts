/**
 * What a check says: something is wrong (error: it breaks now; warning: it will, or does for somebody), nothing is, or it
 * could not be found out. Silence is none of them: a check that can't be made says so and why.
 */

import { ERRORS, fillRemedy, type ErrorCode, type ErrorContext } from '../base/errors.ts';
import type { Unknown } from './fact.ts';

export type Level = 'error' | 'warning' | 'unknown' | 'ok';

export interface Finding {
  readonly code: ErrorCode;
  readonly level: Level;
  /** What was seen, as one or more sentences. */
  readonly evidence: string;
  /** What to do; '' where there is nothing. */
  readonly remedy: string;
}

/** What a check found out, before it is known whether that is all. */
export interface Outcome {
  readonly wrong: readonly Finding[];
  /** What couldn't be found out. */
  readonly unknown: readonly Unknown[];
  /** Said when nothing is wrong and everything known. */
  readonly fine: string;
}

/** Reasons that are told of one code. */
const UNKNOWN_TOLD_MAX = 4;

/** `context` fills the blanks of the code's remedy. */
export function failing(code: ErrorCode, evidence: string, context: ErrorContext = {}): Finding {
  return { code, level: 'error', evidence, remedy: fillRemedy(ERRORS[code].remedy, context) };
}

export function warning(code: ErrorCode, evidence: string, context: ErrorContext = {}): Finding {
  return { code, level: 'warning', evidence, remedy: fillRemedy(ERRORS[code].remedy, context) };
}

export function fine(code: ErrorCode, evidence: string): Finding {
  return { code, level: 'ok', evidence, remedy: '' };
}

export function unsure(code: ErrorCode, { why, remedy }: Unknown): Finding {
  return { code, level: 'unknown', evidence: why, remedy };
}

/** What is wrong and what is not known; fine only when it is neither. */
export function conclude(code: ErrorCode, outcome: Outcome): readonly Finding[] {
  const { wrong, unknown } = outcome;
  if (wrong.length + unknown.length === 0) return [fine(code, outcome.fine)];
  const reasons = new Map(unknown.map((each) => [each.why, each]));
  const told = [...reasons.values()].slice(0, UNKNOWN_TOLD_MAX);
  return [...wrong, ...told.map((each) => unsure(code, each))];
}
