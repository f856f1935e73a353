import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { openApiClient, type ApiClient } from '../../../src/kube/client.ts';
import {
  startReflector,
  type Reflector,
  type ReflectorEvent,
  type ReflectorOptions,
} from '../../../src/kube/reflector.ts';
import {
  answer,
  fixedCredentials,
  identityOf,
  memoryLog,
  startScriptedApi,
  statusObject,
  until,
  type FixedCredentials,
  type MemoryLog,
  type ScriptedApi,
} from './scripted-api.ts';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Item {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion: string };
}

function item(name: string, version: number): Item {
  return { metadata: { name, namespace: 'ns', resourceVersion: String(version) } };
}

function line(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

/** A server with a list and whatever the test does to its watches. */
interface Watched {
  readonly api: ScriptedApi;
  items: Item[];
  version: number;
  /** Called for each watch with its query. */
  onWatch: (response: ServerResponse, query: URLSearchParams) => void;
  onList: ((response: ServerResponse, query: URLSearchParams) => boolean) | undefined;
  readonly watches: URLSearchParams[];
  lists: number;
}

async function watched(port?: number): Promise<Watched> {
  const state = {
    items: [] as Item[],
    version: 10,
    watches: [] as URLSearchParams[],
    lists: 0,
    onWatch: (response: ServerResponse): void => response.writeHead(200).flushHeaders(),
    onList: undefined,
  };
  const api = await startScriptedApi(
    (request, response) => {
      const query = new URL(request.url ?? '', 'https://x').searchParams;
      if (query.has('watch')) {
        state.watches.push(query);
        whole.onWatch(response, query);
        return;
      }
      state.lists += 1;
      if (whole.onList?.(response, query) === true) return;
      const metadata = { resourceVersion: String(whole.version) };
      answer(response, 200, { kind: 'List', metadata, items: whole.items });
    },
    port === undefined ? {} : { port },
  );
  const whole: Watched = Object.assign(state, { api });
  closers.push(() => api.stop());
  return whole;
}

interface Bench {
  readonly reflector: Reflector;
  readonly events: string[];
  readonly log: MemoryLog;
  readonly client: ApiClient;
  readonly credentials: FixedCredentials;
}

function bench(url: string, more: Partial<ReflectorOptions<string>> = {}): Bench {
  const log = memoryLog();
  const credentials = fixedCredentials(identityOf(url));
  const client = openApiClient({ credentials, endpoints: { isControlPlane: false, port: 1, vips: [] }, log: log.log });
  const events: string[] = [];
  const reflector = startReflector<string>({
    client,
    path: '/api/v1/things',
    connection: 'general',
    project: (raw) => (JSON.stringify(raw).includes('ignored') ? undefined : JSON.stringify(raw['metadata'])),
    listener: (event: ReflectorEvent<string>) => void events.push(describeEvent(event)),
    log: log.log,
    backoffMaxMs: 200,
    deadlineMs: 1000,
    random: () => 0.5,
    ...more,
  });
  closers.push(() => client.close());
  closers.push(() => reflector.stop());
  return { reflector, events, log, client, credentials };
}

function describeEvent(event: ReflectorEvent<string>): string {
  if (event.kind === 'synced') return `synced ${event.count}`;
  if (event.kind === 'deleted') return `deleted ${event.key}`;
  const { resourceVersion } = JSON.parse(event.object) as Item['metadata'];
  return `changed ${event.key} ${resourceVersion}`;
}

describe('startReflector', () => {
  it('lists, watches from the version of the list, and tells what changes', async () => {
    const server = await watched();
    server.items = [item('a', 3), item('b', 4)];
    let watch: ServerResponse | undefined;
    server.onWatch = (response) => {
      watch = response;
      response.writeHead(200).flushHeaders();
    };
    const { reflector, events } = bench(server.api.url, { name: 'a' });
    expect(reflector.isSynced).toBe(false);
    expect(reflector.lastEventAgeMs).toBe(Number.POSITIVE_INFINITY);
    await until(() => reflector.state === 'watching', 'it watches');
    expect(reflector.isSynced).toBe(true);
    expect(reflector.lastEventAgeMs).toBeLessThan(1000);
    watch?.write(line('MODIFIED', item('a', 11)) + line('ADDED', item('c', 12)) + line('DELETED', item('b', 13)));
    await until(() => events.length === 6, 'six events');
    expect(events).toEqual([
      'changed ns/a 3',
      'changed ns/b 4',
      'synced 2',
      'changed ns/a 11',
      'changed ns/c 12',
      'deleted ns/b',
    ]);
    const [query] = server.watches;
    expect(query?.get('resourceVersion')).toBe('10');
    expect(query?.get('allowWatchBookmarks')).toBe('true');
    expect(query?.get('fieldSelector')).toBe('metadata.name=a');
    expect(Number(query?.get('timeoutSeconds'))).toBeGreaterThan(250);
    reflector.stop();
    await reflector.done;
    expect(reflector.state).toBe('stopped');
  });

  it('reads pages of at most 250 and continues where the server says', async () => {
    const server = await watched();
    server.onList = (response, query) => {
      const next = Number(query.get('continue') ?? '0');
      const metadata = { resourceVersion: '10', ...(next < 2 ? { continue: String(next + 1) } : {}) };
      answer(response, 200, { metadata, items: [item(`page${next}`, next)] });
      return query.get('limit') === '250';
    };
    const { events } = bench(server.api.url);
    await until(() => events.includes('synced 3'), 'all pages');
    expect(server.lists).toBe(3);
  });

  it('understands lines cut at every octet', async () => {
    const server = await watched();
    const bytes = Buffer.from(
      line('ADDED', item('ä', 11)) + line('BOOKMARK', item('', 12)) + line('DELETED', item('ä', 13)),
    );
    server.onWatch = (response) => {
      response.writeHead(200);
      response.socket?.setNoDelay(true);
      let at = 0;
      const writeOne = (): void => {
        if (at < bytes.length) response.write(bytes.subarray(at, (at += 1)), writeOne);
      };
      writeOne();
    };
    const { events } = bench(server.api.url);
    await until(() => events.includes('deleted ns/ä'), 'the last line');
    expect(events).toEqual(['synced 0', 'changed ns/ä 11', 'deleted ns/ä']);
  });

  it('goes on from the last bookmark after an ended stream, without a list', async () => {
    const server = await watched();
    server.onWatch = (response) => {
      response.writeHead(200);
      if (server.watches.length === 1) response.end(line('BOOKMARK', item('', 77)));
      else response.flushHeaders();
    };
    bench(server.api.url);
    await until(() => server.watches.length === 2, 'a second watch');
    expect(server.watches[1]?.get('resourceVersion')).toBe('77');
    expect(server.lists).toBe(1);
  });

  it.each([
    ['HTTP 410', (response: ServerResponse) => answer(response, 410, statusObject(410, 'Expired'))],
    [
      'an ERROR event 410',
      (response: ServerResponse) => response.writeHead(200).end(line('ERROR', statusObject(410, 'Expired'))),
    ],
    ['a line that is no JSON', (response: ServerResponse) => response.writeHead(200).end('{"type":\n')],
    ['an event without object', (response: ServerResponse) => response.writeHead(200).end('{"type":"ADDED"}\n')],
  ])('lists anew after %s, and tells what was deleted meanwhile', async (_what, fail) => {
    const server = await watched();
    server.items = [item('a', 3), item('b', 4)];
    server.onWatch = (response) => {
      if (server.watches.length > 1) {
        response.writeHead(200).flushHeaders();
        return;
      }
      server.items = [item('b', 5)];
      fail(response);
    };
    const { events, log } = bench(server.api.url);
    await until(() => events.filter((event) => event.startsWith('synced')).length === 2, 'a second list');
    expect(events).toEqual([
      'changed ns/a 3',
      'changed ns/b 4',
      'synced 2',
      'changed ns/b 5',
      'deleted ns/a',
      'synced 1',
    ]);
    expect(log.lines).toEqual([]);
  });

  it('does not hammer a server that expires every watch', async () => {
    const server = await watched();
    server.onWatch = (response) => answer(response, 410, statusObject(410, 'Expired'));
    bench(server.api.url, { backoffMaxMs: 30_000 });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(server.lists).toBeGreaterThan(2);
    expect(server.lists).toBeLessThan(8);
  });

  it.each([429, 503])('honours Retry-After of %d', async (status) => {
    const server = await watched();
    const times: number[] = [];
    server.onWatch = (response) => {
      times.push(performance.now());
      if (times.length === 1) answer(response, status, 'busy', { 'retry-after': '1' });
      else response.writeHead(200).flushHeaders();
    };
    const { log, reflector } = bench(server.api.url);
    await until(() => times.length === 2 && reflector.state === 'watching', 'a second watch');
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(950);
    expect(log.msgs()).toEqual(['api watch interrupted', 'api watch resumed']);
  });

  it('lists anew when a server goes on refusing the version', async () => {
    const server = await watched();
    server.onWatch = (response) => {
      if (server.lists > 1) response.writeHead(200).flushHeaders();
      else answer(response, 504, statusObject(504, 'Timeout', 'Too large resource version'));
    };
    const { reflector } = bench(server.api.url);
    await until(() => server.lists === 2 && reflector.state === 'watching', 'a second list');
    expect(server.watches).toHaveLength(4);
  });

  it('outlives 500, a cut, and a server that is away for a while', async () => {
    const server = await watched();
    server.items = [item('a', 3)];
    const { events, reflector, log } = bench(server.api.url);
    await until(() => reflector.state === 'watching', 'it watches');
    const { port } = server.api;
    await server.api.stop();
    await until(() => reflector.state === 'waiting', 'it waits');
    const again = await watched(port);
    let refusals = 0;
    again.onWatch = (response) => {
      refusals += 1;
      if (refusals === 1) answer(response, 500, statusObject(500, 'InternalError'));
      else if (refusals === 2) response.writeHead(200).write('{"type":"ADD', () => response.socket?.destroy());
      else response.writeHead(200).write(line('MODIFIED', item('a', 20)));
    };
    await until(() => events.includes('changed ns/a 20'), 'the change');
    expect(again.lists).toBe(0);
    expect(again.watches.every((query) => query.get('resourceVersion') === '10')).toBe(true);
    expect(log.msgs().filter((msg) => msg === 'api watch interrupted').length).toBeLessThanOrEqual(2);
  });

  it('takes a silent stream for dead after the idle time, and goes on from the last version', async () => {
    const server = await watched();
    const restarts: string[] = [];
    const onRestart = (reason: string): void => void restarts.push(reason);
    const { reflector, events } = bench(server.api.url, { idleTimeoutMs: 150, onRestart });
    await until(() => server.watches.length === 2, 'a second watch', 2000);
    expect(reflector.isSynced).toBe(true);
    expect(restarts).toEqual(['idle']);
    expect(events).toEqual(['synced 0']);
  });

  it('opens the watch anew with new credentials', async () => {
    const server = await watched();
    const { reflector, credentials } = bench(server.api.url);
    await until(() => reflector.state === 'watching', 'it watches');
    credentials.set(identityOf(server.api.url, { ca: `${identityOf('').ca ?? ''}\n` }));
    await until(() => server.watches.length === 2 && reflector.state === 'watching', 'a second watch');
    expect(server.lists).toBe(1);
  });

  it('leaves out what the projection does not want', async () => {
    const server = await watched();
    server.items = [item('a', 3), item('ignored', 4)];
    const { events } = bench(server.api.url);
    await until(() => events.includes('synced 1'), 'the list');
    expect(events).toEqual(['changed ns/a 3', 'synced 1']);
  });

  it.each(['list', 'watch'])('does not swallow what the listener throws (%s)', async (where) => {
    const server = await watched();
    server.items = where === 'list' ? [item('a', 3)] : [];
    server.onWatch = (response) => void response.writeHead(200).write(line('ADDED', item('b', 11)));
    const { reflector } = bench(server.api.url, {
      listener: (event) => {
        if (event.kind === 'changed') throw new Error('mine');
      },
    });
    await expect(reflector.done).rejects.toThrow('mine');
    expect(reflector.state).toBe('stopped');
  });

  it('stops at once in every state', async () => {
    const server = await watched();
    server.onList = () => true;
    const listing = bench(server.api.url);
    await until(() => server.lists === 1, 'it lists');
    listing.reflector.stop();
    await listing.reflector.done;
    await server.api.stop();
    const waiting = bench(server.api.url, { backoffMaxMs: 60_000 });
    await until(() => waiting.reflector.state === 'waiting', 'it waits');
    waiting.reflector.stop();
    await waiting.reflector.done;
  });
});
