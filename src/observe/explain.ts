/**
 * `GET /explain?service=NS/NAME` on the status socket: how it stands with one Service, step by step, as this node knows it.
 * Reading is for everybody who reaches the socket.
 */

import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { HoldfastError } from '../base/errors.ts';
import { asArray, asObject, asText, parseJson } from '../base/json.ts';
import { requestTarget, sendText } from './listen.ts';

export interface ExplanationStep {
  /** undefined: it can't be said from here. */
  readonly isOk: boolean | undefined;
  /** class, allocation, … */
  readonly step: string;
  readonly detail: string;
  /** What to do next; '' = nothing. */
  readonly next: string;
}

export interface Explanation {
  readonly service: string;
  readonly node: string;
  readonly steps: readonly ExplanationStep[];
}

/** undefined: Services are left alone here. */
export type Explain = (service: string) => Explanation | undefined;

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
  const service = query.get('service') ?? '';
  const explanation = explain?.(service);
  if (explanation === undefined) sendText(response, 404, 'Services are left alone here: svc_enable is false\n');
  else sendText(response, 200, `${JSON.stringify(explanation)}\n`, 'application/json');
  return true;
}

export interface ExplainRequest {
  /** As node:net takes it. */
  readonly path: string;
  /** As the operator wrote it. */
  readonly socket: string;
  readonly service: string;
  readonly timeoutMs: number;
}

/** Asks the running process. Rejects with HoldfastError NOT_RUNNING or STATUS_UNKNOWN. */
export function requestExplanation(
  options: ExplainRequest,
  failureText: (error: Error, socket: string) => string,
): Promise<Explanation> {
  const { path: socketPath, socket, service, timeoutMs } = options;
  const context = { socket };
  return new Promise((resolve, reject) => {
    const path = `${EXPLAIN_PATH}?service=${encodeURIComponent(service)}`;
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

function readExplanation(text: string): Explanation | undefined {
  const root = asObject(parseJson(text));
  const service = asText(root?.['service']);
  const node = asText(root?.['node']);
  if (service === undefined || node === undefined) return undefined;
  const steps = asArray(root?.['steps']).flatMap((raw): ExplanationStep[] => {
    const step = asObject(raw);
    const name = asText(step?.['step']);
    if (step === undefined || name === undefined) return [];
    const isOk = step['isOk'];
    return [
      {
        isOk: typeof isOk === 'boolean' ? isOk : undefined,
        step: name,
        detail: asText(step['detail']) ?? '',
        next: asText(step['next']) ?? '',
      },
    ];
  });
  return { service, node, steps };
}
