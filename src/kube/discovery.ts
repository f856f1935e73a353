/**
 * Which of some resources the API serves, and in which version: custom resources come and go with their definitions.
 * Asked at first, again about once a minute, and at once when somebody has reason to doubt it: one request where none of
 * the groups is there, and one more for each version that is. A resource that isn't there is no failure.
 *
 * Definitions are installed one after the other, and each API server learns of them by itself: after news, or where some is
 * expected, it is asked a few times more within a quarter of a minute (LOOKS_SOON_MS).
 */

import { asArray, asObject, asText } from '../base/json.ts';
import type { ApiFailure } from './api-result.ts';
import { Backoff, Pause } from './backoff.ts';
import type { ApiClient } from './client.ts';

export interface WantedResource {
  /** Plural, as in the path. */
  readonly resource: string;
  /** `group/version`, the preferred one first. */
  readonly groupVersions: readonly string[];
}

/** Resource → the best `group/version` that serves it; what isn't served isn't in it. */
export type ServedResources = ReadonlyMap<string, string>;

export interface DiscoveryOptions {
  readonly client: ApiClient;
  readonly wanted: readonly WantedResource[];
  readonly deadlineMs: number;
  /** After each answer, whether or not it says anything new. */
  readonly onServed: (served: ServedResources) => void;
  /** It can't be found out now: what was known goes on being true, and it is asked again. */
  readonly onFailure?: (failure: ApiFailure) => void;
  /** Between two answers, ms, give or take a tenth. Default 60 s. */
  readonly intervalMs?: number;
  /** In [0, 1); default Math.random. */
  readonly random?: () => number;
}

export interface Discovery {
  /** Asks now, or as soon as the last time is CHECK_SPACING_MS ago. */
  check(): void;
  /** There should be something that isn't known yet: asks as `check`, and a few times more. */
  expect(): void;
  stop(): void;
}

export const DISCOVERY_INTERVAL_MS = 60_000;
/** Between the answers after one that said something new, give or take a tenth. */
export const LOOKS_SOON_MS: readonly number[] = [1_000, 2_000, 4_000, 8_000];
/** However often it is doubted, it isn't asked more often than this. */
export const CHECK_SPACING_MS = 1_000;
const BACKOFF_MIN_MS = 200;
const BACKOFF_MAX_MS = 10_000;

export function followDiscovery(options: DiscoveryOptions): Discovery {
  return new PeriodicDiscovery(options);
}

/** Asks once. */
export async function discover(
  options: Pick<DiscoveryOptions, 'client' | 'wanted' | 'deadlineMs'>,
  signal?: AbortSignal,
): Promise<{ readonly ok: true; readonly served: ServedResources } | ApiFailure> {
  const get = (path: string): ReturnType<ApiClient['request']> =>
    options.client.request({
      method: 'GET',
      path,
      deadlineMs: options.deadlineMs,
      ...(signal === undefined ? {} : { signal }),
    });
  const groups = await get('/apis');
  if (!groups.ok) return groups;
  const present = groupVersionsOf(groups.body);
  const resources = new Map<string, ReadonlySet<string>>();
  for (const version of new Set(options.wanted.flatMap(({ groupVersions }) => groupVersions))) {
    if (!present.has(version)) continue;
    const list = await get(`/apis/${version}`);
    if (list.ok) resources.set(version, resourcesOf(list.body));
    else if (list.failure !== 'not-found') return list;
  }
  const served = new Map<string, string>();
  for (const { resource, groupVersions } of options.wanted) {
    const best = groupVersions.find((version) => resources.get(version)?.has(resource) === true);
    if (best !== undefined) served.set(resource, best);
  }
  return { ok: true, served };
}

class PeriodicDiscovery implements Discovery {
  readonly #options: DiscoveryOptions;
  readonly #pause = new Pause();
  readonly #abort = new AbortController();
  readonly #unsubscribe: () => void;
  #isDoubted = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  #served: ServedResources = new Map();
  /** How many of LOOKS_SOON_MS are over. */
  #looks = LOOKS_SOON_MS.length;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#unsubscribe = options.client.onReconnect(() => this.check());
    void this.#run();
  }

  check(): void {
    this.#isDoubted = true;
    this.#pause.wake();
  }

  expect(): void {
    this.#looks = 0;
    this.check();
  }

  stop(): void {
    this.#abort.abort();
    this.#unsubscribe();
    this.#pause.wake();
  }

  async #run(): Promise<void> {
    const { random = Math.random, onServed, onFailure } = this.#options;
    const backoff = new Backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS, random);
    while (!this.#abort.signal.aborted) {
      this.#isDoubted = false;
      this.#askedAt = performance.now();
      const result = await discover(this.#options, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      if (result.ok) {
        backoff.reset();
        if (!isSame(result.served, this.#served)) this.#looks = 0;
        this.#served = result.served;
        onServed(result.served);
      } else {
        onFailure?.(result);
      }
      await this.#sleep(result.ok ? this.#nextMs() * (0.9 + 0.2 * random()) : backoff.next());
    }
  }

  #nextMs(): number {
    const { intervalMs = DISCOVERY_INTERVAL_MS } = this.#options;
    const soon = LOOKS_SOON_MS[this.#looks];
    if (soon === undefined) return intervalMs;
    this.#looks += 1;
    return Math.min(soon, intervalMs);
  }

  async #sleep(ms: number): Promise<void> {
    if (!this.#isDoubted) await this.#pause.for(ms);
    const early = this.#askedAt + CHECK_SPACING_MS - performance.now();
    if (this.#isDoubted && early > 0 && !this.#abort.signal.aborted) await this.#pause.for(early);
  }
}

function isSame(a: ServedResources, b: ServedResources): boolean {
  return a.size === b.size && [...a].every(([resource, groupVersion]) => b.get(resource) === groupVersion);
}

/** Of an APIGroupList. */
function groupVersionsOf(body: unknown): ReadonlySet<string> {
  const groups = asArray(asObject(body)?.['groups']);
  const versions = groups.flatMap((group) => asArray(asObject(group)?.['versions']));
  return new Set(versions.flatMap((version) => asText(asObject(version)?.['groupVersion']) ?? []));
}

/** Of an APIResourceList. */
function resourcesOf(body: unknown): ReadonlySet<string> {
  return new Set(asArray(asObject(body)?.['resources']).flatMap((entry) => asText(asObject(entry)?.['name']) ?? []));
}
