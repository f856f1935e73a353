import { describe, expect, it } from 'vitest';
import { SHARERS_MAX } from '../../../../src/services/ipam/ledger.ts';
import { REASONS_MAX } from '../../../../src/services/ipam/refusal.ts';
import { EVERY_SERVICE, type ServiceObject } from '../../../../src/services/model.ts';
import {
  addressesOf,
  asking,
  ip,
  pool,
  reasonsOf,
  reserved,
  run,
  service,
  shortcomingsOf,
  told,
  written,
} from './cluster.ts';

const LAN = pool('lan', ['10.0.0.0/30']);

function many(
  count: number,
  text: (index: number) => Partial<Parameters<typeof service>[0]> = () => ({}),
): readonly ServiceObject[] {
  return Array.from({ length: count }, (_, index) => service({ key: `default/s${index}`, ...text(index) }));
}

describe('why a Service has no address', () => {
  it('is told pool by pool, in their order, with the rule (reference §1.9)', () => {
    const pools = [
      pool('lan', ['10.0.0.0/31']),
      pool('v6', ['fd00::/120']),
      pool('shy', ['10.1.0.0/24'], { isAutoAssigned: false }),
      pool('prod', ['10.2.0.0/24'], { scope: { ...EVERY_SERVICE, namespaces: ['a', 'b'] } }),
      pool('gold', ['10.3.0.0/24'], {
        scope: { ...EVERY_SERVICE, serviceSelectors: [{ matchLabels: { tier: 'gold' }, matchExpressions: [] }] },
      }),
      pool('old', ['10.4.0.0/24'], { isClosed: true }),
      pool('router', [], { isDhcp: true }),
    ];
    const result = run({ services: [service({ key: 's1' }), service({ key: 's2' }), service({ key: 's3' })], pools });
    expect(reasonsOf(result, 'default/s3')).toEqual([
      'metallb/gold: POOL_SELECTOR its serviceSelectors do not match the labels of the Service',
      'metallb/prod: POOL_NAMESPACE namespace "default" not in [a, b]',
      'metallb/lan: POOL_FULL full 2/2',
      'metallb/old: POOL_CLOSED closed: it keeps what it gave and gives nothing new',
      'metallb/router: POOL_DHCP addresses from DHCP, which is not supported yet',
      'metallb/shy: POOL_NOT_AUTOMATIC autoAssign=false',
      'metallb/v6: POOL_FAMILY no IPv4 addresses',
    ]);
  });

  it('is one reason a pool, also for several addresses, and for what was lost to an older Service', () => {
    const pools = [pool('lan', ['10.0.0.0/31', 'fd00::/127']), pool('six', ['fd01::/127'])];
    const services = [
      asking('a/s1', {}, { ingress: ['10.0.0.0'] }),
      asking('a/s2', {}, { ingress: ['10.0.0.1'] }),
      asking('a/s3', {}, { ingress: ['10.0.0.1'] }),
      asking(
        'a/s4',
        { 'metallb.io/loadBalancerIPs': '10.9.9.9,fd09::9' },
        { families: ['ipv4', 'ipv6'], familyPolicy: 'RequireDualStack' },
      ),
    ];
    const result = run({ services, pools });
    expect(reasonsOf(result, 'a/s3')).toEqual([
      'metallb/lan: POOL_FULL IPv4 full 2/2',
      'metallb/six: POOL_FAMILY no IPv4 addresses',
      ': ADDRESS_TAKEN address 10.0.0.1 used by a/s2, both have port TCP/80: it stood in both statuses, and the older Service keeps it',
    ]);
    expect(reasonsOf(result, 'a/s4')).toEqual([
      'metallb/lan: ADDRESS_OUTSIDE address 10.9.9.9 is not in 10.0.0.0/31, fd00::/127; address fd09::9 is not in 10.0.0.0/31, fd00::/127',
      'metallb/six: ADDRESS_OUTSIDE address 10.9.9.9 is not in fd01::/127; address fd09::9 is not in fd01::/127',
    ]);
  });

  it('names the holder and the rule for an address asked for', () => {
    const services = [
      asking('x/y', {}, { ingress: ['10.0.0.1'] }),
      asking('a/s1', { 'metallb.io/loadBalancerIPs': '10.0.0.1', 'metallb.io/allow-shared-ip': 'web' }),
      asking('a/s2', { 'metallb.io/loadBalancerIPs': '10.0.0.1' }),
      asking('a/s3', { 'metallb.io/loadBalancerIPs': '10.0.0.2' }),
      asking('a/s4', { 'metallb.io/loadBalancerIPs': '10.0.0.3' }),
      asking('a/s5', { 'metallb.io/loadBalancerIPs': '10.9.9.9' }),
      asking('a/s6', { 'metallb.io/loadBalancerIPs': '10.0.0.1', 'metallb.io/address-pool': 'dmz' }),
      asking('a/s7', { 'metallb.io/address-pool': 'nowhere' }),
    ];
    const result = run({
      services,
      pools: [LAN, pool('dmz', ['10.1.0.0-10.1.0.9', '10.2.0.0/24', '10.3.0.1', '10.4.0.1'])],
      reservations: [reserved('10.0.0.2', 'the address of node n1')],
      quarantined: new Map([['10.0.0.3', { address: ip('10.0.0.3'), mac: '02:00:00:00:00:01' }]]),
    });
    expect(Object.fromEntries(result.pending.map(({ service: { key } }) => [key, reasonsOf(result, key)]))).toEqual({
      'a/s1': ['metallb/lan: ADDRESS_TAKEN address 10.0.0.1 used by x/y, key "web" ≠ ""'],
      'a/s2': ['metallb/lan: ADDRESS_TAKEN address 10.0.0.1 used by x/y, neither has a sharing key'],
      'a/s3': ['metallb/lan: ADDRESS_RESERVED address 10.0.0.2 is the address of node n1'],
      'a/s4': ['metallb/lan: ADDRESS_QUARANTINED address 10.0.0.3 is answered for by 02:00:00:00:00:01'],
      'a/s5': [
        'metallb/dmz: ADDRESS_OUTSIDE address 10.9.9.9 is not in 10.1.0.0-10.1.0.9, 10.2.0.0/24, 10.3.0.1, …',
        'metallb/lan: ADDRESS_OUTSIDE address 10.9.9.9 is not in 10.0.0.0/30',
      ],
      'a/s6': ['metallb/dmz: ADDRESS_OUTSIDE address 10.0.0.1 is not in 10.1.0.0-10.1.0.9, 10.2.0.0/24, 10.3.0.1, …'],
      'a/s7': [': POOL_UNKNOWN there is no pool "nowhere"; there are: dmz, lan'],
    });
  });

  it('names what keeps two Services off one address', () => {
    const web = { 'metallb.io/loadBalancerIPs': '10.0.0.1', 'metallb.io/allow-shared-ip': 'web' };
    const services = [
      asking('x/first', web, { createdAt: '2025-01-01T00:00:00Z' }),
      asking('x/key', { ...web, 'metallb.io/allow-shared-ip': 'db' }, { ports: ['tcp/1'] }),
      asking('x/port', web),
      asking('x/policy', web, { ports: ['tcp/2'], trafficPolicy: 'Local' }),
      asking('y/namespace', web, { ports: ['tcp/3'] }),
    ];
    const result = run({ services, pools: [LAN] });
    expect(result.pending.flatMap(({ service: { key } }) => reasonsOf(result, key))).toEqual([
      'metallb/lan: ADDRESS_NOT_SHAREABLE address 10.0.0.1 used by x/first, key "db" ≠ "web"',
      'metallb/lan: ADDRESS_NOT_SHAREABLE address 10.0.0.1 used by x/first, externalTrafficPolicy Local ≠ Cluster',
      'metallb/lan: ADDRESS_NOT_SHAREABLE address 10.0.0.1 used by x/first, both have port TCP/80',
      'metallb/lan: ADDRESS_NOT_SHAREABLE address 10.0.0.1 used by x/first, y/namespace does not consent to share with namespace "x"',
    ]);
  });

  it('is told of a limited number of pools, those for its namespace before the others', () => {
    const pools = [
      ...Array.from({ length: 200 }, (_, index) =>
        pool(`p${index}`, [`10.${index}.0.0/24`], { scope: { ...EVERY_SERVICE, namespaces: [`n${index}`] } }),
      ),
      pool('z', ['11.0.0.0/31']),
    ];
    const result = run({ services: many(3), pools });
    const reasons = reasonsOf(result, 'default/s2');
    expect(reasons).toHaveLength(REASONS_MAX + 1);
    expect(reasons.at(-2)).toBe('metallb/z: POOL_FULL full 2/2');
    expect(reasons.at(-1)).toMatch(/and 169 more pools refuse$/);
  });

  it('counts a pool of both families apart, and what can’t be given', () => {
    const result = run({
      services: many(3, () => ({ families: ['ipv4', 'ipv6'], familyPolicy: 'RequireDualStack' })),
      pools: [pool('lan', ['10.0.0.0/24', 'fd00::/126'])],
      reservations: [reserved('fd00::', 'the router anycast address of fd00::/64'), reserved('fd00::3', 'a gateway')],
    });
    expect(reasonsOf(result, 'default/s2')).toEqual([
      'metallb/lan: POOL_FULL IPv6 full 2/4, the other 2 reserved, quarantined or spoken for',
    ]);
  });
});

