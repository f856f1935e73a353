/**
 * What a turn is worth telling: log lines, Kubernetes Events and the ring of moves. A quiet node says nothing; each
 * problem is told when it appears and when it is gone, with what to type next.
 */

import { ERRORS, fillRemedy, type ErrorCode } from '../base/errors.ts';
import type { MonotonicMs } from '../base/time.ts';
import type { ElectionOutput, GainCause, LossCause } from '../leader/election.ts';
import type { AddressNote } from './addresses.ts';
import type { Effect } from './effect.ts';
import { obstacle } from './eligibility.ts';
import { MOVES_MAX, vipLink, type AgentRules, type AgentState, type Move, type MoveCause, type MovePhase, type Problem } from './state.ts';

interface Told {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

const GAIN_CAUSES: Readonly<Record<GainCause, MoveCause>> = {
  created: 'lease-free',
  free: 'lease-released',
  expired: 'lease-expired',
  own: 'lease-ours',
  'late-answer': 'lease-ours',
};

const LOSS_CAUSES: Readonly<Record<LossCause, MoveCause>> = {
  'tenure-ended': 'renewal-late',
  superseded: 'lease-taken',
  'duplicate-identity': 'lease-taken',
  'clock-jumped': 'clock-jumped',
};

export function reportElection(
  rules: AgentRules,
  before: AgentState,
  outputs: readonly ElectionOutput[],
  notes: readonly AddressNote[],
  now: MonotonicMs,
): Told {
  const effects: Effect[] = [];
  let state = beginResignation(rules, before, now);
  for (const output of outputs) {
    const told = tellElection(rules, state, output, now);
    state = told.state;
    effects.push(...told.effects);
  }
  for (const note of notes) {
    const told = tellAddress(rules, state, note, now);
    state = told.state;
    effects.push(...told.effects);
  }
  const settled = settleMove(rules, state, now);
  return { state: settled.state, effects: [...effects, ...settled.effects] };
}

function beginResignation(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentState {
  const isBegun = state.moves.at(-1)?.kind === 'released' && state.moves.at(-1)?.isComplete === false;
  if (!state.election.isResigning || isBegun) return state;
  const cause = obstacle(rules, state)?.cause ?? 'shutdown';
  return addMove(state, { kind: 'released', at: now, cause, from: rules.node, to: '', timings: {}, isComplete: false });
}

function tellElection(rules: AgentRules, state: AgentState, output: ElectionOutput, now: MonotonicMs): Told {
  switch (output.kind) {
    case 'gained': {
      const move: Move = {
        kind: 'gained',
        at: output.sentAt,
        cause: GAIN_CAUSES[output.cause],
        from: output.previousHolder,
        to: rules.node,
        timings: { lease: now - output.sentAt },
        isComplete: false,
      };
      return { state: addMove(state, move), effects: [log('info', 'lease acquired', { lease: rules.leaseName, cause: move.cause, from: move.from })] };
    }
    case 'lost': {
      const cause = LOSS_CAUSES[output.cause];
      const move: Move = { kind: 'lost', at: now, cause, from: rules.node, to: output.holder, timings: {}, isComplete: true };
      const message = `${rules.node} gave up ${addressList(state)}: ${cause}`;
      return {
        state: addMove(state, move),
        effects: [
          log('warn', 'lease lost', { lease: rules.leaseName, cause, to: output.holder }),
          { kind: 'event.record', type: 'Warning', reason: 'VirtualIPLost', message },
        ],
      };
    }
    case 'released': {
      const last = state.moves.at(-1);
      const cause = last?.kind === 'released' ? last.cause : 'shutdown';
      const done = timed(state, 'released', now, true);
      const message = `${rules.node} released ${addressList(state)}: ${cause}`;
      const level = output.isWritten ? 'info' : 'warn';
      return {
        state: done,
        effects: [
          log(level, output.isWritten ? 'lease released' : 'lease could not be released, it will expire', { lease: rules.leaseName, cause }),
          { kind: 'event.record', type: 'Normal', reason: 'VirtualIPReleased', message },
        ],
      };
    }
    case 'impostor':
      return {
        state,
        effects: [log('error', 'another process uses this node name', { node: output.identity, code: 'DUPLICATE_IDENTITY', remedy: ERRORS.DUPLICATE_IDENTITY.remedy })],
      };
    case 'lease.read':
    case 'lease.create':
    case 'lease.update':
      return { state, effects: [] };
  }
}

function tellAddress(rules: AgentRules, state: AgentState, note: AddressNote, now: MonotonicMs): Told {
  const { output, address } = note;
  switch (output.kind) {
    case 'silent':
      return { state: timed(state, 'wire', now), effects: [] };
    case 'up':
      return { state: timed(count(state, 'claims'), 'kernel', now), effects: [] };
    case 'announced':
      return { state: timed(state, 'announced', now), effects: [] };
    case 'down':
      return { state: timed(state, 'kernel', now), effects: [log('info', 'address withdrawn', { address })] };
    case 'restored':
      return { state: count(state, 'restores'), effects: [log('warn', 'address was removed by somebody and is put back', { address })] };
    case 'waiting':
      return { state: count(state, 'rivals'), effects: [log('info', 'address is still answered by another machine', { address, mac: output.mac.text })] };
    case 'conflict':
      return conflict(rules, count(state, 'conflicts'), address, output.mac.text, output.while);
    case 'yielded':
      return { state: count(state, 'yields'), effects: [log('error', 'address given up to another machine', { address, mac: output.mac.text })] };
    case 'announce':
      return { state: count(state, 'announcements'), effects: [] };
    case 'probe':
      return { state: count(state, 'probes'), effects: [] };
    case 'defend':
      return { state: count(state, 'defences'), effects: [] };
    case 'add':
    case 'delete':
      return { state, effects: [] };
  }
}

function conflict(rules: AgentRules, state: AgentState, address: string, mac: string, during: string): Told {
  const remedy = fillRemedy(ERRORS.ADDRESS_CONFLICT.remedy, { address, mac });
  const message = `${mac} also answers for ${address} (seen by ${rules.node} while ${during} it). ${remedy}`;
  return {
    state,
    effects: [
      log('error', 'address conflict', { address, mac, code: 'ADDRESS_CONFLICT', remedy }),
      { kind: 'event.record', type: 'Warning', reason: 'VirtualIPConflict', message },
    ],
  };
}

/** A gain is complete when every address is held and announced. */
function settleMove(rules: AgentRules, state: AgentState, now: MonotonicMs): Told {
  const last = state.moves.at(-1);
  if (last === undefined || last.isComplete || last.kind !== 'gained') return { state, effects: [] };
  if (state.election.phase !== 'leading') return { state, effects: [] };
  const vips = [...state.vips.values()];
  if (vips.length === 0 || !vips.every((vip) => vip.phase === 'holding' && vip.burstSent > 0)) return { state, effects: [] };
  const done = timed(state, 'total', now, true);
  const timings = done.moves.at(-1)?.timings ?? {};
  const interfaceName = vipLink(state)?.name ?? '';
  const message = `${rules.node} holds ${addressList(state)} on ${interfaceName} (${last.cause}; up ${Math.round(timings.total ?? 0)} ms after the Lease was asked for)`;
  return {
    state: done,
    effects: [
      log('info', 'virtual ip held', { addresses: [...state.vips.keys()], interface: interfaceName, cause: last.cause, from: last.from, timings }),
      { kind: 'event.record', type: 'Normal', reason: 'VirtualIPGained', message },
    ],
  };
}

/** Compares the node's problems with those already told. */
export function reportProblems(rules: AgentRules, state: AgentState): Told {
  const problems = currentProblems(rules, state);
  const effects: Effect[] = [];
  for (const [key, problem] of problems) {
    if (!state.problems.has(key)) effects.push(log('error', problem.message, { code: problem.code, remedy: problem.remedy }));
  }
  for (const [key, problem] of state.problems) {
    if (!problems.has(key)) effects.push(log('info', 'problem is gone', { code: problem.code, was: problem.message }));
  }
  return effects.length === 0 ? { state, effects } : { state: { ...state, problems }, effects };
}

function currentProblems(rules: AgentRules, state: AgentState): ReadonlyMap<string, Problem> {
  const problems = new Map<string, Problem>();
  const blocked = obstacle(rules, state);
  if (blocked?.code !== undefined) {
    problems.set(blocked.code, problem(blocked.code, blocked.message, blocked.context));
  }
  for (const [name, resolved] of state.names) {
    if (resolved.failure === undefined) continue;
    problems.set(`NAME_UNRESOLVED ${name}`, problem('NAME_UNRESOLVED', `${name}: ${resolved.failure}`, { name }));
  }
  for (const [address, vip] of state.vips) {
    if (vip.phase !== 'conflict' || vip.rival?.isReported !== true) continue;
    const mac = vip.rival.mac.text;
    problems.set(`ADDRESS_CONFLICT ${address}`, problem('ADDRESS_CONFLICT', `${mac} answers for ${address}`, { address, mac }));
  }
  const failure = state.election.lastFailure;
  if (failure?.failure === 'forbidden' || failure?.failure === 'unauthorized') {
    const code = failure.failure === 'forbidden' ? 'API_FORBIDDEN' : 'API_UNAUTHORIZED';
    const context = { verb: 'update', resource: 'leases', namespace: rules.leaseNamespace, path: 'the kubeconfig' };
    problems.set(code, problem(code, failure.message, context));
  }
  if (state.election.impostorChanges > 0) {
    problems.set('DUPLICATE_IDENTITY', problem('DUPLICATE_IDENTITY', `another process is ${rules.node} too`, {}));
  }
  return problems;
}

function problem(code: ErrorCode, message: string, context: Readonly<Record<string, string>>): Problem {
  return { code, message, remedy: fillRemedy(ERRORS[code].remedy, context) };
}

function addMove(state: AgentState, move: Move): AgentState {
  return { ...state, moves: [...state.moves, move].slice(-MOVES_MAX) };
}

/** Notes how long after its beginning the move under way reached `phase`; the last address counts. */
function timed(state: AgentState, phase: MovePhase, now: MonotonicMs, isComplete = false): AgentState {
  const last = state.moves.at(-1);
  if (last === undefined || last.isComplete) return state;
  const move: Move = { ...last, timings: { ...last.timings, [phase]: now - last.at }, isComplete };
  return { ...state, moves: [...state.moves.slice(0, -1), move] };
}

function count(state: AgentState, name: string): AgentState {
  return { ...state, counters: { ...state.counters, [name]: (state.counters[name] ?? 0) + 1 } };
}

function addressList(state: AgentState): string {
  return [...state.vips.keys()].join(', ');
}

function log(level: 'info' | 'warn' | 'error', msg: string, fields: Readonly<Record<string, unknown>>): Effect {
  return { kind: 'log', level, msg, fields };
}
