/**
 * Where log lines go: a file descriptor that is written to synchronously but never waited for. A reader of our standard
 * output that has stopped reading (a stuck log driver, a full disk behind it) must not stop the main loop: an ordinary
 * write to a full pipe blocks, and with it the renewal of the Lease. So a pipe is opened anew without blocking; what it
 * doesn't take is kept up to BACKLOG_OCTETS_MAX and tried again, what exceeds that is dropped and counted, and the count
 * is logged once lines flow again.
 */

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';

/** Octets kept while the reader doesn't read: some thousand lines. */
export const BACKLOG_OCTETS_MAX = 1 << 18;
const RETRY_MS = 250;

export interface LogSink {
  /** Writes one line, newline included. Never throws, never blocks on a pipe. */
  write(line: string): void;
  /** Lines dropped since the sink was opened. */
  droppedLines(): number;
  /** Tries once more to write what is kept, then lets go of the descriptor if it opened one. */
  close(): void;
}

/** Opens a sink on an open descriptor (1 = standard output). */
export function openLogSink(fd: number): LogSink {
  return new DescriptorSink(fd);
}

class DescriptorSink implements LogSink {
  readonly #fd: number;
  readonly #isOwned: boolean;
  /** Octets that the descriptor has not taken yet, in order; the first may be the rest of a line. */
  #backlog: Uint8Array[] = [];
  #backlogOctets = 0;
  #dropped = 0;
  #reported = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(fd: number) {
    const opened = openWithoutBlocking(fd);
    this.#fd = opened ?? fd;
    this.#isOwned = opened !== undefined;
  }

  write(line: string): void {
    const octets = Buffer.from(line);
    if (this.#backlogOctets + octets.length > BACKLOG_OCTETS_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#enqueue(octets);
    this.#flush();
  }

  droppedLines(): number {
    return this.#dropped;
  }

  close(): void {
    this.#flush();
    clearTimeout(this.#retry);
    if (this.#isOwned) closeSync(this.#fd);
  }

  #enqueue(octets: Uint8Array): void {
    this.#backlog.push(octets);
    this.#backlogOctets += octets.length;
  }

  #flush(): void {
    while (this.#backlog.length > 0) {
      const first = this.#backlog[0];
      if (first === undefined) break;
      const written = writeSome(this.#fd, first);
      if (written === 'later') return this.#flushLater();
      if (written === 'never') return this.#discard();
      this.#backlogOctets -= written;
      if (written < first.length) this.#backlog[0] = first.subarray(written);
      else this.#backlog.shift();
      if (this.#backlog.length === 0 && this.#dropped > this.#reported) this.#reportDropped();
    }
  }

  #flushLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#flush();
    }, RETRY_MS).unref();
  }

  /** The reader is gone (EPIPE) or the descriptor is bad: nobody will read, the VIP goes on. */
  #discard(): void {
    this.#dropped += this.#backlog.length;
    this.#backlog = [];
    this.#backlogOctets = 0;
  }

  #reportDropped(): void {
    const count = this.#dropped - this.#reported;
    this.#reported = this.#dropped;
    const fields = { level: 'warn', msg: 'log lines dropped because nobody read them', component: 'log', count };
    this.#enqueue(Buffer.from(`${JSON.stringify(fields)}\n`));
  }
}

/**
 * For a pipe: a second open file description of it that doesn't block (pipe(7): reopening through /proc/self/fd). The
 * one we were given is shared with whoever gave it and is left as it is. undefined = not a pipe, or not possible.
 */
function openWithoutBlocking(fd: number): number | undefined {
  try {
    if (!fstatSync(fd).isFIFO()) return undefined;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined; // another user's pipe, or no /proc: write to it as it is
  }
}

/** Octets written; 'later' = the pipe is full, 'never' = any other failure. */
function writeSome(fd: number, octets: Uint8Array): number | 'later' | 'never' {
  try {
    return writeSync(fd, octets);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EAGAIN' ? 'later' : 'never';
  }
}