it('counts an address that is left and taken again once', () => {
  const services = [
    asking('s1', { 'metallb.io/address-pool': 'b' }, { ingress: ['10.0.0.1'] }),
    asking('s2', { 'metallb.io/loadBalancerIPs': '10.0.0.2' }, { ingress: ['10.1.0.0'] }),
    asking('s3', { 'metallb.io/address-pool': 'b' }),
  ];
  const result = run({ services, pools: [LAN, pool('b', ['10.1.0.0/32'])] });
  expect(reasonsOf(result, 'default/s3')).toEqual(['metallb/b: POOL_FULL full 1/1']);
});

describe('an address in two pools', () => {
  it('is of the pool that gave it, where that is noted: its advertisement and interface stay', () => {
    const pools = [pool('a', ['10.0.0.0/24']), pool('b', ['10.0.0.0/28'], { isClosed: true })];
    const of = (annotations: Readonly<Record<string, string>>) =>
      run({ services: [asking('s', annotations, { ingress: ['10.0.0.1'] })], pools }).allocations[0]?.pool;
    expect(of({})).toBe('metallb/a');
    expect(of({ 'holdfast.io/allocated-from-pool': 'metallb/b' })).toBe('metallb/b');
    expect(of({ 'metallb.io/ip-allocated-from-pool': 'b' })).toBe('metallb/b');
    expect(of({ 'holdfast.io/allocated-from-pool': 'metallb/gone' })).toBe('metallb/a');
  });
});

