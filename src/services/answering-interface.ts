/**
 * On which interface a node would answer for an address. Asked for (by a Service, its pool or the configuration), it is the
 * one of that name, whatever its subnets; else the one whose subnet holds the address, the longest prefix first as the
 * kernel routes, and of those with the same prefix one with carrier. Advertisements restrict both; names they list (not
 * patterns) count as asked for where no subnet holds the address.
 *
 * A VLAN child or a bond is a name like others. A prefix of full length is a host, not a subnet.
 */

import { familyBits, formatPrefix, prefixContains, type Family, type Ip, type Prefix } from '../base/ip.ts';
import { allowsInterface, type InterfaceRule } from './advertisement.ts';
import type { NodeInterface, ServiceAddress } from './model.ts';
import { poolTerms } from './pools/pool.ts';
import { compareNames } from './rendezvous.ts';

/** The configuration's and the annotations' word for "whose subnet holds the address". */
const AUTO = 'auto';

/** An interface that was asked for, and by whom in words. */
export interface InterfaceWish {
  readonly name: string;
  readonly from: string;
}

export type InterfaceChoice =
  | { readonly kind: 'found'; readonly name: string; readonly how: string }
  /** The node's interfaces aren't known; the name is what was asked for. */
  | { readonly kind: 'unknown'; readonly name: string | undefined }
  | { readonly kind: 'missing'; readonly message: string }
  | { readonly kind: 'no-carrier'; readonly message: string };

/** A prefix of an interface, and the choice it leads to. */
export interface Subnet {
  readonly prefix: Prefix;
  readonly choice: InterfaceChoice;
}

/** What one node offers under the same rules, prepared for many addresses. */
export interface NodeNetwork {
  readonly interfaces: readonly NodeInterface[] | undefined;
  readonly rules: readonly InterfaceRule[];
  /** Those that are allowed, best first. */
  readonly subnets: Readonly<Record<Family, readonly Subnet[]>>;
  /** For addresses that no subnet holds. */
  readonly outside: Readonly<Record<Family, InterfaceChoice>>;
}

export function nodeNetwork(
  interfaces: readonly NodeInterface[] | undefined,
  rules: readonly InterfaceRule[],
): NodeNetwork {
  const allowed = (interfaces ?? []).filter(({ name }) => rules.every((rule) => allowsInterface(rule, name)));
  return {
    interfaces,
    rules,
    subnets: { ipv4: subnetsOf(allowed, 'ipv4'), ipv6: subnetsOf(allowed, 'ipv6') },
    outside: {
      ipv4: outsideChoice({ interfaces, rules, allowed, family: 'ipv4' }),
      ipv6: outsideChoice({ interfaces, rules, allowed, family: 'ipv6' }),
    },
  };
}

/** The same object for the same answer, unless an interface was asked for. */
export function chooseInterface(network: NodeNetwork, address: Ip, wish: InterfaceWish | undefined): InterfaceChoice {
  if (wish !== undefined) return wishedChoice(network, wish);
  for (const { prefix, choice } of network.subnets[address.family]) {
    if (prefixContains(prefix, address)) return choice;
  }
  return network.outside[address.family];
}

/**
 * What the first Service that says anything says, then the pool; 'auto' when it says that. Services that share an address
 * share the interface: the oldest one's word counts, and the words say whose doesn't.
 */
export function interfaceWish({ pool, allocations }: ServiceAddress): InterfaceWish | 'auto' | undefined {
  const said = allocations.flatMap(({ service, request }) => {
    const name = request.vlan ?? request.interfaceName ?? '';
    return name === '' ? [] : [{ name, key: service.key }];
  });
  const [first] = said;
  if (first !== undefined) {
    if (first.name === AUTO) return AUTO;
    const other = said.find(({ name }) => name !== first.name);
    const but =
      other === undefined ? '' : ` (before ${other.name}, which Service ${other.key} on the same address asks for)`;
    return { name: first.name, from: `Service ${first.key} asks for${but}` };
  }
  const [oldest] = allocations;
  if (pool === undefined || oldest === undefined) return undefined;
  const name = poolTerms(pool, oldest.service.namespace).interfaceName ?? '';
  return name === '' || name === AUTO ? undefined : { name, from: `pool ${pool.name} is for` };
}

