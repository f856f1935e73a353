/**
 * Reading an object that somebody else wrote, part by part. Each accessor answers a value of the wanted type; what is of
 * another type is named in the report with its path and counts as absent. Absent is undefined or null, and no problem.
 */

import { isObject, type JsonObject } from '../../base/json.ts';
import { ERRORS, fillRemedy } from '../../base/errors.ts';
import { parseIp, type Ip, type IpReason } from '../../base/ip.ts';
import type { Labels, ObjectProblem, ObjectRef } from '../model.ts';
import { shown } from './shown.ts';

/** Problems told of one object; how many more there were is told in one more. */
export const PROBLEMS_MAX = 16;
/** Characters of a single text (uid, a port's name, a class); a longer one is left out. */
export const TEXT_LENGTH_MAX = 1_024;
/** Entries of one map of texts (labels, data); the others are left out. */
export const MAP_ENTRIES_MAX = 10_000;
/** Characters of one map of labels, keys and values; entries beyond are left out. */
export const LABELS_LENGTH_MAX = 16_384;

/** What is found wrong with one object, as it is found. */
export interface Report {
  readonly object: ObjectRef;
  readonly problems: ObjectProblem[];
  /** Problems beyond PROBLEMS_MAX. */
  untold: number;
}

/** An object inside an object, and where it is: '' or 'spec.' or 'spec.ports[3].'. */
export interface Part {
  readonly report: Report;
  readonly path: string;
  readonly fields: JsonObject;
}

const NO_FIELDS: JsonObject = Object.freeze({});
const NO_LIST: readonly never[] = Object.freeze([]);
const NO_TEXTS: Labels = Object.freeze({});
const NO_PROBLEMS: readonly never[] = Object.freeze([]);

const IP_REASONS: Readonly<Record<IpReason, string>> = {
  'not-an-address': 'which is no IP address',
  'leading-zero': 'whose leading zero is read as octal by some',
  zone: 'whose zone means something on one machine only',
  'ipv4-mapped': 'which is an IPv4 address in the form of IPv6: write it as IPv4',
};

export function openReport(object: ObjectRef): Report {
  return { object, problems: [], untold: 0 };
}

export function closeReport(report: Report): readonly ObjectProblem[] {
  if (report.untold > 0) {
    const { kind, key } = report.object;
    report.problems.push(problem(report, 'the fields named', `${kind} ${key} has ${report.untold} more such problems`));
  }
  return report.problems.length === 0 ? NO_PROBLEMS : report.problems;
}

/** Notes that `key` of the part can't be used; `saying` goes on after the field's path: 'is "x", not a number'. */
export function note(part: Part, key: string, saying: string): void {
  const { report } = part;
  const field = part.path + key;
  if (report.problems.length < PROBLEMS_MAX) report.problems.push(problem(report, field, `${field} ${saying}`));
  else report.untold += 1;
}

/** Notes that nothing of the object can be used because of `key`. */
export function refuse(part: Part, key: string, saying: string): undefined {
  const { object, problems } = part.report;
  const field = part.path + key;
  problems.push({
    object,
    code: 'OBJECT_INVALID',
    message: `${field} ${saying}: nothing of the object can be used`,
    remedy: `Correct ${field} of ${object.kind} ${object.key}; until then it counts as absent.`,
  });
}

function problem({ object }: Report, field: string, message: string): ObjectProblem {
  const context = { field, object: `${object.kind} ${object.key}` };
  return { object, code: 'OBJECT_INVALID', message, remedy: fillRemedy(ERRORS.OBJECT_INVALID.remedy, context) };
}

/** An object inside; without fields when there is none. */
export function partOf(part: Part, key: string): Part {
  const value = part.fields[key];
  const path = `${part.path}${key}.`;
  if (isObject(value)) return { report: part.report, path, fields: value };
  if (isPresent(value)) note(part, key, `is ${shown(value)}, not an object`);
  return { report: part.report, path, fields: NO_FIELDS };
}

/** The entries of a list, `max` at most. */
export function itemsOf(part: Part, key: string, max: number): readonly unknown[] {
  const value = part.fields[key];
  if (!isPresent(value)) return NO_LIST;
  if (!Array.isArray(value)) {
    note(part, key, `is ${shown(value)}, not a list`);
    return NO_LIST;
  }
  if (value.length <= max) return value;
  note(part, key, `has ${value.length} entries: only the first ${max} are used`);
  return value.slice(0, max);
}

