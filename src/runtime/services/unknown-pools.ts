/**
 * Pools that Services name and this node doesn't know: given from by a leader that has learnt of MetalLB's or Cilium's
 * definitions earlier, or asked for by whoever has just installed them. Each name is a reason to look what is installed,
 * once until it is known: a pool that is gone for good costs a few requests and no more.
 */

import { METALLB_POOL_ANNOTATION, POOL_ANNOTATION } from '../../services/annotations.ts';
import type { Advertisement, Labels, Pool, ServiceObject } from '../../services/model.ts';

/** With more names than these nobody looks for further ones but by the clock. */
export const UNKNOWN_POOLS_MAX = 1_000;

type Origin = Advertisement['origin'];

export class UnknownPools {
  readonly #asked = new Set<string>();
  #services: readonly ServiceObject[] = [];
  #pools: readonly Pool[] = [];
  #known: ReadonlySet<string> = new Set();

  /** Whether there is a new one, of the sources that `isMissing`. The lists are the same while nothing in them changes. */
  isNews(services: readonly ServiceObject[], pools: readonly Pool[], isMissing: (origin: Origin) => boolean): boolean {
    if (services === this.#services && pools === this.#pools) return false;
    this.#services = services;
    if (pools !== this.#pools) {
      this.#pools = pools;
      // By its short name one of another source may be meant: then nobody is missed.
      this.#known = new Set(pools.flatMap(({ name, shortName }) => [name, `metallb/${shortName}`]));
      for (const name of this.#asked) if (this.#known.has(name)) this.#asked.delete(name);
    }
    const origins = new Set((['metallb', 'cilium'] as const).filter(isMissing).map((origin) => `${origin}/`));
    if (origins.size === 0) return false;
    let isNews = false;
    for (const { annotations } of services) {
      for (const name of namedPools(annotations)) {
        if (!origins.has(name.slice(0, name.indexOf('/') + 1)) || this.#known.has(name)) continue;
        if (this.#asked.has(name) || this.#asked.size >= UNKNOWN_POOLS_MAX) continue;
        this.#asked.add(name);
        isNews = true;
      }
    }
    return isNews;
  }
}

/** By annotations that hold the short name of an IPAddressPool. */
const SHORT_NAMES = [METALLB_POOL_ANNOTATION, 'metallb.io/address-pool', 'metallb.universe.tf/address-pool'] as const;

/** As Pool.name. */
function namedPools(annotations: Labels): readonly string[] {
  const names: string[] = [];
  const given = annotations[POOL_ANNOTATION];
  if (given !== undefined) names.push(given);
  for (const annotation of SHORT_NAMES) {
    const name = annotations[annotation];
    if (name !== undefined && name !== '') names.push(`metallb/${name.trim()}`);
  }
  return names;
}
