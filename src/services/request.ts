/**
 * What a Service asks for: is it ours at all (class, namespace, ignore), which families, addresses and pool it wants,
 * with whom it shares, and where it is to be answered. Whatever it says gets an answer: a request, a refusal with its
 * reasons (then it keeps what it has and gets nothing new), or why it is none of our business.
 *
 * Classes are kube-vip's (reference/kube-vip.md §4.2). Where several spellings say the same, that is fine: migrating users
 * write two, and kube-vip's cloud provider copies the first address of its annotation to spec.loadBalancerIP. Where they
 * differ nobody can tell which is meant. Several addresses of one family can be had in the words of those who know that.
 */

import { exactList } from '../base/lists.ts';
import { parseIp, type Family, type Ip } from '../base/ip.ts';
import {
  deprecatedWarning,
  isTrue,
  readAnnotations,
  SEVERAL_ADDRESSES,
  WARNINGS_MAX,
  type AnnotationMeaning,
  type AnnotationReading,
  type AnnotationValue,
} from './annotations.ts';
import type { Reason, RequestOutcome, ServiceObject, ServiceRequest, ServiceRules } from './model.ts';
import { shown } from './objects/shown.ts';

/** Addresses a Service may ask for; one that asks for more is refused. */
export const REQUEST_ADDRESSES_MAX = 8;
/** Namespaces a Service may consent to share with; further ones are told and not consented to. */
export const SHARING_NAMESPACES_MAX = 100;
/** IFNAMSIZ - 1 (linux/if.h). */
const INTERFACE_NAME = /^[^\s/:]{1,15}$/;
const LOAD_BALANCER_IP = 'spec.loadBalancerIP';
/** A DNS name: what else might be meant by something that is no address. Of digits and dots alone it is a slip. */
const HOST_NAME = /^(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$/i;

const memo: WeakMap<ServiceObject, { readonly rules: ServiceRules; readonly outcome: RequestOutcome }> = new WeakMap();

/** Pure; what was read of an object is remembered as long as the object lives, for the rules it was last read with. */
export function readRequest(service: ServiceObject, rules: ServiceRules): RequestOutcome {
  const known = memo.get(service);
  if (known?.rules === rules) return known.outcome;
  const outcome = read(service, rules);
  memo.set(service, { rules, outcome });
  return outcome;
}

function read(service: ServiceObject, rules: ServiceRules): RequestOutcome {
  const foreign = foreignByRules(service, rules);
  if (foreign !== undefined) return foreign;
  const annotations = readAnnotations(service.annotations);
  const ignore = annotations.values.get('ignore')?.find(({ value }) => isTrue(value));
  if (ignore !== undefined) {
    return { kind: 'foreign', service, code: 'SERVICE_IGNORED', message: `${ignore.name} is ${shown(ignore.value)}` };
  }
  if (service.isHeadless === true) {
    return { kind: 'foreign', service, code: 'SERVICE_CLUSTER_IP', message: 'spec.clusterIP is None' };
  }
  return readOwn(service, annotations);
}

function foreignByRules(service: ServiceObject, rules: ServiceRules): RequestOutcome | undefined {
  if (!service.isLoadBalancer) {
    const message = 'spec.type is not LoadBalancer';
    return { kind: 'foreign', service, code: 'SERVICE_NOT_LOAD_BALANCER', message };
  }
  const classFault = foreignClass(service.loadBalancerClass, rules);
  if (classFault !== undefined) return { kind: 'foreign', service, code: 'SERVICE_CLASS', message: classFault };
  if (rules.namespace !== '' && service.namespace !== rules.namespace) {
    const message = `svc_namespace is ${shown(rules.namespace)}, and the Service is in ${shown(service.namespace)}`;
    return { kind: 'foreign', service, code: 'SERVICE_NAMESPACE', message };
  }
  return undefined;
}

/** kube-vip §4.2. Legacy: without a class is ours unless lb_class_only; else only when lb_class_name is ''. */
function foreignClass(given: string | undefined, rules: ServiceRules): string | undefined {
  const own = `lb_class_name is ${shown(rules.className)}`;
  if (given !== undefined) {
    return given === rules.className ? undefined : `spec.loadBalancerClass is ${shown(given)}, and ${own}`;
  }
  const isOurs = rules.isClassLegacy ? !rules.isClassOnly : rules.className === '';
  if (isOurs) return undefined;
  const cause = rules.isClassLegacy ? 'lb_class_only is on' : 'lb_class_legacy_handling is off';
  return `spec.loadBalancerClass is not set, ${own} and ${cause}`;
}

interface Findings {
  readonly annotations: AnnotationReading;
  readonly reasons: Reason[];
  readonly warnings: Reason[];
}

function readOwn(service: ServiceObject, annotations: AnnotationReading): RequestOutcome {
  const findings: Findings = { annotations, reasons: [], warnings: [...annotations.warnings] };
  const addresses = readAddresses(service, findings);
  const { families, isDualRequired } = readFamilies(service, addresses.ips, findings);
  checkFamilies(addresses, families, findings);
  const request: ServiceRequest = {
    service,
    families,
    isDualRequired,
    addresses: addresses.ips,
    addressesFrom: addresses.from,
    pool: readSingle('pool', findings),
    sharingKey: readSingle('sharing-key', findings) ?? '',
    sharingNamespaces: readSharingNamespaces(findings),
    sharesDifferentPods: readFlag('sharing-different-pods', findings),
    interfaceName: readInterface(findings),
    vlan: readVlan(findings),
    allowsNoEndpoints: readNoEndpoints(service, findings),
  };
  if (service.isBeingDeleted) {
    refuse(findings, 'SERVICE_DELETED', 'the Service is being deleted: it gets nothing new');
  }
  const warnings = limitWarnings(findings.warnings);
  if (findings.reasons.length === 0) return { kind: 'request', request, warnings };
  return { kind: 'refused', service, request, reasons: findings.reasons, warnings };
}

interface Wish {
  readonly ips: readonly Ip[];
  readonly from: string;
}

const NO_WISH: Wish = Object.freeze({ ips: [], from: '' });

/** Every place that names addresses must name the same ones; spec.loadBalancerIP has room for one of them only. */
function readAddresses(service: ServiceObject, findings: Findings): Wish {
  const before = findings.reasons.length;
  const given = findings.annotations.values.get('addresses') ?? [];
  const wishes = given.map((value) => readList(value, findings)).filter(({ ips }) => ips.length > 0);
  const { loadBalancerIp } = service;
  const single =
    loadBalancerIp === undefined ? undefined : readList({ name: LOAD_BALANCER_IP, value: loadBalancerIp }, findings);
  if (findings.reasons.length > before) return NO_WISH;
  const [first, ...others] = wishes;
  if (first === undefined) {
    if (single === undefined || single.ips.length === 0) return NO_WISH;
    findings.warnings.push(deprecatedWarning(LOAD_BALANCER_IP, 'the annotation metallb.io/loadBalancerIPs'));
    return single;
  }
  for (const other of others) {
    if (!isSameSet(first.ips, other.ips)) conflict(findings, first.from, other.from, describe(first, other));
  }
  if (single !== undefined && !single.ips.every((ip) => includesIp(first.ips, ip))) {
    conflict(findings, first.from, single.from, describe(first, single));
  }
  return findings.reasons.length > before ? NO_WISH : first;
}

function readList({ name, value }: AnnotationValue, findings: Findings): Wish {
  const texts = value
    .split(',', REQUEST_ADDRESSES_MAX + 1)
    .map((text) => text.trim())
    .filter((text) => text !== '');
  if (texts.length > REQUEST_ADDRESSES_MAX) {
    refuse(findings, 'REQUEST_INVALID', `${name} has more than ${REQUEST_ADDRESSES_MAX} addresses`, name);
    return NO_WISH;
  }
  const ips: Ip[] = [];
  for (const text of texts) {
    const ip = readAddress(name, text, findings);
    if (ip !== undefined && !includesIp(ips, ip)) ips.push(ip);
  }
  return { ips: exactList(ips), from: name };
}

function readAddress(name: string, text: string, findings: Findings): Ip | undefined {
  const parsed = parseIp(text);
  if (parsed.ok) {
    if (!parsed.value.bytes.every((octet) => octet === 0)) return parsed.value;
    refuse(findings, 'POOL_DHCP', `${name} is ${text}, which asks for an address from DHCP`, name);
    return undefined;
  }
  if (parsed.reason === 'not-an-address' && HOST_NAME.test(text.slice(0, 254))) {
    const message = `${name} names a host, ${shown(text)}: names are not resolved, only addresses are understood`;
    refuse(findings, 'REQUEST_NOT_SUPPORTED', message, name);
    return undefined;
  }
  const fault = {
    'not-an-address': 'is not an IP address',
    'leading-zero': 'has an octet with a leading zero, which some programs read as octal',
    zone: 'has a zone (%interface), which an address of a Service has not',
    'ipv4-mapped': 'is an IPv4 address written as IPv6: write the IPv4 address',
  }[parsed.reason];
  refuse(findings, 'REQUEST_INVALID', `${name}: ${shown(text)} ${fault}`, name);
  return undefined;
}

interface Families {
  readonly families: readonly Family[];
  readonly isDualRequired: boolean;
}

/**
 * ipFamilies in their order, as far as the Service has cluster IPs of them: the API server writes both. Without cluster
 * IPs (a manifest nobody has applied yet) it is what the API server would make of it: both families when the policy asks
 * for two, else the one family of what it asks for or has, else IPv4.
 */
function readFamilies(service: ServiceObject, wished: readonly Ip[], findings: Findings): Families {
  const { familyPolicy: policy } = service;
  const served = distinctFamilies(service.clusterIps);
  const asked = service.families.filter((family) => served.length === 0 || served.includes(family));
  let families = exactList(asked.length > 0 ? asked : served);
  if (families.length === 0) families = singleFamily(wished) ?? singleFamily(service.ingress) ?? ['ipv4'];
  const isDual = policy === 'PreferDualStack' || policy === 'RequireDualStack';
  if (isDual && served.length === 0 && families.length === 1) {
    families = families.includes('ipv4') ? ['ipv4', 'ipv6'] : ['ipv6', 'ipv4'];
  }
  if (policy === 'SingleStack') families = families.slice(0, 1);
  if (policy === 'RequireDualStack' && families.length < 2) {
    const message = `ipFamilyPolicy is RequireDualStack, and the Service has a cluster IP of ${familyText(families)} only`;
    refuse(findings, 'REQUEST_FAMILY', message);
  }
  // Two families without a policy count as RequireDualStack: so defaults the API server.
  return { families, isDualRequired: families.length > 1 && policy !== 'PreferDualStack' };
}

/** Case 18: of families the Service has, and in MetalLB's words at most one of each. */
function checkFamilies({ ips, from }: Wish, families: readonly Family[], findings: Findings): void {
  const seen = new Map<Family, Ip>();
  for (const ip of ips) {
    const other = seen.get(ip.family);
    if (!families.includes(ip.family)) {
      const message = `${from} asks for ${ip.text}, and the Service is ${familyText(families)} only`;
      refuse(findings, 'REQUEST_FAMILY', message, from);
    } else if (other !== undefined && !SEVERAL_ADDRESSES.has(from)) {
      const message = `${from} asks for ${other.text} and ${ip.text}: it can name one address of each family`;
      refuse(findings, 'REQUEST_FAMILY', message, from);
    }
    seen.set(ip.family, ip);
  }
}

/** The value all spellings agree on. */
function readSingle(meaning: AnnotationMeaning, findings: Findings): string | undefined {
  const [first, ...others] = findings.annotations.values.get(meaning) ?? [];
  if (first === undefined) return undefined;
  for (const other of others) {
    if (other.value === first.value) continue;
    const message = `${first.name} is ${shown(first.value)}, and ${other.name} is ${shown(other.value)}`;
    conflict(findings, first.name, other.name, message);
  }
  return first.value;
}

function readFlag(meaning: AnnotationMeaning, findings: Findings): boolean {
  const value = readSingle(meaning, findings);
  return value !== undefined && isTrue(value);
}

function readSharingNamespaces(findings: Findings): readonly string[] {
  const text = readSingle('sharing-namespaces', findings);
  if (text === undefined) return [];
  const names = text
    .split(',', SHARING_NAMESPACES_MAX + 1)
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (names.includes('*')) return ['*'];
  if (names.length > SHARING_NAMESPACES_MAX) {
    const message = `only the first ${SHARING_NAMESPACES_MAX} namespaces to share with are consented to`;
    const field = findings.annotations.values.get('sharing-namespaces')?.[0]?.name ?? '';
    findings.warnings.push({ pool: '', code: 'REQUEST_INVALID', message, context: { field } });
  }
  return names.slice(0, SHARING_NAMESPACES_MAX);
}

function readInterface(findings: Findings): string | undefined {
  const name = readSingle('interface', findings);
  if (name === undefined || name === 'auto' || INTERFACE_NAME.test(name)) return name;
  const field = 'kube-vip.io/serviceInterface';
  refuse(findings, 'REQUEST_INVALID', `${field}: ${shown(name)} is no name of an interface`, field);
  return undefined;
}

/** A parent interface, a dot and a tag of 1–4094 (IEEE 802.1Q). */
function readVlan(findings: Findings): string | undefined {
  const name = readSingle('vlan', findings);
  if (name === undefined) return undefined;
  const tag = INTERFACE_NAME.test(name) ? Number(/^.+\.([1-9]\d{0,3})$/.exec(name)?.[1]) : Number.NaN;
  if (tag <= 4094) return name;
  const field = 'kube-vip.io/serviceVLAN';
  const message = `${field}: ${shown(name)} is not an interface and a tag of 1 to 4094, as in eth0.200`;
  refuse(findings, 'REQUEST_INVALID', message, field);
  return undefined;
}

function readNoEndpoints(service: ServiceObject, findings: Findings): boolean {
  if (!readFlag('no-endpoints', findings)) return false;
  if (service.trafficPolicy === 'Cluster') return true;
  const field = 'kube-vip.io/allow-reconcile-without-endpoints';
  const message = `${field} has no effect with externalTrafficPolicy: Local`;
  findings.warnings.push({ pool: '', code: 'REQUEST_NOT_SUPPORTED', message, context: { field } });
  return false;
}

function refuse(findings: Findings, code: Reason['code'], message: string, field = ''): void {
  findings.reasons.push({ pool: '', code, message, ...(field === '' ? {} : { context: { field } }) });
}

function conflict(findings: Findings, one: string, other: string, message: string): void {
  const context = { fields: `${one}, ${other}` };
  findings.reasons.push({ pool: '', code: 'REQUEST_CONFLICT', message, context });
}

function limitWarnings(warnings: readonly Reason[]): readonly Reason[] {
  if (warnings.length <= WARNINGS_MAX) return warnings;
  const message = `there are more annotations like these: ${WARNINGS_MAX} are told`;
  const context = { field: 'what is no annotation of a load balancer' };
  return [...warnings.slice(0, WARNINGS_MAX), { pool: '', code: 'REQUEST_NOT_SUPPORTED', message, context }];
}

function describe(one: Wish, other: Wish): string {
  const text = ({ ips, from }: Wish) => `${from} asks for ${ips.map((ip) => ip.text).join(', ')}`;
  return `${text(one)}, and ${text(other)}`;
}

function familyText(families: readonly Family[]): string {
  return families.map((family) => (family === 'ipv4' ? 'IPv4' : 'IPv6')).join(' and ');
}

function distinctFamilies(ips: readonly Ip[]): readonly Family[] {
  const [first, ...others] = ips;
  if (first === undefined) return [];
  const other = others.find(({ family }) => family !== first.family);
  return other === undefined ? [first.family] : [first.family, other.family];
}

/** undefined: there are none, or they are of both. */
function singleFamily(ips: readonly Ip[]): readonly Family[] | undefined {
  const families = distinctFamilies(ips);
  return families.length === 1 ? families : undefined;
}

function includesIp(ips: readonly Ip[], ip: Ip): boolean {
  return ips.some(({ text }) => text === ip.text);
}

function isSameSet(a: readonly Ip[], b: readonly Ip[]): boolean {
  return a.length === b.length && a.every((ip) => includesIp(b, ip));
}
