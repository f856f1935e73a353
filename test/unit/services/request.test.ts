import { describe, expect, it } from 'vitest';
import { ANNOTATIONS, type AnnotationMeaning } from '../../../src/services/annotations.ts';
import type { Labels, RequestOutcome, ServiceRequest, ServiceRules } from '../../../src/services/model.ts';
import { readRequest, REQUEST_ADDRESSES_MAX, SHARING_NAMESPACES_MAX } from '../../../src/services/request.ts';
import { asking, RULES, service, type ServiceText } from './ipam/cluster.ts';

function read(text: Partial<ServiceText> = {}, rules: Partial<ServiceRules> = {}): RequestOutcome {
  return readRequest(service({ key: 'web', ...text }), { ...RULES, ...rules });
}

function requested(annotations: Labels, text: Partial<ServiceText> = {}): ServiceRequest {
  const outcome = readRequest(asking('web', annotations, text), RULES);
  if (outcome.kind !== 'request') throw new Error(JSON.stringify(outcome));
  return outcome.request;
}

/** Codes and messages of a refusal. */
function refused(annotations: Labels, text: Partial<ServiceText> = {}): readonly string[] {
  const outcome = readRequest(asking('web', annotations, text), RULES);
  if (outcome.kind !== 'refused') throw new Error(JSON.stringify(outcome));
  return outcome.reasons.map(({ code, message }) => `${code}: ${message}`);
}

function warned(annotations: Labels, text: Partial<ServiceText> = {}): readonly string[] {
  const outcome = readRequest(asking('web', annotations, text), RULES);
  return outcome.kind === 'foreign' ? [] : outcome.warnings.map(({ code, message }) => `${code}: ${message}`);
}

function foreignCode(outcome: RequestOutcome): string {
  return outcome.kind === 'foreign' ? outcome.code : outcome.kind;
}

describe('whose Service it is', () => {
  const OWN = 'kube-vip.io/kube-vip-class';
  // kube-vip §4.2: class of the Service, lb_class_name, legacy handling, lb_class_only → ours?
  const classes: readonly [string | undefined, string, boolean, boolean, boolean][] = [
    [undefined, OWN, true, false, true],
    [OWN, OWN, true, false, true],
    ['example.com/other', OWN, true, false, false],
    [undefined, OWN, true, true, false],
    [OWN, OWN, true, true, true],
    [undefined, OWN, false, false, false],
    [OWN, OWN, false, false, true],
    ['example.com/other', OWN, false, false, false],
    [undefined, '', false, false, true],
    [OWN, '', false, false, false],
    [undefined, '', false, true, true],
    [undefined, '', true, false, true],
    [OWN, '', true, false, false],
    ['io.cilium/l2-announcer', OWN, true, false, false],
    ['io.cilium/l2-announcer', 'io.cilium/l2-announcer', true, false, true],
    ['', OWN, true, false, false],
  ];

  it.each(classes)('class %s with lb_class_name %s, legacy %s, only %s: ours %s', (given, name, legacy, only, ours) => {
    const outcome = read({ loadBalancerClass: given }, { className: name, isClassLegacy: legacy, isClassOnly: only });
    expect(foreignCode(outcome)).toBe(ours ? 'request' : 'SERVICE_CLASS');
  });

  it('ran every combination that kube-vip knows', () => {
    expect(classes.length).toBe(16);
  });

  it('says both classes when they differ, and which setting leaves out one without a class', () => {
    expect(read({ loadBalancerClass: 'a/b' })).toMatchObject({
      message: 'spec.loadBalancerClass is "a/b", and lb_class_name is "kube-vip.io/kube-vip-class"',
    });
    expect(read({}, { isClassOnly: true })).toMatchObject({
      message:
        'spec.loadBalancerClass is not set, lb_class_name is "kube-vip.io/kube-vip-class" and lb_class_only is on',
    });
  });

  it('is nobody’s of ours: other types, other namespaces, ignored, without a cluster IP', () => {
    expect(foreignCode(read({ isLoadBalancer: false }))).toBe('SERVICE_NOT_LOAD_BALANCER');
    expect(foreignCode(read({ key: 'a/web' }, { namespace: 'b' }))).toBe('SERVICE_NAMESPACE');
    expect(foreignCode(read({ key: 'b/web' }, { namespace: 'b' }))).toBe('request');
    expect(foreignCode(read({ annotations: { 'kube-vip.io/ignore': 'true' } }))).toBe('SERVICE_IGNORED');
    expect(foreignCode(read({ annotations: { 'kube-vip.io/ignore': 'false' } }))).toBe('request');
    expect(foreignCode(read({ isHeadless: true }))).toBe('SERVICE_CLUSTER_IP');
  });

  it('keeps what it has while it is deleted, and gets nothing', () => {
    expect(refused({}, { isBeingDeleted: true })).toEqual([
      'SERVICE_DELETED: the Service is being deleted: it gets nothing new',
    ]);
  });
});

