/**
 * Who may be on one address together. By key (MetalLB, Cilium LB IPAM): both name the same key, are of one namespace or
 * consent to each other's, have no port in common, and send traffic alike (externalTrafficPolicy; Local: to the same
 * Pods, unless both permit otherwise). By ports (kube-vip's allow-share): Services without a key, with other port
 * numbers whatever the protocol, IPv4 only, and alike in where traffic goes, which kube-vip doesn't look at: an address
 * has one owner here, and no node may have the endpoints of both.
 *
 * All of it is symmetrical, so that nothing depends on who came first. What is on an address already may stay on softer
 * terms (`stayRefusal`): two that name no key work beside each other as long as their ports differ, and nobody's address
 * is taken away for an annotation that kube-vip never asked for.
 */

import { TextPool } from '../../base/lists.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { Family } from '../../base/ip.ts';
import type { ServiceRequest } from '../model.ts';
import { shown } from '../objects/shown.ts';

export interface SharingRefusal {
  readonly code: ErrorCode;
  /** The rule that forbids it, after "used by x/y, ". */
  readonly rule: string;
}

/** What of a request decides with whom it shares. */
export interface Sharing {
  readonly request: ServiceRequest;
  /** TCP/80, and by number alone 80: what nobody else on the address may have. */
  readonly endpoints: readonly string[];
  readonly numbers: readonly string[];
  /** Canonical text of the selector, '' when there is none. */
  readonly selector: string;
  /** Two with the same text here are the same to everybody else, ports aside. */
  readonly terms: string;
}

const memo: WeakMap<ServiceRequest, Sharing> = new WeakMap();
/** Most Services have the same few ports, and share on the same terms. */
const TEXTS = new TextPool();

export function sharingOf(request: ServiceRequest): Sharing {
  const known = memo.get(request);
  if (known !== undefined) return known;
  const { ports, selector: labels } = request.service;
  const selector = selectorText(labels);
  const sharing: Sharing = {
    request,
    endpoints: [...new Set(ports.map(({ protocol, port }) => TEXTS.same(`${protocol}/${port}`)))],
    numbers: [...new Set(ports.map(({ port }) => TEXTS.same(String(port))))],
    selector,
    terms: TEXTS.same(termsText(request, selector)),
  };
  memo.set(request, sharing);
  return sharing;
}

/** Whether the two may share an address by key, ports aside. */
export function keyRefusal(a: Sharing, b: Sharing): SharingRefusal | undefined {
  const [one, other] = [a.request, b.request];
  if (one.sharingKey === '' || other.sharingKey === '') return { code: 'ADDRESS_TAKEN', rule: keyRule(one, other) };
  if (one.sharingKey !== other.sharingKey) return { code: 'ADDRESS_NOT_SHAREABLE', rule: keyRule(one, other) };
  const rule = consentRule(one, other) ?? consentRule(other, one) ?? trafficRule(a, b);
  return rule === undefined ? undefined : { code: 'ADDRESS_NOT_SHAREABLE', rule };
}

/** Whether the two may share an address of a pool that shares by ports, ports aside. */
export function byPortsRefusal(a: Sharing, b: Sharing, family: Family): SharingRefusal | undefined {
  const taken = (rule: string): SharingRefusal => ({ code: 'ADDRESS_TAKEN', rule });
  if (family === 'ipv6') return taken('allow-share is for IPv4');
  if (a.numbers.length === 0 || b.numbers.length === 0) return taken('one of them has no ports');
  const rule = trafficRule(a, b);
  return rule === undefined ? undefined : { code: 'ADDRESS_NOT_SHAREABLE', rule };
}

/** Whether two that are on one address already may stay there, ports aside. */
export function stayRefusal(a: Sharing, b: Sharing): SharingRefusal | undefined {
  return isKeyless(a) && isKeyless(b) ? undefined : keyRefusal(a, b);
}

export function isKeyless({ request }: Sharing): boolean {
  return request.sharingKey === '';
}

/** More ports than were read: whether they are others can't be told. */
export function hasUnknownPorts({ request }: Sharing): boolean {
  return request.service.hasMorePorts === true;
}

function keyRule(one: ServiceRequest, other: ServiceRequest): string {
  if (one.sharingKey === other.sharingKey) return 'neither has a sharing key';
  return `key ${shown(one.sharingKey)} ≠ ${shown(other.sharingKey)}`;
}

/** Both sides must name the other's namespace (Cilium's sharing-cross-namespace). */
function consentRule(from: ServiceRequest, to: ServiceRequest): string | undefined {
  const { namespace } = to.service;
  if (from.service.namespace === namespace || from.sharingNamespaces.includes('*')) return undefined;
  if (from.sharingNamespaces.includes(namespace)) return undefined;
  return `${from.service.key} does not consent to share with namespace ${shown(namespace)}`;
}

function trafficRule(a: Sharing, b: Sharing): string | undefined {
  const [one, other] = [a.request, b.request];
  if (one.service.trafficPolicy !== other.service.trafficPolicy) {
    return `externalTrafficPolicy ${one.service.trafficPolicy} ≠ ${other.service.trafficPolicy}`;
  }
  if (one.service.trafficPolicy === 'Cluster') return undefined;
  if (a.selector === '' || b.selector === '') return 'externalTrafficPolicy is Local and one of them has no selector';
  if (a.selector === b.selector || (one.sharesDifferentPods && other.sharesDifferentPods)) return undefined;
  return 'externalTrafficPolicy is Local and their selectors differ';
}

function termsText(request: ServiceRequest, selector: string): string {
  const { sharingKey, sharingNamespaces, sharesDifferentPods, service } = request;
  const { namespace, trafficPolicy, ports, hasMorePorts } = service;
  return JSON.stringify([
    namespace,
    sharingKey,
    sharingNamespaces,
    trafficPolicy,
    trafficPolicy === 'Local' ? [selector, sharesDifferentPods] : [],
    ports.length === 0,
    hasMorePorts === true,
  ]);
}

function selectorText(selector: Readonly<Record<string, string>>): string {
  const entries = Object.entries(selector);
  if (entries.length === 0) return '';
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
