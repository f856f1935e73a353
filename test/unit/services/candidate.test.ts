import { describe, expect, it } from 'vitest';

import { ERRORS } from '../../../src/base/errors.ts';
import {
  CANDIDATE_CODES,
  candidatesFor,
  EXCLUDE_LABEL,
  surveyOf,
  UNKNOWN_LEADER,
} from '../../../src/services/candidate.ts';
import type { Candidate, NodeFacts, ServiceAddress } from '../../../src/services/model.ts';
import type { OwnerContext } from '../../../src/services/owner.ts';
import { newPool } from '../../../src/services/pools/pool.ts';
import { NOTHING } from '../../../src/services/pools/selection.ts';
import {
  address,
  advertisement,
  allocation,
  ip,
  labelled,
  metallbPool,
  nic,
  nodeFacts,
  ownerContext,
  range,
  slice,
  SPREAD,
} from './owner-facts.ts';

type Given = Partial<OwnerContext> & Parameters<typeof ownerContext>[1];

const judge = (
  nodes: readonly NodeFacts[],
  given: Given = {},
  of: ServiceAddress = address('10.0.0.1'),
): readonly Candidate[] => candidatesFor(of, surveyOf(ownerContext(nodes, given)));

const codes = (...parameters: Parameters<typeof judge>): unknown =>
  Object.fromEntries(judge(...parameters).map(({ node, code }) => [node, code]));

const reasons = (...parameters: Parameters<typeof judge>): unknown =>
  Object.fromEntries(judge(...parameters).map(({ node, reason }) => [node, reason]));

const LEADER_ONLY = { ...SPREAD, isSpread: false };
const LAN = { interfaces: [nic('eth0', ['10.0.0.11/24'])] };
/** A node that may answer, so that a cordon counts. */
const well = nodeFacts('well', LAN);

describe('a node about which nothing is known', () => {
  it('may answer, and the reason says what is not known', () => {
    expect(judge([nodeFacts('n1')])).toEqual([
      {
        node: 'n1',
        isEligible: true,
        code: '',
        reason: 'may answer; its interfaces are not known; endpoints not known',
        interfaceName: undefined,
        preference: 0,
      },
    ]);
  });
});

