/**
 * The objects of Services before a real kube-apiserver, seen and written with exactly the rights of
 * manifests/rbac-services.yaml: what the watch shows, what a status patch does, custom resources that are installed while
 * it runs.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { asObject, metadataText, type JsonObject } from '../../src/base/json.ts';
import { aboutService, openEventRecorder } from '../../src/kube/event-recorder.ts';
import { watchServiceObjects, type WatchedKind } from '../../src/kube/object-watch.ts';
import { openOwnersRecord } from '../../src/kube/owners-record.ts';
import { patchServiceStatus } from '../../src/kube/service-status.ts';
import { decodeConfigMap } from '../../src/services/objects/config-map.ts';
import { decodeEndpointSlice } from '../../src/services/objects/endpoint-slice.ts';
import { decodeNamespace } from '../../src/services/objects/namespace.ts';
import { decodeNode } from '../../src/services/objects/node.ts';
import { decodeService } from '../../src/services/objects/service.ts';
import type { ApiClient as AdminClient } from '../lab/api-client.ts';
import { newestDefinitions, originsOf } from '../lab/custom-resources.ts';
import { waitFor } from '../lab/process.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import type { MemoryLog } from '../unit/kube/scripted-api.ts';
import { giveRights, insist, openBench, type Bench } from './bench.ts';

const SERVICES = '/api/v1/namespaces/shop/services';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices';
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const POOLS = '/apis/metallb.io/v1beta1/namespaces/shop/ipaddresspools';
const MERGE = 'application/merge-patch+json';
const DISCOVERY_INTERVAL_MS = 300;

const decode = {
  service: decodeService,
  node: decodeNode,
  namespace: decodeNamespace,
  endpointSlice: decodeEndpointSlice,
  configMap: decodeConfigMap,
};

let api: RealApi;
let admin: AdminClient;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  console.log(await realApiVersions());
  api = await RealApi.create({ members: [{ name: 'solo', address: '127.0.0.1' }] });
  await api.start();
  admin = api.client('solo');
  await make('/api/v1/namespaces', { metadata: { name: 'shop', labels: { tier: 'front' } } });
  await giveRights(admin, 'manifests/rbac-services.yaml');
});

afterAll(() => api?.close());

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function ask(method: string, path: string, body?: unknown, contentType?: string): Promise<JsonObject> {
  return insist(admin, method, path, { body, contentType });
}

function bench(): Promise<Bench> {
  return openBench(api, closers);
}

function make(path: string, body: unknown): Promise<JsonObject> {
  return ask('POST', path, body);
}

function change(path: string, body: unknown): Promise<JsonObject> {
  return ask('PATCH', path, body, MERGE);
}

async function watched(): Promise<
  Bench & { readonly objects: ReturnType<typeof watch>; readonly told: WatchedKind[] }
> {
  const whole = await bench();
  const told: WatchedKind[] = [];
  const objects = watch(whole, (kinds) => told.push(...kinds));
  closers.push(() => objects.stop());
  await waitFor('everything is seen', () => objects.isSynced && objects.isCurrent);
  return { ...whole, objects, told };
}

// eslint-disable-next-line typescript/explicit-function-return-type -- what decode makes of each kind is said once
function watch({ client, log }: Bench, onChange: (kinds: ReadonlySet<WatchedKind>) => void) {
  return watchServiceObjects({
    client,
    namespace: '',
    configMap: { namespace: 'kube-system', name: 'kubevip' },
    decode,
    log: log.log,
    deadlineMs: 2000,
    onChange,
    discoveryIntervalMs: DISCOVERY_INTERVAL_MS,
  });
}

function balancer(name: string): JsonObject {
  return { metadata: { name, annotations: { old: 'yes' } }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } };
}

function noise(log: MemoryLog): readonly string[] {
  return log.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ msg }) => msg);
}

describe('the watch', () => {
  it('shows what appears, changes and goes, with no right missing', async () => {
    const { objects, log, told } = await watched();
    await make(SERVICES, balancer('web'));
    await waitFor('the Service', () => objects.services.has('shop/web'));
    const web = objects.services.get('shop/web');
    expect(web?.problems).toEqual([]);
    expect(web?.value).toMatchObject({ key: 'shop/web', families: ['ipv4'], trafficPolicy: 'Cluster' });
    expect(web?.value?.clusterIps).toHaveLength(1);

    await make(SLICES, {
      metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      endpoints: ['n1', 'n1', 'n2'].map((nodeName, index) => ({
        addresses: [`10.0.0.${index + 1}`],
        conditions: { ready: true },
        nodeName,
      })),
      ports: [{ port: 8080 }],
    });
    await waitFor('the slice', () => objects.endpointSlices.get('shop/web-1')?.value?.endpoints.length === 2);
    await make('/api/v1/nodes', { metadata: { name: 'n1', labels: { zone: 'a' } } });
    await waitFor('the Node', () => objects.nodes.get('n1')?.value?.labels['zone'] === 'a');
    await make('/api/v1/namespaces/kube-system/configmaps', {
      metadata: { name: 'kubevip' },
      data: { 'cidr-global': '192.0.2.0/28' },
    });
    await waitFor('the ConfigMap', () => objects.configMap?.value?.data['cidr-global'] === '192.0.2.0/28');
    expect(objects.namespaces.get('shop')?.value?.labels).toMatchObject({ tier: 'front' });

    await change(`${SERVICES}/web`, { metadata: { labels: { a: 'b' } } });
    await waitFor('the change', () => objects.services.get('shop/web')?.value?.labels['a'] === 'b');
    await ask('DELETE', `${SERVICES}/web`);
    await waitFor('the end', () => !objects.services.has('shop/web'));
    await waitFor('word of all of it', () => new Set(told).size === 5);
    expect(noise(log)).toEqual([]);
  });

  it('finds what happened while no API server ran, and takes no refusal of its first seconds for one', async () => {
    const { objects, log } = await watched();
    await make(SERVICES, balancer('before'));
    await waitFor('the Service', () => objects.services.has('shop/before'));
    await api.processesOf('solo').apiServer?.stop();
    expect(objects.services.has('shop/before')).toBe(true);
    api.startApiServer('solo');
    await api.waitReady('solo');
    await ask('DELETE', `${SERVICES}/before`);
    await make(SERVICES, balancer('after'));
    await waitFor('both', () => !objects.services.has('shop/before') && objects.services.has('shop/after'));
    expect(noise(log)).toEqual([]);
  });
});

describe('the pools of MetalLB and Cilium', () => {
  it('are found when they are installed while it runs, and forgotten with their definitions', async () => {
    const { objects, log } = await watched();
    expect(objects.kinds).toHaveLength(5);
    const definitions = await newestDefinitions();
    expect(definitions).toHaveLength(5);
    console.log(originsOf(definitions));
    for (const { document } of definitions) await make(DEFINITIONS, document);
    await waitFor('the kinds are watched', () => objects.kinds.length === 10 && objects.isCurrent);

    const pool = await make(POOLS, {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan' },
      spec: { addresses: ['192.0.2.0/28'] },
    });
    await waitFor('the pool', () => objects.custom('IPAddressPool').has('shop/lan'));
    const seen = objects.custom('IPAddressPool').get('shop/lan');
    expect(seen).toMatchObject({
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan', namespace: 'shop', uid: metadataText(pool, 'uid') },
      spec: { addresses: ['192.0.2.0/28'], autoAssign: true, avoidBuggyIPs: false },
    });
    expect(Object.keys(asObject(seen?.['metadata']) ?? {})).not.toContain('managedFields');
    await change(`${POOLS}/lan`, { spec: { autoAssign: false } });
    await waitFor('its change', () => {
      const spec = asObject(objects.custom('IPAddressPool').get('shop/lan')?.['spec']);
      return spec?.['autoAssign'] === false;
    });

    // Written in the version of old, seen in the one that is preferred.
    await make('/apis/cilium.io/v2alpha1/ciliumloadbalancerippools', {
      apiVersion: 'cilium.io/v2alpha1',
      kind: 'CiliumLoadBalancerIPPool',
      metadata: { name: 'blue' },
      spec: { blocks: [{ cidr: '198.51.100.0/28' }] },
    });
    await waitFor('the pool of Cilium', () => objects.custom('CiliumLoadBalancerIPPool').has('blue'));
    expect(objects.custom('CiliumLoadBalancerIPPool').get('blue')).toMatchObject({ apiVersion: 'cilium.io/v2' });
    await make('/apis/cilium.io/v2alpha1/ciliuml2announcementpolicies', {
      apiVersion: 'cilium.io/v2alpha1',
      kind: 'CiliumL2AnnouncementPolicy',
      metadata: { name: 'all' },
      spec: { loadBalancerIPs: true },
    });
    await waitFor('the policy', () => objects.custom('CiliumL2AnnouncementPolicy').has('all'));

    for (const { name } of definitions) await ask('DELETE', `${DEFINITIONS}/${name}`);
    await waitFor('they are gone', () => objects.kinds.length === 5 && objects.isCurrent, { deadlineMs: 60_000 });
    expect(objects.custom('IPAddressPool').size).toBe(0);
    expect(noise(log)).toEqual([]);
  });
});

describe('the status of a Service', () => {
  it('is written in one patch, refused from an older version, and gone with the Service', async () => {
    const { client } = await bench();
    const made = await make(SERVICES, balancer('patched'));
    const condition = {
      type: 'holdfast.io/Allocated',
      status: 'True',
      reason: 'Allocated',
      message: '192.0.2.1 of svc_pools',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const patch = {
      key: 'shop/patched',
      resourceVersion: metadataText(made, 'resourceVersion') ?? '',
      ingress: ['192.0.2.1'],
      conditions: [condition],
      annotations: { old: null, 'kube-vip.io/vipHost': 'n1' },
    };
    const outcome = await patchServiceStatus({ client, patch, deadlineMs: 2000 });
    const after = await ask('GET', `${SERVICES}/patched`);
    expect(outcome).toEqual({ kind: 'ok', resourceVersion: metadataText(after, 'resourceVersion') });
    expect(asObject(after['metadata'])?.['annotations']).toEqual({ 'kube-vip.io/vipHost': 'n1' });
    expect(after['status']).toEqual({
      conditions: [condition],
      loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] },
    });
    expect(after['spec']).toEqual(made['spec']);

    expect(await patchServiceStatus({ client, patch, deadlineMs: 2000 })).toEqual({ kind: 'conflict' });
    await ask('DELETE', `${SERVICES}/patched`);
    expect(await patchServiceStatus({ client, patch, deadlineMs: 2000 })).toEqual({ kind: 'gone' });
  });

  it('with an address that is none is refused with the reason of the server', async () => {
    const { client } = await bench();
    const made = await make(SERVICES, balancer('refused'));
    const resourceVersion = metadataText(made, 'resourceVersion') ?? '';
    const patch = { key: 'shop/refused', resourceVersion, ingress: ['192.0.2.300'] };
    const outcome = await patchServiceStatus({ client, patch, deadlineMs: 2000 });
    expect(outcome).toMatchObject({ kind: 'failed', failure: { failure: 'invalid' } });
    expect(outcome.kind === 'failed' && outcome.failure.message).toContain('192.0.2.300');
  });
});

describe('beside it', () => {
  it('Events lie with the Service', async () => {
    const { client, log } = await bench();
    const made = await make(SERVICES, balancer('told'));
    const about = aboutService({ namespace: 'shop', name: 'told', uid: metadataText(made, 'uid') ?? '' });
    const recorder = openEventRecorder({ client, about, node: 'n1', log: log.log });
    closers.push(() => recorder.close());
    for (let count = 0; count < 2; count += 1) {
      recorder.record({ type: 'Warning', reason: 'PoolFull', message: 'every address is in use' });
    }
    await recorder.flush(4000);
    const list = await ask('GET', '/api/v1/namespaces/shop/events?fieldSelector=involvedObject.name%3Dtold');
    expect(list['items']).toMatchObject([{ reason: 'PoolFull', count: 2, involvedObject: { uid: about.uid } }]);
    expect(recorder.dropped).toBe(0);
  });

  it('the record of owners is made, written by one, and watched by all', async () => {
    const { client, log } = await bench();
    const options = { client, namespace: 'kube-system', leaseName: 'plndr-svcs-lock', deadlineMs: 2000, log: log.log };
    const owners = openOwnersRecord(options);
    const epochs: (number | undefined)[] = [];
    const reflector = owners.watch((record) => epochs.push(record?.epoch));
    closers.push(() => reflector.stop());
    await waitFor('that there is none', () => epochs.length === 1);
    const first = await owners.write({ epoch: 1, text: '{}' }, undefined);
    if (!first.ok) throw new Error(first.message);
    const { resourceVersion } = first.record;
    expect(await owners.write({ epoch: 2, text: '{}' }, resourceVersion)).toMatchObject({ ok: true });
    expect(await owners.write({ epoch: 2, text: '[]' }, resourceVersion)).toMatchObject({ failure: 'conflict' });
    await waitFor('both', () => epochs.length === 3);
    expect(epochs).toEqual([undefined, 1, 2]);
    expect(noise(log)).toEqual([]);
  });
});
