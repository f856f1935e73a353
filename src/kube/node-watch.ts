/**
 * Follows this machine's own Node: whether somebody wants it emptied, by cordon (`kubectl drain`, an upgrade) or by the
 * taint that says it is out of service, and its uid. Where there is no such Node, or it may not be read, nothing is wanted.
 */

import type { ApiClient } from './client.ts';
import type { Log } from './log.ts';
import { decodeNode, type NodeRecord } from './node.ts';
import { startReflector, type Reflector } from './reflector.ts';

/** KEP-2268, non-graceful node shutdown. */
const OUT_OF_SERVICE_TAINT = 'node.kubernetes.io/out-of-service';
const WATCH_BACKOFF_MAX_MS = 10_000;

export interface NodeWish {
  /** The Node is cordoned or out of service. */
  readonly isDraining: boolean;
  /** Why, in words. */
  readonly reason: string;
  readonly uid: string;
}

export interface NodeWatchOptions {
  readonly client: ApiClient;
  readonly node: string;
  readonly deadlineMs: number;
  readonly log: Log;
  /** At first, and whenever it changes; undefined: there is no such Node. */
  readonly listener: (wish: NodeWish | undefined) => void;
}

export function watchNode(options: NodeWatchOptions): Reflector {
  const { client, node, deadlineMs, log, listener } = options;
  let told = '';
  const tell = (wish: NodeWish | undefined): void => {
    const text = JSON.stringify(wish ?? '');
    if (text === told) return; // the kubelet writes into its Node every few seconds
    told = text;
    listener(wish);
  };
  return startReflector({
    client,
    path: '/api/v1/nodes',
    name: node,
    connection: 'general',
    deadlineMs,
    backoffMaxMs: WATCH_BACKOFF_MAX_MS,
    log,
    project: (raw) => wishOf(decodeNode(raw)),
    listener: (event) => {
      if (event.kind === 'changed') tell(event.object);
      else if (event.kind === 'deleted' || event.count === 0) tell(undefined);
    },
  });
}

function wishOf(node: NodeRecord): NodeWish {
  const isOutOfService = node.taints.some((taint) => taint.key === OUT_OF_SERVICE_TAINT);
  const reason = isOutOfService ? `taint ${OUT_OF_SERVICE_TAINT}` : node.isUnschedulable ? 'cordoned' : '';
  return { isDraining: reason !== '', reason, uid: node.uid };
}
