/**
 * The status socket: HTTP on a unix socket, read by `holdfast status`. GET /status answers one StatusReport as JSON; GET
 * /status?watch answers one per line, upon change but at most ten a second, and at least one a second so that ages stay
 * true and a reader notices a stuck process. Nothing in it is secret; for the one order there is see control.ts. A path is open to its owner only; an
 * abstract name (`@name`) is open to every process of the node's network namespace.
 */

import { request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { answerControl, type Control } from './control.ts';
import { answerExplain, type Explain } from './explain.ts';
import { closeServer, createLimitedServer, listen, requestTarget, sendText, type ListenTarget } from './listen.ts';
import type { StatusReport } from './status-model.ts';

/** Watchers served at once; more get 503. */
export const WATCHERS_MAX = 8;
/** Least time between two lines to a watcher. */
export const WATCH_INTERVAL_MIN_MS = 100;
/** A line is sent this long after the last even without a change. */
export const WATCH_INTERVAL_MAX_MS = 1000;
/** Octets a watcher may leave unread before it is cut off. */
const WATCH_BACKLOG_MAX = 1 << 20;

const SETTING = 'vip_status_socket';

export interface StatusServerOptions {
  /** A path, or `@name` for an abstract socket of this network namespace. */
  readonly socket: string;
  /** Called for every answer. */
  readonly report: () => StatusReport;
  /** Orders that may come through the socket; without it there are none. */
  readonly control?: Control;
  readonly explain?: Explain;
}

export interface StatusServer {
  /** Something worth showing changed: watchers get a line soon. Cheap without watchers. */
  changed(): void;
  close(): Promise<void>;
}

/** Opens the socket. Rejects with HoldfastError PORT_IN_USE (somebody listens there) or LISTEN_FAILED. */
export async function openStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const watchers = new Set<Watcher>();
  const server = createLimitedServer((incoming, response) => {
    try {
      if (answerControl(options.control, incoming, response)) return;
      if (answerExplain(options.explain, incoming, response)) return;
      answer(options.report, watchers, incoming, response);
    } catch (error) {
      // a report that cannot be made is a bug, but none that may cost the VIP
      if (!response.headersSent) sendText(response, 500, `${String(error)}\n`);
      else response.destroy();
    }
  });
  await listenOnSocket(server, options.socket);
  return {
    changed: () => {
      for (const watcher of watchers) watcher.changed();
    },
    close: async () => {
      for (const watcher of watchers) watcher.end();
      await closeServer(server);
    },
  };
}

/** The path as node:net takes it: `@name` becomes the abstract name (unix(7)). */
export function socketPath(socket: string): string {
  return socket.startsWith('@') ? `\0${socket.slice(1)}` : socket;
}

function answer(
  report: () => StatusReport,
  watchers: Set<Watcher>,
  incoming: IncomingMessage,
  response: ServerResponse,
): void {
  const { path, query } = requestTarget(incoming);
  if (incoming.method !== 'GET') return sendText(response, 405, 'only GET\n');
  if (path !== '/status') return sendText(response, 404, 'only /status\n');
  if (!query.has('watch')) return sendText(response, 200, `${JSON.stringify(report())}\n`, 'application/json');
  if (watchers.size >= WATCHERS_MAX) return sendText(response, 503, `already ${WATCHERS_MAX} watchers\n`);
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const watcher = new Watcher(report, response);
  watchers.add(watcher);
  response.once('close', () => {
    watcher.end();
    watchers.delete(watcher);
  });
}

/** One open /status?watch. */
class Watcher {
  readonly #report: () => StatusReport;
  readonly #response: ServerResponse;
  #sentAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isEnded = false;

  constructor(report: () => StatusReport, response: ServerResponse) {
    this.#report = report;
    this.#response = response;
    this.#send();
  }

  changed(): void {
    this.#sendIn(Math.max(0, this.#sentAt + WATCH_INTERVAL_MIN_MS - performance.now()));
  }

