/** The neighbor discovery frames that address defence sends: unsolicited advertisements and duplicate address probes. */

import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { encodeEthernetFrame, ETHERTYPE_IPV6 } from '../ethernet/ethernet.ts';
import {
  ALL_NODES,
  encodeIpv6Packet,
  IPV6_UNSPECIFIED,
  multicastMac,
  NEXT_HEADER_ICMPV6,
  solicitedNodeGroup,
} from '../ip/ipv6.ts';
import { encodeNdpMessage, NDP_HOP_LIMIT, type NdpMessage } from './ndp.ts';

/** "I have `target`", to every node: override set, solicited clear (RFC 4861 §7.2.6). The source is `source`, or the target. */
export function unsolicitedAdvertisementFrame(options: {
  readonly mac: Mac;
  readonly target: Ip;
  readonly source?: Ip;
}): Uint8Array {
  const { mac, target } = options;
  const message: NdpMessage = {
    kind: 'advertisement',
    target,
    isRouter: false,
    isSolicited: false,
    isOverride: true,
    targetMac: mac,
  };
  return frameOf(message, { mac, source: options.source ?? target, destination: ALL_NODES });
}

/** "Does anybody have `target`?" without claiming it: source unspecified, no option (RFC 4862 §5.4.2). */
export function duplicateAddressProbeFrame(options: { readonly mac: Mac; readonly target: Ip }): Uint8Array {
  const message: NdpMessage = { kind: 'solicitation', target: options.target, sourceMac: undefined };
  return frameOf(message, {
    mac: options.mac,
    source: IPV6_UNSPECIFIED,
    destination: solicitedNodeGroup(options.target),
  });
}

function frameOf(message: NdpMessage, way: { readonly mac: Mac; readonly source: Ip; readonly destination: Ip }): Uint8Array {
  const header = { source: way.source, destination: way.destination, nextHeader: NEXT_HEADER_ICMPV6, hopLimit: NDP_HOP_LIMIT };
  const packet = encodeIpv6Packet(header, encodeNdpMessage(message, way.source, way.destination));
  const ethernet = { destination: multicastMac(way.destination), source: way.mac, etherType: ETHERTYPE_IPV6 };
  return encodeEthernetFrame(ethernet, packet);
}
