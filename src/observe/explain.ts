/**
 * `GET /explain?service=NS/NAME`, `GET /explain?address=IP` and `GET /explain?vip` on the status socket: how it stands with a
 * Service or an address, step by step, as this node knows it and as it asks the others. Reading is for everybody who reaches
 * the socket. The JSON is an interface: fields are added, never renamed; a change of meaning raises `schema`.
 */

import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { HoldfastError } from '../base/errors.ts';
import { asArray, asObject, asText, parseJson } from '../base/json.ts';
import { requestTarget, sendText } from './listen.ts';

export const EXPLANATION_SCHEMA = 1;

export interface ExplanationStep {
  /** undefined: it can't be said from here. */
  readonly isOk: boolean | undefined;
  /** class, allocation, … */
  readonly step: string;
  readonly detail: string;
  /** Of errors.md; '' = none. */
  readonly code: string;
  /** What to do next; '' = nothing. */
  readonly next: string;
}

export interface Explanation {
  readonly schema: number;
  /** What is explained, for people: "Service default/web", "address 192.0.2.10". */
  readonly subject: string;
  /** namespace/name; '' = no Service has it. */
  readonly service: string;
  readonly node: string;
  readonly steps: readonly ExplanationStep[];
  /** What was asked about each address, and who said what. */
  readonly addresses: readonly AddressExplanation[];
}

export interface AddressExplanation {
  readonly address: string;
  /** undefined: nobody should answer. */
  readonly owner: string | undefined;
  /** As its owner says; undefined: it doesn't hold it, or could not be asked. */
  readonly holding:
    | {
        readonly state: string;
        readonly interface: string;
        readonly mac: string | undefined;
        readonly sinceSeconds: number;
        readonly announcements: number;
        readonly lastAnnouncedSecondsAgo: number | undefined;
        /** MAC of another that its owner heard answer for it. */
        readonly conflict: string | undefined;
        readonly isKubeProxyHealthy: boolean | undefined;
      }
    | undefined;
  readonly asked: readonly AskedExplanation[];
  /** Why nobody but the owner was asked. */
  readonly unasked: string | undefined;
}

/** One node that asked the wire, or should have. */
export interface AskedExplanation {
  readonly node: string;
  readonly outcome: 'answered' | 'silent' | 'unasked';
  /** When unasked: why. */
  readonly reason: string | undefined;
  readonly interface: string | undefined;
  readonly listenedMs: number | undefined;
  readonly answers: readonly {
    readonly mac: string;
    /** Where it is one that was asked. */
    readonly node: string | undefined;
    readonly afterMs: number;
  }[];
}

export type ExplainQuery =
  | { readonly kind: 'service'; readonly key: string }
  | { readonly kind: 'address'; readonly text: string }
  /** Those of the control plane. */
  | { readonly kind: 'vip' };

/** undefined: Services are left alone here. */
export type Explain = (query: ExplainQuery) => Promise<Explanation | undefined>;

export const EXPLAIN_PATH = '/explain';
const ANSWER_MAX = 1_048_576;

/** Answers a request for an explanation; false when it is none. */
export function answerExplain(
  explain: Explain | undefined,
  incoming: IncomingMessage,
  response: ServerResponse,
): boolean {
  const { path, query } = requestTarget(incoming);
  if (path !== EXPLAIN_PATH || incoming.method !== 'GET') return false;
  const asked = explain?.(queryOf(query)) ?? Promise.resolve(undefined);
  asked.then(
    (explanation) => {
      if (explanation === undefined) sendText(response, 404, 'Services are left alone here: svc_enable is false\n');
      else sendText(response, 200, `${JSON.stringify(explanation)}\n`, 'application/json');
    },
    (error: unknown) => sendText(response, 500, `${String(error)}\n`),
  );
  return true;
}

function queryOf(query: URLSearchParams): ExplainQuery {
  const address = query.get('address');
  if (address !== null) return { kind: 'address', text: address };
  return query.has('vip') ? { kind: 'vip' } : { kind: 'service', key: query.get('service') ?? '' };
}

export interface ExplainRequest {
  /** As node:net takes it. */
  readonly path: string;
  /** As the operator wrote it. */
  readonly socket: string;
  readonly query: ExplainQuery;
  readonly timeoutMs: number;
}

/** As somebody else's process wrote it: steps are read, what is for programs is handed on. */
export interface ReadExplanation extends Pick<Explanation, 'subject' | 'node' | 'steps'> {
  readonly json: unknown;
}

/** Asks the running process. Rejects with HoldfastError NOT_RUNNING or STATUS_UNKNOWN. */
export function requestExplanation(
  options: ExplainRequest,
  failureText: (error: Error, socket: string) => string,
): Promise<ReadExplanation> {
  const { path: socketPath, socket, query, timeoutMs } = options;
  const context = { socket };
  return new Promise((resolve, reject) => {
    const path = `${EXPLAIN_PATH}?${textOf(query)}`;
    const outgoing = request({ socketPath, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > ANSWER_MAX) outgoing.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const explanation = response.statusCode === 200 ? readExplanation(text) : undefined;
        if (explanation !== undefined) return resolve(explanation);
        const message =
          response.statusCode === 404 ? text.trim() : `the answer makes no sense: HTTP ${response.statusCode ?? 0}`;
        reject(new HoldfastError('STATUS_UNKNOWN', message, { context }));
      });
    });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    outgoing.on('error', (cause) => {
      reject(new HoldfastError('NOT_RUNNING', failureText(cause, socket), { context, cause }));
    });
    outgoing.end();
  });
}

function textOf(query: ExplainQuery): string {
  switch (query.kind) {
    case 'service':
      return `service=${encodeURIComponent(query.key)}`;
    case 'address':
      return `address=${encodeURIComponent(query.text)}`;
    case 'vip':
      return 'vip';
  }
}

function readExplanation(text: string): ReadExplanation | undefined {
  const json = parseJson(text);
  const root = asObject(json);
  const node = asText(root?.['node']);
  if (root === undefined || node === undefined) return undefined;
  const steps = asArray(root['steps']).flatMap((raw): ExplanationStep[] => {
    const step = asObject(raw);
    const name = asText(step?.['step']);
    if (step === undefined || name === undefined) return [];
    const isOk = step['isOk'];
    return [
      {
        isOk: typeof isOk === 'boolean' ? isOk : undefined,
        step: name,
        detail: asText(step['detail']) ?? '',
        code: asText(step['code']) ?? '',
        next: asText(step['next']) ?? '',
      },
    ];
  });
  const subject = asText(root['subject']) ?? `Service ${asText(root['service']) ?? ''}`;
  return { subject, node, steps, json };
}
