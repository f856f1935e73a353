/**
 * Ends TCP connections of this node that an address has left behind. While a node holds a VIP, its own clients of that VIP
 * (kube-proxy, the kubelet) have it at both ends of their connections; when it goes, their packets have a source that is
 * nobody's here, the kernel sends none of them, and no side learns of it: such a client waits for its own time-outs, half
 * a minute and more. Ended, it sees ECONNABORTED at once and connects again, to the new holder.
 *
 * Which ones: those whose local address has left; and those to it from another address of this node whose other end is
 * here too. A connection to it whose other end is elsewhere, made by the new holder's grace a moment ago, stays.
 * Only this process's network namespace: Pods' own connections are theirs.
 *
 * All addresses that leave close together cost one dump per family. It runs beside the loop, in small portions.
 */

import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';

import { HoldfastError } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import type { Endpoint, TcpSocket } from '../protocol/netlink/sock-diag.ts';
import type { Log } from '../observe/log.ts';
import { errnoName } from '../system/errno.ts';
import type { SockDiag } from '../system/sock-diag.ts';

export interface ConnectionEnderOptions {
  /** Opens the socket for one go. @throws HoldfastError */
  readonly open: () => SockDiag;
  readonly log: Log;
  readonly onEnded: (address: string, count: number) => void;
}

export interface ConnectionEnder {
  /** These addresses have left the kernel: ends their connections, soon. */
  end(addresses: readonly Ip[]): void;
  /** The address comes back: connections with it are none of ours to end any more. */
  keep(address: Ip): void;
  /** Resolves when nothing is left to be ended. */
  settled(): Promise<void>;
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
  #run: Promise<void> | undefined;
  #isUnable = false;

  constructor(options: ConnectionEnderOptions) {
    this.#options = options;
  }

  end(addresses: readonly Ip[]): void {
    if (this.#isUnable) return;
    for (const address of addresses) {
      if (this.#waiting.size < ADDRESSES_MAX) this.#waiting.set(keyOf(address.bytes), address);
    }
    if (this.#waiting.size > 0) this.#run ??= this.#work();
  }

  keep(address: Ip): void {
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
      while (this.#waiting.size > 0) await this.#endAll();
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
    const ended = new Map<string, number>();
    const diag = this.#options.open();
    try {
      for (let listing = 1; listing <= LISTINGS_MAX; listing += 1) {
        const found = await this.#find(diag);
        const count = await this.#destroy(diag, found, ended);
        if (found.length < CONNECTIONS_MAX || count === 0) break;
      }
    } finally {
      diag.close();
      this.#tell(ended, Math.round(performance.now() - startedAt));
    }
  }

  /** The connections that can't go on, CONNECTIONS_MAX at most. */
  async #find(diag: SockDiag): Promise<readonly TcpSocket[]> {
    for (let attempt = 1; ; attempt += 1) {
      const left: TcpSocket[] = [];
      const toward: TcpSocket[] = [];
      const sort = (socket: TcpSocket): void => {
        if (left.length + toward.length >= CONNECTIONS_MAX) return;
        if (this.#leaving.has(keyOf(socket.local.address))) left.push(socket);
        else if (this.#leaving.has(keyOf(socket.remote.address))) toward.push(socket);
      };
      const addresses = [...this.#leaving.values()];
      const hasIpv4 = addresses.some(({ family }) => family === 'ipv4');
      let errno = hasIpv4 ? await diag.list('AF_INET', addresses.filter(isIpv4), sort) : 0;
      // IPv4 addresses too: an AF_INET6 socket can have them.
      if (errno === 0) errno = await diag.list('AF_INET6', addresses, sort);
      if (errno === 0) {
        const farEnds = new Set(left.map(({ local, remote }) => pairOf(remote, local)));
        return [...left, ...toward.filter(({ local, remote }) => farEnds.has(pairOf(local, remote)))];
      }
      if (LASTING.has(errno) || attempt === ATTEMPTS_MAX) throw refusalOf(errno, 'listing connections');
      await turn();
    }
  }

  async #destroy(diag: SockDiag, sockets: readonly TcpSocket[], ended: Map<string, number>): Promise<number> {
    let count = 0;
    for (const [index, socket] of sockets.entries()) {
      if (index > 0 && index % PORTION === 0) await turn();
      const address = this.#leaving.get(keyOf(socket.local.address)) ?? this.#leaving.get(keyOf(socket.remote.address));
      if (address === undefined) continue;
      const errno = diag.destroy(socket);
      if (LASTING.has(errno) && errno !== ENOENT) throw refusalOf(errno, 'ending a connection');
      if (errno !== 0) continue; // ended by itself, or by the reset that its other end sent
      count += 1;
      ended.set(address.text, (ended.get(address.text) ?? 0) + 1);
    }
    return count;
  }

  #tell(ended: ReadonlyMap<string, number>, durationMs: number): void {
    let count = 0;
    for (const [address, some] of ended) {
      count += some;
      this.#options.onEnded(address, some);
    }
    if (count === 0) return;
    const vip = [...ended.keys()].slice(0, NAMED_MAX).join(' ');
    const addresses = ended.size;
    this.#options.log.info('connections of addresses that left ended', {
      component: 'vip',
      vip,
      addresses,
      count,
      durationMs,
    });
  }

  /** Told once where it will not be otherwise next time: then nothing more is tried. */
  #giveUp(error: unknown): void {
    if (!(error instanceof HoldfastError)) throw error;
    const { errno } = error.context;
    this.#isUnable = [...LASTING].some((lasting) => errnoName(lasting) === errno);
    if (this.#isUnable) this.#waiting.clear();
    const { code, remedy } = new HoldfastError('CONNECTIONS_NOT_ENDED', error.message);
    const msg = 'connections of an address that left could not be ended';
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
