/**
 * RTM_{NEW,DEL,GET}ROUTE: routes (struct rtmsg and RTA_*, linux/rtnetlink.h). Holdfast reads default routes, to find the
 * interface they leave by, and writes none. A node that speaks BGP may have a million other routes, so those are told
 * apart by the fixed header, before any attribute is looked at.
 */

import { familyBits, ipFromBytes, type Family, type Ip, type Prefix } from '../../base/ip.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { decodeFamily } from './address.ts';
import { decodeAttributes, readU32, type AttributePolicy, type Attributes, type AttributeReason } from './attribute.ts';
import {
  AF_INET,
  AF_INET6,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RT_TABLE_MAIN,
  RTA_DST,
  RTA_GATEWAY,
  RTA_MULTIPATH,
  RTA_OIF,
  RTA_PRIORITY,
  RTA_TABLE,
  RTA_VIA,
  RTM_GETROUTE,
  RTN_UNICAST,
} from './constants.ts';
import { align, encodeMessage, viewOf } from './message.ts';
import type { Route } from './records.ts';

export type RouteReason =
  | 'route-truncated'
  | 'route-gateway'
  | 'route-destination'
  | 'next-hop-truncated'
  | 'next-hop-length'
  | 'prefix-length'
  | AttributeReason;

/** Octets of struct rtmsg, and the offsets in it that `isMainDefaultRoute` and filter.ts look at. */
const ROUTE_HEADER_BYTES = 12;
export const ROUTE_DESTINATION_LENGTH_OFFSET = 1;
export const ROUTE_SOURCE_LENGTH_OFFSET = 2;
export const ROUTE_TABLE_OFFSET = 4;
export const ROUTE_TYPE_OFFSET = 7;
/** Octets of struct rtnexthop. */
const NEXT_HOP_HEADER_BYTES = 8;
const POLICY: AttributePolicy = new Map([
  [RTA_OIF, 4],
  [RTA_PRIORITY, 4],
  [RTA_TABLE, 4],
]);

/** Whether the payload is a unicast default route of the main table, for any source. Needs no attribute. */
export function isMainDefaultRoute(payload: Uint8Array): boolean {
  return (
    payload.length >= ROUTE_HEADER_BYTES &&
    payload[ROUTE_DESTINATION_LENGTH_OFFSET] === 0 &&
    payload[ROUTE_SOURCE_LENGTH_OFFSET] === 0 &&
    payload[ROUTE_TABLE_OFFSET] === RT_TABLE_MAIN &&
    payload[ROUTE_TYPE_OFFSET] === RTN_UNICAST
  );
}

/** The route of an RTM_NEWROUTE or RTM_DELROUTE payload; undefined for families other than IPv4 and IPv6. */
export function decodeRoute(payload: Uint8Array): Decoded<Route | undefined, RouteReason> {
  if (payload.length < ROUTE_HEADER_BYTES) return malformed('route-truncated', 0);
  const view = viewOf(payload);
  const family = decodeFamily(view.getUint8(0));
  if (family === undefined) return ok(undefined);
  const length = view.getUint8(ROUTE_DESTINATION_LENGTH_OFFSET);
  if (length > familyBits(family)) return malformed('prefix-length', ROUTE_DESTINATION_LENGTH_OFFSET);
  const decoded = decodeAttributes(payload, ROUTE_HEADER_BYTES, POLICY);
  if (!decoded.ok) return decoded;
  const attributes = decoded.value;
  const destination = decodeDestination(family, length, attributes);
  if (!destination.ok) return destination;
  const gateway = decodeGateway(family, attributes);
  if (!gateway.ok) return gateway;
  const hops = decodeNextHops(family, attributes.get(RTA_MULTIPATH));
  if (!hops.ok) return hops;
  const interfaces = new Set(hops.value.map((hop) => hop.ifindex));
  const [only] = hops.value;
  return ok({
    family,
    destination: destination.value,
    gateway: gateway.value ?? (hops.value.length === 1 ? only?.gateway : undefined),
    ifindex: readU32(attributes.get(RTA_OIF)) ?? (interfaces.size === 1 ? only?.ifindex : undefined),
    metric: readU32(attributes.get(RTA_PRIORITY)) ?? 0,
    table: readU32(attributes.get(RTA_TABLE)) ?? view.getUint8(ROUTE_TABLE_OFFSET),
  });
}

/**
 * Asks for the unicast routes of the main table. A kernel with NETLINK_GET_STRICT_CHK (4.20) sends only those, others
 * send every route: the answer is filtered again.
 */
export function encodeMainRouteDump(sequence: number, family: Family): Uint8Array {
  const body = new Uint8Array(ROUTE_HEADER_BYTES);
  body[0] = family === 'ipv4' ? AF_INET : AF_INET6;
  body[ROUTE_TABLE_OFFSET] = RT_TABLE_MAIN;
  body[ROUTE_TYPE_OFFSET] = RTN_UNICAST;
  return encodeMessage({ type: RTM_GETROUTE, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence }, body, []);
}

function decodeDestination(
  family: Family,
  length: number,
  attributes: Attributes,
): Decoded<Prefix | undefined, 'route-destination'> {
  const bytes = attributes.get(RTA_DST);
  if (length === 0) return ok(undefined);
  if (bytes === undefined || bytes.length * 8 !== familyBits(family)) {
    return malformed('route-destination', ROUTE_HEADER_BYTES);
  }
  return ok({ ip: ipFromBytes(bytes), length });
}

/** RTA_GATEWAY is of the route's family; RTA_VIA (RFC 5549: IPv4 through an IPv6 neighbour) says its own. */
function decodeGateway(family: Family, attributes: Attributes): Decoded<Ip | undefined, 'route-gateway'> {
  const via = attributes.get(RTA_VIA);
  const gateway = attributes.get(RTA_GATEWAY) ?? via?.subarray(2);
  if (gateway === undefined) return ok(undefined);
  const isVia = !attributes.has(RTA_GATEWAY) && via !== undefined;
  const of = isVia ? (via.length < 2 ? undefined : decodeFamily(viewOf(via).getUint16(0, true))) : family;
  if (of === undefined || gateway.length * 8 !== familyBits(of)) return malformed('route-gateway', ROUTE_HEADER_BYTES);
  return ok(ipFromBytes(gateway));
}

interface NextHop {
  readonly ifindex: number;
  readonly gateway: Ip | undefined;
}

/** RTA_MULTIPATH: struct rtnexthop with attributes of its own, one after another. */
function decodeNextHops(family: Family, bytes: Uint8Array | undefined): Decoded<readonly NextHop[], RouteReason> {
  const hops: NextHop[] = [];
  if (bytes === undefined) return ok(hops);
  const view = viewOf(bytes);
  let offset = 0;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    if (left < NEXT_HOP_HEADER_BYTES) return malformed('next-hop-truncated', offset);
    const length = view.getUint16(offset, true);
    if (length < NEXT_HOP_HEADER_BYTES || length > left) return malformed('next-hop-length', offset);
    const attributes = decodeAttributes(bytes.subarray(offset, offset + length), NEXT_HOP_HEADER_BYTES, POLICY);
    if (!attributes.ok) return attributes;
    const gateway = decodeGateway(family, attributes.value);
    if (!gateway.ok) return gateway;
    hops.push({ ifindex: view.getUint32(offset + 4, true), gateway: gateway.value });
    offset += align(length);
  }
  return ok(hops);
}
