/**
 * The keys of the heartbeats, and how they change without a heartbeat being missed: a key that is new here is accepted at
 * once, but sent with only after everybody else has had the time to see it too; one that is gone is accepted a while on.
 */

import { hash, timingSafeEqual } from 'node:crypto';
import { DATAGRAM_MAX } from '../protocol/heartbeat/heartbeat.ts';

/** From seeing a new key to sending with it: watches deliver in milliseconds, and find lost changes within seconds. */
export const SWITCH_AFTER_MS = 10_000;
/** From a key's removal to refusing it: others may have seen its successor as much later, and switch later still. */
export const RETIRE_AFTER_MS = 30_000;
/** Keys accepted at once; the oldest go first. */
const KEYS_MAX = 8;
/** Octets of a block of SHA-256 (FIPS 180-4 §1). */
const BLOCK_LENGTH = 64;

export interface HeartbeatKey {
  /** First four octets of the key's SHA-256. */
  readonly id: number;
  readonly octets: Uint8Array;
  /**
   * The key's blocks of RFC 2104 §2: XORed with 0x36 (inner) and 0x5c (outer). Behind each there is room for what is hashed
   * with it: only the octets up to BLOCK_LENGTH say anything.
   */
  readonly inner: Uint8Array;
  readonly outer: Uint8Array;
}

interface KnownKey extends HeartbeatKey {
  readonly seenAt: number;
  readonly goneAt: number | undefined;
}

export class KeyRing {
  readonly #now: () => number;
  #keys: readonly KnownKey[] = [];
  /** Newest first, as last offered. */
  #offered: readonly number[] = [];
  #sendingId: number | undefined;

  /** `now` is a monotonic clock in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The keys that hold now, the newest first. An empty offer changes nothing: without a key there is nothing to say. */
  offer(secrets: readonly Uint8Array[]): void {
    if (secrets.length === 0) return;
    const now = this.#now();
    const offered = new Map(secrets.slice(0, KEYS_MAX).map((octets) => [keyId(octets), octets]));
    const ids = [...offered.keys()];
    const before = new Map(this.#keys.map((key) => [key.id, key]));
    const kept = [...offered].map(([id, octets]): KnownKey => {
      const known = before.get(id);
      return { ...(known ?? makeKey(id, octets)), seenAt: known?.seenAt ?? now, goneAt: undefined };
    });
    const gone = this.#keys.flatMap((key) => (ids.includes(key.id) ? [] : [{ ...key, goneAt: key.goneAt ?? now }]));
    // Without a key so far, the second newest is what everybody else still sends with, if a change is under way.
    this.#sendingId ??= ids[1] ?? ids[0];
    this.#keys = [...kept, ...gone].slice(0, KEYS_MAX);
    this.#offered = ids;
  }

  /** The key to send with; undefined before the first offer. */
  get sending(): HeartbeatKey | undefined {
    const now = this.#now();
    const newest = this.#keys.find((key) => key.id === this.#offered[0]);
    const isDue = newest !== undefined && now >= newest.seenAt + SWITCH_AFTER_MS;
    if (isDue) this.#sendingId = newest.id;
    return this.#keys.find((key) => key.id === this.#sendingId) ?? newest;
  }

  /** The key of this id, while it is accepted. */
  find(id: number): HeartbeatKey | undefined {
    const key = this.#keys.find((one) => one.id === id);
    const isExpired = key?.goneAt !== undefined && this.#now() >= key.goneAt + RETIRE_AFTER_MS;
    return isExpired ? undefined : key;
  }
}

/**
 * HMAC-SHA-256 (RFC 2104) over `covered`. By two calls of the one-shot hash: a heartbeat comes every few milliseconds, when
 * caches are cold, and there createHmac costs up to twice as much.
 */
export function tagOf(key: HeartbeatKey, covered: Uint8Array): Uint8Array {
  return hashBehind(key.outer, hashBehind(key.inner, covered));
}

/** Compares in constant time. */
export function isTagOf(key: HeartbeatKey, covered: Uint8Array, tag: Uint8Array): boolean {
  const expected = tagOf(key, covered);
  return expected.length === tag.length && timingSafeEqual(expected, tag);
}

function makeKey(id: number, octets: Uint8Array): HeartbeatKey {
  const block = new Uint8Array(BLOCK_LENGTH);
  block.set(octets.length > BLOCK_LENGTH ? hash('sha256', octets, 'buffer') : octets);
  return { id, octets, inner: withRoom(block, 0x36), outer: withRoom(block, 0x5c) };
}

function withRoom(block: Uint8Array, mask: number): Uint8Array {
  const octets = new Uint8Array(BLOCK_LENGTH + DATAGRAM_MAX);
  octets.set(block.map((octet) => octet ^ mask));
  return octets;
}

/** SHA-256 of the block and `octets`, at most DATAGRAM_MAX of them. */
function hashBehind(block: Uint8Array, octets: Uint8Array): Buffer {
  block.set(octets, BLOCK_LENGTH);
  return hash('sha256', block.subarray(0, BLOCK_LENGTH + octets.length), 'buffer');
}

function keyId(octets: Uint8Array): number {
  return hash('sha256', octets, 'buffer').readUInt32BE(0);
}
