/** What is wrong with a source of pools, said with the codes of pools and advertisements. See objects/part.ts. */

import { ERRORS, fillRemedy, type ErrorCode, type ErrorContext } from '../../base/errors.ts';
import { mergeRanges, formatRange, parseRange, rangeFault, type RangeForm } from '../address-range.ts';
import type { AddressRange, ObjectProblem, ObjectRef, PoolClosure } from '../model.ts';
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

/** What follows from something in a pool that can't be read. */
const EFFECTS = {
  closed: 'until then it gives nothing new, and what it gave is kept',
  rest: 'its other ranges are used',
  once: 'it counts once',
} as const;

/** POOL_INVALID, with what follows from it. */
export function tellInvalid(
  report: Report,
  effect: keyof typeof EFFECTS,
  message: string,
  context: ErrorContext & { readonly field: string },
): void {
  tell(report, 'POOL_INVALID', message, { effect: EFFECTS[effect], ...context });
}

export interface RangeText {
  /** Where it is written. */
  readonly field: string;
  readonly text: unknown;
}

/**
 * Ranges out of texts, each wrong one told and left out; what is in several of them counts once, and is told. `fault` is
 * the first that was wrong: whoever lets the whole pool suffer for it says so by `effect`.
 */
export function readRanges(
  report: Report,
  texts: readonly RangeText[],
  effect: 'closed' | 'rest',
  { form = {}, context = {} }: { readonly form?: RangeForm; readonly context?: ErrorContext } = {},
): ReadRanges {
  const ranges: AddressRange[] = [];
  let fault: RangeFault | undefined;
  for (const { field, text } of texts.slice(0, POOL_RANGES_MAX)) {
    const parsed = typeof text === 'string' ? parseRange(text, form) : undefined;
    if (parsed?.ok === true) {
      ranges.push(parsed.value);
      continue;
    }
    const saying =
      parsed === undefined ? `${field} is ${shown(text)}, not a text` : `${field}: ${rangeFault(String(text), parsed)}`;
    fault ??= { field, saying };
    tellInvalid(report, effect, saying, { field, ...context });
  }
  const beyond = texts[POOL_RANGES_MAX];
  if (beyond !== undefined) {
    const message = `${beyond.field} and what follows is left out: a pool has ${POOL_RANGES_MAX} ranges at most`;
    tellInvalid(report, 'rest', message, { field: beyond.field, ...context });
  }
  return { ranges: joinRanges(report, texts[0]?.field ?? '', ranges, context), fault };
}

export interface RangeFault {
  readonly field: string;
  readonly saying: string;
}

export interface ReadRanges {
  readonly ranges: readonly AddressRange[];
  readonly fault: RangeFault | undefined;
}

/** Why a pool with such a fault is closed. */
export function closureOf({ object }: Report, { field, saying }: RangeFault): PoolClosure {
  const context = { field, object: `${object.kind} ${object.key}`, effect: EFFECTS.closed };
  return { code: 'POOL_INVALID', message: saying, context };
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
    tellInvalid(report, 'once', message, { field, ...context });
  }
  return merged;
}
