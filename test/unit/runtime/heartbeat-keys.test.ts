import { describe, expect, it } from 'vitest';

import { isTagOf, KeyRing, RETIRE_AFTER_MS, SWITCH_AFTER_MS, tagOf } from '../../../src/runtime/heartbeat-keys.ts';
import { hex } from '../../vectors/neighbor/vectors.ts';

const [K1, K2, K3] = [1, 2, 3].map((octet) => new Uint8Array(32).fill(octet)) as [Uint8Array, Uint8Array, Uint8Array];

interface Ring {
  readonly keys: KeyRing;
  at: number;
  sends(): number | undefined;
  accepts(key: Uint8Array): boolean;
}

function ring(): Ring {
  const made: Ring = {
    at: 0,
    keys: new KeyRing(() => made.at),
    sends: () => made.keys.sending?.octets[0],
    accepts: (key: Uint8Array) => {
      const probe = new KeyRing(() => 0);
      probe.offer([key]);
      return made.keys.find(probe.sending?.id ?? -1) !== undefined;
    },
  };
  return made;
}

describe('the key ring', () => {
  it('has no key before the first offer, and keeps those it has when none is offered', () => {
    const one = ring();
    expect([one.sends(), one.accepts(K1)]).toEqual([undefined, false]);
    one.keys.offer([K1]);
    one.keys.offer([]);
    expect([one.sends(), one.accepts(K1), one.accepts(K2)]).toEqual([1, true, false]);
  });

  it('accepts a new key at once and sends with it when everybody has seen it', () => {
    const one = ring();
    one.keys.offer([K1]);
    one.at = 5000;
    one.keys.offer([K2, K1]);
    expect([one.sends(), one.accepts(K1), one.accepts(K2)]).toEqual([1, true, true]);
    one.at += SWITCH_AFTER_MS - 1;
    expect(one.sends()).toBe(1);
    one.at += 1;
    expect([one.sends(), one.accepts(K1)]).toEqual([2, true]);
  });

  it('does so also when the key was simply replaced, and accepts the former for a while', () => {
    const one = ring();
    one.keys.offer([K1]);
    one.keys.offer([K2]);
    expect([one.sends(), one.accepts(K1)]).toEqual([1, true]);
    one.at = SWITCH_AFTER_MS;
    expect([one.sends(), one.accepts(K1)]).toEqual([2, true]);
    one.at = RETIRE_AFTER_MS;
    expect([one.sends(), one.accepts(K1)]).toEqual([2, false]);
  });

  it('begins with the former key in the middle of a change', () => {
    const one = ring();
    one.keys.offer([K2, K1]);
    expect(one.sends()).toBe(1);
    one.at = SWITCH_AFTER_MS;
    expect(one.sends()).toBe(2);
  });

  it('takes a change back', () => {
    const one = ring();
    one.keys.offer([K1]);
    one.keys.offer([K2, K1]);
    one.keys.offer([K1]);
    one.at = SWITCH_AFTER_MS;
    expect([one.sends(), one.accepts(K2)]).toEqual([1, true]);
    one.at = RETIRE_AFTER_MS;
    expect([one.sends(), one.accepts(K2)]).toEqual([1, false]);
  });

  it('follows two changes in a row', () => {
    const one = ring();
    one.keys.offer([K1]);
    one.keys.offer([K2]);
    one.at = 4000;
    one.keys.offer([K3]);
    expect([one.sends(), one.accepts(K1), one.accepts(K2), one.accepts(K3)]).toEqual([1, true, true, true]);
    one.at = 4000 + SWITCH_AFTER_MS;
    expect(one.sends()).toBe(3);
  });

  it('keeps a limit', () => {
    const one = ring();
    one.keys.offer(Array.from({ length: 20 }, (_, index) => new Uint8Array(32).fill(100 + index)));
    expect([one.accepts(new Uint8Array(32).fill(107)), one.accepts(new Uint8Array(32).fill(108))]).toEqual([
      true,
      false,
    ]);
  });
});

describe('the tag', () => {
  it.each([
    [
      '§4.2, case 1',
      '0b'.repeat(20),
      '4869205468657265',
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    ],
    [
      '§4.4, case 3',
      'aa'.repeat(20),
      'dd'.repeat(50),
      '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe',
    ],
    [
      '§4.7, case 6: a key longer than a block',
      'aa'.repeat(131),
      '54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374',
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    ],
  ])('is HMAC-SHA-256 (RFC 4231 %s)', (_, secret, text, expected) => {
    const one = new KeyRing(() => 0);
    one.offer([hex(secret)]);
    const key = one.sending;
    const [covered, tag] = [hex(text), hex(expected)];
    expect(key !== undefined && Uint8Array.from(tagOf(key, covered))).toEqual(tag);
    expect(key !== undefined && isTagOf(key, covered, tag)).toBe(true);
    expect(key !== undefined && isTagOf(key, covered, tag.subarray(1))).toBe(false);
    expect(key !== undefined && isTagOf(key, covered, tag.with(31, 0))).toBe(false);
  });
});
