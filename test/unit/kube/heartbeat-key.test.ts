import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { decodeKeys, findClusterUid, followHeartbeatKey, HEARTBEAT_SECRET } from '../../../src/kube/heartbeat-key.ts';
import { startEmbedded, type Embedded } from './embedded.ts';
import { until } from './scripted-api.ts';

const SECRETS = '/api/v1/namespaces/kube-system/secrets';
const SECRET = `${SECRETS}/${HEARTBEAT_SECRET}`;
const closers: (() => void)[] = [];
let embedded: Embedded;

beforeEach(async () => {
  embedded = await startEmbedded();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await embedded.close();
});

function base64(octet: number, length = 32): string {
  return Buffer.alloc(length, octet).toString('base64');
}

function secret(data: Readonly<Record<string, string>>): object {
  const metadata = { name: HEARTBEAT_SECRET, namespace: 'kube-system' };
  return { apiVersion: 'v1', kind: 'Secret', metadata, data };
}

/** Follows the key; what was told, each as the first octets of the keys. */
function follow(forbiddenPauseMs = 100): (readonly number[])[] {
  const told: (readonly number[])[] = [];
  const { client, log } = embedded;
  const options = { client, namespace: 'kube-system', deadlineMs: 1000, log: log.log, forbiddenPauseMs };
  const following = followHeartbeatKey({
    ...options,
    onKeys: (keys) => told.push(keys.map((key) => key[0] ?? -1)),
  });
  closers.push(() => following.stop());
  return told;
}

describe('the key of the heartbeats', () => {
  it('is made of 32 random octets when there is none, once for all who look', async () => {
    const all = [follow(), follow(), follow()];
    await until(() => all.every((told) => told.length > 0), 'everybody has the key');
    const stored = await embedded.read(SECRET);
    const [key] = decodeKeys(stored ?? {});
    expect(key?.length).toBe(32);
    expect(new Set(key).size).toBeGreaterThan(10);
    for (const told of all) expect(told[0]).toEqual([key?.[0]]);
    expect(stored).toMatchObject({
      type: 'Opaque',
      metadata: { labels: { 'app.kubernetes.io/managed-by': 'holdfast' } },
    });
    expect(embedded.log.msgs().filter((msg) => msg === 'heartbeat key created')).toHaveLength(1);
  });

  it('is followed when it changes, with the one before it', async () => {
    await embedded.write('POST', SECRETS, secret({ key: base64(1) }));
    const told = follow();
    await until(() => told.length > 0, 'the key');
    await embedded.write('PUT', SECRET, secret({ key: base64(2), previous: base64(1) }));
    await until(() => told.at(-1)?.length === 2, 'both keys');
    await embedded.write('PUT', SECRET, secret({ key: base64(2) }));
    await until(() => told.at(-1)?.length === 1, 'the new key alone');
    expect(told[0]).toEqual([1]);
    expect(told.slice(-2)).toEqual([[2, 1], [2]]);
  });

  it('is made anew when somebody deletes it', async () => {
    await embedded.write('POST', SECRETS, secret({ key: base64(1) }));
    const told = follow();
    await until(() => told.length > 0, 'the key');
    await embedded.write('DELETE', SECRET);
    await until(() => embedded.log.msgs().includes('heartbeat key created'), 'a new key');
    await until(() => told.at(-1)?.[0] !== 1, 'the new key is told');
  });

  it('is read when the answer to making it was lost', async () => {
    embedded.api.faults.set([{ methods: ['POST'], path: '/secrets', action: { kind: 'lose' }, count: 1 }]);
    const told = follow();
    await until(() => told.length > 0, 'the key');
    expect(decodeKeys((await embedded.read(SECRET)) ?? {})[0]?.[0]).toBe(told[0]?.[0]);
  });

  it('is waited for by who may not read it, who says so once and with a remedy', async () => {
    embedded.api.faults.set([{ path: '/secrets', action: { kind: 'status', code: 403 } }]);
    const told = follow();
    const requests = (): number => embedded.api.requests.get('GET secrets') ?? 0;
    await until(() => requests() >= 3, 'three attempts');
    const lines = embedded.log.lines.filter((line) => line.level === 'warn');
    expect(lines).toMatchObject([
      {
        msg: 'heartbeats are off until this is allowed, the lease decides alone',
        fields: { code: 'API_FORBIDDEN', remedy: expect.stringContaining('get secrets in kube-system') as string },
      },
    ]);
    embedded.api.faults.set([]);
    await until(() => told.length > 0, 'the key');
  });

  it('is asked for again soon after one refusal: an API server that has just started refuses everybody', async () => {
    embedded.api.faults.set([{ path: '/secrets', action: { kind: 'status', code: 403 }, count: 1 }]);
    const told = follow(30_000);
    await until(() => told.length > 0, 'the key, long before the longest pause');
  });

  it('is left alone when it is no key, and taken when it is mended', async () => {
    await embedded.write('POST', SECRETS, secret({ key: base64(1, 8) }));
    const told = follow();
    await until(() => embedded.log.msgs().includes('the heartbeat key cannot be used'), 'an error');
    expect(told).toEqual([]);
    await embedded.write('PUT', SECRET, secret({ key: base64(3) }));
    await until(() => told.length > 0, 'the key');
    expect(told[0]).toEqual([3]);
  });

  it.each([
    [{}, 0],
    [{ data: { key: '' } }, 0],
    [{ data: { key: 'not base64!' } }, 0],
    [{ data: { key: base64(1, 15) } }, 0],
    [{ data: { key: base64(1, 16) } }, 1],
    [{ data: { key: base64(1, 257) } }, 0],
    [{ data: { key: 7 } }, 0],
    [{ data: { key: base64(1), previous: 'x' } }, 1],
    [{ data: { previous: base64(1) } }, 0],
  ])('of %j are %i usable', (object, count) => {
    expect(decodeKeys(object)).toHaveLength(count);
  });
});

