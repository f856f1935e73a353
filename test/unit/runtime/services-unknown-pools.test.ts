import { describe, expect, it } from 'vitest';

import type { ServiceObject } from '../../../src/services/model.ts';
import { UNKNOWN_POOLS_MAX, UnknownPools } from '../../../src/runtime/services/unknown-pools.ts';
import { metallbPool, service } from '../services/owner-facts.ts';

const lan = metallbPool('lan', ['10.0.0.1-10.0.0.9']);
const all = (): boolean => true;

function named(annotation: string, ...names: readonly string[]): readonly ServiceObject[] {
  return names.map((name, index) => service(`default/web-${index}`, { annotations: { [annotation]: name } }));
}

describe('a pool that a Service names', () => {
  it.each([
    ['holdfast.io/allocated-from-pool', 'metallb/lan', true],
    ['holdfast.io/allocated-from-pool', 'cilium/lan', true],
    ['holdfast.io/allocated-from-pool', 'svc_pools', false],
    ['holdfast.io/allocated-from-pool', '', false],
    ['metallb.io/ip-allocated-from-pool', 'lan', true],
    ['metallb.io/address-pool', ' lan ', true],
    ['metallb.universe.tf/address-pool', 'lan', true],
    ['metallb.io/address-pool', '', false],
    ['kube-vip.io/vipHost', 'metallb/lan', false],
  ])('by %s as %j is looked for: %s', (annotation, name, isLookedFor) => {
    expect(new UnknownPools().isNews(named(annotation, name), [], all)).toBe(isLookedFor);
  });

  it('is looked for once, and again when it was there in between', () => {
    const unknown = new UnknownPools();
    const look = (pools: readonly (typeof lan)[]): boolean =>
      unknown.isNews(named('metallb.io/ip-allocated-from-pool', 'lan'), pools, all);
    expect([look([]), look([]), look([])]).toEqual([true, false, false]);
    expect([look([lan]), look([lan])]).toEqual([false, false]);
    expect([look([]), look([])]).toEqual([true, false]);
  });

  it('is not looked for where its source is seen whole, nor where it is another source’s', () => {
    const services = named('holdfast.io/allocated-from-pool', 'metallb/lan');
    expect(new UnknownPools().isNews(services, [], (origin) => origin === 'cilium')).toBe(false);
    const own = { ...lan, name: 'svc_pools/lan', origin: 'environment' as const };
    expect(new UnknownPools().isNews(named('metallb.io/address-pool', 'lan'), [own], all)).toBe(false);
  });

  it('is one of some: of endlessly many the further ones are left to the clock', () => {
    const unknown = new UnknownPools();
    const look = (name: string): boolean => unknown.isNews(named('metallb.io/address-pool', name), [], all);
    const answers = Array.from({ length: UNKNOWN_POOLS_MAX + 5 }, (_, index) => look(`pool-${index}`));
    expect(answers.filter((isNews) => isNews)).toHaveLength(UNKNOWN_POOLS_MAX);
  });
});
