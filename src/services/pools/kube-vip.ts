/**
 * Pools out of the ConfigMap `kubevip`, as kube-vip-cloud-provider (d3522c6) reads it:
 *
 *     cidr-<namespace>, cidr-global        CIDRs, separated by commas
 *     range-<namespace>, range-global      first-last, separated by commas   (either form is taken under either name)
 *     interface-<namespace>, -global       where the addresses go; looked up apart from the addresses
 *     allow-share-<namespace>, -global     "true": Services with different ports share an address; looked up apart, too
 *     search-order: desc                   from the highest address down
 *     skip-end-ips-in-cidr: "true"         first and last address of each IPv4 prefix are left out, but of /31 and /32
 *     0.0.0.0/32 as the whole value        addresses come from DHCP
 *
 * The first key that exists is a namespace's pool: cidr-<namespace>, cidr-global, range-<namespace>, range-global. So
 * cidr-global hides every range; such a key is told, and kept as a closed pool: it gives nothing new, and what it gave
 * stays its own. The same goes for a key whose value is wrong in any part: kube-vip gives nothing from it either, and its
 * namespace does not fall through to an address from elsewhere. Addresses are searched in ascending order whatever order
 * they are written in, and IPv4 addresses ending in .0 or .255 are never given.
 */

import { parseRange, rangeFault, rangePrefixes, prefixRange, sortRanges, withoutEnds } from '../address-range.ts';
import type { AddressRange, ObjectRef, Pool, PoolClosure, PoolTerms, ServiceScope } from '../model.ts';
import { EVERY_SERVICE } from '../model.ts';
import { closeReport, openReport, type Report } from '../objects/part.ts';
import { shown } from '../objects/shown.ts';
import type { PoolList } from './environment.ts';
import { closePool, newPool } from './pool.ts';
import { closureOf, POOL_RANGES_MAX, tell, tellInvalid } from './report.ts';

/** Pools of namespaces that are read; the namespaces of further ones get nothing, which is told. */
const NAMESPACES_MAX = 1_000;

/** What is read of a ConfigMapObject. */
export interface KubeVipMap {
  readonly key: string;
  readonly data: Readonly<Record<string, string>>;
}

/** An entry `<kind>-<namespace>`; `cidr-global` has the namespace 'global'. */
interface Entry {
  readonly key: string;
  readonly namespace: string;
  readonly value: string;
}

interface Entries {
  readonly cidr: ReadonlyMap<string, Entry>;
  readonly range: ReadonlyMap<string, Entry>;
  readonly interface: ReadonlyMap<string, Entry>;
  readonly 'allow-share': ReadonlyMap<string, Entry>;
}

interface Settings {
  readonly object: ObjectRef;
  readonly order: Pool['order'];
  readonly skipsEnds: boolean;
}

