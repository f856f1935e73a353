/**
 * The neighbor discovery frames that Holdfast sends, whole: the unsolicited advertisement (IPv6's gratuitous ARP), the
 * probe of duplicate address detection, and an ordinary solicitation. Answering solicitations is the kernel's work.
 */

import { ipFromBytes, type Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { encodeEthernetFrame, ETHERTYPE_IPV6 } from '../ethernet/ethernet.ts';
import { ALL_NODES, multicastMac, solicitedNodeGroup } from '../ip/multicast.ts';
import { encodeNdpPacket, type NdpPacket } from './ndp.ts';

const UNSPECIFIED: Ip = ipFromBytes(new Uint8Array(16));

/** A machine of the link, addressed on both layers. */
export interface Neighbor {
  readonly ip: Ip;
  readonly mac: Mac;
}

/**
 * "target is at mac", unasked, to all nodes and overriding their caches (RFC 4861 §7.2.6). `source` is the target itself
 * unless given. `isRouter` (default false) should be what the kernel's own advertisements say: whether the node forwards.
 * `to` tells one neighbor only: where multicast is filtered or lost, those known to use the address are told one by one.
 */
export function unsolicitedAdvertisementFrame(options: {
  readonly mac: Mac;
  readonly target: Ip;
  readonly source?: Ip;
  readonly isRouter?: boolean;
  readonly to?: Neighbor;
}): Uint8Array {
  const {
    mac,
    target,
    source = target,
    isRouter = false,
    to = { ip: ALL_NODES, mac: multicastMac(ALL_NODES) },
  } = options;
  return ndpFrame(mac, to.mac, {
    source,
    destination: to.ip,
    message: { kind: 'advertisement', target, isRouter, isSolicited: false, isOverride: true, targetMac: mac },
  });
}

/** "Does anybody use target?", asked without claiming it: source ::, no link-layer address (RFC 4862 §5.4.2). */
export function duplicateAddressProbeFrame(options: { readonly mac: Mac; readonly target: Ip }): Uint8Array {
  const { mac, target } = options;
  const destination = solicitedNodeGroup(target);
  return ndpFrame(mac, multicastMac(destination), {
    source: UNSPECIFIED,
    destination,
    message: { kind: 'solicitation', target, sourceMac: undefined },
  });
}

/**
 * "Who has target? Tell source, at mac" (RFC 4861 §7.2.2). With `to`, the neighbor that should have it is asked directly,
 * as neighbor unreachability detection does (§7.3.3).
 */
export function neighborSolicitationFrame(options: {
  readonly mac: Mac;
  readonly source: Ip;
  readonly target: Ip;
  readonly to?: Mac;
}): Uint8Array {
  const { mac, source, target, to } = options;
  const destination = to === undefined ? solicitedNodeGroup(target) : target;
  return ndpFrame(mac, to ?? multicastMac(destination), {
    source,
    destination,
    message: { kind: 'solicitation', target, sourceMac: mac },
  });
}

function ndpFrame(source: Mac, destination: Mac, packet: NdpPacket): Uint8Array {
  return encodeEthernetFrame({ destination, source, etherType: ETHERTYPE_IPV6 }, encodeNdpPacket(packet));
}
