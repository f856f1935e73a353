/** Reading a request: which verb on which resource, with which parameters. */

import type { IncomingMessage } from 'node:http';

import { badRequest } from './object.ts';

/** Larger bodies are refused; the real server's limit is 3 MiB. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;

export interface ResourcePath {
  /** `v1` or `group/version`. */
  readonly apiVersion: string;
  readonly namespace: string;
  readonly resource: string;
  /** undefined: the collection. */
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** `/api/v1/namespaces/ns/services/name/status` and its relatives; undefined for any other path. */
export function parseResourcePath(path: string): ResourcePath | undefined {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  const [root, ...rest] = parts;
  const versionParts = root === 'api' ? 1 : root === 'apis' ? 2 : undefined;
  if (versionParts === undefined || rest.length <= versionParts) return undefined;
  const apiVersion = rest.slice(0, versionParts).join('/');
  const tail = rest.slice(versionParts);
  // A namespace's own path, /namespaces/x[/status], is the object and not what is in it.
  const isInside = tail[0] === 'namespaces' && tail.length > 2 && tail[2] !== 'status';
  const [resource = '', name, subresource] = isInside ? tail.slice(2) : tail;
  return { apiVersion, namespace: isInside ? (tail[1] ?? '') : '', resource, name, subresource };
}

/** The body as JSON; undefined when there is none. */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw badRequest('the body is too large');
    chunks.push(chunk);
  }
  if (size === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw badRequest('the body is not JSON');
  }
}

/** A whole number of a query parameter; undefined when absent or empty. */
export function numberParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? '';
  if (text === '') return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw badRequest(`invalid value of ${name}: ${JSON.stringify(text)}`);
  return value;
}
