/**
 * `holdfast manager`: the daemon. Reads the configuration, says everything that is wrong with it at once, opens the log
 * and hands over to the runtime. Whatever nobody handled ends the process: the kernel lifetimes of its addresses make
 * that safe, and the restarted process takes part again.
 */

import { HoldfastError } from '../base/errors.ts';
import { parseConfig } from '../config/parse.ts';
import { openLog, type OpenLog } from '../observe/log.ts';
import { readConfigInput } from './config-input.ts';
import type { Flags } from './flags.ts';
import { findingText } from './operator-error.ts';
import { VERSION } from './version.ts';

const EXIT_CONFIG = 2;
/** EX_SOFTWARE of sysexits.h. */
const EXIT_CRASH = 70;

export interface ManagerCommandOptions {
  readonly flags: Flags;
  /** Standard error, for what is wrong before there is a log. */
  readonly writeError: (text: string) => void;
}

/** Runs the daemon and returns its exit code: 2 for a configuration that cannot be used. Throws HoldfastError. */
export async function runManagerCommand(options: ManagerCommandOptions): Promise<number> {
  const input = readConfigInput(options.flags);
  const { config, values, problems, warnings } = parseConfig(input);
  if (config === undefined) {
    for (const finding of [...problems, ...warnings]) options.writeError(findingText(finding));
    return EXIT_CONFIG;
  }
  const log = await openLog({
    level: config.observe.logLevel,
    format: logFormat(values.log_format.value),
    node: config.nodeName,
  });
  hookCrashes(log);
  for (const { name, code, message, remedy } of warnings) {
    log.warn(message, { component: 'config', code, remedy, setting: name });
  }
  const { runManager } = await import('../runtime/manager.ts');
  try {
    return await runManager({ config, log, version: VERSION });
  } catch (error) {
    if (!(error instanceof HoldfastError)) return crash(log, error);
    log.fatal(error.message, { code: error.code, remedy: error.remedy });
    return 1;
  } finally {
    log.close();
  }
}

/** An error nobody handled, or a broken invariant: one line with everything, then the end. */
export function hookCrashes(log: Pick<OpenLog, 'fatal'>): void {
  const end = (err: unknown): never => process.exit(crash(log, err));
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

function crash(log: Pick<OpenLog, 'fatal'>, err: unknown): number {
  log.fatal('the process ends because of an error that nobody handled', { code: 'INTERNAL_ERROR', err });
  return EXIT_CRASH;
}

function logFormat(value: string): 'json' | 'pretty' | 'auto' {
  return value === 'json' || value === 'pretty' ? value : 'auto';
}
