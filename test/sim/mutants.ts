/**
 * Mutants: the core with one guard left out or one thing counted wrongly, made from outside by tampering with rules,
 * events, states or effects around `step`. Each must break an invariant; otherwise the simulator proves nothing about that
 * guard. `breaks` names the invariants that may notice first.
 */

import { step } from '../../src/agent/step.ts';
import type { Effect } from '../../src/agent/effect.ts';
import type { AgentEvent } from '../../src/agent/event.ts';
import { draftOf, eachOfShards, finishDraft, putInDraft } from '../../src/agent/services/shards.ts';
import type { ServiceEntry } from '../../src/agent/services/state.ts';
import { entryDeadline } from '../../src/agent/services/turn.ts';
import type { AgentRules, AgentState } from '../../src/agent/state.ts';
import { WITHDRAWN_ANNOTATION } from '../../src/leader/lease-write.ts';
import { after, NEVER, type MonotonicMs } from '../../src/base/time.ts';
import type { Heartbeat } from '../../src/leader/view.ts';
import { interpretFrame } from '../../src/vip/wire.ts';
import type { StepFunction } from './node.ts';
import { ADDRESS_PROTOCOL } from './kernel.ts';
import type { Mutant } from './world.ts';

export interface NamedMutant extends Mutant {
  readonly breaks: readonly string[];
}

/** What a mutant's seed plays without its mutation: the same cluster, the same faults. */
export function controlOf({ name, what, faults, isOfServices = false }: NamedMutant): Mutant {
  return { name, what, isOfServices, ...(faults === undefined ? {} : { faults }) };
}

