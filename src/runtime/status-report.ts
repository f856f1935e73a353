/** The node's own account of itself: the agent's state and the kube room's health as a StatusReport, made on demand. */

import type { HoldfastError } from '../base/errors.ts';
import { formatPrefix } from '../base/ip.ts';
import { after, type MonotonicMs } from '../base/time.ts';
import { obstacle } from '../agent/eligibility.ts';
import { assess } from '../agent/assessment.ts';
import { viewRules } from '../agent/view-rules.ts';
import { vipLink, type AgentRules, type AgentState, type Move as AgentMove } from '../agent/state.ts';
import { tenureBasis } from '../leader/tenure.ts';
import { isHeard, silentAfterMs } from '../leader/view.ts';
import type { ServicesStatus } from '../observe/services-model.ts';
import {
  STATUS_SCHEMA,
  type AddressStatus,
  type ApiStatus,
  type InterfaceStatus,
  type LeaseStatus,
  type Move,
  type PeerStatus,
  type Problem,
  type Role,
  type StatusReport,
  type TenureStatus,
} from '../observe/status-model.ts';

/** What the runtime knows beside the agent's state. */
export interface ReportFacts {
  readonly version: string;
  readonly now: MonotonicMs;
  readonly wallMs: number;
  readonly api: ApiStatus;
  readonly watch: LeaseStatus['watch'];
  /** With the API: beside the agent's own. */
  readonly problems: readonly HoldfastError[];
  /** undefined: Services are left alone. */
  readonly services?: ServicesStatus | undefined;
}

export function statusReport(rules: AgentRules, state: AgentState, facts: ReportFacts): StatusReport {
  const { now } = facts;
  const wallAt = (at: MonotonicMs): string => new Date(facts.wallMs - (now - at)).toISOString();
  return {
    schema: STATUS_SCHEMA,
    version: facts.version,
    node: rules.node,
    at: wallAt(now),
    startedAt: wallAt(state.startedAt),
    uptimeMs: Math.round(now - state.startedAt),
    role: roleOf(state),
    tenure: tenureOf(rules, state, now),
    lease: leaseOf(rules, state, facts),
    api: facts.api,
    interface: interfaceOf(rules, state),
    addresses: [...state.vips.values()].map((vip): AddressStatus => ({
      address: formatPrefix(vip.prefix),
      state: vip.phase,
      sinceMs: Math.round(now - vip.since),
      lifetimeSeconds: rules.vip.lifetimeSeconds,
      announcements: vip.announcements,
      lastAnnouncedAgoMs: ago(vip.lastAnnouncedAt, now),
      conflict:
        vip.rival?.isReported === true
          ? { mac: vip.rival.mac.text, sinceMs: Math.round(now - vip.rival.firstHeardAt) }
          : undefined,
    })),
    peers: peersOf(rules, state, now),
    moves: state.moves
      .filter((move) => move.isComplete || move === state.moves.at(-1))
      .map((move) => moveOf(move, wallAt)),
    problems: allProblems(state, facts.problems),
    ...(facts.services === undefined ? {} : { services: facts.services }),
  };
}

/** A code that the agent tells of is told once. */
function allProblems(state: AgentState, others: readonly HoldfastError[]): readonly Problem[] {
  const own = [...state.problems.values()];
  const isNew = ({ code }: HoldfastError): boolean => own.every((problem) => problem.code !== code);
  return [...own, ...others.filter(isNew).map(({ code, message, remedy }) => ({ code, message, remedy }))];
}

function roleOf(state: AgentState): Role {
  if (state.lifecycle !== 'running') return 'stopping';
  if (state.election.phase === 'leading') return 'leader';
  return state.election.observed === undefined ? 'starting' : 'follower';
}

function tenureOf(rules: AgentRules, state: AgentState, now: MonotonicMs): TenureStatus {
  const election = state.election;
  if (election.phase !== 'leading') return { isHeld: false, leftMs: 0, reason: whyNot(rules, state) };
  const assessment = assess(rules, state, now);
  const basis = tenureBasis(rules.election, election, assessment, now);
  if (basis === 'majority') {
    const reason = `no API server takes writes, ${assessment.voterCount} voters, a majority is heard`;
    return { isHeld: true, leftMs: Math.round(silentAfterMs(viewRules(rules))), reason };
  }
  const end = after(election.renewedAt, rules.election.renewDeadlineMs);
  const leftMs = Math.max(0, Math.round(end - now));
  return { isHeld: leftMs > 0, leftMs, reason: `renewed ${seconds(now - election.renewedAt)} ago` };
}

function whyNot(rules: AgentRules, state: AgentState): string {
  const blocked = obstacle(rules, state);
  if (blocked !== undefined) return blocked.message;
  if (state.peers.isDrainedByOperator) return 'this node is drained: `holdfast drain --undo` lets it take part again';
  const observed = state.election.observed;
  if (observed === undefined) return 'the Lease has not been seen yet';
  if (observed.lease === undefined) return 'there is no Lease yet';
  if (observed.lease.holder === '') return 'the Lease is free';
  return `${observed.lease.holder} holds the Lease`;
}

function leaseOf(rules: AgentRules, state: AgentState, facts: ReportFacts): LeaseStatus {
  const observed = state.election.observed;
  const lease = observed?.lease;
  return {
    namespace: rules.leaseNamespace,
    name: rules.leaseName,
    holder: lease?.holder,
    durationMs: lease?.durationMs,
    transitions: lease?.transitions,
    renewTime: lease?.renewTime,
    observedAgoMs: ago(observed?.at, facts.now),
    watch: facts.watch,
  };
}

function interfaceOf(rules: AgentRules, state: AgentState): InterfaceStatus | undefined {
  const link = vipLink(state);
  if (link === undefined) return undefined;
  return {
    name: link.name,
    index: link.index,
    isUp: link.isUp,
    hasCarrier: link.hasCarrier,
    isAllowedDown: rules.allowInterfaceNotUp,
    mac: link.mac?.text,
  };
}

function peersOf(rules: AgentRules, state: AgentState, now: MonotonicMs): readonly PeerStatus[] {
  const { view } = state.peers;
  const others = (view.set?.voters ?? []).filter((voter) => voter.name !== rules.node);
  return others.map(({ name }): PeerStatus => {
    const peer = view.peers.get(name);
    return {
      name,
      isHeard: isHeard(viewRules(rules), view, name, now),
      heardAgoMs: ago(peer?.heardAt, now),
      isHolding: peer?.heartbeat.isHolding ?? false,
      isApiWorking: peer?.heartbeat.isApiWorking ?? false,
      isDraining: peer?.heartbeat.isDraining ?? false,
    };
  });
}

function moveOf(move: AgentMove, wallAt: (at: MonotonicMs) => string): Move {
  const timings = Object.fromEntries(
    Object.entries(move.timings).map(([phase, ms]) => [phase, Math.round(ms * 10) / 10]),
  );
  return { at: wallAt(move.at), kind: move.kind, cause: move.cause, from: move.from, to: move.to, timings };
}

function ago(at: MonotonicMs | undefined, now: MonotonicMs): number | undefined {
  return at === undefined ? undefined : Math.round(now - at);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
