/**
 * What is wrong with this node right now, each with what to type next: told once when it appears, and once when it is gone.
 */

import { after, type MonotonicMs } from '../base/time.ts';
import { ERRORS, fillRemedy, type ErrorCode } from '../base/errors.ts';
import type { Effect } from './effect.ts';
import { obstacle } from './eligibility.ts';
import { CONTROL_PLANE_ANNOTATION, isReserved } from './reserved.ts';
import { logEffect, type Told } from './note.ts';
import type { AgentRules, AgentState, Problem } from './state.ts';

const ABANDONED_MS = 60_000;

/** Compares the node's problems with those already told. */
export function reportProblems(rules: AgentRules, state: AgentState, now: MonotonicMs): Told {
  const problems = currentProblems(rules, state, now);
  if (problems.size === 0 && state.problems.size === 0) return { state, effects: [] };
  const effects: Effect[] = [];
  for (const [key, problem] of problems) {
    if (!state.problems.has(key)) {
      effects.push(logEffect('error', problem.message, { code: problem.code, remedy: problem.remedy }));
    }
  }
  for (const [key, problem] of state.problems) {
    if (!problems.has(key)) {
      effects.push(logEffect('info', 'problem is gone', { code: problem.code, was: problem.message }));
    }
  }
  return effects.length === 0 ? { state, effects } : { state: { ...state, problems }, effects };
}

function currentProblems(rules: AgentRules, state: AgentState, now: MonotonicMs): ReadonlyMap<string, Problem> {
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
    problems.set(
      `ADDRESS_CONFLICT ${address}`,
      problem('ADDRESS_CONFLICT', `${mac} answers for ${address}`, { address, mac }),
    );
  }
  if (state.peers.isUnheard) {
    const peers = (state.peers.view.set?.voters ?? []).map((voter) => voter.name).filter((name) => name !== rules.node);
    const context = { port: String(rules.heartbeat.port), peers: peers.join(', ') };
    problems.set('HEARTBEATS_UNHEARD', problem('HEARTBEATS_UNHEARD', 'no other candidate is heard', context));
  }
  if (isReserved(rules, state, now) && isAbandoned(state, now)) {
    const lease = `${rules.leaseNamespace}/${rules.leaseName}`;
    const context = { namespace: rules.leaseNamespace, name: rules.leaseName, annotation: CONTROL_PLANE_ANNOTATION };
    const message = `nobody leads ${lease}, which is for nodes with the control plane's address`;
    problems.set('LEASE_RESERVED', problem('LEASE_RESERVED', message, context));
  }
  if (state.election.impostorChanges > 0) {
    problems.set('DUPLICATE_IDENTITY', problem('DUPLICATE_IDENTITY', `another process is ${rules.node} too`, {}));
  }
  return problems;
}

/** A minute after the Lease ended nobody has taken it, or it was released. */
function isAbandoned({ election }: AgentState, now: MonotonicMs): boolean {
  const { observed } = election;
  if (observed?.lease === undefined) return false;
  const durationMs = observed.lease.holder === '' ? 0 : observed.lease.durationMs;
  return now >= after(observed.at, durationMs + ABANDONED_MS);
}

function problem(code: ErrorCode, message: string, context: Readonly<Record<string, string>>): Problem {
  return { code, message, remedy: fillRemedy(ERRORS[code].remedy, context) };
}
