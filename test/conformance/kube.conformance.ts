/**
 * The kube room against a real etcd and kube-apiserver: two members on loopback, asked by what production uses (admin.conf
 * that names a VIP nobody holds, the local server first, the other one as a peer).
 */

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openApiClient, type ApiClient } from '../../src/kube/client.ts';
import { openCredentials, type CredentialStore } from '../../src/kube/credentials.ts';
import { openEventRecorder } from '../../src/kube/event-recorder.ts';
import { openLeaseApi, type LeaseApi, type LeaseApiOptions } from '../../src/kube/lease.ts';
import { getNode, HAS_IP_LABEL, patchNodeLabel } from '../../src/kube/node.ts';
import { startReflector } from '../../src/kube/reflector.ts';
import type { LeaseRecord } from '../../src/leader/lease-record.ts';
import { waitFor } from '../lab/process.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { memoryLog, type MemoryLog } from '../unit/kube/scripted-api.ts';

const VIP = '192.0.2.50';
const RECORD: LeaseRecord = {
  holder: 'n1',
  durationMs: 5000,
  transitions: 0,
  acquireTime: '',
  renewTime: '',
  annotations: {},
  labels: {},
  resourceVersion: '',
};

let api: RealApi;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  console.log(await realApiVersions());
  const members = ['n1', 'n2'].map((name) => ({ name, address: '127.0.0.1' }));
  api = await RealApi.create({ members, vips: [VIP] });
  for (const { name } of members) api.startEtcd(name);
  for (const { name } of members) api.startApiServer(name);
  await Promise.all(members.map(({ name }) => api.waitReady(name)));
});

afterAll(() => api?.close());

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Bench {
  readonly client: ApiClient;
  readonly credentials: CredentialStore;
  readonly log: MemoryLog;
}

async function bench(kubeconfigPath: string): Promise<Bench> {
  const log = memoryLog();
  const credentials = await openCredentials({ kubeconfigPath, environment: {}, log: log.log, checkIntervalMs: 200 });
  closers.push(() => credentials.close());
  const client = openApiClient({
    credentials,
    endpoints: { isControlPlane: true, port: api.port('n1'), vips: [VIP] },
    log: log.log,
    primaryProbeMs: 200,
  });
  client.setPeers([api.url('n2')]);
  closers.push(() => client.close());
  return { client, credentials, log };
}

function superAdmin(): Promise<Bench> {
  return bench(api.superAdminConf('n1'));
}

function leaseOptions({ client, log }: Bench, name: string): LeaseApiOptions {
  return { client, namespace: 'kube-system', name, deadlineMs: 1000, log: log.log };
}

function leasesOf(whole: Bench, name: string): LeaseApi {
  return openLeaseApi(leaseOptions(whole, name));
}

async function created(leases: LeaseApi): Promise<LeaseRecord> {
  const result = await leases.create(RECORD, 'acquire');
  if (!result.ok) throw new Error(result.message);
  return result.lease;
}

async function bindAdministrators(): Promise<void> {
  const answer = await api.client('n1').request('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    body: {
      metadata: { name: 'kubeadm:cluster-admins' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [
        { apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'kubeadm:cluster-admins' },
        { kind: 'ServiceAccount', name: 'holdfast', namespace: 'kube-system' },
      ],
    },
  });
  expect(answer.status).toBe(201);
}

