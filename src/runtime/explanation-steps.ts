/** How the steps of an explanation are made: well, not well, or not to be said from here. Pure. */

import { ERRORS, fillRemedy, type ErrorCode, type ErrorContext } from '../base/errors.ts';
import type { ExplanationStep } from '../observe/explain.ts';

export function good(step: string, detail: string): ExplanationStep {
  return { isOk: true, step, detail, code: '', next: '' };
}

export function bad(step: string, detail: string, next: string): ExplanationStep {
  return { isOk: false, step, detail, code: '', next };
}

export function unsure(step: string, detail: string, next: string): ExplanationStep {
  return { isOk: undefined, step, detail, code: '', next };
}

/** Not well, and there is a code for it: what to do is the code's remedy. */
export function wrong(step: string, detail: string, code: ErrorCode, context: ErrorContext = {}): ExplanationStep {
  return { isOk: false, step, detail, code, next: fillRemedy(ERRORS[code].remedy, context) };
}
