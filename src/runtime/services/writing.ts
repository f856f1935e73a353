/**
 * Goes through the Services after each plan and writes what is new about each: in slices, so that the loop has its turns in
 * between, and only those about which something differs from the last time. What was handed to the writer isn't handed to
 * it again until the Service changes or the writer gives up on it.
 */

import { isSameIps } from '../../base/ip.ts';
import type { StatusPatch } from '../../kube/service-status.ts';
import type { StatusWriter, WriteEnd } from '../../kube/status-writer.ts';
import type { Allocation, Ownership, PendingService, Pool, Reason, ServiceObject } from '../../services/model.ts';
import type { ServiceDecision } from '../../services/status.ts';
import type { ServicesView } from './view.ts';
import { indexInSteps } from '../../base/steps.ts';
import type { Breath } from '../../kube/breath.ts';
import { Contention } from './contention.ts';
import { patchText, releasePatch, servicePatch } from './service-patch.ts';
import type { Teller } from './teller.ts';

export interface WritingOptions {
  readonly self: string;
  readonly writer: Pick<StatusWriter, 'write'>;
  readonly teller: Pick<Teller, 'decided' | 'expects' | 'forget' | 'refused'>;
  /** Something that was to be written wasn't: decide again. */
  readonly onAgain: () => void;
}

export interface Round {
  readonly view: ServicesView;
  readonly byKey: ReadonlyMap<string, ServiceObject>;
  readonly isLeading: boolean;
  /** Services whose addresses the wire is being asked about. */
  readonly asking: ReadonlySet<string>;
  /** Addresses this node holds and has announced. */
  readonly held: ReadonlySet<string>;
  /** Addresses that it would hold and a stranger has: by whom. */
  readonly strangers: ReadonlyMap<string, string>;
  readonly originOf: (key: string) => Allocation | undefined;
  /** Who leads is as it was when this was decided: only then what is left of it may be written. */
  readonly isStill: () => boolean;
}

/** What a Service's words depend on: equal ones mean that nothing is to be done. */
interface Seen {
  readonly service: ServiceObject;
  readonly allocation: Allocation | undefined;
  readonly pending: PendingService | undefined;
  readonly ownerships: readonly (Ownership | undefined)[];
  readonly isLeading: boolean;
  readonly isAsking: boolean;
  /** Why it is left alone although there is an address for it. */
  readonly contested: Reason | undefined;
  readonly isAnnounced: boolean;
  readonly stranger: string | undefined;
}

interface Look {
  readonly allocations: ReadonlyMap<string, Allocation>;
  readonly pending: ReadonlyMap<string, PendingService>;
  readonly pools: ReadonlyMap<string, Pool>;
  /** Services that ask to be left alone. */
  readonly ignored: ReadonlySet<string>;
  readonly now: string;
  readonly nowMs: number;
}

export class Writing {
  readonly #options: WritingOptions;
  readonly #seen = new Map<string, Seen>();
  /** What was last handed to the writer, by Service, and isn't seen in it yet. */
  readonly #handed = new Map<string, string>();
  /** How addresses on their way into a status were chosen. */
  readonly #origins = new Map<string, Allocation>();
  readonly #contention = new Contention();

  constructor(options: WritingOptions) {
    this.#options = options;
  }

  async work(round: Round, breath: Breath): Promise<void> {
    const { plan } = round.view;
    if (plan === undefined) return;
    const look: Look = {
      allocations: await breath.finish(indexInSteps(plan.allocations, ({ service }) => service.key)),
      pending: new Map(plan.pending.map((pending) => [pending.service.key, pending])),
      pools: new Map(plan.pools.map((pool) => [pool.name, pool])),
      ignored: new Set(plan.foreign.filter(({ code }) => code === 'SERVICE_IGNORED').map(({ service }) => service.key)),
      now: `${new Date().toISOString().slice(0, 19)}Z`,
      nowMs: performance.now(),
    };
    await breath.takeIfDue();
    this.#forget(round.byKey);
    await breath.takeIfDue();
    if (!round.isStill()) return;
    for (const service of round.view.services) {
      this.#look(service, round, look);
      if (!breath.isDue) continue;
      await breath.take();
      if (!round.isStill()) return;
    }
  }

  /** When it is to be looked at again without anything having changed. */
  nextAt(now: number): number | undefined {
    return this.#contention.nextAt(now);
  }

  ended(patch: StatusPatch, end: WriteEnd): void {
    if (end.kind === 'ok') this.#contention.wrote(patch);
    if (end.kind === 'ok' || end.kind === 'superseded') return;
    if (end.kind === 'failed') {
      // Refused for what it says: not again before the Service changes.
      const [, name] = patch.key.split('/');
      if (name !== undefined) this.#refused(patch.key, end.failure.message);
      return;
    }
    this.#handed.delete(patch.key);
    this.#seen.delete(patch.key);
    // A conflict means that the watch has another Service to show: that is soon enough.
    if (end.kind === 'dropped') this.#options.onAgain();
  }

  /** Another leads: what was decided as leader isn't remembered. */
  clear(): void {
    this.#seen.clear();
    this.#handed.clear();
    this.#origins.clear();
    this.#contention.clear();
  }

