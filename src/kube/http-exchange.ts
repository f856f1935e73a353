/**
 * One HTTP/1.1 request over TLS to one endpoint: from connecting to the head of the answer, then, for whoever wants it
 * whole, the body. Says how far a failed exchange got, for a request that never left has certainly not happened. Knows no
 * Kubernetes, retries nothing but a keep-alive connection the server had already closed.
 */

import { lookup as resolveName, type LookupAddress } from 'node:dns';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';
import type { Netfd } from '../system/netfd.ts';
import type { Identity } from './credential-file.ts';
import { isVip, type Endpoint } from './endpoints.ts';

export interface ExchangeRequest {
  readonly endpoint: Endpoint;
  readonly transport: Transport;
  readonly connection: ConnectionClass;
  readonly method: string;
  /** Path and query, after endpoint.basePath. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  /** From now to the head of the answer: connect, TLS, request, the server's thinking. */
  readonly headTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Lease traffic has a connection of its own, so that a large list never stands before a renewal; so have health checks. */
export type ConnectionClass = 'lease' | 'general' | 'probe';

export interface ExchangeFailure {
  readonly ok: false;
  /** connect: nothing was sent. sent: the request may have arrived. body: the server had begun to answer. */
  readonly stage: 'connect' | 'sent' | 'body';
  readonly cause: 'timeout' | 'aborted' | 'untrusted' | 'too-large' | 'error';
  readonly message: string;
}

/** `isRepeated`: the request was sent before, into a connection that was cut; the server may have done it already. */
export type HeadResult =
  | { readonly ok: true; readonly response: IncomingMessage; readonly isRepeated: boolean }
  | ExchangeFailure;

export type BodyResult = { readonly ok: true; readonly body: Buffer } | ExchangeFailure;

/** The connections of one identity. */
export interface Transport {
  readonly agents: Readonly<Record<ConnectionClass, Agent>>;
  readonly netfd: Netfd | undefined;
  /** DNS answers that are the virtual IP are as good as none. */
  readonly vips: () => readonly string[];
}

/** Probes after 1 s of silence, and a peer gone after three (netfd) to ten (Node's own setting) without an answer. */
const KEEPALIVE_MS = 1000;
const USER_TIMEOUT_MS = 3000;
const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18; // linux/tcp.h
const FREE_SOCKETS_MAX = 2;

/** Throws what tls.createSecureContext throws: a certificate or key that is no PEM, or that don't fit together. */
export function openTransport(
  identity: Identity,
  options: { readonly netfd: Netfd | undefined; readonly vips: () => readonly string[] },
): Transport {
  const secureContext = createSecureContext({
    ...(identity.ca === undefined ? {} : { ca: identity.ca }),
    ...(identity.cert === undefined ? {} : { cert: identity.cert }),
    ...(identity.key === undefined ? {} : { key: identity.key }),
    minVersion: 'TLSv1.2',
  });
  const openAgent = (): Agent =>
    new Agent({
      keepAlive: true,
      keepAliveMsecs: KEEPALIVE_MS,
      maxFreeSockets: FREE_SOCKETS_MAX,
      maxCachedSessions: 8,
      secureContext,
      // Said here so that NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment has no say.
      rejectUnauthorized: !identity.isInsecure,
    });
  return {
    agents: { lease: openAgent(), general: openAgent(), probe: openAgent() },
    ...options,
  };
}

/** Ends the connections, those in use included. */
export function closeTransport(transport: Transport): void {
  transport.agents.lease.destroy();
  transport.agents.general.destroy();
  transport.agents.probe.destroy();
}

/** Sends the request and resolves with the head of the answer. Never rejects. */
export async function exchangeHead(options: ExchangeRequest): Promise<HeadResult> {
  const deadlineAt = performance.now() + options.headTimeoutMs;
  let { result, isStale } = await attemptHead(options, deadlineAt);
  // Most likely the server closed an idle connection while we wrote into it (RFC 9112 §9.3.1), but who knows.
  for (let count = 0; isStale && count < FREE_SOCKETS_MAX; count += 1) {
    ({ result, isStale } = await attemptHead(options, deadlineAt));
    result = result.ok ? { ...result, isRepeated: true } : { ...result, stage: 'sent' };
  }
  return result;
}

interface Attempt {
  readonly result: HeadResult;
  /** Failed with a reset on a connection taken from the pool, and not for a time-out of ours. */
  readonly isStale: boolean;
}

function attemptHead(options: ExchangeRequest, deadlineAt: number): Promise<Attempt> {
  return new Promise((resolve) => {
    const { endpoint, transport, signal } = options;
    let isSent = false;
    let ownCause: 'timeout' | 'aborted' | undefined;
    const request = httpsRequest({
      agent: transport.agents[options.connection],
      host: endpoint.host,
      port: endpoint.port,
      ...serverNameOptions(endpoint),
      method: options.method,
      path: endpoint.basePath + options.target,
      headers: options.headers,
      lookup: lookupBesides(transport.vips),
    });
    const giveUp = (cause: 'timeout' | 'aborted'): void => {
      ownCause = cause;
      request.destroy(new Error(cause === 'timeout' ? 'no answer in time' : 'given up'));
    };
    const timer = setTimeout(() => giveUp('timeout'), Math.max(0, deadlineAt - performance.now()));
    const onAbort = (): void => giveUp('aborted');
    const settle = (attempt: Attempt): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(attempt);
    };
    signal?.addEventListener('abort', onAbort);
    request.once('socket', (socket) => {
      if (request.reusedSocket) {
        isSent = true;
        return;
      }
      socket.once('secureConnect', () => {
        isSent = true;
      });
      socket.once('connect', () => watchOver(socket, transport.netfd));
    });
    request.once('response', (response) =>
      settle({ result: { ok: true, response, isRepeated: false }, isStale: false }),
    );
    // Stays attached: after the head, the stream of the body reports the same failure to its reader.
    request.on('error', (error) => {
      const cause = ownCause ?? (isUntrusted(error) ? 'untrusted' : 'error');
      const stage = isSent ? 'sent' : 'connect';
      const isStale = request.reusedSocket && ownCause === undefined && isReset(error);
      settle({ result: { ok: false, stage, cause, message: `${endpoint.name}: ${describe(error)}` }, isStale });
    });
    if (signal?.aborted === true) giveUp('aborted');
    request.end(options.body);
  });
}

