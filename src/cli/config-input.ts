/** What the machine has to say to the configuration parser: environment, file, host name, service account. */

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { configFilePath, type ConfigInput } from '../config/parse.ts';
import type { Flags } from './flags.ts';

/** Where the kubelet mounts it (KEP-542's projected volume). */
const SERVICE_ACCOUNT_NAMESPACE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** Reads what `flags` and `env` name. What cannot be read is said in the input, and by the parser with everything else. */
export function readConfigInput(flags: Flags, env: NodeJS.ProcessEnv = process.env): ConfigInput {
  const path = configFilePath({ env, flags });
  return {
    env,
    flags,
    file: path === undefined ? undefined : readFile(path),
    facts: { hostname: hostname(), inClusterNamespace: readOptional(SERVICE_ACCOUNT_NAMESPACE)?.trim() },
  };
}

function readFile(path: string): NonNullable<ConfigInput['file']> {
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    const isErrno = error instanceof Error && 'code' in error && typeof error.code === 'string';
    return { path, error: isErrno ? String(error.code) : String(error) };
  }
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
