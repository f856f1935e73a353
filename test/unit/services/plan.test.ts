import { array, assert, constantFrom, property, record, type Arbitrary } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp, type Ip } from '../../../src/base/ip.ts';
import { UNKNOWN_LEADER } from '../../../src/services/candidate.ts';
import { indexEndpoints } from '../../../src/services/endpoints.ts';
import type { NodeFacts, ServiceObject, ServiceRules } from '../../../src/services/model.ts';
import { nodeWeight } from '../../../src/services/node-weight.ts';
import { decodeEndpointSlice } from '../../../src/services/objects/endpoint-slice.ts';
import { decodeNode } from '../../../src/services/objects/node.ts';
import { decodeService } from '../../../src/services/objects/service.ts';
import { planMemo, planServices, type PlanInput } from '../../../src/services/plan.ts';
import { parseSvcPools } from '../../../src/services/pools/environment.ts';

const RULES: ServiceRules = {
  className: 'kube-vip.io/kube-vip-class',
  isClassLegacy: true,
  isClassOnly: false,
  namespace: '',
  isSpread: true,
  ignoresExcludeLabel: false,
};

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

function service(name: string, spec: object = {}, annotations: object = {}): ServiceObject {
  const { value } = decodeService({
    metadata: { namespace: 'a', name, creationTimestamp: '2026-01-01T00:00:00Z', annotations },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec },
  });
  if (value === undefined) throw new Error(name);
  return value;
}

function node(name: string, isDraining = false): NodeFacts {
  const { value } = decodeNode({ metadata: { name } });
  if (value === undefined) throw new Error(name);
  const unknown = { interfaces: undefined, isKubeProxyHealthy: undefined, hasStanding: undefined };
  return { ...unknown, node: value, isDraining, weight: 1 };
}

/** A candidate all the same, of which something else is told. */
function unready(facts: NodeFacts): NodeFacts {
  return { ...facts, node: { ...facts.node, isReady: false } };
}

function input(services: readonly ServiceObject[], nodes: readonly NodeFacts[]): PlanInput {
  return {
    services,
    namespaces: [],
    pools: parseSvcPools('192.0.2.100-192.0.2.103').pools,
    reservations: [],
    quarantined: new Map(),
    rules: RULES,
    advertisements: [],
    nodes,
    endpoints: undefined,
    leader: UNKNOWN_LEADER,
    assignment: new Map(),
  };
}

describe('a plan', () => {
  const services = [
    service('plain'),
    service('bad', { loadBalancerIP: 'x' }),
    service('theirs', { loadBalancerClass: 'example.com/other' }),
    service('cluster', { type: 'ClusterIP' }),
    service('ignored', {}, { 'kube-vip.io/ignore': 'true' }),
  ];

  test('sorts Services into served, pending, refused and somebody else’s', () => {
    const plan = planServices(input(services, [node('n1')]));
    expect(plan.allocations.map((each) => each.service.name)).toEqual(['plain']);
    expect(plan.pending.map((each) => each.service.name)).toEqual(['bad']);
    expect(plan.refused.map((each) => each.service.name)).toEqual(['bad']);
    expect(plan.foreign.map((each) => [each.service.name, each.code])).toEqual([
      ['ignored', 'SERVICE_IGNORED'],
      ['theirs', 'SERVICE_CLASS'],
    ]);
    expect(plan.ownerships).toMatchObject([{ address: { text: '192.0.2.100' }, node: 'n1', services: ['a/plain'] }]);
  });

  test('asks for endpoints exactly where they are known', () => {
    const unknown = input(services, [node('n1')]);
    expect(planServices(unknown).ownerships).toMatchObject([{ node: 'n1' }]);
    const none = planServices({ ...unknown, endpoints: indexEndpoints([]) });
    expect(none.ownerships).toMatchObject([{ node: undefined, reasons: [{ code: 'NO_ENDPOINTS' }] }]);
    const { value } = decodeEndpointSlice({
      metadata: { namespace: 'a', name: 's', labels: { 'kubernetes.io/service-name': 'plain' } },
      addressType: 'IPv4',
      endpoints: [{ nodeName: 'n9' }],
    });
    const endpoints = indexEndpoints(value === undefined ? [] : [value]);
    expect(planServices({ ...unknown, endpoints }).ownerships).toMatchObject([{ node: 'n1' }]);
  });
});

