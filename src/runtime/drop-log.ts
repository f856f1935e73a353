/**
 * What was received and not believed, told without letting a sender flood the log: every drop is counted, and a line is
 * written at most once a minute for each reason and peer, and never more than LINES_MAX a minute in all, for addresses of
 * senders can be made up.
 */

import type { Log } from '../observe/log.ts';

export interface DropLogOptions {
  readonly log: Log;
  /** For every drop. */
  readonly onDrop: (reason: string, count: number) => void;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** What a reason means and what to do about it, in words; a reason without is counted only. */
  readonly meanings: Readonly<Record<string, string>>;
}

const QUIET_MS = 60_000;
export const LINES_MAX = 20;
const KINDS_MAX = 256;

export class DropLog {
  readonly #options: DropLogOptions;
  /** By reason and peer: when it may be told again, and how many were not told since. */
  readonly #kinds = new Map<string, { readonly quietUntil: number; untold: number }>();
  #minuteEndsAt = 0;
  #lines = 0;

  constructor(options: DropLogOptions) {
    this.#options = options;
  }

  drop(reason: string, peer: string): void {
    this.#options.onDrop(reason, 1);
    const meaning = this.#options.meanings[reason];
    if (meaning === undefined) return;
    const now = this.#options.now();
    const key = `${reason} ${peer}`;
    const kind = this.#kinds.get(key);
    if (kind !== undefined && now < kind.quietUntil) {
      kind.untold += 1;
      return;
    }
    if (!this.#mayTell(now)) return;
    this.#kinds.delete(key);
    this.#kinds.set(key, { quietUntil: now + QUIET_MS, untold: 0 });
    for (const oldest of this.#kinds.keys()) {
      if (this.#kinds.size <= KINDS_MAX) break;
      this.#kinds.delete(oldest);
    }
    const count = (kind?.untold ?? 0) + 1;
    this.#options.log.warn('heartbeat dropped', { component: 'heartbeat', peer, reason, meaning, count });
  }

  #mayTell(now: number): boolean {
    if (now >= this.#minuteEndsAt) {
      this.#minuteEndsAt = now + QUIET_MS;
      this.#lines = 0;
    }
    this.#lines += 1;
    return this.#lines <= LINES_MAX;
  }
}
