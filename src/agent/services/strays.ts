/**
 * Addresses with our mark, or in the shape that only we leave at a place of the duty, that no machine of ours stands for:
 * a former configuration's, an interface's that isn't used any more, somebody's copy. They go, and are looked for again
 * until the kernel says that they are gone. Nothing is touched before the first duty has come.
 */

import type { InterfaceAddress } from '../../protocol/netlink/records.ts';
import { after } from '../../base/time.ts';
import { looksLikeVip } from '../kernel-view.ts';
import { isHost } from './found.ts';
import { inShards } from './shards.ts';
import { change, entryOf, siteOf, type Turn } from './turn.ts';

const AGAIN_MS = 1000;
/** Deletions a turn. */
const STRAYS_PER_TURN = 256;

/** Looks at one address at its next opportunity, or after `delayMs`, whether any of it is astray. */
export function suspectStray(turn: Turn, address: string, delayMs = 0): void {
  const at = after(turn.now, delayMs);
  const known = turn.strays.map.get(address);
  if (known === undefined || known > at) change(turn.strays, address, at);
}

export function isAstray(turn: Turn, address: string): boolean {
  return straysAt(turn, address).length > 0;
}

export function removeStrays(turn: Turn): void {
  if (turn.strays.map.size === 0) return;
  const isTime = turn.services.isDutyKnown || turn.state.lifecycle !== 'running';
  if (!isTime) return;
  let left = STRAYS_PER_TURN;
  for (const [address, at] of turn.strays.map) {
    if (at > turn.now || left === 0) continue;
    left -= 1;
    const strays = straysAt(turn, address);
    for (const { ifindex, prefix } of strays) turn.effects.push({ kind: 'address.delete', ifindex, prefix });
    change(turn.strays, address, strays.length === 0 ? undefined : after(turn.now, AGAIN_MS));
  }
}

function straysAt(turn: Turn, address: string): readonly InterfaceAddress[] {
  const found = inShards(turn.services.found, address) ?? [];
  const entry = entryOf(turn, address);
  return found.filter((one) => {
    const isOurs = one.protocol === turn.rules.addressProtocol || (entry !== undefined && looksLikeVip(one));
    if (!isOurs) return false;
    if (entry === undefined || !isHost(one.prefix)) return true;
    // Without a machine yet: it gets one for this place when it is its turn.
    const ifindex = entry.ifindex ?? (entry.isMine ? siteOf(turn, entry)?.ifindex : one.ifindex);
    return one.ifindex !== ifindex;
  });
}
