/**
 * Neighbor solicitation and advertisement (RFC 4861 §4.3, §4.4), the two messages of neighbor discovery that ask and
 * answer who has an IPv6 address. A packet is accepted only as §7.1.1 and §7.1.2 demand; hop limit 255 proves that no
 * router forwarded it. Routers, prefixes and redirects are the kernel's business. No SEND (RFC 3971).
 */

import { assert } from '../../base/assert.ts';
import { ByteReader, ByteWriter, viewOf } from '../../base/bytes.ts';
import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { macFromBytes, MAC_LENGTH, type Mac } from '../../base/mac.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { decodeEthernetHeader, ETHERTYPE_IPV6, type EthernetReason } from '../ethernet/ethernet.ts';
import { icmpv6Checksum } from '../ip/checksum.ts';
import {
  decodeIpv6Packet,
  encodeIpv6Packet,
  IPV6_ADDRESS_LENGTH,
  IPV6_HEADER_LENGTH,
  NEXT_HEADER_ICMPV6,
  type Ipv6Packet,
  type Ipv6Reason,
} from '../ip/ipv6.ts';
import { isIpv6Multicast, isSolicitedNodeGroup } from '../ip/multicast.ts';

/** ICMPv6 types (RFC 4861 §4.3, §4.4). */
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
/** What no router can have forwarded (RFC 4861 §3.1). */
export const NDP_HOP_LIMIT = 255;

/** Octets of either message without options: type, code, checksum, flags or reserved, target. */
const MESSAGE_LENGTH = 24;
const CHECKSUM_OFFSET = 2;
const FLAG_ROUTER = 0x8000_0000;
const FLAG_SOLICITED = 0x4000_0000;
const FLAG_OVERRIDE = 0x2000_0000;

/** Option types and the unit of their length (RFC 4861 §4.6). */
const OPTION_SOURCE_LINK_LAYER = 1;
const OPTION_TARGET_LINK_LAYER = 2;
const OPTION_UNIT = 8;
const OPTION_HEADER_LENGTH = 2;

export interface NeighborSolicitation {
  readonly kind: 'solicitation';
  readonly target: Ip;
  /** Source link-layer address option; absent while its sender checks for duplicates (RFC 4862 §5.4.2). */
  readonly sourceMac: Mac | undefined;
}

export interface NeighborAdvertisement {
  readonly kind: 'advertisement';
  readonly target: Ip;
  readonly isRouter: boolean;
  /** It answers a solicitation. */
  readonly isSolicited: boolean;
  /** It replaces what its receivers have cached. */
  readonly isOverride: boolean;
  /** Target link-layer address option: where the target is. */
  readonly targetMac: Mac | undefined;
}

export type NdpMessage = NeighborSolicitation | NeighborAdvertisement;

/** A message and between whom it travels. */
export interface NdpPacket {
  /** Unspecified (::) in a solicitation of duplicate address detection. */
  readonly source: Ip;
  readonly destination: Ip;
  readonly message: NdpMessage;
}

export interface NdpFrame extends NdpPacket {
  /** Who sent the frame: all that is known of a sender that gives no link-layer address. */
  readonly sourceMac: Mac;
}

export type NdpReason =
  | EthernetReason
  | Ipv6Reason
  | 'not-ipv6'
  | 'not-icmpv6'
  | 'not-neighbor-discovery'
  | 'ndp-hop-limit'
  | 'ndp-truncated'
  | 'ndp-checksum'
  | 'ndp-code'
  | 'ndp-target-multicast'
  | 'ndp-option-length'
  | 'ndp-unspecified-source'
  | 'ndp-solicited-multicast';

/** The IPv6 packet that carries the message, with hop limit 255 and its checksum. */
export function encodeNdpPacket(packet: NdpPacket): Uint8Array {
  const { source, destination, message } = packet;
  assert(message.target.family === 'ipv6', 'neighbor discovery is about IPv6 addresses');
  const isSolicitation = message.kind === 'solicitation';
  const linkLayer = isSolicitation ? message.sourceMac : message.targetMac;
  const writer = new ByteWriter(MESSAGE_LENGTH + (linkLayer === undefined ? 0 : OPTION_UNIT))
    .u8(isSolicitation ? NEIGHBOR_SOLICITATION : NEIGHBOR_ADVERTISEMENT)
    .u8(0)
    .u16(0)
    .u32(isSolicitation ? 0 : flagsOf(message))
    .bytes(message.target.bytes);
  if (linkLayer !== undefined) {
    const type = isSolicitation ? OPTION_SOURCE_LINK_LAYER : OPTION_TARGET_LINK_LAYER;
    writer.u8(type).u8(1).bytes(linkLayer.bytes);
  }
  const body = writer.finish();
  viewOf(body).setUint16(CHECKSUM_OFFSET, icmpv6Checksum(source, destination, body));
  const header = { source, destination, nextHeader: NEXT_HEADER_ICMPV6, hopLimit: NDP_HOP_LIMIT };
  return encodeIpv6Packet(header, body);
}

function flagsOf(message: NeighborAdvertisement): number {
  return (
    (message.isRouter ? FLAG_ROUTER : 0) +
    (message.isSolicited ? FLAG_SOLICITED : 0) +
    (message.isOverride ? FLAG_OVERRIDE : 0)
  );
}

