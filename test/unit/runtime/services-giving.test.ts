/** How the leader gives addresses: chosen once, asked for on the wire, set aside when answered; and what is written then. */

import { describe, expect, it } from 'vitest';

import type { InquiryAnswer } from '../../../src/agent/services/state.ts';
import { assert } from '../../../src/base/assert.ts';
import { finish } from '../../../src/base/steps.ts';
import { monotonic } from '../../../src/base/time.ts';
import { Giving, QUARANTINE_MS, TENTATIVE_MAX } from '../../../src/runtime/services/giving.ts';
import {
  patchText,
  releasePatch,
  servicePatch,
  type PatchOptions,
} from '../../../src/runtime/services/service-patch.ts';
import type { Allocation, Ownership, ServiceObject } from '../../../src/services/model.ts';
import { decodeService } from '../../../src/services/objects/service.ts';
import { planServices, planMemo, type Plan } from '../../../src/services/plan.ts';
import { assemblePools, NO_SOURCES } from '../../../src/services/pools/assemble.ts';
import { parseSvcPools } from '../../../src/services/pools/environment.ts';

const NOW = '2026-01-01T00:00:00Z';
const { pools } = assemblePools({ ...NO_SOURCES, environment: parseSvcPools('192.0.2.10-192.0.2.13') });

function service(
  name: string,
  rest: { ip?: string; status?: object; annotations?: object; type?: string } = {},
): ServiceObject {
  const { ip, status, annotations = {}, type = 'LoadBalancer' } = rest;
  const { value } = decodeService({
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      resourceVersion: '7',
      creationTimestamp: NOW,
      annotations,
    },
    spec: { type, ports: [{ port: 80, protocol: 'TCP' }], ipFamilies: ['IPv4'] },
    status: { loadBalancer: { ingress: ip === undefined ? [] : [{ ip }] }, ...status },
  });
  assert(value !== undefined, 'a proper Service');
  return value;
}

function plan(giving: Giving, services: readonly ServiceObject[]): Plan {
  return planServices(
    {
      services: giving.overlay(services),
      namespaces: [],
      pools,
      reservations: [],
      quarantined: giving.quarantined,
      rules: {
        className: 'x',
        isClassLegacy: true,
        isClassOnly: false,
        namespace: '',
        isSpread: true,
        ignoresExcludeLabel: false,
      },
      advertisements: [],
      nodes: [],
      endpoints: undefined,
      leader: '?',
      assignment: new Map(),
    },
    planMemo(),
  );
}

function given(
  giving: Giving,
  services: readonly ServiceObject[],
  answers: ReadonlyMap<string, InquiryAnswer> = new Map(),
): ReturnType<Giving['choose']> {
  const byKey = new Map(services.map((each) => [each.key, each]));
  const confirmed = new Set(services.flatMap(({ ingress }) => ingress.map(({ text }) => text)));
  return giving.choose(plan(giving, services).allocations, byKey, confirmed, answers);
}

const silent: InquiryAnswer = { kind: 'silent', at: monotonic(0) };
const used: InquiryAnswer = { kind: 'used', at: monotonic(0), mac: '02:00:00:00:00:01' };

