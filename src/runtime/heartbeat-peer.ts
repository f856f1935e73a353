/**
 * What is remembered of one sender of heartbeats, and whether a datagram of it, whose tag is right, says anything of now.
 *
 *     unknown incarnation ──echoes one of our last datagrams──▶ proven ──another one is proven──▶ retired
 *
 * A recorded datagram has a right tag too. Within an incarnation sequences grow, so it is known by its number; of another
 * incarnation it can't echo what we have just sent. Until a sender has heard us it is unproven: our next heartbeat echoes
 * it, its next one echoes ours. What a retired one sent could prove itself once more only while its echoes are recent.
 */

import type { Family } from '../base/ip.ts';
import { isSameBytes, viewOf } from '../base/bytes.ts';
import type { HeartbeatDatagram, VersionRange } from '../protocol/heartbeat/heartbeat.ts';
import type { InquiryDatagram } from '../protocol/heartbeat/inquiry.ts';

/** Own datagrams back that an echo counts as a proof: five seconds at the default interval. */
export const ECHO_WINDOW = 50;
/** Numbers back from the highest within which a datagram may be late (another path, another family). */
const SEQUENCE_WINDOW = 64;
/** Unproven incarnations kept at once; of a node that restarts there is one, the others are replays. */
const CANDIDATES_MAX = 4;
const RETIRED_MAX = 32;

export type Verdict =
  | 'fresh'
  /** The same heartbeat over the other family, or one overtaken by a later: says nothing new. */
  | 'duplicate'
  | 'replayed'
  | 'unproven';

/** What an echo must name: the first four octets of our incarnation, and the number of our last datagram. */
export interface OwnEcho {
  readonly incarnation: number;
  readonly sequence: number;
}

interface Track {
  readonly incarnation: string;
  /** The same as on the wire. */
  readonly octets: Uint8Array;
  readonly echo: number;
  versions: VersionRange;
  isAnswering: boolean;
  sequence: number;
  heardAt: number;
  unprovenCount: number;
  /** Numbers seen, per family the datagrams came over: the place of n is n modulo the window. */
  readonly seen: Readonly<Record<Family, Uint32Array>>;
  /** The same for the questions it asked, and the highest number of those. */
  readonly questions: Uint32Array;
  question: number;
}

export class HeartbeatPeer {
  #proven: Track | undefined;
  #candidates: readonly Track[] = [];
  /** With the number of our last datagram at the time. */
  #retired: readonly { readonly incarnation: string; readonly ownSequence: number }[] = [];
  #turn = 0;
  #last: { readonly datagram: Uint8Array; readonly family: Family } | undefined;

  /** Keeps the datagram that was fresh. */
  keep(datagram: Uint8Array, family: Family): void {
    this.#last = { datagram, family };
  }

  /** Whether this is that datagram once more, come over the other family: nobody has to look at it. */
  isCopy(datagram: Uint8Array, family: Family): boolean {
    return (
      this.#last !== undefined && family !== this.#last.family && Buffer.compare(this.#last.datagram, datagram) === 0
    );
  }