/** The message in an IPv6 packet at the start of `bytes`; what follows it is padding. */
export function decodeNdpPacket(bytes: Uint8Array): Decoded<NdpPacket, NdpReason> {
  const packet = decodeIpv6Packet(bytes);
  if (!packet.ok) return packet;
  const { nextHeader, hopLimit, payload, source, destination } = packet.value;
  if (nextHeader !== NEXT_HEADER_ICMPV6) return malformed('not-icmpv6', 6);
  const type = payload[0];
  if (type === undefined) return malformed('ndp-truncated', IPV6_HEADER_LENGTH);
  if (type !== NEIGHBOR_SOLICITATION && type !== NEIGHBOR_ADVERTISEMENT) {
    return malformed('not-neighbor-discovery', IPV6_HEADER_LENGTH);
  }
  if (hopLimit !== NDP_HOP_LIMIT) return malformed('ndp-hop-limit', 7);
  if (payload.length < MESSAGE_LENGTH) return malformed('ndp-truncated', IPV6_HEADER_LENGTH + payload.length);
  if (icmpv6Checksum(source, destination, payload) !== 0) {
    return malformed('ndp-checksum', IPV6_HEADER_LENGTH + CHECKSUM_OFFSET);
  }
  if (payload[1] !== 0) return malformed('ndp-code', IPV6_HEADER_LENGTH + 1);
  const message = type === NEIGHBOR_SOLICITATION ? decodeSolicitation(packet.value) : decodeAdvertisement(packet.value);
  if (!message.ok) return malformed(message.reason, IPV6_HEADER_LENGTH + message.offset);
  return ok({ source, destination, message: message.value });
}

/** The message in an Ethernet frame; `offset` of a refusal counts from the start of the frame. */
export function decodeNdpFrame(frame: Uint8Array): Decoded<NdpFrame, NdpReason> {
  const ethernet = decodeEthernetHeader(frame);
  if (!ethernet.ok) return ethernet;
  const { etherType, length, source } = ethernet.value;
  if (etherType !== ETHERTYPE_IPV6) return malformed('not-ipv6', length - 2);
  const packet = decodeNdpPacket(frame.subarray(length));
  if (!packet.ok) return malformed(packet.reason, length + packet.offset);
  return ok({ ...packet.value, sourceMac: source });
}

function decodeSolicitation(packet: Ipv6Packet): Decoded<NeighborSolicitation, NdpReason> {
  const body = decodeBody(packet.payload, OPTION_SOURCE_LINK_LAYER);
  if (!body.ok) return body;
  const { target, linkLayer } = body.value;
  // RFC 4861 §7.1.1: who has no address yet can only ask a group, and has no address to bind its MAC to.
  const isUnspecified = packet.source.bytes.every((octet) => octet === 0);
  if (isUnspecified && (linkLayer !== undefined || !isSolicitedNodeGroup(packet.destination))) {
    return malformed('ndp-unspecified-source', 0);
  }
  return ok({ kind: 'solicitation', target, sourceMac: linkLayer });
}

function decodeAdvertisement(packet: Ipv6Packet): Decoded<NeighborAdvertisement, NdpReason> {
  const body = decodeBody(packet.payload, OPTION_TARGET_LINK_LAYER);
  if (!body.ok) return body;
  const { flags, target, linkLayer } = body.value;
  const isSolicited = (flags & FLAG_SOLICITED) !== 0;
  // RFC 4861 §7.1.2.
  if (isSolicited && isIpv6Multicast(packet.destination)) return malformed('ndp-solicited-multicast', 4);
  return ok({
    kind: 'advertisement',
    target,
    isRouter: (flags & FLAG_ROUTER) !== 0,
    isSolicited,
    isOverride: (flags & FLAG_OVERRIDE) !== 0,
    targetMac: linkLayer,
  });
}

interface Body {
  readonly flags: number;
  readonly target: Ip;
  readonly linkLayer: Mac | undefined;
}

/** What both messages have in common; the caller has checked that MESSAGE_LENGTH octets are there. */
function decodeBody(payload: Uint8Array, linkLayerOption: number): Decoded<Body, NdpReason> {
  const reader = new ByteReader(payload, 4);
  const flags = reader.u32();
  const target = ipFromBytes(reader.bytes(IPV6_ADDRESS_LENGTH));
  if (isIpv6Multicast(target)) return malformed('ndp-target-multicast', 8);
  let linkLayer: Mac | undefined;
  while (reader.remaining > 0) {
    const start = reader.offset;
    const type = reader.u8();
    const length = reader.u8() * OPTION_UNIT;
    // RFC 4861 §4.6: a packet with an option of length zero is discarded. Every option therefore moves us forward.
    if (length === 0) return malformed('ndp-option-length', start);
    const value = reader.bytes(length - OPTION_HEADER_LENGTH);
    if (reader.isOverrun) return malformed('ndp-option-length', start);
    // Of several the first counts; one of another length is another link layer's. Unknown options are skipped (§4.6).
    if (type === linkLayerOption && length === OPTION_UNIT) linkLayer ??= macFromBytes(value.subarray(0, MAC_LENGTH));
  }
  return ok({ flags, target, linkLayer });
}
