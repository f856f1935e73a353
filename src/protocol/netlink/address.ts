/**
 * RTM_{NEW,DEL,GET}ADDR: addresses of interfaces (struct ifaddrmsg and IFA_*, linux/if_addr.h).
 *
 * What identifies an address differs by family. IPv4: the address *and* its prefix length; replacing it with another
 * length adds a second one beside it. IPv6: the address alone; replacing it with another length renews the old one and
 * keeps its length. A request to delete must name the length of the existing one in both (in IPv4 the kernel looks at the
 * length only when IFA_ADDRESS is there, so it always is).
 *
 * IPv4 addresses of one network and prefix length on one interface hang together: when the first goes, by request or by
 * lifetime, the others (IFA_F_SECONDARY) go with it, unless net.ipv4.conf.*.promote_secondaries is 1. A /32 hangs on
 * nothing and takes nothing along.
 */

import { assert } from '../../base/assert.ts';
import { familyBits, ipFromBytes, type Family, type Prefix } from '../../base/ip.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import {
  decodeAttributes,
  encodeAttribute,
  encodeU32,
  readU32,
  type AttributePolicy,
  type AttributeReason,
} from './attribute.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  HOLDFAST_ADDRESS_PROTOCOL,
  IFA_ADDRESS,
  IFA_CACHEINFO,
  IFA_F_DEPRECATED,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IFA_FLAGS,
  IFA_LOCAL,
  IFA_PROTO,
  LIFETIME_FOREVER,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  RT_SCOPE_HOST,
  RT_SCOPE_UNIVERSE,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from './constants.ts';
import { encodeMessage, viewOf } from './message.ts';
import type { InterfaceAddress } from './records.ts';

export type AddressReason =
  | 'address-truncated'
  | 'address-family'
  | 'address-missing'
  | 'address-length'
  | 'prefix-length'
  | AttributeReason;

/** Octets of struct ifaddrmsg. */
const ADDRESS_HEADER_BYTES = 8;
/** struct ifa_cacheinfo: preferred and valid lifetime, then two time stamps. */
const CACHEINFO_BYTES = 16;
const POLICY: AttributePolicy = new Map([
  [IFA_CACHEINFO, CACHEINFO_BYTES],
  [IFA_FLAGS, 4],
  [IFA_PROTO, 1],
]);

/** The address of an RTM_NEWADDR or RTM_DELADDR payload; undefined for families other than IPv4 and IPv6. */
export function decodeAddress(payload: Uint8Array): Decoded<InterfaceAddress | undefined, AddressReason> {
  if (payload.length < ADDRESS_HEADER_BYTES) return malformed('address-truncated', 0);
  const view = viewOf(payload);
  const family = decodeFamily(view.getUint8(0));
  if (family === undefined) return ok(undefined);
  const length = view.getUint8(1);
  if (length > familyBits(family)) return malformed('prefix-length', 1);
  const decoded = decodeAttributes(payload, ADDRESS_HEADER_BYTES, POLICY);
  if (!decoded.ok) return decoded;
  const attributes = decoded.value;
  // On a point-to-point link IFA_ADDRESS is the peer's; IFA_LOCAL is ours wherever it is present.
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (address === undefined) return malformed('address-missing', ADDRESS_HEADER_BYTES);
  if (address.length * 8 !== familyBits(family)) return malformed('address-length', ADDRESS_HEADER_BYTES);
  const cacheInfo = attributes.get(IFA_CACHEINFO);
  const flags = readU32(attributes.get(IFA_FLAGS)) ?? view.getUint8(2);
  // Of an IPv4 address without an end the kernel reports both lifetimes as infinite, whatever the preferred one is.
  const isDeprecated = (flags & IFA_F_DEPRECATED) !== 0;
  return ok({
    ifindex: view.getUint32(4, true),
    prefix: { ip: ipFromBytes(address), length },
    scope: view.getUint8(3),
    flags,
    protocol: attributes.get(IFA_PROTO)?.[0],
    preferredSeconds: isDeprecated ? 0 : lifetime(readU32(cacheInfo)),
    validSeconds: lifetime(readU32(cacheInfo?.subarray(4))),
  });
}