describe('what is against a node', () => {
  const of = address('10.0.0.1', metallbPool('lan', ['10.0.0.1-10.0.0.9']));
  const local: ServiceAddress = {
    ...of,
    allocations: [allocation('ns/web', ['10.0.0.1'], { trafficPolicy: 'Local' })],
  };
  /** In the order they are checked: each row is wrong in one thing, and in all that follow. */
  const wrongs: readonly {
    readonly code: string;
    readonly node: Parameters<typeof nodeFacts>[1];
    readonly reason: string;
  }[] = [
    { code: 'NODE_EXCLUDED', node: { labels: { [EXCLUDE_LABEL]: 'false' } }, reason: `has the label ${EXCLUDE_LABEL}` },
    {
      code: 'NODE_NETWORK_UNAVAILABLE',
      node: { isNetworkUnavailable: true },
      reason: 'has the condition NetworkUnavailable',
    },
    {
      code: 'NODE_DRAINING',
      node: { isOutOfService: true },
      reason: 'has the taint node.kubernetes.io/out-of-service',
    },
    { code: 'NODE_DRAINING', node: { isDraining: true }, reason: 'is being drained' },
    { code: 'NODE_DRAINING', node: { isCordoned: true }, reason: 'is cordoned (spec.unschedulable)' },
    { code: 'NODE_WEIGHT_ZERO', node: { weight: 0 }, reason: 'has weight 0 (annotation holdfast.io/weight)' },
    { code: 'NODE_NO_STANDING', node: { hasStanding: false }, reason: 'has no Holdfast that is heard in time' },
    {
      code: 'NODE_NOT_SELECTED',
      node: { labels: { zone: 'x' } },
      reason: 'is not selected by L2Advertisement metallb-system/ad',
    },
    {
      code: 'NODE_NO_INTERFACE',
      node: { interfaces: [nic('eth1', ['10.9.0.1/24'])] },
      reason: 'has no interface whose subnet holds the address (eth1 10.9.0.1/24)',
    },
    {
      code: 'NODE_NO_CARRIER',
      node: { interfaces: [nic('eth0', ['10.0.0.11/24'], false)] },
      reason: 'has no carrier on eth0, whose 10.0.0.11/24 holds the address',
    },
    { code: 'NODE_KUBE_PROXY', node: { isKubeProxyHealthy: false }, reason: 'has no healthy kube-proxy' },
    {
      code: 'NO_LOCAL_ENDPOINT',
      node: {},
      reason: 'runs no Pod that can serve Service ns/web, which wants local traffic only (they run on well)',
    },
  ];
  const context = {
    advertisements: [advertisement('ad', { nodeSelectors: [labelled({ zone: 'a' })] })],
    slices: [slice('ns/web', ['well'])],
  };
  const zoned = (given: Parameters<typeof nodeFacts>[1] = {}) =>
    ({ ...LAN, ...given, labels: { zone: 'a', ...given.labels } }) as const;

  it('is the first thing in the stated order, and one reason only', () => {
    let checked = 0;
    for (const [index, wrong] of wrongs.entries()) {
      const later = wrongs.slice(index + 1).map(({ node }) => node ?? {});
      const all = [wrong.node ?? {}, ...later];
      const labels = Object.assign({}, ...all.map(({ labels: own }) => own).toReversed()) as Record<string, string>;
      const given = Object.assign({}, ...all.toReversed()) as Parameters<typeof nodeFacts>[1];
      const both = [nodeFacts('well', zoned()), nodeFacts('n1', zoned({ ...given, labels }))];
      const [found] = judge(both, context, local);
      expect(found).toMatchObject({ node: 'n1', isEligible: false, code: wrong.code, reason: wrong.reason });
      const alone = [nodeFacts('well', zoned()), nodeFacts('n1', zoned(wrong.node))];
      expect(judge(alone, context, local)[0]).toMatchObject({ code: wrong.code, reason: wrong.reason });
      checked += 1;
    }
    expect(checked).toBe(12);
  });

  it('comes from a table of codes that errors know', () => {
    for (const code of CANDIDATE_CODES) expect(ERRORS).toHaveProperty(code);
    for (const { code } of wrongs) expect(CANDIDATE_CODES).toContain(code);
  });

  it('is not the label, when the label is ignored', () => {
    const excluded = nodeFacts('n1', { labels: { [EXCLUDE_LABEL]: '' } });
    expect(codes([excluded])).toEqual({ n1: 'NODE_EXCLUDED' });
    expect(codes([excluded], { rules: { ...SPREAD, ignoresExcludeLabel: true } })).toEqual({ n1: '' });
  });

  it('is the missing advertisement on every node, but for what is against the node itself', () => {
    const nodes = [nodeFacts('a'), nodeFacts('b', { isDraining: true }), nodeFacts('c', { isCordoned: true })];
    expect(codes(nodes, {}, of)).toEqual({ a: 'NO_ADVERTISEMENT', b: 'NODE_DRAINING', c: 'NO_ADVERTISEMENT' });
    const bgp = advertisement('ad', { protocol: 'bgp' });
    expect(codes([nodeFacts('a')], { advertisements: [bgp] }, of)).toEqual({ a: 'ADVERTISEMENT_NOT_L2' });
  });

  it('is weight 0 also when the weight is no number above 0', () => {
    const weights = [Number.NaN, -1, 0.5].map((weight, index) => nodeFacts(`n${index}`, { weight }));
    expect(codes(weights)).toEqual({ n0: 'NODE_WEIGHT_ZERO', n1: 'NODE_WEIGHT_ZERO', n2: '' });
  });
});

