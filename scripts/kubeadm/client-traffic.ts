/** What the client on the lab's network (client.ts) met: its requests, and the outages among them. */

import { join } from 'node:path';

import { nowMs, sleep } from '../../test/lab/clock.ts';
import type { Lab } from '../../test/lab/lab.ts';
import { summarise, type Sample } from '../../test/lab/outage.ts';
import type { LabProcess } from '../../test/lab/process.ts';

export interface ClientFiles {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface Darkness {
  /** The longest outage: from the sending of its first failed request to the end of the next good one; null: it lasts. */
  readonly longestMs: number | null;
  /** When it began, ms after the moment asked from. */
  readonly startsMs: number | undefined;
  readonly failed: number;
  readonly requests: number;
  /** How requests failed in that time → how many. */
  readonly errors: Readonly<Record<string, number>>;
}

type Kind = 'read' | 'write';

/** Longer than any request may take (client.ts), so that what was sent by now is decided. */
const DECIDED_AFTER_MS = 2300;

export class ClientTraffic {
  readonly #samples: Readonly<Record<Kind, Sample[]>> = { read: [], write: [] };
  readonly #errors: { readonly kind: Kind; readonly sentMs: number; readonly text: string }[] = [];
  readonly #program: LabProcess;

  constructor(lab: Lab, vip: string, files?: ClientFiles) {
    const credentials = files === undefined ? [] : [files.ca, files.certificate, files.key];
    const argv = [process.execPath, join(import.meta.dirname, 'client.ts'), vip, ...credentials];
    this.#program = lab.spawn(lab.client, argv, {
      name: 'client',
      onLine: ({ stream, text }) => {
        if (stream === 'stdout') this.#take(text);
      },
    });
  }

  /** When the first read was answered; undefined until then. */
  get firstAnswerMs(): number | undefined {
    return this.#samples.read.find(({ answeredMs }) => answeredMs !== undefined)?.answeredMs;
  }

  /** The longest outage of one kind that began at `fromMs` or later. */
  async darkness(kind: Kind, fromMs: number, untilMs = nowMs()): Promise<Darkness> {
    await sleep(Math.max(0, untilMs + DECIDED_AFTER_MS - nowMs()));
    if (!this.#program.isRunning) throw new Error(`the client ended:\n${this.#program.tail()}`);
    const samples = this.#samples[kind].toSorted((a, b) => a.sentMs - b.sentMs);
    const { outages } = summarise(samples, DECIDED_AFTER_MS, nowMs(), fromMs);
    const begun = outages.filter(({ startMs }) => startMs <= untilMs);
    const [longest] = begun.toSorted((a, b) => b.durationMs - a.durationMs);
    const durationMs = longest?.durationMs ?? 0;
    return {
      longestMs: Number.isFinite(durationMs) ? Math.round(durationMs) : null,
      startsMs: longest === undefined ? undefined : Math.round(longest.startMs - fromMs),
      failed: begun.reduce((sum, { lost }) => sum + lost, 0),
      requests: samples.filter(({ sentMs }) => sentMs >= fromMs && sentMs <= untilMs).length,
      errors: this.#countErrors(kind, fromMs, untilMs),
    };
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  #countErrors(kind: Kind, fromMs: number, untilMs: number): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const error of this.#errors) {
      if (error.kind !== kind || error.sentMs < fromMs || error.sentMs > untilMs) continue;
      counts[error.text] = (counts[error.text] ?? 0) + 1;
    }
    return counts;
  }

  #take(text: string): void {
    // What client.ts prints.
    const line = JSON.parse(text) as { kind: Kind; sent: number; answered?: number; error?: string };
    if (line.error !== undefined) this.#errors.push({ kind: line.kind, sentMs: line.sent, text: line.error });
    this.#samples[line.kind].push({ sentMs: line.sent, answeredMs: line.answered, by: undefined });
  }
}
