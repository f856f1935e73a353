/**
 * Every annotation by which a Service asks a load balancer for something, in one table: kube-vip's, MetalLB's, Cilium's
 * and PureLB's spellings beside each other. What is honoured has a meaning; what isn't yet is named to whoever asks, and
 * so is a spelling nobody knows under a prefix that is theirs (mostly a slip: loadBalancerIPs for loadbalancerIPs).
 * Nothing is passed over in silence, except what load balancers write themselves.
 *
 * Sources: kube-vip pkg/kubevip/annotations.go, MetalLB internal/k8s (metallb.io and its legacy prefix), Cilium
 * pkg/annotation (lbipam.cilium.io and its legacy io.cilium/lb-ipam-*), PureLB pkg/apis/purelb.
 */

import type { Labels, Reason } from './model.ts';
import { shown } from './objects/shown.ts';

export type AnnotationMeaning =
  | 'ignore'
  | 'addresses'
  | 'pool'
  | 'sharing-key'
  | 'sharing-namespaces'
  | 'sharing-different-pods'
  | 'interface'
  | 'vlan'
  | 'no-endpoints';

export type AnnotationEntry =
  | { readonly name: string; readonly state: 'current'; readonly meaning: AnnotationMeaning }
  | {
      readonly name: string;
      readonly state: 'deprecated';
      readonly meaning: AnnotationMeaning;
      readonly instead: string;
    }
  /** `asks`: what for, after "asks for". */
  | { readonly name: string; readonly state: 'not-supported'; readonly asks: string }
  /** Written by a load balancer, or so here in any case: nothing to answer. */
  | { readonly name: string; readonly state: 'inert' };

/** Of those that name addresses: kube-vip serves all that its annotation names, and so does Cilium; the others know one a family. */
export const SEVERAL_ADDRESSES: ReadonlySet<string> = new Set([
  'kube-vip.io/loadbalancerIPs',
  'lbipam.cilium.io/ips',
  'io.cilium/lb-ipam-ips',
]);

/** Where kube-vip, and so Holdfast, writes which node answers. */
export const VIP_HOST_ANNOTATION = 'kube-vip.io/vipHost';

/** Where it is noted which pool (Pool.name) the first address was given from. */
export const POOL_ANNOTATION = 'holdfast.io/allocated-from-pool';
/** What MetalLB writes there: the name of an IPAddressPool. */
export const METALLB_POOL_ANNOTATION = 'metallb.io/ip-allocated-from-pool';

/** Warnings told of one Service; how many more there were is told in one more. */
export const WARNINGS_MAX = 16;

export const ANNOTATIONS: readonly AnnotationEntry[] = [
  current('kube-vip.io/ignore', 'ignore'),
  current('kube-vip.io/loadbalancerIPs', 'addresses'),
  current('metallb.io/loadBalancerIPs', 'addresses'),
  deprecated('metallb.universe.tf/loadBalancerIPs', 'addresses', 'metallb.io/loadBalancerIPs'),
  current('lbipam.cilium.io/ips', 'addresses'),
  deprecated('io.cilium/lb-ipam-ips', 'addresses', 'lbipam.cilium.io/ips'),
  current('purelb.io/addresses', 'addresses'),

  current('metallb.io/address-pool', 'pool'),
  deprecated('metallb.universe.tf/address-pool', 'pool', 'metallb.io/address-pool'),
  current('purelb.io/service-group', 'pool'),

  current('metallb.io/allow-shared-ip', 'sharing-key'),
  deprecated('metallb.universe.tf/allow-shared-ip', 'sharing-key', 'metallb.io/allow-shared-ip'),
  current('lbipam.cilium.io/sharing-key', 'sharing-key'),
  deprecated('io.cilium/lb-ipam-sharing-key', 'sharing-key', 'lbipam.cilium.io/sharing-key'),
  current('purelb.io/allow-shared-ip', 'sharing-key'),
  current('lbipam.cilium.io/sharing-cross-namespace', 'sharing-namespaces'),
  deprecated(
    'io.cilium/lb-ipam-sharing-cross-namespace',
    'sharing-namespaces',
    'lbipam.cilium.io/sharing-cross-namespace',
  ),
  current('lbipam.cilium.io/sharing-permit-different-pods', 'sharing-different-pods'),

  current('kube-vip.io/serviceInterface', 'interface'),
  current('kube-vip.io/serviceVLAN', 'vlan'),
  current('kube-vip.io/allow-reconcile-without-endpoints', 'no-endpoints'),

  notSupported('kube-vip.io/loadbalancerHostname', 'a host name sent to a DHCP server'),
  notSupported('kube-vip.io/hwaddr', 'a MAC address for DHCP'),
  notSupported('kube-vip.io/requestedIP', 'an address from DHCP'),
  notSupported('kube-vip.io/macvlanName', 'a macvlan interface for DHCP'),
  notSupported('kube-vip.io/dhcp-broadcast', 'DHCP answers by broadcast'),
  notSupported('kube-vip.io/rp_filter', 'the rp_filter of a macvlan interface for DHCP'),
  notSupported('kube-vip.io/ddns', 'dynamic DNS'),
  notSupported('kube-vip.io/egress', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-internal', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-ipv6', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-no-internal-traffic', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-detect-api-server', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-destination-ports', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-source-ports', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-allowed-networks', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/egress-denied-networks', 'outgoing traffic from the address'),
  notSupported('kube-vip.io/flush-conntrack', 'connection tracking to be flushed'),
  notSupported('kube-vip.io/ignore-service-security', 'an exception from a firewall'),
  notSupported('kube-vip.io/forwardUPNP', 'port forwarding by UPnP'),
  notSupported('kube-vip.io/upnp-lease-duration', 'port forwarding by UPnP'),
  notSupported('kube-vip.io/leaseName', 'a Lease shared with other Services'),
  notSupported('kube-vip.io/forcePerServiceElection', 'an election of its own'),
  notSupported('development.kube-vip.io/synthetic-api-server-error-on-update', 'an error of the API server'),
  notSupported('purelb.io/multi-pool', 'an address of each range'),
  notSupported('purelb.io/re-evaluate', 'another allocation'),

  { name: VIP_HOST_ANNOTATION, state: 'inert' },
  { name: 'kube-vip.io/active-endpoint', state: 'inert' },
  { name: 'kube-vip.io/active-endpoint-ipv6', state: 'inert' },
  { name: 'kube-vip.io/egress-nftables-table', state: 'inert' },
  { name: METALLB_POOL_ANNOTATION, state: 'inert' },
  { name: 'metallb.universe.tf/ip-allocated-from-pool', state: 'inert' },
  { name: 'purelb.io/allow-local', state: 'inert' },
  { name: 'purelb.io/allocated-by', state: 'inert' },
  { name: 'purelb.io/allocated-from', state: 'inert' },
  { name: 'purelb.io/announcing-IPv4', state: 'inert' },
  { name: 'purelb.io/announcing-IPv6', state: 'inert' },
  { name: 'purelb.io/pool-type', state: 'inert' },
];