describe('a cordoned node', () => {
  const cordoned = nodeFacts('c1', { ...LAN, isCordoned: true });

  it('does not answer while another node may', () => {
    expect(codes([cordoned, well])).toEqual({ c1: 'NODE_DRAINING', well: '' });
  });

  it('answers when no other node may: it is the only one, or the others are worse', () => {
    expect(judge([cordoned])[0]).toMatchObject({
      isEligible: true,
      interfaceName: 'eth0',
      reason:
        'is cordoned, but no other node may answer; answers on eth0, whose 10.0.0.11/24 holds the address; endpoints not known',
    });
    const others = [nodeFacts('d', { isDraining: true }), nodeFacts('e', { interfaces: [] })];
    expect(codes([cordoned, ...others])).toEqual({ c1: '', d: 'NODE_DRAINING', e: 'NODE_NO_INTERFACE' });
    expect(codes([cordoned, nodeFacts('c2', { isCordoned: true })])).toEqual({ c1: '', c2: '' });
  });

  it('answers for one address and not for another, as the other nodes may', () => {
    const local = { trafficPolicy: 'Local' } as const;
    const slices = [slice('ns/here', ['c1']), slice('ns/there', ['c1', 'well'])];
    const on = (key: string): ServiceAddress => ({
      address: ip('10.0.0.1'),
      pool: undefined,
      allocations: [allocation(key, ['10.0.0.1'], local)],
    });
    const survey = surveyOf(ownerContext([cordoned, well], { slices }));
    const found = ['ns/here', 'ns/there', 'ns/here'].map((key) =>
      candidatesFor(on(key), survey).map(({ code }) => code),
    );
    expect(found).toEqual([
      ['', 'NO_LOCAL_ENDPOINT'],
      ['NODE_DRAINING', ''],
      ['', 'NO_LOCAL_ENDPOINT'],
    ]);
  });

  it('says what else is against it when it may not answer even then', () => {
    expect(codes([nodeFacts('c1', { isCordoned: true, interfaces: [] })])).toEqual({ c1: 'NODE_NO_INTERFACE' });
    expect(codes([nodeFacts('c1', { isCordoned: true, hasStanding: false })])).toEqual({ c1: 'NODE_DRAINING' });
  });

  it('answers as the leader, when nobody else may because nobody else leads', () => {
    expect(codes([cordoned, well], { rules: LEADER_ONLY, leader: 'c1' })).toEqual({ c1: '', well: 'NODE_NOT_LEADER' });
  });
});

describe('a node whose kube-proxy is ill', () => {
  const ill = nodeFacts('i1', { ...LAN, isKubeProxyHealthy: false });

  it('does not answer while another node may, be that one cordoned', () => {
    expect(codes([ill, well])).toEqual({ i1: 'NODE_KUBE_PROXY', well: '' });
    expect(codes([ill, nodeFacts('c', { isCordoned: true })])).toEqual({ i1: 'NODE_KUBE_PROXY', c: '' });
  });

  it('answers when no other node may: every kube-proxy is ill, or was taken away', () => {
    expect(codes([ill, nodeFacts('i2', { isKubeProxyHealthy: false })])).toEqual({ i1: '', i2: '' });
    expect(judge([ill])[0]?.reason).toMatch(
      /^has no healthy kube-proxy, but no other node may answer; answers on eth0/,
    );
    expect(codes([ill], { rules: LEADER_ONLY, leader: 'i1' })).toEqual({ i1: '' });
  });
});

describe('while svc_election is false', () => {
  const nodes = [nodeFacts('a'), nodeFacts('b')];

  it('the leader alone may answer', () => {
    expect(codes(nodes, { rules: LEADER_ONLY, leader: 'b' })).toEqual({ a: 'NODE_NOT_LEADER', b: '' });
    expect(codes(nodes, { rules: SPREAD, leader: 'b' })).toEqual({ a: '', b: '' });
  });

  it('nobody may while nobody leads, and anybody where that is not known', () => {
    expect(codes(nodes, { rules: LEADER_ONLY, leader: undefined })).toEqual({
      a: 'NODE_NOT_LEADER',
      b: 'NODE_NOT_LEADER',
    });
    expect(codes(nodes, { rules: LEADER_ONLY, leader: UNKNOWN_LEADER })).toEqual({ a: '', b: '' });
  });

  it('what else is against a follower is said first', () => {
    const local = [allocation('ns/web', ['10.0.0.1'], { trafficPolicy: 'Local' })];
    const of = { address: ip('10.0.0.1'), pool: undefined, allocations: local };
    const given = { rules: LEADER_ONLY, leader: 'b', slices: [slice('ns/web', ['b'])] };
    expect(codes(nodes, given, of)).toEqual({ a: 'NO_LOCAL_ENDPOINT', b: '' });
  });
});

