/**
 * TCP sockets of the network namespace over NETLINK_SOCK_DIAG: listed, and ended one by one. A dump is read a datagram at a
 * time with the event loop's turn in between, for a busy machine has many thousands of sockets; ending one is a request
 * that the kernel answers while it is being sent.
 */

import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';

import type { Ip } from '../base/ip.ts';
import { decodeAcknowledgement } from '../protocol/netlink/ack.ts';
import { NLMSG_DONE, NLMSG_ERROR } from '../protocol/netlink/constants.ts';
import type { NetlinkMessage } from '../protocol/netlink/message.ts';
import {
  CONNECTION_STATES,
  decodeSocket,
  encodeSocketDestroy,
  encodeSocketDump,
  NETLINK_SOCK_DIAG,
  SOCK_DIAG_BY_FAMILY,
  type SocketFamily,
  type TcpSocket,
} from '../protocol/netlink/sock-diag.ts';
import type { Netfd } from './netfd.ts';
import { NetlinkSocket } from './netlink-socket.ts';

export interface SockDiag {
  /**
   * Tells `onSocket` of every connection of the family that has one of `addresses` at either end, and of others where
   * there are too many addresses to ask for. Answers 0, or the errno (positive) that ended it before its end: ENOENT where
   * the kernel has no inet_diag or tcp_diag, ETIMEDOUT, EBADMSG and ENOBUFS for an answer that didn't come whole.
   */
  list(family: SocketFamily, addresses: readonly Ip[], onSocket: (socket: TcpSocket) => void): Promise<number>;
  /** Ends the connection. 0: done; ENOENT: it has ended meanwhile; EOPNOTSUPP: the kernel can't; EPERM: we may not. */
  destroy(socket: TcpSocket): number;
  close(): void;
}

/** How long the next part of an answer, normally there when it is looked for, is waited for. */
const SILENCE_MS_MAX = 1000;
const { EBADMSG, ENOBUFS, ETIMEDOUT } = constants.errno;

/**
 * Opens the socket, in the network namespace of the calling thread.
 * @throws HoldfastError NETLINK_FAILED when the kernel has no NETLINK_SOCK_DIAG.
 */
export function openSockDiag(netfd: Netfd): SockDiag {
  return new NetlinkSockDiag(netfd);
}

class NetlinkSockDiag implements SockDiag {
  readonly #netfd: Netfd;
  readonly #socket: NetlinkSocket;
  #sequence = 0;

  constructor(netfd: Netfd) {
    this.#netfd = netfd;
    this.#socket = new NetlinkSocket(netfd, { protocol: NETLINK_SOCK_DIAG });
  }

  async list(family: SocketFamily, addresses: readonly Ip[], onSocket: (socket: TcpSocket) => void): Promise<number> {
    this.#sequence += 1;
    const request = encodeSocketDump(this.#sequence, { family, states: CONNECTION_STATES, addresses });
    this.#socket.send(request, 'listing connections');
    let heardAt = this.#netfd.clockMonotonic();
    for (;;) {
      const answer = this.#receive((message) => {
        heardAt = this.#netfd.clockMonotonic();
        if (message.type !== SOCK_DIAG_BY_FAMILY) return;
        const socket = decodeSocket(message.payload);
        if (socket.ok && socket.value !== undefined) onSocket(socket.value);
      });
      if (answer !== undefined) return answer;
      if (this.#netfd.clockMonotonic() > heardAt + SILENCE_MS_MAX) return ETIMEDOUT;
      await turn();
    }
  }

  destroy(socket: TcpSocket): number {
    this.#sequence += 1;
    this.#socket.send(encodeSocketDestroy(this.#sequence, socket), 'ending a connection');
    return this.#receive(() => undefined) ?? ETIMEDOUT;
  }

  close(): void {
    this.#socket.close();
  }

  /** One datagram of the answer to the last request: the errno of its end, or undefined while more is to come. */
  #receive(onMessage: (message: NetlinkMessage) => void): number | undefined {
    const reception = this.#socket.receive();
    switch (reception.kind) {
      case 'messages':
        for (const message of reception.messages) {
          if (message.sequence !== this.#sequence) continue;
          if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) return errnoOf(message);
          onMessage(message);
        }
        return undefined;
      case 'overrun':
        return ENOBUFS;
      case 'malformed':
        return EBADMSG;
      case 'foreign':
      case 'empty':
        return undefined;
    }
  }
}

function errnoOf(message: NetlinkMessage): number {
  const answer = decodeAcknowledgement(message);
  return answer.ok ? answer.value.errno : EBADMSG;
}