describe("the cluster's identity", () => {
  function find(): string[] {
    const uids: string[] = [];
    const { client, log } = embedded;
    const options = { client, namespace: 'infra', deadlineMs: 500, log: log.log, forbiddenPauseMs: 100 };
    const finding = findClusterUid({ ...options, onUid: (uid) => uids.push(uid) });
    closers.push(() => finding.stop());
    return uids;
  }

  async function makeNamespaces(): Promise<readonly (string | undefined)[]> {
    const uids: (string | undefined)[] = [];
    for (const name of ['kube-system', 'infra']) {
      if ((await embedded.read(`/api/v1/namespaces/${name}`)) === undefined) {
        await embedded.write('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      }
      const stored = await embedded.read(`/api/v1/namespaces/${name}`);
      uids.push((stored?.['metadata'] as { uid?: string } | undefined)?.uid);
    }
    return uids;
  }

  it('is the uid of kube-system', async () => {
    const [system] = await makeNamespaces();
    const uids = find();
    await until(() => uids.length > 0, 'the uid');
    expect(uids).toEqual([system]);
    expect(system).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("is the uid of the Lease's namespace for who may not read kube-system", async () => {
    const [, infra] = await makeNamespaces();
    embedded.api.faults.set([{ path: '/namespaces/kube-system', action: { kind: 'status', code: 403 } }]);
    const uids = find();
    await until(() => uids.length > 0, 'the uid');
    expect(uids).toEqual([infra]);
  });

  it('is never the other one because the API was away', async () => {
    const [system] = await makeNamespaces();
    embedded.api.faults.set([{ path: '/namespaces/kube-system', action: { kind: 'status', code: 500 }, count: 3 }]);
    const uids = find();
    await until(() => uids.length > 0, 'the uid');
    expect(uids).toEqual([system]);
  });
});
