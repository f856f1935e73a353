/**
 * Where this node asks the wire about an address from, as any host of the segment would: through the interface named, or the
 * one whose subnet holds the address, and from an ordinary address of that interface. Pure.
 */

import { isLoopback, isSuitable, isUsable } from '../agent/kernel-view.ts';
import type { KernelView } from '../agent/state.ts';
import { familyBits, isLinkLocal, prefixContains, type Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { OTHER_MACS_MAX, type UnaskableReason } from '../protocol/heartbeat/inquiry.ts';
import type { InterfaceAddress, Link } from '../protocol/netlink/records.ts';

export interface AskingPlace {
  readonly ifindex: number;
  readonly interfaceName: string;
  readonly mac: Mac;
  readonly source: Ip;
  /** Of this node's other interfaces. */
  readonly otherMacs: readonly Mac[];
}

export interface AskingOptions {
  /** Where this node would answer itself; undefined: nowhere in particular. */
  readonly interfaceName: string | undefined;
  /** rtnetlink address protocol that marks an address as ours: no address to ask from. */
  readonly addressProtocol: number;
}

export type AskingFrom =
  | { readonly ok: true; readonly place: AskingPlace }
  | { readonly ok: false; readonly reason: UnaskableReason; readonly interfaceName: string };

/** linux/if_addr.h: not yet, or never to be, used as a source. */
const FLAG_DAD_FAILED = 0x08;
const FLAG_TENTATIVE = 0x40;

interface Way {
  readonly link: Link;
  readonly source: Ip | undefined;
  readonly isNamed: boolean;
  /** Of the longest prefix that holds the address; -1: none does. */
  readonly prefixLength: number;
}

export function askingFrom(kernel: KernelView | undefined, ip: Ip, options: AskingOptions): AskingFrom {
  if (kernel === undefined) return refusal('not-ready');
  const ways = [...kernel.links.values()]
    .flatMap((link) => wayOf(kernel, link, ip, options) ?? [])
    .sort((a, b) => rank(b) - rank(a) || a.link.index - b.link.index);
  const [best] = ways;
  if (best === undefined) return refusal('no-subnet');
  const { link, source } = best;
  if (!isUsable(link)) return refusal('no-carrier', link.name);
  if (source === undefined || link.mac === undefined) return refusal('no-source', link.name);
  const otherMacs = otherMacsOf(kernel, link.mac);
  const place = { ifindex: link.index, interfaceName: link.name, mac: link.mac, source, otherMacs };
  return { ok: true, place };
}

/**
 * MACs of this node's other Ethernet interfaces, each once: on the same segment its kernel answers by any of them, and a bond
 * by that of a port. Ports of containers are on segments of their own.
 */
export function otherMacsOf(kernel: KernelView, mac: Mac | undefined): readonly Mac[] {
  const macs = new Map<string, Mac>();
  for (const link of kernel.links.values()) {
    const isElsewhere = link.linkKind === 'veth' || link.linkKind === 'dummy' || isLoopback(link);
    if (link.mac !== undefined && !isElsewhere && isSuitable(link)) macs.set(link.mac.text, link.mac);
  }
  if (mac !== undefined) macs.delete(mac.text);
  return [...macs.values()].slice(0, OTHER_MACS_MAX);
}

/** The interface asked for comes first, then one that can send, then the closest subnet. */
function rank({ link, isNamed, prefixLength }: Way): number {
  return (isNamed ? 1_000 : 0) + (isUsable(link) ? 500 : 0) + prefixLength;
}

function wayOf(kernel: KernelView, link: Link, ip: Ip, options: AskingOptions): Way | undefined {
  if (link.mac === undefined || isLoopback(link) || !isSuitable(link)) return undefined;
  const isNamed = link.name === options.interfaceName;
  const own = [...kernel.addresses.values()].filter((address) => isSource(address, link, ip, options));
  const around = own
    .filter(({ prefix }) => prefix.length < familyBits(ip.family) && prefixContains(prefix, ip))
    .sort((a, b) => b.prefix.length - a.prefix.length)[0];
  if (around === undefined && !isNamed) return undefined;
  const other = own.find(({ prefix }) => !isLinkLocal(prefix.ip)) ?? own[0];
  const source = (around ?? other)?.prefix.ip;
  return { link, source, isNamed, prefixLength: around?.prefix.length ?? -1 };
}

/** An ordinary address of that interface and family that lasts: no VIP, none that is still being checked. */
function isSource(address: InterfaceAddress, link: Link, ip: Ip, { addressProtocol }: AskingOptions): boolean {
  const { ifindex, prefix, protocol, preferredSeconds, flags } = address;
  return (
    ifindex === link.index &&
    prefix.ip.family === ip.family &&
    prefix.ip.text !== ip.text &&
    protocol !== addressProtocol &&
    preferredSeconds > 0 &&
    (flags & (FLAG_TENTATIVE | FLAG_DAD_FAILED)) === 0
  );
}

function refusal(reason: UnaskableReason, interfaceName = ''): AskingFrom {
  return { ok: false, reason, interfaceName };
}
