/**
 * Label selectors of Kubernetes (metav1.LabelSelector): read from what somebody wrote, and matched. A selector with
 * anything unreadable in it is refused as a whole, because half a selector would match more than was meant.
 */

import { isObject, type JsonObject } from '../base/json.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import type { LabelSelector, Labels } from './model.ts';
import { shown } from './objects/shown.ts';

export type SelectorReason = 'selector' | 'labels' | 'expressions' | 'operator' | 'values' | 'size';

/** Requirements (labels and expressions) a selector may have; more are refused ('size'). */
export const REQUIREMENTS_MAX = 100;
/** Values one expression may name; more are refused ('size'). */
export const VALUES_MAX = 1_000;

type Expression = LabelSelector['matchExpressions'][number];
type Refusal = ReturnType<typeof refused<SelectorReason>>;

const NO_LABELS: Labels = Object.freeze({});
const NO_LIST: readonly never[] = Object.freeze([]);

/** No requirement at all: matches everything. */
export const EVERYTHING: LabelSelector = Object.freeze({ matchLabels: NO_LABELS, matchExpressions: NO_LIST });

/**
 * Reads a selector. Absent (undefined, null) and {} match everything; whoever means "nothing" by absence asks before.
 * `detail` of a refusal is a sentence that begins with the field, seen from the selector.
 */
export function decodeSelector(raw: unknown): Outcome<LabelSelector, SelectorReason> {
  if (raw === undefined || raw === null) return ok(EVERYTHING);
  if (!isObject(raw)) return refused('selector', `the selector is ${shown(raw)}, not matchLabels and matchExpressions`);
  const matchLabels = decodeMatchLabels(raw['matchLabels']);
  if (!matchLabels.ok) return matchLabels;
  const matchExpressions = decodeExpressions(raw['matchExpressions']);
  if (!matchExpressions.ok) return matchExpressions;
  const stray = Object.keys(raw).find((key) => key !== 'matchLabels' && key !== 'matchExpressions');
  if (stray !== undefined) {
    return refused('selector', `the selector has ${shown(stray)}: it knows matchLabels and matchExpressions only`);
  }
  return ok({ matchLabels: matchLabels.value, matchExpressions: matchExpressions.value });
}

/** Whether all requirements hold. NotIn and DoesNotExist hold for labels that aren't there. */
export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  return matchesLookup(selector, (key) => labelOf(labels, key));
}

/** As matchesSelector, for labels that are looked up. */
export function matchesLookup(selector: LabelSelector, lookup: (key: string) => string | undefined): boolean {
  for (const key of Object.keys(selector.matchLabels)) {
    if (lookup(key) !== selector.matchLabels[key]) return false;
  }
  return selector.matchExpressions.every((expression) => holds(expression, lookup(expression.key)));
}

/** The value of a label, and never something every JavaScript object has (`constructor`). */
export function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function holds({ operator, values }: Expression, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function decodeMatchLabels(raw: unknown): Outcome<Labels, SelectorReason> {
  if (raw === undefined || raw === null) return ok(NO_LABELS);
  if (!isObject(raw)) return refused('labels', `matchLabels is ${shown(raw)}, not labels`);
  const keys = Object.keys(raw);
  if (keys.length > REQUIREMENTS_MAX) return tooMany('matchLabels', keys.length, REQUIREMENTS_MAX);
  const labels: Record<string, string> = {};
  for (const key of keys) {
    if (!isLabelKey(key)) return refused('labels', `matchLabels has the key ${shown(key)}, which no label can have`);
    const value = raw[key] ?? '';
    if (!isLabelValue(value)) {
      return refused('labels', `matchLabels[${key}] is ${shown(value)}, which no label can have as its value`);
    }
    labels[key] = value;
  }
  return ok(keys.length === 0 ? NO_LABELS : labels);
}

function decodeExpressions(raw: unknown): Outcome<readonly Expression[], SelectorReason> {
  if (raw === undefined || raw === null) return ok(NO_LIST);
  if (!Array.isArray(raw)) return refused('expressions', `matchExpressions is ${shown(raw)}, not a list`);
  if (raw.length > REQUIREMENTS_MAX) return tooMany('matchExpressions', raw.length, REQUIREMENTS_MAX);
  const expressions: Expression[] = [];
  for (const [index, item] of raw.entries()) {
    const field = `matchExpressions[${index}]`;
    if (!isObject(item)) return refused('expressions', `${field} is ${shown(item)}, not key, operator and values`);
    const expression = decodeExpression(field, item);
    if (!expression.ok) return expression;
    expressions.push(expression.value);
  }
  return ok(expressions.length === 0 ? NO_LIST : expressions);
}

function decodeExpression(field: string, raw: JsonObject): Outcome<Expression, SelectorReason> {
  const { key, operator } = raw;
  if (typeof key !== 'string' || !isLabelKey(key)) {
    return refused('expressions', `${field}.key is ${shown(key)}, which no label can have as its key`);
  }
  const values = decodeValues(`${field}.values`, raw['values']);
  if (!values.ok) return values;
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.value.length === 0) return refused('values', `${field}.values is empty: ${operator} needs values`);
      return ok({ key, operator, values: values.value });
    case 'Exists':
    case 'DoesNotExist':
      if (values.value.length > 0) return refused('values', `${field}.values is given: ${operator} has none`);
      return ok({ key, operator, values: values.value });
    default:
      return refused('operator', `${field}.operator is ${shown(operator)}, not In, NotIn, Exists or DoesNotExist`);
  }
}

function decodeValues(field: string, raw: unknown): Outcome<readonly string[], SelectorReason> {
  if (raw === undefined || raw === null) return ok(NO_LIST);
  if (!Array.isArray(raw)) return refused('values', `${field} is ${shown(raw)}, not a list`);
  if (raw.length > VALUES_MAX) return tooMany(field, raw.length, VALUES_MAX);
  const values: string[] = [];
  for (const [index, value] of (raw as readonly unknown[]).entries()) {
    if (!isLabelValue(value)) {
      return refused('values', `${field}[${index}] is ${shown(value)}, which no label can have as its value`);
    }
    values.push(value);
  }
  return ok(values.length === 0 ? NO_LIST : values);
}

function tooMany(field: string, count: number, max: number): Refusal {
  return refused('size', `${field} has ${count} entries: ${max} are allowed`);
}

/** Optional DNS name and '/', then up to 63 characters (apimachinery: IsQualifiedName). */
function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash === -1) return isLabelName(key);
  return slash <= 253 && /^[a-z0-9.-]+$/.test(key.slice(0, slash)) && isLabelName(key.slice(slash + 1));
}

function isLabelName(text: string): boolean {
  return text !== '' && isLabelValue(text);
}

/** Empty, or up to 63 characters that begin and end with a letter or digit (apimachinery: IsValidLabelValue). */
function isLabelValue(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 63 && /^([A-Za-z0-9]([-\w.]*[A-Za-z0-9])?)?$/.test(value);
}
