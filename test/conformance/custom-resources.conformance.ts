/**
 * Pools and advertisements as a real kube-apiserver keeps them under the real definitions of MetalLB (four releases) and
 * Cilium: every field that a release's schema has is written, read back through the product's own watch with its own
 * rights, and decoded without a problem. So what is defaulted and pruned is the server's doing, and a field that a newer
 * release brings fails here until somebody has decided what it means.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { DEFINITION_SETS, versionOf, type DefinitionSet } from '../../scripts/definitions.ts';
import { asArray, asObject, asText, type JsonObject } from '../../src/base/json.ts';
import { CUSTOM_KINDS, watchServiceObjects, type CustomKind, type ObjectWatch } from '../../src/kube/object-watch.ts';
import { formatRange } from '../../src/services/address-range.ts';
import type { Advertisement, Decoding, Pool } from '../../src/services/model.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../../src/services/pools/cilium.ts';
import {
  decodeBgpAdvertisement,
  decodeIpAddressPool,
  decodeL2Advertisement,
} from '../../src/services/pools/metallb.ts';
import type { ApiClient as AdminClient } from '../lab/api-client.ts';
import { ciliumDefinitions, definitionsOfSet, originsOf, type Definition } from '../lab/custom-resources.ts';
import { waitFor } from '../lab/process.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { giveRights, insist, openBench } from './bench.ts';

const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const KINDS = Object.keys(CUSTOM_KINDS) as readonly CustomKind[];

const selector = (name: string): JsonObject => ({
  matchLabels: { app: name },
  matchExpressions: [{ key: 'tier', operator: 'In', values: ['front', 'back'] }],
});
const ADVERTISED = {
  ipAddressPools: ['full'],
  ipAddressPoolSelectors: [selector('pools')],
  nodeSelectors: [selector('nodes')],
  serviceSelectors: [selector('services')],
};

/** Every field of every release, each other than its default. */
const FULL: Readonly<Record<CustomKind, JsonObject>> = {
  IPAddressPool: {
    addresses: ['192.0.2.0/28', '198.51.100.10-198.51.100.20', '2001:db8::/120'],
    autoAssign: false,
    avoidBuggyIPs: true,
    serviceAllocation: {
      priority: 7,
      namespaces: ['shop'],
      namespaceSelectors: [selector('namespaces')],
      serviceSelectors: [selector('services')],
    },
  },
  L2Advertisement: {
    ...ADVERTISED,
    interfaces: ['eth0', 'br-lan'],
    preferredNodeSelectors: [{ weight: 80, preference: selector('preferred') }],
  },
  BGPAdvertisement: {
    ...ADVERTISED,
    // Without serviceSelectors other lengths would count; with them MetalLB knows only these.
    aggregationLength: 32,
    aggregationLengthV6: 128,
    localPref: 150,
    asPathPrepend: 3,
    communities: ['64512:100', 'large:64512:1:2', 'alias'],
    peers: ['tor-1'],
  },
  CiliumLoadBalancerIPPool: {
    blocks: [{ cidr: '203.0.113.0/28' }, { start: '203.0.113.32', stop: '203.0.113.40' }],
    cidrs: [{ cidr: '203.0.113.64/28' }, { start: '203.0.113.96', stop: '203.0.113.97' }],
    allowFirstLastIPs: 'No',
    disabled: true,
    serviceSelector: selector('services'),
  },
  CiliumL2AnnouncementPolicy: {
    serviceSelector: selector('services'),
    nodeSelector: selector('nodes'),
    interfaces: ['^eth[0-9]+'],
    externalIPs: true,
    loadBalancerIPs: true,
  },
};

/** As little as the schema takes. */
const LEAST: Readonly<Record<CustomKind, JsonObject>> = {
  IPAddressPool: { addresses: ['192.0.2.64/28'] },
  L2Advertisement: {},
  BGPAdvertisement: {},
  CiliumLoadBalancerIPPool: { blocks: [{ cidr: '203.0.113.128/28' }] },
  CiliumL2AnnouncementPolicy: { loadBalancerIPs: true },
};

let api: RealApi;
let admin: AdminClient;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  console.log(await realApiVersions());
  api = await RealApi.create({ members: [{ name: 'solo', address: '127.0.0.1' }] });
  await api.start();
  admin = api.client('solo');
  await insist(admin, 'POST', '/api/v1/namespaces', { body: { metadata: { name: 'shop' } } });
  await giveRights(admin, 'manifests/rbac-services.yaml');
});

afterAll(() => api?.close());

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

type Raw = { readonly [Kind in 'service' | 'node' | 'namespace' | 'endpointSlice' | 'configMap']: JsonObject };

