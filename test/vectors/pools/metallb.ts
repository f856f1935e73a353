/** MetalLB 7938d3f: objects as its tests have them, and what becomes of them (cases 13, 25–27 and 29 of the reference). */

export interface PoolCase {
  readonly source: string;
  readonly spec: Readonly<Record<string, unknown>>;
  /** Ranges that are used. */
  readonly ranges: readonly string[];
  /** Codes of what is told; MetalLB refuses the whole object where there is one. */
  readonly told?: readonly string[];
}

export const POOLS: readonly PoolCase[] = [
  {
    source: 'config_test.go:67',
    spec: { addresses: ['10.20.0.0/16', '10.50.0.0/24'] },
    ranges: ['10.20.0.0/16', '10.50.0.0/24'],
  },
  { source: 'config_test.go:67', spec: { addresses: ['30.0.0.0/8'], autoAssign: false }, ranges: ['30.0.0.0/8'] },
  { source: 'config_test.go:1127 no address', spec: { addresses: [] }, ranges: [], told: ['POOL_INVALID'] },
  { source: 'config_test.go:1127 no address', spec: {}, ranges: [], told: ['POOL_INVALID'] },
  {
    source: 'config_test.go:1148 invalid CIDR',
    spec: { addresses: ['100.200.300.400/24'] },
    ranges: [],
    told: ['POOL_INVALID'],
  },
  { source: 'config_test.go:1163, case 27', spec: { addresses: ['1.2.3.0/33'] }, ranges: [], told: ['POOL_INVALID'] },
  {
    source: 'config_test.go:1178, case 27',
    spec: { addresses: ['1.2.3.10-1.2.3.1'] },
    ranges: [],
    told: ['POOL_INVALID'],
  },
  {
    source: 'config_test.go:1653, case 25',
    spec: { addresses: ['3.3.3.2-3.3.3.254'] },
    ranges: ['3.3.3.2-3.3.3.254'],
  },
  { source: 'MetalLB trims ranges', spec: { addresses: ['1.2.3.1 - 1.2.3.9'] }, ranges: ['1.2.3.1-1.2.3.9'] },
  {
    source: 'case 27: MetalLB accepts it as an empty pool',
    spec: { addresses: ['1.2.3.4-1000::1'] },
    ranges: [],
    told: ['POOL_INVALID'],
  },
  {
    source: 'config_test.go:1996 duplicate CIDRs: MetalLB refuses, here it counts once',
    spec: { addresses: ['10.0.0.0/8', '10.0.0.0/8'] },
    ranges: ['10.0.0.0/8'],
    told: ['POOL_INVALID'],
  },
  {
    source: 'config_test.go:2019 overlapping CIDRs: MetalLB refuses, here they are joined',
    spec: { addresses: ['10.0.0.0/8', '10.0.0.0/16'] },
    ranges: ['10.0.0.0/8'],
    told: ['POOL_INVALID'],
  },
  {
    source: 'one bad range does not lose the others',
    spec: { addresses: ['10.0.0.0/30', 'rubbish', 7, null, 'fd00::/126'] },
    ranges: ['10.0.0.0/30', 'fd00::/126'],
    told: ['POOL_INVALID', 'POOL_INVALID', 'POOL_INVALID'],
  },
  {
    source: 'config_test.go:432 duplicate namespaces: refused there, once here',
    spec: { addresses: ['10.0.0.0/30'], serviceAllocation: { priority: 1, namespaces: ['a', 'a'] } },
    ranges: ['10.0.0.0/30'],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:462 duplicate namespaceSelectors: refused there, once here',
    spec: {
      addresses: ['10.0.0.0/30'],
      serviceAllocation: {
        namespaceSelectors: [{ matchLabels: { foo: 'bar', a: 'b' } }, { matchLabels: { a: 'b', foo: 'bar' } }],
      },
    },
    ranges: ['10.0.0.0/30'],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:547 duplicate serviceSelectors: refused there, once here',
    spec: {
      addresses: ['10.0.0.0/30'],
      serviceAllocation: {
        serviceSelectors: [
          { matchExpressions: [{ key: 'x', operator: 'In', values: ['1', '2'] }] },
          { matchExpressions: [{ key: 'x', operator: 'In', values: ['2', '1'] }] },
        ],
      },
    },
    ranges: ['10.0.0.0/30'],
    told: ['OBJECT_INVALID'],
  },
];

