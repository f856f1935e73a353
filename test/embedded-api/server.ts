/**
 * A small Kubernetes API server in one process, for tests and the demo: Leases, Nodes, Services, Events and a few more,
 * with the semantics that clients depend on: one resourceVersion, optimistic conflicts, list and watch with history,
 * bookmarks and 410, paging, selectors, Status bodies. test/conformance/api.conformance.ts holds it against the real one.
 *
 * Not here: admission, defaulting, schema validation (but for Leases and Events), RBAC, strategic merge and apply
 * patches (415). Faults are put in by rule (faults.ts), from the process or through /holdfast-test/.
 */

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

import { createAuthority, issue, type Certificate } from '../lab/certificates.ts';
import { kubeconfigText } from '../lab/kubeconfig.ts';
import { Collection } from './collection.ts';
import { discovery } from './discovery.ts';
import { Faults, type FaultRule } from './faults.ts';
import { ApiFailure, isJson, mergePatch, statusOf } from './object.ts';
import { numberParameter, parseResourcePath, readBody, type ResourcePath } from './request.ts';
import { parseSelectors } from './selector.ts';
import { modified, Store, type Place } from './store.ts';
import { serveWatch } from './watch.ts';

export interface EmbeddedApiOptions {
  /** Default: 127.0.0.1. `::` listens on IPv4 too. */
  readonly host?: string;
  /** Default: any free port. */
  readonly port?: number;
  /** HTTPS with a CA of its own; clients show a certificate of that CA or a token. Default: plain HTTP, nobody asked. */
  readonly tls?: { readonly names: readonly string[]; readonly tokens?: Readonly<Record<string, string>> };
  /** Default 60 s, as the real server. */
  readonly bookmarkIntervalMs?: number;
  readonly historyMax?: number;
  /** How long to wait for a version that isn't there yet before 504; default 3 s, as the real server. */
  readonly freshnessWaitMs?: number;
}

/** A watch that names no timeout ends after this long. */
const WATCH_TIMEOUT_MS = 30 * 60_000;

export class EmbeddedApi {
  readonly store: Store;
  readonly faults = new Faults();
  /** Requests answered or begun, `verb resource` → count. */
  readonly requests = new Map<string, number>();
  readonly authority: Certificate | undefined;
  readonly #options: EmbeddedApiOptions;
  readonly #collection: Collection;
  readonly #watches = new Set<() => void>();
  readonly #sockets = new Set<Socket>();
  readonly #serving: Certificate | undefined;
  #server: Server | undefined;
  #port: number;