/** Reads the whole body, at most `limit` octets, within `timeoutMs`. Never rejects. */
export function readBody(
  response: IncomingMessage,
  options: { readonly limit: number; readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
): Promise<BodyResult> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const { signal } = options;
    let isSettled = false;
    const settle = (result: BodyResult): void => {
      isSettled = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(result);
    };
    const fail = (cause: ExchangeFailure['cause'], message: string): void => {
      if (isSettled) return;
      settle({ ok: false, stage: 'body', cause, message });
      response.destroy();
    };
    const onAbort = (): void => fail('aborted', 'given up');
    const timer = setTimeout(() => fail('timeout', 'the answer did not end in time'), Math.max(0, options.timeoutMs));
    signal?.addEventListener('abort', onAbort);
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > options.limit) fail('too-large', `the answer is larger than ${options.limit} octets`);
      else chunks.push(chunk);
    });
    response.once('end', () =>
      settle({ ok: true, body: chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks) }),
    );
    response.on('error', (error) => fail('error', `the answer was cut off: ${describe(error)}`));
    response.once('close', () => fail('error', 'the answer was cut off'));
    if (signal?.aborted === true) onAbort();
  });
}

/** A header that came once. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

interface ServerNameOptions {
  readonly servername?: string;
  readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
}

/** SNI carries no IP (RFC 6066 §3): such a name is checked but not sent. Without a name, Node checks and sends the host. */
function serverNameOptions(endpoint: Endpoint): ServerNameOptions {
  const { serverName } = endpoint;
  if (serverName === undefined) return {};
  if (isIP(serverName) === 0) return { servername: serverName };
  return { servername: '', checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate) };
}

/** Half-open connections: keep-alive probes find a peer that is gone, TCP_USER_TIMEOUT bounds unacknowledged data too. */
function watchOver(socket: Socket, netfd: Netfd | undefined): void {
  socket.setKeepAlive(true, KEEPALIVE_MS);
  socket.setNoDelay(true);
  const fd = descriptorOf(socket);
  if (netfd === undefined || fd === undefined) return;
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, USER_TIMEOUT_MS, true);
  // Best effort: without it, the kernel's own limits hold.
  netfd.setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, value);
}

/** Node keeps the descriptor in the socket's handle and has no public accessor for it. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

function lookupBesides(vips: () => readonly string[]): LookupFunction {
  return (hostname, options, callback) => {
    resolveName(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) {
        callback(error, '', 0);
        return;
      }
      const held = vips();
      const others = addresses.filter((each) => !isVip(each.address, held));
      const first = others[0];
      if (first === undefined) {
        callback(new Error(`${hostname} is only the virtual IP`), '', 0);
      } else if (options.all === true) {
        callback(null, others);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

function isReset(error: Error): boolean {
  const errno = errnoOf(error);
  return errno === 'ECONNRESET' || errno === 'EPIPE' || error.message === 'socket hang up';
}

/** Node names certificate problems by OpenSSL's X509_V_ERR words or ERR_TLS_CERT_…; net errors begin with E too. */
const UNTRUSTED =
  /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/;

function isUntrusted(error: Error): boolean {
  return UNTRUSTED.test(errnoOf(error) ?? '');
}

function errnoOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** One line: an AggregateError (several addresses tried) has an empty message of its own. */
function describe(error: Error): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map((each: unknown) => (each instanceof Error ? each.message : String(each))).join('; ');
  }
  return error.message.split('\n')[0] ?? 'unknown error';
}