/** The configuration's interface as a wish. */
export function configuredWish(name: string | undefined): InterfaceWish | undefined {
  return name === undefined || name === '' || name === AUTO ? undefined : { name, from: 'vip_servicesinterface names' };
}

function subnetsOf(interfaces: readonly NodeInterface[], family: Family): readonly Subnet[] {
  return interfaces
    .flatMap((each) => each.prefixes.map((prefix) => ({ prefix, each })))
    .filter(({ prefix }) => prefix.ip.family === family && prefix.length < familyBits(family))
    .sort(
      (a, b) =>
        b.prefix.length - a.prefix.length ||
        Number(b.each.hasCarrier) - Number(a.each.hasCarrier) ||
        compareNames(a.each.name, b.each.name),
    )
    .map(({ prefix, each }) => ({
      prefix,
      choice: withCarrier(each, `whose ${formatPrefix(prefix)} holds the address`),
    }));
}

function withCarrier({ name, hasCarrier }: NodeInterface, how: string): InterfaceChoice {
  return hasCarrier
    ? { kind: 'found', name, how }
    : { kind: 'no-carrier', message: `has no carrier on ${name}, ${how}` };
}

function wishedChoice({ interfaces, rules }: NodeNetwork, { name, from }: InterfaceWish): InterfaceChoice {
  const barring = rules.find((rule) => !allowsInterface(rule, name));
  if (barring !== undefined) {
    return { kind: 'missing', message: `may not answer on ${name}, which ${from}: ${ruleText(barring)}` };
  }
  if (interfaces === undefined) return { kind: 'unknown', name };
  const found = interfaces.find((each) => each.name === name);
  if (found !== undefined) return withCarrier(found, `which ${from}`);
  return { kind: 'missing', message: `has no interface ${name}, which ${from} (it has ${interfaceNames(interfaces)})` };
}

interface Offer {
  readonly interfaces: readonly NodeInterface[] | undefined;
  readonly rules: readonly InterfaceRule[];
  readonly allowed: readonly NodeInterface[];
  readonly family: Family;
}

function outsideChoice({ interfaces, rules, allowed, family }: Offer): InterfaceChoice {
  if (interfaces === undefined) return { kind: 'unknown', name: undefined };
  for (const rule of rules) {
    const listed = rule.names
      .map((name) => allowed.find((each) => each.name === name))
      .filter((each) => each !== undefined);
    const best = listed.find(({ hasCarrier }) => hasCarrier) ?? listed[0];
    if (best !== undefined) return withCarrier(best, `which ${rule.from} names`);
  }
  const [barring] = rules;
  if (allowed.length === 0 && barring !== undefined && interfaces.length > 0) {
    return { kind: 'missing', message: `has ${interfaceNames(interfaces)} only: ${ruleText(barring)}` };
  }
  const subnets = subnetTexts(allowed, family);
  const which = rules.length > 0 ? 'no allowed interface' : 'no interface';
  return { kind: 'missing', message: `has ${which} whose subnet holds the address (${subnets})` };
}

/** More are counted, not named. */
const SHOWN_MAX = 6;

function ruleText({ names, patterns, from }: InterfaceRule): string {
  return `${from} allows ${listed([...names, ...patterns.map((pattern) => `/${pattern}/`)])}`;
}

function interfaceNames(interfaces: readonly NodeInterface[]): string {
  return interfaces.length === 0 ? 'none' : listed(interfaces.map(({ name }) => name).sort(compareNames));
}

function subnetTexts(interfaces: readonly NodeInterface[], family: Family): string {
  const texts = interfaces.flatMap(({ name, prefixes }) =>
    prefixes
      .filter(({ ip, length }) => ip.family === family && length < familyBits(family))
      .map((prefix) => `${name} ${formatPrefix(prefix)}`),
  );
  const version = family === 'ipv4' ? 'IPv4' : 'IPv6';
  return texts.length === 0 ? `it has no ${version} subnet` : listed(texts.sort(compareNames));
}

function listed(texts: readonly string[]): string {
  const more = texts.length - SHOWN_MAX;
  return more > 0 ? `${texts.slice(0, SHOWN_MAX).join(', ')} and ${more} more` : texts.join(', ');
}
