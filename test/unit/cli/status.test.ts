import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultSocket, runStatus, type StatusCommandOptions } from '../../../src/cli/status.ts';
import { openStatusServer, type StatusServer } from '../../../src/observe/status-server.ts';
import type { StatusReport } from '../../../src/observe/status-model.ts';
import { followerReport, sampleReport } from '../observe/sample-report.ts';

let folder = '';
let socket = '';
let server: StatusServer | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-g-cli-'));
  socket = join(folder, 'status.sock');
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true });
});

async function status(
  report: StatusReport | undefined,
  changes: Partial<StatusCommandOptions> = {},
): Promise<{ code: number; text: string }> {
  if (report !== undefined) server = await openStatusServer({ socket, report: () => report });
  let text = '';
  const code = await runStatus({
    socket,
    isJson: false,
    isWatching: false,
    isTerminal: false,
    isColored: false,
    write: (part) => {
      text += part;
    },
    ...changes,
  });
  return { code, text };
}

describe('holdfast status', () => {
  it('shows the report and ends with 0 on a healthy node, leader or not', async () => {
    expect(await status(sampleReport())).toMatchObject({
      code: 0,
      text: expect.stringContaining('This node holds 10.0.0.100'),
    });
    await server?.close();
    expect(await status(followerReport())).toMatchObject({ code: 0 });
  });

  it('ends with 1 on a degraded node', async () => {
    expect(await status(sampleReport({ interface: undefined }))).toMatchObject({ code: 1 });
  });

  it('is told by NOT_RUNNING, with what to type next, when nobody is there', async () => {
    await expect(status(undefined)).rejects.toMatchObject({
      code: 'NOT_RUNNING',
      remedy: expect.stringContaining('crictl'),
    });
  });

  it('prints the report as JSON, as the daemon made it', async () => {
    const { text } = await status(sampleReport(), { isJson: true });
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(sampleReport())));
  });

  it('watches until the daemon ends, one JSON a line', async () => {
    const seen: string[] = [];
    const watching = status(sampleReport(), {
      isJson: true,
      isWatching: true,
      write: (line) => {
        seen.push(line);
        if (seen.length === 1) server?.changed();
        if (seen.length === 2) void server?.close();
      },
    });
    await expect(watching).rejects.toMatchObject({ code: 'NOT_RUNNING' });
    expect(seen.map((line): unknown => JSON.parse(line))).toMatchObject([{ schema: 1 }, { schema: 1 }]);
    expect(seen.every((line) => line.endsWith('}\n') && line.indexOf('\n') === line.length - 1)).toBe(true);
  });

  it('does not guess at a report of another schema', async () => {
    const other = createServer((_, response) => response.end('{"schema":99}\n')).listen(socket);
    await once(other, 'listening');
    await expect(status(undefined)).rejects.toMatchObject({ code: 'STATUS_UNKNOWN' });
    other.close();
  });

  it("asks the socket that the daemon's environment names", () => {
    expect(defaultSocket({})).toBe('@holdfast');
    expect(defaultSocket({ vip_status_socket: '/run/holdfast/status.sock' })).toBe('/run/holdfast/status.sock');
  });
});
