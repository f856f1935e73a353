/**
 * The object `holdfast plan --json` prints: a contract with whoever reads it, so nothing but these fields, in this order.
 * Everything is sorted by what it is, never by how it was given.
 */

import { ERRORS, fillRemedy } from '../base/errors.ts';
import type { Allocation, ObjectProblem, Ownership, Pool, Reason } from '../services/model.ts';
import type { Plan } from '../services/plan.ts';

export interface PlanReport {
  /** In order of creation, then name. */
  readonly allocations: readonly {
    readonly service: string;
    readonly addresses: readonly string[];
    /** '' when the address is of no pool any more. */
    readonly pool: string;
    readonly from: Allocation['from'];
  }[];
  readonly pending: readonly {
    readonly service: string;
    readonly reasons: readonly Reason[];
  }[];
  /** In numeric order, IPv4 first. `node` is null when nobody answers; without Nodes there are no candidates. */
  readonly owners: readonly {
    readonly address: string;
    readonly node: string | null;
    readonly candidates: readonly { readonly node: string; readonly eligible: boolean; readonly reason: string }[];
  }[];
  /** `object` is Kind/namespace/name or Kind/name. */
  readonly problems: readonly {
    readonly object: string;
    readonly code: string;
    readonly message: string;
    readonly remedy: string;
  }[];
}

export function planReport(plan: Plan, problems: readonly ObjectProblem[]): PlanReport {
  const nameOf = poolNames(plan.pools);
  return {
    allocations: plan.allocations.map(({ service, addresses, pool, from }) => ({
      service: service.key,
      addresses: addresses.map(({ text }) => text),
      pool: nameOf(pool),
      from,
    })),
    pending: plan.pending.map(({ service, reasons }) => ({
      service: service.key,
      reasons: reasons.map(({ pool, code, message }) => ({ pool: nameOf(pool), code, message })),
    })),
    owners: plan.ownerships.map(ownerReport),
    problems: sortProblems([...problems, ...shortcomingProblems(plan, nameOf)]).map(
      ({ object, code, message, remedy }) => ({
        object: `${object.kind}/${object.key}`,
        code,
        message,
        remedy,
      }),
    ),
  };
}

/** What a Service that is served wants: a wish that can't be met, an address it lost. */
function shortcomingProblems(plan: Plan, nameOf: (name: string) => string): readonly ObjectProblem[] {
  return plan.allocations.flatMap(({ service, shortcomings }) =>
    shortcomings.map(({ pool, code, message, context }) => ({
      object: { kind: 'Service', key: service.key },
      code,
      message: pool === '' ? message : `${nameOf(pool)}: ${message}`,
      remedy: fillRemedy(ERRORS[code].remedy, context ?? {}),
    })),
  );
}

function ownerReport({ address, node, candidates }: Ownership): PlanReport['owners'][number] {
  return {
    address: address.text,
    node: node ?? null,
    candidates: candidates.map((candidate) => ({
      node: candidate.node,
      eligible: candidate.isEligible,
      reason: candidate.isEligible ? candidate.reason : `${candidate.code}: ${candidate.reason}`,
    })),
  };
}

/**
 * Pool.name → the name its users know it by; the full one where two pools are called alike. What a conflict cut off a pool
 * is of the same object, and called as that is.
 */
export function poolNames(pools: readonly Pool[]): (name: string) => string {
  const sources = new Map<string, Set<string>>();
  for (const { origin, object, shortName } of pools) {
    const source = `${origin}/${object?.key ?? ''}`;
    const same = sources.get(shortName);
    if (same === undefined) sources.set(shortName, new Set([source]));
    else same.add(source);
  }
  const names = new Map(
    pools.map(({ name, shortName }) => [name, sources.get(shortName)?.size === 1 ? shortName : name]),
  );
  return (name) => names.get(name) ?? name;
}

/** By object, then as they were found in it; what is said twice is said once. */
export function sortProblems(problems: readonly ObjectProblem[]): readonly ObjectProblem[] {
  const keyed = problems.map((problem) => ({ problem, key: `${problem.object.kind}/${problem.object.key}` }));
  const sorted = keyed.sort(
    (a, b) =>
      compare(a.key, b.key) || compare(a.problem.code, b.problem.code) || compare(a.problem.message, b.problem.message),
  );
  const isSame = (a: ObjectProblem, b: ObjectProblem | undefined): boolean =>
    b !== undefined && a.code === b.code && a.message === b.message;
  return sorted
    .filter(({ problem, key }, index) => key !== sorted[index - 1]?.key || !isSame(problem, sorted[index - 1]?.problem))
    .map(({ problem }) => problem);
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
