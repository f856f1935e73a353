/** What of a raw object is worth keeping, or decoding: large clusters have thousands of them. Pure. */

import { asArray, asObject, asText, asTextMap, metadataText, type JsonObject } from '../base/json.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** Names of nodes that are kept once, however many endpoints are on them. */
const NAMES_MAX = 10_000;

/**
 * A custom resource without managedFields, status, versions and what kubectl notes for itself: equal when nothing was
 * changed by a person. `kind` and `apiVersion` are filled in: items of a list may lack them.
 */
export function pruneCustom(raw: JsonObject, apiVersion: string, kind: string): JsonObject {
  const metadata = asObject(raw['metadata']) ?? {};
  const { name, namespace, uid, generation, creationTimestamp, deletionTimestamp, labels } = metadata;
  const { [LAST_APPLIED]: _, ...annotations } = asTextMap(metadata['annotations']);
  const kept = { name, namespace, uid, generation, creationTimestamp, deletionTimestamp, labels, annotations };
  return {
    apiVersion,
    kind,
    metadata: Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)),
    spec: raw['spec'],
  };
}

/**
 * An EndpointSlice with one endpoint for each node and condition, and nothing else of them: who answers for an address
 * needs to know where something serves, not how often. Names of nodes are shared between slices.
 */
export class SlicePruner {
  readonly #names = new Map<string, string>();

  prune(raw: JsonObject): JsonObject {
    const endpoints = new Map<string, JsonObject>();
    for (const entry of asArray(raw['endpoints'])) {
      const endpoint = asObject(entry);
      // What makes no sense is for the decoder to say; one of a kind is enough of it.
      if (endpoint === undefined) endpoints.set('', { nodeName: entry });
      else this.#add(endpoints, endpoint);
    }
    return { ...raw, endpoints: [...endpoints.values()] };
  }

  #add(endpoints: Map<string, JsonObject>, endpoint: JsonObject): void {
    const conditions = asObject(endpoint['conditions']);
    const { ready, serving } = conditions ?? {};
    const nodeName = this.#shared(endpoint['nodeName']);
    const key = JSON.stringify([nodeName, ready, serving]);
    if (endpoints.has(key)) return;
    endpoints.set(key, {
      nodeName,
      conditions: conditions === undefined ? endpoint['conditions'] : { ready, serving },
    });
  }

  #shared(name: unknown): unknown {
    if (typeof name !== 'string') return name;
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    if (this.#names.size < NAMES_MAX) this.#names.set(name, name);
    return name;
  }
}

/** namespace/name of the Service an EndpointSlice is of; undefined: of none. */
export function serviceOfSlice(raw: JsonObject): string | undefined {
  const labels = asObject(asObject(raw['metadata'])?.['labels']);
  const name = asText(labels?.['kubernetes.io/service-name']);
  return name === undefined ? undefined : `${metadataText(raw, 'namespace') ?? ''}/${name}`;
}

export function isLoadBalancer(raw: JsonObject): boolean {
  return asObject(raw['spec'])?.['type'] === 'LoadBalancer';
}

/** Has a condition of ours in its status: whatever it is now, that is to be cleared away. */
export function isMarked(raw: JsonObject): boolean {
  const conditions = asObject(raw['status'])?.['conditions'];
  if (!Array.isArray(conditions)) return false;
  return conditions.some((condition: unknown) => asText(asObject(condition)?.['type'])?.startsWith('holdfast.io/'));
}
