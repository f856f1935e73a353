/**
 * The heartbeat datagram: what one candidate tells another over UDP, a few times a second. Ours alone, no standard; big
 * endian, at most DATAGRAM_MAX octets. Magic and the three version octets stand where they are in every version.
 *
 *      0  magic "HFhb"                        4      44  epoch of the voter set              4
 *      4  version of this datagram            1      48  bitmap of the voters heard          2
 *      5  lowest version its sender reads     1      50  supported voter's place, 255 none   1
 *      6  highest version its sender reads    1      51  priority                            1
 *      7  flags                               1      52  term (leaseTransitions)             4
 *      8  cluster id                         16      56  key id                              4
 *     24  incarnation                         8      60  length of the sender's name         1
 *     32  sequence                            4      61  sender's name (printable ASCII) 1…253
 *     36  echo: incarnation, first octets     4       …  version 2: interval, ms             2
 *     40  echo: sequence                      4       …  members missed without a vote, n    1
 *                                                     …  hashes of their names             4·n
 *                                                     …  tag: HMAC-SHA-256 of all before    32
 *
 * The tag is made and checked by whoever has the key: here it is 32 octets. The echo says which datagram of the receiver
 * its sender heard last: only who hears us now can know it, so a recorded datagram of an earlier run proves nothing.
 *
 * Versions: to a peer not yet heard everybody speaks the lowest version it knows, afterwards the highest that both read
 * (commonVersion). Of two ranges that overlap, one holds the lowest version of the other: so somebody is understood, and
 * with the answer everybody is. Whatever needs a datagram's meaning to change needs a new version; unknown flags are
 * ignored. Questions and answers between two nodes go to the same port under a magic of their own: inquiry.ts.
 */

import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { decodeSender, encodeSender, SENDER_MAX } from './sender.ts';

/** Versions that this code reads and writes. */
export const HEARTBEAT_VERSIONS: VersionRange = { lowest: 1, highest: 2 };
/** Of members missed. */
const MISSES_MAX = 64;
/** The largest datagram is 605 octets; no path that carries IPv6 fragments it (RFC 8200 §5). */
export const DATAGRAM_MAX = 640;
export const TAG_LENGTH = 32;
export const CLUSTER_ID_LENGTH = 16;
export const INCARNATION_LENGTH = 8;
const MAGIC = 0x48466862;
const VERSIONS_LENGTH = 7;
const FIXED_LENGTH = 61;
const NOBODY = 255;

const FLAG_API_WORKING = 1 << 0;
const FLAG_ELIGIBLE = 1 << 1;
const FLAG_DRAINING = 1 << 2;
const FLAG_HOLDING = 1 << 3;
const FLAG_LEADING = 1 << 4;
const FLAG_PROVISIONAL = 1 << 5;
const FLAG_ANSWERING = 1 << 6;

export interface VersionRange {
  readonly lowest: number;
  readonly highest: number;
}

export interface HeartbeatDatagram {
  readonly version: number;
  /** What its sender reads. */
  readonly versions: VersionRange;
  readonly isApiWorking: boolean;
  readonly isEligible: boolean;
  readonly isDraining: boolean;
  readonly isHolding: boolean;
  readonly isLeading: boolean;
  readonly isProvisional: boolean;
  /** Its sender answers inquiries (inquiry.ts). */
  readonly isAnswering: boolean;
  /** UID of the namespace kube-system, 16 octets. */
  readonly clusterId: Uint8Array;
  /** Random per start of the sender, 8 octets. */
  readonly incarnation: Uint8Array;
  readonly sequence: number;
  /** First four octets of the receiver's incarnation and its sequence, as last heard; zero when never. */
  readonly echoIncarnation: number;
  readonly echoSequence: number;
  readonly epoch: number;
  readonly hears: number;
  readonly supports: number | undefined;
  /** 0–255. */
  readonly priority: number;
  readonly term: number;
  /** How often the sender sends to the receiver, 0–65535 ms; 0 in version 1, which doesn't say. */
  readonly intervalMs: number;
  /** 32 bits of each missed member's name (leader/others.ts), at most 64; none in version 1. */
  readonly misses: readonly number[];
  /** Which key made the tag: first four octets of its SHA-256. */
  readonly keyId: number;
  readonly sender: string;
}

export type HeartbeatReason =
  | 'truncated'
  | 'oversized'
  | 'not-heartbeat'
  /** Its sender no longer, or not yet, speaks a version that we read. */
  | 'future-version'
  | 'past-version'
  | 'bad-version'
  | 'bad-name'
  | 'bad-length';

/** The highest version that both sides read; undefined when there is none. */
export function commonVersion(own: VersionRange, theirs: VersionRange): number | undefined {
  const highest = Math.min(own.highest, theirs.highest);
  return highest >= Math.max(own.lowest, theirs.lowest) ? highest : undefined;
}

