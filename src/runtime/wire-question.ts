/**
 * Asks the wire once who has an address, as any host would that wants to reach it: up to three requests until somebody
 * answers, and a little longer, for a second machine that answers too is what nobody expects. Claims nothing.
 */

import { performance } from 'node:perf_hooks';
import type { Ip } from '../base/ip.ts';
import { neighborFilter } from '../protocol/bpf/neighbor-filter.ts';
import { HEARD_MAX, type InquiryReply, type WireReply } from '../protocol/heartbeat/inquiry.ts';
import type { Netfd } from '../system/netfd.ts';
import { openPacketSocket, type PacketSocket } from '../system/packet-socket.ts';
import { answeringMac, requestFrame } from '../vip/wire.ts';
import type { AskingPlace } from './asking-place.ts';

const REQUESTS_MAX = 3;
const REQUEST_SPACING_MS = 200;
/** After the first answer, for others. */
const SECOND_ANSWER_MS = 150;
/** In all, when nobody answers. */
export const LISTENING_MAX_MS = 700;

/** Never rejects: what the kernel refuses is an answer too. */
export function askWire(netfd: Netfd, place: AskingPlace, ip: Ip): Promise<InquiryReply> {
  const { promise, resolve } = Promise.withResolvers<InquiryReply>();
  try {
    new WireQuestion(netfd, place, ip, resolve).begin();
  } catch {
    resolve(refused(place));
  }
  return promise;
}

function refused({ interfaceName }: AskingPlace): InquiryReply {
  return { kind: 'unaskable', reason: 'no-socket', interfaceName };
}

class WireQuestion {
  readonly #place: AskingPlace;
  readonly #ip: Ip;
  readonly #settle: (reply: InquiryReply) => void;
  readonly #socket: PacketSocket;
  readonly #heard = new Map<string, WireReply['heard'][number]>();
  readonly #begunAt = performance.now();
  #requests = 0;
  #askedAt = this.#begunAt;
  #timer: NodeJS.Timeout | undefined;

  constructor(netfd: Netfd, place: AskingPlace, ip: Ip, settle: (reply: InquiryReply) => void) {
    this.#place = place;
    this.#ip = ip;
    this.#settle = settle;
    const filter = neighborFilter({
      ipv4: ip.family === 'ipv4' ? [ip] : [],
      ipv6: ip.family === 'ipv6' ? [ip] : [],
      ownMac: place.mac,
    });
    this.#socket = openPacketSocket(netfd, {
      ifindex: place.ifindex,
      filter,
      // Answers come to this machine.
      groups: [],
      onFrame: (frame) => this.#hear(frame),
      onError: () => this.#end(refused(place)),
    });
  }

  begin(): void {
    try {
      this.#ask();
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  #ask(): void {
    this.#requests += 1;
    this.#askedAt = performance.now();
    this.#socket.send(requestFrame(this.#place.mac, this.#place.source, this.#ip));
    const isLast = this.#requests >= REQUESTS_MAX;
    const waitMs = isLast ? LISTENING_MAX_MS - REQUEST_SPACING_MS * (REQUESTS_MAX - 1) : REQUEST_SPACING_MS;
    this.#wait(waitMs, isLast);
  }

  #wait(ms: number, isLast: boolean): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // What was received while this process stood still lies in the socket: it is read before this counts as silence.
      setImmediate(() => this.#turn(isLast));
    }, ms);
    this.#timer.unref();
  }

  #turn(isLast: boolean): void {
    if (isLast || this.#heard.size > 0) return this.#end(this.#reply());
    try {
      this.#ask();
    } catch {
      this.#end(refused(this.#place));
    }
  }

  #hear(frame: Uint8Array): void {
    const now = performance.now();
    const mac = answeringMac(frame, this.#place.source, this.#ip);
    if (mac === undefined || mac.text === this.#place.mac.text) return;
    if (this.#heard.has(mac.text) || this.#heard.size >= HEARD_MAX) return;
    const isFirst = this.#heard.size === 0;
    this.#heard.set(mac.text, { mac, afterMicros: Math.round((now - this.#askedAt) * 1000) });
    if (isFirst) this.#wait(SECOND_ANSWER_MS, true);
  }

  #reply(): InquiryReply {
    const { interfaceName, mac, otherMacs } = this.#place;
    const listenedMs = Math.round(performance.now() - this.#begunAt);
    return { kind: 'wire', interfaceName, mac, listenedMs, heard: [...this.#heard.values()], otherMacs };
  }

  #end(reply: InquiryReply): void {
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#settle(reply);
  }
}
