/**
 * Ends TCP connections of this node that an address has left behind. While a node holds a VIP, its own clients of that VIP
 * (kube-proxy, the kubelet) have it at both ends of their connections; when it goes, their packets have a source that is
 * nobody's here, the kernel sends none of them, and no side learns of it: such a client waits for its own time-outs, half
 * a minute and more. Ended, it sees ECONNABORTED at once and connects again, to the new holder.
 *
 * Which ones: those whose local address has left; and those to it from another address of this node whose other end is
 * here too. A connection to it whose other end is elsewhere, made by the new holder's grace a moment ago, stays.
 * Where an address has come instead, those to it from this node whose other end isn't here: the former holder's.
 * Only this process's network namespace: Pods' own connections are theirs. Clients elsewhere are told, too (tickler.ts).
 *
 * All addresses that leave close together cost one dump per family. It runs beside the loop, in small portions.
 */

import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';

import { HoldfastError } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import { TCP_ESTABLISHED, type Endpoint, type TcpSocket } from '../protocol/netlink/sock-diag.ts';
import type { Log } from '../observe/log.ts';
import { errnoName } from '../system/errno.ts';
import type { SockDiag } from '../system/sock-diag.ts';
import type { EndedConnection, Tickler } from './tickler.ts';

export interface ConnectionEnderOptions {
  /** Opens the socket for one go. @throws HoldfastError */
  readonly open: () => SockDiag;
  readonly tickler: Tickler;
  readonly log: Log;
  readonly onEnded: (address: string, count: number) => void;
}

export interface ConnectionEnder {
  /** These addresses have left the kernel: ends their connections, soon. */
  end(addresses: readonly Ip[]): void;
  /** These have come to this node: ends its connections to them that were made with the node that had them before. */
  endFormer(addresses: readonly Ip[]): void;
  /** The address comes back: connections with it are none of ours to end any more. */
  keep(address: Ip): void;
  /** Resolves when nothing is left to be ended. */
  settled(): Promise<void>;
}

interface Ended extends EndedConnection {
  /** The one that left. */
  readonly address: string;
  /** Its other end is on another machine, and over IPv4: over IPv6 the kernel's own reset gets there. */
  readonly isUntold: boolean;
}

/** Addresses that wait for their turn; connections of further ones are left to their time-outs. */
export const ADDRESSES_MAX = 16_384;
/** Connections kept in memory of one listing; what is left then, another one finds, LISTINGS_MAX in one go. */
export const CONNECTIONS_MAX = 32_768;
const LISTINGS_MAX = 16;
/** Connections ended before the event loop gets its turn: about a millisecond. */
const PORTION = 64;
/** Listings that broke off are begun again so often. */
const ATTEMPTS_MAX = 3;
/** Addresses named in a line of the log. */
const NAMED_MAX = 8;

const { ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT } = constants.errno;
/** What won't be otherwise next time: no such kernel feature or module, or no right to use it. */
const LASTING: ReadonlySet<number> = new Set([ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT]);

export function openConnectionEnder(options: ConnectionEnderOptions): ConnectionEnder {
  return new SockDiagEnder(options);
}

class SockDiagEnder implements ConnectionEnder {
  readonly #options: ConnectionEnderOptions;
  /** By key of the address: those that wait, and those whose connections are being ended. */
  readonly #waiting = new Map<string, Ip>();
  #leaving = new Map<string, Ip>();
  /** Likewise, of those that came. */
  readonly #newcomers = new Map<string, Ip>();
  #arriving = new Map<string, Ip>();
  #run: Promise<void> | undefined;
  #isUnable = false;

  constructor(options: ConnectionEnderOptions) {
    this.#options = options;
  }

  end(addresses: readonly Ip[]): void {
    for (const { bytes } of addresses) this.#arriving.delete(keyOf(bytes));
    this.#enqueue(addresses, this.#waiting);
  }

  endFormer(addresses: readonly Ip[]): void {
    this.#enqueue(addresses, this.#newcomers);
  }

  #enqueue(addresses: readonly Ip[], queue: Map<string, Ip>): void {
    if (this.#isUnable) return;
    for (const address of addresses) {
      if (queue.size < ADDRESSES_MAX) queue.set(keyOf(address.bytes), address);
    }
    if (queue.size > 0) this.#run ??= this.#work();
  }

  keep(address: Ip): void {
    this.#options.tickler.keep(address.bytes);
    if (this.#run === undefined) return;
    const key = keyOf(address.bytes);
    this.#waiting.delete(key);
    this.#leaving.delete(key);
  }

  settled(): Promise<void> {
    return this.#run ?? Promise.resolve();
  }

  async #work(): Promise<void> {
    try {
      // What else goes in this turn of the loop comes along.
      await turn();
      while (this.#waiting.size + this.#newcomers.size > 0) await this.#endAll();
    } catch (error) {
      this.#giveUp(error);
    } finally {
      this.#run = undefined;
    }
  }

  async #endAll(): Promise<void> {
    const startedAt = performance.now();
    this.#leaving = new Map(this.#waiting);
    this.#waiting.clear();
    this.#arriving = new Map(this.#newcomers);
    this.#newcomers.clear();
    const ended: Ended[] = [];
    const diag = this.#options.open();
    try {
      for (let listing = 1; listing <= LISTINGS_MAX; listing += 1) {
        const before = ended.length;
        const found = await this.#find(diag);
        await this.#destroy(diag, found, ended);
        if (found.length < CONNECTIONS_MAX || ended.length === before) break;
      }
    } finally {
      diag.close();
      this.#tell(ended, Math.round(performance.now() - startedAt));
    }
    await this.#options.tickler.tickle(ended.filter(({ isUntold }) => isUntold));
  }