describe('endpoints', () => {
  const nodes = [nodeFacts('n1'), nodeFacts('n2')];
  const sharing = (...allocations: ServiceAddress['allocations']): ServiceAddress => ({
    address: ip('10.0.0.1'),
    pool: undefined,
    allocations,
  });
  const cluster = (key: string, allowsNoEndpoints = false) =>
    allocation(key, ['10.0.0.1'], { request: { allowsNoEndpoints } });
  const local = (key: string, allowsNoEndpoints = false) =>
    allocation(key, ['10.0.0.1'], { trafficPolicy: 'Local', request: { allowsNoEndpoints } });
  const on = (of: ServiceAddress, ...slices: readonly ReturnType<typeof slice>[]) => codes(nodes, { slices }, of);
  const BOTH = { n1: '', n2: '' };
  const NONE = { n1: 'NO_ENDPOINTS', n2: 'NO_ENDPOINTS' };

  it('anywhere are enough for cluster-wide traffic', () => {
    expect(on(sharing(cluster('ns/a')), slice('ns/a', ['n9']))).toEqual(BOTH);
    expect(on(sharing(cluster('ns/a')), slice('ns/a', ['?']))).toEqual(BOTH);
    expect(on(sharing(cluster('ns/a')), slice('ns/a', ['n1!']))).toEqual(NONE);
    expect(on(sharing(cluster('ns/a')))).toEqual(NONE);
  });

  it('may be missing where the Service says so, but never for local traffic', () => {
    expect(on(sharing(cluster('ns/a', true)))).toEqual(BOTH);
    expect(on(sharing(local('ns/a', true)))).toEqual(NONE);
  });

  it('on the node are needed for local traffic, of every such Service on the address, over all its slices', () => {
    const a = sharing(local('ns/a'));
    expect(on(a, slice('ns/a', ['n2'], 's1'), slice('ns/a', ['n1'], 's2'))).toEqual(BOTH);
    expect(on(a, slice('ns/a', ['n2', '?']))).toEqual({ n1: 'NO_LOCAL_ENDPOINT', n2: '' });
    expect(on(a, slice('ns/a', ['?']))).toEqual({ n1: 'NO_LOCAL_ENDPOINT', n2: 'NO_LOCAL_ENDPOINT' });
    const both = sharing(local('ns/a'), local('ns/b'));
    expect(on(both, slice('ns/a', ['n1', 'n2']), slice('ns/b', ['n2']))).toEqual({ n1: 'NO_LOCAL_ENDPOINT', n2: '' });
    expect(on(both, slice('ns/a', ['n1', 'n2']))).toEqual(NONE);
  });

  it('of one Service are enough for those that share cluster-wide', () => {
    expect(on(sharing(cluster('ns/a'), cluster('ns/b')), slice('ns/b', ['n1']))).toEqual(BOTH);
    expect(on(sharing(cluster('ns/a'), local('ns/b')), slice('ns/b', ['n1']))).toEqual({
      n1: '',
      n2: 'NO_LOCAL_ENDPOINT',
    });
  });

  it('are named when they are missing', () => {
    expect(reasons([nodeFacts('n1')], { slices: [] }, sharing(cluster('ns/a'), cluster('ns/b')))).toEqual({
      n1: 'no Pod can serve Services ns/a, ns/b',
    });
    const wide = slice('ns/a', ['n9', 'n5', 'n7', 'n6', 'n8']);
    expect(reasons([nodeFacts('n1')], { slices: [wide] }, sharing(local('ns/a')))).toEqual({
      n1: 'runs no Pod that can serve Service ns/a, which wants local traffic only (they run on n5, n6, n7 and 2 more)',
    });
  });
});