/** config_test.go:1653 "aggregation length by range" (case 25). */
export const SUMMARY = {
  range: '3.3.3.2-3.3.3.254',
  prefixes: [
    '3.3.3.2/31',
    '3.3.3.4/30',
    '3.3.3.8/29',
    '3.3.3.16/28',
    '3.3.3.32/27',
    '3.3.3.64/26',
    '3.3.3.128/26',
    '3.3.3.192/27',
    '3.3.3.224/28',
    '3.3.3.240/29',
    '3.3.3.248/30',
    '3.3.3.252/31',
    '3.3.3.254/32',
  ],
};

export interface SizeCase {
  readonly source: string;
  readonly addresses: readonly string[];
  readonly avoidsBuggy?: boolean;
  readonly ipv4: bigint;
  readonly ipv6: bigint;
}

/** allocator_test.go:2066 TestPoolCount (case 13). */
export const SIZES: readonly SizeCase[] = [
  { source: 'allocator_test.go:2066', addresses: ['1.2.3.0/24'], ipv4: 256n, ipv6: 0n },
  { source: 'allocator_test.go:2066', addresses: ['1.2.3.0/24', '2.3.4.128/25'], ipv4: 384n, ipv6: 0n },
  {
    source: 'allocator_test.go:2066',
    addresses: ['1.2.3.0/24', '2.3.4.128/25'],
    avoidsBuggy: true,
    ipv4: 381n,
    ipv6: 0n,
  },
  {
    source: 'allocator_test.go:2066: a /64 saturates at 2^63-1 there',
    addresses: ['1.2.3.0/24', '2.3.4.128/25', '1000::/64'],
    avoidsBuggy: true,
    ipv4: 381n,
    ipv6: 2n ** 64n,
  },
  { source: 'allocator_test.go:2066', addresses: ['1.2.3.0/31', '1000::/127'], avoidsBuggy: true, ipv4: 1n, ipv6: 2n },
];

export interface BgpCase {
  readonly source: string;
  readonly pool: readonly string[];
  /** spec of each BGPAdvertisement. */
  readonly specs: readonly Readonly<Record<string, unknown>>[];
  readonly told: readonly string[];
}

const LOW = { localPref: 100, ipAddressPools: ['pool1'] };
const HIGH = { localPref: 200, ipAddressPools: ['pool1'] };
const ON = (name: string) => ({ nodeSelectors: [{ matchLabels: { 'kubernetes.io/hostname': name } }] });

