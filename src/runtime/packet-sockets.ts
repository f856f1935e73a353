/**
 * The packet sockets of this node: one for each interface that frames are sent through or received from. What is wanted
 * is remembered, so that a socket that fails (or can't be opened yet) is opened again until it is no longer wanted: the
 * core goes on believing that it listens.
 */

import { HoldfastError } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Log } from '../observe/log.ts';
import { EXACT_MAX, filteredPrefixes, neighborFilter } from '../protocol/bpf/neighbor-filter.ts';
import { solicitedNodeGroup } from '../protocol/ip/multicast.ts';
import type { Netfd } from '../system/netfd.ts';
import { openPacketSocket, type PacketSocket } from '../system/packet-socket.ts';
import { interpretFrame } from '../vip/wire.ts';
import { frameSieve, type FrameSieve } from './frame-sieve.ts';

export interface PacketSocketsOptions {
  readonly netfd: Netfd;
  readonly log: Log;
  readonly onFrame: (ifindex: number, frame: Uint8Array) => void;
  /** Where there are many addresses: whether news of this one mean anything at the moment. Default: always. */
  readonly isAwaited?: ((address: string) => boolean) | undefined;
}

export interface PacketSockets {
  /**
   * Receives the frames about these addresses, and no others; an empty list closes the interface's socket.
   * @throws HoldfastError as opening a packet socket; it is tried again all the same, while it is wanted.
   */
  listen(ifindex: number, addresses: readonly Ip[]): void;
  /** @throws HoldfastError FRAME_SEND_FAILED, or as opening. */
  send(ifindex: number, frame: Uint8Array): void;
  close(): void;
}

/** Pauses between attempts to listen again: doubled from the first to the last. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;

export function openPacketSockets(options: PacketSocketsOptions): PacketSockets {
  return new InterfaceSockets(options);
}

interface Retry {
  readonly timer: NodeJS.Timeout;
  readonly pauseMs: number;
}

/** More addresses of an interface than the kernel's filter tells apart. */
interface Many {
  readonly texts: Set<string>;
  readonly sieve: FrameSieve;
  /** What the kernel's filter passes. */
  readonly prefixes: { readonly has: (ip: Ip) => boolean };
  /** It does. */
  isApplied: boolean;
}

class InterfaceSockets implements PacketSockets {
  readonly #options: PacketSocketsOptions;
  readonly #sockets = new Map<number, PacketSocket>();
  readonly #wanted = new Map<number, readonly Ip[]>();
  /** The same in other forms. */
  readonly #many = new Map<number, Many>();
  readonly #retries = new Map<number, Retry>();

  constructor(options: PacketSocketsOptions) {
    this.#options = options;
  }

  listen(ifindex: number, addresses: readonly Ip[]): void {
    this.#forgetRetry(ifindex);
    if (addresses.length === 0) {
      this.#wanted.delete(ifindex);
      this.#many.delete(ifindex);
      this.#closeSocket(ifindex);
      return;
    }
    this.#wanted.set(ifindex, addresses);
    if (this.#isExtended(ifindex, addresses)) return;
    if (addresses.length > EXACT_MAX) {
      const texts = new Set(addresses.map(({ text }) => text));
      const [sieve, prefixes] = [frameSieve(addresses), filteredPrefixes(addresses)];
      this.#many.set(ifindex, { texts, sieve, prefixes, isApplied: false });
    } else {
      this.#many.delete(ifindex);
    }
    try {
      this.#apply(ifindex, addresses);
    } catch (error) {
      if (error instanceof HoldfastError) this.#failed(ifindex, error);
      throw error;
    }
  }

  send(ifindex: number, frame: Uint8Array): void {
    this.#socket(ifindex).send(frame);
  }

  close(): void {
    for (const ifindex of this.#retries.keys()) this.#forgetRetry(ifindex);
    for (const ifindex of this.#sockets.keys()) this.#closeSocket(ifindex);
    this.#wanted.clear();
    this.#many.clear();
  }

  /**
   * A few more than there were, which the kernel's filter passes as it is: thousands of addresses that come in portions
   * don't each time make all anew.
   */
  #isExtended(ifindex: number, addresses: readonly Ip[]): boolean {
    const many = this.#many.get(ifindex);
    const socket = this.#sockets.get(ifindex);
    if (many?.isApplied !== true || socket === undefined) return false;
    const added = addresses.filter(({ text }) => !many.texts.has(text));
    const isOnlyMore = many.texts.size + added.length === addresses.length;
    if (!isOnlyMore || !added.every((ip) => many.prefixes.has(ip))) return false;
    for (const ip of added) {
      many.texts.add(ip.text);
      many.sieve.add(ip);
    }
    if (added.some(({ family }) => family === 'ipv6')) this.#join(socket, addresses);
    return true;
  }

  /** Filter and groups: with the groups joined one by one, switches that snoop MLD deliver what asks for the addresses. */
  #apply(ifindex: number, addresses: readonly Ip[]): void {
    const socket = this.#socket(ifindex);
    socket.setFilter(filterFor(addresses, socket.hardwareAddress()));
    this.#join(socket, addresses);
    const many = this.#many.get(ifindex);
    if (many !== undefined) many.isApplied = true;
  }

  #join(socket: PacketSocket, addresses: readonly Ip[]): void {
    socket.setGroups(addresses.filter((ip) => ip.family === 'ipv6').map(solicitedNodeGroup));
  }

