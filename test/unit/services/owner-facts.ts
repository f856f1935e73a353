/** Plain facts about nodes, Services and advertisements, of which a test says only what it is about. */

import type { Prefix } from '../../../src/base/ip.ts';
import { parseIp, type Ip } from '../../../src/base/ip.ts';
import { indexEndpoints } from '../../../src/services/endpoints.ts';
import type {
  Advertisement,
  Allocation,
  EndpointSliceObject,
  LabelSelector,
  NodeFacts,
  NodeInterface,
  NodeObject,
  Ownership,
  Pool,
  ServiceAddress,
  ServiceObject,
  ServiceRequest,
  ServiceRules,
} from '../../../src/services/model.ts';
import type { OwnerContext } from '../../../src/services/owner.ts';
import { newPool } from '../../../src/services/pools/pool.ts';

export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

export function prefix(text: string): Prefix {
  const [address = '', length = ''] = text.split('/');
  return { ip: ip(address), length: Number(length) };
}

export function range(text: string): { readonly first: Ip; readonly last: Ip } {
  const [first = '', last = first] = text.split('-');
  return { first: ip(first), last: ip(last) };
}

export function labelled(labels: Readonly<Record<string, string>>): LabelSelector {
  return { matchLabels: labels, matchExpressions: [] };
}

export function nic(name: string, prefixes: readonly string[] = [], hasCarrier = true): NodeInterface {
  return { name, prefixes: prefixes.map(prefix), hasCarrier };
}

type NodeGiven = Partial<Omit<NodeFacts, 'node'>> & Partial<NodeObject>;

/** A node on which nothing is known against it; its label kubernetes.io/hostname is its name. */
export function nodeFacts(name: string, given: NodeGiven = {}): NodeFacts {
  const { interfaces, isKubeProxyHealthy, isDraining = false, hasStanding, weight = 1, ...object } = given;
  const node: NodeObject = {
    name,
    annotations: {},
    addresses: [],
    podCidrs: [],
    isReady: true,
    isNetworkUnavailable: false,
    isCordoned: false,
    isOutOfService: false,
    ...object,
    labels: { 'kubernetes.io/hostname': name, ...object.labels },
  };
  return { node, interfaces, isKubeProxyHealthy, isDraining, hasStanding, weight };
}

export function service(key: string, given: Partial<ServiceObject> = {}): ServiceObject {
  const [namespace = '', name = ''] = key.split('/');
  return {
    key,
    namespace,
    name,
    uid: `uid-${key}`,
    resourceVersion: '1',
    createdAt: '',
    isBeingDeleted: false,
    isLoadBalancer: true,
    labels: {},
    annotations: {},
    loadBalancerClass: undefined,
    loadBalancerIp: undefined,
    clusterIps: [],
    families: ['ipv4'],
    familyPolicy: 'SingleStack',
    ports: [],
    trafficPolicy: 'Cluster',
    selector: {},
    ingress: [],
    hasForeignIngress: false,
    conditions: [],
    ...given,
  };
}

type AllocationGiven = Partial<ServiceObject> & { readonly request?: Partial<ServiceRequest>; readonly pool?: string };

export function allocation(key: string, addresses: readonly string[], given: AllocationGiven = {}): Allocation {
  const { request, pool = '', ...object } = given;
  const of = service(key, object);
  return {
    service: of,
    request: {
      service: of,
      families: ['ipv4'],
      isDualRequired: false,
      addresses: [],
      addressesFrom: '',
      pool: undefined,
      sharingKey: '',
      sharingNamespaces: [],
      sharesDifferentPods: false,
      interfaceName: undefined,
      vlan: undefined,
      allowsNoEndpoints: false,
      ...request,
    },
    addresses: addresses.map(ip),
    pool,
    from: 'pool',
    shortcomings: [],
  };
}

/** An address with one Service of its own, of no pool: answered for wherever it fits. */
export function address(text: string, pool?: Pool): ServiceAddress {
  return { address: ip(text), pool, allocations: [allocation(`default/${text}`, [text])] };
}

export function advertisement(name: string, given: Partial<Advertisement> = {}): Advertisement {
  return {
    name: `metallb/${name}`,
    object: { kind: 'L2Advertisement', key: `metallb-system/${name}` },
    origin: 'metallb',
    protocol: 'l2',
    poolNames: [],
    poolSelectors: [],
    nodeSelectors: [],
    serviceSelectors: [],
    interfaceNames: [],
    interfacePatterns: [],
    preferredNodes: [],
    ...given,
  };
}

export function metallbPool(name: string, ranges: readonly string[], given: Partial<Pool> = {}): Pool {
  return newPool({
    name: `metallb/${name}`,
    shortName: name,
    origin: 'metallb',
    ranges: ranges.map(range),
    needsAdvertisement: true,
    ...given,
  });
}

/** `n1` or `n1*3` can serve; `n1!` can't; `?` has no node. */
export function slice(of: string, endpoints: readonly string[], key = `${of}-1`): EndpointSliceObject {
  return {
    key,
    service: of,
    family: 'ipv4',
    endpoints: endpoints.map((text) => ({
      node: text === '?' ? undefined : text.replace(/!$/, ''),
      canServe: !text.endsWith('!'),
    })),
  };
}

export const SPREAD: ServiceRules = {
  className: '',
  isClassLegacy: true,
  isClassOnly: false,
  namespace: '',
  isSpread: true,
  ignoresExcludeLabel: false,
};

/** Addresses spread over nodes of which little is known; `slices` absent: endpoints aren't known. */
export function ownerContext(
  nodes: readonly NodeFacts[],
  given: Partial<OwnerContext> & { readonly slices?: readonly EndpointSliceObject[] } = {},
): OwnerContext {
  const { slices, ...others } = given;
  return {
    nodes,
    advertisements: [],
    endpoints: slices === undefined ? undefined : indexEndpoints(slices),
    rules: SPREAD,
    leader: undefined,
    assignment: new Map(),
    ...others,
  };
}

/** The record as it is after these ownerships. */
export function recordOf(ownerships: readonly Ownership[]): ReadonlyMap<string, string> {
  return new Map(
    ownerships.flatMap(({ address, node }) => (node === undefined ? [] : [[address.text, node] as const])),
  );
}
