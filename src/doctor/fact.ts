/** Something looked at: a value, or why there is none. Files are missing, rights lacking, servers away. */

export interface Known<T> {
  readonly isKnown: true;
  readonly value: T;
}

export interface Unknown {
  readonly isKnown: false;
  /** A sentence or its predicate, without a full stop. */
  readonly why: string;
  /** What would make it known; '' where nobody can say. */
  readonly remedy: string;
}

export type Fact<T> = Known<T> | Unknown;

export function known<T>(value: T): Known<T> {
  return { isKnown: true, value };
}

export function unknown(why: string, remedy = ''): Unknown {
  return { isKnown: false, why, remedy };
}

/** The facts that aren't known. */
export function unknownOf(...facts: readonly Fact<unknown>[]): readonly Unknown[] {
  return facts.filter((fact): fact is Unknown => !fact.isKnown);
}

export function valueOr<T, Other>(fact: Fact<T>, other: Other): T | Other {
  return fact.isKnown ? fact.value : other;
}

/** The fact made of this one. */
export function derive<T, Result>(fact: Fact<T>, make: (value: T) => Result): Fact<Result> {
  return fact.isKnown ? known(make(fact.value)) : fact;
}
