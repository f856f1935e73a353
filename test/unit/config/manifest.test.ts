import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { generatedFiles } from '../../../scripts/docs.ts';
import { runKubeadm } from '../../../src/cli/kubeadm.ts';
import { runManifest, type ManifestFlags, type ManifestKind } from '../../../src/cli/manifest.ts';
import { PROBE_PORT } from '../../../src/config/manifest/environment.ts';
import type { ConfigInput } from '../../../src/config/parse.ts';
import schema from '../../vectors/kubernetes/openapi-1.36.3.json' with { type: 'json' };
import { environmentOf, podSpecOf, readDocuments } from './manifest-reader.ts';
import { parseWith } from './parse-with.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const ARP = { interface: 'eth0', address: '192.0.2.10', controlplane: 'true', arp: 'true' };

const SERVICES = { arp: 'true', services: 'true' };
/** Lease, Services and ConfigMap in three namespaces. */
const PLACES = { servicesLeaseName: 'infra/lb', serviceNamespace: 'shop', servicesConfigMapNamespace: 'pools' };

function inputOf(flags: Readonly<Record<string, string>>): ConfigInput {
  return { env: {}, flags, facts: { hostname: 'builder' } };
}

function manifest(
  kind: ManifestKind,
  settings: Readonly<Record<string, string>> = ARP,
  flags: ManifestFlags = {},
): string {
  const { stdout, stderr, exitCode } = runManifest(kind, { input: inputOf(settings), flags, version: '1.2.3' });
  expect(stderr).toBe('');
  expect(exitCode).toBe(0);
  return stdout;
}

function podSpec(
  settings: Readonly<Record<string, string>> = ARP,
  flags: ManifestFlags = {},
): ReturnType<typeof podSpecOf> {
  return podSpecOf(manifest('pod', settings, flags));
}

describe('generated files', () => {
  const files = [...generatedFiles()];

  test('are these', () => {
    expect(files.map(([path]) => path)).toEqual([
      'docs/configuration.md',
      'docs/annotations.md',
      'docs/errors.md',
      'docs/metrics.md',
      'manifests/pod.yaml',
      'manifests/pod-dual-stack.yaml',
      'manifests/daemonset.yaml',
      'manifests/rbac.yaml',
      'manifests/daemonset-services.yaml',
      'manifests/rbac-services.yaml',
    ]);
  });

  test.each(files)('%s is as checked in (else: node scripts/docs.ts)', (path, text) => {
    expect(readFileSync(join(ROOT, path), 'utf8')).toBe(text);
  });
});

