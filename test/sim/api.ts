/**
 * The Kubernetes API as a cluster sees it: one election Lease in one store, compare-and-swap on resourceVersion, a watch
 * stream per process that may lag, stall or break, and calls whose answer may be lost after the write has been done.
 * Every call is answered once, by its deadline at the latest.
 */

import type { AgentEvent } from '../../src/agent/event.ts';
import type { ApiFailureKind, LeaseRecord } from '../../src/leader/lease-record.ts';
import type { Member } from '../../src/leader/voters.ts';
import type { Dice } from './dice.ts';
import type { Schedule } from './schedule.ts';

export type LeaseCall =
  | { readonly kind: 'lease.read'; readonly attempt: number }
  | {
      readonly kind: 'lease.create' | 'lease.update';
      readonly attempt: number;
      readonly lease: LeaseRecord;
      readonly stamp: 'acquire' | 'renew';
    };

/** What is wrong between one node and the API, or (node undefined) between everybody and the API. */
export type ApiFault =
  /** Connections are refused: nothing happens, at once. */
  | { readonly kind: 'unreachable' }
  /** Packets to the API vanish. */
  | { readonly kind: 'silent' }
  /** Requests arrive and are done, answers vanish. */
  | { readonly kind: 'deaf' }
  /** The store takes this long (a stalled etcd). */
  | { readonly kind: 'slow'; readonly lowMs: number; readonly highMs: number }
  | { readonly kind: 'error'; readonly failure: ApiFailureKind; readonly probability: number }
  /** The watch is late by this much. */
  | { readonly kind: 'lag'; readonly ms: number };

export interface Write {
  readonly by: number;
  readonly sentAt: number;
  readonly before: LeaseRecord | undefined;
  readonly after: LeaseRecord;
}

export interface ApiOptions {
  readonly schedule: Schedule;
  readonly dice: Dice;
  readonly deadlineMs: number;
  readonly onWrite: (write: Write) => void;
  /** A mutant: compare-and-swap that does not compare. */
  readonly ignoresVersions?: boolean;
}

interface Watch {
  readonly node: number;
  readonly deliver: (event: AgentEvent) => void;
  isConnected: boolean;
  isClosed: boolean;
  lastAt: number;
  /** Changes held back by a silent path. */
  held: AgentEvent[];
}

/** reflector backoff of the real client, ms. */
const RECONNECT_MAX_MS = 2000;

