/**
 * When the next run is due: after something has changed, RUN_SPACING_MS after the last one at the earliest, and later the
 * longer runs take, so that thousands of Services leave the loop to the heartbeats. One run at a time; what changes during
 * one is for the next.
 */

import { Breath } from '../../kube/breath.ts';

/** Runs follow one another at this distance at the earliest. */
export const RUN_SPACING_MS = 20;
/** A run may take a quarter of the time, an urgent one half: in slices, so that the loop is there for others all the while. */
const REST_FACTOR = 3;
const URGENT_REST_FACTOR = 1;

export class Rhythm {
  isClosed = false;
  /** Whether others wait for what is worked out: addresses are being given. */
  isUrgent = false;
  readonly #work: (breath: Breath) => Promise<void>;
  #ranAt = Number.NEGATIVE_INFINITY;
  #tookMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #wakeTimer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #isDirty = false;

  /** `work` is one run; what it throws is nobody's to catch. */
  constructor(work: (breath: Breath) => Promise<void>) {
    this.#work = work;
  }

  /** Something has changed. */
  touch(): void {
    this.#isDirty = true;
    if (this.isClosed || this.#isRunning || this.#timer !== undefined) return;
    const restFactor = this.isUrgent ? URGENT_REST_FACTOR : REST_FACTOR;
    const spacingMs = Math.max(RUN_SPACING_MS, this.#tookMs * restFactor);
    const waitMs = Math.max(0, this.#ranAt + spacingMs - performance.now());
    // Upwards: Node's timers drop fractions.
    this.#timer = setTimeout(() => void this.#run(), Math.ceil(waitMs));
  }

  /** Runs again then, or earlier. */
  wakeAt(at: number): void {
    if (this.isClosed || (this.#wakeTimer !== undefined && this.#wakeAt <= at)) return;
    clearTimeout(this.#wakeTimer);
    this.#wakeAt = at;
    this.#wakeTimer = setTimeout(
      () => {
        this.#wakeTimer = undefined;
        this.touch();
      },
      Math.max(1, at - performance.now()),
    );
    this.#wakeTimer.unref();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#wakeTimer);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    if (this.isClosed) return;
    this.#isRunning = true;
    this.#isDirty = false;
    const breath = new Breath();
    try {
      await this.#work(breath);
    } finally {
      this.#isRunning = false;
      this.#ranAt = performance.now();
      this.#tookMs = breath.busyMs;
    }
    if (this.#isDirty) this.touch();
  }
}
