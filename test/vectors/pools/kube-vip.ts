/** kube-vip-cloud-provider d3522c6: how values of the ConfigMap become addresses, and which key is looked up. */

/** The addresses from the first to the last, as written. */
export interface SetCase {
  readonly source: string;
  readonly value: string;
  readonly skipsEnds?: boolean;
  readonly addresses: readonly string[];
}

/** pkg/ipam/ipam_test.go:11 buildAddressesFromRange, :124 buildHostsFromCidr. */
export const SETS: readonly SetCase[] = [
  { source: 'ipam_test.go:11', value: '192.168.0.10-192.168.0.10', addresses: ['192.168.0.10'] },
  {
    source: 'ipam_test.go:11',
    value: '192.168.0.253-192.168.1.2',
    addresses: ['192.168.0.253', '192.168.0.254', '192.168.0.255', '192.168.1.0', '192.168.1.1', '192.168.1.2'],
  },
  {
    source: 'ipam_test.go:11',
    value: '192.168.0.10-192.168.0.11,192.168.0.10-192.168.0.13',
    addresses: ['192.168.0.10', '192.168.0.11', '192.168.0.12', '192.168.0.13'],
  },
  {
    source: 'ipam_test.go:11',
    value: 'fe80::ffff-fe80::1:3',
    addresses: ['fe80::ffff', 'fe80::1:0', 'fe80::1:1', 'fe80::1:2', 'fe80::1:3'],
  },
  {
    source: 'ipam_test.go:11',
    value: 'fe80::10-fe80::12,fe81::13-fe81::14',
    addresses: ['fe80::10', 'fe80::11', 'fe80::12', 'fe81::13', 'fe81::14'],
  },
  { source: 'ipam_test.go:124', value: '192.168.0.200/32', addresses: ['192.168.0.200'] },
  { source: 'ipam_test.go:124', value: '192.168.0.200/32', skipsEnds: true, addresses: ['192.168.0.200'] },
  {
    source: 'ipam_test.go:124',
    value: '192.168.0.200/30',
    addresses: ['192.168.0.200', '192.168.0.201', '192.168.0.202', '192.168.0.203'],
  },
  {
    source: 'ipam_test.go:124',
    value: '192.168.0.200/30',
    skipsEnds: true,
    addresses: ['192.168.0.201', '192.168.0.202'],
  },
  {
    source: 'ipam_test.go:124',
    value: '192.168.0.200/31',
    skipsEnds: true,
    addresses: ['192.168.0.200', '192.168.0.201'],
  },
  {
    source: 'ipam_test.go:124',
    value: '192.168.0.200/30,192.168.0.200/29',
    addresses: [200, 201, 202, 203, 204, 205, 206, 207].map((octet) => `192.168.0.${octet}`),
  },
  {
    source: 'ipam_test.go:124',
    value: '192.168.0.200/30,192.168.0.200/29',
    skipsEnds: true,
    addresses: [201, 202, 203, 204, 205, 206].map((octet) => `192.168.0.${octet}`),
  },
  {
    source: 'ipam_test.go:124',
    value: 'fe80::10/127,fe80::fe/127',
    addresses: ['fe80::10', 'fe80::11', 'fe80::fe', 'fe80::ff'],
  },
];

