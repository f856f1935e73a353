import { afterEach, describe, expect, it } from 'vitest';

import { openApiClient, type ApiClient } from '../../../src/kube/client.ts';
import { openApiProbe } from '../../../src/runtime/api-probe.ts';
import {
  answer,
  fixedCredentials,
  identityOf,
  memoryLog,
  startScriptedApi,
  until,
  type Handler,
  type ScriptedApi,
} from '../kube/scripted-api.ts';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Look {
  readonly isHealthy: boolean;
  readonly message: string;
  readonly at: number;
}

const READY: Handler = (_request, response) => answer(response, 200, 'ok', { 'content-type': 'text/plain' });

/** Answers /readyz and /livez with these. */
function states(readyz: number, livez: number): Handler {
  return (request, response) => answer(response, request.url === '/readyz' ? readyz : livez, 'no');
}

function probe(client: ApiClient, intervalMs: number): readonly Look[] {
  const looks: Look[] = [];
  const open = openApiProbe({
    intervalMs,
    probe: (look) => client.probeLocal(look),
    onAnswer: (isHealthy, message) => looks.push({ isHealthy, message, at: performance.now() }),
  });
  closers.push(() => open.close());
  return looks;
}

function clientOf(api: ScriptedApi, isControlPlane = true): ApiClient {
  const client = openApiClient({
    // The kubeconfig names the VIP: what is local is known by the port alone.
    credentials: fixedCredentials(identityOf('https://192.0.2.50:6443')),
    endpoints: { isControlPlane, port: api.port, vips: ['192.0.2.50'] },
    log: memoryLog().log,
  });
  closers.push(() => client.close());
  return client;
}

async function scripted(handler: Handler): Promise<ScriptedApi> {
  const api = await startScriptedApi(handler);
  closers.push(() => api.stop());
  return api;
}

describe("looking at this node's own API server", () => {
  it('asks /readyz at the interval, over one connection', async () => {
    const api = await scripted(READY);
    const looks = probe(clientOf(api), 50);
    await until(() => looks.length >= 4, 'four looks');
    expect(looks.every((look) => look.isHealthy)).toBe(true);
    expect(new Set(api.seen)).toEqual(new Set(['GET /readyz']));
    expect(api.connections).toBe(1);
    expect((looks[3]?.at ?? 0) - (looks[1]?.at ?? 0)).toBeGreaterThan(70);
  });

  it.each([
    [500, 200, 'not ready: /readyz has status 500'],
    [500, 500, 'not live: /livez has status 500'],
    [401, 401, 'not live: /livez has status 401'],
  ])('calls it ill with /readyz %i and /livez %i', async (readyz, livez, message) => {
    const looks = probe(clientOf(await scripted(states(readyz, livez))), 100);
    await until(() => looks.length >= 1, 'a look');
    expect(looks[0]).toMatchObject({ isHealthy: false, message });
  });

  it('calls a server that hangs ill before two intervals have passed', async () => {
    const api = await scripted(() => undefined);
    const startedAt = performance.now();
    const looks = probe(clientOf(api), 1000);
    await until(() => looks.length >= 1, 'a look');
    expect(looks[0]?.isHealthy).toBe(false);
    expect((looks[0]?.at ?? 0) - startedAt).toBeLessThan(2000);
  });

  it('knows twice within a fraction of a long interval that a server was killed, and that it is back', async () => {
    const api = await startScriptedApi(READY);
    const looks = probe(clientOf(api), 20_000);
    await until(() => looks.length === 1, 'the first look');
    const killedAt = performance.now();
    await api.stop();
    await until(() => looks.length >= 3, 'two more');
    expect(looks.slice(1, 3).map((look) => look.isHealthy)).toEqual([false, false]);
    expect((looks[2]?.at ?? 0) - killedAt).toBeLessThan(2000);
    expect(looks[2]?.message).toContain('ECONNREFUSED');
    const back = await startScriptedApi(READY, { port: api.port });
    closers.push(() => back.stop());
    await until(() => looks.at(-1)?.isHealthy === true, 'a good look');
  });

  it('leaves the order of the endpoints for requests alone', async () => {
    const api = await scripted(states(500, 200));
    const client = clientOf(api);
    const looks = probe(client, 50);
    await until(() => looks.length >= 2, 'two looks');
    const [first, second] = [await client.probeLocal(look('/livez')), client.preferredEndpoint];
    expect(first).toMatchObject({ status: 200 });
    expect(second).toBe(`https://127.0.0.1:${api.port}`);
  });

  it('looks at nothing where there is no API server', async () => {
    const api = await scripted(READY);
    const client = clientOf(api, false);
    expect(await client.probeLocal(look('/readyz'))).toBeUndefined();
    const looks = probe(client, 20);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([looks, api.seen]).toEqual([[], []]);
  });
});

function look(path: string): Parameters<ApiClient['probeLocal']>[0] {
  return { path, timeoutMs: 1000, onDisconnect: () => undefined };
}
