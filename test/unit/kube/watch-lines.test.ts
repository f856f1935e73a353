import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { readLines } from '../../../src/kube/watch-lines.ts';

/** A stream in place of an answer: only what streams have is used of it. */
function answer(): { readonly stream: PassThrough; readonly response: IncomingMessage } {
  const stream = new PassThrough();
  return { stream, response: stream as unknown as IncomingMessage };
}

function busyFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('the lines of a watch', () => {
  it('come in order and whole, with turns of the loop between slices of a burst', async () => {
    const { stream, response } = answer();
    const seen: string[] = [];
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 0);
    const lines = readLines<never>(response, {
      lineBytesMax: 100,
      onData: () => undefined,
      onLine: (line) => {
        seen.push(line);
        busyFor(1);
        return undefined;
      },
    });
    const wanted = Array.from({ length: 200 }, (_, index) => `line ${index}`);
    stream.write(wanted.slice(0, 150).join('\n'));
    stream.end(`\n${wanted.slice(150).join('\n')}\n\n`);
    expect(await lines.end).toEqual({ kind: 'complete' });
    clearInterval(timer);
    expect(seen).toEqual(wanted);
    expect(turns).toBeGreaterThan(10);
  });

  it('end with the one that says so: those behind it are not told', async () => {
    const { stream, response } = answer();
    const seen: string[] = [];
    const lines = readLines(response, {
      lineBytesMax: 100,
      onData: () => undefined,
      onLine: (line) => {
        seen.push(line);
        return line === 'b' ? 'enough' : undefined;
      },
    });
    stream.write('a\nb\nc\n');
    expect(await lines.end).toEqual({ kind: 'told', ending: 'enough' });
    expect(seen).toEqual(['a', 'b']);
  });

  it('are not told after they were closed in the middle of a burst', async () => {
    const { stream, response } = answer();
    let count = 0;
    const lines = readLines<never>(response, {
      lineBytesMax: 100,
      onData: () => undefined,
      onLine: () => {
        count += 1;
        busyFor(5);
        if (count === 1) setImmediate(() => lines.close());
        return undefined;
      },
    });
    stream.write('a\n'.repeat(50));
    for (let turn = 0; turn < 30; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(10);
  });

  it('that are too long, cut off, or whose meaning throws end the reading', async () => {
    const options = { lineBytesMax: 8, onData: () => undefined, onLine: () => undefined };
    const long = answer();
    const tooLong = readLines<never>(long.response, options);
    long.stream.write('123456789');
    expect(await tooLong.end).toEqual({ kind: 'too-long' });
    const short = answer();
    const cut = readLines<never>(short.response, options);
    short.stream.destroy();
    expect(await cut.end).toEqual({ kind: 'cut' });
    const bad = answer();
    const thrown = readLines<never>(bad.response, {
      ...options,
      onLine: () => {
        throw new Error('a fault');
      },
    });
    bad.stream.write('a\n');
    await expect(thrown.end).rejects.toThrow('a fault');
  });
});
