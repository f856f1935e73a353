/**
 * One plain HTTP server for machines: /metrics on the Prometheus address, /livez, /readyz and /healthz there and on the
 * health port. Answers come from memory, never from the network or the API. `?verbose` names each check, in the form of
 * kube-apiserver's. A port that is taken doesn't stop the daemon, the VIP matters more: it is reported, and tried again
 * until it is free (the predecessor of a restarted pod may still be letting go of it).
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { HoldfastError } from '../base/errors.ts';
import { checkLive, checkReady, isPassed, type Check, type LoopPulse } from './health.ts';
import {
  closeServer,
  createLimitedServer,
  listen,
  parseHostPort,
  requestTarget,
  sendText,
  targetText,
  type ListenTarget,
} from './listen.ts';
import type { StatusReport } from './status-model.ts';

/** Between two attempts to open a port that was taken. */
export const LISTEN_RETRY_MS = 5000;

export interface HttpServerOptions {
  /** `host:port` or `:port` of /metrics (`prometheus_server`); undefined = off. */
  readonly metricsAddress: string | undefined;
  /** Port of the health paths (`health_check_port`), on every address; 0 = on the metrics address only. */
  readonly healthPort: number;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly pulse: () => LoopPulse;
  readonly report: () => StatusReport;
  /** A port could not be opened (called once per port until it is). */
  readonly onProblem: (error: HoldfastError) => void;
  /** A port that could not be opened was opened at last. */
  readonly onRecovered?: (where: string) => void;
  /** Reject instead of retrying: for those who'd rather have no VIP than no metrics. */
  readonly isStrict?: boolean;
  readonly retryMs?: number;
}

export interface HttpServer {
  /** Where it listens now, as `host:port` texts; for tests and the log. */
  addresses(): readonly string[];
  /** Cuts every connection; never waits for a client. */
  close(): Promise<void>;
}

/** Opens what is configured. Rejects (HoldfastError PORT_IN_USE, LISTEN_FAILED) only if strict. */
export async function openHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const targets = chooseTargets(options);
  const listeners = targets.map((chosen) => new Listener(chosen, options));
  try {
    for (const listener of listeners) await listener.open();
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()));
    throw error;
  }
  return {
    addresses: () => listeners.flatMap((listener) => listener.address() ?? []),
    close: async () => {
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
}

interface ChosenTarget {
  readonly target: ListenTarget;
  readonly setting: string;
  readonly hasMetrics: boolean;
}

function chooseTargets(options: HttpServerOptions): readonly ChosenTarget[] {
  const chosen: ChosenTarget[] = [];
  const where = options.metricsAddress === undefined ? undefined : parseHostPort(options.metricsAddress);
  if (where !== undefined) {
    chosen.push({ target: { kind: 'tcp', ...where }, setting: 'prometheus_server', hasMetrics: true });
  } else if (options.metricsAddress !== undefined) {
    const message = `prometheus_server ${options.metricsAddress} is not host:port`;
    options.onProblem(new HoldfastError('LISTEN_FAILED', message, { context: { setting: 'prometheus_server' } }));
  }
  // the same port for both: one listener serves both
  if (options.healthPort !== 0 && options.healthPort !== where?.port) {
    const target: ListenTarget = { kind: 'tcp', host: undefined, port: options.healthPort };
    chosen.push({ target, setting: 'health_check_port', hasMetrics: false });
  }
  return chosen;
}

/** One port: opened, or tried again until it is. */
class Listener {
  readonly #chosen: ChosenTarget;
  readonly #options: HttpServerOptions;
  #server: Server | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;
  #hasFailed = false;

  constructor(chosen: ChosenTarget, options: HttpServerOptions) {
    this.#chosen = chosen;
    this.#options = options;
  }

  async open(): Promise<void> {
    const { target, setting, hasMetrics } = this.#chosen;
    const server = createLimitedServer((incoming, response) => {
      answer(this.#options, hasMetrics, incoming, response).catch((error: unknown) => {
        if (!response.headersSent) sendText(response, 500, `${String(error)}\n`);
        else response.destroy();
      });
    });
    try {
      await listen(server, target, setting);
    } catch (error) {
      if (!(error instanceof HoldfastError) || this.#options.isStrict === true) throw error;
      this.#failed(error);
      return;
    }
    if (this.#isClosed) return closeServer(server);
    this.#server = server;
    if (this.#hasFailed) this.#options.onRecovered?.(targetText(target));
  }

  address(): string | undefined {
    const bound = this.#server?.address();
    if (bound === null || bound === undefined || typeof bound === 'string') return undefined;
    return targetText({ kind: 'tcp', host: bound.address, port: bound.port });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    if (this.#server !== undefined) await closeServer(this.#server);
  }

  #failed(error: HoldfastError): void {
    if (this.#isClosed) return;
    if (!this.#hasFailed) this.#options.onProblem(error);
    this.#hasFailed = true;
    // open() rejects only if strict, and then there is no retry
    this.#retry = setTimeout(() => void this.open(), this.#options.retryMs ?? LISTEN_RETRY_MS).unref();
  }
}

async function answer(
  options: HttpServerOptions,
  hasMetrics: boolean,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { path, query } = requestTarget(incoming);
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return sendText(response, 405, 'only GET and HEAD\n');
  const isVerbose = query.has('verbose');
  switch (path) {
    case '/metrics': {
      if (!hasMetrics) return sendText(response, 404, 'metrics are on the prometheus_server address\n');
      const { contentType, text } = await options.metrics();
      return sendText(response, 200, text, contentType);
    }
    case '/livez':
      return sendChecks(response, 'livez', checkLive(options.pulse()), isVerbose);
    case '/healthz':
      return sendHealth(response, checkLive(options.pulse()), checkReady(options.report()), isVerbose);
    case '/readyz':
      return sendChecks(
        response,
        'readyz',
        [...checkLive(options.pulse()), ...checkReady(options.report())],
        isVerbose,
      );
    default:
      return sendText(response, 404, 'there are /metrics, /livez, /readyz and /healthz\n');
  }
}

function sendChecks(response: ServerResponse, name: string, checks: readonly Check[], isVerbose: boolean): void {
  const hasPassed = isPassed(checks);
  sendText(
    response,
    hasPassed ? 200 : 503,
    hasPassed && !isVerbose ? 'ok\n' : `${checkLines(checks)}${verdict(name, hasPassed)}`,
  );
}

/** Liveness decides the code; the readiness checks are told, so that one look says what is wrong. */
function sendHealth(
  response: ServerResponse,
  live: readonly Check[],
  ready: readonly Check[],
  isVerbose: boolean,
): void {
  const hasPassed = isPassed(live);
  const text = `${checkLines([...live, ...ready])}${verdict('healthz', hasPassed)}`;
  sendText(response, hasPassed ? 200 : 503, hasPassed && !isVerbose ? 'ok\n' : text);
}

function checkLines(checks: readonly Check[]): string {
  return checks
    .map((check) => (check.isOk ? `[+]${check.name} ok` : `[-]${check.name} failed: ${check.detail}`) + '\n')
    .join('');
}

function verdict(name: string, hasPassed: boolean): string {
  return `${name} check ${hasPassed ? 'passed' : 'failed'}\n`;
}
