import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { JsonObject } from '../../../src/base/json.ts';
import { watchServiceObjects, type ObjectWatch, type WatchedKind } from '../../../src/kube/object-watch.ts';
import { decodeConfigMap } from '../../../src/services/objects/config-map.ts';
import { decodeEndpointSlice } from '../../../src/services/objects/endpoint-slice.ts';
import { decodeNamespace } from '../../../src/services/objects/namespace.ts';
import { decodeNode } from '../../../src/services/objects/node.ts';
import { decodeService } from '../../../src/services/objects/service.ts';
import { startEmbedded, type Embedded } from './embedded.ts';
import { until } from './scripted-api.ts';

const SERVICES = '/api/v1/namespaces/default/services';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const CONFIG_MAPS = '/api/v1/namespaces/kube-system/configmaps';
const POOLS = '/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools';

const decode = {
  service: decodeService,
  node: decodeNode,
  namespace: decodeNamespace,
  endpointSlice: decodeEndpointSlice,
  configMap: decodeConfigMap,
};

interface Kinds {
  readonly service: ReturnType<typeof decodeService>;
  readonly node: ReturnType<typeof decodeNode>;
  readonly namespace: ReturnType<typeof decodeNamespace>;
  readonly endpointSlice: ReturnType<typeof decodeEndpointSlice>;
  readonly configMap: ReturnType<typeof decodeConfigMap>;
}

const closers: (() => void)[] = [];
let embedded: Embedded;
let told: (readonly WatchedKind[])[];
/** The Namespaces there were when last something was told. */
let lastTold: ReadonlySet<string>;

beforeEach(async () => {
  embedded = await startEmbedded();
  told = [];
  lastTold = new Set();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await embedded.close();
});

function watch(
  more: { namespace?: string; discoveryIntervalMs?: number; forbiddenAfterMs?: number } = {},
): ObjectWatch<Kinds> {
  const objects = watchServiceObjects<Kinds>({
    client: embedded.client,
    namespace: '',
    configMap: { namespace: 'kube-system', name: 'kubevip' },
    decode,
    log: embedded.log.log,
    deadlineMs: 1000,
    onChange: (kinds) => {
      told.push([...kinds]);
      lastTold = new Set(objects.namespaces.keys());
    },
    ...more,
  });
  closers.push(() => objects.stop());
  return objects;
}

async function synced(more: Parameters<typeof watch>[0] = {}): Promise<ObjectWatch<Kinds>> {
  const objects = watch(more);
  await until(() => objects.isSynced && objects.isCurrent, 'everything is seen');
  // What led here is told within a batch; a change of its own ends it for sure.
  await settle();
  return objects;
}

/** Until a change that concerns nobody has gone round, and everything before it was told. */
async function settle(): Promise<void> {
  const name = `settle-${Math.random().toString(36).slice(2)}`;
  await embedded.write('POST', '/api/v1/namespaces', { metadata: { name } });
  await until(() => lastTold.has(name), 'the change that ends the waiting');
  told.length = 0;
}

function service(name: string, type = 'LoadBalancer'): JsonObject {
  return { metadata: { name }, spec: { type, ports: [{ port: 80 }], clusterIPs: ['10.96.0.1'] } };
}

