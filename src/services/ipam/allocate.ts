/**
 * Which Service has which addresses: a pure function of all Services, pools and what must not be given, the same whatever
 * the order of its inputs. What it says, written into the statuses, it says again.
 *
 *   keep      what a status says stays, the older Service first                    keep.ts
 *   move      of these, whoever asks for something else goes there, if it can      wishes.ts
 *   grant     the others get the addresses they ask for, or nothing                wishes.ts
 *   fill      the rest from the pools, and second families that are missing        fill.ts
 *
 * Each in order of creation, then key. An address is given to one Service, or to several that consent (sharing.ts). Who
 * has nothing is told why: one reason a pool, in the order of pools, with the rule and the holder (refusal.ts).
 */

import { isSameIps } from '../../base/ip.ts';
import { exactList } from '../../base/lists.ts';
import { ERRORS, fillRemedy } from '../../base/errors.ts';
import { eachInSteps, finish, type Steps } from '../../base/steps.ts';
import type { Allocation, AllocationResult, ObjectProblem, PendingService } from '../model.ts';
import { reuseOf } from '../reuse.ts';
import { openChooser } from './chooser.ts';
import { fillFromPools } from './fill.ts';
import { keepAddresses, keptShortcomings } from './keep.ts';
import { heldOf, type Claim } from './ledger.ts';
import { limitReasons, onePerPool } from './refusal.ts';
import { compareServices, heldPlaces, openTable, type AllocationInput, type Table, type Warned } from './table.ts';
import { grantRequest, moveToWishes, wishedAddresses } from './wishes.ts';

export type { AllocationInput } from './table.ts';

export function allocate(input: AllocationInput): AllocationResult {
  return finish(allocateInSteps(input));
}

/** `before`: the allocations of the last time, which are used again where they say the same. */
export function* allocateInSteps(input: AllocationInput, before: readonly Allocation[] = []): Steps<AllocationResult> {
  const table = yield* openTable(input);
  yield;
  yield* keepAddresses(table);
  // While wishes are met, nobody is given by chance what another one asks for.
  const considerate = openChooser(table, wishedAddresses(table));
  moveToWishes(table, considerate);
  yield* eachInSteps(table.claims, (claim) => {
    const { request, refusals } = claim;
    const isServed = heldPlaces(claim).length > 0;
    if (refusals.length === 0 && !isServed && request.addresses.length > 0) grantRequest(table, considerate, claim);
  });
  yield* fillFromPools(table, openChooser(table, new Set()));
  return yield* resultOf(table, before);
}

function* resultOf(table: Table, before: readonly Allocation[]): Steps<AllocationResult> {
  const reuse = reuseOf(before, ({ service: a }, { service: b }) => compareServices(a, b), isSameAllocation);
  const allocations: Allocation[] = [];
  const pending: PendingService[] = [];
  yield* eachInSteps(table.claims, (claim) => {
    if (heldPlaces(claim).length > 0) allocations.push(reuse(allocationOf(table, claim)));
    else pending.push(pendingOf(claim));
  });
  return { allocations, pending, problems: table.warned.flatMap(problemsOf) };
}

function allocationOf(table: Table, claim: Claim): Allocation {
  const { request, families, from, refusals, complaints } = claim;
  const [first] = families.flatMap((family) => heldOf(claim, family));
  return {
    service: request.service,
    request,
    addresses: heldPlaces(claim),
    pool: first?.pool?.name ?? '',
    from,
    shortcomings: exactList(limitReasons([...refusals, ...keptShortcomings(table, claim), ...complaints])),
  };
}

function isSameAllocation(a: Allocation, b: Allocation): boolean {
  return (
    a.request === b.request && // of the very same Service
    a.pool === b.pool &&
    a.from === b.from &&
    a.shortcomings.length === 0 &&
    b.shortcomings.length === 0 &&
    isSameIps(a.addresses, b.addresses)
  );
}

function pendingOf({ request, refusals, reasons, complaints }: Claim): PendingService {
  return { service: request.service, reasons: limitReasons(onePerPool([...refusals, ...reasons, ...complaints])) };
}

function problemsOf({ service, warnings }: Warned): readonly ObjectProblem[] {
  const object = { kind: 'Service', key: service.key };
  return warnings.map(({ code, message, context }) => ({
    object,
    code,
    message,
    remedy: fillRemedy(ERRORS[code].remedy, context ?? {}),
  }));
}
