import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { wall } from '../../../src/base/time.ts';
import { openApiClient } from '../../../src/kube/client.ts';
import { openLeaseApi, type LeaseApi } from '../../../src/kube/lease.ts';
import type { LeaseRecord } from '../../../src/leader/lease-record.ts';
import {
  answer,
  fixedCredentials,
  identityOf,
  memoryLog,
  startScriptedApi,
  statusObject,
  until,
  type Handler,
  type MemoryLog,
  type ScriptedApi,
} from './scripted-api.ts';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const PATH = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock';
const NOW = '2026-01-01T00:00:00.250000Z';

const RECORD: LeaseRecord = {
  holder: 'n1',
  durationMs: 5000,
  transitions: 1,
  acquireTime: '',
  renewTime: '',
  annotations: {},
  labels: {},
  resourceVersion: '',
};

interface Stored {
  metadata: Record<string, unknown>;
  spec: Record<string, unknown>;
}

/** One Lease with compare-and-swap; `intercept` answers true when it dealt with the request itself. */
interface LeaseServer {
  readonly api: ScriptedApi;
  readonly handle: Handler;
  stored: Stored | undefined;
  intercept: ((method: string, response: ServerResponse) => boolean) | undefined;
  /** Writes that are done but not answered. */
  cuts: number;
}

async function leaseServer(): Promise<LeaseServer> {
  const handle: Handler = (request, response, body) => {
    const method = request.method ?? '';
    const store = (): void => {
      const sent = JSON.parse(body) as Stored;
      const version = Number(server.stored?.metadata['resourceVersion'] ?? 0) + 1;
      server.stored = { ...sent, metadata: { ...sent.metadata, resourceVersion: String(version) } };
    };
    if (server.intercept?.(method, response) === true) return;
    if (method === 'GET') {
      if (server.stored === undefined) answer(response, 404, statusObject(404, 'NotFound'));
      else answer(response, 200, server.stored);
      return;
    }
    const isPresent = server.stored !== undefined;
    if (method === 'POST' && isPresent) answer(response, 409, statusObject(409, 'AlreadyExists'));
    else if (
      method === 'PUT' &&
      (JSON.parse(body) as Stored).metadata['resourceVersion'] !== server.stored?.metadata['resourceVersion']
    ) {
      answer(response, 409, statusObject(409, 'Conflict'));
    } else {
      store();
      server.cuts -= 1;
      if (server.cuts >= 0) response.socket?.destroy();
      else answer(response, method === 'POST' ? 201 : 200, server.stored);
    }
  };
  const api = await startScriptedApi(handle);
  const server: LeaseServer = { api, handle, stored: undefined, intercept: undefined, cuts: 0 };
  closers.push(() => api.stop());
  return server;
}

function leases(
  server: LeaseServer,
  peers: readonly string[] = [],
): { readonly leases: LeaseApi; readonly log: MemoryLog } {
  const log = memoryLog();
  const client = openApiClient({
    credentials: fixedCredentials(identityOf(server.api.url)),
    endpoints: { isControlPlane: false, port: 1, vips: [] },
    log: log.log,
  });
  client.setPeers(peers);
  closers.push(() => client.close());
  const api = openLeaseApi({
    client,
    namespace: 'kube-system',
    name: 'plndr-cp-lock',
    deadlineMs: 1000,
    log: log.log,
    wallClock: () => wall(Date.UTC(2026, 0, 1) + 250),
  });
  return { leases: api, log };
}