const GLOBAL = 'global';
const ENTRY = /^(cidr|range|interface|allow-share)-([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$/;
const DHCP = '0.0.0.0/32';

/** Linux: IFNAMSIZ less the final zero, no '/' and no white space. */
const INTERFACE = /^[^\s/]{1,15}$/;

export function readKubeVipPools(map: KubeVipMap): PoolList {
  const report = openReport({ kind: 'ConfigMap', key: map.key });
  const entries = sortEntries(map.data, report);
  const settings: Settings = {
    object: report.object,
    order: setting(map.data, 'search-order', { desc: true, asc: false }, report) ? 'descending' : 'ascending',
    skipsEnds: setting(map.data, 'skip-end-ips-in-cidr', { true: true, false: false }, report),
  };
  const terms = readTerms(entries, report);
  const open: Pool[] = [];
  const closed: Pool[] = [];
  for (const { entry, scope, hiddenBy } of lookups(entries, report)) {
    const { ranges, isDhcp, closure: fault } = readValue(entry, settings, report);
    if (hiddenBy !== undefined) {
      const message = `${entry.key} can never be used: ${hiddenBy} is looked up first`;
      tell(report, 'POOL_SHADOWED', message, { field: entry.key, other: hiddenBy });
    }
    const closure = hiddenBy === undefined ? fault : shadow(entry.key, hiddenBy);
    const pool = newPool({
      name: `kubevip/${entry.key}`,
      shortName: entry.key,
      origin: 'kube-vip',
      object: settings.object,
      ranges,
      order: settings.order,
      avoidsBuggy: true,
      scope,
      isDhcp,
      ...terms.of(entry.namespace),
      ...(entry.namespace === GLOBAL ? { perNamespace: terms.others() } : {}),
    });
    if (closure === undefined) open.push(pool);
    else closed.push(closePool(pool, closure));
  }
  return { pools: [...open, ...closed], problems: closeReport(report) };
}

function shadow(key: string, hiddenBy: string): PoolClosure {
  return { code: 'POOL_SHADOWED', message: `hidden by ${hiddenBy}`, context: { field: key, other: hiddenBy } };
}

/** By kind and namespace, namespaces in alphabetical order; what nothing reads is told. */
function sortEntries(data: Readonly<Record<string, string>>, report: Report): Entries {
  const found: { readonly [Kind in keyof Entries]: Map<string, Entry> } = {
    cidr: new Map(),
    range: new Map(),
    interface: new Map(),
    'allow-share': new Map(),
  };
  for (const key of Object.keys(data).toSorted()) {
    const [, kind, namespace] = ENTRY.exec(key) ?? [];
    if (kind === 'cidr' || kind === 'range' || kind === 'interface' || kind === 'allow-share') {
      if (namespace !== undefined) found[kind].set(namespace, { key, namespace, value: data[key] ?? '' });
    } else if (key !== 'search-order' && key !== 'skip-end-ips-in-cidr') {
      tell(report, 'OBJECT_INVALID', `${shown(key)} is no key that is read`, { field: shown(key) });
    }
  }
  return found;
}

/** What the value of the key stands for; the choice that is false is also what an unknown value means, which is told. */
function setting(
  data: Readonly<Record<string, string>>,
  key: string,
  choices: Readonly<Record<string, boolean>>,
  report: Report,
): boolean {
  const value = Object.hasOwn(data, key) ? data[key] : undefined;
  if (value === undefined || value === '') return false;
  if (Object.hasOwn(choices, value)) return choices[value] === true;
  const message = `${key} is ${shown(value)}, not one of ${Object.keys(choices).join(', ')}`;
  tell(report, 'OBJECT_INVALID', message, { field: key });
  return false;
}

interface Lookup {
  readonly entry: Entry;
  readonly scope: ServiceScope;
  /** The key that is found before it, always. */
  readonly hiddenBy: string | undefined;
}

/** Every key with addresses, those of single namespaces first: where both have an address, it is the namespace's. */
function lookups({ cidr, range }: Entries, report: Report): readonly Lookup[] {
  const cidrGlobal = cidr.get(GLOBAL)?.key;
  const own = (entry: Entry, hiddenBy: string | undefined): Lookup => ({
    entry,
    scope: { ...EVERY_SERVICE, namespaces: [entry.namespace] },
    hiddenBy,
  });
  const cidrs = Array.from(cidr.values()).filter(({ namespace }) => namespace !== GLOBAL);
  const ranges = Array.from(range.values()).filter(({ namespace }) => namespace !== GLOBAL);
  const ofNamespaces = [
    ...cidrs.map((entry) => own(entry, undefined)),
    ...ranges.map((entry) => own(entry, cidr.get(entry.namespace)?.key ?? cidrGlobal)),
  ];
  const beyond = ofNamespaces[NAMESPACES_MAX];
  if (beyond !== undefined) {
    const message = `${beyond.entry.key} and what follows is left out: ${NAMESPACES_MAX} pools of namespaces are read`;
    tell(report, 'POOL_INVALID', message, { field: beyond.entry.key });
  }
  const everybody = (entry: Entry | undefined, except: readonly Entry[], hiddenBy: string | undefined): Lookup[] => {
    if (entry === undefined) return [];
    const exceptNamespaces = Array.from(new Set(except.map(({ namespace }) => namespace)));
    return [{ entry, scope: { ...EVERY_SERVICE, exceptNamespaces }, hiddenBy }];
  };
  return [
    ...ofNamespaces.slice(0, NAMESPACES_MAX),
    ...everybody(cidr.get(GLOBAL), cidrs, undefined),
    ...everybody(range.get(GLOBAL), [...cidrs, ...ranges], cidrGlobal),
  ];
}

interface Value {
  readonly ranges: readonly AddressRange[];
  readonly isDhcp: boolean;
  /** When something in it is wrong, which was told; `ranges` is the rest. */
  readonly closure: PoolClosure | undefined;
}

function readValue({ key, value }: Entry, settings: Settings, report: Report): Value {
  if (value.trim() === DHCP) return { ranges: [], isDhcp: true, closure: undefined };
  const texts = value.split(',');
  const isCidrs = value.includes('/');
  const ranges: AddressRange[] = [];
  const faults: string[] = [];
  for (const text of texts.slice(0, POOL_RANGES_MAX)) {
    const parsed = parseRange(text);
    if (!parsed.ok) faults.push(rangeFault(text, parsed));
    else if (text.includes('/') !== isCidrs) {
      faults.push(`${shown(text)} stands beside a CIDR: kube-vip takes no mixture`);
    } else ranges.push(parsed.value);
  }
  if (texts.length > POOL_RANGES_MAX) {
    faults.push(`there are ${texts.length} ranges, and ${POOL_RANGES_MAX} at most are read`);
  }
  const [fault] = faults;
  let closure: PoolClosure | undefined;
  if (fault !== undefined) {
    const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
    const saying = `${key}: ${value.trim() === '' ? 'the value is empty' : fault}${more}`;
    tellInvalid(report, 'closed', saying, { field: key });
    closure = closureOf(report, { field: key, saying });
  }
  const sorted = sortRanges(ranges);
  const given = isCidrs && settings.skipsEnds ? skipEnds(sorted) : sorted;
  return { ranges: given, isDhcp: false, closure };
}

/** Of each IPv4 prefix that the addresses consist of, as cloud-provider does it: after joining what was written. */
function skipEnds(ranges: readonly AddressRange[]): readonly AddressRange[] {
  return sortRanges(
    ranges.flatMap((range) =>
      range.first.family === 'ipv4' ? rangePrefixes(range).map((prefix) => withoutEnds(prefixRange(prefix))) : [range],
    ),
  );
}

interface Terms {
  readonly of: (namespace: string) => PoolTerms;
  /** Of every namespace that has terms of its own: also of those with addresses of their own, which may be the same ones. */
  readonly others: () => Readonly<Record<string, PoolTerms>>;
}

/** interface-… and allow-share-… of a namespace, each with -global behind it. */
function readTerms(entries: Entries, report: Report): Terms {
  const interfaces = new Map(Array.from(entries.interface, ([space, entry]) => [space, interfaceOf(entry, report)]));
  const shares = new Map(Array.from(entries['allow-share'], ([space, entry]) => [space, sharesOf(entry, report)]));
  const of = (namespace: string): PoolTerms => ({
    sharing: (shares.get(namespace) ?? shares.get(GLOBAL)) === true ? 'by-ports' : 'by-key',
    interfaceName: interfaces.get(interfaces.has(namespace) ? namespace : GLOBAL),
  });
  const others: Terms['others'] = () => {
    const left = new Set([...interfaces.keys(), ...shares.keys()]);
    left.delete(GLOBAL);
    return Object.fromEntries(Array.from(left, (namespace) => [namespace, of(namespace)]));
  };
  return { of, others };
}

function interfaceOf({ key, value }: Entry, report: Report): string | undefined {
  if (value === '') return undefined;
  if (INTERFACE.test(value)) return value;
  tell(report, 'OBJECT_INVALID', `${key} is ${shown(value)}, which no interface can be called`, { field: key });
  return undefined;
}

/** Go's strconv.ParseBool. */
function sharesOf({ key, value }: Entry, report: Report): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (!/^(0|f|F|FALSE|false|False)$/.test(value)) {
    tell(report, 'OBJECT_INVALID', `${key} is ${shown(value)}, not true or false`, { field: key });
  }
  return false;
}