export class SimApi {
  lease: LeaseRecord | undefined;
  /** Who has registered itself: the member Leases. */
  readonly members = new Map<string, Member>();
  readonly #options: ApiOptions;
  readonly #faults = new Map<ApiFault, number | undefined>();
  readonly #watches = new Set<Watch>();
  #version: number;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#version = options.dice.whole(1, 2_000_000);
  }

  /** Begins a fault of one node's path (or everybody's); the function ends it. */
  begin(fault: ApiFault, node: number | undefined): () => void {
    this.#faults.set(fault, node);
    for (const watch of this.#watches) {
      if (fault.kind === 'unreachable' && this.#isMeant(node, watch)) this.#break(watch);
    }
    return () => {
      this.#faults.delete(fault);
      for (const watch of this.#watches) if (this.#isMeant(node, watch)) this.#flushLater(watch);
    };
  }

  isHealthyFor(node: number): boolean {
    for (const at of this.#faults.values()) if (at === undefined || at === node) return false;
    for (const watch of this.#watches) {
      const isCurrent = watch.isConnected && watch.held.length === 0 && watch.lastAt <= this.#options.schedule.now;
      if (watch.node === node && isCurrent) return true;
    }
    return false;
  }

  /** Sends a call; `answer` is called once, unless the process is gone by then (its business). */
  call(node: number, call: LeaseCall, answer: (event: AgentEvent) => void): void {
    const { attempt } = call;
    this.#request(node, {
      perform: (sentAt) => this.#perform(node, call, sentAt),
      fail: (failure) => ({ kind: 'lease.failed', attempt, failure, message: failure }),
      answer,
    });
  }

  /** Writes a node's member Lease. */
  register(node: number, member: Member, answer: (event: AgentEvent) => void): void {
    const done = (isOk: boolean, message: string): AgentEvent => ({ kind: 'member.registered', isOk, message });
    this.#request(node, {
      perform: () => {
        this.members.set(member.name, member);
        for (const watch of this.#watches) if (watch.isConnected) this.#send(watch, this.#membersEvent());
        return done(true, '');
      },
      fail: (failure) => done(false, failure),
      answer,
    });
  }

  /** A node is taken out of the cluster, and its member Lease with it. */
  forget(name: string): void {
    if (!this.members.delete(name)) return;
    for (const watch of this.#watches) if (watch.isConnected) this.#send(watch, this.#membersEvent());
  }

  /** What a look at this node's own API server says. */
  isAnswering(node: number): boolean {
    return (['unreachable', 'silent', 'deaf', 'error'] as const).every((kind) => this.#has(node, kind) === undefined);
  }

  /** Nobody reaches any API server, and nothing else is wrong with it. */
  isAwayForAll(): boolean {
    const faults = [...this.#faults];
    return faults.length > 0 && faults.every(([fault, at]) => at === undefined && fault.kind === 'unreachable');
  }

  #request(
    node: number,
    request: {
      readonly perform: (sentAt: number) => AgentEvent;
      readonly fail: (failure: ApiFailureKind) => AgentEvent;
      readonly answer: (event: AgentEvent) => void;
    },
  ): void {
    const { answer } = request;
    const { schedule, dice, deadlineMs } = this.#options;
    const sentAt = schedule.now;
    let isAnswered = false;
    const once = (event: AgentEvent): void => {
      if (isAnswered) return;
      isAnswered = true;
      answer(event);
    };
    const fail = (failure: ApiFailureKind): void => once(request.fail(failure));
    if (this.#has(node, 'unreachable') !== undefined) {
      schedule.in(dice.between(0.5, 5), () => fail('unreachable'));
      return;
    }
    schedule.in(deadlineMs, () => fail('timeout'));
    if (this.#has(node, 'silent') !== undefined) return;
    const slow = this.#has(node, 'slow');
    const workMs = slow === undefined ? dice.skewed(1, 12) : dice.between(slow.lowMs, slow.highMs);
    schedule.in(dice.skewed(0.2, 3) + workMs, () => {
      const error = this.#has(node, 'error');
      const isRefused = error !== undefined && dice.chance(error.probability);
      const event = isRefused ? request.fail(error.failure) : request.perform(sentAt);
      if (this.#has(node, 'deaf') !== undefined || this.#has(node, 'silent') !== undefined) return;
      schedule.in(dice.skewed(0.2, 3), () => once(event));
    });
  }

  /** Follows the Lease: first what it is, then each change. The function stops it. */
  watch(node: number, deliver: (event: AgentEvent) => void): () => void {
    const watch: Watch = { node, deliver, isConnected: false, isClosed: false, lastAt: 0, held: [] };
    this.#watches.add(watch);
    this.#connect(watch);
    return () => {
      watch.isClosed = true;
      this.#watches.delete(watch);
    };
  }

  /** The stream ends (an API server restarts, 410 Gone): the client lists again. */
  breakWatch(node: number): void {
    for (const watch of this.#watches) if (watch.node === node) this.#break(watch);
  }

  /** Somebody else's `kubectl delete lease`. */
  deleteLease(): void {
    if (this.lease === undefined) return;
    this.#version += 1;
    this.lease = undefined;
    this.#publish();
  }

  /** Somebody else's `kubectl label lease`. */
  touchLease(): void {
    if (this.lease === undefined) return;
    const labels = { ...this.lease.labels, touched: String(this.#version) };
    this.lease = { ...this.lease, labels, resourceVersion: this.#nextVersion() };
    this.#publish();
  }

  #perform(node: number, call: LeaseCall, sentAt: number): AgentEvent {
    const { attempt } = call;
    const before = this.lease;
    const refuse = (failure: ApiFailureKind): AgentEvent => ({
      kind: 'lease.failed',
      attempt,
      failure,
      message: failure,
    });
    if (call.kind === 'lease.read') {
      return before === undefined ? refuse('not-found') : { kind: 'lease.observed', source: 'read', lease: before };
    }
    if (call.kind === 'lease.create' && before !== undefined) return refuse('already-exists');
    if (call.kind === 'lease.update') {
      if (before === undefined) return refuse('not-found');
      const isStale = before.resourceVersion !== call.lease.resourceVersion;
      if (isStale && this.#options.ignoresVersions !== true) return refuse('conflict');
    }
    // The performer stamps wall time; here only that each sending has another matters.
    const sentTime = sentAt.toFixed(6);
    const acquireTime = call.stamp === 'acquire' ? sentTime : call.lease.acquireTime;
    this.lease = { ...call.lease, renewTime: sentTime, acquireTime, resourceVersion: this.#nextVersion() };
    this.#options.onWrite({ by: node, sentAt, before, after: this.lease });
    this.#publish();
    return { kind: 'lease.written', attempt, lease: this.lease };
  }

  #nextVersion(): string {
    this.#version += this.#options.dice.whole(1, 5);
    return String(this.#version);
  }

  #publish(): void {
    for (const watch of this.#watches) if (watch.isConnected) this.#send(watch, this.#leaseEvent());
  }

  #leaseEvent(): AgentEvent {
    return { kind: 'lease.observed', source: 'watch', lease: this.lease };
  }

  #membersEvent(): AgentEvent {
    return { kind: 'members.observed', members: [...this.members.values()] };
  }

  #send(watch: Watch, event: AgentEvent): void {
    const { schedule, dice } = this.#options;
    if (
      this.#has(watch.node, 'silent') !== undefined ||
      this.#has(watch.node, 'deaf') !== undefined ||
      watch.held.length > 0
    ) {
      watch.held.push(event);
      return;
    }
    const lagMs = this.#has(watch.node, 'lag')?.ms ?? 0;
    watch.lastAt = Math.max(watch.lastAt, schedule.now + dice.skewed(0.3, 8) + lagMs);
    schedule.at(watch.lastAt, () => {
      if (!watch.isClosed && watch.isConnected) watch.deliver(event);
    });
  }

  #flushLater(watch: Watch): void {
    const { schedule, dice } = this.#options;
    // TCP sends again after its backoff.
    schedule.in(dice.between(0, 1500), () => {
      const { held } = watch;
      watch.held = [];
      for (const event of held) this.#send(watch, event);
    });
  }

  #break(watch: Watch): void {
    const { schedule, dice } = this.#options;
    if (!watch.isConnected) return;
    watch.isConnected = false;
    watch.held = [];
    schedule.in(dice.between(50, RECONNECT_MAX_MS), () => this.#connect(watch));
  }

  #connect(watch: Watch): void {
    const { schedule, dice } = this.#options;
    if (watch.isClosed || watch.isConnected) return;
    if (
      ['unreachable', 'silent', 'deaf'].some((kind) => this.#has(watch.node, kind as ApiFault['kind']) !== undefined)
    ) {
      schedule.in(dice.between(100, RECONNECT_MAX_MS), () => this.#connect(watch));
      return;
    }
    schedule.in(dice.skewed(1, 30), () => {
      if (watch.isClosed || watch.isConnected) return;
      watch.isConnected = true;
      this.#send(watch, this.#leaseEvent());
      if (this.members.size > 0) this.#send(watch, this.#membersEvent());
    });
  }

  #isMeant(node: number | undefined, watch: Watch): boolean {
    return node === undefined || node === watch.node;
  }

  #has<Kind extends ApiFault['kind']>(node: number, kind: Kind): Extract<ApiFault, { kind: Kind }> | undefined {
    for (const [fault, at] of this.#faults) {
      if (fault.kind === kind && (at === undefined || at === node)) return fault as Extract<ApiFault, { kind: Kind }>;
    }
    return undefined;
  }
}
