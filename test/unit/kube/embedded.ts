/** The embedded API server over TLS, and a client of it with a log that remembers. */

import { EmbeddedApi } from '../../embedded-api/server.ts';
import { openApiClient, type ApiClient } from '../../../src/kube/client.ts';
import { fixedCredentials, identityOf, memoryLog, type MemoryLog } from './scripted-api.ts';

/** No matter of these tests: only what never answers is an error. */
const REQUEST_DEADLINE_MS = 10_000;

export interface Embedded {
  readonly api: EmbeddedApi;
  readonly client: ApiClient;
  readonly log: MemoryLog;
  /** What is stored at a path, as the client sees it; undefined when it isn't there. */
  read(path: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** POST to a collection, or PUT to an object's path (which ends in its name). */
  write(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<void>;
  /** Endpoints that requests went to, in order. */
  tried(): readonly string[];
  close(): Promise<void>;
}

export async function startEmbedded(): Promise<Embedded> {
  const api = new EmbeddedApi({ tls: { names: ['kubernetes'], tokens: { one: 'admin' } } });
  await api.start();
  const log = memoryLog();
  const tried: string[] = [];
  const client = openApiClient({
    onExchange: (report) => tried.push(report.endpoint),
    credentials: fixedCredentials(identityOf(api.url, { ca: api.authority?.certificatePem })),
    endpoints: { isControlPlane: false, port: 1, vips: [] },
    log: log.log,
  });
  return {
    api,
    client,
    log,
    read: async (path) => {
      const result = await client.request({ method: 'GET', path, deadlineMs: REQUEST_DEADLINE_MS });
      return result.ok ? result.body : undefined;
    },
    write: async (method, path, body) => {
      const contentType = method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {};
      const result = await client.request({ method, path, body, deadlineMs: REQUEST_DEADLINE_MS, ...contentType });
      if (!result.ok) throw new Error(`${method} ${path}: ${result.message}`);
    },
    tried: () => tried,
    close: async () => {
      client.close();
      await api.stop();
    },
  };
}
