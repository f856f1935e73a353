/**
 * Makes clients on other machines notice that an address has left this node. The end here of their connections is ended,
 * but over IPv4 the kernel can't tell them: the address that its reset would come from is no longer its own. So each gets
 * a tickle (protocol/ip/tickle.ts) in the name of the connection that was: it answers, the answer goes to who has the
 * address now, and that machine resets what it doesn't know. Said once at once, and once more for who had not moved yet.
 */

import { setImmediate as turn } from 'node:timers/promises';

import { isSameBytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { encodeTickle, type TickleEnd } from '../protocol/ip/tickle.ts';
import type { Log } from '../observe/log.ts';
import type { RawSocket } from '../system/raw-socket.ts';

/** A connection that was, from the end here. */
export interface EndedConnection {
  readonly local: TickleEnd;
  readonly remote: TickleEnd;
}

export interface TicklerOptions {
  /** @throws HoldfastError */
  readonly open: () => RawSocket;
  readonly log: Log;
  /** When it is said again, ms. */
  readonly againMs?: number;
}

export interface Tickler {
  /** Resolves when all were tickled the first time. */
  tickle(ended: readonly EndedConnection[]): Promise<void>;
  /** The address is this node's again: nothing more is said in its name. */
  keep(address: Uint8Array): void;
  close(): void;
}

/** Who hasn't heard of the new holder by then notices by himself. */
const AGAIN_MS = 1000;
/** Connections that wait to be tickled again; further ones are tickled once. */
export const AGAIN_MAX = 32_768;
/** Packets before the event loop gets its turn. */
const PORTION = 64;

export function openTickler(options: TicklerOptions): Tickler {
  return new RawTickler(options);
}

class RawTickler implements Tickler {
  readonly #options: TicklerOptions;
  readonly #again = new Set<EndedConnection>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TicklerOptions) {
    this.#options = options;
  }

  async tickle(ended: readonly EndedConnection[]): Promise<void> {
    if (ended.length === 0) return;
    for (const one of ended) if (this.#again.size < AGAIN_MAX) this.#again.add(one);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#send([...this.#again], (one) => this.#again.delete(one));
    }, this.#options.againMs ?? AGAIN_MS).unref();
    await this.#send(ended, () => true);
  }

  keep(address: Uint8Array): void {
    for (const one of this.#again) if (isSameBytes(one.local.address, address)) this.#again.delete(one);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#again.clear();
  }

  async #send(ended: readonly EndedConnection[], isWanted: (one: EndedConnection) => boolean): Promise<void> {
    let socket: RawSocket | undefined;
    try {
      socket = this.#options.open();
      for (const [index, one] of ended.entries()) {
        if (index > 0 && index % PORTION === 0) await turn();
        if (isWanted(one)) socket.send(encodeTickle(one.local, one.remote), one.remote.address);
      }
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      this.#options.log.warn(error.message, { component: 'vip', code: error.code, remedy: error.remedy });
    } finally {
      socket?.close();
    }
  }
}
