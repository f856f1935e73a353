/**
 * What is listened for on each interface: whatever this node holds, claims, or asks the wire about. What is new is listened
 * for at once; what is no longer of interest goes a little later, so that a thousand addresses that go one by one don't
 * make a thousand filters.
 */

import { isSameIps, type Ip } from '../../base/ip.ts';
import { after, NEVER, type MonotonicMs } from '../../base/time.ts';
import { eachOfDraft } from './shards.ts';
import type { ServicesState } from './state.ts';
import { watchedIndex, type Turn } from './turn.ts';

const SHRINK_AFTER_MS = 1000;

export function watch(turn: Turn): Pick<ServicesState, 'watched' | 'watchAt'> {
  const { watched, watchAt } = turn.services;
  const { now } = turn;
  if (turn.isWatchGrown || now >= watchAt) {
    return { watched: watchedNow(turn, watched), watchAt: NEVER };
  }
  return { watched, watchAt: turn.isWatchShrunk ? sooner(watchAt, after(now, SHRINK_AFTER_MS)) : watchAt };
}

function sooner(a: MonotonicMs, b: MonotonicMs): MonotonicMs {
  return a < b ? a : b;
}

function watchedNow(turn: Turn, before: ServicesState['watched']): ServicesState['watched'] {
  const lists = new Map<number, Ip[]>();
  for (const [, entry] of eachOfDraft(turn.entries)) {
    const ifindex = watchedIndex(entry);
    if (ifindex === undefined) continue;
    const list = lists.get(ifindex);
    if (list === undefined) lists.set(ifindex, [entry.duty.prefix.ip]);
    else list.push(entry.duty.prefix.ip);
  }
  const watched = new Map<number, readonly Ip[]>();
  let isSame = lists.size === before.size;
  lists.forEach((list, ifindex) => {
    const known = before.get(ifindex);
    const isKept = known !== undefined && isSameIps(known, list);
    isSame &&= isKept;
    watched.set(ifindex, isKept ? known : list);
  });
  return isSame ? before : watched;
}