async function watched(): Promise<ObjectWatch<Raw>> {
  const { client, log } = await openBench(api, closers);
  const asIs = (raw: JsonObject): JsonObject => raw;
  const objects = watchServiceObjects<Raw>({
    client,
    namespace: '',
    configMap: { namespace: 'kube-system', name: 'kubevip' },
    decode: { service: asIs, node: asIs, namespace: asIs, endpointSlice: asIs, configMap: asIs },
    log: log.log,
    deadlineMs: 2000,
    onChange: () => undefined,
    discoveryIntervalMs: 300,
  });
  closers.push(() => objects.stop());
  await waitFor('everything is seen', () => objects.isSynced && objects.isCurrent);
  return objects;
}

async function install(definitions: readonly Definition[]): Promise<void> {
  for (const { document } of definitions) await insist(admin, 'POST', DEFINITIONS, { body: document });
  await waitFor('the definitions are established', async () => {
    const list = await insist(admin, 'GET', DEFINITIONS);
    return asArray(list['items']).every((item) =>
      asArray(asObject(asObject(item)?.['status'])?.['conditions']).some((condition) => {
        const { type, status } = asObject(condition) ?? {};
        return type === 'Established' && status === 'True';
      }),
    );
  });
}

async function uninstall(definitions: readonly Definition[]): Promise<void> {
  for (const { name } of definitions) await insist(admin, 'DELETE', `${DEFINITIONS}/${name}`);
  await waitFor('the definitions are gone', async () => {
    const list = await insist(admin, 'GET', DEFINITIONS);
    return asArray(list['items']).length === 0;
  });
}

interface Schema {
  readonly kind: CustomKind;
  readonly apiVersion: string;
  /** Of the collection. */
  readonly path: string;
  /** Every field under spec; lists without their index. */
  readonly fields: readonly string[];
}

/** The version in storage, as the definition has it. */
function schemasOf(definitions: readonly Definition[]): readonly Schema[] {
  return definitions.flatMap(({ document }): Schema[] => {
    const spec = asObject(document['spec']);
    const names = asObject(spec?.['names']);
    const kind = KINDS.find((each) => each === names?.['kind']);
    const version = asArray(spec?.['versions'])
      .map((each) => asObject(each))
      .find((each) => each?.['storage'] === true);
    if (kind === undefined || version === undefined) return [];
    const groupVersion = `${asText(spec?.['group']) ?? ''}/${asText(version['name']) ?? ''}`;
    const within = spec?.['scope'] === 'Namespaced' ? 'namespaces/shop/' : '';
    const path = `/apis/${groupVersion}/${within}${asText(names?.['plural']) ?? ''}`;
    const root = asObject(asObject(asObject(version['schema'])?.['openAPIV3Schema'])?.['properties'])?.['spec'];
    return [{ kind, apiVersion: groupVersion, path, fields: fieldsOf(root, 'spec') }];
  });
}

function fieldsOf(schema: unknown, at: string): readonly string[] {
  const { properties, items } = asObject(schema) ?? {};
  if (items !== undefined) return fieldsOf(items, at);
  return Object.entries(asObject(properties) ?? {}).flatMap(([name, value]) => [
    `${at}.${name}`,
    ...fieldsOf(value, `${at}.${name}`),
  ]);
}

/** The same of a value: what it says something about. */
function fieldsIn(value: unknown, at: string): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item) => fieldsIn(item, at));
  return Object.entries(asObject(value) ?? {}).flatMap(([name, inner]) => [
    `${at}.${name}`,
    ...fieldsIn(inner, `${at}.${name}`),
  ]);
}

/** What the server keeps of it: fields that the schema doesn't have are gone. */
function pruned(value: unknown, at: string, fields: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => pruned(item, at, fields));
  const object = asObject(value);
  if (object === undefined || at.endsWith('.matchLabels')) return value;
  const kept = Object.entries(object).filter(([name]) => fields.includes(`${at}.${name}`));
  return Object.fromEntries(kept.map(([name, inner]) => [name, pruned(inner, `${at}.${name}`, fields)]));
}

function decode(kind: CustomKind, raw: JsonObject | undefined): Decoding<Pool> | Decoding<Advertisement> {
  switch (kind) {
    case 'IPAddressPool':
      return decodeIpAddressPool(raw);
    case 'L2Advertisement':
      return decodeL2Advertisement(raw);
    case 'BGPAdvertisement':
      return decodeBgpAdvertisement(raw);
    case 'CiliumLoadBalancerIPPool':
      return decodeCiliumPool(raw);
    case 'CiliumL2AnnouncementPolicy':
      return decodeCiliumPolicy(raw);
  }
}