describe('the bootstrap of the first node', () => {
  it('waits for admin.conf, uses super-admin.conf while it has no rights, and goes back', async () => {
    const written = api.adminConf('n2');
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bootstrap-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    const whole = await bench(join(folder, 'admin.conf'));
    const leases = leasesOf(whole, 'bootstrap');
    expect(await leases.get()).toMatchObject({ ok: false, failure: 'unreachable', code: 'KUBECONFIG_MISSING' });

    renameSync(written, join(folder, 'admin.conf'));
    await waitFor('admin.conf is found', () => whole.credentials.current !== undefined);
    expect(await leases.create(RECORD, 'acquire')).toMatchObject({
      ok: false,
      failure: 'forbidden',
      code: 'API_FORBIDDEN',
    });

    renameSync(api.superAdminConf('n2'), join(folder, 'super-admin.conf'));
    expect(await leases.create(RECORD, 'acquire')).toMatchObject({ ok: true });
    expect(whole.credentials.current?.isStandIn).toBe(true);

    await bindAdministrators();
    await waitFor('admin.conf is used again', () => whole.credentials.current?.isStandIn === false);
    expect(await leases.get()).toMatchObject({ ok: true });
    expect(whole.log.msgs()).toEqual([
      'waiting for api credentials',
      'api credentials loaded',
      'admin.conf is forbidden, using super-admin.conf until it is accepted',
      'admin.conf is accepted, using it again',
    ]);
  });
});

