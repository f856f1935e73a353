/**
 * Inquiries in both directions (protocol/heartbeat/inquiry.ts): a question to a node that is heard, its answer; and the
 * questions of others, answered by whoever the options name. They travel as heartbeats do and are believed as heartbeats are:
 *
 *     octets ─▶ well formed ─▶ of this cluster ─▶ right tag ─▶ not our own, not kept waiting ─▶ of the incarnation that proved
 *     itself by heartbeats ─▶ a question: echoes what we sent of late, and its number is new ─▶ answered
 *                          ─▶ an answer: to a question of ours that is open ─▶ taken
 *
 * A question is sent once, over every family, and waited for ANSWER_TIMEOUT_MS. An answer goes where the sender's heartbeats
 * are sent to, never where the question seems to come from.
 */

import { isSameBytes } from '../base/bytes.ts';
import {
  decodeInquiry,
  encodeInquiry,
  type InquiryBody,
  type InquiryDatagram,
  type InquiryReply,
  type Question,
} from '../protocol/heartbeat/inquiry.ts';
import type { ReceivedDatagram } from '../system/heartbeat-socket.ts';
import { isTagOf, tagOf, type KeyRing } from './heartbeat-keys.ts';
import { incarnationEcho, type HeartbeatPeer, type OwnEcho } from './heartbeat-peer.ts';

export interface InquiriesOptions {
  readonly self: string;
  readonly keys: KeyRing;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** A datagram that waited longer in a buffer is no news, ms. */
  readonly silentAfterMs: number;
  /** What our heartbeats say of us; undefined: nothing yet. */
  readonly identity: () => Identity | undefined;
  /** undefined: nothing was ever heard of it. */
  readonly peer: (name: string) => HeartbeatPeer | undefined;
  /** Sends to where the node's heartbeats go; false when that isn't known. */
  readonly send: (name: string, datagram: Uint8Array) => boolean;
  /** Never rejects; undefined: this process answers nothing. */
  readonly answer: ((question: Question) => Promise<InquiryReply>) | undefined;
  readonly onDrop: (reason: string, peer: string) => void;
}

export interface Identity {
  readonly clusterId: Uint8Array;
  readonly incarnation: Uint8Array;
  /** Of our last heartbeat. */
  readonly sequence: number;
}

/** Why there is no answer: this node has no key yet, doesn't hear the other, which is too old to be asked; or none came. */
export type UnansweredReason = 'not-ready' | 'unheard' | 'unable' | 'no-answer';

export type Inquired =
  | { readonly ok: true; readonly reply: InquiryReply }
  | { readonly ok: false; readonly reason: UnansweredReason };

/** A wire that is asked answers within 0.7 s (wire-question.ts), or not at all. */
export const ANSWER_TIMEOUT_MS = 1_200;
/** Who has not been heard for this long isn't asked: members without a vote are heard less often than voters. */
const UNHEARD_MS = 3_000;
/** Questions of ours open at once; more are as good as unanswered. */
const OPEN_MAX = 64;
/** Questions of others being answered at once; more are dropped. */
const ANSWERING_MAX = 64;
/** Numbers are an incarnation's: 32 bits of them outlast it. */
const NUMBER_MAX = 0xffff_ffff;

interface Open {
  readonly to: string;
  readonly question: Question;
  readonly timer: NodeJS.Timeout;
  readonly settle: (inquired: Inquired) => void;
}

export class Inquiries {
  readonly #options: InquiriesOptions;
  readonly #open = new Map<number, Open>();
  #number = 0;
  #answering = 0;

