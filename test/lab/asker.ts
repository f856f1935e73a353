/** Many addresses asked for from outside (programs/asker.ts): who answered for each first, and when. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Lab, LabNode } from './lab.ts';
import { waitFor, type LabProcess } from './process.ts';

export interface Answer {
  readonly atMs: number;
  readonly mac: string;
}

export class Asker {
  /** First answers, by address. */
  readonly answers = new Map<string, Answer>();
  readonly #folder: string;
  readonly #program: LabProcess;
  readonly #count: number;

  /** `except`: a node whose answers don't count, because it is about to go. */
  static async start(lab: Lab, addresses: readonly string[], except?: LabNode): Promise<Asker> {
    const asker = new Asker(lab, addresses, except);
    await asker.#program.waitForLine(/^ready$/, 20_000);
    return asker;
  }

  private constructor(lab: Lab, addresses: readonly string[], except: LabNode | undefined) {
    this.#count = addresses.length;
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-asker-'));
    const file = join(this.#folder, 'addresses.json');
    writeFileSync(file, JSON.stringify(addresses));
    const program = join(import.meta.dirname, 'programs', 'asker.ts');
    const { ipv4 = '', ipv6 = '' } = lab.client;
    const ignored = except === undefined ? [] : [except.mac];
    this.#program = lab.spawn(lab.client, [process.execPath, program, file, 'eth0', ipv4, ipv6, ...ignored], {
      name: 'asker',
      onLine: ({ stream, text }) => stream === 'stdout' && this.#take(text),
    });
  }

  /** Resolves when there is an answer for every address. */
  async all(deadlineMs: number): Promise<void> {
    await waitFor(
      'an answer for every address',
      () => {
        if (this.#program.end !== undefined) throw new Error(`the asker ended:\n${this.#program.tail()}`);
        return this.answers.size === this.#count;
      },
      { deadlineMs, everyMs: 20 },
    ).catch((error: unknown) => {
      throw new Error(`${this.answers.size} of ${this.#count} addresses were answered for`, { cause: error });
    });
  }

  async close(): Promise<void> {
    await this.#program.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #take(text: string): void {
    if (!text.endsWith(']')) return;
    // What the program prints; its last line may be cut short.
    for (const [address, atMs, mac] of JSON.parse(text) as [string, number, string][]) {
      this.answers.set(address, { atMs, mac });
    }
  }
}
