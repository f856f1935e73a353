/**
 * Whose the election is where nodes with the control plane's address and nodes that only answer for Services share one: the
 * former's. A node that has no such address would leave it dark by leading. So it doesn't contend while one that has is
 * heard, hands over to it, and never takes a Lease on which the last leader noted that it had one. The note stays when
 * everybody is gone; taking the control plane out of such an election for good is an operator's word (LEASE_RESERVED).
 */

import type { MonotonicMs } from '../base/time.ts';
import type { LeaseRecord } from '../leader/lease-record.ts';
import type { Member } from '../leader/voters.ts';
import { isHeard } from '../leader/view.ts';
import { servesOnly } from './eligibility.ts';
import type { AgentRules, AgentState } from './state.ts';
import { viewRules } from './view-rules.ts';

/** The control plane's addresses, separated by commas. */
export const CONTROL_PLANE_ANNOTATION = 'holdfast.io/control-plane';

/** Whether leading is for others. */
export function isReserved(rules: AgentRules, state: AgentState, now: MonotonicMs): boolean {
  if (!servesOnly(rules)) return false;
  return isReservedFor(rules, state.election.observed?.lease) || hasCandidate(rules, state, now);
}

/** Whether the Lease itself says so. */
export function isReservedFor(rules: AgentRules, lease: LeaseRecord | undefined): boolean {
  return servesOnly(rules) && (lease?.annotations[CONTROL_PLANE_ANNOTATION] ?? '') !== '';
}

/** Somebody who could hold the control plane's address is heard. */
function hasCandidate(rules: AgentRules, { peers }: AgentState, now: MonotonicMs): boolean {
  const { view, members } = peers;
  return controlPlaneOf(members).some((name) => {
    const isEligible = view.peers.get(name)?.heartbeat.isEligible === true;
    return isEligible && isHeard(viewRules(rules), view, name, now);
  });
}

const CONTROL_PLANES = new WeakMap<readonly Member[], readonly string[]>();

function controlPlaneOf(members: readonly Member[]): readonly string[] {
  const known = CONTROL_PLANES.get(members);
  if (known !== undefined) return known;
  const names = members.flatMap(({ name, isServicesOnly }) => (isServicesOnly === true ? [] : name));
  CONTROL_PLANES.set(members, names);
  return names;
}

/** What a leader writes. */
export function reservation(rules: AgentRules, { vips }: AgentState): Readonly<Record<string, string>> | undefined {
  if (rules.sources.length === 0 || vips.size === 0) return undefined;
  return { [CONTROL_PLANE_ANNOTATION]: [...vips.keys()].join(',') };
}
