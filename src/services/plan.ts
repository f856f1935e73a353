/**
 * From what is known of a cluster to what should be: who gets which address, and who answers for it. A pure function of
 * decoded objects; the daemon calls it with each change, `holdfast plan` once, and both get the same for the same.
 *
 *   Services, pools ─▶ allocate ─▶ addresses ─▶ candidates ─▶ owners
 *
 * It is called often with little new. What was made of the former input is kept in a PlanMemo and used again where the
 * very same parts come in: a node that comes or goes costs no allocation, a Service whose words change no new draw.
 */

import { eachInSteps, finish, type Steps } from '../base/steps.ts';
import { serviceAddressesInSteps } from './address.ts';
import type { EndpointIndex } from './endpoints.ts';
import { allocateInSteps } from './ipam/allocate.ts';
import { compareServices, type AllocationInput } from './ipam/table.ts';
import type {
  Advertisement,
  Allocation,
  AllocationResult,
  NodeFacts,
  ObjectProblem,
  Ownership,
  PendingService,
  Pool,
  RequestOutcome,
  ServiceAddress,
} from './model.ts';
import { ownersInSteps, type OwnerContext } from './owner.ts';
import { rendezvousMemo, type RendezvousMemo } from './rendezvous.ts';
import { readRequest } from './request.ts';

/** Pools come in with their problems told elsewhere (assemblePools): both change seldom, and never with a Service. */
export interface PlanInput extends AllocationInput {
  readonly advertisements: readonly Advertisement[];
  readonly nodes: readonly NodeFacts[];
  /** undefined: not known, which excludes nothing. */
  readonly endpoints: EndpointIndex | undefined;
  /** Who leads, UNKNOWN_LEADER, or undefined: nobody. Looked at only while !rules.isSpread. */
  readonly leader: OwnerContext['leader'];
  /** Address → the node that had it last. */
  readonly assignment: ReadonlyMap<string, string>;
  readonly defaultInterface?: string | undefined;
}

type Refused = RequestOutcome & { readonly kind: 'refused' };
type Foreign = RequestOutcome & { readonly kind: 'foreign' };

export interface Plan {
  readonly pools: readonly Pool[];
  readonly advertisements: readonly Advertisement[];
  /** In order of creation, then key. */
  readonly allocations: readonly Allocation[];
  readonly pending: readonly PendingService[];
  /** Ours, but what they ask for makes no sense; they are in one of the two lists above as well. */
  readonly refused: readonly Refused[];
  /** LoadBalancers that are none of our business, and why; in order of creation, then key. */
  readonly foreign: readonly Foreign[];
  /** In numeric order, IPv4 first; ownerships likewise. */
  readonly addresses: readonly ServiceAddress[];
  readonly ownerships: readonly Ownership[];
  readonly problems: readonly ObjectProblem[];
}

/** What was worked out the last time. Whoever plans again and again keeps one; it changes only how long that takes. */
export interface PlanMemo {
  readonly draws: RendezvousMemo;
  last: { readonly input: PlanInput; readonly plan: Plan } | undefined;
}

export function planMemo(): PlanMemo {
  return { draws: rendezvousMemo(), last: undefined };
}

export function planServices(input: PlanInput, memo: PlanMemo = planMemo()): Plan {
  return finish(planInSteps(input, memo));
}

/** The same, for who has other things to do in between; the memo is changed when it is finished. */
export function* planInSteps(input: PlanInput, memo: PlanMemo): Steps<Plan> {
  const { last } = memo;
  const isAllocated = last !== undefined && isSameAllocation(input, last.input);
  const part = isAllocated ? last.plan : yield* allocatedPart(input, last?.plan);
  const isOwned = isAllocated && isSameOwnership(input, last.input);
  const ownerships = isOwned ? last.plan.ownerships : yield* ownershipsOf(part.addresses, input, memo);
  const isSame = isOwned && input.advertisements === last.plan.advertisements;
  const plan = isSame ? last.plan : { ...part, advertisements: input.advertisements, ownerships };
  memo.last = { input, plan };
  return plan;
}

type AllocatedPart = Omit<Plan, 'advertisements' | 'ownerships'>;

function* allocatedPart(input: PlanInput, before: AllocatedPart | undefined): Steps<AllocatedPart> {
  const result: AllocationResult = yield* allocateInSteps(input, before?.allocations);
  const refused: Refused[] = [];
  const foreign: Foreign[] = [];
  yield* eachInSteps(input.services, (service) => {
    const outcome = readRequest(service, input.rules);
    if (outcome.kind === 'refused') refused.push(outcome);
    if (outcome.kind === 'foreign' && outcome.code !== 'SERVICE_NOT_LOAD_BALANCER') foreign.push(outcome);
  });
  const byService = (x: Refused | Foreign, y: Refused | Foreign): number => compareServices(x.service, y.service);
  return {
    pools: input.pools,
    allocations: result.allocations,
    pending: result.pending,
    refused: refused.sort(byService),
    foreign: foreign.sort(byService),
    addresses: yield* serviceAddressesInSteps(result.allocations, input.pools, before?.addresses),
    problems: result.problems,
  };
}

function* ownershipsOf(
  addresses: readonly ServiceAddress[],
  input: PlanInput,
  memo: PlanMemo,
): Steps<readonly Ownership[]> {
  yield;
  const { nodes, advertisements, endpoints, rules, leader, assignment, defaultInterface } = input;
  const parts = { nodes, advertisements, endpoints, rules, leader, assignment, defaultInterface };
  const before = memo.last?.plan.ownerships ?? [];
  return yield* ownersInSteps(addresses, { ...parts, memo: memo.draws, before });
}

function isSameAllocation(a: PlanInput, b: PlanInput): boolean {
  return (
    a.services === b.services &&
    a.namespaces === b.namespaces &&
    a.pools === b.pools &&
    a.reservations === b.reservations &&
    a.quarantined === b.quarantined &&
    a.rules === b.rules
  );
}

function isSameOwnership(a: PlanInput, b: PlanInput): boolean {
  return (
    a.nodes === b.nodes &&
    a.advertisements === b.advertisements &&
    a.endpoints === b.endpoints &&
    a.leader === b.leader &&
    a.assignment === b.assignment &&
    a.defaultInterface === b.defaultInterface
  );
}
