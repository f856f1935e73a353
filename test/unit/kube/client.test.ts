import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { openApiClient, type ApiClient } from '../../../src/kube/client.ts';
import type { EndpointPolicy } from '../../../src/kube/endpoints.ts';
import { issue } from '../../lab/certificates.ts';
import {
  answer,
  AUTHORITY,
  clientNameOf,
  fixedCredentials,
  identityOf,
  memoryLog,
  startScriptedApi,
  statusObject,
  until,
  type FixedCredentials,
  type Handler,
  type MemoryLog,
  type ScriptedApi,
} from './scripted-api.ts';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function server(handler: Handler, port?: number): Promise<ScriptedApi> {
  const api = await startScriptedApi(handler, port === undefined ? {} : { port });
  closers.push(() => api.stop());
  return api;
}

/** Accepts connections, at 127.0.0.1 and ::1, and never says a word. */
async function blackHole(): Promise<{ readonly port: number; readonly sockets: ReadonlySet<Socket> }> {
  const sockets = new Set<Socket>();
  const hole: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => hole.listen(0, '::', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    hole.close();
  });
  return { port: (hole.address() as AddressInfo).port, sockets };
}

async function closedPort(): Promise<number> {
  const api = await startScriptedApi(() => undefined);
  await api.stop();
  return api.port;
}

interface Bench {
  readonly client: ApiClient;
  readonly credentials: FixedCredentials;
  readonly log: MemoryLog;
}

/** A client whose own API server is `localPort` (undefined: none) and whose kubeconfig names `server`. */
function bench(serverUrl: string, localPort?: number, credentials = fixedCredentials(identityOf(serverUrl))): Bench {
  const log = memoryLog();
  const endpoints: EndpointPolicy = { isControlPlane: localPort !== undefined, port: localPort ?? 0, vips: [] };
  const client = openApiClient({ credentials, endpoints, log: log.log });
  closers.push(() => client.close());
  return { client, credentials, log };
}

const GET = { method: 'GET', path: '/x', deadlineMs: 2000 } as const;
const PUT = { method: 'PUT', path: '/x', body: { a: 1 }, deadlineMs: 2000 } as const;
const ok: Handler = (_request, response) => answer(response, 200, { fine: true });

