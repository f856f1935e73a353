/**
 * `holdfast status`: asks the daemon of this node through its status socket. Exit code 0 = healthy, 1 = degraded (or the
 * report can't be understood), 3 = not running or not answering.
 */

import { HoldfastError } from '../base/errors.ts';
import { OPTIONS } from '../config/schema.ts';
import { isDegraded } from '../observe/health.ts';
import { STATUS_SCHEMA, type StatusReport } from '../observe/status-model.ts';
import { readStatus } from '../observe/status-server.ts';
import { renderStatus } from '../observe/status-text.ts';

export const EXIT_HEALTHY = 0;
export const EXIT_DEGRADED = 1;
export const EXIT_NOT_RUNNING = 3;

/** A stuck daemon is reported as such after this. */
const ANSWER_TIMEOUT_MS = 3000;
const MOVES_SHOWN = 8;
/** Clears the screen and puts the cursor in the corner (ECMA-48 ED, CUP). */
const CLEAR = '\x1b[2J\x1b[H';

export interface StatusCommandOptions {
  readonly socket: string;
  readonly isJson: boolean;
  readonly isWatching: boolean;
  readonly isTerminal: boolean;
  readonly isColored: boolean;
  readonly write: (text: string) => void;
}

/** The socket the daemon uses with the same environment: `vip_status_socket`, or the table's default. */
export function defaultSocket(env: NodeJS.ProcessEnv): string {
  const option = OPTIONS.find(({ name }) => name === 'vip_status_socket');
  return env['vip_status_socket'] || (option?.default ?? '');
}

/** Runs the command and returns its exit code. Throws HoldfastError NOT_RUNNING. */
export async function runStatus(options: StatusCommandOptions): Promise<number> {
  const stream = await readStatus(options.socket, { isWatching: options.isWatching, timeoutMs: ANSWER_TIMEOUT_MS });
  let exitCode: number | undefined;
  try {
    for await (const line of stream.lines) {
      const report = parseReport(line);
      exitCode = isDegraded(report) ? EXIT_DEGRADED : EXIT_HEALTHY;
      options.write(outputText(line, report, options));
    }
  } finally {
    stream.close();
  }
  if (exitCode !== undefined && !options.isWatching) return exitCode;
  const message = exitCode === undefined ? 'the status socket closed without an answer' : 'Holdfast has stopped';
  throw new HoldfastError('NOT_RUNNING', message, { context: { socket: options.socket } });
}

function outputText(line: string, report: StatusReport, options: StatusCommandOptions): string {
  if (options.isJson) return options.isWatching ? `${line}\n` : `${JSON.stringify(report, undefined, 2)}\n`;
  const text = renderStatus(report, { isColored: options.isColored, movesMax: MOVES_SHOWN });
  return options.isWatching && options.isTerminal ? `${CLEAR}${text}` : text;
}

/** The daemon may be of another version than this command: fields may be added, the schema number must be ours. */
export function parseReport(line: string): StatusReport {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    parsed = undefined;
  }
  const isOurs = typeof parsed === 'object' && parsed !== null && 'schema' in parsed && parsed.schema === STATUS_SCHEMA;
  if (!isOurs) {
    throw new HoldfastError('STATUS_UNKNOWN', `the status is not of schema ${STATUS_SCHEMA}: ${line.slice(0, 80)}`);
  }
  return parsed as StatusReport; // parsed boundary: the same program wrote it, of this schema
}
