import { afterEach, describe, expect, it } from 'vitest';
import { metadataText } from '../../../src/base/json.ts';
import { openApiClient } from '../../../src/kube/client.ts';
import {
  aboutService,
  openEventRecorder,
  SERVICE_EVENT_LIMITS,
  type EventRecorder,
  type EventRecorderOptions,
} from '../../../src/kube/event-recorder.ts';
import { decodeNode, getNode, HAS_IP_LABEL, patchNodeLabel } from '../../../src/kube/node.ts';
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

interface Bench {
  readonly api: ScriptedApi;
  readonly recorder: EventRecorder;
  readonly bodies: Record<string, unknown>[];
  readonly log: MemoryLog;
}

async function bench(handler: Handler, limits: Partial<EventRecorderOptions> = {}): Promise<Bench> {
  const bodies: Record<string, unknown>[] = [];
  const api = await startScriptedApi((request, response, body) => {
    bodies.push(JSON.parse(body) as Record<string, unknown>);
    handler(request, response, body);
  });
  closers.push(() => api.stop());
  const log = memoryLog();
  const client = openApiClient({
    credentials: fixedCredentials(identityOf(api.url)),
    endpoints: { isControlPlane: false, port: 1, vips: [] },
    log: log.log,
  });
  closers.push(() => client.close());
  const recorder = openEventRecorder({
    client,
    about: { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'kube-system', name: 'plndr-cp-lock' },
    node: 'n1',
    log: log.log,
    wallClock: () => Date.UTC(2026, 0, 1),
    ...limits,
  });
  closers.push(() => recorder.close());
  return { api, recorder, bodies, log };
}

const echo: Handler = (_request, response, body) => answer(response, 201, body);
const GAINED = { type: 'Normal', reason: 'LeadershipGained', message: 'n1 holds 192.0.2.50' } as const;

function nameIn(body: Record<string, unknown> | undefined): string {
  return metadataText(body ?? {}, 'name') ?? '';
}

