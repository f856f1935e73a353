import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { known, type Fact } from '../../../src/doctor/fact.ts';
import type { CustomKind } from '../../../src/doctor/facts.ts';
import { planProbes, PROBED_MAX } from '../../../src/doctor/probe-plan.ts';
import { subjectOf } from '../../../src/doctor/subject.ts';
import { ip } from '../base/values.ts';
import {
  address,
  custom,
  ENV,
  facts,
  findings,
  found,
  kernel,
  link,
  NO,
  node,
  service,
  VIP,
  type Given,
} from './facts.ts';

function pool(name: string, ...addresses: readonly string[]): JsonObject {
  return { metadata: { namespace: 'metallb-system', name }, spec: { addresses } };
}

function metallb(
  objects: Partial<Record<CustomKind, readonly JsonObject[]>>,
  env: Readonly<Record<string, string>> = {},
): Given {
  const make = (kind: CustomKind): Fact<readonly JsonObject[]> => known(objects[kind] ?? []);
  return { env: { ...ENV, svc_pools: '', ...env }, cluster: { custom: custom(make) } };
}

const ADVERTISED = { L2Advertisement: [{ metadata: { namespace: 'metallb-system', name: 'all' }, spec: {} }] };

describe('the pools', () => {
  it('POOL_MISSING: none at all', () => {
    const env = { ...ENV, svc_pools: '' };
    expect(found('POOL_MISSING', { env })[0]).toMatch(/^error/);
    expect(found('POOL_MISSING')).toEqual(['ok: there is svc_pools']);
    expect(found('POOL_MISSING', { env, cluster: { kubeVipPools: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('POOL_MISSING', { env: { ...env, svc_enable: 'false' } })[0]).toMatch(/^ok: svc_enable is off/);
  });

  it('POOL_CONFLICT: two of different origin overlap', () => {
    const given = metallb(
      { IPAddressPool: [pool('lan', '192.0.2.203-192.0.2.210')], ...ADVERTISED },
      { svc_pools: ENV['svc_pools'] ?? '' },
    );
    expect(findings('POOL_CONFLICT', given)).toMatchObject([
      {
        level: 'warning',
        evidence: expect.stringMatching(/^IPAddressPool metallb-system\/lan: 192.0.2.203 .*svc_pools/) as string,
      },
    ]);
    expect(found('POOL_CONFLICT')).toEqual(['ok: no two pools overlap (1 pools)']);
    expect(found('POOL_CONFLICT', { cluster: { kubeVipPools: NO } })).toEqual(['unknown: nobody looked']);
  });

  it('POOL_RESERVED: a node, the gateway, the broadcast address, the virtual IP, the Pod network', () => {
    const env = { ...ENV, svc_pools: `192.0.2.2,${VIP},192.0.2.254-192.0.2.255,10.244.3.0/24` };
    const texts = found('POOL_RESERVED', { env });
    expect(texts.map((text) => / is (.*): it is not given$/.exec(text)?.[1])).toEqual([
      'the address of node n2',
      "the control plane's virtual IP",
      'a gateway',
      'the broadcast address of 192.0.2.0/24',
      'in a CIDR of the cluster itself',
    ]);
    expect(found('POOL_RESERVED')[0]).toMatch(/^ok/);
    expect(found('POOL_RESERVED', { cluster: { nodes: NO } })).toEqual(['unknown: nobody looked']);
  });

  it('POOL_INVALID: what cannot be read, under its own code', () => {
    const env = { ...ENV, svc_pools: '192.0.2.300' };
    expect(findings('POOL_INVALID', { env }).map(({ level, code }) => `${level} ${code}`)).toEqual([
      'warning POOL_INVALID',
    ]);
    const given = metallb({
      IPAddressPool: [pool('lan', '192.0.2.200/30')],
      L2Advertisement: [{ metadata: { namespace: 'metallb-system', name: 'x' }, spec: { ipAddressPools: ['nope'] } }],
    });
    expect(findings('POOL_INVALID', given).map(({ code }) => code)).toEqual(['POOL_UNKNOWN']);
  });

  it('NO_ADVERTISEMENT: a pool of MetalLB that nothing selects', () => {
    const dark = metallb({ IPAddressPool: [pool('lan', '192.0.2.200/30')] });
    expect(found('NO_ADVERTISEMENT', dark)).toEqual([
      'error: no advertisement selects IPAddressPool metallb-system/lan: its addresses are given and never answered for',
    ]);
    expect(
      found('NO_ADVERTISEMENT', metallb({ IPAddressPool: [pool('lan', '192.0.2.200/30')], ...ADVERTISED }))[0],
    ).toMatch(/^ok/);
    expect(found('NO_ADVERTISEMENT', { cluster: { custom: custom(() => NO) } })).toEqual(['unknown: nobody looked']);
  });

  it('POOL_OUTSIDE_SUBNETS: told with the part that is outside, and the subnets there are', () => {
    const env = { ...ENV, svc_pools: '192.0.2.250-192.0.3.5' };
    expect(found('POOL_OUTSIDE_SUBNETS', { env })).toEqual([
      'warning: 192.0.3.0-192.0.3.5 of the pool svc_pools is in no subnet of this node (192.0.2.0/24)',
    ]);
    expect(found('POOL_OUTSIDE_SUBNETS')).toEqual(['ok: every pool is in a subnet of this node (192.0.2.0/24)']);
    expect(found('POOL_OUTSIDE_SUBNETS', { machine: { kernel: NO } })).toEqual(['unknown: nobody looked']);
  });

  it('POOL_OUTSIDE_SUBNETS: not known where other nodes live elsewhere, and no matter for BGP', () => {
    const env = { ...ENV, svc_pools: '198.51.100.0/28' };
    const nodes = known([node('n1', ['192.0.2.1']), node('n2', ['198.51.100.1'])]);
    expect(findings('POOL_OUTSIDE_SUBNETS', { env, cluster: { nodes } })).toMatchObject([
      { level: 'unknown', remedy: 'Run this on them.' },
    ]);
    const bgp = metallb({
      IPAddressPool: [pool('routed', '198.51.100.0/28')],
      BGPAdvertisement: [{ metadata: { namespace: 'metallb-system', name: 'all' }, spec: {} }],
    });
    expect(found('POOL_OUTSIDE_SUBNETS', bgp)[0]).toMatch(/^ok/);
  });
});

describe('ADDRESS_QUARANTINED', () => {
  const answer = (text: string): Given => ({
    facts: {
      probe: known({
        asked: [ip(text)],
        answers: [{ ip: ip(text), mac: '02:00:00:00:00:99', interfaceName: 'eth0' }],
        failures: [],
      }),
    },
  });

  it('names the machine that answers, the address and the pool', () => {
    expect(findings('ADDRESS_QUARANTINED', answer('192.0.2.201'))).toMatchObject([
      {
        code: 'ADDRESS_QUARANTINED',
        level: 'error',
        evidence: expect.stringMatching(
          /^02:00:00:00:00:99 answers for 192.0.2.201 on eth0, which is free in the pool svc_pools/,
        ) as string,
        remedy: expect.stringContaining('02:00:00:00:00:99') as string,
      },
    ]);
  });

  it('is an ADDRESS_CONFLICT for a virtual IP that nobody holds, and not known where that cannot be seen', () => {
    expect(findings('ADDRESS_QUARANTINED', answer(VIP))).toMatchObject([{ code: 'ADDRESS_CONFLICT', level: 'error' }]);
    expect(findings('ADDRESS_CONFLICT', answer(VIP))).toHaveLength(1);
    const unseen = { ...answer(VIP), cluster: { leases: NO } };
    expect(found('ADDRESS_QUARANTINED', unseen)[0]).toMatch(/^unknown: 02:.* the holder in this cluster or a stranger/);
  });

  it('is not found when nobody answers, and not known when nobody was asked', () => {
    expect(found('ADDRESS_QUARANTINED')[0]).toMatch(/^ok: nobody answers for 1 addresses/);
    expect(found('ADDRESS_QUARANTINED', { facts: { probe: NO } })).toEqual(['unknown: nobody looked']);
    const none = known({ asked: [], answers: [], failures: [] });
    expect(found('ADDRESS_QUARANTINED', { facts: { probe: none } })[0]).toMatch(
      /^unknown: no address could be asked for/,
    );
    const failed = known({ asked: [], answers: [], failures: ['eth0: ENETDOWN'] });
    expect(found('ADDRESS_QUARANTINED', { facts: { probe: failed } })).toEqual(['unknown: eth0: ENETDOWN']);
    expect(found('ADDRESS_QUARANTINED', { cluster: { services: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('the plan of the probes', () => {
  const asked = (given: Given = {}): readonly string[] =>
    planProbes(subjectOf(facts(given))).flatMap(({ link: { name }, addresses }) =>
      addresses.map(({ text }) => `${name} ${text}`),
    );
  const stopped = { status: NO };

  it('asks for what is free in the pools: not what Services, nodes, the machine or its gateway have', () => {
    const env = { ...ENV, svc_pools: '192.0.2.1-192.0.2.3,192.0.2.200-192.0.2.202,192.0.2.254' };
    expect(asked({ env })).toEqual(['eth0 192.0.2.3', 'eth0 192.0.2.201', 'eth0 192.0.2.202']);
  });

  it('asks for a virtual IP only while nobody is known to hold it', () => {
    const lease = { metadata: { namespace: 'kube-system', name: 'plndr-cp-lock' }, spec: { holderIdentity: 'n2' } };
    expect(asked({ facts: stopped })).toContain(`eth0 ${VIP}`);
    expect(asked({ facts: stopped, cluster: { leases: known([lease]) } })).not.toContain(`eth0 ${VIP}`);
    expect(asked()).not.toContain(`eth0 ${VIP}`);
  });

  it('asks through the interface whose subnet holds the address, the narrowest, if it is up', () => {
    const links = [link('eth0'), link('eth1', { index: 3 }), link('eth2', { index: 4, hasCarrier: false })];
    const addresses = [address('192.0.2.1/24'), address('192.0.2.199/28', 3), address('198.51.100.1/24', 4)];
    const env = { ...ENV, svc_pools: '192.0.2.100,192.0.2.201,198.51.100.7' };
    expect(asked({ env, machine: { kernel: kernel({ links, addresses }) } })).toEqual([
      'eth0 192.0.2.100',
      'eth1 192.0.2.201',
    ]);
  });

  it('takes a sample of large pools, of both families: what is given next, and some of the rest', () => {
    const addresses = [address('192.0.2.1/16'), address('2001:db8::1/64')];
    const env = { ...ENV, svc_pools: '192.0.0.0/16;six=2001:db8::/64' };
    const plan = asked({ env, machine: { kernel: kernel({ addresses }) } });
    expect(plan).toHaveLength(PROBED_MAX);
    expect(new Set(plan).size).toBe(PROBED_MAX);
    expect(plan.filter((text) => text.includes(':')).length).toBeGreaterThan(40);
    // The network address is nobody's; then those that would be given next, and some of all the others.
    expect(plan.slice(0, 2)).toEqual(['eth0 192.0.0.1', 'eth0 192.0.0.2']);
    expect(new Set(plan.map((text) => text.split('.')[2])).size).toBeGreaterThan(20);
  });

  it('asks for nothing without knowing what Services have', () => {
    expect(asked({ cluster: { services: NO } })).toEqual([]);
    expect(asked({ machine: { kernel: NO } })).toEqual([]);
    expect(
      asked({
        cluster: { services: known([service('a', ['192.0.2.200', '192.0.2.201', '192.0.2.202', '192.0.2.203'])]) },
      }),
    ).toEqual([]);
  });
});
