import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { metadataText } from '../../../src/base/json.ts';
import { patchServiceStatus, type StatusPatch } from '../../../src/kube/service-status.ts';
import { openStatusWriter, type StatusWriter, type WriteEnd } from '../../../src/kube/status-writer.ts';
import { startEmbedded, type Embedded } from './embedded.ts';
import { until } from './scripted-api.ts';

const SERVICES = '/api/v1/namespaces/default/services';
const PATCHES = 'PATCH services';
const closers: (() => void)[] = [];
let embedded: Embedded;
let ends: { readonly key: string; readonly address: string; readonly end: WriteEnd }[];

beforeEach(async () => {
  embedded = await startEmbedded();
  ends = [];
});

afterEach(async () => {
  embedded.api.faults.set([]);
  for (const close of closers.splice(0)) close();
  await embedded.close();
});

/** Creates Services and answers their resourceVersions. */
async function create(...names: readonly string[]): Promise<readonly string[]> {
  const versions: string[] = [];
  for (const name of names) {
    await embedded.write('POST', SERVICES, { metadata: { name, annotations: { old: 'yes' } }, spec: { ports: [] } });
    versions.push(metadataText(await embedded.read(`${SERVICES}/${name}`), 'resourceVersion') ?? '');
  }
  return versions;
}

function patch(name: string, resourceVersion: string | undefined, address: string): StatusPatch {
  return { key: `default/${name}`, resourceVersion: resourceVersion ?? '', ingress: [address] };
}

function open(more: { inFlightMax?: number; perSecond?: number; wordsPerSecond?: number } = {}): StatusWriter {
  const writer = openStatusWriter({
    client: embedded.client,
    deadlineMs: 1000,
    log: embedded.log.log,
    onEnd: ({ key, ingress }, end) => ends.push({ key, address: ingress?.[0] ?? '', end }),
    random: () => 0,
    transientMs: 100,
    ...more,
  });
  closers.push(() => writer.close());
  return writer;
}

function endsOf(address: string): readonly string[] {
  return ends.filter((entry) => entry.address === address).map(({ end }) => end.kind);
}

function addressOf(service: unknown): unknown {
  return (service as { status?: { loadBalancer?: { ingress?: readonly { ip: string }[] } } }).status?.loadBalancer
    ?.ingress?.[0]?.ip;
}

describe('one patch', () => {
  it('writes addresses, conditions and annotations at once', async () => {
    const [version = ''] = await create('web');
    const before = embedded.api.requests.get(PATCHES) ?? 0;
    const outcome = await patchServiceStatus({
      client: embedded.client,
      patch: {
        key: 'default/web',
        resourceVersion: version,
        ingress: ['192.0.2.1', '2001:db8::1'],
        conditions: [{ type: 'holdfast.io/Allocated', status: 'True' }],
        annotations: { old: null, 'kube-vip.io/vipHost': 'n1' },
      },
      deadlineMs: 1000,
    });
    const service = await embedded.read(`${SERVICES}/web`);
    expect(outcome).toEqual({ kind: 'ok', resourceVersion: metadataText(service, 'resourceVersion') });
    expect(service).toMatchObject({
      metadata: { annotations: { 'kube-vip.io/vipHost': 'n1' } },
      status: {
        loadBalancer: {
          ingress: [
            { ip: '192.0.2.1', ipMode: 'VIP' },
            { ip: '2001:db8::1', ipMode: 'VIP' },
          ],
        },
        conditions: [{ type: 'holdfast.io/Allocated', status: 'True' }],
      },
    });
    expect(service).not.toHaveProperty('metadata.annotations.old');
    expect(embedded.api.requests.get(PATCHES)).toBe(before + 1);
  });

  it('leaves alone what it does not name', async () => {
    const [version = ''] = await create('web');
    const { client } = embedded;
    const first = await patchServiceStatus({ client, patch: patch('web', version, '192.0.2.1'), deadlineMs: 1000 });
    if (first.kind !== 'ok') throw new Error(first.kind);
    const { resourceVersion } = first;
    const only = { key: 'default/web', resourceVersion, conditions: [] };
    expect(await patchServiceStatus({ client, patch: only, deadlineMs: 1000 })).toMatchObject({ kind: 'ok' });
    const empty = { key: 'default/web', resourceVersion, ingress: [] };
    expect(await patchServiceStatus({ client, patch: empty, deadlineMs: 1000 })).toEqual({ kind: 'conflict' });
    expect(addressOf(await embedded.read(`${SERVICES}/web`))).toBe('192.0.2.1');
  });

  it.each([
    [403, 'forbidden'],
    [409, 'conflict'],
    [404, 'gone'],
    [422, 'failed'],
    [500, 'failed'],
    [429, 'failed'],
  ])('that is answered %i is %s', async (code, kind) => {
    const [version = ''] = await create('web');
    embedded.api.faults.set([{ methods: ['PATCH'], action: { kind: 'status', code } }]);
    const { client } = embedded;
    const outcome = await patchServiceStatus({ client, patch: patch('web', version, '192.0.2.1'), deadlineMs: 500 });
    expect(outcome.kind).toBe(kind);
  });

  it('of a Service that is not there is gone', async () => {
    const { client } = embedded;
    const outcome = await patchServiceStatus({ client, patch: patch('no', '1', '192.0.2.1'), deadlineMs: 500 });
    expect(outcome).toEqual({ kind: 'gone' });
  });
});

