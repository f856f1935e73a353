/**
 * MetalLB's objects, metallb.io/v1beta1: IPAddressPool, L2Advertisement and BGPAdvertisement, with all their fields and
 * the rules MetalLB's webhooks enforce (reference: metallb-cilium-keepalived.md §1.1, §1.8). Where the webhook refuses an
 * object, that object alone suffers: a pool with a range that is wrong is closed, which keeps what it gave; a range that is
 * named twice counts once. A field that can't be read is never taken in a sense that would give or announce more than meant.
 *
 * MetalLB takes a range from IPv4 to IPv6 for an empty one; here it is wrong. Rules between objects (aggregation against
 * pools, localPref against other advertisements) are in `advertisement-rules.ts`.
 */

import {
  EVERY_SERVICE,
  type Advertisement,
  type BgpTerms,
  type Decoding,
  type Pool,
  type PreferredNodes,
  type ServiceScope,
} from '../model.ts';
import { createdAtOf, decodeObject, type OpenObject } from '../objects/metadata.ts';
import { isObjectName } from '../objects/object-ref.ts';
import {
  countOf,
  flagOf,
  isPresent,
  note,
  partOf,
  partsOf,
  refuse,
  textsOf,
  type Part,
  type Report,
} from '../objects/part.ts';
import { shown } from '../objects/shown.ts';
import { closePool, newPool } from './pool.ts';
import { closureOf, readRanges, tellInvalid, type ReadRanges } from './report.ts';
import { namesOf, NOTHING, selectorOf, selectorsOf } from './selection.ts';

/** Preferences of one L2Advertisement; more are left out and told. */
const PREFERENCES_MAX = 100;

const NO_NAMES: readonly never[] = Object.freeze([]);

export function decodeIpAddressPool(raw: unknown): Decoding<Pool> {
  return decodeObject('IPAddressPool', raw, ({ root, metadata, key, name }) => {
    const spec = partOf(root, 'spec');
    const addresses = spec.fields['addresses'];
    const list: readonly unknown[] = Array.isArray(addresses) ? addresses : [];
    const texts = list.map((text, index) => ({ field: `spec.addresses[${index}]`, text }));
    const { ranges, fault } =
      list.length === 0 ? noAddresses(root.report, addresses) : readRanges(root.report, texts, 'closed');
    const { scope, priority } = readAllocation(spec);
    const pool = newPool({
      name: `metallb/${name}`,
      shortName: name,
      origin: 'metallb',
      object: { kind: 'IPAddressPool', key },
      labels: textsOf(metadata, 'labels'),
      ranges,
      isAutoAssigned: flagOf(spec, 'autoAssign') ?? !isPresent(spec.fields['autoAssign']),
      avoidsBuggy: flagOf(spec, 'avoidBuggyIPs') ?? isPresent(spec.fields['avoidBuggyIPs']),
      priority,
      scope,
      needsAdvertisement: true,
      createdAt: createdAtOf(metadata),
    });
    return fault === undefined ? pool : closePool(pool, closureOf(root.report, fault));
  });
}

function noAddresses(report: Report, addresses: unknown): ReadRanges {
  const field = 'spec.addresses';
  const what = isPresent(addresses) && !Array.isArray(addresses) ? `is ${shown(addresses)}, not a list` : 'is empty';
  const saying = `${field} ${what}: the pool has no addresses`;
  tellInvalid(report, 'closed', saying, { field });
  return { ranges: [], fault: { field, saying } };
}

/** spec.serviceAllocation: whom the pool is for, and how early it is asked. */
function readAllocation(spec: Part): { readonly scope: ServiceScope; readonly priority: number } {
  const value = spec.fields['serviceAllocation'];
  const allocation = partOf(spec, 'serviceAllocation');
  if (!isPresent(value)) return { scope: EVERY_SERVICE, priority: 0 };
  const isUnreadable = allocation.fields !== value;
  const namespaces = isUnreadable ? undefined : namesOf(allocation, 'namespaces', isObjectName);
  const scope: ServiceScope = {
    // An empty list means no restriction, one of nothing readable means nobody.
    namespaces: namespaces?.length === 0 ? undefined : (namespaces ?? NO_NAMES),
    exceptNamespaces: NO_NAMES,
    namespaceSelectors: selectorsOf(allocation, 'namespaceSelectors'),
    serviceSelectors: selectorsOf(allocation, 'serviceSelectors'),
  };
  return { scope, priority: readPriority(allocation) };
}

/** 0, the last of all, when there is none. */
function readPriority(allocation: Part): number {
  const value = allocation.fields['priority'];
  return value === 0 ? 0 : (countOf(allocation, 'priority', 2 ** 31 - 1) ?? 0);
}

export function decodeL2Advertisement(raw: unknown): Decoding<Advertisement> {
  return decodeObject('L2Advertisement', raw, (object) => {
    const spec = partOf(object.root, 'spec');
    const common = readAdvertisement(object, 'L2Advertisement', spec);
    const interfaceNames = namesOf(spec, 'interfaces', isInterfaceName);
    if (common === undefined) return undefined;
    if (interfaceNames === undefined) return refuse(spec, 'interfaces', 'names no interface');
    return { ...common, protocol: 'l2', interfaceNames, preferredNodes: readPreferences(spec) };
  });
}

