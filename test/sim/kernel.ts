/**
 * One node's kernel as Holdfast meets it: links, addresses with lifetimes that end up to 0.55 s late (measured at HZ 250),
 * rtnetlink notifications. It goes on when the process is frozen or dead, and stands still with a paused virtual machine.
 */

import { parseIp, type Ip, type Prefix } from '../../src/base/ip.ts';
import { parseMac, type Mac } from '../../src/base/mac.ts';
import type {
  InterfaceAddress,
  KernelChange,
  KernelSnapshot,
  Link,
  Route,
} from '../../src/protocol/netlink/records.ts';

/** IFA_PROTO of Holdfast in the simulated world; what src uses is configuration to the core. */
export const ADDRESS_PROTOCOL = 0x48;
/** IFA_PROTO of addresses that an administrator added (IFAPROT_UNSPEC). */
const UNMARKED = undefined;

export const LATENESS_MAX_MS = 550;
export const LOOPBACK = 1;
export const ETH0 = 2;
export const ETH1 = 3;

export interface KernelHost {
  /** Kernel time in ms; stands still while the machine does. */
  readonly now: () => number;
  /** Runs `run` after `ms` of kernel time. */
  readonly after: (ms: number, run: () => void) => void;
  /** Late by how much an address is removed, ms. */
  readonly lateness: () => number;
  readonly notify: (change: KernelChange) => void;
  /** The set of addresses or the state of a link changed. */
  readonly onChange: () => void;
}

interface Held {
  readonly address: InterfaceAddress;
  readonly expiresAt: number;
  readonly generation: number;
  /** An address that a person configured: Holdfast must never take it away. */
  readonly isOrdinary: boolean;
  /** Which run of the process put it there last; undefined: not Holdfast. */
  readonly addedBy: string | undefined;
}

export interface AddOptions {
  readonly ifindex: number;
  readonly prefix: Prefix;
  readonly validSeconds: number;
  readonly preferredSeconds?: number;
  readonly protocol?: number | undefined;
  readonly isOrdinary?: boolean;
  readonly addedBy?: string;
}

export class SimKernel {
  readonly links = new Map<number, Link>();
  readonly #held = new Map<string, Held>();
  readonly #host: KernelHost;
  #routes: readonly Route[] = [];
  #generation = 0;

