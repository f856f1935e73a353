/** What a turn is worth telling of moves and conflicts: log lines, Kubernetes Events and the ring of moves. */

import { ERRORS, fillRemedy } from '../base/errors.ts';
import { after, type MonotonicMs } from '../base/time.ts';
import type { ElectionOutput, GainCause, LossCause } from '../leader/election-state.ts';
import type { AddressNote } from './addresses.ts';
import type { Effect } from './effect.ts';
import { unwillingness } from './departure.ts';
import { obstacle, servesOnly } from './eligibility.ts';
import type { AgentEvent } from './event.ts';
import { logEffect, type Told } from './note.ts';
import { inShards } from './services/shards.ts';
import {
  MOVES_MAX,
  vipLink,
  type AgentRules,
  type AgentState,
  type Move,
  type MoveCause,
  type MovePhase,
} from './state.ts';

const REFUSAL_INTERVAL_MS = 60_000;

const GAIN_CAUSES: Readonly<Record<GainCause, MoveCause>> = {
  created: 'lease-free',
  free: 'lease-released',
  expired: 'lease-expired',
  own: 'lease-ours',
  'late-answer': 'lease-ours',
  silent: 'holder-silent',
  'handed-over': 'handed-over',
};

const LOSS_CAUSES: Readonly<Record<LossCause, MoveCause>> = {
  'tenure-ended': 'renewal-late',
  superseded: 'lease-taken',
  'duplicate-identity': 'lease-taken',
  'clock-jumped': 'clock-jumped',
  replaced: 'replaced',
  isolated: 'isolated',
};

interface Turn {
  readonly outputs: readonly ElectionOutput[];
  readonly notes: readonly AddressNote[];
  readonly event: AgentEvent;
}

export function reportTurn(rules: AgentRules, before: AgentState, turn: Turn, now: MonotonicMs): Told {
  const effects: Effect[] = [];
  let state = beginResignation(rules, before, now);
  const take = (told: Told): void => {
    state = told.state;
    if (told.effects.length > 0) effects.push(...told.effects);
  };
  for (const output of turn.outputs) take(tellElection(rules, state, output, now));
  for (const note of turn.notes) take(tellAddress(rules, state, note, now));
  if (turn.event.kind === 'effect.failed') take(tellRefusal(state, turn.event, now));
  take(settleMove(rules, state, now));
  return { state, effects };
}

/** A refused system call, at most once in REFUSAL_INTERVAL_MS for each call, address and code. */
function tellRefusal(state: AgentState, event: Extract<AgentEvent, { kind: 'effect.failed' }>, now: MonotonicMs): Told {
  const { effect, code, message } = event;
  // A kernel that refuses one address of a Service mostly refuses thousands: told as one.
  const isService = inShards(state.services.entries, event.address) !== undefined;
  const address = isService ? `${event.address} and others of Services` : event.address;
  const key = `${effect} ${isService ? 'services' : address} ${code}`;
  const toldAt = state.refusals.get(key);
  const counted = count(state, 'refusals');
  if (toldAt !== undefined && now < after(toldAt, REFUSAL_INTERVAL_MS)) return { state: counted, effects: [] };
  const fresh = [...state.refusals].filter(([, at]) => now < after(at, REFUSAL_INTERVAL_MS));
  const remedy = fillRemedy(ERRORS[code].remedy, { capability: 'NET_ADMIN and NET_RAW', address });
  return {
    state: { ...counted, refusals: new Map(fresh).set(key, now) },
    effects: [logEffect('error', 'the kernel refused a request', { effect, address, code, reason: message, remedy })],
  };
}

