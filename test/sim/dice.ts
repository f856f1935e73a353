/** Chance for a simulated world: one seeded stream (base/random.ts), so that one seed is one run. */

import { nextRandom, seed, type Seed } from '../../src/base/random.ts';

export class Dice {
  #state: Seed;

  constructor(from: number) {
    this.#state = seed(from);
    // mulberry32's first outputs of neighbouring seeds resemble each other.
    for (let i = 0; i < 8; i += 1) this.next();
  }

  /** In [0, 1). */
  next(): number {
    const [value, state] = nextRandom(this.#state);
    this.#state = state;
    return value;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.next() * items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  /** Mostly near `low`, seldom near `high`: how delays are. */
  skewed(low: number, high: number): number {
    const value = this.next();
    return low + value * value * value * (high - low);
  }

  /** How long something lasts: often short, as often anything up to the longest. */
  lasting(low: number, high: number): number {
    return this.chance(0.5) ? this.skewed(low, high) : this.between(low, high);
  }

  /** A stream of its own, so that more rolls in one place don't change another. */
  fork(): Dice {
    return new Dice(Math.floor(this.next() * 0x1_0000_0000));
  }
}
