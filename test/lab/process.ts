/**
 * A program that the lab runs: its output is kept line by line with the time each line came, can be waited for, and the
 * process is stopped, frozen or killed by its own id only.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import { nowMs } from './clock.ts';

/** Lines kept per process; older ones are dropped first. */
const LINES_MAX = 20_000;

export interface OutputLine {
  /** When the line came, on the lab's clock. */
  readonly atMs: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProcessOptions {
  /** The whole environment: nothing is inherited but PATH and HOME. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Gets each line as it comes. */
  readonly onLine?: (line: OutputLine) => void;
  /** For messages: what this is. */
  readonly name?: string;
}

export class LabProcess {
  readonly name: string;
  readonly pid: number;
  readonly lines: OutputLine[] = [];
  /** Resolves when the process has ended and its output was read. */
  readonly ended: Promise<ProcessEnd>;
  #end: ProcessEnd | undefined;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();

  constructor(argv: readonly string[], options: ProcessOptions = {}) {
    const [command = '', ...args] = argv;
    this.name = options.name ?? command;
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...options.env };
    this.#child = spawn(command, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.pid = this.#child.pid ?? 0;
    for (const stream of ['stdout', 'stderr'] as const) {
      const source = this.#child[stream];
      if (source === null) continue;
      createInterface({ input: source }).on('line', (text) => {
        const line = { atMs: nowMs(), stream, text };
        this.lines.push(line);
        if (this.lines.length > LINES_MAX) this.lines.shift();
        options.onLine?.(line);
        this.#wake();
      });
    }
    this.ended = new Promise((resolve) => {
      const finish = (end: ProcessEnd): void => {
        this.#end ??= end;
        this.#wake();
        resolve(this.#end);
      };
      this.#child.on('close', (code, signal) => finish({ code, signal }));
      this.#child.on('error', (error) => {
        this.lines.push({ atMs: nowMs(), stream: 'stderr', text: error.message });
        finish({ code: 127, signal: null });
      });
    });
  }

  /** How it ended, or undefined while it runs. */
  get end(): ProcessEnd | undefined {
    return this.#end;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#end === undefined;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.isRunning && this.pid > 0) this.#child.kill(signal);
  }

  freeze(): void {
    this.kill('SIGSTOP');
  }

  thaw(): void {
    this.kill('SIGCONT');
  }

  /** Asks it to stop, and kills it when it hasn't after `deadlineMs`. */
  async stop(deadlineMs = 10_000): Promise<ProcessEnd> {
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), deadlineMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  /** The first line that matches, now or to come; fails when the process ends or the time is up before it. */
  waitForLine(pattern: RegExp, deadlineMs = 10_000): Promise<OutputLine> {
    return new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        act();
      };
      const look = (): void => {
        const line = this.lines.find((candidate) => pattern.test(candidate.text));
        if (line !== undefined) finish(() => resolve(line));
        else if (this.#end !== undefined) finish(() => reject(this.#failure(`ended before it said ${pattern}`)));
      };
      const timer = setTimeout(
        () => finish(() => reject(this.#failure(`did not say ${pattern} within ${deadlineMs} ms`))),
        deadlineMs,
      );
      this.#watchers.add(look);
      look();
    });
  }

  /** Its last lines, for messages. */
  tail(count = 20): string {
    return this.lines
      .slice(-count)
      .map((line) => line.text)
      .join('\n');
  }

  #failure(what: string): Error {
    return new Error(`${this.name} (pid ${this.pid}) ${what}; its last lines:\n${this.tail()}`);
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** Waits until `holds()` answers something other than undefined or false, asking every `everyMs`. */
export async function waitFor<Value>(
  what: string,
  holds: () => Promise<Value | undefined | false> | Value | undefined | false,
  options: { readonly deadlineMs?: number; readonly everyMs?: number } = {},
): Promise<Value> {
  const { deadlineMs = 10_000, everyMs = 20 } = options;
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await holds();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
