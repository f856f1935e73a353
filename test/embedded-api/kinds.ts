/**
 * The kinds this server knows: their place in the API, and of the real server's validation what a client of leases and
 * events can get wrong. Everything else in an object is stored as it comes.
 */

import { badRequest, invalid, isJson, type Json } from './object.ts';

export interface Kind {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly isNamespaced: boolean;
  /** Has /status: writes to the object leave the status alone and the other way round. */
  readonly hasStatus?: boolean;
  /** PUT of a name that doesn't exist creates it. */
  readonly createsOnUpdate?: boolean;
  /** PUT without a resourceVersion overwrites whatever is there. */
  readonly updatesUnconditionally?: boolean;
  /** The status subresource takes changes of labels and annotations too (Services: only spec is protected). */
  readonly statusTakesMetadata?: boolean;
  /** Not there before its group is installed (EmbeddedApi.install). */
  readonly isCustom?: boolean;
  readonly validate?: (object: Json) => void;
}

const CORE = { group: '', version: 'v1', updatesUnconditionally: true } as const;

export const KINDS: readonly Kind[] = [
  {
    group: 'coordination.k8s.io',
    version: 'v1',
    resource: 'leases',
    kind: 'Lease',
    isNamespaced: true,
    createsOnUpdate: true,
    validate: validateLease,
  },
  { ...CORE, resource: 'namespaces', kind: 'Namespace', isNamespaced: false, hasStatus: true },
  { ...CORE, resource: 'nodes', kind: 'Node', isNamespaced: false, hasStatus: true },
  { ...CORE, resource: 'services', kind: 'Service', isNamespaced: true, hasStatus: true, statusTakesMetadata: true },
  { ...CORE, resource: 'events', kind: 'Event', isNamespaced: true, createsOnUpdate: true, validate: validateEvent },
  { ...CORE, resource: 'configmaps', kind: 'ConfigMap', isNamespaced: true },
  { ...CORE, resource: 'secrets', kind: 'Secret', isNamespaced: true },
  { ...CORE, resource: 'pods', kind: 'Pod', isNamespaced: true, hasStatus: true },
  {
    group: 'discovery.k8s.io',
    version: 'v1',
    resource: 'endpointslices',
    kind: 'EndpointSlice',
    isNamespaced: true,
    updatesUnconditionally: true,
  },
  custom('metallb.io/v1beta1', 'IPAddressPool', { isNamespaced: true, hasStatus: true }),
  custom('metallb.io/v1beta1', 'L2Advertisement', { isNamespaced: true, hasStatus: true }),
  custom('metallb.io/v1beta1', 'BGPAdvertisement', { isNamespaced: true, hasStatus: true }),
  custom('cilium.io/v2', 'CiliumLoadBalancerIPPool', { isNamespaced: false, hasStatus: true }),
  custom('cilium.io/v2alpha1', 'CiliumL2AnnouncementPolicy', { isNamespaced: false, hasStatus: true }),
];

function custom(apiVersion: string, kind: string, rest: Pick<Kind, 'isNamespaced' | 'hasStatus'>): Kind {
  const [group = '', version = ''] = apiVersion.split('/');
  const singular = kind.toLowerCase();
  const resource = singular.endsWith('y') ? `${singular.slice(0, -1)}ies` : `${singular}s`;
  return { group, version, resource, kind, isCustom: true, ...rest };
}

/** `leases.coordination.k8s.io`, `services`: how messages name a resource. */
export function qualified(kind: Kind): string {
  return kind.group === '' ? kind.resource : `${kind.resource}.${kind.group}`;
}

export function apiVersionOf(kind: Kind): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

/** metav1.MicroTime is parsed with exactly six digits of fraction. */
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;

function validateLease(object: Json): void {
  const spec = isJson(object['spec']) ? object['spec'] : {};
  for (const field of ['acquireTime', 'renewTime']) {
    const value = spec[field];
    if (value !== undefined && value !== null && !(typeof value === 'string' && MICRO_TIME.test(value))) {
      throw badRequest(
        `Lease in version "v1" cannot be handled as a Lease: parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05.000000Z07:00": cannot parse`,
      );
    }
  }
  expectNumber(spec, 'leaseDurationSeconds', 1, 'must be greater than 0');
  expectNumber(spec, 'leaseTransitions', 0, 'must be greater than or equal to 0');
}

function expectNumber(spec: Json, field: string, least: number, rule: string): void {
  const value = spec[field];
  if (value === undefined || value === null) return;
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw badRequest(`Lease in version "v1" cannot be handled as a Lease: spec.${field} is not an integer`);
  }
  if (value < least) throw invalid(`spec.${field}: Invalid value: ${value}: ${rule}`);
}

function validateEvent(object: Json): void {
  const about = isJson(object['involvedObject']) ? object['involvedObject'] : {};
  const metadata = isJson(object['metadata']) ? object['metadata'] : {};
  const here = metadata['namespace'];
  const there = about['namespace'] ?? '';
  if (there === '' ? here !== 'default' && here !== 'kube-system' : there !== here) {
    throw invalid(`involvedObject.namespace: Invalid value: ${JSON.stringify(there)}: does not match event.namespace`);
  }
}
