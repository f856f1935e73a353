/**
 * Invariants that are always on. A broken one ends the process, which the kernel lifetime on every address makes safe:
 * what the process can no longer vouch for, the kernel takes away.
 */

export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws InvariantError when `claim` is false; `what` says which claim, in words. */
export function assert(claim: boolean, what: string): asserts claim {
  if (!claim) throw new InvariantError(what);
}

/** For the default branch of an exhaustive switch: compiles only while every case is handled. */
export function unreachable(value: never): never {
  throw new InvariantError(`unhandled case ${JSON.stringify(value)}`);
}