  constructor(options: EmbeddedApiOptions = {}) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.store = new Store(options.historyMax === undefined ? {} : { historyMax: options.historyMax });
    this.#collection = new Collection(this.store, options.freshnessWaitMs ?? 3000);
    if (options.tls === undefined) return;
    this.authority = createAuthority('embedded-api-ca');
    this.#serving = issue(this.authority, { name: 'embedded-api', usage: 'server', names: options.tls.names });
  }

  get port(): number {
    return this.#port;
  }

  /** `http://host:port` or `https://…`, by the address it listens on. */
  get url(): string {
    const host = this.#options.host ?? '127.0.0.1';
    return `${this.#serving === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${this.#port}`;
  }

  /** Begins to listen; the same port again after stop(). */
  async start(): Promise<void> {
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      this.#handle(request, response).catch((error: unknown) => this.#answerFailure(response, error));
    };
    const server =
      this.#serving === undefined
        ? createHttpServer(listener)
        : createHttpsServer(
            {
              cert: this.#serving.certificatePem,
              key: this.#serving.keyPem,
              ca: this.authority?.certificatePem ?? '',
              requestCert: true,
              rejectUnauthorized: false,
            },
            listener,
          );
    const track = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    };
    server.on('connection', track);
    server.keepAliveTimeout = 0;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#options.host ?? '127.0.0.1', resolve);
    });
    // A TCP server's address is an AddressInfo (node:net).
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Cuts every connection and stops listening, as a killed API server; what is stored stays. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.dropWatches();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Ends every watch that is open now, in order. */
  dropWatches(): void {
    for (const end of this.#watches) end();
    this.#watches.clear();
  }

  /** Installs the custom resources of a group (`metallb.io`), or one (`ipaddresspools.metallb.io`), or removes them; watches of them end. */
  install(name: string, isInstalled = true): void {
    this.store.install(name, isInstalled);
    if (!isInstalled) this.dropWatches();
  }

  /** A client's kubeconfig; with TLS, one with a certificate for `user`. */
  kubeconfig(user = 'kubernetes-admin', groups: readonly string[] = ['system:masters'], server = this.url): string {
    const client =
      this.authority === undefined ? undefined : issue(this.authority, { name: user, groups, usage: 'client' });
    return kubeconfigText({ server, user, authority: this.authority, client });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://embedded');
    const path = parseResourcePath(url.pathname);
    const isWatch = ['true', '1'].includes(url.searchParams.get('watch') ?? '');
    const method = isWatch ? 'WATCH' : (request.method ?? 'GET');
    this.#count(method, path);
    if (url.pathname.startsWith('/holdfast-test/')) return this.#control(url.pathname, request, response);
    const user = this.#authenticate(request);
    const fault = this.faults.take({ method, path: url.pathname, user: user ?? '' });
    switch (fault?.action.kind) {
      case 'hang':
        return;
      case 'reset':
        request.socket.destroy();
        return;
      case 'delay':
        await sleep(fault.action.ms);
        break;
      case 'status':
        answer(response, fault.action.code, faultStatus(fault.action.code), retryAfter(fault.action));
        return;
      case 'lose':
        response.end = () => {
          request.socket.destroy();
          return response;
        };
        break;
      case undefined:
        break;
    }
    if (user === undefined) throw new ApiFailure(401, 'Unauthorized', 'Unauthorized');
    if (path === undefined) {
      const document = discovery(url.pathname, this.store.kinds);
      if (typeof document === 'string') response.writeHead(200, { 'content-type': 'text/plain' }).end(document);
      else if (document !== undefined) answer(response, 200, document);
      else throw new ApiFailure(404, 'NotFound', 'the server could not find the requested resource');
      return;
    }
    await this.#serve(path, isWatch, url.searchParams, { request, response });
  }

  async #serve(
    path: ResourcePath,
    isWatch: boolean,
    query: URLSearchParams,
    { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  ): Promise<void> {
    const kind = this.store.kind(path.apiVersion, path.resource);
    const isStatus = path.subresource === 'status' && kind?.hasStatus === true;
    if (kind === undefined || (path.subresource !== undefined && !isStatus)) {
      throw new ApiFailure(404, 'NotFound', 'the server could not find the requested resource');
    }
    const place: Place = { kind, namespace: path.namespace };
    const part = isStatus ? 'status' : 'object';
    const { name } = path;
    if (isWatch) return this.#watch(place, name, query, response);
    switch (request.method) {
      case 'GET':
        return name === undefined
          ? answer(response, 200, await this.#collection.list(place, query))
          : answer(response, 200, this.store.get(place, name));
      case 'POST':
        if (name !== undefined) break;
        return answer(response, 201, this.store.create(place, await readBody(request)));
      case 'PUT': {
        if (name === undefined) break;
        const { object, isNew } = this.store.update(place, name, await readBody(request), part);
        return answer(response, isNew ? 201 : 200, object);
      }
      case 'PATCH':
        if (name === undefined) break;
        return answer(response, 200, this.#patch(place, name, part, await readPatch(request)));
      case 'DELETE': {
        const options = await readBody(request);
        const preconditions = isJson(options) && isJson(options['preconditions']) ? options['preconditions'] : {};
        if (name === undefined) return answer(response, 200, this.#collection.deleteAll(place, query));
        const { metadata } = this.store.delete(place, name, preconditions);
        const details = { name, group: kind.group, kind: kind.resource, uid: metadata.uid };
        return answer(response, 200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
      }
      default:
    }
    throw new ApiFailure(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
  }

  #patch(place: Place, name: string, part: 'object' | 'status', patch: unknown): unknown {
    const current = this.store.get(place, name);
    const merged = mergePatch(current, patch);
    const wanted = isJson(merged) && isJson(merged['metadata']) ? merged['metadata']['resourceVersion'] : undefined;
    if (wanted !== undefined && wanted !== current.metadata.resourceVersion) throw modified(place.kind, name);
    return this.store.update(place, name, merged, part).object;
  }

  #watch(place: Place, name: string | undefined, query: URLSearchParams, response: ServerResponse): void {
    const byName = name === undefined ? query.get('fieldSelector') : `metadata.name=${name}`;
    const timeoutSeconds = numberParameter(query, 'timeoutSeconds');
    const end = serveWatch(this.store, response, {
      place,
      matches: parseSelectors(query.get('labelSelector'), byName),
      fromVersion: numberParameter(query, 'resourceVersion'),
      wantsBookmarks: query.get('allowWatchBookmarks') === 'true',
      wantsInitialEvents: query.get('sendInitialEvents') === 'true',
      timeoutMs: timeoutSeconds === undefined ? WATCH_TIMEOUT_MS : timeoutSeconds * 1000,
      bookmarkIntervalMs: this.#options.bookmarkIntervalMs ?? 60_000,
    });
    this.#watches.add(end);
    response.on('close', () => this.#watches.delete(end));
  }

  /** The user, or undefined for nobody we know. Without TLS everybody is the administrator. */
  #authenticate(request: IncomingMessage): string | undefined {
    if (this.#options.tls === undefined) return 'kubernetes-admin';
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (token !== undefined) return this.#options.tls.tokens?.[token];
    const { socket } = request;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    const name = socket.getPeerCertificate().subject?.CN;
    return Array.isArray(name) ? name[0] : name;
  }

  async #control(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (path.slice('/holdfast-test/'.length)) {
      case 'faults':
        // The lab's own tooling writes these; their shape is FaultRule.
        this.faults.set(((await readBody(request)) ?? []) as readonly FaultRule[]);
        break;
      case 'drop-watches':
        this.dropWatches();
        break;
      case 'compact':
        this.store.compact();
        break;
      case 'install': {
        const groups: unknown = await readBody(request);
        for (const group of Array.isArray(groups) ? groups : []) this.install(String(group));
        break;
      }
      case 'requests':
        answer(response, 200, Object.fromEntries(this.requests));
        return;
      default:
        throw new ApiFailure(404, 'NotFound', `no control called ${path}`);
    }
    answer(response, 200, {});
  }

  #count(method: string, path: ResourcePath | undefined): void {
    const key = `${method} ${path?.resource ?? 'other'}`;
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
  }

  #answerFailure(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const failure =
      error instanceof ApiFailure ? error : new ApiFailure(500, 'InternalError', `embedded API: ${String(error)}`);
    answer(response, failure.code, statusOf(failure));
  }
}

async function readPatch(request: IncomingMessage): Promise<unknown> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim();
  if (type !== 'application/merge-patch+json') {
    throw new ApiFailure(
      415,
      'UnsupportedMediaType',
      `the body of the request was in an unknown format - accepted media types include: application/merge-patch+json`,
    );
  }
  return readBody(request);
}

const FAULT_REASONS: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function faultStatus(code: number): unknown {
  return statusOf({ code, reason: FAULT_REASONS[code] ?? '', message: `injected fault ${code}` });
}

function retryAfter(action: { readonly retryAfterSeconds?: number }): Record<string, string> {
  return action.retryAfterSeconds === undefined ? {} : { 'retry-after': String(action.retryAfterSeconds) };
}

function answer(response: ServerResponse, code: number, body: unknown, headers: Record<string, string> = {}): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(code, {
    ...headers,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
