/**
 * A Service, of whatever type, decoded. Total: what can't be used is left out and named, and the rest is used; nothing of
 * the raw object is kept alive. Whether it is ours and what it asks for is decided elsewhere (request.ts).
 */

import type { Family, Ip } from '../../base/ip.ts';
import { exactList, TextPool } from '../../base/lists.ts';
import type { Condition, Decoding, FamilyPolicy, ServiceObject, ServicePort, TrafficPolicy } from '../model.ts';
import { annotationsOf, createdAtOf, decodeObject, isBeingDeletedOf, type OpenObject } from './metadata.ts';
import {
  choiceOf,
  countOf,
  ipOf,
  isPresent,
  itemsOf,
  note,
  partOf,
  partsOf,
  textOf,
  textsOf,
  TEXT_LENGTH_MAX,
  type Part,
} from './part.ts';
import { shown } from './shown.ts';

/** Ports of a Service that are looked at. One with more is served, but shares its address with nobody (hasMorePorts). */
export const PORTS_MAX = 1_000;
/** Cluster IPs and families of a Service; Kubernetes allows two. */
export const FAMILIES_MAX = 2;
/** Entries of status.loadBalancer.ingress; with more of them the status counts as somebody else's. */
export const INGRESS_MAX = 64;
/** Conditions in the status; others are not kept. */
export const CONDITIONS_MAX = 64;

const TYPES = { ClusterIP: true, NodePort: true, LoadBalancer: true, ExternalName: true };
const PROTOCOLS = { TCP: true, UDP: true, SCTP: true };
const FAMILIES: Readonly<Record<'IPv4' | 'IPv6', Family>> = { IPv4: 'ipv4', IPv6: 'ipv6' };
const FAMILY_POLICIES: Readonly<Record<FamilyPolicy, true>> = {
  SingleStack: true,
  PreferDualStack: true,
  RequireDualStack: true,
};
const TRAFFIC_POLICIES: Readonly<Record<TrafficPolicy, true>> = { Cluster: true, Local: true };
const NO_LIST: readonly never[] = Object.freeze([]);
/** Of conditions: what one says, thousands say. */
const TEXTS = new TextPool();

export function decodeService(raw: unknown): Decoding<ServiceObject> {
  return decodeObject('Service', raw, readService);
}

function readService({ root, metadata, key, namespace, name }: OpenObject): ServiceObject {
  const spec = partOf(root, 'spec');
  const status = partOf(root, 'status');
  const ingress = readIngress(partOf(status, 'loadBalancer'));
  const service: ServiceObject = {
    key,
    namespace,
    name,
    uid: textOf(metadata, 'uid'),
    resourceVersion: textOf(metadata, 'resourceVersion'),
    createdAt: createdAtOf(metadata),
    isBeingDeleted: isBeingDeletedOf(metadata),
    isLoadBalancer: choiceOf(spec, 'type', TYPES) === 'LoadBalancer',
    labels: textsOf(metadata, 'labels'),
    annotations: annotationsOf(metadata),
    loadBalancerClass: wishOf(spec, 'loadBalancerClass'),
    loadBalancerIp: wishOf(spec, 'loadBalancerIP'),
    clusterIps: readClusterIps(spec),
    families: readFamilies(spec),
    familyPolicy: choiceOf(spec, 'ipFamilyPolicy', FAMILY_POLICIES),
    ports: readPorts(spec),
    trafficPolicy: choiceOf(spec, 'externalTrafficPolicy', TRAFFIC_POLICIES) ?? 'Cluster',
    selector: textsOf(spec, 'selector'),
    ingress: ingress.ips,
    hasForeignIngress: ingress.isForeign,
    conditions: readConditions(status),
  };
  const isHeadless = isWithoutClusterIp(spec);
  if (!isHeadless && !hasMorePorts(spec)) return service;
  return { ...service, ...(isHeadless ? { isHeadless } : {}), ...(hasMorePorts(spec) ? { hasMorePorts: true } : {}) };
}

/**
 * A text that must not count as absent when it is wrong: a class that can't be read is not no class, and an address that
 * can't be read is not any address. It is named, and passed on as it is shown.
 */
function wishOf(spec: Part, key: string): string | undefined {
  const value = spec.fields[key];
  if (!isPresent(value) || value === '') return undefined;
  if (typeof value === 'string' && value.length <= TEXT_LENGTH_MAX) return value;
  note(spec, key, typeof value === 'string' ? `has ${value.length} characters` : `is ${shown(value)}, not a text`);
  return shown(value);
}

/** `None`: Pods are found by name alone, and nothing balances. */
function isWithoutClusterIp({ fields }: Part): boolean {
  const several: unknown = fields['clusterIPs'];
  return fields['clusterIP'] === 'None' || (Array.isArray(several) && several[0] === 'None');
}

