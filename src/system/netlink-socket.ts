/**
 * A netlink socket: opens it with the options that make the kernel's answers useful, sends requests, and turns what
 * arrives into messages. What the messages mean is src/protocol/netlink; who waits for which is kernel.ts and sock-diag.ts.
 */

import { constants } from 'node:os';

import { HoldfastError } from '../base/errors.ts';
import { encodeU32 } from '../protocol/netlink/attribute.ts';
import { decodeMessages, type NetlinkMessage } from '../protocol/netlink/message.ts';
import { errnoName } from './errno.ts';
import type { Netfd } from './netfd.ts';

/** linux/socket.h, linux/netlink.h, asm-generic/socket.h. */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
/** Octets of struct sockaddr_nl, and where its nl_pid is. */
const SOCKADDR_BYTES = 12;
const SOCKADDR_PORT_OFFSET = 4;
/** The kernel builds dumps in datagrams of at most 32 KiB, notifications of about 2 KiB (linux/netlink.h). */
const DATAGRAM_BYTES_MAX = 65_536;

export interface NetlinkSocketOptions {
  /** NETLINK_*: which part of the kernel it speaks to. Default: NETLINK_ROUTE. */
  readonly protocol?: number;
  /** RTNLGRP_* to be notified about. */
  readonly groups?: readonly number[];
  /** Octets of receive buffer; beyond the system's limit only with NET_ADMIN. Default: the system's. */
  readonly receiveBufferBytes?: number;
  /** Classic BPF program that decides which datagrams are queued. */
  readonly filter?: Uint8Array;
}

export type Reception =
  | { readonly kind: 'messages'; readonly messages: readonly NetlinkMessage[] }
  /** Nothing is waiting. */
  | { readonly kind: 'empty' }
  /** The kernel had to drop messages (ENOBUFS). */
  | { readonly kind: 'overrun' }
  /** A datagram that did not come from the kernel. */
  | { readonly kind: 'foreign' }
  /** Truncated, or not netlink. */
  | { readonly kind: 'malformed'; readonly reason: string };

export class NetlinkSocket {
  readonly fd: number;
  readonly #netfd: Netfd;

  /** @throws HoldfastError NETLINK_FAILED (CAPABILITY_MISSING for EPERM) when the socket can't be opened. */
  constructor(netfd: Netfd, options: NetlinkSocketOptions = {}) {
    this.#netfd = netfd;
    const { protocol = NETLINK_ROUTE } = options;
    this.fd = check(netfd.socket(AF_NETLINK, SOCK_RAW, protocol), 'opening a netlink socket');
    try {
      this.#configure(options);
    } catch (error) {
      netfd.close(this.fd);
      throw error;
    }
  }

  #configure(options: NetlinkSocketOptions): void {
    // Kernels older than an option refuse it and do without: acknowledgements have no text (< 4.12), dumps no filter (< 4.20).
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
      this.#netfd.setsockopt(this.fd, SOL_NETLINK, option, encodeU32(1));
    }
    const { receiveBufferBytes, filter, groups = [] } = options;
    if (receiveBufferBytes !== undefined) {
      const size = encodeU32(receiveBufferBytes);
      const forced = this.#netfd.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, size);
      if (forced < 0) check(this.#netfd.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUF, size), 'sizing the netlink socket');
    }
    if (filter !== undefined) check(this.#netfd.attachFilter(this.fd, filter), 'filtering the netlink socket');
    // An unbound socket has the kernel's own port, and gets no notifications.
    const address = new Uint8Array(SOCKADDR_BYTES);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
    check(this.#netfd.bind(this.fd, address), 'binding the netlink socket');
    for (const group of groups) {
      const joined = this.#netfd.setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, encodeU32(group));
      check(joined, `joining rtnetlink group ${group}`);
    }
  }

  /** @throws HoldfastError NETLINK_FAILED when the kernel does not take the request. */
  send(message: Uint8Array, doing: string): void {
    check(this.#netfd.send(this.fd, message), doing);
  }

  /** The next datagram, without waiting. @throws HoldfastError NETLINK_FAILED when the socket itself is broken. */
  receive(): Reception {
    const datagram = this.#netfd.receive(this.fd, DATAGRAM_BYTES_MAX);
    if (typeof datagram === 'number') {
      if (datagram === -constants.errno.EAGAIN) return { kind: 'empty' };
      if (datagram === -constants.errno.ENOBUFS) return { kind: 'overrun' };
      check(datagram, 'reading the netlink socket');
      return { kind: 'empty' };
    }
    if (!isFromKernel(datagram.from)) return { kind: 'foreign' };
    if ((datagram.flags & MSG_TRUNC) !== 0) return { kind: 'malformed', reason: 'datagram-truncated' };
    const decoded = decodeMessages(datagram.data);
    return decoded.ok ? { kind: 'messages', messages: decoded.value } : { kind: 'malformed', reason: decoded.reason };
  }

  close(): void {
    this.#netfd.close(this.fd);
  }
}

/**
 * The kernel's refusal as an error. `doing` names the attempt ("adding 10.0.0.1/32 to interface 5"), `text` is the
 * kernel's extended acknowledgement.
 */
export function refusal(errno: number, doing: string, text?: string): HoldfastError {
  const name = errnoName(errno);
  const message = text === undefined ? `${doing}: ${name}` : `${doing}: ${name} (${text})`;
  if (name === 'EPERM') {
    return new HoldfastError('CAPABILITY_MISSING', message, { context: { capability: 'NET_ADMIN', errno: name } });
  }
  return new HoldfastError('NETLINK_FAILED', message, { context: { errno: name } });
}

function check(result: number, doing: string): number {
  if (result < 0) throw refusal(result, doing);
  return result;
}

/** Only the kernel has port 0; any process could otherwise tell us that our address is gone. */
function isFromKernel(from: Uint8Array): boolean {
  return from.subarray(SOCKADDR_PORT_OFFSET, SOCKADDR_PORT_OFFSET + 4).every((octet) => octet === 0);
}