describe('what is told beside an address', () => {
  it('says what is wrong with one that is kept', () => {
    const services = [
      service({ key: 's1', ingress: ['10.9.9.9'] }),
      service({ key: 's2', ingress: ['10.0.0.1'], families: ['ipv4', 'ipv6'], familyPolicy: 'PreferDualStack' }),
      asking('s3', { 'metallb.io/loadBalancerIPs': '10.0.0.1' }, { ingress: ['10.0.0.2'] }),
    ];
    const result = run({ services, pools: [LAN] });
    expect(shortcomingsOf(result, 'default/s1')).toEqual([
      ': ADDRESS_ORPHANED address 10.9.9.9 is in no pool any more',
    ]);
    expect(shortcomingsOf(result, 'default/s2')).toEqual([
      'metallb/lan: DUAL_STACK_INCOMPLETE no IPv6 address: no IPv6 addresses',
    ]);
    expect(shortcomingsOf(result, 'default/s3')).toEqual([
      'metallb/lan: ADDRESS_TAKEN address 10.0.0.1 used by default/s2, neither has a sharing key',
    ]);
  });

  it('says who keeps an address that stood in two statuses', () => {
    const services = [
      service({ key: 'b', ingress: ['10.0.0.1'] }),
      service({ key: 'a', ingress: ['10.0.0.1'], createdAt: '2026-02-02T00:00:00Z' }),
    ];
    const result = run({ services, pools: [LAN] });
    expect(addressesOf(result)).toEqual({ 'default/b': ['10.0.0.1'], 'default/a': ['10.0.0.0'] });
    expect(shortcomingsOf(result, 'default/a')).toEqual([
      ': ADDRESS_TAKEN address 10.0.0.1 used by default/b, both have port TCP/80: it stood in both statuses, and the older Service keeps it',
    ]);
  });

  it('makes a problem of every warning, with a remedy that is filled in', () => {
    const services = [asking('s1', { 'metallb.universe.tf/address-pool': 'lan', 'kube-vip.io/egress': 'true' })];
    const { problems } = run({ services, pools: [LAN] });
    expect(problems).toMatchObject([
      {
        object: { kind: 'Service', key: 'default/s1' },
        code: 'REQUEST_DEPRECATED',
        remedy: 'Use metallb.io/address-pool in place of metallb.universe.tf/address-pool.',
      },
      { code: 'REQUEST_NOT_SUPPORTED', remedy: expect.stringContaining('Remove kube-vip.io/egress') },
    ]);
  });
});

