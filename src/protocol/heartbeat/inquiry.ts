/**
 * Inquiries: what one node asks another about one address, and the answer, over the port of the heartbeats and with their
 * key. Ours alone, no standard; big endian, at most DATAGRAM_MAX octets. Sent only to whom a heartbeat says that it answers
 * (flag isAnswering): an older process never sees one.
 *
 *      0  magic "HFiq"                        4      34  echo: incarnation, first octets     4
 *      4  version                             1      38  echo: sequence                      4
 *      5  1 question, 2 answer                1      42  key id                              4
 *      6  cluster id                         16      46  length of the sender's name         1
 *     22  incarnation of the sender           8      47  sender's name (printable ASCII) 1…253
 *     30  number of the question              4       …  body, then the tag: HMAC-SHA-256   32
 *
 *     question: what is asked (1 what do you hold, 2 what does the wire say)  1, address
 *     answer:   address, what is said 1, and of that
 *        1 held        phase 1, interface, MAC 6, seconds held 4, announcements 4, seconds since the last 4 (all ones:
 *                      never), MAC of a rival 6, kube-proxy (0 unknown, 1 well, 2 ill) 1, other MACs
 *        2 wire        interface, MAC that asked 6, ms listened 2, answers 1, of each MAC 6 and µs after the question 4,
 *                      other MACs
 *        3 unaskable   why 1, interface           4 not held           5 refused: why 1
 *
 *     address: 4 or 6, and 4 or 16 octets       interface: length 0…15, and its name       a MAC that isn't known: zeros
 *     other MACs: how many 0…8, and those: of further interfaces of the sender, by which it may answer too
 *
 * The echo proves that who asks hears the receiver now; the number grows with each question of an incarnation, so that one
 * that was recorded is known. An answer repeats the number of its question and the asker's incarnation.
 */

import { assert } from '../../base/assert.ts';
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { MAC_LENGTH, MAC_ZERO, macFromBytes, type Mac } from '../../base/mac.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { CLUSTER_ID_LENGTH, DATAGRAM_MAX, INCARNATION_LENGTH, TAG_LENGTH } from './heartbeat.ts';
import { decodeSender, encodeSender, SENDER_MAX } from './sender.ts';

export const INQUIRY_VERSION = 1;
/** Further MACs of a node; more are left out. */
export const OTHER_MACS_MAX = 8;
/** Machines that answered for one address; more are left out. */
export const HEARD_MAX = 4;
const MAGIC = 0x48466971;
const KIND_OFFSET = 5;
const FIXED_LENGTH = 47;
/** IFNAMSIZ (linux/if.h) less the zero. */
const INTERFACE_MAX = 15;
const NEVER = 0xffff_ffff;
const U32_MAX = 0xffff_ffff;
const U16_MAX = 0xffff;

const KINDS = ['question', 'answer'] as const;
const SUBJECTS = ['holding', 'wire'] as const;
const PHASES = ['idle', 'probing', 'conflict', 'claiming', 'holding', 'withdrawing'] as const;
const SAYINGS = ['held', 'wire', 'unaskable', 'not-held', 'refused'] as const;
const UNASKABLE = ['no-subnet', 'no-carrier', 'no-source', 'no-socket', 'not-ready'] as const;
const REFUSALS = ['not-ours', 'busy'] as const;
const KUBE_PROXY = [undefined, true, false] as const;

/** What is asked: what the receiver holds of the address, or who answers for it on the wire when the receiver asks. */
export type InquirySubject = (typeof SUBJECTS)[number];

export interface Question {
  readonly subject: InquirySubject;
  readonly address: Ip;
}

export interface HeldReply {
  readonly kind: 'held';
  readonly phase: (typeof PHASES)[number];
  /** '' where there is none. */
  readonly interfaceName: string;
  readonly mac: Mac | undefined;
  readonly sinceSeconds: number;
  readonly announcements: number;
  readonly lastAnnouncedSecondsAgo: number | undefined;
  /** Another machine that was heard to use the address. */
  readonly rival: Mac | undefined;
  /** undefined: it can't be seen. */
  readonly isKubeProxyHealthy: boolean | undefined;
  /** Of further interfaces of the node: on the same segment its kernel may answer by them. */
  readonly otherMacs: readonly Mac[];
}

