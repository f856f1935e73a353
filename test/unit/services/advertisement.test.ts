import { describe, expect, it } from 'vitest';

import {
  allowsInterface,
  coverageBook,
  coverageOf,
  coverageOnNode,
  type Coverage,
} from '../../../src/services/advertisement.ts';
import type { Advertisement, Allocation, Pool } from '../../../src/services/model.ts';
import { newPool } from '../../../src/services/pools/pool.ts';
import { advertisement, allocation, ip, labelled, metallbPool, nodeFacts, range } from './owner-facts.ts';

const lan = metallbPool('lan', ['10.0.0.1-10.0.0.99'], { labels: { zone: 'a' } });
const web = allocation('prod/web', ['10.0.0.1'], { labels: { app: 'web' } });
const dns = allocation('prod/dns', ['10.0.0.1'], { labels: { app: 'dns' } });

const cover = (
  advertisements: readonly Advertisement[],
  { pool = lan, on = [web], protocol }: { pool?: Pool; on?: readonly Allocation[]; protocol?: 'l2' | 'bgp' } = {},
): Coverage => coverageOf({ address: ip('10.0.0.1'), pool, allocations: on }, coverageBook(advertisements, protocol));

const groupsOf = (coverage: Coverage): unknown =>
  coverage.kind === 'advertised'
    ? coverage.groups.map((group) => group.map(({ name }) => name).join(' '))
    : coverage.kind === 'refused'
      ? coverage.reason.code
      : coverage.kind;

const onNode = (advertisements: readonly Advertisement[], labels = {}, on: readonly Allocation[] = [web]): unknown => {
  const coverage = cover(advertisements, { on });
  if (coverage.kind === 'refused') return coverage.reason.code;
  return coverageOnNode(coverage, nodeFacts('n1', { labels }).node);
};

describe('an advertisement covers', () => {
  it('pools by name, by label, or all when it says nothing of pools', () => {
    const rows = [
      [{}, 'metallb/ad'],
      [{ poolNames: ['lan'] }, 'metallb/ad'],
      [{ poolNames: ['metallb/lan'] }, 'NO_ADVERTISEMENT'],
      [{ poolNames: ['wan'] }, 'NO_ADVERTISEMENT'],
      [{ poolSelectors: [labelled({ zone: 'b' }), labelled({ zone: 'a' })] }, 'metallb/ad'],
      [{ poolSelectors: [labelled({ zone: 'b' })] }, 'NO_ADVERTISEMENT'],
      [{ poolNames: ['wan'], poolSelectors: [labelled({ zone: 'a' })] }, 'metallb/ad'],
    ] as const;
    for (const [given, expected] of rows) {
      const found = groupsOf(cover([advertisement('ad', given)]));
      expect(found, JSON.stringify(given)).toEqual(expected === 'NO_ADVERTISEMENT' ? expected : [expected]);
    }
  });

  it('pools of its own origin only, though another has the same name', () => {
    const cilium = newPool({ ...lan, name: 'cilium/lan', origin: 'cilium' });
    const ad = advertisement('ad', { poolNames: ['lan'] });
    expect(groupsOf(cover([ad], { pool: cilium }))).toBe('NO_ADVERTISEMENT');
    expect(groupsOf(cover([{ ...ad, origin: 'cilium', name: 'cilium/ad' }], { pool: cilium }))).toEqual(['cilium/ad']);
  });

  it('Services by label, and by the pseudo labels of Cilium', () => {
    const name = { 'io.kubernetes.service.name': 'web', 'io.kubernetes.service.namespace': 'prod' };
    expect(groupsOf(cover([advertisement('ad', { serviceSelectors: [labelled(name)] })]))).toEqual(['metallb/ad']);
    const other = labelled({ ...name, 'io.kubernetes.service.namespace': 'test' });
    expect(groupsOf(cover([advertisement('ad', { serviceSelectors: [other] })]))).toBe('NO_ADVERTISEMENT');
  });

  it('an address that several Services share when each is covered, by whichever', () => {
    const forWeb = advertisement('web', { serviceSelectors: [labelled({ app: 'web' })] });
    const forDns = advertisement('dns', { serviceSelectors: [labelled({ app: 'dns' })] });
    expect(groupsOf(cover([forWeb, forDns], { on: [web, dns] }))).toEqual(['metallb/web', 'metallb/dns']);
    expect(cover([forWeb], { on: [web, dns] })).toEqual({
      kind: 'refused',
      reason: {
        pool: 'metallb/lan',
        code: 'NO_ADVERTISEMENT',
        message:
          'no advertisement of pool metallb/lan covers Service prod/dns: L2Advertisement metallb-system/web is for other Services',
      },
    });
  });

  it('nothing on this segment when it is one of BGP', () => {
    const bgp = advertisement('ad', {
      protocol: 'bgp',
      object: { kind: 'BGPAdvertisement', key: 'metallb-system/ad' },
    });
    expect(cover([bgp])).toMatchObject({
      reason: {
        code: 'ADVERTISEMENT_NOT_L2',
        message: expect.stringContaining('BGPAdvertisement metallb-system/ad') as string,
      },
    });
    expect(groupsOf(cover([bgp], { protocol: 'bgp' }))).toEqual(['metallb/ad']);
    expect(groupsOf(cover([advertisement('ad')], { protocol: 'bgp' }))).toBe('NO_ADVERTISEMENT');
    const forOthers = advertisement('l2', { serviceSelectors: [labelled({ app: 'dns' })] });
    expect(groupsOf(cover([bgp, forOthers]))).toBe('ADVERTISEMENT_NOT_L2');
  });

  it('no pool that needs none, nor an address that no pool holds any more: they are answered everywhere', () => {
    const plain = newPool({ name: 'svc_pools', shortName: '', origin: 'environment', ranges: [range('10.0.0.1')] });
    expect(cover([], { pool: plain })).toEqual({ kind: 'everywhere' });
    const orphan = { address: ip('10.0.0.1'), pool: undefined, allocations: [web] };
    expect(coverageOf(orphan, coverageBook([]))).toEqual({ kind: 'everywhere' });
  });

  it('is one object for the same answer, whatever the order of advertisements', () => {
    const book = coverageBook([
      advertisement('b', { serviceSelectors: [labelled({ app: 'web' })] }),
      advertisement('a'),
    ]);
    const [one, two] = [web, allocation('x/y', ['10.0.0.2'], { labels: { app: 'web' } })].map((each) =>
      coverageOf({ address: ip('10.0.0.1'), pool: lan, allocations: [each] }, book),
    );
    expect(one).toBe(two);
    expect(one === undefined ? one : groupsOf(one)).toEqual(['metallb/a metallb/b']);
    const [there, back] = [
      [web, dns],
      [dns, web],
    ].map((allocations) => coverageOf({ address: ip('10.0.0.1'), pool: lan, allocations }, book));
    expect(there === undefined ? there : groupsOf(there)).toEqual(['metallb/a metallb/b', 'metallb/a']);
    expect(there).toBe(back);
  });
});

