import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { known } from '../../../src/doctor/fact.ts';
import type { KubeconfigFile, Manifests, ServedCertificate } from '../../../src/doctor/facts.ts';
import { address, ENV, facts, findings, found, kernel, NO, pod, VIP, type Given } from './facts.ts';

function served(at: string, names: readonly string[] | undefined, vip?: string): ServedCertificate {
  return { at, vip, names: names === undefined ? NO : known(names) };
}

function certificates(...given: readonly ServedCertificate[]): Given {
  return { facts: { certificates: given } };
}

describe('CERTIFICATE_LACKS_VIP', () => {
  it('is found at the local server, and tells what is missing', () => {
    const env = { ...ENV, address: `${VIP},2001:db8::10` };
    expect(
      findings('CERTIFICATE_LACKS_VIP', { env, ...certificates(served('127.0.0.1:6443', ['kubernetes', VIP])) }),
    ).toMatchObject([
      {
        level: 'error',
        evidence: `the certificate served at 127.0.0.1:6443 is not for 2001:db8::10, but for kubernetes, ${VIP}`,
        remedy: expect.stringMatching(/^Add 2001:db8::10 to apiServer.certSANs/) as string,
      },
    ]);
  });

  it('is found at the virtual IP, whoever serves it', () => {
    const given = certificates(served('127.0.0.1:6443', [VIP]), served(`${VIP}:6443`, ['other'], VIP));
    expect(found('CERTIFICATE_LACKS_VIP', given)).toEqual([
      `error: the certificate served at ${VIP}:6443 is not for ${VIP}, but for other`,
    ]);
  });

  it('is not found when one server names it, also by wildcard; what was not seen is said', () => {
    const given = certificates(served('127.0.0.1:6443', [VIP]), served(`${VIP}:6443`, undefined, VIP));
    expect(found('CERTIFICATE_LACKS_VIP', given)[0]).toBe(
      `ok: the certificates served at 127.0.0.1:6443 name ${VIP} (not seen: ${VIP}:6443: nobody looked)`,
    );
    const env = { ...ENV, address: 'api.example.org' };
    expect(found('CERTIFICATE_LACKS_VIP', { env, ...certificates(served('x', ['*.example.org'])) })[0]).toMatch(/^ok/);
    expect(found('CERTIFICATE_LACKS_VIP', { env, ...certificates(served('x', ['*.org'])) })[0]).toMatch(/^error/);
  });

  it('is not known when nobody answers', () => {
    expect(found('CERTIFICATE_LACKS_VIP', certificates(served('127.0.0.1:6443', undefined)))).toEqual([
      'unknown: 127.0.0.1:6443: nobody looked',
    ]);
  });
});

