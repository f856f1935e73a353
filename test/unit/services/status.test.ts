import { describe, expect, test } from 'vitest';
import { SERVICE_ERRORS } from '../../../src/base/service-errors.ts';
import { parseIp, type Ip } from '../../../src/base/ip.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import {
  EVERY_SERVICE,
  type Allocation,
  type Candidate,
  type Condition,
  type Ownership,
  type Pool,
  type PoolOrigin,
  type Reason,
  type ServiceObject,
  type ServiceRequest,
} from '../../../src/services/model.ts';
import {
  ALLOCATED,
  ANNOUNCED,
  CONDITION_MESSAGE_MAX,
  EVENT_MESSAGE_MAX,
  SATISFIED,
  decisionEvents,
  foreignConditions,
  mergeConditions,
  problemEvent,
  reasonEvents,
  reasonOfCode,
  serviceConditions,
  wantedConditions,
  type ServiceDecision,
} from '../../../src/services/status.ts';
import { fitLines, fitText, octetsOf } from '../../../src/services/status-text.ts';

const NOW = '2026-01-01T00:00:00Z';
const LATER = '2026-01-02T00:00:00Z';

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

function serviceOf(conditions: readonly Condition[] = []): ServiceObject {
  return {
    key: 'shop/web',
    namespace: 'shop',
    name: 'web',
    uid: 'u',
    resourceVersion: '1',
    createdAt: NOW,
    isBeingDeleted: false,
    isLoadBalancer: true,
    labels: {},
    annotations: {},
    loadBalancerClass: undefined,
    loadBalancerIp: undefined,
    clusterIps: [],
    families: ['ipv4'],
    familyPolicy: undefined,
    ports: [],
    trafficPolicy: 'Cluster',
    selector: {},
    ingress: [],
    hasForeignIngress: false,
    conditions,
  };
}

function requestOf(service: ServiceObject, addressesFrom = ''): ServiceRequest {
  return {
    service,
    families: ['ipv4'],
    isDualRequired: false,
    addresses: [],
    addressesFrom,
    pool: undefined,
    sharingKey: '',
    sharingNamespaces: [],
    sharesDifferentPods: false,
    interfaceName: undefined,
    vlan: undefined,
    allowsNoEndpoints: false,
  };
}

interface Given {
  readonly addresses?: readonly string[];
  readonly pool?: string;
  readonly from?: Allocation['from'];
  readonly by?: string;
  readonly shortcomings?: readonly Reason[];
  readonly owners?: readonly Ownership[];
  readonly conditions?: readonly Condition[];
}

function allocated(given: Given = {}): ServiceDecision {
  const service = serviceOf(given.conditions);
  const allocation: Allocation = {
    service,
    request: requestOf(service, given.by),
    addresses: (given.addresses ?? ['192.0.2.10']).map(ip),
    pool: given.pool ?? 'metallb/lan',
    from: given.from ?? 'pool',
    shortcomings: given.shortcomings ?? [],
  };
  return { service, allocation, pending: undefined, ownerships: given.owners ?? [] };
}

function pending(...reasons: readonly Reason[]): ServiceDecision {
  const service = serviceOf();
  return { service, allocation: undefined, pending: { service, reasons }, ownerships: [] };
}

function reason(pool: string, code: ErrorCode, message: string): Reason {
  return { pool, code, message };
}

function owned(address: string, node: string | undefined, interfaceName?: string, reasons: Reason[] = []): Ownership {
  const candidate: Candidate = {
    node: node ?? 'n9',
    isEligible: node !== undefined,
    code: node === undefined ? 'NODE_DRAINING' : '',
    reason: '',
    interfaceName,
    preference: 0,
  };
  return { address: ip(address), services: ['shop/web'], node, candidates: [candidate], reasons };
}

function poolOf(name: string): Pool | undefined {
  const [origin = '', shortName = ''] = name.split('/');
  return {
    name,
    shortName,
    origin: origin as PoolOrigin,
    object: undefined,
    labels: {},
    ranges: [],
    order: 'ascending',
    isAutoAssigned: true,
    isClosed: false,
    priority: 0,
    avoidsBuggy: false,
    scope: EVERY_SERVICE,
    sharing: 'by-key',
    interfaceName: undefined,
    isDhcp: false,
    needsAdvertisement: false,
  };
}

function condition(decision: ServiceDecision, type: string): unknown {
  return wantedConditions(decision, poolOf).find((wanted) => wanted.type === type);
}

