/**
 * A tickle: a TCP segment in the name of one end of a connection that makes the other end speak. It is an acknowledgement
 * with sequence number 0, which lies outside the window, and whoever gets such a segment answers with what he expects (RFC
 * 9293 §3.10.7.4). If that answer meets a machine that knows nothing of the connection, he is reset: that is how clients
 * learn at once that an address has moved, though they themselves have nothing to send. CTDB tells them in the same way.
 *
 * IPv4 (RFC 791) without options. Over IPv6 the kernel's own reset gets out, so nothing like it is needed.
 */

import { assert } from '../../base/assert.ts';
import { ByteWriter } from '../../base/bytes.ts';
import { internetChecksum } from './checksum.ts';

/** One end: four octets of address, and its port. */
export interface TickleEnd {
  readonly address: Uint8Array;
  readonly port: number;
}

const IPV4_HEADER_BYTES = 20;
const TCP_HEADER_BYTES = 20;
const VERSION_AND_LENGTH = 0x45;
const DONT_FRAGMENT = 0x4000;
const HOP_LIMIT = 64;
const PROTOCOL_TCP = 6;
/** A header of five words, and the flag ACK. */
const LENGTH_AND_ACK = 0x5010;
const WINDOW = 1024;

/** The packet from `from`, whose address has left, to `to`. */
export function encodeTickle(from: TickleEnd, to: TickleEnd): Uint8Array {
  assert(from.address.length === 4 && to.address.length === 4, 'a tickle is an IPv4 packet');
  const pseudoHeader = Uint8Array.of(...from.address, ...to.address, 0, PROTOCOL_TCP, 0, TCP_HEADER_BYTES);
  const checksum = internetChecksum(pseudoHeader, segment(from, to, 0));
  const header = ipv4Header(from, to, 0);
  return Uint8Array.of(...ipv4Header(from, to, internetChecksum(header)), ...segment(from, to, checksum));
}

function ipv4Header(from: TickleEnd, to: TickleEnd, checksum: number): Uint8Array {
  return new ByteWriter(IPV4_HEADER_BYTES)
    .u8(VERSION_AND_LENGTH)
    .u8(0)
    .u16(IPV4_HEADER_BYTES + TCP_HEADER_BYTES)
    .u16(0)
    .u16(DONT_FRAGMENT)
    .u8(HOP_LIMIT)
    .u8(PROTOCOL_TCP)
    .u16(checksum)
    .bytes(from.address)
    .bytes(to.address)
    .finish();
}

function segment(from: TickleEnd, to: TickleEnd, checksum: number): Uint8Array {
  return new ByteWriter(TCP_HEADER_BYTES)
    .u16(from.port)
    .u16(to.port)
    .u32(0)
    .u32(0)
    .u16(LENGTH_AND_ACK)
    .u16(WINDOW)
    .u16(checksum)
    .u16(0)
    .finish();
}
