/**
 * Heartbeats in both directions: adds to what the core says who says it, its number, the echo and the tag, and sends it to
 * each voter over every family that both have; turns what arrives into heartbeats that are authentic and of now.
 *
 *     octets ─▶ a heartbeat of a version we read ─▶ of this cluster ─▶ right tag ─▶ not our own ─▶ not kept waiting
 *            ─▶ not a replay (heartbeat-peer.ts) ─▶ the core
 *
 * Everything else changes nothing, is counted by reason and told in the log, rate-limited. Until key and cluster id are
 * known nothing is sent or believed.
 */

import { randomBytes } from 'node:crypto';
import { isSameBytes } from '../base/bytes.ts';
import { parseIp, prefixContains, type Family, type Ip, type Prefix } from '../base/ip.ts';
import type { Effect } from '../agent/effect.ts';
import type { Heartbeat, Voter } from '../leader/view.ts';
import type { Log } from '../observe/log.ts';
import {
  CLUSTER_ID_LENGTH,
  commonVersion,
  DATAGRAM_MAX,
  decodeHeartbeat,
  encodeHeartbeat,
  HEARTBEAT_VERSIONS,
  INCARNATION_LENGTH,
  type HeartbeatDatagram,
} from '../protocol/heartbeat/heartbeat.ts';
import { isInquiry, type InquiryReply, type Question } from '../protocol/heartbeat/inquiry.ts';
import {
  heartbeatTarget,
  openHeartbeatSocket,
  type HeartbeatSocket,
  type HeartbeatTarget,
  type ReceivedDatagram,
} from '../system/heartbeat-socket.ts';
import type { Netfd } from '../system/netfd.ts';
import { DropLog } from './drop-log.ts';
import { isTagOf, KeyRing, tagOf } from './heartbeat-keys.ts';
import { HeartbeatPeer, incarnationEcho, incarnationText, type OwnEcho } from './heartbeat-peer.ts';
import { Inquiries, type Inquired } from './inquiries.ts';

type Beat = Extract<Effect, { kind: 'heartbeat.send' }>['beat'];

export interface HeartbeatsOptions {
  readonly netfd: Netfd;
  /** This node's name: printable ASCII. */
  readonly self: string;
  readonly port: number;
  /** Silence after which a voter isn't heard any more, ms. A datagram that waited longer in a buffer is no news. */
  readonly silentAfterMs: number;
  readonly log: Log;
  readonly onHeartbeat: (heartbeat: Heartbeat) => void;
  /** Datagrams dropped, by reason: for the metrics. */
  readonly onDrop: (reason: string, count: number) => void;
  /** Addresses of this node with their prefix lengths: a peer inside one of them is on the same link. */
  readonly ownPrefixes: () => readonly Prefix[];
  /** Answers what others ask; never rejects. Without it nobody is answered. */
  readonly answer?: (question: Question) => Promise<InquiryReply>;
  /** Default performance.now. */
  readonly now?: () => number;
}

export interface Heartbeats {
  /** Of this run, 16 hexadecimal digits. */
  readonly incarnation: string;
  /** Key and cluster id are known: this node can be heard. */
  readonly isReady: boolean;
  /** Performs the effect of kind 'heartbeat.send'. */
  send(to: readonly Voter[], beat: Beat): void;
  /** Asks a node that is heard. Never rejects. */
  inquire(name: string, question: Question): Promise<Inquired>;
  /** The keys that hold now, the newest first. */
  setKeys(secrets: readonly Uint8Array[]): void;
  /** A UUID. */
  setClusterId(uid: string): void;
  /** Addresses of this node changed. */
  networkChanged(): void;
  close(): void;
}

/** Why a datagram was dropped, where somebody should know: what it means. */
const MEANINGS: Readonly<Record<string, string>> = {
  truncated: 'a heartbeat that was cut off',
  oversized: 'a datagram longer than any heartbeat',
  'not-heartbeat': 'something else is sent to this port',
  'bad-version': 'a heartbeat whose versions contradict each other',
  'bad-length': 'a heartbeat of the wrong length',
  'bad-name': 'a heartbeat whose sender has no name of a node',
  'future-version': 'the sender speaks only a later version than this one: upgrade this node',
  'past-version': 'the sender speaks only an earlier version than this one: upgrade the sender',
  'inquiry-other-version': 'a question of a later version than this one: upgrade this node',
  'foreign-cluster':
    'a heartbeat of another cluster: give each cluster its own vip_heartbeat_port, or separate their networks',
  'unknown-key':
    'a heartbeat with a key this node does not have: compare the Secret holdfast-heartbeat, or vip_heartbeat_key',
  forged: 'the tag is wrong: the heartbeat was made or changed by somebody without the key',
  'duplicate-name': 'another process calls itself by the name of this node: give each node its own vip_nodename',
  replayed: 'a heartbeat that was received before, or of a run of the sender that is over',
  unproven:
    'the sender goes on not hearing this node (is UDP blocked in that direction?), or recorded heartbeats are sent',
};
/** Unproven ones in a row that are no matter of starting up any more. */
const UNPROVEN_MAX = 50;
const PEERS_MAX = 512;
/** Lists that are sent to: voters, members without a vote. */
const AIMS_MAX = 2;
const SEQUENCE_MAX = 0xffff_ffff;
/** The kernel's count of dropped datagrams is read once in so many rounds. */
const DROPS_READ_EVERY = 100;

