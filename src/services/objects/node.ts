/** A Node, decoded: what makes it fit to answer for addresses, and which addresses and networks are its own. */

import { familyBits, type Ip, type Prefix } from '../../base/ip.ts';
import type { Decoding, NodeObject } from '../model.ts';
import { annotationsOf, decodeObject, type OpenObject } from './metadata.ts';
import { flagOf, ipOf, isPresent, itemsOf, note, partOf, partsOf, textsOf, type Part } from './part.ts';
import { shown } from './shown.ts';

/** Entries of each list of a Node that are looked at (addresses, taints, conditions). */
export const NODE_ENTRIES_MAX = 200;
/** Pod CIDRs; Kubernetes allows two. */
export const POD_CIDRS_MAX = 2;

export const OUT_OF_SERVICE_TAINT = 'node.kubernetes.io/out-of-service';

const NO_LIST: readonly never[] = Object.freeze([]);

export function decodeNode(raw: unknown): Decoding<NodeObject> {
  return decodeObject('Node', raw, readNode);
}

function readNode({ root, metadata, name }: OpenObject): NodeObject {
  const spec = partOf(root, 'spec');
  const status = partOf(root, 'status');
  const conditions = partsOf(status, 'conditions', NODE_ENTRIES_MAX);
  return {
    name,
    labels: textsOf(metadata, 'labels'),
    annotations: annotationsOf(metadata),
    addresses: readAddresses(status),
    podCidrs: readPodCidrs(spec),
    isReady: isTrue(conditions, 'Ready') || !conditions.some(({ fields }) => fields['type'] === 'Ready'),
    isNetworkUnavailable: isTrue(conditions, 'NetworkUnavailable'),
    isCordoned: flagOf(spec, 'unschedulable') === true,
    isOutOfService: partsOf(spec, 'taints', NODE_ENTRIES_MAX).some(
      (part) => part.fields['key'] === OUT_OF_SERVICE_TAINT,
    ),
  };
}

function isTrue(conditions: readonly Part[], type: string): boolean {
  return conditions.some(({ fields }) => fields['type'] === type && fields['status'] === 'True');
}

function readAddresses(status: Part): readonly Ip[] {
  const parts = partsOf(status, 'addresses', NODE_ENTRIES_MAX);
  if (parts.length === 0) return NO_LIST;
  return parts.flatMap((part) => {
    const { type, address } = part.fields;
    if (type !== 'InternalIP' && type !== 'ExternalIP') return NO_LIST;
    return ipOf(part, 'address', address) ?? NO_LIST;
  });
}

function readPodCidrs(spec: Part): readonly Prefix[] {
  const several = itemsOf(spec, 'podCIDRs', POD_CIDRS_MAX);
  if (several.length === 0) return readPrefix(spec, 'podCIDR', spec.fields['podCIDR']);
  return several.flatMap((value, index) => readPrefix(spec, `podCIDRs[${index}]`, value));
}

function readPrefix(spec: Part, key: string, value: unknown): readonly Prefix[] {
  if (!isPresent(value) || value === '') return NO_LIST;
  const parts = typeof value === 'string' ? /^([^/]*)\/(\d{1,3})$/.exec(value) : null;
  if (parts === null) {
    note(spec, key, `is ${shown(value)}, not a CIDR`);
    return NO_LIST;
  }
  const ip = ipOf(spec, key, parts[1]);
  if (ip === undefined) return NO_LIST;
  const length = Number(parts[2]);
  if (length <= familyBits(ip.family)) return [{ ip, length }];
  note(spec, key, `is ${shown(value)}, longer than an address`);
  return NO_LIST;
}