describe('the interface', () => {
  const choose = (
    interfaces: NodeFacts['interfaces'],
    of: ServiceAddress = address('10.0.0.1'),
    given: Given = {},
  ): unknown => {
    const [found] = judge([nodeFacts('n1', { interfaces })], given, of);
    return found?.isEligible === true ? found.interfaceName : found?.code;
  };
  const asking = (request: { interfaceName?: string; vlan?: string }, key = 'ns/web'): ServiceAddress => ({
    address: ip('10.0.0.1'),
    pool: undefined,
    allocations: [allocation(key, ['10.0.0.1'], { request })],
  });

  it('is the one whose subnet holds the address, by its real prefix length', () => {
    const interfaces = [nic('eth0', ['10.0.1.5/24']), nic('eth1', ['10.0.0.5/25']), nic('eth2', ['10.0.0.200/25'])];
    expect(choose(interfaces)).toBe('eth1');
    expect(choose(interfaces, address('10.0.0.129'))).toBe('eth2');
    expect(choose(interfaces, address('10.0.2.1'))).toBe('NODE_NO_INTERFACE');
    expect(choose([nic('eth0', ['10.0.0.5/30'])], address('10.0.0.8'))).toBe('NODE_NO_INTERFACE');
    expect(choose([nic('eth0', ['2001:db8::5/64'])], address('2001:db8::1:0:0:9'))).toBe('eth0');
    expect(choose([nic('eth0', ['2001:db8::5/65'])], address('2001:db8::8000:0:0:9'))).toBe('NODE_NO_INTERFACE');
  });

  it('is never one by an address of full length: a host is no subnet', () => {
    expect(choose([nic('lo', ['10.0.0.1/32'])])).toBe('NODE_NO_INTERFACE');
    expect(choose([nic('lo', ['fd00::1/128'])], address('fd00::1'))).toBe('NODE_NO_INTERFACE');
  });

  it('of several is that of the longest prefix, then one with carrier, then the first by name', () => {
    const wide = nic('a-wide', ['10.0.0.5/16']);
    expect(choose([wide, nic('b-long', ['10.0.0.5/24'])])).toBe('b-long');
    expect(choose([nic('b', ['10.0.0.5/24']), nic('c', ['10.0.0.6/24']), nic('a', ['10.0.0.7/24'], false)])).toBe('b');
    expect(choose([wide, nic('b-long', ['10.0.0.5/24'], false)])).toBe('NODE_NO_CARRIER');
  });

  it('asked for by a Service needs no subnet, and must be there: a VLAN child is a name like others', () => {
    const interfaces = [nic('eth0', ['10.0.0.5/24']), nic('eth0.200')];
    expect(choose(interfaces, asking({ interfaceName: 'eth0.200' }))).toBe('eth0.200');
    expect(choose(interfaces, asking({ vlan: 'eth0.200', interfaceName: 'eth0' }))).toBe('eth0.200');
    expect(choose(interfaces, asking({ interfaceName: 'eth9' }))).toBe('NODE_NO_INTERFACE');
    expect(choose(interfaces, asking({ interfaceName: 'auto' }))).toBe('eth0');
    expect(choose(undefined, asking({ interfaceName: 'eth9' }))).toBe('eth9');
    expect(reasons([nodeFacts('n1', { interfaces })], {}, asking({ interfaceName: 'eth9' }))).toEqual({
      n1: 'has no interface eth9, which Service ns/web asks for (it has eth0, eth0.200)',
    });
  });

  it("asked for by several that share is the oldest one's, and the words say so", () => {
    const of = {
      ...asking({}),
      allocations: [
        allocation('ns/a', ['10.0.0.1']),
        allocation('ns/b', ['10.0.0.1'], { request: { interfaceName: 'eth1' } }),
        allocation('ns/c', ['10.0.0.1'], { request: { interfaceName: 'eth2' } }),
      ],
    };
    expect(reasons([nodeFacts('n1', { interfaces: [nic('eth1'), nic('eth2')] })], {}, of)).toEqual({
      n1: 'answers on eth1, which Service ns/b asks for (before eth2, which Service ns/c on the same address asks for); endpoints not known',
    });
  });

  it('is else that of the pool, for the namespace, and then of the configuration', () => {
    const interfaces = [nic('eth0', ['10.0.0.5/24']), nic('eth1'), nic('eth2'), nic('eth3')];
    const pool = newPool({
      name: 'kubevip/range-global',
      shortName: 'range-global',
      origin: 'kube-vip',
      ranges: [range('10.0.0.1-10.0.0.9')],
      interfaceName: 'eth1',
      perNamespace: {
        special: { sharing: 'by-key', interfaceName: 'eth2' },
        plain: { sharing: 'by-key', interfaceName: undefined },
      },
    });
    expect(choose(interfaces, { ...asking({}), pool })).toBe('eth1');
    expect(choose(interfaces, { ...asking({}, 'special/web'), pool })).toBe('eth2');
    expect(choose(interfaces, { ...asking({}, 'plain/web'), pool })).toBe('eth0');
    expect(choose(interfaces, { ...asking({}, 'plain/web'), pool }, { defaultInterface: 'eth3' })).toBe('eth3');
    expect(choose(interfaces, { ...asking({}), pool }, { defaultInterface: 'eth3' })).toBe('eth1');
    expect(choose(interfaces, { ...asking({ interfaceName: 'auto' }), pool }, { defaultInterface: 'eth3' })).toBe(
      'eth0',
    );
    expect(choose(interfaces, asking({}), { defaultInterface: 'auto' })).toBe('eth0');
    expect(choose(interfaces, asking({}), { defaultInterface: '' })).toBe('eth0');
  });

  it('is one that the advertisements allow', () => {
    const pool = metallbPool('lan', ['10.0.0.1-10.0.0.9']);
    const of = address('10.0.0.1', pool);
    const interfaces = [nic('eth0', ['10.0.0.5/24']), nic('eth1', ['10.0.0.6/24']), nic('eth2', ['10.9.0.1/24'])];
    const allowing = (...given: readonly Parameters<typeof advertisement>[1][]) => ({
      advertisements: given.map((each, index) => advertisement(`ad${index}`, each)),
      defaultInterface: 'eth0',
    });
    expect(choose(interfaces, of, allowing({ interfaceNames: ['eth1'] }))).toBe('eth1');
    expect(choose(interfaces, of, allowing({ interfacePatterns: ['1$'] }))).toBe('eth1');
    expect(choose(interfaces, of, allowing({ interfaceNames: ['eno1'] }))).toBe('NODE_NO_INTERFACE');
    expect(choose(undefined, of, allowing({ interfaceNames: ['eno1'] }))).toBe(undefined);
    // Asked for by name where no subnet holds the address; a pattern asks for nothing.
    expect(choose(interfaces, of, allowing({ interfaceNames: ['eth9', 'eth2'] }))).toBe('eth2');
    expect(choose(interfaces, of, allowing({ interfacePatterns: ['^eth2$'] }))).toBe('NODE_NO_INTERFACE');
    // A Service can't ask for what isn't allowed.
    const asks = { ...asking({ interfaceName: 'eth0' }), pool };
    expect(choose(interfaces, asks, allowing({ interfaceNames: ['eth1'] }))).toBe('NODE_NO_INTERFACE');
    expect(choose(interfaces, asks, allowing({ interfaceNames: ['eth1'] }, {}))).toBe('eth0');
    expect(
      reasons(
        [nodeFacts('n1', { interfaces })],
        allowing({ interfaceNames: ['eno1'], interfacePatterns: ['^bond'] }),
        of,
      ),
    ).toEqual({
      n1: 'has eth0, eth1, eth2 only: L2Advertisement metallb-system/ad0 allows eno1, /^bond/',
    });
  });

  it('missing is told with the subnets there are, a few of them', () => {
    const many = Array.from({ length: 9 }, (_, index) => nic(`eth${index}`, [`10.${index + 1}.0.1/24`]));
    expect(reasons([nodeFacts('n1', { interfaces: many })])).toEqual({
      n1: 'has no interface whose subnet holds the address (eth0 10.1.0.1/24, eth1 10.2.0.1/24, eth2 10.3.0.1/24, eth3 10.4.0.1/24, eth4 10.5.0.1/24, eth5 10.6.0.1/24 and 3 more)',
    });
    expect(reasons([nodeFacts('n1', { interfaces: [nic('eth0', ['fd00::1/64'])] })])).toEqual({
      n1: 'has no interface whose subnet holds the address (it has no IPv4 subnet)',
    });
  });
});