describe('request', () => {
  it('verifies 127.0.0.1 as kubernetes, sends token and body, keeps the connection', async () => {
    const bodies: string[] = [];
    const api = await server((request, response, body) => {
      bodies.push(`${request.headers.authorization ?? ''} ${request.headers['content-type'] ?? ''} ${body}`);
      answer(response, 201, { made: true });
    });
    const { client } = bench(api.url);
    for (let count = 0; count < 3; count += 1) {
      expect(await client.request(PUT)).toMatchObject({
        ok: true,
        status: 201,
        body: { made: true },
        endpoint: api.url,
      });
    }
    expect(bodies[0]).toBe('Bearer one application/json {"a":1}');
    expect(api.connections).toBe(1);
  });

  it('gives Lease traffic a connection of its own', async () => {
    const api = await server(ok);
    const { client } = bench(api.url);
    await client.request(GET);
    await client.request({ ...GET, connection: 'lease' });
    await client.request({ ...GET, connection: 'lease' });
    expect(api.connections).toBe(2);
  });

  it.each([
    [400, 'BadRequest', 'invalid', 'API_REQUEST_FAILED'],
    [401, 'Unauthorized', 'unauthorized', 'API_UNAUTHORIZED'],
    [403, 'Forbidden', 'forbidden', 'API_FORBIDDEN'],
    [404, 'NotFound', 'not-found', 'API_REQUEST_FAILED'],
    [409, 'Conflict', 'conflict', 'API_REQUEST_FAILED'],
    [409, 'AlreadyExists', 'already-exists', 'API_REQUEST_FAILED'],
    [422, 'Invalid', 'invalid', 'API_REQUEST_FAILED'],
    [429, 'TooManyRequests', 'throttled', 'API_REQUEST_FAILED'],
    [500, 'InternalError', 'server-error', 'API_REQUEST_FAILED'],
    [504, 'Timeout', 'server-error', 'API_REQUEST_FAILED'],
  ])('maps %d %s to %s', async (status, reason, failure, code) => {
    const api = await server((_request, response) => answer(response, status, statusObject(status, reason, 'because')));
    const { client } = bench(api.url);
    expect(await client.request(PUT)).toMatchObject({ ok: false, status, reason, failure, code, message: 'because' });
  });

  it('tells how long to wait after 429 and 503 with Retry-After', async () => {
    const api = await server((_request, response) => answer(response, 503, 'overloaded', { 'retry-after': '2' }));
    const { client } = bench(api.url);
    expect(await client.request(GET)).toMatchObject({ failure: 'throttled', retryAfterMs: 2000 });
  });

  it('reports a refused connection as certainly not done', async () => {
    const { client } = bench(`https://127.0.0.1:${await closedPort()}`);
    expect(await client.request(PUT)).toMatchObject({ ok: false, failure: 'unreachable', code: 'API_UNREACHABLE' });
  });

  it('reports a cut after the request as perhaps done', async () => {
    const api = await server((request) => request.socket.destroy());
    const { client } = bench(api.url);
    expect(await client.request(PUT)).toMatchObject({ ok: false, failure: 'timeout', isAmbiguous: true });
  });

  it('keeps its deadline against a server that accepts and is silent', async () => {
    const { client } = bench(`https://127.0.0.1:${(await blackHole()).port}`);
    const startedAt = performance.now();
    expect(await client.request({ ...GET, deadlineMs: 800 })).toMatchObject({ ok: false, failure: 'unreachable' });
    expect(performance.now() - startedAt).toBeLessThan(1600);
  });

  it('keeps its deadline against a slow body', async () => {
    const api = await server((_request, response) => {
      response.writeHead(200);
      response.write('{"a":');
    });
    const { client } = bench(api.url);
    const startedAt = performance.now();
    expect(await client.request({ ...GET, deadlineMs: 800 })).toMatchObject({ ok: false, failure: 'timeout' });
    expect(performance.now() - startedAt).toBeLessThan(1600);
  });

  it.each([
    ['truncated JSON', '{"a":'],
    ['no JSON', '<html>'],
    ['a JSON list', '[]'],
  ])('takes %s for a failure', async (_what, body) => {
    const api = await server((_request, response) => answer(response, 200, body));
    const { client } = bench(api.url);
    expect(await client.request(GET)).toMatchObject({ ok: false, failure: 'server-error', isAmbiguous: true });
  });

  it('refuses a body above the limit', async () => {
    const api = await server((_request, response) => answer(response, 200, { long: 'x'.repeat(5000) }));
    const { client } = bench(api.url);
    const result = await client.request({ ...GET, bodyLimit: 1000 });
    expect(result).toMatchObject({ ok: false, message: expect.stringContaining('larger than 1000') as string });
  });

  it('never trusts a certificate with another name, or of another authority', async () => {
    const stranger = issue(AUTHORITY, { name: 'x', names: ['elsewhere'], usage: 'server' });
    const api = await startScriptedApi(ok, { certificate: stranger });
    closers.push(() => api.stop());
    const { client, credentials } = bench(api.url);
    expect(await client.request(GET)).toMatchObject({ ok: false, failure: 'unreachable', code: 'API_UNTRUSTED' });
    credentials.set(identityOf(api.url, { ca: undefined }));
    expect(await client.request(GET)).toMatchObject({ ok: false, code: 'API_UNTRUSTED' });
    expect(api.seen).toEqual([]);
  });

  it('checks an IP as server name without sending it', async () => {
    const api = await server(ok);
    const endpoint = {
      kind: 'kubeconfig',
      server: api.url,
      tlsServerName: '192.0.2.50',
      isKubeadmAdmin: false,
    } as const;
    const { client, credentials } = bench(api.url, undefined, fixedCredentials(identityOf(api.url, { endpoint })));
    expect(await client.request(GET)).toMatchObject({ ok: true });
    credentials.set(identityOf(api.url, { endpoint: { ...endpoint, tlsServerName: '192.0.2.51' } }));
    expect(await client.request(GET)).toMatchObject({ ok: false, code: 'API_UNTRUSTED' });
  });

  it('gives up when told to', async () => {
    const api = await server(() => undefined);
    const { client } = bench(api.url);
    const abort = new AbortController();
    const pending = client.request({ ...GET, signal: abort.signal });
    await until(() => api.seen.length === 1, 'the request arrives');
    abort.abort();
    expect(await pending).toMatchObject({ ok: false, failure: 'timeout' });
  });

  it('opens a new connection when the server has closed the idle one', async () => {
    const api = await server(ok);
    const { client } = bench(api.url);
    await client.request(GET);
    const { port } = api;
    await api.stop();
    await server(ok, port);
    expect(await client.request(PUT)).toMatchObject({ ok: true });
  });

  it('reports each exchange, and once what became of the request in the end', async () => {
    const own = await server((_request, response) => answer(response, 500, statusObject(500, 'InternalError')));
    const other = await server(ok);
    const exchanges: string[] = [];
    const results: string[] = [];
    const client = openApiClient({
      credentials: fixedCredentials(identityOf(other.url)),
      endpoints: { isControlPlane: true, port: own.port, vips: [] },
      log: memoryLog().log,
      onExchange: ({ verb, resource, outcome }) => exchanges.push(`${verb} ${resource} ${outcome}`),
      onResult: ({ verb, resource }, result) =>
        results.push(`${verb} ${resource} ${result.ok ? 'ok' : result.failure}`),
    });
    closers.push(() => client.close());
    await client.request({ ...GET, path: '/api/v1/nodes/n1' });
    // 127.0.0.1, then ::1, where nobody is, then the other server.
    expect([exchanges[0], exchanges.at(-1)]).toEqual(['get nodes 500', 'get nodes 200']);
    expect(results).toEqual(['get nodes ok']);
    await client.request({ ...GET, path: '/api/v1/nodes', signal: AbortSignal.abort() });
    expect(results).toHaveLength(1);
  });

  it('says why there are no credentials', async () => {
    const credentials = fixedCredentials(identityOf('https://127.0.0.1:1'));
    Object.defineProperty(credentials, 'current', { value: undefined });
    const { client } = bench('', undefined, credentials);
    expect(await client.request(GET)).toMatchObject({ ok: false, failure: 'unreachable', code: 'KUBECONFIG_MISSING' });
    expect(client.problem).toBe(credentials.problem);
  });
});