describe('openEventRecorder', () => {
  it('writes a core/v1 Event about the Lease', async () => {
    const { recorder, bodies, api } = await bench(echo);
    recorder.record(GAINED);
    await recorder.flush(2000);
    expect(api.seen).toEqual(['POST /api/v1/namespaces/kube-system/events']);
    expect(bodies[0]).toMatchObject({
      kind: 'Event',
      involvedObject: { kind: 'Lease', name: 'plndr-cp-lock', namespace: 'kube-system' },
      type: 'Normal',
      reason: 'LeadershipGained',
      source: { component: 'holdfast', host: 'n1' },
      reportingComponent: 'holdfast',
      firstTimestamp: '2026-01-01T00:00:00Z',
      count: 1,
    });
  });

  it('counts equal notes on one object, and writes anew when that is gone', async () => {
    const { recorder, bodies, api } = await bench((request, response, body) => {
      if (request.method === 'PATCH' && api.seen.length > 3) answer(response, 404, statusObject(404, 'NotFound'));
      else answer(response, 200, body);
    });
    for (let count = 0; count < 4; count += 1) recorder.record(GAINED);
    await recorder.flush(2000);
    expect(api.seen.map((line) => line.split(' ')[0])).toEqual(['POST', 'PATCH', 'PATCH', 'PATCH', 'POST']);
    expect(bodies[2]).toMatchObject({ count: 3 });
  });

  it('limits the rate after a burst, bounds the queue and never waits', async () => {
    const arrivedAt: number[] = [];
    const { recorder } = await bench(
      (request, response, body) => {
        arrivedAt.push(performance.now());
        echo(request, response, body);
      },
      { intervalMs: 50 },
    );
    const startedAt = performance.now();
    for (let index = 0; index < 200; index += 1) recorder.record({ ...GAINED, message: `number ${index}` });
    expect(recorder.dropped).toBeGreaterThan(100);
    await until(() => arrivedAt.length >= 20, 'ten more than the burst');
    // However late a busy machine is, the twentieth was sent no sooner than ten intervals after the first ten.
    expect((arrivedAt[19] ?? 0) - startedAt).toBeGreaterThanOrEqual(10 * 50 - 1);
  });

  it('gives up for a while, with one line, when it is refused twice', async () => {
    const { recorder, api, log } = await bench(
      (_request, response) => answer(response, 403, statusObject(403, 'Forbidden')),
      { refusalMs: 20 },
    );
    recorder.record(GAINED);
    recorder.record({ ...GAINED, message: 'waits behind it' });
    await recorder.flush(2000);
    recorder.record(GAINED);
    await recorder.flush(2000);
    expect(api.seen).toHaveLength(2);
    expect(recorder.dropped).toBe(3);
    expect(log.msgs()).toEqual(['events may not be written']);
    expect(log.lines[0]?.fields['remedy']).toContain('may create events in');
  });

  it('loses nothing to an API server that has just started and knows no rights yet', async () => {
    const { recorder, api, log } = await bench(
      (_request, response, body) => {
        if (api.seen.length === 1) answer(response, 403, statusObject(403, 'Forbidden'));
        else answer(response, 201, body);
      },
      { refusalMs: 100 },
    );
    const startedAt = performance.now();
    recorder.record(GAINED);
    await until(() => api.seen.length === 1, 'the refusal');
    recorder.record({ ...GAINED, message: 'waits behind it' });
    await recorder.flush(2000);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(99);
    expect(api.seen).toHaveLength(3);
    expect([recorder.dropped, log.lines]).toEqual([0, []]);
  });

  it('tries again what was not answered or not taken, as the server asks, under one name', async () => {
    const { recorder, bodies, api } = await bench((request, response, body) => {
      if (api.seen.length === 1) {
        response.setHeader('retry-after', '1');
        answer(response, 429, statusObject(429, 'TooManyRequests'));
      } else if (api.seen.length === 2) {
        request.socket.destroy();
      } else {
        answer(response, 201, body);
      }
    });
    recorder.record(GAINED);
    await until(() => api.seen.length >= 1, 'the first try');
    const firstAt = performance.now();
    await until(() => api.seen.length >= 2, 'the second try');
    expect(performance.now() - firstAt).toBeGreaterThan(900);
    await until(() => api.seen.length >= 3, 'the third try');
    await recorder.flush(2000);
    expect(new Set(bodies.map(nameIn)).size).toBe(1);
    expect(recorder.dropped).toBe(0);
  });

  it('takes a name that is there already for its own, written by a try whose answer was lost', async () => {
    const { recorder, bodies, api } = await bench((_request, response, body) => {
      if (api.seen.length === 1) answer(response, 409, statusObject(409, 'AlreadyExists'));
      else answer(response, 200, body);
    });
    recorder.record(GAINED);
    recorder.record(GAINED);
    await recorder.flush(2000);
    const name = nameIn(bodies[0]);
    expect(api.seen[1]).toBe(`PATCH /api/v1/namespaces/kube-system/events/${name}`);
    expect(bodies[1]).toMatchObject({ count: 2 });
    expect(recorder.dropped).toBe(0);
  });

  it('waits for no further try once the process ends', async () => {
    const { recorder, api } = await bench((_request, response) =>
      answer(response, 500, statusObject(500, 'InternalError')),
    );
    recorder.record(GAINED);
    await until(() => api.seen.length >= 2, 'a second try');
    // Whoever ends doesn't wait for a third one's turn.
    await recorder.flush(5000);
    expect(recorder.dropped).toBe(1);
  });

  it('asks again in a namespace that refused, tells it once, and goes on in the others', async () => {
    let isAllowed = false;
    const { recorder, api, log } = await bench(
      (request, response, body) => {
        if (!isAllowed && request.url?.includes('/shop/') === true) {
          answer(response, 403, statusObject(403, 'Forbidden'));
        } else {
          answer(response, 201, body);
        }
      },
      { refusalMs: 10, forbiddenMs: 60 },
    );
    const web = aboutService({ namespace: 'shop', name: 'web', uid: 'u1' });
    const note = (message: string) => ({ ...GAINED, message });
    recorder.record(note('1'), web);
    recorder.record(note('2'));
    recorder.record(note('3'), web);
    await recorder.flush(2000);
    expect(api.seen.map((line) => line.split('/')[4])).toEqual(['shop', 'shop', 'kube-system']);
    recorder.record(note('4'), web);
    await recorder.flush(2000);
    expect(api.seen).toHaveLength(3);
    await new Promise((resolve) => setTimeout(resolve, 70));
    recorder.record(note('5'), web);
    await recorder.flush(2000);
    await new Promise((resolve) => setTimeout(resolve, 70));
    isAllowed = true;
    recorder.record(note('6'), web);
    await recorder.flush(2000);
    expect(log.msgs()).toEqual(['events may not be written', 'events are written again']);
    expect(recorder.dropped).toBe(4);
  });

  it('asks what it is about with each, and names an Event as the API takes it', async () => {
    const long = 'a'.repeat(235);
    const known: { uid?: string } = {};
    const about = () => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace: 'shop',
      name: `${long}.${long.slice(0, 17)}`,
      ...known,
    });
    const { recorder, bodies } = await bench(echo, { about });
    recorder.record(GAINED);
    known.uid = 'u1';
    recorder.record(GAINED);
    await recorder.flush(2000);
    expect(bodies.map(({ involvedObject }) => (involvedObject as { readonly uid?: string }).uid)).toEqual([
      undefined,
      'u1',
    ]);
    const name = nameIn(bodies[0]);
    expect(name).toMatch(new RegExp(`^${long}\\.[0-9a-f]{16}$`));
  });

  it('flushes for no longer than it is given', async () => {
    const { recorder } = await bench(() => undefined);
    recorder.record(GAINED);
    const startedAt = performance.now();
    await recorder.flush(50);
    // The request itself is given up only after three seconds.
    expect(performance.now() - startedAt).toBeLessThan(2500);
  });
});

