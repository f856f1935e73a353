/**
 * The lab's one time base: CLOCK_MONOTONIC of the machine in milliseconds, the same in every process and every network
 * namespace, so that what a prober, a capture and a test saw can be laid on one line.
 */

export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