describe('the writer', () => {
  it('has one patch of a Service under way, and of those that wait the latest', async () => {
    const [version] = await create('web');
    embedded.api.faults.set([{ methods: ['PATCH'], action: { kind: 'delay', ms: 50 }, count: 1 }]);
    const writer = open();
    for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) writer.write(patch('web', version, address));
    await until(() => writer.pending === 0, 'all are written');
    expect(ends.map(({ address, end }) => [address, end.kind])).toEqual([
      ['192.0.2.2', 'superseded'],
      ['192.0.2.1', 'ok'],
      ['192.0.2.3', 'ok'],
    ]);
    expect(addressOf(await embedded.read(`${SERVICES}/web`))).toBe('192.0.2.3');
    expect(embedded.api.requests.get(PATCHES)).toBe(2);
  });

  it('does not lend the version of its own write to what was decided from another Service', async () => {
    const [version = ''] = await create('web');
    embedded.api.faults.set([{ methods: ['PATCH'], action: { kind: 'delay', ms: 50 }, count: 1 }]);
    const writer = open();
    writer.write(patch('web', version, '192.0.2.1'));
    writer.write(patch('web', '1', '192.0.2.2'));
    await until(() => writer.pending === 0, 'all are written');
    expect(endsOf('192.0.2.2')).toEqual(['conflict']);
  });

  it('tells of a conflict and goes on', async () => {
    const [web, shop] = await create('web', 'shop');
    await embedded.write('PATCH', `${SERVICES}/web`, { metadata: { labels: { a: 'b' } } });
    const writer = open();
    writer.write(patch('web', web, '192.0.2.1'));
    writer.write(patch('shop', shop, '192.0.2.2'));
    await until(() => writer.pending === 0, 'all are written');
    expect(endsOf('192.0.2.1')).toEqual(['conflict']);
    expect(endsOf('192.0.2.2')).toEqual(['ok']);
  });

  it('has so many under way and no more', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `web-${index}`);
    const versions = await create(...names);
    embedded.api.faults.set([{ methods: ['PATCH'], action: { kind: 'hang' } }]);
    const writer = open({ inFlightMax: 3 });
    names.forEach((name, index) => writer.write(patch(name, versions[index], `192.0.2.${index}`)));
    await until(() => (embedded.api.requests.get(PATCHES) ?? 0) >= 3, 'three are under way');
    // Sent after whatever else was.
    for (let count = 0; count < 3; count += 1) await embedded.read(SERVICES);
    expect(embedded.api.requests.get(PATCHES)).toBe(3);
    expect(writer.pending).toBe(12);
  });

  it('keeps to its rate', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `web-${index}`);
    const versions = await create(...names);
    const writer = open({ perSecond: 40 });
    const startedAt = performance.now();
    names.forEach((name, index) => writer.write(patch(name, versions[index], `192.0.2.${index}`)));
    await until(() => writer.pending === 0, 'all are written');
    // A burst of 4, and 16 at 25 ms.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(390);
  });

  it('writes addresses first, and mere words slowly where there are many', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `web-${index}`);
    const versions = await create(...names);
    const writer = open({ inFlightMax: 2, wordsPerSecond: 4 });
    const [last = ''] = names.slice(-1);
    const startedAt = performance.now();
    for (const [index, name] of names.slice(0, -1).entries()) {
      const words = { key: `default/${name}`, resourceVersion: versions[index] ?? '', annotations: { new: 'yes' } };
      writer.write(words);
    }
    writer.write(patch(last, versions.at(-1), '192.0.2.1'));
    await until(() => endsOf('192.0.2.1').length > 0, 'the address is written');
    expect(endsOf('192.0.2.1')).toEqual(['ok']);
    expect(ends.length, 'the burst of words, and the address').toBeLessThanOrEqual(5);
    await until(() => writer.pending === 0, 'all are written');
    // A burst of 4, and 7 at 250 ms.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_700);
    expect(ends.map(({ end }) => end.kind)).toEqual(names.map(() => 'ok'));
  });

  it('an address takes the place of words that wait for the same Service, and the other way round', async () => {
    const [version = ''] = await create('web');
    const writer = open();
    const words = { key: 'default/web', resourceVersion: version, annotations: { new: 'yes' } };
    writer.write(words);
    for (const each of [words, patch('web', version, '192.0.2.1'), words]) writer.write(each);
    expect(ends.map(({ address, end }) => [address, end.kind])).toEqual([
      ['', 'superseded'],
      ['192.0.2.1', 'superseded'],
    ]);
    expect(writer.pending).toBe(2);
    await until(() => writer.pending === 0, 'all are written');
    expect(ends.map(({ address, end }) => [address, end.kind]).slice(2)).toEqual([
      ['', 'ok'],
      ['', 'ok'],
    ]);
  });

  it('waits while the API is away, says so once, and loses nothing', async () => {
    const names = Array.from({ length: 30 }, (_, index) => `web-${index}`);
    const versions = await create(...names);
    await embedded.api.stop();
    const writer = open();
    names.forEach((name, index) => writer.write(patch(name, versions[index], `192.0.2.${index}`)));
    await until(() => writer.problem !== undefined, 'the trouble is noticed');
    expect(writer.pending).toBe(30);
    expect(ends).toEqual([]);
    await embedded.api.start();
    await until(() => writer.pending === 0, 'all are written', 4500);
    expect(ends.map(({ end }) => end.kind)).toEqual(Array.from({ length: 30 }, () => 'ok'));
    expect(writer.problem).toBeUndefined();
    const lines = embedded.log.msgs().filter((msg) => msg.startsWith('status of services'));
    expect(lines).toEqual(['status of services cannot be written now', 'status of services is written again']);
  });

  it('waits for the right to write, and says what is missing', async () => {
    const [version] = await create('web');
    embedded.api.faults.set([{ methods: ['PATCH'], action: { kind: 'status', code: 403 } }]);
    const writer = open();
    writer.write(patch('web', version, '192.0.2.1'));
    await until(() => writer.problem !== undefined, 'the refusal');
    expect(writer.problem).toMatchObject({
      code: 'API_FORBIDDEN',
      remedy: expect.stringContaining('may patch services/status') as string,
    });
    expect([writer.pending, ends]).toEqual([1, []]);
  });

  it('drops what waits when it is cleared, and does not repeat what was under way', async () => {
    const [web, shop] = await create('web', 'shop');
    embedded.api.faults.set([{ methods: ['PATCH'], action: { kind: 'status', code: 500 } }]);
    const writer = open({ inFlightMax: 1 });
    writer.write(patch('web', web, '192.0.2.1'));
    writer.write(patch('shop', shop, '192.0.2.2'));
    writer.clear('no tenure');
    expect(ends).toMatchObject([{ address: '192.0.2.2', end: { kind: 'dropped', reason: 'no tenure' } }]);
    await until(() => writer.pending === 0, 'the one under way ends');
    expect(endsOf('192.0.2.1')).toEqual(['dropped']);
    expect(embedded.api.requests.get(PATCHES)).toBe(1);
  });

  it('tells who comes after it is closed', () => {
    const writer = open();
    writer.close();
    writer.write(patch('web', '1', '192.0.2.1'));
    expect(endsOf('192.0.2.1')).toEqual(['dropped']);
  });
});
