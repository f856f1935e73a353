/**
 * `holdfast doctor`: looks at this node and its cluster, and says what is wrong, what could not be found out, and what to
 * do. Changes nothing. Exit code 0 = nothing is wrong (what is not known is said), 1 = something is, 2 = wrong command line.
 */

import { ERRORS, HoldfastError, type ErrorCode } from '../base/errors.ts';
import { CHECKS, examine, isWrong } from '../doctor/examination.ts';
import type { Facts } from '../doctor/facts.ts';
import type { StatusReport } from '../observe/status-model.ts';
import { readStatus } from '../observe/status-server.ts';
import { survey, type SurveyOptions } from '../survey/survey.ts';
import type { CommandResult } from './config.ts';
import { renderFindings } from './doctor-table.ts';
import { parseReport } from './status.ts';

export const EXIT_WELL = 0;
export const EXIT_FINDINGS = 1;

const STATUS_TIMEOUT_MS = 2000;

export interface DoctorCommandOptions extends Omit<SurveyOptions, 'readStatus'> {
  readonly isJson: boolean;
  readonly isAll: boolean;
  readonly only: readonly string[];
  readonly isColored: boolean;
  /** Default survey. */
  readonly gather?: (options: SurveyOptions) => Promise<Facts>;
}

/** Runs the command. Throws HoldfastError COMMAND_INVALID. */
export async function runDoctor(options: DoctorCommandOptions): Promise<CommandResult> {
  const only = options.only.map(toCode);
  const facts = await (options.gather ?? survey)({ ...options, readStatus: askStatus });
  const findings = examine(facts, only);
  const stdout = options.isJson
    ? `${JSON.stringify({ settings: facts.settings.from, findings }, undefined, 2)}\n`
    : renderFindings(findings, { isColored: options.isColored, isAll: options.isAll, settings: facts.settings.from });
  return { stdout, stderr: '', exitCode: findings.some(isWrong) ? EXIT_FINDINGS : EXIT_WELL };
}

function toCode(text: string): ErrorCode {
  const code = text.toUpperCase();
  if (isCode(code)) return code;
  const known = CHECKS.map((check) => check.code).join(', ');
  const message = `--only ${text} is no code of a check: ${known}`;
  throw new HoldfastError('COMMAND_INVALID', message, { context: { command: 'holdfast doctor' } });
}

function isCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

async function askStatus(socket: string): Promise<StatusReport> {
  const stream = await readStatus(socket, { isWatching: false, timeoutMs: STATUS_TIMEOUT_MS });
  try {
    for await (const line of stream.lines) return parseReport(line);
  } finally {
    stream.close();
  }
  throw new HoldfastError('NOT_RUNNING', 'the status socket closed without an answer', { context: { socket } });
}
