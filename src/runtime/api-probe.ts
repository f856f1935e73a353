/**
 * Looks at this node's own API server again and again, over one connection, verified like any other request: `/readyz`,
 * whose checks include those of `/livez` (k8s.io/apiserver, server/healthz.go), and where that fails `/livez`, which tells
 * a server that isn't ready from one that isn't well. What the looks mean (how many in a row) is the core's to say; here only when: at the interval, and
 * sooner once there is reason to doubt: the connection ended, or the last look failed.
 */

import type { LocalAnswer, LocalProbe } from '../kube/session.ts';

export interface ApiProbeOptions {
  readonly intervalMs: number;
  /** ApiClient.probeLocal. */
  readonly probe: (probe: LocalProbe) => Promise<LocalAnswer | undefined>;
  /** Each look's outcome. Not called while there is nothing to look at. */
  readonly onAnswer: (isHealthy: boolean, message: string) => void;
}

export interface ApiProbe {
  close(): void;
}

/**
 * For the whole look: under two intervals, so that a server that hangs is known after the second; but no less than a busy
 * machine may take for a TLS handshake.
 */
const DEADLINE_INTERVALS = 1.6;
const DEADLINE_MIN_MS = 500;
const DEADLINE_MAX_MS = 5000;
/** Between looks while in doubt, unless the interval is shorter: two looks tell a dead server in well under half a second. */
const DOUBT_PAUSE_MS = 100;
const PAUSE_MIN_MS = 20;

export function openApiProbe(options: ApiProbeOptions): ApiProbe {
  return new LocalApiProbe(options);
}

class LocalApiProbe implements ApiProbe {
  readonly #options: ApiProbeOptions;
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isClosed = false;

  constructor(options: ApiProbeOptions) {
    this.#options = options;
    this.#lookIn(0);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#look(), ms);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const { intervalMs, onAnswer } = this.#options;
    const startedAt = performance.now();
    this.#isLooking = true;
    const deadlineMs = Math.min(DEADLINE_MAX_MS, Math.max(DEADLINE_MIN_MS, intervalMs * DEADLINE_INTERVALS));
    const failure = await this.#findFailure(startedAt + deadlineMs);
    this.#isLooking = false;
    if (this.#isClosed) return;
    if (failure !== undefined) onAnswer(failure === '', failure === '' ? 'the API server is ready' : failure);
    const isDoubtful = failure !== undefined && failure !== '';
    const pauseMs = isDoubtful ? Math.min(DOUBT_PAUSE_MS, intervalMs) : intervalMs;
    this.#lookIn(Math.max(PAUSE_MIN_MS, startedAt + pauseMs - performance.now()));
  }

  /** '' when all is well; undefined when there is nothing to look at. */
  async #findFailure(deadlineAt: number): Promise<string | undefined> {
    const ready = await this.#ask('/readyz', deadlineAt);
    if (ready === undefined || ready.status === 200) return ready === undefined ? undefined : '';
    if (ready.status === undefined) return ready.message;
    const live = await this.#ask('/livez', deadlineAt);
    return live?.status === 200 ? `not ready: ${ready.message}` : `not live: ${live?.message ?? 'no answer'}`;
  }

  #ask(path: string, deadlineAt: number): Promise<LocalAnswer | undefined> {
    return this.#options.probe({
      path,
      timeoutMs: Math.max(1, deadlineAt - performance.now()),
      onDisconnect: () => this.#doubt(),
    });
  }

  /** A server that ends its connections is ending, or gone. */
  #doubt(): void {
    if (!this.#isLooking) this.#lookIn(0);
  }
}