/** The objects of a list, `max` at most; entries of another type are left out. */
export function partsOf(part: Part, key: string, max: number): readonly Part[] {
  const items = itemsOf(part, key, max);
  if (items.length === 0) return NO_LIST;
  const parts: Part[] = [];
  for (const [index, fields] of items.entries()) {
    if (isObject(fields)) parts.push({ report: part.report, path: `${part.path}${key}[${index}].`, fields });
    else note(part, `${key}[${index}]`, `is ${shown(fields)}, not an object`);
  }
  return parts;
}

/** A text; '' when there is none. */
export function textOf(part: Part, key: string): string {
  const value = part.fields[key];
  if (typeof value === 'string' && value.length <= TEXT_LENGTH_MAX) return value;
  if (!isPresent(value)) return '';
  if (typeof value === 'string') {
    note(part, key, `has ${value.length} characters: at most ${TEXT_LENGTH_MAX} are read`);
  } else {
    note(part, key, `is ${shown(value)}, not a text`);
  }
  return '';
}

/** One of the choices; undefined when there is none. */
export function choiceOf<Choice extends string>(
  part: Part,
  key: string,
  choices: Readonly<Record<Choice, unknown>>,
): Choice | undefined {
  const value = part.fields[key];
  if (isChoice(value, choices)) return value;
  if (isPresent(value)) note(part, key, `is ${shown(value)}, not one of ${Object.keys(choices).join(', ')}`);
  return undefined;
}

export function isChoice<Choice extends string>(
  value: unknown,
  choices: Readonly<Record<Choice, unknown>>,
): value is Choice {
  return typeof value === 'string' && Object.hasOwn(choices, value);
}

/** true or false; undefined when there is neither. */
export function flagOf(part: Part, key: string): boolean | undefined {
  const value = part.fields[key];
  if (typeof value === 'boolean') return value;
  if (isPresent(value)) note(part, key, `is ${shown(value)}, not true or false`);
  return undefined;
}

/** A whole number from 1 to `max`; undefined when there is none. */
export function countOf(part: Part, key: string, max: number): number | undefined {
  const value = part.fields[key];
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return value;
  if (isPresent(value)) note(part, key, `is ${shown(value)}, not a whole number from 1 to ${max}`);
  return undefined;
}

/** Labels and the like, as a copy; entries that aren't texts and what goes beyond `lengthMax` characters is left out. */
export function textsOf(part: Part, key: string, lengthMax: number = LABELS_LENGTH_MAX): Labels {
  const { fields } = partOf(part, key);
  const keys = Object.keys(fields);
  if (keys.length === 0) return NO_TEXTS;
  const texts: Record<string, string> = {};
  let length = 0;
  for (const [index, entry] of keys.entries()) {
    const value = textEntry(part, key, entry);
    if (value === undefined) continue;
    length += entry.length + value.length;
    if (length > lengthMax || index >= MAP_ENTRIES_MAX) {
      note(
        part,
        key,
        `is too large: ${lengthMax} characters and ${MAP_ENTRIES_MAX} entries are read, the rest is left out`,
      );
      break;
    }
    texts[entry] = value;
  }
  return texts;
}

/**
 * The value of an entry of a map of texts. null is '', as in the API server. true and 7 are what somebody forgot to quote: the
 * API server refuses them, so they are told, and read as what was meant.
 */
export function textEntry(part: Part, key: string, entry: string): string | undefined {
  const given = (part.fields[key] as JsonObject)[entry] ?? '';
  const isUnquoted = typeof given === 'boolean' || (typeof given === 'number' && Number.isSafeInteger(given));
  const value = isUnquoted ? String(given) : given;
  if (isUnquoted) {
    note(part, entryName(key, entry), `is ${shown(given)}, not a text: it has to be quoted, and is read as if it were`);
  }
  if (typeof value !== 'string') {
    note(part, entryName(key, entry), `is ${shown(value)}, not a text`);
  } else if (entry === '__proto__') {
    note(part, entryName(key, entry), 'has a key that is not allowed');
  } else {
    return value;
  }
  return undefined;
}

export function entryName(key: string, entry: string): string {
  return `${key}[${shown(entry)}]`;
}

/** An address; undefined when the value is none, which is named as `key` of the part. */
export function ipOf(part: Part, key: string, value: unknown): Ip | undefined {
  if (typeof value !== 'string') {
    note(part, key, `is ${shown(value)}, not an IP address`);
    return undefined;
  }
  // Regular expressions over an enormous text are slow, and no address is longer.
  const parsed = value.length > IP_LENGTH_MAX ? undefined : parseIp(value);
  if (parsed?.ok === true) return parsed.value;
  note(part, key, `is ${shown(value)}, ${IP_REASONS[parsed?.reason ?? 'not-an-address']}`);
  return undefined;
}

/** Characters of the longest text of an IPv6 address, with an IPv4 address as its end and some room for a zone. */
const IP_LENGTH_MAX = 64;

export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}
