/**
 * Services by the running program with the rights of our manifest and nothing else: one node, a real etcd and
 * kube-apiserver with its RBAC authorizer, the service account's own token (TokenRequest), pools from every source. And
 * with a right taken away: it says which one, and doesn't ask over and over.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { asObject } from '../../src/base/json.ts';
import { newestDefinitions } from '../lab/custom-resources.ts';
import { kubeconfigText } from '../lab/kubeconfig.ts';
import { waitFor } from '../lab/process.ts';
import { realApiVersions } from '../lab/real-api.ts';
import { ServicesCluster } from '../lab/services-cluster.ts';
import { giveRights, insist } from './bench.ts';

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const SYSTEM = '/api/v1/namespaces/kube-system';
/** Refused requests that a watch may cost in a quarter of a minute, with its pauses growing. */
const REFUSED_MAX = 12;

let services: ServicesCluster;

beforeAll(async () => {
  console.log(await realApiVersions());
  services = await ServicesCluster.create({ prefix: 'hf-r', nodes: 1, api: 'real', env: { svc_election: 'true' } });
  await services.createNodes();
  const client = services.cluster.apiClient();
  for (const { document } of await newestDefinitions()) {
    await insist(client, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { body: document });
  }
  await giveRights(client, 'manifests/rbac-services.yaml');
  services.configure({ k8s_config_file: await accountKubeconfig() });
  await makePools();
  await services.startAll();
}, 300_000);

afterAll(() => services?.close());

/** As a Pod of the DaemonSet has it: a token and the cluster's CA, no certificate. */
async function accountKubeconfig(): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3_600 } };
  const path = `${SYSTEM}/serviceaccounts/holdfast/token`;
  const answer = await insist(services.cluster.apiClient(), 'POST', path, { body });
  const token = asObject(answer['status'])?.['token'];
  if (typeof token !== 'string') throw new Error('no token');
  const real = services.cluster.realApi();
  const file = join(real.folder, 'account.conf');
  const { authority } = real;
  writeFileSync(file, kubeconfigText({ server: real.url('n1'), user: 'holdfast', authority, token }));
  return file;
}

async function makePools(): Promise<void> {
  const client = services.cluster.apiClient();
  const { lab } = services;
  await insist(client, 'POST', `${SYSTEM}/configmaps`, {
    body: { metadata: { name: 'kubevip' }, data: { 'range-other': `${lab.ipv4(150)}-${lab.ipv4(151)}` } },
  });
  await insist(client, 'POST', '/api/v1/namespaces', { body: { metadata: { name: 'other' } } });
  const metallb = '/apis/metallb.io/v1beta1/namespaces/default';
  const make = (path: string, body: object): Promise<boolean> =>
    waitFor('the kind is served', async () => (await client.request('POST', path, { body })).status === 201, {
      deadlineMs: 60_000,
      everyMs: 300,
    });
  const meta = { metadata: { name: 'lan' } };
  const ofMetallb = { apiVersion: 'metallb.io/v1beta1', ...meta };
  await make(`${metallb}/ipaddresspools`, {
    ...ofMetallb,
    kind: 'IPAddressPool',
    spec: { addresses: [`${lab.ipv4(160)}/32`], autoAssign: false },
  });
  await make(`${metallb}/l2advertisements`, { ...ofMetallb, kind: 'L2Advertisement', spec: {} });
  const version = 'v2alpha1';
  await make(`/apis/cilium.io/${version}/ciliumloadbalancerippools`, {
    apiVersion: `cilium.io/${version}`,
    kind: 'CiliumLoadBalancerIPPool',
    ...meta,
    spec: {
      blocks: [{ cidr: `${lab.ipv4(170)}/32` }],
      serviceSelector: { matchLabels: { pool: 'cilium' } },
    },
  });
  await make(`/apis/cilium.io/${version}/ciliuml2announcementpolicies`, {
    apiVersion: `cilium.io/${version}`,
    kind: 'CiliumL2AnnouncementPolicy',
    ...meta,
    spec: { loadBalancerIPs: true, interfaces: ['eth0'] },
  });
}

function refusals(): readonly string[] {
  const [node] = services.lab.nodes;
  if (node === undefined) throw new Error('a cluster without nodes');
  const { lines } = services.cluster.manager(node);
  return lines.map(({ text }) => text).filter((text) => /forbidden|API_FORBIDDEN|\b403\b/i.test(text));
}

/** What the API server counted: requests that it refused, by the product alone (the administrator is never refused). */
async function refusedCount(): Promise<number> {
  const { body } = await services.cluster.apiClient().request('GET', '/metrics', { deadlineMs: 30_000 });
  const rows = String(body).split('\n');
  return rows
    .filter((row) => row.startsWith('apiserver_request_total{') && row.includes('code="403"'))
    .reduce((sum, row) => sum + Number(row.split(' ').at(-1)), 0);
}

describe('with the rights of manifests/rbac-services.yaml', () => {
  it('serves Services from pools of every source, and nothing is refused', async () => {
    const { lab } = services;
    await services.create({ name: 'web-own' });
    await services.create({ name: 'web-metallb', annotations: { 'metallb.io/address-pool': 'lan' } });
    await services.create({ name: 'web-cilium', labels: { pool: 'cilium' } });
    const addresses = await services.served(3, 60_000);
    expect(addresses).toContain(lab.ipv4(160));
    expect(addresses).toContain(lab.ipv4(170));
    await waitFor('each is answered for', () => addresses.every((each) => lab.whoHolds(each).length === 1), {
      deadlineMs: 30_000,
    });
    await services.told(({ conditions }) => conditions.get('holdfast.io/Announced') === 'True', 30_000);
    await services.event('web-own', /^AddressAllocated/);
    const [node] = lab.nodes;
    if (node === undefined) return;
    services.holdfast(node, ['drain', '--timeout', '1'], { mayFail: true });
    services.holdfast(node, ['drain', '--undo']);
    expect(refusals()).toEqual([]);
    expect(await refusedCount()).toBe(0);
  }, 180_000);
});

describe('with a right taken away', () => {
  it('says once which verb of which resource is missing, serves on, and does not ask over and over', async () => {
    const client = services.cluster.apiClient();
    const name = `${RBAC}/clusterroles/system:holdfast-role`;
    const role = await insist(client, 'GET', name);
    const rules = role['rules'] as readonly {
      readonly resources: readonly string[];
      readonly verbs: readonly string[];
    }[];
    const without = rules.map((rule) =>
      rule.resources.includes('services/status') ? { ...rule, verbs: ['get'] } : rule,
    );
    await insist(client, 'PUT', name, { body: { ...role, rules: without } });
    const before = await refusedCount();
    await services.create({ name: 'web-refused' });
    const [node] = services.lab.nodes;
    if (node === undefined) return;
    await services.cluster.manager(node).waitForLine(/services\/status/, 60_000);
    await services.quiet(15_000);
    // Once as a problem with the API, once as what that means, for however many Services wait.
    const told = refusals();
    expect(told).toHaveLength(2);
    for (const text of told) expect(text).toMatch(/may patch services\/status/);
    expect((await refusedCount()) - before).toBeLessThan(REFUSED_MAX);
    const { body } = await client.request('GET', `${RBAC}/clusterroles/system:holdfast-role`);
    await insist(client, 'PUT', name, { body: { ...asObject(body), rules } });
    await services.event('web-refused', /^AddressAllocated/, 60_000);
  }, 180_000);
});