describe('reasons', () => {
  test('are the codes in upper camel case, and all of them are reasons the API takes', () => {
    expect(reasonOfCode('POOL_FULL')).toBe('PoolFull');
    expect(reasonOfCode('NODE_NO_KUBE_PROXY' as ErrorCode)).toBe('NodeNoKubeProxy');
    for (const code of Object.keys(SERVICE_ERRORS)) {
      // metav1.Condition.reason
      expect(reasonOfCode(code as ErrorCode)).toMatch(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/);
    }
  });
});

describe('holdfast.io/Allocated', () => {
  test('names addresses, pool and who asked', () => {
    expect(condition(allocated(), ALLOCATED)).toEqual({
      type: ALLOCATED,
      status: 'True',
      reason: 'Allocated',
      message: '192.0.2.10 of pool metallb/lan.',
    });
    const asked = allocated({ from: 'requested', by: 'metallb.io/loadBalancerIPs' });
    expect(condition(asked, ALLOCATED)).toMatchObject({
      message: '192.0.2.10 of pool metallb/lan, as asked for by metallb.io/loadBalancerIPs.',
    });
    expect(condition(allocated({ from: 'kept', pool: '' }), ALLOCATED)).toMatchObject({
      message: '192.0.2.10, kept as it was.',
    });
  });

  test('is True with the shortcoming for its reason when a Service is served, but not wholly', () => {
    const decision = allocated({ shortcomings: [reason('', 'DUAL_STACK_INCOMPLETE', 'no IPv6 address is left')] });
    expect(condition(decision, ALLOCATED)).toEqual({
      type: ALLOCATED,
      status: 'True',
      reason: 'DualStackIncomplete',
      message: '192.0.2.10 of pool metallb/lan.\nDUAL_STACK_INCOMPLETE: no IPv6 address is left',
    });
  });

  test('has one line per pool when pending, and the reason of a pool that is for the Service', () => {
    const decision = pending(
      reason('metallb/prod', 'POOL_NAMESPACE', 'namespace shop is not in [a, b]'),
      reason('metallb/lan', 'POOL_FULL', 'all 51 addresses are in use'),
    );
    expect(condition(decision, ALLOCATED)).toEqual({
      type: ALLOCATED,
      status: 'False',
      reason: 'PoolFull',
      message:
        'No address: none of 2 pools has one for this Service.\n' +
        'metallb/prod: POOL_NAMESPACE: namespace shop is not in [a, b]\n' +
        'metallb/lan: POOL_FULL: all 51 addresses are in use',
    });
  });

  test("begins with the Service's own reason", () => {
    const decision = pending(
      reason('metallb/lan', 'POOL_FULL', 'full'),
      reason('', 'ADDRESS_TAKEN', '192.0.2.10 belongs to a/b'),
    );
    expect(condition(decision, ALLOCATED)).toMatchObject({
      reason: 'AddressTaken',
      message: '192.0.2.10 belongs to a/b.\nmetallb/lan: POOL_FULL: full',
    });
    expect(condition(pending(), ALLOCATED)).toMatchObject({ status: 'False', message: 'No address yet.' });
  });

  test('is cut to what the API takes, with a count of the pools left out', () => {
    const many = Array.from({ length: 2_000 }, (_, index) => reason(`metallb/p${index}`, 'POOL_FULL', 'é'.repeat(20)));
    const { message } = condition(pending(...many), ALLOCATED) as { message: string };
    expect(octetsOf(message)).toBeLessThanOrEqual(CONDITION_MESSAGE_MAX);
    const left = Number(/\((\d+) more left out\)$/.exec(message)?.[1]);
    expect(message.split('\n')).toHaveLength(2_000 - left + 2);
  });
});

describe('holdfast.io/Announced', () => {
  test('is True when every address has a node, with its interface where it is known', () => {
    const decision = allocated({
      addresses: ['192.0.2.10', '2001:db8::10'],
      owners: [owned('192.0.2.10', 'n1', 'eth0'), owned('2001:db8::10', 'n2')],
    });
    expect(condition(decision, ANNOUNCED)).toEqual({
      type: ANNOUNCED,
      status: 'True',
      reason: 'Announced',
      message: '192.0.2.10: node n1 answers on eth0.\n2001:db8::10: node n2 answers.',
    });
  });

  test('is False with the reason when nobody answers, when nothing is decided, and when there is no address', () => {
    const nobody = owned('192.0.2.10', undefined, undefined, [reason('', 'NO_CANDIDATE', '3 of 3 nodes are draining')]);
    expect(condition(allocated({ owners: [nobody] }), ANNOUNCED)).toEqual({
      type: ANNOUNCED,
      status: 'False',
      reason: 'NoCandidate',
      message: '192.0.2.10: nobody answers: NO_CANDIDATE: 3 of 3 nodes are draining.',
    });
    expect(condition(allocated(), ANNOUNCED)).toMatchObject({ status: 'False', reason: 'NotDecided' });
    expect(condition(pending(), ANNOUNCED)).toMatchObject({ status: 'False', reason: 'NotAllocated' });
  });
});