  /** The connections that can't go on, CONNECTIONS_MAX at most. */
  async #find(diag: SockDiag): Promise<readonly TcpSocket[]> {
    for (let attempt = 1; ; attempt += 1) {
      const left: TcpSocket[] = [];
      const toward: TcpSocket[] = [];
      const arrived: TcpSocket[] = [];
      const sort = (socket: TcpSocket): void => {
        if (left.length + toward.length + arrived.length >= CONNECTIONS_MAX) return;
        const [from, to] = [keyOf(socket.local.address), keyOf(socket.remote.address)];
        if (this.#leaving.has(from)) left.push(socket);
        else if (this.#leaving.has(to)) toward.push(socket);
        else if (this.#arriving.has(from) || this.#arriving.has(to)) arrived.push(socket);
      };
      const addresses = [...this.#leaving.values(), ...this.#arriving.values()];
      const hasIpv4 = addresses.some(({ family }) => family === 'ipv4');
      let errno = hasIpv4 ? await diag.list('AF_INET', addresses.filter(isIpv4), sort) : 0;
      // IPv4 addresses too: an AF_INET6 socket can have them.
      if (errno === 0) errno = await diag.list('AF_INET6', addresses, sort);
      if (errno === 0) {
        const farEnds = new Set([...left, ...arrived].map(({ local, remote }) => pairOf(remote, local)));
        const isWhole = ({ local, remote }: TcpSocket): boolean => farEnds.has(pairOf(local, remote));
        return [...left, ...toward.filter(isWhole), ...arrived.filter((one) => this.#isFormer(one) && !isWhole(one))];
      }
      if (LASTING.has(errno) || attempt === ATTEMPTS_MAX) throw refusalOf(errno, 'listing connections');
      await turn();
    }
  }

  /** Of a client here that went to the address when it was elsewhere, unless its other end turns up here. */
  #isFormer({ state, remote }: TcpSocket): boolean {
    return state === TCP_ESTABLISHED && this.#arriving.has(keyOf(remote.address));
  }

  async #destroy(diag: SockDiag, sockets: readonly TcpSocket[], ended: Ended[]): Promise<void> {
    const here = new Set(sockets.map(({ local, remote }) => pairOf(local, remote)));
    for (const [index, socket] of sockets.entries()) {
      if (index > 0 && index % PORTION === 0) await turn();
      const { local, remote, state } = socket;
      const [from, to] = [keyOf(local.address), keyOf(remote.address)];
      const left = this.#leaving.get(from) ?? this.#leaving.get(to);
      const moved = left ?? this.#arriving.get(to);
      if (moved === undefined) continue;
      const errno = diag.destroy(socket);
      if (LASTING.has(errno) && errno !== ENOENT) throw refusalOf(errno, 'ending a connection');
      // Else it has ended by itself, or by the reset that its other end sent.
      if (errno !== 0) continue;
      const isOpen = left !== undefined && isIpv4(left) && state === TCP_ESTABLISHED;
      ended.push({ local, remote, address: moved.text, isUntold: isOpen && !here.has(pairOf(remote, local)) });
    }
  }

  #tell(ended: readonly Ended[], durationMs: number): void {
    if (ended.length === 0) return;
    const counts = new Map<string, number>();
    for (const { address } of ended) counts.set(address, (counts.get(address) ?? 0) + 1);
    counts.forEach((count, address) => this.#options.onEnded(address, count));
    const vip = [...counts.keys()].slice(0, NAMED_MAX).join(' ');
    const fields = { component: 'vip', vip, addresses: counts.size, count: ended.length, durationMs };
    this.#options.log.info('connections of addresses that moved ended', fields);
  }

  /** Told once where it will not be otherwise next time: then nothing more is tried. */
  #giveUp(error: unknown): void {
    if (!(error instanceof HoldfastError)) throw error;
    const { errno } = error.context;
    this.#isUnable = [...LASTING].some((lasting) => errnoName(lasting) === errno);
    if (this.#isUnable) this.#waiting.clear();
    if (this.#isUnable) this.#newcomers.clear();
    const { code, remedy } = new HoldfastError('CONNECTIONS_NOT_ENDED', error.message);
    const msg = 'connections of an address that moved could not be ended';
    this.#options.log.warn(msg, { component: 'vip', code, remedy, reason: error.message, isLasting: this.#isUnable });
  }
}

function isIpv4({ family }: Ip): boolean {
  return family === 'ipv4';
}

function refusalOf(errno: number, doing: string): HoldfastError {
  const name = errnoName(errno);
  return new HoldfastError('CONNECTIONS_NOT_ENDED', `${doing}: ${name}`, { context: { errno: name } });
}

function keyOf(address: Uint8Array): string {
  return String.fromCharCode(...address);
}

function pairOf(from: Endpoint, to: Endpoint): string {
  return `${keyOf(from.address)}:${from.port} ${keyOf(to.address)}:${to.port}`;
}
