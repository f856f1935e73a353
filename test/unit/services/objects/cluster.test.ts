import { describe, expect, it } from 'vitest';

import { CONFIG_MAP_LENGTH_MAX, decodeConfigMap } from '../../../../src/services/objects/config-map.ts';
import { decodeEndpointSlice, ENDPOINTS_MAX } from '../../../../src/services/objects/endpoint-slice.ts';
import { decodeNamespace } from '../../../../src/services/objects/namespace.ts';
import { decodeNode, NODE_ENTRIES_MAX } from '../../../../src/services/objects/node.ts';
import { ip } from '../../base/values.ts';
import { flawless, messages, valueOf } from './problems.ts';

describe('a Node', () => {
  const node = (fields: object) => decodeNode({ metadata: { name: 'n1' }, ...fields });
  const bare = {
    name: 'n1',
    labels: {},
    annotations: {},
    addresses: [],
    podCidrs: [],
    isReady: true,
    isNetworkUnavailable: false,
    isCordoned: false,
    isOutOfService: false,
  };

  it('is not Ready when its condition says so, or says that nobody knows', () => {
    const ready = (status: unknown) => valueOf(node({ status: { conditions: [{ type: 'Ready', status }] } })).isReady;
    expect(['True', 'False', 'Unknown', true].map(ready)).toEqual([true, false, false, false]);
  });

  it('is decoded as the API server gives it', () => {
    const raw = {
      metadata: { name: 'n1', labels: { zone: 'a' }, annotations: { 'holdfast.io/weight': '5' } },
      spec: {
        podCIDR: '10.244.1.0/24',
        podCIDRs: ['10.244.1.0/24', 'fd00:244:1::/64'],
        unschedulable: true,
        taints: [
          { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' },
          { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' },
        ],
      },
      status: {
        addresses: [
          { type: 'InternalIP', address: '192.0.2.11' },
          { type: 'InternalIP', address: '2001:db8::11' },
          { type: 'ExternalIP', address: '198.51.100.11' },
          { type: 'Hostname', address: 'n1' },
          { type: 'InternalDNS', address: 'n1.example.org' },
        ],
        conditions: [
          { type: 'NetworkUnavailable', status: 'True' },
          { type: 'Ready', status: 'True' },
        ],
      },
    };
    expect(flawless(decodeNode(raw))).toStrictEqual({
      name: 'n1',
      labels: { zone: 'a' },
      annotations: { 'holdfast.io/weight': '5' },
      addresses: [ip('192.0.2.11'), ip('2001:db8::11'), ip('198.51.100.11')],
      podCidrs: [
        { ip: ip('10.244.1.0'), length: 24 },
        { ip: ip('fd00:244:1::'), length: 64 },
      ],
      isReady: true,
      isNetworkUnavailable: true,
      isCordoned: true,
      isOutOfService: true,
    });
  });

  it.each([{}, { spec: null, status: null }, { spec: { podCIDR: '', taints: null }, status: { addresses: [] } }])(
    'needs nothing but its name: %j',
    (fields) => {
      expect(flawless(node(fields))).toStrictEqual(bare);
    },
  );

  it.each([
    [{ status: { conditions: [{ type: 'NetworkUnavailable', status: 'False' }] } }],
    [{ spec: { unschedulable: false } }],
    [{ spec: { taints: [{ key: 'node.kubernetes.io/not-ready' }] } }],
  ])('is in no state that it does not tell: %j', (fields) => {
    expect(flawless(node(fields))).toStrictEqual(bare);
  });

  it.each([
    [{ spec: { unschedulable: 'true' } }, 'spec.unschedulable is "true", not true or false'],
    [{ spec: { taints: 'x' } }, 'spec.taints is "x", not a list'],
    [{ spec: { taints: [5] } }, 'spec.taints[0] is 5, not an object'],
    [{ spec: { podCIDRs: ['10.244.1.0'] } }, 'spec.podCIDRs[0] is "10.244.1.0", not a CIDR'],
    [{ spec: { podCIDRs: ['10.244.1.0/33'] } }, 'spec.podCIDRs[0] is "10.244.1.0/33", longer than an address'],
    [{ spec: { podCIDRs: ['fd00::/129'] } }, 'spec.podCIDRs[0] is "fd00::/129", longer than an address'],
    [{ spec: { podCIDRs: ['10.244.1/24'] } }, 'spec.podCIDRs[0] is "10.244.1", which is no IP address'],
    [{ spec: { podCIDR: 10 } }, 'spec.podCIDR is 10, not a CIDR'],
    [{ status: { addresses: [{ type: 'InternalIP' }] } }, 'status.addresses[0].address is absent, not an IP address'],
    [
      { status: { addresses: [{ type: 'InternalIP', address: 'n1' }] } },
      'status.addresses[0].address is "n1", which is no IP address',
    ],
    [{ status: { addresses: { type: 'InternalIP' } } }, 'status.addresses is an object, not a list'],
    [{ status: { conditions: 'Ready' } }, 'status.conditions is "Ready", not a list'],
  ])('with %j: the field is named and counts as absent', (fields, message) => {
    const decoding = node(fields);
    expect(messages(decoding)).toEqual([message]);
    expect(decoding.value).toStrictEqual(bare);
  });

  it('has a limit of addresses', () => {
    const addresses = Array.from({ length: NODE_ENTRIES_MAX + 1 }, () => ({
      type: 'InternalIP',
      address: '192.0.2.1',
    }));
    const decoding = node({ status: { addresses } });
    expect(messages(decoding)).toEqual(['status.addresses has 201 entries: only the first 200 are used']);
    expect(valueOf(decoding).addresses).toHaveLength(NODE_ENTRIES_MAX);
  });
});

describe('a Namespace', () => {
  it('has its labels, and the one with its name even when nobody wrote it', () => {
    expect(flawless(decodeNamespace({ metadata: { name: 'shop', labels: { env: 'prod' } } }))).toEqual({
      name: 'shop',
      labels: { env: 'prod', 'kubernetes.io/metadata.name': 'shop' },
    });
    const wrong = { 'kubernetes.io/metadata.name': 'other' };
    expect(flawless(decodeNamespace({ metadata: { name: 'shop', labels: wrong } })).labels).toEqual({
      'kubernetes.io/metadata.name': 'shop',
    });
  });
});

describe('an EndpointSlice', () => {
  const metadata = { name: 'web-x7', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } };
  const slice = (fields: object) => decodeEndpointSlice({ metadata, addressType: 'IPv4', ...fields });
  const endpoint = (fields: object) => flawless(slice({ endpoints: [fields] })).endpoints[0];

  it('is decoded as the API server gives it', () => {
    const raw = {
      metadata,
      addressType: 'IPv6',
      endpoints: [
        {
          addresses: ['fd00::5'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'n1',
          zone: 'a',
        },
        { addresses: ['fd00::6'], conditions: { ready: false, serving: false, terminating: true }, nodeName: 'n2' },
      ],
      ports: [{ port: 80 }],
    };
    expect(flawless(decodeEndpointSlice(raw))).toStrictEqual({
      key: 'shop/web-x7',
      service: 'shop/web',
      family: 'ipv6',
      endpoints: [
        { node: 'n1', canServe: true },
        { node: 'n2', canServe: false },
      ],
    });
  });

  // MetalLB, reference case 37, and what the API says of absent conditions.
  it.each([
    [{ ready: true }, true],
    [{ ready: false }, false],
    [{ ready: false, serving: true }, true],
    [{ ready: true, serving: false }, true],
    [{ ready: false, serving: false }, false],
    [{ ready: null, serving: false }, true],
    [{ serving: false }, true],
    [{}, true],
    [null, true],
    [undefined, true],
  ])('with an endpoint of conditions %j can serve: %s', (conditions, canServe) => {
    expect(endpoint({ conditions })).toStrictEqual({ node: undefined, canServe });
  });

  it.each([
    [{ conditions: { ready: 'true' } }, 'endpoints[0].conditions.ready is "true", not true or false', false],
    [{ conditions: { ready: false, serving: 1 } }, 'endpoints[0].conditions.serving is 1, not true or false', false],
    [{ conditions: [] }, 'endpoints[0].conditions is a list, not an object', true],
    [{ nodeName: 5 }, 'endpoints[0].nodeName is 5, not the name of a node', true],
    [{ nodeName: 'N 1' }, 'endpoints[0].nodeName is "N 1", not the name of a node', true],
  ])('with an endpoint like %j names the field', (raw, message, canServe) => {
    const decoding = slice({ endpoints: [raw] });
    expect(messages(decoding)).toEqual([message]);
    expect(valueOf(decoding).endpoints).toStrictEqual([{ node: undefined, canServe }]);
  });

  it('leaves out an endpoint that is none', () => {
    const decoding = slice({ endpoints: ['x', { nodeName: 'n1' }] });
    expect(messages(decoding)).toEqual(['endpoints[0] is "x", not an object']);
    expect(valueOf(decoding).endpoints).toStrictEqual([{ node: 'n1', canServe: true }]);
  });

  it.each([
    ['IPv4', 'ipv4', []],
    ['IPv6', 'ipv6', []],
    ['FQDN', undefined, []],
    [undefined, undefined, []],
    ['IPv5', undefined, ['addressType is "IPv5", not one of IPv4, IPv6, FQDN']],
  ])('of address type %s is of family %s', (addressType, family, told) => {
    const decoding = slice({ addressType });
    expect(messages(decoding)).toEqual(told);
    expect(valueOf(decoding).family).toBe(family);
  });

  it.each([undefined, null, {}, { 'kubernetes.io/service-name': '' }])(
    'with labels %j is of no Service, which is no problem',
    (labels) => {
      const decoding = decodeEndpointSlice({ metadata: { ...metadata, labels } });
      expect(decoding).toEqual({ value: undefined, problems: [] });
    },
  );

  it('of a Service that cannot be is refused', () => {
    const decoding = decodeEndpointSlice({
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'a/b' } },
    });
    expect(decoding.value).toBeUndefined();
    expect(messages(decoding)).toEqual([
      'metadata.labels["kubernetes.io/service-name"] is "a/b", not the name of a Service: nothing of the object can be used',
    ]);
  });

  it('has a limit of endpoints', () => {
    const decoding = slice({ endpoints: Array.from({ length: ENDPOINTS_MAX + 1 }, () => ({})) });
    expect(messages(decoding)).toEqual(['endpoints has 1001 entries: only the first 1000 are used']);
    expect(valueOf(decoding).endpoints).toHaveLength(ENDPOINTS_MAX);
  });
});

