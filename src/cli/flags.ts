/**
 * The settings' flags on the command line, made from the schema table: `--flag value`, `--flag=value`, `-f value`, and
 * booleans as Go's flag package has them, `--flag` and `--flag=true`. Values come out as text by long flag, as the
 * configuration parser wants them; it says whether they are good.
 */

import { Option as CommanderOption, type Command } from 'commander';
import { SECTIONS, type Option } from '../config/option.ts';
import { OPTIONS } from '../config/schema.ts';

/** Long flag → text. */
export type Flags = Record<string, string>;

/** Words that may follow a boolean flag as its value; Go would want them after `=`. */
const BOOLEAN_WORD = /^(true|false|t|f|1|0)$/i;

/** Adds a flag for every setting that has one; the values given end up in `flags`, which is returned, once parsed. */
export function addSettingFlags(command: Command, flags: Flags = {}): Flags {
  for (const option of OPTIONS) {
    if (option.flag === undefined) continue;
    const names = [option.flag, ...(option.flagAliases ?? [])];
    for (const name of names) addFlag(command, option, name, name !== option.flag, flags);
  }
  return flags;
}

/**
 * Arguments with boolean flags written out: `--arp` becomes `--arp=true`, `--arp false` becomes `--arp=false`, so that no
 * boolean takes a subcommand or an argument for its value. `more`: booleans beside the settings'.
 */
export function writeOutBooleans(args: readonly string[], more: readonly string[] = []): readonly string[] {
  const booleans = new Set([...flagNames((option) => option.type.kind === 'boolean'), ...more]);
  const valued = new Set(flagNames((option) => option.type.kind !== 'boolean'));
  const result: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    const next = args[index + 1];
    if (arg === '--') return [...result, ...args.slice(index)];
    const name = arg.startsWith('--') ? arg.slice(2) : undefined;
    if (name !== undefined && booleans.has(name)) {
      const isWordNext = next !== undefined && BOOLEAN_WORD.test(next);
      result.push(`--${name}=${isWordNext ? next : 'true'}`);
      if (isWordNext) index += 1;
    } else {
      result.push(arg);
      // the next argument is this flag's value, whatever it looks like
      if (name !== undefined && valued.has(name) && next !== undefined) {
        result.push(next);
        index += 1;
      }
    }
  }
  return result;
}

function flagNames(isWanted: (option: Option) => boolean): readonly string[] {
  return OPTIONS.filter((option) => isWanted(option) && option.flag !== undefined).flatMap((option) => [
    option.flag ?? '',
    ...(option.flagAliases ?? []),
  ]);
}

function addFlag(command: Command, option: Option, name: string, isAlias: boolean, flags: Flags): void {
  const placeholder = `<${option.type.kind === 'boolean' ? 'bool' : valueWord(option)}>`;
  const short = option.shortFlag === undefined || isAlias ? '' : `-${option.shortFlag}, `;
  const added = new CommanderOption(`${short}--${name} ${placeholder}`, helpText(option));
  if (isAlias || option.unsupported !== undefined) added.hideHelp();
  added.helpGroup(`${SECTIONS.find(({ id }) => id === option.section)?.title ?? 'Settings'}:`);
  command.addOption(added);
  command.on(`option:${name}`, (value: string) => {
    flags[name] = value;
  });
}

function valueWord(option: Option): string {
  switch (option.type.kind) {
    case 'integer':
      return 'number';
    case 'duration':
      return 'time';
    case 'choice':
      return option.type.choices.join('|');
    case 'listen':
      return 'host:port';
    case 'json-map':
      return 'json';
    default:
      return option.type.kind;
  }
}

function helpText(option: Option): string {
  const fallback = option.default === '' ? option.derived : option.default;
  const source = option.isFlagOnly === true ? '' : ` [${option.name}]`;
  return `${option.doc}${fallback === undefined ? '' : ` (default: ${fallback})`}${source}`;
}
