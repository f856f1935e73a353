/** What is wrong with a source of pools, said with the codes of pools and advertisements. See objects/part.ts. */

import { ERRORS, fillRemedy, type ErrorCode, type ErrorContext } from '../../base/errors.ts';
import { mergeRanges, formatRange, parseRange, rangeFault, type RangeForm } from '../address-range.ts';
import type { AddressRange, ObjectProblem, ObjectRef } from '../model.ts';
import { PROBLEMS_MAX, type Report } from '../objects/part.ts';
import { shown } from '../objects/shown.ts';

/** Ranges one pool may have; further ones are left out and told. A pool of more is a mistake of a generator. */
export const POOL_RANGES_MAX = 1_000;

/** `remedy` of the code is filled from `context`; `object` in it is the object, unless given. */
export function problemOf(
  object: ObjectRef,
  code: ErrorCode,
  message: string,
  context: ErrorContext = {},
): ObjectProblem {
  const filled = { object: `${object.kind} ${object.key}`, ...context };
  return { object, code, message, remedy: fillRemedy(ERRORS[code].remedy, filled) };
}

/** Adds a problem to the report, which counts those beyond PROBLEMS_MAX. */
export function tell(report: Report, code: ErrorCode, message: string, context: ErrorContext = {}): void {
  tellProblem(report, problemOf(report.object, code, message, context));
}

export function tellProblem(report: Report, problem: ObjectProblem): void {
  if (report.problems.length < PROBLEMS_MAX) report.problems.push(problem);
  else report.untold += 1;
}

export interface RangeText {
  /** Where it is written. */
  readonly field: string;
  readonly text: unknown;
}

/** Ranges out of texts, each wrong one told and left out; what is in several of them counts once, and is told. */
export function readRanges(
  report: Report,
  texts: readonly RangeText[],
  form: RangeForm = {},
  context: ErrorContext = {},
): readonly AddressRange[] {
  const ranges: AddressRange[] = [];
  for (const { field, text } of texts.slice(0, POOL_RANGES_MAX)) {
    if (typeof text !== 'string') {
      tell(report, 'POOL_INVALID', `${field} is ${shown(text)}, not a text`, { field, ...context });
      continue;
    }
    const parsed = parseRange(text, form);
    if (parsed.ok) ranges.push(parsed.value);
    else tell(report, 'POOL_INVALID', `${field}: ${rangeFault(text, parsed)}`, { field, ...context });
  }
  const beyond = texts[POOL_RANGES_MAX];
  if (beyond !== undefined) {
    const message = `${beyond.field} and what follows is left out: a pool has ${POOL_RANGES_MAX} ranges at most`;
    tell(report, 'POOL_INVALID', message, { field: beyond.field, ...context });
  }
  return joinRanges(report, texts[0]?.field ?? '', ranges, context);
}

/** Overlapping ranges of one pool as one each, told under the name of `field`. */
export function joinRanges(
  report: Report,
  field: string,
  ranges: readonly AddressRange[],
  context: ErrorContext = {},
): readonly AddressRange[] {
  const { ranges: merged, overlaps } = mergeRanges(ranges);
  const [first] = overlaps;
  if (first !== undefined) {
    const more = overlaps.length > 1 ? ` (and ${overlaps.length - 1} more)` : '';
    const message = `the pool names ${formatRange(first)} more than once${more}: it counts once`;
    tell(report, 'POOL_INVALID', message, { field, ...context });
  }
  return merged;
}