describe('candidates', () => {
  it('are every node once, by name, whatever the order they are given in', () => {
    const nodes = ['n2', 'n10', 'n1', 'n2'].map((name) => nodeFacts(name));
    expect(judge(nodes).map(({ node }) => node)).toEqual(['n1', 'n10', 'n2']);
    expect(judge([])).toEqual([]);
  });

  it('say that a Node is not Ready, which excludes nothing', () => {
    const [found] = judge([nodeFacts('a', { isReady: false })]);
    expect(found?.isEligible).toBe(true);
    expect(found?.reason).toContain('its Node is not Ready');
  });

  it('carry the sum of the preferences that match', () => {
    const prefers = [{ weight: 30, selector: labelled({ disk: 'fast' }) }];
    const pool = metallbPool('lan', ['10.0.0.1-10.0.0.9']);
    const found = judge(
      [nodeFacts('n1', { labels: { disk: 'fast' } }), nodeFacts('n2')],
      { advertisements: [advertisement('ad', { preferredNodes: prefers })] },
      address('10.0.0.1', pool),
    );
    expect(found.map(({ preference }) => preference)).toEqual([30, 0]);
    expect(found[0]?.reason).toContain('is preferred with weight 30');
  });

  it('are the same objects for addresses of which the same is true', () => {
    const survey = surveyOf(ownerContext([nodeFacts('n1', LAN)]));
    const [one, two] = ['10.0.0.1', '10.0.0.2'].map((text) => candidatesFor(address(text), survey)[0]);
    expect(one).toBe(two);
  });
});

