import { beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import type { CustomKind } from '../../../src/kube/object-watch.ts';
import {
  ALL_KINDS,
  OBJECT_DECODERS,
  ObjectBook,
  uidOf,
  type BookedObjects,
  type WatchedObjects,
} from '../../../src/runtime/services/object-book.ts';
import { NO_POOLS } from '../../../src/services/pools/assemble.ts';
import { SETTLING_MS } from '../../../src/services/pools/settling.ts';

function raw(name: string, uid: string): JsonObject {
  return { metadata: { name, namespace: 'shop', uid }, spec: { type: 'LoadBalancer' } };
}

const watched: WatchedObjects = {
  services: new Map([['shop/web', OBJECT_DECODERS.service(raw('web', 'uid-of-web'))]]),
  nodes: new Map(),
  namespaces: new Map(),
  endpointSlices: new Map(),
  configMap: OBJECT_DECODERS.configMap(raw('kubevip', 'uid-of-kubevip')),
  custom: (kind) => new Map(kind === 'IPAddressPool' ? [['shop/lan', raw('lan', 'uid-of-lan')]] : []),
  isListed: () => true,
  isSynced: true,
  isCurrent: true,
  expectKinds: () => undefined,
};

test.each([
  ['Service', 'shop/web', 'uid-of-web'],
  ['Service', 'shop/gone', undefined],
  ['ConfigMap', 'shop/kubevip', 'uid-of-kubevip'],
  ['ConfigMap', 'shop/other', undefined],
  ['IPAddressPool', 'shop/lan', 'uid-of-lan'],
  ['IPAddressPool', 'shop/gone', undefined],
  ['L2Advertisement', 'shop/lan', undefined],
  ['Node', 'n1', 'n1'],
  ['Environment', 'svc_pools', undefined],
])('an Event about %s %s is found by the uid %s', (kind, key, uid) => {
  expect(uidOf(watched, { kind, key })).toBe(uid);
});

describe('definitions that are installed while it runs', () => {
  const custom = new Map<CustomKind, Map<string, JsonObject>>();
  const services = new Map<string, ReturnType<typeof OBJECT_DECODERS.service>>();
  let expected: number;
  let book: ObjectBook;
  const watch: WatchedObjects = {
    ...watched,
    services,
    configMap: undefined,
    custom: (kind) => custom.get(kind) ?? new Map(),
    isListed: (kind) => custom.has(kind),
    expectKinds: () => (expected += 1),
  };

  function list(kind: CustomKind, ...objects: readonly JsonObject[]): void {
    custom.set(kind, new Map(objects.map((object, index) => [`shop/${index}`, object])));
  }

  /** Pools that are settling, advertisements, and when it wants to be asked again. */
  function told({ pools, advertisements }: BookedObjects): unknown {
    const settling = pools.filter(({ isSettling }) => isSettling === true).map(({ name }) => name);
    return [settling, advertisements.map(({ name }) => name), book.wakeAt];
  }

  const pool = { metadata: { name: 'lan', namespace: 'shop' }, spec: { addresses: ['10.0.0.1/32'] } };
  const advertisement = { metadata: { name: 'ad', namespace: 'shop' }, spec: {} };

  beforeEach(() => {
    custom.clear();
    services.clear();
    expected = 0;
    book = new ObjectBook(NO_POOLS);
  });

  test('one before the other: a pool is settling until its advertisements can be seen, and a little longer', () => {
    book.update(watch, ALL_KINDS, 0);
    list('IPAddressPool', pool);
    expect(told(book.update(watch, new Set(['IPAddressPool']), 100))).toEqual([['metallb/lan'], [], undefined]);
    list('L2Advertisement');
    const end = 9_000 + SETTLING_MS;
    expect(told(book.update(watch, new Set(['L2Advertisement']), 9_000))).toEqual([['metallb/lan'], [], end]);
    expect(told(book.update(watch, new Set(['Service']), end - 1))).toEqual([['metallb/lan'], [], end]);
    expect(told(book.update(watch, new Set(), end))).toEqual([[], [], undefined]);
  });

  test('half of them seen at the start decide nothing', () => {
    list('IPAddressPool', pool);
    expect(told(book.update({ ...watch, isSynced: false }, ALL_KINDS, 0))).toEqual([[], [], undefined]);
    expect(told(book.update(watch, new Set(), 0))).toEqual([['metallb/lan'], [], undefined]);
  });

  test('and all else that is seen while the rest is taken in, in steps, is not taken for whole', () => {
    const web = OBJECT_DECODERS.service(raw('web', 'uid-of-web'));
    services.set('shop/web', web);
    const late = { ...watch, isSynced: false, isCurrent: false };
    const steps = book.updateInSteps(late, ALL_KINDS, 0);
    expect(steps.next().done).toBe(false);
    Object.assign(late, { isSynced: true, isCurrent: true });
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    expect(step.value).toMatchObject({ isSynced: false, isCurrent: false, services: [{ name: 'web' }] });
    expect(book.update(late, new Set(), 0)).toMatchObject({ isSynced: true, isCurrent: true });
  });

  test('of a kind that has just been seen, and is told a little later, are in as soon as everything counts as seen', () => {
    expect(book.update({ ...watch, isSynced: false, isCurrent: false }, ALL_KINDS, 0).services).toEqual([]);
    services.set('shop/web', OBJECT_DECODERS.service(raw('web', 'uid-of-web')));
    expect(book.update({ ...watch, isCurrent: false }, new Set(), 0).services).toMatchObject([{ name: 'web' }]);
    services.set('shop/late', OBJECT_DECODERS.service(raw('late', 'uid-of-late')));
    expect(book.update(watch, new Set(), 0).services).toHaveLength(2);
  });

  test('are all there is when they are there at the start', () => {
    list('IPAddressPool', pool);
    list('L2Advertisement');
    expect(told(book.update(watch, ALL_KINDS, 0))).toEqual([[], [], undefined]);
  });

  test('are looked for where a Service names a pool of theirs, once, and not before everything is seen', () => {
    const annotations = { 'metallb.io/ip-allocated-from-pool': 'lan' };
    const web = raw('web', 'uid-of-web');
    services.set(
      'shop/web',
      OBJECT_DECODERS.service({ ...web, metadata: { name: 'web', namespace: 'shop', annotations } }),
    );
    book.update({ ...watch, isSynced: false }, ALL_KINDS, 0);
    expect(expected).toBe(0);
    book.update(watch, ALL_KINDS, 0);
    book.update(watch, ALL_KINDS, 0);
    expect(expected).toBe(1);
  });

  test('and taken away and brought again replace an advertisement without a gap', () => {
    list('IPAddressPool', pool);
    list('L2Advertisement', advertisement);
    expect(told(book.update(watch, ALL_KINDS, 0))).toEqual([[], ['ad'], undefined]);
    list('L2Advertisement');
    expect(told(book.update(watch, new Set(['L2Advertisement']), 10))).toEqual([[], ['ad'], 10 + SETTLING_MS]);
    list('L2Advertisement', advertisement);
    expect(told(book.update(watch, new Set(['L2Advertisement']), 20))).toEqual([[], ['ad'], undefined]);
  });
});
