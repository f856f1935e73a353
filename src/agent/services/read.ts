/** What the runtime, status and metrics read of the agent's share of Services. Nothing here changes anything. */

import { eachInSteps, finish, type Steps } from '../../base/steps.ts';
import type { MonotonicMs } from '../../base/time.ts';
import type { VipPhase } from '../../vip/vip-state.ts';
import type { AgentState } from '../state.ts';
import { ownerAmong } from './liveness.ts';
import { eachOfShards, inShards } from './shards.ts';
import type { ServiceEntry } from './state.ts';

/** An address this node has to do with: it holds it, claims it, or is about to be rid of it. */
export interface ServiceHolding {
  readonly address: string;
  readonly phase: VipPhase;
  /** Since when it has been in that phase. */
  readonly since: MonotonicMs;
  readonly interfaceName: string | undefined;
  /** Another machine that answers for it, by MAC. */
  readonly rival: string | undefined;
  /** It isn't one that was only waited for: somebody has to look after it. */
  readonly isConflict: boolean;
  readonly announcements: number;
  readonly lastAnnouncedAt: MonotonicMs | undefined;
}

/**
 * Whether who else uses the address is any news: it is asked about, held or claimed here, or none of the Services'. Most of
 * thousands are another node's, who announces them to everybody.
 */
export function isFrameAwaited(state: AgentState, address: string): boolean {
  const entry = inShards(state.services.entries, address);
  return entry === undefined || entry.vip !== undefined || entry.inquiry !== undefined || state.vips.has(address);
}

/** Whom this node takes for the owner of the address; undefined: nobody, or the address isn't in the duty. */
export function ownerOfAddress(state: AgentState, address: string): string | undefined {
  const entry = inShards(state.services.entries, address);
  return entry === undefined ? undefined : ownerAmong(entry.duty, state.services);
}

/** All addresses that this node has to do with. Walks the whole table: only when `services.version` has changed. */
export function serviceHoldings(state: AgentState): readonly ServiceHolding[] {
  return finish(serviceHoldingsInSteps(state));
}

export function* serviceHoldingsInSteps(state: AgentState): Steps<readonly ServiceHolding[]> {
  const holdings: ServiceHolding[] = [];
  yield* eachInSteps(eachOfShards(state.services.entries), ([address, entry]) => {
    const holding = holdingOf(state, address, entry);
    if (holding !== undefined) holdings.push(holding);
  });
  return holdings;
}

export function serviceHolding(state: AgentState, address: string): ServiceHolding | undefined {
  const entry = inShards(state.services.entries, address);
  return entry === undefined ? undefined : holdingOf(state, address, entry);
}

function holdingOf(state: AgentState, address: string, { vip, ifindex }: ServiceEntry): ServiceHolding | undefined {
  if (vip === undefined) return undefined;
  return {
    address,
    phase: vip.phase,
    since: vip.since,
    interfaceName: ifindex === undefined ? undefined : state.kernel?.links.get(ifindex)?.name,
    rival: vip.rival?.mac.text,
    isConflict: vip.rival?.isReported === true,
    announcements: vip.announcements,
    lastAnnouncedAt: vip.lastAnnouncedAt,
  };
}