export interface WireReply {
  readonly kind: 'wire';
  readonly interfaceName: string;
  /** Of the interface that asked. */
  readonly mac: Mac;
  readonly listenedMs: number;
  /** In the order they answered. Empty: nobody did. */
  readonly heard: readonly { readonly mac: Mac; readonly afterMicros: number }[];
  /** Of further interfaces of the node that asked. */
  readonly otherMacs: readonly Mac[];
}

/**
 * Why it could not ask: no interface in the address's subnet; that has no carrier; it has no address of the family to ask
 * from; the kernel refused the socket; it has not read its own interfaces yet.
 */
export type UnaskableReason = (typeof UNASKABLE)[number];
export type RefusalReason = (typeof REFUSALS)[number];

export type InquiryReply =
  | HeldReply
  | WireReply
  | { readonly kind: 'unaskable'; readonly reason: UnaskableReason; readonly interfaceName: string }
  | { readonly kind: 'not-held' }
  /** 'not-ours': no address of this cluster's; 'busy': too many are asking. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason };

export type InquiryBody =
  | { readonly kind: 'question'; readonly question: Question }
  | { readonly kind: 'answer'; readonly address: Ip; readonly reply: InquiryReply };

export interface InquiryDatagram {
  readonly clusterId: Uint8Array;
  readonly incarnation: Uint8Array;
  readonly number: number;
  readonly echoIncarnation: number;
  readonly echoSequence: number;
  readonly keyId: number;
  readonly sender: string;
  readonly body: InquiryBody;
}

export type InquiryReason =
  | 'truncated'
  | 'oversized'
  | 'not-inquiry'
  | 'other-version'
  | 'bad-kind'
  | 'bad-name'
  | 'bad-body'
  | 'bad-length';

/** Whether the datagram claims to be one. */
export function isInquiry(datagram: Uint8Array): boolean {
  return new ByteReader(datagram).u32() === MAGIC;
}

/** Everything before the tag. Numbers that are too large are written as the largest. @throws RangeError as encodeHeartbeat. */
export function encodeInquiry(inquiry: InquiryDatagram): Uint8Array {
  const name = encodeSender(inquiry.sender);
  if (name.length === 0 || name.length > SENDER_MAX) {
    throw new RangeError(`a sender's name has 1 to ${SENDER_MAX} octets`);
  }
  const { body } = inquiry;
  const octets = body.kind === 'question' ? questionOctets(body.question) : answerOctets(body.address, body.reply);
  return new ByteWriter(FIXED_LENGTH + name.length + octets.length)
    .u32(MAGIC)
    .u8(INQUIRY_VERSION)
    .u8(numberOf(KINDS, body.kind))
    .bytes(inquiry.clusterId)
    .bytes(inquiry.incarnation)
    .u32(inquiry.number)
    .u32(inquiry.echoIncarnation)
    .u32(inquiry.echoSequence)
    .u32(inquiry.keyId)
    .u8(name.length)
    .bytes(name)
    .bytes(octets)
    .finish();
}

export interface DecodedInquiry {
  readonly inquiry: InquiryDatagram;
  /** What the tag covers, and the tag, which the caller has still to check: views of the datagram. */
  readonly covered: Uint8Array;
  readonly tag: Uint8Array;
}

/** Nothing in it is to be believed before the tag is checked. */
export function decodeInquiry(datagram: Uint8Array): Decoded<DecodedInquiry, InquiryReason> {
  if (datagram.length > DATAGRAM_MAX) return malformed('oversized', DATAGRAM_MAX);
  const covered = datagram.subarray(0, Math.max(0, datagram.length - TAG_LENGTH));
  const reader = new ByteReader(covered);
  const magic = reader.u32();
  const version = reader.u8();
  const kind = KINDS[reader.u8() - 1];
  if (reader.isOverrun) return malformed('truncated', datagram.length);
  if (magic !== MAGIC) return malformed('not-inquiry', 0);
  if (version !== INQUIRY_VERSION) return malformed('other-version', KIND_OFFSET - 1);
  if (kind === undefined) return malformed('bad-kind', KIND_OFFSET);
  const clusterId = reader.bytes(CLUSTER_ID_LENGTH);
  const incarnation = reader.bytes(INCARNATION_LENGTH);
  const [number, echoIncarnation, echoSequence, keyId] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  const nameLength = reader.u8();
  const octets = reader.bytes(nameLength);
  if (reader.isOverrun) return malformed('truncated', datagram.length);
  if (nameLength === 0 || nameLength > SENDER_MAX) return malformed('bad-length', FIXED_LENGTH - 1);
  const sender = decodeSender(octets);
  if (sender === undefined) return malformed('bad-name', FIXED_LENGTH);
  const start = reader.offset;
  const body = kind === 'question' ? readQuestion(reader) : readAnswer(reader);
  if (reader.isOverrun) return malformed('truncated', datagram.length);
  if (body === undefined) return malformed('bad-body', start);
  if (reader.remaining > 0) return malformed('bad-length', reader.offset);
  const inquiry: InquiryDatagram = {
    clusterId: Uint8Array.from(clusterId),
    incarnation: Uint8Array.from(incarnation),
    number,
    echoIncarnation,
    echoSequence,
    keyId,
    sender,
    body,
  };
  return ok({ inquiry, covered, tag: datagram.subarray(datagram.length - TAG_LENGTH) });
}

