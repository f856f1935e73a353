/**
 * Decisions, each about any number of addresses: begun together, told in one line when the last of them has got there. A
 * decision of the same kind soon after one that is under way joins it: a thousand Services made one by one are no
 * thousand lines.
 */

import { after } from '../../base/time.ts';
import { logEffect } from '../note.ts';
import {
  SERVICE_MOVES_MAX,
  type ServiceMove,
  type ServiceMoveCause,
  type ServiceMovePhase,
  type ServicesState,
} from './state.ts';
import type { Turn } from './turn.ts';

const JOIN_MS = 1000;

export interface Decision {
  readonly kind: ServiceMove['kind'];
  readonly cause: ServiceMoveCause;
  readonly other: string | undefined;
}

/** Counts one address in; answers the move's number. */
export function joinMove(turn: Turn, decision: Decision): number {
  const open = openMove(turn, decision);
  const move: ServiceMove = open ?? {
    ...decision,
    number: lastNumber(turn) + 1,
    at: turn.now,
    count: 0,
    pending: 0,
    timings: {},
    isComplete: false,
  };
  turn.moves.set(move.number, { ...move, count: move.count + 1, pending: move.pending + 1 });
  return move.number;
}

function openMove(turn: Turn, decision: Decision): ServiceMove | undefined {
  for (const move of turn.moves.values()) if (isOpenFor(turn, move, decision)) return move;
  return turn.services.moves.findLast((move) => !turn.moves.has(move.number) && isOpenFor(turn, move, decision));
}

function isOpenFor(turn: Turn, move: ServiceMove, { kind, cause, other }: Decision): boolean {
  const isSame = move.kind === kind && move.cause === cause && move.other === other;
  return isSame && !move.isComplete && turn.now < after(move.at, JOIN_MS);
}

function lastNumber(turn: Turn): number {
  let last = turn.services.moves.at(-1)?.number ?? 0;
  for (const number of turn.moves.keys()) last = Math.max(last, number);
  return last;
}

function moveOf(turn: Turn, number: number): ServiceMove | undefined {
  return turn.moves.get(number) ?? turn.services.moves.find((move) => move.number === number);
}

/** One of its addresses got this far. */
export function noteProgress(turn: Turn, number: number, phase: ServiceMovePhase): void {
  const move = number === 0 ? undefined : moveOf(turn, number);
  if (move === undefined || move.isComplete) return;
  turn.moves.set(number, { ...move, timings: { ...move.timings, [phase]: turn.now - move.at } });
}

/** One of its addresses is where it should be; or, superseded by another decision, counts no more. */
export function settleOne(turn: Turn, number: number, isSuperseded = false): void {
  const move = number === 0 ? undefined : moveOf(turn, number);
  if (move === undefined || move.isComplete) return;
  const pending = move.pending - 1;
  const count = isSuperseded ? move.count - 1 : move.count;
  const isComplete = pending === 0;
  const timings = isComplete ? { ...move.timings, total: turn.now - move.at } : move.timings;
  const settled: ServiceMove = { ...move, pending, count, timings, isComplete };
  turn.moves.set(number, settled);
  if (isComplete && count > 0) turn.effects.push(tellMove(settled));
}

function tellMove(move: ServiceMove): ReturnType<typeof logEffect> {
  const { kind, cause, other, count, timings } = move;
  const durationMs = Math.round(timings.total ?? 0);
  if (kind === 'gained') {
    const msg = GAINS[cause] ?? 'service addresses taken over';
    return logEffect('info', msg, { cause, from: other, count, durationMs });
  }
  const isTrouble = cause === 'standing-lost' || cause === 'interface-lost' || cause === 'conflict';
  const fields = { cause, to: other, count, durationMs };
  return logEffect(isTrouble ? 'warn' : 'info', 'service addresses given up', fields);
}

const GAINS: Readonly<Partial<Record<ServiceMoveCause, string>>> = {
  assigned: 'service addresses answered for',
  regained: 'service addresses answered for again',
  adopted: 'service addresses adopted',
};

/** The ring with this turn's changes. */
export function finishMoves(
  services: ServicesState,
  changed: ReadonlyMap<number, ServiceMove>,
): readonly ServiceMove[] {
  if (changed.size === 0) return services.moves;
  const kept = services.moves.map((move) => changed.get(move.number) ?? move);
  const last = services.moves.at(-1)?.number ?? 0;
  const added = [...changed.values()].filter(({ number }) => number > last).sort((a, b) => a.number - b.number);
  return [...kept, ...added].filter(({ count }) => count > 0).slice(-SERVICE_MOVES_MAX);
}
