/**
 * What a client may rely on, asked of an API server: run against the embedded one on every machine, and against a real
 * kube-apiserver as conformance, so that the embedded one can't drift into something that only our own client likes.
 */

import { afterEach, beforeAll, describe, expect, test } from 'vitest';

import type { ApiAnswer, ApiClient, ApiWatch } from '../lab/api-client.ts';
import { isJson, type Json } from './object.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const NODES = '/api/v1/nodes';
const SERVICES = '/api/v1/namespaces/default/services';

const BALANCER = { type: 'LoadBalancer', ports: [{ port: 80 }] } as const;

export interface ApiUnderTest {
  readonly client: ApiClient;
  /** Makes the server forget the changes that watches could still start from: what a restart does. */
  readonly forgetHistory: () => Promise<void>;
}

/** Defines the tests; `connect` is called once, before the first of them. */
export function describeApi(name: string, connect: () => Promise<ApiUnderTest>): void {
  describe(name, () => {
    let client: ApiClient;
    let forgetHistory: () => Promise<void>;
    const watches: ApiWatch[] = [];
    let counter = 0;
    /** A name no other test used. */
    const fresh = (): string => `suite-${process.pid}-${(counter += 1)}`;
    const watch = async (path: string): Promise<ApiWatch> => {
      const opened = await client.watch(path);
      watches.push(opened);
      return opened;
    };
    const create = async (path: string, body: Json): Promise<Json> => {
      const answer = await client.request('POST', path, { body });
      expect(answer.status, JSON.stringify(answer.body)).toBe(201);
      return json(answer.body);
    };

    beforeAll(async () => {
      ({ client, forgetHistory } = await connect());
    });
    afterEach(() => {
      for (const opened of watches.splice(0)) opened.close();
    });

    describe('writing', () => {
      test('a created Lease carries uid, creationTimestamp, namespace and resourceVersion', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        expect(lease).toMatchObject({ kind: 'Lease', apiVersion: 'coordination.k8s.io/v1' });
        expect(metadata(lease)['uid']).toMatch(/^[0-9a-f-]{36}$/);
        expect(metadata(lease)['creationTimestamp']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
        expect(metadata(lease)).toMatchObject({
          namespace: 'kube-system',
          resourceVersion: expect.stringMatching(/^\d+$/),
        });
        expect(lease['spec']).toEqual(leaseBody('any')['spec']);
      });

      test('creating what exists is a 409 AlreadyExists', async () => {
        const body = leaseBody(fresh());
        await create(LEASES, body);
        expectStatus(await client.request('POST', LEASES, { body }), 409, 'AlreadyExists');
      });

      test('creating in a namespace that is not there is a 404', async () => {
        const path = LEASES.replace('kube-system', 'nowhere');
        expectStatus(await client.request('POST', path, { body: leaseBody(fresh()) }), 404, 'NotFound');
      });

      test('an update at the stored version succeeds and moves the version', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const body = { ...lease, spec: { ...json(lease['spec']), holderIdentity: 'second' } };
        const answer = await client.request('PUT', `${LEASES}/${nameOf(lease)}`, { body });
        expect(answer.status).toBe(200);
        expect(Number(versionOf(answer.body))).toBeGreaterThan(Number(versionOf(lease)));
        expect(json(json(answer.body)['spec'])['holderIdentity']).toBe('second');
      });

      test('an update at an old version is a 409 Conflict and changes nothing', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const path = `${LEASES}/${nameOf(lease)}`;
        const first = await client.request('PUT', path, { body: withHolder(lease, 'second') });
        expect(first.status).toBe(200);
        const answer = await client.request('PUT', path, { body: withHolder(lease, 'third') });
        expectStatus(answer, 409, 'Conflict');
        expect(json(answer.body)['message']).toContain('the object has been modified');
        expect(versionOf((await client.request('GET', path)).body)).toBe(versionOf(first.body));
      });

      test('two updates at the same version: one wins', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const path = `${LEASES}/${nameOf(lease)}`;
        const answers = await Promise.all(
          ['a', 'b', 'c', 'd'].map((holder) => client.request('PUT', path, { body: withHolder(lease, holder) })),
        );
        expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, 409, 409, 409]);
      });

      test('an update of a Lease without a version is refused', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const body = { ...lease, metadata: { name: nameOf(lease), namespace: 'kube-system' } };
        expectStatus(await client.request('PUT', `${LEASES}/${nameOf(lease)}`, { body }), 422, 'Invalid');
      });

      test('an update of a Lease that is not there creates it', async () => {
        const name = fresh();
        const answer = await client.request('PUT', `${LEASES}/${name}`, { body: leaseBody(name) });
        expect(answer.status).toBe(201);
      });

      test('an update of another name than the path says is a 400', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const answer = await client.request('PUT', `${LEASES}/${nameOf(lease)}`, { body: leaseBody('other') });
        expectStatus(answer, 400, 'BadRequest');
      });

      test('an update with a foreign uid is a 409', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const body = { ...lease, metadata: { ...metadata(lease), uid: '00000000-0000-0000-0000-000000000000' } };
        expectStatus(await client.request('PUT', `${LEASES}/${nameOf(lease)}`, { body }), 409, 'Conflict');
      });

      test('renewTime must have exactly six digits of fraction', async () => {
        const body = leaseBody(fresh());
        const bad = { ...body, spec: { ...json(body['spec']), renewTime: '2026-01-02T03:04:05.678Z' } };
        expectStatus(await client.request('POST', LEASES, { body: bad }), 400, 'BadRequest');
      });

      test('a Lease of no duration is refused', async () => {
        const body = leaseBody(fresh());
        const bad = { ...body, spec: { ...json(body['spec']), leaseDurationSeconds: 0 } };
        expectStatus(await client.request('POST', LEASES, { body: bad }), 422, 'Invalid');
      });

      test('a body of another kind is a 400', async () => {
        const body = { ...leaseBody(fresh()), kind: 'Secret', apiVersion: 'v1' };
        expectStatus(await client.request('POST', LEASES, { body }), 400, 'BadRequest');
      });

      test('generateName makes names', async () => {
        const body = { ...leaseBody(''), metadata: { generateName: 'suite-generated-' } };
        const [a, b] = [await create(LEASES, body), await create(LEASES, body)];
        expect(nameOf(a)).toMatch(/^suite-generated-.{5}$/);
        expect(nameOf(a)).not.toBe(nameOf(b));
      });

      test('an Event about an object of another namespace is refused', async () => {
        const event = { ...eventBody(fresh()), involvedObject: { kind: 'Lease', namespace: 'default', name: 'x' } };
        const path = '/api/v1/namespaces/kube-system/events';
        expectStatus(await client.request('POST', path, { body: event }), 422, 'Invalid');
        expect((await client.request('POST', path, { body: eventBody(fresh()) })).status).toBe(201);
      });
    });

    describe('patching and deleting', () => {
      const contentType = 'application/merge-patch+json';

      test('a merge patch changes what it names and removes what it nulls', async () => {
        const lease = await create(LEASES, {
          ...leaseBody(fresh()),
          metadata: { name: `${fresh()}-p`, annotations: { keep: 'yes', drop: 'yes' } },
        });
        const body = { metadata: { annotations: { drop: null, add: 'new' } }, spec: { leaseTransitions: 7 } };
        const answer = await client.request('PATCH', `${LEASES}/${nameOf(lease)}`, { body, contentType });
        expect(answer.status).toBe(200);
        expect(metadata(json(answer.body))['annotations']).toEqual({ keep: 'yes', add: 'new' });
        expect(json(answer.body)['spec']).toMatchObject({ holderIdentity: 'first', leaseTransitions: 7 });
      });

      test('a patch with an old version is a 409', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const path = `${LEASES}/${nameOf(lease)}`;
        await client.request('PUT', path, { body: withHolder(lease, 'second') });
        const body = { metadata: { resourceVersion: versionOf(lease) }, spec: { leaseTransitions: 9 } };
        expectStatus(await client.request('PATCH', path, { body, contentType }), 409, 'Conflict');
      });

      test('a patch of what is not there is a 404', async () => {
        expectStatus(await client.request('PATCH', `${LEASES}/${fresh()}`, { body: {}, contentType }), 404, 'NotFound');
      });

      test('the path of the status takes annotations of a Service too, and nothing else of it', async () => {
        const name = fresh();
        const made = await create(SERVICES, { metadata: { name, annotations: { a: '1', b: '2' } }, spec: BALANCER });
        const answer = await client.request('PATCH', `${SERVICES}/${name}/status`, {
          body: {
            metadata: { resourceVersion: versionOf(made), annotations: { b: null, c: '3' } },
            spec: { sessionAffinity: 'ClientIP' },
            status: { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } },
          },
          contentType: 'application/merge-patch+json',
        });
        expect(answer.status, JSON.stringify(answer.body)).toBe(200);
        expect(metadata(json(answer.body))['annotations']).toEqual({ a: '1', c: '3' });
        expect(json(answer.body)['spec']).toEqual(made['spec']);
        expect(json(answer.body)['status']).toMatchObject({ loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } });
        const late = await client.request('PATCH', `${SERVICES}/${name}/status`, {
          body: { metadata: { resourceVersion: versionOf(made) }, status: { loadBalancer: { ingress: [] } } },
          contentType: 'application/merge-patch+json',
        });
        expectStatus(late, 409, 'Conflict');
      });

      test('the status of a Service is written by its own path only', async () => {
        const name = fresh();
        const service = await create(SERVICES, serviceBody(name));
        const ingress = { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } };
        const status = await client.request('PATCH', `${SERVICES}/${name}/status`, {
          body: { status: ingress },
          contentType,
        });
        expect(status.status).toBe(200);
        expect(json(status.body)['status']).toMatchObject({ loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } });
        const object = await client.request('PATCH', `${SERVICES}/${name}`, {
          body: { metadata: { labels: { a: 'b' } }, status: { loadBalancer: { ingress: [{ ip: '192.0.2.8' }] } } },
          contentType,
        });
        expect(json(object.body)['status']).toMatchObject({ loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } });
        expect(metadata(json(object.body))['labels']).toEqual({ a: 'b' });
        expect(metadata(json(object.body))['uid']).toBe(metadata(service)['uid']);
      });

      test('deleting answers Success, and the object is gone', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const path = `${LEASES}/${nameOf(lease)}`;
        const answer = await client.request('DELETE', path);
        expect(answer.status).toBe(200);
        expect(json(answer.body)).toMatchObject({ kind: 'Status', status: 'Success' });
        expectStatus(await client.request('GET', path), 404, 'NotFound');
        expectStatus(await client.request('DELETE', path), 404, 'NotFound');
      });

      test('a delete with a precondition that does not hold is a 409', async () => {
        const lease = await create(LEASES, leaseBody(fresh()));
        const path = `${LEASES}/${nameOf(lease)}`;
        const options = { apiVersion: 'v1', kind: 'DeleteOptions' };
        for (const preconditions of [{ uid: '00000000-0000-0000-0000-000000000000' }, { resourceVersion: '1' }]) {
          expectStatus(await client.request('DELETE', path, { body: { ...options, preconditions } }), 409, 'Conflict');
        }
        expect((await client.request('GET', path)).status).toBe(200);
      });
    });

    describe('listing', () => {
      test('a list has a version, and items by namespace and name', async () => {
        const label = fresh();
        for (const suffix of ['b', 'a', 'c']) await create(NODES, labelled(`${label}-${suffix}`, { suite: label }));
        const answer = await client.request('GET', `${NODES}?labelSelector=suite%3D${label}`);
        expect(json(answer.body)).toMatchObject({ kind: 'NodeList', apiVersion: 'v1' });
        expect(Number(versionOf(answer.body))).toBeGreaterThan(0);
        expect(items(answer).map(nameOf)).toEqual([`${label}-a`, `${label}-b`, `${label}-c`]);
      });

      test('selectors select', async () => {
        const label = fresh();
        await create(NODES, labelled(`${label}-1`, { suite: label, tier: 'front' }));
        await create(NODES, labelled(`${label}-2`, { suite: label, tier: 'back' }));
        await create(NODES, labelled(`${label}-3`, { suite: label }));
        const cases: readonly (readonly [string, readonly string[]])[] = [
          [`suite=${label},tier=front`, ['1']],
          [`suite==${label},tier!=front`, ['2', '3']],
          [`suite=${label},tier`, ['1', '2']],
          [`suite=${label},!tier`, ['3']],
          [`suite=${label},tier in (front,back)`, ['1', '2']],
          [`suite=${label},tier notin (front)`, ['2', '3']],
        ];
        for (const [selector, wanted] of cases) {
          const answer = await client.request('GET', `${NODES}?labelSelector=${encodeURIComponent(selector)}`);
          expect(items(answer).map(nameOf), selector).toEqual(wanted.map((suffix) => `${label}-${suffix}`));
        }
        const byName = await client.request('GET', `${NODES}?fieldSelector=metadata.name%3D${label}-2`);
        expect(items(byName).map(nameOf)).toEqual([`${label}-2`]);
        const unknown = await client.request('GET', `${NODES}?fieldSelector=spec.colour%3Dblue`);
        expectStatus(unknown, 400, 'BadRequest');
      });

      test('pages together are the list, at one version', async () => {
        const label = fresh();
        for (let i = 0; i < 5; i += 1) await create(NODES, labelled(`${label}-${i}`, { suite: label }));
        const names: string[] = [];
        const versions = new Set<string>();
        let token = '';
        for (let page = 0; page < 3; page += 1) {
          const query = `limit=2&labelSelector=suite%3D${label}&continue=${encodeURIComponent(token)}`;
          const answer = await client.request('GET', `${NODES}?${query}`);
          names.push(...items(answer).map(nameOf));
          versions.add(versionOf(answer.body));
          token = text(metadata(json(answer.body))['continue'] ?? '');
          if (page === 0) await create(NODES, labelled(`${label}-later`, { suite: label }));
        }
        expect(names).toEqual([0, 1, 2, 3, 4].map((i) => `${label}-${i}`));
        expect(versions.size).toBe(1);
        expect(token).toBe('');
      });

      test('a list not older than a version yet to come is a 504 that says so', async () => {
        const now = Number(versionOf((await client.request('GET', LEASES)).body));
        const path = `${LEASES}?resourceVersion=${now + 1_000_000}&resourceVersionMatch=NotOlderThan`;
        const answer = await client.request('GET', path);
        expectStatus(answer, 504, 'Timeout');
        expect(json(answer.body)['message']).toContain('Too large resource version');
      });
    });

    describe('watching', () => {
      test('a watch from a version shows what came after it, in order', async () => {
        const name = fresh();
        const before = versionOf((await client.request('GET', LEASES)).body);
        const lease = await create(LEASES, leaseBody(name));
        await client.request('PUT', `${LEASES}/${name}`, { body: withHolder(lease, 'second') });
        await client.request('DELETE', `${LEASES}/${name}`);
        const opened = await watch(
          `${LEASES}?watch=true&resourceVersion=${before}&fieldSelector=metadata.name%3D${name}`,
        );
        await opened.find((event) => event.type === 'DELETED');
        expect(opened.events.map((event) => event.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
        const versions = opened.events.map((event) => Number(event.object.metadata.resourceVersion));
        expect(versions).toEqual(versions.toSorted((a, b) => a - b));
        expect(new Set(versions).size).toBe(3);
      });

      test('a watch without a version begins with what is there', async () => {
        const name = fresh();
        const lease = await create(LEASES, leaseBody(name));
        const opened = await watch(`${LEASES}?watch=1&fieldSelector=metadata.name%3D${name}`);
        const added = await opened.find((event) => event.type === 'ADDED');
        expect(added.object.metadata.resourceVersion).toBe(versionOf(lease));
      });

      test('an update that changes nothing is no event and no version', async () => {
        const name = fresh();
        const lease = await create(LEASES, leaseBody(name));
        const opened = await watch(
          `${LEASES}?watch=1&resourceVersion=${versionOf(lease)}&fieldSelector=metadata.name%3D${name}`,
        );
        const same = await client.request('PUT', `${LEASES}/${name}`, { body: lease });
        expect(versionOf(same.body)).toBe(versionOf(lease));
        await client.request('PUT', `${LEASES}/${name}`, { body: withHolder(lease, 'other') });
        await opened.find((event) => event.type === 'MODIFIED');
        expect(opened.events).toHaveLength(1);
      });

      test('an object that comes to match a selector is ADDED, one that ceases to is DELETED', async () => {
        const label = fresh();
        await create(NODES, labelled(label, { suite: 'elsewhere' }));
        const from = versionOf((await client.request('GET', NODES)).body);
        const opened = await watch(`${NODES}?watch=1&resourceVersion=${from}&labelSelector=suite%3D${label}`);
        const patch = (suite: string): Promise<ApiAnswer> =>
          client.request('PATCH', `${NODES}/${label}`, {
            body: { metadata: { labels: { suite } } },
            contentType: 'application/merge-patch+json',
          });
        await patch(label);
        await opened.find((event) => event.type === 'ADDED');
        await patch('elsewhere');
        await opened.find((event) => event.type === 'DELETED');
        expect(opened.events.map((event) => event.type)).toEqual(['ADDED', 'DELETED']);
      });

      test('a watch from a version long gone is told 410 inside the stream', async () => {
        await create(LEASES, leaseBody(fresh()));
        const before = versionOf((await client.request('GET', LEASES)).body);
        await create(LEASES, leaseBody(fresh()));
        await forgetHistory();
        const opened = await watch(`${LEASES}?watch=1&resourceVersion=${before}`);
        expect(opened.status).toBe(200);
        const error = await opened.find((event) => event.type === 'ERROR');
        expect(error.object).toMatchObject({ kind: 'Status', code: 410, reason: 'Expired' });
        await opened.ended;
      });

      test('a watch ends when its timeoutSeconds are over', async () => {
        const started = performance.now();
        const opened = await watch(`${LEASES}?watch=1&timeoutSeconds=1`);
        await opened.ended;
        expect(performance.now() - started).toBeGreaterThan(900);
        expect(performance.now() - started).toBeLessThan(4000);
      });

      test('watch-list: initial objects, then a bookmark that says so', async () => {
        const name = fresh();
        await create(LEASES, leaseBody(name));
        const query = `watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`;
        const opened = await watch(`${LEASES}?${query}&fieldSelector=metadata.name%3D${name}`);
        const bookmark = await opened.find((event) => event.type === 'BOOKMARK', 10_000);
        expect(bookmark.object.metadata['annotations']).toEqual({ 'k8s.io/initial-events-end': 'true' });
        expect(opened.events.map((event) => event.type)).toEqual(['ADDED', 'BOOKMARK']);
      });
    });

    test('health is a plain ok, an unknown path a 404', async () => {
      for (const path of ['/livez', '/readyz', '/healthz']) {
        expect(await client.request('GET', path)).toMatchObject({ status: 200, body: 'ok' });
      }
      expect((await client.request('GET', '/apis/nothing.example/v1/things')).status).toBe(404);
    });
  });
}