describe('a plan with a memory', () => {
  const services = [service('one'), service('two'), service('three')];
  const first = input(services, [node('n1'), node('n2')]);

  test('is the very same when nothing is new', () => {
    const memo = planMemo();
    const plan = planServices(first, memo);
    expect(planServices({ ...first }, memo)).toBe(plan);
  });

  test('allocates nothing anew when only nodes change, and owns nothing anew when only pools stay', () => {
    const memo = planMemo();
    const plan = planServices(first, memo);
    const drained = planServices({ ...first, nodes: [node('n1', true), node('n2')] }, memo);
    expect(drained.allocations).toBe(plan.allocations);
    expect(drained.addresses).toBe(plan.addresses);
    expect(drained.ownerships.map((each) => each.node)).toEqual(['n2', 'n2', 'n2']);
    const more = planServices({ ...first, services: [...services, service('zour')] }, memo);
    expect(more.allocations).toHaveLength(4);
    expect(more.ownerships).toHaveLength(4);
  });

  test('is made of the former one wherever that says the same', () => {
    const memo = planMemo();
    const plan = planServices(first, memo);
    const changed = services.map((each, index) => (index === 1 ? { ...each, labels: { a: 'b' } } : each));
    const next = planServices({ ...first, services: changed, nodes: [...first.nodes] }, memo);
    const isKept = <T>(now: readonly T[], before: readonly T[]): readonly boolean[] =>
      now.map((each, index) => each === before[index]);
    const isOther = plan.allocations.map(({ service: { key } }) => key !== services[1]?.key);
    expect(isKept(next.allocations, plan.allocations)).toEqual(isOther);
    expect(isKept(next.addresses, plan.addresses)).toEqual(isOther);
    expect(isKept(next.ownerships, plan.ownerships)).toEqual([true, true, true]);
    expect(next.allocations.map(({ service: each }) => each.labels)).toContainEqual({ a: 'b' });
  });

  test.each<[string, Partial<PlanInput>]>([
    ['services', { services: services.slice(1) }],
    ['pools', { pools: parseSvcPools('192.0.2.7-192.0.2.9').pools }],
    [
      'quarantined',
      { quarantined: new Map([['192.0.2.100', { address: ip('192.0.2.100'), mac: '02:00:00:00:00:01' }]]) },
    ],
    ['reservations', { reservations: [{ range: { first: ip('192.0.2.100'), last: ip('192.0.2.101') }, reason: 'a' }] }],
    ['rules', { rules: { ...RULES, isSpread: false, namespace: 'b' } }],
    ['nodes', { nodes: [node('n3')] }],
    ['words about nodes', { nodes: first.nodes.map(unready) }],
    ['endpoints', { endpoints: indexEndpoints([]) }],
    ['leader', { leader: 'n2' }],
    [
      'assignment',
      {
        assignment: new Map([
          ['192.0.2.100', 'n1'],
          ['192.0.2.101', 'n1'],
          ['192.0.2.102', 'n2'],
        ]),
      },
    ],
  ])('does not overlook that other %s came', (part, change) => {
    const before: PlanInput =
      part === 'leader' ? { ...first, rules: { ...RULES, isSpread: false }, leader: 'n1' } : first;
    const memo = planMemo();
    const plan = planServices(before, memo);
    const next = { ...before, ...change };
    expect(planServices(next, memo)).toEqual(planServices(next));
    expect(planServices(next, memo)).not.toEqual(plan);
  });

  test('is what it would be without one, whatever changes in whatever order', () => {
    const serviceSets = [services, services.slice(1), [...services, service('four'), service('five')], []];
    const nodeSets = [first.nodes, [node('n1', true), node('n2')], [node('n3')], []];
    const poolSets = ['192.0.2.100-192.0.2.101', '192.0.2.100-192.0.2.109', '', '2001:db8::/120'].map(
      (text) => parseSvcPools(text).pools,
    );
    const ruleSets = [RULES, { ...RULES, isSpread: false }];
    const assignments = [new Map<string, string>(), new Map([['192.0.2.100', 'n2']])];
    const leaders = [UNKNOWN_LEADER, 'n1', undefined];
    const pick = <T>(from: readonly T[]): Arbitrary<T> => constantFrom(...from);
    const change = record({
      services: pick(serviceSets),
      nodes: pick(nodeSets),
      pools: pick(poolSets),
      rules: pick(ruleSets),
      assignment: pick(assignments),
      leader: pick(leaders),
      endpoints: pick([undefined, indexEndpoints([])]),
      quarantined: pick([first.quarantined, new Map()]),
    });
    assert(
      property(array(change, { minLength: 2, maxLength: 8 }), (changes) => {
        const memo = planMemo();
        for (const each of changes) {
          const next = { ...first, ...each };
          expect(planServices(next, memo)).toEqual(planServices(next));
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('the weight of a node', () => {
  function weigh(text: string): ReturnType<typeof nodeWeight> {
    const { value } = decodeNode({ metadata: { name: 'n1', annotations: { 'holdfast.io/weight': text } } });
    if (value === undefined) throw new Error(text);
    return nodeWeight(value);
  }

  test('is 1 unless said, and what is said from 0 to 100', () => {
    expect(nodeWeight(node('n1').node)).toEqual({ value: 1, problems: [] });
    expect(['0', '1', '100', ' 7 '].map((text) => weigh(text).value)).toEqual([0, 1, 100, 7]);
  });

  test.each(['101', '-1', '1.5', 'x', '1e1'])('that cannot be read (%s) counts as 1 and is told', (text) => {
    expect(weigh(text)).toMatchObject({
      value: 1,
      problems: [{ object: { kind: 'Node', key: 'n1' }, code: 'OBJECT_INVALID' }],
    });
  });
});
