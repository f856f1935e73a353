/**
 * What an address needs of endpoints before a node may answer for it: see candidate.ts for the rule. Looked at once for an
 * address, then asked for each node.
 */

import type { ErrorCode } from '../base/errors.ts';
import { countByNode, endpointsOf, type EndpointCount, type EndpointIndex } from './endpoints.ts';
import type { Reason, ServiceAddress } from './model.ts';
import { compareNames } from './rendezvous.ts';

export interface EndpointNeed {
  /** Why no node may answer; undefined: some might. */
  readonly refusal: Reason | undefined;
  /** Services with local traffic only, all of which have endpoints somewhere. */
  readonly locals: readonly LocalNeed[];
}

interface LocalNeed {
  /** That have one. */
  readonly nodes: ReadonlyMap<string, number>;
  /** For nodes that have none. */
  readonly refusal: Refusal;
}

interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

const NO_NEED: EndpointNeed = Object.freeze({ refusal: undefined, locals: [] });

/** `index` undefined: endpoints aren't known, and nothing is needed. */
export function endpointNeed({ allocations }: ServiceAddress, index: EndpointIndex | undefined): EndpointNeed {
  if (index === undefined || allocations.length === 0) return NO_NEED;
  const locals: LocalNeed[] = [];
  const without: string[] = [];
  let isServable = false;
  for (const { service, request } of allocations) {
    const count = endpointsOf(index, service.key);
    const isLocal = service.trafficPolicy === 'Local';
    if (isLocal && count.total === 0) return { refusal: nothingServes([service.key]), locals: [] };
    if (isLocal) locals.push(localNeed(service.key, count));
    if (count.total > 0 || request.allowsNoEndpoints) isServable = true;
    else without.push(service.key);
  }
  if (!isServable) return { refusal: nothingServes(without), locals: [] };
  return locals.length === 0 ? NO_NEED : { refusal: undefined, locals };
}

/** Why the node may not answer, as candidates are told. */
export function endpointRefusal(need: EndpointNeed, node: string): Refusal | undefined {
  return need.refusal ?? need.locals.find(({ nodes }) => !nodes.has(node))?.refusal;
}

/** More are counted, not named. */
const SHOWN_MAX = 3;

function nothingServes(keys: readonly string[]): Reason {
  const services = keys.length === 1 ? `Service ${keys[0] ?? ''}` : `Services ${listed(keys)}`;
  return { pool: '', code: 'NO_ENDPOINTS', message: `no Pod can serve ${services}` };
}

function localNeed(key: string, count: EndpointCount): LocalNeed {
  const nodes = countByNode(count);
  const where =
    nodes.size === 0 ? 'its endpoints name no node' : `they run on ${listed([...nodes.keys()].sort(compareNames))}`;
  const message = `runs no Pod that can serve Service ${key}, which wants local traffic only (${where})`;
  return { nodes, refusal: { code: 'NO_LOCAL_ENDPOINT', message } };
}

function listed(texts: readonly string[]): string {
  const more = texts.length - SHOWN_MAX;
  return more > 0 ? `${texts.slice(0, SHOWN_MAX).join(', ')} and ${more} more` : texts.join(', ');
}