/** @throws HoldfastError as openHeartbeatSocket. */
export function openHeartbeats(options: HeartbeatsOptions): Heartbeats {
  return new RunningHeartbeats(options);
}

/** Whether heartbeats can carry this name. */
export function isSendableName(name: string): boolean {
  return /^[\x21-\x7e]{1,253}$/.test(name);
}

type Aim = ReadonlyMap<Voter, readonly HeartbeatTarget[]>;

class RunningHeartbeats implements Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #now: () => number;
  readonly #socket: HeartbeatSocket;
  readonly #keys: KeyRing;
  readonly #drops: DropLog;
  readonly #inquiries: Inquiries;
  readonly #peers = new Map<string, HeartbeatPeer>();
  #clusterId: Uint8Array | undefined;
  #incarnation: Uint8Array = randomBytes(INCARNATION_LENGTH);
  #sequence = 0;
  #kernelDrops = 0;
  /** Where those are reached whom we send to: the voters, and those without a vote. */
  readonly #aims = new Map<readonly Voter[], Aim>();

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#now = options.now ?? ((): number => performance.now());
    this.#keys = new KeyRing(this.#now);
    this.#drops = new DropLog({ log: options.log, onDrop: options.onDrop, now: this.#now, meanings: MEANINGS });
    this.#inquiries = new Inquiries({
      self: options.self,
      keys: this.#keys,
      now: this.#now,
      silentAfterMs: options.silentAfterMs,
      identity: () =>
        this.#clusterId === undefined
          ? undefined
          : { clusterId: this.#clusterId, incarnation: this.#incarnation, sequence: this.#sequence },
      peer: (name) => this.#peers.get(name),
      send: (name, datagram) => this.#sendTo(name, datagram),
      answer: options.answer,
      onDrop: (reason, peer) => this.#drops.drop(reason, peer),
    });
    this.#socket = openHeartbeatSocket(options.netfd, {
      port: options.port,
      capacity: DATAGRAM_MAX,
      onDatagram: (datagram) => this.#receive(datagram),
    });
  }

  get incarnation(): string {
    return incarnationText(this.#incarnation);
  }

  get isReady(): boolean {
    return this.#clusterId !== undefined && this.#keys.sending !== undefined;
  }

  send(to: readonly Voter[], beat: Beat): void {
    const key = this.#keys.sending;
    const clusterId = this.#clusterId;
    if (key === undefined || clusterId === undefined) return;
    const aim = this.#aim(to);
    this.#count();
    for (const voter of to) {
      const peer = this.#peer(voter.name);
      const echo = peer.echo(this.#now(), this.#options.silentAfterMs);
      const covered = encodeHeartbeat({
        ...beat,
        isAnswering: this.#options.answer !== undefined,
        version: versionFor(peer),
        versions: HEARTBEAT_VERSIONS,
        clusterId,
        incarnation: this.#incarnation,
        sequence: this.#sequence,
        echoIncarnation: echo?.incarnation ?? 0,
        echoSequence: echo?.sequence ?? 0,
        keyId: key.id,
        sender: this.#options.self,
      });
      const datagram = Buffer.concat([covered, tagOf(key, covered)]);
      for (const target of aim.get(voter) ?? []) this.#socket.send(datagram, target);
    }
  }

  inquire(name: string, question: Question): Promise<Inquired> {
    return this.#inquiries.ask(name, question);
  }

  setKeys(secrets: readonly Uint8Array[]): void {
    this.#keys.offer(secrets);
  }

  setClusterId(uid: string): void {
    const octets = Buffer.from(uid.replaceAll('-', ''), 'hex');
    if (octets.length === CLUSTER_ID_LENGTH) this.#clusterId = octets;
  }

  networkChanged(): void {
    this.#aims.clear();
  }

  close(): void {
    this.#inquiries.close();
    this.#socket.close();
  }

  /** Works out where somebody is reached, when that changed: the first address of each family. */
  #aim(to: readonly Voter[]): Aim {
    const known = this.#aims.get(to);
    if (known !== undefined) return known;
    const addresses = new Map(to.map((voter) => [voter, addressesOf(voter, this.#socket.families)]));
    const aim: Aim = new Map(
      [...addresses].map(([voter, list]) => [voter, list.map((address) => heartbeatTarget(address, voter.port))]),
    );
    this.#aims.set(to, aim);
    for (const oldest of this.#aims.keys()) {
      if (this.#aims.size <= AIMS_MAX) break;
      this.#aims.delete(oldest);
    }
    const own = this.#options.ownPrefixes();
    const isOnLink = (address: Ip): boolean => own.some((prefix) => prefixContains(prefix, address));
    const all = [...this.#aims.keys()].flatMap((list) =>
      list.flatMap((voter) => addressesOf(voter, this.#socket.families)),
    );
    this.#socket.setOnLink(all.length > 0 && all.every(isOnLink));
    return aim;
  }

  /** The number of the next round. All datagrams of a round carry it: the second family's copy is known by it. */
  #count(): void {
    if (this.#sequence === SEQUENCE_MAX) {
      this.#incarnation = randomBytes(INCARNATION_LENGTH);
      this.#sequence = 0;
    }
    this.#sequence += 1;
    if (this.#sequence % DROPS_READ_EVERY !== 0) return;
    const { dropped } = this.#socket.counters();
    if (dropped > this.#kernelDrops) this.#options.onDrop('by-kernel', dropped - this.#kernelDrops);
    this.#kernelDrops = dropped;
  }

  #receive(datagram: ReceivedDatagram): void {
    // Every heartbeat comes over each family: the second time it costs a comparison.
    for (const peer of this.#peers.values()) if (peer.isCopy(datagram.data, datagram.family)) return;
    const decoded = decodeHeartbeat(datagram.data);
    if (!decoded.ok) {
      if (isInquiry(datagram.data)) return this.#inquiries.receive(datagram);
      return this.#drops.drop(decoded.reason, datagram.from().text);
    }
    if (this.#clusterId === undefined) return this.#drops.drop('not-ready', datagram.from().text);
    const { beat, covered, tag } = decoded.value;
    if (!isSameBytes(beat.clusterId, this.#clusterId)) return this.#drops.drop('foreign-cluster', datagram.from().text);
    const key = this.#keys.find(beat.keyId);
    if (key === undefined) return this.#drops.drop('unknown-key', datagram.from().text);
    if (!isTagOf(key, covered, tag)) return this.#drops.drop('forged', datagram.from().text);
    // From here on the sender is who it says.
    if (beat.sender === this.#options.self) {
      const isReflected = isSameBytes(beat.incarnation, this.#incarnation);
      return this.#drops.drop(isReflected ? 'reflected' : 'duplicate-name', datagram.from().text);
    }
    if (datagram.waitedMs > this.#options.silentAfterMs) return this.#drops.drop('stale', beat.sender);
    this.#judge(beat, datagram);
  }

  #judge(beat: HeartbeatDatagram, { data, family }: ReceivedDatagram): void {
    const peer = this.#peer(beat.sender);
    const own: OwnEcho = { incarnation: incarnationEcho(this.#incarnation), sequence: this.#sequence };
    const verdict = peer.take(beat, family, own, this.#now());
    switch (verdict) {
      case 'fresh':
        peer.keep(data, family);
        return this.#options.onHeartbeat(heartbeatOf(beat, peer.incarnation));
      case 'duplicate':
        return;
      case 'replayed':
        return this.#drops.drop('replayed', beat.sender);
      case 'unproven': {
        const isStarting = peer.unprovenCount <= UNPROVEN_MAX;
        return this.#drops.drop(isStarting ? 'unproven-yet' : 'unproven', beat.sender);
      }
    }
  }

  /** Over every family that its heartbeats go by. */
  #sendTo(name: string, datagram: Uint8Array): boolean {
    let isSent = false;
    const aims = [...this.#aims.values()].flatMap((aim) => [...aim]);
    // Somebody who got a vote a moment ago may be in both lists.
    const [, targets = []] = aims.findLast(([voter]) => voter.name === name) ?? [];
    for (const target of targets) isSent = this.#socket.send(datagram, target) || isSent;
    return isSent;
  }

  #peer(name: string): HeartbeatPeer {
    const known = this.#peers.get(name);
    if (known !== undefined) return known;
    const peer = new HeartbeatPeer();
    this.#peers.set(name, peer);
    for (const oldest of this.#peers.keys()) {
      if (this.#peers.size <= PEERS_MAX) break;
      this.#peers.delete(oldest);
    }
    return peer;
  }
}

/** To somebody not heard yet the lowest version, which whoever has any version in common understands first. */
function versionFor(peer: HeartbeatPeer): number {
  const theirs = peer.versions;
  const common = theirs === undefined ? undefined : commonVersion(HEARTBEAT_VERSIONS, theirs);
  return common ?? HEARTBEAT_VERSIONS.lowest;
}

/** The first address of each family. */
function addressesOf(voter: Voter, families: readonly Family[]): readonly Ip[] {
  const addresses = voter.addresses.flatMap((text) => {
    const parsed = parseIp(text);
    return parsed.ok ? [parsed.value] : [];
  });
  return families.flatMap((family) => addresses.find((one) => one.family === family) ?? []);
}

function heartbeatOf(beat: HeartbeatDatagram, incarnation: string): Heartbeat {
  const { sender, sequence, epoch, hears, supports, term, priority } = beat;
  const { isApiWorking, isEligible, isDraining, isHolding, isLeading, isProvisional, misses, intervalMs } = beat;
  return {
    sender,
    incarnation,
    sequence,
    epoch,
    hears,
    supports,
    term,
    priority,
    isApiWorking,
    isEligible,
    isDraining,
    isHolding,
    isLeading,
    isProvisional,
    misses,
    intervalMs,
  };
}
