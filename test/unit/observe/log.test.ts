import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLog, performLog, SILENT_LOG } from '../../../src/observe/log.ts';
import { BACKLOG_OCTETS_MAX, openLogSink } from '../../../src/observe/log-sink.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-g-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function logged(write: (log: Awaited<ReturnType<typeof openLog>>) => void, level: 'debug' | 'info' = 'info') {
  const path = join(folder, 'log');
  const fd = openSync(path, 'a');
  const log = await openLog({ level, format: 'json', node: 'node-a', fd });
  write(log);
  log.close();
  closeSync(fd);
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line): Record<string, unknown> => JSON.parse(line));
}

describe('the log', () => {
  it('writes one JSON object a line, with the node, an RFC 3339 time and the level as a word', async () => {
    const [line] = await logged((log) => log.info('lease acquired', { component: 'leader', lease: 'plndr-cp-lock' }));
    expect(line).toMatchObject({ level: 'info', node: 'node-a', msg: 'lease acquired', component: 'leader' });
    expect(line?.['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('leaves out what is below its level', async () => {
    const lines = await logged((log) => {
      log.debug('packet');
      log.warn('heals');
    });
    expect(lines.map((line) => line['msg'])).toEqual(['heals']);
  });

  it('hides secrets in fields, messages and what a child carries', async () => {
    const lines = await logged((log) => {
      log.child({ token: 'abcdef' }).error('refused Bearer abcdefghijkl', { password: 'hunter2' });
    });
    expect(JSON.stringify(lines)).not.toMatch(/abcdef|hunter2/);
  });

  it('performs the effect of kind log at its level', async () => {
    const lines = await logged((log) => {
      performLog(log, { kind: 'log', level: 'warn', msg: 'address was removed', fields: { vip: '10.0.0.100' } });
      performLog(SILENT_LOG, { kind: 'log', level: 'error', msg: 'nowhere', fields: {} });
    });
    expect(lines).toMatchObject([{ level: 'warn', msg: 'address was removed', vip: '10.0.0.100' }]);
  });

  it('prints readable lines when told to', async () => {
    const path = join(folder, 'pretty');
    const fd = openSync(path, 'a');
    const log = await openLog({ level: 'info', format: 'pretty', node: 'node-a', fd });
    log.info('lease acquired', { lease: 'plndr-cp-lock' });
    log.close();
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toMatch(/INFO.*lease acquired.*plndr-cp-lock/);
  });
});

describe('a reader that does not read', () => {
  it('costs lines, which are counted, and never time', () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const fd = openSync(fifo, 'r+'); // both ends: nobody reads, and opening doesn't wait
    const sink = openLogSink(fd);
    const line = `${'x'.repeat(999)}\n`;
    const count = (2 * BACKLOG_OCTETS_MAX) / line.length;
    for (let index = 0; index < count; index += 1) sink.write(line);
    expect(sink.droppedLines()).toBeGreaterThan(0);
    sink.close();
    closeSync(fd);
  });

  it('gets what was kept, whole and in order, and is told how many lines are missing', async () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const fd = openSync(fifo, 'r+');
    const sink = openLogSink(fd);
    const total = 600;
    for (let index = 0; index < total; index += 1) sink.write(`${JSON.stringify({ index, pad: 'x'.repeat(980) })}\n`);
    const dropped = sink.droppedLines();
    const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    for await (const chunk of reader.stdout) {
      text += String(chunk);
      sink.write('');
      if (text.includes('"count"')) break;
    }
    reader.kill();
    sink.close();
    closeSync(fd);
    const lines = text
      .split('\n')
      .slice(0, -1)
      .map((line): Record<string, unknown> => JSON.parse(line));
    expect(dropped).toBeGreaterThan(0);
    expect(lines.at(-1)).toMatchObject({ level: 'warn', count: dropped });
    expect(lines.slice(0, -1).map((line) => line['index'])).toEqual(
      Array.from({ length: total - dropped }, (_, index) => index),
    );
  });
});
