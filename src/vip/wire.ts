/**
 * How an address is asked for and announced on the wire, whatever its family: ARP for IPv4 (RFC 826, RFC 5227), neighbor
 * discovery for IPv6 (RFC 4861, RFC 4862). The only place where the families part.
 */

import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { malformed, ok, type Decoded } from '../base/outcome.ts';
import { ARP_REPLY, ARP_REQUEST, decodeArpFrame } from '../protocol/arp/arp.ts';
import { arpProbeFrame, gratuitousArpFrame } from '../protocol/arp/frames.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV6, decodeEthernetHeader } from '../protocol/ethernet/ethernet.ts';
import { decodeNdpFrame } from '../protocol/ndp/ndp.ts';
import { duplicateAddressProbeFrame, unsolicitedAdvertisementFrame } from '../protocol/ndp/frames.ts';

/** What a frame says about an address: its sender uses it, asks whether anybody does (a probe), or merely looks for it. */
export interface Heard {
  readonly kind: 'uses' | 'probes' | 'looks-for';
  readonly ip: Ip;
  readonly mac: Mac;
}
