/**
 * How many addresses one turn should drive. What one costs depends on the machine: the kernel takes 0.03 ms for an IPv4
 * address, and for the four thousandth IPv6 address of an interface 1.4 (it goes through those that are there). So the
 * portion follows the time that the last turns took.
 */

/** What a turn should take, ms of processor time: who else has the processor in between says nothing of its work. */
const TURN_MS = 6;
/** Below it the portion grows again. */
const SHORT_MS = 3;
const GROWTH = 1.25;
/** Less isn't quicker: a turn has its own cost. */
const PORTION_MIN = 6;

export class Pace {
  portion: number;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
    this.portion = max;
  }

  /** What a turn that may have driven a whole portion took, ms of processor time. */
  took(ms: number): void {
    if (ms > TURN_MS) this.portion = Math.max(PORTION_MIN, Math.floor((this.portion * TURN_MS) / ms));
    else if (ms < SHORT_MS) this.portion = Math.min(this.#max, Math.ceil(this.portion * GROWTH));
  }
}
