/**
 * Work in steps: a generator that yields where it may be interrupted, so that whoever has other things to do in between
 * (the daemon's loop) can, and whoever hasn't (a command, a test) has it done at once. It reads no clock itself.
 */

export type Steps<Result> = Generator<void, Result, void>;

/** Between two yields so many of thousands of small things are done: about a millisecond. */
export const STRIDE = 64;

/** All of it, at once. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Does `act` with each, yielding every STRIDE. */
export function* eachInSteps<Item>(items: Iterable<Item>, act: (item: Item) => void): Steps<void> {
  let count = 0;
  for (const item of items) {
    act(item);
    count += 1;
    if (count % STRIDE === 0) yield;
  }
}

/** What `make` makes of each, yielding every STRIDE. */
export function* mapInSteps<Item, Made>(items: readonly Item[], make: (item: Item) => Made): Steps<readonly Made[]> {
  const made: Made[] = [];
  yield* eachInSteps(items, (item) => void made.push(make(item)));
  return made;
}

/** The values by what `keyOf` says of each; of equal keys the last one. */
export function* indexInSteps<Value>(
  values: Iterable<Value>,
  keyOf: (value: Value) => string,
): Steps<ReadonlyMap<string, Value>> {
  const index = new Map<string, Value>();
  yield* eachInSteps(values, (value) => void index.set(keyOf(value), value));
  return index;
}
