/**
 * Measures what a client outside sees of the virtual IPs: a stream of UDP probes, each answered by an echo program on
 * whichever node has the address, and new TLS connections to the API server behind it. Times are the lab's (clock.ts).
 */

import { join } from 'node:path';

import { nowMs, sleep } from './clock.ts';
import type { Lab, LabNode } from './lab.ts';
import { findOutages, summarise, type Outage, type OutageSummary, type Sample } from './outage.ts';
import { waitFor, type LabProcess } from './process.ts';

const PROGRAMS = join(import.meta.dirname, 'programs');
const ECHO_PORT = 7777;
/** A UDP answer later than this is an outage: several times what a busy two-core machine delays a process. */
const UDP_GRACE_MS = 40;
const TLS_TIMEOUT_MS = 1000;

/** Starts the program that answers probes on a node; again after the node was powered off. */
export async function startEcho(lab: Lab, node: LabNode): Promise<LabProcess> {
  const echo = lab.spawn(node, [process.execPath, join(PROGRAMS, 'echo.ts'), node.name, String(ECHO_PORT)], {
    name: `echo@${node.name}`,
  });
  await echo.waitForLine(/ready/);
  return echo;
}

export interface ProberOptions {
  readonly targets: readonly string[];
  /** Default 2 ms. */
  readonly intervalMs?: number;
}

/** Probes that were sent, target by target, and what they say. */
export abstract class Prober {
  protected readonly samples = new Map<string, Sample[]>();
  readonly #graceMs: number;
  readonly #program: LabProcess;
  /** Until when reports have come in. */
  protected reportedMs = 0;

  protected constructor(
    start: (onLine: (text: string) => void) => LabProcess,
    targets: readonly string[],
    graceMs: number,
  ) {
    this.#graceMs = graceMs;
    for (const target of targets) this.samples.set(target, []);
    this.#program = start((text) => this.take(text));
  }

  /** Reads one line of the program's report. */
  protected abstract take(text: string): void;

