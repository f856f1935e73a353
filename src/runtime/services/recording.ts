/**
 * What the leader writes into the record of owners: who owns what now, and with svc_rebalance some moves besides. Of a lost
 * node that is written down as another's which that one has said that it answers for, and all of it once the node has been
 * lost for long. Who was only restarted finds its addresses where it left them: its kernel went on answering, and nobody
 * else could.
 */

import { VIP_HOST_ANNOTATION } from '../../services/annotations.ts';
import { nextAssignment, type Assignment } from '../../services/assignment.ts';
import type { NodeFacts, Ownership, ServiceObject } from '../../services/model.ts';
import { rebalance } from '../../services/rebalance.ts';

export interface RecordParts {
  /** As planned, and as settled by who lives: of the same addresses in the same order. */
  readonly ownerships: readonly Ownership[];
  readonly settled: readonly Ownership[];
  readonly lost: readonly string[];
  readonly byKey: ReadonlyMap<string, ServiceObject>;
  readonly nodes: readonly NodeFacts[];
  readonly rebalancePerMinute: number;
}

/** A process that is gone for this long has no addresses left anywhere. */
export const LOST_FOR_GOOD_MS = 5_000;
const MINUTE_MS = 60_000;
/** Moves are made together at this distance at the least. */
const MOVES_SPACING_MS = 1_000;

export class Recording {
  readonly #lostSince = new Map<string, number>();
  #rebalancedAt: number;

  constructor(now: number) {
    this.#rebalancedAt = now;
  }

  /** The next record, the very same one if nothing is new; `wakeAt`: when to ask again although nothing happened. */
  next(
    parts: RecordParts,
    present: Assignment,
    now: number,
  ): { readonly assignment: Assignment; readonly wakeAt: number | undefined } {
    const recent = this.#recentlyLost(parts.lost, now);
    const assignment = nextAssignment(present, proven(parts, recent));
    const [firstLost] = [...recent]
      .map((name) => (this.#lostSince.get(name) ?? now) + LOST_FOR_GOOD_MS)
      .sort((a, b) => a - b);
    if (parts.rebalancePerMinute === 0 || parts.lost.length > 0) return { assignment, wakeAt: firstLost };
    const intervalMs = Math.max(MOVES_SPACING_MS, MINUTE_MS / parts.rebalancePerMinute);
    if (now < this.#rebalancedAt + intervalMs) return { assignment, wakeAt: this.#rebalancedAt + intervalMs };
    this.#rebalancedAt = now;
    const movesMax = Math.max(1, Math.floor((parts.rebalancePerMinute * intervalMs) / MINUTE_MS));
    const moved = rebalance(assignment, parts.settled, { movesMax, nodes: parts.nodes });
    return { assignment: moved, wakeAt: now + intervalMs };
  }

  #recentlyLost(lost: readonly string[], now: number): ReadonlySet<string> {
    for (const name of this.#lostSince.keys()) if (!lost.includes(name)) this.#lostSince.delete(name);
    const recent = new Set<string>();
    for (const name of lost) {
      const since = this.#lostSince.get(name) ?? now;
      this.#lostSince.set(name, since);
      if (now < since + LOST_FOR_GOOD_MS) recent.add(name);
    }
    return recent;
  }
}

/** vipHost is written by the owner itself, once it has announced. */
function proven({ ownerships, settled, byKey }: RecordParts, recentlyLost: ReadonlySet<string>): readonly Ownership[] {
  if (recentlyLost.size === 0) return settled;
  return settled.map((ownership, index) => {
    const former = ownerships[index]?.node;
    if (former === undefined || former === ownership.node || !recentlyLost.has(former)) return ownership;
    const [first = ''] = ownership.services;
    const host = byKey.get(first)?.annotations[VIP_HOST_ANNOTATION];
    return host !== undefined && host === ownership.node ? ownership : { ...ownership, node: former };
  });
}