describe('the Lease', () => {
  it('is created, renewed by compare-and-swap and released, leaving foreign fields alone', async () => {
    const whole = await superAdmin();
    const leases = leasesOf(whole, 'cas');
    expect(await leases.get()).toMatchObject({ ok: false, failure: 'not-found' });
    const first = await created(leases);
    expect(first.acquireTime).toMatch(/\.\d{6}Z$/);
    expect(await leases.create(RECORD, 'acquire')).toMatchObject({ ok: false, failure: 'already-exists' });

    const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cas';
    await api.client('n2').request('PATCH', path, {
      body: { metadata: { annotations: { theirs: 'kept' }, labels: { team: 'net' }, finalizers: ['example.org/f'] } },
      contentType: 'application/merge-patch+json',
    });
    expect(await leases.update({ ...first, transitions: 1 }, 'renew')).toMatchObject({
      ok: false,
      failure: 'conflict',
    });
    const read = await leases.get();
    if (!read.ok) throw new Error(read.message);
    const renewed = await leases.update({ ...read.lease, annotations: { ours: 'new' } }, 'renew');
    expect(renewed).toMatchObject({
      ok: true,
      lease: { holder: 'n1', acquireTime: first.acquireTime, annotations: { theirs: 'kept', ours: 'new' } },
    });
    if (!renewed.ok) throw new Error(renewed.message);
    expect(renewed.lease.renewTime > first.renewTime).toBe(true);
    const released = await leases.update({ ...renewed.lease, holder: '', durationMs: 1000 }, 'renew');
    expect(released).toMatchObject({ ok: true, lease: { holder: '', durationMs: 1000 } });
    const { body } = await api.client('n1').request('GET', path);
    expect(body).toMatchObject({
      metadata: { annotations: { theirs: 'kept' }, labels: { team: 'net' }, finalizers: ['example.org/f'] },
    });
  });

  it('is watched through a kill -9 of the own API server, which is used again once it is back', async () => {
    const whole = await superAdmin();
    const leases = leasesOf(whole, 'watched');
    let lease = await created(leases);
    const seen: (string | undefined)[] = [];
    const reflector = leases.watch((observed) => void seen.push(observed?.resourceVersion));
    closers.push(() => reflector.stop());
    await waitFor('the first version', () => seen.includes(lease.resourceVersion));
    expect(whole.client.preferredEndpoint).toBe(`https://127.0.0.1:${api.port('n1')}`);

    const server = api.processesOf('n1').apiServer;
    server?.kill('SIGKILL');
    await server?.ended;
    const killedAt = performance.now();
    const renewed = await leases.update(lease, 'renew');
    console.log(`renewal at the other server: ${Math.round(performance.now() - killedAt)} ms`);
    if (!renewed.ok) throw new Error(renewed.message);
    lease = renewed.lease;
    await waitFor('the version after the kill', () => seen.includes(lease.resourceVersion));
    console.log(`seen by the watch: ${Math.round(performance.now() - killedAt)} ms`);
    expect(whole.client.preferredEndpoint).toBe(api.url('n2'));

    api.startApiServer('n1');
    await api.waitReady('n1');
    await waitFor('the own server is used again', async () => {
      await leases.get();
      return whole.client.preferredEndpoint === api.url('n1');
    });
  });

  it('is renewed and watched elsewhere while the own API server is frozen', async () => {
    const whole = await superAdmin();
    const leases = leasesOf(whole, 'frozen');
    const lease = await created(leases);
    const seen: string[] = [];
    const watching = openLeaseApi({ ...leaseOptions(whole, 'frozen'), watchIdleMs: 1500 });
    const reflector = watching.watch((observed) => void seen.push(observed?.resourceVersion ?? ''));
    closers.push(() => reflector.stop());
    await waitFor('it watches', () => reflector.state === 'watching');
    const server = api.processesOf('n1').apiServer;
    server?.freeze();
    try {
      const frozenAt = performance.now();
      expect(await leases.update(lease, 'renew')).toMatchObject({ ok: true, endpoint: api.url('n2') });
      const tookMs = performance.now() - frozenAt;
      console.log(`renewal past the frozen server: ${Math.round(tookMs)} ms of 1000`);
      expect(tookMs).toBeLessThan(5000);
      await waitFor('the watch sees the renewal', () => seen.length === 2);
      console.log(`seen by the watch: ${Math.round(performance.now() - frozenAt)} ms`);
    } finally {
      server?.thaw();
      await api.waitReady('n1');
    }
  });

  it('is listed anew after the version was compacted away (410), deletions included', async () => {
    const whole = await superAdmin();
    const leases = leasesOf(whole, 'compacted');
    const lease = await created(leases);
    const seen: (string | undefined)[] = [];
    const reflector = leases.watch((observed) => void seen.push(observed?.resourceVersion));
    closers.push(() => reflector.stop());
    await waitFor('the first version', () => seen.includes(lease.resourceVersion));

    // Kept apart from the API while the object goes: no peers, the own server down.
    whole.client.setPeers([]);
    const server = api.processesOf('n1').apiServer;
    server?.kill('SIGKILL');
    await server?.ended;
    await waitFor('the watch is cut', () => reflector.state === 'waiting');
    const other = api.client('n2');
    await other.request('DELETE', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/compacted');
    for (let count = 0; count < 5; count += 1) {
      await other.request('PATCH', '/api/v1/namespaces/kube-system', {
        body: { metadata: { labels: { touched: String(count) } } },
        contentType: 'application/merge-patch+json',
      });
    }
    // A restarted server's watch cache begins at the present: everything older is "too old resource version".
    api.startApiServer('n1');
    // Twice: the difference to the new list, and that list being empty. A watch that went on would tell it once.
    await waitFor('the deletion', () => seen.slice(-2).join() === ',' && seen.length > 2, { deadlineMs: 60_000 });
    await waitFor('it watches again', () => reflector.state === 'watching');
    expect(reflector.isSynced).toBe(true);
  });
});

describe('collections', () => {
  it('are listed in pages and watched on', async () => {
    const { client, log } = await superAdmin();
    const other = api.client('n2');
    const path = '/api/v1/namespaces/default/configmaps';
    for (let index = 0; index < 7; index += 1) {
      await other.request('POST', path, { body: { metadata: { name: `page-${index}`, labels: { of: 'pages' } } } });
    }
    const seen: string[] = [];
    const reflector = startReflector<string>({
      client,
      path,
      labelSelector: 'of=pages',
      connection: 'general',
      pageLimit: 3,
      project: (raw) => JSON.stringify(raw['data'] ?? null),
      listener: (event) =>
        void seen.push(event.kind === 'synced' ? `synced ${event.count}` : `${event.kind} ${event.key}`),
      log: log.log,
    });
    closers.push(() => reflector.stop());
    await waitFor('the list', () => seen.includes('synced 7'));
    await other.request('DELETE', `${path}/page-3`);
    await waitFor('the deletion', () => seen.includes('deleted default/page-3'));
    expect(seen).toHaveLength(9);
  });
});

describe('tokens', () => {
  it('are re-read when the API no longer takes the old one', async () => {
    const other = api.client('n1');
    await other.request('POST', '/api/v1/namespaces/kube-system/serviceaccounts', {
      body: { metadata: { name: 'holdfast' } },
    });
    const token = async (): Promise<string> => {
      const { body } = await other.request('POST', '/api/v1/namespaces/kube-system/serviceaccounts/holdfast/token', {
        body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 600 } },
      });
      return (body as { status: { token: string } }).status.token;
    };
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-sa-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'ca.crt'), api.authority.certificatePem);
    writeFileSync(join(folder, 'token'), 'out.of.date');
    const log = memoryLog();
    const credentials = await openCredentials({
      kubeconfigPath: join(folder, 'none.conf'),
      adminPath: join(folder, 'none.conf'),
      serviceAccountFolder: folder,
      environment: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(api.port('n1')) },
      log: log.log,
      checkIntervalMs: 60_000,
    });
    closers.push(() => credentials.close());
    const client = openApiClient({
      credentials,
      endpoints: { isControlPlane: false, port: 1, vips: [VIP] },
      log: log.log,
    });
    closers.push(() => client.close());
    const leases = openLeaseApi({ client, namespace: 'kube-system', name: 'tokens', deadlineMs: 2000, log: log.log });
    expect(await leases.get()).toMatchObject({ ok: false, failure: 'unauthorized', code: 'API_UNAUTHORIZED' });
    writeFileSync(join(folder, 'token'), await token());
    expect(await leases.get()).toMatchObject({ ok: false, failure: 'not-found' });
    writeFileSync(join(folder, 'token'), 'out.of.date');
    await credentials.refresh(true);
    writeFileSync(join(folder, 'token'), await token());
    expect(await leases.create(RECORD, 'acquire')).toMatchObject({ ok: true });
  });
});

