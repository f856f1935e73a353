import { createHash } from 'node:crypto';

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { SHA256_BYTES, sha256, sha256Text, sha256TextWords, sha256Workspace } from '../../../src/base/sha256.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const reference = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** NIST, Cryptographic Standards and Guidelines, "SHA-256" examples and SHA256ShortMsg.rsp (CAVP). */
const NIST: readonly (readonly [message: Uint8Array, digest: string])[] = [
  [new Uint8Array(0), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  [Uint8Array.of(0xd3), '28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1'],
  [Uint8Array.of(0xbd), '68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b'],
  [Uint8Array.of(0xc9, 0x8c, 0x8e, 0x55), '7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504'],
  [new TextEncoder().encode('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    new TextEncoder().encode('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'),
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
  [
    new TextEncoder().encode(
      'abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu',
    ),
    'cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1',
  ],
  [new Uint8Array(1_000_000).fill(0x61), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0'],
];

describe('SHA-256 (FIPS 180-4)', () => {
  it('gives the digests that NIST published', () => {
    let checked = 0;
    for (const [message, digest] of NIST) {
      expect(hex(sha256(message))).toBe(digest);
      checked += 1;
    }
    expect(checked).toBe(8);
  });

  it('pads at every length around one and two blocks (§5.1.1)', () => {
    for (let length = 0; length <= 200; length++) {
      const message = Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 0xff);
      expect(hex(sha256(message)), `${length} octets`).toBe(reference(message));
    }
  });

  it('agrees with another implementation for any octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300, size: 'max' }), (bytes) => {
        expect(hex(sha256(bytes))).toBe(reference(bytes));
      }),
    );
  });

  it('hashes text as UTF-8, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '#', 'ü', '€', '😀', '\ud800'), maxLength: 150 }), (text) => {
        expect(hex(sha256Text(text))).toBe(reference(new TextEncoder().encode(text)));
      }),
    );
    expect(sha256Text('\ud800')).toEqual(sha256Text('\ufffd'));
  });

  it('reads only its slice, and leaves it as it is', () => {
    const whole = Uint8Array.from({ length: 100 }, (_, index) => index);
    const slice = whole.subarray(7, 80);
    const before = Uint8Array.from(slice);
    expect(hex(sha256(slice))).toBe(reference(before));
    expect(slice).toEqual(before);
  });

  it('gives the same digest as words, in a workspace that held other texts before', () => {
    const workspace = sha256Workspace();
    for (const text of ['x'.repeat(119), '', 'ü'.repeat(200), 'y'.repeat(120)]) sha256TextWords(text, workspace);
    const words = sha256TextWords('abc', workspace);
    expect(words.length * 4).toBe(SHA256_BYTES);
    expect((words[0] ?? 0) >>> 0).toBe(0xba7816bf);
    expect((words[7] ?? 0) >>> 0).toBe(0xf20015ad);
  });
});
