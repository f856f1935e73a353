/**
 * A notification of the rtnetlink groups as the change it reports. What Holdfast doesn't decide by (routes other than
 * default ones, ports of bridges, other families) is undefined: seen and skipped.
 */

import { ok, type Decoded } from '../../base/outcome.ts';
import { decodeAddress, type AddressReason } from './address.ts';
import { RTM_DELADDR, RTM_DELLINK, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE } from './constants.ts';
import { decodeLink, type LinkReason } from './link.ts';
import type { NetlinkMessage } from './message.ts';
import type { KernelChange } from './records.ts';
import { decodeRoute, isMainDefaultRoute, type RouteReason } from './route.ts';

export type ChangeReason = LinkReason | AddressReason | RouteReason;

/** The change that a notification (or a message of a dump) reports; undefined when it is none of ours. */
export function decodeChange(message: NetlinkMessage): Decoded<KernelChange | undefined, ChangeReason> {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return decodeLinkChange(message);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return decodeAddressChange(message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return isMainDefaultRoute(message.payload) ? decodeRouteChange(message) : ok(undefined);
    default:
      return ok(undefined);
  }
}

function decodeLinkChange(message: NetlinkMessage): Decoded<KernelChange | undefined, LinkReason> {
  const link = decodeLink(message.payload);
  if (!link.ok) return link;
  if (link.value === undefined) return ok(undefined);
  if (message.type === RTM_NEWLINK) return ok({ kind: 'link', link: link.value });
  return ok({ kind: 'link-gone', index: link.value.index, name: link.value.name });
}

function decodeAddressChange(message: NetlinkMessage): Decoded<KernelChange | undefined, AddressReason> {
  const address = decodeAddress(message.payload);
  if (!address.ok) return address;
  if (address.value === undefined) return ok(undefined);
  return ok({ kind: message.type === RTM_NEWADDR ? 'address' : 'address-gone', address: address.value });
}

function decodeRouteChange(message: NetlinkMessage): Decoded<KernelChange | undefined, RouteReason> {
  const route = decodeRoute(message.payload);
  if (!route.ok) return route;
  if (route.value === undefined) return ok(undefined);
  return ok({ kind: message.type === RTM_NEWROUTE ? 'route' : 'route-gone', route: route.value });
}