describe('giving addresses', () => {
  it('asks the wire first, and gives what is silent or cannot be asked for', () => {
    const giving = new Giving();
    const services = [service('a'), service('b')];
    expect(given(giving, services).map(({ asking }) => asking.map(({ text }) => text))).toEqual([
      ['192.0.2.10'],
      ['192.0.2.11'],
    ]);
    const answers = new Map<string, InquiryAnswer>([
      ['192.0.2.10', silent],
      ['192.0.2.11', { kind: 'unaskable', at: monotonic(0) }],
    ]);
    const answered = given(giving, services, answers);
    expect(answered.map(({ asking, unconfirmed }) => [asking.length, unconfirmed.length])).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  it('what was chosen stays with its Service, whoever comes before it meanwhile', () => {
    const giving = new Giving();
    given(giving, [service('b')]);
    const [first, second] = given(giving, [service('a'), service('b')]);
    expect([first?.allocation.service.key, first?.allocation.addresses[0]?.text]).toEqual(['default/a', '192.0.2.11']);
    expect([second?.allocation.service.key, second?.allocation.addresses[0]?.text]).toEqual([
      'default/b',
      '192.0.2.10',
    ]);
    expect(giving.originOf('default/b')?.from).toBe('pool');
  });

  it('is done when the status says so, and begins anew with another Service of that name', () => {
    const giving = new Giving();
    given(giving, [service('a')]);
    expect(given(giving, [service('a', { ip: '192.0.2.10' })])).toEqual([]);
    expect(giving.originOf('default/a')).toBeUndefined();
    given(giving, [service('b')]);
    const other = { ...service('b'), uid: 'another' };
    expect(giving.overlay([other])[0]).toBe(other);
  });

  it('sets aside what somebody answers for, with the MAC, takes the next one, and looks again after some minutes', () => {
    const giving = new Giving();
    const services = [service('a')];
    const answers = new Map([['192.0.2.10', used]]);
    const found = giving.quarantine(given(giving, services, answers), answers, 1_000);
    expect(found.map(({ quarantine }) => [quarantine.address.text, quarantine.mac])).toEqual([
      ['192.0.2.10', '02:00:00:00:00:01'],
    ]);
    expect(given(giving, services)[0]?.allocation.addresses[0]?.text).toBe('192.0.2.11');
    expect(giving.expire(1_000 + QUARANTINE_MS - 1)).toBe(1_000 + QUARANTINE_MS);
    expect(giving.quarantined.size).toBe(1);
    expect(giving.expire(1_000 + QUARANTINE_MS)).toBeUndefined();
    expect(giving.quarantined.size).toBe(0);
  });

  it('gives nothing of what is cleared before it is all chosen', () => {
    const giving = new Giving();
    const services = Array.from({ length: 4 }, (_, index) => service(`s${index}`));
    const { allocations } = plan(giving, services);
    const many = Array.from({ length: 40 }, () => allocations).flat();
    const byKey = new Map(services.map((each) => [each.key, each]));
    const steps = giving.chooseInSteps(many, byKey, new Set(), new Map());
    expect(steps.next().done).toBe(false);
    expect(giving.originOf('default/s0')).toBeDefined();
    giving.clear();
    expect(finish(steps)).toEqual([]);
    expect(giving.originOf('default/s0')).toBeUndefined();
  });

  it('does not ask for all of thousands at once', () => {
    const { pools: large } = assemblePools({ ...NO_SOURCES, environment: parseSvcPools('10.0.0.0/20') });
    const services = Array.from({ length: TENTATIVE_MAX + 100 }, (_, index) => service(`s${index}`));
    const giving = new Giving();
    const made = planServices(
      {
        services,
        namespaces: [],
        pools: large,
        reservations: [],
        quarantined: new Map(),
        rules: {
          className: 'x',
          isClassLegacy: true,
          isClassOnly: false,
          namespace: '',
          isSpread: true,
          ignoresExcludeLabel: false,
        },
        advertisements: [],
        nodes: [],
        endpoints: undefined,
        leader: '?',
        assignment: new Map(),
      },
      planMemo(),
    );
    const byKey = new Map(services.map((each) => [each.key, each]));
    expect(giving.choose(made.allocations, byKey, new Set(), new Map())).toHaveLength(TENTATIVE_MAX);
  });
});

describe('what is written into a Service', () => {
  function options(of: ServiceObject, rest: Partial<PatchOptions> = {}): PatchOptions {
    const [allocation] = plan(new Giving(), [of]).allocations;
    assert(allocation !== undefined, 'it has one');
    return {
      decision: { service: of, allocation, pending: undefined, ownerships: [] },
      self: 'n1',
      isLeading: true,
      isGiven: true,
      origin: undefined,
      isAnnounced: false,
      stranger: undefined,
      poolOf: (name) => pools.find((pool) => pool.name === name),
      now: NOW,
      ...rest,
    };
  }
  const owner = (allocation: Allocation | undefined, node: string): readonly Ownership[] =>
    (allocation?.addresses ?? []).map((address) => ({
      address,
      services: ['default/a'],
      node,
      candidates: [{ node, isEligible: true, code: '', reason: '', interfaceName: 'eth0', preference: 0 }],
      reasons: [],
    }));
  const condition = (type: string, message: string): object => ({
    conditions: [{ type, status: 'True', reason: type.slice('holdfast.io/'.length), message, lastTransitionTime: NOW }],
  });

  it('the node that should answer says who does in its stead', () => {
    const a = service('a', { ip: '192.0.2.10' });
    const made = options(a);
    const ownerships = owner(made.decision.allocation, 'n1');
    const stranger = '02:00:00:00:00:99';
    const parts = { decision: { ...made.decision, ownerships }, isLeading: false, stranger };
    expect(servicePatch({ ...made, ...parts })?.conditions).toEqual([
      {
        type: 'holdfast.io/Announced',
        status: 'False',
        reason: 'AddressConflict',
        message: '192.0.2.10 is answered for by 02:00:00:00:00:99, so its node does not.',
        lastTransitionTime: NOW,
      },
    ]);
    expect(servicePatch({ ...made, ...parts, self: 'n2' })).toBeUndefined();
  });

  it('the leader writes the address, its condition and the pool; and nothing before the wire was asked', () => {
    expect(servicePatch(options(service('a')))).toMatchObject({
      resourceVersion: '7',
      ingress: ['192.0.2.10'],
      conditions: [{ type: 'holdfast.io/Allocated', status: 'True', message: '192.0.2.10 of pool svc_pools.' }],
      annotations: { 'holdfast.io/allocated-from-pool': 'svc_pools' },
    });
    expect(servicePatch(options(service('a'), { isGiven: false }))).toBeUndefined();
    expect(servicePatch(options(service('a'), { isLeading: false }))).toBeUndefined();
  });

  it('what was said when it was given stays: afterwards nothing is to be written', () => {
    const written = service('a', {
      ip: '192.0.2.10',
      status: condition('holdfast.io/Allocated', '192.0.2.10 of pool svc_pools.'),
      annotations: { 'holdfast.io/allocated-from-pool': 'svc_pools' },
    });
    expect(servicePatch(options(written))).toBeUndefined();
  });

  it('who answers says so itself, and the leader nothing of it', () => {
    const of = service('a', { ip: '192.0.2.10' });
    const base = options(of, { isLeading: false, self: 'n2', isAnnounced: true });
    const decision = { ...base.decision, ownerships: owner(base.decision.allocation, 'n2') };
    expect(servicePatch({ ...base, decision })).toEqual({
      key: 'default/a',
      resourceVersion: '7',
      conditions: [
        {
          type: 'holdfast.io/Announced',
          status: 'True',
          reason: 'Announced',
          message: '192.0.2.10: node n2 answers on eth0.',
          lastTransitionTime: NOW,
        },
      ],
      annotations: { 'kube-vip.io/vipHost': 'n2' },
    });
    expect(servicePatch({ ...base, decision, isAnnounced: false })).toBeUndefined();
    expect(servicePatch({ ...base, decision, self: 'n3' })).toBeUndefined();
  });

  it('while nobody answers, the leader says so, and that no node does', () => {
    const annotations = { 'kube-vip.io/vipHost': 'n2', 'holdfast.io/allocated-from-pool': 'svc_pools' };
    const base = options(service('a', { ip: '192.0.2.10', annotations }));
    const nobody = owner(base.decision.allocation, 'n2').map((each) => ({ ...each, node: undefined }));
    expect(servicePatch({ ...base, decision: { ...base.decision, ownerships: nobody } })).toMatchObject({
      conditions: [{ type: 'holdfast.io/Allocated' }, { type: 'holdfast.io/Announced', status: 'False' }],
      annotations: { 'kube-vip.io/vipHost': null },
    });
    const ownerships = owner(base.decision.allocation, 'n2');
    expect(servicePatch({ ...base, decision: { ...base.decision, ownerships } })?.annotations).toBeUndefined();
  });

  it("a condition of one's own leaves the other's and strangers' as they are", () => {
    const of = service('a', { ip: '192.0.2.10', status: condition('holdfast.io/Announced', 'n9 does') });
    const patch = servicePatch(options(of));
    expect(patch?.conditions?.map((each) => ('type' in each ? each.type : ''))).toEqual([
      'holdfast.io/Announced',
      'holdfast.io/Allocated',
    ]);
    expect(patch?.conditions?.[0]).toMatchObject({ message: 'n9 does' });
  });

  it('a Service that was ours is cleared, and an address that somebody else wrote stays', () => {
    const status = condition('holdfast.io/Allocated', '192.0.2.10 of pool svc_pools.');
    const annotations = { 'holdfast.io/allocated-from-pool': 'svc_pools', 'kube-vip.io/vipHost': 'n1', other: 'x' };
    expect(releasePatch(service('a', { ip: '192.0.2.10', status, annotations }))).toEqual({
      key: 'default/a',
      resourceVersion: '7',
      ingress: [],
      conditions: [],
      annotations: { 'holdfast.io/allocated-from-pool': null, 'kube-vip.io/vipHost': null },
    });
    expect(releasePatch(service('a', { ip: '203.0.113.9', status }))?.ingress).toBeUndefined();
    expect(releasePatch(service('a', { ip: '192.0.2.10' }))).toBeUndefined();
  });

  it('two patches that differ in their time only say the same', () => {
    const [first, second] = [NOW, '2026-02-02T00:00:00Z'].map((now) => servicePatch(options(service('a'), { now })));
    assert(first !== undefined && second !== undefined, 'both are patches');
    expect(patchText(first)).toBe(patchText(second));
  });
});