  end(): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#response.end();
  }

  #sendIn(ms: number): void {
    if (this.#isEnded) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), ms).unref();
  }

  #send(): void {
    if (this.#response.writableLength > WATCH_BACKLOG_MAX) {
      this.#response.destroy();
      return;
    }
    this.#sentAt = performance.now();
    try {
      this.#response.write(`${JSON.stringify(this.#report())}\n`);
    } catch {
      this.#response.destroy(); // as above: the reader sees a broken stream, a plain GET says why
      return;
    }
    this.#sendIn(WATCH_INTERVAL_MAX_MS);
  }
}

async function listenOnSocket(server: Server, socket: string): Promise<void> {
  const target: ListenTarget = { kind: 'unix', path: socketPath(socket) };
  if (socket.startsWith('@')) return listen(server, target, SETTING);
  makeFolder(socket);
  try {
    await listen(server, target, SETTING);
  } catch (error) {
    const isTaken = error instanceof HoldfastError && error.code === 'PORT_IN_USE';
    if (!isTaken || !(await removeStale(socket))) throw error;
    await listen(server, target, SETTING);
  }
  chmodSync(socket, 0o600);
}

function makeFolder(socket: string): void {
  try {
    // one level only: /run/holdfast. `recursive` spins for ever where the kernel answers ENOENT, as in /proc
    mkdirSync(dirname(socket), { mode: 0o755 });
  } catch {
    // it exists, or listening says it better: that names the socket and the setting
  }
}

/** Removes a socket file that a killed process left. Only a socket, only if nobody listens, only the one that was tried. */
async function removeStale(path: string): Promise<boolean> {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before === undefined) return true;
  if (!before.isSocket() || (await isAnswering(path))) return false;
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now !== undefined && now.ino !== before.ino) return false;
  if (now !== undefined) unlinkSync(path);
  return true;
}

/** Only a refused connection (unix(7): bound, and nobody listens) counts as nobody; every doubt counts as somebody. */
function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => resolve(!('code' in error && error.code === 'ECONNREFUSED')));
  });
}

/** An open answer of the status socket. */
export interface StatusStream {
  /** One StatusReport's JSON text per element; ends when the server closes it. Throws HoldfastError when it breaks. */
  readonly lines: AsyncIterable<string>;
  close(): void;
}

/**
 * Asks the socket. Rejects with HoldfastError NOT_RUNNING: nobody listens, or nobody answers within `timeoutMs` (a stuck
 * process; `message` tells them apart).
 */
export function readStatus(socket: string, options: { isWatching: boolean; timeoutMs: number }): Promise<StatusStream> {
  return new Promise((resolve, reject) => {
    const path = options.isWatching ? '/status?watch' : '/status';
    const fail = (message: string, cause?: unknown): void =>
      reject(new HoldfastError('NOT_RUNNING', message, { context: { socket }, cause }));
    const outgoing = request({ socketPath: socketPath(socket), path, agent: false }, (response) => {
      if (response.statusCode !== 200) {
        response.destroy();
        return fail(`the status socket ${socket} refused: HTTP ${response.statusCode}`);
      }
      response.setEncoding('utf8');
      resolve({ lines: splitLines(response, socket), close: () => outgoing.destroy() });
    });
    outgoing.setTimeout(options.timeoutMs, () => {
      outgoing.destroy(new Error(`no answer within ${options.timeoutMs / 1000} s`));
    });
    outgoing.on('error', (error) => fail(failureText(error, socket), error));
    outgoing.end();
  });
}

async function* splitLines(response: IncomingMessage, socket: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of response) {
      const parts = (rest + String(chunk)).split('\n');
      rest = parts.pop() ?? '';
      yield* parts;
    }
  } catch (error) {
    const message = `the status socket ${socket} broke off: ${error instanceof Error ? error.message : String(error)}`;
    throw new HoldfastError('NOT_RUNNING', message, { context: { socket }, cause: error });
  }
}

export function failureText(error: Error, socket: string): string {
  const errno = 'code' in error ? error.code : undefined;
  if (errno === 'ENOENT' || errno === 'ECONNREFUSED') return `no Holdfast is running here: nobody listens on ${socket}`;
  if (errno === 'EACCES') return `no permission to use the status socket ${socket}: try as root`;
  return `Holdfast is there but does not answer on ${socket}: ${error.message}`;
}
