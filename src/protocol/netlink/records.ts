/**
 * What the kernel reports over rtnetlink, as plain values: links, interface addresses and routes. Field names follow
 * rtnetlink(7); only what Holdfast decides by is kept.
 */

import type { Family, Ip, Prefix } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_* (1 = Ethernet, 772 = loopback, 32 = InfiniBand). */
  readonly hardwareType: number;
  /** IFLA_ADDRESS when it has six octets. */
  readonly mac: Mac | undefined;
  readonly mtu: number;
  /** IFF_UP: administratively up. */
  readonly isUp: boolean;
  /** IFF_LOWER_UP: carrier. */
  readonly hasCarrier: boolean;
  /** IFLA_OPERSTATE (RFC 2863): 0 unknown … 6 up. */
  readonly operState: number;
  /** IFLA_INFO_KIND: 'bond', 'vlan', 'bridge', 'veth', … when the kernel names one. */
  readonly linkKind: string | undefined;
  /** IFLA_MASTER: index of the bond or bridge this link is a port of. */
  readonly master: number | undefined;
}

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly prefix: Prefix;
  /** rtnetlink scope: 0 universe, 253 link, 254 host. */
  readonly scope: number;
  /** IFA_F_* bits, from IFA_FLAGS when present. */
  readonly flags: number;
  /** IFA_PROTO; undefined where the kernel (< 5.18) doesn't report one. */
  readonly protocol: number | undefined;
  /** Remaining lifetimes in seconds; Infinity = forever. */
  readonly validSeconds: number;
  /** 0 for every deprecated one. */
  readonly preferredSeconds: number;
}

export interface Route {
  readonly family: Family;
  /** undefined = default route. */
  readonly destination: Prefix | undefined;
  readonly gateway: Ip | undefined;
  /** Output interface, when the route has exactly one. */
  readonly ifindex: number | undefined;
  readonly metric: number;
  readonly table: number;
}

/** One change notified by the kernel. `overrun` = the socket lost messages (ENOBUFS): dump again. */
export type KernelChange =
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'link-gone'; readonly index: number; readonly name: string }
  | { readonly kind: 'address'; readonly address: InterfaceAddress }
  | { readonly kind: 'address-gone'; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly route: Route }
  | { readonly kind: 'route-gone'; readonly route: Route }
  | { readonly kind: 'overrun' };

export interface KernelSnapshot {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly defaultRoutes: readonly Route[];
}
