/**
 * The key of the heartbeats: a Secret beside the election Lease, made of 32 random octets by whichever candidate first
 * finds that there is none, and followed by a watch from then on. And the cluster's identity: the uid of a namespace that
 * is never deleted.
 *
 *     data.key       the key, at least KEY_MIN octets
 *     data.previous  optional: the one before it, accepted as well while it is here
 *
 * Who may not read them is told once, with what to do, and asks again now and then: rights come without a restart.
 */

import { randomBytes } from 'node:crypto';
import { fillRemedy, ERRORS } from '../base/errors.ts';
import type { ApiFailure } from './api-result.ts';
import { Backoff, Pause } from './backoff.ts';
import type { ApiClient } from './client.ts';
import { asObject, asText, metadataText, type JsonObject } from '../base/json.ts';
import type { Log } from './log.ts';
import { startReflector, type Reflector } from './reflector.ts';

export const HEARTBEAT_SECRET = 'holdfast-heartbeat';
/** Namespace whose uid names the cluster. */
export const CLUSTER_NAMESPACE = 'kube-system';

const KEY_LENGTH = 32;
/** 128 bits. */
const KEY_MIN = 16;
const KEY_MAX = 256;
const BACKOFF_MIN_MS = 200;
const BACKOFF_MAX_MS = 10_000;
const FORBIDDEN_MIN_MS = 500;
const FORBIDDEN_PAUSE_MS = 30_000;

export interface HeartbeatKeyOptions {
  readonly client: ApiClient;
  /** Of the election Lease. */
  readonly namespace: string;
  /** Of each call, ms. */
  readonly deadlineMs: number;
  readonly log: Log;
  /** The keys that hold now, the newest first: at first, and whenever they change. */
  readonly onKeys: (keys: readonly Uint8Array[]) => void;
  /** The longest wait after being refused, ms; the first is half a second. Default 30 s. */
  readonly forbiddenPauseMs?: number;
}

export interface ClusterIdOptions extends Omit<HeartbeatKeyOptions, 'onKeys'> {
  readonly onUid: (uid: string) => void;
}

/** Something that goes on until it is stopped. */
export interface Following {
  stop(): void;
}

/** Creates the Secret if there is none, and follows it. */
export function followHeartbeatKey(options: HeartbeatKeyOptions): Following {
  return new KeyFollower(options);
}

/** Finds the uid of kube-system or, for whoever may not read that, of the Lease's namespace; then it is done. */
export function findClusterUid(options: ClusterIdOptions): Following {
  const attempts = new Attempts(options, 'namespaces');
  void attempts.until(async () => {
    const first = await readNamespaceUid(options, CLUSTER_NAMESPACE);
    const found =
      typeof first === 'string' || first.failure !== 'forbidden'
        ? first
        : await readNamespaceUid(options, options.namespace);
    if (typeof found === 'string') options.onUid(found);
    return typeof found === 'string' ? undefined : found;
  });
  return attempts;
}

/** Keys of a Secret, the newest first; empty when what should be the key can't be one. */
export function decodeKeys(secret: JsonObject): readonly Uint8Array[] {
  const data = asObject(secret['data']);
  const key = decodeKey(data?.['key']);
  if (key === undefined) return [];
  const previous = decodeKey(data?.['previous']);
  return previous === undefined ? [key] : [key, previous];
}

class KeyFollower implements Following {
  readonly #options: HeartbeatKeyOptions;
  readonly #attempts: Attempts;
  #reflector: Reflector | undefined;
  #isEnsuring = false;
  #isStopped = false;

  constructor(options: HeartbeatKeyOptions) {
    this.#options = options;
    this.#attempts = new Attempts(options, 'secrets');
    this.#begin();
  }

  stop(): void {
    this.#isStopped = true;
    this.#attempts.stop();
    this.#reflector?.stop();
  }

  #begin(): void {
    if (this.#isEnsuring) return;
    this.#isEnsuring = true;
    void this.#attempts
      .until(() => this.#ensure())
      .then(() => {
        this.#isEnsuring = false;
        if (!this.#isStopped) this.#reflector ??= this.#watch();
      });
  }

  /** Resolves to why there is no Secret yet, or undefined when there is one. */
  async #ensure(): Promise<ApiFailure | undefined> {
    const { client, deadlineMs } = this.#options;
    const found = await client.request({ method: 'GET', path: this.#path(), deadlineMs });
    if (found.ok) return this.#tell(found.body);
    if (found.failure !== 'not-found') return found;
    const made = await client.request({
      method: 'POST',
      path: this.#collection(),
      body: this.#newSecret(),
      deadlineMs,
    });
    if (made.ok) {
      this.#options.log('info', 'heartbeat key created', { path: this.#path() });
      return this.#tell(made.body);
    }
    // Somebody else was first, or our own write got no answer: read again, soon.
    return made;
  }

  #tell(secret: JsonObject): undefined {
    const keys = decodeKeys(secret);
    if (keys.length > 0) this.#options.onKeys(keys);
    else {
      this.#options.log('error', 'the heartbeat key cannot be used', {
        path: this.#path(),
        reason: `data.key is missing, or not ${KEY_MIN} to ${KEY_MAX} octets in base64`,
        remedy: `Delete the Secret ${HEARTBEAT_SECRET} in ${this.#options.namespace}: a new one is made.`,
      });
    }
    return undefined;
  }

