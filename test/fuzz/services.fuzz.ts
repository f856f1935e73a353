/** Objects of Kubernetes of any shape: arbitrary JSON, and valid objects with pieces replaced, removed and added. */

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseIp, type Ip } from '../../src/base/ip.ts';
import { EVERY_SERVICE, type Decoding, type Labels, type ServiceObject } from '../../src/services/model.ts';
import { CONFIG_MAP_LENGTH_MAX, decodeConfigMap } from '../../src/services/objects/config-map.ts';
import { decodeEndpointSlice, ENDPOINTS_MAX } from '../../src/services/objects/endpoint-slice.ts';
import { decodeNamespace } from '../../src/services/objects/namespace.ts';
import { decodeNode, NODE_ENTRIES_MAX } from '../../src/services/objects/node.ts';
import { objectRef } from '../../src/services/objects/object-ref.ts';
import { LABELS_LENGTH_MAX, PROBLEMS_MAX } from '../../src/services/objects/part.ts';
import { CONDITIONS_MAX, decodeService, INGRESS_MAX, PORTS_MAX } from '../../src/services/objects/service.ts';
import { scopeRefusal } from '../../src/services/scope.ts';
import { decodeSelector, matchesSelector } from '../../src/services/selector.ts';
import { anything, asParsed, mutate, mutation } from './hostile-json.ts';

/** Each field of a Service, some fifty, is replaced or removed more than a hundred times; two or three seconds for a kind. */
const RUNS = { numRuns: 3_000 };

const metadata = {
  name: 'web',
  namespace: 'shop',
  uid: '0b1c',
  resourceVersion: '12',
  creationTimestamp: '2026-01-31T12:00:00Z',
  labels: { app: 'web', 'kubernetes.io/service-name': 'web' },
  annotations: { 'metallb.io/address-pool': 'lan', plain: 'x' },
};

const VALID: Readonly<Record<string, object>> = {
  Service: {
    metadata,
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'a/b',
      loadBalancerIP: '192.0.2.10',
      clusterIP: '10.96.0.5',
      clusterIPs: ['10.96.0.5', 'fd00::5'],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'PreferDualStack',
      externalTrafficPolicy: 'Local',
      selector: { app: 'web' },
      ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 }],
    },
    status: {
      loadBalancer: { ingress: [{ ip: '192.0.2.10' }, { hostname: 'a.example.org' }] },
      conditions: [{ type: 'a', status: 'True', reason: 'B', message: 'c', lastTransitionTime: 'd' }],
    },
  },
  Node: {
    metadata,
    spec: { podCIDRs: ['10.244.1.0/24', 'fd00::/64'], unschedulable: true, taints: [{ key: 'a', effect: 'b' }] },
    status: {
      addresses: [{ type: 'InternalIP', address: '192.0.2.11' }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  },
  Namespace: { metadata },
  EndpointSlice: {
    metadata,
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true, serving: true }, nodeName: 'n1' }],
  },
  ConfigMap: { metadata, data: { 'cidr-global': '192.0.2.0/24', 'search-order': 'desc' } },
};

const objects = (kind: string) =>
  fc.oneof(
    { arbitrary: anything, weight: 1 },
    {
      arbitrary: fc
        .array(mutation, { minLength: 1, maxLength: 8 })
        .map((mutations) => mutations.reduce<unknown>((value, each) => mutate(value, each), VALID[kind])),
      weight: 9,
    },
  );

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const SECOND = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

function checkLabels(labels: Labels, lengthMax = LABELS_LENGTH_MAX): void {
  expect(Object.getPrototypeOf(labels)).toBe(Object.prototype);
  let length = 0;
  for (const [key, value] of Object.entries(labels)) {
    expect(typeof value).toBe('string');
    expect(key).not.toBe('__proto__');
    length += key.length + value.length;
  }
  expect(length).toBeLessThanOrEqual(lengthMax + 100);
}

function checkIps(ips: readonly Ip[], max: number): void {
  expect(ips.length).toBeLessThanOrEqual(max);
  for (const each of ips) expect(parseIp(each.text)).toEqual({ ok: true, value: each });
}

function checkService(service: ServiceObject): void {
  expect(service.namespace).toMatch(NAME);
  expect(service.key).toBe(`${service.namespace}/${service.name}`);
  if (service.createdAt !== '') expect(service.createdAt).toMatch(SECOND);
  for (const labels of [service.labels, service.annotations, service.selector]) checkLabels(labels);
  checkIps(service.clusterIps, 2);
  checkIps(service.ingress, INGRESS_MAX);
  expect(new Set(service.ingress.map((each) => each.text)).size).toBe(service.ingress.length);
  expect(new Set(service.families).size).toBe(service.families.length);
  expect(service.families.every((family) => family === 'ipv4' || family === 'ipv6')).toBe(true);
  expect(['Cluster', 'Local']).toContain(service.trafficPolicy);
  expect(service.ports.length).toBeLessThanOrEqual(PORTS_MAX);
  for (const { name, port, nodePort, protocol } of service.ports) {
    expect(typeof name).toBe('string');
    expect(['TCP', 'UDP', 'SCTP']).toContain(protocol);
    expect(Number.isInteger(port) && port >= 1 && port <= 65_535).toBe(true);
    expect(Object.is(nodePort, 0) || (Number.isInteger(nodePort) && nodePort >= 1 && nodePort <= 65_535)).toBe(true);
  }
  expect(service.conditions.length).toBeLessThanOrEqual(CONDITIONS_MAX);
  for (const { type, status } of service.conditions) expect([typeof status, type === '']).toEqual(['string', false]);
  for (const wish of [service.loadBalancerIp, service.loadBalancerClass]) {
    if (wish !== undefined) expect(wish.length > 0 && wish.length <= 1_024).toBe(true);
  }
}