describe('an address of a pool that is settling', () => {
  const settling = metallbPool('lan', ['10.0.0.1-10.0.0.9'], { isSettling: true });
  const fresh = address('10.0.0.1', settling);
  const hosted: ServiceAddress = {
    ...fresh,
    allocations: [allocation('ns/web', ['10.0.0.1'], { annotations: { 'kube-vip.io/vipHost': 'n1' } })],
  };
  const nodes = [nodeFacts('n1'), nodeFacts('n2')];
  const dark = { n1: 'NO_ADVERTISEMENT', n2: 'NO_ADVERTISEMENT' };
  const lit = { n1: '', n2: '' };

  it.each([
    ['is recorded', { assignment: new Map([['10.0.0.1', 'n9']]) }, fresh, lit],
    ['has said so on the Service', {}, hosted, lit],
    ['is neither', {}, fresh, dark],
    ['is that of another address', { assignment: new Map([['10.0.0.2', 'n1']]) }, fresh, dark],
  ])('needs no advertisement where who answers %s', (_, given, of, expected) => {
    expect(codes(nodes, given, of)).toEqual(expected);
  });

  it('goes by the advertisements that there are', () => {
    const ad = advertisement('ad', { nodeSelectors: [labelled({ 'kubernetes.io/hostname': 'n2' })] });
    expect(codes(nodes, { advertisements: [ad] }, hosted)).toEqual({ n1: 'NODE_NOT_SELECTED', n2: '' });
  });

  it('needs one once it is settled', () => {
    const settled = { ...hosted, pool: { ...settling, isSettling: false } };
    expect(codes(nodes, {}, settled)).toEqual(dark);
  });
});

