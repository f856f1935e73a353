import { describe, expect, it } from 'vitest';

import {
  commonVersion,
  DATAGRAM_MAX,
  decodeHeartbeat,
  encodeHeartbeat,
  TAG_LENGTH,
  type HeartbeatDatagram,
} from '../../../../src/protocol/heartbeat/heartbeat.ts';
import { hex } from '../../../vectors/neighbor/vectors.ts';

const BEAT: HeartbeatDatagram = {
  version: 1,
  versions: { lowest: 1, highest: 1 },
  isApiWorking: true,
  isEligible: true,
  isDraining: false,
  isHolding: true,
  isLeading: false,
  isProvisional: false,
  isAnswering: false,
  clusterId: hex('0123456789abcdef 0123456789abcdef'),
  incarnation: hex('a0a1a2a3a4a5a6a7'),
  sequence: 7,
  echoIncarnation: 0xb0b1b2b3,
  echoSequence: 41,
  epoch: 3,
  hears: 0b101,
  supports: 2,
  priority: 100,
  term: 12,
  intervalMs: 0,
  misses: [],
  keyId: 0x630dcd29,
  sender: 'cp-1.example',
};

/**
 * Written by Python 3.11's struct (">4sBBBB", octets, ">IIIIHBBI") and, for the tag, its hmac with SHA-256 and the key of
 * the octets 0 to 31; the key id is the beginning of hashlib's SHA-256 of that key.
 */
const GOLDEN = hex(
  '48466862 01 01 01 0b 0123456789abcdef0123456789abcdef a0a1a2a3a4a5a6a7 00000007 b0b1b2b3 00000029' +
    '00000003 0005 02 64 0000000c 630dcd29 0c 63702d312e6578616d706c65',
);
const TAG = hex('e661b849c1c61392d04bc37c5e55bf752e8d5622c72689db207c67845cbf3a73');
const DATAGRAM = Uint8Array.from([...GOLDEN, ...TAG]);

/** The datagram with octets from `offset` on replaced. */
function changed(offset: number, ...octets: readonly number[]): Uint8Array {
  const copy = Uint8Array.from(DATAGRAM);
  copy.set(octets, offset);
  return copy;
}

function reasonOf(datagram: Uint8Array): string {
  const decoded = decodeHeartbeat(datagram);
  return decoded.ok ? 'ok' : decoded.reason;
}

describe('a heartbeat datagram', () => {
  it('is written octet for octet', () => {
    expect(encodeHeartbeat(BEAT)).toEqual(GOLDEN);
  });

  it('is read octet for octet, with what the tag covers and the tag', () => {
    expect(decodeHeartbeat(DATAGRAM)).toEqual({ ok: true, value: { beat: BEAT, covered: GOLDEN, tag: TAG } });
  });

  it('owns nothing of the buffer it was read from but what is still to be checked', () => {
    const buffer = Uint8Array.from(DATAGRAM);
    const decoded = decodeHeartbeat(buffer);
    buffer.fill(0);
    expect(decoded).toMatchObject({ ok: true, value: { beat: BEAT } });
  });

  it('says that nobody is supported, and every flag by itself', () => {
    const flags = [
      'isApiWorking',
      'isEligible',
      'isDraining',
      'isHolding',
      'isLeading',
      'isProvisional',
      'isAnswering',
    ] as const;
    const none = {
      ...BEAT,
      isApiWorking: false,
      isEligible: false,
      isDraining: false,
      isHolding: false,
      isLeading: false,
      isProvisional: false,
      isAnswering: false,
    };
    for (const [bit, flag] of flags.entries()) {
      const written = encodeHeartbeat({ ...none, [flag]: true, supports: undefined });
      expect([written[7], written[50]]).toEqual([1 << bit, 255]);
      const read = decodeHeartbeat(Uint8Array.from([...written, ...TAG]));
      expect(read).toMatchObject({ ok: true, value: { beat: { ...none, [flag]: true, supports: undefined } } });
    }
  });

  it('is refused when cut anywhere, and when there is more behind it', () => {
    for (let length = 0; length < DATAGRAM.length; length += 1) {
      expect([length, reasonOf(DATAGRAM.subarray(0, length))]).toEqual([length, 'truncated']);
    }
    expect(reasonOf(Uint8Array.from([...DATAGRAM, 0]))).toBe('bad-length');
    expect(reasonOf(new Uint8Array(DATAGRAM_MAX + 1))).toBe('oversized');
  });

  it('is no heartbeat with another magic', () => {
    expect(reasonOf(changed(0, 0x47))).toBe('not-heartbeat');
    expect(reasonOf(new Uint8Array(DATAGRAM_MAX))).toBe('not-heartbeat');
  });

  it.each([
    ['future-version', 3, 2, 3],
    ['future-version', 3, 1, 3],
    ['bad-version', 1, 2, 2],
    ['bad-version', 2, 1, 1],
    ['bad-version', 0, 0, 1],
    ['bad-version', 1, 0, 1],
    ['ok', 1, 1, 9],
  ] as const)('is %s in version %i of a sender that reads %i to %i', (reason, version, lowest, highest) => {
    expect(reasonOf(changed(4, version, lowest, highest))).toBe(reason);
  });

  it('of a later version is known as such however short it is', () => {
    expect(reasonOf(changed(4, 3, 2, 3).subarray(0, 7))).toBe('future-version');
  });

  it('needs a name of printable ASCII', () => {
    expect(reasonOf(changed(61, 0x20))).toBe('bad-name');
    expect(reasonOf(changed(61, 0xc3))).toBe('bad-name');
    expect(reasonOf(changed(60, 0))).toBe('bad-length');
    expect(reasonOf(changed(60, 254))).toBe('bad-length');
    expect(() => encodeHeartbeat({ ...BEAT, sender: '' })).toThrow(RangeError);
    expect(() => encodeHeartbeat({ ...BEAT, sender: 'x'.repeat(254) })).toThrow(RangeError);
    expect(() => encodeHeartbeat({ ...BEAT, sender: 'knöten' })).toThrow(RangeError);
  });

  it('of the longest name stays within the limit', () => {
    const covered = encodeHeartbeat({ ...BEAT, sender: 'x'.repeat(253) });
    expect(covered.length + TAG_LENGTH).toBeLessThanOrEqual(DATAGRAM_MAX);
    expect(reasonOf(Uint8Array.from([...covered, ...TAG]))).toBe('ok');
  });
});

