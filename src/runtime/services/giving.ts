/**
 * Giving addresses, which the leader does: what the plan has chosen for a Service stays with it until its status says so,
 * whatever else comes meanwhile; the wire is asked before anybody gets an address for the first time, and an address that
 * somebody answers for is set aside for a while, with the MAC address, and another one chosen.
 *
 *     chosen ──▶ asking ──silent, or nobody can ask──▶ to be written ──▶ in the status
 *                  └──answered──▶ in quarantine for QUARANTINE_MS, and chosen anew
 */

import { isSameIps, type Ip } from '../../base/ip.ts';
import { eachInSteps, finish, type Steps } from '../../base/steps.ts';
import type { InquiryAnswer } from '../../agent/services/state.ts';
import type { Allocation, Quarantine, ServiceObject } from '../../services/model.ts';

/** How long an address that somebody answers for is given to nobody. */
export const QUARANTINE_MS = 300_000;
/** The first ones are let go when there are more: a whole pool that answers is a misconfiguration, told anyway. */
const QUARANTINED_MAX = 4_096;
/** Addresses that the wire is asked about at a time; those that follow wait for their turn. */
export const TENTATIVE_MAX = 512;

interface Pin {
  readonly uid: string;
  readonly allocation: Allocation;
}

export interface Given {
  readonly allocation: Allocation;
  /** Of its addresses, those in nobody's status yet; they stay tentative until they are. */
  readonly unconfirmed: readonly Ip[];
  /** Of these, those the wire has still to be asked about; none: it may be written. */
  readonly asking: readonly Ip[];
}

export interface Found {
  readonly service: ServiceObject;
  readonly quarantine: Quarantine;
}

export class Giving {
  /** By the address's text; another value when it changes. */
  quarantined: ReadonlyMap<string, Quarantine> = new Map();
  readonly #until = new Map<string, number>();
  #pins = new Map<string, Pin>();
  /** Services as if their status said what was chosen for them. */
  #overlaid = new WeakMap<ServiceObject, { readonly pin: Pin; readonly service: ServiceObject }>();
  #last: { readonly services: readonly ServiceObject[]; readonly result: readonly ServiceObject[] } | undefined;

  /** The Services as the plan should take them. The very list while nothing was chosen that isn't written. */
  overlay(services: readonly ServiceObject[]): readonly ServiceObject[] {
    if (this.#pins.size === 0) {
      this.#last = undefined;
      return services;
    }
    if (this.#last?.services === services) return this.#last.result;
    const seen = new Set<string>();
    const result = services.map((service) => {
      const pin = this.#pins.get(service.key);
      if (pin === undefined) return service;
      seen.add(service.key);
      if (pin.uid !== service.uid || isSameIps(service.ingress, pin.allocation.addresses)) {
        this.#pins.delete(service.key);
        return service;
      }
      return this.#withPin(service, pin);
    });
    for (const key of this.#pins.keys()) if (!seen.has(key)) this.#pins.delete(key);
    this.#last = { services, result };
    return result;
  }

  /**
   * Takes what was chosen, and says what may be written and what has to be asked. `confirmed`: addresses in the status of
   * any Service, by text.
   */
  choose(
    allocations: readonly Allocation[],
    byKey: ReadonlyMap<string, ServiceObject>,
    confirmed: ReadonlySet<string>,
    answers: ReadonlyMap<string, InquiryAnswer>,
  ): readonly Given[] {
    return finish(this.chooseInSteps(allocations, byKey, confirmed, answers));
  }

  /** What is cleared in between ends it: nothing of it is given then. */
  *chooseInSteps(
    allocations: readonly Allocation[],
    byKey: ReadonlyMap<string, ServiceObject>,
    confirmed: ReadonlySet<string>,
    answers: ReadonlyMap<string, InquiryAnswer>,
  ): Steps<readonly Given[]> {
    const given: Given[] = [];
    const pins = this.#pins;
    let asked = 0;
    yield* eachInSteps(allocations, (allocation) => {
      const service = byKey.get(allocation.service.key);
      if (service === undefined || isSameIps(service.ingress, allocation.addresses) || pins !== this.#pins) return;
      const pin = this.#pin(service, allocation);
      const unconfirmed = allocation.addresses.filter(({ text }) => !confirmed.has(text));
      const asking = unconfirmed.filter(({ text }) => {
        const answer = answers.get(text);
        return answer === undefined || answer.kind === 'used';
      });
      if (asking.length > 0 && asked >= TENTATIVE_MAX) return;
      asked += asking.length;
      given.push({ allocation: pin.allocation, unconfirmed, asking });
    });
    return pins === this.#pins ? given : [];
  }

  /** What the pin remembers of how the address was chosen: the plan sees it as kept. */
  originOf(key: string): Allocation | undefined {
    return this.#pins.get(key)?.allocation;
  }

  /** Sets aside what somebody answers for; who it was for is to be chosen anew. */
  quarantine(given: readonly Given[], answers: ReadonlyMap<string, InquiryAnswer>, now: number): readonly Found[] {
    const found: Found[] = [];
    for (const { allocation, asking } of given) {
      for (const address of asking) {
        const answer = answers.get(address.text);
        if (answer?.kind !== 'used') continue;
        found.push({ service: allocation.service, quarantine: { address, mac: answer.mac } });
        this.#pins.delete(allocation.service.key);
      }
    }
    if (found.length === 0) return found;
    const next = new Map(this.quarantined);
    for (const { quarantine } of found) {
      next.set(quarantine.address.text, quarantine);
      this.#until.set(quarantine.address.text, now + QUARANTINE_MS);
    }
    for (const text of next.keys()) {
      if (next.size <= QUARANTINED_MAX) break;
      next.delete(text);
      this.#until.delete(text);
    }
    this.quarantined = next;
    this.#last = undefined;
    return found;
  }

  /** Lets go what has been set aside for long enough; answers when to ask again. */
  expire(now: number): number | undefined {
    const over = [...this.#until].filter(([, until]) => until <= now).map(([text]) => text);
    if (over.length > 0) {
      const next = new Map(this.quarantined);
      for (const text of over) {
        next.delete(text);
        this.#until.delete(text);
      }
      this.quarantined = next;
    }
    return this.#until.size === 0 ? undefined : Math.min(...this.#until.values());
  }

  /** Nothing is ours to give any more. */
  clear(): void {
    this.#pins = new Map();
    this.#overlaid = new WeakMap();
    this.#last = undefined;
  }

  #pin(service: ServiceObject, allocation: Allocation): Pin {
    const before = this.#pins.get(service.key);
    if (before !== undefined && isSameIps(before.allocation.addresses, allocation.addresses)) return before;
    const pin = { uid: service.uid, allocation };
    this.#pins.set(service.key, pin);
    this.#last = undefined;
    return pin;
  }

  #withPin(service: ServiceObject, pin: Pin): ServiceObject {
    const known = this.#overlaid.get(service);
    if (known?.pin === pin) return known.service;
    const overlaid = { ...service, ingress: pin.allocation.addresses };
    this.#overlaid.set(service, { pin, service: overlaid });
    return overlaid;
  }
}
