import { describe, expect, it } from 'vitest';
import type { FamilyPolicy, Labels, Pool, ServiceObject } from '../../../../src/services/model.ts';
import type { Family } from '../../../../src/base/ip.ts';
import { EVERY_SERVICE } from '../../../../src/services/model.ts';
import { readKubeVipPools } from '../../../../src/services/pools/kube-vip.ts';
import cilium from '../../../vectors/ipam/cilium.json' with { type: 'json' };
import holdfast from '../../../vectors/ipam/holdfast.json' with { type: 'json' };
import kubeVip from '../../../vectors/ipam/kube-vip.json' with { type: 'json' };
import metallb from '../../../vectors/ipam/metallb.json' with { type: 'json' };
import { pool, reserved, run, service, written, type ServiceText } from './cluster.ts';

interface VectorPool extends Partial<Omit<Pool, 'ranges' | 'scope'>> {
  readonly name: string;
  readonly ranges: readonly string[];
  readonly scope?: Partial<Pool['scope']>;
}

interface VectorService extends ServiceText {
  readonly asks?: string;
  readonly pool?: string;
  readonly shares?: string;
  readonly ciliumShares?: string;
  readonly consents?: string;
  readonly permits?: string;
}

/** Addresses, or one code or several why there are none. */
type Expected = Readonly<Record<string, string | readonly string[]>>;

interface Step {
  readonly put?: readonly VectorService[];
  readonly delete?: readonly string[];
  readonly pools?: readonly VectorPool[];
  readonly reserved?: Readonly<Record<string, string>>;
  readonly quarantined?: Readonly<Record<string, string>>;
  readonly expect: Expected;
  readonly from?: Readonly<Record<string, string>>;
  readonly shortcomings?: Readonly<Record<string, readonly string[]>>;
}

interface Case {
  readonly case: string;
  readonly says: string;
  readonly pools: readonly VectorPool[];
  readonly steps: readonly Step[];
}

const files = { metallb, cilium, holdfast } as unknown as Record<string, { source: string; cases: readonly Case[] }>;

const ANNOTATIONS = {
  asks: 'metallb.io/loadBalancerIPs',
  pool: 'metallb.io/address-pool',
  shares: 'metallb.io/allow-shared-ip',
  ciliumShares: 'lbipam.cilium.io/sharing-key',
  consents: 'lbipam.cilium.io/sharing-cross-namespace',
  permits: 'lbipam.cilium.io/sharing-permit-different-pods',
} as const;

function serviceOf(text: VectorService): ServiceObject {
  const annotations: Record<string, string> = { ...text.annotations };
  for (const [word, name] of Object.entries(ANNOTATIONS)) {
    const value = text[word as keyof typeof ANNOTATIONS];
    if (value !== undefined) annotations[name] = value;
  }
  return service({ ...text, annotations });
}

function poolOf({ name, ranges, scope, ...given }: VectorPool): Pool {
  const origin = given.origin ?? 'metallb';
  const parts = scope === undefined ? {} : { scope: { ...EVERY_SERVICE, ...scope } };
  return pool(name, ranges, { ...given, origin, name: `${origin}/${name}`, ...parts });
}

function keyOf(name: string): string {
  return name.includes('/') ? name : `default/${name}`;
}

function keyed<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [keyOf(name), value]));
}

