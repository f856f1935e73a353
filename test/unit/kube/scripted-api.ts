/**
 * An HTTPS server on loopback that answers as a test says, with certificates made on the spot: for the failures a real API
 * server doesn't produce on demand. And a log that remembers, a store of fixed credentials, and a way to await a claim.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { CredentialStore, Credentials } from '../../../src/kube/credentials.ts';
import type { Identity } from '../../../src/kube/credential-file.ts';
import type { Log, LogFields, LogLevel } from '../../../src/kube/log.ts';
import { createAuthority, issue, type Certificate } from '../../lab/certificates.ts';

export const AUTHORITY: Certificate = createAuthority('test-ca');
/** As kubeadm's: without 127.0.0.1. */
export const SERVING: Certificate = issue(AUTHORITY, {
  name: 'kube-apiserver',
  names: ['kubernetes', 'kubernetes.default.svc', '192.0.2.50'],
  usage: 'server',
});

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export interface ScriptedApi {
  readonly port: number;
  readonly url: string;
  /** Requests seen so far, as "GET /path?query". */
  readonly seen: string[];
  /** TCP connections accepted so far, and open ones. */
  readonly connections: number;
  readonly open: ReadonlySet<Socket>;
  setHandler(handler: Handler): void;
  /** Closes all connections with a reset and stops listening. */
  stop(): Promise<void>;
}

export async function startScriptedApi(
  handler: Handler,
  options: { readonly port?: number; readonly certificate?: Certificate } = {},
): Promise<ScriptedApi> {
  const certificate = options.certificate ?? SERVING;
  const open = new Set<Socket>();
  const seen: string[] = [];
  let current = handler;
  let connections = 0;
  const server: Server = createServer(
    {
      cert: certificate.certificatePem,
      key: certificate.keyPem,
      ca: AUTHORITY.certificatePem,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      seen.push(`${request.method ?? ''} ${request.url ?? ''}`);
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => current(request, response, Buffer.concat(chunks).toString()));
    },
  );
  server.on('connection', (socket: Socket) => {
    connections += 1;
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  const port = await listen(server, options.port);
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    seen,
    open,
    get connections() {
      return connections;
    },
    setHandler: (next) => {
      current = next;
    },
    stop: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.resetAndDestroy();
        server.close(() => resolve());
      }),
  };
}

/**
 * Listens on `wanted`, or on some port below the range that the kernel hands out by itself: what a test stops, it can start
 * again on the same port although others run beside it.
 */
async function listen(server: Server, wanted: number | undefined): Promise<number> {
  for (;;) {
    const port = wanted ?? 10_000 + Math.floor(Math.random() * 20_000);
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      server.once('error', resolve);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', resolve);
        resolve(undefined);
      });
    });
    if (error === undefined) return port;
    if (error.code !== 'EADDRINUSE' || wanted !== undefined) throw error;
  }
}

/** Common name of the client certificate of a request. */
export function clientNameOf(request: IncomingMessage): string | undefined {
  const name = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}

export function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

export function statusObject(code: number, reason: string, message = reason): Record<string, unknown> {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

export interface MemoryLog {
  readonly log: Log;
  readonly lines: { readonly level: LogLevel; readonly msg: string; readonly fields: LogFields }[];
  /** The messages alone. */
  msgs(): readonly string[];
}

export function memoryLog(): MemoryLog {
  const lines: MemoryLog['lines'] = [];
  return {
    lines,
    log: (level, msg, fields) => void lines.push({ level, msg, fields }),
    msgs: () => lines.map((line) => line.msg),
  };
}

export function identityOf(server: string, more: Partial<Identity> = {}): Identity {
  return {
    endpoint: { kind: 'kubeconfig', server, tlsServerName: 'kubernetes', isKubeadmAdmin: false },
    path: '/test/admin.conf',
    ca: AUTHORITY.certificatePem,
    cert: undefined,
    key: undefined,
    authorization: 'Bearer one',
    isInsecure: false,
    ...more,
  };
}

export interface FixedCredentials extends CredentialStore {
  /** Publishes another identity. */
  set(identity: Identity): void;
  /** What refresh(true) publishes next. */
  onRefresh: (() => Identity) | undefined;
}

/** A store without files. */
export function fixedCredentials(identity: Identity): FixedCredentials {
  const listeners = new Set<() => void>();
  let generation = 1;
  let current: Credentials = { ...identity, generation, isStandIn: false };
  const store: FixedCredentials = {
    get current() {
      return current;
    },
    primary: undefined,
    problem: undefined,
    onRefresh: undefined,
    refresh: () => {
      if (store.onRefresh !== undefined) store.set(store.onRefresh());
      return Promise.resolve();
    },
    reportForbidden: () => Promise.resolve(false),
    acceptPrimary: () => undefined,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => undefined,
    set: (next) => {
      generation += 1;
      current = { ...next, generation, isStandIn: false };
      for (const listener of listeners) listener();
    },
  };
  return store;
}

/** Resolves once `claim` holds; rejects after `timeoutMs` with `what`. Checked every few milliseconds. */
export async function until(claim: () => boolean, what: string, timeoutMs = 4000): Promise<void> {
  const deadlineAt = performance.now() + timeoutMs;
  while (!claim()) {
    if (performance.now() > deadlineAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
