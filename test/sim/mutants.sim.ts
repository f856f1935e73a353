import { describe, expect, it } from 'vitest';
import { MUTANT_SEEDS } from './mutant-seeds.ts';
import { controlOf, MUTANTS, type NamedMutant } from './mutants.ts';
import { runSeed } from './world.ts';

/** The first of its seeds that shows the mutant, or undefined. */
function findCatch(mutant: NamedMutant): { readonly seed: number; readonly invariant: string } | undefined {
  for (const seed of MUTANT_SEEDS[mutant.name] ?? []) {
    const { failure } = runSeed({ seed, mutant });
    if (failure !== undefined) return { seed, invariant: failure.invariant };
  }
  return undefined;
}

describe('a mutant of the core', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant.what, mutant] as const))(
    '"%s" is caught: %s',
    (name, _what, mutant) => {
      const caught = findCatch(mutant);
      const again = 'npm run sim -- --hunt seeks seeds that do, and writes them down';
      expect(caught, `none of ${name}'s seeds in mutant-seeds.ts breaks an invariant any more; ${again}`).toBeDefined();
      const control = runSeed({ seed: caught?.seed ?? 0, mutant: controlOf(mutant) });
      expect(control.failure, 'the same seed without the mutation').toBeUndefined();
      expect(mutant.breaks, `npm run sim -- --seed ${caught?.seed} --trace --mutant ${name}`).toContain(
        caught?.invariant,
      );
    },
  );

  it('has seeds of its own, and no seeds are kept for a mutant that is no more', () => {
    const known = MUTANTS.map(({ name }) => name);
    expect(Object.keys(MUTANT_SEEDS)).toEqual(known);
  });
});