/** A departure begins with the handover, or with the resignation where there is none. */
function beginResignation(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentState {
  const isBegun = state.moves.at(-1)?.kind === 'released' && state.moves.at(-1)?.isComplete === false;
  const { handover, isResigning } = state.election;
  if ((!isResigning && handover === undefined) || isBegun) return state;
  const cause = obstacle(rules, state)?.cause ?? unwillingness(rules, state, now) ?? 'shutdown';
  const to = handover?.to ?? '';
  return addMove(state, { kind: 'released', at: now, cause, from: rules.node, to, timings: {}, isComplete: false });
}

function tellElection(rules: AgentRules, state: AgentState, output: ElectionOutput, now: MonotonicMs): Told {
  switch (output.kind) {
    case 'gained': {
      const move = gainOf(rules, state, output, now);
      const fields = {
        lease: rules.leaseName,
        cause: move.cause,
        from: move.from,
        isProvisional: output.isProvisional,
      };
      const msg = output.isProvisional ? 'addresses claimed without the API' : 'lease acquired';
      return { state: addMove(state, move), effects: [logEffect('info', msg, fields)] };
    }
    case 'ratified':
      return {
        state,
        effects: [
          logEffect('info', 'lease acquired after a provisional claim', { afterMs: Math.round(output.afterMs) }),
        ],
      };
    case 'handed-over':
      return {
        state,
        effects: [
          output.isWritten
            ? logEffect('info', 'lease handed over', { lease: rules.leaseName, to: output.to })
            : logEffect('warn', 'lease could not be handed over', { lease: rules.leaseName, to: output.to }),
        ],
      };
    case 'lost':
      return tellLoss(rules, state, output, now);
    case 'released':
      return tellRelease(rules, state, output, now);
    case 'impostor':
      return {
        state,
        effects: [
          logEffect('error', 'another process uses this node name', {
            node: output.identity,
            code: 'DUPLICATE_IDENTITY',
            remedy: ERRORS.DUPLICATE_IDENTITY.remedy,
          }),
        ],
      };
    case 'lease.read':
    case 'lease.create':
    case 'lease.update':
      return { state, effects: [] };
  }
}

function tellLoss(
  rules: AgentRules,
  state: AgentState,
  output: Extract<ElectionOutput, { kind: 'lost' }>,
  now: MonotonicMs,
): Told {
  const cause = LOSS_CAUSES[output.cause];
  const to = output.holder;
  const move: Move = { kind: 'lost', at: now, cause, from: rules.node, to, timings: {}, isComplete: true };
  const message = `${rules.node} gave up ${addressList(rules, state)}: ${cause}`;
  return {
    state: addMove(state, move),
    effects: [
      logEffect('warn', 'lease lost', { lease: rules.leaseName, cause, to }),
      { kind: 'event.record', type: 'Warning', reason: 'VirtualIPLost', message },
    ],
  };
}

/** The end of a departure: with a successor nothing had to be released. */
function tellRelease(
  rules: AgentRules,
  state: AgentState,
  output: Extract<ElectionOutput, { kind: 'released' }>,
  now: MonotonicMs,
): Told {
  const last = state.moves.at(-1);
  const cause = last?.kind === 'released' ? last.cause : 'shutdown';
  const to = last?.kind === 'released' ? (last.to ?? '') : '';
  const fields = { lease: rules.leaseName, cause, to };
  const message = `${rules.node} gave ${addressList(rules, state)} ${to === '' ? 'back' : `to ${to}`}: ${cause}`;
  const msg = to === '' ? 'lease released' : 'addresses handed over';
  return {
    state: timed(state, 'released', now, true),
    effects: [
      output.isWritten
        ? logEffect('info', msg, fields)
        : logEffect('warn', 'lease could not be released, it will expire', fields),
      { kind: 'event.record', type: 'Normal', reason: 'VirtualIPReleased', message },
    ],
  };
}

/** A gain from a silent holder is measured from its last heartbeat; any other from the sending of the write that won. */
function gainOf(
  rules: AgentRules,
  state: AgentState,
  output: Extract<ElectionOutput, { kind: 'gained' }>,
  now: MonotonicMs,
): Move {
  const lastHeardAt = state.peers.view.peers.get(output.previousHolder)?.heardAt;
  const { suspicion } = state;
  const isSilence = output.cause === 'silent' && lastHeardAt !== undefined && suspicion !== undefined;
  const at = isSilence ? lastHeardAt : output.sentAt;
  const steps: readonly (readonly [MovePhase, MonotonicMs | undefined])[] = isSilence
    ? [
        ['noticed', suspicion.noticedAt],
        ['majority', suspicion.majorityAt],
        ['wire', suspicion.wireAt],
      ]
    : [];
  const timings: Partial<Record<MovePhase, number>> = output.isProvisional ? {} : { lease: now - at };
  for (const [phase, moment] of steps) if (moment !== undefined) timings[phase] = moment - at;
  return {
    kind: 'gained',
    at,
    cause: GAIN_CAUSES[output.cause],
    from: output.previousHolder,
    to: rules.node,
    timings,
    isComplete: false,
  };
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
      return { state: timed(state, 'kernel', now), effects: [logEffect('info', 'address withdrawn', { address })] };
    case 'restored':
      return {
        state: count(state, 'restores'),
        effects: [logEffect('warn', 'address was removed by somebody and is put back', { address })],
      };
    case 'lapsed':
      return {
        state: count(state, 'lapses'),
        effects: [logEffect('warn', 'address lifetime ran out while the process stood still', { address })],
      };
    case 'waiting':
      return {
        state: count(state, 'rivals'),
        effects: [logEffect('info', 'address is still answered by another machine', { address, mac: output.mac.text })],
      };
    case 'conflict':
      return conflict(rules, count(state, 'conflicts'), address, output.mac.text, output.while);
    case 'yielded':
      return {
        state: count(state, 'yields'),
        effects: [logEffect('error', 'address given up to another machine', { address, mac: output.mac.text })],
      };
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
      logEffect('error', 'address conflict', { address, mac, code: 'ADDRESS_CONFLICT', remedy }),
      { kind: 'event.record', type: 'Warning', reason: 'VirtualIPConflict', message },
    ],
  };
}

/** A gain is complete when every address is held and announced. */
function settleMove(rules: AgentRules, state: AgentState, now: MonotonicMs): Told {
  const last = state.moves.at(-1);
  if (last === undefined || last.isComplete || last.kind !== 'gained') return { state, effects: [] };
  if (state.election.phase !== 'leading') return { state, effects: [] };
  if (servesOnly(rules)) return { state: timed(state, 'total', now, true), effects: [] };
  const vips = [...state.vips.values()];
  if (vips.length === 0 || !vips.every((vip) => vip.phase === 'holding' && vip.burstSent > 0)) {
    return { state, effects: [] };
  }
  const done = timed(state, 'total', now, true);
  const timings = done.moves.at(-1)?.timings ?? {};
  const interfaceName = vipLink(state)?.name ?? '';
  const message = `${rules.node} holds ${addressList(rules, state)} on ${interfaceName} (${last.cause}; up ${Math.round(timings.total ?? 0)} ms after the Lease was asked for)`;
  return {
    state: done,
    effects: [
      logEffect('info', 'virtual ip held', {
        addresses: [...state.vips.keys()],
        interface: interfaceName,
        cause: last.cause,
        from: last.from,
        timings,
      }),
      { kind: 'event.record', type: 'Normal', reason: 'VirtualIPGained', message },
    ],
  };
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

function addressList(rules: AgentRules, state: AgentState): string {
  return servesOnly(rules) ? 'the lead' : [...state.vips.keys()].join(', ');
}