describe('families', () => {
  const dual = ['10.96.0.1', 'fd96::1'];
  const cases: readonly [string, Partial<ServiceText>, string][] = [
    [
      'as asked, in order',
      { families: ['ipv6', 'ipv4'], familyPolicy: 'RequireDualStack', clusterIps: dual },
      'ipv6 ipv4 !',
    ],
    ['preferred', { families: ['ipv4', 'ipv6'], familyPolicy: 'PreferDualStack', clusterIps: dual }, 'ipv4 ipv6'],
    [
      'preferred, where the cluster has one',
      { families: ['ipv4'], familyPolicy: 'PreferDualStack', clusterIps: ['10.96.0.1'] },
      'ipv4',
    ],
    ['single of two', { families: ['ipv6', 'ipv4'], familyPolicy: 'SingleStack', clusterIps: dual }, 'ipv6'],
    ['not said: of the cluster IPs', { families: [], familyPolicy: undefined, clusterIps: ['fd96::1'] }, 'ipv6'],
    ['not said: of both cluster IPs', { families: [], familyPolicy: undefined, clusterIps: dual }, 'ipv4 ipv6 !'],
    ['nothing known', { families: [], familyPolicy: undefined }, 'ipv4'],
    [
      'nothing known but an address asked for',
      { families: [], familyPolicy: undefined, loadBalancerIp: 'fd00::1' },
      'ipv6',
    ],
    ['nothing known but a status', { families: [], familyPolicy: undefined, ingress: ['fd00::1'] }, 'ipv6'],
    ['a manifest that prefers two', { families: [], familyPolicy: 'PreferDualStack' }, 'ipv4 ipv6'],
    [
      'a manifest that requires two, IPv6 first',
      { families: ['ipv6'], familyPolicy: 'RequireDualStack' },
      'ipv6 ipv4 !',
    ],
    ['two without a policy', { families: ['ipv4', 'ipv6'], familyPolicy: undefined }, 'ipv4 ipv6 !'],
    ['of a family it has no cluster IP of', { families: ['ipv6'], clusterIps: ['10.96.0.1'] }, 'ipv4'],
  ];

  it.each(cases)('%s', (_, text, expected) => {
    const { families, isDualRequired } = requested({}, text);
    expect([...families, ...(isDualRequired ? ['!'] : [])].join(' ')).toBe(expected);
  });

  it('refuses RequireDualStack with a single cluster IP (case 17)', () => {
    const text: Partial<ServiceText> = {
      families: ['ipv4'],
      familyPolicy: 'RequireDualStack',
      clusterIps: ['10.96.0.1'],
    };
    expect(refused({}, text)).toEqual([
      'REQUEST_FAMILY: ipFamilyPolicy is RequireDualStack, and the Service has a cluster IP of IPv4 only',
    ]);
  });
});