function keyOf({ path }: Schema, name: string): string {
  return path.includes('/namespaces/') ? `shop/${name}` : name;
}

async function create({ kind, apiVersion, path }: Schema, name: string, spec: JsonObject): Promise<void> {
  await insist(admin, 'POST', path, { body: { apiVersion, kind, metadata: { name }, spec } });
}

/** What FULL is decoded to; of a release without a field, what its absence means. */
function expectedOf(kind: CustomKind, has: (field: string) => boolean): JsonObject {
  const labels = (name: string): JsonObject => ({ matchLabels: { app: name } });
  const services = has('serviceSelectors') || kind === 'CiliumL2AnnouncementPolicy' ? [labels('services')] : [];
  const advertisement = { nodeSelectors: [labels('nodes')], serviceSelectors: services };
  switch (kind) {
    case 'IPAddressPool':
      return {
        isAutoAssigned: false,
        avoidsBuggy: true,
        priority: has('serviceAllocation') ? 7 : 0,
        scope: has('serviceAllocation')
          ? {
              namespaces: ['shop'],
              namespaceSelectors: [labels('namespaces')],
              serviceSelectors: [labels('services')],
            }
          : { namespaces: undefined, namespaceSelectors: [], serviceSelectors: [] },
      };
    case 'L2Advertisement':
      return {
        ...advertisement,
        poolNames: ['full'],
        poolSelectors: [labels('pools')],
        interfaceNames: has('interfaces') ? ['eth0', 'br-lan'] : [],
        preferredNodes: has('preferredNodeSelectors') ? [{ weight: 80, selector: labels('preferred') }] : [],
      };
    case 'BGPAdvertisement':
      return {
        ...advertisement,
        poolNames: ['full'],
        bgp: {
          aggregationLength: 32,
          aggregationLengthV6: 128,
          localPreference: 150,
          pathPrepends: has('asPathPrepend') ? 3 : 0,
          communities: ['64512:100', 'large:64512:1:2', 'alias'],
          peers: ['tor-1'],
        },
      };
    case 'CiliumLoadBalancerIPPool':
      return { isClosed: true, scope: { serviceSelectors: [labels('services')] } };
    case 'CiliumL2AnnouncementPolicy':
      return { ...advertisement, interfacePatterns: ['^eth[0-9]+'] };
  }
}

function rangesOf(kind: CustomKind, has: (field: string) => boolean): readonly string[] | undefined {
  if (kind === 'IPAddressPool') return ['192.0.2.0/28', '198.51.100.10-198.51.100.20', '2001:db8::/120'];
  if (kind !== 'CiliumLoadBalancerIPPool') return undefined;
  const blocks = ['203.0.113.1-203.0.113.14', '203.0.113.32-203.0.113.40'];
  return has('cidrs') ? [...blocks, '203.0.113.65-203.0.113.78', '203.0.113.96/31'] : blocks;
}

const RELEASES: readonly (DefinitionSet | 'cilium-v2')[] = [...DEFINITION_SETS, 'cilium-v2'];

/** Fields that some release has: each of FULL is there for one. */
const seenFields = new Set<string>();

describe.each(RELEASES)('under the definitions of %s', (release) => {
  let definitions: readonly Definition[];
  let schemas: readonly Schema[];

  beforeAll(async () => {
    const all = release === 'cilium-v2' ? ciliumDefinitions() : await definitionsOfSet(release);
    definitions = all.filter(({ document }) => schemasOf([{ name: '', origin: '', document }]).length > 0);
    schemas = schemasOf(definitions);
    console.log(`${release}: ${originsOf(definitions)}`);
    await install(definitions);
  });

  afterAll(() => uninstall(definitions));

  it('there is what Holdfast reads, of the release that is meant', () => {
    expect(schemas.map(({ kind }) => kind).toSorted()).toEqual(
      release.startsWith('metallb')
        ? ['BGPAdvertisement', 'IPAddressPool', 'L2Advertisement']
        : ['CiliumL2AnnouncementPolicy', 'CiliumLoadBalancerIPPool'],
    );
    if (release === 'cilium-v2') return;
    for (const { origin } of definitions) expect(origin).toBe(`${release.split('-')[0] ?? ''} ${versionOf(release)}`);
  });

  it('every field that it has means something to Holdfast', async () => {
    const objects = await watched();
    await waitFor('the kinds are watched', () => objects.kinds.length === 5 + schemas.length && objects.isCurrent);
    for (const schema of schemas) {
      const { kind, fields } = schema;
      for (const field of fields) seenFields.add(`${kind} ${field}`);
      expect(fields.filter((field) => !fieldsIn(FULL[kind], 'spec').includes(field))).toEqual([]);
      await create(schema, 'full', FULL[kind]);
      const key = keyOf(schema, 'full');
      await waitFor(key, () => objects.custom(kind).has(key));
      const raw = objects.custom(kind).get(key);
      expect(raw?.['spec']).toEqual(pruned(FULL[kind], 'spec', fields));
      const { value, problems } = decode(kind, raw);
      const has = (name: string): boolean => fields.includes(`spec.${name}`);
      expect(problems).toEqual([]);
      expect(value).toMatchObject(expectedOf(kind, has));
      if (value !== undefined && 'ranges' in value) {
        expect(value.ranges.map(formatRange)).toEqual(rangesOf(kind, has));
      }
    }
  });

  it('what the server fills in is what Holdfast takes for the default', async () => {
    const objects = await watched();
    await waitFor('the kinds are watched', () => objects.kinds.length === 5 + schemas.length && objects.isCurrent);
    for (const schema of schemas) {
      const { kind } = schema;
      await create(schema, 'least', LEAST[kind]);
      const key = keyOf(schema, 'least');
      await waitFor(key, () => objects.custom(kind).has(key));
      const raw = objects.custom(kind).get(key);
      const { value, problems } = decode(kind, raw);
      expect(problems).toEqual([]);
      const asSent = decode(kind, { ...raw, spec: LEAST[kind] });
      expect(value).toEqual(asSent.value);
    }
  });
});