function leaseBody(name: string): Json {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name },
    spec: {
      holderIdentity: 'first',
      leaseDurationSeconds: 5,
      leaseTransitions: 0,
      acquireTime: '2026-01-02T03:04:05.123456Z',
      renewTime: '2026-01-02T03:04:05.123456Z',
    },
  };
}

function withHolder(lease: Json, holder: string): Json {
  return { ...lease, spec: { ...json(lease['spec']), holderIdentity: holder } };
}

function labelled(name: string, labels: Readonly<Record<string, string>>): Json {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } };
}

function serviceBody(name: string): Json {
  const spec = { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec };
}

function eventBody(name: string): Json {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name },
    type: 'Normal',
    reason: 'Suite',
    message: 'a message',
    involvedObject: { kind: 'Lease', namespace: 'kube-system', name: 'x' },
  };
}

function expectStatus(answer: ApiAnswer, code: number, reason: string): void {
  expect(answer.status, JSON.stringify(answer.body)).toBe(code);
  expect(answer.body).toMatchObject({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason });
}

function json(value: unknown): Json {
  if (!isJson(value)) throw new Error(`not an object: ${JSON.stringify(value)}`);
  return value;
}

function metadata(object: Json): Json {
  return json(object['metadata']);
}

function nameOf(object: Json): string {
  return text(metadata(object)['name']);
}

function versionOf(object: unknown): string {
  return text(metadata(json(object))['resourceVersion']);
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error(`not a text: ${JSON.stringify(value)}`);
  return value;
}

function items(answer: ApiAnswer): readonly Json[] {
  const list = json(answer.body)['items'];
  return Array.isArray(list) ? list.map(json) : [];
}