describe('a ConfigMap', () => {
  const metadata = {
    name: 'kubevip',
    namespace: 'kube-system',
    resourceVersion: '7',
    creationTimestamp: '2026-01-31T12:00:00Z',
  };

  it('has its data', () => {
    const data = { 'cidr-global': '192.0.2.0/24', 'search-order': 'desc' };
    expect(flawless(decodeConfigMap({ metadata, data, binaryData: { x: 'AA==' } }))).toStrictEqual({
      key: 'kube-system/kubevip',
      uid: '',
      data,
      resourceVersion: '7',
      createdAt: '2026-01-31T12:00:00Z',
    });
    expect(flawless(decodeConfigMap({ metadata })).data).toEqual({});
  });

  it('loses only the entries that are no texts', () => {
    const data = { 'allow-share-global': true, 'cidr-a': [], 'cidr-global': '192.0.2.0/24' };
    const decoding = decodeConfigMap({ metadata, data });
    expect(messages(decoding)).toEqual([
      'data["allow-share-global"] is true, not a text: it has to be quoted, and is read as if it were',
      'data["cidr-a"] is a list, not a text',
    ]);
    expect(valueOf(decoding).data).toEqual({ 'allow-share-global': 'true', 'cidr-global': '192.0.2.0/24' });
  });

  it('may be as large as the API server lets it be', () => {
    const data = { a: 'x'.repeat(CONFIG_MAP_LENGTH_MAX - 1) };
    expect(flawless(decodeConfigMap({ metadata, data })).data).toEqual(data);
    expect(messages(decodeConfigMap({ metadata, data: { ...data, b: '' } }))).toHaveLength(1);
  });
});
