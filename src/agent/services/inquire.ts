/**
 * Asks the wire about an address before it is given to anybody (RFC 5227 §2.1.1, RFC 4862 §5.4): a few questions, one
 * answer, kept while the address is tentative. Nothing is claimed by it.
 */

import type { Mac } from '../../base/mac.ts';
import { after } from '../../base/time.ts';
import { probeFrame } from '../../vip/wire.ts';
import type { Site } from './site.ts';
import type { InquiryAnswer, ServiceEntry } from './state.ts';
import { change, siteOf, tally, type Turn } from './turn.ts';

/** Begins, goes on with, or ends the questions about the entry's address. */
export function inquire(turn: Turn, address: string, entry: ServiceEntry): ServiceEntry {
  if (!entry.isWanted || !entry.duty.isTentative) return forget(turn, address, entry);
  const { inquiry } = entry;
  const site = siteOf(turn, entry);
  const known = turn.inquiries.map.get(address);
  if (site?.isUsable !== true) {
    if (known === undefined || inquiry !== undefined) answer(turn, address, { kind: 'unaskable', at: turn.now });
    return { ...entry, inquiry: undefined };
  }
  if (known !== undefined && known.kind !== 'unaskable') return entry;
  return ask(turn, address, entry, site);
}

function ask(turn: Turn, address: string, entry: ServiceEntry, site: Site): ServiceEntry {
  const { now, vipRules, rules } = turn;
  const isSamePlace = entry.inquiry?.ifindex === site.ifindex;
  const inquiry =
    isSamePlace && entry.inquiry !== undefined ? entry.inquiry : { ifindex: site.ifindex, sent: 0, nextAt: now };
  if (now < inquiry.nextAt) return { ...entry, inquiry };
  if (turn.services.used.has(address)) return heard(turn, address, entry, site.mac);
  if (site.isLoopback || site.mac === undefined || inquiry.sent >= vipRules.probeCount) {
    answer(turn, address, { kind: 'silent', at: now });
    return { ...entry, inquiry: undefined, silentAt: now };
  }
  const { ip } = entry.duty.prefix;
  const frame = probeFrame(site.mac, ip);
  turn.effects.push({ kind: 'frame.send', ifindex: site.ifindex, frame, purpose: 'probe', address: ip });
  tally(turn, 'probe');
  return {
    ...entry,
    inquiry: { ...inquiry, sent: inquiry.sent + 1, nextAt: after(now, rules.vip.probeIntervalMs) },
  };
}

/** Somebody uses the address. */
export function heard(turn: Turn, address: string, entry: ServiceEntry, mac: Mac | undefined): ServiceEntry {
  answer(turn, address, { kind: 'used', at: turn.now, mac: mac?.text ?? '' });
  return { ...entry, inquiry: undefined, silentAt: undefined };
}

function answer(turn: Turn, address: string, given: InquiryAnswer): void {
  change(turn.inquiries, address, given);
  turn.isNews = true;
}

function forget(turn: Turn, address: string, entry: ServiceEntry): ServiceEntry {
  if (!turn.inquiries.map.has(address)) return entry.inquiry === undefined ? entry : { ...entry, inquiry: undefined };
  change(turn.inquiries, address, undefined);
  turn.isNews = true;
  return { ...entry, inquiry: undefined };
}
