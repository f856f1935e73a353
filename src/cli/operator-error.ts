/** How a command tells an operator what is wrong: code and message on one line, what to type next on the second. */

import type { HoldfastError } from '../base/errors.ts';
import { ERRORS } from '../base/errors.ts';
import type { Finding } from '../config/finding.ts';

export function errorText(error: HoldfastError): string {
  return `${error.code}: ${error.message}\n  remedy: ${error.remedy}\n`;
}

export function findingText(finding: Finding): string {
  return `${finding.code}: ${finding.message}\n  remedy: ${finding.remedy}\n`;
}

/** For what is our mistake and not the operator's: here the stack is the message. */
export function crashText(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `INTERNAL_ERROR: ${text}\n  remedy: ${ERRORS.INTERNAL_ERROR.remedy}\n`;
}