/** The same with version 2's end, written and signed as above: (">HBII", 200, 2, …). */
const BEAT_2: HeartbeatDatagram = {
  ...BEAT,
  version: 2,
  versions: { lowest: 1, highest: 2 },
  intervalMs: 200,
  misses: [0xdeadbeef, 0x01020304],
};
const GOLDEN_2 = hex(
  '48466862 02 01 02 0b 0123456789abcdef0123456789abcdef a0a1a2a3a4a5a6a7 00000007 b0b1b2b3 00000029' +
    '00000003 0005 02 64 0000000c 630dcd29 0c 63702d312e6578616d706c65 00c8 02 deadbeef 01020304',
);
const DATAGRAM_2 = Uint8Array.from([...GOLDEN_2, ...TAG]);

describe('a heartbeat of version 2', () => {
  it('says how often it comes, and who is missed without a vote', () => {
    expect(encodeHeartbeat(BEAT_2)).toEqual(GOLDEN_2);
    expect(decodeHeartbeat(DATAGRAM_2)).toEqual({ ok: true, value: { beat: BEAT_2, covered: GOLDEN_2, tag: TAG } });
  });

  it('is refused when cut anywhere, and when there is more behind it', () => {
    for (let length = 0; length < DATAGRAM_2.length; length += 1) {
      expect([length, reasonOf(DATAGRAM_2.subarray(0, length))]).toEqual([length, 'truncated']);
    }
    expect(reasonOf(Uint8Array.from([...DATAGRAM_2, 0]))).toBe('bad-length');
  });

  it('names no more than fit, and is refused when it says that it does', () => {
    const misses = Array.from({ length: 70 }, (_, index) => index);
    const covered = encodeHeartbeat({ ...BEAT_2, sender: 'x'.repeat(253), misses });
    expect(covered.length + TAG_LENGTH).toBeLessThanOrEqual(DATAGRAM_MAX);
    const read = decodeHeartbeat(Uint8Array.from([...covered, ...TAG]));
    expect(read).toMatchObject({ ok: true, value: { beat: { misses: misses.slice(0, 64) } } });
    const tooMany = Uint8Array.from(DATAGRAM_2);
    tooMany[GOLDEN_2.length - 9] = 65;
    expect(reasonOf(tooMany)).toBe('bad-length');
  });
});

describe('the version spoken to a peer', () => {
  it.each([
    [{ lowest: 1, highest: 1 }, { lowest: 1, highest: 1 }, 1],
    [{ lowest: 1, highest: 2 }, { lowest: 1, highest: 1 }, 1],
    [{ lowest: 1, highest: 1 }, { lowest: 1, highest: 2 }, 1],
    [{ lowest: 1, highest: 3 }, { lowest: 2, highest: 5 }, 3],
    [{ lowest: 3, highest: 3 }, { lowest: 1, highest: 2 }, undefined],
    [{ lowest: 1, highest: 1 }, { lowest: 2, highest: 2 }, undefined],
  ] as const)('of %o and %o is %o', (own, theirs, common) => {
    expect(commonVersion(own, theirs)).toBe(common);
    expect(commonVersion(theirs, own)).toBe(common);
  });

  it('is found by two that begin with their lowest, whenever their ranges overlap', () => {
    const ranges = [1, 2, 3, 4].flatMap((lowest) => [0, 1, 2, 3].map((more) => ({ lowest, highest: lowest + more })));
    let agreed = 0;
    for (const a of ranges) {
      for (const b of ranges) {
        const reads = (reader: typeof a, version: number): boolean =>
          version >= reader.lowest && version <= reader.highest;
        let [aKnows, bKnows] = [false, false];
        for (let round = 0; round < 3; round += 1) {
          const toB = aKnows ? (commonVersion(a, b) ?? 0) : a.lowest;
          const toA = bKnows ? (commonVersion(a, b) ?? 0) : b.lowest;
          [aKnows, bKnows] = [aKnows || reads(a, toA), bKnows || reads(b, toB)];
        }
        expect([aKnows, bKnows]).toEqual(commonVersion(a, b) === undefined ? [false, false] : [true, true]);
        if (aKnows) agreed += 1;
      }
    }
    expect(agreed).toBeGreaterThan(100);
  });
});