function readClusterIps(spec: Part): readonly Ip[] {
  const several = itemsOf(spec, 'clusterIPs', FAMILIES_MAX);
  if (several.length === 0) return readClusterIp(spec, 'clusterIP', spec.fields['clusterIP']);
  return exactList(several.flatMap((value, index) => readClusterIp(spec, `clusterIPs[${index}]`, value)));
}

function readClusterIp(spec: Part, key: string, value: unknown): readonly Ip[] {
  if (!isPresent(value) || value === 'None' || value === '') return NO_LIST;
  const ip = ipOf(spec, key, value);
  return ip === undefined ? NO_LIST : [ip];
}

function readFamilies(spec: Part): readonly Family[] {
  const items = itemsOf(spec, 'ipFamilies', FAMILIES_MAX);
  if (items.length === 0) return NO_LIST;
  const families: Family[] = [];
  for (const [index, item] of items.entries()) {
    const family = item === 'IPv4' || item === 'IPv6' ? FAMILIES[item] : undefined;
    if (family === undefined) note(spec, `ipFamilies[${index}]`, `is ${shown(item)}, not IPv4 or IPv6`);
    else if (families.includes(family)) note(spec, `ipFamilies[${index}]`, `is ${shown(item)} again`);
    else families.push(family);
  }
  return exactList(families);
}

function readPorts(spec: Part): readonly ServicePort[] {
  const parts = partsOf(spec, 'ports', PORTS_MAX);
  if (parts.length === 0) return NO_LIST;
  return exactList(parts.flatMap((part) => readPort(part) ?? NO_LIST));
}

function readPort(part: Part): ServicePort | undefined {
  if (!isPresent(part.fields['port'])) {
    note(part, 'port', 'is absent: the entry is left out');
    return undefined;
  }
  const port = countOf(part, 'port', 65_535);
  const protocol = isPresent(part.fields['protocol']) ? choiceOf(part, 'protocol', PROTOCOLS) : 'TCP';
  if (port === undefined || protocol === undefined) return undefined;
  const nodePort = part.fields['nodePort'] === 0 ? 0 : (countOf(part, 'nodePort', 65_535) ?? 0);
  return { name: textOf(part, 'name'), protocol, port, nodePort };
}

function hasMorePorts(spec: Part): boolean {
  const ports = spec.fields['ports'];
  return Array.isArray(ports) && ports.length > PORTS_MAX;
}

interface Ingress {
  readonly ips: readonly Ip[];
  readonly isForeign: boolean;
}

const NO_INGRESS: Ingress = { ips: NO_LIST, isForeign: false };

function readIngress(loadBalancer: Part): Ingress {
  const entries = loadBalancer.fields['ingress'];
  if (!isPresent(entries)) return NO_INGRESS;
  const parts = partsOf(loadBalancer, 'ingress', INGRESS_MAX);
  const ips: Ip[] = [];
  for (const part of parts) {
    const text = part.fields['ip'];
    const ip = isPresent(text) && text !== '' ? ipOf(part, 'ip', text) : undefined;
    if (ip !== undefined) ips.push(ip);
  }
  const isForeign = !Array.isArray(entries) || ips.length < entries.length;
  return { ips: exactList(withoutRepeats(ips)), isForeign };
}

function withoutRepeats(ips: readonly Ip[]): readonly Ip[] {
  if (ips.length < 2) return ips;
  return ips.filter((ip, index) => ips.findIndex((other) => other.text === ip.text) === index);
}

function readConditions(status: Part): readonly Condition[] {
  const parts = partsOf(status, 'conditions', CONDITIONS_MAX);
  if (parts.length === 0) return NO_LIST;
  return exactList(parts.flatMap((part) => readCondition(part) ?? NO_LIST));
}

function readCondition(part: Part): Condition | undefined {
  const type = part.fields['type'];
  if (typeof type !== 'string' || type === '' || type.length > TEXT_LENGTH_MAX) {
    note(part, 'type', `is ${shown(type)}, not the type of a condition`);
    return undefined;
  }
  const generation = part.fields['observedGeneration'];
  const condition: Condition = {
    type: TEXTS.same(type),
    status: textOf(part, 'status'),
    reason: TEXTS.same(textOf(part, 'reason')),
    message: messageOf(part),
    lastTransitionTime: TEXTS.same(textOf(part, 'lastTransitionTime')),
  };
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation)) return condition;
  return { ...condition, observedGeneration: generation };
}

/** Characters of a condition's message, by metav1.Condition: it must be given back as it was. */
const MESSAGE_LENGTH_MAX = 32_768;

function messageOf(part: Part): string {
  const value = part.fields['message'];
  return typeof value === 'string' && value.length <= MESSAGE_LENGTH_MAX ? value : textOf(part, 'message');
}
