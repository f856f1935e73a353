/**
 * What all kinds have in common: an object with a name, and its metadata. decodeObject is the frame of every decoder
 * here; what it can't name can't be used.
 */

import { isObject } from '../../base/json.ts';
import type { Decoding, Labels } from '../model.ts';
import { DEFAULT_NAMESPACE, isClusterKind, isObjectName, objectRef } from './object-ref.ts';
import {
  closeReport,
  entryName,
  LABELS_LENGTH_MAX,
  note,
  openReport,
  partOf,
  refuse,
  textEntry,
  textOf,
  type Part,
} from './part.ts';
import { shown } from './shown.ts';

/** Characters an annotation of a load balancer may have; a longer one is left out and named. */
export const ANNOTATION_LENGTH_MAX = 4_096;
/** Characters above which annotations of others are left out without a word: they ask nothing of us. */
export const FOREIGN_ANNOTATION_LENGTH_MAX = 1_024;

/** Whose annotations are about load balancers: theirs are named when they can't be read. */
const OUR_DOMAIN = /(^|\.)(holdfast\.io|kube-vip\.io|metallb\.io|metallb\.universe\.tf|cilium\.io|io\.cilium)\//;

/** `kubectl apply` leaves a copy of the whole object here: never kept. */
const COPY_OF_OBJECT = 'kubectl.kubernetes.io/last-applied-configuration';

/** An object that has a name. */
export interface OpenObject {
  readonly root: Part;
  readonly metadata: Part;
  /** namespace/name, or name. */
  readonly key: string;
  /** '' for kinds without. */
  readonly namespace: string;
  readonly name: string;
}

/** Decodes a raw object of the kind by `read`, which notes in the parts' report what it can't use. */
export function decodeObject<T>(kind: string, raw: unknown, read: (object: OpenObject) => T | undefined): Decoding<T> {
  const report = openReport(objectRef(kind, raw));
  if (!isObject(raw)) {
    refuse({ report, path: '', fields: {} }, 'the whole', `is ${shown(raw)}, not an object`);
    return { value: undefined, problems: closeReport(report) };
  }
  const root: Part = { report, path: '', fields: raw };
  const object = openObject(kind, root);
  return { value: object === undefined ? undefined : read(object), problems: closeReport(report) };
}

function openObject(kind: string, root: Part): OpenObject | undefined {
  const metadata = partOf(root, 'metadata');
  const name = metadata.fields['name'];
  if (!isObjectName(name)) {
    return refuse(metadata, 'name', `is ${shown(name)}, not a name`);
  }
  if (isClusterKind(kind)) return { root, metadata, key: name, namespace: '', name };
  const namespace = metadata.fields['namespace'] ?? DEFAULT_NAMESPACE;
  if (!isObjectName(namespace)) {
    return refuse(metadata, 'namespace', `is ${shown(namespace)}, not a name`);
  }
  return { root, metadata, key: objectKey(namespace, name), namespace, name };
}

/** Joined: V8 keeps the pieces of what is put together in a template, and these are kept by the thousand. */
function objectKey(namespace: string, name: string): string {
  return [namespace, name].join('/');
}

const RFC_3339 =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60))(?:\.\d{1,9})?(?:Z|[+-]00:00)$/;

/** metadata.creationTimestamp to the second, in UTC, so that it sorts as text; '' when there is none that does. */
export function createdAtOf(metadata: Part): string {
  const text = textOf(metadata, 'creationTimestamp');
  if (text === '') return '';
  const seconds = RFC_3339.exec(text)?.[1];
  if (seconds !== undefined) return [seconds, 'Z'].join('');
  note(metadata, 'creationTimestamp', `is ${shown(text)}, not a time like 2026-01-31T12:00:00Z`);
  return '';
}

export function isBeingDeletedOf(metadata: Part): boolean {
  return textOf(metadata, 'deletionTimestamp') !== '';
}

const NO_ANNOTATIONS: Labels = Object.freeze({});

/**
 * metadata.annotations, as a copy: those about load balancers first, up to LABELS_LENGTH_MAX characters; and what else is
 * short and still fits.
 */
export function annotationsOf(metadata: Part): Labels {
  const { fields } = partOf(metadata, 'annotations');
  const entries = Object.keys(fields);
  if (entries.length === 0) return NO_ANNOTATIONS;
  const annotations: Record<string, string> = {};
  let room = LABELS_LENGTH_MAX;
  const ours = entries.filter((entry) => OUR_DOMAIN.test(entry));
  for (const entry of ours) {
    const value = textEntry(metadata, 'annotations', entry);
    if (value === undefined) continue;
    if (value.length > ANNOTATION_LENGTH_MAX || entry.length + value.length > room) {
      note(metadata, entryName('annotations', entry), `has ${value.length} characters: it is too long and left out`);
      continue;
    }
    annotations[entry] = value;
    room -= entry.length + value.length;
  }
  for (const entry of entries) {
    const value = fields[entry];
    if (typeof value !== 'string' || value.length > FOREIGN_ANNOTATION_LENGTH_MAX || OUR_DOMAIN.test(entry)) continue;
    if (entry.length + value.length > room || entry === '__proto__' || entry === COPY_OF_OBJECT) continue;
    annotations[entry] = value;
    room -= entry.length + value.length;
  }
  return annotations;
}
