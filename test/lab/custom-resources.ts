/**
 * The definitions of MetalLB's and Cilium's pools and advertisements, for API servers in tests: written here from the
 * fields and rules that both document, for the fields that Holdfast reads. HOLDFAST_CRDS names a folder with the projects'
 * own files (config/crd/bases of MetalLB, pkg/k8s/apis/cilium.io/client/crds of Cilium); what is in it is used instead.
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
const selectors = listOf(selector);
const status = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

const IP_ADDRESS_POOL = objectOf(
  {
    addresses: texts,
    autoAssign: { ...flag, default: true },
    avoidBuggyIPs: { ...flag, default: false },
    serviceAllocation: objectOf({
      priority: { type: 'integer' },
      namespaces: texts,
      namespaceSelectors: selectors,
      serviceSelectors: selectors,
    }),
  },
  ['addresses'],
);
const ADVERTISEMENT = {
  ipAddressPools: texts,
  ipAddressPoolSelectors: selectors,
  nodeSelectors: selectors,
  serviceSelectors: selectors,
};
const L2_ADVERTISEMENT = objectOf({
  ...ADVERTISEMENT,
  interfaces: texts,
  preferredNodeSelectors: listOf(
    objectOf({ weight: { type: 'integer', minimum: 1, maximum: 100 }, preference: selector }, ['weight', 'preference']),
  ),
});
const BGP_ADVERTISEMENT = objectOf({
  ...ADVERTISEMENT,
  aggregationLength: { type: 'integer', minimum: 1, default: 32 },
  aggregationLengthV6: { type: 'integer', default: 128 },
  localPref: { type: 'integer' },
  communities: texts,
  peers: texts,
});
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
  define('metallb.io', 'IPAddressPool', { scope: 'Namespaced', versions: ['v1beta1'], spec: IP_ADDRESS_POOL }),
  define('metallb.io', 'L2Advertisement', { scope: 'Namespaced', versions: ['v1beta1'], spec: L2_ADVERTISEMENT }),
  define('metallb.io', 'BGPAdvertisement', { scope: 'Namespaced', versions: ['v1beta1'], spec: BGP_ADVERTISEMENT }),
  define('cilium.io', 'CiliumLoadBalancerIPPool', {
    scope: 'Cluster',
    versions: ['v2', 'v2alpha1'],
    spec: CILIUM_POOL,
  }),
  define('cilium.io', 'CiliumL2AnnouncementPolicy', { scope: 'Cluster', versions: ['v2alpha1'], spec: CILIUM_POLICY }),
];

/** Every definition of a release (scripts/definitions.ts), as its own tool makes them from its own types. */
export async function definitionsOfSet(set: DefinitionSet): Promise<readonly Definition[]> {
  const found = readFolder(await provideDefinitions(set));
  return found.map(({ name, document }) => ({
    name,
    document,
    origin: `${set.split('-')[0] ?? ''} ${versionOf(set)}`,
  }));
}

/** Those of one group: `metallb.io`, `cilium.io`. */
export function definitionsOf(group: string): readonly Definition[] {
  const given = new Map(readFolder(process.env['HOLDFAST_CRDS']).map((found) => [found.name, found]));
  return WRITTEN_HERE.map((document): Definition => {
    const name = nameOf(document);
    return given.get(name) ?? { name, document, origin: 'written here' };
  }).filter(({ name }) => name.endsWith(`.${group}`));
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
  options: { readonly scope: string; readonly versions: readonly string[]; readonly spec: Json },
): Json {
  const singular = kind.toLowerCase();
  const plural = singular.endsWith('y') ? `${singular.slice(0, -1)}ies` : `${singular}s`;
  const schema = {
    openAPIV3Schema: { type: 'object', required: ['spec'], properties: { spec: options.spec, status } },
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