describe('endpoints', () => {
  it('moves on at once from a refused connection, and stays where it was answered', async () => {
    const other = await server(ok);
    const { client, log } = bench(other.url, await closedPort());
    expect(await client.request(GET)).toMatchObject({ ok: true, endpoint: other.url });
    expect(client.preferredEndpoint).toBe(other.url);
    expect(log.msgs()).toEqual(['api endpoint changed']);
  });

  it('spends half of the deadline on one that swallows everything, and not twice on the same server', async () => {
    const other = await server(ok);
    const hole = await blackHole();
    const { client } = bench(other.url, hole.port);
    const startedAt = performance.now();
    expect(await client.request({ ...GET, deadlineMs: 2000 })).toMatchObject({ ok: true, endpoint: other.url });
    const first = performance.now() - startedAt;
    expect(first).toBeGreaterThan(980);
    expect(first).toBeLessThan(1900);
    expect(hole.sockets.size).toBe(1);
    const again = performance.now();
    expect(await client.request({ ...GET, deadlineMs: 2000 })).toMatchObject({ ok: true });
    expect(performance.now() - again).toBeLessThan(900);
  });

  it('asks another server after 500 and after 429', async () => {
    const other = await server(ok);
    for (const status of [500, 429]) {
      const local = await server((_request, response) => answer(response, status, 'busy'));
      const { client } = bench(other.url, local.port);
      expect(await client.request(GET)).toMatchObject({ ok: true, endpoint: other.url });
    }
  });

  it('does not ask another server after a clear refusal', async () => {
    const other = await server(ok);
    const local = await server((_request, response) => answer(response, 409, statusObject(409, 'Conflict')));
    const { client } = bench(other.url, local.port);
    expect(await client.request(PUT)).toMatchObject({ ok: false, failure: 'conflict' });
    expect(other.seen).toEqual([]);
  });

  it('marks a conflict as undecided when an earlier attempt may have written', async () => {
    const other = await server((_request, response) => answer(response, 409, statusObject(409, 'Conflict')));
    const local = await server((request) => request.socket.destroy());
    const { client } = bench(other.url, local.port);
    expect(await client.request(PUT)).toMatchObject({ ok: false, failure: 'conflict', isAmbiguous: true });
  });

  it('does not tell of 127.0.0.1 and ::1 taking turns: they are the same server', async () => {
    let isBusy = false;
    const first = await server((_request, response) => answer(response, isBusy ? 500 : 200, {}));
    const second = await server(ok);
    const relay = createServer((socket) => {
      const onward = connect(second.port, '127.0.0.1');
      for (const end of [socket, onward]) end.on('error', () => undefined);
      socket.pipe(onward).pipe(socket);
    });
    await new Promise<void>((resolve) => relay.listen(first.port, '::1', resolve));
    closers.push(() => relay.close());
    const { client, log } = bench(first.url, first.port);
    expect(await client.request(GET)).toMatchObject({ ok: true, endpoint: first.url });
    isBusy = true;
    expect(await client.request(GET)).toMatchObject({ ok: true, endpoint: `https://[::1]:${first.port}` });
    expect(log.lines.map(({ level, msg }) => `${level} ${msg}`)).toEqual(['debug api endpoint changed']);
  });

  it('goes back to its own server as soon as that is ready', async () => {
    const other = await server(ok);
    const port = await closedPort();
    // Its other loopback address is kept, so that no other test's server is found there and preferred for good.
    const deaf = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => deaf.once('error', reject).listen(port, '::1', resolve));
    closers.push(() => deaf.close());
    const { client } = bench(other.url, port);
    await client.request(GET);
    const local = await server(ok, port);
    // It is looked at as requests are made, every two seconds at most: one request after the other, until it is preferred.
    while (client.preferredEndpoint !== local.url) {
      await client.request(GET);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(local.seen).toContain('GET /readyz');
  }, 20_000);

  it('tries the peers last, and forgets them when told', async () => {
    const peer = await server(ok);
    const { client } = bench(`https://127.0.0.1:${await closedPort()}`);
    expect(await client.request(GET)).toMatchObject({ ok: false });
    client.setPeers([`127.0.0.1:${peer.port}`]);
    expect(await client.request(GET)).toMatchObject({ ok: true, endpoint: peer.url });
    client.setPeers([]);
    expect(await client.request(GET)).toMatchObject({ ok: false });
  });

  it('does not dial a name that resolves to the virtual IP only', async () => {
    const api = await server(ok);
    const fresh = openApiClient({
      credentials: fixedCredentials(identityOf(`https://localhost:${api.port}`)),
      endpoints: { isControlPlane: false, port: 1, vips: ['127.0.0.1', '::1'] },
      log: memoryLog().log,
    });
    closers.push(() => fresh.close());
    expect(await fresh.request(GET)).toMatchObject({
      failure: 'unreachable',
      message: expect.stringContaining('only the virtual IP') as string,
    });
  });
});

