/**
 * One watch: a response that stays open and gets a line of JSON per change. Selectors are applied to the object before
 * and after a change, so an object that comes to match is ADDED and one that ceases to match is DELETED.
 */

import type { ServerResponse } from 'node:http';

import { apiVersionOf } from './kinds.ts';
import { ApiFailure, statusOf, type Json } from './object.ts';
import type { Matcher } from './selector.ts';
import type { Change, Place, Store } from './store.ts';

export interface WatchRequest {
  readonly place: Place;
  readonly matches: Matcher;
  /** undefined or 0: begin with what is there now. */
  readonly fromVersion: number | undefined;
  readonly wantsBookmarks: boolean;
  /** Ends the stream of initial objects with a bookmark that says so (watch-list). */
  readonly wantsInitialEvents: boolean;
  readonly timeoutMs: number;
  readonly bookmarkIntervalMs: number;
}

/** A watch with more unsent octets than this is ended: its client does not read. */
const UNSENT_BYTES_MAX = 16 * 1024 * 1024;

/** Serves the watch until the client goes, its time is up, or the function returned is called. */
export function serveWatch(store: Store, response: ServerResponse, request: WatchRequest): () => void {
  const { place, matches } = request;
  let stopFollowing = (): void => {};
  let bookmarks: NodeJS.Timeout | undefined;
  const send = (type: string, object: unknown): void => {
    response.write(`${JSON.stringify({ type, object })}\n`);
    if (response.writableLength > UNSENT_BYTES_MAX) end();
  };
  const end = (): void => {
    clearInterval(bookmarks);
    clearTimeout(timeout);
    stopFollowing();
    if (!response.writableEnded) response.end();
  };
  const bookmark = (annotations: Json = {}): void =>
    send('BOOKMARK', {
      apiVersion: apiVersionOf(place.kind),
      kind: place.kind.kind,
      metadata: { resourceVersion: String(store.version), creationTimestamp: null, ...annotations },
    });
  const timeout = setTimeout(end, request.timeoutMs);
  response.on('close', end);
  response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
  response.flushHeaders();

  let from = request.fromVersion ?? 0;
  if (from === 0) {
    from = store.version;
    for (const object of store.list(place).filter(matches)) send('ADDED', object);
    if (request.wantsInitialEvents) bookmark({ annotations: { 'k8s.io/initial-events-end': 'true' } });
  }
  try {
    stopFollowing = store.follow(from, (change) => {
      const event = visible(change, place, matches);
      if (event !== undefined) send(event.type, event.object);
    });
  } catch (error) {
    // The real server says so inside the stream too, with HTTP status 200.
    if (!(error instanceof ApiFailure)) throw error;
    send('ERROR', statusOf(error));
    end();
    return end;
  }
  if (request.wantsBookmarks) bookmarks = setInterval(bookmark, request.bookmarkIntervalMs);
  return end;
}

/** How a change looks to a watch, or undefined when it doesn't concern it. */
function visible(change: Change, place: Place, matches: Matcher): { type: string; object: unknown } | undefined {
  if (change.kind !== place.kind) return undefined;
  if (place.namespace !== '' && change.object.metadata.namespace !== place.namespace) return undefined;
  const before = change.previous !== undefined && matches(change.previous);
  const now = change.type !== 'DELETED' && matches(change.object);
  if (!before && !now) return undefined;
  return { type: before && now ? 'MODIFIED' : now ? 'ADDED' : 'DELETED', object: change.object };
}
