/**
 * What was made the last time, used again where it says the same: who keeps several plans then keeps one copy of what they
 * have in common, and sees what is new by identity. Pure.
 */

/**
 * Takes what is made now, one after the other, and answers the former value for it where `isSame`. Both times in the order of
 * `compare`, each only once.
 */
export function reuseOf<T>(
  before: readonly T[],
  compare: (a: T, b: T) => number,
  isSame: (former: T, made: T) => boolean,
): (made: T) => T {
  let place = 0;
  return (made) => {
    for (; place < before.length; place += 1) {
      const former = before[place] as T;
      const order = compare(former, made);
      if (order === 0 && isSame(former, made)) return former;
      if (order >= 0) return made;
    }
    return made;
  };
}
