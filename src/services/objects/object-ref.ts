/** How Kubernetes objects are named, and how anything that claims to be one is named in a problem. */

import { asObject } from '../../base/json.ts';
import type { ObjectRef } from '../model.ts';
import { shown } from './shown.ts';

/** Kinds whose objects belong to no namespace. */
const CLUSTER_KINDS: ReadonlySet<string> = new Set([
  'Node',
  'Namespace',
  'CiliumLoadBalancerIPPool',
  'CiliumL2AnnouncementPolicy',
]);

/** Where an object of a namespaced kind belongs that names no namespace, as for kubectl. */
export const DEFAULT_NAMESPACE = 'default';

export function isClusterKind(kind: string): boolean {
  return CLUSTER_KINDS.has(kind);
}

/** Names a raw object whatever its shape: what of its name is missing is '?', what can't be a name is quoted. */
export function objectRef(kind: string, raw: unknown): ObjectRef {
  const metadata = asObject(asObject(raw)?.['metadata']);
  const name = namePart(metadata?.['name']);
  if (isClusterKind(kind)) return { kind, key: name };
  return { kind, key: `${namePart(metadata?.['namespace'] ?? DEFAULT_NAMESPACE)}/${name}` };
}

/** A name the API server would accept for most kinds: a DNS subdomain (RFC 1123) of up to 253 characters. */
export function isObjectName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value);
}

function namePart(value: unknown): string {
  if (value === undefined || value === null || value === '') return '?';
  return isObjectName(value) ? value : shown(value);
}
