/**
 * Who answers for each address. A function of facts that every node has alike, so that all compute the same owner without
 * asking one another; the order in which the facts are given doesn't matter.
 *
 *   svc_election=true    the node it is assigned to, while that is a candidate (a node that returns takes nothing back);
 *                        else the candidate with the highest preference, among equals the first by rendezvous hashing.
 *   svc_election=false   the leader, if it is a candidate; else nobody.
 *
 * Offline nobody knows who leads. Then one node is presumed to: the one that may answer for the most addresses, among
 * equals the first in line for the lowest address, so that a plan shows all addresses in one place, as it will be. An
 * address that this node may not answer for is shown on the first in line, since that is where it could be.
 */

import type { Ip } from '../base/ip.ts';
import { exactList, isSameValues } from '../base/lists.ts';
import { finish, mapInSteps, type Steps } from '../base/steps.ts';
import { compareIps } from './address-range.ts';
import {
  addressRefusals,
  candidatesFor,
  surveyOf,
  UNKNOWN_LEADER,
  type CandidateContext,
  type Survey,
} from './candidate.ts';
import type { Candidate, Ownership, Reason, ServiceAddress } from './model.ts';
import { nobodyReason } from './nobody.ts';
import { reuseOf } from './reuse.ts';
import { compareNames, rendezvousMemo, rendezvousScore, type RendezvousMemo } from './rendezvous.ts';

export interface OwnerContext extends CandidateContext {
  /** Who had each address (its text) last: the record that the leader publishes. */
  readonly assignment: ReadonlyMap<string, string>;
  /** Kept between calls by who calls often. */
  readonly memo?: RendezvousMemo;
  /** Ownerships of the last time, used again where they say the same. */
  readonly before?: readonly Ownership[];
}

/** Of all addresses, in their order. */
export function owners(addresses: readonly ServiceAddress[], context: OwnerContext): readonly Ownership[] {
  return finish(ownersInSteps(addresses, context));
}

export function* ownersInSteps(
  addresses: readonly ServiceAddress[],
  context: OwnerContext,
): Steps<readonly Ownership[]> {
  const survey = surveyOf(context);
  const memo = context.memo ?? rendezvousMemo();
  const { before = [], assignment, rules, leader } = context;
  if (rules.isSpread || leader !== UNKNOWN_LEADER) {
    const reuse = reuseOf(before, compareOwnerships, sameOwnership());
    return yield* mapInSteps(addresses, (address) => {
      const assigned = assignment.get(address.address.text);
      return reuse(ownerOf(address, candidatesFor(address, survey), { assigned, survey, memo }));
    });
  }
  const found = yield* mapInSteps(addresses, (address) => ({ address, candidates: candidatesFor(address, survey) }));
  const presumed = presumedLeader(found, survey, memo);
  const told = new Map<Candidate, Candidate>();
  return yield* mapInSteps(found, ({ address, candidates }) => {
    const assigned = presumed ?? assignment.get(address.address.text);
    const ownership = ownerOf(address, candidates, { assigned, survey, memo });
    return presumed === undefined ? ownership : withPresumption(ownership, presumed, told);
  });
}

function compareOwnerships(a: Ownership, b: Ownership): number {
  return compareIps(a.address, b.address);
}

/** Candidates are made anew with each survey, and shared by many addresses: two are compared once. */
function sameOwnership(): (a: Ownership, b: Ownership) => boolean {
  const equals = new Map<Candidate, Candidate>();
  const isSame = (former: Candidate | undefined, made: Candidate): boolean => {
    if (former === undefined) return false;
    if (former === made || equals.get(made) === former) return true;
    if (!isSameCandidate(former, made)) return false;
    equals.set(made, former);
    return true;
  };
  return (a, b) =>
    a.node === b.node &&
    a.why === b.why &&
    a.reasons.length === 0 &&
    b.reasons.length === 0 &&
    isSameValues(a.services, b.services) &&
    a.candidates.length === b.candidates.length &&
    b.candidates.every((candidate, index) => isSame(a.candidates[index], candidate));
}

function isSameCandidate(a: Candidate, b: Candidate): boolean {
  return (
    a.node === b.node &&
    a.isEligible === b.isEligible &&
    a.code === b.code &&
    a.reason === b.reason &&
    a.interfaceName === b.interfaceName &&
    a.preference === b.preference
  );
}

interface OwnerOptions {
  readonly assigned: string | undefined;
  readonly survey: Survey;
  readonly memo?: RendezvousMemo;
}

