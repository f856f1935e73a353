/**
 * `holdfast config`: the effective configuration and where each value came from, for people as a table, for programs as
 * JSON; secrets masked. Also the one way in which commands obtain their configuration (`loadConfig`).
 */

import Table from 'cli-table3';
import { flagsFromOptions } from '../config/flags.ts';
import type { Finding } from '../config/finding.ts';
import { maskPeers, maskValues } from '../config/mask.ts';
import { configFilePath, parseConfig, type ConfigInput, type ParsedConfig } from '../config/parse.ts';
import { OPTIONS, type OptionName } from '../config/schema.ts';

export { configFlags, type FlagSpec } from '../config/flags.ts';

/** What a command returns to the program: texts to write, the code to exit with. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Exit code for a configuration with problems. */
export const EXIT_CONFIG = 2;

export interface ConfigSources {
  /** Parsed options of the command line: settings' flags by their long name, others are left out. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly facts: ConfigInput['facts'];
  /** Text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
}

/** Reads the configuration file if one is named, and parses everything. Never throws: an unreadable file is a problem. */
export function loadConfig(sources: ConfigSources): ParsedConfig {
  const flags = flagsFromOptions(sources.options);
  const input = { flags, env: sources.env, facts: sources.facts };
  const path = configFilePath(input);
  return parseConfig(path === undefined ? input : { ...input, file: readConfigFile(path, sources.readFile) });
}

export function runConfig(sources: ConfigSources & { readonly json: boolean; readonly all?: boolean }): CommandResult {
  const parsed = loadConfig(sources);
  return {
    stdout: sources.json
      ? `${JSON.stringify(configReport(parsed), undefined, 2)}\n`
      : renderConfig(parsed, sources.all === true),
    stderr: '',
    exitCode: parsed.problems.length === 0 ? 0 : EXIT_CONFIG,
  };
}

/** The object `holdfast config --json` prints. */
export function configReport(parsed: ParsedConfig): Readonly<Record<string, unknown>> {
  return {
    values: maskValues(parsed),
    problems: parsed.problems,
    warnings: parsed.warnings,
    bgpPeers: maskPeers(parsed.bgpPeers),
  };
}

/** One line and its remedy for each finding, problems first. */
export function renderFindings(parsed: Pick<ParsedConfig, 'problems' | 'warnings'>): string {
  const line =
    (kind: string) =>
    (entry: Finding): string =>
      `${kind} ${entry.code}: ${entry.message}\n  ${entry.remedy}\n`;
  return [...parsed.problems.map(line('problem')), ...parsed.warnings.map(line('warning'))].join('');
}

/** Settings that have an effect and those somebody set; all of them when asked. */
function renderConfig(parsed: ParsedConfig, isAll: boolean): string {
  const values = maskValues(parsed);
  const table = new Table({ head: ['setting', 'value', 'source'], style: { head: [], border: [], compact: true } });
  for (const option of OPTIONS) {
    const { value, source } = values[option.name];
    if (!isAll && option.unsupported !== undefined && source === 'default') continue;
    table.push([option.name, value === '' ? describeUnset(option.name) : value, source]);
  }
  const findings = renderFindings(parsed);
  return `${table.toString()}\n${findings === '' ? '' : `\n${findings}`}`;
}

function describeUnset(name: OptionName): string {
  const derived = OPTIONS.find((option) => option.name === name)?.derived;
  return derived === undefined ? '-' : `- (${derived})`;
}

function readConfigFile(path: string, readFile: (path: string) => string): NonNullable<ConfigInput['file']> {
  try {
    return { path, text: readFile(path) };
  } catch (error) {
    return { path, error: error instanceof Error ? error.message : String(error) };
  }
}