function checkStep(step: Step, cluster: Cluster): Cluster {
  const services = new Map(cluster.services);
  for (const key of step.delete ?? []) services.delete(keyOf(key));
  for (const text of step.put ?? []) {
    const next = serviceOf(text);
    const former = services.get(next.key);
    services.set(
      next.key,
      former === undefined || text.ingress !== undefined ? next : { ...next, ingress: former.ingress },
    );
  }
  const pools = step.pools?.map(poolOf) ?? cluster.pools;
  const all = [...services.values()];
  const result = run({
    services: all,
    pools,
    reservations: Object.entries(step.reserved ?? {}).map(([text, reason]) => reserved(text, reason)),
    quarantined: new Map(
      Object.entries(step.quarantined ?? {}).map(([text, mac]) => [
        text,
        { address: reserved(text, '').range.first, mac },
      ]),
    ),
  });
  const outcome: Record<string, string | readonly string[]> = {};
  const shortcomings: Record<string, readonly string[]> = {};
  const from: Record<string, string> = {};
  for (const each of result.allocations) {
    outcome[each.service.key] = each.addresses.map(({ text }) => text);
    from[each.service.key] = each.from;
    if (each.shortcomings.length > 0) shortcomings[each.service.key] = each.shortcomings.map(({ code }) => code);
  }
  for (const {
    service: { key },
    reasons,
  } of result.pending) {
    const codes = reasons.map(({ code }) => code);
    outcome[key] = codes.length === 1 ? (codes[0] ?? '') : codes;
  }
  expect(outcome).toEqual(keyed(step.expect));
  expect(shortcomings).toEqual(keyed(step.shortcomings ?? {}));
  expect(from).toMatchObject(keyed(step.from ?? {}));
  return { services: new Map(written(all, result).map((each) => [each.key, each])), pools };
}

interface Cluster {
  readonly services: ReadonlyMap<string, ServiceObject>;
  readonly pools: readonly Pool[];
}

let ran = 0;

describe.each(Object.entries(files))('the cases of %s', (_, { cases }) => {
  it.each(cases.map((each) => ({ name: `${each.case}: ${each.says}`, each })))('$name', ({ each }) => {
    let cluster: Cluster = { services: new Map(), pools: each.pools.map(poolOf) };
    for (const step of each.steps) cluster = checkStep(step, cluster);
    ran += 1;
  });
});

interface KubeVipCase {
  readonly case: string;
  readonly data: Labels;
  readonly namespace?: string;
  readonly families?: readonly Family[];
  readonly policy?: FamilyPolicy;
  readonly asks?: string;
  readonly used: readonly string[];
  readonly expect: string | readonly string[];
  /** The same with search-order: desc. */
  readonly desc?: string | readonly string[];
}

describe('the cases of kube-vip', () => {
  const cases = kubeVip.cases as unknown as readonly KubeVipCase[];
  const outcome = (vector: KubeVipCase, data: Labels): string | readonly string[] => {
    const others = vector.used.map((address, index) =>
      service({
        key: `other/s${index}`,
        ingress: [address],
        ports: ['tcp/8443'],
        families: [address.includes(':') ? 'ipv6' : 'ipv4'],
      }),
    );
    const asked = service({
      key: `${vector.namespace ?? 'default'}/asked`,
      families: vector.families ?? ['ipv4'],
      familyPolicy: vector.policy,
      annotations: vector.asks === undefined ? {} : { 'kube-vip.io/loadbalancerIPs': vector.asks },
    });
    const { pools } = readKubeVipPools({ key: 'kube-system/kubevip', data });
    const result = run({ services: [...others, asked], pools });
    const served = result.allocations.find(({ service: { key } }) => key === asked.key);
    if (served !== undefined) return served.addresses.map(({ text }) => text);
    const codes = (result.pending[0]?.reasons ?? []).map(({ code }) => code);
    return codes.length === 1 ? (codes[0] ?? '') : codes;
  };

  it.each(cases)('$case', (vector) => {
    expect(outcome(vector, vector.data)).toEqual(vector.expect);
    if (vector.desc !== undefined) {
      expect(outcome(vector, { ...vector.data, 'search-order': 'desc' })).toEqual(vector.desc);
    }
    ran += 1;
  });
});

it('ran every vector', () => {
  const sizes = Object.fromEntries(Object.entries(files).map(([name, { cases }]) => [name, cases.length]));
  expect(sizes).toEqual({ metallb: 18, cilium: 6, holdfast: 23 });
  expect(kubeVip.cases.length).toBe(38);
  expect(ran).toBe(18 + 6 + 23 + 38);
});