  #refused(key: string, message: string): void {
    const service = this.#seen.get(key)?.service;
    if (service !== undefined) this.#options.teller.refused(service, message);
  }

  #forget(byKey: ReadonlyMap<string, ServiceObject>): void {
    for (const key of this.#seen.keys()) if (!byKey.has(key)) this.#seen.delete(key);
    for (const key of this.#handed.keys()) if (!byKey.has(key)) this.#handed.delete(key);
    for (const key of this.#origins.keys()) if (!byKey.has(key)) this.#origins.delete(key);
    this.#contention.forget((key) => byKey.has(key));
    this.#options.teller.forget((key) => byKey.has(key));
  }

  #look(service: ServiceObject, round: Round, look: Look): void {
    const { key } = service;
    const { held, isLeading, view } = round;
    const contested = isLeading ? this.#contention.look(service, look.nowMs) : undefined;
    const allocation = contested === undefined ? look.allocations.get(key) : undefined;
    const pending = contested === undefined ? look.pending.get(key) : { service, reasons: [contested] };
    const ownerships = (allocation?.addresses ?? []).map(({ text }) => view.owners.get(text));
    const first = ownerships[0]?.address.text;
    const seen: Seen = {
      service,
      allocation,
      pending,
      ownerships,
      isLeading,
      isAsking: contested === undefined && round.asking.has(key),
      contested,
      isAnnounced: first !== undefined && held.has(first),
      stranger: first === undefined ? undefined : round.strangers.get(first),
    };
    const before = this.#seen.get(key);
    // Also where it says the same: what is kept is of the last plan, and not of each one before it.
    this.#seen.set(key, seen);
    if (before !== undefined && isSame(before, seen)) return;
    if (before !== undefined && before.service !== service) this.#handed.delete(key);
    if (service.isBeingDeleted) return;
    const patch =
      allocation === undefined && pending === undefined
        ? releaseOf(service, round, look.ignored)
        : this.#patchOf(seen, round, look);
    if (patch === undefined) return;
    const text = patchText(patch);
    if (this.#handed.get(key) === text) return;
    this.#handed.set(key, text);
    this.#options.writer.write(patch);
  }

  #patchOf(seen: Seen, round: Round, { pools, now }: Look): StatusPatch | undefined {
    const { service, allocation, pending, isLeading, isAsking, isAnnounced, stranger } = seen;
    const ownerships = seen.ownerships.filter((each) => each !== undefined);
    const decision: ServiceDecision = { service, allocation, pending, ownerships };
    const isConfirmed = ownerships.length === (allocation?.addresses.length ?? 0);
    const origin = round.originOf(service.key) ?? this.#origins.get(service.key);
    if (isLeading && !isConfirmed) {
      this.#options.teller.expects(service);
      if (origin !== undefined) this.#origins.set(service.key, origin);
    } else if (isLeading && !isAsking) {
      this.#options.teller.decided(withOrigin(decision, origin));
      this.#origins.delete(service.key);
    }
    return servicePatch({
      decision,
      self: this.#options.self,
      isLeading,
      isGiven: !isAsking,
      origin,
      isAnnounced,
      stranger,
      poolOf: (name) => pools.get(name),
      now,
    });
  }
}

/** As it was chosen, which the plan sees as kept by the time that it is written. */
function withOrigin(decision: ServiceDecision, origin: Allocation | undefined): ServiceDecision {
  const { allocation } = decision;
  if (allocation === undefined || origin === undefined) return decision;
  if (!isSameIps(origin.addresses, allocation.addresses)) return decision;
  return { ...decision, allocation: { ...allocation, from: origin.from } };
}

/**
 * A Service that the plan has nothing to say of: none of ours, though perhaps it was. Of another class it never was, and
 * what is said of it is said by another Holdfast.
 */
function releaseOf(
  service: ServiceObject,
  { isLeading }: Round,
  ignored: ReadonlySet<string>,
): StatusPatch | undefined {
  const mayHaveBeenOurs = !service.isLoadBalancer || ignored.has(service.key);
  return isLeading && mayHaveBeenOurs ? releasePatch(service) : undefined;
}

/** What allocations and ownerships say decides, and not which objects they are: most are the former plan's, not all. */
function isSame(a: Seen, b: Seen): boolean {
  return (
    a.service === b.service &&
    a.isLeading === b.isLeading &&
    a.isAsking === b.isAsking &&
    (a.contested === undefined) === (b.contested === undefined) &&
    a.isAnnounced === b.isAnnounced &&
    a.stranger === b.stranger &&
    isSameAllocation(a.allocation, b.allocation) &&
    (a.pending === b.pending || isSameReasons(a.pending?.reasons, b.pending?.reasons)) &&
    a.ownerships.length === b.ownerships.length &&
    a.ownerships.every((each, index) => isSameOwnership(each, b.ownerships[index]))
  );
}

function isSameAllocation(a: Allocation | undefined, b: Allocation | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b;
  return (
    a.pool === b.pool &&
    a.from === b.from &&
    isSameIps(a.addresses, b.addresses) &&
    isSameReasons(a.shortcomings, b.shortcomings)
  );
}

function isSameOwnership(a: Ownership | undefined, b: Ownership | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b;
  if (a.address.text !== b.address.text || a.node !== b.node) return false;
  return interfaceOf(a) === interfaceOf(b) && isSameReasons(a.reasons, b.reasons);
}

/** The owner comes first. */
function interfaceOf({ candidates }: Ownership): string | undefined {
  return candidates[0]?.interfaceName;
}

function isSameReasons(a: readonly Reason[] | undefined, b: readonly Reason[] | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b;
  return (
    a.length === b.length &&
    a.every(({ code, pool, message }, index) => {
      const other = b[index];
      return code === other?.code && pool === other.pool && message === other.message;
    })
  );
}
