/** What the client on the lab's network (prober.ts) met at the addresses of Services. */

import { join } from 'node:path';

import { nowMs, sleep } from '../../test/lab/clock.ts';
import type { Lab } from '../../test/lab/lab.ts';
import { findOutages, type Sample } from '../../test/lab/outage.ts';
import { waitFor, type LabProcess } from '../../test/lab/process.ts';

export type ProbeKind = 'http' | 'udp' | 'tcp';

interface Probe extends Sample {
  readonly seen: string | undefined;
  readonly error: string | undefined;
}

/** One kind of probe to one address, of a stretch of time. */
export interface Stretch {
  readonly probes: number;
  /** Without an answer within 0.9 s. */
  readonly lost: number;
  /** The longest outage: from the sending of its first failed probe to the first answer, also of one that lasts longer; null: to this day. */
  readonly darkMs: number | null;
  /** Nodes of the Pods that answered, and the addresses that they were asked from, sorted. */
  readonly by: readonly string[];
  readonly seen: readonly string[];
  /** How probes failed → how many. */
  readonly errors: Readonly<Record<string, number>>;
}

/** An answer later than this is an outage: machines of the lab share two cores. */
const GRACE_MS = 300;
/** Those who ask begin this long before something happens: a probe sent then may fail of it. */
export const UNDERWAY_MS = 200;
/** Longer than any probe may take, so that what was sent by now is decided. */
const DECIDED_AFTER_MS = 1100;

export class ServiceTraffic {
  readonly #probes = new Map<string, Probe[]>();
  readonly #program: LabProcess;

  constructor(lab: Lab, targets: readonly string[]) {
    this.#program = lab.spawn(lab.client, [process.execPath, join(import.meta.dirname, 'prober.ts'), ...targets], {
      name: 'service prober',
      onLine: ({ stream, text }) => {
        if (stream === 'stdout') this.#take(text);
      },
    });
  }

  async stretch(kind: ProbeKind, target: string, fromMs: number, untilMs = nowMs()): Promise<Stretch> {
    await sleep(Math.max(0, untilMs + DECIDED_AFTER_MS - nowMs()));
    if (!this.#program.isRunning) throw new Error(`the prober ended:\n${this.#program.tail()}`);
    const samples = this.#of(kind, target).toSorted((a, b) => a.sentMs - b.sentMs);
    const begun = findOutages(samples, GRACE_MS, nowMs()).filter(
      ({ startMs, durationMs }) => startMs <= untilMs && startMs + durationMs >= fromMs + UNDERWAY_MS,
    );
    const darkMs = Math.max(0, ...begun.map(({ durationMs }) => durationMs));
    const sent = samples.filter(({ sentMs }) => sentMs >= fromMs && sentMs <= untilMs);
    const failed = sent.filter(({ answeredMs }) => answeredMs === undefined);
    const errors: Record<string, number> = {};
    for (const { error = '' } of failed) errors[error] = (errors[error] ?? 0) + 1;
    return {
      probes: sent.length,
      lost: failed.length,
      darkMs: Number.isFinite(darkMs) ? Math.round(darkMs) : null,
      by: sorted(sent.map(({ by }) => by)),
      seen: sorted(sent.map(({ seen }) => seen)),
      errors,
    };
  }

  /** When the first probe sent since then was answered. */
  async answered(kind: ProbeKind, target: string, sinceMs: number, deadlineMs: number): Promise<number> {
    return waitFor(
      `an answer of ${target} (${kind})`,
      () => this.#of(kind, target).find(({ sentMs, answeredMs }) => sentMs >= sinceMs && answeredMs)?.answeredMs,
      { deadlineMs, everyMs: 20 },
    );
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  #of(kind: ProbeKind, target: string): readonly Probe[] {
    return this.#probes.get(`${kind} ${target}`) ?? [];
  }

  #take(text: string): void {
    // What prober.ts prints.
    const { kind, target, sent, answered, by, seen, error } = JSON.parse(text) as {
      readonly kind: ProbeKind;
      readonly target: string;
      readonly sent: number;
      readonly answered?: number;
      readonly by?: string;
      readonly seen?: string;
      readonly error?: string;
    };
    const key = `${kind} ${target}`;
    const probes = this.#probes.get(key) ?? [];
    this.#probes.set(key, probes);
    probes.push({ sentMs: sent, answeredMs: answered, by, seen, error });
  }
}

function sorted(names: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(names)].filter((name) => name !== undefined).toSorted();
}
