import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  openStatusServer,
  readStatus,
  socketPath,
  WATCHERS_MAX,
  WATCH_INTERVAL_MIN_MS,
  type StatusServer,
} from '../../../src/observe/status-server.ts';
import type { StatusReport } from '../../../src/observe/status-model.ts';
import { sampleReport } from './sample-report.ts';

let folder = '';
const opened: StatusServer[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-g-status-'));
});
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close();
  rmSync(folder, { recursive: true });
});

async function open(socket: string, report: () => StatusReport = () => sampleReport()): Promise<StatusServer> {
  const server = await openStatusServer({ socket, report });
  opened.push(server);
  return server;
}

async function readOne(socket: string): Promise<StatusReport> {
  const stream = await readStatus(socket, { isWatching: false, timeoutMs: 2000 });
  for await (const line of stream.lines) return JSON.parse(line);
  throw new Error('no line');
}

/** A path that a process killed with SIGKILL was listening on. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('listening'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('the status socket', () => {
  it.each([
    ['a path', () => join(folder, 'made', 'status.sock')],
    ['an abstract name', () => `@hf-g-${process.pid}-${Math.trunc(performance.now() * 1000)}`],
  ])('answers with the report on %s', async (_, name) => {
    const socket = name();
    await open(socket);
    expect(await readOne(socket)).toMatchObject({ schema: 1, node: 'node-a', role: 'leader' });
  });

  it('is open to its owner only', async () => {
    const socket = join(folder, 'status.sock');
    await open(socket);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
  });

  it('takes over the file that a killed process left', async () => {
    const socket = join(folder, 'status.sock');
    await leaveStaleSocket(socket);
    expect(existsSync(socket)).toBe(true);
    await open(socket);
    expect(await readOne(socket)).toMatchObject({ node: 'node-a' });
  });

  it('never takes a socket that somebody listens on', async () => {
    const socket = join(folder, 'status.sock');
    await open(socket);
    await expect(open(socket)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    expect(await readOne(socket)).toMatchObject({ node: 'node-a' });
    const name = `@hf-g-taken-${process.pid}`;
    await open(name);
    await expect(open(name)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });

  it('never removes what is no socket', async () => {
    const path = join(folder, 'precious');
    writeFileSync(path, 'data');
    await expect(open(path)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    expect(existsSync(path)).toBe(true);
  });

  it('says which setting is wrong when the folder cannot be made', async () => {
    const failure = open('/proc/holdfast/status.sock');
    await expect(failure).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      remedy: expect.stringContaining('vip_status_socket'),
    });
  });

  it('refuses other methods and paths, and outlives a malformed request', async () => {
    const socket = join(folder, 'status.sock');
    await open(socket);
    expect(await exchange(socket, 'POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n')).toMatch(
      /^HTTP\/1.1 405/,
    );
    expect(await exchange(socket, 'GET // HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1.1 404/);
    expect(await exchange(socket, '\0\0\0\r\n\r\n')).toMatch(/^HTTP\/1.1 400/);
    expect(await readOne(socket)).toMatchObject({ node: 'node-a' });
  });

  it('answers 500 and lives when the report cannot be made', async () => {
    const socket = join(folder, 'status.sock');
    await open(socket, () => {
      throw new Error('not yet');
    });
    expect(await exchange(socket, 'GET /status HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1.1 500/);
  });
});

describe('watching the status', () => {
  it('gives a line at once and one per change, at most ten a second', async () => {
    const socket = join(folder, 'status.sock');
    let transitions = 0;
    const server = await open(socket, () => ({ ...sampleReport(), uptimeMs: transitions }));
    const stream = await readStatus(socket, { isWatching: true, timeoutMs: 2000 });
    const lines = stream.lines[Symbol.asyncIterator]();
    expect(JSON.parse(String((await lines.next()).value))).toMatchObject({ uptimeMs: 0 });
    const start = performance.now();
    for (transitions = 1; transitions < 50; transitions += 1) server.changed();
    transitions = 50;
    // fifty changes in one go are one line, with the last state
    expect(JSON.parse(String((await lines.next()).value))).toMatchObject({ uptimeMs: 50 });
    server.changed();
    await lines.next();
    expect(performance.now() - start).toBeGreaterThan(WATCH_INTERVAL_MIN_MS);
    stream.close();
  });

  it('gives a line within about a second although nothing changed', async () => {
    const socket = join(folder, 'status.sock');
    await open(socket);
    const stream = await readStatus(socket, { isWatching: true, timeoutMs: 3000 });
    const lines = stream.lines[Symbol.asyncIterator]();
    await lines.next();
    expect((await lines.next()).done).toBe(false);
    stream.close();
  });

  it('serves a bounded number of watchers', async () => {
    const socket = join(folder, 'status.sock');
    await open(socket);
    const streams = await Promise.all(
      Array.from({ length: WATCHERS_MAX }, () => readStatus(socket, { isWatching: true, timeoutMs: 2000 })),
    );
    await expect(readStatus(socket, { isWatching: true, timeoutMs: 2000 })).rejects.toThrow(/503/);
    for (const stream of streams) stream.close();
  });

  it('ends for the reader when the server closes, which waits for no reader', async () => {
    const socket = join(folder, 'status.sock');
    const server = await open(socket);
    const stream = await readStatus(socket, { isWatching: true, timeoutMs: 2000 });
    const idle = connect(socketPath(socket));
    await once(idle, 'connect');
    const start = performance.now();
    await server.close();
    expect(performance.now() - start).toBeLessThan(1000);
    await expect(drain(stream.lines)).resolves.toBeUndefined();
    idle.destroy();
  });
});

describe('asking when nobody answers', () => {
  it('tells nobody listening from somebody who is stuck', async () => {
    const none = readStatus(join(folder, 'none'), { isWatching: false, timeoutMs: 1000 });
    await expect(none).rejects.toMatchObject({
      code: 'NOT_RUNNING',
      message: expect.stringContaining('no Holdfast is running'),
    });

    const path = join(folder, 'stuck');
    const stuck = createServer(() => undefined).listen(path);
    await once(stuck, 'listening');
    const answer = readStatus(path, { isWatching: false, timeoutMs: 50 });
    await expect(answer).rejects.toMatchObject({
      code: 'NOT_RUNNING',
      message: expect.stringContaining('does not answer'),
    });
    stuck.close();
  });
});

async function drain(lines: AsyncIterable<string>): Promise<void> {
  try {
    for await (const line of lines) expect(line).toContain('schema');
  } catch (error) {
    expect(error).toMatchObject({ code: 'NOT_RUNNING' });
  }
}

function exchange(socket: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = connect(socketPath(socket), () => connection.write(text));
    connection.once('data', (data) => {
      connection.destroy();
      resolve(String(data));
    });
    connection.once('error', reject);
  });
}
