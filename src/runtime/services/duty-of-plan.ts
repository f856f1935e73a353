/**
 * A plan as the agent of this node has to know it: each address that is in the status of a Service with who may answer for
 * it in order, and, where this node gives the addresses, those of which the wire has still to be asked. Pure, but for what
 * it keeps of the last time: most addresses stay the same values, so that nobody compares them in depth.
 */

import { familyBits, type Ip, type Prefix } from '../../base/ip.ts';
import { isSameValues } from '../../base/lists.ts';
import { eachInSteps, finish, type Steps } from '../../base/steps.ts';
import { compareIps } from '../../services/address-range.ts';
import { chooseInterface, nodeNetwork, type NodeNetwork } from '../../services/answering-interface.ts';
import type { AddressDuty, ServiceDuty } from '../../services/duty.ts';
import type { NodeInterface, Ownership } from '../../services/model.ts';

export interface DutyOptions {
  readonly node: string;
  readonly ownerships: readonly Ownership[];
  /** By text: addresses that stand in the status of a Service. */
  readonly confirmed: ReadonlySet<string>;
  /** Not given yet: the wire is to be asked. */
  readonly tentative: readonly Ip[];
  /** Of this node. */
  readonly interfaces: readonly NodeInterface[];
  readonly isSpread: boolean;
  /** The same set while it is the same. */
  readonly fellows: ReadonlySet<string>;
}

export class DutyMaker {
  duty: ServiceDuty | undefined;
  readonly #duties = new Map<string, AddressDuty>();
  readonly #orders = new Map<string, readonly string[]>();
  #network: { readonly interfaces: readonly NodeInterface[]; readonly network: NodeNetwork } | undefined;

  /** All of makeInSteps. */
  make(options: DutyOptions): ServiceDuty {
    return finish(this.makeInSteps(options));
  }

  /** The same value as before when nothing has changed. */
  *makeInSteps(options: DutyOptions): Steps<ServiceDuty> {
    const { ownerships, confirmed, tentative, isSpread, fellows } = options;
    const addresses: AddressDuty[] = [];
    yield* eachInSteps(ownerships, (ownership) => {
      if (confirmed.has(ownership.address.text)) addresses.push(this.#dutyOf(ownership, options.node));
    });
    if (tentative.length > 0) {
      for (const address of tentative) addresses.push(this.#tentativeDuty(address, options.interfaces));
      addresses.sort((a, b) => compareIps(a.prefix.ip, b.prefix.ip));
    }
    this.#forget(addresses);
    const before = this.duty;
    const isSame =
      before !== undefined &&
      before.isSpread === isSpread &&
      before.fellows === fellows &&
      isSameValues(before.addresses, addresses);
    if (isSame) return before;
    this.duty = { addresses, isSpread, fellows };
    return this.duty;
  }

  #dutyOf({ address, candidates }: Ownership, node: string): AddressDuty {
    const eligible: string[] = [];
    let interfaceName: string | undefined;
    for (const candidate of candidates) {
      if (!candidate.isEligible) continue;
      eligible.push(candidate.node);
      if (candidate.node === node) interfaceName = candidate.interfaceName;
    }
    return this.#keep(address, this.#order(eligible), interfaceName, false);
  }

  #tentativeDuty(address: Ip, interfaces: readonly NodeInterface[]): AddressDuty {
    if (this.#network?.interfaces !== interfaces) this.#network = { interfaces, network: nodeNetwork(interfaces, []) };
    const choice = chooseInterface(this.#network.network, address, undefined);
    return this.#keep(address, this.#order([]), choice.kind === 'found' ? choice.name : undefined, true);
  }

  /** Equal orders are one value. */
  #order(nodes: readonly string[]): readonly string[] {
    const key = nodes.join(' ');
    const known = this.#orders.get(key);
    if (known !== undefined) return known;
    if (this.#orders.size >= ORDERS_MAX) this.#orders.clear();
    this.#orders.set(key, nodes);
    return nodes;
  }

  #keep(address: Ip, order: readonly string[], interfaceName: string | undefined, isTentative: boolean): AddressDuty {
    const before = this.#duties.get(address.text);
    const isSame =
      before !== undefined &&
      before.isTentative === isTentative &&
      before.interfaceName === interfaceName &&
      isSameValues(before.order, order);
    if (isSame) return before;
    const prefix: Prefix = { ip: address, length: familyBits(address.family) };
    const duty = { prefix, order, interfaceName, isTentative };
    this.#duties.set(address.text, duty);
    return duty;
  }

  #forget(addresses: readonly AddressDuty[]): void {
    if (this.#duties.size === addresses.length) return;
    const wanted = new Set(addresses.map(({ prefix }) => prefix.ip.text));
    for (const text of this.#duties.keys()) if (!wanted.has(text)) this.#duties.delete(text);
  }
}

/** Orders that are remembered; with more they are forgotten and made anew. */
const ORDERS_MAX = 1_000;
