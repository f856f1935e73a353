/**
 * What an allocation is worked out on: the Services that are ours in their order, the pools, what is never given, and the
 * ledger. The order is that of creation, then key: the older Service wins wherever two want the same.
 */

import { exactList } from '../../base/lists.ts';
import type { Family, Ip } from '../../base/ip.ts';
import type {
  Labels,
  NamespaceObject,
  Pool,
  Quarantine,
  Reason,
  RequestOutcome,
  Reservation,
  ServiceObject,
  ServiceRequest,
  ServiceRules,
} from '../model.ts';
import { eachInSteps, type Steps } from '../../base/steps.ts';
import { compareCreation } from '../creation.ts';
import { readRequest } from '../request.ts';
import { indexReservations, type ReservationIndex } from '../reservation.ts';
import { hasFamily, heldOf, openLedger, type Claim, type Ledger } from './ledger.ts';
import { compareTexts, poolBook, type PoolBook } from './pool-book.ts';
import { sharingOf } from './sharing.ts';

export interface AllocationInput {
  /** All of the cluster: those that aren't ours keep others off their addresses. */
  readonly services: readonly ServiceObject[];
  readonly namespaces: readonly NamespaceObject[];
  readonly pools: readonly Pool[];
  readonly reservations: readonly Reservation[];
  /** By the address's text. */
  readonly quarantined: ReadonlyMap<string, Quarantine>;
  readonly rules: ServiceRules;
}

export interface Warned {
  readonly service: ServiceObject;
  readonly warnings: readonly Reason[];
}

export interface Table {
  readonly input: AllocationInput;
  readonly claims: readonly Claim[];
  /** Addresses in the status of load balancers that aren't ours. */
  readonly foreign: ReadonlyMap<string, ServiceObject>;
  readonly warned: readonly Warned[];
  readonly book: PoolBook;
  readonly ledger: Ledger;
  readonly namespaceLabels: ReadonlyMap<string, Labels>;
  readonly reserved: ReservationIndex;
}

const reservedMemo: WeakMap<readonly Reservation[], ReservationIndex> = new WeakMap();

export function* openTable(input: AllocationInput): Steps<Table> {
  const book = poolBook(input.pools);
  const claims: Claim[] = [];
  const warned: Warned[] = [];
  const foreign = new Map<string, ServiceObject>();
  yield;
  const services = input.services.toSorted(compareServices);
  yield;
  yield* eachInSteps(services, (service) => {
    const outcome = readRequest(service, input.rules);
    if (outcome.kind === 'foreign') {
      if (isElsewhere(outcome)) noteForeign(foreign, service);
      return;
    }
    claims.push(claimOf(outcome.request, outcome.kind === 'refused' ? outcome.reasons : []));
    if (outcome.warnings.length > 0) warned.push({ service, warnings: outcome.warnings });
  });
  return {
    input,
    claims,
    foreign,
    warned,
    book,
    ledger: openLedger(book),
    namespaceLabels: new Map(input.namespaces.map(({ name, labels }) => [name, labels])),
    reserved: reservedIndex(input.reservations),
  };
}

export function compareServices(a: ServiceObject, b: ServiceObject): number {
  return compareCreation(a.createdAt, b.createdAt) || compareTexts(a.key, b.key) || compareTexts(a.uid, b.uid);
}

export function heldPlaces(claim: Claim): readonly Ip[] {
  return exactList(claim.families.flatMap((family) => heldOf(claim, family).map(({ ip }) => ip)));
}

export function missingFamilies(claim: Claim): readonly Family[] {
  return claim.request.families.filter((family) => !hasFamily(claim, family));
}

/** Another load balancer's, or another Holdfast's: what stands in the status may well be in use. */
function isElsewhere({ code }: RequestOutcome & { readonly kind: 'foreign' }): boolean {
  return code === 'SERVICE_CLASS' || code === 'SERVICE_NAMESPACE' || code === 'SERVICE_IGNORED';
}

function noteForeign(foreign: Map<string, ServiceObject>, service: ServiceObject): void {
  for (const { text } of service.ingress) if (!foreign.has(text)) foreign.set(text, service);
}

function claimOf(request: ServiceRequest, refusals: readonly Reason[]): Claim {
  return {
    request,
    sharing: sharingOf(request),
    families: refusals.length === 0 ? request.families : familiesKept(request),
    refusals,
    held: [],
    from: 'pool',
    complaints: [],
    reasons: [],
  };
}

/** A Service whose wishes can't be read keeps whatever it has. */
function familiesKept({ families, service }: ServiceRequest): readonly Family[] {
  const others = service.ingress.map(({ family }) => family).filter((family) => !families.includes(family));
  return [...new Set([...families, ...others])];
}

function reservedIndex(reservations: readonly Reservation[]): ReservationIndex {
  const known = reservedMemo.get(reservations);
  if (known !== undefined) return known;
  const index = indexReservations(reservations);
  reservedMemo.set(reservations, index);
  return index;
}
