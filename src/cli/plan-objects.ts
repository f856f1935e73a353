/**
 * Documents → one object of each name, by kind, in an order that doesn't depend on that of the documents.
 *
 * An object may be there twice: as the cluster has it (it has a uid or resourceVersion) and as somebody wrote it. Then the
 * plan is for the cluster after `kubectl apply`: what is written counts, status and whatever else the cluster added stay.
 * Of two from the cluster the newer one counts, of two written ones the later (by name of the file, then within it);
 * both are told as OBJECT_DUPLICATE unless they say the same.
 */

import { ERRORS, fillRemedy } from '../base/errors.ts';
import { asObject, asText, asTextMap, metadataText, parseJson, type JsonObject } from '../base/json.ts';
import type { ObjectProblem, ObjectRef } from '../services/model.ts';
import { objectRef } from '../services/objects/object-ref.ts';
import { shown } from '../services/objects/shown.ts';
import type { Misfit, PlanDocument } from './plan-documents.ts';

/** The kinds that matter, each with the versions that are read; the group is what they have in common. */
const KINDS = {
  Service: ['v1'],
  ConfigMap: ['v1'],
  Node: ['v1'],
  Namespace: ['v1'],
  EndpointSlice: ['discovery.k8s.io/v1'],
  Lease: ['coordination.k8s.io/v1'],
  IPAddressPool: ['metallb.io/v1beta1'],
  L2Advertisement: ['metallb.io/v1beta1'],
  BGPAdvertisement: ['metallb.io/v1beta1'],
  CiliumLoadBalancerIPPool: ['cilium.io/v2', 'cilium.io/v2alpha1'],
  CiliumL2AnnouncementPolicy: ['cilium.io/v2alpha1', 'cilium.io/v2'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type PlanKind = keyof typeof KINDS;

/** What a kind was called before; nothing is taken from them. */
const FORMER_KINDS: ReadonlyMap<string, PlanKind> = new Map([['AddressPool', 'IPAddressPool']]);

export interface PlanObjects {
  /** Raw objects of a kind, in order of their keys. */
  readonly ofKind: (kind: PlanKind) => readonly JsonObject[];
  readonly problems: readonly ObjectProblem[];
  /** The documents an object is in; '' for what is no object of them. */
  readonly whereOf: (object: ObjectRef) => string;
  /** A Service is among those refused, or may be: something is no object at all. */
  readonly isServiceRefused: boolean;
  /** Documents of kinds that don't matter. */
  readonly ignored: number;
}

export function collectObjects(documents: readonly PlanDocument[], misfits: readonly Misfit[] = []): PlanObjects {
  const found = new Map<string, Found[]>();
  const problems: ObjectProblem[] = misfits.map(misfitProblem);
  const places = new Map<string, string[]>();
  let ignored = 0;
  for (const document of documents) {
    const use = useOf(document);
    if (use.kind === 'ignored') {
      ignored += 1;
    } else if (use.kind === 'refused') {
      problems.push(use.problem);
      note(places, use.problem.object, document);
    } else {
      const object = objectRef(use.name, document.raw);
      note(places, object, document);
      const id = idOf(object);
      const same = found.get(id);
      if (same === undefined) found.set(id, [{ object, document }]);
      else same.push({ object, document });
    }
  }
  const byKind = new Map<string, JsonObject[]>();
  for (const id of [...found.keys()].sort()) {
    const same = found.get(id) ?? [];
    const kind = same[0]?.object.kind ?? '';
    const raws = byKind.get(kind) ?? [];
    raws.push(...(isNameless(same) ? same.map(({ document }) => document.raw) : [mergeSame(same, problems)]));
    byKind.set(kind, raws);
  }
  const isServiceRefused =
    misfits.length > 0 || problems.some(({ object, code }) => object.kind === 'Service' && code === 'OBJECT_INVALID');
  const whereOf = (object: ObjectRef): string => placesText(places.get(idOf(object)) ?? []);
  return { ofKind: (kind) => byKind.get(kind) ?? [], problems, whereOf, isServiceRefused, ignored };
}

/** Told on the object, if it says at least of which kind it would be; else on the place where it stands. */
function misfitProblem({ where, raw, saying }: Misfit): ObjectProblem {
  const kind = asText(raw?.['kind']) ?? '';
  const object = /^[A-Za-z]{1,63}$/.test(kind) ? objectRef(kind, raw) : { kind: 'Document', key: where };
  const remedy = fillRemedy(ERRORS.INPUT_UNREADABLE.remedy, {});
  return { object, code: 'INPUT_UNREADABLE', message: `${where}: ${saying}; it is left out`, remedy };
}

function idOf({ kind, key }: ObjectRef): string {
  return `${kind}/${key}`;
}

function note(places: Map<string, string[]>, object: ObjectRef, { where }: PlanDocument): void {
  const known = places.get(idOf(object));
  if (known === undefined) places.set(idOf(object), [where]);
  else known.push(where);
}

/** More are counted, not named. */
const PLACES_MAX = 3;

function placesText(places: readonly string[]): string {
  const shown = places.toSorted().slice(0, PLACES_MAX).join('; ');
  return places.length > PLACES_MAX ? `${shown} and ${places.length - PLACES_MAX} more` : shown;
}

interface Found {
  readonly object: ObjectRef;
  readonly document: PlanDocument;
}

/** Objects without a proper name aren't the same one: each is refused by its decoder. */
function isNameless(same: readonly Found[]): boolean {
  return same.some(({ document }) => metadataText(document.raw, 'name') === undefined);
}

type Use =
  | { readonly kind: 'used'; readonly name: PlanKind }
  | { readonly kind: 'ignored' }
  | { readonly kind: 'refused'; readonly problem: ObjectProblem };

function useOf({ kind, apiVersion, raw }: PlanDocument): Use {
  const former = FORMER_KINDS.get(kind);
  if (former !== undefined && groupOf(apiVersion) === groupOf(KINDS[former][0])) {
    const message = `${kind} is the former name of ${former}: nothing of it can be used`;
    return { kind: 'refused', problem: refusal(objectRef(kind, raw), 'kind', message) };
  }
  if (!isPlanKind(kind)) return { kind: 'ignored' };
  const versions: readonly string[] = KINDS[kind];
  if (versions.includes(apiVersion)) return { kind: 'used', name: kind };
  if (isOtherApi(apiVersion, versions)) return { kind: 'ignored' };
  const message = `apiVersion is ${shown(apiVersion)}, and ${kind} is read as ${versions.join(' or ')}: nothing of it can be used`;
  return { kind: 'refused', problem: refusal(objectRef(kind, raw), 'apiVersion', message) };
}

function isPlanKind(kind: string): kind is PlanKind {
  return Object.hasOwn(KINDS, kind);
}

/** Somebody else's kind of the same name, such as Knative's Service; Kubernetes' own groups have no such. */
function isOtherApi(apiVersion: string, versions: readonly string[]): boolean {
  const group = groupOf(apiVersion);
  return group.includes('.') && !group.endsWith('.k8s.io') && group !== groupOf(versions[0] ?? '');
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

/** As decoders put it of an object that is no use at all. */
function refusal(object: ObjectRef, field: string, message: string): ObjectProblem {
  const remedy = `Correct ${field} of ${object.kind} ${object.key}; until then it counts as absent.`;
  return { object, code: 'OBJECT_INVALID', message, remedy };
}

function mergeSame(same: readonly Found[], problems: ObjectProblem[]): JsonObject {
  const live = latest(
    same.filter(({ document }) => isLive(document.raw)),
    problems,
  );
  const written = latest(
    same.filter(({ document }) => !isLive(document.raw)),
    problems,
  );
  if (live === undefined || written === undefined) return (live ?? written)?.document.raw ?? {};
  return applied(written.document.raw, live.document.raw);
}

function isLive(raw: JsonObject): boolean {
  return metadataText(raw, 'resourceVersion') !== undefined || metadataText(raw, 'uid') !== undefined;
}

/** The one that counts. resourceVersions can be compared (KEP-5504), where there are any. */
function latest(same: readonly Found[], problems: ObjectProblem[]): Found | undefined {
  let best: Found | undefined;
  for (const found of same) {
    if (best === undefined) {
      best = found;
      continue;
    }
    const isSame = stableText(best.document.raw) === stableText(found.document.raw);
    const [used, other]: readonly [Found, Found] = version(found) >= version(best) ? [found, best] : [best, found];
    best = used;
    if (isSame) continue;
    const message = `given twice with different contents, in ${other.document.where} and in ${used.document.where}: the latter is used`;
    const { object } = used;
    const context = { object: `${object.kind} ${object.key}`, used: used.document.where };
    const remedy = fillRemedy(ERRORS.OBJECT_DUPLICATE.remedy, context);
    problems.push({ object, code: 'OBJECT_DUPLICATE', message, remedy });
  }
  return best;
}

function version({ document }: Found): bigint {
  const text = metadataText(document.raw, 'resourceVersion') ?? '';
  return /^\d{1,40}$/.test(text) ? BigInt(text) : 0n;
}

/** JSON with keys in order, so that two texts are equal exactly when the values are. */
function stableText(value: unknown): string {
  return JSON.stringify(value, (_, child: unknown) => {
    const object = asObject(child);
    return object === undefined
      ? child
      : Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** What the API server chose for a Service, which a manifest needn't repeat. */
const CHOSEN_FIELDS = ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'loadBalancerClass'] as const;

/** The object after `kubectl apply` of `written`: near enough for what is read of it. */
function applied(written: JsonObject, live: JsonObject): JsonObject {
  const liveMetadata = asObject(live['metadata']) ?? {};
  const metadata = asObject(written['metadata']) ?? {};
  const last = asObject(parseJson(asTextMap(liveMetadata['annotations'])[LAST_APPLIED] ?? ''));
  const lastMetadata = asObject(last?.['metadata']) ?? {};
  const merged = (field: string): JsonObject => {
    const former = asObject(lastMetadata[field]) ?? {};
    const kept = Object.entries(asObject(liveMetadata[field]) ?? {}).filter(([key]) => !Object.hasOwn(former, key));
    return { ...Object.fromEntries(kept), ...asObject(metadata[field]) };
  };
  const liveSpec = asObject(live['spec']) ?? {};
  const spec = asObject(written['spec']);
  const chosen =
    asText(live['kind']) === 'Service' ? CHOSEN_FIELDS.filter((field) => liveSpec[field] !== undefined) : [];
  return {
    ...live,
    ...written,
    metadata: { ...liveMetadata, ...metadata, annotations: merged('annotations'), labels: merged('labels') },
    ...(spec === undefined
      ? {}
      : { spec: { ...Object.fromEntries(chosen.map((field) => [field, liveSpec[field]])), ...spec } }),
    ...(live['status'] === undefined ? {} : { status: live['status'] }),
  };
}

/** Where `kubectl apply` keeps what it was given the last time. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
