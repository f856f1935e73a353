/**
 * What requests are made with: the present identity, its connections, the endpoints in their order of the moment. Replaced
 * as a whole when the credentials change; requests under way finish on the old connections.
 *
 * Also two small probes that run beside the requests: whether an endpoint better than the one in use (this node's own) is
 * ready again, and whether admin.conf has its rights by now while super-admin.conf stands in for it.
 */

import type { Socket } from 'node:net';
import { HoldfastError } from '../base/errors.ts';
import type { Netfd } from '../system/netfd.ts';
import { isSameTransport, type CredentialStore, type Credentials } from './credentials.ts';
import { listEndpoints, type Endpoint, type EndpointPolicy } from './endpoints.ts';
import {
  closeTransport,
  exchangeHead,
  openTransport,
  readBody,
  type ExchangeRequest,
  type Transport,
} from './http-exchange.ts';
import type { Log } from './log.ts';

export interface Session {
  readonly credentials: Credentials;
  readonly transport: Transport;
  /** In order of preference, as listEndpoints gives them. */
  readonly endpoints: readonly Endpoint[];
}

/** What this node's own API server said to a look at it. */
export interface LocalAnswer {
  /** HTTP status; undefined when there was no answer, and `message` says why. */
  readonly status: number | undefined;
  readonly message: string;
}

export interface LocalProbe {
  readonly path: string;
  readonly timeoutMs: number;
  /** The connection the answer came over has ended. */
  readonly onDisconnect: () => void;
}

export interface SessionOptions {
  readonly credentials: CredentialStore;
  readonly endpoints: EndpointPolicy;
  readonly log: Log;
  /** Lets dead connections be noticed in 3 s instead of 11 s. */
  readonly netfd?: Netfd;
  /** How often admin.conf is probed while super-admin.conf stands in for it. Default 5 s. */
  readonly primaryProbeMs?: number;
}

/** A better endpoint than the one in use is looked at this often, at most. */
const RETURN_PROBE_MS = 2000;
const PROBE_TIMEOUT_MS = 1000;
const PROBE_BODY_LIMIT = 1 << 20;
const PRIMARY_PROBE_MS = 5000;
/** Requests under way keep their old connection for this long after a rotation. */
const TRANSPORT_LINGER_MS = 10_000;

