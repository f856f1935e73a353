/**
 * The facts, and what several checks make of them: the virtual IPs, the interfaces that answer, decoded Nodes and Services,
 * the pools as the daemon would see them. Where no settings are found everything is looked at, for nothing is known to be
 * switched off.
 */

import { familyBits, parseIp, type Ip, type Prefix } from '../base/ip.ts';
import { asObject, asText, metadataText, type JsonObject } from '../base/json.ts';
import { electionLease } from '../config/election-lease.ts';
import type { OptionName } from '../config/schema.ts';
import type { InterfaceAddress, KernelSnapshot, Link } from '../protocol/netlink/records.ts';
import { parseRange, prefixRange, rangesOverlap, sortRanges } from '../services/address-range.ts';
import type {
  AddressRange,
  Advertisement,
  Decoding,
  NodeObject,
  ObjectProblem,
  Pool,
  ServiceObject,
} from '../services/model.ts';
import { decodeConfigMap } from '../services/objects/config-map.ts';
import { decodeNode } from '../services/objects/node.ts';
import { decodeService } from '../services/objects/service.ts';
import { assemblePools, NO_POOLS } from '../services/pools/assemble.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../services/pools/cilium.ts';
import { parseSvcPools } from '../services/pools/environment.ts';
import { readKubeVipPools } from '../services/pools/kube-vip.ts';
import { decodeBgpAdvertisement, decodeIpAddressPool, decodeL2Advertisement } from '../services/pools/metallb.ts';
import { indexReservations, reservationProblems, reservationsOf, unreservedRanges } from '../services/reservation.ts';
import { derive, unknownOf, type Fact, type Unknown } from './fact.ts';
import type { CustomKind, Facts } from './facts.ts';

export interface Subject {
  readonly facts: Facts;
  /** The control plane's addresses; `names` are those that have yet to be resolved. */
  readonly vips: { readonly ips: readonly Ip[]; readonly names: readonly string[] };
  readonly isControlPlane: boolean;
  readonly isServing: boolean;
  readonly interfaces: Fact<AnsweringInterfaces>;
  readonly nodes: Fact<readonly NodeObject[]>;
  readonly services: Fact<readonly ServiceObject[]>;
  readonly pools: PoolView;
}

export interface AnsweringInterfaces {
  readonly links: readonly Link[];
  /** Names that are asked for and don't exist. */
  readonly missing: readonly string[];
  readonly present: readonly string[];
}

/** The pools as far as they can be read. */
export interface PoolView {
  readonly pools: readonly Pool[];
  readonly advertisements: readonly Advertisement[];
  readonly problems: readonly ObjectProblem[];
  /** Addresses that can be given, in ascending order: those of pools less what is reserved. */
  readonly usable: readonly AddressRange[];
  /** Sources that could not be read. */
  readonly unread: readonly Unknown[];
}

/** kube-proxy's in IPVS mode: it holds the address of every Service, and is no interface to anywhere. */
export const IPVS_INTERFACE = 'kube-ipvs0';
const LOOPBACK = 'lo';

export function subjectOf(facts: Facts): Subject {
  const nodes = derive(facts.cluster.nodes, (raw) => decodeAll(raw, decodeNode));
  const services = derive(facts.cluster.services, (raw) => decodeAll(raw, decodeService));
  const isGiven = facts.settings.isGiven;
  const vips = vipsOf(facts);
  const pools = poolsOf(facts, { nodes, services, vips: vips.ips });
  const isServing = !isGiven || isOn(facts, 'svc_enable');
  return {
    facts,
    vips,
    isControlPlane: !isGiven || isOn(facts, 'cp_enable'),
    isServing,
    interfaces: derive(facts.machine.kernel, (kernel) => interfacesOf(facts, kernel, isServing ? pools : undefined)),
    nodes,
    services,
    pools,
  };
}

export function setting(facts: Facts, name: OptionName): string {
  return facts.settings.parsed.values[name].value;
}

export function isOn(facts: Facts, name: OptionName): boolean {
  return setting(facts, name) === 'true';
}

/** Who has the election Lease, as the API shows it; '' = nobody. */
export function leaseHolder(facts: Facts): Fact<string> {
  const { namespace = setting(facts, 'cp_namespace'), name } = electionLease(facts.settings.parsed.values);
  return derive(facts.cluster.leases, (leases) => {
    const lease = leases.find(
      (raw) => metadataText(raw, 'name') === name && metadataText(raw, 'namespace') === namespace,
    );
    return asText(asObject(lease?.['spec'])?.['holderIdentity']) ?? '';
  });
}

/** Subnets this machine is attached to, with the interface of each. */
export function subnetsOf(kernel: KernelSnapshot): readonly { readonly link: Link; readonly prefix: Prefix }[] {
  const links = new Map(kernel.links.map((link) => [link.index, link]));
  return kernel.addresses.flatMap(({ ifindex, prefix }) => {
    const link = links.get(ifindex);
    const isAttached = link !== undefined && link.name !== LOOPBACK && link.name !== IPVS_INTERFACE;
    return isAttached && prefix.length < familyBits(prefix.ip.family) ? [{ link, prefix }] : [];
  });
}

/** Addresses of Services, whatever gave them. */
export function ingressOf(services: readonly ServiceObject[]): readonly Ip[] {
  return services.filter(({ isLoadBalancer }) => isLoadBalancer).flatMap(({ ingress }) => ingress);
}