describe('the order', () => {
  it('is creation, then key, for who gets what and for the result; what nobody has applied yet is the youngest', () => {
    const services = [
      service({ key: 'b/young', createdAt: '2026-02-01T00:00:00Z' }),
      service({ key: 'b/old', createdAt: '2026-01-01T00:00:00Z' }),
      service({ key: 'a/old', createdAt: '2026-01-01T00:00:00Z' }),
      service({ key: 'a/new', createdAt: '' }),
    ];
    expect(told(run({ services, pools: [LAN] }))).toEqual([
      'a/old: 10.0.0.0 (pool metallb/lan)',
      'b/old: 10.0.0.1 (pool metallb/lan)',
      'b/young: 10.0.0.2 (pool metallb/lan)',
      'a/new: 10.0.0.3 (pool metallb/lan)',
    ]);
  });

  it('goes through a pool from its last address when that says so', () => {
    const pools = [pool('lan', ['10.0.0.0/31', '10.0.1.0/31'], { order: 'descending' })];
    expect(Object.values(addressesOf(run({ services: many(4), pools }))).flat()).toEqual([
      '10.0.1.1',
      '10.0.1.0',
      '10.0.0.1',
      '10.0.0.0',
    ]);
  });
});

describe('many Services', () => {
  it('5,000 get and keep an address each, or share by a key, or wait', () => {
    const fresh = many(5_000);
    const pools = [pool('lan', ['10.0.0.0/16', 'fd00::/64'])];
    const first = run({ services: fresh, pools });
    expect(first.allocations.length).toBe(5_000);
    const kept = run({ services: written(fresh, first), pools });
    expect(addressesOf(kept)).toEqual(addressesOf(first));
    const full = run({ services: fresh, pools: [LAN] });
    expect([full.allocations.length, full.pending.length]).toEqual([4, 4_996]);
  });

  it('come to one address up to a number, with other ports, and then to the next', () => {
    const sharing = many(SHARERS_MAX + 10, (index) => ({
      annotations: { 'metallb.io/allow-shared-ip': 'web' },
      ports: [`tcp/${index + 1}`],
    }));
    const result = run({ services: sharing, pools: [LAN] });
    const sizes = new Map<string, number>();
    for (const text of Object.values(addressesOf(result)).flat()) sizes.set(text, (sizes.get(text) ?? 0) + 1);
    expect(Object.fromEntries(sizes)).toEqual({ '10.0.0.0': SHARERS_MAX, '10.0.0.1': 10 });
    const last = asking(
      'last',
      { 'metallb.io/allow-shared-ip': 'web', 'metallb.io/loadBalancerIPs': '10.0.0.0' },
      { ports: ['udp/1'] },
    );
    expect(reasonsOf(run({ services: [...written(sharing, result), last], pools: [LAN] }), 'default/last')[0]).toMatch(
      /used by default\/s0, and 999 more, which is the most$/,
    );
  });
});
