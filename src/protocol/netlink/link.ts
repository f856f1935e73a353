/**
 * RTM_{NEW,DEL,GET}LINK: network interfaces (struct ifinfomsg and IFLA_*, linux/if_link.h). Reads them; changing links is
 * deliberately absent.
 */

import { macFromBytes, MAC_LENGTH } from '../../base/mac.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import {
  decodeAttributes,
  encodeAttribute,
  encodeU32,
  readText,
  readU32,
  type AttributePolicy,
  type AttributeReason,
} from './attribute.ts';
import {
  IFF_LOWER_UP,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_EXT_MASK,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_OPERSTATE,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTEXT_FILTER_SKIP_STATS,
  RTM_GETLINK,
} from './constants.ts';
import { encodeMessage, viewOf } from './message.ts';
import type { Link } from './records.ts';

export type LinkReason = 'link-truncated' | 'link-index' | AttributeReason;

/** Octets of struct ifinfomsg. */
const LINK_HEADER_BYTES = 16;
const POLICY: AttributePolicy = new Map([
  [IFLA_MTU, 4],
  [IFLA_MASTER, 4],
  [IFLA_OPERSTATE, 1],
]);
const NO_POLICY: AttributePolicy = new Map();

/**
 * The link of an RTM_NEWLINK or RTM_DELLINK payload; undefined when the message isn't about the link itself. Of that kind
 * are those of another family: a bridge reports its *ports* as AF_BRIDGE, and there RTM_DELLINK means "left the bridge".
 * Of that kind are also wireless events, which carry no name.
 */
export function decodeLink(payload: Uint8Array): Decoded<Link | undefined, LinkReason> {
  if (payload.length < LINK_HEADER_BYTES) return malformed('link-truncated', 0);
  const view = viewOf(payload);
  if (view.getUint8(0) !== 0) return ok(undefined);
  const index = view.getInt32(4, true);
  if (index <= 0) return malformed('link-index', 4);
  const flags = view.getUint32(8, true);
  const decoded = decodeAttributes(payload, LINK_HEADER_BYTES, POLICY);
  if (!decoded.ok) return decoded;
  const attributes = decoded.value;
  const name = readText(attributes.get(IFLA_IFNAME));
  if (name === undefined) return ok(undefined);
  const info = decodeAttributes(attributes.get(IFLA_LINKINFO) ?? new Uint8Array(0), 0, NO_POLICY);
  if (!info.ok) return info;
  const address = attributes.get(IFLA_ADDRESS);
  return ok({
    index,
    name,
    hardwareType: view.getUint16(2, true),
    mac: address?.length === MAC_LENGTH ? macFromBytes(address) : undefined,
    mtu: readU32(attributes.get(IFLA_MTU)) ?? 0,
    isUp: (flags & IFF_UP) !== 0,
    hasCarrier: (flags & IFF_LOWER_UP) !== 0,
    operState: attributes.get(IFLA_OPERSTATE)?.[0] ?? 0,
    linkKind: readText(info.value.get(IFLA_INFO_KIND)),
    master: readU32(attributes.get(IFLA_MASTER)) || undefined,
  });
}

/** Asks for every link, without statistics. */
export function encodeLinkDump(sequence: number): Uint8Array {
  return encodeMessage(
    { type: RTM_GETLINK, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence },
    new Uint8Array(LINK_HEADER_BYTES),
    [encodeAttribute(IFLA_EXT_MASK, encodeU32(RTEXT_FILTER_SKIP_STATS))],
  );
}
