/**
 * The kernel as last reported: links, addresses, default routes. Kernel state is compared with what is wanted, never
 * assumed from what was commanded.
 */

import { isSameIp, type Ip } from '../base/ip.ts';
import type { InterfaceAddress, KernelChange, KernelSnapshot, Link, Route } from '../protocol/netlink/records.ts';
import type { VipState } from '../vip/vip-state.ts';
import type { AgentRules, KernelView } from './state.ts';

/** ARPHRD_ETHER and ARPHRD_LOOPBACK of linux/if_arp.h: what addresses can be held on. */
const HARDWARE_ETHERNET = 1;
const HARDWARE_LOOPBACK = 772;

export function addressKey(ifindex: number, ip: Ip, length: number): string {
  return `${ifindex}/${ip.text}/${length}`;
}

function keyOf(address: InterfaceAddress): string {
  return addressKey(address.ifindex, address.prefix.ip, address.prefix.length);
}

export function viewOfSnapshot(snapshot: KernelSnapshot): KernelView {
  return {
    links: new Map(snapshot.links.map((link) => [link.index, link])),
    addresses: new Map(snapshot.addresses.map((address) => [keyOf(address), address])),
    defaultRoutes: snapshot.defaultRoutes,
  };
}

/** The view after one notification. 'overrun' changes nothing: a dump follows. */
export function applyChange(view: KernelView, change: KernelChange): KernelView {
  switch (change.kind) {
    case 'link':
      return { ...view, links: new Map(view.links).set(change.link.index, change.link) };
    case 'link-gone': {
      const links = new Map(view.links);
      links.delete(change.index);
      const kept = [...view.addresses].filter(([, address]) => address.ifindex !== change.index);
      return { ...view, links, addresses: new Map(kept) };
    }
    case 'address':
      return { ...view, addresses: new Map(view.addresses).set(keyOf(change.address), change.address) };
    case 'address-gone': {
      const addresses = new Map(view.addresses);
      addresses.delete(keyOf(change.address));
      return { ...view, addresses };
    }
    case 'route':
      return change.route.destination === undefined
        ? {
            ...view,
            defaultRoutes: [...view.defaultRoutes.filter((route) => !isSameRoute(route, change.route)), change.route],
          }
        : view;
    case 'route-gone':
      return { ...view, defaultRoutes: view.defaultRoutes.filter((route) => !isSameRoute(route, change.route)) };
    case 'overrun':
      return view;
  }
}

/** The view after several notifications: its addresses are copied once, however many of them change. */
export function applyChanges(view: KernelView, changes: readonly KernelChange[]): KernelView {
  let current = view;
  let addresses: Map<string, InterfaceAddress> | undefined;
  for (const change of changes) {
    if (change.kind === 'address' || change.kind === 'address-gone') {
      addresses ??= new Map(current.addresses);
      if (change.kind === 'address') addresses.set(keyOf(change.address), change.address);
      else addresses.delete(keyOf(change.address));
      continue;
    }
    current = applyChange(addresses === undefined ? current : { ...current, addresses }, change);
    addresses = undefined;
  }
  return addresses === undefined ? current : { ...current, addresses };
}

function isSameRoute(a: Route, b: Route): boolean {
  return a.family === b.family && a.ifindex === b.ifindex && a.metric === b.metric && a.table === b.table;
}

/** The link named by configuration, or that of the default route with the lowest metric (IPv4's before IPv6's). */
export function findVipLink(rules: AgentRules, view: KernelView): Link | undefined {
  if (rules.interfaceName !== undefined) {
    return [...view.links.values()].find((link) => link.name === rules.interfaceName);
  }
  const routes = [...view.defaultRoutes].sort((a, b) => familyOrder(a) - familyOrder(b) || a.metric - b.metric);
  for (const route of routes) {
    const link = route.ifindex === undefined ? undefined : view.links.get(route.ifindex);
    if (link !== undefined) return link;
  }
  return undefined;
}

function familyOrder(route: Route): number {
  return route.family === 'ipv4' ? 0 : 1;
}

/** Whether ARP and neighbor discovery can be spoken there (or need not be: loopback). */
export function isSuitable(link: Link): boolean {
  return isLoopback(link) || (link.hardwareType === HARDWARE_ETHERNET && link.mac !== undefined);
}

export function isLoopback(link: Link): boolean {
  return link.hardwareType === HARDWARE_LOOPBACK;
}

/** Whether frames sent on the link can reach anybody now. */
export function isUsable(link: Link): boolean {
  return isLoopback(link) ? link.isUp : link.isUp && link.hasCarrier;
}

/** A MAC of this node: an answer from it is no stranger's (a second interface on the same segment answers too). */
export function isOwnMac(view: KernelView, mac: string): boolean {
  for (const link of view.links.values()) if (link.mac?.text === mac) return true;
  return false;
}

/** Every entry of the view that carries `ip`, on whatever interface and with whatever length. */
export function addressesOf(view: KernelView, ip: Ip): readonly InterfaceAddress[] {
  const found: InterfaceAddress[] = [];
  for (const address of view.addresses.values()) if (isSameIp(address.prefix.ip, ip)) found.push(address);
  return found;
}

/**
 * Whether an address is a VIP's shape as Holdfast (on kernels without IFA_PROTO) and kube-vip leave it: a host prefix or
 * the configured one, deprecated so that nothing picks it as source. An ordinary node address is never like that.
 */
export function looksLikeVip(address: InterfaceAddress): boolean {
  return address.preferredSeconds === 0;
}

/**
 * Whether an address found at a VIP's place may be treated as that VIP: it carries our mark, has a VIP's shape, or we are
 * holding it (somebody's `ip address replace` takes mark and shape away).
 */
export function isOurs(rules: AgentRules, vip: VipState, found: InterfaceAddress): boolean {
  const isHeldByUs = vip.phase === 'holding' || vip.phase === 'claiming' || vip.phase === 'withdrawing';
  return found.protocol === rules.addressProtocol || looksLikeVip(found) || isHeldByUs;
}
