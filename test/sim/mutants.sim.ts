import { describe, expect, it } from 'vitest';
import { MUTANTS, type NamedMutant } from './mutants.ts';
import { runSeed } from './world.ts';

/** Seeds that a mutant may survive before it counts as not caught. */
const SEEDS_MAX = 600;

/** The first seed that shows the mutant, or undefined. */
function hunt(mutant: NamedMutant): { readonly seed: number; readonly invariant: string } | undefined {
  for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
    const { failure } = runSeed({ seed, mutant });
    if (failure !== undefined) return { seed, invariant: failure.invariant };
  }
  return undefined;
}

describe('a mutant of the core', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant.what, mutant] as const))(
    '"%s" is caught: %s',
    (_name, _what, mutant) => {
      const caught = hunt(mutant);
      expect(caught, `no invariant broken in ${SEEDS_MAX} seeds`).toBeDefined();
      const { name, what, faults, isOfServices = false } = mutant;
      const control = runSeed({
        seed: caught?.seed ?? 0,
        mutant: { name, what, isOfServices, ...(faults === undefined ? {} : { faults }) },
      });
      expect(control.failure, 'the same seed without the mutation').toBeUndefined();
      expect(mutant.breaks, `caught by seed ${caught?.seed}`).toContain(caught?.invariant);
      console.log(
        `${mutant.name}: "${caught?.invariant}" by seed ${caught?.seed}; npm run sim -- --seed ${caught?.seed} --trace --mutant ${mutant.name}`,
      );
    },
  );
});
