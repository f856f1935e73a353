/** The API as the running process uses it: credentials, client, the election Lease and its watch, Events, and their health. */

import type { HoldfastError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import { openApiHealth, type ApiHealth } from '../kube/api-health.ts';
import { kindOfStatus } from '../kube/api-result.ts';
import { openApiClient, type ApiClient, type ExchangeReport } from '../kube/client.ts';
import { openCredentials, type CredentialStore } from '../kube/credentials.ts';
import {
  openEventRecorder,
  SERVICE_EVENT_LIMITS,
  type EventRecorder,
  type InvolvedObject,
} from '../kube/event-recorder.ts';
import { openLeaseApi, type LeaseApi } from '../kube/lease.ts';
import type { Log } from '../kube/log.ts';
import type { Reflector, RestartReason } from '../kube/reflector.ts';
import type { LeaseRecord } from '../leader/lease-record.ts';
import type { RequestOutcome } from '../observe/metrics.ts';
import type { ApiStatus, LeaseStatus } from '../observe/status-model.ts';
import type { Netfd } from '../system/netfd.ts';
import type { RecordEvent } from './perform.ts';

export interface Kube {
  readonly client: ApiClient;
  readonly lease: LeaseApi;
  readonly recordEvent: RecordEvent;
  /** For Events about Services and pools; undefined where Services are left alone. */
  readonly serviceEvents: EventRecorder | undefined;
  /** Follows the election Lease; one watch for the life of the process. */
  watchLease(listener: (lease: LeaseRecord | undefined) => void): Reflector;
  onRequest(listener: (outcome: RequestOutcome) => void): void;
  onWatchRestart(listener: (resource: string, reason: RestartReason) => void): void;
  /** The virtual IPs as known now (names resolve late): they are never dialled. */
  setVips(vips: readonly string[]): void;
  apiStatus(): ApiStatus;
  /** What is wrong with the credentials, the API or our rights now. */
  problems(): readonly HoldfastError[];
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
  readonly client: ApiClient;
  readonly lease: LeaseApi;
  readonly recordEvent: RecordEvent;
  readonly serviceEvents: EventRecorder | undefined;
  readonly #credentials: CredentialStore;
  readonly #events: ReturnType<typeof openEventRecorder>;
  #onRequest: ((outcome: RequestOutcome) => void) | undefined;
  readonly #health: ApiHealth;
  #onWatchRestart: ((resource: string, reason: RestartReason) => void) | undefined;
  #watch: Reflector | undefined;
  #lastEndpoint = '';

  constructor(options: KubeOptions, credentials: CredentialStore) {
    const { config, log, netfd } = options;
    this.#credentials = credentials;
    this.#health = openApiHealth({
      log,
      credentialsPath: () => credentials.current?.path ?? config.api.kubeconfigPath,
    });
    this.client = openApiClient({
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
      onResult: (request, result) => this.#health.observe(request, result),
    });
    this.lease = openLeaseApi({
      client: this.client,
      namespace: config.election.namespace,
      name: config.election.leaseName,
      deadlineMs: config.api.timeoutMs,
      log,
      onWatchRestart: (reason) => this.#onWatchRestart?.('leases', reason),
    });
    const about = (): InvolvedObject => ({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      namespace: config.election.namespace,
      name: config.election.leaseName,
      ...(this.lease.uid === undefined ? {} : { uid: this.lease.uid }),
    });
    const common = { client: this.client, node: config.nodeName, about, log };
    this.#events = openEventRecorder(common);
    if (config.services !== undefined) this.serviceEvents = openEventRecorder({ ...common, ...SERVICE_EVENT_LIMITS });
    this.recordEvent = (event) => this.#events.record(event);
  }

  watchLease(listener: (lease: LeaseRecord | undefined) => void): Reflector {
    this.#watch = this.lease.watch(listener);
    return this.#watch;
  }

  onRequest(listener: (outcome: RequestOutcome) => void): void {
    this.#onRequest = listener;
  }

  onWatchRestart(listener: (resource: string, reason: RestartReason) => void): void {
    this.#onWatchRestart = listener;
  }

  setVips(vips: readonly string[]): void {
    this.client.setVips(vips);
  }

  apiStatus(): ApiStatus {
    const at = performance.now();
    const { lastSuccessAt, lastFailure: failure } = this.#health;
    const lastFailure =
      failure === undefined
        ? undefined
        : { kind: failure.kind, message: failure.message, agoMs: Math.round(at - failure.at) };
    const isFailing = failure !== undefined && (lastSuccessAt === undefined || failure.at > lastSuccessAt);
    return {
      endpoint: this.#lastEndpoint || (this.client.preferredEndpoint ?? ''),
      isReachable: !isFailing && (lastSuccessAt !== undefined || this.#watch?.isSynced === true),
      lastSuccessAgoMs: lastSuccessAt === undefined ? undefined : Math.round(at - lastSuccessAt),
      lastFailure,
    };
  }

  problems(): readonly HoldfastError[] {
    const { problem } = this.client;
    return problem === undefined ? this.#health.problems : [problem, ...this.#health.problems];
  }

  watchStatus(): LeaseStatus['watch'] {
    const ageMs = this.#watch?.lastEventAgeMs ?? Number.POSITIVE_INFINITY;
    return {
      isSynced: this.#watch?.isSynced ?? false,
      lastEventAgoMs: Number.isFinite(ageMs) ? Math.round(ageMs) : undefined,
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#events.flush(EVENTS_FLUSH_MS), this.serviceEvents?.flush(EVENTS_FLUSH_MS)]);
    this.#events.close();
    this.serviceEvents?.close();
    this.client.close();
    this.#credentials.close();
  }

  #observe({ verb, resource, endpoint, outcome, durationMs }: ExchangeReport): void {
    this.#lastEndpoint = endpoint;
    this.#onRequest?.({ verb, resource, outcome: outcomeOf(outcome), durationMs });
  }
}

function outcomeOf(outcome: ExchangeReport['outcome']): string {
  if (typeof outcome === 'string') return outcome === 'error' ? 'unreachable' : outcome;
  return outcome < 400 ? 'ok' : kindOfStatus(outcome, undefined, '', false);
}