describe('openLeaseApi', () => {
  it('creates, reads and renews, stamping the time of sending', async () => {
    const server = await leaseServer();
    const { leases: api } = leases(server);
    expect(await api.get()).toMatchObject({ ok: false, failure: 'not-found' });
    const created = await api.create(RECORD, 'acquire');
    expect(created).toMatchObject({
      ok: true,
      lease: { holder: 'n1', acquireTime: NOW, renewTime: NOW, resourceVersion: '1' },
    });
    expect(await api.create(RECORD, 'acquire')).toMatchObject({ ok: false, failure: 'already-exists' });
    if (!created.ok) throw new Error('not created');
    const renewed = await api.update({ ...created.lease, acquireTime: '2025-12-31T00:00:00.000000Z' }, 'renew');
    expect(renewed).toMatchObject({
      ok: true,
      lease: { acquireTime: '2025-12-31T00:00:00.000000Z', renewTime: NOW, resourceVersion: '2' },
    });
    expect(await api.update(created.lease, 'renew')).toMatchObject({ ok: false, failure: 'conflict' });
    expect(server.api.seen.at(-1)).toBe(`PUT ${PATH}`);
  });

  it('lays a write over what was read, so that foreign fields survive', async () => {
    const server = await leaseServer();
    server.stored = {
      metadata: { name: 'plndr-cp-lock', resourceVersion: '7', annotations: { theirs: 'x' }, finalizers: ['f'] },
      spec: { holderIdentity: 'n2', leaseDurationSeconds: 5, preferredHolder: 'n9', strategy: 'S' },
    };
    const { leases: api } = leases(server);
    const read = await api.get();
    if (!read.ok) throw new Error(read.message);
    await api.update({ ...read.lease, holder: 'n1', annotations: { ours: 'y' } }, 'acquire');
    expect(server.stored).toMatchObject({
      metadata: { annotations: { theirs: 'x', ours: 'y' }, finalizers: ['f'] },
      spec: { holderIdentity: 'n1', preferredHolder: 'n9', strategy: 'S' },
    });
  });

  it('reads first when it never saw the version to be replaced', async () => {
    const server = await leaseServer();
    server.stored = { metadata: { resourceVersion: '7', annotations: { theirs: 'x' } }, spec: {} };
    const { leases: api } = leases(server);
    expect(await api.update({ ...RECORD, resourceVersion: '6' }, 'acquire')).toMatchObject({ failure: 'conflict' });
    expect(server.api.seen).toEqual([`GET ${PATH}`]);
    expect(await api.update({ ...RECORD, resourceVersion: '7' }, 'acquire')).toMatchObject({ ok: true });
    expect(server.stored.metadata['annotations']).toEqual({ theirs: 'x' });
  });

  it('believes no conflict with its own write, whose answer was lost with a kept connection', async () => {
    const server = await leaseServer();
    const { leases: api } = leases(server);
    const created = await api.create(RECORD, 'acquire');
    if (!created.ok) throw new Error(created.message);
    server.cuts = 1;
    expect(await api.update(created.lease, 'renew')).toMatchObject({ ok: true, lease: { resourceVersion: '2' } });
    expect(server.api.seen.slice(1)).toEqual([`PUT ${PATH}`, `PUT ${PATH}`, `GET ${PATH}`]);
  });

  it('believes no conflict with its own write, repeated at another server', async () => {
    const first = await leaseServer();
    const second = await leaseServer();
    const { leases: api } = leases(first, [`127.0.0.1:${second.api.port}`]);
    first.cuts = 1;
    first.api.setHandler(
      (
        (handle) =>
        (...request) => {
          handle(...request);
          second.stored = first.stored;
        }
      )(first.handle),
    );
    expect(await api.create(RECORD, 'acquire')).toMatchObject({ ok: true, lease: { resourceVersion: '1' } });
    expect(second.api.seen).toEqual([`POST ${PATH.slice(0, PATH.lastIndexOf('/'))}`, `GET ${PATH}`]);
  });

  it("believes a conflict with somebody else's write", async () => {
    const server = await leaseServer();
    const second = await leaseServer();
    server.intercept = (method, response) => {
      if (method === 'PUT') response.socket?.destroy();
      return method === 'PUT';
    };
    const { leases: api } = leases(server, [`127.0.0.1:${second.api.port}`]);
    const created = await api.create(RECORD, 'acquire');
    if (!created.ok) throw new Error(created.message);
    second.stored = { metadata: { resourceVersion: '9' }, spec: { holderIdentity: 'n2', leaseDurationSeconds: 5 } };
    expect(await api.update(created.lease, 'renew')).toMatchObject({ ok: false, failure: 'conflict' });
  });

  it('warns once about contents it can not use', async () => {
    const server = await leaseServer();
    server.stored = { metadata: { resourceVersion: '7' }, spec: { holderIdentity: 'x', leaseDurationSeconds: 'long' } };
    const { leases: api, log } = leases(server);
    await api.get();
    expect(await api.get()).toMatchObject({ ok: true, lease: { holder: 'x', durationMs: 0 } });
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatchObject({ level: 'warn', fields: { code: 'LEASE_INVALID' } });
  });

  it('watches: each version, and undefined while there is none', async () => {
    const server = await leaseServer();
    let watch: ServerResponse | undefined;
    const { leases: api } = leases(server);
    server.api.setHandler((request, response) => {
      if (request.url?.includes('watch=1') !== true) {
        answer(response, 200, { metadata: { resourceVersion: '5' }, items: [] });
        return;
      }
      watch = response;
      response.writeHead(200).flushHeaders();
    });
    const seen: (string | undefined)[] = [];
    const reflector = api.watch((lease) => void seen.push(lease?.holder));
    closers.push(() => reflector.stop());
    await until(() => watch !== undefined, 'a watch');
    const object = { metadata: { name: 'plndr-cp-lock', resourceVersion: '6' }, spec: { holderIdentity: 'n2' } };
    watch?.write(`${JSON.stringify({ type: 'ADDED', object })}\n${JSON.stringify({ type: 'DELETED', object })}\n`);
    await until(() => seen.length === 3, 'three observations');
    expect(seen).toEqual([undefined, 'n2', undefined]);
    expect(server.api.seen[0]).toContain('fieldSelector=metadata.name%3Dplndr-cp-lock');
  });
});
