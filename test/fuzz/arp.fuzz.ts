import * as fc from 'fast-check';
import { expect, it } from 'vitest';

import { ipFromBytes } from '../../src/base/ip.ts';
import { macFromBytes } from '../../src/base/mac.ts';
import {
  ARP_REPLY,
  ARP_REQUEST,
  decodeArpFrame,
  decodeArpPacket,
  encodeArpPacket,
} from '../../src/protocol/arp/arp.ts';
import { decodeEthernetHeader, encodeEthernetFrame } from '../../src/protocol/ethernet/ethernet.ts';

/** A second or two for each property: most octets of a datagram meet most of their values. */
const RUNS = { numRuns: 20_000 };
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes);
const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipFromBytes);
const packet = fc.record({
  operation: fc.constantFrom(ARP_REQUEST, ARP_REPLY),
  senderMac: mac,
  senderIp: ipv4,
  targetMac: mac,
  targetIp: ipv4,
});

it('decoding ARP answers for any octets, and refuses within them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80, size: 'max' }), (bytes) => {
      for (const decoded of [decodeArpPacket(bytes), decodeArpFrame(bytes), decodeEthernetHeader(bytes)]) {
        if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(bytes.length);
      }
    }),
    RUNS,
  );
});

it('decoding gives back what was encoded, at every truncation a refusal', () => {
  fc.assert(
    fc.property(
      packet,
      mac,
      fc.uint8Array({ maxLength: 32, size: 'max' }),
      fc.nat(41),
      (value, destination, padding, cut) => {
        const header = { destination, source: value.senderMac, etherType: 0x0806 };
        const frame = encodeEthernetFrame(header, Uint8Array.from([...encodeArpPacket(value), ...padding]));
        expect(decodeArpFrame(frame)).toEqual({ ok: true, value });
        expect(decodeArpFrame(frame.subarray(0, cut)).ok).toBe(false);
      },
    ),
    RUNS,
  );
});

it('encoding gives back what was decoded: no two packets look the same', () => {
  const head = Uint8Array.of(0, 1, 8, 0, 6, 4, 0);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 21, maxLength: 21 }), (tail) => {
      const bytes = Uint8Array.from([...head, ...tail]);
      const decoded = decodeArpPacket(bytes);
      if (decoded.ok) expect(encodeArpPacket(decoded.value)).toEqual(bytes);
      else expect(decoded.reason).toBe('arp-operation');
    }),
    RUNS,
  );
});
