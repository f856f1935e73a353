import * as fc from 'fast-check';
import { expect, it } from 'vitest';

import { viewOf } from '../../src/base/bytes.ts';
import { ipFromBytes, type Ip } from '../../src/base/ip.ts';
import { macFromBytes } from '../../src/base/mac.ts';
import { encodeEthernetFrame, ETHERTYPE_IPV6 } from '../../src/protocol/ethernet/ethernet.ts';
import { icmpv6Checksum } from '../../src/protocol/ip/checksum.ts';
import { encodeIpv6Packet } from '../../src/protocol/ip/ipv6.ts';
import { solicitedNodeGroup } from '../../src/protocol/ip/multicast.ts';
import { decodeNdpFrame, decodeNdpPacket, encodeNdpPacket, type NdpPacket } from '../../src/protocol/ndp/ndp.ts';

/** A second or two for each property: most octets of a datagram meet most of their values. */
const RUNS = { numRuns: 20_000 };
const UNSPECIFIED = ipFromBytes(new Uint8Array(16));
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes);
const address = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(ipFromBytes);
const unicast = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => ipFromBytes(bytes.with(0, 0xfd)));
const optionalMac = fc.option(mac, { nil: undefined });

const solicitation = fc.record({ kind: fc.constant('solicitation' as const), target: unicast, sourceMac: optionalMac });
const advertisement = fc.record({
  kind: fc.constant('advertisement' as const),
  target: unicast,
  isRouter: fc.boolean(),
  isSolicited: fc.boolean(),
  isOverride: fc.boolean(),
  targetMac: optionalMac,
});
const packet: fc.Arbitrary<NdpPacket> = fc.oneof(
  fc.record({ source: unicast, destination: unicast, message: fc.oneof(solicitation, advertisement) }),
  unicast.map((target): NdpPacket => {
    const message = { kind: 'solicitation', target, sourceMac: undefined } as const;
    return { source: UNSPECIFIED, destination: solicitedNodeGroup(target), message };
  }),
);

/** A frame that is right up to the ICMPv6 message, whose octets are anything. */
function framed(source: Ip, destination: Ip, message: Uint8Array): Uint8Array {
  const body = Uint8Array.from(message);
  if (body.length >= 4) {
    body.fill(0, 2, 4);
    viewOf(body).setUint16(2, icmpv6Checksum(source, destination, body));
  }
  const header = { source, destination, nextHeader: 58, hopLimit: 255 };
  const none = macFromBytes(new Uint8Array(6));
  return encodeEthernetFrame(
    { destination: none, source: none, etherType: ETHERTYPE_IPV6 },
    encodeIpv6Packet(header, body),
  );
}

it('decoding NDP answers for any octets, and refuses within them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 160, size: 'max' }), (bytes) => {
      for (const decoded of [decodeNdpPacket(bytes), decodeNdpFrame(bytes)]) {
        if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(bytes.length);
      }
    }),
    RUNS,
  );
});

it('decoding answers for any message in a right frame: no option leads it astray', () => {
  const message = fc
    .tuple(fc.constantFrom(135, 136), fc.uint8Array({ maxLength: 120, size: 'max' }))
    .map(([type, rest]) => Uint8Array.from([type, 0, 0, 0, ...rest]));
  const outcomes = new Map<string, number>();
  fc.assert(
    fc.property(address, address, message, (source, destination, body) => {
      const frame = framed(source, destination, body);
      const decoded = decodeNdpFrame(frame);
      const outcome = decoded.ok ? 'ok' : decoded.reason;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      expect(outcome).not.toBe('ndp-checksum');
      if (!decoded.ok) expect(decoded.offset).toBeLessThanOrEqual(frame.length);
    }),
    RUNS,
  );
  // Such frames get past the header checks and as far as the options.
  expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['ok', 'ndp-truncated', 'ndp-option-length']));
});

it('decoding gives back what was encoded, at every truncation a refusal', () => {
  fc.assert(
    fc.property(packet, fc.uint8Array({ maxLength: 32, size: 'max' }), fc.nat(), (value, padding, cut) => {
      const bytes = encodeNdpPacket(value);
      expect(decodeNdpPacket(Uint8Array.from([...bytes, ...padding]))).toEqual({ ok: true, value });
      expect(decodeNdpPacket(bytes.subarray(0, cut % bytes.length)).ok).toBe(false);
    }),
    RUNS,
  );
});
