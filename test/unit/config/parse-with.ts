/** parseConfig with what a test doesn't care about filled in. */

import { parseConfig, type ConfigInput, type ParsedConfig } from '../../../src/config/parse.ts';

/** The least that starts: an ARP control plane with one address. */
export const LEAST = { cp_enable: 'true', vip_arp: 'true', address: '192.0.2.10' } as const;

export function parseWith(input: Partial<ConfigInput>): ParsedConfig {
  return parseConfig({ env: {}, flags: {}, facts: { hostname: 'node-1' }, ...input });
}

/** With LEAST beneath `env`; an empty text unsets one of its settings. */
export function parseEnv(env: Readonly<Record<string, string>>): ParsedConfig {
  return parseWith({ env: { ...LEAST, ...env } });
}

export function problemsOf(env: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return parseEnv(env).problems.map(({ name, code }) => [name, code] as const);
}

export function warningsOf(env: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return parseEnv(env).warnings.map(({ name, code }) => [name, code] as const);
}
