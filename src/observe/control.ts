/**
 * The one order that the status socket takes: `POST /drain` gives this node's addresses away for as long as it stands,
 * `POST /drain?undo` takes that back. Reading is for everybody who reaches the socket; this is for root and for the user
 * the process runs as, by what the kernel says of the caller, for an abstract socket has no file mode.
 */

import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HoldfastError } from '../base/errors.ts';
import { requestTarget, sendText } from './listen.ts';

export interface Control {
  /** Whether the process at the other end may give orders. */
  readonly mayOrder: (socket: Socket) => boolean;
  readonly drain: (isDraining: boolean) => void;
}

export const DRAIN_PATH = '/drain';

/** Answers a request that is no GET; false when it is none of ours. */
export function answerControl(
  control: Control | undefined,
  incoming: IncomingMessage,
  response: ServerResponse,
): boolean {
  const { path, query } = requestTarget(incoming);
  if (path !== DRAIN_PATH || control === undefined) return false;
  incoming.resume(); // the order is in the target; a body says nothing
  if (incoming.method !== 'POST') {
    sendText(response, 405, 'only POST\n');
  } else if (control.mayOrder(incoming.socket)) {
    const isDraining = !query.has('undo');
    control.drain(isDraining);
    sendText(response, 200, `${JSON.stringify({ isDraining })}\n`, 'application/json');
  } else {
    sendText(response, 403, 'only root and the user this process runs as may do that\n');
  }
  return true;
}

export interface DrainRequest {
  /** As node:net takes it. */
  readonly path: string;
  /** As the operator wrote it. */
  readonly socket: string;
  readonly isUndo: boolean;
  readonly timeoutMs: number;
}

/** Gives the order. Rejects with HoldfastError NOT_RUNNING, ORDER_REFUSED, or STATUS_UNKNOWN for an older process. */
export function requestDrain(
  options: DrainRequest,
  failureText: (error: Error, socket: string) => string,
): Promise<void> {
  const { path: socketPath, socket, isUndo, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const path = isUndo ? `${DRAIN_PATH}?undo` : DRAIN_PATH;
    const outgoing = request({ socketPath, path, method: 'POST', agent: false }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      if (status === 200) return resolve();
      const context = { socket };
      reject(
        status === 403
          ? new HoldfastError('ORDER_REFUSED', 'Holdfast takes this order from root and its own user only', { context })
          : new HoldfastError('STATUS_UNKNOWN', `the running Holdfast does not know this order: HTTP ${status}`, {
              context,
            }),
      );
    });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    outgoing.on('error', (cause) =>
      reject(new HoldfastError('NOT_RUNNING', failureText(cause, socket), { context: { socket }, cause })),
    );
    outgoing.end();
  });
}
