/**
 * Performs effects, one function each: machine effects at once (system calls), API effects in the background with their
 * answer as an event. Every lease effect is answered exactly once, whatever happens.
 */

import { lookup } from 'node:dns/promises';
import { HoldfastError, type ErrorCode } from '../base/errors.ts';
import { parseIp, type Ip } from '../base/ip.ts';
import { unreachable } from '../base/assert.ts';
import type { Effect } from '../agent/effect.ts';
import type { AgentEvent } from '../agent/event.ts';
import type { LeaseApi, LeaseResult } from '../kube/lease.ts';
import { performLog, type Log } from '../observe/log.ts';
import type { Kernel } from '../system/kernel.ts';
import type { Netfd } from '../system/netfd.ts';
import type { Candidacy } from './candidacy.ts';
import { openRawSocket } from '../system/raw-socket.ts';
import { openSockDiag } from '../system/sock-diag.ts';
import { openConnectionEnder, type ConnectionEnder } from './connection-ender.ts';
import { openPacketSockets, type PacketSockets } from './packet-sockets.ts';
import { openTickler, type Tickler } from './tickler.ts';

/** What a Kubernetes Event needs; implemented by kube/event-recorder.ts. */
export interface RecordEvent {
  (event: { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }): void;
}

export interface PerformerOptions {
  readonly netfd: Netfd;
  readonly kernel: Kernel;
  readonly lease: LeaseApi;
  readonly recordEvent: RecordEvent;
  readonly candidacy: Pick<Candidacy, 'perform'>;
  /** rtnetlink address protocol that marks an address as ours. */
  readonly addressProtocol: number;
  readonly log: Log;
  readonly dispatch: (event: AgentEvent) => void;
  /** Whether a frame about the address means anything to the core as it is now. */
  readonly isAwaited?: (address: string) => boolean;
  /** So many connections of an address that has left this node were ended. */
  readonly onConnectionsEnded: (address: string, count: number) => void;
  /** The process may end now. */
  readonly onExit: (code: number) => void;
}

export interface Performer {
  perform(effect: Effect): void;
  /** Resolves when what was performed beside the loop on this machine is done: connections ended. */
  settled(): Promise<void>;
  /** Closes the packet sockets, and says nothing more. */
  close(): void;
}

export function openPerformer(options: PerformerOptions): Performer {
  return new RuntimePerformer(options);
}

class RuntimePerformer implements Performer {
  readonly #options: PerformerOptions;
  readonly #sockets: PacketSockets;
  readonly #tickler: Tickler;
  readonly #ender: ConnectionEnder;

  constructor(options: PerformerOptions) {
    this.#options = options;
    this.#sockets = openPacketSockets({
      netfd: options.netfd,
      log: options.log,
      onFrame: (ifindex, frame) => options.dispatch({ kind: 'frame.received', ifindex, frame }),
      isAwaited: options.isAwaited,
    });
    this.#tickler = openTickler({ open: () => openRawSocket(options.netfd), log: options.log });
    this.#ender = openConnectionEnder({
      tickler: this.#tickler,
      open: () => openSockDiag(options.netfd),
      log: options.log,
      onEnded: options.onConnectionsEnded,
    });
  }

  perform(effect: Effect): void {
    const { lease, kernel, log } = this.#options;
    switch (effect.kind) {
      case 'lease.read':
        return this.#answer(effect.attempt, 'read', lease.get());
      case 'lease.create':
        return this.#answer(effect.attempt, 'write', lease.create(effect.lease, effect.stamp));
      case 'lease.update':
        return this.#answer(effect.attempt, 'write', lease.update(effect.lease, effect.stamp));
      case 'address.add':
        this.#ender.keep(effect.prefix.ip);
        return this.#attempt(effect, effect.prefix.ip, () =>
          kernel.addAddress({ ...effect, protocol: this.#options.addressProtocol }),
        );
      case 'address.delete':
        return this.#attempt(effect, effect.prefix.ip, () => void kernel.deleteAddress(effect));
      case 'connections.end':
        return effect.cause === 'left' ? this.#ender.end(effect.addresses) : this.#ender.endFormer(effect.addresses);
      case 'frame.send':
        return this.#attempt(effect, effect.address, () => this.#sockets.send(effect.ifindex, effect.frame));
      case 'capture.set':
        return this.#attempt(effect, effect.addresses[0], () => this.#sockets.listen(effect.ifindex, effect.addresses));
      case 'heartbeat.send':
      case 'member.register':
        return this.#options.candidacy.perform(effect);
      case 'name.resolve':
        return this.#resolve(effect.name);
      case 'event.record':
        return this.#options.recordEvent(effect);
      case 'log':
        return performLog(log, effect);
      case 'exit':
        return this.#options.onExit(effect.code);
      default:
        return unreachable(effect);
    }
  }

  settled(): Promise<void> {
    return this.#ender.settled();
  }

  close(): void {
    this.#tickler.close();
    this.#sockets.close();
  }

  #answer(attempt: number, kind: 'read' | 'write', call: Promise<LeaseResult>): void {
    const { dispatch, log } = this.#options;
    const answered = call.then(
      (result): AgentEvent => {
        if (!result.ok) return { kind: 'lease.failed', attempt, failure: result.failure, message: result.message };
        return kind === 'read'
          ? { kind: 'lease.observed', source: 'read', lease: result.lease }
          : { kind: 'lease.written', attempt, lease: result.lease };
      },
      (error: unknown): AgentEvent => {
        log.error('a lease call failed unexpectedly', { component: 'kube', err: error });
        return { kind: 'lease.failed', attempt, failure: 'server-error', message: String(error) };
      },
    );
    void answered.then(dispatch);
  }

  /** A refused system call is an event like any other: the core decides what follows. */
  #attempt(
    effect: Extract<Effect, { kind: 'address.add' | 'address.delete' | 'frame.send' | 'capture.set' }>,
    address: Ip | undefined,
    call: () => void,
  ): void {
    try {
      call();
    } catch (error) {
      const { code, message } = describe(error);
      this.#options.dispatch({
        kind: 'effect.failed',
        effect: effect.kind,
        ifindex: effect.ifindex,
        address: address?.text ?? '',
        code,
        message,
      });
    }
  }

  #resolve(name: string): void {
    const { dispatch } = this.#options;
    lookup(name, { all: true, order: 'verbatim' }).then(
      (answers) => {
        const addresses = answers.flatMap((answer) => {
          const parsed = parseIp(answer.address);
          return parsed.ok ? [parsed.value] : [];
        });
        dispatch({ kind: 'name.resolved', name, addresses });
      },
      (error: unknown) => dispatch({ kind: 'name.failed', name, message: String(error) }),
    );
  }
}

function describe(error: unknown): { readonly code: ErrorCode; readonly message: string } {
  if (error instanceof HoldfastError) return { code: error.code, message: error.message };
  throw error;
}