function checkDecoding<T extends object>(kind: string, raw: unknown, decoding: Decoding<T>): T | undefined {
  expect(decoding.problems.length).toBeLessThanOrEqual(PROBLEMS_MAX + 1);
  for (const { object, code, message, remedy } of decoding.problems) {
    expect([object, code]).toEqual([objectRef(kind, raw), 'OBJECT_INVALID']);
    expect(message.length).toBeLessThan(20_000);
    expect(remedy).toMatch(/^Correct /);
  }
  if (decoding.value === undefined) return undefined;
  expect(decoding.value).toHaveProperty('labels' in decoding.value ? 'labels' : 'key');
  // Nothing of the raw object is in the value: what is done to the one is not seen in the other.
  const before = JSON.stringify(decoding.value);
  scribble(raw);
  expect(JSON.stringify(decoding.value)).toBe(before);
  return decoding.value;
}

function scribble(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    scribble(inner);
    Reflect.defineProperty(value, key, { value: 'scribbled' });
  }
}

function fuzz<T extends object>(kind: string, decode: (raw: unknown) => Decoding<T>, check: (value: T) => void): void {
  let values = 0;
  fc.assert(
    fc.property(objects(kind), (made) => {
      const raw = asParsed(made);
      const copy = asParsed(made);
      const value = checkDecoding(kind, copy, decode(copy));
      expect(decode(raw).value).toEqual(value);
      if (value === undefined) return;
      values += 1;
      check(value);
    }),
    RUNS,
  );
  expect(values, 'most of what is tried can be decoded').toBeGreaterThan(RUNS.numRuns / 3);
}

describe('decoding answers for any JSON, within its limits', () => {
  it('a Service', () => fuzz('Service', decodeService, checkService));

  it('a Node', () =>
    fuzz('Node', decodeNode, (node) => {
      expect(node.name).toMatch(NAME);
      checkLabels(node.labels);
      checkLabels(node.annotations);
      checkIps(node.addresses, NODE_ENTRIES_MAX);
      const ips = node.podCidrs.map((cidr) => cidr.ip);
      checkIps(ips, 2);
      for (const { ip, length } of node.podCidrs) expect(length).toBeLessThanOrEqual(ip.family === 'ipv4' ? 32 : 128);
    }));

  it('a Namespace', () =>
    fuzz('Namespace', decodeNamespace, ({ name, labels }) => {
      expect(labels['kubernetes.io/metadata.name']).toBe(name);
      checkLabels(labels);
    }));

  it('an EndpointSlice', () =>
    fuzz('EndpointSlice', decodeEndpointSlice, ({ service, endpoints }) => {
      for (const part of service.split('/')) expect(part).toMatch(NAME);
      expect(endpoints.length).toBeLessThanOrEqual(ENDPOINTS_MAX);
      for (const { node, canServe } of endpoints) {
        expect(typeof canServe).toBe('boolean');
        if (node !== undefined) expect(node).toMatch(NAME);
      }
    }));

  it('a ConfigMap', () => fuzz('ConfigMap', decodeConfigMap, ({ data }) => checkLabels(data, CONFIG_MAP_LENGTH_MAX)));
});

describe('selectors', () => {
  const key = fc.constantFrom('a', 'b', 'constructor', 'example.org/c', '__proto__', 'toString', '-');
  const value = fc.constantFrom('x', 'y', '', 'a b');
  const labels = fc.dictionary(key, value, { maxKeys: 4 });
  const expression = fc.record(
    {
      key,
      operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist', 'in'),
      values: fc.array(value, { maxLength: 3 }),
    },
    { requiredKeys: ['key', 'operator'] },
  );
  const selector = fc.oneof(
    anything,
    fc.record(
      {
        matchLabels: fc.oneof(labels, anything),
        matchExpressions: fc.array(fc.oneof(expression, anything), { maxLength: 3 }),
      },
      { requiredKeys: [] },
    ),
    fc.record({ matchExpressions: fc.array(expression, { maxLength: 2 }) }),
  );

  it('are read or refused with a reason, whatever they are, and match without failing', () => {
    let read = 0;
    fc.assert(
      fc.property(selector, labels, (raw, own) => {
        const decoded = decodeSelector(asParsed(raw));
        if (!decoded.ok) {
          expect(decoded.detail).toMatch(/^(the selector|matchLabels|matchExpressions)/);
          return;
        }
        read += 1;
        const isMatch = matchesSelector(decoded.value, own);
        const scope = { ...EVERY_SERVICE, serviceSelectors: [decoded.value] };
        const service = { namespace: 'shop', name: 'web', labels: own };
        expect(scopeRefusal(scope, service, undefined)).toBe(isMatch ? undefined : 'selector');
      }),
      RUNS,
    );
    expect(read).toBeGreaterThan(RUNS.numRuns / 10);
  });

  it('of opposite operators never match the same labels, and one of them does', () => {
    const name = fc.constantFrom('a', 'b', 'constructor', 'toString');
    fc.assert(
      fc.property(name, fc.array(fc.constantFrom('x', 'y', ''), { minLength: 1 }), labels, (key, values, own) => {
        const matches = (operator: string, given?: readonly string[]) => {
          const decoded = decodeSelector({ matchExpressions: [{ key, operator, values: given }] });
          return decoded.ok && matchesSelector(decoded.value, own);
        };
        expect(matches('In', values)).toBe(!matches('NotIn', values));
        expect(matches('Exists')).toBe(!matches('DoesNotExist'));
        expect(matches('Exists')).toBe(Object.keys(own).includes(key));
      }),
      RUNS,
    );
  });
});