export const MUTANTS: readonly NamedMutant[] = [
  {
    name: 'tenure-endless',
    faults: ['api-away', 'api-silent', 'freeze'],
    what: 'a holder whose renewals fail goes on holding',
    breaks: ['tenure', 'one-holder'],
    rules: (rules) => ({ ...rules, election: { ...rules.election, renewDeadlineMs: 1e9 } }),
  },
  {
    name: 'tenure-from-answer',
    faults: ['api-slow', 'node-api-slow', 'node-api-deaf'],
    what: 'tenure counts from the answer of a renewal, not from its sending',
    breaks: ['tenure', 'lifetime'],
    step: onState((state, event, now) =>
      event.kind === 'lease.written' ? withElection(state, { pending: resent(state, now) }) : state,
    ),
  },
  {
    name: 'lifetime-endless',
    what: 'addresses have no kernel lifetime',
    breaks: ['lifetime'],
    step: onEffects((effect) =>
      effect.kind === 'address.add' ? [{ ...effect, validSeconds: Number.POSITIVE_INFINITY }] : [effect],
    ),
  },
  {
    name: 'lifetime-unlimited',
    what: 'the kernel lifetime is always the configured one, however little of the Lease is left',
    breaks: ['lifetime'],
    step: onEffects((effect, rules) =>
      effect.kind === 'address.add' ? [{ ...effect, validSeconds: rules.vip.lifetimeSeconds }] : [effect],
    ),
  },
  {
    name: 'probe-skipped',
    faults: ['stranger', 'crash', 'terminate'],
    what: 'an address is claimed without asking the wire',
    breaks: ['wire'],
    rules: (rules) => ({ ...rules, vip: { ...rules.vip, probeCount: 0 } }),
  },
  {
    name: 'answers-ignored',
    faults: ['stranger', 'crash', 'terminate'],
    what: 'probes are sent, answers are not heard',
    breaks: ['wire'],
    step: onEvent((event) => (event.kind === 'frame.received' ? { kind: 'tick' } : event)),
  },
  {
    name: 'delete-left-out',
    faults: ['terminate', 'api-away'],
    what: 'addresses are not deleted, only left to their lifetime',
    breaks: ['tenure', 'released-after', 'held'],
    step: onEffects((effect) => (effect.kind === 'address.delete' ? [] : [effect])),
  },
  {
    name: 'release-first',
    faults: ['terminate', 'drained', 'cable-cut'],
    what: 'the Lease is released before the address is withdrawn',
    breaks: ['released-after'],
    step: releaseFirst,
  },
  {
    name: 'consent-always',
    faults: ['delete-refused', 'terminate', 'cable-cut'],
    what: 'every release says that the addresses are withdrawn, known or not',
    breaks: ['released-after', 'one-holder'],
    step: onEffects((effect) => [
      effect.kind === 'lease.update' && effect.lease.holder === '' ? consenting(effect) : effect,
    ]),
  },
  {
    name: 'expiry-early',
    what: "another's Lease is taken at 80 % of its duration",
    breaks: ['lease-kept'],
    step: onEvent((event) =>
      event.kind === 'lease.observed' && event.lease !== undefined
        ? { ...event, lease: { ...event.lease, durationMs: event.lease.durationMs * 0.8 } }
        : event,
    ),
  },
  {
    name: 'expiry-from-start',
    what: 'expiry counts from the start of the process, not from the last change seen',
    breaks: ['lease-kept'],
    step: onState((state) => {
      const { observed } = state.election;
      return observed === undefined ? state : withElection(state, { observed: { ...observed, at: state.startedAt } });
    }),
  },
  {
    name: 'versions-ignored',
    what: 'compare-and-swap does not compare',
    breaks: ['lease-kept', 'transitions', 'one-holder'],
    ignoresVersions: true,
  },
  {
    name: 'transitions-uncounted',
    what: 'a change of holder counts no transition',
    breaks: ['transitions'],
    step: onEffects((effect, rules, state) =>
      effect.kind === 'lease.update' && effect.lease.holder === rules.node
        ? [{ ...effect, lease: { ...effect.lease, transitions: state.election.pending?.base?.transitions ?? 0 } }]
        : [effect],
    ),
  },
  {
    name: 'jump-ignored',
    faults: ['pause'],
    what: 'time that the monotonic clock did not count is ignored',
    breaks: ['tenure', 'one-holder', 'lifetime'],
    step: onEvent((event) => (event.kind === 'clock.jumped' ? { kind: 'tick' } : event)),
  },
  {
    name: 'carrier-ignored',
    faults: ['cable-cut'],
    what: 'a holder whose cable is cut keeps the Lease',
    breaks: ['held'],
    step: onEvent((event) =>
      event.kind === 'kernel.changed' && event.change.kind === 'link'
        ? { ...event, change: { ...event.change, link: { ...event.change.link, hasCarrier: true } } }
        : event,
    ),
  },
  {
    name: 'removal-ignored',
    faults: ['address-deleted'],
    what: 'an address that somebody deletes is put back only with the next renewal of its lifetime',
    breaks: ['restored', 'wire'],
    step: onEvent((event) =>
      event.kind === 'kernel.changed' && event.change.kind === 'address-gone' ? { kind: 'tick' } : event,
    ),
  },
  {
    name: 'ordinary-marked',
    what: 'every address of the node is taken for one of ours',
    breaks: ['ordinary'],
    step: onEvent((event) =>
      event.kind === 'kernel.dumped'
        ? {
            ...event,
            snapshot: {
              ...event.snapshot,
              addresses: event.snapshot.addresses.map((address) => ({ ...address, protocol: ADDRESS_PROTOCOL })),
            },
          }
        : event,
    ),
  },
  {
    name: 'never-takes-over',
    what: 'an expired Lease is left to its dead holder',
    breaks: ['held'],
    step: onState((state) => {
      const { observed } = state.election;
      const isAnothers = observed?.lease !== undefined && observed.lease.holder !== '';
      return isAnothers && state.election.phase === 'following'
        ? withElection(state, { observed: { ...observed, at: NEVER } })
        : state;
    }),
  },
  {
    name: 'isolation-ignored',
    faults: ['isolated'],
    what: 'a holder that hears no majority and gets no answer from the API goes on by its last renewal',
    breaks: ['isolated', 'one-holder'],
    step: onState((state) => withElection(state, { majorityLostAt: undefined })),
  },
  {
    name: 'one-voice-deposes',
    faults: ['one-way', 'isolated'],
    what: 'a candidate takes the others to miss the holder as it does itself',
    breaks: ['lease-kept'],
    step: onBeat((beat, state) => ({ ...beat, hears: beat.hears & ~holderBit(state) })),
  },
  {
    name: 'wire-taken-for-silent',
    faults: ['crash', 'freeze'],
    what: 'a holder missed by a majority is replaced though its kernel answers on the wire',
    breaks: ['wire', 'one-holder'],
    step: onState((state, _event, now) => {
      const inquiry = { probesSent: 99, answeredAt: after(now, -1000), longestGapMs: 1, deafMs: 0 };
      const isAsking = (phase: string): boolean => phase === 'probing' || phase === 'conflict';
      const vips = [...state.vips].map(([key, vip]) => [key, isAsking(vip.phase) ? { ...vip, inquiry } : vip] as const);
      return { ...state, vips: new Map(vips) };
    }),
  },
  {
    name: 'handover-endless',
    faults: ['terminate', 'drained'],
    what: 'who has handed over goes on answering',
    breaks: ['one-holder'],
    step: (rules, state, event, now) => {
      const before = state.handoverSince === undefined ? state : { ...state, handoverSince: now };
      return onBeat((beat) => ({ ...beat, isHolding: false }))(rules, before, event, now);
    },
  },
  {
    name: 'replacement-unheard',
    faults: ['isolated', 'node-api-silent', 'node-api-away'],
    what: 'a holder does not believe a heartbeat that says it has been replaced',
    breaks: ['one-holder'],
    step: onBeat((beat) => ({ ...beat, term: 0 })),
  },
  {
    name: 'outage-drops',
    faults: ['api-away'],
    what: 'an API that is away for everybody is taken to work elsewhere',
    breaks: ['swift', 'held'],
    step: onBeat((beat) => ({ ...beat, isApiWorking: true })),
  },
  {
    name: 'silence-endured',
    faults: ['power-loss'],
    what: 'a silent holder is left alone until its Lease expires',
    breaks: ['swift'],
    step: onBeat((beat) => ({ ...beat, hears: 0x1ff })),
  },
  {
    name: 'idle-holder-trusted',
    faults: ['drained', 'api-away', 'node-api-slow'],
    what: 'a holder that let go and is heard goes on being taken for one',
    breaks: ['swift', 'held'],
    step: onBeat((beat) => ({ ...beat, isLeading: true })),
  },
  {
    name: 'connections-ended-early',
    faults: ['terminate', 'drained'],
    what: 'connections are ended when the address is to go, not when it has gone',
    breaks: ['connections'],
    step: onEffects((effect) =>
      effect.kind === 'address.delete'
        ? [{ kind: 'connections.end', addresses: [effect.prefix.ip], cause: 'left' }, effect]
        : effect.kind === 'connections.end'
          ? []
          : [effect],
    ),
  },
  {
    name: 'service-delete-left-out',
    isOfServices: true,
    faults: ['isolated', 'drained', 'terminate'],
    what: 'addresses of Services are not deleted, only left to their lifetime',
    breaks: ['service-standing', 'service-one', 'service-settled'],
    step: onEffects((effect, _rules, state) =>
      effect.kind === 'address.delete' && !state.vips.has(effect.prefix.ip.text) ? [] : [effect],
    ),
  },
  {
    name: 'service-yield-endless',
    isOfServices: true,
    faults: ['drained'],
    what: 'who is drained does not hear that the next owner answers, and answers on',
    breaks: ['service-one', 'service-settled'],
    step: onState((state, _event, now) =>
      onEntries(state, (entry) =>
        entry.yieldUntil === undefined ? entry : { ...entry, yieldUntil: after(now, 1000) },
      ),
    ),
  },
  {
    name: 'service-voteless-kept',
    isOfServices: true,
    faults: ['power-loss'],
    what: 'nobody says that it misses a node without a vote',
    breaks: ['service-answered', 'service-settled'],
    step: onBeat((beat) => ({ ...beat, misses: [] })),
  },
  {
    name: 'service-lost-kept',
    isOfServices: true,
    faults: ['power-loss'],
    what: 'an owner that nobody hears is never taken for lost',
    breaks: ['service-answered', 'service-settled', 'swift'],
    step: onBeat((beat) => ({ ...beat, hears: 0x1ff })),
  },
  {
    name: 'service-answers-ignored',
    isOfServices: true,
    faults: ['crash', 'freeze'],
    what: 'who answers for an address of a Service is not heard',
    breaks: ['service-wire'],
    step: onEvent((event, state) =>
      event.kind === 'frame.received' && !isOfVip(state, event.frame) ? { kind: 'tick' } : event,
    ),
  },
  {
    name: 'service-standing-endless',
    isOfServices: true,
    faults: ['isolated', 'partition'],
    what: 'who hears nobody any more goes on answering for Services',
    breaks: ['service-standing', 'service-one', 'isolated'],
    step: (rules, state, event, now) => {
      const { view } = state.peers;
      const peers = new Map([...view.peers].map(([name, peer]) => [name, { ...peer, heardAt: now }] as const));
      const heard = { ...state, peers: { ...state.peers, view: { ...view, peers } } };
      return step(rules, heard, event, now);
    },
  },
  {
    name: 'restless',
    what: 'a deadline stays in the past',
    breaks: ['exception'],
    step: (rules, state, event, now) => {
      const stepped = step(rules, state, event, now);
      const vips = new Map(
        [...stepped.state.vips].map(([key, vip]) => [key, vip.phase === 'idle' ? { ...vip, nextAt: now } : vip]),
      );
      return { ...stepped, state: { ...stepped.state, vips } };
    },
  },
];

