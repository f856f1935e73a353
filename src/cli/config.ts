/**
 * `holdfast config`: the effective configuration and where each value came from, for people as a table, for programs as
 * JSON; secrets masked.
 */

import Table from 'cli-table3';
import type { Finding } from '../config/finding.ts';
import { maskPeers, maskValues } from '../config/mask.ts';
import { parseConfig, type ConfigInput, type ParsedConfig } from '../config/parse.ts';
import { OPTIONS, type OptionName } from '../config/schema.ts';

/** What a command returns to the program: texts to write, the code to exit with. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Exit code for a configuration with problems. */
export const EXIT_CONFIG = 2;

export interface ConfigCommandOptions {
  readonly input: ConfigInput;
  readonly isJson: boolean;
  /** Settings without effect and at their defaults as well. */
  readonly isAll?: boolean;
}

export function runConfig(options: ConfigCommandOptions): CommandResult {
  const parsed = parseConfig(options.input);
  return {
    stdout: options.isJson
      ? `${JSON.stringify(configReport(parsed), undefined, 2)}\n`
      : renderConfig(parsed, options.isAll === true),
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
