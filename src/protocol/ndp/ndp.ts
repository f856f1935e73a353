/**
 * Neighbor discovery messages (RFC 4861 §4.3, §4.4): solicitation and advertisement with the link-layer address options.
 * Unknown options are skipped by their length; a zero length, a wrong checksum or a hop limit below 255 refuses the message.
 */

import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { macFromBytes, MAC_LENGTH, type Mac } from '../../base/mac.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { decodeEthernetHeader, ETHERTYPE_IPV6 } from '../ethernet/ethernet.ts';
import { decodeIpv6Packet, icmpv6Checksum, IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6 } from '../ip/ipv6.ts';

export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
/** RFC 4861 §7.1: whatever came over a router has less. */
export const NDP_HOP_LIMIT = 255;
const OPTION_SOURCE_LINK_LAYER = 1;
const OPTION_TARGET_LINK_LAYER = 2;
const FIXED_LENGTH = 24;
const FLAG_ROUTER = 0x80;
const FLAG_SOLICITED = 0x40;
const FLAG_OVERRIDE = 0x20;

export interface NeighborSolicitation {
  readonly kind: 'solicitation';
  readonly target: Ip;
  /** Source link-layer address option; absent when the source address is unspecified (RFC 4861 §4.3). */
  readonly sourceMac: Mac | undefined;
}

export interface NeighborAdvertisement {
  readonly kind: 'advertisement';
  readonly target: Ip;
  readonly isRouter: boolean;
  readonly isSolicited: boolean;
  readonly isOverride: boolean;
  /** Target link-layer address option. */
  readonly targetMac: Mac | undefined;
}

export type NdpMessage = NeighborSolicitation | NeighborAdvertisement;

export type NdpReason =
  | 'truncated'
  | 'not-ipv6'
  | 'not-icmpv6'
  | 'not-neighbor-discovery'
  | 'bad-hop-limit'
  | 'bad-checksum'
  | 'bad-code'
  | 'bad-option'
  | 'multicast-target';

/** A message as it came in a frame, with who sent it. */
export interface NdpFrame {
  readonly message: NdpMessage;
  readonly source: Ip;
  readonly destination: Ip;
  /** Ethernet source address. */
  readonly sourceMac: Mac;
}

/** The ICMPv6 message with its checksum for a packet from `source` to `destination`. */
export function encodeNdpMessage(message: NdpMessage, source: Ip, destination: Ip): Uint8Array {
  const mac = message.kind === 'solicitation' ? message.sourceMac : message.targetMac;
  const bytes = new Uint8Array(FIXED_LENGTH + (mac === undefined ? 0 : 2 + MAC_LENGTH));
  bytes[0] = message.kind === 'solicitation' ? NEIGHBOR_SOLICITATION : NEIGHBOR_ADVERTISEMENT;
  if (message.kind === 'advertisement') {
    bytes[4] =
      (message.isRouter ? FLAG_ROUTER : 0) |
      (message.isSolicited ? FLAG_SOLICITED : 0) |
      (message.isOverride ? FLAG_OVERRIDE : 0);
  }
  bytes.set(message.target.bytes, 8);
  if (mac !== undefined) {
    bytes[FIXED_LENGTH] = message.kind === 'solicitation' ? OPTION_SOURCE_LINK_LAYER : OPTION_TARGET_LINK_LAYER;
    bytes[FIXED_LENGTH + 1] = 1; // in units of eight octets
    bytes.set(mac.bytes, FIXED_LENGTH + 2);
  }
  new DataView(bytes.buffer).setUint16(2, icmpv6Checksum(source, destination, bytes));
  return bytes;
}

/** Decodes an ICMPv6 message whose checksum has been verified. Offsets count from its start. */
export function decodeNdpMessage(bytes: Uint8Array): Decoded<NdpMessage, NdpReason> {
  const type = bytes[0];
  if (type !== NEIGHBOR_SOLICITATION && type !== NEIGHBOR_ADVERTISEMENT) {
    return malformed(bytes.length === 0 ? 'truncated' : 'not-neighbor-discovery', 0);
  }
  if (bytes.length < FIXED_LENGTH) return malformed('truncated', bytes.length);
  if (bytes[1] !== 0) return malformed('bad-code', 1);
  const target = ipFromBytes(bytes.subarray(8, FIXED_LENGTH));
  if (target.bytes[0] === 0xff) return malformed('multicast-target', 8);
  const isSolicitation = type === NEIGHBOR_SOLICITATION;
  const options = decodeOptions(bytes, isSolicitation ? OPTION_SOURCE_LINK_LAYER : OPTION_TARGET_LINK_LAYER);
  if (!options.ok) return options;
  if (isSolicitation) return ok({ kind: 'solicitation', target, sourceMac: options.value });
  const flags = bytes[4] ?? 0;
  return ok({
    kind: 'advertisement',
    target,
    isRouter: (flags & FLAG_ROUTER) !== 0,
    isSolicited: (flags & FLAG_SOLICITED) !== 0,
    isOverride: (flags & FLAG_OVERRIDE) !== 0,
    targetMac: options.value,
  });
}

function decodeOptions(bytes: Uint8Array, wanted: number): Decoded<Mac | undefined, NdpReason> {
  let mac: Mac | undefined;
  for (let offset = FIXED_LENGTH; offset < bytes.length; ) {
    const length = (bytes[offset + 1] ?? 0) * 8;
    if (length === 0 || offset + length > bytes.length) return malformed('bad-option', offset);
    if (bytes[offset] === wanted && length === 8) mac = macFromBytes(bytes.subarray(offset + 2, offset + 8));
    offset += length;
  }
  return ok(mac);
}

/** Decodes a whole Ethernet frame that carries neighbor discovery. Offsets count from the start of the frame. */
export function decodeNdpFrame(frame: Uint8Array): Decoded<NdpFrame, NdpReason> {
  const header = decodeEthernetHeader(frame);
  if (!header.ok) return header;
  const start = header.value.payloadOffset;
  if (header.value.etherType !== ETHERTYPE_IPV6) return malformed('not-ipv6', start - 2);
  const packet = decodeIpv6Packet(frame.subarray(start));
  if (!packet.ok) return malformed(packet.reason, start + packet.offset);
  const { source, destination, nextHeader, hopLimit } = packet.value.header;
  if (nextHeader !== NEXT_HEADER_ICMPV6) return malformed('not-icmpv6', start + 6);
  if (hopLimit !== NDP_HOP_LIMIT) return malformed('bad-hop-limit', start + 7);
  const body = start + IPV6_HEADER_LENGTH;
  if (icmpv6Checksum(source, destination, packet.value.payload) !== 0) return malformed('bad-checksum', body + 2);
  const message = decodeNdpMessage(packet.value.payload);
  if (!message.ok) return malformed(message.reason, body + message.offset);
  return ok({ message: message.value, source, destination, sourceMac: header.value.source });
}
