import { afterEach, beforeEach, expect, it } from 'vitest';

import { watchNode, type NodeWish } from '../../../src/kube/node-watch.ts';
import { startEmbedded, type Embedded } from './embedded.ts';
import { until } from './scripted-api.ts';

const NODES = '/api/v1/nodes';
const closers: (() => void)[] = [];
let embedded: Embedded;

beforeEach(async () => {
  embedded = await startEmbedded();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await embedded.close();
});

function watch(node = 'n1'): (NodeWish | undefined)[] {
  const told: (NodeWish | undefined)[] = [];
  const { client, log } = embedded;
  const reflector = watchNode({ client, node, deadlineMs: 1000, log: log.log, listener: (wish) => told.push(wish) });
  closers.push(() => reflector.stop());
  return told;
}

async function makeNode(name: string): Promise<void> {
  await embedded.write('POST', NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: {} });
}

it('tells of cordon and of the out-of-service taint, and of nothing else that happens to the Node', async () => {
  await makeNode('n1');
  await makeNode('n2');
  const told = watch();
  await until(() => told.length === 1, 'the Node');
  expect(told[0]).toMatchObject({
    isDraining: false,
    reason: '',
    uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
  });
  await embedded.write('PATCH', `${NODES}/n2`, { spec: { unschedulable: true } });
  await embedded.write('PATCH', `${NODES}/n1`, { metadata: { annotations: { kubelet: 'writes' } } });
  await embedded.write('PATCH', `${NODES}/n1`, {
    spec: { taints: [{ key: 'example.org/other', effect: 'NoExecute' }] },
  });
  await embedded.write('PATCH', `${NODES}/n1`, { spec: { unschedulable: true } });
  await until(() => told.length === 2, 'the cordon');
  const taint = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' };
  await embedded.write('PATCH', `${NODES}/n1`, { spec: { unschedulable: false, taints: [taint] } });
  await until(() => told.length === 3, 'the taint');
  await embedded.write('PATCH', `${NODES}/n1`, { spec: { taints: null } });
  await until(() => told.length === 4, 'the end of it');
  expect(told.slice(1).map((wish) => [wish?.isDraining, wish?.reason])).toEqual([
    [true, 'cordoned'],
    [true, 'taint node.kubernetes.io/out-of-service'],
    [false, ''],
  ]);
  await embedded.write('DELETE', `${NODES}/n1`);
  await until(() => told.length === 5, 'the deletion');
  expect(told[4]).toBeUndefined();
});
