/**
 * `holdfast doctor` before a real kube-apiserver: rights asked one by one (SelfSubjectAccessReview), Pods of a node by field
 * selector, the certificate that is served; as kubeadm's administrator, and as the service account of our own RBAC.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { generatedFiles } from '../../scripts/docs.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { examine } from '../../src/doctor/examination.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { survey } from '../../src/survey/survey.ts';
import type { ApiClient as AdminClient } from '../lab/api-client.ts';
import { issue } from '../lab/certificates.ts';
import { kubeconfigText } from '../lab/kubeconfig.ts';
import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { readDocuments } from '../unit/config/manifest-reader.ts';

const VIP = '192.0.2.10';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

let api: RealApi;
let admin: AdminClient;
let adminConf = '';
const folder = mkdtempSync(join(tmpdir(), 'holdfast-doctor-'));

beforeAll(async () => {
  console.log(await realApiVersions());
  api = await RealApi.create({ members: [{ name: 'solo', address: '127.0.0.1' }], vips: [VIP] });
  await api.start();
  admin = api.client('solo');
  adminConf = api.adminConf('solo');
});
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function make(path: string, body: unknown): Promise<void> {
  const answer = await admin.request('POST', path, { body });
  expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
}

async function doctor(kubeconfig: string, address = VIP): Promise<readonly Finding[]> {
  const env = { vip_arp: 'true', cp_enable: 'true', svc_enable: 'true', svc_pools: '192.0.2.200/30', address };
  const facts = await survey({
    input: {
      env: { ...env, vip_nodename: 'n1', port: String(api.port('solo')), k8s_config_file: kubeconfig },
      flags: {},
      facts: { hostname: 'n1' },
    },
    manifestsFolder: folder,
    kubernetesFolder: dirname(adminConf),
    isProbing: false,
    readStatus: () => Promise.reject(new HoldfastError('NOT_RUNNING', 'not here')),
  });
  return examine(facts);
}

function of(code: string, findings: readonly Finding[]): readonly string[] {
  return findings.filter((finding) => finding.code === code).map(({ level, evidence }) => `${level}: ${evidence}`);
}

it('as the administrator: every right, the clocks, the certificate; a Node that is not there is said', async () => {
  const findings = await doctor(adminConf);
  expect(of('API_FORBIDDEN', findings)).toEqual([expect.stringMatching(/^ok: all \d{2} things/)]);
  expect(of('CLOCK_SKEW', findings)[0]).toMatch(/^ok/);
  expect(of('CERTIFICATE_LACKS_VIP', findings)[0]).toMatch(/^ok/);
  expect(of('STRICT_ARP_OFF', findings)[0]).toMatch(/^ok: there is no kube-proxy/);
  expect(of('OTHER_LOAD_BALANCER', findings)).toEqual([expect.stringMatching(/^unknown: there is no Node n1/)]);
  expect(of('CERTIFICATE_LACKS_VIP', await doctor(adminConf, '192.0.2.11'))[0]).toMatch(
    /^error: .* is not for 192.0.2.11/,
  );
});

it('with a Node, Pods of it and DaemonSets: another load balancer is found', async () => {
  await make('/api/v1/nodes', { metadata: { name: 'n1' } });
  const spec = { containers: [{ name: 'c', image: 'rancher/klipper-lb:v0.4' }] };
  await make('/apis/apps/v1/namespaces/kube-system/daemonsets', {
    metadata: { name: 'svclb-web-1' },
    spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec } },
  });
  await make('/api/v1/namespaces/kube-system/serviceaccounts', { metadata: { name: 'default' } });
  const mirror = { metadata: { name: 'kube-vip-n1' }, spec: { nodeName: 'n1', containers: [kubeVip()] } };
  await make('/api/v1/namespaces/kube-system/pods', mirror);
  const elsewhere = { metadata: { name: 'kube-vip-n2' }, spec: { nodeName: 'n2', containers: [kubeVip()] } };
  await make('/api/v1/namespaces/kube-system/pods', elsewhere);
  expect(of('OTHER_LOAD_BALANCER', await doctor(adminConf))).toEqual([
    "error: K3s' ServiceLB (DaemonSet kube-system/svclb-web-1) serves Services too",
    'error: kube-vip (Pod kube-system/kube-vip-n1) serves Services too',
  ]);
});

function kubeVip(): Readonly<Record<string, unknown>> {
  return {
    name: 'kube-vip',
    image: 'ghcr.io/kube-vip/kube-vip:v1',
    args: ['manager'],
    env: [{ name: 'svc_enable', value: 'true' }],
  };
}

it('as the service account of manifests/rbac-services.yaml: all it needs is allowed; without its role, what is refused', async () => {
  const user = 'system:serviceaccount:kube-system:holdfast';
  const client = issue(api.authority, {
    name: user,
    groups: ['system:serviceaccounts', 'system:authenticated'],
    usage: 'client',
  });
  const path = join(folder, 'holdfast.conf');
  writeFileSync(path, kubeconfigText({ server: api.url('solo'), user, authority: api.authority, client }));
  const before = await doctor(path);
  expect(of('API_FORBIDDEN', before)).toContain(
    'error: these credentials may not get, list, watch, create, update leases.coordination.k8s.io in namespace kube-system',
  );
  expect(of('API_FORBIDDEN', before)).toContain(
    'error: these credentials may not patch services/status in the cluster',
  );
  expect(of('POOL_CONFLICT', before)[0]).toMatch(/^unknown: .*forbidden/);
  for (const { kind, ...document } of readDocuments(generatedFiles().get('manifests/rbac-services.yaml') ?? '')) {
    const { namespace = '' } = document.metadata;
    const root = kind === 'ServiceAccount' ? '/api/v1' : RBAC;
    await make(`${root}${namespace === '' ? '' : `/namespaces/${namespace}`}/${kind.toLowerCase()}s`, {
      kind,
      ...document,
    });
  }
  await expect
    .poll(async () => of('API_FORBIDDEN', await doctor(path)), { timeout: 20_000 })
    .toEqual([expect.stringMatching(/^ok: all \d{2} things/)]);
});
