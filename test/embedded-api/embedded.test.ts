import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ApiClient } from '../lab/api-client.ts';
import { issue } from '../lab/certificates.ts';
import { refuseWrites } from './faults.ts';
import { EmbeddedApi } from './server.ts';
import { describeApi } from './suite.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

const shared = new EmbeddedApi({ freshnessWaitMs: 50, tls: { names: ['127.0.0.1'] } });
afterAll(() => shared.stop());

describeApi('embedded API over TLS', async () => {
  await shared.start();
  const { authority } = shared;
  if (authority === undefined) throw new Error('TLS without an authority');
  const client = issue(authority, { name: 'admin', groups: ['system:masters'], usage: 'client' });
  const forgetHistory = (): Promise<void> => Promise.resolve(shared.store.compact());
  return { client: new ApiClient({ server: shared.url, authority, client }), forgetHistory };
});

describe('embedded API, its own side', () => {
  const api = new EmbeddedApi({ bookmarkIntervalMs: 20, historyMax: 5 });
  const client = (): ApiClient => new ApiClient({ server: api.url });
  const create = (name: string): Promise<{ readonly status: number }> =>
    client().request('POST', LEASES, { body: { metadata: { name } } });
  beforeAll(() => api.start());
  afterAll(() => api.stop());

  test('bookmarks come when asked for', async () => {
    const watch = await client().watch(`${LEASES}?watch=1&allowWatchBookmarks=true`);
    const bookmark = await watch.find((event) => event.type === 'BOOKMARK');
    expect(bookmark.object.metadata.resourceVersion).toBe(String(api.store.version));
    watch.close();
  });

  test('a watch from before the history is told 410, and after compaction too', async () => {
    const start = api.store.version;
    for (let i = 0; i < 7; i += 1) await create(`history-${i}`);
    const old = await client().watch(`${LEASES}?watch=1&resourceVersion=${start}`);
    expect((await old.find((event) => event.type === 'ERROR')).object['code']).toBe(410);
    const recent = api.store.version - 2;
    api.store.compact();
    const compacted = await client().watch(`${LEASES}?watch=1&resourceVersion=${recent}`);
    expect((await compacted.find((event) => event.type === 'ERROR')).object['code']).toBe(410);
  });

  test('faults: refused writes, throttling, delay, a lost answer, a cut connection, no answer; then health again', async () => {
    api.faults.set([refuseWrites()]);
    expect((await create('refused')).status).toBe(500);
    expect((await client().request('GET', LEASES)).status).toBe(200);

    api.faults.set([{ action: { kind: 'status', code: 429, retryAfterSeconds: 1 }, count: 1 }]);
    const throttled = await client().request('GET', LEASES);
    expect(throttled).toMatchObject({
      status: 429,
      headers: { 'retry-after': '1' },
      body: { reason: 'TooManyRequests' },
    });
    expect((await client().request('GET', LEASES)).status).toBe(200);

    api.faults.set([{ action: { kind: 'delay', ms: 60 } }]);
    const started = performance.now();
    await client().request('GET', LEASES);
    expect(performance.now() - started).toBeGreaterThanOrEqual(58);

    api.faults.set([{ methods: ['POST'], action: { kind: 'lose' } }]);
    await expect(create('lost')).rejects.toThrow();
    expect((await client().request('GET', `${LEASES}/lost`)).status).toBe(200);

    api.faults.set([{ path: '/leases', action: { kind: 'reset' } }]);
    await expect(client().request('GET', LEASES)).rejects.toThrow();
    expect((await client().request('GET', '/api/v1/nodes')).status).toBe(200);

    api.faults.set([{ action: { kind: 'hang' } }]);
    await expect(client().request('GET', LEASES, { deadlineMs: 50 })).rejects.toThrow();
    api.faults.set([]);
    expect((await client().request('GET', LEASES)).status).toBe(200);
  });

  test('stop cuts watches and connections; started again, what was stored is there at the same port', async () => {
    await create('survivor');
    const watch = await client().watch(`${LEASES}?watch=1`);
    const { port } = api;
    await api.stop();
    await watch.ended;
    await expect(client().request('GET', LEASES)).rejects.toThrow();
    await api.start();
    expect(api.port).toBe(port);
    expect((await client().request('GET', `${LEASES}/survivor`)).status).toBe(200);
  });

  test('with TLS nobody unknown gets in', async () => {
    const { authority } = shared;
    expect((await new ApiClient({ server: shared.url, authority }).request('GET', LEASES)).status).toBe(401);
    await expect(new ApiClient({ server: shared.url }).request('GET', LEASES)).rejects.toThrow(/self.signed|issuer/);
  });
});
