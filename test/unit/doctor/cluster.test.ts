import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { known } from '../../../src/doctor/fact.ts';
import type { Right } from '../../../src/doctor/facts.ts';
import { custom, ENV, findings, found, NO, node, pod, service, VIP } from './facts.ts';

const EXCLUDED = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };

describe('NODE_ADDRESS_IS_VIP', () => {
  it('is found for a virtual IP and for the address of a Service out of a pool', () => {
    const nodes = known([node('n1', ['192.0.2.1', VIP]), node('n2', ['192.0.2.200'])]);
    expect(findings('NODE_ADDRESS_IS_VIP', { cluster: { nodes } })).toMatchObject([
      { level: 'error', evidence: `status.addresses of node n1 has ${VIP}, a virtual IP` },
      { level: 'error', evidence: 'status.addresses of node n2 has 192.0.2.200, the address of a Service' },
    ]);
  });

  it('is not found where Services have the addresses of nodes on purpose, as with K3s', () => {
    const services = known([service('web', ['192.0.2.1', '192.0.2.2'])]);
    expect(found('NODE_ADDRESS_IS_VIP', { cluster: { services } })[0]).toMatch(/^ok/);
  });

  it('is not known without the Nodes, nor wholly without the Services', () => {
    expect(found('NODE_ADDRESS_IS_VIP', { cluster: { nodes: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('NODE_ADDRESS_IS_VIP', { cluster: { services: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('NODES_ALL_EXCLUDED', () => {
  const all = { nodes: known([node('n1', [], EXCLUDED), node('n2', [], EXCLUDED)]) };

  it('is found when all have the label, unless it is ignored', () => {
    expect(found('NODES_ALL_EXCLUDED', { cluster: all })).toEqual(['error: all 2 nodes have the label: n1, n2']);
    const env = { ...ENV, svc_ignore_exclude_label: 'true' };
    expect(found('NODES_ALL_EXCLUDED', { env, cluster: all })[0]).toMatch(/^ok/);
    expect(found('NODES_ALL_EXCLUDED', { env: { ...ENV, svc_enable: 'false' }, cluster: all })).toEqual([
      'ok: svc_enable is off',
    ]);
  });

  it('is not found when some have it, and not known without the Nodes', () => {
    const nodes = known([node('n1', [], EXCLUDED), node('n2', [])]);
    expect(found('NODES_ALL_EXCLUDED', { cluster: { nodes } })).toEqual(['ok: 1 of 2 nodes have the label (n1)']);
    expect(found('NODES_ALL_EXCLUDED', { cluster: { nodes: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('LEASES_DIFFER', () => {
  const member = (name: string, election: string, namespace = 'kube-system'): JsonObject => ({
    metadata: { name: `holdfast-${name}`, namespace, labels: { 'holdfast.io/member-of': election } },
    spec: { holderIdentity: name },
  });

  it('is found among the members, in name or in namespace', () => {
    const leases = known([member('n1', 'plndr-cp-lock'), member('n2', 'plndr-svcs-lock')]);
    expect(findings('LEASES_DIFFER', { cluster: { leases } })).toMatchObject([
      {
        level: 'warning',
        evidence: 'candidates are elected on 2 Leases: kube-system/plndr-cp-lock: n1; kube-system/plndr-svcs-lock: n2',
        remedy: expect.stringContaining('svc_leasename=kube-system/plndr-cp-lock') as string,
      },
    ]);
    const apart = known([member('n1', 'plndr-cp-lock'), member('n2', 'plndr-cp-lock', 'lb')]);
    expect(found('LEASES_DIFFER', { cluster: { leases: apart } })[0]).toMatch(/^warning/);
  });

  it('is found between the members and the settings of this node', () => {
    const leases = known([member('n2', 'plndr-svcs-lock')]);
    expect(found('LEASES_DIFFER', { cluster: { leases } })[0]).toContain(
      'kube-system/plndr-cp-lock: n1 (by its settings)',
    );
    expect(found('LEASES_DIFFER', { isGiven: false, cluster: { leases } })[0]).toMatch(/^ok/);
  });

  it('is an error for a kube-vip that holds the same address by another Lease', () => {
    const env = { cp_enable: 'true', address: VIP, vip_leasename: 'other' };
    const kubeVip = (given: Readonly<Record<string, string>>): JsonObject =>
      pod(given, { image: 'ghcr.io/kube-vip/kube-vip:v1.2.3' }, 'kube-vip');
    expect(found('LEASES_DIFFER', { cluster: { pods: known([kubeVip(env)]) } })).toEqual([
      `error: kube-vip (kube-system/kube-vip) holds ${VIP} by the Lease other, and this node would by plndr-cp-lock`,
    ]);
    for (const changed of [
      { ...env, vip_leasename: 'plndr-cp-lock' },
      { ...env, address: '192.0.2.11' },
    ]) {
      expect(found('LEASES_DIFFER', { cluster: { pods: known([kubeVip(changed)]) } })[0]).toMatch(/^ok/);
    }
  });

  it('is not found among equals, and not known without the Leases', () => {
    const leases = known([member('n1', 'plndr-cp-lock'), member('n2', 'plndr-cp-lock'), {}]);
    expect(found('LEASES_DIFFER', { cluster: { leases } })).toEqual([
      'ok: all candidates are elected on kube-system/plndr-cp-lock: n1, n2',
    ]);
    expect(found('LEASES_DIFFER', { cluster: { leases: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('API_FORBIDDEN', () => {
  const right = (verb: string, isAllowed: boolean, given: Partial<Right> = {}): Right => ({
    verb,
    group: 'coordination.k8s.io',
    resource: 'leases',
    name: '',
    namespace: 'kube-system',
    isAllowed: known(isAllowed),
    ...given,
  });

  it('is found once for each resource, with its verbs; of custom resources it is a warning', () => {
    const rights = known([
      right('get', true),
      right('create', false),
      right('update', false),
      right('list', false, { group: 'metallb.io', resource: 'ipaddresspools', namespace: '' }),
    ]);
    expect(findings('API_FORBIDDEN', { cluster: { rights } })).toMatchObject([
      {
        level: 'error',
        evidence: 'these credentials may not create, update leases.coordination.k8s.io in namespace kube-system',
        remedy: expect.stringContaining(
          'may create, update leases.coordination.k8s.io in namespace kube-system',
        ) as string,
      },
      { level: 'warning', evidence: 'these credentials may not list ipaddresspools.metallb.io in the cluster' },
    ]);
  });

  it('is not found when all is allowed, and not known where it could not be asked', () => {
    expect(found('API_FORBIDDEN', { cluster: { rights: known([right('get', true)]) } })[0]).toMatch(
      /^ok: all 1 things/,
    );
    expect(found('API_FORBIDDEN', { cluster: { rights: NO } })).toEqual(['unknown: nobody looked']);
    const some = known([right('get', true), { ...right('list', true), isAllowed: NO }]);
    expect(found('API_FORBIDDEN', { cluster: { rights: some } })).toEqual(['unknown: nobody looked']);
  });
});

describe('CLOCK_SKEW and API_UNREACHABLE', () => {
  const clock = (offsetMs: number): NonNullable<Parameters<typeof found>[1]> => ({
    cluster: { clock: known({ offsetMs, toleranceMs: 600, endpoint: 'https://x:6443' }) },
  });

  it('tell which clock is ahead, beyond what the measurement can be wrong by', () => {
    expect(found('CLOCK_SKEW', clock(-90_000))).toEqual([
      "warning: this node's clock is 90.0 s behind that of https://x:6443",
    ]);
    expect(found('CLOCK_SKEW', clock(2601))).toEqual([
      "warning: this node's clock is 2.6 s ahead of that of https://x:6443",
    ]);
    expect(found('CLOCK_SKEW', clock(-2600))[0]).toMatch(/^ok/);
    expect(found('CLOCK_SKEW', { cluster: { clock: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('API_UNREACHABLE', { cluster: { api: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('API_UNREACHABLE')).toEqual(['ok: https://127.0.0.1:6443 answers']);
  });
});

describe('OTHER_LOAD_BALANCER', () => {
  const daemonSet = (name: string, image: string, namespace = 'x'): JsonObject => ({
    metadata: { name, namespace },
    spec: { template: { spec: { containers: [{ name: 'c', image }] } } },
  });

  it.each([
    [daemonSet('svclb-traefik-1a2b', 'rancher/klipper-lb:v0.4'), "K3s' ServiceLB"],
    [daemonSet('speaker', 'quay.io/metallb/speaker:v0.15'), 'MetalLB'],
    [daemonSet('lbnodeagent', 'registry.example/purelb/lbnodeagent:v1'), 'PureLB'],
  ])('finds a DaemonSet: %#', (raw, name) => {
    expect(found('OTHER_LOAD_BALANCER', { cluster: { daemonSets: known([raw]) } })[0]).toMatch(
      `error: ${name} (DaemonSet x/`,
    );
  });

  it('finds kube-vip where it serves Services, as a Pod of this node', () => {
    const kubeVip = (env: Readonly<Record<string, string>>): JsonObject =>
      pod(env, { image: 'ghcr.io/kube-vip/kube-vip:v1' }, 'kube-vip');
    expect(found('OTHER_LOAD_BALANCER', { cluster: { pods: known([kubeVip({ svc_enable: 'true' })]) } })[0]).toMatch(
      /^error: kube-vip \(Pod kube-system\/kube-vip\)/,
    );
    expect(found('OTHER_LOAD_BALANCER', { cluster: { pods: known([kubeVip({ cp_enable: 'true' })]) } })[0]).toMatch(
      /^ok/,
    );
  });

  it('tells a Pod of a DaemonSet once, with the DaemonSet', () => {
    const own = {
      ...pod({}, { image: 'quay.io/metallb/speaker:v0.15' }),
      metadata: { name: 's', ownerReferences: [{ kind: 'DaemonSet' }] },
    };
    const cluster = { pods: known([own]), daemonSets: known([daemonSet('speaker', 'quay.io/metallb/speaker:v0.15')]) };
    expect(found('OTHER_LOAD_BALANCER', { cluster })).toEqual([
      'error: MetalLB (DaemonSet x/speaker) serves Services too',
    ]);
  });

  it('finds Cilium by its configuration, its pools and its Leases', () => {
    const leases = known([{ metadata: { namespace: 'kube-system', name: 'cilium-l2announce-a-web' } }]);
    const cluster = {
      leases,
      ciliumConfig: known({ 'enable-l2-announcements': 'true' }),
      custom: custom((kind) => known(kind === 'CiliumLoadBalancerIPPool' ? [{ metadata: { name: 'blue' } }] : [])),
    };
    expect(found('OTHER_LOAD_BALANCER', { cluster })).toEqual([
      'error: Cilium (enable-l2-announcements in ConfigMap kube-system/cilium-config, LB IPAM with 1 CiliumLoadBalancerIPPools, 1 Leases cilium-l2announce-…) serves Services too',
    ]);
    expect(found('OTHER_LOAD_BALANCER', { cluster: { ciliumConfig: known({}) } })[0]).toMatch(/^ok/);
  });

  it('is a warning where classes keep them apart, and none where Services are left to it', () => {
    const daemonSets = known([daemonSet('speaker', 'quay.io/metallb/speaker:v0.15')]);
    const env = { ...ENV, lb_class_only: 'true' };
    expect(found('OTHER_LOAD_BALANCER', { env, cluster: { daemonSets } })[0]).toMatch(/^warning/);
    expect(found('OTHER_LOAD_BALANCER', { env: { ...ENV, svc_enable: 'false' }, cluster: { daemonSets } })).toEqual([
      'ok: svc_enable is off: Services are left to MetalLB (DaemonSet x/speaker)',
    ]);
  });

  it('is not known where Pods or DaemonSets cannot be listed', () => {
    expect(found('OTHER_LOAD_BALANCER', { cluster: { daemonSets: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('OTHER_LOAD_BALANCER', { cluster: { pods: NO } })).toEqual(['unknown: nobody looked']);
  });

  it('METALLB_CONFIG_IGNORED: the ConfigMap of before 0.13', () => {
    expect(
      found('METALLB_CONFIG_IGNORED', { cluster: { metallbConfig: known({ config: 'address-pools: []' }) } })[0],
    ).toMatch(/^warning/);
    expect(found('METALLB_CONFIG_IGNORED', { cluster: { metallbConfig: known({ other: '' }) } })[0]).toMatch(/^ok/);
    expect(found('METALLB_CONFIG_IGNORED', { cluster: { metallbConfig: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('METALLB_WEBHOOK_LEFT', () => {
  const code = 'METALLB_WEBHOOK_LEFT';
  const webhook = (failurePolicy: string) =>
    known({
      metadata: { name: 'metallb-webhook-configuration' },
      webhooks: [{ name: 'ipaddresspoolvalidationwebhook.metallb.io', failurePolicy }],
    });
  const speaker = {
    metadata: { namespace: 'metallb-system', name: 'speaker' },
    spec: { template: { spec: { containers: [{ image: 'quay.io/metallb/speaker:v0.15.2' }] } } },
  };

  it('is wrong when MetalLB is gone and its webhook still refuses', () => {
    const [finding] = findings(code, { cluster: { metallbWebhook: webhook('Fail') } });
    expect(finding?.level).toBe('warning');
    expect(finding?.remedy).toContain('kubectl delete validatingwebhookconfiguration metallb-webhook-configuration');
  });

  it('is fine while MetalLB is there, where it refuses nothing, and without it', () => {
    const both = { metallbWebhook: webhook('Fail'), daemonSets: known([speaker]) };
    for (const cluster of [both, { metallbWebhook: webhook('Ignore') }, {}]) {
      expect(findings(code, { cluster }).map(({ level }) => level)).toEqual(['ok']);
    }
  });

  it('is not known where DaemonSets or webhooks may not be read', () => {
    expect(found(code, { cluster: { metallbWebhook: webhook('Fail'), daemonSets: NO } })).toEqual([
      'unknown: nobody looked',
    ]);
    expect(found(code, { cluster: { metallbWebhook: NO } })).toEqual(['unknown: nobody looked']);
  });
});
