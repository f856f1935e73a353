/**
 * The lines of a watch's answer, in order: a burst of thousands of events is read in slices, and while the loop does
 * something else in between the stream waits.
 */

import type { IncomingMessage } from 'node:http';

import { Breath } from './breath.ts';
import { LineSplitter } from './line-splitter.ts';

export interface LinesOptions<Ending> {
  readonly lineBytesMax: number;
  /** Something has arrived. */
  readonly onData: () => void;
  /** A value ends the reading. May throw. */
  readonly onLine: (line: string) => Ending | undefined;
}

export type LinesEnd<Ending> =
  | { readonly kind: 'told'; readonly ending: Ending }
  /** The answer is complete; it was cut off; a line is longer than `lineBytesMax`. */
  | { readonly kind: 'complete' | 'cut' | 'too-long' };

export interface ReadLines<Ending> {
  /** Rejects with what onLine throws. */
  readonly end: Promise<LinesEnd<Ending>>;
  /** No line is told any more. */
  close(): void;
}

export function readLines<Ending>(response: IncomingMessage, options: LinesOptions<Ending>): ReadLines<Ending> {
  const splitter = new LineSplitter(options.lineBytesMax);
  let isClosed = false;
  /** What came last is read to its end before the end of the stream is told. */
  let reading = Promise.resolve();
  const end = new Promise<LinesEnd<Ending>>((resolve, reject) => {
    const read = async (lines: readonly Buffer[]): Promise<void> => {
      const breath = new Breath();
      for (const line of lines) {
        const ending = line.length === 0 ? undefined : options.onLine(line.toString());
        if (ending !== undefined) return resolve({ kind: 'told', ending });
        if (!breath.isDue) continue;
        response.pause();
        await breath.take();
        if (isClosed) return;
      }
      response.resume();
    };
    response.on('data', (chunk: Buffer) => {
      if (isClosed) return;
      options.onData();
      const lines = splitter.push(chunk);
      if (lines === undefined) resolve({ kind: 'too-long' });
      else reading = read(lines).catch(reject);
    });
    const finish = (kind: 'complete' | 'cut'): void => void reading.then(() => resolve({ kind }));
    response.once('end', () => finish('complete'));
    response.once('error', () => finish('cut'));
    response.once('close', () => finish('cut'));
  });
  return {
    end,
    close: () => {
      isClosed = true;
      response.removeAllListeners('data');
    },
  };
}