function questionOctets({ subject, address }: Question): Uint8Array {
  return Uint8Array.of(numberOf(SUBJECTS, subject), ...addressOctets(address));
}

function answerOctets(address: Ip, reply: InquiryReply): Uint8Array {
  return Uint8Array.of(...addressOctets(address), numberOf(SAYINGS, reply.kind), ...replyOctets(reply));
}

function replyOctets(reply: InquiryReply): Uint8Array {
  switch (reply.kind) {
    case 'held':
      return heldOctets(reply);
    case 'wire':
      return wireOctets(reply);
    case 'unaskable':
      return Uint8Array.of(numberOf(UNASKABLE, reply.reason), ...interfaceOctets(reply.interfaceName));
    case 'not-held':
      return new Uint8Array(0);
    case 'refused':
      return Uint8Array.of(numberOf(REFUSALS, reply.reason));
  }
}

function heldOctets(reply: HeldReply): Uint8Array {
  const on = interfaceOctets(reply.interfaceName);
  const others = macsOctets(reply.otherMacs);
  const { lastAnnouncedSecondsAgo: last } = reply;
  return new ByteWriter(1 + on.length + MAC_LENGTH * 2 + 13 + others.length)
    .u8(numberOf(PHASES, reply.phase))
    .bytes(on)
    .bytes((reply.mac ?? MAC_ZERO).bytes)
    .u32(within(reply.sinceSeconds, U32_MAX))
    .u32(within(reply.announcements, U32_MAX))
    .u32(last === undefined ? NEVER : within(last, NEVER - 1))
    .bytes((reply.rival ?? MAC_ZERO).bytes)
    .u8(KUBE_PROXY.indexOf(reply.isKubeProxyHealthy))
    .bytes(others)
    .finish();
}

function wireOctets(reply: WireReply): Uint8Array {
  const on = interfaceOctets(reply.interfaceName);
  const heard = reply.heard.slice(0, HEARD_MAX);
  const others = macsOctets(reply.otherMacs);
  const writer = new ByteWriter(on.length + MAC_LENGTH + 3 + heard.length * (MAC_LENGTH + 4) + others.length)
    .bytes(on)
    .bytes(reply.mac.bytes)
    .u16(within(reply.listenedMs, U16_MAX))
    .u8(heard.length);
  for (const { mac, afterMicros } of heard) writer.bytes(mac.bytes).u32(within(afterMicros, U32_MAX));
  return writer.bytes(others).finish();
}

/** undefined: it makes no sense, or is cut off (the reader says which). */
function readQuestion(reader: ByteReader): InquiryBody | undefined {
  const subject = SUBJECTS[reader.u8() - 1];
  const address = readAddress(reader);
  return subject === undefined || address === undefined
    ? undefined
    : { kind: 'question', question: { subject, address } };
}

function readAnswer(reader: ByteReader): InquiryBody | undefined {
  const address = readAddress(reader);
  if (address === undefined) return undefined;
  const reply = readReply(reader);
  return reply === undefined ? undefined : { kind: 'answer', address, reply };
}

