/** The Node object of a machine: what of it we read, and the one label kube-vip's users know (`enable_node_labeling`). */

import { type ApiFailure, type ApiResult } from './api-result.ts';
import type { ApiClient } from './client.ts';
import { asArray, asObject, asText, asTextMap, metadataText, type JsonObject } from '../base/json.ts';

export interface NodeTaint {
  readonly key: string;
  readonly value: string;
  readonly effect: string;
}

export interface NodeRecord {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly NodeTaint[];
  /** status.addresses of type InternalIP, as texts. */
  readonly internalIps: readonly string[];
  readonly isUnschedulable: boolean;
}

export type NodeResult = { readonly ok: true; readonly node: NodeRecord } | ApiFailure;

/** kube-vip's label on the node that holds the control-plane VIP. */
export const HAS_IP_LABEL = 'kube-vip.io/has-ip';

/** GET of one Node; a missing one is the failure 'not-found'. */
export async function getNode(client: ApiClient, name: string, deadlineMs: number): Promise<NodeResult> {
  const result = await client.request({ method: 'GET', path: nodePath(name), deadlineMs });
  return result.ok ? { ok: true, node: decodeNode(result.body) } : result;
}

/** Sets one label, or removes it (undefined), by JSON merge patch (RFC 7396). */
export function patchNodeLabel(
  client: ApiClient,
  name: string,
  label: { readonly key: string; readonly value: string | undefined },
  deadlineMs: number,
): Promise<ApiResult> {
  return client.request({
    method: 'PATCH',
    path: nodePath(name),
    contentType: 'application/merge-patch+json',
    body: { metadata: { labels: { [label.key]: label.value ?? null } } },
    deadlineMs,
  });
}

/** Pure; fields of the wrong type count as absent. */
export function decodeNode(raw: JsonObject): NodeRecord {
  const spec = asObject(raw['spec']) ?? {};
  const status = asObject(raw['status']) ?? {};
  return {
    name: metadataText(raw, 'name') ?? '',
    uid: metadataText(raw, 'uid') ?? '',
    labels: asTextMap(asObject(raw['metadata'])?.['labels']),
    taints: asArray(spec['taints']).flatMap((taint) => decodeTaint(asObject(taint) ?? {})),
    internalIps: asArray(status['addresses']).flatMap((entry) => {
      const address = asObject(entry);
      const text = asText(address?.['address']);
      return address?.['type'] === 'InternalIP' && text !== undefined ? [text] : [];
    }),
    isUnschedulable: spec['unschedulable'] === true,
  };
}

function decodeTaint(taint: JsonObject): readonly NodeTaint[] {
  const key = asText(taint['key']);
  if (key === undefined) return [];
  return [{ key, value: asText(taint['value']) ?? '', effect: asText(taint['effect']) ?? '' }];
}

function nodePath(name: string): string {
  return `/api/v1/nodes/${encodeURIComponent(name)}`;
}
