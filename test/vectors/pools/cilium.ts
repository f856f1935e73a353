/** Cilium: blocks of pools and policies, as operator/pkg/lbipam and the documentation of 1.19 have them. */

export interface BlockCase {
  readonly source: string;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly ranges: readonly string[];
  readonly told?: readonly string[];
}

const NO_ENDS = { allowFirstLastIPs: 'No' };

export const BLOCKS: readonly BlockCase[] = [
  { source: 'LB-IPAM docs: cidr', spec: { blocks: [{ cidr: '10.0.10.0/24' }] }, ranges: ['10.0.10.0/24'] },
  {
    source: 'LB-IPAM docs: both families',
    spec: { blocks: [{ cidr: '10.0.10.0/24' }, { cidr: '2004::0/112' }] },
    ranges: ['10.0.10.0/24', '2004::/112'],
  },
  {
    source: 'LB-IPAM docs: start and stop',
    spec: { blocks: [{ start: '20.0.20.100', stop: '20.0.20.200' }] },
    ranges: ['20.0.20.100-20.0.20.200'],
  },
  { source: 'LB-IPAM docs: start alone', spec: { blocks: [{ start: '1.2.3.4' }] }, ranges: ['1.2.3.4'] },
  { source: 'spec.cidrs before 1.15', spec: { cidrs: [{ cidr: '10.0.10.0/24' }] }, ranges: ['10.0.10.0/24'] },
  { source: 'Yes', spec: { blocks: [{ cidr: '10.0.0.0/29' }], allowFirstLastIPs: 'Yes' }, ranges: ['10.0.0.0/29'] },
  { source: 'No', spec: { blocks: [{ cidr: '10.0.0.0/29' }], ...NO_ENDS }, ranges: ['10.0.0.1-10.0.0.6'] },
  { source: 'No on /30', spec: { blocks: [{ cidr: '10.0.0.0/30' }], ...NO_ENDS }, ranges: ['10.0.0.1-10.0.0.2'] },
  { source: 'No on /31', spec: { blocks: [{ cidr: '10.0.0.0/31' }], ...NO_ENDS }, ranges: ['10.0.0.0/31'] },
  { source: 'No on /32', spec: { blocks: [{ cidr: '10.0.0.7/32' }], ...NO_ENDS }, ranges: ['10.0.0.7'] },
  { source: 'No on /126', spec: { blocks: [{ cidr: 'fd00::/126' }], ...NO_ENDS }, ranges: ['fd00::1-fd00::2'] },
  { source: 'No on /127', spec: { blocks: [{ cidr: 'fd00::/127' }], ...NO_ENDS }, ranges: ['fd00::/127'] },
  { source: 'No on /128', spec: { blocks: [{ cidr: 'fd00::7/128' }], ...NO_ENDS }, ranges: ['fd00::7'] },
  {
    source: 'No on a range',
    spec: { blocks: [{ start: '10.0.0.0', stop: '10.0.0.7' }], ...NO_ENDS },
    ranges: ['10.0.0.0/29'],
  },
  {
    source: 'neither Yes nor No: the one that gives less',
    spec: { blocks: [{ cidr: '10.0.0.0/29' }], allowFirstLastIPs: 'no' },
    ranges: ['10.0.0.1-10.0.0.6'],
    told: ['OBJECT_INVALID'],
  },
  {
    source: 'ipRangeFromBlock: cidr first',
    spec: { blocks: [{ cidr: '10.0.0.0/29', start: '10.0.1.1' }] },
    ranges: ['10.0.0.0/29'],
    told: ['OBJECT_INVALID'],
  },
  { source: 'no blocks', spec: {}, ranges: [], told: ['POOL_INVALID'] },
  {
    source: 'blocks that are none',
    spec: {
      blocks: [
        {},
        7,
        { stop: '10.0.0.1' },
        { cidr: 7 },
        { cidr: '10.0.0.1-10.0.0.9' },
        { cidr: '10.0.0.0' },
        { start: '10.0.0.9', stop: '10.0.0.1' },
        { start: '10.0.0.9', stop: 'fd00::1' },
        { cidr: '10.0.5.0/30' },
      ],
    },
    ranges: ['10.0.5.0/30'],
    told: ['OBJECT_INVALID', ...Array.from({ length: 7 }, () => 'POOL_INVALID')],
  },
  {
    source: 'areRangesInternallyConflicting: closed there, joined here',
    spec: { blocks: [{ cidr: '10.0.0.0/24' }, { cidr: '10.0.0.0/28' }] },
    ranges: ['10.0.0.0/24'],
    told: ['POOL_INVALID'],
  },
];