  /** What one target's probes sent in the time given met; until everything sent by then is decided. */
  async summary(target: string, fromMs: number, untilMs = nowMs()): Promise<OutageSummary> {
    await this.#settle(untilMs);
    const samples = (this.samples.get(target) ?? []).filter((sample) => sample.sentMs <= untilMs);
    return summarise(samples, this.#graceMs, this.reportedMs, fromMs);
  }

  outagesNow(target: string): readonly Outage[] {
    return findOutages(this.samples.get(target) ?? [], this.#graceMs, this.reportedMs);
  }

  /** Who answered the newest answered probe; undefined while the target is dark. */
  answeringNow(target: string): string | undefined {
    const samples = this.samples.get(target) ?? [];
    const last = samples.findLast((sample) => sample.answeredMs !== undefined);
    return last === undefined || this.reportedMs - last.sentMs > 2 * this.#graceMs ? undefined : last.by;
  }

  /** Resolves when a probe sent after `sinceMs` was answered; answers that probe. */
  async answered(target: string, sinceMs: number, deadlineMs = 10_000): Promise<Sample> {
    return waitFor(
      `an answer from ${target}`,
      () => this.samples.get(target)?.findLast((sample) => sample.sentMs >= sinceMs && sample.answeredMs !== undefined),
      { deadlineMs, everyMs: 5 },
    );
  }

  /** Who answered in the time given, in the order of first answers. */
  answerers(target: string, fromMs: number, untilMs = nowMs()): readonly string[] {
    const names = this.#between(target, fromMs, untilMs).map((sample) => sample.by);
    return [...new Set(names)].filter((name) => name !== undefined);
  }

  samplesOf(target: string): readonly Sample[] {
    return this.samples.get(target) ?? [];
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  #between(target: string, fromMs: number, untilMs: number): readonly Sample[] {
    return (this.samples.get(target) ?? []).filter((sample) => sample.sentMs >= fromMs && sample.sentMs <= untilMs);
  }

  async #settle(untilMs: number): Promise<void> {
    const wanted = untilMs + this.#graceMs;
    while (this.reportedMs < wanted) {
      if (this.#program.end !== undefined) throw new Error(`${this.#program.name} ended:\n${this.#program.tail()}`);
      await sleep(10);
    }
  }
}

/** UDP probes from the client to the targets' echo programs. */
export class UdpProber extends Prober {
  readonly #gaps: { atMs: number; lengthMs: number }[] = [];

  constructor(lab: Lab, { targets, intervalMs = 2 }: ProberOptions) {
    const argv = [process.execPath, join(PROGRAMS, 'prober.ts'), String(intervalMs), String(ECHO_PORT), ...targets];
    super(
      (onLine) =>
        lab.spawn(lab.client, argv, {
          name: 'prober',
          onLine: ({ stream, text }) => stream === 'stdout' && onLine(text),
        }),
      targets,
      UDP_GRACE_MS,
    );
  }

  /** Times in which the prober itself was kept from sending for longer than `overMs`: the machine was busy, not the VIP away. */
  stalls(fromMs: number, overMs = 20): readonly { readonly atMs: number; readonly lengthMs: number }[] {
    return this.#gaps.filter((gap) => gap.atMs >= fromMs && gap.lengthMs > overMs);
  }

  protected override take(text: string): void {
    // The last line of a prober that was ended may be cut short; what matters was asked for before.
    if (!text.endsWith('}')) return;
    // What programs/prober.ts prints.
    const batch = JSON.parse(text) as {
      target: string;
      first: number;
      sent: number[];
      got: [number, number, string][];
      at: number;
    };
    const samples = this.samples.get(batch.target);
    if (samples === undefined) return;
    for (const sentMs of batch.sent) {
      const before = samples.at(-1)?.sentMs;
      if (before !== undefined && sentMs - before > 10) this.#gaps.push({ atMs: before, lengthMs: sentMs - before });
      samples.push({ sentMs, answeredMs: undefined, by: undefined });
    }
    for (const [number, answeredMs, by] of batch.got) {
      const sample = samples[number];
      if (sample !== undefined && sample.answeredMs === undefined) samples[number] = { ...sample, answeredMs, by };
    }
    this.reportedMs = Math.max(this.reportedMs, batch.at);
  }
}

/** New TLS connections from the client to `https://VIP:port`, verified against a CA file. */
export class TlsProber extends Prober {
  readonly errors: { readonly atMs: number; readonly error: string }[] = [];

  constructor(lab: Lab, { targets, intervalMs = 50, caFile }: ProberOptions & { readonly caFile: string }) {
    const urls = targets.map((target) => new URL(target).href);
    const argv = [
      process.execPath,
      join(PROGRAMS, 'tls-prober.ts'),
      String(intervalMs),
      String(TLS_TIMEOUT_MS),
      caFile,
      ...urls,
    ];
    super(
      (onLine) =>
        lab.spawn(lab.client, argv, {
          name: 'tls-prober',
          onLine: ({ stream, text }) => stream === 'stdout' && onLine(text),
        }),
      urls,
      TLS_TIMEOUT_MS + 200,
    );
  }

  protected override take(text: string): void {
    // What programs/tls-prober.ts prints, in the order of ending.
    if (!text.endsWith('}')) return;
    const { target, sent, answered, by, error } = JSON.parse(text) as {
      target: string;
      sent: number;
      answered?: number;
      by?: string;
      error?: string;
    };
    const samples = this.samples.get(target);
    if (samples === undefined) return;
    samples.push({ sentMs: sent, answeredMs: answered, by });
    samples.sort((a, b) => a.sentMs - b.sentMs);
    if (error !== undefined) this.errors.push({ atMs: sent, error });
    this.reportedMs = Math.max(this.reportedMs, nowMs());
  }
}
