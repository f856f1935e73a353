/** Services, pools and clusters in few words, for the tests of requests and allocation. */

import { parseIp, type Ip } from '../../../../src/base/ip.ts';
import { parseRange } from '../../../../src/services/address-range.ts';
import { allocate, type AllocationInput } from '../../../../src/services/ipam/allocate.ts';
import type {
  AddressRange,
  AllocationResult,
  Labels,
  Pool,
  Reservation,
  ServiceObject,
  ServicePort,
  ServiceRules,
} from '../../../../src/services/model.ts';
import { newPool } from '../../../../src/services/pools/pool.ts';

export const RULES: ServiceRules = {
  className: 'kube-vip.io/kube-vip-class',
  isClassLegacy: true,
  isClassOnly: false,
  namespace: '',
  isSpread: true,
  ignoresExcludeLabel: false,
};

export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

export function ips(...texts: readonly string[]): readonly Ip[] {
  return texts.map(ip);
}

export function range(text: string): AddressRange {
  const parsed = parseRange(text, { allowsSingle: true });
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

/** tcp/80 or udp/53. */
export function ports(...texts: readonly string[]): readonly ServicePort[] {
  return texts.map((text) => {
    const [protocol = '', port = ''] = text.split('/');
    return { name: text.replace('/', '-'), protocol: protocol.toUpperCase(), port: Number(port), nodePort: 0 };
  });
}

/** What a test says of a Service; the rest is a plain one with IPv4 and TCP/80. */
export interface ServiceText extends Partial<Omit<ServiceObject, 'ports' | 'ingress' | 'clusterIps' | 'key'>> {
  /** namespace/name, or a name in `default`. */
  readonly key: string;
  readonly ports?: readonly string[];
  readonly ingress?: readonly string[];
  readonly clusterIps?: readonly string[];
}

export function service(text: ServiceText): ServiceObject {
  const [namespace = '', name = ''] = text.key.includes('/') ? text.key.split('/') : ['default', text.key];
  const key = `${namespace}/${name}`;
  return {
    uid: `uid-${key}`,
    resourceVersion: '1',
    createdAt: '2026-01-01T00:00:00Z',
    isBeingDeleted: false,
    isLoadBalancer: true,
    labels: {},
    annotations: {},
    loadBalancerClass: undefined,
    loadBalancerIp: undefined,
    families: ['ipv4'],
    familyPolicy: 'SingleStack',
    trafficPolicy: 'Cluster',
    selector: { app: name },
    hasForeignIngress: false,
    conditions: [],
    ...text,
    key,
    namespace,
    name,
    ports: ports(...(text.ports ?? ['tcp/80'])),
    ingress: ips(...(text.ingress ?? [])),
    clusterIps: ips(...(text.clusterIps ?? [])),
  };
}

/** An annotated one. */
export function asking(key: string, annotations: Labels, text: Partial<ServiceText> = {}): ServiceObject {
  return service({ key, annotations, ...text });
}

export function pool(shortName: string, ranges: readonly string[], given: Partial<Pool> = {}): Pool {
  return newPool({
    name: `metallb/${shortName}`,
    shortName,
    origin: 'metallb',
    ranges: ranges.map(range),
    needsAdvertisement: true,
    ...given,
  });
}

export function reserved(text: string, reason: string): Reservation {
  return { range: range(text), reason };
}

export type ClusterText = Partial<AllocationInput>;

export function run(input: ClusterText): AllocationResult {
  return allocate({
    services: [],
    namespaces: [],
    pools: [],
    reservations: [],
    quarantined: new Map(),
    rules: RULES,
    ...input,
  });
}

/** `a/b: 10.0.0.1, fd00::1 (kept metallb/lan)` or `a/b: – POOL_FULL`, one a Service. */
export function told(result: AllocationResult): readonly string[] {
  const served = result.allocations.map(
    ({ service, addresses, from, pool }) =>
      `${service.key}: ${addresses.map(({ text }) => text).join(', ')} (${from} ${pool})`,
  );
  const unserved = result.pending.map(
    ({ service, reasons }) => `${service.key}: – ${reasons.map(({ code }) => code).join(', ')}`,
  );
  return [...served, ...unserved];
}

/** namespace/name → its addresses; absent: it has none. */
export function addressesOf(result: AllocationResult): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    result.allocations.map(({ service, addresses }) => [service.key, addresses.map(({ text }) => text)]),
  );
}

export function reasonsOf(result: AllocationResult, key: string): readonly string[] {
  const pending = result.pending.find(({ service }) => service.key === key);
  return (pending?.reasons ?? []).map(({ pool, code, message }) => `${pool}: ${code} ${message}`);
}

export function shortcomingsOf(result: AllocationResult, key: string): readonly string[] {
  const allocation = result.allocations.find(({ service }) => service.key === key);
  return (allocation?.shortcomings ?? []).map(({ pool, code, message }) => `${pool}: ${code} ${message}`);
}

/** What stands in the API after the result was written: statuses of ours, and nothing else changed. */
export function written(services: readonly ServiceObject[], result: AllocationResult): readonly ServiceObject[] {
  const addresses = new Map(result.allocations.map((each) => [each.service.key, each.addresses]));
  for (const each of result.pending) addresses.set(each.service.key, []);
  return services.map((each) => {
    const ingress = addresses.get(each.key);
    return ingress === undefined ? each : { ...each, ingress, hasForeignIngress: false };
  });
}