describe('when a release is upgraded under it', () => {
  const POOL = 'ciliumloadbalancerippools.cilium.io';
  const poolIn = (definitions: readonly Definition[]): Definition[] => definitions.filter(({ name }) => name === POOL);

  /** As an operator does who brings newer definitions. */
  async function serve(
    versions: (document: JsonObject) => readonly unknown[],
    [next]: readonly Definition[],
  ): Promise<void> {
    const before = await insist(admin, 'GET', `${DEFINITIONS}/${POOL}`);
    const spec = { ...asObject(next?.document['spec']), versions: versions(next?.document ?? {}) };
    const { metadata, kind, apiVersion } = before;
    await insist(admin, 'PUT', `${DEFINITIONS}/${POOL}`, { body: { apiVersion, kind, metadata, spec } });
  }

  it('a pool of v2alpha1 is followed into v2, and no moment goes by without it', async () => {
    const old = poolIn(await definitionsOfSet('cilium-1.15'));
    const newer = poolIn(ciliumDefinitions());
    console.log(`from ${originsOf(old)} to ${originsOf(newer)}`);
    await install(old);
    closers.push(() => uninstall(newer));
    const [schema] = schemasOf(old);
    if (schema === undefined) throw new Error('no definition of the pool');
    await create(schema, 'blue', LEAST.CiliumLoadBalancerIPPool);
    const objects = await watched();
    const versionNow = (): unknown => objects.custom(schema.kind).get('blue')?.['apiVersion'];
    await waitFor('the pool in v2alpha1', () => versionNow() === 'cilium.io/v2alpha1');
    // Whoever looks because something else has changed may look at any time.
    const counts: number[] = [];
    const sampling = setInterval(() => counts.push(objects.custom(schema.kind).size), 1);
    closers.push(() => clearInterval(sampling));

    const versionsOf = ({ spec }: JsonObject): readonly JsonObject[] =>
      asArray(asObject(spec)?.['versions']).flatMap((version): JsonObject[] => [asObject(version) ?? {}]);
    await serve(versionsOf, newer);
    await waitFor('the pool in v2', () => versionNow() === 'cilium.io/v2' && objects.isCurrent);
    await serve((document) => versionsOf(document).map((each) => ({ ...each, served: each['name'] === 'v2' })), newer);
    const path = '/apis/cilium.io/v2/ciliumloadbalancerippools/blue';
    await insist(admin, 'PATCH', path, {
      body: { spec: { disabled: true } },
      contentType: 'application/merge-patch+json',
    });
    await waitFor('its change', () => {
      const { value } = decodeCiliumPool(objects.custom(schema.kind).get('blue'));
      return value?.isClosed === true;
    });
    expect(counts.length).toBeGreaterThan(100);
    expect(counts.filter((count) => count !== 1)).toEqual([]);
    expect(decodeCiliumPool(objects.custom(schema.kind).get('blue')).problems).toEqual([]);
  });
});

it('no field is written here that no release has', () => {
  const written = KINDS.flatMap((kind) => fieldsIn(FULL[kind], 'spec').map((field) => `${kind} ${field}`));
  expect(written.filter((field) => !seenFields.has(field) && !field.endsWith('.matchLabels.app'))).toEqual([]);
});
