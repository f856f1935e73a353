import { describe, expect, test } from 'vitest';
import {
  formatDuration,
  logLevelOf,
  normalise,
  parseBool,
  parseDuration,
  parseInteger,
  parseListen,
} from '../../../src/config/value.ts';

describe("Go's forms", () => {
  test.each(['1', 't', 'T', 'TRUE', 'true', 'True'])('%s is true (strconv.ParseBool)', (text) =>
    expect(parseBool(text)).toBe(true),
  );
  test.each(['0', 'f', 'F', 'FALSE', 'false', 'False'])('%s is false', (text) => expect(parseBool(text)).toBe(false));
  test.each(['yes', 'no', 'on', 'tRUE', '', ' true', '2'])('%j is neither', (text) =>
    expect(parseBool(text)).toBeUndefined(),
  );

  test.each([
    ['10', 10],
    ['-4', -4],
    ['+4', 4],
    ['007', 7],
    ['-0', 0],
  ])('%s is %d in base 10', (text, expected) => expect(parseInteger(text)).toBe(expected));
  test.each(['', '1e3', '0x10', '1_000', '1.0', ' 1', '9'.repeat(16)])('%j is no integer', (text) =>
    expect(parseInteger(text)).toBeUndefined(),
  );

  test.each([
    ['5s', 5_000],
    ['300ms', 300],
    ['1m30s', 90_000],
    ['1.5s', 1_500],
    ['2h', 7_200_000],
    ['7', 7_000],
    ['0', 0],
  ])('%s is %d ms', (text, expected) => expect(parseDuration(text, 's')).toBe(expected));
  test.each(['', 's', '-1s', '5 s', '5d', '1s2', '10us'])('%j is no duration', (text) =>
    expect(parseDuration(text, 's')).toBeUndefined(),
  );

  test('a bare number counts in the unit of its row', () => expect(parseDuration('40', 'ms')).toBe(40));
  test('is shown in its shortest form', () =>
    expect([30_000, 40, 1_500].map(formatDuration)).toEqual(['30s', '40ms', '1500ms']));
});

describe('other forms', () => {
  test.each([
    [':2112', { host: '', port: 2112 }],
    ['127.0.0.1:9', { host: '127.0.0.1', port: 9 }],
    ['[::1]:2112', { host: '::1', port: 2112 }],
    ['localhost:80', { host: 'localhost', port: 80 }],
  ])('%s listens', (text, expected) => expect(parseListen(text)).toEqual(expected));
  test.each(['2112', ':0', ':65536', '::1:80', 'a b:80', ':', 'http://a:80'])('%j does not', (text) =>
    expect(parseListen(text)).toBeUndefined(),
  );

  test.each([
    ['-8', 'debug'],
    ['-4', 'debug'],
    ['-1', 'info'],
    ['0', 'info'],
    ['4', 'warn'],
    ['5', 'error'],
    ['8', 'error'],
  ])("slog's %s is %s", (text, expected) => expect(logLevelOf(text)).toBe(expected));
  test('a level may be a word', () =>
    expect(normalise({ kind: 'log-level' }, 'WARN')).toEqual({ ok: true, value: '4' }));
});