describe('Events about Services', () => {
  const web = aboutService({ namespace: 'shop', name: 'web', uid: 'u1' });
  const PENDING = { type: 'Warning', reason: 'PoolFull', message: 'every address is in use' } as const;

  it('lie in the namespace of the Service, each with its own count', async () => {
    const { recorder, bodies, api } = await bench(echo);
    recorder.record(PENDING, web);
    recorder.record(PENDING, { ...web, name: 'till' });
    recorder.record(PENDING, web);
    recorder.record(PENDING, { ...web, uid: 'u2' });
    recorder.record(GAINED);
    await recorder.flush(2000);
    expect(bodies[0]).toMatchObject({
      metadata: { namespace: 'shop' },
      involvedObject: { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web', uid: 'u1' },
    });
    expect(api.seen.map((line) => line.replace(/\.[0-9a-f]{16}/, ''))).toEqual([
      'POST /api/v1/namespaces/shop/events',
      'POST /api/v1/namespaces/shop/events',
      'PATCH /api/v1/namespaces/shop/events/web',
      'POST /api/v1/namespaces/shop/events',
      'POST /api/v1/namespaces/kube-system/events',
    ]);
  });

  it('are limited for each Service and reason, so that one that flaps leaves room for the others', async () => {
    const { recorder, bodies } = await bench(echo, SERVICE_EVENT_LIMITS);
    for (let index = 0; index < 50; index += 1) {
      recorder.record({ ...PENDING, message: `time ${index}` }, web);
    }
    recorder.record({ ...PENDING, reason: 'OwnerChanged' }, web);
    recorder.record(PENDING, { ...web, name: 'till' });
    await recorder.flush(2000);
    const { burst } = SERVICE_EVENT_LIMITS.subject;
    expect(bodies.map(({ reason }) => reason)).toEqual([
      ...Array.from({ length: burst }, () => 'PoolFull'),
      'OwnerChanged',
      'PoolFull',
    ]);
    expect(recorder.dropped).toBe(50 - burst);
  });

  it('go on when a namespace that is being deleted takes none', async () => {
    const message =
      'events "a" is forbidden: unable to create new content in namespace shop because it is being terminated';
    const { recorder, api, log } = await bench((request, response, body) => {
      if (request.url?.includes('/shop/') === true) answer(response, 403, statusObject(403, 'Forbidden', message));
      else answer(response, 201, body);
    });
    recorder.record(PENDING, web);
    recorder.record(GAINED);
    await recorder.flush(2000);
    expect(api.seen).toHaveLength(2);
    expect(recorder.dropped).toBe(1);
    expect(log.lines).toEqual([]);
  });
});

describe('Node', () => {
  it('is read, and its label set and removed', async () => {
    const node = {
      metadata: { name: 'n1', uid: 'u', labels: { a: 'b' } },
      spec: { unschedulable: true, taints: [{ key: 'k', effect: 'NoSchedule' }, { effect: 'x' }] },
      status: {
        addresses: [
          { type: 'InternalIP', address: '10.0.0.1' },
          { type: 'Hostname', address: 'n1' },
        ],
      },
    };
    const seen: string[] = [];
    const api = await startScriptedApi((request, response, body) => {
      seen.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers['content-type'] ?? ''} ${body}`);
      answer(response, 200, node);
    });
    closers.push(() => api.stop());
    const client = openApiClient({
      credentials: fixedCredentials(identityOf(api.url)),
      endpoints: { isControlPlane: false, port: 1, vips: [] },
      log: memoryLog().log,
    });
    closers.push(() => client.close());
    expect(await getNode(client, 'n1', 1000)).toEqual({
      ok: true,
      node: {
        name: 'n1',
        uid: 'u',
        labels: { a: 'b' },
        taints: [{ key: 'k', value: '', effect: 'NoSchedule' }],
        internalIps: ['10.0.0.1'],
        isUnschedulable: true,
      },
    });
    await patchNodeLabel(client, 'n1', { key: HAS_IP_LABEL, value: '192.0.2.50' }, 1000);
    await patchNodeLabel(client, 'n1', { key: HAS_IP_LABEL, value: undefined }, 1000);
    expect(seen.slice(1)).toEqual([
      'PATCH /api/v1/nodes/n1 application/merge-patch+json {"metadata":{"labels":{"kube-vip.io/has-ip":"192.0.2.50"}}}',
      'PATCH /api/v1/nodes/n1 application/merge-patch+json {"metadata":{"labels":{"kube-vip.io/has-ip":null}}}',
    ]);
  });

  it('is read from anything', () => {
    expect(decodeNode({ metadata: 1, spec: [], status: { addresses: [null, { type: 'InternalIP' }] } }).name).toBe('');
  });
});
