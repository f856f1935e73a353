/**
 * From the text of a value to its canonical text, by the form its row names, and from canonical text to typed values.
 * Forms are Go's where kube-vip's are (strconv.ParseBool, ParseInt base 10, time.ParseDuration), so what it accepts or
 * refuses is accepted or refused here.
 */

import { assert, unreachable } from '../base/assert.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import type { OptionType } from './option.ts';

/** strconv.ParseBool's words. */
const TRUE_WORDS = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE_WORDS = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** time.ParseDuration's units down to the millisecond, in ms. */
const DURATION_UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

const LOG_WORDS: Readonly<Record<string, number>> = { debug: -4, info: 0, warn: 4, warning: 4, error: 8 };

/** Canonical text of `text`, or a refusal whose reason is what the value should be, in words ("a whole number from 1 to 5"). */
export function normalise(type: OptionType, text: string): Outcome<string> {
  switch (type.kind) {
    case 'text':
      return ok(text);
    case 'boolean': {
      const value = parseBool(text);
      return value === undefined ? refused(expectation(type)) : ok(String(value));
    }
    case 'integer': {
      const value = parseInteger(text);
      return value === undefined || value < type.min || value > type.max
        ? refused(expectation(type))
        : ok(String(value));
    }
    case 'duration': {
      const value = parseDuration(text, type.unit);
      const fits = value !== undefined && value >= type.minMs && value <= type.maxMs;
      return fits ? ok(formatDuration(value)) : refused(expectation(type));
    }
    case 'choice':
      return type.choices.includes(text) ? ok(text) : refused(expectation(type));
    case 'json-map': {
      const value = parseStringMap(text);
      return value === undefined ? refused(expectation(type)) : ok(JSON.stringify(value));
    }
    case 'url':
      return parseHttpUrl(text) === undefined ? refused(expectation(type)) : ok(text);
    case 'listen':
      return text === '' || parseListen(text) !== undefined ? ok(text) : refused(expectation(type));
    case 'log-level': {
      const value = LOG_WORDS[text.toLowerCase()] ?? parseInteger(text);
      return value === undefined ? refused(expectation(type)) : ok(String(value));
    }
    default:
      return unreachable(type);
  }
}

/** What a value of this form looks like, in words that follow "Set NAME to". */
export function expectation(type: OptionType): string {
  switch (type.kind) {
    case 'text':
      return 'text';
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `a whole number from ${type.min} to ${type.max}`;
    case 'duration':
      return `a time from ${formatDuration(type.minMs)} to ${formatDuration(type.maxMs)}, such as 30s, 300ms or a bare number of ${type.unit}`;
    case 'choice':
      return `one of: ${type.choices.join(', ')}`;
    case 'json-map':
      return 'a JSON object of strings, such as {"example.org/team":"infra"}';
    case 'url':
      return 'an http or https URL, such as https://127.0.0.1:6443/livez';
    case 'listen':
      return 'host:port or :port, such as :2112 or 127.0.0.1:2112';
    case 'log-level':
      return 'a level: -4 (debug), 0 (info), 4 (warn), 8 (error), or the word';
    default:
      return unreachable(type);
  }
}

/** Go's strconv.ParseBool; undefined for anything else. */
export function parseBool(text: string): boolean | undefined {
  if (TRUE_WORDS.includes(text)) return true;
  return FALSE_WORDS.includes(text) ? false : undefined;
}

/** Base 10 with an optional sign, exact in a double; undefined for anything else. */
export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?\d{1,15}$/.test(text)) return undefined;
  return Number(text) + 0;
}

/** Milliseconds of a bare number (counted in `unit`) or of Go's duration words; undefined for anything else. */
export function parseDuration(text: string, unit: 's' | 'ms'): number | undefined {
  if (/^\d{1,12}$/.test(text)) return Number(text) * (DURATION_UNITS[unit] ?? 1);
  if (text.length > 64 || !/^(\d{1,12}(\.\d{1,9})?(h|ms|m|s))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const part of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)) {
    totalMs += Number(part[1]) * (DURATION_UNITS[part[2] ?? ''] ?? 0);
  }
  return Math.round(totalMs);
}

/** Shortest single-unit form: 30s, 300ms, 1500ms. */
export function formatDuration(ms: number): string {
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}

/** A JSON object whose values are strings; undefined for anything else. */
export function parseStringMap(text: string): Readonly<Record<string, string>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries: [string, string][] = [];
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== 'string') return undefined;
    entries.push([key, item]);
  }
  return Object.fromEntries(entries);
}

/** The URL when it is http or https with a host and `//`; undefined for anything else. */
export function parseHttpUrl(text: string): URL | undefined {
  if (!/^https?:\/\/[^/\s]/i.test(text) || /\s/.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text);
}

export interface Listen {
  /** '' = every address. IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[v6]:port` or `:port`; undefined for anything else, port 0 included. */
export function parseListen(text: string): Listen | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? '', port };
}

/** Milliseconds of a duration in canonical text. */
export function durationMs(canonical: string): number {
  const value = parseDuration(canonical, 'ms');
  assert(value !== undefined, `"${canonical}" is a canonical duration`);
  return value;
}

/**
 * Our level for slog's number: the least of ours that logs nothing slog would have left out. Numbers between the named
 * ones count as the next higher.
 */
export function logLevelOf(canonical: string): 'debug' | 'info' | 'warn' | 'error' {
  const level = Number(canonical);
  if (level <= -4) return 'debug';
  if (level <= 0) return 'info';
  return level <= 4 ? 'warn' : 'error';
}
