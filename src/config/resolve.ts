/**
 * Which source gives each setting its value: flags > environment > file > default. kube-vip says the same and does
 * otherwise (its environment beats flags, its file cannot change what a flag has a default for), so a difference between
 * two sources is reported. Values come out canonical; one that cannot be read is a problem and counts as its default.
 */

import { finding, type Finding, type Findings } from './finding.ts';
import { OPTIONS, type NamedOption, type OptionName } from './schema.ts';
import { normalise } from './value.ts';

export type Source = 'flag' | 'env' | 'file' | 'default';

export interface Value {
  /** As one would write it in the environment; '' = unset. Secrets are in clear: mask before showing. */
  readonly value: string;
  readonly source: Source;
}

/** Every setting has an entry. */
export type Values = Readonly<Record<OptionName, Value>>;

export interface Sources {
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: ReadonlyMap<OptionName, string>;
}

interface Given {
  readonly text: string;
  readonly source: Source;
  /** How the user spelled it: `vip_subnet`, `--vipSubnet`, `INSTANCE_NAME`. */
  readonly spelling: string;
}

export interface Resolved {
  readonly values: Values;
  /** Settings whose given value was refused: rules about several settings leave them out. */
  readonly refused: ReadonlySet<OptionName>;
}

export function resolveValues(sources: Sources, findings: Findings): Resolved {
  const values: Partial<Record<OptionName, Value>> = {};
  const refused = new Set<OptionName>();
  for (const option of OPTIONS) {
    const value = resolveOne(option, sources, findings);
    if (value === undefined) refused.add(option.name);
    values[option.name] = value ?? { value: option.default, source: 'default' };
  }
  findings.warnings.push(...unknownFlags(sources.flags));
  return { values: values as Values, refused }; // OPTIONS holds every OptionName
}

/** Undefined when what was given is refused, which is then among the problems. */
function resolveOne(option: NamedOption, sources: Sources, findings: Findings): Value | undefined {
  const given = [
    fromFlags(option, sources.flags, findings),
    fromEnv(option, sources.env),
    fromFile(option, sources.file),
  ].filter((entry) => entry !== undefined);
  const [strongest, next] = given;
  if (strongest === undefined) return { value: option.default, source: 'default' };

  if (strongest.source === 'flag' && next?.source === 'env' && next.text !== strongest.text) {
    const message = `${option.name} differs between ${strongest.spelling} and the environment; the flag is used (kube-vip would use the environment)`;
    findings.warnings.push(finding('CONFIG_OVERRIDDEN', option.name, message));
  }
  const repaired = repair(option, strongest, findings);
  const normal = repaired === '' ? { ok: true as const, value: '' } : normalise(option.type, repaired);
  if (normal.ok) return { value: normal.value, source: strongest.source };
  const shown = option.isSecret === true ? 'its value' : `"${strongest.text}"`;
  const message = `${strongest.spelling}: ${shown} is not ${normal.reason}`;
  findings.problems.push(finding('CONFIG_VALUE_INVALID', strongest.spelling, message, { expected: normal.reason }));
  return undefined;
}

function fromFlags(
  option: NamedOption,
  flags: Readonly<Record<string, string>>,
  findings: Findings,
): Given | undefined {
  for (const [index, flag] of [option.flag, option.shortFlag, ...(option.flagAliases ?? [])].entries()) {
    const text = flag === undefined ? undefined : flags[flag];
    if (flag === undefined || text === undefined) continue;
    if (text === '' && option.keepsEmptyFrom?.includes('flag') !== true) continue;
    if (index > 1) {
      const message = `--${flag} is no flag of kube-vip, whatever its documents say; --${option.flag} is, and is understood`;
      findings.warnings.push(finding('CONFIG_NAME_MISSPELLED', `--${flag}`, message, { nearest: `--${option.flag}` }));
    }
    return { text, source: 'flag', spelling: flag.length === 1 ? `-${flag}` : `--${flag}` };
  }
  return undefined;
}

function fromEnv(option: NamedOption, env: Readonly<Record<string, string | undefined>>): Given | undefined {
  if (option.isFlagOnly === true) return undefined;
  for (const name of [option.name, ...(option.aliases ?? [])]) {
    const text = env[name];
    if (text === undefined || (text === '' && option.keepsEmptyFrom?.includes('env') !== true)) continue;
    return { text, source: 'env', spelling: name };
  }
  return undefined;
}

function fromFile(option: NamedOption, file: ReadonlyMap<OptionName, string>): Given | undefined {
  const text = file.get(option.name);
  return text === undefined ? undefined : { text, source: 'file', spelling: option.name };
}

/**
 * What kube-vip's own tools get wrong: its manifest generator writes the lose-leadership timeout as a second
 * `vip_loseleadership: "30"`, which kube-vip then refuses to start with. The last of two equal names wins in a container.
 */
function repair(option: NamedOption, given: Given, findings: Findings): string {
  const text = option.type.kind === 'text' ? given.text : given.text.trim();
  if (option.name !== 'vip_loseleadership' || !/^\d+$/.test(text) || text === '0' || text === '1') return text;
  const message = `${given.spelling}="${text}" is the timeout that kube-vip's manifest generator writes under the wrong name; true is used`;
  findings.warnings.push(finding('CONFIG_VALUE_ADJUSTED', given.spelling, message, { expected: 'true' }));
  return 'true';
}

function unknownFlags(flags: Readonly<Record<string, string>>): readonly Finding[] {
  const known = new Set(OPTIONS.flatMap((option) => [option.flag, option.shortFlag, ...(option.flagAliases ?? [])]));
  return Object.keys(flags)
    .filter((flag) => !known.has(flag))
    .map((flag) =>
      finding('CONFIG_NAME_UNKNOWN', `--${flag}`, `--${flag} is not a flag of a setting and has no effect`),
    );
}
