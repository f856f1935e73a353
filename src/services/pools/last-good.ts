/**
 * Objects that were edited into nonsense, in a process that knew them before: an error disables what it is in, and takes
 * nothing from a Service that runs. A pool is closed, and still is what it was to those who have an address of it (its
 * ranges, interface, labels). An advertisement goes on saying what it said, since what it no longer covers would go dark.
 */

import type { Advertisement, Decoding, ObjectProblem, Pool } from '../model.ts';
import { closePool } from './pool.ts';

/** What an object is now, and what it is to be taken for after an edit that can't be read. */
export interface Known<T> {
  readonly decoding: Decoding<T>;
  readonly good: T | undefined;
}

export function nextPool(good: Pool | undefined, decoding: Decoding<Pool>): Known<Pool> {
  const { value } = decoding;
  const closure = value?.closure;
  if (value !== undefined && closure?.code !== 'POOL_INVALID') return { decoding, good: value };
  if (good === undefined) return { decoding, good };
  const kept = closure === undefined ? good : closePool({ ...good, labels: value?.labels ?? good.labels }, closure);
  return { decoding: { ...decoding, value: kept }, good };
}

export function nextAdvertisement(
  good: Advertisement | undefined,
  decoding: Decoding<Advertisement>,
): Known<Advertisement> {
  const { value, problems, isVoid } = decoding;
  if (isVoid === true) return { decoding, good: undefined };
  const isWhole = value !== undefined && !problems.some(({ code }) => code === 'OBJECT_INVALID');
  if (isWhole || good === undefined) return { decoding, good: isWhole ? value : undefined };
  return { decoding: { value: good, problems: problems.map(asBefore) }, good };
}

/** Of kube-vip's ConfigMap, by the key: `good` are those that last were right. */
export function nextKubeVipPools(
  good: ReadonlyMap<string, Pool>,
  pools: readonly Pool[],
): { readonly pools: readonly Pool[]; readonly good: ReadonlyMap<string, Pool> } {
  const next = new Map<string, Pool>();
  const kept = pools.map((pool) => {
    const known = nextPool(good.get(pool.name), { value: pool, problems: [] });
    if (known.good !== undefined) next.set(pool.name, known.good);
    return known.decoding.value ?? pool;
  });
  return { pools: kept, good: next };
}

function asBefore(problem: ObjectProblem): ObjectProblem {
  if (problem.code !== 'OBJECT_INVALID') return problem;
  return { ...problem, remedy: problem.remedy.replace(/;[^;]*$/, '; until then it counts as it was before.') };
}