describe('addresses', () => {
  const DUAL: Partial<ServiceText> = { families: ['ipv4', 'ipv6'], familyPolicy: 'PreferDualStack' };

  it.each([
    'kube-vip.io/loadbalancerIPs',
    'metallb.io/loadBalancerIPs',
    'metallb.universe.tf/loadBalancerIPs',
    'lbipam.cilium.io/ips',
    'io.cilium/lb-ipam-ips',
    'purelb.io/addresses',
  ])('are asked for by %s', (name) => {
    const request = requested({ [name]: ' fd00:0::1 , 10.0.0.1 ,,10.0.0.1' }, DUAL);
    expect(request.addresses.map(({ text }) => text)).toEqual(['fd00::1', '10.0.0.1']);
    expect(request.addressesFrom).toBe(name);
  });

  it('are asked for by spec.loadBalancerIP, with a word about what replaces it', () => {
    const request = requested({}, { loadBalancerIp: '10.0.0.1' });
    expect(request).toMatchObject({ addresses: [{ text: '10.0.0.1' }], addressesFrom: 'spec.loadBalancerIP' });
    expect(warned({}, { loadBalancerIp: '10.0.0.1' })).toEqual([
      'REQUEST_DEPRECATED: spec.loadBalancerIP is deprecated: use the annotation metallb.io/loadBalancerIPs',
    ]);
  });

  it('may be asked for twice when it is the same; kube-vip’s cloud provider writes the first to spec.loadBalancerIP', () => {
    const both = {
      'kube-vip.io/loadbalancerIPs': '10.0.0.1,fd00::1',
      'metallb.io/loadBalancerIPs': 'fd00::1,10.0.0.1',
    };
    const request = requested(both, { ...DUAL, loadBalancerIp: '10.0.0.1' });
    expect(request).toMatchObject({ addressesFrom: 'kube-vip.io/loadbalancerIPs' });
    expect(request.addresses.length).toBe(2);
    expect(warned(both, { ...DUAL, loadBalancerIp: '10.0.0.1' })).toEqual([]);
  });

  it('that differ from place to place are none (case 19)', () => {
    expect(refused({ 'metallb.io/loadBalancerIPs': '10.0.0.1' }, { loadBalancerIp: '10.0.0.2' })).toEqual([
      'REQUEST_CONFLICT: metallb.io/loadBalancerIPs asks for 10.0.0.1, and spec.loadBalancerIP asks for 10.0.0.2',
    ]);
    expect(refused({ 'metallb.io/loadBalancerIPs': '10.0.0.1', 'lbipam.cilium.io/ips': '10.0.0.2' })).toEqual([
      'REQUEST_CONFLICT: metallb.io/loadBalancerIPs asks for 10.0.0.1, and lbipam.cilium.io/ips asks for 10.0.0.2',
    ]);
  });

  it.each([
    ['10.0.0.1.5', 'REQUEST_INVALID', 'is not an IP address'],
    ['10.0.0.256', 'REQUEST_INVALID', 'is not an IP address'],
    ['10.0.0.01', 'REQUEST_INVALID', 'leading zero'],
    ['fe80::1%eth0', 'REQUEST_INVALID', 'zone'],
    ['::ffff:10.0.0.1', 'REQUEST_INVALID', 'IPv4 address written as IPv6'],
    ['10.0.0.0/24', 'REQUEST_INVALID', 'is not an IP address'],
    ['<script>', 'REQUEST_INVALID', 'is not an IP address'],
    ['vip.example.com', 'REQUEST_NOT_SUPPORTED', 'names a host, "vip.example.com"'],
    ['localhost', 'REQUEST_NOT_SUPPORTED', 'names a host'],
    ['0.0.0.0', 'POOL_DHCP', 'asks for an address from DHCP'],
    ['::', 'POOL_DHCP', 'asks for an address from DHCP'],
    ['0:0::0', 'POOL_DHCP', 'asks for an address from DHCP'],
  ])('%s is answered with %s', (text, code, saying) => {
    const [reason, ...more] = refused({ 'kube-vip.io/loadbalancerIPs': text }, DUAL);
    expect(reason).toMatch(new RegExp(`^${code}: .*${saying}`));
    expect(more).toEqual([]);
  });

  it('fit the families of the Service, one each (case 18)', () => {
    expect(requested({ 'metallb.io/loadBalancerIPs': '1.2.3.0,1000::' }, DUAL).addresses.length).toBe(2);
    expect(refused({ 'metallb.io/loadBalancerIPs': '1.2.3.0,1000::' })).toEqual([
      'REQUEST_FAMILY: metallb.io/loadBalancerIPs asks for 1000::, and the Service is IPv4 only',
    ]);
    expect(refused({ 'metallb.io/loadBalancerIPs': '1.2.3.0,1.2.3.1' }, DUAL)).toEqual([
      'REQUEST_FAMILY: metallb.io/loadBalancerIPs asks for 1.2.3.0 and 1.2.3.1: it can name one address of each family',
    ]);
  });

  it.each(['kube-vip.io/loadbalancerIPs', 'lbipam.cilium.io/ips'])('may be several of one family by %s', (name) => {
    const addresses = requested({ [name]: '1.2.3.1,1000::1,1.2.3.0, 1.2.3.1' }, DUAL).addresses;
    expect(addresses.map(({ text }) => text)).toEqual(['1.2.3.1', '1000::1', '1.2.3.0']);
    expect(refused({ [name]: '1.2.3.1,1000::1' })).toEqual([
      `REQUEST_FAMILY: ${name} asks for 1000::1, and the Service is IPv4 only`,
    ]);
  });

  it('are looked at up to a number, whatever their length', () => {
    const list = Array.from({ length: 50_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`).join(',');
    expect(refused({ 'metallb.io/loadBalancerIPs': list })).toEqual([
      `REQUEST_INVALID: metallb.io/loadBalancerIPs has more than ${REQUEST_ADDRESSES_MAX} addresses`,
    ]);
    const [reason = ''] = refused({ 'metallb.io/loadBalancerIPs': 'a-'.repeat(100_000) });
    expect(reason.length).toBeLessThan(200);
  });

  it('of nothing ask for nothing', () => {
    expect(requested({ 'metallb.io/loadBalancerIPs': '' })).toMatchObject({ addresses: [], addressesFrom: '' });
    expect(requested({ 'metallb.io/loadBalancerIPs': ' , ' })).toMatchObject({ addresses: [], addressesFrom: '' });
  });
});

describe('no annotation of a load balancer is passed over in silence', () => {
  const VALUES: Readonly<Record<AnnotationMeaning, string>> = {
    ignore: 'true',
    addresses: '10.0.0.1',
    pool: 'lan',
    'sharing-key': 'web',
    'sharing-namespaces': 'a',
    'sharing-different-pods': 'true',
    interface: 'eth1',
    vlan: 'eth0.100',
    'no-endpoints': 'true',
  };
  const effect = (annotations: Labels): string => {
    const outcome = readRequest(asking('web', annotations), RULES);
    if (outcome.kind === 'foreign') return outcome.code;
    return JSON.stringify({ ...outcome.request, service: undefined });
  };

  it('all that are known are walked', () => {
    expect(ANNOTATIONS.length).toBeGreaterThan(50);
  });

  it.each(ANNOTATIONS)('$name is $state: honoured, named, or what a load balancer writes itself', (entry) => {
    const { name, state } = entry;
    const isHonoured = entry.state === 'current' || entry.state === 'deprecated';
    const annotations = { [name]: isHonoured ? VALUES[entry.meaning] : 'true' };
    expect(effect(annotations) !== effect({})).toBe(isHonoured);
    const warnings = warned(annotations);
    expect(warnings).toHaveLength(state === 'deprecated' || state === 'not-supported' ? 1 : 0);
    for (const warning of warnings) expect(warning).toContain(name);
  });
});

describe('what else is asked for', () => {
  it('reads pool and sharing in every spelling', () => {
    expect(
      requested({
        'metallb.io/address-pool': 'lan',
        'metallb.universe.tf/address-pool': 'lan',
        'metallb.io/allow-shared-ip': 'web',
        'lbipam.cilium.io/sharing-key': 'web',
        'lbipam.cilium.io/sharing-cross-namespace': 'a, b,,',
        'lbipam.cilium.io/sharing-permit-different-pods': 'true',
      }),
    ).toMatchObject({ pool: 'lan', sharingKey: 'web', sharingNamespaces: ['a', 'b'], sharesDifferentPods: true });
    expect(requested({ 'purelb.io/service-group': 'g', 'purelb.io/allow-shared-ip': 'k' })).toMatchObject({
      pool: 'g',
      sharingKey: 'k',
      sharingNamespaces: [],
      sharesDifferentPods: false,
    });
    expect(requested({ 'io.cilium/lb-ipam-sharing-cross-namespace': 'x,*' }).sharingNamespaces).toEqual(['*']);
    expect(requested({})).toMatchObject({ pool: undefined, sharingKey: '' });
  });

  it('refuses what is said twice and differently', () => {
    expect(refused({ 'metallb.io/address-pool': 'a', 'purelb.io/service-group': 'b' })).toEqual([
      'REQUEST_CONFLICT: metallb.io/address-pool is "a", and purelb.io/service-group is "b"',
    ]);
    expect(refused({ 'metallb.io/allow-shared-ip': 'a', 'lbipam.cilium.io/sharing-key': 'b' })[0]).toMatch(/CONFLICT/);
  });

  it('consents to a limited number of namespaces, and says so', () => {
    const list = Array.from({ length: 10_000 }, (_, index) => `n${index}`).join();
    const annotations = { 'lbipam.cilium.io/sharing-cross-namespace': list };
    expect(requested(annotations).sharingNamespaces.length).toBe(SHARING_NAMESPACES_MAX);
    expect(warned(annotations)[0]).toMatch(/only the first 100 namespaces/);
  });

  it.each(['eth0', 'auto', 'bond0.200', 'a'.repeat(15)])('takes %s for an interface', (name) => {
    expect(requested({ 'kube-vip.io/serviceInterface': name }).interfaceName).toBe(name);
  });

  it.each(['a'.repeat(16), 'eth 0', 'a/b'])('refuses %s as an interface', (name) => {
    expect(refused({ 'kube-vip.io/serviceInterface': name })[0]).toMatch(
      /^REQUEST_INVALID: kube-vip.io\/serviceInterface/,
    );
  });

  it.each(['eth0.1', 'eth0.200', 'bond0.4094', 'a.b.7'])('takes %s for a VLAN', (name) => {
    expect(requested({ 'kube-vip.io/serviceVLAN': name }).vlan).toBe(name);
  });

  it.each(['eth0', 'eth0.0', 'eth0.4095', 'eth0.01', '.5', 'averylongname0.200', 'eth0.1e3'])(
    'refuses %s as a VLAN',
    (name) => {
      expect(refused({ 'kube-vip.io/serviceVLAN': name })[0]).toMatch(/^REQUEST_INVALID: kube-vip.io\/serviceVLAN/);
    },
  );

  it('answers without endpoints for Cluster only (kube-vip §9.3)', () => {
    const annotations = { 'kube-vip.io/allow-reconcile-without-endpoints': 'true' };
    expect(requested(annotations).allowsNoEndpoints).toBe(true);
    expect(requested(annotations, { trafficPolicy: 'Local' }).allowsNoEndpoints).toBe(false);
    expect(warned(annotations, { trafficPolicy: 'Local' })[0]).toMatch(/no effect with externalTrafficPolicy: Local/);
    expect(requested({}).allowsNoEndpoints).toBe(false);
  });

  it('keeps in a refusal what could be read, so that the Service keeps what it has on its own terms', () => {
    const outcome = readRequest(
      asking('web', { 'metallb.io/loadBalancerIPs': 'x/y', 'metallb.io/allow-shared-ip': 'web' }),
      RULES,
    );
    expect(outcome).toMatchObject({
      kind: 'refused',
      request: { sharingKey: 'web', addresses: [], families: ['ipv4'] },
    });
  });

  it('passes warnings on, and not more than can be read', () => {
    expect(warned({ 'kube-vip.io/egress': 'true' })).toHaveLength(1);
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`metallb.io/x${index}`, '1']));
    expect(warned(many)).toHaveLength(17);
    expect(warned(many).at(-1)).toMatch(/there are more/);
  });
});

describe('reading again', () => {
  it('gives the very same for the same object and rules, and another for other rules', () => {
    const object = service({ key: 'web' });
    const first = readRequest(object, RULES);
    expect(readRequest(object, RULES)).toBe(first);
    expect(readRequest(object, { ...RULES, namespace: 'other' }).kind).toBe('foreign');
    expect(readRequest(object, RULES)).toEqual(first);
  });
});