export class SessionKeeper {
  /** undefined before the first usable credentials: `problem` says why. */
  current: Session | undefined;
  problem: HoldfastError | undefined;
  readonly #options: SessionOptions;
  readonly #reconnectListeners = new Set<() => void>();
  readonly #lingering = new Map<Transport, NodeJS.Timeout>();
  readonly #unsubscribe: () => void;
  #peers: readonly string[] = [];
  #vips: readonly string[];
  #lastGood = '';
  #lastLocal = '';
  readonly #heardSockets = new WeakSet<Socket>();
  #returnProbeAt = 0;
  #isProbingReturn = false;
  #primaryTimer: NodeJS.Timeout | undefined;
  #forbiddenPath = '/version';
  #isClosed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#vips = options.endpoints.vips;
    this.#unsubscribe = options.credentials.onChange(() => this.#renew());
    this.#renew();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The last good endpoint first, then the others as listed. */
  inOrder(session: Session): readonly Endpoint[] {
    const good = session.endpoints.find((endpoint) => endpoint.name === this.#lastGood);
    if (good === undefined || good === session.endpoints[0]) return session.endpoints;
    return [good, ...session.endpoints.filter((endpoint) => endpoint !== good)];
  }

  /** Called as a request begins: looks whether an endpoint listed before the one in use is ready again. */
  considerReturn(session: Session): void {
    const now = performance.now();
    const used = session.endpoints.findIndex((endpoint) => endpoint.name === this.#lastGood);
    if (used <= 0 || this.#isProbingReturn || now < this.#returnProbeAt) return;
    this.#returnProbeAt = now + RETURN_PROBE_MS;
    this.#isProbingReturn = true;
    void findReady(session, session.endpoints.slice(0, used)).then((ready) => {
      this.#isProbingReturn = false;
      if (ready !== undefined && this.current?.transport === session.transport) this.prefer(this.current, ready);
    });
  }

  /** GET at this node's own API server and nowhere else; undefined: it has none, or there are no credentials yet. */
  async probeLocal(options: LocalProbe): Promise<LocalAnswer | undefined> {
    const session = this.current;
    const locals = session?.endpoints.filter((endpoint) => endpoint.origin === 'local') ?? [];
    if (session === undefined || locals.length === 0) return undefined;
    const deadlineAt = performance.now() + options.timeoutMs;
    // The one of 127.0.0.1 and ::1 that answered goes on being asked: the other one is refused, or the same server.
    const inOrder = locals.toSorted((a, b) => Number(b.name === this.#lastLocal) - Number(a.name === this.#lastLocal));
    let last: LocalAnswer | undefined;
    for (const endpoint of inOrder) {
      const head = await exchangeHead({
        ...getOf(session, endpoint, options.path),
        connection: 'probe',
        headTimeoutMs: deadlineAt - performance.now(),
      });
      if (!head.ok) {
        last = { status: undefined, message: head.message };
        if (head.cause === 'timeout') return last;
        continue;
      }
      this.#lastLocal = endpoint.name;
      this.#hearEnd(head.response.socket, options.onDisconnect);
      const status = head.response.statusCode;
      const read = await readBody(head.response, {
        limit: PROBE_BODY_LIMIT,
        timeoutMs: deadlineAt - performance.now(),
        signal: undefined,
      });
      return read.ok
        ? { status, message: `${options.path} has status ${status}` }
        : { status: undefined, message: read.message };
    }
    return last;
  }

  #hearEnd(socket: Socket, onDisconnect: () => void): void {
    if (this.#heardSockets.has(socket)) return;
    this.#heardSockets.add(socket);
    socket.once('close', onDisconnect);
  }

  /** `endpoint` answered: it is asked first from now on. */
  prefer(session: Session, endpoint: Endpoint): void {
    if (this.#lastGood === endpoint.name) return;
    const before = this.#lastGood;
    this.#lastGood = endpoint.name;
    if (before === '' && endpoint === session.endpoints[0]) return;
    this.#returnProbeAt = performance.now() + RETURN_PROBE_MS;
    // 127.0.0.1 and ::1 are the same server: nothing changed that anybody could act on, and while it limps they alternate.
    const former = session.endpoints.find(({ name }) => name === before);
    const isSameServer = former?.origin === 'local' && endpoint.origin === 'local';
    this.#options.log(isSameServer ? 'debug' : 'info', 'api endpoint changed', { from: before, to: endpoint.name });
  }

  setPeers(peers: readonly string[]): void {
    this.#peers = [...peers];
    this.#renewEndpoints();
  }

  setVips(vips: readonly string[]): void {
    this.#vips = [...vips];
    this.#renewEndpoints();
  }

  /** The API refused `used` for `path`: another identity may stand in. Resolves once `current` is what to go on with. */
  async reportForbidden(used: Credentials, path: string): Promise<void> {
    if (await this.#options.credentials.reportForbidden(used)) this.#forbiddenPath = path;
  }

  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => this.#reconnectListeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#unsubscribe();
    this.#reconnectListeners.clear();
    clearTimeout(this.#primaryTimer);
    for (const [transport, timer] of this.#lingering) {
      clearTimeout(timer);
      closeTransport(transport);
    }
    this.#lingering.clear();
    if (this.current !== undefined) closeTransport(this.current.transport);
    this.current = undefined;
  }

  #renew(): void {
    if (this.#isClosed) return;
    const { current } = this.#options.credentials;
    if (current === undefined) return;
    this.#watchPrimary(current);
    const before = this.current;
    const isKept = before !== undefined && isSameTransport(before.credentials, current);
    try {
      const endpoints = this.#listEndpoints(current);
      const transport = isKept ? before.transport : this.#openTransport(current);
      this.current = { credentials: current, transport, endpoints };
      this.problem = undefined;
    } catch (cause) {
      this.#reportBadIdentity(current, cause);
      return;
    }
    if (isKept) return;
    if (before !== undefined) this.#retire(before.transport);
    for (const listener of this.#reconnectListeners) listener();
  }

  #openTransport(identity: Credentials): Transport {
    return openTransport(identity, { netfd: this.#options.netfd, vips: () => this.#vips });
  }

  #listEndpoints(credentials: Credentials): readonly Endpoint[] {
    const policy = { ...this.#options.endpoints, vips: this.#vips };
    const listed = listEndpoints(policy, credentials.endpoint, this.#peers);
    if (listed.ok) return listed.value;
    throw new HoldfastError('KUBECONFIG_INVALID', `${listed.detail ?? '?'} is no https URL of an API server`, {
      context: { path: credentials.path },
    });
  }

  #renewEndpoints(): void {
    if (this.current === undefined) return;
    this.current = { ...this.current, endpoints: this.#listEndpoints(this.current.credentials) };
  }

  /** The last good session stays in use: a half-written certificate is mended by the next reading. */
  #reportBadIdentity(credentials: Credentials, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.problem =
      cause instanceof HoldfastError
        ? cause
        : new HoldfastError('KUBECONFIG_INVALID', `${credentials.path}: ${reason}`, {
            context: { path: credentials.path },
            cause,
          });
    this.#options.log('error', 'api credentials cannot be used', {
      code: this.problem.code,
      reason: this.problem.message,
      remedy: this.problem.remedy,
    });
  }

  #retire(transport: Transport): void {
    const timer = setTimeout(() => {
      this.#lingering.delete(transport);
      closeTransport(transport);
    }, TRANSPORT_LINGER_MS);
    timer.unref();
    this.#lingering.set(transport, timer);
  }

  #watchPrimary(current: Credentials): void {
    clearTimeout(this.#primaryTimer);
    this.#primaryTimer = undefined;
    if (!current.isStandIn) return;
    const interval = this.#options.primaryProbeMs ?? PRIMARY_PROBE_MS;
    this.#primaryTimer = setTimeout(() => {
      void this.#probePrimary().then(() => {
        const now = this.#options.credentials.current;
        if (!this.#isClosed && now !== undefined) this.#watchPrimary(now);
      });
    }, interval);
  }

  /** Asks as admin.conf for what was forbidden to it. */
  async #probePrimary(): Promise<void> {
    const { primary, current } = this.#options.credentials;
    const session = this.current;
    if (primary === undefined || current === undefined || session === undefined) return;
    const credentials: Credentials = { ...primary, generation: current.generation, isStandIn: false };
    const transport = this.#openTransport(credentials);
    try {
      const endpoint = this.inOrder(session)[0];
      if (endpoint === undefined) return;
      const status = await probe({ credentials, transport, endpoints: [endpoint] }, endpoint, this.#forbiddenPath);
      const isAccepted = status === 404 || (status !== undefined && status >= 200 && status < 300);
      if (isAccepted) this.#options.credentials.acceptPrimary();
    } finally {
      closeTransport(transport);
    }
  }
}

async function findReady(session: Session, endpoints: readonly Endpoint[]): Promise<Endpoint | undefined> {
  for (const endpoint of endpoints) {
    if ((await probe(session, endpoint, '/readyz')) === 200) return endpoint;
  }
  return undefined;
}

/** The status of a GET of `path`; undefined without one. */
async function probe(session: Session, endpoint: Endpoint, path: string): Promise<number | undefined> {
  const head = await exchangeHead({
    ...getOf(session, endpoint, path),
    connection: 'general',
    headTimeoutMs: PROBE_TIMEOUT_MS,
  });
  if (!head.ok) return undefined;
  await readBody(head.response, { limit: PROBE_BODY_LIMIT, timeoutMs: PROBE_TIMEOUT_MS, signal: undefined });
  return head.response.statusCode;
}

function getOf(
  session: Session,
  endpoint: Endpoint,
  path: string,
): Omit<ExchangeRequest, 'connection' | 'headTimeoutMs'> {
  return {
    endpoint,
    transport: session.transport,
    method: 'GET',
    target: path,
    headers: headersOf(session.credentials, undefined, undefined),
    body: undefined,
    signal: undefined,
  };
}

/** The headers of one request as `credentials`. */
export function headersOf(
  credentials: Credentials,
  contentType: string | undefined,
  body: Buffer | undefined,
): Record<string, string> {
  return {
    accept: 'application/json',
    'user-agent': 'holdfast',
    ...(credentials.authorization === undefined ? {} : { authorization: credentials.authorization }),
    ...(body === undefined
      ? {}
      : { 'content-type': contentType ?? 'application/json', 'content-length': String(body.length) }),
  };
}