describe("against the API's own schema (Kubernetes 1.36.3, unknown fields refused)", () => {
  const ajv = new Ajv({
    strict: false,
    formats: { int32: true, int64: true, 'int-or-string': true, 'date-time': true },
  });
  ajv.addSchema({ $id: 'kubernetes', definitions: schema.definitions });
  const check = (document: { readonly kind: string }): readonly string[] => {
    const name = schema.kinds.find((kind) => kind.endsWith(`.${document.kind}`));
    const validate = ajv.getSchema(`kubernetes#/definitions/${name ?? '?'}`);
    if (validate === undefined) return [`no schema for ${document.kind}`];
    return validate(document) === true
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`);
  };

  const variants: readonly (readonly [string, string, number])[] = [
    ['pod', manifest('pod'), 1],
    ['dual-stack pod', manifest('pod', { ...ARP, address: '192.0.2.10,2001:db8::10' }), 1],
    ['pod in the cluster', manifest('pod', ARP, { inCluster: true }), 1],
    ['pod without metrics', manifest('pod', { ...ARP, prometheusHTTPServer: '' }), 1],
    ['pod with another kubeconfig', manifest('pod', { ...ARP, k8sConfigPath: '/etc/rancher/k3s/k3s.yaml' }), 1],
    ['daemonset', manifest('daemonset'), 1],
    ['daemonset on control-plane nodes', manifest('daemonset', ARP, { taint: true, inCluster: true }), 1],
    ['rbac', manifest('rbac', {}), 5],
    ['rbac --role', manifest('rbac', {}, { role: true }), 3],
    ['rbac --rolebinding', manifest('rbac', {}, { rolebinding: true }), 3],
    ['rbac for Services', manifest('rbac', SERVICES), 5],
    ['rbac for Services of one namespace', manifest('rbac', { ...SERVICES, ...PLACES }), 9],
    ['rbac --role for Services', manifest('rbac', { ...SERVICES, ...PLACES }, { role: true }), 7],
    ['rbac --rolebinding for Services', manifest('rbac', { ...SERVICES, ...PLACES }, { rolebinding: true }), 5],
  ];

  test.each(variants)('%s is valid', (_, text, count) => {
    const documents = readDocuments(text);
    expect(documents).toHaveLength(count);
    for (const document of documents) expect(check(document)).toEqual([]);
  });

  test('a misspelled field, a wrong type and a missing one are found', () => {
    const [pod] = readDocuments(manifest('pod'));
    expect(check({ ...pod, kind: 'Pod', spec: { containers: [], hostNetwrok: true } } as { kind: string })).not.toEqual(
      [],
    );
    expect(
      check({ ...pod, kind: 'Pod', spec: { containers: [], hostNetwork: 'yes' } } as { kind: string }),
    ).not.toEqual([]);
    expect(check({ ...pod, kind: 'Pod', spec: {} } as { kind: string })).not.toEqual([]);
  });
});

describe('the pod', () => {
  test.each([
    ARP,
    { ...ARP, address: 'vip.example.org', dnsMode: 'dual', vipSubnet: '24,64' },
    { ...ARP, leaseDuration: '5', leaseRenewDuration: '3', leaseRetry: '1', leaseName: 'infra/vip', port: '7443' },
    {
      ...ARP,
      leaseAnnotations: '{"a":"b: c #"}',
      log: '-4',
      prometheusHTTPServer: '127.0.0.1:9100',
      healthCheckPort: '8080',
    },
    {
      ...ARP,
      probeInterval: '20ms',
      conflictPolicy: 'yield',
      apiTimeout: '900ms',
      arpRate: '750',
      addressLifetime: '2',
    },
    { ...ARP, prometheusHTTPServer: '' },
    { interface: 'eth0', vip: '192.0.2.9', controlplane: 'true', arp: 'true', allowInterfaceNotUp: 'true' },
    { ...ARP, k8sConfigPath: '/etc/kubernetes/super-admin.conf' },
  ])('holds exactly what its flags said: %j', (flags) => {
    const { stdout } = runManifest('pod', { input: inputOf(flags), flags: {}, version: '1.2.3' });
    const { env, args } = environmentOf(podSpecOf(stdout), 'node-7');
    const argFlags = Object.fromEntries(args.slice(1).map((arg) => arg.slice(2).split('=', 2))) as Record<
      string,
      string
    >;
    const back = parseWith({ env, flags: argFlags });
    expect(back.problems).toEqual([]);
    const expected = { healthCheckPort: String(PROBE_PORT), ...flags, nodeName: 'node-7' };
    expect(back.config).toEqual(parseWith({ env: {}, flags: expected }).config);
  });

  test('names only what differs from the defaults, and what a reader looks for', () => {
    expect(podSpec().containers[0]?.env?.map(({ name }) => name)).toEqual([
      'cp_enable',
      'vip_arp',
      'address',
      'vip_interface',
      'health_check_port',
      'vip_nodename',
    ]);
  });

  test('says in one way what can be said in two, and takes the identity from the node it runs on', () => {
    const file = { path: '/c.yaml', text: 'address: 192.0.2.9\n' };
    const input = { ...inputOf({ ...ARP, address: '', nodeName: 'a', 'config-file': '/c.yaml' }), file };
    const { stdout } = runManifest('pod', { input, flags: {}, version: '1.2.3' });
    expect(stdout).toBe(manifest('pod', { ...ARP, address: '192.0.2.9' }));
    const older = runManifest('pod', {
      input: inputOf({ ...ARP, address: '', vip: '192.0.2.9' }),
      flags: {},
      version: '1.2.3',
    });
    expect(older.stdout).toBe(stdout);
  });

  test('has NET_ADMIN and NET_RAW and nothing else', () => {
    const [container] = podSpec().containers;
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsGroup: 0,
      runAsUser: 0,
    });
    expect(podSpec().securityContext).toEqual({ seccompProfile: { type: 'RuntimeDefault' } });
  });

  test('stays unprivileged with lb_fwdmethod=masquerade, which makes kube-vip privileged', () => {
    const { stdout } = runManifest('pod', {
      input: inputOf({ ...ARP, lbForwardingMethod: 'masquerade' }),
      flags: {},
      version: '1.2.3',
    });
    expect(stdout).not.toContain('privileged');
  });

  test('has a priority, requests and probes', () => {
    const spec = podSpec();
    expect(spec.priorityClassName).toBe('system-node-critical');
    expect(spec.containers[0]?.resources).toEqual({ requests: { cpu: '20m', memory: '64Mi' } });
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
      expect(spec.containers[0]?.[probe]?.httpGet).toMatchObject({ host: '127.0.0.1', port: PROBE_PORT });
    }
    expect(spec.containers[0]?.readinessProbe?.httpGet?.path).toBe('/readyz');
    expect(spec.containers[0]?.livenessProbe?.httpGet?.path).toBe('/livez');
  });

  test.each([
    [{}, { host: '127.0.0.1', port: PROBE_PORT }],
    [{ prometheusHTTPServer: '' }, { host: '127.0.0.1', port: PROBE_PORT }],
    [
      { healthCheckPort: '0', prometheusHTTPServer: '10.0.0.1:9100' },
      { host: '10.0.0.1', port: 9100 },
    ],
    [
      { healthCheckPort: '0', prometheusHTTPServer: '0.0.0.0:9100' },
      { host: '127.0.0.1', port: 9100 },
    ],
    [
      { healthCheckPort: '0', prometheusHTTPServer: '[::]:9100' },
      { host: '127.0.0.1', port: 9100 },
    ],
    [{ healthCheckPort: '8080' }, { host: '127.0.0.1', port: 8080 }],
    [
      { healthCheckPort: '8080', prometheusHTTPServer: '' },
      { host: '127.0.0.1', port: 8080 },
    ],
  ])('is probed where it listens: %j', (flags, expected) => {
    expect(podSpec({ ...ARP, ...flags }).containers[0]?.livenessProbe?.httpGet).toMatchObject(expected);
  });

  test('has no probes when nothing listens, and says so', () => {
    const text = manifest('pod', { ...ARP, prometheusHTTPServer: '', healthCheckPort: '0' });
    expect(podSpecOf(text).containers[0]).not.toHaveProperty('livenessProbe');
    expect(podSpecOf(text).containers[0]?.args).toEqual(['manager', '--prometheusHTTPServer=']);
    expect(text).toContain('# No probes');
  });

  test('sees the kubeconfigs of /etc/kubernetes read-only, and no private key', () => {
    const spec = podSpec();
    expect(spec.containers[0]?.volumeMounts).toEqual([
      { name: 'kubernetes', mountPath: '/etc/kubernetes', readOnly: true },
      { name: 'no-keys', mountPath: '/etc/kubernetes/pki', readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
    ]);
    expect(spec.volumes).toContainEqual({
      name: 'kubernetes',
      hostPath: { path: '/etc/kubernetes', type: 'Directory' },
    });
    expect(spec.volumes).toContainEqual({ name: 'no-keys', emptyDir: {} });
    expect(spec).not.toHaveProperty('hostAliases');
  });

  test.each([
    ['', undefined],
    ['/srv/pki', undefined],
    ['/etc/kubernetes/ssl', '/etc/kubernetes/ssl'],
  ])('with certificatesDir %j covers %s', (certificatesDir, covered) => {
    const mounts = podSpec(ARP, { certificatesDir }).containers[0]?.volumeMounts ?? [];
    expect(mounts.find(({ name }) => name === 'no-keys')?.mountPath).toBe(covered);
  });

  test('sees a kubeconfig elsewhere as that file only', () => {
    const spec = podSpec({ ...ARP, k8sConfigPath: '/etc/rancher/k3s/k3s.yaml' });
    expect(spec.volumes?.[0]).toEqual({
      name: 'kubeconfig',
      hostPath: { path: '/etc/rancher/k3s/k3s.yaml', type: 'File' },
    });
    expect(spec.containers[0]?.env).toContainEqual({ name: 'k8s_config_file', value: '/etc/rancher/k3s/k3s.yaml' });
  });

  test('in the cluster has a service account and no folder of the host', () => {
    const spec = podSpec(ARP, { inCluster: true });
    expect(spec.serviceAccountName).toBe('holdfast');
    expect(spec.volumes?.map(({ name }) => name)).toEqual(['tmp']);
  });

  test.each([
    [undefined, 'ghcr.io/holdfast/holdfast:v1.2.3'],
    ['registry.example:5000/holdfast', 'registry.example:5000/holdfast:v1.2.3'],
    ['holdfast:main', 'holdfast:main'],
    [`holdfast@sha256:${'a'.repeat(64)}`, `holdfast@sha256:${'a'.repeat(64)}`],
  ])('--image %s is %s', (image, expected) => {
    expect(podSpec(ARP, { image }).containers[0]?.image).toBe(expected);
  });

  test('may stand in for kube-vip by name', () => {
    const [pod] = readDocuments(manifest('pod', ARP, { name: 'kube-vip' }));
    expect(pod?.metadata).toMatchObject({ name: 'kube-vip', namespace: 'kube-system' });
    const [daemonSet] = readDocuments(manifest('daemonset', ARP, { name: 'kube-vip', inCluster: true }));
    expect(daemonSet?.metadata.name).toBe('kube-vip-ds');
  });
});

describe('kubeadm', () => {
  const command = { flags: {}, version: '1.2.3', isReadable: () => true };

  test('init is the static pod, the control plane being meant', () => {
    const result = runKubeadm('init', {
      ...command,
      input: inputOf({ interface: 'eth0', address: '192.0.2.10', arp: 'true' }),
    });
    expect(result).toEqual({ stdout: manifest('pod'), stderr: '', exitCode: 0 });
  });

  test.each(['init', 'join'] as const)('%s without interface and address tells both', (stage) => {
    const result = runKubeadm(stage, { ...command, input: inputOf({}) });
    expect(result).toMatchObject({ stdout: '', exitCode: 2 });
    expect(result.stderr).toContain('CONFIG_INTERFACE_MISSING');
    expect(result.stderr).toContain('CONFIG_ADDRESS_MISSING');
  });

  test('join before admin.conf exists is a note, not the refusal it is in kube-vip', () => {
    const result = runKubeadm('join', { ...command, isReadable: () => false, input: inputOf(ARP) });
    expect(result).toEqual({
      stdout: manifest('pod'),
      stderr: expect.stringContaining('/etc/kubernetes/admin.conf') as string,
      exitCode: 0,
    });
  });
});

describe('the role', () => {
  test('is the least: Leases, Events, one Secret, the identity of a namespace, reading Nodes', () => {
    const rules = readDocuments(manifest('rbac', {})).flatMap((document) => document.rules ?? []);
    expect(rules).toEqual([
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        verbs: ['get', 'list', 'watch', 'create', 'update'],
      },
      { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: ['holdfast-heartbeat'],
        verbs: ['get', 'list', 'watch'],
      },
      { apiGroups: [''], resources: ['namespaces'], resourceNames: ['kube-system'], verbs: ['get'] },
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
    ]);
  });

  test('reads the identity of kube-system and of another namespace of the Lease', () => {
    const rules = readDocuments(manifest('rbac', { leaseName: 'infra/vip' })).flatMap(
      (document) => document.rules ?? [],
    );
    expect(rules).toContainEqual({
      apiGroups: [''],
      resources: ['namespaces'],
      resourceNames: ['infra'],
      verbs: ['get'],
    });
    expect(rules.at(-1)).toEqual({
      apiGroups: [''],
      resources: ['namespaces'],
      resourceNames: ['kube-system'],
      verbs: ['get'],
    });
  });

  test('is in the namespace of the Lease, for the account of the pod', () => {
    const documents = readDocuments(manifest('rbac', { leaseName: 'infra/vip', namespace: 'vip-system' }));
    const binding = documents.find(({ kind }) => kind === 'RoleBinding');
    expect(binding?.metadata.namespace).toBe('infra');
    expect(binding?.subjects).toEqual([{ kind: 'ServiceAccount', name: 'holdfast', namespace: 'vip-system' }]);
  });
});

describe('the role for Services', () => {
  const READ = ['get', 'list', 'watch'];
  const rulesIn = (
    flags: Readonly<Record<string, string>>,
    more: ManifestFlags = {},
  ): Record<string, readonly unknown[]> => {
    const documents = readDocuments(manifest('rbac', { ...SERVICES, ...flags }, more));
    const roles = documents.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole');
    return Object.fromEntries(roles.map(({ metadata, rules }) => [metadata.namespace ?? '', rules ?? []]));
  };
  const least = readDocuments(manifest('rbac', {})).flatMap(({ rules }) => rules ?? []);
  const owners = (...leases: readonly string[]): readonly unknown[] => [
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
    {
      apiGroups: [''],
      resources: ['configmaps'],
      resourceNames: leases.map((lease) => `holdfast-owners-${lease}`),
      verbs: [...READ, 'update'],
    },
  ];
  const pools = { apiGroups: [''], resources: ['configmaps'], resourceNames: ['kubevip'], verbs: READ };
  const ofServices = [
    { apiGroups: [''], resources: ['services'], verbs: READ },
    { apiGroups: [''], resources: ['services/status'], verbs: ['patch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
  ];
  const events = { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] };
  const ofCluster = [
    { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
    { apiGroups: ['metallb.io'], resources: ['ipaddresspools', 'l2advertisements', 'bgpadvertisements'], verbs: READ },
    { apiGroups: ['cilium.io'], resources: ['ciliumloadbalancerippools', 'ciliuml2announcementpolicies'], verbs: READ },
  ];

  test('is the other and what Services need, across namespaces', () => {
    expect(rulesIn({})).toEqual({
      'kube-system': [...least.slice(0, -1), ...owners('plndr-svcs-lock', 'plndr-cp-lock'), pools],
      '': [least.at(-1), ...ofServices, events, ...ofCluster],
    });
  });

  test('names the record of owners after either Lease, once where they are one', () => {
    const rules = rulesIn({ ...ARP, leaseName: 'infra/one', servicesLeaseName: 'infra/one' });
    expect(rules['infra']).toEqual(expect.arrayContaining([...owners('one')]));
  });

  test('is in each place for what is there', () => {
    const rules = rulesIn(PLACES);
    expect(Object.keys(rules)).toEqual(['infra', 'pools', 'shop', '']);
    expect(rules['infra']).toEqual(expect.arrayContaining([...owners('lb', 'plndr-cp-lock')]));
    expect(rules['pools']).toEqual([pools]);
    expect(rules['shop']).toEqual([...ofServices, events]);
    expect(rules['']?.slice(-ofCluster.length)).toEqual(ofCluster);
    expect(rules['']).not.toEqual(expect.arrayContaining([ofServices[0]]));
  });

  test.each([{ role: true }, { rolebinding: true }])('with %j asks nothing of the cluster', (flags) => {
    const documents = readDocuments(manifest('rbac', SERVICES, flags));
    expect(documents.map(({ kind }) => kind)).not.toContain('ClusterRoleBinding');
    const rules = documents.flatMap((document) => document.rules ?? []);
    expect(rules).toEqual(
      expect.arrayContaining([...ofServices, ...owners('plndr-svcs-lock', 'plndr-cp-lock'), pools]),
    );
    expect(rules).not.toEqual(expect.arrayContaining([ofCluster[0]]));
  });
});

describe('a configuration with problems', () => {
  test('gives no manifest', () => {
    const result = runManifest('pod', {
      input: inputOf({ ...ARP, address: '300.1.1.1' }),
      flags: { image: 'a b' },
      version: '1',
    });
    expect(result).toMatchObject({ stdout: '', exitCode: 2 });
    expect(result.stderr).toContain('CONFIG_ADDRESS_INVALID');
    expect(result.stderr).toContain('--image');
  });
});

describe("kube-vip's own manifests", () => {
  const vectors = [
    'pod-arp',
    'pod-dual-stack',
    'pod-ipv6',
    'pod-lose-leadership',
    'pod-services',
    'pod-vip',
    'daemonset-in-cluster',
  ];
  const parseVector = (name: string, inClusterNamespace?: string): ReturnType<typeof parseWith> => {
    const text = readFileSync(join(ROOT, 'test', 'vectors', 'kube-vip', `${name}.yaml.txt`), 'utf8');
    expect(parseAllDocuments(text)).toHaveLength(1);
    const { env } = environmentOf(podSpecOf(text), 'node-7');
    return parseWith({ env, facts: { hostname: 'unused', inClusterNamespace } });
  };

  test.each(vectors)('%s parses without problems, to the same election and interface', (name) => {
    const { config, problems } = parseVector(name);
    expect(problems).toEqual([]);
    expect(config).toMatchObject({
      isControlPlane: true,
      election: { leaseName: 'plndr-cp-lock', identity: 'node-7' },
      vip: { interfaceName: 'eth0' },
      api: { kubeconfigPath: '/etc/kubernetes/admin.conf', port: 6443 },
    });
  });

  test.each([
    ['pod-arp', ['192.168.0.40/32'], []],
    ['pod-dual-stack', ['192.168.0.40/32', 'fd00::40/128'], []],
    ['pod-ipv6', ['fd00::40/128'], []],
    ['pod-vip', ['192.168.0.40/32'], ['CONFIG_DEPRECATED']],
    ['pod-lose-leadership', ['192.168.0.40/32'], ['CONFIG_VALUE_ADJUSTED', 'CONFIG_NOT_SUPPORTED']],
    ['pod-services', ['192.168.0.40/32'], ['CONFIG_NOT_SUPPORTED']],
  ])('%s holds %j and warns %j', (name, addresses, codes) => {
    const { config, warnings } = parseVector(name);
    expect(
      config?.vip.sources.map((source) =>
        source.kind === 'ip' ? `${source.ip.text}/${source.prefixLength}` : source.name,
      ),
    ).toEqual(addresses);
    expect(warnings.map(({ code }) => code)).toEqual(codes);
  });

  test('keep their lease times', () => {
    expect(parseVector('pod-dual-stack').config?.election).toMatchObject({
      leaseDurationMs: 5_000,
      renewDeadlineMs: 3_000,
      retryPeriodMs: 1_000,
    });
  });

  test('in the cluster elect in the namespace of the pod', () => {
    expect(parseVector('daemonset-in-cluster', 'kube-system').config?.election.namespace).toBe('kube-system');
    expect(parseVector('daemonset-in-cluster').config?.election.namespace).toBe('vip-system');
  });

  test('with BGP only are refused, not half done; their peers are understood', () => {
    const { problems, bgpPeers } = parseVector('pod-bgp');
    expect(problems.map(({ name, code }) => [name, code])).toEqual([['bgp_enable', 'CONFIG_NOTHING_TO_DO']]);
    expect(bgpPeers).toHaveLength(2);
  });
});
