/** What a node's own kernel says of a Service's address: its attributes, multicast groups, routes, and sources chosen. */

import { execFileSync } from 'node:child_process';

import type { LabNode } from './lab.ts';

export interface KernelAddress {
  readonly interface: string;
  readonly address: string;
  readonly prefixLength: number;
  /** Seconds; undefined: for ever. */
  readonly validSeconds: number | undefined;
  readonly preferredSeconds: number | undefined;
  readonly isDeprecated: boolean;
  readonly hasNoPrefixRoute: boolean;
  readonly hasNoDad: boolean;
  readonly isTentative: boolean;
}

/** iproute2's (ip-address(8), -json). */
interface Row {
  readonly ifname: string;
  readonly addr_info: readonly {
    readonly local: string;
    readonly prefixlen: number;
    readonly valid_life_time: number;
    readonly preferred_life_time: number;
    readonly deprecated?: boolean;
    readonly noprefixroute?: boolean;
    readonly nodad?: boolean;
    readonly tentative?: boolean;
  }[];
}

const FOREVER = 4_294_967_295;

export function kernelAddress(node: LabNode, address: string): KernelAddress | undefined {
  const rows = JSON.parse(ip(node, ['-d', '-j', 'addr', 'show'])) as readonly Row[];
  const seconds = (time: number): number | undefined => (time >= FOREVER ? undefined : time);
  return rows
    .flatMap(({ ifname, addr_info: entries }) =>
      entries.map((entry) => ({
        interface: ifname,
        address: entry.local,
        prefixLength: entry.prefixlen,
        validSeconds: seconds(entry.valid_life_time),
        preferredSeconds: seconds(entry.preferred_life_time),
        isDeprecated: entry.deprecated === true,
        hasNoPrefixRoute: entry.noprefixroute === true,
        hasNoDad: entry.nodad === true,
        isTentative: entry.tentative === true,
      })),
    )
    .find((found) => found.address === address);
}

/** Destinations in the main table, as text. */
export function mainRoutes(node: LabNode, family: '-4' | '-6'): readonly string[] {
  const rows = JSON.parse(ip(node, [family, '-j', 'route', 'show', 'table', 'main'])) as readonly {
    readonly dst: string;
  }[];
  return rows.map(({ dst }) => dst);
}

/** The source that the kernel picks for what is sent to `to`. */
export function sourceFor(node: LabNode, to: string): string {
  const [route] = JSON.parse(ip(node, ['-j', 'route', 'get', to])) as readonly { readonly prefsrc: string }[];
  return route?.prefsrc ?? '';
}

/** IPv6 multicast groups of an interface. */
export function groups(node: LabNode, name: string): readonly string[] {
  const [row] = JSON.parse(ip(node, ['-6', '-j', 'maddr', 'show', 'dev', name])) as readonly {
    readonly maddr: readonly { readonly address?: string }[];
  }[];
  return row?.maddr.flatMap(({ address }) => address ?? []) ?? [];
}

export function ip(node: Pick<LabNode, 'namespace'>, args: readonly string[]): string {
  return execFileSync('ip', ['-n', node.namespace, ...args], { encoding: 'utf8' });
}
