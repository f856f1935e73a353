/**
 * Keeps what this node publishes of itself (published-facts.ts) up to date: follows the kernel's links, ordinary addresses
 * and gateways, and looks at kube-proxy. Bad news is told at once; carrier that comes back only after it has stayed for a
 * while, so that a flapping cable moves addresses once. Addresses of ours come and go by the thousand and are passed over.
 */

import { formatPrefix } from '../../base/ip.ts';
import type { InterfaceAddress, KernelChange, KernelSnapshot, Link, Route } from '../../protocol/netlink/records.ts';
import { encodeFacts, ownFacts, type PublishedFacts } from './published-facts.ts';

export interface OwnFactsKeeperOptions {
  readonly dump: () => KernelSnapshot;
  readonly addressProtocol: number;
  /** The facts differ from those told before. */
  readonly onChange: (facts: PublishedFacts, text: string) => void;
  /** Default CARRIER_SETTLES_MS. */
  readonly carrierSettlesMs?: number;
}

export interface OwnFactsKeeper {
  readonly facts: PublishedFacts;
  readonly text: string;
  kernelChanged(change: KernelChange): void;
  kubeProxyChanged(isHealthy: boolean | undefined): void;
  close(): void;
}

/** Carrier must have stayed this long to count again. */
export const CARRIER_SETTLES_MS = 2_000;
/** Changes are gathered for this long: an interface comes up in a dozen of notifications. */
const GATHER_MS = 50;

export function keepOwnFacts(options: OwnFactsKeeperOptions): OwnFactsKeeper {
  return new KernelFacts(options);
}

class KernelFacts implements OwnFactsKeeper {
  facts: PublishedFacts;
  text: string;
  readonly #options: OwnFactsKeeperOptions;
  #links = new Map<number, Link>();
  #addresses = new Map<string, InterfaceAddress>();
  #routes = new Map<string, Route>();
  /** Links without carrier as told, by index, and since when they have it again (undefined: they haven't). */
  readonly #dark = new Map<number, number | undefined>();
  #isKubeProxyHealthy: boolean | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OwnFactsKeeperOptions) {
    this.#options = options;
    this.#read();
    for (const { index, hasCarrier } of this.#links.values()) if (!hasCarrier) this.#dark.set(index, undefined);
    this.facts = this.#make();
    this.text = encodeFacts(this.facts);
  }

  kernelChanged(change: KernelChange): void {
    switch (change.kind) {
      case 'overrun':
        this.#read();
        break;
      case 'link':
        this.#links.set(change.link.index, change.link);
        break;
      case 'link-gone':
        this.#links.delete(change.index);
        this.#dark.delete(change.index);
        break;
      case 'address':
        if (change.address.protocol === this.#options.addressProtocol) return;
        this.#addresses.set(keyOfAddress(change.address), change.address);
        break;
      case 'address-gone':
        if (!this.#addresses.delete(keyOfAddress(change.address))) return;
        break;
      case 'route':
        if (change.route.destination !== undefined) return;
        this.#routes.set(keyOfRoute(change.route), change.route);
        break;
      case 'route-gone':
        if (!this.#routes.delete(keyOfRoute(change.route))) return;
        break;
      default:
        return;
    }
    const isDark = change.kind === 'link' && !change.link.hasCarrier;
    if (isDark) this.#settle();
    else this.#later(GATHER_MS);
  }

  kubeProxyChanged(isHealthy: boolean | undefined): void {
    this.#isKubeProxyHealthy = isHealthy;
    this.#settle();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #read(): void {
    const { links, addresses, defaultRoutes } = this.#options.dump();
    this.#links = new Map(links.map((link) => [link.index, link]));
    this.#addresses = new Map(
      addresses
        .filter(({ protocol }) => protocol !== this.#options.addressProtocol)
        .map((address) => [keyOfAddress(address), address]),
    );
    this.#routes = new Map(defaultRoutes.map((route) => [keyOfRoute(route), route]));
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), ms);
    this.#timer.unref();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    const waitMs = this.#settleCarriers(performance.now());
    const facts = this.#make();
    const text = encodeFacts(facts);
    if (waitMs !== undefined) this.#later(waitMs);
    if (text === this.text) return;
    this.facts = facts;
    this.text = text;
    this.#options.onChange(facts, text);
  }

  /** ms until the next link counts as having carrier again. */
  #settleCarriers(now: number): number | undefined {
    const { carrierSettlesMs = CARRIER_SETTLES_MS } = this.#options;
    let nextMs: number | undefined;
    for (const { index, hasCarrier } of this.#links.values()) {
      if (!hasCarrier) {
        this.#dark.set(index, undefined);
        continue;
      }
      if (!this.#dark.has(index)) continue;
      const since = this.#dark.get(index) ?? now;
      const leftMs = since + carrierSettlesMs - now;
      if (leftMs <= 0) {
        this.#dark.delete(index);
      } else {
        this.#dark.set(index, since);
        nextMs = Math.min(nextMs ?? leftMs, leftMs);
      }
    }
    return nextMs;
  }

  #make(): PublishedFacts {
    const links = [...this.#links.values()].map((link) =>
      link.hasCarrier && this.#dark.has(link.index) ? { ...link, hasCarrier: false } : link,
    );
    const snapshot = { links, addresses: [...this.#addresses.values()], defaultRoutes: [...this.#routes.values()] };
    const { addressProtocol } = this.#options;
    return ownFacts(snapshot, { addressProtocol, isKubeProxyHealthy: this.#isKubeProxyHealthy });
  }
}

function keyOfAddress({ ifindex, prefix }: InterfaceAddress): string {
  return `${ifindex}/${formatPrefix(prefix)}`;
}

function keyOfRoute({ family, gateway, ifindex, metric, table }: Route): string {
  return `${family}/${gateway?.text ?? ''}/${ifindex ?? ''}/${metric}/${table}`;
}