  /** Opened deaf; #apply says what it hears. */
  #socket(ifindex: number): PacketSocket {
    const open = this.#sockets.get(ifindex);
    if (open !== undefined) return open;
    const socket = openPacketSocket(this.#options.netfd, {
      ifindex,
      filter: filterFor([], undefined),
      groups: [],
      onFrame: (frame) => {
        if (this.#isMeant(ifindex, frame)) this.#options.onFrame(ifindex, frame);
      },
      onError: (error) => {
        this.#closeSocket(ifindex);
        this.#failed(ifindex, error);
      },
    });
    this.#sockets.set(ifindex, socket);
    return socket;
  }

  /** A thousand addresses of others, announced at once, are no thousand events. What can't be read is told and counted. */
  #isMeant(ifindex: number, frame: Uint8Array): boolean {
    const many = this.#many.get(ifindex);
    if (many === undefined) return true;
    if (!many.sieve.isMeant(frame)) return false;
    const heard = interpretFrame(frame);
    if (!heard.ok) return true;
    const { text } = heard.value.ip;
    return many.texts.has(text) && this.#options.isAwaited?.(text) !== false;
  }

  #failed(ifindex: number, error: HoldfastError, pauseMs = RETRY_MIN_MS): void {
    if (!this.#wanted.has(ifindex)) return;
    if (pauseMs === RETRY_MIN_MS) this.#report(ifindex, error);
    const timer = setTimeout(() => this.#tryAgain(ifindex, pauseMs), pauseMs).unref();
    this.#retries.set(ifindex, { timer, pauseMs });
  }

  #tryAgain(ifindex: number, pauseMs: number): void {
    this.#retries.delete(ifindex);
    const addresses = this.#wanted.get(ifindex);
    if (addresses === undefined) return;
    try {
      this.#apply(ifindex, addresses);
      this.#options.log.info('frames are received again', { component: 'vip', ifindex });
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      this.#failed(ifindex, error, Math.min(RETRY_MAX_MS, pauseMs * 2));
    }
  }

  #report(ifindex: number, error: HoldfastError): void {
    const { code, remedy, message: reason } = error;
    const fields = { component: 'vip', ifindex, code, reason, remedy };
    this.#options.log.warn('frames cannot be received, trying again', fields);
  }

  #forgetRetry(ifindex: number): void {
    clearTimeout(this.#retries.get(ifindex)?.timer);
    this.#retries.delete(ifindex);
  }

  #closeSocket(ifindex: number): void {
    this.#sockets.get(ifindex)?.close();
    this.#sockets.delete(ifindex);
  }
}

function filterFor(addresses: readonly Ip[], ownMac: Mac | undefined): Uint8Array {
  return neighborFilter({
    ipv4: addresses.filter((ip) => ip.family === 'ipv4'),
    ipv6: addresses.filter((ip) => ip.family === 'ipv6'),
    ...(ownMac === undefined ? {} : { ownMac }),
  });
}