function onEvent(change: (event: AgentEvent, state: AgentState) => AgentEvent): StepFunction {
  return (rules, state, event, now) => step(rules, state, change(event, state), now);
}

/** Whether a frame is about a control-plane VIP. */
function isOfVip(state: AgentState, frame: Uint8Array): boolean {
  const heard = interpretFrame(frame);
  return heard.ok && state.vips.has(heard.value.ip.text);
}

function onEntries(state: AgentState, change: (entry: ServiceEntry) => ServiceEntry): AgentState {
  const draft = draftOf(state.services.entries);
  for (const [address, entry] of eachOfShards(state.services.entries)) putInDraft(draft, address, change(entry));
  const entries = finishDraft(draft, entryDeadline);
  return entries === state.services.entries ? state : { ...state, services: { ...state.services, entries } };
}

/** Changes what other nodes are heard to say. */
function onBeat(change: (beat: Heartbeat, state: AgentState) => Heartbeat): StepFunction {
  return (rules, state, event, now) => {
    const heard: AgentEvent =
      event.kind === 'heartbeat.received' ? { ...event, heartbeat: change(event.heartbeat, state) } : event;
    return step(rules, state, heard, now);
  };
}

function holderBit(state: AgentState): number {
  const holder = state.election.observed?.lease?.holder;
  const place = state.peers.view.set?.voters.findIndex((voter) => voter.name === holder) ?? -1;
  return place < 0 ? 0 : 1 << place;
}