/** config_test.go:1193–1708 and :4234–4382 (cases 26, 27, 29), with the nodes first and second. */
export const BGP: readonly BgpCase[] = [
  { source: 'config_test.go:1653, case 26', pool: ['3.3.3.2-3.3.3.254'], specs: [{ aggregationLength: 26 }], told: [] },
  {
    source: 'config_test.go:1708, case 26',
    pool: ['3.3.3.2-3.3.3.254'],
    specs: [{ aggregationLength: 24 }],
    told: ['ADVERTISEMENT_AGGREGATION'],
  },
  {
    source: 'config_test.go:1299, case 27',
    pool: ['10.20.30.40/24', '1.2.3.0/28'],
    specs: [{ aggregationLength: 26 }],
    told: ['ADVERTISEMENT_AGGREGATION'],
  },
  { source: 'default lengths', pool: ['10.20.30.40/32', 'fd00::1/128'], specs: [{}], told: [] },
  { source: 'IPv6', pool: ['fd00::/120'], specs: [{ aggregationLengthV6: 119 }], told: ['ADVERTISEMENT_AGGREGATION'] },
  { source: 'IPv6', pool: ['fd00::/120'], specs: [{ aggregationLengthV6: 120 }], told: [] },
  {
    source: 'config_test.go:1277 never tests it: longer than the family',
    pool: ['10.0.0.0/24'],
    specs: [{ aggregationLength: 33 }],
    told: ['OBJECT_INVALID'],
  },
  { source: '§1.8', pool: ['10.0.0.0/24'], specs: [{ aggregationLengthV6: 129 }], told: ['OBJECT_INVALID'] },
  {
    source: '0.16 schema: at most ten',
    pool: ['10.0.0.0/24'],
    specs: [{ asPathPrepend: 11 }],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:1322, case 29: same peers and nodes',
    pool: ['10.20.0.0/16'],
    specs: [LOW, HIGH],
    told: ['ADVERTISEMENT_CONFLICT'],
  },
  {
    source: 'config_test.go:1361, case 29: other lengths',
    pool: ['10.20.0.0/16'],
    specs: [{ ...LOW, aggregationLength: 26 }, HIGH],
    told: [],
  },
  {
    source: 'config_test.go:1431: both families, both lengths other',
    pool: ['10.20.0.0/16', 'fd00::/64'],
    specs: [{ ...LOW, aggregationLength: 26, aggregationLengthV6: 124 }, HIGH],
    told: [],
  },
  {
    source: 'isAggrLengthDifferent: both families, one length other',
    pool: ['10.20.0.0/16', 'fd00::/64'],
    specs: [{ ...LOW, aggregationLength: 26 }, HIGH],
    told: ['ADVERTISEMENT_CONFLICT'],
  },
  {
    source: 'config_test.go:1501, case 29: disjoint nodes',
    pool: ['10.20.0.0/16'],
    specs: [
      { ...LOW, ...ON('first') },
      { ...HIGH, ...ON('second') },
    ],
    told: [],
  },
  {
    source: 'one node in both',
    pool: ['10.20.0.0/16'],
    specs: [{ ...LOW, ...ON('first') }, HIGH],
    told: ['ADVERTISEMENT_CONFLICT'],
  },
  {
    source: 'config_test.go:1581, case 29: disjoint peers',
    pool: ['10.20.0.0/16'],
    specs: [
      { ...LOW, peers: ['peer1'] },
      { ...HIGH, peers: ['peer2'] },
    ],
    told: [],
  },
  {
    source: 'no peers are all peers',
    pool: ['10.20.0.0/16'],
    specs: [{ ...LOW, peers: ['peer1'] }, HIGH],
    told: ['ADVERTISEMENT_CONFLICT'],
  },
  {
    source: 'validateBGPAdvPerPool: serviceSelectors are not compared',
    pool: ['10.20.0.0/16'],
    specs: [LOW, { ...HIGH, serviceSelectors: [{ matchLabels: { a: 'b' } }] }],
    told: [],
  },
  {
    source: 'config_test.go:4234: serviceSelectors exclude an aggregation length',
    pool: ['10.20.0.0/16'],
    specs: [{ aggregationLength: 24, serviceSelectors: [{ matchLabels: { a: 'b' } }] }],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:4261: and of IPv6',
    pool: ['10.20.0.0/16'],
    specs: [{ aggregationLengthV6: 64, serviceSelectors: [{ matchLabels: { a: 'b' } }] }],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:4382: but the default ones',
    pool: ['10.20.0.0/16'],
    specs: [{ aggregationLength: 32, aggregationLengthV6: 128, serviceSelectors: [{ matchLabels: { a: 'b' } }] }],
    told: [],
  },
  {
    source: 'config_test.go:1744 duplicate pools',
    pool: ['10.20.0.0/16'],
    specs: [{ ipAddressPools: ['pool1', 'pool1'] }],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:1758 duplicate peers',
    pool: ['10.20.0.0/16'],
    specs: [{ peers: ['peer1', 'peer1'] }],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:1845 duplicate communities',
    pool: ['10.20.0.0/16'],
    specs: [{ communities: ['1:2', '1:2'] }],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'case 30: communities that are none',
    pool: ['10.20.0.0/16'],
    specs: [
      { communities: ['12345:12345', 'large:1:2:3', 'alias', 'larg:1:2:3', 'large:1:x:3', '1:2:3', '99999999:1'] },
    ],
    told: ['OBJECT_INVALID', 'OBJECT_INVALID', 'OBJECT_INVALID', 'OBJECT_INVALID'],
  },
  {
    source: 'config_test.go:2933 duplicate pool selectors',
    pool: ['10.20.0.0/16'],
    specs: [
      {
        ipAddressPools: ['pool1'],
        ipAddressPoolSelectors: [{ matchLabels: { a: 'b' } }, { matchLabels: { a: 'b' } }],
      },
    ],
    told: ['OBJECT_INVALID'],
  },
];