/** Under these, a name that isn't in the table was meant for a load balancer. */
const PREFIXES = ['kube-vip.io/', 'metallb.io/', 'metallb.universe.tf/', 'lbipam.cilium.io/', 'purelb.io/'];
const LEGACY_CILIUM = 'io.cilium/lb-ipam-';

const PLACES: ReadonlyMap<string, number> = new Map(ANNOTATIONS.map(({ name }, place) => [name, place]));
const BY_LOWER_CASE: ReadonlyMap<string, string> = new Map(ANNOTATIONS.map(({ name }) => [name.toLowerCase(), name]));

export interface AnnotationValue {
  readonly name: string;
  /** Without white space around it; never ''. */
  readonly value: string;
}

export interface AnnotationReading {
  /** Who says so, in the order of the table; a meaning nobody gave is absent. */
  readonly values: ReadonlyMap<AnnotationMeaning, readonly AnnotationValue[]>;
  readonly warnings: readonly Reason[];
}

const NOTHING: AnnotationReading = Object.freeze({ values: new Map(), warnings: [] });

/** What the annotations of a Service ask for, whatever their order. An empty value asks for nothing. */
export function readAnnotations(annotations: Labels): AnnotationReading {
  let places: number[] | undefined;
  let strangers: string[] | undefined;
  for (const name of Object.keys(annotations)) {
    const place = PLACES.get(name);
    if (place !== undefined) (places ??= []).push(place);
    else if (isMeantForUs(name)) (strangers ??= []).push(name);
  }
  if (places === undefined && strangers === undefined) return NOTHING;
  return readFound(annotations, places ?? [], strangers ?? []);
}

/** "true" in any case. Go's ParseBool takes 1 and t as well; kube-vip compares with "true". */
export function isTrue(value: string): boolean {
  return value.toLowerCase() === 'true';
}

function readFound(annotations: Labels, places: readonly number[], strangers: readonly string[]): AnnotationReading {
  const values = new Map<AnnotationMeaning, AnnotationValue[]>();
  const warnings: Reason[] = [];
  for (const place of places.toSorted((a, b) => a - b)) {
    const entry = ANNOTATIONS[place];
    const value = entry === undefined ? '' : (annotations[entry.name] ?? '').trim();
    if (entry === undefined || entry.state === 'inert' || value === '') continue;
    if (entry.state === 'not-supported') {
      if (value.toLowerCase() !== 'false') warnings.push(notSupportedWarning(entry.name, `asks for ${entry.asks}`));
      continue;
    }
    if (entry.state === 'deprecated') warnings.push(deprecatedWarning(entry.name, entry.instead));
    const given = values.get(entry.meaning);
    if (given === undefined) values.set(entry.meaning, [{ name: entry.name, value }]);
    else given.push({ name: entry.name, value });
  }
  for (const name of strangers.toSorted().slice(0, WARNINGS_MAX + 1)) warnings.push(strangerWarning(name));
  return { values, warnings };
}

function isMeantForUs(name: string): boolean {
  const slash = name.indexOf('/');
  if (slash < 0) return false;
  return PREFIXES.includes(name.slice(0, slash + 1)) || name.startsWith(LEGACY_CILIUM);
}

export function deprecatedWarning(name: string, instead: string): Reason {
  const message = `${name} is deprecated: use ${instead}`;
  return { pool: '', code: 'REQUEST_DEPRECATED', message, context: { field: name, instead } };
}

function notSupportedWarning(name: string, saying: string): Reason {
  const message = `${name} ${saying}, which is not supported yet`;
  return { pool: '', code: 'REQUEST_NOT_SUPPORTED', message, context: { field: name } };
}

function strangerWarning(name: string): Reason {
  const field = shown(name);
  const near = BY_LOWER_CASE.get(name.toLowerCase());
  const message = `${field} is not known${near === undefined ? '' : `: ${near} is`}`;
  return { pool: '', code: 'REQUEST_NOT_SUPPORTED', message, context: { field } };
}

function current(name: string, meaning: AnnotationMeaning): AnnotationEntry {
  return { name, state: 'current', meaning };
}

function deprecated(name: string, meaning: AnnotationMeaning, instead: string): AnnotationEntry {
  return { name, state: 'deprecated', meaning, instead };
}

function notSupported(name: string, asks: string): AnnotationEntry {
  return { name, state: 'not-supported', asks };
}
