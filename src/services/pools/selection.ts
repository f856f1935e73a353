/**
 * Lists by which objects select others: names and label selectors. What is unreadable in one must not widen it, for no
 * restriction at all means everything: an unreadable selector becomes one that matches nothing, an unreadable list
 * `undefined`. What stands in it twice is told and counts once, as it would be refused by MetalLB.
 */

import type { LabelSelector } from '../model.ts';
import { isPresent, itemsOf, note, type Part } from '../objects/part.ts';
import { shown } from '../objects/shown.ts';
import { decodeSelector } from '../selector.ts';

/** Entries of one list; more are left out and told. */
const SELECTION_MAX = 1_000;

const NO_LIST: readonly never[] = Object.freeze([]);

/** Matches no object: one of no values. */
export const NOTHING: LabelSelector = {
  matchLabels: {},
  matchExpressions: [{ key: 'holdfast.io/unreadable', operator: 'In', values: NO_LIST }],
};

/** The selectors of the list; a list that is none is one that matches nothing. */
export function selectorsOf(part: Part, key: string): readonly LabelSelector[] {
  if (isPresent(part.fields[key]) && !Array.isArray(part.fields[key])) {
    note(part, key, `is ${shown(part.fields[key])}, not a list`);
    return [NOTHING];
  }
  const seen = new Set<string>();
  const selectors: LabelSelector[] = [];
  for (const [index, raw] of itemsOf(part, key, SELECTION_MAX).entries()) {
    const name = `${key}[${index}]`;
    const selector = readSelector(part, name, raw ?? 'null');
    const text = selectorText(selector);
    if (selector !== NOTHING && seen.has(text)) note(part, name, 'says the same as one before it');
    else selectors.push(selector);
    seen.add(text);
  }
  return selectors;
}

/** The one selector of the key, as a list; empty when there is none. */
export function selectorOf(part: Part, key: string): readonly LabelSelector[] {
  return isPresent(part.fields[key]) ? [readSelector(part, key, part.fields[key])] : NO_LIST;
}

function readSelector(part: Part, key: string, raw: unknown): LabelSelector {
  const decoded = decodeSelector(raw);
  if (decoded.ok) return decoded.value;
  note(part, key, `can't be read, so it matches nothing: ${decoded.detail ?? decoded.reason}`);
  return NOTHING;
}

/**
 * The texts of a list that are `isName`. undefined: there is a list, but nothing in it can be used, and no list would mean
 * everything.
 */
export function namesOf(part: Part, key: string, isName: (text: string) => boolean): readonly string[] | undefined {
  const value = part.fields[key];
  if (!isPresent(value)) return NO_LIST;
  const names = new Set<string>();
  const items = itemsOf(part, key, SELECTION_MAX);
  for (const [index, item] of items.entries()) {
    if (typeof item !== 'string' || !isName(item)) note(part, `${key}[${index}]`, `is ${shown(item)}, not a name`);
    else if (names.has(item)) note(part, `${key}[${index}]`, `is ${shown(item)}, which is named before`);
    else names.add(item);
  }
  const isUnreadable = names.size === 0 && (items.length > 0 || !Array.isArray(value));
  return isUnreadable ? undefined : Array.from(names);
}

/** The same for selectors that say the same in another order. */
function selectorText({ matchLabels, matchExpressions }: LabelSelector): string {
  const labels = Object.entries(matchLabels).map((entry) => JSON.stringify(entry));
  const expressions = matchExpressions.map(({ key, operator, values }) =>
    JSON.stringify([key, operator, Array.from(values).toSorted()]),
  );
  return JSON.stringify([labels.toSorted(), expressions.toSorted()]);
}