export interface SplitCase {
  readonly source: string;
  readonly value: string;
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** pkg/ipam/ipam_test.go:259 SplitCIDRsByIPFamily, :355 SplitRangesByIPFamily. */
export const SPLITS: readonly SplitCase[] = [
  {
    source: 'ipam_test.go:259',
    value: '192.168.0.200/30,192.168.1.200/30,fe80::10/127,fe80::fe/127',
    ipv4: ['192.168.0.200/30', '192.168.1.200/30'],
    ipv6: ['fe80::10/127', 'fe80::fe/127'],
  },
  {
    source: 'ipam_test.go:355',
    value: '192.168.0.10-192.168.0.12,192.168.1.20-192.168.1.22,fe80::11-fe80::13,fe81::21-fe81::23',
    ipv4: ['192.168.0.10-192.168.0.12', '192.168.1.20-192.168.1.22'],
    ipv6: ['fe80::11-fe80::13', 'fe81::21-fe81::23'],
  },
];

export interface FreeCase {
  readonly source: string;
  readonly value: string;
  readonly used?: readonly string[];
  readonly settings?: Readonly<Record<string, string>>;
  /** undefined: none is left. */
  readonly address: string | undefined;
}

const DESC = { 'search-order': 'desc' };
const SKIP = { 'skip-end-ips-in-cidr': 'true' };
const TWO_WIDE = '192.168.0.10-192.168.0.11,192.168.1.20-192.168.1.21';
const SIX = ['fe80::1:0', 'fe80::1:1', 'fe80::1:2', 'fe80::1:3'];

/** pkg/ipam/ipam_test.go:451 FindAvailableHostFromRange, :647 FindAvailableHostFromCidr. */
export const FREE: readonly FreeCase[] = [
  { source: 'ipam_test.go:451', value: '192.168.0.10-192.168.0.12', address: '192.168.0.10' },
  { source: 'ipam_test.go:451', value: '192.168.0.10-192.168.0.12', settings: DESC, address: '192.168.0.12' },
  {
    source: 'ipam_test.go:451',
    value: '192.168.0.253-192.168.1.2',
    used: ['192.168.0.253', '192.168.0.254'],
    address: '192.168.1.1',
  },
  { source: 'ipam_test.go:451', value: TWO_WIDE, used: ['192.168.0.9', '192.168.0.10'], address: '192.168.0.11' },
  { source: 'ipam_test.go:451', value: 'fe80::ffff-fe80::1:3', used: ['fe80::ffff'], address: 'fe80::1:0' },
  { source: 'ipam_test.go:451', value: 'fe80::ffff-fe80::1:3', used: SIX, settings: DESC, address: 'fe80::ffff' },
  {
    source: 'ipam_test.go:451',
    value: 'fe80::10-fe80::12,fe81::20-fe81::21',
    used: ['fe80::10', 'fe80::11', 'fe80::12'],
    address: 'fe81::20',
  },
  { source: 'ipam_test.go:647', value: '192.168.0.200/30', address: '192.168.0.200' },
  { source: 'ipam_test.go:647', value: '192.168.0.200/30', settings: SKIP, address: '192.168.0.201' },
  { source: 'ipam_test.go:647', value: '192.168.0.200/30', settings: DESC, address: '192.168.0.203' },
  { source: 'ipam_test.go:647', value: '192.168.0.200/30', settings: { ...DESC, ...SKIP }, address: '192.168.0.202' },
  { source: 'ipam_test.go:647', value: '192.168.0.10/24', address: '192.168.0.1' },
  { source: 'ipam_test.go:647', value: '192.168.0.10/24', settings: DESC, address: '192.168.0.254' },
  ...[{}, DESC].map((settings) => ({
    source: 'ipam_test.go:647',
    value: '192.168.0.255/30',
    used: ['192.168.0.252', '192.168.0.253', '192.168.0.254'],
    settings,
    address: undefined,
  })),
  { source: 'ipam_test.go:647', value: '2001::49fe/127', address: '2001::49fe' },
  { source: 'ipam_test.go:647', value: '2001::49fe/127', settings: SKIP, address: '2001::49fe' },
  { source: 'ipam_test.go:647', value: '2001::49fe/127', settings: DESC, address: '2001::49ff' },
  ...[{}, DESC].map((settings) => ({
    source: 'ipam_test.go:647',
    value: '2001::49fe/127',
    used: ['2001::49fe', '2001::49ff'],
    settings,
    address: undefined,
  })),
];

export interface LookupCase {
  readonly source: string;
  readonly data: Readonly<Record<string, string>>;
  readonly namespace: string;
  /** The key found; undefined: none. */
  readonly key: string | undefined;
  readonly isGlobal?: boolean;
  readonly shares?: boolean;
  readonly interfaceName?: string;
}

const CIDRS = {
  'cidr-global': '192.168.1.1/24',
  'cidr-system': '10.10.10.8/29',
  'allow-share-system': 'true',
  'cidr-ipv6': '2001::10/127',
};
const RANGES = {
  'range-global': '192.168.1.1-192.168.1.254',
  'range-system': '10.10.10.8-10.10.10.15',
  'allow-share-system': 'true',
  'range-ipv6': '2001::10-2001::11',
};
const P4 = '10.10.10.8-10.10.10.15';

/** pkg/provider/loadBalancer_test.go:89 discoverPool, :328 interface; loadBalancer.go discoverPool, discoverInterface. */
export const LOOKUPS: readonly LookupCase[] = [
  { source: 'loadBalancer_test.go:89', data: CIDRS, namespace: 'system', key: 'cidr-system', shares: true },
  { source: 'loadBalancer_test.go:89', data: CIDRS, namespace: 'ipv6', key: 'cidr-ipv6' },
  { source: 'loadBalancer_test.go:89', data: CIDRS, namespace: 'basic', key: 'cidr-global', isGlobal: true },
  { source: 'loadBalancer_test.go:89', data: RANGES, namespace: 'system', key: 'range-system', shares: true },
  { source: 'loadBalancer_test.go:89', data: RANGES, namespace: 'ipv6', key: 'range-ipv6' },
  { source: 'loadBalancer_test.go:89', data: RANGES, namespace: 'basic', key: 'range-global', isGlobal: true },
  { source: 'loadBalancer.go discoverPool', data: {}, namespace: 'basic', key: undefined },
  { source: 'loadBalancer.go discoverPool', data: { 'cidr-other': '10.0.0.0/30' }, namespace: 'basic', key: undefined },
  {
    source: 'loadBalancer.go discoverPool: cidr-global is found before range-<namespace>',
    data: { 'cidr-global': '192.168.1.1/24', 'range-system': P4 },
    namespace: 'system',
    key: 'cidr-global',
    isGlobal: true,
  },
  {
    source: 'loadBalancer.go discoverPool: sharing is looked up apart from the addresses',
    data: { 'cidr-global': '192.168.1.1/24', 'allow-share-system': 'true' },
    namespace: 'system',
    key: 'cidr-global',
    isGlobal: true,
    shares: true,
  },
  {
    source: 'loadBalancer.go discoverPool: allow-share-global stands behind allow-share-<namespace>',
    data: { 'cidr-system': '10.10.10.8/29', 'allow-share-global': 'true' },
    namespace: 'system',
    key: 'cidr-system',
    shares: true,
  },
  {
    source: 'loadBalancer.go discoverPool: allow-share-<namespace> is found first',
    data: { 'cidr-system': '10.10.10.8/29', 'allow-share-global': 'true', 'allow-share-system': 'false' },
    namespace: 'system',
    key: 'cidr-system',
  },
  {
    source: 'loadBalancer_test.go:328 interface-global',
    data: { 'cidr-global': '10.120.120.1/24', 'interface-global': 'eth0' },
    namespace: 'test',
    key: 'cidr-global',
    isGlobal: true,
    interfaceName: 'eth0',
  },
  {
    source: 'loadBalancer_test.go:328 interface-<namespace>',
    data: { 'cidr-global': '10.120.120.1/24', 'interface-test': 'eth0' },
    namespace: 'test',
    key: 'cidr-global',
    isGlobal: true,
    interfaceName: 'eth0',
  },
  {
    source: 'loadBalancer_test.go:328 interface of another namespace',
    data: { 'cidr-global': '10.120.120.1/24', 'interface-what': 'eth0' },
    namespace: 'test',
    key: 'cidr-global',
    isGlobal: true,
  },
];

export interface FamilyCase {
  readonly source: string;
  readonly value: string;
  readonly used?: readonly string[];
  readonly family: 'ipv4' | 'ipv6';
  /** undefined: an error. */
  readonly address: string | undefined;
}

const P6 = 'fd00::1-fd00::10';
const USED = ['10.10.10.8', '10.10.10.9', '10.10.10.10', '10.10.10.12', 'fd00::1', 'fd00::2', 'fd00::4'];

/** pkg/provider/loadBalancer_test.go:708 discoverVIPs, one row for each family that a policy asks of the pool. */
export const FAMILIES: readonly FamilyCase[] = [
  { source: 'nil on P4', value: P4, used: USED, family: 'ipv4', address: '10.10.10.11' },
  { source: 'nil on P6', value: P6, used: USED, family: 'ipv6', address: 'fd00::3' },
  { source: 'Single v4 on P6', value: P6, family: 'ipv4', address: undefined },
  { source: 'Single v6 on P4', value: P4, family: 'ipv6', address: undefined },
  { source: 'Prefer and Require v4,v6: the first', value: `${P4},${P6}`, family: 'ipv4', address: '10.10.10.8' },
  { source: 'Prefer and Require v4,v6: the second', value: `${P4},${P6}`, family: 'ipv6', address: 'fd00::1' },
  { source: 'Prefer on an invalid pool', value: 'invalid-pool', family: 'ipv4', address: undefined },
  { source: 'Require on an empty pool', value: '', family: 'ipv4', address: undefined },
  {
    source: 'Require with v4 full',
    value: `${P4},${P6}`,
    used: [8, 9, 10, 11, 12, 13, 14, 15].map((octet) => `10.10.10.${octet}`),
    family: 'ipv4',
    address: undefined,
  },
];