/** Of one address, among the candidates that candidatesFor gives for it. */
export function ownerOf(
  { address, ...rest }: ServiceAddress,
  candidates: readonly Candidate[],
  options: OwnerOptions,
): Ownership {
  const line = lineUp(address, candidates, options);
  const services = rest.allocations.map(({ service }) => service.key);
  const [first] = line;
  if (first === undefined) {
    const reasons = whyNobody({ address, ...rest }, candidates, options.survey);
    return { address, services, node: undefined, candidates, reasons };
  }
  return {
    address,
    services,
    node: first.node,
    candidates: line.length === candidates.length ? exactList(line) : [...line, ...candidates.filter(isOut)],
    reasons: NO_REASONS,
    why: whyNode(line, options),
  };
}

const NO_REASONS: readonly Reason[] = Object.freeze([]);

function isOut({ isEligible }: Candidate): boolean {
  return !isEligible;
}

/**
 * Those that are eligible, in the order in which they would follow one another: sorted as they come, because this is done
 * for every address and there are few.
 */
function lineUp(
  address: Ip,
  candidates: readonly Candidate[],
  { assigned, survey, memo = rendezvousMemo() }: OwnerOptions,
): readonly Candidate[] {
  const line: Candidate[] = [];
  const scores: number[] = [];
  for (const candidate of candidates) {
    if (!candidate.isEligible) continue;
    const { node } = candidate;
    const weight = survey.weights.get(node) ?? 0;
    const score = node === assigned ? ASSIGNED : rendezvousScore(node, weight, address.text, memo);
    let place = line.length;
    for (; place > 0; place--) {
      const other = line[place - 1];
      const otherScore = scores[place - 1] ?? 0;
      if (other === undefined || !isBefore(candidate, score, other, otherScore)) break;
      line[place] = other;
      scores[place] = otherScore;
    }
    line[place] = candidate;
    scores[place] = score;
  }
  return line;
}

/** The score of the node that an address is assigned to: no draw is below 0. */
const ASSIGNED = -1;

function isBefore(candidate: Candidate, score: number, other: Candidate, otherScore: number): boolean {
  if (score === ASSIGNED || otherScore === ASSIGNED) return score === ASSIGNED;
  if (candidate.preference !== other.preference) return candidate.preference > other.preference;
  return score === otherScore ? candidate.node < other.node : score > otherScore;
}

function whyNode(line: readonly Candidate[], { assigned, survey: { context } }: OwnerOptions): string {
  const [first, second] = line;
  if (!context.rules.isSpread) return context.leader === first?.node ? 'it leads' : 'it is presumed to lead';
  if (second === undefined) return 'it is the only candidate';
  if (first?.node === assigned) return 'it has been the owner, and still is a candidate';
  if (first !== undefined && first.preference > second.preference) return 'it is preferred';
  return `it is first of ${line.length} candidates by hash`;
}

interface Found {
  readonly address: ServiceAddress;
  readonly candidates: readonly Candidate[];
}

function presumedLeader(found: readonly Found[], survey: Survey, memo: RendezvousMemo): string | undefined {
  const counts = new Map<string, number>();
  let lowest: Found | undefined;
  for (const each of found) {
    const eligible = each.candidates.filter(({ isEligible }) => isEligible);
    for (const { node } of eligible) counts.set(node, (counts.get(node) ?? 0) + 1);
    const isLower = lowest === undefined || compareIps(each.address.address, lowest.address.address) < 0;
    if (eligible.length > 0 && isLower) lowest = each;
  }
  if (lowest === undefined) return undefined;
  const line = lineUp(lowest.address.address, lowest.candidates, { assigned: undefined, survey, memo });
  const inLine = new Map(line.map(({ node }, place) => [node, place]));
  const placeOf = (node: string): number => inLine.get(node) ?? line.length;
  return [...counts.entries()]
    .sort(([a, m], [b, n]) => n - m || placeOf(a) - placeOf(b) || compareNames(a, b))
    .map(([node]) => node)
    .at(0);
}

/** Says that the owner is presumed, in the reason of that candidate. `told`: what was said of each before. */
function withPresumption(ownership: Ownership, presumed: string, told: Map<Candidate, Candidate>): Ownership {
  const [first, ...others] = ownership.candidates;
  if (first === undefined || ownership.node === undefined) return ownership;
  let candidate = told.get(first);
  if (candidate === undefined) {
    const suffix =
      first.node === presumed
        ? 'presumed to lead: while svc_election is false the leader answers for every address, and who leads is not known here'
        : `only if it leads (svc_election=false): ${presumed}, which is presumed to, may not answer for this address`;
    candidate = { ...first, reason: `${first.reason}; ${suffix}` };
    told.set(first, candidate);
  }
  return { ...ownership, candidates: [candidate, ...others] };
}

/** What keeps the address dark whatever the nodes are like; else what is against each node. */
function whyNobody(address: ServiceAddress, candidates: readonly Candidate[], survey: Survey): readonly Reason[] {
  const refusals = addressRefusals(address, survey);
  if (refusals.some(({ code }) => candidates.some((candidate) => candidate.code === code))) return refusals;
  return [...refusals, nobodyReason(address.address, candidates)];
}
