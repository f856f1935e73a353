/**
 * The IPv6 header (RFC 8200 §3) of packets that fit one frame. No extension headers: neighbor discovery, what this is
 * for, has none (and must not be fragmented, RFC 6980 §5).
 */

import { assert } from '../../base/assert.ts';
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';

/** Octets. */
export const IPV6_HEADER_LENGTH = 40;
export const IPV6_ADDRESS_LENGTH = 16;

/** Next Header of ICMPv6 (RFC 4443 §1). */
export const NEXT_HEADER_ICMPV6 = 58;

const VERSION = 6;

export interface Ipv6Header {
  readonly source: Ip;
  readonly destination: Ip;
  readonly nextHeader: number;
  readonly hopLimit: number;
}

export interface Ipv6Packet extends Ipv6Header {
  /** What the header says follows it: a view, without the frame's padding. */
  readonly payload: Uint8Array;
}

export type Ipv6Reason = 'ipv6-truncated' | 'ipv6-version';

/** The packet, with traffic class and flow label zero. */
export function encodeIpv6Packet(header: Ipv6Header, payload: Uint8Array): Uint8Array {
  assert(header.source.family === 'ipv6' && header.destination.family === 'ipv6', 'an IPv6 packet has IPv6 addresses');
  return new ByteWriter(IPV6_HEADER_LENGTH + payload.length)
    .u32(VERSION * 2 ** 28)
    .u16(payload.length)
    .u8(header.nextHeader)
    .u8(header.hopLimit)
    .bytes(header.source.bytes)
    .bytes(header.destination.bytes)
    .bytes(payload)
    .finish();
}

/** The packet at the start of `bytes`, whatever its traffic class and flow label; what follows it is padding. */
export function decodeIpv6Packet(bytes: Uint8Array): Decoded<Ipv6Packet, Ipv6Reason> {
  const reader = new ByteReader(bytes);
  const version = reader.u32() >>> 28;
  const payloadLength = reader.u16();
  const nextHeader = reader.u8();
  const hopLimit = reader.u8();
  const source = reader.bytes(IPV6_ADDRESS_LENGTH);
  const destination = reader.bytes(IPV6_ADDRESS_LENGTH);
  if (reader.isOverrun) return malformed('ipv6-truncated', reader.offset);
  if (version !== VERSION) return malformed('ipv6-version', 0);
  const payload = reader.bytes(payloadLength);
  if (reader.isOverrun) return malformed('ipv6-truncated', reader.offset);
  return ok({ source: ipFromBytes(source), destination: ipFromBytes(destination), nextHeader, hopLimit, payload });
}