  /** Judges a datagram whose tag is right. `now` is a monotonic clock in ms. */
  take(beat: HeartbeatDatagram, family: Family, own: OwnEcho, now: number): Verdict {
    const proven = this.#proven;
    // The text is not made where it is known: nearly always.
    const isProven = proven !== undefined && isSameBytes(proven.octets, beat.incarnation);
    const incarnation = isProven ? proven.incarnation : incarnationText(beat.incarnation);
    if (this.#isRetired(incarnation, own)) return 'replayed';
    const track = this.#trackOf(incarnation, beat, now);
    const mark = markSequence(track, beat.sequence, family);
    if (mark !== 'fresh') return mark;
    track.heardAt = now;
    track.versions = beat.versions;
    track.isAnswering = beat.isAnswering;
    if (track === this.#proven) return 'fresh';
    if (!isProof(beat, own)) {
      track.unprovenCount += 1;
      return 'unproven';
    }
    this.#prove(track, own);
    return 'fresh';
  }

  /**
   * Which datagram to echo: the proven sender's last, while it is heard; else in turn each that may be its successor, so
   * that replays can't keep the real one from proving itself.
   */
  echo(now: number, silentAfterMs: number): OwnEcho | undefined {
    const proven = this.#proven;
    if (proven !== undefined && now - proven.heardAt < silentAfterMs) return echoOf(proven);
    const tracks = proven === undefined ? this.#candidates : [...this.#candidates, proven];
    this.#turn += 1;
    const track = tracks[this.#turn % Math.max(1, tracks.length)];
    return track === undefined ? undefined : echoOf(track);
  }

  /** Of the proven sender, as text; '' before there is one. */
  get incarnation(): string {
    return this.#proven?.incarnation ?? '';
  }

  /** Whether the proven sender answers inquiries. */
  get isAnswering(): boolean {
    return this.#proven?.isAnswering === true;
  }

  /** What to echo of the proven sender; undefined while it isn't heard. */
  lastHeard(now: number, silentAfterMs: number): OwnEcho | undefined {
    const proven = this.#proven;
    return proven !== undefined && now - proven.heardAt < silentAfterMs ? echoOf(proven) : undefined;
  }

  /** Whether the proven sender has this incarnation. */
  isOf(incarnation: Uint8Array): boolean {
    return this.#proven !== undefined && isSameBytes(this.#proven.octets, incarnation);
  }

  /** Judges a question whose tag is right; it counts once, and only if it echoes what we have sent of late. */
  takeQuestion(inquiry: InquiryDatagram, own: OwnEcho): Verdict {
    const track = this.#proven;
    if (track === undefined || !this.isOf(inquiry.incarnation) || !isProof(inquiry, own)) return 'unproven';
    const { number } = inquiry;
    const place = number % SEQUENCE_WINDOW;
    if (track.questions[place] === number) return 'duplicate';
    if (track.question - number >= SEQUENCE_WINDOW) return 'replayed';
    track.questions[place] = number;
    track.question = Math.max(track.question, number);
    return 'fresh';
  }

  /** What every incarnation reads that this may be; undefined before anything was heard. */
  get versions(): VersionRange | undefined {
    const tracks = this.#proven === undefined ? this.#candidates : [...this.#candidates, this.#proven];
    if (tracks.length === 0) return undefined;
    const lowest = Math.max(...tracks.map((track) => track.versions.lowest));
    return { lowest, highest: Math.min(...tracks.map((track) => track.versions.highest)) };
  }

  /** Datagrams in a row of the incarnation heard last that proved nothing. */
  get unprovenCount(): number {
    return this.#candidates.at(-1)?.unprovenCount ?? 0;
  }

  #isRetired(incarnation: string, own: OwnEcho): boolean {
    if (this.#retired.length === 0) return false;
    this.#retired = this.#retired.filter((one) => own.sequence - one.ownSequence <= ECHO_WINDOW);
    return this.#retired.some((one) => one.incarnation === incarnation);
  }

  #trackOf(incarnation: string, beat: HeartbeatDatagram, now: number): Track {
    if (this.#proven?.incarnation === incarnation) return this.#proven;
    const known = this.#candidates.find((track) => track.incarnation === incarnation);
    const track = known ?? startTrack(incarnation, beat, now);
    // The one heard last stands last; the one not heard for longest goes.
    this.#candidates = [...this.#candidates.filter((other) => other !== track), track].slice(-CANDIDATES_MAX);
    return track;
  }

  #prove(track: Track, own: OwnEcho): void {
    if (this.#proven !== undefined) {
      const over = { incarnation: this.#proven.incarnation, ownSequence: own.sequence };
      this.#retired = [...this.#retired, over].slice(-RETIRED_MAX);
    }
    this.#proven = track;
    this.#candidates = [];
  }
}

/** An incarnation as text. */
export function incarnationText(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex');
}

/** What datagrams echo of an incarnation. */
export function incarnationEcho(octets: Uint8Array): number {
  return viewOf(octets).getUint32(0);
}

function startTrack(incarnation: string, beat: HeartbeatDatagram, now: number): Track {
  const seen = { ipv4: new Uint32Array(SEQUENCE_WINDOW), ipv6: new Uint32Array(SEQUENCE_WINDOW) };
  const echo = incarnationEcho(beat.incarnation);
  const octets = Uint8Array.from(beat.incarnation);
  return {
    incarnation,
    octets,
    echo,
    versions: beat.versions,
    isAnswering: beat.isAnswering,
    sequence: 0,
    heardAt: now,
    unprovenCount: 0,
    seen,
    questions: new Uint32Array(SEQUENCE_WINDOW),
    question: 0,
  };
}

/** Numbers begin at 1: a datagram numbered 0 is nobody's. */
function markSequence(track: Track, sequence: number, family: Family): Exclude<Verdict, 'unproven'> {
  const seen = track.seen[family];
  const place = sequence % SEQUENCE_WINDOW;
  if (track.sequence - sequence >= SEQUENCE_WINDOW || seen[place] === sequence) return 'replayed';
  seen[place] = sequence;
  if (sequence <= track.sequence) return 'duplicate';
  track.sequence = sequence;
  return 'fresh';
}

function isProof(said: Pick<HeartbeatDatagram, 'echoIncarnation' | 'echoSequence'>, own: OwnEcho): boolean {
  const back = own.sequence - said.echoSequence;
  return said.echoIncarnation === own.incarnation && said.echoSequence > 0 && back >= 0 && back < ECHO_WINDOW;
}

function echoOf(track: Track): OwnEcho {
  return { incarnation: track.echo, sequence: track.sequence };
}
