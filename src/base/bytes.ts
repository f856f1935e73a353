/**
 * A cursor over octets, for reading hostile ones and for writing our own. Numbers are in network order (big-endian) unless
 * the method's name ends in `le`.
 *
 * The reader never throws and never leaves its slice: a read beyond the end gives zeros and marks the reader as overrun,
 * and from then on every read does. A decoder reads a whole structure and asks `isOverrun` once, before it believes any
 * of it. The writer is for sizes known beforehand; writing more or less than that is a broken invariant.
 */

import { assert } from './assert.ts';

/** A view of exactly the octets of `bytes`, whatever part of its buffer they are. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Whether both have the same octets. */
export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false;
  return true;
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;
  #isOverrun = false;

  /** Reads `bytes` from `start` (default 0) to its end. A start beyond the end overruns with the first read. */
  constructor(bytes: Uint8Array, start = 0) {
    assert(Number.isInteger(start) && start >= 0, 'a reader starts at an octet');
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#offset = start;
  }

  /** Octets from the start of the slice to what is read next; after an overrun, to what could not be read. */
  get offset(): number {
    return this.#offset;
  }

  /** Octets left to read. */
  get remaining(): number {
    return Math.max(0, this.#bytes.length - this.#offset);
  }

  /** Whether a read went beyond the end: what was read then is zeros. */
  get isOverrun(): boolean {
    return this.#isOverrun;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#view.getUint8(at);
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#view.getUint16(at);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at);
  }

  u64(): bigint {
    const at = this.#take(8);
    return at < 0 ? 0n : this.#view.getBigUint64(at);
  }

  u16le(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#view.getUint16(at, true);
  }

  u32le(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at, true);
  }

  /** The next `length` octets as a view of the slice, not a copy; after an overrun as many zeros. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    // What is asked for may itself come off the wire: zeros are only made for what could have been there.
    return at < 0 ? new Uint8Array(Math.min(length, this.#bytes.length)) : this.#bytes.subarray(at, at + length);
  }

  /** All octets left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  skip(length: number): void {
    this.#take(length);
  }

  /** Where the next `length` octets are, having moved behind them; -1 when they are not all there. */
  #take(length: number): number {
    assert(Number.isInteger(length) && length >= 0, 'a reader takes whole octets forwards');
    if (this.#isOverrun || length > this.#bytes.length - this.#offset) {
      this.#isOverrun = true;
      return -1;
    }
    const at = this.#offset;
    this.#offset += length;
    return at;
  }
}

/** Without a view of the octets: making one costs more than all that is written into most messages. */
export class ByteWriter {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(sizeBytes: number) {
    this.#bytes = new Uint8Array(sizeBytes);
  }

  get offset(): number {
    return this.#offset;
  }

  u8(value: number): this {
    this.#bytes[this.#take(1, value, 0xff)] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#take(2, value, 0xffff);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.#take(4, value, 0xffff_ffff);
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
    return this;
  }

  u16le(value: number): this {
    const at = this.#take(2, value, 0xffff);
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
    return this;
  }

  u32le(value: number): this {
    const at = this.#take(4, value, 0xffff_ffff);
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
    this.#bytes[at + 2] = value >>> 16;
    this.#bytes[at + 3] = value >>> 24;
    return this;
  }

  bytes(octets: Uint8Array): this {
    this.#bytes.set(octets, this.#take(octets.length, 0, 0));
    return this;
  }

  zeros(length: number): this {
    this.#take(length, 0, 0);
    return this;
  }

  /** The octets; the size that was announced must have been written. */
  finish(): Uint8Array {
    const isFull = this.#offset === this.#bytes.length;
    if (!isFull) assert(false, `a writer of ${this.#bytes.length} octets wrote ${this.#offset}`);
    return this.#bytes;
  }

  #take(length: number, value: number, max: number): number {
    // The words are put together only when they are needed: this is done for every number that is written.
    const isFitting = Number.isInteger(value) && value >= 0 && value <= max;
    if (!isFitting) assert(false, `${value} fits into ${length} octets`);
    const hasRoom = this.#offset + length <= this.#bytes.length;
    if (!hasRoom) assert(false, `a writer of ${this.#bytes.length} octets wrote more`);
    const at = this.#offset;
    this.#offset += length;
    return at;
  }
}