function decodeAll<T>(raw: readonly JsonObject[], decode: (raw: unknown) => Decoding<T>): readonly T[] {
  return raw.flatMap((each) => decode(each).value ?? []);
}

function vipsOf(facts: Facts): Subject['vips'] {
  const text = setting(facts, 'address') || setting(facts, 'vip_address');
  const ips: Ip[] = [];
  const names: string[] = [];
  for (const entry of text.split(',')) {
    const trimmed = entry.trim().replace(/\/\d+$/, '');
    const parsed = parseIp(trimmed);
    if (parsed.ok) ips.push(parsed.value);
    else if (trimmed !== '') names.push(trimmed);
  }
  return { ips, names };
}

/** Those named, else that of the default route (IPv4's first); with pools, those whose subnets hold them as well. */
function interfacesOf(facts: Facts, kernel: KernelSnapshot, view: PoolView | undefined): AnsweringInterfaces {
  const named = [setting(facts, 'vip_interface'), setting(facts, 'vip_servicesinterface')].filter(
    (name) => name !== '' && name !== 'auto',
  );
  const present = kernel.links.filter(({ name }) => name !== LOOPBACK && name !== IPVS_INTERFACE);
  const indexes = new Set<number>();
  for (const link of kernel.links) if (named.includes(link.name)) indexes.add(link.index);
  if (named.length === 0) {
    const byFamily = kernel.defaultRoutes.toSorted((a, b) => (a.family < b.family ? -1 : a.metric - b.metric));
    const route = byFamily.find(({ destination, ifindex }) => destination === undefined && ifindex !== undefined);
    if (route?.ifindex !== undefined) indexes.add(route.ifindex);
    for (const { link, prefix } of view === undefined ? [] : subnetsOf(kernel)) {
      if (
        view?.pools.some(({ ranges }) => ranges.some((range) => rangesOverlap(prefixRange(prefix), range))) === true
      ) {
        indexes.add(link.index);
      }
    }
  }
  return {
    links: kernel.links.filter(({ index }) => indexes.has(index)),
    missing: named.filter((name) => !kernel.links.some((link) => link.name === name)),
    present: present.map(({ name }) => name),
  };
}

interface Surroundings {
  readonly nodes: Fact<readonly NodeObject[]>;
  readonly services: Fact<readonly ServiceObject[]>;
  readonly vips: readonly Ip[];
}

function poolsOf(facts: Facts, around: Surroundings): PoolView {
  const { cluster } = facts;
  const { custom, kubeVipPools } = cluster;
  const raws = (kind: CustomKind): readonly JsonObject[] => (custom[kind].isKnown ? custom[kind].value : []);
  const configMap =
    kubeVipPools.isKnown && kubeVipPools.value !== undefined ? decodeConfigMap(kubeVipPools.value) : undefined;
  const nodes = around.nodes.isKnown ? around.nodes.value : [];
  const assembled = assemblePools({
    environment: parseSvcPools(setting(facts, 'svc_pools')),
    kubeVip: configMap?.value === undefined ? NO_POOLS : readKubeVipPools(configMap.value),
    pools: [
      ...raws('IPAddressPool').map(decodeIpAddressPool),
      ...raws('CiliumLoadBalancerIPPool').map(decodeCiliumPool),
    ],
    advertisements: [
      ...raws('L2Advertisement').map(decodeL2Advertisement),
      ...raws('BGPAdvertisement').map(decodeBgpAdvertisement),
      ...raws('CiliumL2AnnouncementPolicy').map(decodeCiliumPolicy),
    ],
    nodes,
  });
  const reservations = reservationsOf({
    nodes,
    vips: around.vips,
    gateways: gatewaysOf(facts),
    subnets: facts.machine.kernel.isKnown ? subnetsOf(facts.machine.kernel.value).map(({ prefix }) => prefix) : [],
    clusterCidrs: clusterCidrs(facts, around.services),
  });
  return {
    ...assembled,
    problems: [
      ...(configMap?.problems ?? []),
      ...assembled.problems,
      ...reservationProblems(assembled.pools, reservations),
    ],
    usable: unreservedRanges(
      sortRanges(assembled.pools.flatMap(({ ranges }) => ranges)),
      indexReservations(reservations),
    ),
    unread: unknownOf(kubeVipPools, ...Object.values(custom)),
  };
}

function gatewaysOf({ machine }: Facts): readonly Ip[] {
  return machine.kernel.isKnown ? machine.kernel.value.defaultRoutes.flatMap(({ gateway }) => gateway ?? []) : [];
}

/** Cluster IPs of Services, and the Pods' network as kube-proxy knows it. */
function clusterCidrs({ cluster }: Facts, services: Surroundings['services']): readonly Prefix[] {
  const ips = services.isKnown ? services.value.flatMap(({ clusterIps }) => clusterIps) : [];
  const text = cluster.kubeProxy.isKnown ? asObject(cluster.kubeProxy.value)?.['clusterCIDR'] : undefined;
  const cidrs = typeof text === 'string' ? text.split(',') : [];
  return [
    ...ips.map((ip) => ({ ip, length: familyBits(ip.family) })),
    ...cidrs.flatMap((cidr) => {
      const range = parseRange(cidr);
      return range.ok ? [{ ip: range.value.first, length: Number(cidr.trim().split('/')[1]) }] : [];
    }),
  ];
}

/** Ordinary addresses of an interface, as texts. */
export function addressesOn(kernel: KernelSnapshot, link: Link): readonly InterfaceAddress[] {
  return kernel.addresses.filter(({ ifindex }) => ifindex === link.index);
}
