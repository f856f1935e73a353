/**
 * The kernel's links, addresses and default routes over rtnetlink: look at all of them, add and delete addresses, be told
 * of changes. Requests are synchronous, because the kernel answers one while it is being sent: a request costs some ten
 * microseconds, and when addAddress returns, the address is there.
 *
 * Watch first, then dump: a change between the two is then reported again instead of lost. A notification may therefore
 * be older than the dump that was read before it; in the end both say the same.
 */

import { constants } from 'node:os';

import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { formatPrefix } from '../base/ip.ts';
import { decodeAcknowledgement, type Acknowledgement } from '../protocol/netlink/ack.ts';
import {
  encodeAddAddress,
  encodeAddressDump,
  encodeDeleteAddress,
  type AddAddress,
  type DeleteAddress,
} from '../protocol/netlink/address.ts';
import { decodeChange } from '../protocol/netlink/change.ts';
import {
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_OVERRUN,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
} from '../protocol/netlink/constants.ts';
import { encodeNotificationFilter } from '../protocol/netlink/filter.ts';
import { encodeLinkDump } from '../protocol/netlink/link.ts';
import type { NetlinkMessage } from '../protocol/netlink/message.ts';
import type { InterfaceAddress, KernelChange, KernelSnapshot, Link, Route } from '../protocol/netlink/records.ts';
import { encodeMainRouteDump } from '../protocol/netlink/route.ts';
import type { Netfd } from './netfd.ts';
import { NetlinkSocket, refusal } from './netlink-socket.ts';

/** What was read but not used, since the start. */
export interface KernelCounters {
  /** Times the kernel had to drop notifications (ENOBUFS). */
  readonly overruns: number;
  /** Datagrams or messages that could not be decoded. */
  readonly malformed: number;
  /** Datagrams that did not come from the kernel. */
  readonly foreign: number;
  /** Dumps repeated because something changed meanwhile (NLM_F_DUMP_INTR). */
  readonly dumpRetries: number;
}

export interface Kernel {
  /**
   * Every link and address, and the unicast default routes of the main table, of both families.
   * @throws HoldfastError NETLINK_FAILED when the kernel refuses, or changes faster than it can be read.
   */
  dump(): KernelSnapshot;
  /**
   * Adds an address or renews its lifetime; see encodeAddAddress for how it is marked.
   * @throws HoldfastError NETLINK_FAILED; CAPABILITY_MISSING for EPERM.
   */
  addAddress(request: AddAddress): void;
  /** Deletes exactly this address; false when it, or its interface, was not there. @throws as addAddress. */
  deleteAddress(request: DeleteAddress): boolean;
  /** Reports every change from now on, on the event loop. At most once per Kernel. @throws as addAddress. */
  watch(listener: (change: KernelChange) => void): void;
  counters(): KernelCounters;
  close(): void;
}

export interface KernelOptions {
  /** Octets of the notification socket's receive buffer. Default 8 MiB: some ten thousand notifications. */
  readonly receiveBufferBytes?: number;
}

const WATCHED_GROUPS: readonly number[] = [
  RTNLGRP_LINK,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_ROUTE,
];
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** An answer is normally there when send returns; nothing else may be kept waiting for longer. */
const REQUEST_MS_MAX = 500;
const DUMP_MS_MAX = 2000;
const DUMP_ATTEMPTS_MAX = 20;
/** Datagrams per wake-up: the event loop gets its turn in between. Discarding is cheap, hence more of it. */
const DRAIN_MAX = 64;
const DISCARD_MAX = 4096;
const SEQUENCE_MAX = 0xffff_ffff;

const { EADDRNOTAVAIL, ENODEV, ENXIO, ENOENT, ENOBUFS, ETIMEDOUT, EBADMSG } = constants.errno;
/** How the kernel says that an address is not there: no such address; no such interface; no IPv6 on it. */
const ABSENT: ReadonlySet<number> = new Set([EADDRNOTAVAIL, ENODEV, ENXIO]);