describe('VIP_OUTSIDE_SUBNETS', () => {
  it('is found for each address that no interface has a subnet for', () => {
    const env = { ...ENV, address: `${VIP},198.51.100.10,2001:db8::10` };
    expect(found('VIP_OUTSIDE_SUBNETS', { env })).toEqual([
      'warning: 198.51.100.10 is in no subnet of this node (192.0.2.0/24)',
      'warning: 2001:db8::10 is in no subnet of this node (192.0.2.0/24)',
    ]);
  });

  it('does not take the virtual IP itself, held here, for a subnet', () => {
    const env = { ...ENV, address: '198.51.100.10' };
    const held = kernel({ addresses: [address('192.0.2.1/24'), address('198.51.100.10/32', 2, 3)] });
    expect(found('VIP_OUTSIDE_SUBNETS', { env, machine: { kernel: held } })[0]).toMatch(/^warning/);
  });

  it('is not found in a subnet, and not known for names or without the kernel', () => {
    expect(found('VIP_OUTSIDE_SUBNETS')).toEqual([`ok: ${VIP}: in a subnet of this node`]);
    expect(found('VIP_OUTSIDE_SUBNETS', { env: { ...ENV, address: 'api.example.org' } })[0]).toMatch(/^unknown/);
    expect(found('VIP_OUTSIDE_SUBNETS', { machine: { kernel: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('KUBECONFIG_BYPASSES_VIP', () => {
  const config = (
    name: string,
    server: string | undefined,
    state: KubeconfigFile['state'] = 'read',
  ): KubeconfigFile => ({
    path: `/k/${name}`,
    state,
    server: server === undefined ? undefined : `https://${server}`,
    why: server === undefined ? 'EACCES' : '',
  });
  const given = (...kubeconfigs: readonly KubeconfigFile[]): Given => ({ files: { kubeconfigs } });

  it('is found where a file names a node: this one or another', () => {
    expect(
      findings(
        'KUBECONFIG_BYPASSES_VIP',
        given(config('admin.conf', '192.0.2.1:6443'), config('kubelet.conf', '192.0.2.2:6443')),
      ),
    ).toMatchObject([
      {
        level: 'warning',
        evidence: '/k/admin.conf names 192.0.2.1, the address of this node',
        remedy: `Set clusters[].cluster.server of /k/admin.conf to https://${VIP}:6443 and restart what uses it.`,
      },
      { level: 'warning', evidence: '/k/kubelet.conf names 192.0.2.2, the address of node n2' },
    ]);
  });

  it('is not found where they name the VIP, another balancer or this machine itself', () => {
    for (const server of [`${VIP}:6443`, 'lb.example.org', '127.0.0.1:6443', '198.51.100.9:6443']) {
      expect(found('KUBECONFIG_BYPASSES_VIP', given(config('admin.conf', server)))[0]).toMatch(/^ok/);
    }
  });

  it('lets a kubelet of a control-plane node use the server beside it, and no other kubelet', () => {
    const local = config('kubelet.conf', '192.0.2.1:6443');
    expect(found('KUBECONFIG_BYPASSES_VIP', given(config('admin.conf', `${VIP}:6443`), local))[0]).toMatch(/^ok/);
    expect(found('KUBECONFIG_BYPASSES_VIP', given(local))[0]).toMatch(/^warning/);
  });

  it('does not take a virtual IP that is held here for an address of the node', () => {
    const env = { ...ENV, address: 'api.example.org' };
    const held = kernel({ addresses: [address('192.0.2.1/24'), address('192.0.2.10/32', 2, 3)] });
    const files = given(config('admin.conf', '192.0.2.10:6443'));
    expect(found('KUBECONFIG_BYPASSES_VIP', { env, ...files, machine: { kernel: held } })[0]).toMatch(/^ok/);
  });

  it('is not known where files cannot be read, or are not there, or the nodes are not known', () => {
    expect(found('KUBECONFIG_BYPASSES_VIP', given(config('admin.conf', undefined, 'unreadable')))).toEqual([
      "unknown: /k/admin.conf can't be read: EACCES",
    ]);
    expect(found('KUBECONFIG_BYPASSES_VIP', given(config('admin.conf', undefined, 'absent')))[0]).toMatch(
      /^unknown: there is none/,
    );
    const elsewhere = { ...given(config('admin.conf', '198.51.100.9:6443')), cluster: { nodes: NO } };
    expect(found('KUBECONFIG_BYPASSES_VIP', elsewhere)[0]).toMatch(/^unknown/);
  });
});

describe('SUPER_ADMIN_CONF', () => {
  const file = (name: string, state: KubeconfigFile['state']): KubeconfigFile => ({
    path: `/k/${name}`,
    state,
    server: undefined,
    why: 'EIO',
  });
  const given = (...kubeconfigs: readonly KubeconfigFile[]): Given => ({ files: { kubeconfigs } });

  it('is found where a volume left a folder or an empty file', () => {
    expect(found('SUPER_ADMIN_CONF', given(file('admin.conf', 'folder'), file('super-admin.conf', 'empty')))).toEqual([
      'error: /k/admin.conf is a folder, as a hostPath volume leaves it where there was nothing',
      'error: /k/super-admin.conf is an empty file, as a hostPath volume leaves it where there was nothing',
    ]);
  });

  it('is found where it is used from day to day', () => {
    const env = { ...ENV, k8s_config_file: '/etc/kubernetes/super-admin.conf' };
    expect(found('SUPER_ADMIN_CONF', { env, ...given(file('admin.conf', 'read')) })[0]).toMatch(
      /^warning: k8s_config_file is/,
    );
  });

  it('is not found on a first node as kubeadm leaves it, and not known where nothing can be read', () => {
    expect(found('SUPER_ADMIN_CONF', given(file('admin.conf', 'read'), file('super-admin.conf', 'read')))[0]).toMatch(
      /^ok/,
    );
    expect(found('SUPER_ADMIN_CONF', given(file('admin.conf', 'unreadable')))).toEqual([
      "unknown: /k/admin.conf can't be read: EIO",
    ]);
    expect(found('SUPER_ADMIN_CONF', given(file('admin.conf', 'absent')))[0]).toMatch(/^unknown/);
  });
});

describe('the static pods', () => {
  const manifests = (
    pods: Readonly<Record<string, JsonObject>>,
    unreadable: Manifests['unreadable'] = [],
  ): NonNullable<Given['files']> => ({
    manifests: known({
      folder: '/m',
      pods: Object.entries(pods).map(([name, raw]) => ({ path: `/m/${name}`, raw })),
      unreadable,
    }),
  });
  const kubeVip = pod(
    { ...ENV, vip_leaderelection: 'true' },
    { image: 'ghcr.io/kube-vip/kube-vip:v1.2.3' },
    'kube-vip',
  );
  const apiserver = { kind: 'Pod', metadata: { name: 'a' }, spec: { containers: [{ image: 'kube-apiserver:v1' }] } };

  it('MANIFEST_MISSING: none of ours, and nothing runs', () => {
    const none = { files: manifests({ 'kube-apiserver.yaml': apiserver }) };
    expect(findings('MANIFEST_MISSING', { ...none, facts: { status: NO } })).toMatchObject([
      { level: 'warning', remedy: expect.stringContaining('/m/holdfast.yaml') as string },
    ]);
    expect(found('MANIFEST_MISSING', none)).toEqual(['ok: Holdfast runs']);
    expect(found('MANIFEST_MISSING', { facts: { status: NO } })).toEqual(['ok: there is /m/holdfast.yaml']);
    expect(found('MANIFEST_MISSING', { files: { manifests: NO }, facts: { status: NO } })).toEqual([
      'unknown: nobody looked',
    ]);
  });

  it("MANIFEST_INVALID: what the configuration's parser says, with its codes", () => {
    const wrong = pod({ ...ENV, address: '192.0.2.300', vip_adress: 'x' });
    const given = { files: manifests({ 'x.yaml': wrong }) };
    expect(findings('MANIFEST_INVALID', given).map(({ level, code }) => `${level} ${code}`)).toEqual([
      'error CONFIG_ADDRESS_INVALID',
      'warning CONFIG_NAME_MISSPELLED',
    ]);
    expect(found('MANIFEST_INVALID', given)[0]).toMatch(/^error: \/m\/x.yaml: /);
  });

  it('MANIFEST_INVALID: capabilities, host network, and what is no YAML', () => {
    const bare = pod(ENV, { securityContext: { capabilities: { add: ['CAP_NET_ADMIN'] } } });
    const inside = { ...pod(ENV), spec: { ...(pod(ENV)['spec'] as JsonObject), hostNetwork: false } };
    const unreadable = [{ path: '/m/holdfast.yaml.bak', why: 'Map keys must be unique' }];
    expect(found('MANIFEST_INVALID', { files: manifests({ 'a.yaml': bare, 'b.yaml': inside }, unreadable) })).toEqual([
      'error: /m/a.yaml does not add NET_RAW',
      'error: /m/b.yaml has no hostNetwork: true, so its addresses would be inside of the pod',
      "warning: /m/holdfast.yaml.bak can't be read: Map keys must be unique",
    ]);
    const privileged = pod(ENV, { securityContext: { privileged: true } });
    expect(found('MANIFEST_INVALID', { files: manifests({ 'a.yaml': privileged }) })[0]).toMatch(/^ok/);
    expect(found('MANIFEST_INVALID', { files: { manifests: NO } })).toEqual(['unknown: nobody looked']);
  });

  it('MANIFEST_INVALID: a manifest of kube-vip as kube-vip writes it is valid', () => {
    expect(found('MANIFEST_INVALID', { files: manifests({ 'kube-vip.yaml': kubeVip }) })[0]).toMatch(/^ok/);
  });

  it('takes a pod for ours by its image, or by what kube-vip is started with', () => {
    const count = (...pods: readonly JsonObject[]): string =>
      found('MANIFEST_DUPLICATE', {
        files: manifests(Object.fromEntries(pods.map((raw, index) => [`${index}`, raw]))),
      })[0] ?? '';
    const renamed = pod({ vip_arp: 'true' }, { image: 'registry.example/vip:v1' }, 'vip');
    expect(count(renamed)).toMatch(/^ok: there is one/);
    expect(count(pod({ vip_arp: 'true' }, { image: 'registry.example/vip:v1', args: ['serve'] }, 'vip'))).toMatch(
      /^ok: there is no/,
    );
    expect(count(pod({}, { image: 'registry.example/manager:v1' }, 'x'))).toMatch(/^ok: there is no/);
  });

  it('MANIFEST_DUPLICATE: kube-vip and Holdfast on one node, or a copy', () => {
    const files = manifests({ 'holdfast.yaml': pod(ENV), 'kube-vip.yaml': kubeVip });
    expect(found('MANIFEST_DUPLICATE', { files })).toEqual([
      'error: each of these holds addresses: /m/holdfast.yaml (ghcr.io/x/holdfast:v1), /m/kube-vip.yaml (ghcr.io/kube-vip/kube-vip:v1.2.3)',
    ]);
    expect(found('MANIFEST_DUPLICATE')).toEqual(['ok: there is one: /m/holdfast.yaml']);
    expect(found('MANIFEST_DUPLICATE', { files: { manifests: NO } })).toEqual(['unknown: nobody looked']);
  });

  it("CONFIG_VALUE_INVALID: the settings of the command, unless they are a manifest's", () => {
    const env = { ...ENV, vip_nodename: 'no name' };
    expect(found('CONFIG_VALUE_INVALID', { env })[0]).toMatch(/^error: vip_nodename/);
    const parsed = facts({ env }).settings.parsed;
    const ofPod = { parsed, isGiven: true, from: '/m/holdfast.yaml' };
    expect(found('CONFIG_VALUE_INVALID', { facts: { settings: ofPod } })).toEqual(['ok: settings: /m/holdfast.yaml']);
    expect(found('CONFIG_VALUE_INVALID')).toEqual(['ok: settings: environment']);
    expect(found('CONFIG_VALUE_INVALID', { env: {}, isGiven: false })[0]).toMatch(/^unknown: no settings/);
  });
});
