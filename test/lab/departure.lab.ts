/**
 * Leaving in order, with the real program on three nodes and a real API server on each: `holdfast drain` and who may order
 * it, a cordoned Node, and an API server that dies under its holder. What a client sees is counted with a 2 ms prober.
 */

import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import { Cluster, holdfastProgram } from './cluster.ts';
import type { LabNode } from './lab.ts';
import { NETNS_FOLDER } from './namespace.ts';
import { waitFor } from './process.ts';

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.create({ api: 'real', prefix: 'hf-i', env: { log_format: 'json' } });
  const { name } = cluster.lab.nodes[0] ?? { name: '' };
  for (const node of cluster.lab.nodes) {
    const body = { apiVersion: 'v1', kind: 'Node', metadata: { name: node.name } };
    const answer = await cluster.realApi().client(name).request('POST', '/api/v1/nodes', { body });
    expect(answer.status).toBe(201);
  }
  for (const node of cluster.lab.nodes) await cluster.startCandidate(node);
  await cluster.settled();
  await everybodyHeard();
}, 180_000);

afterAll(() => cluster?.close());

/** Runs a command of the product in the namespace of a node. */
function holdfast(
  node: LabNode,
  args: readonly string[],
  uid = 0,
): { readonly code: number | null; readonly text: string; readonly errors: string } {
  const [command = '', ...rest] = [...holdfastProgram(), ...args];
  const as = uid === 0 ? [] : [`--setuid=${uid}`];
  const argv = [`--net=${NETNS_FOLDER}/${node.namespace}`, ...as, '--', command, ...rest];
  const { status, stdout, stderr } = spawnSync('nsenter', argv, { encoding: 'utf8' });
  return { code: status, text: stdout, errors: stderr };
}

/** Resolves when every node hears the two others. */
async function everybodyHeard(): Promise<void> {
  await waitFor(
    'everybody hears everybody',
    () =>
      cluster.lab.nodes.every((node) => {
        const { text } = holdfast(node, ['status', '--json']);
        const { peers } = JSON.parse(text) as { readonly peers: readonly { readonly isHeard: boolean }[] };
        return peers.length === 2 && peers.every((peer) => peer.isHeard);
      }),
    { deadlineMs: 60_000, everyMs: 500 },
  );
}

async function patchNode(node: LabNode, spec: object): Promise<void> {
  const path = `/api/v1/nodes/${node.name}`;
  const contentType = 'application/merge-patch+json';
  const answer = await cluster.realApi().client(node.name).request('PATCH', path, { body: { spec }, contentType });
  expect(answer.status).toBe(200);
}

/** The longest time without an answer, and the probes lost, of each VIP since a moment. */
async function outages(from: number): Promise<readonly { readonly lost: number; readonly longestMs: number }[]> {
  await cluster.reachable();
  const summaries = await Promise.all(cluster.vips.map((vip) => cluster.prober.summary(vip, from)));
  return summaries.map((summary) => ({ lost: summary.lost, longestMs: summary.longestMs }));
}

describe('holdfast drain', () => {
  it('is not for everybody', async () => {
    const holder = await cluster.settled();
    const { code, errors } = holdfast(holder, ['drain'], 65_534);
    expect([code, errors]).toEqual([1, expect.stringContaining('ORDER_REFUSED') as string]);
    expect((await cluster.settled()).name).toBe(holder.name);
  });

  it('moves the addresses, says where to, and no client notices', async () => {
    const holder = await cluster.settled();
    const from = nowMs();
    const { code, text } = holdfast(holder, ['drain']);
    expect(text).toMatch(/ holds nothing any more, after \d+ ms, .*n\d holds the addresses\.\n$/);
    expect(code).toBe(0);
    const next = await cluster.settled({ except: [holder.name] });
    const seen = await outages(from);
    console.log('drain:', text.trim(), seen);
    for (const { lost } of seen) expect(lost).toBe(0);
    // It stays away while the order stands, also when the other leaves.
    holdfast(next, ['drain']);
    await cluster.settled({ except: [holder.name, next.name] });
    for (const node of [holder, next]) expect(holdfast(node, ['drain', '--undo']).code).toBe(0);
    await everybodyHeard();
  });
});

describe('a Node that is to be emptied', () => {
  it('gives its addresses away when it is cordoned, and may have them again when it is not', async () => {
    const holder = await cluster.settled();
    const from = nowMs();
    await patchNode(holder, { unschedulable: true });
    const next = await cluster.settled({ except: [holder.name] });
    const seen = await outages(from);
    console.log('cordon:', seen);
    for (const { lost } of seen) expect(lost).toBe(0);
    await patchNode(holder, { unschedulable: false });
    await everybodyHeard();
    const third = cluster.lab.nodes.find((node) => node.name !== holder.name && node.name !== next.name);
    if (third === undefined) throw new Error('there is no third node');
    await patchNode(third, { unschedulable: true });
    await patchNode(next, { unschedulable: true });
    expect((await cluster.settled({ except: [next.name, third.name] })).name).toBe(holder.name);
    for (const node of [next, third]) await patchNode(node, { unschedulable: false });
    await everybodyHeard();
  });
});

describe('the API server of the holder', () => {
  it('when it is killed, hands the addresses to a node whose API server is well', async () => {
    const holder = await cluster.settled();
    const from = nowMs();
    cluster.realApi().processesOf(holder.name).apiServer?.kill('SIGKILL');
    const next = await cluster.settled({ except: [holder.name] });
    const tookMs = Math.round(nowMs() - from);
    await cluster.reachableByTls();
    const seen = await outages(from);
    const tls = await cluster.tlsSummaries(from);
    console.log(
      `killed: ${holder.name} to ${next.name} after ${tookMs} ms`,
      seen,
      tls.map((one) => one.longestMs),
    );
    expect(tookMs).toBeLessThan(20_000);
  });
});