describe('an address whose advertisement can’t be read', () => {
  const pool = metallbPool('lan', ['10.0.0.1-10.0.0.9'], { labels: { zone: 'a' } });
  const of = address('10.0.0.1', pool);
  const nodes = [nodeFacts('n1', LAN), nodeFacts('n2', LAN), nodeFacts('n3', LAN)];
  const assignment = new Map([['10.0.0.1', 'n2']]);
  const nobody = advertisement('ad', { nodeSelectors: [NOTHING] });
  const refused = { n1: 'NODE_NOT_SELECTED', n2: 'NODE_NOT_SELECTED', n3: 'NODE_NOT_SELECTED' };
  const dark = { n1: 'NO_ADVERTISEMENT', n2: 'NO_ADVERTISEMENT', n3: 'NO_ADVERTISEMENT' };

  it('is kept by who has it, with the reason', () => {
    expect(codes(nodes, { advertisements: [nobody], assignment }, of)).toEqual({ ...refused, n2: '' });
    expect(judge(nodes, { advertisements: [nobody], assignment }, of)[1]?.reason).toMatch(
      /^answers on eth0.*; goes on answering, since L2Advertisement metallb-system\/ad can't be read$/,
    );
    const said = allocation('ns/web', ['10.0.0.1'], { annotations: { 'kube-vip.io/vipHost': 'n3' } });
    expect(codes(nodes, { advertisements: [nobody] }, { ...of, allocations: [said] })).toEqual({ ...refused, n3: '' });
  });

  it('is taken by nobody else, nor by anybody where nobody had it', () => {
    expect(codes(nodes, { advertisements: [nobody] }, of)).toEqual(refused);
    const lost = [nodeFacts('n1'), nodeFacts('n2', { hasStanding: false }), nodeFacts('n3')];
    expect(codes(lost, { advertisements: [nobody], assignment }, of)).toEqual({ ...refused, n2: 'NODE_NO_STANDING' });
  });

  it('is kept by whoever leads where the leader answers for all', () => {
    const all = { n1: '', n2: '', n3: '' };
    const rules = { ...SPREAD, isLed: true };
    expect(codes(nodes, { advertisements: [nobody], assignment, rules }, of)).toEqual(all);
    const led = { advertisements: [nobody], assignment, rules: LEADER_ONLY, leader: 'n1' };
    expect(codes(nodes, led, of)).toEqual({ ...all, n2: 'NODE_NOT_LEADER', n3: 'NODE_NOT_LEADER' });
  });

  it('is kept only where its owner could have it at all', () => {
    const elsewhere = nodes.map((facts) => ({ ...facts, interfaces: [nic('eth0', ['192.0.2.1/24'])] }));
    const expected = { ...refused, n2: 'NODE_NO_INTERFACE' };
    expect(codes(elsewhere, { advertisements: [nobody], assignment }, of)).toEqual(expected);
  });

  it.each([
    ['selects pools that can’t be read', { poolSelectors: [NOTHING] }, true],
    ['selects other pools by name and more that can’t be read', { poolNames: ['x'], poolSelectors: [NOTHING] }, true],
    ['selects Services that can’t be read', { serviceSelectors: [NOTHING] }, true],
    ['selects other pools', { poolNames: ['x'], nodeSelectors: [NOTHING] }, false],
    ['selects other Services', { serviceSelectors: [labelled({ a: 'b' })], nodeSelectors: [NOTHING] }, false],
    ['is of another source', { origin: 'cilium' as const, poolSelectors: [NOTHING] }, false],
    ['is for BGP', { protocol: 'bgp' as const, poolSelectors: [NOTHING] }, false],
    ['can be read, and is not for it', { poolNames: ['x'] }, false],
  ])('that %s', (_, given, isKept) => {
    const found = codes(nodes, { advertisements: [advertisement('ad', given)], assignment }, of);
    expect(found).toMatchObject({ n2: isKept ? '' : (expect.stringMatching(/^N/) as string) });
  });

  it('goes by another that can be read', () => {
    const other = advertisement('other', { nodeSelectors: [labelled({ 'kubernetes.io/hostname': 'n1' })] });
    const expected = { ...refused, n1: '' };
    expect(codes(nodes, { advertisements: [nobody, other], assignment }, of)).toEqual(expected);
  });

  it('is kept for all Services on it or for none', () => {
    const web = allocation('ns/web', ['10.0.0.1'], { labels: { app: 'web' } });
    const dns = allocation('ns/dns', ['10.0.0.1'], { labels: { app: 'dns' } });
    const forWeb = advertisement('web', { serviceSelectors: [labelled({ app: 'web' })], nodeSelectors: [NOTHING] });
    const forDns = advertisement('dns', { serviceSelectors: [labelled({ app: 'dns' })] });
    const shared = { ...of, allocations: [web, dns] };
    expect(codes(nodes, { advertisements: [forWeb], assignment }, shared)).toEqual(dark);
    expect(codes(nodes, { advertisements: [forWeb, forDns], assignment }, shared)).toEqual({ ...refused, n2: '' });
  });
});
