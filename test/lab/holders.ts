/**
 * Who holds an address, from the kernels themselves: a netlink socket in each node's namespace reports every address
 * that comes and goes, on the lab's clock. Decoded here by hand, apart from the product's own netlink codec
 * (rtnetlink(7); struct nlmsghdr, struct ifaddrmsg).
 */

import { parseIp, ipFromBytes } from '../../src/base/ip.ts';
import { nowMs } from './clock.ts';
import type { Lab, LabNode } from './lab.ts';
import { expectNoErrno, inNamespace, netfd } from './namespace.ts';

export interface HolderChange {
  readonly atMs: number;
  readonly address: string;
  /** Names of the nodes that hold it from then on, sorted. */
  readonly holders: readonly string[];
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_PROTO = 11;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV6_IFADDR = 0x100;
const RECEIVE_BYTES = 32_768;

export class HolderWatch {
  readonly changes: HolderChange[] = [];
  readonly #lab: Lab;
  readonly #addresses: readonly string[];
  readonly #sockets = new Map<string, number>();
  /** Address → names of its holders. */
  readonly #holders = new Map<string, Set<string>>();
  /** `node address` → IFA_PROTO, as last reported. */
  readonly #protocols = new Map<string, number | undefined>();
  readonly #waiting = new Set<() => void>();
  readonly #stopListening: () => void;

  constructor(lab: Lab, addresses: readonly string[]) {
    this.#lab = lab;
    this.#addresses = addresses.map((text) => {
      const ip = parseIp(text);
      if (!ip.ok) throw new Error(`${text} is no address`);
      return ip.value.text;
    });
    for (const address of this.#addresses) this.#holders.set(address, new Set());
    for (const node of lab.nodes) this.#attach(node);
    this.#stopListening = lab.onPower((node, isOn) => {
      if (isOn) this.#attach(node);
      else this.#detach(node);
    });
  }

  /** Names of the nodes that hold the address now, sorted. */
  now(address: string): readonly string[] {
    return [...(this.#holders.get(address) ?? [])].toSorted();
  }

  /** The address's protocol (IFA_PROTO: who put it there) as the node's kernel last reported it. */
  protocolOf(node: LabNode, address: string): number | undefined {
    return this.#protocols.get(`${node.name} ${address}`);
  }

  /** Changes of one address since a moment, with the state at that moment first. */
  since(address: string, fromMs: number): readonly HolderChange[] {
    const changes = this.changes.filter((change) => change.address === address);
    const before = changes.findLast((change) => change.atMs < fromMs);
    return [
      { atMs: fromMs, address, holders: before?.holders ?? [] },
      ...changes.filter((change) => change.atMs >= fromMs),
    ];
  }

  /** The longest time, ms, in which two or more nodes of those not `apart` held the address at once. */
  longestOverlapMs(address: string, fromMs: number, apart: readonly string[] = []): number {
    const changes = this.since(address, fromMs);
    let longest = 0;
    let startMs: number | undefined;
    for (const { atMs, holders } of [...changes, { atMs: nowMs(), holders: [] }]) {
      const isShared = holders.filter((name) => !apart.includes(name)).length > 1;
      if (startMs !== undefined) longest = Math.max(longest, atMs - startMs);
      if (!isShared) startMs = undefined;
      else startMs ??= atMs;
    }
    return longest;
  }

  /** Resolves when the holders of all the addresses are as `accept` wants them, now or later; answers the time, ms. */
  until(accept: (holders: readonly (readonly string[])[]) => boolean, deadlineMs = 15_000): Promise<number> {
    return new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        act();
      };
      const look = (): void => {
        if (accept(this.#addresses.map((address) => this.now(address)))) finish(() => resolve(nowMs()));
      };
      const timer = setTimeout(() => {
        const state = this.#addresses.map((address) => `${address}: ${this.now(address).join(' ') || 'nobody'}`);
        finish(() => reject(new Error(`not within ${deadlineMs} ms; ${state.join(', ')}`)));
      }, deadlineMs);
      this.#waiting.add(look);
      look();
    });
  }

  close(): void {
    this.#stopListening();
    for (const fd of this.#sockets.values()) netfd().close(fd);
    this.#sockets.clear();
  }

  #attach(node: LabNode): void {
    const fd = inNamespace(node.namespace, () => {
      const socket = netfd().socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
      expectNoErrno(socket, 'netlink socket');
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK, 0);
      address.writeUInt32LE(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, 8);
      expectNoErrno(netfd().bind(socket, address), 'netlink bind');
      return socket;
    });
    this.#sockets.set(node.name, fd);
    expectNoErrno(
      netfd().watch(fd, () => this.#drain(node, fd)),
      'netlink watch',
    );
    for (const { address } of this.#lab.addresses(node)) this.#note(node, address, true);
  }

  #detach(node: LabNode): void {
    const fd = this.#sockets.get(node.name);
    this.#sockets.delete(node.name);
    if (fd !== undefined) netfd().close(fd);
    for (const address of this.#addresses) this.#note(node, address, false);
  }

  #drain(node: LabNode, fd: number): void {
    for (;;) {
      const datagram = netfd().receive(fd, RECEIVE_BYTES);
      if (typeof datagram === 'number') return;
      for (const { address, isPresent, protocol } of decodeAddressChanges(Buffer.from(datagram.data))) {
        this.#protocols.set(`${node.name} ${address}`, protocol);
        this.#note(node, address, isPresent);
      }
    }
  }

  #note(node: LabNode, address: string, isPresent: boolean): void {
    const holders = this.#holders.get(address);
    if (holders === undefined || holders.has(node.name) === isPresent) return;
    if (isPresent) holders.add(node.name);
    else holders.delete(node.name);
    this.changes.push({ atMs: nowMs(), address, holders: this.now(address) });
    for (const look of this.#waiting) look();
  }
}

interface AddressChange {
  readonly address: string;
  readonly isPresent: boolean;
  readonly protocol: number | undefined;
}

/** Addresses added and removed, from a datagram of rtnetlink messages. */
export function decodeAddressChanges(data: Buffer): readonly AddressChange[] {
  const changes: AddressChange[] = [];
  for (let offset = 0; offset + 16 <= data.length;) {
    const length = data.readUInt32LE(offset);
    const type = data.readUInt16LE(offset + 4);
    if (length < 16) break;
    const message = data.subarray(offset, offset + length);
    if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const { address, protocol } = decodeAddress(message.subarray(16));
      if (address !== undefined) changes.push({ address, isPresent: type === RTM_NEWADDR, protocol });
    }
    offset += (length + 3) & ~3;
  }
  return changes;
}

/** IFA_LOCAL where there is one (IPv4), else IFA_ADDRESS. */
function decodeAddress(payload: Buffer): {
  readonly address: string | undefined;
  readonly protocol: number | undefined;
} {
  let found: Buffer | undefined;
  let protocol: number | undefined;
  for (let offset = 8; offset + 4 <= payload.length;) {
    const length = payload.readUInt16LE(offset);
    const type = payload.readUInt16LE(offset + 2);
    if (length < 4) break;
    const value = payload.subarray(offset + 4, offset + length);
    if (type === IFA_LOCAL || (type === IFA_ADDRESS && found === undefined)) found = value;
    if (type === IFA_PROTO) protocol = value[0];
    offset += (length + 3) & ~3;
  }
  const isAddress = found?.length === 4 || found?.length === 16;
  return { address: found !== undefined && isAddress ? ipFromBytes(found).text : undefined, protocol };
}
