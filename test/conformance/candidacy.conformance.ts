/**
 * What the candidates share through the API, against a real etcd and kube-apiserver, as the service account of
 * manifests/rbac.yaml and nobody more: the Secret with the heartbeats' key, the cluster's identity, the members, the
 * Node; and as somebody with the rights kube-vip's manifests give. And looks at the API server itself, killed and frozen.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { generatedFiles } from '../../scripts/docs.ts';
import { openApiClient, type ApiClient } from '../../src/kube/client.ts';
import { openCredentials } from '../../src/kube/credentials.ts';
import { decodeKeys, findClusterUid, followHeartbeatKey } from '../../src/kube/heartbeat-key.ts';
import { openMembers, type RegisteredMember } from '../../src/kube/members.ts';
import { watchNode, type NodeWish } from '../../src/kube/node-watch.ts';
import { openApiProbe } from '../../src/runtime/api-probe.ts';
import type { ApiClient as AdminClient } from '../lab/api-client.ts';
import { waitFor } from '../lab/process.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { readDocuments } from '../unit/config/manifest-reader.ts';
import { memoryLog, type MemoryLog } from '../unit/kube/scripted-api.ts';

const ACCOUNT = 'system:serviceaccount:kube-system:holdfast';
const SECRET = '/api/v1/namespaces/kube-system/secrets/holdfast-heartbeat';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const MEMBER = { name: 'n1', addresses: ['192.0.2.11'], port: 6460, isLeaving: false };
const DETAILS = { apiEndpoint: '192.0.2.11:6443', incarnation: '0011223344556677', versions: '1-1', owner: undefined };

let api: RealApi;
let admin: AdminClient;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  console.log(await realApiVersions());
  api = await RealApi.create({ members: [{ name: 'n1', address: '127.0.0.1' }] });
  await api.start();
  admin = api.client('n1');
  const paths: Readonly<Record<string, string>> = {
    ServiceAccount: '/api/v1/namespaces/kube-system/serviceaccounts',
    Role: `${RBAC}/namespaces/kube-system/roles`,
    RoleBinding: `${RBAC}/namespaces/kube-system/rolebindings`,
    ClusterRole: `${RBAC}/clusterroles`,
    ClusterRoleBinding: `${RBAC}/clusterrolebindings`,
  };
  for (const document of readDocuments(generatedFiles().get('manifests/rbac.yaml') ?? '')) {
    await post(paths[document.kind] ?? '', document);
  }
  // Leases and Nodes, as kube-vip's RBAC has them, and no Secret.
  const rules = [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['*'] }];
  await post(`${RBAC}/clusterroles`, { metadata: { name: 'kube-vip' }, rules });
  await post(`${RBAC}/clusterrolebindings`, {
    metadata: { name: 'kube-vip' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'kube-vip' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'kube-vip' }],
  });
});

afterAll(() => api?.close());

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function post(path: string, body: object): Promise<void> {
  const answer = await admin.request('POST', path, { body });
  expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 201 });
}

async function patch(path: string, body: object): Promise<void> {
  const answer = await admin.request('PATCH', path, { body, contentType: 'application/merge-patch+json' });
  expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 200 });
}

interface Bench {
  readonly client: ApiClient;
  readonly log: MemoryLog;
  readonly common: {
    readonly client: ApiClient;
    readonly namespace: string;
    readonly deadlineMs: number;
    readonly log: MemoryLog['log'];
  };
}

async function as(user: string, isControlPlane = false): Promise<Bench> {
  const log = memoryLog();
  const kubeconfigPath = api.writeKubeconfig('n1', `${user.replaceAll(':', '-')}.conf`, {
    user,
    server: api.url('n1'),
  });
  const credentials = await openCredentials({ kubeconfigPath, environment: {}, log: log.log });
  const client = openApiClient({
    credentials,
    endpoints: { isControlPlane, port: isControlPlane ? api.port('n1') : 1, vips: [] },
    log: log.log,
  });
  closers.push(
    () => credentials.close(),
    () => client.close(),
  );
  return { client, log, common: { client, namespace: 'kube-system', deadlineMs: 5000, log: log.log } };
}

function follow(bench: Bench): Uint8Array[][] {
  const told: Uint8Array[][] = [];
  const following = followHeartbeatKey({
    ...bench.common,
    onKeys: (keys) => told.push([...keys]),
    forbiddenPauseMs: 200,
  });
  closers.push(() => following.stop());
  return told;
}

describe('with the rights of manifests/rbac.yaml', () => {
  it('the key is made once, and followed by everybody when it is rotated', async () => {
    const [first, second] = [follow(await as(ACCOUNT)), follow(await as(ACCOUNT))];
    await waitFor('both have the key', () => first.length > 0 && second.length > 0);
    const stored = await admin.request('GET', SECRET);
    const [key] = decodeKeys(stored.body as Record<string, unknown>);
    expect(key?.length).toBe(32);
    expect([first[0]?.[0], second[0]?.[0]]).toEqual([key, key]);
    const [next, previous] = [Buffer.alloc(32, 7).toString('base64'), Buffer.from(key ?? []).toString('base64')];
    await patch(SECRET, { data: { key: next, previous } });
    await waitFor('both have both', () => first.at(-1)?.length === 2 && second.at(-1)?.length === 2);
    expect(first.at(-1)).toEqual([new Uint8Array(32).fill(7), key]);
    await admin.request('DELETE', SECRET);
    await waitFor('a key of their own making', () => first.at(-1)?.length === 1 && second.at(-1)?.length === 1);
    await waitFor('the same one', () => String(first.at(-1)) === String(second.at(-1)));
  });

  it("the cluster's identity is the uid of kube-system", async () => {
    const { common } = await as(ACCOUNT);
    const found: string[] = [];
    const finding = findClusterUid({ ...common, onUid: (uid) => found.push(uid) });
    closers.push(() => finding.stop());
    await waitFor('the uid', () => found.length > 0);
    const stored = (await admin.request('GET', '/api/v1/namespaces/kube-system')).body as { metadata: { uid: string } };
    expect(found).toEqual([stored.metadata.uid]);
  });

  it('members register, each write reaches etcd, and everybody sees them come and go', async () => {
    const [one, two] = [await as(ACCOUNT), await as(ACCOUNT)];
    const options = { leaseName: 'plndr-cp-lock' };
    const members = openMembers({ ...one.common, ...options });
    const told: (readonly RegisteredMember[])[] = [];
    const watch = openMembers({ ...two.common, ...options }).watch((list) => told.push(list));
    closers.push(() => watch.stop());
    await waitFor('an empty register', () => told.length > 0);
    expect(await members.register(MEMBER, DETAILS)).toEqual({ ok: true });
    await waitFor('a member', () => told.at(-1)?.length === 1);
    expect(told.at(-1)).toEqual([{ ...MEMBER, apiEndpoint: '192.0.2.11:6443' }]);
    const path = `${LEASES}/holdfast-member-n1`;
    const version = async (): Promise<string> =>
      ((await admin.request('GET', path)).body as { metadata: { resourceVersion: string } }).metadata.resourceVersion;
    const before = await version();
    expect(await members.register(MEMBER, DETAILS)).toEqual({ ok: true });
    expect(await version()).not.toBe(before);
    await patch(path, { metadata: { annotations: { 'example.org/a': 'b' } } });
    expect(await members.register({ ...MEMBER, isLeaving: true }, DETAILS)).toEqual({ ok: true });
    await waitFor('it says that it leaves', () => told.at(-1)?.[0]?.isLeaving === true);
    await admin.request('DELETE', path);
    await waitFor('nobody', () => told.at(-1)?.length === 0);
    expect(await members.register(MEMBER, DETAILS)).toEqual({ ok: true });
    // A Node that owns its member, as the garbage collector wants to see it.
    await post('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } });
    const node = (await admin.request('GET', '/api/v1/nodes/n1')).body as { metadata: { uid: string } };
    const owner = { name: 'n1', uid: node.metadata.uid };
    expect(await members.register(MEMBER, { ...DETAILS, owner })).toEqual({ ok: true });
    expect((await admin.request('GET', path)).body).toMatchObject({
      metadata: { ownerReferences: [{ uid: owner.uid }] },
    });
  });

  it("the Node's cordon and taint are seen", async () => {
    const { common } = await as(ACCOUNT);
    await admin.request('POST', '/api/v1/nodes', {
      body: { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n2' } },
    });
    const told: (NodeWish | undefined)[] = [];
    const watch = watchNode({ ...common, node: 'n2', listener: (wish) => told.push(wish) });
    closers.push(() => watch.stop());
    await waitFor('the Node', () => told.length > 0);
    await patch('/api/v1/nodes/n2', { spec: { unschedulable: true } });
    await waitFor('the cordon', () => told.at(-1)?.reason === 'cordoned');
    const taint = { key: 'node.kubernetes.io/out-of-service', value: 'x', effect: 'NoExecute' };
    await patch('/api/v1/nodes/n2', { spec: { unschedulable: null, taints: [taint] } });
    await waitFor('the taint', () => told.at(-1)?.reason.startsWith('taint') === true);
    await patch('/api/v1/nodes/n2', { spec: { taints: null } });
    await waitFor('the end of it', () => told.at(-1)?.isDraining === false);
  });
});

describe("with the rights of kube-vip's manifests", () => {
  it('heartbeats wait, and one line says what to do; rights come without a restart', async () => {
    const bench = await as('kube-vip');
    const told = follow(bench);
    await waitFor('a warning', () => bench.log.lines.some((line) => line.level === 'warn'));
    expect(bench.log.lines.find((line) => line.level === 'warn')).toMatchObject({
      msg: 'heartbeats are off until this is allowed, the lease decides alone',
      fields: { code: 'API_FORBIDDEN', remedy: expect.stringContaining('holdfast manifest rbac') as string },
    });
    expect(told).toEqual([]);
    await post(`${RBAC}/namespaces/kube-system/rolebindings`, {
      metadata: { name: 'kube-vip' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'holdfast' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'kube-vip' }],
    });
    await waitFor('the key', () => told.length > 0);
    expect(bench.log.lines.filter((line) => line.level === 'warn')).toHaveLength(1);
  });
});

describe("this node's own API server", () => {
  it('is seen well, frozen, thawed, killed and back', async () => {
    const { client } = await as(ACCOUNT, true);
    const looks: { readonly isHealthy: boolean; readonly message: string; readonly at: number }[] = [];
    const probe = openApiProbe({
      intervalMs: 1000,
      probe: (look) => client.probeLocal(look),
      onAnswer: (isHealthy, message) => looks.push({ isHealthy, message, at: performance.now() }),
    });
    closers.push(() => probe.close());
    /** From now to the second look in a row that says so, ms. */
    const until = async (isHealthy: boolean): Promise<number> => {
      const from = performance.now();
      const isSeen = (): boolean => {
        const last = looks.slice(-2).filter((look) => look.isHealthy === isHealthy && look.at > from);
        return last.length === 2;
      };
      await waitFor(`two looks that are ${isHealthy}`, isSeen);
      return Math.round(performance.now() - from);
    };
    await until(true);
    api.processesOf('n1').apiServer?.kill('SIGSTOP');
    const frozenMs = await until(false);
    api.processesOf('n1').apiServer?.kill('SIGCONT');
    const thawedMs = await until(true);
    api.processesOf('n1').apiServer?.kill('SIGKILL');
    const killedMs = await until(false);
    console.log(`two looks after: frozen ${frozenMs} ms, thawed ${thawedMs} ms, killed ${killedMs} ms`);
    expect(frozenMs).toBeLessThan(20_000);
    expect(killedMs).toBeLessThan(10_000);
    api.startApiServer('n1');
    await api.waitReady('n1');
    await until(true);
  });
});
