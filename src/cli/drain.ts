/**
 * `holdfast drain`: has the daemon of this node give its addresses away, make before break, and waits until it holds
 * nothing; `--undo` lets it take part again. The order stands until then, or until the process is started anew. Exit code
 * 0 = done, 1 = it still holds something, 3 = not running.
 */

import { HoldfastError } from '../base/errors.ts';
import { requestDrain } from '../observe/control.ts';
import type { AddressState, StatusReport } from '../observe/status-model.ts';
import { failureText, readStatus, socketPath } from '../observe/status-server.ts';
import { parseReport } from './status.ts';

const EXIT_DONE = 0;
const EXIT_INCOMPLETE = 1;
const ANSWER_TIMEOUT_MS = 3000;

export interface DrainCommandOptions {
  readonly socket: string;
  readonly isUndo: boolean;
  /** How long to wait until nothing is held, ms. */
  readonly timeoutMs: number;
  readonly write: (text: string) => void;
}

/** Runs the command and returns its exit code. Throws HoldfastError as requestDrain and readStatus. */
export async function runDrain(options: DrainCommandOptions): Promise<number> {
  const { socket, isUndo, write } = options;
  const before = await readOnce(socket);
  const order = { path: socketPath(socket), socket, isUndo, timeoutMs: ANSWER_TIMEOUT_MS };
  await requestDrain(order, failureText);
  if (isUndo) {
    write(`${before.node} takes part again.\n`);
    return EXIT_DONE;
  }
  if (!isHolding(before)) {
    write(`${before.node} held nothing, and takes nothing until \`holdfast drain --undo\`.${whoHolds(before)}\n`);
    return EXIT_DONE;
  }
  const startedAt = performance.now();
  const after = await awaitEmpty(options);
  const tookMs = Math.round(performance.now() - startedAt);
  if (after !== undefined && !isHolding(after)) {
    write(
      `${after.node} holds nothing any more, after ${tookMs} ms, until \`holdfast drain --undo\`.${whoHolds(after)}\n`,
    );
    return EXIT_DONE;
  }
  const held = (after ?? before).addresses.filter((address) => HELD.has(address.state)).map(({ address }) => address);
  write(
    `${before.node} still holds ${held.join(', ') || 'the Lease'} after ${tookMs} ms: see \`holdfast status\`. The order stands.\n`,
  );
  return EXIT_INCOMPLETE;
}

const HELD: ReadonlySet<AddressState> = new Set<AddressState>(['claiming', 'holding', 'withdrawing']);

function isHolding(report: StatusReport): boolean {
  const isServing = (report.services?.held ?? 0) > 0;
  return report.role === 'leader' || isServing || report.addresses.some((address) => HELD.has(address.state));
}

function whoHolds(report: StatusReport): string {
  const { holder } = report.lease;
  if (holder === undefined || holder === '' || holder === report.node) return ' Nobody has the Lease yet.';
  const isHeld = report.peers.some((peer) => peer.name === holder && peer.isHolding);
  return isHeld ? ` ${holder} holds the addresses.` : ` ${holder} has the Lease.`;
}

/** The first report in which nothing is held, or the last one within the time. */
async function awaitEmpty(options: DrainCommandOptions): Promise<StatusReport | undefined> {
  const stream = await readStatus(options.socket, { isWatching: true, timeoutMs: ANSWER_TIMEOUT_MS });
  const timer = setTimeout(() => stream.close(), options.timeoutMs);
  let last: StatusReport | undefined;
  try {
    for await (const line of stream.lines) {
      last = parseReport(line);
      if (!isHolding(last)) break;
    }
  } catch (error) {
    // Cut off by the timer: what was seen last is the answer.
    if (!(error instanceof HoldfastError) || last === undefined) throw error;
  } finally {
    clearTimeout(timer);
    stream.close();
  }
  return last;
}

async function readOnce(socket: string): Promise<StatusReport> {
  const stream = await readStatus(socket, { isWatching: false, timeoutMs: ANSWER_TIMEOUT_MS });
  try {
    for await (const line of stream.lines) return parseReport(line);
  } finally {
    stream.close();
  }
  throw new HoldfastError('NOT_RUNNING', 'the status socket closed without an answer', { context: { socket } });
}
