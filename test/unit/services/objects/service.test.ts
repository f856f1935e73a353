import { describe, expect, it } from 'vitest';

import type { ServiceObject } from '../../../../src/services/model.ts';
import { TEXT_LENGTH_MAX } from '../../../../src/services/objects/part.ts';
import { CONDITIONS_MAX, decodeService, INGRESS_MAX, PORTS_MAX } from '../../../../src/services/objects/service.ts';
import { ip } from '../../base/values.ts';
import { flawless, messages, valueOf } from './problems.ts';

const metadata = { name: 'web', namespace: 'shop' };
const spec = (fields: object) => decodeService({ metadata, spec: fields });
const status = (fields: object) => decodeService({ metadata, status: fields });
const ingress = (entries: unknown) => status({ loadBalancer: { ingress: entries } });
const texts = (ips: readonly { readonly text: string }[]) => ips.map((each) => each.text);

const BARE: ServiceObject = {
  key: 'shop/web',
  namespace: 'shop',
  name: 'web',
  uid: '',
  resourceVersion: '',
  createdAt: '',
  isBeingDeleted: false,
  isLoadBalancer: false,
  labels: {},
  annotations: {},
  loadBalancerClass: undefined,
  loadBalancerIp: undefined,
  clusterIps: [],
  families: [],
  familyPolicy: undefined,
  ports: [],
  trafficPolicy: 'Cluster',
  selector: {},
  ingress: [],
  hasForeignIngress: false,
  conditions: [],
};

it('decodes a Service as the API server gives it', () => {
  const condition = {
    type: 'cilium.io/IPAMRequestSatisfied',
    status: 'True',
    reason: 'satisfied',
    message: '',
    lastTransitionTime: '2026-01-31T12:00:00Z',
    observedGeneration: 3,
  };
  const raw = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...metadata,
      uid: '0b1c',
      resourceVersion: '1234',
      creationTimestamp: '2026-01-31T12:00:00Z',
      deletionTimestamp: '2026-02-01T12:00:00Z',
      labels: { app: 'web' },
      annotations: { 'kube-vip.io/loadbalancerIPs': '192.0.2.10,2001:db8::10' },
      managedFields: [{ manager: 'kubectl' }],
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'kube-vip.io/kube-vip-class',
      loadBalancerIP: '192.0.2.10',
      clusterIP: '10.96.0.5',
      clusterIPs: ['10.96.0.5', 'fd00:96::5'],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      externalTrafficPolicy: 'Local',
      selector: { app: 'web' },
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 'http', nodePort: 30080 },
        { name: 'dns', protocol: 'UDP', port: 53, targetPort: 53 },
      ],
    },
    status: {
      loadBalancer: { ingress: [{ ip: '192.0.2.10', ipMode: 'VIP' }, { ip: '2001:DB8:0::10' }] },
      conditions: [condition],
    },
  };
  expect(flawless(decodeService(raw))).toStrictEqual({
    key: 'shop/web',
    namespace: 'shop',
    name: 'web',
    uid: '0b1c',
    resourceVersion: '1234',
    createdAt: '2026-01-31T12:00:00Z',
    isBeingDeleted: true,
    isLoadBalancer: true,
    labels: { app: 'web' },
    annotations: { 'kube-vip.io/loadbalancerIPs': '192.0.2.10,2001:db8::10' },
    loadBalancerClass: 'kube-vip.io/kube-vip-class',
    loadBalancerIp: '192.0.2.10',
    clusterIps: [ip('10.96.0.5'), ip('fd00:96::5')],
    families: ['ipv4', 'ipv6'],
    familyPolicy: 'RequireDualStack',
    ports: [
      { name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 },
      { name: 'dns', protocol: 'UDP', port: 53, nodePort: 0 },
    ],
    trafficPolicy: 'Local',
    selector: { app: 'web' },
    ingress: [ip('192.0.2.10'), ip('2001:db8::10')],
    hasForeignIngress: false,
    conditions: [condition],
  });
});

it.each([
  [{ metadata }],
  [{ metadata, spec: null, status: null }],
  [{ metadata, spec: {}, status: {} }],
  [
    {
      metadata: { ...metadata, labels: null, annotations: null, uid: null, creationTimestamp: null },
      spec: {
        type: null,
        loadBalancerClass: null,
        loadBalancerIP: '',
        clusterIP: '',
        clusterIPs: null,
        ipFamilies: null,
        ipFamilyPolicy: null,
        externalTrafficPolicy: null,
        selector: null,
        ports: null,
      },
      status: { loadBalancer: { ingress: null }, conditions: null },
    },
  ],
])('what is absent is no problem: %j', (raw) => {
  expect(flawless(decodeService(raw))).toStrictEqual(BARE);
});

