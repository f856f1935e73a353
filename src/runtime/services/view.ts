/** What the controller knows after a run, for whoever writes, reports and explains; and what it reads off it itself. */

import { serviceHoldingsInSteps, type ServiceHolding } from '../../agent/services/read.ts';
import type { AgentState } from '../../agent/state.ts';
import type { Ip } from '../../base/ip.ts';
import { eachInSteps, indexInSteps, type Steps } from '../../base/steps.ts';
import type { ObjectProblem, Ownership, ServiceObject } from '../../services/model.ts';
import type { Plan } from '../../services/plan.ts';
import type { Given } from './giving.ts';

/** What is known at the end of a run, for status, metrics and `explain`. */
export interface ServicesView {
  readonly isSynced: boolean;
  readonly isCurrent: boolean;
  readonly isLeading: boolean;
  readonly plan: Plan | undefined;
  readonly services: readonly ServiceObject[];
  /** By address. */
  readonly owners: ReadonlyMap<string, Ownership>;
  readonly holdings: ReadonlyMap<string, ServiceHolding>;
  readonly problems: readonly ObjectProblem[];
  readonly ownersEpoch: number;
  readonly pendingWrites: number;
}

export const EMPTY_VIEW: ServicesView = Object.freeze({
  isSynced: false,
  isCurrent: false,
  isLeading: false,
  plan: undefined,
  services: [],
  owners: new Map(),
  holdings: new Map(),
  problems: [],
  ownersEpoch: 0,
  pendingWrites: 0,
});

/** Addresses in the status of any Service, by text. */
export function* confirmedInSteps(services: readonly ServiceObject[]): Steps<ReadonlySet<string>> {
  const texts = new Set<string>();
  yield* eachInSteps(services, ({ ingress }) => {
    for (const { text } of ingress) texts.add(text);
  });
  return texts;
}

/** Each once, but for what is set aside. */
export function tentativeOf(given: readonly Given[], quarantined: ReadonlyMap<string, unknown>): readonly Ip[] {
  const found = new Map<string, Ip>();
  for (const { unconfirmed } of given) {
    for (const ip of unconfirmed) if (!quarantined.has(ip.text)) found.set(ip.text, ip);
  }
  return [...found.values()];
}

/** What this node has to do with addresses, by text; made anew only when the agent says that it has changed. */
export class HoldingsBook {
  holdings: ReadonlyMap<string, ServiceHolding> = new Map();
  #version = -1;

  *updateInSteps(state: AgentState): Steps<void> {
    if (state.services.version === this.#version) return;
    const holdings = yield* serviceHoldingsInSteps(state);
    this.holdings = yield* indexInSteps(holdings, ({ address }) => address);
    this.#version = state.services.version;
  }
}

/** What this node holds and has announced, by text. */
export function heldOf(holdings: ReadonlyMap<string, ServiceHolding>): ReadonlySet<string> {
  const held = new Set<string>();
  for (const { address, phase, announcements } of holdings.values()) {
    if (phase === 'holding' && announcements > 0) held.add(address);
  }
  return held;
}

/** What this node would hold and a stranger has, by text: by whom. */
export function strangersOf(holdings: ReadonlyMap<string, ServiceHolding>): ReadonlyMap<string, string> {
  const strangers = new Map<string, string>();
  for (const { address, phase, rival, isConflict } of holdings.values()) {
    if (phase === 'conflict' && isConflict && rival !== undefined) strangers.set(address, rival);
  }
  return strangers;
}
