import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../src/base/assert.ts';
import { ByteReader, ByteWriter, isSameBytes, viewOf } from '../../../src/base/bytes.ts';

const OCTETS = Uint8Array.of(0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08);

describe('ByteReader', () => {
  it('reads numbers in network order and moves behind them', () => {
    const reader = new ByteReader(OCTETS);
    expect([reader.u8(), reader.u16(), reader.u32()]).toEqual([0x01, 0x0203, 0x04050607]);
    expect([reader.offset, reader.remaining, reader.isOverrun]).toEqual([7, 1, false]);
    expect(new ByteReader(OCTETS).u64()).toBe(0x0102030405060708n);
  });

  it('reads little-endian numbers where asked', () => {
    const reader = new ByteReader(OCTETS);
    expect([reader.u16le(), reader.u32le()]).toEqual([0x0201, 0x06050403]);
  });

  it('gives numbers above 2³¹ as unsigned', () => {
    expect(new ByteReader(Uint8Array.of(0xff, 0xff, 0xff, 0xff)).u32()).toBe(0xffff_ffff);
  });

  it('reads only its slice of a larger buffer', () => {
    const reader = new ByteReader(OCTETS.subarray(2, 4));
    expect(reader.u16()).toBe(0x0304);
    expect(reader.u8()).toBe(0);
    expect(reader.isOverrun).toBe(true);
  });

  it('stays overrun after a read beyond the end, at the offset of that read', () => {
    const reader = new ByteReader(OCTETS, 6);
    expect(reader.u32()).toBe(0);
    expect(reader.u8()).toBe(0);
    expect([reader.isOverrun, reader.offset]).toEqual([true, 6]);
  });

  it('overruns at every read when it starts beyond the end', () => {
    for (const read of ['u8', 'u16', 'u32', 'u64', 'u16le', 'u32le'] as const) {
      const reader = new ByteReader(OCTETS, 9);
      expect([reader.remaining, Number(reader[read]()), reader.isOverrun]).toEqual([0, 0, true]);
    }
  });

  it('gives octets as a view, and zeros after an overrun', () => {
    const reader = new ByteReader(OCTETS);
    expect(reader.bytes(2)).toEqual(Uint8Array.of(1, 2));
    reader.skip(3);
    expect(reader.rest()).toEqual(Uint8Array.of(6, 7, 8));
    expect(reader.bytes(1)).toEqual(Uint8Array.of(0));
    expect(reader.isOverrun).toBe(true);
  });

  it('allocates nothing of the size that a hostile length asks for', () => {
    expect(new ByteReader(OCTETS).bytes(0xffff_ffff).length).toBe(OCTETS.length);
  });

  it('treats a negative length as a broken invariant', () => {
    expect(() => new ByteReader(OCTETS).skip(-1)).toThrow(InvariantError);
  });
});

describe('ByteWriter', () => {
  it('writes what the reader reads', () => {
    const bytes = new ByteWriter(16)
      .u8(0x01)
      .u16(0x0203)
      .u32(0x8405_0607)
      .u16le(0x0908)
      .u32le(0x8d0c_0b0a)
      .bytes(Uint8Array.of(0x0e))
      .zeros(2)
      .finish();
    expect(bytes).toEqual(Uint8Array.of(1, 2, 3, 0x84, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0x8d, 0xe, 0, 0));
  });

  it('ends the process when a value does not fit, or more or less is written than announced', () => {
    expect(() => new ByteWriter(1).u8(256)).toThrow(InvariantError);
    expect(() => new ByteWriter(2).u16(-1)).toThrow(InvariantError);
    expect(() => new ByteWriter(4).u32(0.5)).toThrow(InvariantError);
    expect(() => new ByteWriter(1).u16(1)).toThrow(InvariantError);
    expect(() => new ByteWriter(2).u8(1).finish()).toThrow(InvariantError);
  });
});

it('compares octets by value', () => {
  expect(isSameBytes(OCTETS, Uint8Array.from(OCTETS))).toBe(true);
  expect(isSameBytes(OCTETS, OCTETS.subarray(1))).toBe(false);
  expect(isSameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
});

it('views exactly a slice', () => {
  const view = viewOf(OCTETS.subarray(3, 5));
  expect([view.byteLength, view.getUint16(0)]).toEqual([2, 0x0405]);
});
