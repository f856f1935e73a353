/**
 * Runs on the lab's client: reads /livez every 50 ms and writes a ConfigMap every 100 ms through the virtual IP, each
 * over a new TLS connection. One JSON object a line and request: {kind, sent, answered?, error?}, on the lab's clock.
 *
 *     node client.ts VIP                        reads only, of whoever answers (before there is anything to verify with)
 *     node client.ts VIP CA CERTIFICATE KEY     reads and writes, the server verified
 */

import { readFileSync } from 'node:fs';
import { request } from 'node:https';

import { nowMs } from '../../test/lab/clock.ts';

const READ_EVERY_MS = 50;
/** Long enough that a busy machine is not taken for an outage; the next request doesn't wait for this one. */
const READ_TIMEOUT_MS = 1000;
const WRITE_EVERY_MS = 100;
const WRITE_TIMEOUT_MS = 2000;

interface Call {
  readonly kind: 'read' | 'write';
  readonly method: 'GET' | 'PATCH';
  readonly path: string;
  readonly body: () => string;
  readonly everyMs: number;
  readonly timeoutMs: number;
}

const [vip = '', ca, certificate, key] = process.argv.slice(2);
const credentials =
  ca === undefined || certificate === undefined || key === undefined
    ? { rejectUnauthorized: false }
    : { ca: readFileSync(ca), cert: readFileSync(certificate), key: readFileSync(key) };

function once({ method, path, body, timeoutMs }: Call): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = method === 'PATCH' ? { 'content-type': 'application/merge-patch+json' } : {};
    const options = { host: vip, port: 6443, method, path, agent: false, headers, ...credentials };
    const call = request({ ...options, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(String(response.statusCode)));
      });
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end(body());
  });
}

async function attempt(call: Call): Promise<void> {
  const sent = nowMs();
  try {
    await once(call);
    console.log(JSON.stringify({ kind: call.kind, sent, answered: nowMs() }));
  } catch (error) {
    const text = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    console.log(JSON.stringify({ kind: call.kind, sent, error: text }));
  }
}

function repeat(call: Call): void {
  setInterval(() => void attempt(call), call.everyMs);
}

process.on('SIGTERM', () => process.exit(0));
const read = { kind: 'read', method: 'GET', path: '/livez', body: () => '', everyMs: READ_EVERY_MS } as const;
const write = {
  kind: 'write',
  method: 'PATCH',
  path: '/api/v1/namespaces/default/configmaps/probe',
  body: () => JSON.stringify({ data: { at: String(nowMs()) } }),
  everyMs: WRITE_EVERY_MS,
} as const;
repeat({ ...read, timeoutMs: READ_TIMEOUT_MS });
if (key !== undefined) repeat({ ...write, timeoutMs: WRITE_TIMEOUT_MS });
