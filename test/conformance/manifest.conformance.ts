/**
 * The generated manifests before a real kube-apiserver: admitted with fieldValidation=Strict, and the role allows exactly
 * what Holdfast does, as the API server's own authorizer sees it.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generatedFiles } from '../../scripts/docs.ts';
import { runManifest, type ManifestFlags, type ManifestKind } from '../../src/cli/manifest.ts';
import type { ApiClient } from '../lab/api-client.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { readDocuments, type ManifestDocument } from '../unit/config/manifest-reader.ts';

const ARP = { interface: 'eth0', address: '192.0.2.10', controlplane: 'true', arp: 'true' };
const ACCOUNT = 'system:serviceaccount:kube-system:holdfast';
/** Of the role for Services, which stands beside the other under a name of its own. */
const SERVICES_ACCOUNT = 'system:serviceaccount:kube-system:holdfast-lb';
const SERVICES = { controlplane: 'false', services: 'true' };

/** Resource paths of the kinds we write. */
const PATHS: Readonly<Record<string, string>> = {
  Pod: '/api/v1/namespaces/kube-system/pods',
  ServiceAccount: '/api/v1/namespaces/kube-system/serviceaccounts',
  DaemonSet: '/apis/apps/v1/namespaces/kube-system/daemonsets',
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
};

let api: RealApi;
let client: ApiClient;

beforeAll(async () => {
  console.log(await realApiVersions());
  api = await RealApi.create({ members: [{ name: 'solo', address: '127.0.0.1' }] });
  await api.start();
  client = api.client('solo');
  // What the controller manager would make; the account of a pod must exist for the pod to be admitted.
  await create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } });
  for (const document of readDocuments(generatedFiles().get('manifests/rbac.yaml') ?? '')) await create(document);
  for (const document of manifest('rbac', SERVICES, { name: 'holdfast-lb' })) await create(document);
});

afterAll(() => api.close());

async function create(
  document: ManifestDocument,
  query = '',
): Promise<{ readonly status: number; readonly body: unknown }> {
  const path = PATHS[document.kind];
  if (path === undefined) throw new Error(`no path for ${document.kind}`);
  return client.request('POST', `${path}?fieldValidation=Strict${query}`, { body: document });
}

function manifest(
  kind: ManifestKind,
  settings: Readonly<Record<string, string>>,
  flags: ManifestFlags,
): readonly ManifestDocument[] {
  const input = { env: {}, flags: { ...ARP, ...settings }, facts: { hostname: 'builder' } };
  return readDocuments(runManifest(kind, { input, flags, version: '1.2.3' }).stdout);
}

describe('a real API server admits', () => {
  const checkedIn = [...generatedFiles()].filter(([path]) => path.endsWith('.yaml'));

  test.each(checkedIn)('%s', async (path, text) => {
    const documents = readDocuments(text);
    expect(documents.length, path).toBeGreaterThan(0);
    for (const document of documents) {
      const answer = await create(document, '&dryRun=All');
      // 409: rbac.yaml is there already, created without a dry run.
      const expected = path.startsWith('manifests/rbac') ? 409 : 201;
      expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: expected });
    }
  });

  test.each<readonly [ManifestKind, Readonly<Record<string, string>>, ManifestFlags]>([
    ['pod', {}, { inCluster: true }],
    ['pod', { prometheusHTTPServer: '' }, {}],
    ['pod', { k8sConfigPath: '/etc/rancher/k3s/k3s.yaml', healthCheckPort: '8080' }, { certificatesDir: '' }],
    ['pod', { leaseAnnotations: '{"a":"b"}', bgp: 'true', bgppeers: '10.0.0.1:65000:x' }, { name: 'kube-vip' }],
    ['daemonset', {}, {}],
    ['daemonset', {}, { taint: true }],
    ['rbac', {}, { role: true, name: 'other' }],
    ['rbac', {}, { rolebinding: true, name: 'other' }],
    ['rbac', SERVICES, { name: 'other' }],
    ['rbac', SERVICES, { role: true, name: 'other' }],
    ['rbac', SERVICES, { rolebinding: true, name: 'other' }],
    ['daemonset', { ...SERVICES, servicesElection: 'true' }, { inCluster: true }],
  ])('%s %j %j', async (kind, settings, flags) => {
    for (const document of manifest(kind, settings, flags)) {
      const answer = await create(document, '&dryRun=All');
      expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 201 });
    }
  });

  test('no misspelled field', async () => {
    const [pod] = manifest('pod', {}, {});
    if (pod === undefined) throw new Error('there is no pod');
    const answer = await create({ ...pod, spec: { ...(pod.spec as object), hostNetwrok: true } }, '&dryRun=All');
    expect(answer.status).toBe(400);
  });

  test('the priority of the class, so that pod and class agree', async () => {
    const [pod] = manifest('pod', {}, {});
    if (pod === undefined) throw new Error('there is no pod');
    const answer = await create({ ...pod, spec: { ...(pod.spec as object), priority: 7 } }, '&dryRun=All');
    expect(answer.status).toBe(403);
  });
});

/** `resource` may name a subresource: services/status. */
async function mayUser(
  user: string,
  verb: string,
  [group, resourcePath]: readonly [group: string, resource: string],
  place: { readonly namespace?: string | undefined; readonly name?: string | undefined },
): Promise<boolean> {
  const [resource, subresource] = resourcePath.split('/');
  const answer = await client.request('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user, resourceAttributes: { verb, group, resource, subresource, ...place } },
    },
  });
  expect(answer.status).toBe(201);
  return (answer.body as { readonly status: { readonly allowed: boolean } }).status.allowed;
}

