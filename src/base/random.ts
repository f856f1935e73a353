/** A small seeded generator (mulberry32) for jitter and simulation: state in, state out, so the core stays a function. */

export type Seed = number & { readonly __unit: 'Seed' };

export function seed(value: number): Seed {
  return (value >>> 0) as Seed;
}

/** The next number in [0, 1) and the seed after it. */
export function nextRandom(state: Seed): readonly [number, Seed] {
  const advanced = (state + 0x6d2b79f5) >>> 0;
  let t = advanced;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return [((t ^ (t >>> 14)) >>> 0) / 4294967296, advanced as Seed];
}