it('shares what is empty among all Services, and keeps nothing of the raw object', () => {
  const raw = { metadata: { ...metadata, labels: {} }, spec: { ports: [], selector: {} }, status: { conditions: [] } };
  const [one, other] = [flawless(decodeService(raw)), flawless(decodeService({ metadata }))];
  for (const key of [
    'labels',
    'annotations',
    'selector',
    'ports',
    'clusterIps',
    'families',
    'ingress',
    'conditions',
  ] as const) {
    expect(one[key]).toBe(other[key]);
  }
});

it.each([
  [{ spec: [] }, 'spec is a list, not an object'],
  [{ spec: 'x' }, 'spec is "x", not an object'],
  [{ status: 1 }, 'status is 1, not an object'],
  [
    { spec: { type: 'Loadbalancer' } },
    'spec.type is "Loadbalancer", not one of ClusterIP, NodePort, LoadBalancer, ExternalName',
  ],
  [
    { spec: { type: 'constructor' } },
    'spec.type is "constructor", not one of ClusterIP, NodePort, LoadBalancer, ExternalName',
  ],
  [{ spec: { externalTrafficPolicy: 'local' } }, 'spec.externalTrafficPolicy is "local", not one of Cluster, Local'],
  [
    { spec: { ipFamilyPolicy: true } },
    'spec.ipFamilyPolicy is true, not one of SingleStack, PreferDualStack, RequireDualStack',
  ],
  [{ spec: { ipFamilies: 'IPv4' } }, 'spec.ipFamilies is "IPv4", not a list'],
  [{ spec: { ipFamilies: ['ipv4'] } }, 'spec.ipFamilies[0] is "ipv4", not IPv4 or IPv6'],
  [{ spec: { selector: ['a'] } }, 'spec.selector is a list, not an object'],
  [{ spec: { ports: { port: 80 } } }, 'spec.ports is an object, not a list'],
  [{ spec: { clusterIP: 5 } }, 'spec.clusterIP is 5, not an IP address'],
  [{ status: { loadBalancer: [] } }, 'status.loadBalancer is a list, not an object'],
  [{ status: { conditions: {} } }, 'status.conditions is an object, not a list'],
  [{ status: { conditions: ['x'] } }, 'status.conditions[0] is "x", not an object'],
])('%j: the field is named and counts as absent', (fields, message) => {
  const decoding = decodeService({ metadata, ...fields });
  expect(messages(decoding)).toEqual([message]);
  expect(decoding.value).toStrictEqual(BARE);
});

it('names texts that are none, or too long', () => {
  const decoding = decodeService({
    metadata: { ...metadata, uid: 5, resourceVersion: 'x'.repeat(TEXT_LENGTH_MAX + 1) },
  });
  expect(messages(decoding)).toEqual([
    'metadata.uid is 5, not a text',
    'metadata.resourceVersion has 1025 characters: at most 1024 are read',
  ]);
  expect(decoding.value).toStrictEqual(BARE);
});

describe('what is asked for', () => {
  it.each(['10.0.0.1', 'no address', '::ffff:10.0.0.1', '010.0.0.1'])('%s is passed on as written', (text) => {
    expect(flawless(spec({ loadBalancerIP: text })).loadBalancerIp).toBe(text);
    expect(flawless(spec({ loadBalancerClass: text })).loadBalancerClass).toBe(text);
  });

  it('counts as given when it is no text: another class is not none, an unreadable address not any', () => {
    const decoding = spec({ loadBalancerIP: 10.5, loadBalancerClass: { a: 'b' } });
    expect(messages(decoding)).toEqual([
      'spec.loadBalancerClass is an object, not a text',
      'spec.loadBalancerIP is 10.5, not a text',
    ]);
    expect(decoding.value).toMatchObject({ loadBalancerIp: '10.5', loadBalancerClass: 'an object' });
  });

  it('is short', () => {
    const decoding = spec({ loadBalancerIP: 'x'.repeat(1_000_000) });
    expect(messages(decoding)).toEqual(['spec.loadBalancerIP has 1000000 characters']);
    expect(valueOf(decoding).loadBalancerIp).toBe(`"${'x'.repeat(60)}"…`);
  });
});