  constructor(host: KernelHost, mac: Mac) {
    this.#host = host;
    this.links.set(LOOPBACK, { ...link(LOOPBACK, 'lo', undefined), hardwareType: 772 });
    this.links.set(ETH0, link(ETH0, 'eth0', mac));
    this.#routes = [
      { family: 'ipv4', destination: undefined, gateway: undefined, ifindex: ETH0, metric: 0, table: 254 },
    ];
  }

  snapshot(): KernelSnapshot {
    return {
      links: [...this.links.values()],
      addresses: [...this.#held.values()].map((held) => this.#withRemaining(held)),
      defaultRoutes: this.#routes,
    };
  }

  has(ip: Ip): boolean {
    for (const held of this.#held.values()) if (held.address.prefix.ip.text === ip.text) return true;
    return false;
  }

  /** The entries that carry `ip`. */
  find(ip: Ip): readonly Held[] {
    return [...this.#held.values()].filter((held) => held.address.prefix.ip.text === ip.text);
  }

  /** RTM_NEWADDR with NLM_F_REPLACE. */
  add(options: AddOptions): void {
    const { ifindex, prefix, validSeconds } = options;
    this.#generation += 1;
    const generation = this.#generation;
    const key = keyOf(ifindex, prefix);
    const address: InterfaceAddress = {
      ifindex,
      prefix,
      scope: 0,
      flags: 0,
      protocol: options.protocol ?? UNMARKED,
      validSeconds,
      preferredSeconds: options.preferredSeconds ?? 0,
    };
    const lifetimeMs = validSeconds * 1000;
    this.#held.set(key, {
      address,
      expiresAt: this.#host.now() + lifetimeMs,
      generation,
      isOrdinary: options.isOrdinary ?? false,
      addedBy: options.addedBy,
    });
    if (Number.isFinite(validSeconds)) {
      this.#host.after(lifetimeMs + this.#host.lateness(), () => this.#expire(key, generation));
    }
    this.#host.notify({ kind: 'address', address });
    this.#host.onChange();
  }

  /** RTM_DELADDR; false when there is no such address. */
  delete(ifindex: number, prefix: Prefix): boolean {
    const key = keyOf(ifindex, prefix);
    const held = this.#held.get(key);
    if (held === undefined) return false;
    this.#remove(key, held);
    return true;
  }

  /** Somebody's `ip address del`, whatever the interface. */
  deleteAll(ip: Ip): void {
    for (const [key, held] of this.#held) if (held.address.prefix.ip.text === ip.text) this.#remove(key, held);
  }

  setLink(index: number, change: Partial<Link>): void {
    const before = this.links.get(index);
    if (before === undefined) return;
    const after = { ...before, ...change };
    this.links.set(index, after);
    this.#host.notify({ kind: 'link', link: after });
    // Linux flushes IPv6 addresses of a link that is set down (keep_addr_on_down = 0), IPv4 ones stay.
    if (before.isUp && !after.isUp) {
      for (const [key, held] of this.#held) {
        if (held.address.ifindex === index && held.address.prefix.ip.family === 'ipv6') this.#remove(key, held);
      }
    }
    this.#host.onChange();
  }

  removeLink(index: number): void {
    const before = this.links.get(index);
    if (before === undefined) return;
    // unregister_netdevice closes the device first (RTM_NEWLINK), then its addresses go, then RTM_DELLINK.
    this.setLink(index, { isUp: false, hasCarrier: false });
    for (const [key, held] of this.#held) if (held.address.ifindex === index) this.#remove(key, held);
    this.links.delete(index);
    this.#host.notify({ kind: 'link-gone', index, name: before.name });
    this.#host.onChange();
  }

  addLink(added: Link): void {
    this.links.set(added.index, added);
    this.#host.notify({ kind: 'link', link: added });
    this.#host.onChange();
  }

  setRoutes(routes: readonly Route[]): void {
    for (const route of this.#routes) this.#host.notify({ kind: 'route-gone', route });
    this.#routes = routes;
    for (const route of routes) this.#host.notify({ kind: 'route', route });
  }

  /** Power off: what isn't configured anew at boot is gone. */
  reset(): void {
    for (const [key, held] of this.#held) if (!held.isOrdinary) this.#held.delete(key);
    for (const [index, before] of this.links) this.links.set(index, { ...before, isUp: true, hasCarrier: true });
  }

  #expire(key: string, generation: number): void {
    const held = this.#held.get(key);
    if (held?.generation === generation) this.#remove(key, held);
  }

  #remove(key: string, held: Held): void {
    this.#held.delete(key);
    this.#host.notify({ kind: 'address-gone', address: held.address });
    this.#host.onChange();
  }

  #withRemaining(held: Held): InterfaceAddress {
    if (!Number.isFinite(held.expiresAt)) return held.address;
    const validSeconds = Math.max(0, Math.floor((held.expiresAt - this.#host.now()) / 1000));
    return { ...held.address, validSeconds };
  }
}

function keyOf(ifindex: number, prefix: Prefix): string {
  return `${ifindex}/${prefix.ip.text}/${prefix.length}`;
}

export function link(index: number, name: string, mac: Mac | undefined): Link {
  return {
    index,
    name,
    hardwareType: 1,
    mac,
    mtu: 1500,
    isUp: true,
    hasCarrier: true,
    operState: 6,
    linkKind: undefined,
    master: undefined,
  };
}

export function ipOf(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

export function prefixOf(text: string): Prefix {
  const [address = '', length = ''] = text.split('/');
  return { ip: ipOf(address), length: Number(length) };
}

export function macOf(text: string): Mac {
  const parsed = parseMac(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}