export interface PolicyCase {
  readonly source: string;
  readonly spec: unknown;
  readonly told: readonly string[];
  readonly isUsed: boolean;
}

export const POLICIES: readonly PolicyCase[] = [
  { source: 'docs', spec: { loadBalancerIPs: true }, told: [], isUsed: true },
  {
    source: 'docs',
    spec: { loadBalancerIPs: true, externalIPs: true, interfaces: ['^eth[0-9]+'] },
    told: [],
    isUsed: true,
  },
  { source: 'both default to false', spec: {}, told: ['ADVERTISEMENT_IDLE'], isUsed: false },
  { source: 'no spec', spec: undefined, told: ['ADVERTISEMENT_IDLE'], isUsed: false },
  { source: 'external IPs only', spec: { externalIPs: true }, told: ['ADVERTISEMENT_IDLE'], isUsed: false },
  {
    source: 'io.cilium/bad-interface-regex',
    spec: { loadBalancerIPs: true, interfaces: ['eth[', '^ens'] },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
  {
    source: 'no expression that can be read must not mean all interfaces',
    spec: { loadBalancerIPs: true, interfaces: ['eth['] },
    told: ['OBJECT_INVALID', 'OBJECT_INVALID'],
    isUsed: false,
  },
  {
    source: 'io.cilium/bad-service-selector: matches nothing',
    spec: { loadBalancerIPs: true, serviceSelector: { matchLabels: { 'a b': 'c' } } },
    told: ['OBJECT_INVALID'],
    isUsed: true,
  },
];

export interface PatternCase {
  readonly pattern: string;
  readonly matches: readonly string[];
  readonly others: readonly string[];
}

/** Go's regexp.MatchString, as in the policies of Cilium's documentation and the names of Linux. */
export const PATTERNS: readonly PatternCase[] = [
  { pattern: '^eth[0-9]+', matches: ['eth0', 'eth10', 'eth0.200'], others: ['eth', 'veth0', 'xeth0'] },
  { pattern: 'eth[0-9]+', matches: ['eth0', 'veth0'], others: ['ens3'] },
  {
    pattern: '^(eth|ens|enp)\\d+(s\\d+)?(\\.\\d{1,4})?$',
    matches: ['eth0', 'enp3s0', 'ens3.200'],
    others: ['enp', 'eth0.12345', 'bond0'],
  },
  { pattern: '', matches: ['eth0', ''], others: [] },
  { pattern: 'bond.*', matches: ['bond0', 'bond'], others: ['bon'] },
  { pattern: '^[^lv].*$', matches: ['eth0'], others: ['lo', 'veth0', ''] },
  { pattern: '^(?:a|b){2,3}$', matches: ['ab', 'bba'], others: ['a', 'abab'] },
  { pattern: '^a{2,}$', matches: ['aa', 'aaaaa'], others: ['a', 'aab'] },
  { pattern: '^(a?){3}$', matches: ['', 'a', 'aaa'], others: ['aaaa'] },
  { pattern: '^(a*)*$', matches: ['', 'aaaa'], others: ['ab'] },
  { pattern: '^x|y$', matches: ['x1', '1y'], others: ['1x1'] },
  { pattern: '^a+?b*?$', matches: ['a', 'aab'], others: ['b'] },
  { pattern: '^[]a-]+$', matches: [']', '-a]'], others: ['b'] },
  { pattern: '^\\w\\W\\s?\\S\\D$', matches: ['a.bc'], others: ['a.b1'] },
  { pattern: '^eth\\.0$', matches: ['eth.0'], others: ['ethx0'] },
  { pattern: '^()$', matches: [''], others: ['a'] },
];

export const REFUSED_PATTERNS: readonly (readonly [string, string])[] = [
  ['eth[', 'unbalanced'],
  ['(eth', 'unbalanced'],
  ['eth)', 'unbalanced'],
  ['*eth', 'nothing-to-repeat'],
  ['a|*', 'nothing-to-repeat'],
  ['a**', 'nothing-to-repeat'],
  ['a{3,2}', 'bad-range'],
  ['[z-a]', 'bad-range'],
  ['(?i)eth', 'not-supported'],
  ['(?=eth)', 'not-supported'],
  ['[[:alpha:]]', 'not-supported'],
  ['\\beth', 'not-supported'],
  ['\\', 'not-supported'],
  ['((((a))))', 'too-deep'],
];
