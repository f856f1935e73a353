/**
 * What parsing has to say: a problem (nothing starts) or a warning (it starts, differently from what was perhaps meant).
 * Both have the same shape, and remedies come from the table of errors.
 */

import { ERRORS, fillRemedy, type ErrorCode, type ErrorContext } from '../base/errors.ts';

export interface Finding {
  /** The setting, as it was spelled by the user. */
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

/** `context` fills the `{words}` of the remedy of `code`, `{name}` among them. */
export function finding(code: ErrorCode, name: string, message: string, context: ErrorContext = {}): Finding {
  return { name, code, message, remedy: fillRemedy(ERRORS[code].remedy, { name, ...context }) };
}

/** Collects both kinds while parsing goes on. */
export interface Findings {
  readonly problems: Finding[];
  readonly warnings: Finding[];
}
