/** Lists of which thousands are kept. */

const EMPTY: readonly never[] = Object.freeze([]);

/** The same values in a list without room for more: what push, filter and flatMap make has room for sixteen. */
export function exactList<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? EMPTY : list.slice();
}

/** Whether both hold the very same values in the same order. */
export function isSameValues(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a === b || (a.length === b.length && a.every((value, index) => value === b[index]));
}

/**
 * Equal texts as one: what is in each of thousands of objects (the type of a condition, a time to the second) is kept once.
 * Forgets everything when it is full.
 */
export class TextPool {
  readonly #known = new Map<string, string>();
  readonly #max: number;

  constructor(max = 1_024) {
    this.#max = max;
  }

  same(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= this.#max) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
