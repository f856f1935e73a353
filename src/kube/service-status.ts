/**
 * Writes what became of a Service into its status: addresses, conditions and annotations in one PATCH of /status, which
 * for Services takes annotations too (test/embedded-api/suite.ts asks the real server). The resourceVersion goes along,
 * so that a decision made from an older Service is refused instead of overwriting a newer one.
 */

import { metadataText, type JsonObject } from '../base/json.ts';
import type { ApiFailure } from './api-result.ts';
import type { ApiClient } from './client.ts';

export interface StatusPatch {
  /** namespace/name. */
  readonly key: string;
  /** Of the Service that was looked at. */
  readonly resourceVersion: string;
  /** All addresses, in order; undefined: they stay as they are. */
  readonly ingress?: readonly string[];
  /** All conditions, those of others included (a merge patch replaces lists); undefined: they stay as they are. */
  readonly conditions?: readonly object[];
  /** What changes of the annotations; null removes one. */
  readonly annotations?: Readonly<Record<string, string | null>>;
}

export type StatusOutcome =
  /** Written, or nothing was different; `resourceVersion` is that of the Service now. */
  | { readonly kind: 'ok'; readonly resourceVersion: string }
  /** The Service is another by now: decide again when the watch shows it. */
  | { readonly kind: 'conflict' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'forbidden'; readonly failure: ApiFailure }
  /** Refused for what it says, or not answered. */
  | { readonly kind: 'failed'; readonly failure: ApiFailure };

export async function patchServiceStatus(options: {
  readonly client: ApiClient;
  readonly patch: StatusPatch;
  readonly deadlineMs: number;
}): Promise<StatusOutcome> {
  const { client, patch, deadlineMs } = options;
  const [namespace = '', name = ''] = patch.key.split('/');
  const result = await client.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${encodeURIComponent(name)}/status`,
    contentType: 'application/merge-patch+json',
    body: bodyOf(patch),
    deadlineMs,
  });
  if (result.ok) {
    return { kind: 'ok', resourceVersion: metadataText(result.body, 'resourceVersion') ?? patch.resourceVersion };
  }
  switch (result.failure) {
    case 'conflict':
      return { kind: 'conflict' };
    case 'not-found':
      return { kind: 'gone' };
    case 'forbidden':
      return { kind: 'forbidden', failure: result };
    case 'already-exists':
    case 'invalid':
    case 'server-error':
    case 'throttled':
    case 'timeout':
    case 'unauthorized':
    case 'unreachable':
      return { kind: 'failed', failure: result };
  }
}

function bodyOf({ resourceVersion, ingress, conditions, annotations }: StatusPatch): JsonObject {
  const status = {
    // Said because a server that doesn't fill it in refuses an address without it; older ones drop the field.
    ...(ingress === undefined ? {} : { loadBalancer: { ingress: ingress.map((ip) => ({ ip, ipMode: 'VIP' })) } }),
    ...(conditions === undefined ? {} : { conditions }),
  };
  return {
    metadata: { resourceVersion, ...(annotations === undefined ? {} : { annotations }) },
    ...(Object.keys(status).length === 0 ? {} : { status }),
  };
}
