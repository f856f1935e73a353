/**
 * A plain client of an API server for tests, apart from the product's own: single requests and watches, each on a
 * connection of its own unless connections are kept, from within any namespace of the lab.
 */

import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { createInterface } from 'node:readline';
import { connect as tlsConnect } from 'node:tls';

import type { Certificate } from './certificates.ts';
import { tcpSocketIn } from './namespace.ts';

export interface ApiAccess {
  readonly server: string;
  readonly authority?: Pick<Certificate, 'certificatePem'> | undefined;
  readonly client?: Pick<Certificate, 'certificatePem' | 'keyPem'> | undefined;
  readonly token?: string | undefined;
  /** Expect this name in the server's certificate instead of the host of `server`. */
  readonly tlsServerName?: string | undefined;
  /** Network namespace to connect from. */
  readonly namespace?: string | undefined;
  /** So many connections are kept and used again (HTTPS only); default: each request makes its own. */
  readonly keptConnections?: number | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON where it is JSON, else the text. */
  readonly body: unknown;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string; readonly resourceVersion: string; readonly [field: string]: unknown };
    readonly [field: string]: unknown;
  };
}

export interface RequestParts {
  readonly body?: unknown;
  readonly contentType?: string;
  readonly deadlineMs?: number;
}

export class ApiClient {
  readonly #access: ApiAccess;
  readonly #agent: Agent | undefined;

  constructor(access: ApiAccess) {
    this.#access = access;
    const { keptConnections } = access;
    if (keptConnections === undefined) return;
    this.#agent = new Agent({ keepAlive: true, maxSockets: keptConnections });
    this.#agent.createConnection = () => this.#connect(new URL(access.server));
  }

  /** Ends kept connections. */
  close(): void {
    this.#agent?.destroy();
  }

  /** One request; any HTTP status is an answer. Throws when there is none before the deadline (default 10 s). */
  async request(method: string, path: string, parts: RequestParts = {}): Promise<ApiAnswer> {
    const response = await this.#send(method, path, parts);
    const chunks: Buffer[] = [];
    for await (const chunk of response) if (chunk instanceof Buffer) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const isJson = response.headers['content-type']?.includes('json') === true;
    const body: unknown = isJson ? JSON.parse(text) : text;
    return { status: response.statusCode ?? 0, headers: response.headers, body };
  }

  /** Opens a watch; answers once the server has begun to. */
  async watch(path: string): Promise<ApiWatch> {
    const response = await this.#send('GET', path, { deadlineMs: 600_000 });
    return new ApiWatch(response);
  }

  #send(method: string, path: string, parts: RequestParts): Promise<IncomingMessage> {
    const { body, contentType = 'application/json', deadlineMs = 10_000 } = parts;
    const { token } = this.#access;
    const url = new URL(this.#access.server);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options: RequestOptions = {
      method,
      path,
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      signal: AbortSignal.timeout(deadlineMs),
      headers: {
        accept: 'application/json',
        // Node frames a DELETE's body only when its length is given.
        ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(this.#agent === undefined ? { createConnection: () => this.#connect(url) } : { agent: this.#agent }),
    };
    return new Promise((resolve, reject) => {
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(options, resolve);
      request.on('error', reject);
      request.end(text);
    });
  }

  #connect(url: URL): ReturnType<typeof tcpSocketIn> {
    const { namespace, authority, client, tlsServerName } = this.#access;
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const socket = tcpSocketIn(namespace, host.includes(':') ? 'ipv6' : 'ipv4');
    socket.connect(Number(url.port), host);
    if (url.protocol !== 'https:') return socket;
    return tlsConnect({
      socket,
      host,
      ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
      ...(authority === undefined ? {} : { ca: authority.certificatePem }),
      ...(client === undefined ? {} : { cert: client.certificatePem, key: client.keyPem }),
    });
  }
}

/** An open watch: its events so far, and the next ones as they come. */
export class ApiWatch {
  readonly status: number;
  readonly events: WatchEvent[] = [];
  /** Resolves when the server ended the stream or close() was called. */
  readonly ended: Promise<void>;
  readonly #response: IncomingMessage;
  #wake = (): void => {};
  #isOver = false;

  constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    response.on('error', () => {});
    const lines = createInterface({ input: response });
    // Since Node 24 a reader of lines repeats its input's error; how a watch ends is for `ended` to say.
    lines.on('error', () => {});
    lines.on('line', (line) => {
      // Each line of a watch is a WatchEvent (Kubernetes API concepts, "Efficient detection of changes").
      this.events.push(JSON.parse(line) as WatchEvent);
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      response.on('close', () => {
        this.#isOver = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** Waits for the first event that `is` accepts. */
  async find(is: (event: WatchEvent) => boolean, deadlineMs = 5000): Promise<WatchEvent> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const found = this.events.find(is);
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (left <= 0 || this.#isOver) {
        const seen = this.events.map((event) => event.type).join(' ');
        throw new Error(`no such event among the ${this.events.length} seen: ${seen}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  close(): void {
    this.#response.destroy();
  }
}