function readReply(reader: ByteReader): InquiryReply | undefined {
  const kind = SAYINGS[reader.u8() - 1];
  if (kind === undefined) return undefined;
  switch (kind) {
    case 'held':
      return readHeld(reader);
    case 'wire':
      return readWire(reader);
    case 'unaskable': {
      const reason = UNASKABLE[reader.u8() - 1];
      const interfaceName = readInterface(reader);
      return reason === undefined || interfaceName === undefined ? undefined : { kind, reason, interfaceName };
    }
    case 'not-held':
      return { kind };
    case 'refused': {
      const reason = REFUSALS[reader.u8() - 1];
      return reason === undefined ? undefined : { kind, reason };
    }
  }
}

function readHeld(reader: ByteReader): HeldReply | undefined {
  const phase = PHASES[reader.u8() - 1];
  const interfaceName = readInterface(reader);
  const mac = readMac(reader);
  const [sinceSeconds, announcements, last] = [reader.u32(), reader.u32(), reader.u32()];
  const rival = readMac(reader);
  const kubeProxy = reader.u8();
  const otherMacs = readMacs(reader);
  if (phase === undefined || interfaceName === undefined || kubeProxy >= KUBE_PROXY.length) return undefined;
  if (otherMacs === undefined) return undefined;
  return {
    kind: 'held',
    phase,
    interfaceName,
    mac,
    sinceSeconds,
    announcements,
    lastAnnouncedSecondsAgo: last === NEVER ? undefined : last,
    rival,
    isKubeProxyHealthy: KUBE_PROXY[kubeProxy],
    otherMacs,
  };
}

function readWire(reader: ByteReader): WireReply | undefined {
  const interfaceName = readInterface(reader);
  const mac = readMac(reader);
  const listenedMs = reader.u16();
  const count = reader.u8();
  if (interfaceName === undefined || mac === undefined || count > HEARD_MAX) return undefined;
  const heard: WireReply['heard'][number][] = [];
  for (let place = 0; place < count; place += 1) {
    const answering = readMac(reader);
    const afterMicros = reader.u32();
    if (answering === undefined) return undefined;
    heard.push({ mac: answering, afterMicros });
  }
  const otherMacs = readMacs(reader);
  return otherMacs === undefined ? undefined : { kind: 'wire', interfaceName, mac, listenedMs, heard, otherMacs };
}

function addressOctets({ family, bytes }: Ip): Uint8Array {
  return Uint8Array.of(family === 'ipv4' ? 4 : 6, ...bytes);
}

function readAddress(reader: ByteReader): Ip | undefined {
  const family = reader.u8();
  if (family !== 4 && family !== 6) return undefined;
  const bytes = reader.bytes(family === 4 ? 4 : 16);
  return reader.isOverrun ? undefined : ipFromBytes(bytes);
}

/** What isn't printable ASCII becomes "?": Linux allows nearly any octet. */
function interfaceOctets(name: string): Uint8Array {
  const octets = Array.from(name.slice(0, INTERFACE_MAX), (letter) => {
    const code = letter.charCodeAt(0);
    return code < 0x21 || code > 0x7e ? 0x3f : code;
  });
  return Uint8Array.of(octets.length, ...octets);
}

function readInterface(reader: ByteReader): string | undefined {
  const length = reader.u8();
  return length > INTERFACE_MAX ? undefined : decodeSender(reader.bytes(length));
}

function macsOctets(macs: readonly Mac[]): Uint8Array {
  const written = macs.slice(0, OTHER_MACS_MAX);
  return Uint8Array.of(written.length, ...written.flatMap(({ bytes }) => [...bytes]));
}

function readMacs(reader: ByteReader): readonly Mac[] | undefined {
  const count = reader.u8();
  if (count > OTHER_MACS_MAX) return undefined;
  const macs: Mac[] = [];
  for (let place = 0; place < count; place += 1) {
    const mac = readMac(reader);
    if (mac === undefined) return undefined;
    macs.push(mac);
  }
  return macs;
}

/** undefined: zeros, which is no machine's. */
function readMac(reader: ByteReader): Mac | undefined {
  const bytes = reader.bytes(MAC_LENGTH);
  if (reader.isOverrun || bytes.every((octet) => octet === 0)) return undefined;
  return macFromBytes(bytes);
}

/** As it is written: from 1, so that zeros say nothing. */
function numberOf<Word extends string>(words: readonly Word[], word: Word): number {
  const place = words.indexOf(word);
  assert(place >= 0, 'what is said has a number');
  return place + 1;
}

function within(value: number, max: number): number {
  return Math.min(max, Math.max(0, Math.round(value)));
}
