/**
 * ARP for IPv4 over Ethernet (RFC 826): 28 octets that say "who has the target address, tell the sender" or "the sender
 * has the sender address". Other hardware and protocol types are refused: no virtual IP lives on them.
 */

import { assert } from '../../base/assert.ts';
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { macFromBytes, MAC_LENGTH, type Mac } from '../../base/mac.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { decodeEthernetHeader, ETHERTYPE_ARP, ETHERTYPE_IPV4, type EthernetReason } from '../ethernet/ethernet.ts';

/** Octets of an ARP packet for IPv4 over Ethernet. */
export const ARP_PACKET_LENGTH = 28;

/** ar$op (RFC 826; IANA ARP parameters). */
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

/** ar$hrd: Ethernet, 10 Mb (IANA ARP parameters). */
const HARDWARE_ETHERNET = 1;
const IPV4_LENGTH = 4;

export type ArpOperation = typeof ARP_REQUEST | typeof ARP_REPLY;

export interface ArpPacket {
  readonly operation: ArpOperation;
  readonly senderMac: Mac;
  /** 0.0.0.0 in a probe (RFC 5227 §1.1). */
  readonly senderIp: Ip;
  /** Without meaning in a request: zeros, ones, or what the sender last knew. */
  readonly targetMac: Mac;
  readonly targetIp: Ip;
}

export type ArpReason =
  | EthernetReason
  | 'not-arp'
  | 'arp-truncated'
  | 'arp-hardware-type'
  | 'arp-protocol-type'
  | 'arp-address-length'
  | 'arp-operation';

/** Both addresses must be IPv4. */
export function encodeArpPacket(packet: ArpPacket): Uint8Array {
  assert(packet.senderIp.family === 'ipv4' && packet.targetIp.family === 'ipv4', 'ARP is about IPv4 addresses');
  return new ByteWriter(ARP_PACKET_LENGTH)
    .u16(HARDWARE_ETHERNET)
    .u16(ETHERTYPE_IPV4)
    .u8(MAC_LENGTH)
    .u8(IPV4_LENGTH)
    .u16(packet.operation)
    .bytes(packet.senderMac.bytes)
    .bytes(packet.senderIp.bytes)
    .bytes(packet.targetMac.bytes)
    .bytes(packet.targetIp.bytes)
    .finish();
}

/** The packet at the start of `bytes`; what follows is padding. */
export function decodeArpPacket(bytes: Uint8Array): Decoded<ArpPacket, ArpReason> {
  if (bytes.length < ARP_PACKET_LENGTH) return malformed('arp-truncated', bytes.length);
  const reader = new ByteReader(bytes);
  if (reader.u16() !== HARDWARE_ETHERNET) return malformed('arp-hardware-type', 0);
  if (reader.u16() !== ETHERTYPE_IPV4) return malformed('arp-protocol-type', 2);
  if (reader.u8() !== MAC_LENGTH || reader.u8() !== IPV4_LENGTH) return malformed('arp-address-length', 4);
  const operation = reader.u16();
  if (operation !== ARP_REQUEST && operation !== ARP_REPLY) return malformed('arp-operation', 6);
  return ok({
    operation,
    senderMac: macFromBytes(reader.bytes(MAC_LENGTH)),
    senderIp: ipFromBytes(reader.bytes(IPV4_LENGTH)),
    targetMac: macFromBytes(reader.bytes(MAC_LENGTH)),
    targetIp: ipFromBytes(reader.bytes(IPV4_LENGTH)),
  });
}

/** The ARP packet in an Ethernet frame; `offset` of a refusal counts from the start of the frame. */
export function decodeArpFrame(frame: Uint8Array): Decoded<ArpPacket, ArpReason> {
  const ethernet = decodeEthernetHeader(frame);
  if (!ethernet.ok) return ethernet;
  const { etherType, length } = ethernet.value;
  if (etherType !== ETHERTYPE_ARP) return malformed('not-arp', length - 2);
  const packet = decodeArpPacket(frame.subarray(length));
  return packet.ok ? packet : malformed(packet.reason, length + packet.offset);
}
