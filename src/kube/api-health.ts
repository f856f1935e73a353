/**
 * How the API is doing, by what became of the requests: what an operator should know now, with what to type next, and one
 * line in the log when it begins and one when it is over. Trouble that heals itself is only told once it has lasted.
 * Makes no requests of its own, and has no timers: whoever holds or wants a Lease asks every second or two.
 */

import { HoldfastError, type ErrorCode } from '../base/errors.ts';
import type { ApiFailure } from './api-result.ts';
import type { Log, LogLevel } from './log.ts';
import type { RequestAttributes } from './request-attributes.ts';

export interface ApiHealthOptions {
  readonly log: Log;
  /** Path of the credentials in use, for remedies. */
  readonly credentialsPath: () => string;
  /** Monotonic, ms; default performance.now. */
  readonly now?: () => number;
}

export interface ApiHealth {
  /** A request came to its end, all endpoints and repetitions included. */
  observe(request: RequestAttributes, result: { readonly ok: true } | ApiFailure): void;
  /** What is wrong now; the oldest first. */
  readonly problems: readonly HoldfastError[];
  /** On the same clock; undefined before the first. */
  readonly lastSuccessAt: number | undefined;
  readonly lastFailure: { readonly kind: string; readonly message: string; readonly at: number } | undefined;
}

/** Trouble that is over sooner is not told: an API server that restarts, a leader of etcd that changes. */
export const TRANSIENT_MS = 2000;
/** What Holdfast can do without; who asks for it says so himself. */
const BEST_EFFORT: ReadonlySet<string> = new Set(['events']);

export function openApiHealth(options: ApiHealthOptions): ApiHealth {
  return new RequestHealth(options);
}

interface Trouble {
  readonly error: HoldfastError;
  readonly since: number;
  readonly isTold: boolean;
}

interface Telling {
  readonly level: LogLevel;
  readonly msg: string;
  readonly isTransient: boolean;
}

/** Codes that are not here are told by whoever found them (credentials that can't be read). */
const TELLINGS: Partial<Record<ErrorCode, Telling>> = {
  API_UNREACHABLE: { level: 'warn', msg: 'no api server answers', isTransient: true },
  API_REQUEST_FAILED: { level: 'warn', msg: 'the api server fails', isTransient: true },
  API_UNTRUSTED: { level: 'error', msg: 'the certificate of the api server does not verify', isTransient: false },
  API_UNAUTHORIZED: { level: 'error', msg: 'the api server does not accept the credentials', isTransient: true },
  API_FORBIDDEN: { level: 'error', msg: 'the api server refuses what holdfast needs', isTransient: true },
};

class RequestHealth implements ApiHealth {
  lastSuccessAt: number | undefined;
  lastFailure: ApiHealth['lastFailure'];
  readonly #options: ApiHealthOptions;
  /** By code, and by verb and resource where another request may fare better: bounded by what is asked for at all. */
  readonly #troubles = new Map<string, Trouble>();

  constructor(options: ApiHealthOptions) {
    this.#options = options;
  }

  get problems(): readonly HoldfastError[] {
    return [...this.#troubles.values()].filter(({ isTold }) => isTold).map(({ error }) => error);
  }

  observe(request: RequestAttributes, result: { readonly ok: true } | ApiFailure): void {
    const now = (this.#options.now ?? performance.now.bind(performance))();
    const failure = result.ok || isRegular(result) ? undefined : result;
    if (failure !== undefined && BEST_EFFORT.has(request.resource)) return;
    if (failure === undefined) this.lastSuccessAt = now;
    else this.lastFailure = { kind: failure.failure, message: failure.message, at: now };
    const key = failure === undefined ? undefined : keyOf(request, failure);
    for (const over of overBy(request, failure)) if (over !== key) this.#end(over, now);
    if (failure !== undefined && key !== undefined) this.#meet(key, request, failure, now);
  }

  #meet(key: string, request: RequestAttributes, failure: ApiFailure, now: number): void {
    const telling = TELLINGS[failure.code];
    if (telling === undefined) return;
    const known = this.#troubles.get(key);
    const since = known?.since ?? now;
    const isTold = known?.isTold === true;
    const isDue = !telling.isTransient || now - since >= TRANSIENT_MS;
    const error = isTold ? known.error : this.#describe(request, failure);
    this.#troubles.set(key, { error, since, isTold: isTold || isDue });
    if (isTold || !isDue) return;
    const { code, message: reason, remedy } = error;
    this.#options.log(telling.level, telling.msg, { code, reason, remedy });
  }

  #end(key: string, now: number): void {
    const trouble = this.#troubles.get(key);
    if (trouble === undefined) return;
    this.#troubles.delete(key);
    if (!trouble.isTold) return;
    const { code, message: was } = trouble.error;
    this.#options.log('info', 'the api works again', { code, was, durationMs: Math.round(now - trouble.since) });
  }

  #describe(request: RequestAttributes, failure: ApiFailure): HoldfastError {
    const { verb, resource, namespace } = request;
    const where = namespace === '' ? 'the cluster' : namespace;
    return new HoldfastError(failure.code, failure.message, {
      context: {
        verb,
        resource,
        namespace: where,
        path: this.#options.credentialsPath(),
        endpoint: failure.endpoint ?? 'the API server',
      },
    });
  }
}

/** Answers that say nothing against the API or our rights. */
function isRegular({ failure, status }: ApiFailure): boolean {
  // 410: a watch from a version that is too old, which a list mends.
  return failure === 'conflict' || failure === 'already-exists' || failure === 'not-found' || status === 410;
}

function keyOf({ verb, resource }: RequestAttributes, { code }: Pick<ApiFailure, 'code'>): string {
  return code === 'API_FORBIDDEN' || code === 'API_REQUEST_FAILED' ? `${code} ${verb} ${resource}` : code;
}

/** The troubles that this outcome shows to be over. */
function overBy(request: RequestAttributes, failure: ApiFailure | undefined): readonly string[] {
  if (failure === undefined) {
    const own = (['API_FORBIDDEN', 'API_REQUEST_FAILED'] as const).map((code) => keyOf(request, { code }));
    return ['API_UNREACHABLE', 'API_UNTRUSTED', 'API_UNAUTHORIZED', ...own];
  }
  // Any answer at all comes from a server that is there and trusted; a refusal by rights knows who asks.
  const answered = failure.status === undefined ? [] : ['API_UNREACHABLE', 'API_UNTRUSTED'];
  return failure.code === 'API_FORBIDDEN' ? [...answered, 'API_UNAUTHORIZED'] : answered;
}