describe('cilium.io/IPAMRequestSatisfied', () => {
  test.each([
    ['POOL_FULL', 'out_of_ips'],
    ['POOL_SELECTOR', 'pool_selector_mismatch'],
    ['ADDRESS_TAKEN', 'already_allocated'],
    ['ADDRESS_NOT_SHAREABLE', 'already_allocated_incompatible_service'],
    ['ADDRESS_OUTSIDE', 'no_pool'],
  ] as const)('says %s in the words of Cilium: %s', (code, word) => {
    expect(condition(pending(reason('cilium/blue', code, 'why')), SATISFIED)).toEqual({
      type: SATISFIED,
      status: 'False',
      reason: word,
      message: 'why.',
    });
  });

  test("is there for Cilium's pools only", () => {
    expect(condition(allocated({ pool: 'cilium/blue' }), SATISFIED)).toMatchObject({
      status: 'True',
      reason: 'satisfied',
    });
    expect(condition(allocated(), SATISFIED)).toBeUndefined();
    const mixed = pending(reason('cilium/blue', 'POOL_FULL', 'x'), reason('metallb/lan', 'POOL_FULL', 'x'));
    expect(condition(mixed, SATISFIED)).toBeUndefined();
    expect(condition(pending(), SATISFIED)).toBeUndefined();
  });
});

describe('conditions together', () => {
  const theirs: Condition = {
    type: 'example.com/Scanned',
    status: 'True',
    reason: 'Ok',
    message: '',
    lastTransitionTime: NOW,
  };

  test('keep those of others in their places', () => {
    const decision = allocated({ conditions: [theirs], owners: [owned('192.0.2.10', 'n1')] });
    const conditions = serviceConditions(decision, poolOf, NOW);
    expect(conditions[0]).toBe(theirs);
    expect(conditions.map(({ type }) => type)).toEqual([theirs.type, ALLOCATED, ANNOUNCED]);
    expect(conditions[1]).toMatchObject({ lastTransitionTime: NOW });
  });

  test('are the very same list when nothing is new, whatever the time', () => {
    const conditions = serviceConditions(allocated({ conditions: [theirs] }), poolOf, NOW);
    expect(serviceConditions(allocated({ conditions }), poolOf, LATER)).toBe(conditions);
  });

  test('keep lastTransitionTime when only the words change, and get a new one with the status', () => {
    const first = serviceConditions(allocated(), poolOf, NOW);
    const moved = serviceConditions(allocated({ addresses: ['192.0.2.11'], conditions: first }), poolOf, LATER);
    expect(moved[0]).toMatchObject({ message: '192.0.2.11 of pool metallb/lan.', lastTransitionTime: NOW });
    const answered = allocated({ conditions: moved, owners: [owned('192.0.2.10', 'n1')] });
    expect(serviceConditions(answered, poolOf, LATER)[1]).toMatchObject({ status: 'True', lastTransitionTime: LATER });
  });

  test("lose ours, and nobody else's, when the Service isn't ours any more", () => {
    const satisfied: Condition = { ...theirs, type: SATISFIED };
    const conditions = [...serviceConditions(allocated({ conditions: [theirs] }), poolOf, NOW), satisfied];
    expect(foreignConditions(serviceOf(conditions))).toEqual([theirs, satisfied]);
    const none = [theirs];
    expect(mergeConditions(none, [], NOW)).toBe(none);
  });
});

