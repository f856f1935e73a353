/** IPv6 multicast as neighbor discovery needs it: which group asks for an address, and which frames carry a group. */

import { assert } from '../../base/assert.ts';
import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { macFromBytes, type Mac } from '../../base/mac.ts';

/** ff02::1, all nodes of the link (RFC 4291 §2.7.1). */
export const ALL_NODES: Ip = ipFromBytes(Uint8Array.of(0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01));

/** ff02::1:ff00:0/104 (RFC 4291 §2.7.1). */
const SOLICITED_NODE_PREFIX = Uint8Array.of(0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff);

/** ff02::1:ffXX:XXXX: the group that neighbor solicitations for `ip` are sent to (RFC 4291 §2.7.1). */
export function solicitedNodeGroup(ip: Ip): Ip {
  assert(ip.family === 'ipv6', 'only IPv6 addresses have a solicited-node group');
  return ipFromBytes(Uint8Array.of(...SOLICITED_NODE_PREFIX, ...ip.bytes.subarray(13)));
}

export function isSolicitedNodeGroup(ip: Ip): boolean {
  return ip.family === 'ipv6' && SOLICITED_NODE_PREFIX.every((octet, index) => ip.bytes[index] === octet);
}

/** ff00::/8 (RFC 4291 §2.7). */
export function isIpv6Multicast(ip: Ip): boolean {
  return ip.family === 'ipv6' && ip.bytes[0] === 0xff;
}

/** 33:33 and the last four octets of the group (RFC 2464 §7). */
export function multicastMac(group: Ip): Mac {
  assert(isIpv6Multicast(group), 'only a multicast address has a multicast MAC');
  return macFromBytes(Uint8Array.of(0x33, 0x33, ...group.bytes.subarray(12)));
}