  #watch(): Reflector {
    const { client, log, deadlineMs } = this.#options;
    return startReflector({
      client,
      path: this.#collection(),
      name: HEARTBEAT_SECRET,
      connection: 'general',
      deadlineMs,
      log,
      backoffMaxMs: BACKOFF_MAX_MS,
      project: (raw) => raw,
      listener: (event) => {
        if (event.kind === 'changed') this.#tell(event.object);
        // The keys known stay in use until there are others.
        else if (event.kind === 'deleted') this.#begin();
      },
    });
  }

  #newSecret(): JsonObject {
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: {
        name: HEARTBEAT_SECRET,
        namespace: this.#options.namespace,
        labels: { 'app.kubernetes.io/managed-by': 'holdfast' },
      },
      data: { key: randomBytes(KEY_LENGTH).toString('base64') },
    };
  }

  #collection(): string {
    return `/api/v1/namespaces/${encodeURIComponent(this.#options.namespace)}/secrets`;
  }

  #path(): string {
    return `${this.#collection()}/${HEARTBEAT_SECRET}`;
  }
}

/** Tries again with growing pauses, and says once what is missing. */
class Attempts implements Following {
  readonly #options: Pick<HeartbeatKeyOptions, 'log' | 'namespace' | 'forbiddenPauseMs'>;
  readonly #resource: string;
  readonly #pause = new Pause();
  #isStopped = false;
  #told = '';

  constructor(options: Pick<HeartbeatKeyOptions, 'log' | 'namespace' | 'forbiddenPauseMs'>, resource: string) {
    this.#options = options;
    this.#resource = resource;
  }

  stop(): void {
    this.#isStopped = true;
    this.#pause.wake();
  }

  async until(attempt: () => Promise<ApiFailure | undefined>): Promise<void> {
    const backoff = new Backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS, Math.random);
    // An API server that has just started refuses everybody until it has read the roles: soon asked again, then seldom.
    const forbiddenMaxMs = this.#options.forbiddenPauseMs ?? FORBIDDEN_PAUSE_MS;
    const refused = new Backoff(Math.min(FORBIDDEN_MIN_MS, forbiddenMaxMs), forbiddenMaxMs, Math.random);
    while (!this.#isStopped) {
      const failure = await attempt();
      if (failure === undefined || this.#isStopped) return;
      this.#tell(failure);
      const isForbidden = failure.failure === 'forbidden';
      await this.#pause.for(isForbidden ? refused.next() : backoff.next());
    }
  }

  /** An API that is away is told of elsewhere. */
  #tell(failure: ApiFailure): void {
    if (failure.failure !== 'forbidden' || this.#told === failure.message) return;
    this.#told = failure.message;
    const verb = failure.message.includes('cannot create') ? 'create' : 'get';
    this.#options.log('warn', 'heartbeats are off until this is allowed, the lease decides alone', {
      code: failure.code,
      reason: failure.message,
      remedy: fillRemedy(ERRORS[failure.code].remedy, {
        verb,
        resource: this.#resource,
        namespace: this.#options.namespace,
      }),
    });
  }
}

async function readNamespaceUid(
  options: Pick<ClusterIdOptions, 'client' | 'deadlineMs'>,
  name: string,
): Promise<string | ApiFailure> {
  const path = `/api/v1/namespaces/${encodeURIComponent(name)}`;
  const result = await options.client.request({ method: 'GET', path, deadlineMs: options.deadlineMs });
  if (!result.ok) return result;
  const uid = metadataText(result.body, 'uid');
  if (uid !== undefined) return uid;
  const message = `${path} has no uid`;
  return { ok: false, failure: 'server-error', code: 'API_REQUEST_FAILED', message, endpoint: result.endpoint };
}

function decodeKey(value: unknown): Uint8Array | undefined {
  const text = asText(value);
  if (text === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const octets = Uint8Array.from(Buffer.from(text, 'base64'));
  return octets.length >= KEY_MIN && octets.length <= KEY_MAX ? octets : undefined;
}
