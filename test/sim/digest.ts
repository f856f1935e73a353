/**
 * What a whole run decided, as one number: every event, its time and every effect, of every node. For changes of the core
 * that must not change what it does.
 */

import { createHash } from 'node:crypto';
import { step } from '../../src/agent/step.ts';
import type { StepFunction } from './node.ts';
import { runSeed, type Mutant } from './world.ts';

export function digestSeed(seed: number, mutant?: Mutant): string {
  const digest = createHash('sha256');
  const decide = mutant?.step ?? step;
  const recording: StepFunction = (rules, state, event, now) => {
    const stepped = decide(rules, state, event, now);
    digest.update(JSON.stringify([rules.node, now, event, stepped.effects], plain));
    return stepped;
  };
  const { failure, steps } = runSeed({ seed, mutant: { ...(mutant ?? { name: '', what: '' }), step: recording } });
  digest.update(JSON.stringify([steps, failure?.invariant, failure?.at]));
  return digest.digest('hex').slice(0, 16);
}

/** What JSON has no form for. */
function plain(_key: string, value: unknown): unknown {
  return value instanceof Map || value instanceof Set ? [...value] : value === Number.POSITIVE_INFINITY ? '∞' : value;
}