describe('credentials', () => {
  it('re-reads the credentials after 401 and asks once more', async () => {
    const api = await server((request, response) => {
      const isNew = request.headers.authorization === 'Bearer two';
      if (isNew) answer(response, 200, {});
      else answer(response, 401, statusObject(401, 'Unauthorized'));
    });
    const { client, credentials } = bench(api.url);
    expect(await client.request(GET)).toMatchObject({ failure: 'unauthorized' });
    expect(api.seen).toHaveLength(1);
    credentials.onRefresh = () => identityOf(api.url, { authorization: 'Bearer two' });
    expect(await client.request(GET)).toMatchObject({ ok: true });
    expect(api.seen).toHaveLength(3);
    expect(api.connections).toBe(1);
  });

  it('opens new connections for a new client certificate and tells the streams', async () => {
    const names: (string | undefined)[] = [];
    const api = await server((request, response) => {
      names.push(clientNameOf(request));
      answer(response, 200, {});
    });
    const identities = ['before', 'after'].map((name) => {
      const certificate = issue(AUTHORITY, { name, groups: ['system:masters'], usage: 'client' });
      return identityOf(api.url, { cert: certificate.certificatePem, key: certificate.keyPem });
    });
    const [before, after] = identities;
    if (before === undefined || after === undefined) throw new Error('two identities');
    const { client, credentials } = bench(api.url, undefined, fixedCredentials(before));
    let reconnects = 0;
    client.onReconnect(() => (reconnects += 1));
    await client.request(GET);
    credentials.set(after);
    await client.request(GET);
    expect(names).toEqual(['before', 'after']);
    expect(reconnects).toBe(1);
  });

  it('keeps the last usable certificate when a new one is broken', async () => {
    const api = await server(ok);
    const { client, credentials, log } = bench(api.url);
    credentials.set(identityOf(api.url, { cert: '-----BEGIN CERTIFICATE-----\nx', key: '-----BEGIN EC' }));
    expect(await client.request(GET)).toMatchObject({ ok: true });
    expect(log.lines).toMatchObject([{ level: 'error', fields: { code: 'KUBECONFIG_INVALID' } }]);
  });
});