describe('the role allows', () => {
  const isAllowed = (
    verb: string,
    group: string,
    resource: string,
    namespace?: string,
    name?: string,
  ): Promise<boolean> => mayUser(ACCOUNT, verb, [group, resource], { namespace, name });

  test.each([
    ...['get', 'list', 'watch', 'create', 'update'].map(
      (verb) => [verb, 'coordination.k8s.io', 'leases', 'kube-system'] as const,
    ),
    ...['create', 'patch'].map((verb) => [verb, '', 'events', 'kube-system'] as const),
    ...['get', 'list', 'watch'].map((verb) => [verb, '', 'nodes', undefined] as const),
  ])('%s %s/%s in %s', async (verb, group, resource, namespace) => {
    expect(await isAllowed(verb, group, resource, namespace)).toBe(true);
  });

  test('the one Secret, and the identity of the cluster', async () => {
    for (const verb of ['get', 'list', 'watch']) {
      expect(await isAllowed(verb, '', 'secrets', 'kube-system', 'holdfast-heartbeat')).toBe(true);
      expect(await isAllowed(verb, '', 'secrets', 'kube-system', 'other')).toBe(false);
    }
    expect(await isAllowed('create', '', 'secrets', 'kube-system')).toBe(true);
    expect(await isAllowed('update', '', 'secrets', 'kube-system', 'holdfast-heartbeat')).toBe(false);
    expect(await isAllowed('get', '', 'namespaces', 'kube-system', 'kube-system')).toBe(true);
    expect(await isAllowed('get', '', 'namespaces', 'default', 'default')).toBe(false);
  });

  test.each([
    ['delete', 'coordination.k8s.io', 'leases', 'kube-system'],
    ['get', 'coordination.k8s.io', 'leases', 'default'],
    ['create', '', 'events', 'default'],
    ['create', 'events.k8s.io', 'events', 'kube-system'],
    ['get', '', 'secrets', 'kube-system'],
    ['list', '', 'pods', 'kube-system'],
    ['update', '', 'nodes', undefined],
    ['get', '', 'configmaps', 'kube-system'],
    ['list', '', 'services', undefined],
  ] as const)('not %s %s/%s in %s', async (verb, group, resource, namespace) => {
    expect(await isAllowed(verb, group, resource, namespace)).toBe(false);
  });
});

describe('the role for Services allows', () => {
  const isAllowed = (verb: string, group: string, resource: string, namespace?: string, name?: string) =>
    mayUser(SERVICES_ACCOUNT, verb, [group, resource], { namespace, name });
  const METALLB = ['ipaddresspools', 'l2advertisements', 'bgpadvertisements'] as const;
  const CILIUM = ['ciliumloadbalancerippools', 'ciliuml2announcementpolicies'] as const;

  test.each([
    ...(['list', 'watch'] as const).flatMap((verb) => [
      [verb, '', 'services', undefined, undefined] as const,
      [verb, '', 'nodes', undefined, undefined] as const,
      [verb, '', 'namespaces', undefined, undefined] as const,
      [verb, 'discovery.k8s.io', 'endpointslices', undefined, undefined] as const,
      [verb, '', 'configmaps', 'kube-system', 'kubevip'] as const,
      [verb, '', 'configmaps', 'kube-system', 'holdfast-owners-plndr-svcs-lock'] as const,
      [verb, '', 'configmaps', 'kube-system', 'holdfast-owners-plndr-cp-lock'] as const,
      ...METALLB.map((resource) => [verb, 'metallb.io', resource, undefined, undefined] as const),
      ...CILIUM.map((resource) => [verb, 'cilium.io', resource, undefined, undefined] as const),
    ]),
    ['patch', '', 'services/status', 'shop', 'web'],
    ['create', '', 'events', 'shop', undefined],
    ['patch', '', 'events', 'shop', 'web.1'],
    ['create', '', 'configmaps', 'kube-system', undefined],
    ['update', '', 'configmaps', 'kube-system', 'holdfast-owners-plndr-svcs-lock'],
    ['update', 'coordination.k8s.io', 'leases', 'kube-system', 'plndr-svcs-lock'],
  ] as const)('%s %s/%s in %s %s', async (verb, group, resource, namespace, name) => {
    expect(await isAllowed(verb, group, resource, namespace, name)).toBe(true);
  });

  test.each([
    ['patch', '', 'services', 'shop', 'web'],
    ['update', '', 'services/status', 'shop', 'web'],
    ['delete', '', 'services', 'shop', 'web'],
    ['update', '', 'configmaps', 'kube-system', 'kubevip'],
    ['get', '', 'configmaps', 'kube-system', 'other'],
    ['list', '', 'configmaps', 'kube-system', undefined],
    ['create', '', 'configmaps', 'shop', undefined],
    ['patch', '', 'namespaces', undefined, 'shop'],
    ['patch', 'metallb.io', 'ipaddresspools', 'metallb-system', 'lan'],
    ['get', '', 'secrets', 'kube-system', 'other'],
    ['list', '', 'pods', undefined, undefined],
  ] as const)('not %s %s/%s in %s %s', async (verb, group, resource, namespace, name) => {
    expect(await isAllowed(verb, group, resource, namespace, name)).toBe(false);
  });
});