describe('cluster IPs', () => {
  it.each([
    [{ clusterIPs: ['10.96.0.5', 'fd00::5'], clusterIP: '10.96.0.5' }, ['10.96.0.5', 'fd00::5']],
    [{ clusterIP: 'fd00:0::5' }, ['fd00::5']],
    [{ clusterIPs: [], clusterIP: '10.96.0.5' }, ['10.96.0.5']],
    [{ clusterIP: 'None', clusterIPs: ['None'] }, []],
    [{ clusterIP: 'None' }, []],
    [{ clusterIPs: [''] }, []],
  ])('of %j are %j', (fields, ips) => {
    expect(texts(flawless(spec(fields)).clusterIps)).toEqual(ips);
    expect(flawless(spec(fields)).isHeadless === true).toBe(JSON.stringify(fields).includes('None'));
  });

  it.each([
    ['010.96.0.5', '"010.96.0.5", whose leading zero is read as octal by some'],
    ['::ffff:10.96.0.5', '"::ffff:10.96.0.5", which is an IPv4 address in the form of IPv6: write it as IPv4'],
    ['fe80::1%eth0', '"fe80::1%eth0", whose zone means something on one machine only'],
    ['none', '"none", which is no IP address'],
    ['10.96.0.5/32', '"10.96.0.5/32", which is no IP address'],
    [`${'0'.repeat(1_000)}.1.1.1`, `"${'0'.repeat(60)}"…, which is no IP address`],
    [3232235777, '3232235777, not an IP address'],
    [null, undefined],
  ])('like %j are left out and named', (value, saying) => {
    const decoding = spec({ clusterIPs: [value, '10.96.0.6'] });
    expect(messages(decoding)).toEqual(saying === undefined ? [] : [`spec.clusterIPs[0] is ${saying}`]);
    expect(texts(valueOf(decoding).clusterIps)).toEqual(['10.96.0.6']);
  });

  it('are two at most', () => {
    const decoding = spec({ clusterIPs: ['10.96.0.1', '10.96.0.2', '10.96.0.3'] });
    expect(messages(decoding)).toEqual(['spec.clusterIPs has 3 entries: only the first 2 are used']);
    expect(valueOf(decoding).clusterIps).toHaveLength(2);
  });
});

it.each([
  [['IPv6'], ['ipv6'], []],
  [['IPv6', 'IPv4'], ['ipv6', 'ipv4'], []],
  [['IPv4', 'IPv4'], ['ipv4'], ['spec.ipFamilies[1] is "IPv4" again']],
  [['IPv4', 6], ['ipv4'], ['spec.ipFamilies[1] is 6, not IPv4 or IPv6']],
  [['IPv4', 'IPv6', 'IPv4'], ['ipv4', 'ipv6'], ['spec.ipFamilies has 3 entries: only the first 2 are used']],
])('families %j are %j', (ipFamilies, families, told) => {
  const decoding = spec({ ipFamilies });
  expect(messages(decoding)).toEqual(told);
  expect(valueOf(decoding).families).toEqual(families);
});

describe('ports', () => {
  it.each([
    [{ port: 80 }, { name: '', protocol: 'TCP', port: 80, nodePort: 0 }],
    [
      { port: 65_535, protocol: 'SCTP', nodePort: 0 },
      { name: '', protocol: 'SCTP', port: 65_535, nodePort: 0 },
    ],
    [
      { port: 1, protocol: null, name: null, nodePort: null },
      { name: '', protocol: 'TCP', port: 1, nodePort: 0 },
    ],
  ])('%j is read', (raw, port) => {
    expect(flawless(spec({ ports: [raw] })).ports).toStrictEqual([port]);
  });

  it.each([
    [{}, 'spec.ports[0].port is absent: the entry is left out'],
    [null, 'spec.ports[0] is null, not an object'],
    [80, 'spec.ports[0] is 80, not an object'],
    [{ port: '80' }, 'spec.ports[0].port is "80", not a whole number from 1 to 65535'],
    [{ port: 0 }, 'spec.ports[0].port is 0, not a whole number from 1 to 65535'],
    [{ port: -1 }, 'spec.ports[0].port is -1, not a whole number from 1 to 65535'],
    [{ port: 65_536 }, 'spec.ports[0].port is 65536, not a whole number from 1 to 65535'],
    [{ port: 80.5 }, 'spec.ports[0].port is 80.5, not a whole number from 1 to 65535'],
    [{ port: 1e300 }, 'spec.ports[0].port is 1e+300, not a whole number from 1 to 65535'],
    [{ port: 80, protocol: 'tcp' }, 'spec.ports[0].protocol is "tcp", not one of TCP, UDP, SCTP'],
    [{ port: 80, protocol: 6 }, 'spec.ports[0].protocol is 6, not one of TCP, UDP, SCTP'],
  ])('%j is left out and named, and the next is used', (raw, message) => {
    const decoding = spec({ ports: [raw, { port: 443 }] });
    expect(messages(decoding)).toEqual([message]);
    expect(valueOf(decoding).ports).toStrictEqual([{ name: '', protocol: 'TCP', port: 443, nodePort: 0 }]);
  });

  it('with a bad node port or name are used without it', () => {
    const decoding = spec({ ports: [{ port: 80, nodePort: 'x', name: 5 }] });
    expect(messages(decoding)).toEqual([
      'spec.ports[0].nodePort is "x", not a whole number from 1 to 65535',
      'spec.ports[0].name is 5, not a text',
    ]);
    expect(valueOf(decoding).ports).toStrictEqual([{ name: '', protocol: 'TCP', port: 80, nodePort: 0 }]);
  });

  it('have a limit, and it is said on the Service that there are more', () => {
    const ports = Array.from({ length: PORTS_MAX + 1 }, (_, index) => ({ port: index + 1 }));
    const decoding = spec({ ports });
    expect(messages(decoding)).toEqual(['spec.ports has 1001 entries: only the first 1000 are used']);
    expect(valueOf(decoding).ports).toHaveLength(PORTS_MAX);
    expect(valueOf(decoding).hasMorePorts).toBe(true);
    const most = flawless(spec({ ports: ports.slice(0, PORTS_MAX) }));
    expect(most.ports).toHaveLength(PORTS_MAX);
    expect(most.hasMorePorts).toBeUndefined();
  });
});

