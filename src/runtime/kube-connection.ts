/** The API as the running process uses it: credentials, client, the election Lease and its watch, Events, and their health. */

import type { Config } from '../config/config.ts';
import { openApiClient, type ApiClient, type ExchangeReport } from '../kube/client.ts';
import { openCredentials, type CredentialStore } from '../kube/credentials.ts';
import { openEventRecorder } from '../kube/event-recorder.ts';
import { openLeaseApi, type LeaseApi } from '../kube/lease.ts';
import type { Log } from '../kube/log.ts';
import type { Reflector } from '../kube/reflector.ts';
import type { LeaseRecord } from '../leader/lease-record.ts';
import type { RequestOutcome } from '../observe/metrics.ts';
import type { ApiStatus, LeaseStatus } from '../observe/status-model.ts';
import type { Netfd } from '../system/netfd.ts';
import type { RecordEvent } from './perform.ts';

export interface Kube {
  readonly lease: LeaseApi;
  readonly recordEvent: RecordEvent;
  /** Follows the election Lease; one watch for the life of the process. */
  watchLease(listener: (lease: LeaseRecord | undefined) => void): Reflector;
  onRequest(listener: (outcome: RequestOutcome) => void): void;
  /** The virtual IPs as known now (names resolve late): they are never dialled. */
  setVips(vips: readonly string[]): void;
  apiStatus(): ApiStatus;
  watchStatus(): LeaseStatus['watch'];
  close(): Promise<void>;
}

/** At the end, for the Events that tell of it: best effort. */
const EVENTS_FLUSH_MS = 500;

interface KubeOptions {
  readonly config: Config;
  readonly log: Log;
  readonly netfd: Netfd;
}

/** Never rejects for a missing kubeconfig or an API that is away: both are waited for. */
export async function openKube(options: KubeOptions): Promise<Kube> {
  const { api } = options.config;
  const credentials = await openCredentials({ kubeconfigPath: api.kubeconfigPath, log: options.log });
  return new KubeConnection(options, credentials);
}

class KubeConnection implements Kube {
  readonly lease: LeaseApi;
  readonly recordEvent: RecordEvent;
  readonly #client: ApiClient;
  readonly #credentials: CredentialStore;
  readonly #events: ReturnType<typeof openEventRecorder>;
  #onRequest: ((outcome: RequestOutcome) => void) | undefined;
  #watch: Reflector | undefined;
  #lastSuccessAt: number | undefined;
  #lastFailure: { readonly kind: string; readonly message: string; readonly at: number } | undefined;
  #lastEndpoint = '';

  constructor(options: KubeOptions, credentials: CredentialStore) {
    const { config, log, netfd } = options;
    this.#credentials = credentials;
    this.#client = openApiClient({
      credentials,
      endpoints: {
        override: config.api.endpointOverride,
        isControlPlane: config.isControlPlane,
        port: config.api.port,
        vips: config.vip.sources.map((source) => (source.kind === 'ip' ? source.ip.text : source.name)),
      },
      log,
      netfd,
      onExchange: (report) => this.#observe(report),
    });
    this.lease = openLeaseApi({
      client: this.#client,
      namespace: config.election.namespace,
      name: config.election.leaseName,
      deadlineMs: config.api.timeoutMs,
      log,
    });
    this.#events = openEventRecorder({
      client: this.#client,
      node: config.nodeName,
      about: {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        namespace: config.election.namespace,
        name: config.election.leaseName,
      },
      log,
    });
    this.recordEvent = (event) => this.#events.record(event);
  }

  watchLease(listener: (lease: LeaseRecord | undefined) => void): Reflector {
    this.#watch = this.lease.watch(listener);
    return this.#watch;
  }

  onRequest(listener: (outcome: RequestOutcome) => void): void {
    this.#onRequest = listener;
  }

  setVips(vips: readonly string[]): void {
    this.#client.setVips(vips);
  }

  apiStatus(): ApiStatus {
    const at = performance.now();
    const failure = this.#lastFailure;
    const lastFailure =
      failure === undefined
        ? undefined
        : { kind: failure.kind, message: failure.message, agoMs: Math.round(at - failure.at) };
    const isFailing = failure !== undefined && (this.#lastSuccessAt === undefined || failure.at > this.#lastSuccessAt);
    return {
      endpoint: this.#lastEndpoint || (this.#client.preferredEndpoint ?? ''),
      isReachable: !isFailing && (this.#lastSuccessAt !== undefined || this.#watch?.isSynced === true),
      lastSuccessAgoMs: this.#lastSuccessAt === undefined ? undefined : Math.round(at - this.#lastSuccessAt),
      lastFailure: lastFailure ?? this.#credentialFailure(at),
    };
  }

  watchStatus(): LeaseStatus['watch'] {
    const ageMs = this.#watch?.lastEventAgeMs ?? Number.POSITIVE_INFINITY;
    return {
      isSynced: this.#watch?.isSynced ?? false,
      lastEventAgoMs: Number.isFinite(ageMs) ? Math.round(ageMs) : undefined,
    };
  }

  async close(): Promise<void> {
    await this.#events.flush(EVENTS_FLUSH_MS);
    this.#events.close();
    this.#client.close();
    this.#credentials.close();
  }

  #credentialFailure(at: number): ApiStatus['lastFailure'] {
    const problem = this.#credentials.problem;
    return problem === undefined
      ? undefined
      : { kind: problem.code, message: problem.message, agoMs: Math.round(at - performance.now()) };
  }

  #observe(report: ExchangeReport): void {
    const at = performance.now();
    this.#lastEndpoint = report.endpoint;
    const isAnswered = typeof report.outcome === 'number';
    const isGood = isAnswered && (report.outcome < 400 || report.outcome === 404 || report.outcome === 409);
    if (isGood) this.#lastSuccessAt = at;
    else this.#lastFailure = { kind: String(report.outcome), message: `${report.method} ${report.endpoint}`, at };
    this.#onRequest?.({
      verb: verbOf(report.method),
      resource: 'api',
      outcome: isGood ? 'ok' : String(report.outcome),
      durationMs: report.durationMs,
    });
  }
}

function verbOf(method: string): RequestOutcome['verb'] {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    default:
      return 'get';
  }
}