describe('Events and Nodes', () => {
  it('are written, counted and labelled', async () => {
    const { client, log } = await superAdmin();
    const recorder = openEventRecorder({
      client,
      about: { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'kube-system', name: 'cas' },
      node: 'n1',
      log: log.log,
    });
    closers.push(() => recorder.close());
    const note = { type: 'Normal', reason: 'LeadershipGained', message: 'held' } as const;
    for (let count = 0; count < 3; count += 1) recorder.record(note);
    await recorder.flush(5000);
    expect(recorder.dropped).toBe(0);
    const { body } = await api
      .client('n2')
      .request('GET', '/api/v1/namespaces/kube-system/events?fieldSelector=involvedObject.name%3Dcas');
    expect(body).toMatchObject({ items: [{ count: 3, reason: 'LeadershipGained', reportingComponent: 'holdfast' }] });

    await api.client('n1').request('POST', '/api/v1/nodes', { body: { metadata: { name: 'n1' } } });
    expect(await patchNodeLabel(client, 'n1', { key: HAS_IP_LABEL, value: VIP }, 2000)).toMatchObject({ ok: true });
    expect(await getNode(client, 'n1', 2000)).toMatchObject({ ok: true, node: { labels: { [HAS_IP_LABEL]: VIP } } });
  });
});

describe('trust', () => {
  it('is refused to another cluster', async () => {
    const stranger = await RealApi.create({ members: [{ name: 'n1', address: '127.0.0.1' }] });
    closers.push(() => stranger.close());
    const path = stranger.superAdminConf('n1');
    const log = memoryLog();
    const credentials = await openCredentials({ kubeconfigPath: path, environment: {}, log: log.log });
    closers.push(() => credentials.close());
    const client = openApiClient({
      credentials,
      endpoints: { isControlPlane: true, port: api.port('n1'), vips: [VIP] },
      log: log.log,
    });
    closers.push(() => client.close());
    expect(await client.request({ method: 'GET', path: '/version', deadlineMs: 1000 })).toMatchObject({
      ok: false,
      code: 'API_UNTRUSTED',
      failure: 'unreachable',
    });
  });
});