/** Opens the request socket, in the network namespace of the calling thread. @throws as Kernel.addAddress. */
export function openKernel(netfd: Netfd, options: KernelOptions = {}): Kernel {
  return new RtnetlinkKernel(netfd, options);
}

type Exchange = Acknowledgement & { readonly isInterrupted: boolean };

class RtnetlinkKernel implements Kernel {
  readonly #netfd: Netfd;
  readonly #receiveBufferBytes: number;
  /** Undefined after an exchange that broke off: its late answers must not reach the next one. */
  #requests: NetlinkSocket | undefined;
  #notifications: NetlinkSocket | undefined;
  /** Notifications were lost and the queue is being emptied; see #drain. */
  #isLossy = false;
  #sequence = 0;
  #counters: { -readonly [Name in keyof KernelCounters]: number } = {
    overruns: 0,
    malformed: 0,
    foreign: 0,
    dumpRetries: 0,
  };

  constructor(netfd: Netfd, options: KernelOptions) {
    this.#netfd = netfd;
    this.#receiveBufferBytes = options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES;
    this.#requests = new NetlinkSocket(netfd);
  }

  dump(): KernelSnapshot {
    const links: Link[] = [];
    const addresses: InterfaceAddress[] = [];
    const defaultRoutes: Route[] = [];
    for (const change of this.#dump(encodeLinkDump, 'listing links')) {
      if (change.kind === 'link') links.push(change.link);
    }
    for (const change of this.#dump(encodeAddressDump, 'listing addresses')) {
      if (change.kind === 'address') addresses.push(change.address);
    }
    for (const family of ['ipv4', 'ipv6'] as const) {
      const encode = (sequence: number): Uint8Array => encodeMainRouteDump(sequence, family);
      for (const change of this.#dump(encode, `listing ${family} routes`)) {
        if (change.kind === 'route' && change.route.family === family) defaultRoutes.push(change.route);
      }
    }
    return { links, addresses, defaultRoutes };
  }

  addAddress(request: AddAddress): void {
    const doing = `adding ${formatPrefix(request.prefix)} to interface ${request.ifindex}`;
    const answer = this.#exchange((sequence) => encodeAddAddress(sequence, request), doing, REQUEST_MS_MAX);
    if (answer.errno !== 0) throw refusal(answer.errno, doing, answer.text);
  }

  deleteAddress(request: DeleteAddress): boolean {
    const doing = `deleting ${formatPrefix(request.prefix)} from interface ${request.ifindex}`;
    const answer = this.#exchange((sequence) => encodeDeleteAddress(sequence, request), doing, REQUEST_MS_MAX);
    if (ABSENT.has(answer.errno)) return false;
    if (answer.errno !== 0) throw refusal(answer.errno, doing, answer.text);
    return true;
  }

  watch(listener: (change: KernelChange) => void): void {
    assert(this.#notifications === undefined, 'a kernel is watched once');
    const socket = new NetlinkSocket(this.#netfd, {
      groups: WATCHED_GROUPS,
      receiveBufferBytes: this.#receiveBufferBytes,
      filter: encodeNotificationFilter(),
    });
    this.#notifications = socket;
    const watched = this.#netfd.watch(socket.fd, () => this.#drain(socket, listener));
    if (watched < 0) throw refusal(watched, 'watching the netlink socket');
  }

  counters(): KernelCounters {
    return { ...this.#counters };
  }

  close(): void {
    this.#requests?.close();
    this.#notifications?.close();
    this.#requests = undefined;
    this.#notifications = undefined;
  }

  /** The entries of one dump, read again from the start for as long as the kernel says that it was inconsistent. */
  #dump(encode: (sequence: number) => Uint8Array, doing: string): readonly KernelChange[] {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS_MAX; attempt += 1) {
      const entries: KernelChange[] = [];
      const answer = this.#exchange(encode, doing, DUMP_MS_MAX, (message) => {
        const change = this.#decode(message);
        if (change !== undefined && change !== 'malformed') entries.push(change);
      });
      // With strict checking, a table that no route was ever put into does not exist.
      if (answer.errno === ENOENT) return [];
      if (answer.errno !== 0 && answer.errno !== ENOBUFS) throw refusal(answer.errno, doing, answer.text);
      if (answer.errno === 0 && !answer.isInterrupted) return entries;
      this.#counters.dumpRetries += 1;
    }
    throw new HoldfastError('NETLINK_FAILED', `${doing}: interrupted ${DUMP_ATTEMPTS_MAX} times by changes`);
  }

  /** Sends one request and reads until its acknowledgement or the end of its dump. */
  #exchange(
    encode: (sequence: number) => Uint8Array,
    doing: string,
    timeoutMs: number,
    onMessage: (message: NetlinkMessage) => void = () => undefined,
  ): Exchange {
    const socket = (this.#requests ??= new NetlinkSocket(this.#netfd));
    const deadline = this.#netfd.clockMonotonic() + timeoutMs;
    this.#sequence = this.#sequence === SEQUENCE_MAX ? 1 : this.#sequence + 1;
    socket.send(encode(this.#sequence), doing);
    let isInterrupted = false;
    for (;;) {
      const reception = socket.receive();
      if (reception.kind === 'messages') {
        for (const message of reception.messages) {
          if (message.sequence !== this.#sequence) continue;
          isInterrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
          if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) {
            onMessage(message);
            continue;
          }
          const answer = decodeAcknowledgement(message);
          if (!answer.ok) return this.#breakOff(EBADMSG, answer.reason);
          return { ...answer.value, isInterrupted };
        }
      } else if (reception.kind === 'overrun') {
        return this.#breakOff(ENOBUFS, 'the answer was lost');
      } else if (reception.kind === 'malformed') {
        return this.#breakOff(EBADMSG, reception.reason);
      } else if (reception.kind === 'foreign') {
        this.#counters.foreign += 1;
      } else {
        pauseOneMs();
      }
      if (this.#netfd.clockMonotonic() > deadline) {
        return this.#breakOff(ETIMEDOUT, `no complete answer within ${timeoutMs} ms`);
      }
    }
  }

  #breakOff(errno: number, text: string): Exchange {
    if (errno === EBADMSG) this.#counters.malformed += 1;
    this.#requests?.close();
    this.#requests = undefined;
    return { errno, text, attributeOffset: undefined, isInterrupted: false };
  }

  /**
   * One wake-up of the notification socket. After an overrun the kernel drops further notifications *silently* until the
   * queue has been emptied (netlink_overrun and netlink_rcv_wake in af_netlink.c). So the queue is emptied first, and only
   * then the overrun reported: a dump made sooner could miss what was dropped after it.
   */
  #drain(socket: NetlinkSocket, listener: (change: KernelChange) => void): void {
    for (let count = 0; count < (this.#isLossy ? DISCARD_MAX : DRAIN_MAX); count += 1) {
      // The listener may have closed us.
      if (this.#notifications !== socket) return;
      const reception = socket.receive();
      switch (reception.kind) {
        case 'empty':
          if (this.#isLossy) {
            this.#isLossy = false;
            listener({ kind: 'overrun' });
          }
          return;
        case 'overrun':
          this.#counters.overruns += 1;
          this.#isLossy = true;
          break;
        case 'malformed':
          this.#counters.malformed += 1;
          this.#isLossy = true;
          break;
        case 'foreign':
          this.#counters.foreign += 1;
          break;
        case 'messages':
          if (!this.#isLossy) this.#deliver(reception.messages, listener);
          break;
      }
    }
  }

  #deliver(messages: readonly NetlinkMessage[], listener: (change: KernelChange) => void): void {
    for (const message of messages) {
      const change = this.#decode(message);
      // What can't be decoded is found by the dump that follows an overrun.
      if (change === 'malformed' || message.type === NLMSG_OVERRUN) this.#isLossy = true;
      else if (change !== undefined) listener(change);
    }
  }

  #decode(message: NetlinkMessage): KernelChange | 'malformed' | undefined {
    const change = decodeChange(message);
    if (change.ok) return change.value;
    this.#counters.malformed += 1;
    return 'malformed';
  }
}

/** For the rare answer that is not there when send returns: sleeps without spinning. */
function pauseOneMs(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}
