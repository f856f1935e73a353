/**
 * What a person sees with the real kubectl of what Holdfast writes: Events under describe and events, with their counts;
 * conditions of a Service that can be waited for.
 */

import { spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { provideAsset } from '../../scripts/assets.ts';
import { asObject, metadataText } from '../../src/base/json.ts';
import { aboutService, openEventRecorder, SERVICE_EVENT_LIMITS } from '../../src/kube/event-recorder.ts';
import { openLeaseApi } from '../../src/kube/lease.ts';
import { patchServiceStatus } from '../../src/kube/service-status.ts';
import type { ApiClient as AdminClient } from '../lab/api-client.ts';
import { definitionsOfSet } from '../lab/custom-resources.ts';
import { waitFor } from '../lab/process.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { giveRights, insist, openBench } from './bench.ts';

const SERVICES = '/api/v1/namespaces/shop/services';
const POOLS = '/apis/metallb.io/v1beta1/namespaces/shop/ipaddresspools';

let api: RealApi;
let admin: AdminClient;
let kubeconfig: string;
let program: string;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  program = await provideAsset('kubectl');
  console.log(`${await realApiVersions()}, kubectl ${run(program, ['version', '--client']).split('\n')[0] ?? ''}`);
  api = await RealApi.create({ members: [{ name: 'solo', address: '127.0.0.1' }] });
  await api.start();
  admin = api.client('solo');
  kubeconfig = api.superAdminConf('solo');
  await make('/api/v1/namespaces', { metadata: { name: 'shop' } });
  await giveRights(admin, 'manifests/rbac-services.yaml');
  for (const { name, document } of await definitionsOfSet('metallb-0.16')) {
    if (name.startsWith('ipaddresspools')) {
      await make('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', document);
    }
  }
});

afterAll(() => api?.close());

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

function kubectl(...args: readonly string[]): string {
  return run(program, [`--kubeconfig=${kubeconfig}`, '--namespace=shop', ...args]);
}

function make(path: string, body: unknown): ReturnType<typeof insist> {
  return insist(admin, 'POST', path, { body });
}

async function service(name: string): Promise<{ readonly uid: string; readonly resourceVersion: string }> {
  const made = await make(SERVICES, { metadata: { name }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } });
  return {
    uid: metadataText(made, 'uid') ?? '',
    resourceVersion: metadataText(made, 'resourceVersion') ?? '',
  };
}

/** The lines of describe after "Events:". */
function eventsIn(description: string): string {
  return description.slice(description.lastIndexOf('Events:'));
}

