import { expect, test } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { OBJECT_DECODERS, uidOf, type WatchedObjects } from '../../../src/runtime/services/object-book.ts';

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
