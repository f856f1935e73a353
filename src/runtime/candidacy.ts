/**
 * This node as one candidate among others: its heartbeats and theirs, the key they are made with, the register of the
 * candidates, and what speaks for leaving: a cordoned Node, an API server of its own that isn't well. Everything here
 * becomes events for the core, and the core's two effects about it are performed here.
 *
 * A node that can't be heard (no key yet, or it may not read it) doesn't register: a voter that is silent for good would
 * only make majorities harder to reach.
 */

import { HoldfastError } from '../base/errors.ts';
import { formatPrefix, type Prefix } from '../base/ip.ts';
import type { Effect } from '../agent/effect.ts';
import type { AgentEvent } from '../agent/event.ts';
import type { Config } from '../config/config.ts';
import type { ApiClient } from '../kube/client.ts';
import { findClusterUid, followHeartbeatKey } from '../kube/heartbeat-key.ts';
import { openMembers, type Members, type RegisteredMember } from '../kube/members.ts';
import { watchNode } from '../kube/node-watch.ts';
import type { Member } from '../leader/voters.ts';
import { logFunction, type Log } from '../observe/log.ts';
import { HEARTBEAT_VERSIONS } from '../protocol/heartbeat/heartbeat.ts';
import type { InquiryReply, Question } from '../protocol/heartbeat/inquiry.ts';
import type { InterfaceAddress, KernelChange } from '../protocol/netlink/records.ts';
import type { Kernel } from '../system/kernel.ts';
import type { Netfd } from '../system/netfd.ts';
import { openApiProbe } from './api-probe.ts';
import { openHeartbeats, type Heartbeats } from './heartbeats.ts';
import type { Inquired } from './inquiries.ts';

export interface CandidacyOptions {
  readonly config: Config;
  readonly netfd: Netfd;
  readonly kernel: Pick<Kernel, 'dump'>;
  readonly client: ApiClient;
  readonly log: Log;
  /** Called from start() on. */
  readonly dispatch: (event: AgentEvent) => void;
  /** Heartbeats dropped, by reason. */
  readonly onDrop: (reason: string, count: number) => void;
  /** What is registered beside this node's addresses, for the sake of Services; asked at each registration. */
  readonly facts?: () => string | undefined;
  /** Answers what other nodes ask of this one; never rejects. */
  readonly answer?: (question: Question) => Promise<InquiryReply>;
  /** All members, with what each says of itself. */
  readonly onMembers?: (members: readonly RegisteredMember[]) => void;
}

export interface Candidacy {
  /** Whether this node takes part in heartbeats at all: configured, and the port is ours. */
  readonly isHeartbeating: boolean;
  /** Begins to listen and to watch. */
  start(): void;
  perform(effect: Extract<Effect, { kind: 'heartbeat.send' | 'member.register' }>): void;
  /** Asks a node that is heard; never rejects. */
  inquire(name: string, question: Question): Promise<Inquired>;
  /** The facts have changed: registers this node anew, if it is. */
  factsChanged(): void;
  /** Follows the addresses of this node, to know which peers are on its links. */
  kernelChanged(change: KernelChange): void;
  close(): void;
}

/** The API didn't take the facts: once more after this. */
const FACTS_RETRY_MS = 2_000;

/** Never throws: where heartbeats can't be had, the log says why and the Lease decides alone. */
export function openCandidacy(options: CandidacyOptions): Candidacy {
  return new NodeCandidacy(options);
}

class NodeCandidacy implements Candidacy {
  readonly #options: CandidacyOptions;
  readonly #heartbeats: Heartbeats | undefined;
  readonly #members: Members;
  readonly #closers: (() => void)[] = [];
  /** Addresses of this node, by interface and text. */
  #prefixes = new Map<string, Prefix>();
  #nodeUid: string | undefined;
  #isRegistered = false;
  /** As last registered, and the facts that went with it. */
  #member: Member | undefined;
  #registeredFacts: string | undefined;
  /** Registrations come one after the other: each builds upon the one before. */
  #registering: Promise<unknown> = Promise.resolve();
  #factsTimer: NodeJS.Timeout | undefined;

