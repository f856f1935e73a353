/**
 * Opening and closing the small HTTP servers of this room, with errors an operator can act on and limits so that no
 * client can hold memory or the shutdown: few connections, short requests, and everything is cut at close.
 */

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { HoldfastError } from '../base/errors.ts';

/** Connections one server keeps; more are refused. A scraper, a kubelet and a few curious people need far fewer. */
export const CONNECTIONS_MAX = 32;
const HEADERS_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
const HEADER_OCTETS_MAX = 8192;

export type ListenTarget =
  | { readonly kind: 'tcp'; readonly host: string | undefined; readonly port: number }
  /** As net.Server.listen takes it: a path, or NUL and a name for an abstract socket. */
  | { readonly kind: 'unix'; readonly path: string };

export function createLimitedServer(listener: RequestListener): Server {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      maxHeaderSize: HEADER_OCTETS_MAX,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS,
    },
    listener,
  );
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

/**
 * Resolves once the server listens. Rejects with HoldfastError PORT_IN_USE or LISTEN_FAILED; `setting` is the name of the
 * configuration value that chose the target. The server never keeps the process alive.
 */
export function listen(server: Server, target: ListenTarget, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(listenError(error, target, setting));
    server.once('error', fail);
    const listening = (): void => {
      server.off('error', fail);
      server.unref();
      resolve();
    };
    if (target.kind === 'unix') server.listen({ path: target.path }, listening);
    else server.listen({ port: target.port, ...(target.host === undefined ? {} : { host: target.host }) }, listening);
  });
}

/** Stops listening and cuts every connection; resolves when the server is closed, at once if it never listened. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Path and query of a request, however strange its target is: never throws. */
export function requestTarget(incoming: IncomingMessage): { readonly path: string; readonly query: URLSearchParams } {
  const [path = '/', query = ''] = (incoming.url ?? '/').split('?', 2);
  return { path, query: new URLSearchParams(query) };
}

/** Sends a whole answer of known length that nobody may keep. */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

/** As an operator would write it: `:2112`, `10.0.0.5:2112`, `[::1]:2112`, a path, `@name`. */
export function targetText(target: ListenTarget): string {
  if (target.kind === 'unix') return target.path.startsWith('\0') ? `@${target.path.slice(1)}` : target.path;
  const host = target.host ?? '';
  return `${host.includes(':') ? `[${host}]` : host}:${target.port}`;
}

/** Parses `host:port`, `:port` or `[v6]:port`; undefined when it is none of them. Port 0 asks the kernel for a free one. */
export function parseHostPort(text: string): { readonly host: string | undefined; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  return port > 65535 ? undefined : { host: host === '' ? undefined : host, port };
}

function listenError(error: Error, target: ListenTarget, setting: string): HoldfastError {
  const where = targetText(target);
  const errno = 'code' in error && typeof error.code === 'string' ? error.code : error.message;
  if (errno === 'EADDRINUSE') {
    const message = `${where} (${setting}) is in use`;
    return new HoldfastError('PORT_IN_USE', message, {
      context: { what: listenerHint(target), setting },
      cause: error,
    });
  }
  return new HoldfastError('LISTEN_FAILED', `cannot listen on ${where} (${setting}): ${errno}`, {
    context: { setting, what: where },
    cause: error,
  });
}

function listenerHint(target: ListenTarget): string {
  return target.kind === 'tcp' ? `\`ss -ltnp sport = :${target.port}\` names it` : '`ss -lxp` names it';
}
