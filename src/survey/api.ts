/**
 * Questions to the API as facts: what it answers, or why it doesn't and what to do. Lists are read in pages, to an end. Once
 * no server answers, nothing more is asked: every further question would wait for the same silence.
 */

import { ERRORS, fillRemedy } from '../base/errors.ts';
import { asArray, asObject, asText, isObject, type JsonObject } from '../base/json.ts';
import { known, unknown, type Fact, type Unknown } from '../doctor/fact.ts';
import type { ClockOffset } from '../doctor/facts.ts';
import type { ApiFailure } from '../kube/api-result.ts';
import type { ApiClient, ApiRequest } from '../kube/client.ts';
import { attributesOf } from '../kube/request-attributes.ts';

const DEADLINE_MS = 5000;
const PAGE = 500;
/** 10,000 objects; a cluster with more of a kind is told so. */
const PAGES_MAX = 20;

export interface Api {
  /** One object; undefined: there is none of that name. */
  get(path: string): Promise<Fact<JsonObject | undefined>>;
  list(path: string, query?: ApiRequest['query']): Promise<Fact<readonly JsonObject[]>>;
  /** POST of a review, which changes nothing. */
  review(path: string, body: JsonObject): Promise<Fact<JsonObject>>;
  /** Compares clocks by the Date of an answer, which has whole seconds (RFC 9110 §6.6.1). */
  clock(wallClock: () => number): Promise<Fact<ClockOffset>>;
  /** Who answered first. */
  readonly endpoint: Fact<string>;
}

export function askApi(client: ApiClient): Api {
  return new AskedApi(client);
}

class AskedApi implements Api {
  endpoint: Fact<string> = unknown('nothing was asked');
  readonly #client: ApiClient;
  #silence: Unknown | undefined;

  constructor(client: ApiClient) {
    this.#client = client;
  }

  async get(path: string): Promise<Fact<JsonObject | undefined>> {
    const result = await this.#request({ method: 'GET', path, deadlineMs: DEADLINE_MS });
    if ('isKnown' in result) return result;
    return result.ok
      ? known(result.body)
      : result.failure === 'not-found'
        ? known(undefined)
        : this.#failed(result, path);
  }

  async list(path: string, query: ApiRequest['query'] = {}): Promise<Fact<readonly JsonObject[]>> {
    const items: JsonObject[] = [];
    let from: string | undefined;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const paging = { limit: PAGE, ...(from === undefined ? {} : { continue: from }) };
      const result = await this.#request({
        method: 'GET',
        path,
        query: { ...query, ...paging },
        deadlineMs: DEADLINE_MS,
      });
      if ('isKnown' in result) return result;
      if (!result.ok) return this.#failed(result, path);
      for (const item of asArray(result.body['items'])) if (isObject(item)) items.push(item);
      from = asText(asObject(result.body['metadata'])?.['continue']);
      if (from === undefined) return known(items);
    }
    return unknown(`${path} has more than ${PAGES_MAX * PAGE} objects, which is as many as are looked at`);
  }

  async review(path: string, body: JsonObject): Promise<Fact<JsonObject>> {
    const result = await this.#request({ method: 'POST', path, body, deadlineMs: DEADLINE_MS });
    if ('isKnown' in result) return result;
    return result.ok ? known(result.body) : this.#failed(result, path);
  }

  async clock(wallClock: () => number): Promise<Fact<ClockOffset>> {
    if (this.#silence !== undefined) return this.#silence;
    const sentAt = wallClock();
    const result = await this.#client.stream({ method: 'GET', path: '/version', deadlineMs: DEADLINE_MS });
    const answeredAt = wallClock();
    if (!result.ok) return this.#failed(result, '/version');
    const text = result.response.headers.date;
    result.response.resume();
    const seconds = Date.parse(text ?? '');
    if (Number.isNaN(seconds)) return unknown(`${result.endpoint} says no date`);
    const halfSecond = 500;
    const offsetMs = (sentAt + answeredAt) / 2 - (seconds + halfSecond);
    return known({ offsetMs, toleranceMs: (answeredAt - sentAt) / 2 + halfSecond, endpoint: result.endpoint });
  }

  async #request(request: ApiRequest): Promise<Awaited<ReturnType<ApiClient['request']>> | Unknown> {
    if (this.#silence !== undefined) return this.#silence;
    const result = await this.#client.request(request);
    if (result.ok && !this.endpoint.isKnown) this.endpoint = known(result.endpoint);
    return result;
  }

  #failed(failure: ApiFailure, path: string): Unknown {
    const { verb, resource, namespace } = attributesOf({ method: 'GET', path });
    const context = {
      verb,
      resource,
      namespace: namespace === '' ? 'the cluster' : namespace,
      path: this.#client.problem?.context['path'] ?? 'the kubeconfig',
      endpoint: failure.endpoint ?? 'the API server',
    };
    const reason = unknown(failure.message, fillRemedy(ERRORS[failure.code].remedy, context));
    // What has a status may go better for another question.
    if (failure.status === undefined) {
      this.#silence = reason;
      if (!this.endpoint.isKnown) this.endpoint = reason;
    } else if (!this.endpoint.isKnown && failure.endpoint !== undefined && failure.failure !== 'unauthorized') {
      this.endpoint = known(failure.endpoint);
    } else if (!this.endpoint.isKnown) {
      this.endpoint = reason;
    }
    return reason;
  }
}
