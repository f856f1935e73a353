/**
 * An EndpointSlice (discovery.k8s.io/v1), decoded: which nodes have something that can serve. A Service has several of
 * them; they are counted together elsewhere. Addresses, ports and zones of endpoints are the business of kube-proxy.
 */

import type { Family } from '../../base/ip.ts';
import type { Decoding, EndpointSliceObject } from '../model.ts';
import { decodeObject, type OpenObject } from './metadata.ts';
import { isObjectName } from './object-ref.ts';
import { choiceOf, flagOf, isPresent, note, partOf, partsOf, refuse, type Part } from './part.ts';
import { shown } from './shown.ts';

/** Endpoints of a slice, which is what the API server allows; others are left out and named. */
export const ENDPOINTS_MAX = 1_000;

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

const ADDRESS_TYPES: Readonly<Record<'IPv4' | 'IPv6' | 'FQDN', Family | undefined>> = {
  IPv4: 'ipv4',
  IPv6: 'ipv6',
  FQDN: undefined,
};
const NO_LIST: readonly never[] = Object.freeze([]);

type Endpoint = EndpointSliceObject['endpoints'][number];

/** A slice that is of no Service has no value, and no problem either: other programs keep their own. */
export function decodeEndpointSlice(raw: unknown): Decoding<EndpointSliceObject> {
  return decodeObject('EndpointSlice', raw, readSlice);
}

function readSlice({ root, metadata, key, namespace }: OpenObject): EndpointSliceObject | undefined {
  const service = partOf(metadata, 'labels').fields[SERVICE_NAME_LABEL];
  if (!isPresent(service) || service === '') return undefined;
  if (!isObjectName(service)) {
    return refuse(metadata, `labels["${SERVICE_NAME_LABEL}"]`, `is ${shown(service)}, not the name of a Service`);
  }
  const addressType = choiceOf(root, 'addressType', ADDRESS_TYPES);
  return {
    key,
    service: [namespace, service].join('/'),
    family: addressType === undefined ? undefined : ADDRESS_TYPES[addressType],
    endpoints: readEndpoints(root),
  };
}

function readEndpoints(root: Part): readonly Endpoint[] {
  const parts = partsOf(root, 'endpoints', ENDPOINTS_MAX);
  return parts.length === 0 ? NO_LIST : parts.map(readEndpoint);
}

function readEndpoint(part: Part): Endpoint {
  const conditions = partOf(part, 'conditions');
  const ready = flagOf(conditions, 'ready') ?? !isPresent(conditions.fields['ready']);
  const serving = flagOf(conditions, 'serving') === true;
  return { node: readNodeName(part), canServe: ready || serving };
}

function readNodeName(part: Part): string | undefined {
  const node = part.fields['nodeName'];
  if (!isPresent(node) || node === '') return undefined;
  if (isObjectName(node)) return node;
  note(part, 'nodeName', `is ${shown(node)}, not the name of a node`);
  return undefined;
}