export interface L2Case {
  readonly source: string;
  readonly spec: unknown;
  readonly told: readonly string[];
  /** False: nothing of it is used. */
  readonly isUsed: boolean;
}

/** config_test.go:1730, :2882, :3014, :3053, :3286, :3364, :4430 and §1.8. */
export const L2: readonly L2Case[] = [
  { source: 'no spec: all pools, all nodes', spec: undefined, told: [], isUsed: true },
  { source: 'config_test.go:2882', spec: { interfaces: ['eth0', 'eth1'] }, told: [], isUsed: true },
  {
    source: 'config_test.go:1730 duplicate pools',
    spec: { ipAddressPools: ['pool1', 'pool1'] },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'config_test.go:3014 duplicate pool selectors',
    spec: {
      ipAddressPools: ['pool1'],
      ipAddressPoolSelectors: [{ matchLabels: { a: 'b' } }, { matchLabels: { a: 'b' } }],
    },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'config_test.go:3053 selectors that match no pool: told here',
    spec: { ipAddressPoolSelectors: [{ matchLabels: { a: 'none' } }] },
    told: ['ADVERTISEMENT_IDLE'],
    isUsed: true,
  },
  {
    source: 'a pool that does not exist: told here',
    spec: { ipAddressPools: ['pool1', 'pool2'] },
    told: ['POOL_UNKNOWN'],
    isUsed: true,
  },
  {
    source: 'config_test.go:3286 duplicate node selectors',
    spec: { nodeSelectors: [{ matchLabels: { a: 'b' } }, { matchLabels: { a: 'b' } }] },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'config_test.go:4430 duplicate service selectors',
    spec: { serviceSelectors: [{ matchLabels: { a: 'b' } }, { matchLabels: { a: 'b' } }] },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'config_test.go:1038 an operator that is none',
    spec: { nodeSelectors: [{ matchExpressions: [{ key: 'a', operator: 'surprise', values: ['b'] }] }] },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'CRD schema: weights are 1 to 100',
    spec: {
      preferredNodeSelectors: [
        { weight: 100, preference: { matchLabels: { a: 'b' } } },
        { weight: 101, preference: {} },
        { weight: 0, preference: {} },
        { preference: {} },
        { weight: 5 },
      ],
    },
    told: ['OBJECT_INVALID', 'OBJECT_INVALID', 'OBJECT_INVALID', 'OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'a list that is none',
    spec: { interfaces: 'eth0' },
    told: ['OBJECT_INVALID', 'OBJECT_INVALID'],
    isUsed: false,
  },
  {
    source: 'a list that is none',
    spec: { ipAddressPools: [7] },
    told: ['OBJECT_INVALID', 'OBJECT_INVALID'],
    isUsed: false,
  },
  { source: 'no object', spec: 'all', told: ['OBJECT_INVALID', 'OBJECT_INVALID'], isUsed: false },
];
