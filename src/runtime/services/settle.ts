/**
 * The plan says who may answer and in which order; who of them lives changes by the tenth of a second and is the agent's
 * knowledge. Here the two come together, by the agent's own rule (agent/services/liveness.ts), for what is written down:
 * the record of owners, conditions, Events, answers to people. Pure.
 */

import type { ErrorCode } from '../../base/errors.ts';
import { eachInSteps, finish, indexInSteps, mapInSteps, type Steps } from '../../base/steps.ts';
import type { Candidate, Ownership, Reason } from '../../services/model.ts';
import { nobodyReason } from '../../services/nobody.ts';

/** Of addresses in the status of a Service. */
export interface Settlement {
  /** As planned. */
  readonly ownerships: readonly Ownership[];
  /** As it is, by what is known of the living. */
  readonly settled: readonly Ownership[];
  /** The latter by address. */
  readonly owners: ReadonlyMap<string, Ownership>;
}

export interface Standing {
  readonly isSpread: boolean;
  readonly lost: readonly string[];
  readonly draining: readonly string[];
  readonly leader: string | undefined;
}

/** All of settleInSteps. */
export function settleOwnerships(ownerships: readonly Ownership[], standing: Standing): readonly Ownership[] {
  return finish(settleInSteps(ownerships, standing));
}

/** The very same list when there is nothing to say to it. */
export function* settleInSteps(ownerships: readonly Ownership[], standing: Standing): Steps<readonly Ownership[]> {
  const { isSpread, lost, draining } = standing;
  if (isSpread && lost.length === 0 && draining.length === 0) return ownerships;
  return yield* mapInSteps(ownerships, (ownership) =>
    isSpread ? settleSpread(ownership, standing) : settleLeader(ownership, standing),
  );
}

/** `confirmed`: addresses in the status of any Service, by text. */
export function* settlementInSteps(
  planned: readonly Ownership[],
  confirmed: ReadonlySet<string>,
  standing: Standing,
): Steps<Settlement> {
  const ownerships: Ownership[] = [];
  yield* eachInSteps(planned, (ownership) => {
    if (confirmed.has(ownership.address.text)) ownerships.push(ownership);
  });
  const settled = yield* settleInSteps(ownerships, standing);
  const owners = yield* indexInSteps(settled, ({ address }) => address.text);
  return { ownerships, settled, owners };
}

function settleSpread(ownership: Ownership, { lost, draining }: Standing): Ownership {
  const isConcerned = ownership.candidates.some(
    ({ node, isEligible }) => isEligible && (lost.includes(node) || draining.includes(node)),
  );
  if (!isConcerned) return ownership;
  const living = ownership.candidates.filter(({ node, isEligible }) => isEligible && !lost.includes(node));
  const first = living.find(({ node }) => !draining.includes(node)) ?? living[0];
  const candidates = ownership.candidates.map((candidate): Candidate => {
    const { node, isEligible } = candidate;
    if (!isEligible || node === first?.node) return candidate;
    if (lost.includes(node)) return out(candidate, 'NODE_NO_STANDING', 'is not heard by a majority of the nodes');
    if (draining.includes(node)) return out(candidate, 'NODE_DRAINING', 'is being drained, or stops');
    return candidate;
  });
  return settled(ownership, candidates, first, 'those before it in line are lost or drained');
}

function settleLeader(ownership: Ownership, { leader }: Standing): Ownership {
  const first = ownership.candidates.find(({ node, isEligible }) => isEligible && node === leader);
  const who = leader === undefined ? 'nobody leads at the moment' : `${leader} leads`;
  const candidates = ownership.candidates.map((candidate): Candidate => {
    if (!candidate.isEligible || candidate === first) return candidate;
    return out(candidate, 'NODE_NOT_LEADER', `may answer only while it leads (svc_election=false): ${who}`);
  });
  return settled(ownership, candidates, first, 'it leads');
}

function out(candidate: Candidate, code: ErrorCode, reason: string): Candidate {
  return { node: candidate.node, isEligible: false, code, reason, interfaceName: undefined, preference: 0 };
}

function settled(
  ownership: Ownership,
  candidates: readonly Candidate[],
  first: Candidate | undefined,
  whyNew: string,
): Ownership {
  const { address, services, node, why } = ownership;
  const ordered = first === undefined ? candidates : [first, ...candidates.filter((each) => each !== first)];
  if (first === undefined) {
    return { address, services, node: undefined, candidates: ordered, reasons: whyNobody(ownership, candidates) };
  }
  const because = first.node === node && why !== undefined && whyNew !== 'it leads' ? why : whyNew;
  return { address, services, node: first.node, candidates: ordered, reasons: [], why: because };
}

function whyNobody({ address, reasons }: Ownership, candidates: readonly Candidate[]): readonly Reason[] {
  return reasons.length > 0 ? reasons : [nobodyReason(address, candidates)];
}
