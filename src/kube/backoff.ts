/** Pauses between attempts: exponential with jitter and a cap, and a pause that can be cut short. */

export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #count = 0;

  /** `random`: in [0, 1). */
  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Nothing failed since the last reset. */
  get isFresh(): boolean {
    return this.#count === 0;
  }

  /** The next pause, ms: between half and the whole of min × 2ⁿ, at most max. */
  next(): number {
    const whole = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#count, 30));
    this.#count += 1;
    return whole * (0.5 + 0.5 * this.#random());
  }

  reset(): void {
    this.#count = 0;
  }
}

/** One pause at a time. */
export class Pause {
  #timer: NodeJS.Timeout | undefined;
  #resolve: (() => void) | undefined;

  /** Resolves after `ms`, or when woken. */
  for(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#timer = setTimeout(() => this.wake(), ms);
    });
  }

  wake(): void {
    clearTimeout(this.#timer);
    this.#resolve?.();
    this.#resolve = undefined;
  }
}