describe('addresses in the status', () => {
  it.each([
    [[], [], false],
    [[{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }], ['192.0.2.1', '2001:db8::1'], false],
    [[{ ip: '192.0.2.1' }, { ip: '192.0.2.1' }, { ip: '192.0.2.2' }], ['192.0.2.1', '192.0.2.2'], false],
    [[{ ip: '2001:db8::1' }, { ip: '2001:DB8:0::1' }], ['2001:db8::1'], false],
    [[{ hostname: 'lb.example.org' }], [], true],
    [[{ hostname: 'lb.example.org' }, { ip: '192.0.2.1' }], ['192.0.2.1'], true],
    [[{ ip: '192.0.2.1', hostname: 'lb.example.org' }], ['192.0.2.1'], false],
    [[{ ip: '', hostname: 'lb.example.org' }], [], true],
    [[{}], [], true],
  ])('%j are %j, foreign: %s', (entries, ips, isForeign) => {
    const service = flawless(ingress(entries));
    expect(texts(service.ingress)).toEqual(ips);
    expect(service.hasForeignIngress).toBe(isForeign);
  });

  it.each([
    ['x', 'status.loadBalancer.ingress is "x", not a list'],
    [{}, 'status.loadBalancer.ingress is an object, not a list'],
    [['192.0.2.1'], 'status.loadBalancer.ingress[0] is "192.0.2.1", not an object'],
    [[{ ip: 'lb.example.org' }], 'status.loadBalancer.ingress[0].ip is "lb.example.org", which is no IP address'],
    [[{ ip: 5 }], 'status.loadBalancer.ingress[0].ip is 5, not an IP address'],
  ])('like %j are foreign and named', (entries, message) => {
    const decoding = ingress(entries);
    expect(messages(decoding)).toEqual([message]);
    expect(decoding.value).toMatchObject({ ingress: [], hasForeignIngress: true });
  });

  it('have a limit', () => {
    const entries = Array.from({ length: INGRESS_MAX + 1 }, (_, index) => ({ ip: `192.0.2.${index}` }));
    const decoding = ingress(entries);
    expect(messages(decoding)).toEqual(['status.loadBalancer.ingress has 65 entries: only the first 64 are used']);
    expect(valueOf(decoding).ingress).toHaveLength(INGRESS_MAX);
    expect(valueOf(decoding).hasForeignIngress).toBe(true);
  });
});

describe('conditions', () => {
  const condition = {
    type: 'a',
    status: 'True',
    reason: 'B',
    message: 'c',
    lastTransitionTime: '2026-01-31T12:00:00Z',
  };

  it('are kept to be given back, long messages too', () => {
    const long = { ...condition, message: 'x'.repeat(32_768) };
    expect(flawless(status({ conditions: [condition, long] })).conditions).toStrictEqual([condition, long]);
  });

  it('without some fields have them empty', () => {
    const kept = flawless(status({ conditions: [{ type: 'a', observedGeneration: 1.5 }] })).conditions;
    expect(kept).toStrictEqual([{ type: 'a', status: '', reason: '', message: '', lastTransitionTime: '' }]);
  });

  it.each([
    [{}, 'status.conditions[0].type is absent, not the type of a condition'],
    [{ type: 5 }, 'status.conditions[0].type is 5, not the type of a condition'],
    [{ type: '' }, 'status.conditions[0].type is "", not the type of a condition'],
  ])('like %j are left out and named', (raw, message) => {
    const decoding = status({ conditions: [raw, condition] });
    expect(messages(decoding)).toEqual([message]);
    expect(valueOf(decoding).conditions).toStrictEqual([condition]);
  });

  it('have a limit', () => {
    const decoding = status({ conditions: Array.from({ length: CONDITIONS_MAX + 1 }, () => condition) });
    expect(messages(decoding)).toEqual(['status.conditions has 65 entries: only the first 64 are used']);
    expect(valueOf(decoding).conditions).toHaveLength(CONDITIONS_MAX);
  });
});
