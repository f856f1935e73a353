/**
 * The definitions of MetalLB's and Cilium's pools and advertisements, for API servers in tests. MetalLB's, and those of an
 * older Cilium, are the real ones (scripts/definitions.ts). Of a Cilium whose pools are v2 they are written here after what
 * it ships, for its packages can't be had; HOLDFAST_CRDS names a folder with its own files
 * (pkg/k8s/apis/cilium.io/client/crds), and what is in it is used instead.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

import { provideDefinitions, versionOf, type DefinitionSet } from '../../scripts/definitions.ts';
import { isJson, type Json } from '../embedded-api/object.ts';

export interface Definition {
  /** plural.group */
  readonly name: string;
  readonly document: Json;
  /** 'written here', or the file it is from. */
  readonly origin: string;
}

const text = { type: 'string' };
const flag = { type: 'boolean' };
const texts = listOf(text);
const selector = objectOf({
  matchLabels: { type: 'object', additionalProperties: text },
  matchExpressions: listOf(
    objectOf(
      { key: text, operator: { type: 'string', enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] }, values: texts },
      ['key', 'operator'],
    ),
  ),
});
const conditions = listOf(
  objectOf(
    {
      lastTransitionTime: { ...text, format: 'date-time' },
      message: { ...text, maxLength: 32_768 },
      observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
      reason: { ...text, minLength: 1, maxLength: 1_024, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' },
      status: { ...text, enum: ['True', 'False', 'Unknown'] },
      type: { ...text, maxLength: 316 },
    },
    ['lastTransitionTime', 'message', 'reason', 'status', 'type'],
  ),
);
const status = objectOf({ conditions });

const CILIUM_POOL = objectOf({
  blocks: listOf(objectOf({ cidr: { ...text, format: 'cidr' }, start: text, stop: text })),
  serviceSelector: selector,
  disabled: { ...flag, default: false },
  allowFirstLastIPs: { type: 'string', enum: ['Yes', 'No'] },
});
const CILIUM_POLICY = objectOf({
  serviceSelector: selector,
  nodeSelector: selector,
  interfaces: texts,
  externalIPs: flag,
  loadBalancerIPs: flag,
});

const WRITTEN_HERE: readonly Json[] = [
  define('cilium.io', 'CiliumLoadBalancerIPPool', {
    scope: 'Cluster',
    versions: ['v2', 'v2alpha1'],
    spec: CILIUM_POOL,
    required: ['metadata', 'spec'],
  }),
  define('cilium.io', 'CiliumL2AnnouncementPolicy', {
    scope: 'Cluster',
    versions: ['v2alpha1'],
    spec: CILIUM_POLICY,
    required: ['metadata'],
  }),
];

/** What a test runs with, for its output: a definition is never written here without being said to be. */
export function originsOf(definitions: readonly Definition[]): string {
  return definitions.map(({ name, origin }) => `${name}: ${origin}`).join(', ');
}

/** Every definition of a release, as its own tool makes them from its own types. Throws when they can't be had. */
export async function definitionsOfSet(set: DefinitionSet): Promise<readonly Definition[]> {
  const origin = `${set.split('-')[0] ?? ''} ${versionOf(set)}`;
  return readFolder(await provideDefinitions(set)).map((found) => ({ ...found, origin }));
}

/** Those that Holdfast reads, of the newest releases: MetalLB's, and Cilium's with pools in v2. */
export async function newestDefinitions(): Promise<readonly Definition[]> {
  const read = ['ipaddresspools', 'l2advertisements', 'bgpadvertisements'].map((plural) => `${plural}.metallb.io`);
  const metallb = await definitionsOfSet('metallb-0.16');
  return [...metallb.filter(({ name }) => read.includes(name)), ...ciliumDefinitions()];
}

export function ciliumDefinitions(): readonly Definition[] {
  const given = new Map(readFolder(process.env['HOLDFAST_CRDS']).map((found) => [found.name, found]));
  return WRITTEN_HERE.map((document): Definition => {
    const name = nameOf(document);
    return given.get(name) ?? { name, document, origin: 'written here' };
  });
}

function readFolder(folder: string | undefined): readonly Definition[] {
  if (folder === undefined || folder === '') return [];
  const files = readdirSync(folder).filter((file) => /\.ya?ml$/.test(file));
  return files.flatMap((file) =>
    parseAllDocuments(readFileSync(join(folder, file), 'utf8')).flatMap((parsed) => {
      const document: unknown = parsed.toJS();
      return isJson(document) ? [{ name: nameOf(document), document, origin: file }] : [];
    }),
  );
}

function nameOf(document: Json): string {
  return isJson(document['metadata']) ? String(document['metadata']['name']) : '';
}

/** The first of the versions is the stored one; all are served. */
function define(
  group: string,
  kind: string,
  options: {
    readonly scope: string;
    readonly versions: readonly string[];
    readonly spec: Json;
    readonly required: readonly string[];
  },
): Json {
  const singular = kind.toLowerCase();
  const plural = singular.endsWith('y') ? `${singular.slice(0, -1)}ies` : `${singular}s`;
  const schema = {
    openAPIV3Schema: {
      type: 'object',
      required: options.required,
      properties: { metadata: { type: 'object' }, spec: options.spec, status },
    },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: options.scope,
      names: { kind, listKind: `${kind}List`, plural, singular },
      versions: options.versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema,
        subresources: { status: {} },
      })),
    },
  };
}

function listOf(items: Json): Json {
  return { type: 'array', items };
}

function objectOf(properties: Json, required: readonly string[] = []): Json {
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) };
}
