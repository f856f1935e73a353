/**
 * Pools and advertisements that have just come, or gone. A pool is created some moments before its advertisement, of two
 * definitions one is installed first, one list is read before the other, and who replaces an advertisement deletes it first:
 * none of that may take an address from a Service that runs.
 *
 * For SETTLING_MS after a pool has appeared, and as long as advertisements of its kind can't be seen, it is settling: that
 * it has no advertisement is no news, and its addresses are answered for as before (candidate.ts). An advertisement that is
 * gone goes on saying what it said for as long where no other covers one of its pools.
 *
 * What there is when everything has been seen for the first time is as it is: nothing is known of before.
 */

import type { Advertisement, Pool } from '../model.ts';
import { advertisesPool } from './advertisement-rules.ts';

/** `kubectl apply` takes a tenth of a second an object; a definition is noticed within two (kube/discovery.ts). */
export const SETTLING_MS = 5_000;

export interface SettlingInput {
  readonly pools: readonly Pool[];
  readonly advertisements: readonly Advertisement[];
  /** Whether all advertisements for this segment that there are of this origin have been seen. */
  readonly isListed: (origin: Advertisement['origin']) => boolean;
  /** All that exists has been seen once. */
  readonly isSynced: boolean;
  /** Of any clock that goes on, ms. */
  readonly now: number;
}

export interface Settled {
  readonly pools: readonly Pool[];
  readonly advertisements: readonly Advertisement[];
  /** When it may be otherwise by time alone. */
  readonly wakeAt: number | undefined;
  readonly state: SettlingState;
}

export interface SettlingState {
  readonly isSynced: boolean;
  /** Until when each pool is settling, by name; what is settled already is 0. */
  readonly pools: ReadonlyMap<string, number>;
  /** As they last counted. */
  readonly advertisements: readonly Advertisement[];
  /** Until when those that are gone count, by kind and key. */
  readonly gone: ReadonlyMap<string, number>;
}

export const UNSETTLED: SettlingState = Object.freeze({
  isSynced: false,
  pools: new Map(),
  advertisements: [],
  gone: new Map(),
});

export function settlePools(before: SettlingState, input: SettlingInput): Settled {
  const { isSynced, now } = input;
  if (!isSynced) {
    return { pools: input.pools, advertisements: input.advertisements, wakeAt: undefined, state: UNSETTLED };
  }
  const until = poolsUntil(before, input);
  const pools = input.pools.map((pool) => ((until.get(pool.name) ?? 0) > now ? { ...pool, isSettling: true } : pool));
  const { advertisements, gone } = withGone(before, input);
  const ends = [...until.values(), ...gone.values()].filter((at) => at > now && at < UNSEEN);
  const wakeAt = ends.length === 0 ? undefined : Math.min(...ends);
  return { pools, advertisements, wakeAt, state: { isSynced, pools: until, advertisements, gone } };
}

/** While advertisements can't be seen. */
const UNSEEN = Number.POSITIVE_INFINITY;

function poolsUntil(before: SettlingState, { pools, isListed, now }: SettlingInput): ReadonlyMap<string, number> {
  const until = new Map<string, number>();
  for (const { name, origin, needsAdvertisement } of pools) {
    if (!needsAdvertisement || (origin !== 'metallb' && origin !== 'cilium')) continue;
    const known = before.pools.get(name);
    const isNew = known === UNSEEN || (known === undefined && before.isSynced);
    if (!isListed(origin)) until.set(name, UNSEEN);
    else until.set(name, isNew ? now + SETTLING_MS : (known ?? 0));
  }
  return until;
}

function withGone(
  before: SettlingState,
  { pools, advertisements, now }: SettlingInput,
): { readonly advertisements: readonly Advertisement[]; readonly gone: ReadonlyMap<string, number> } {
  const present = new Set(advertisements.map(refOf));
  const bare = pools.filter((pool) => pool.needsAdvertisement && !advertisements.some((each) => covers(each, pool)));
  const gone = new Map<string, number>();
  const kept = before.advertisements.filter((each) => {
    const ref = refOf(each);
    if (present.has(ref) || !bare.some((pool) => covers(each, pool))) return false;
    const until = before.gone.get(ref) ?? now + SETTLING_MS;
    if (until <= now) return false;
    gone.set(ref, until);
    return true;
  });
  return { advertisements: kept.length === 0 ? advertisements : [...advertisements, ...kept], gone };
}

function covers(advertisement: Advertisement, pool: Pool): boolean {
  return advertisement.protocol === 'l2' && advertisesPool(advertisement, pool);
}

function refOf({ object }: Advertisement): string {
  return `${object.kind} ${object.key}`;
}
