/** The flags of the command line, made from the schema table, and the way back from parsed options to parseConfig's input. */

import { OPTIONS } from './schema.ts';

export interface FlagSpec {
  /** Long name without dashes, as kube-vip spells it (camel case, `config-file` excepted). */
  readonly name: string;
  readonly short: string | undefined;
  /** `optional`: a boolean, bare or with =true/=false. */
  readonly argument: 'required' | 'optional';
  readonly placeholder: string;
  readonly description: string;
  /** Understood, but not to be shown in help: spellings of wrong documents. */
  readonly isHidden: boolean;
}

/** Every flag of every setting, in the order of the table. */
export function configFlags(): readonly FlagSpec[] {
  return OPTIONS.flatMap((option) => {
    if (option.flag === undefined) return [];
    const isBoolean = option.type.kind === 'boolean';
    const note = option.unsupported === undefined ? '' : ' (accepted, no effect yet)';
    const byDefault = option.default === '' || isBoolean ? '' : ` [${option.default}]`;
    const spec: FlagSpec = {
      name: option.flag,
      short: option.shortFlag,
      argument: isBoolean ? 'optional' : 'required',
      placeholder: isBoolean ? 'bool' : option.type.kind === 'text' ? 'text' : option.type.kind,
      description: `${option.doc}${byDefault}${note}`,
      isHidden: false,
    };
    const aliases = (option.flagAliases ?? []).map((name) => ({ ...spec, name, short: undefined, isHidden: true }));
    return [spec, ...aliases];
  });
}

/**
 * parseConfig's `flags` out of what a command line parser hands over: long name (`config-file` may come as configFile) →
 * text, or true for a bare boolean. Anything that is no flag of a setting is left out.
 */
export function flagsFromOptions(options: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const flags: Record<string, string> = {};
  for (const { name } of configFlags()) {
    const value = options[name] ?? options[camelCase(name)];
    if (typeof value === 'string') flags[name] = value;
    else if (typeof value === 'boolean') flags[name] = String(value);
  }
  return flags;
}

function camelCase(name: string): string {
  return name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