describe('on a node', () => {
  const zone = (name: string) => ({ nodeSelectors: [labelled({ zone: name })] });

  it('one of the node selectors is enough, of one advertisement or of several', () => {
    const either = advertisement('ad', { nodeSelectors: [labelled({ zone: 'x' }), labelled({ rack: '1' })] });
    expect(onNode([either], { rack: '1' })).toMatchObject({ kind: 'selected' });
    expect(onNode([advertisement('a', zone('x')), advertisement('b', zone('y'))], { zone: 'y' })).toMatchObject({
      kind: 'selected',
    });
    expect(onNode([either, advertisement('b', zone('y'))], { zone: 'z' })).toEqual({
      kind: 'refused',
      message: 'is not selected by L2Advertisement metallb-system/ad, L2Advertisement metallb-system/b',
    });
  });

  it('interfaces of the advertisements that select it are united, and one without allows all', () => {
    const eth0 = advertisement('a', { interfaceNames: ['eth0'] });
    const pattern = advertisement('b', { interfacePatterns: ['^eno[0-9]+$'] });
    const elsewhere = advertisement('c', zone('x'));
    expect(onNode([eth0, pattern, elsewhere])).toEqual({
      kind: 'selected',
      preference: 0,
      rules: [
        {
          names: ['eth0'],
          patterns: ['^eno[0-9]+$'],
          from: 'L2Advertisement metallb-system/a, L2Advertisement metallb-system/b',
        },
      ],
    });
    expect(onNode([eth0, advertisement('d')])).toMatchObject({ rules: [] });
    const rule = { names: ['eth0'], patterns: ['^eno[0-9]+$'], from: '' };
    expect(['eth0', 'eth01', 'eno12', 'xeno1'].map((name) => allowsInterface(rule, name))).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  it('weights of preferences are summed over the advertisements that select it, each once', () => {
    const prefers = (weight: number) => ({ weight, selector: labelled({ disk: 'fast' }) });
    const here = advertisement('a', {
      preferredNodes: [prefers(10), prefers(5), { ...prefers(50), selector: labelled({ disk: 'slow' }) }],
    });
    const there = advertisement('b', { ...zone('x'), preferredNodes: [prefers(100)] });
    const both = advertisement('c', { preferredNodes: [prefers(7)] });
    expect(onNode([here, there, both], { disk: 'fast' }, [web, dns])).toMatchObject({ preference: 22 });
  });

  it('of Services that share, each must be allowed there, and on the interface', () => {
    const forWeb = { serviceSelectors: [labelled({ app: 'web' })] };
    const forDns = { serviceSelectors: [labelled({ app: 'dns' })] };
    const ads = [
      advertisement('a', { ...forWeb, interfaceNames: ['eth0', 'eth1'] }),
      advertisement('b', { ...forDns, ...zone('y'), interfaceNames: ['eth1'] }),
    ];
    expect(onNode(ads, { zone: 'x' }, [web, dns])).toEqual({
      kind: 'refused',
      message: 'is not selected by L2Advertisement metallb-system/b',
    });
    expect(onNode(ads, { zone: 'y' }, [web, dns])).toMatchObject({
      kind: 'selected',
      rules: [{ names: ['eth0', 'eth1'] }, { names: ['eth1'] }],
    });
    expect(onNode(ads, { zone: 'x' }, [web])).toMatchObject({ kind: 'selected', rules: [{ names: ['eth0', 'eth1'] }] });
  });
});
