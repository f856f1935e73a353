/**
 * Which Services are ours by spec.loadBalancerClass, as kube-vip has it: its default class and none at all (legacy), none
 * but a named one (strict), the empty name, lb_class_only. What isn't ours is left without a word.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ServicesCluster } from './services-cluster.ts';

const DEFAULT_CLASS = 'kube-vip.io/kube-vip-class';
/** Of the Services that are made: the class of each, undefined: none. */
const CLASSES = { 'web-none': undefined, 'web-own': DEFAULT_CLASS, 'web-other': 'example.com/other' } as const;

let services: ServicesCluster;

beforeAll(async () => {
  services = await ServicesCluster.create({ prefix: 'hf-l', nodes: 1 });
}, 60_000);

afterAll(() => services?.close());

/** Starts anew with this and no Service, makes one of each class, and answers which of them are served in the end. */
async function servedWith(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  services.configure({
    lb_class_name: DEFAULT_CLASS,
    lb_class_only: 'false',
    lb_class_legacy_handling: 'true',
    ...env,
  });
  await services.startAll();
  for (const [name, loadBalancerClass] of Object.entries(CLASSES)) {
    await services.create({ name, spec: loadBalancerClass === undefined ? {} : { loadBalancerClass } });
  }
  // A Service that anybody serves, so that it is known when the others have been looked at.
  const own = env['lb_class_name'] ?? DEFAULT_CLASS;
  await services.create({ name: 'web-last', spec: own === '' ? {} : { loadBalancerClass: own } });
  const served = async (): Promise<readonly string[]> =>
    (await services.services()).flatMap(({ name, addresses }) => (addresses.length === 0 ? [] : [name]));
  await expect.poll(served, { timeout: 20_000 }).toContain('web-last');
  const names = (await served()).filter((name) => name !== 'web-last').toSorted();
  for (const { name, addresses, conditions, annotations } of await services.services()) {
    // What isn't ours isn't spoken of either.
    if (addresses.length > 0) continue;
    expect([name, [...conditions.keys()], Object.keys(annotations)]).toEqual([name, [], []]);
  }
  await services.cluster.stopManagers();
  for (const name of [...Object.keys(CLASSES), 'web-last']) await services.deleteService(name);
  return names;
}

describe('spec.loadBalancerClass', () => {
  it('as it is by default: those without one, and those of the class of kube-vip', async () => {
    expect(await servedWith({})).toEqual(['web-none', 'web-own']);
  }, 60_000);

  it('lb_class_only: those of the class alone', async () => {
    expect(await servedWith({ lb_class_only: 'true' })).toEqual(['web-own']);
  }, 60_000);

  it('another lb_class_name: those of that class, and those without one', async () => {
    expect(await servedWith({ lb_class_name: 'example.com/other' })).toEqual(['web-none', 'web-other']);
  }, 60_000);

  it('strict (lb_class_legacy_handling=false): exactly the class, and with the empty name those without one', async () => {
    expect(await servedWith({ lb_class_legacy_handling: 'false' })).toEqual(['web-own']);
    expect(await servedWith({ lb_class_legacy_handling: 'false', lb_class_name: '' })).toEqual(['web-none']);
  }, 90_000);
});