describe('kubectl describe', () => {
  it('shows the Events of a Service, equal ones as one with their number', async () => {
    const { client, log } = await openBench(api, closers);
    const { uid } = await service('told');
    const about = aboutService({ namespace: 'shop', name: 'told', uid });
    const recorder = openEventRecorder({ client, about, node: 'n1', log: log.log, ...SERVICE_EVENT_LIMITS });
    closers.push(() => recorder.close());
    for (let count = 0; count < 3; count += 1) {
      recorder.record({ type: 'Warning', reason: 'PoolFull', message: 'every address of lan is in use' });
    }
    recorder.record({ type: 'Normal', reason: 'AddressAllocated', message: '192.0.2.1 of lan' });
    await recorder.flush(4000);
    const events = eventsIn(kubectl('describe', 'service', 'told'));
    expect(events).toMatch(/Warning\s+PoolFull\s+\S+ \(x3 over \S+\)\s+holdfast\s+every address of lan is in use/);
    expect(events).toMatch(/Normal\s+AddressAllocated\s+\S+\s+holdfast\s+192\.0\.2\.1 of lan/);

    const listed = kubectl('events', '--for', 'service/told');
    expect(listed).toMatch(/\(x3 over \S+\)\s+Warning\s+PoolFull\s+Service\/told\s+every address of lan is in use/);
    const newForm = run(program, [
      `--kubeconfig=${kubeconfig}`,
      'get',
      '--raw',
      '/apis/events.k8s.io/v1/namespaces/shop/events',
    ]);
    expect(newForm).toContain('"reportingController":"holdfast"');
  });

  it('shows those of a pool and of the Lease, which it finds by uid, and those of a Node, which it finds by name', async () => {
    const { client, log } = await openBench(api, closers);
    const spec = { addresses: ['192.0.2.0/28'] };
    const pool = await waitFor('the pool', async () => {
      const body = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata: { name: 'lan' }, spec };
      const { status, body: made } = await admin.request('POST', POOLS, { body });
      return status === 201 ? asObject(made) : undefined;
    });
    await make('/api/v1/nodes', { metadata: { name: 'n1' } });
    const leases = openLeaseApi({
      client,
      namespace: 'kube-system',
      name: 'plndr-cp-lock',
      deadlineMs: 2000,
      log: log.log,
    });
    const lease = { holder: 'n1', durationMs: 15_000, transitions: 0, acquireTime: '', renewTime: '' };
    expect(
      await leases.create({ ...lease, annotations: {}, labels: {}, resourceVersion: '' }, 'acquire'),
    ).toMatchObject({
      ok: true,
    });
    const ofLease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      namespace: 'kube-system',
      name: 'plndr-cp-lock',
    };
    const recorder = openEventRecorder({
      client,
      about: () => ({ ...ofLease, ...(leases.uid === undefined ? {} : { uid: leases.uid }) }),
      node: 'n1',
      log: log.log,
    });
    closers.push(() => recorder.close());
    recorder.record({ type: 'Normal', reason: 'LeadershipGained', message: 'n1 holds 192.0.2.50' });
    recorder.record(
      { type: 'Warning', reason: 'PoolInvalid', message: 'spec.addresses[0] is nonsense' },
      {
        apiVersion: 'metallb.io/v1beta1',
        kind: 'IPAddressPool',
        namespace: 'shop',
        name: 'lan',
        uid: metadataText(pool, 'uid') ?? '',
      },
    );
    recorder.record(
      { type: 'Warning', reason: 'ObjectInvalid', message: 'an annotation is nonsense' },
      { apiVersion: 'v1', kind: 'Node', namespace: '', name: 'n1', uid: 'n1' },
    );
    await recorder.flush(4000);
    expect(recorder.dropped).toBe(0);
    expect(eventsIn(kubectl('describe', 'ipaddresspool', 'lan'))).toContain('spec.addresses[0] is nonsense');
    expect(eventsIn(kubectl('describe', 'node', 'n1'))).toContain('an annotation is nonsense');
    expect(eventsIn(kubectl('--namespace=kube-system', 'describe', 'lease', 'plndr-cp-lock'))).toContain(
      'n1 holds 192.0.2.50',
    );
  });
});

describe('kubectl', () => {
  it('waits for a condition of a Service, and shows its address', async () => {
    const { client } = await openBench(api, closers);
    const { resourceVersion } = await service('waited');
    const condition = (type: string, status: string): object => ({
      type: `holdfast.io/${type}`,
      status,
      reason: type,
      message: 'said by the test',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    });
    expect(() => kubectl('wait', 'service/waited', '--for=condition=holdfast.io/Allocated', '--timeout=1s')).toThrow(
      'timed out',
    );
    const conditions = [condition('Allocated', 'True'), condition('Announced', 'False')];
    const patch = { key: 'shop/waited', resourceVersion, ingress: ['192.0.2.1', '2001:db8::1'], conditions };
    expect(await patchServiceStatus({ client, patch, deadlineMs: 2000 })).toMatchObject({ kind: 'ok' });
    const wait = (...what: readonly string[]): string => kubectl('wait', 'service/waited', '--timeout=5s', ...what);
    expect(wait('--for=condition=holdfast.io/Allocated')).toContain('condition met');
    expect(wait('--for=condition=holdfast.io/Announced=False')).toContain('condition met');
    expect(wait('--for=jsonpath={.status.loadBalancer.ingress[0].ip}=192.0.2.1')).toContain('condition met');
    expect(kubectl('get', 'service', 'waited')).toMatch(/waited\s+LoadBalancer\s+\S+\s+192\.0\.2\.1,2001:db8::1\s+80:/);
    const yaml = kubectl('get', 'service', 'waited', '-o', 'yaml');
    expect(yaml).toMatch(/conditions:\n(.*\n)+? {4}type: holdfast\.io\/Allocated\n/);
  });
});
