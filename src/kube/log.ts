/**
 * How this room speaks to the log: a level, a constant sentence, and fields. The process passes its logger in; nothing
 * here knows which one it is.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type LogFields = Readonly<Record<string, unknown>>;

/** `msg` is a constant lower-case sentence; values go into `fields`. Never credentials. */
export type Log = (level: LogLevel, msg: string, fields: LogFields) => void;
