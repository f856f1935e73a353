import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../../src/base/errors.ts';
import { openHttpServer, type HttpServer, type HttpServerOptions } from '../../../src/observe/http-server.ts';
import { parseHostPort } from '../../../src/observe/listen.ts';
import { followerReport, sampleReport } from './sample-report.ts';

const opened: HttpServer[] = [];
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close();
});

async function open(changes: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  const server = await openHttpServer({
    metricsAddress: '127.0.0.1:0',
    healthPort: 0,
    metrics: () => Promise.resolve({ contentType: 'text/plain; version=0.0.4', text: 'holdfast_build_info 1\n' }),
    pulse: () => ({ turnedAgoMs: 20, overdueMs: 0 }),
    report: () => sampleReport(),
    onProblem: (error) => {
      throw error;
    },
    ...changes,
  });
  opened.push(server);
  return server;
}

async function get(server: HttpServer, path: string): Promise<{ status: number; text: string; type: string | null }> {
  const response = await fetch(`http://${server.addresses()[0]}${path}`);
  return { status: response.status, text: await response.text(), type: response.headers.get('content-type') };
}

describe('health over HTTP', () => {
  it('says ok where all is well', async () => {
    const server = await open();
    for (const path of ['/livez', '/readyz', '/healthz']) {
      expect(await get(server, path)).toMatchObject({ status: 200, text: 'ok\n' });
    }
  });

  it('names each check when asked to', async () => {
    const { text } = await get(await open(), '/readyz?verbose');
    expect(text).toBe(
      '[+]loop ok\n[+]started ok\n[+]interface ok\n[+]api ok\n[+]lease-watch ok\n[+]not-stopping ok\nreadyz check passed\n',
    );
  });

  it('names what failed without being asked', async () => {
    const server = await open({ report: () => followerReport({ interface: undefined }) });
    const ready = await get(server, '/readyz');
    expect(ready.status).toBe(503);
    expect(ready.text).toContain('[-]interface failed: the configured interface does not exist\n');
    expect(ready.text).toMatch(/readyz check failed\n$/);
  });

  it('stays live without the API and without the interface, and dies with the loop alone', async () => {
    const lost = followerReport({ interface: undefined, api: { ...sampleReport().api, isReachable: false } });
    const unready = await open({ report: () => lost });
    expect((await get(unready, '/livez')).status).toBe(200);
    expect((await get(unready, '/healthz')).status).toBe(200);
    expect((await get(unready, '/healthz?verbose')).text).toContain('[-]api failed');
    const stuck = await open({ pulse: () => ({ turnedAgoMs: 60_000, overdueMs: 58_000 }) });
    for (const path of ['/livez', '/readyz', '/healthz']) expect((await get(stuck, path)).status).toBe(503);
  });

  it('serves /metrics, and 404 with what there is for anything else', async () => {
    const server = await open();
    expect(await get(server, '/metrics')).toMatchObject({
      status: 200,
      text: 'holdfast_build_info 1\n',
      type: 'text/plain; version=0.0.4',
    });
    expect(await get(server, '/')).toMatchObject({ status: 404, text: expect.stringContaining('/readyz') });
    const response = await fetch(`http://${server.addresses()[0]}/livez`, { method: 'POST' });
    expect(response.status).toBe(405);
  });

  it('answers 500 and lives when the metrics or the report cannot be made', async () => {
    const server = await open({
      metrics: () => Promise.reject(new Error('no metrics')),
      report: () => {
        throw new Error('no report');
      },
    });
    expect((await get(server, '/metrics')).status).toBe(500);
    expect((await get(server, '/readyz')).status).toBe(500);
    expect((await get(server, '/livez')).status).toBe(200);
  });
});

describe('the health port', () => {
  it('has the health paths and not the metrics', async () => {
    const port = await freePort();
    const server = await open({ metricsAddress: undefined, healthPort: port });
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(404);
    expect(server.addresses()).toHaveLength(1);
  });

  it('is one listener with the metrics when both have the same port', async () => {
    const port = await freePort();
    const server = await open({ metricsAddress: `:${port}`, healthPort: port });
    expect(server.addresses()).toHaveLength(1);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(200);
  });

  it('opens nothing when neither is configured', async () => {
    expect((await open({ metricsAddress: undefined })).addresses()).toEqual([]);
  });
});

describe('a port that is taken', () => {
  it('is a problem that is told once, and is opened when it is free', async () => {
    const { blocker, port } = await blockPort();
    const problems: HoldfastError[] = [];
    const recovered = Promise.withResolvers<string>();
    const server = await open({
      metricsAddress: `127.0.0.1:${port}`,
      onProblem: (error) => problems.push(error),
      onRecovered: recovered.resolve,
      retryMs: 5,
    });
    expect(server.addresses()).toEqual([]);
    expect(problems).toMatchObject([{ code: 'PORT_IN_USE', remedy: expect.stringContaining(`:${port}`) }]);
    await setTimeout(40); // several attempts, none of which is told
    blocker.close();
    expect(await recovered.promise).toBe(`127.0.0.1:${port}`);
    expect((await get(server, '/livez')).status).toBe(200);
    expect(problems).toHaveLength(1);
  });

  it('ends the start when strictness is asked for', async () => {
    const { blocker, port } = await blockPort();
    await expect(open({ metricsAddress: `127.0.0.1:${port}`, isStrict: true })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
    });
    blocker.close();
  });

  it('is told with the setting when the address is not of this node', async () => {
    const problems: HoldfastError[] = [];
    await open({ metricsAddress: '192.0.2.1:2112', onProblem: (error) => problems.push(error) });
    expect(problems).toMatchObject([{ code: 'LISTEN_FAILED', remedy: expect.stringContaining('prometheus_server') }]);
  });
});

describe('closing', () => {
  it('waits for no client: neither an idle one nor one in the middle of a request', async () => {
    const server = await open({ metrics: () => new Promise(() => undefined) });
    const where = parseHostPort(server.addresses()[0] ?? '');
    const clients = ['', 'GET /met', 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'].map((text) => {
      const client = connect({ host: where?.host ?? '', port: where?.port ?? 0 });
      client.write(text);
      client.on('error', () => undefined);
      return client;
    });
    await Promise.all(clients.map((client) => once(client, 'connect')));
    await get(server, '/livez'); // behind the others: the server has seen them
    const start = performance.now();
    await server.close();
    expect(performance.now() - start).toBeLessThan(1000);
    for (const client of clients) client.destroy();
  });
});

describe('host:port', () => {
  it.each([
    [':2112', { host: undefined, port: 2112 }],
    ['10.0.0.5:2112', { host: '10.0.0.5', port: 2112 }],
    ['[::1]:2112', { host: '::1', port: 2112 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['2112', undefined],
    ['::1:2112', undefined],
    [':65536', undefined],
    ['', undefined],
  ])('reads %s', (text, expected) => {
    expect(parseHostPort(text)).toEqual(expected);
  });
});

async function blockPort(): Promise<{ blocker: ReturnType<typeof createServer>; port: number }> {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  return { blocker, port: portOf(blocker) };
}

async function freePort(): Promise<number> {
  const { blocker, port } = await blockPort();
  blocker.close();
  await once(blocker, 'close');
  return port;
}

function portOf(server: ReturnType<typeof createServer>): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return address.port;
}