/** Everything before the tag. @throws RangeError for a name that is empty, too long, or not printable ASCII. */
export function encodeHeartbeat(beat: HeartbeatDatagram): Uint8Array {
  const name = encodeSender(beat.sender);
  if (name.length === 0 || name.length > SENDER_MAX) {
    throw new RangeError(`a sender's name has 1 to ${SENDER_MAX} octets`);
  }
  const misses = beat.version < 2 ? [] : beat.misses.slice(0, MISSES_MAX);
  const writer = new ByteWriter(FIXED_LENGTH + name.length + (beat.version < 2 ? 0 : 3 + 4 * misses.length))
    .u32(MAGIC)
    .u8(beat.version)
    .u8(beat.versions.lowest)
    .u8(beat.versions.highest)
    .u8(flagsOf(beat))
    .bytes(beat.clusterId)
    .bytes(beat.incarnation)
    .u32(beat.sequence)
    .u32(beat.echoIncarnation)
    .u32(beat.echoSequence)
    .u32(beat.epoch)
    .u16(beat.hears)
    .u8(beat.supports ?? NOBODY)
    .u8(beat.priority)
    .u32(beat.term)
    .u32(beat.keyId)
    .u8(name.length)
    .bytes(name);
  if (beat.version < 2) return writer.finish();
  writer.u16(beat.intervalMs).u8(misses.length);
  for (const hash of misses) writer.u32(hash);
  return writer.finish();
}

export interface DecodedHeartbeat {
  readonly beat: HeartbeatDatagram;
  /** What the tag covers, and the tag, which the caller has still to check: views of the datagram. */
  readonly covered: Uint8Array;
  readonly tag: Uint8Array;
}

/** Reads a datagram of a version that HEARTBEAT_VERSIONS covers. Nothing in it is to be believed before the tag is checked. */
export function decodeHeartbeat(datagram: Uint8Array): Decoded<DecodedHeartbeat, HeartbeatReason> {
  const versions = decodeVersions(datagram);
  if (!versions.ok) return versions;
  const { version, theirs } = versions.value;
  if (datagram.length < FIXED_LENGTH + 1 + TAG_LENGTH) return malformed('truncated', datagram.length);
  const reader = new ByteReader(datagram, VERSIONS_LENGTH);
  const flags = reader.u8();
  const clusterId = reader.bytes(CLUSTER_ID_LENGTH);
  const incarnation = reader.bytes(INCARNATION_LENGTH);
  const [sequence, echoIncarnation, echoSequence, epoch] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  const hears = reader.u16();
  const supports = reader.u8();
  const priority = reader.u8();
  const term = reader.u32();
  const keyId = reader.u32();
  const nameLength = reader.u8();
  const name = reader.bytes(nameLength);
  const intervalMs = version < 2 ? 0 : reader.u16();
  const missesCount = version < 2 ? 0 : reader.u8();
  const misses = Array.from({ length: Math.min(missesCount, MISSES_MAX) }, () => reader.u32());
  const isLong = !reader.isOverrun && reader.remaining > TAG_LENGTH;
  if (nameLength === 0 || nameLength > SENDER_MAX || missesCount > MISSES_MAX || isLong) {
    return malformed('bad-length', FIXED_LENGTH - 1);
  }
  if (reader.isOverrun || reader.remaining < TAG_LENGTH) return malformed('truncated', datagram.length);
  const sender = decodeSender(name);
  if (sender === undefined) return malformed('bad-name', FIXED_LENGTH);
  const beat: HeartbeatDatagram = {
    version,
    versions: theirs,
    isApiWorking: (flags & FLAG_API_WORKING) !== 0,
    isEligible: (flags & FLAG_ELIGIBLE) !== 0,
    isDraining: (flags & FLAG_DRAINING) !== 0,
    isHolding: (flags & FLAG_HOLDING) !== 0,
    isLeading: (flags & FLAG_LEADING) !== 0,
    isProvisional: (flags & FLAG_PROVISIONAL) !== 0,
    isAnswering: (flags & FLAG_ANSWERING) !== 0,
    clusterId: Uint8Array.from(clusterId),
    incarnation: Uint8Array.from(incarnation),
    sequence,
    echoIncarnation,
    echoSequence,
    epoch,
    hears,
    supports: supports === NOBODY ? undefined : supports,
    priority,
    term,
    intervalMs,
    misses,
    keyId,
    sender,
  };
  const covered = datagram.subarray(0, datagram.length - TAG_LENGTH);
  return ok({ beat, covered, tag: datagram.subarray(datagram.length - TAG_LENGTH) });
}

/** The octets that no version may move: is it a heartbeat, and one that we read? */
function decodeVersions(
  datagram: Uint8Array,
): Decoded<{ readonly version: number; readonly theirs: VersionRange }, HeartbeatReason> {
  if (datagram.length > DATAGRAM_MAX) return malformed('oversized', DATAGRAM_MAX);
  const reader = new ByteReader(datagram);
  const magic = reader.u32();
  const [version, lowest, highest] = [reader.u8(), reader.u8(), reader.u8()];
  if (reader.isOverrun) return malformed('truncated', datagram.length);
  if (magic !== MAGIC) return malformed('not-heartbeat', 0);
  if (lowest === 0 || lowest > version || version > highest) return malformed('bad-version', 4);
  if (version > HEARTBEAT_VERSIONS.highest) return malformed('future-version', 4);
  if (version < HEARTBEAT_VERSIONS.lowest) return malformed('past-version', 4);
  return ok({ version, theirs: { lowest, highest } });
}

function flagsOf(beat: HeartbeatDatagram): number {
  return (
    (beat.isApiWorking ? FLAG_API_WORKING : 0) |
    (beat.isEligible ? FLAG_ELIGIBLE : 0) |
    (beat.isDraining ? FLAG_DRAINING : 0) |
    (beat.isHolding ? FLAG_HOLDING : 0) |
    (beat.isLeading ? FLAG_LEADING : 0) |
    (beat.isProvisional ? FLAG_PROVISIONAL : 0) |
    (beat.isAnswering ? FLAG_ANSWERING : 0)
  );
}