export interface AddAddress {
  readonly ifindex: number;
  readonly prefix: Prefix;
  /** Whole seconds, 1 … 2³²−2, after which the kernel removes the address (up to about 0.55 s later: measured). */
  readonly validSeconds: number;
  /** rtnetlink scope: 'global' is universe. The kernel ignores it in IPv6. */
  readonly scope: 'global' | 'host';
  /** IFA_PROTO. Default HOLDFAST_ADDRESS_PROTOCOL. */
  readonly protocol?: number | undefined;
}

/**
 * Adds the address or renews its lifetime. It is marked as Holdfast's (IFA_PROTO), deprecated from the start (preferred
 * lifetime 0: nothing picks it as source of new connections), without a route for its prefix, and in IPv6 without the
 * kernel's own duplicate address detection: Holdfast probes before it claims.
 */
export function encodeAddAddress(sequence: number, request: AddAddress): Uint8Array {
  const { prefix, validSeconds } = request;
  assert(
    Number.isInteger(validSeconds) && validSeconds >= 1 && validSeconds < LIFETIME_FOREVER,
    'the lifetime of an address is finite and at least a second',
  );
  const flags = IFA_F_NOPREFIXROUTE | (prefix.ip.family === 'ipv6' ? IFA_F_NODAD : 0);
  return encodeMessage(
    { type: RTM_NEWADDR, flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sequence },
    addressHeader(request, request.scope === 'host' ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE),
    [
      encodeAttribute(IFA_LOCAL, prefix.ip.bytes),
      encodeAttribute(IFA_FLAGS, encodeU32(flags)),
      encodeAttribute(IFA_ADDRESS, prefix.ip.bytes),
      encodeAttribute(IFA_CACHEINFO, encodeU32(0, validSeconds, 0, 0)),
      encodeAttribute(IFA_PROTO, Uint8Array.of(request.protocol ?? HOLDFAST_ADDRESS_PROTOCOL)),
    ],
  );
}

export interface DeleteAddress {
  readonly ifindex: number;
  readonly prefix: Prefix;
}

/** Deletes exactly this address with this prefix length, whoever added it. */
export function encodeDeleteAddress(sequence: number, request: DeleteAddress): Uint8Array {
  return encodeMessage(
    { type: RTM_DELADDR, flags: NLM_F_REQUEST | NLM_F_ACK, sequence },
    addressHeader(request, RT_SCOPE_UNIVERSE),
    [encodeAttribute(IFA_LOCAL, request.prefix.ip.bytes), encodeAttribute(IFA_ADDRESS, request.prefix.ip.bytes)],
  );
}

/** Asks for every address of both families. */
export function encodeAddressDump(sequence: number): Uint8Array {
  const body = new Uint8Array(ADDRESS_HEADER_BYTES);
  body[0] = AF_UNSPEC;
  return encodeMessage({ type: RTM_GETADDR, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence }, body, []);
}

/** AF_* of the kernel as a family; undefined for any other. */
export function decodeFamily(value: number): Family | undefined {
  if (value === AF_INET) return 'ipv4';
  return value === AF_INET6 ? 'ipv6' : undefined;
}

function addressHeader(request: DeleteAddress, scope: number): Uint8Array {
  const { prefix, ifindex } = request;
  assert(Number.isInteger(ifindex) && ifindex > 0, 'an interface index is a positive integer');
  assert(
    Number.isInteger(prefix.length) && prefix.length >= 0 && prefix.length <= familyBits(prefix.ip.family),
    'a prefix is no longer than its address',
  );
  const body = new Uint8Array(ADDRESS_HEADER_BYTES);
  const view = viewOf(body);
  view.setUint8(0, prefix.ip.family === 'ipv4' ? AF_INET : AF_INET6);
  view.setUint8(1, prefix.length);
  view.setUint8(3, scope);
  view.setUint32(4, ifindex, true);
  return body;
}

/** Absent means that the kernel keeps no lifetime: forever. */
function lifetime(seconds: number | undefined): number {
  return seconds === undefined || seconds === LIFETIME_FOREVER ? Number.POSITIVE_INFINITY : seconds;
}