/** Changes what the core knows before each step. */
function onState(change: (state: AgentState, event: AgentEvent, now: MonotonicMs) => AgentState): StepFunction {
  return (rules, state, event, now) => step(rules, change(state, event, now), event, now);
}

function onEffects(change: (effect: Effect, rules: AgentRules, state: AgentState) => readonly Effect[]): StepFunction {
  return (rules, before, event, now) => {
    const { state, effects } = step(rules, before, event, now);
    return { state, effects: effects.flatMap((effect) => change(effect, rules, state)) };
  };
}

function withElection(state: AgentState, change: Partial<AgentState['election']>): AgentState {
  return { ...state, election: { ...state.election, ...change } };
}

function resent(state: AgentState, now: MonotonicMs): AgentState['election']['pending'] {
  const { pending } = state.election;
  return pending === undefined ? undefined : { ...pending, sentAt: after(now, 0) };
}

function consenting(effect: Extract<Effect, { kind: 'lease.create' | 'lease.update' }>): Effect {
  const { lease } = effect;
  const annotations = { ...lease.annotations, [WITHDRAWN_ANNOTATION]: `${lease.holder}/${lease.transitions}` };
  return { ...effect, lease: { ...lease, annotations } };
}

/** Pretends to the core that each deletion has been confirmed at once, and sends what follows before the deletion. */
function releaseFirst(
  rules: AgentRules,
  before: AgentState,
  event: AgentEvent,
  now: MonotonicMs,
): ReturnType<StepFunction> {
  const first = step(rules, before, event, now);
  const [deletion] = first.effects.filter((effect) => effect.kind === 'address.delete');
  const found = [...(first.state.kernel?.addresses.values() ?? [])].find(
    (address) => deletion !== undefined && address.prefix.ip.text === deletion.prefix.ip.text,
  );
  if (found === undefined) return first;
  const confirmed = step(
    rules,
    first.state,
    { kind: 'kernel.changed', change: { kind: 'address-gone', address: found } },
    now,
  );
  // Connections are no part of it: that they end too early is a mutant of its own.
  const early = confirmed.effects.filter(({ kind }) => kind !== 'connections.end');
  return { state: confirmed.state, effects: [...early, ...first.effects] };
}
