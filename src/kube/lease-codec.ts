/**
 * The `coordination.k8s.io/v1` Lease as JSON, both ways (API reference: LeaseSpec; client-go's resourcelock.LeaseLock is
 * what other candidates write). Pure. Decoding believes nothing: a field of the wrong type counts as absent and is named.
 * Encoding starts from the object as it was read, so that what we know nothing of (other annotations, labels, strategy,
 * preferredHolder, managedFields) survives our writes.
 */

import type { WallMs } from '../base/time.ts';
import type { LeaseRecord } from '../leader/lease-record.ts';
import { asInteger, asObject, asText, asTextMap, metadataText, type JsonObject } from '../base/json.ts';

export interface DecodedLease {
  readonly lease: LeaseRecord;
  /** What could not be used, in words; empty for a Lease that client-go or we wrote. */
  readonly problems: readonly string[];
}

/** LeaseSpec.leaseDurationSeconds is an int32 greater than 0. */
const DURATION_SECONDS_MAX = 2 ** 31 - 1;

export function decodeLease(raw: JsonObject): DecodedLease {
  const problems: string[] = [];
  const spec = asObject(raw['spec']) ?? {};
  const text = (field: string): string => {
    const value = spec[field];
    if (value === undefined || value === null || typeof value === 'string') return value ?? '';
    problems.push(`spec.${field} is no text`);
    return '';
  };
  const count = (field: string): number => {
    const value = spec[field];
    if (value === undefined || value === null) return 0;
    const integer = asInteger(value);
    if (integer !== undefined && integer >= 0) return integer;
    problems.push(`spec.${field} is no count`);
    return 0;
  };
  const time = (field: string): string => {
    const value = text(field);
    if (value === '' || isMicroTime(value)) return value;
    problems.push(`spec.${field} is no time`);
    return '';
  };
  const holder = text('holderIdentity');
  const seconds = count('leaseDurationSeconds');
  if (holder !== '' && seconds === 0) problems.push('spec.leaseDurationSeconds is missing although there is a holder');
  const lease: LeaseRecord = {
    holder,
    durationMs: Math.min(seconds, DURATION_SECONDS_MAX) * 1000,
    transitions: count('leaseTransitions'),
    acquireTime: time('acquireTime'),
    renewTime: time('renewTime'),
    annotations: asTextMap(asObject(raw['metadata'])?.['annotations']),
    labels: asTextMap(asObject(raw['metadata'])?.['labels']),
    resourceVersion: metadataText(raw, 'resourceVersion') ?? '',
  };
  return { lease, problems };
}

/**
 * The object to send: `record` laid over `base` (what was read; undefined for a create). Annotations and labels are added
 * and replaced, never removed. An empty holder is sent as such, as client-go's release does.
 */
export function encodeLease(
  record: LeaseRecord,
  identity: { readonly namespace: string; readonly name: string },
  base?: JsonObject,
): JsonObject {
  const metadata = asObject(base?.['metadata']) ?? {};
  const spec = asObject(base?.['spec']) ?? {};
  return {
    ...base,
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      ...metadata,
      ...identity,
      ...mergedMap('annotations', withoutOurs(metadata['annotations']), record.annotations),
      ...mergedMap('labels', metadata['labels'], record.labels),
      ...(record.resourceVersion === '' ? {} : { resourceVersion: record.resourceVersion }),
    },
    spec: {
      ...spec,
      holderIdentity: record.holder,
      leaseDurationSeconds: Math.min(Math.max(1, Math.ceil(record.durationMs / 1000)), DURATION_SECONDS_MAX),
      leaseTransitions: record.transitions,
      ...(record.acquireTime === '' ? {} : { acquireTime: record.acquireTime }),
      ...(record.renewTime === '' ? {} : { renewTime: record.renewTime }),
    },
  };
}

/** Whether `stored` is what `sent` asked for: the same holder, times and count. Microseconds make a renewal unmistakable. */
export function isSameWrite(stored: LeaseRecord, sent: LeaseRecord): boolean {
  return (
    sent.renewTime !== '' &&
    stored.holder === sent.holder &&
    stored.renewTime === sent.renewTime &&
    stored.acquireTime === sent.acquireTime &&
    stored.transitions === sent.transitions
  );
}

/** metav1.MicroTime: RFC 3339 in UTC with six digits of fraction. `at` may have a fraction of a millisecond. */
export function formatMicroTime(at: WallMs): string {
  const whole = Math.floor(at);
  const micros = Math.min(999, Math.floor((at - whole) * 1000));
  return new Date(whole).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
}

function isMicroTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text);
}

/** Ours are written whole with each record: one that is left out is taken back, where others' are kept. */
const OUR_PREFIX = 'holdfast.io/';

function withoutOurs(annotations: unknown): JsonObject {
  const kept = Object.entries(asObject(annotations) ?? {}).filter(([name]) => !name.startsWith(OUR_PREFIX));
  return Object.fromEntries(kept);
}

function mergedMap(
  field: string,
  before: unknown,
  added: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const merged = { ...asTextMap(before), ...added };
  return Object.keys(merged).length === 0 ? {} : { [field]: merged };
}

/** The name a watch event or list item carries. */
export function nameOf(raw: JsonObject): string {
  return asText(asObject(raw['metadata'])?.['name']) ?? '';
}
