/**
 * Kernel settings under /proc/sys. Names are written with slashes ("net/ipv4/conf/eth0.100/arp_ignore"), because interface
 * names may contain dots. Reading is synchronous on purpose: what is under /proc/sys/net belongs to the network namespace
 * of the thread that opens it.
 */

import { readFileSync, writeFileSync } from 'node:fs';

import { HoldfastError } from '../base/errors.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import { errnoName } from './errno.ts';

/** 'absent': this kernel or interface has no such setting. 'invalid-name': not a plain path below /proc/sys. */
export type SysctlReason = 'absent' | 'unreadable' | 'not-a-number' | 'invalid-name';

export interface SysctlOptions {
  /** Where the settings are. Default /proc/sys. */
  readonly root?: string;
}

/** The setting's text without the final line feed. `detail` of a refusal names the setting and the errno. */
export function readSysctl(name: string, options: SysctlOptions = {}): Outcome<string, SysctlReason> {
  if (!isPlainName(name)) return refused('invalid-name', name);
  try {
    return ok(readFileSync(pathOf(name, options), 'utf8').trimEnd());
  } catch (error) {
    const errno = errnoOf(error);
    return refused(errno === 'ENOENT' ? 'absent' : 'unreadable', `${name}: ${errno}`);
  }
}

/** The setting as a whole number. */
export function readSysctlNumber(name: string, options: SysctlOptions = {}): Outcome<number, SysctlReason> {
  const text = readSysctl(name, options);
  if (!text.ok) return text;
  if (!/^-?\d{1,15}$/.test(text.value)) return refused('not-a-number', `${name}: ${text.value}`);
  return ok(Number(text.value));
}

/**
 * Changes a setting. Only where an operator asked for it.
 * @throws HoldfastError SYSCTL_UNWRITABLE: no such setting, a value the kernel refuses, or /proc/sys is read-only (it is
 *   in a container that isn't privileged, NET_ADMIN notwithstanding).
 */
export function writeSysctl(name: string, value: string, options: SysctlOptions = {}): void {
  const context = { name: name.replaceAll('/', '.'), value };
  if (!isPlainName(name)) {
    throw new HoldfastError('SYSCTL_UNWRITABLE', `${name} is not the name of a kernel setting`, { context });
  }
  try {
    // No O_CREAT: a setting is there or it is not.
    writeFileSync(pathOf(name, options), `${value}\n`, { flag: 'r+' });
  } catch (error) {
    const message = `setting ${name} to ${value}: ${errnoOf(error)}`;
    throw new HoldfastError('SYSCTL_UNWRITABLE', message, { context, cause: error });
  }
}

/** Components of letters, digits and what interface names contain; none of them hidden, empty, "." or "..". */
function isPlainName(name: string): boolean {
  return /^[\w-][\w.:@-]*(\/[\w-][\w.:@-]*)*$/.test(name);
}

function pathOf(name: string, options: SysctlOptions): string {
  return `${options.root ?? '/proc/sys'}/${name}`;
}

function errnoOf(error: unknown): string {
  if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') return String(error);
  return errnoName(error.errno);
}
