/**
 * Two programs that give addresses: what this one writes into a Service's status, another takes out again (MetalLB's
 * controller does, when the address is of none of its pools), and each answer of one is news to the other. Twice may be an
 * accident; from the third time within a minute on, the Service is left alone for a while, longer each time, and told why.
 */

import type { StatusPatch } from '../../kube/service-status.ts';
import type { Reason, ServiceObject } from '../../services/model.ts';

/** Losses within this time belong together, and a Service that keeps what it has for so long is at peace. */
export const WINDOW_MS = 60_000;
/** So many of them are nobody's fault: a status that was edited, a controller that is just being replaced. */
const LOSSES_TOLERATED = 2;
const PAUSE_MIN_MS = 10_000;
/** Who removes the other program sees the address come back within this time. */
const PAUSE_MAX_MS = 300_000;

interface Written {
  /** resourceVersion of the Service that was written over. */
  readonly over: string;
  readonly addresses: string;
}

interface Fight {
  losses: readonly number[];
  pauses: number;
  until: number;
  addresses: string;
}

export class Contention {
  readonly #written = new Map<string, Written>();
  readonly #fights = new Map<string, Fight>();

  /** Addresses were written into the status, or all of them taken out of it. */
  wrote({ key, resourceVersion, ingress }: StatusPatch): void {
    if (ingress === undefined) return;
    if (ingress.length === 0) this.#written.delete(key);
    else this.#written.set(key, { over: resourceVersion, addresses: ingress.join(', ') });
  }

  /** Why the Service is to be left alone now; undefined: it isn't. */
  look(service: ServiceObject, now: number): Reason | undefined {
    const { key, ingress, resourceVersion } = service;
    const written = this.#written.get(key);
    if (written !== undefined && resourceVersion !== written.over && ingress.length === 0) {
      this.#written.delete(key);
      this.#lost(key, written.addresses, now);
    }
    const fight = this.#fights.get(key);
    if (fight === undefined || fight.pauses === 0) return undefined;
    if (now - fight.until >= WINDOW_MS) this.#fights.delete(key);
    if (now >= fight.until) return undefined;
    const message = `another program takes ${fight.addresses} out of the status each time that it is written: two load balancers serve this Service`;
    return { pool: '', code: 'SERVICE_CONTESTED', message };
  }

  /** When the first of those that are left alone is tried again. */
  nextAt(now: number): number | undefined {
    let next: number | undefined;
    for (const { until } of this.#fights.values()) {
      if (until > now && (next === undefined || until < next)) next = until;
    }
    return next;
  }

  forget(isThere: (key: string) => boolean): void {
    for (const map of [this.#written, this.#fights]) {
      for (const key of map.keys()) if (!isThere(key)) map.delete(key);
    }
  }

  clear(): void {
    this.#written.clear();
    this.#fights.clear();
  }

  #lost(key: string, addresses: string, now: number): void {
    const before = this.#fights.get(key);
    const losses = [...(before?.losses ?? []).filter((at) => now - at < WINDOW_MS), now];
    const { pauses = 0, until = Number.NEGATIVE_INFINITY } = before ?? {};
    const isContested = losses.length > LOSSES_TOLERATED || (pauses > 0 && now - until < WINDOW_MS);
    const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** Math.min(pauses, 10));
    this.#fights.set(
      key,
      isContested
        ? { losses, pauses: pauses + 1, until: now + pauseMs, addresses }
        : { losses, pauses, until, addresses },
    );
  }
}
