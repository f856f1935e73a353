import * as fc from 'fast-check';
import { expect, it } from 'vitest';

import {
  decodeHeartbeat,
  encodeHeartbeat,
  TAG_LENGTH,
  type HeartbeatDatagram,
} from '../../src/protocol/heartbeat/heartbeat.ts';

/** A second or two for each property: most octets of a datagram meet most of their values. */
const RUNS = { numRuns: 20_000 };
const u32 = fc.nat(0xffff_ffff);
const octets = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const beat: fc.Arbitrary<HeartbeatDatagram> = fc.record({
  version: fc.constant(2),
  versions: fc.record({ lowest: fc.constant(1), highest: fc.integer({ min: 2, max: 255 }) }),
  isApiWorking: fc.boolean(),
  isEligible: fc.boolean(),
  isDraining: fc.boolean(),
  isHolding: fc.boolean(),
  isLeading: fc.boolean(),
  isProvisional: fc.boolean(),
  isAnswering: fc.boolean(),
  clusterId: octets(16),
  incarnation: octets(8),
  sequence: u32,
  echoIncarnation: u32,
  echoSequence: u32,
  epoch: u32,
  hears: fc.nat(0xffff),
  supports: fc.option(fc.nat(254), { nil: undefined }),
  priority: fc.nat(255),
  term: u32,
  intervalMs: fc.nat(0xffff),
  misses: fc.array(u32, { maxLength: 64 }),
  keyId: u32,
  sender: fc.stringMatching(/^[a-z0-9.-]{1,253}$/),
});

it('decoding a heartbeat answers for any octets, and refuses within them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600, size: 'max' }), (bytes) => {
      const decoded = decodeHeartbeat(bytes);
      if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(bytes.length);
    }),
    RUNS,
  );
});

it('decoding a heartbeat answers for any octets behind a right beginning', () => {
  const beginning = Uint8Array.of(0x48, 0x46, 0x68, 0x62, 2, 1, 2);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400, size: 'max' }), (bytes) => {
      const datagram = Uint8Array.from([...beginning, ...bytes]);
      const decoded = decodeHeartbeat(datagram);
      if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(datagram.length);
      else expect(encodeHeartbeat(decoded.value.beat).length + TAG_LENGTH).toBe(datagram.length);
    }),
    RUNS,
  );
});

it('decoding a heartbeat gives back what was encoded, at every truncation a refusal', () => {
  fc.assert(
    fc.property(beat, octets(TAG_LENGTH), fc.nat(), (value, tag, cut) => {
      const covered = encodeHeartbeat(value);
      const datagram = Uint8Array.from([...covered, ...tag]);
      expect(decodeHeartbeat(datagram)).toEqual({ ok: true, value: { beat: value, covered, tag } });
      expect(decodeHeartbeat(datagram.subarray(0, cut % datagram.length)).ok).toBe(false);
    }),
    RUNS,
  );
});
