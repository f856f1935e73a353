import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runDrain } from '../../../src/cli/drain.ts';
import { runProgram } from '../../../src/cli/program.ts';
import type { StatusReport } from '../../../src/observe/status-model.ts';
import { openStatusServer, type StatusServer } from '../../../src/observe/status-server.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { peerUser } from '../../../src/system/peer-credentials.ts';
import { followerReport, sampleReport } from '../observe/sample-report.ts';

const netfd = loadNetfd();
let server: StatusServer | undefined;
let socket = '';
let orders: boolean[] = [];
let report: StatusReport = sampleReport();

beforeEach(() => {
  socket = `@hf-i-drain-${process.pid}-${Math.trunc(performance.now() * 1000)}`;
  orders = [];
  report = sampleReport();
});

afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** A daemon on the socket; `onDrain` is what it does about an order. */
async function daemon(onDrain: () => void = () => undefined, mayOrder = true): Promise<void> {
  server = await openStatusServer({
    socket,
    report: () => report,
    control: {
      mayOrder: (from) => mayOrder && peerUser(netfd, from) === process.geteuid?.(),
      drain: (isDraining) => {
        orders.push(isDraining);
        onDrain();
      },
    },
  });
}

async function drain(changes: { isUndo?: boolean; timeoutMs?: number } = {}): Promise<{ code: number; text: string }> {
  let text = '';
  const write = (part: string): void => void (text += part);
  const code = await runDrain({ socket, isUndo: false, timeoutMs: 2000, write, ...changes });
  return { code, text };
}

const HANDED_OVER = followerReport({
  peers: [
    {
      name: 'node-b',
      isHeard: true,
      heardAgoMs: 20,
      isHolding: true,
      isApiWorking: true,
      isDraining: false,
    },
  ],
});

describe('holdfast drain', () => {
  it('waits until nothing is held, and says who holds it now', async () => {
    await daemon(() => {
      setTimeout(() => {
        report = { ...report, addresses: report.addresses.map((one) => ({ ...one, state: 'withdrawing' })) };
        server?.changed();
      }, 20);
      setTimeout(() => {
        report = HANDED_OVER;
        server?.changed();
      }, 60);
    });
    const { code, text } = await drain();
    expect([code, orders]).toEqual([0, [true]]);
    expect(text).toMatch(
      /^node-a holds nothing any more, after \d+ ms, until `holdfast drain --undo`\. node-b holds the addresses\.\n$/,
    );
  });

  it('is done at once on a node that holds nothing', async () => {
    report = HANDED_OVER;
    await daemon();
    expect(await drain()).toEqual({
      code: 0,
      text: 'node-a held nothing, and takes nothing until `holdfast drain --undo`. node-b holds the addresses.\n',
    });
    expect(orders).toEqual([true]);
  });

  it('ends with 1 when something is still held after the time', async () => {
    await daemon();
    const { code, text } = await drain({ timeoutMs: 150 });
    expect(code).toBe(1);
    expect(text).toMatch(/^node-a still holds 10\.0\.0\.100\/32, fd00::100\/128 after \d+ ms/);
  });

  it('--undo lets the node take part again', async () => {
    await daemon();
    expect(await drain({ isUndo: true })).toEqual({ code: 0, text: 'node-a takes part again.\n' });
    expect(orders).toEqual([false]);
  });

  it('is refused to others than root and the own user, who hold nothing by it', async () => {
    await daemon(undefined, false);
    await expect(drain()).rejects.toMatchObject({ code: 'ORDER_REFUSED' });
    expect(orders).toEqual([]);
  });

  it('is told by a code that a daemon knows no orders, or is not there', async () => {
    server = await openStatusServer({ socket, report: () => report });
    await expect(drain()).rejects.toMatchObject({ code: 'STATUS_UNKNOWN' });
    await server.close();
    server = undefined;
    await expect(drain()).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  });

  it('takes its order by POST only', async () => {
    await daemon();
    const { request } = await import('node:http');
    const status = await new Promise<number | undefined>((resolve) => {
      request({ socketPath: `\0${socket.slice(1)}`, path: '/drain', agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).end();
    });
    expect([status, orders]).toEqual([405, []]);
  });

  it('is a command with flags of its own', async () => {
    await daemon();
    let [text, errors] = ['', ''];
    const terminal = {
      write: (part: string) => void (text += part),
      writeError: (part: string) => void (errors += part),
      isTerminal: false,
      isColored: false,
    };
    expect(await runProgram(['drain', '--undo', '--socket', socket], terminal)).toBe(0);
    expect([text, orders]).toEqual(['node-a takes part again.\n', [false]]);
    expect(await runProgram(['drain', '--timeout', 'soon', '--socket', socket], terminal)).toBe(2);
    expect(errors).toContain('--timeout soon');
  });
});
