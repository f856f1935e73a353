/**
 * The log: pino, one JSON object a line on standard output, or readable lines on a terminal. `msg` is a constant
 * lower-case sentence, values are fields of one vocabulary. debug is packets, info a change of state, warn heals itself,
 * error needs somebody: a quiet cluster logs nothing. Secrets are hidden before pino sees them (redact.ts), and a reader
 * that doesn't read costs lines, never time (log-sink.ts). No worker threads: this runs inside one executable.
 */

import pino, { type Logger } from 'pino';
import type { Effect } from '../agent/effect.ts';
import { openLogSink, type LogSink } from './log-sink.ts';
import { redactFields, redactText } from './redact.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** The vocabulary. A value that has none of these names may add one; it is then written here. */
export interface LogFields {
  /** Room or part of it: leader, vip, kube, kernel, status, metrics, log. */
  readonly component?: string;
  readonly node?: string;
  readonly vip?: string;
  readonly interface?: string;
  readonly family?: string;
  readonly service?: string;
  readonly lease?: string;
  readonly peer?: string;
  readonly asn?: number;
  readonly from?: string;
  readonly to?: string;
  /** Closed words, such as an ApiFailureKind, or what somebody else said. */
  readonly reason?: string;
  /** Why the addresses moved: a word of MOVE_CAUSES (status-model.ts). */
  readonly cause?: string;
  readonly address?: string;
  readonly mac?: string;
  readonly path?: string;
  /** A setting by its name in the schema table. */
  readonly setting?: string;
  /** Of base/errors.ts. */
  readonly code?: string;
  readonly remedy?: string;
  readonly err?: unknown;
  readonly durationMs?: number;
  readonly [field: string]: unknown;
}

/** What every room writes to. Calls return at once and never throw. */
export interface Log {
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  child(fields: LogFields): Log;
}

/** The log that the process owns: it may end, and it counts. */
export interface OpenLog extends Log {
  /** A line of its own level for what ends the process. */
  fatal(msg: string, fields?: LogFields): void;
  /** Lines dropped because nobody read them. */
  droppedLines(): number;
  close(): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** auto: pretty exactly when the destination is a terminal. */
  readonly format: 'json' | 'pretty' | 'auto';
  readonly node: string;
  /** Open descriptor to write to; default 1, standard output. */
  readonly fd?: number;
}

/** Opens the log. Asynchronous only because the pretty printer is loaded when it is wanted, and not otherwise. */
export async function openLog(options: LogOptions): Promise<OpenLog> {
  const fd = options.fd ?? 1;
  const sink = openLogSink(fd);
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && (await isTerminal(fd)));
  const format = isPretty ? await loadPretty() : undefined;
  const destination = { write: (line: string): void => sink.write(format === undefined ? line : format(line)) };
  const logger = pino(
    {
      level: options.level,
      base: { node: options.node },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      // errors are plain values by then (redact.ts)
      serializers: { err: (value: unknown) => value },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return { ...wrap(logger), ...ownership(logger, sink) };
}

/** Performs the effect of kind 'log'. */
export function performLog(log: Log, effect: Extract<Effect, { kind: 'log' }>): void {
  log[effect.level](effect.msg, effect.fields);
}

/** The same log as one function, as rooms that know no logger want it. */
export function logFunction(log: Log): (level: LogLevel, msg: string, fields: LogFields) => void {
  return (level, msg, fields) => log[level](msg, fields);
}

/** A log that keeps nothing: for commands that answer by other means, and for tests. */
export const SILENT_LOG: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT_LOG,
};

function wrap(logger: Logger): Log {
  return {
    // the level is asked first: packets at debug must cost nothing when nobody wants them
    debug: (msg, fields) => {
      if (logger.isLevelEnabled('debug')) logger.debug(redactFields(fields ?? {}), redactText(msg));
    },
    info: (msg, fields) => {
      if (logger.isLevelEnabled('info')) logger.info(redactFields(fields ?? {}), redactText(msg));
    },
    warn: (msg, fields) => logger.warn(redactFields(fields ?? {}), redactText(msg)),
    error: (msg, fields) => logger.error(redactFields(fields ?? {}), redactText(msg)),
    child: (fields) => wrap(logger.child(redactFields(fields))),
  };
}

function ownership(logger: Logger, sink: LogSink): Pick<OpenLog, 'fatal' | 'droppedLines' | 'close'> {
  return {
    fatal: (msg, fields) => logger.fatal(redactFields(fields ?? {}), redactText(msg)),
    droppedLines: () => sink.droppedLines(),
    close: () => sink.close(),
  };
}

async function isTerminal(fd: number): Promise<boolean> {
  const { isatty } = await import('node:tty');
  return isatty(fd);
}

async function loadPretty(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty');
  const pretty = prettyFactory({
    colorize: true,
    ignore: 'node,pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    errorLikeObjectKeys: [],
  });
  return (line) => pretty(line);
}
