/**
 * Where Service addresses would go: of each interface that the duty names, whether frames can be sent there now; and which
 * Service addresses are ordinary addresses of this node already, so that they can't be answered for here. Pure.
 */

import type { Mac } from '../../base/mac.ts';
import type { ServiceDuty } from '../../services/duty.ts';
import { isLoopback, isSuitable, isUsable } from '../kernel-view.ts';
import type { KernelView } from '../state.ts';

export interface Site {
  readonly ifindex: number;
  readonly name: string;
  readonly mac: Mac | undefined;
  readonly isLoopback: boolean;
  /** It exists, is up and has carrier, and Ethernet can be spoken there. */
  readonly isUsable: boolean;
}

/** By interface name; what doesn't exist is not in it. */
export type Sites = ReadonlyMap<string, Site>;

export function interfaceNamesOf(duty: ServiceDuty): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { interfaceName } of duty.addresses) if (interfaceName !== undefined) names.add(interfaceName);
  return names;
}

/** The same object as before when nothing that counts has changed. */
export function sitesOf(kernel: KernelView, names: ReadonlySet<string>, before: Sites): Sites {
  const sites = new Map<string, Site>();
  if (names.size > 0) {
    for (const link of kernel.links.values()) {
      if (!names.has(link.name)) continue;
      sites.set(link.name, {
        ifindex: link.index,
        name: link.name,
        mac: link.mac,
        isLoopback: isLoopback(link),
        isUsable: isSuitable(link) && isUsable(link),
      });
    }
  }
  const isSame = sites.size === before.size && [...sites].every(([name, site]) => isSameSite(site, before.get(name)));
  return isSame ? before : sites;
}

function isSameSite(a: Site, b: Site | undefined): boolean {
  return b !== undefined && a.ifindex === b.ifindex && a.isUsable === b.isUsable && a.mac?.text === b.mac?.text;
}

/**
 * Addresses of those served that the node has as ordinary ones. Those on dummy interfaces and loopback don't count: kube-proxy
 * in IPVS mode keeps every address of a Service on one, and so do other load balancers.
 */
export function usedHere(kernel: KernelView, served: { has: (address: string) => boolean }): ReadonlySet<string> {
  const used = new Set<string>();
  for (const { prefix, ifindex } of kernel.addresses.values()) {
    if (!served.has(prefix.ip.text)) continue;
    const link = kernel.links.get(ifindex);
    if (link !== undefined && !isLoopback(link) && link.linkKind !== 'dummy') used.add(prefix.ip.text);
  }
  return used;
}