function slice(name: string, of: string, nodes: readonly string[]): JsonObject {
  return {
    metadata: { name, labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    endpoints: nodes.map((nodeName) => ({ addresses: ['10.0.0.1'], conditions: { ready: true }, nodeName })),
    ports: [{ port: 8080 }],
  };
}

function requestsBut(...patterns: readonly RegExp[]): readonly string[] {
  const all = [...embedded.api.requests].filter(([key]) => !patterns.some((pattern) => pattern.test(key)));
  return all.map(([key, count]) => `${key} ${count}`).toSorted();
}

describe('Services', () => {
  it('of type LoadBalancer are kept decoded, and followed', async () => {
    await embedded.write('POST', SERVICES, service('web'));
    await embedded.write('POST', SERVICES, service('inner', 'ClusterIP'));
    const objects = await synced();
    expect([...objects.services.keys()]).toEqual(['default/web']);
    expect(objects.services.get('default/web')?.value).toMatchObject({ key: 'default/web', isLoadBalancer: true });

    await embedded.write('PATCH', `${SERVICES}/inner`, { spec: { type: 'LoadBalancer' } });
    await until(() => objects.services.has('default/inner'), 'the one that became one');
    await embedded.write('PATCH', `${SERVICES}/web`, { spec: { type: 'ClusterIP' } });
    await until(() => !objects.services.has('default/web'), 'the one that is one no more');
    await embedded.write('DELETE', `${SERVICES}/inner`);
    await until(() => objects.services.size === 0, 'the deletion');
    await until(() => told.length > 0, 'word of it');
    expect(new Set(told.flat())).toEqual(new Set(['Service']));
  });

  it('of other namespaces are not asked for when one is named', async () => {
    await embedded.write('POST', '/api/v1/namespaces', { metadata: { name: 'shop' } });
    await embedded.write('POST', SERVICES, service('web'));
    await embedded.write('POST', '/api/v1/namespaces/shop/services', service('till'));
    const objects = await synced({ namespace: 'shop' });
    expect([...objects.services.keys()]).toEqual(['shop/till']);
  });

  it('that come in hundreds are told in few batches', async () => {
    const objects = await synced();
    const names = Array.from({ length: 300 }, (_, index) => `web-${index}`);
    for (const name of names) {
      const place = embedded.api.store.kind('v1', 'services');
      if (place !== undefined) embedded.api.store.create({ kind: place, namespace: 'default' }, service(name));
    }
    await until(() => objects.services.size === 300, 'all of them');
    await until(() => told.length > 0, 'word of it');
    expect(told.length).toBeLessThanOrEqual(10);
  });
});

describe('EndpointSlices', () => {
  it('are kept before their Service is there, and told only once it is', async () => {
    const objects = await synced();
    await embedded.write('POST', SLICES, slice('web-1', 'web', ['n1', 'n1', 'n2']));
    await until(() => objects.endpointSlices.size === 1, 'the slice');
    expect(objects.endpointSlices.get('default/web-1')?.value?.endpoints).toEqual([
      { node: 'n1', canServe: true },
      { node: 'n2', canServe: true },
    ]);
    await embedded.write('POST', SERVICES, service('web'));
    await until(() => told.length > 0, 'word of the Service');
    expect(told.flat()).not.toContain('EndpointSlice');
    told.length = 0;
    await embedded.write('PATCH', `${SLICES}/web-1`, { endpoints: [{ addresses: ['10.0.0.3'], nodeName: 'n3' }] });
    await until(() => told.length > 0, 'word of the slice');
    expect(told).toEqual([['EndpointSlice']]);
  });

  it('that name the same nodes with other Pods are no news', async () => {
    await embedded.write('POST', SERVICES, service('web'));
    await embedded.write('POST', SLICES, slice('web-1', 'web', ['n1', 'n2']));
    const objects = await synced();
    const before = objects.endpointSlices.get('default/web-1');
    await embedded.write('PATCH', `${SLICES}/web-1`, slice('web-1', 'web', ['n1', 'n1', 'n2', 'n2']));
    await embedded.write('POST', SERVICES, service('later'));
    await until(() => told.flat().includes('Service'), 'a later change');
    await until(() => objects.services.has('default/later'), 'a later Service');
    expect(told.flat()).not.toContain('EndpointSlice');
    expect(objects.endpointSlices.get('default/web-1')).toBe(before);
  });
});

describe('Nodes, Namespaces and the ConfigMap', () => {
  it('are followed; the other ConfigMaps are not', async () => {
    const objects = await synced();
    expect(objects.configMap).toBeUndefined();
    await embedded.write('POST', CONFIG_MAPS, { metadata: { name: 'other' }, data: { a: 'b' } });
    await embedded.write('POST', CONFIG_MAPS, { metadata: { name: 'kubevip' }, data: { 'range-global': 'a-b' } });
    await until(() => objects.configMap !== undefined, 'the ConfigMap');
    expect(objects.configMap?.value?.data).toEqual({ 'range-global': 'a-b' });
    await embedded.write('DELETE', `${CONFIG_MAPS}/kubevip`);
    await until(() => objects.configMap === undefined, 'its end');
    await embedded.write('POST', '/api/v1/nodes', { metadata: { name: 'n1', labels: { zone: 'a' } } });
    await until(() => objects.nodes.has('n1'), 'the Node');
    expect(objects.namespaces.get('default')?.value?.name).toBe('default');
  });

  it('are no news where the kubelet writes nothing that matters', async () => {
    await embedded.write('POST', '/api/v1/nodes', { metadata: { name: 'n1' } });
    await synced();
    await embedded.write('PATCH', '/api/v1/nodes/n1/status', {
      status: { conditions: [{ type: 'Ready', status: 'True' }], images: [{ names: ['a'] }] },
    });
    await embedded.write('POST', SERVICES, service('later'));
    await until(() => told.flat().includes('Service'), 'a later change');
    expect(told.flat()).not.toContain('Node');
  });
});

describe('the pools of MetalLB and Cilium', () => {
  it('are not missed where they are not installed', async () => {
    const objects = await synced();
    expect(objects.custom('IPAddressPool').size).toBe(0);
    expect(embedded.log.lines.filter(({ level }) => level !== 'debug')).toEqual([]);
    expect(objects.kinds.map(({ kind }) => kind)).toEqual([
      'Service',
      'Node',
      'Namespace',
      'EndpointSlice',
      'ConfigMap',
    ]);
  });

  it('are seen before anything counts as synced, pruned', async () => {
    embedded.api.install('metallb.io');
    embedded.api.install('cilium.io');
    await embedded.write('POST', POOLS, {
      metadata: {
        name: 'lan',
        labels: { a: 'b' },
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', kept: 'yes' },
        managedFields: [{ manager: 'kubectl' }],
      },
      spec: { addresses: ['192.0.2.0/28'] },
      status: { assignedIPv4: 3 },
    });
    embedded.api.faults.set([{ path: '/apis/metallb.io/v1beta1', action: { kind: 'delay', ms: 100 }, count: 1 }]);
    const objects = watch();
    await until(() => objects.isSynced, 'everything is seen');
    const pool = objects.custom('IPAddressPool').get('default/lan');
    expect(pool).toMatchObject({
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan', namespace: 'default', labels: { a: 'b' }, annotations: { kept: 'yes' } },
      spec: { addresses: ['192.0.2.0/28'] },
    });
    expect(Object.keys(pool ?? {})).toEqual(['apiVersion', 'kind', 'metadata', 'spec']);
    expect(pool?.['metadata']).not.toHaveProperty('managedFields');
    expect(pool?.['metadata']).not.toHaveProperty('resourceVersion');
    expect(objects.custom('CiliumLoadBalancerIPPool').size).toBe(0);
    expect(objects.kinds).toHaveLength(10);
  });

  it('are found when they are installed later, and forgotten when they are removed', async () => {
    const objects = await synced({ discoveryIntervalMs: 40 });
    embedded.api.install('metallb.io');
    await embedded.write('POST', POOLS, { metadata: { name: 'lan' }, spec: {} });
    await until(() => objects.custom('IPAddressPool').has('default/lan'), 'the pool');
    expect(objects.isSynced).toBe(true);
    embedded.api.install('metallb.io', false);
    await until(() => objects.kinds.length === 5, 'their end', 6000);
    expect(objects.custom('IPAddressPool').size).toBe(0);
    expect(objects.isCurrent).toBe(true);
  });
});

describe('definitions that come one after the other', () => {
  it('are noticed soon after one another, and count once they are listed', async () => {
    embedded.api.install('ipaddresspools.metallb.io');
    const objects = await synced();
    expect([objects.isListed('IPAddressPool'), objects.isListed('L2Advertisement')]).toEqual([true, false]);
    embedded.api.faults.set([{ path: '/l2advertisements', action: { kind: 'delay', ms: 300 } }]);
    embedded.api.install('l2advertisements.metallb.io');
    await until(() => objects.kinds.length === 7, 'the second');
    expect(objects.isListed('L2Advertisement')).toBe(false);
    expect(objects.isSynced).toBe(true);
    await until(() => objects.isListed('L2Advertisement'), 'its list');
  });

  it('are looked for at once where they are expected', async () => {
    const objects = await synced();
    embedded.api.install('metallb.io');
    objects.expectKinds();
    await until(() => objects.isListed('L2Advertisement'), 'the definitions');
  });

  it('have no objects before all of them are listed', async () => {
    embedded.api.install('metallb.io');
    await embedded.write('POST', POOLS, { metadata: { name: 'lan' }, spec: {} });
    embedded.api.faults.set([{ path: '/ipaddresspools', action: { kind: 'delay', ms: 200 } }]);
    const objects = watch();
    await until(() => objects.kinds.length === 8, 'what is installed');
    expect([...objects.custom('IPAddressPool')]).toEqual([]);
    await until(() => objects.isListed('IPAddressPool'), 'the list');
    expect([...objects.custom('IPAddressPool').keys()]).toEqual(['default/lan']);
  });
});

describe('while the cluster is quiet', () => {
  it('nothing is asked for', async () => {
    embedded.api.install('metallb.io');
    await embedded.write('POST', SERVICES, service('web'));
    await synced();
    const before = requestsBut(/^WATCH/);
    for (let count = 0; count < 5; count += 1) await settle();
    // What is installed is asked for by the clock: discovery.test.ts.
    const writes = /^(WATCH|POST|GET other)/;
    expect(requestsBut(writes)).toEqual(before.filter((line) => !writes.test(line)));
    // 5 built-in kinds and 3 of MetalLB.
    expect(requestsBut(/^(?!WATCH)/).length).toBe(8);
  });
});

describe('an outage', () => {
  it('leaves everything as it was, and what happened meanwhile is found', async () => {
    await embedded.write('POST', SERVICES, service('web'));
    await embedded.write('POST', SERVICES, service('shop'));
    const objects = await synced();
    await embedded.api.stop();
    await until(() => embedded.log.msgs().includes('api watch interrupted'), 'the outage is noticed');
    expect([...objects.services.keys()]).toEqual(['default/shop', 'default/web']);
    expect(objects.isSynced).toBe(true);
    const kind = embedded.api.store.kind('v1', 'services');
    if (kind === undefined) throw new Error('no services');
    embedded.api.store.delete({ kind, namespace: 'default' }, 'shop');
    embedded.api.store.compact();
    await embedded.api.start();
    await until(() => !objects.services.has('default/shop'), 'the deletion', 6000);
    await until(() => objects.isCurrent, 'everything is seen again', 6000);
    expect(objects.services.has('default/web')).toBe(true);
  });
});

describe('a kind that may not be read', () => {
  it('is told once with a remedy, and stands in nobody’s way', async () => {
    embedded.api.install('metallb.io');
    embedded.api.faults.set([{ path: '/ipaddresspools', action: { kind: 'status', code: 403 } }]);
    await embedded.write('POST', SERVICES, service('web'));
    const objects = watch({ forbiddenAfterMs: 200 });
    await until(() => objects.isSynced && objects.isCurrent, 'everything else is seen');
    expect(objects.services.size).toBe(1);
    const before = embedded.api.requests.get('GET ipaddresspools') ?? 0;
    await until(() => (embedded.api.requests.get('GET ipaddresspools') ?? 0) > before, 'it is asked again');
    const told403 = embedded.log.lines.filter(({ level }) => level === 'warn');
    expect(told403).toHaveLength(1);
    expect(told403[0]?.fields).toMatchObject({
      code: 'API_FORBIDDEN',
      resource: 'ipaddresspools.metallb.io',
      remedy: expect.stringContaining('may list and watch ipaddresspools.metallb.io in the cluster') as string,
    });
    expect(objects.kinds.find(({ kind }) => kind === 'IPAddressPool')?.problem?.code).toBe('API_FORBIDDEN');
    embedded.api.faults.set([]);
    await until(() => objects.kinds.every(({ problem }) => problem === undefined), 'the right is given', 6000);
  });

  it('is waited for while that may be an API server that has just started', async () => {
    embedded.api.install('metallb.io');
    await embedded.write('POST', POOLS, { metadata: { name: 'lan' }, spec: {} });
    embedded.api.faults.set([{ action: { kind: 'status', code: 403 }, count: 12 }]);
    const objects = watch();
    await until(() => objects.isSynced, 'everything is seen');
    expect(objects.custom('IPAddressPool').size).toBe(1);
    expect(embedded.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('holds everything up where it is Services', async () => {
    embedded.api.faults.set([{ path: '/services', action: { kind: 'status', code: 403 } }]);
    const objects = watch({ forbiddenAfterMs: 200 });
    await until(() => embedded.log.lines.some(({ level }) => level === 'warn'), 'the refusal');
    await until(() => objects.kinds.filter(({ isCurrent }) => isCurrent).length === 4, 'the others are seen');
    expect(objects.isSynced).toBe(false);
  });
});

it('what decode throws ends the watch for everybody to see', async () => {
  const objects = watchServiceObjects({
    client: embedded.client,
    namespace: '',
    configMap: { namespace: 'kube-system', name: 'kubevip' },
    decode: {
      ...decode,
      namespace: (): never => {
        throw new Error('a fault of ours');
      },
    },
    log: embedded.log.log,
    deadlineMs: 1000,
    onChange: () => undefined,
  });
  closers.push(() => objects.stop());
  await expect(objects.done).rejects.toThrow('a fault of ours');
});