  constructor(options: CandidacyOptions) {
    this.#options = options;
    const { config, client, log } = options;
    this.#heartbeats = config.heartbeat.isEnabled ? this.#openHeartbeats() : undefined;
    this.#members = openMembers({
      client,
      namespace: config.election.namespace,
      leaseName: config.election.leaseName,
      deadlineMs: config.api.timeoutMs,
      log: logFunction(log),
    });
  }

  get isHeartbeating(): boolean {
    return this.#heartbeats !== undefined;
  }

  start(): void {
    const { config } = this.#options;
    this.#readPrefixes();
    this.#watchNode();
    if (this.#heartbeats !== undefined) {
      this.#followKeys(this.#heartbeats);
      const watch = this.#members.watch((members) => this.#observed(members));
      this.#closers.push(() => watch.stop());
    }
    if (config.isControlPlane && config.api.endpointOverride === undefined) this.#probeApi();
  }

  perform(effect: Extract<Effect, { kind: 'heartbeat.send' | 'member.register' }>): void {
    if (effect.kind === 'heartbeat.send') this.#heartbeats?.send(effect.to, effect.beat);
    else this.#register(effect.member);
  }

  inquire(name: string, question: Question): Promise<Inquired> {
    return this.#heartbeats?.inquire(name, question) ?? Promise.resolve({ ok: false, reason: 'not-ready' });
  }

  kernelChanged(change: KernelChange): void {
    if (change.kind === 'overrun') this.#readPrefixes();
    else if (change.kind === 'address-gone') this.#prefixes.delete(keyOf(change.address));
    else if (change.kind === 'address' && !this.#prefixes.has(keyOf(change.address))) {
      this.#prefixes.set(keyOf(change.address), change.address.prefix);
    } else return; // a renewed lifetime, links and routes: nothing that peers are reached by
    this.#heartbeats?.networkChanged();
  }

  factsChanged(): void {
    const member = this.#member;
    if (member === undefined || this.#heartbeats?.isReady !== true) return;
    clearTimeout(this.#factsTimer);
    void this.#write(member).then((result) => {
      if (result.ok || this.#registeredFacts === this.#options.facts?.()) return;
      this.#factsTimer = setTimeout(() => this.factsChanged(), FACTS_RETRY_MS);
      this.#factsTimer.unref();
    });
  }

  close(): void {
    clearTimeout(this.#factsTimer);
    for (const close of this.#closers.splice(0)) close();
    this.#heartbeats?.close();
  }

  #openHeartbeats(): Heartbeats | undefined {
    const { config, netfd, log, onDrop, dispatch, answer } = this.#options;
    const { port, intervalMs, multiplier } = config.heartbeat;
    try {
      return openHeartbeats({
        netfd,
        self: config.nodeName,
        port,
        silentAfterMs: intervalMs * multiplier,
        log,
        onDrop,
        onHeartbeat: (heartbeat) => dispatch({ kind: 'heartbeat.received', heartbeat }),
        ownPrefixes: () => [...this.#prefixes.values()],
        ...(answer === undefined ? {} : { answer }),
      });
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      const { code, remedy, message: reason } = error;
      log.error('heartbeats are off, the lease decides alone', { component: 'heartbeat', code, reason, remedy });
      return undefined;
    }
  }

  #readPrefixes(): void {
    const { addresses } = this.#options.kernel.dump();
    this.#prefixes = new Map(addresses.map((address) => [keyOf(address), address.prefix]));
  }

  #followKeys(heartbeats: Heartbeats): void {
    const { config, client, log } = this.#options;
    const common = {
      client,
      namespace: config.election.namespace,
      deadlineMs: config.api.timeoutMs,
      log: logFunction(log.child({ component: 'heartbeat' })),
    };
    const cluster = findClusterUid({ ...common, onUid: (uid) => heartbeats.setClusterId(uid) });
    this.#closers.push(() => cluster.stop());
    if (config.heartbeat.keys.length > 0) {
      heartbeats.setKeys(config.heartbeat.keys.map((key) => new TextEncoder().encode(key)));
      return;
    }
    const key = followHeartbeatKey({ ...common, onKeys: (keys) => heartbeats.setKeys(keys) });
    this.#closers.push(() => key.stop());
  }

  #register(member: Member): void {
    const { dispatch } = this.#options;
    if (this.#heartbeats?.isReady !== true) {
      dispatch({ kind: 'member.registered', isOk: false, message: 'this node has no heartbeat key yet' });
      return;
    }
    this.#member = member;
    void this.#write(member).then((result) => {
      dispatch({ kind: 'member.registered', isOk: result.ok, message: result.ok ? '' : result.message });
    });
  }

  #write(member: Member): ReturnType<Members['register']> {
    const written = this.#registering.then(() => {
      const facts = this.#options.facts?.();
      const details = {
        apiEndpoint: this.#apiEndpoint(member),
        incarnation: this.#heartbeats?.incarnation ?? '',
        versions: `${HEARTBEAT_VERSIONS.lowest}-${HEARTBEAT_VERSIONS.highest}`,
        owner: this.#owner(),
        ...(facts === undefined ? {} : { facts }),
      };
      return this.#members.register(member, details).then((result) => {
        if (result.ok) this.#registeredFacts = facts;
        return result;
      });
    });
    this.#registering = written.catch(() => undefined);
    return written;
  }

  #owner(): { readonly name: string; readonly uid: string } | undefined {
    return this.#nodeUid === undefined ? undefined : { name: this.#options.config.nodeName, uid: this.#nodeUid };
  }

  /** Where the others may reach this node's API server when theirs is away. */
  #apiEndpoint(member: Member): string | undefined {
    const { isControlPlane, api } = this.#options.config;
    const address = member.addresses[0];
    if (!isControlPlane || api.endpointOverride !== undefined || address === undefined) return undefined;
    return `${address.includes(':') ? `[${address}]` : address}:${api.port}`;
  }

  #observed(members: readonly RegisteredMember[]): void {
    const { client, config, dispatch } = this.#options;
    const others = members.filter((member) => member.name !== config.nodeName);
    client.setPeers(others.flatMap((member) => member.apiEndpoint ?? []));
    this.#options.onMembers?.(members);
    dispatch({
      kind: 'members.observed',
      members: members.map(({ name, addresses, port, isLeaving }) => ({ name, addresses, port, isLeaving })),
    });
    const isRegistered = others.length < members.length;
    if (this.#isRegistered && !isRegistered) {
      // Somebody deleted our entry: the core registers again.
      dispatch({ kind: 'member.registered', isOk: false, message: 'the member Lease of this node was deleted' });
    }
    this.#isRegistered = isRegistered;
  }

  #watchNode(): void {
    const { config, client, log, dispatch } = this.#options;
    let isDraining = false;
    const watch = watchNode({
      client,
      node: config.nodeName,
      deadlineMs: config.api.timeoutMs,
      log: logFunction(log),
      listener: (wish) => {
        this.#nodeUid = wish?.uid;
        if ((wish?.isDraining ?? false) === isDraining) return;
        isDraining = !isDraining;
        log.info(isDraining ? 'the node is to be emptied' : 'the node may be used again', {
          reason: wish?.reason ?? '',
        });
        dispatch({ kind: 'drain', isDraining, source: 'node' });
      },
    });
    this.#closers.push(() => watch.stop());
  }

  #probeApi(): void {
    const { config, client, dispatch } = this.#options;
    const probe = openApiProbe({
      intervalMs: config.apiHealth.intervalMs,
      probe: (look) => client.probeLocal(look),
      onAnswer: (isHealthy, message) => dispatch({ kind: 'api.probed', isHealthy, message }),
    });
    this.#closers.push(() => probe.close());
  }
}

function keyOf(address: InterfaceAddress): string {
  return `${address.ifindex}/${formatPrefix(address.prefix)}`;
}
