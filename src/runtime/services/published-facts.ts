/**
 * What a node says of itself for the sake of Services, beside its registration as a member: its interfaces with their
 * ordinary addresses, whether they have carrier, its gateways, and whether its kube-proxy is well. One JSON text:
 *
 *     {"version":1,
 *      "interfaces":[{"name":"eth0","carrier":true,"mac":"02:00:00:00:00:01","prefixes":["192.0.2.11/24"]}],
 *      "gateways":["192.0.2.1"],"kubeProxy":true}
 *
 * Written by other machines, so it is read as anything hostile is: wholly or not at all, with limits on everything.
 */

import { asObject, asText, parseJson } from '../../base/json.ts';
import { familyBits, formatPrefix, isLinkLocal, parseIp, type Ip, type Prefix } from '../../base/ip.ts';
import { parseMac } from '../../base/mac.ts';
import type { InterfaceAddress, KernelSnapshot, Link } from '../../protocol/netlink/records.ts';
import type { NodeInterface } from '../../services/model.ts';

export interface PublishedFacts {
  readonly interfaces: readonly NodeInterface[];
  readonly gateways: readonly Ip[];
  /** undefined: there is none, or it can't be seen. */
  readonly isKubeProxyHealthy: boolean | undefined;
}

/** More interfaces, by name, are left out: whoever has more publishes those with addresses first. */
export const INTERFACES_MAX = 64;
/** Of one interface. */
export const PREFIXES_MAX = 16;
export const GATEWAYS_MAX = 8;
/** IFNAMSIZ (linux/if.h) less the zero. */
const NAME_MAX = 15;
const VERSION = 1;

/** rt_scope_t: RT_SCOPE_UNIVERSE. */
const SCOPE_UNIVERSE = 0;
/** linux/if_addr.h: IFA_F_TEMPORARY (RFC 8981): tomorrow it is another. */
const FLAG_TEMPORARY = 0x01;
/** linux/if_arp.h. */
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;

export function encodeFacts(facts: PublishedFacts): string {
  return JSON.stringify({
    version: VERSION,
    interfaces: facts.interfaces.map(({ name, hasCarrier, mac, prefixes }) => ({
      name,
      carrier: hasCarrier,
      ...(mac === undefined ? {} : { mac }),
      prefixes: prefixes.map(formatPrefix),
    })),
    gateways: facts.gateways.map(({ text }) => text),
    ...(facts.isKubeProxyHealthy === undefined ? {} : { kubeProxy: facts.isKubeProxyHealthy }),
  });
}

/** undefined: nothing of it is believed. */
export function decodeFacts(text: string): PublishedFacts | undefined {
  const root = asObject(parseJson(text));
  const { version, interfaces, gateways, kubeProxy } = root ?? {};
  if (version !== VERSION || !Array.isArray(interfaces) || !Array.isArray(gateways)) return undefined;
  if (interfaces.length > INTERFACES_MAX || gateways.length > GATEWAYS_MAX) return undefined;
  if (kubeProxy !== undefined && typeof kubeProxy !== 'boolean') return undefined;
  const read = interfaces.map(readInterface);
  const routers = gateways.map(readIp);
  if (!read.every((each) => each !== undefined) || !routers.every((each) => each !== undefined)) return undefined;
  return { interfaces: read, gateways: routers, isKubeProxyHealthy: kubeProxy };
}

function readInterface(raw: unknown): NodeInterface | undefined {
  const object = asObject(raw);
  const name = asText(object?.['name']);
  const carrier = object?.['carrier'];
  const prefixes = object?.['prefixes'];
  const mac = object?.['mac'];
  const readMac = typeof mac === 'string' ? parseMac(mac) : undefined;
  if (mac !== undefined && readMac?.ok !== true) return undefined;
  if (name === undefined || name.length > NAME_MAX || typeof carrier !== 'boolean') return undefined;
  if (!Array.isArray(prefixes) || prefixes.length > PREFIXES_MAX) return undefined;
  const read = prefixes.map(readPrefix);
  if (!read.every((each) => each !== undefined)) return undefined;
  const address = readMac?.ok === true ? { mac: readMac.value.text } : {};
  return { name, hasCarrier: carrier, prefixes: read, ...address };
}

function readIp(raw: unknown): Ip | undefined {
  const parsed = typeof raw === 'string' ? parseIp(raw) : undefined;
  return parsed?.ok === true ? parsed.value : undefined;
}

function readPrefix(raw: unknown): Prefix | undefined {
  if (typeof raw !== 'string') return undefined;
  const slash = raw.indexOf('/');
  const ip = readIp(raw.slice(0, slash));
  const digits = raw.slice(slash + 1);
  if (slash < 0 || ip === undefined || !/^\d{1,3}$/.test(digits)) return undefined;
  const length = Number(digits);
  return length <= familyBits(ip.family) ? { ip, length } : undefined;
}

export interface OwnFactsOptions {
  /** rtnetlink address protocol that marks an address as ours. */
  readonly addressProtocol: number;
  readonly isKubeProxyHealthy: boolean | undefined;
}

/**
 * This node's, out of the kernel's own account. Ports of containers (veth without an address) and links below a bond are
 * nobody's business; what has no address may still be asked for by name.
 */
export function ownFacts(snapshot: KernelSnapshot, options: OwnFactsOptions): PublishedFacts {
  const byIndex = Map.groupBy(
    snapshot.addresses.filter((address) => isOrdinary(address, options)),
    ({ ifindex }) => ifindex,
  );
  const interfaces = snapshot.links
    .flatMap((link) => interfaceOf(link, byIndex.get(link.index) ?? []))
    .sort((a, b) => Number(b.prefixes.length > 0) - Number(a.prefixes.length > 0) || (a.name < b.name ? -1 : 1))
    .slice(0, INTERFACES_MAX);
  const gateways = new Map(
    snapshot.defaultRoutes.flatMap(({ gateway: ip }) => (ip === undefined ? [] : [[ip.text, ip]])),
  );
  return {
    interfaces,
    gateways: [...gateways.values()].sort((a, b) => (a.text < b.text ? -1 : 1)).slice(0, GATEWAYS_MAX),
    isKubeProxyHealthy: options.isKubeProxyHealthy,
  };
}

function isOrdinary(
  { prefix, scope, flags, protocol, preferredSeconds }: InterfaceAddress,
  { addressProtocol }: OwnFactsOptions,
): boolean {
  if (scope !== SCOPE_UNIVERSE || preferredSeconds === 0 || protocol === addressProtocol) return false;
  return (flags & FLAG_TEMPORARY) === 0 && !isLinkLocal(prefix.ip);
}

function interfaceOf(link: Link, addresses: readonly InterfaceAddress[]): readonly NodeInterface[] {
  const isContainerPort = link.linkKind === 'veth' || link.master !== undefined;
  if (addresses.length === 0 && (isContainerPort || link.hardwareType === ARPHRD_LOOPBACK)) return [];
  if (link.name.length > NAME_MAX) return [];
  const texts = new Map(addresses.map(({ prefix }) => [formatPrefix(prefix), prefix]));
  const prefixes = [...texts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, prefix]) => prefix);
  const address = link.hardwareType === ARPHRD_ETHER && link.mac !== undefined ? { mac: link.mac.text } : {};
  const hasCarrier = link.isUp && link.hasCarrier;
  return [{ name: link.name, hasCarrier, prefixes: prefixes.slice(0, PREFIXES_MAX), ...address }];
}
