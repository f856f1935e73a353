/**
 * Ethernet II frames (IEEE 802.3 §3.2.6, RFC 894): destination, source, EtherType, payload. One 802.1Q tag is understood
 * on receive; we never send one, that is the VLAN interface's work. No frame check sequence: the hardware's.
 *
 * Frames are built unpadded. The driver pads to the least size of 60 octets, and receivers see that padding: what is in
 * the payload must say its own length.
 */

import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { macFromBytes, MAC_LENGTH, type Mac } from '../../base/mac.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';

/** Octets before the payload of an untagged frame. */
export const ETHERNET_HEADER_LENGTH = 14;

/** IEEE 802 numbers (IANA): EtherTypes. */
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;

/** Values below are lengths of an IEEE 802.3 frame (IEEE 802.3 §3.2.6). */
const ETHERTYPE_MIN = 0x0600;
const VLAN_ID_MASK = 0x0fff;

export interface EthernetAddresses {
  readonly destination: Mac;
  readonly source: Mac;
  readonly etherType: number;
}

export interface EthernetHeader extends EthernetAddresses {
  /** VLAN identifier of the 802.1Q tag, 0 for a tag that only carries a priority; undefined without a tag. */
  readonly vlan: number | undefined;
  /** Octets before the payload: 14, or 18 with a tag. */
  readonly length: number;
}

export type EthernetReason = 'ethernet-truncated' | 'not-ethernet-ii';

export function encodeEthernetFrame(header: EthernetAddresses, payload: Uint8Array): Uint8Array {
  return new ByteWriter(ETHERNET_HEADER_LENGTH + payload.length)
    .bytes(header.destination.bytes)
    .bytes(header.source.bytes)
    .u16(header.etherType)
    .bytes(payload)
    .finish();
}

/** The header; the payload is `frame.subarray(header.length)`, with whatever padding the sender's hardware added. */
export function decodeEthernetHeader(frame: Uint8Array): Decoded<EthernetHeader, EthernetReason> {
  const reader = new ByteReader(frame);
  const destination = reader.bytes(MAC_LENGTH);
  const source = reader.bytes(MAC_LENGTH);
  let etherType = reader.u16();
  let vlan: number | undefined;
  if (etherType === ETHERTYPE_VLAN) {
    vlan = reader.u16() & VLAN_ID_MASK;
    etherType = reader.u16();
  }
  if (reader.isOverrun) return malformed('ethernet-truncated', reader.offset);
  if (etherType < ETHERTYPE_MIN) return malformed('not-ethernet-ii', reader.offset - 2);
  return ok({
    destination: macFromBytes(destination),
    source: macFromBytes(source),
    etherType,
    vlan,
    length: reader.offset,
  });
}