describe('Events', () => {
  test('tell an address that is given, changed, and lost', () => {
    expect(decisionEvents(pending(reason('a', 'POOL_FULL', 'full')), allocated())).toEqual([
      { type: 'Normal', reason: 'AddressAllocated', message: '192.0.2.10 of pool metallb/lan.' },
    ]);
    expect(decisionEvents(allocated(), allocated({ addresses: ['192.0.2.11'] }))).toEqual([
      {
        type: 'Warning',
        reason: 'AddressChanged',
        message: 'It had 192.0.2.10, and has 192.0.2.11 of pool metallb/lan.',
      },
    ]);
    expect(decisionEvents(allocated(), pending(reason('metallb/lan', 'POOL_FULL', 'full')))).toEqual([
      {
        type: 'Warning',
        reason: 'PoolFull',
        message:
          'It lost 192.0.2.10. No address: the only pool has none for this Service.\nmetallb/lan: POOL_FULL: full',
      },
    ]);
  });

  test('tell nothing of an address adopted at start, nor of what was told already', () => {
    expect(decisionEvents(undefined, allocated({ from: 'kept' }))).toEqual([]);
    expect(decisionEvents(allocated(), allocated())).toEqual([]);
    const full = pending(reason('metallb/lan', 'POOL_FULL', 'all 51 are in use'));
    expect(decisionEvents(undefined, full)).toHaveLength(1);
    expect(decisionEvents(full, pending(reason('metallb/lan', 'POOL_FULL', 'all 52 are in use')))).toEqual([]);
    expect(decisionEvents(full, pending(reason('metallb/lan', 'POOL_CLOSED', 'closed')))).toHaveLength(1);
  });

  test('tell a new shortcoming once', () => {
    const orphaned = allocated({ shortcomings: [reason('', 'ADDRESS_ORPHANED', 'no pool holds it')] });
    expect(decisionEvents(allocated(), orphaned)).toEqual([
      { type: 'Warning', reason: 'AddressOrphaned', message: 'no pool holds it' },
    ]);
    expect(decisionEvents(orphaned, orphaned)).toEqual([]);
  });

  test('tell who answers, who takes over, and that nobody does', () => {
    const at = (...owners: Ownership[]): ServiceDecision => allocated({ owners });
    const n1 = at(owned('192.0.2.10', 'n1', 'eth0'));
    const n2 = at(owned('192.0.2.10', 'n2', 'eth0'));
    const nobody = at(owned('192.0.2.10', undefined, undefined, [reason('', 'NO_ENDPOINTS', 'no Pod can serve it')]));
    expect(decisionEvents(allocated(), n1)).toEqual([
      { type: 'Normal', reason: 'Announced', message: '192.0.2.10: node n1 answers on eth0.' },
    ]);
    expect(decisionEvents(n1, n2)).toEqual([
      {
        type: 'Normal',
        reason: 'AddressMoved',
        message: '192.0.2.10: node n2 answers on eth0. Until now it was node n1.',
      },
    ]);
    expect(decisionEvents(n1, nobody)).toEqual([
      {
        type: 'Warning',
        reason: 'NoEndpoints',
        message: '192.0.2.10: nobody answers: NO_ENDPOINTS: no Pod can serve it. Until now it was node n1.',
      },
    ]);
    expect(decisionEvents(n1, n1)).toEqual([]);
    expect(decisionEvents(nobody, nobody)).toEqual([]);
  });

  test('carry the remedy of a problem, and fit the limit', () => {
    const problem = {
      object: { kind: 'IPAddressPool', key: 'metallb-system/lan' },
      code: 'POOL_INVALID',
      message: 'spec.addresses[0] is no range',
      remedy: 'Correct it.',
    } as const;
    expect(problemEvent(problem)).toEqual({
      type: 'Warning',
      reason: 'PoolInvalid',
      message: 'spec.addresses[0] is no range. Correct it.',
    });
    const long = reasonEvents([reason('metallb/lan', 'POOL_INVALID', '€'.repeat(5_000))])[0]?.message ?? '';
    expect(octetsOf(long)).toBeLessThanOrEqual(EVENT_MESSAGE_MAX);
    expect(long).toMatch(/€… \(\d+ characters left out\)$/);
  });
});

describe('cutting', () => {
  test('leaves short texts alone and counts octets of UTF-8', () => {
    expect(fitText('abc', 3)).toBe('abc');
    expect(octetsOf('aé€😀')).toBe(1 + 2 + 3 + 4);
    expect(octetsOf('\ud800')).toBe(3);
    expect(octetsOf('aé€😀')).toBe(new TextEncoder().encode('aé€😀').length);
  });

  test('counts exactly what is missing', () => {
    const cut = fitText('x'.repeat(200), 100);
    expect(octetsOf(cut)).toBeLessThanOrEqual(100);
    const kept = /^x+/.exec(cut)?.[0].length ?? 0;
    expect(cut).toBe(`${'x'.repeat(kept)}… (${200 - kept} characters left out)`);
    expect(fitLines('head', ['a', 'b'], 100)).toBe('head\na\nb');
    expect(fitLines('head', ['a'.repeat(80), 'b'.repeat(80)], 110)).toBe(`head\n${'a'.repeat(80)}\n(1 more left out)`);
  });
});
