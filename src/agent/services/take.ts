/**
 * What an event means for this node's share of Service addresses: what the kernel, the wire or the clock says of some of
 * them, or of all. It is noted on their entries; what is due by it is driven in portions (step.ts), but for what the event is
 * about.
 */

import { withAnnouncementsDue, withRenewalDue } from '../../vip/news.ts';
import type { VipState } from '../../vip/vip-state.ts';
import { interpretFrame } from '../../vip/wire.ts';
import { isNewPath } from '../addresses.ts';
import type { AgentEvent } from '../event.ts';
import { isOwnMac } from '../kernel-view.ts';
import { decide } from './decide.ts';
import { drive, isFoundAt } from './drive.ts';
import { addressesIn } from './found.ts';
import { heard } from './inquire.ts';
import { eachOfShards } from './shards.ts';
import { isAstray, suspectStray } from './strays.ts';
import { entryOf, putEntry, type Turn } from './turn.ts';

/** Before anything that is due is driven. */
export function takeEvent(turn: Turn, event: AgentEvent): void {
  switch (event.kind) {
    case 'kernel.changed':
    case 'kernel.changes': {
      for (const address of addressesIn(event)) lookAt(turn, address);
      const changes = event.kind === 'kernel.changed' ? [event.change] : event.changes;
      for (const { ifindex } of turn.sites.values()) {
        if (!changes.some((change) => isNewPath(change, ifindex))) continue;
        everyVip(turn, (vip, index) => (index === ifindex ? withAnnouncementsDue(vip, turn.now) : vip));
      }
      if (changes.some(({ kind }) => kind === 'link-gone')) lookAtAll(turn);
      return;
    }
    case 'kernel.dumped':
      return lookAtAll(turn);
    case 'frame.received':
      return hearFrame(turn, event.ifindex, event.frame);
    case 'effect.failed':
      if (event.effect === 'address.add') drive(turn, event.address, [{ kind: 'failed' }]);
      return;
    case 'clock.jumped':
      return everyVip(turn, (vip) => withRenewalDue(vip, turn.now));
    case 'shutdown':
      if (turn.services.isDutyKnown) return;
      for (const [address] of eachOfShards(turn.services.found)) suspectStray(turn, address);
      return;
    default:
  }
}

/** The kernel said something of the address. */
function lookAt(turn: Turn, address: string): void {
  const entry = entryOf(turn, address);
  if (entry?.vip !== undefined) drive(turn, address);
  else if (entry !== undefined) decide(turn, address);
  if (isAstray(turn, address)) suspectStray(turn, address);
}

/** What the kernel has now differs from what was known: due at once, and driven in portions. */
function lookAtAll(turn: Turn): void {
  const { now, services } = turn;
  for (const [address] of eachOfShards(services.entries)) {
    const entry = entryOf(turn, address);
    if (entry?.vip === undefined || entry.dueAt <= now) continue;
    const isGone = entry.ifindex !== undefined && turn.state.kernel?.links.has(entry.ifindex) !== true;
    const isPresent = entry.ifindex !== undefined && isFoundAt(turn, address, entry.ifindex);
    if (isGone || isPresent !== entry.vip.isPresent) putEntry(turn, address, { ...entry, dueAt: now });
  }
  for (const [address] of eachOfShards(services.found)) {
    if (entryOf(turn, address)?.vip === undefined) decide(turn, address);
    if (isAstray(turn, address)) suspectStray(turn, address);
  }
}

/** Changes machines without driving them: they are due then, and driven in portions. */
export function everyVip(turn: Turn, change: (vip: VipState, ifindex: number | undefined) => VipState): void {
  for (const [address] of eachOfShards(turn.services.entries)) {
    const entry = entryOf(turn, address);
    if (entry?.vip === undefined) continue;
    const vip = change(entry.vip, entry.ifindex);
    if (vip !== entry.vip) putEntry(turn, address, { ...entry, vip });
  }
}

function hearFrame(turn: Turn, ifindex: number, frame: Uint8Array): void {
  const { kernel } = turn.state;
  const said = interpretFrame(frame);
  if (kernel === undefined || !said.ok || said.value.kind !== 'uses' || isOwnMac(kernel, said.value.mac.text)) return;
  const { mac, ip } = said.value;
  const entry = entryOf(turn, ip.text);
  if (entry === undefined) return;
  if (entry.inquiry?.ifindex === ifindex) putEntry(turn, ip.text, heard(turn, ip.text, entry, mac));
  else if (entry.vip !== undefined && entry.ifindex === ifindex) drive(turn, ip.text, [{ kind: 'rival', mac }]);
}