export function decodeBgpAdvertisement(raw: unknown): Decoding<Advertisement> {
  return decodeObject('BGPAdvertisement', raw, (object) => {
    const spec = partOf(object.root, 'spec');
    const common = readAdvertisement(object, 'BGPAdvertisement', spec);
    const bgp = readBgpTerms(spec);
    if (common === undefined || bgp === undefined) return undefined;
    const isWhole = bgp.aggregationLength === 32 && bgp.aggregationLengthV6 === 128;
    if (isWhole || common.serviceSelectors.length === 0) return { ...common, protocol: 'bgp', bgp };
    note(spec, 'serviceSelectors', 'excludes an aggregation length: 32 and 128 are used');
    return { ...common, protocol: 'bgp', bgp: { ...bgp, aggregationLength: 32, aggregationLengthV6: 128 } };
  });
}

/** What both kinds have; undefined when the pools can't be read, for none named means all. */
function readAdvertisement(object: OpenObject, kind: string, spec: Part): Advertisement | undefined {
  const { root, metadata, key, name } = object;
  if (isPresent(root.fields['spec']) && spec.fields !== root.fields['spec']) {
    return refuse(root, 'spec', 'is what the advertisement is made of');
  }
  const poolNames = namesOf(spec, 'ipAddressPools', isObjectName);
  if (poolNames === undefined) return refuse(spec, 'ipAddressPools', 'names no pool');
  return {
    name,
    object: { kind, key },
    origin: 'metallb',
    protocol: 'l2',
    poolNames,
    poolSelectors: selectorsOf(spec, 'ipAddressPoolSelectors'),
    nodeSelectors: selectorsOf(spec, 'nodeSelectors'),
    serviceSelectors: selectorsOf(spec, 'serviceSelectors'),
    interfaceNames: NO_NAMES,
    interfacePatterns: NO_NAMES,
    preferredNodes: NO_NAMES,
    createdAt: createdAtOf(metadata),
  };
}

/** A preference without a weight, or for what can't be read, is none. */
function readPreferences(spec: Part): readonly PreferredNodes[] {
  return partsOf(spec, 'preferredNodeSelectors', PREFERENCES_MAX).flatMap((part): PreferredNodes[] => {
    if (!isPresent(part.fields['weight'])) note(part, 'weight', 'is missing: 1 to 100');
    const weight = countOf(part, 'weight', 100);
    if (!isPresent(part.fields['preference'])) note(part, 'preference', 'is missing: {} prefers every node');
    const [selector] = selectorOf(part, 'preference');
    return weight === undefined || selector === undefined || selector === NOTHING ? [] : [{ weight, selector }];
  });
}

/** undefined when the lengths, the preference, the prepends or the peers can't be read: it would announce something else. */
function readBgpTerms(spec: Part): BgpTerms | undefined {
  const aggregationLength = numberOf(spec, 'aggregationLength', { min: 1, max: 32, absent: 32 });
  const aggregationLengthV6 = numberOf(spec, 'aggregationLengthV6', { min: 1, max: 128, absent: 128 });
  const localPreference = numberOf(spec, 'localPref', { min: 0, max: 2 ** 32 - 1, absent: 0 });
  const pathPrepends = numberOf(spec, 'asPathPrepend', { min: 1, max: 10, absent: 0 });
  const peers = namesOf(spec, 'peers', isObjectName);
  if (peers === undefined) return refuse(spec, 'peers', 'names no peer');
  const communities = namesOf(spec, 'communities', isCommunity) ?? NO_NAMES;
  if (aggregationLength === undefined || aggregationLengthV6 === undefined) return undefined;
  if (localPreference === undefined || pathPrepends === undefined) return undefined;
  return { aggregationLength, aggregationLengthV6, localPreference, pathPrepends, communities, peers };
}

function numberOf(
  part: Part,
  key: string,
  { min, max, absent }: { readonly min: number; readonly max: number; readonly absent: number },
): number | undefined {
  const value = part.fields[key];
  if (!isPresent(value)) return absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  return refuse(part, key, `is ${shown(value)}, not a whole number from ${min} to ${max}`);
}

/** Linux: IFNAMSIZ less the final zero, no '/' and no white space. */
function isInterfaceName(text: string): boolean {
  return /^[^\s/]{1,15}$/.test(text);
}

/** a:b of 16 bits each (RFC 1997), large:a:b:c of 32 (RFC 8092), or the alias of a Community, which has no colon. */
function isCommunity(text: string): boolean {
  if (!text.includes(':')) return text !== '' && text.length <= 253;
  const isLarge = text.startsWith('large:');
  const numbers = (isLarge ? text.slice('large:'.length) : text).split(':');
  const max = isLarge ? 2 ** 32 - 1 : 2 ** 16 - 1;
  return (
    numbers.length === (isLarge ? 3 : 2) && numbers.every((part) => /^\d{1,10}$/.test(part) && Number(part) <= max)
  );
}