  constructor(options: InquiriesOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  ask(name: string, question: Question): Promise<Inquired> {
    const { identity, keys, peer } = this.#options;
    if (identity() === undefined || keys.sending === undefined) return unanswered('not-ready');
    const asked = peer(name);
    if (asked === undefined || this.#echo(name) === undefined) return unanswered('unheard');
    if (!asked.isAnswering) return unanswered('unable');
    if (this.#open.size >= OPEN_MAX || this.#number >= NUMBER_MAX) return unanswered('no-answer');
    this.#number += 1;
    const number = this.#number;
    const { promise, resolve } = Promise.withResolvers<Inquired>();
    const timer = setTimeout(() => this.#settle(number, { ok: false, reason: 'no-answer' }), ANSWER_TIMEOUT_MS);
    this.#open.set(number, { to: name, question, timer: timer.unref(), settle: resolve });
    const isSent = this.#send(name, number, { kind: 'question', question });
    if (!isSent) this.#settle(number, { ok: false, reason: 'unheard' });
    return promise;
  }

  receive(datagram: ReceivedDatagram): void {
    const { self, keys, silentAfterMs } = this.#options;
    const drop = (reason: string, peer = datagram.from().text): void => this.#options.onDrop(reason, peer);
    const decoded = decodeInquiry(datagram.data);
    if (!decoded.ok) return drop(`inquiry-${decoded.reason}`);
    const own = this.#options.identity();
    if (own === undefined) return drop('not-ready');
    const { inquiry, covered, tag } = decoded.value;
    if (!isSameBytes(inquiry.clusterId, own.clusterId)) return drop('foreign-cluster');
    const key = keys.find(inquiry.keyId);
    if (key === undefined) return drop('unknown-key');
    if (!isTagOf(key, covered, tag)) return drop('forged');
    // From here on the sender is who it says.
    if (inquiry.sender === self) return drop('reflected');
    if (datagram.waitedMs > silentAfterMs) return drop('stale', inquiry.sender);
    const peer = this.#options.peer(inquiry.sender);
    if (peer?.isOf(inquiry.incarnation) !== true) return drop('inquiry-unproven', inquiry.sender);
    if (inquiry.body.kind === 'answer') this.#take(inquiry, inquiry.body, own);
    else this.#answer(inquiry, inquiry.body.question, peer, own);
  }

  close(): void {
    for (const number of this.#open.keys()) this.#settle(number, { ok: false, reason: 'no-answer' });
  }

  #answer(inquiry: InquiryDatagram, question: Question, peer: HeartbeatPeer, own: Identity): void {
    const { answer, onDrop } = this.#options;
    const { sender, number } = inquiry;
    const verdict = peer.takeQuestion(inquiry, {
      incarnation: incarnationEcho(own.incarnation),
      sequence: own.sequence,
    });
    if (verdict === 'duplicate') return;
    if (verdict !== 'fresh') return onDrop(`inquiry-${verdict}`, sender);
    if (answer === undefined || this.#answering >= ANSWERING_MAX) return onDrop('inquiry-too-many', sender);
    this.#answering += 1;
    void answer(question).then((reply) => {
      this.#answering -= 1;
      this.#send(sender, number, { kind: 'answer', address: question.address, reply });
    });
  }

  #take(inquiry: InquiryDatagram, body: Extract<InquiryBody, { kind: 'answer' }>, own: Identity): void {
    const open = this.#open.get(inquiry.number);
    // The second family's copy comes when the question is closed.
    if (open === undefined) return;
    const isToUs = inquiry.echoIncarnation === incarnationEcho(own.incarnation);
    const isOurs = open.to === inquiry.sender && open.question.address.text === body.address.text;
    if (!isToUs || !isOurs) return this.#options.onDrop('inquiry-unasked', inquiry.sender);
    this.#settle(inquiry.number, { ok: true, reply: body.reply });
  }

  #send(name: string, number: number, body: InquiryBody): boolean {
    const { self, keys, identity, send } = this.#options;
    const [own, key, echo] = [identity(), keys.sending, this.#echo(name)];
    if (own === undefined || key === undefined || echo === undefined) return false;
    const covered = encodeInquiry({
      clusterId: own.clusterId,
      incarnation: own.incarnation,
      number,
      echoIncarnation: echo.incarnation,
      echoSequence: echo.sequence,
      keyId: key.id,
      sender: self,
      body,
    });
    return send(name, Buffer.concat([covered, tagOf(key, covered)]));
  }

  #echo(name: string): OwnEcho | undefined {
    const { peer, now, silentAfterMs } = this.#options;
    return peer(name)?.lastHeard(now(), Math.max(silentAfterMs, UNHEARD_MS));
  }

  #settle(number: number, inquired: Inquired): void {
    const open = this.#open.get(number);
    if (open === undefined) return;
    this.#open.delete(number);
    clearTimeout(open.timer);
    open.settle(inquired);
  }
}

function unanswered(reason: UnansweredReason): Promise<Inquired> {
  return Promise.resolve({ ok: false, reason });
}
