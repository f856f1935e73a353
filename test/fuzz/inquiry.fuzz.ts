import * as fc from 'fast-check';
import { expect, it } from 'vitest';

import { ipFromBytes } from '../../src/base/ip.ts';
import { macFromBytes } from '../../src/base/mac.ts';
import { TAG_LENGTH } from '../../src/protocol/heartbeat/heartbeat.ts';
import {
  decodeInquiry,
  encodeInquiry,
  HEARD_MAX,
  OTHER_MACS_MAX,
  type InquiryDatagram,
  type InquiryReply,
} from '../../src/protocol/heartbeat/inquiry.ts';

/** A second or two for each property: most octets of a datagram meet most of their values. */
const RUNS = { numRuns: 20_000 };
const u32 = fc.nat(0xffff_ffff);
const octets = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const address = fc.oneof(octets(4), octets(16)).map(ipFromBytes);
const mac = octets(6)
  .filter((bytes) => bytes.some((octet) => octet !== 0))
  .map(macFromBytes);
const interfaceName = fc.stringMatching(/^[a-z0-9@.-]{0,15}$/);
const reply: fc.Arbitrary<InquiryReply> = fc.oneof(
  fc.record({
    kind: fc.constant('held' as const),
    phase: fc.constantFrom('idle', 'probing', 'conflict', 'claiming', 'holding', 'withdrawing'),
    interfaceName,
    mac: fc.option(mac, { nil: undefined }),
    sinceSeconds: u32,
    announcements: u32,
    lastAnnouncedSecondsAgo: fc.option(fc.nat(0xffff_fffe), { nil: undefined }),
    rival: fc.option(mac, { nil: undefined }),
    isKubeProxyHealthy: fc.option(fc.boolean(), { nil: undefined }),
    otherMacs: fc.array(mac, { maxLength: OTHER_MACS_MAX }),
  }),
  fc.record({
    kind: fc.constant('wire' as const),
    interfaceName,
    mac,
    listenedMs: fc.nat(0xffff),
    heard: fc.array(fc.record({ mac, afterMicros: u32 }), { maxLength: HEARD_MAX }),
    otherMacs: fc.array(mac, { maxLength: OTHER_MACS_MAX }),
  }),
  fc.record({
    kind: fc.constant('unaskable' as const),
    reason: fc.constantFrom('no-subnet', 'no-carrier', 'no-source', 'no-socket', 'not-ready'),
    interfaceName,
  }),
  fc.record({ kind: fc.constant('not-held' as const) }),
  fc.record({ kind: fc.constant('refused' as const), reason: fc.constantFrom('not-ours', 'busy') }),
);
const inquiry: fc.Arbitrary<InquiryDatagram> = fc.record({
  clusterId: octets(16),
  incarnation: octets(8),
  number: u32,
  echoIncarnation: u32,
  echoSequence: u32,
  keyId: u32,
  sender: fc.stringMatching(/^[a-z0-9.-]{1,253}$/),
  body: fc.oneof(
    fc.record({
      kind: fc.constant('question' as const),
      question: fc.record({ subject: fc.constantFrom('holding', 'wire'), address }),
    }),
    fc.record({ kind: fc.constant('answer' as const), address, reply }),
  ),
});

it('decoding an inquiry answers for any octets, and refuses within them', () => {
  const beginnings = [[], [0x48, 0x46, 0x69, 0x71, 1, 1], [0x48, 0x46, 0x69, 0x71, 1, 2]];
  fc.assert(
    fc.property(fc.constantFrom(...beginnings), fc.uint8Array({ maxLength: 600, size: 'max' }), (beginning, bytes) => {
      const datagram = Uint8Array.from([...beginning, ...bytes]);
      const decoded = decodeInquiry(datagram);
      if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(datagram.length);
      else expect(encodeInquiry(decoded.value.inquiry).length + TAG_LENGTH).toBe(datagram.length);
    }),
    RUNS,
  );
});

it('decoding an inquiry answers for any octets within a right one', () => {
  fc.assert(
    fc.property(inquiry, fc.nat(), fc.nat(255), (value, place, octet) => {
      const datagram = Uint8Array.from([...encodeInquiry(value), ...new Uint8Array(TAG_LENGTH)]);
      datagram[place % datagram.length] = octet;
      const decoded = decodeInquiry(datagram);
      if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(datagram.length);
    }),
    RUNS,
  );
});

it('decoding an inquiry gives back what was encoded, at every truncation a refusal', () => {
  fc.assert(
    fc.property(inquiry, octets(TAG_LENGTH), fc.nat(), (value, tag, cut) => {
      const covered = encodeInquiry(value);
      const datagram = Uint8Array.from([...covered, ...tag]);
      expect(decodeInquiry(datagram)).toEqual({ ok: true, value: { inquiry: value, covered, tag } });
      expect(decodeInquiry(datagram.subarray(0, cut % datagram.length)).ok).toBe(false);
    }),
    RUNS,
  );
});
