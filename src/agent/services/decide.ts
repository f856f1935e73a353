/**
 * Whose an address is now, and what that means for this node: begin to answer, go on, yield to who comes, or drop. Nothing
 * is done here; what is decided is noted on the entry, which is due then (drive.ts).
 *
 *   becomes ours      its former owner goes and says so → consent: claim at once; else the wire is asked first
 *   is ours no more   we go ourselves → answer on until the next is heard (yieldMs at most); else drop
 */

import { NEVER, after } from '../../base/time.ts';
import { isOtherDraining } from '../../leader/others.ts';
import { isHeard } from '../../leader/view.ts';
import type { AddressDuty } from '../../services/duty.ts';
import { isSamePrefix } from '../../base/ip.ts';
import { viewRules } from '../view-rules.ts';
import { isControlPlane, isHost } from './found.ts';
import { isLeaving, ownerAmong } from './liveness.ts';
import { joinMove, settleOne, type Decision } from './moves.ts';
import { inShards } from './shards.ts';
import type { Site } from './site.ts';
import type { ServiceEntry } from './state.ts';
import { change, entryOf, putEntry, siteOf, type Turn } from './turn.ts';

/** A kernel's lifetimes end up to this late (native.md: about a second at most), and a majority takes its time. */
const KERNEL_LATE_MS = 1500;
/** How long who goes answers on for who comes, and longer where there are many, since who comes takes them in portions. */
export const YIELD_MS = 1000;
/** Beyond so many: some 3 ms for an IPv6 address of which an interface has thousands (bench:services), shared by those that come. */
const YIELD_FEW = 64;
const YIELD_EACH_MS = 2;
const YIELD_MAX_MS = 5_000;

/** Decides about one address; `duty` undefined: as it was, null: it is no longer in the duty. */
export function decide(turn: Turn, address: string, duty?: AddressDuty | null): void {
  const known = entryOf(turn, address);
  if (known === undefined && (duty === undefined || duty === null)) return;
  const before = known ?? (duty === undefined || duty === null ? undefined : freshEntry(turn, duty));
  if (before === undefined) return;
  const isWanted = duty === undefined ? before.isWanted : duty !== null;
  const kept = keptDuty(before.duty, duty);
  const site = siteOf(turn, { duty: kept });
  const owner = isWanted ? ownerHere(turn, kept) : undefined;
  const isMine = owner === turn.rules.node && mayAnswer(turn, address, kept, site);
  const isSame =
    known?.duty === kept && known.isWanted === isWanted && known.owner === owner && known.isMine === isMine;
  if (isSame && isAtRest(turn, address, known, site)) return;
  const told: ServiceEntry = {
    ...before,
    isWanted,
    duty: kept,
    owner,
    ownerSince: owner === before.owner ? before.ownerSince : turn.now,
    isOwnerFirst: before.isOwnerFirst && (before.owner === undefined || before.owner === owner),
    isMine,
    ...formerOwner(turn, before, owner),
  };
  const decided = follow(turn, address, told, before);
  const asked = attend(turn, address, decided, site);
  if (known !== undefined && isSameEntry(known, asked)) return;
  const isOver = !asked.isWanted && asked.vip === undefined;
  if (isOver && turn.inquiries.map.has(address)) change(turn.inquiries, address, undefined);
  putEntry(turn, address, isOver ? undefined : asked);
}

/** Nothing about it is under way: most are, and when a node is lost all are looked at. */
function isAtRest(turn: Turn, address: string, entry: ServiceEntry, site: Site | undefined): boolean {
  const { duty, vip, inquiry, ifindex, isMine } = entry;
  if (duty.isTentative || inquiry !== undefined || turn.inquiries.map.has(address)) return false;
  if (vip !== undefined) return isMine && vip.phase === 'holding' && ifindex === site?.ifindex;
  return !isMine && inShards(turn.services.found, address) === undefined;
}

function freshEntry({ services }: Turn, duty: AddressDuty): ServiceEntry {
  return {
    duty,
    isWanted: true,
    owner: undefined,
    ownerSince: NEVER,
    former: undefined,
    formerSince: NEVER,
    // The first duty of all has what others have had for long.
    isOwnerFirst: services.duties.size > 0,
    isFormerFirst: false,
    isMine: false,
    vip: undefined,
    ifindex: undefined,
    consentUntil: undefined,
    yieldUntil: undefined,
    inquiry: undefined,
    silentAt: undefined,
    dueAt: NEVER,
    move: 0,
  };
}

/** The same object for a duty that says the same: what is compared by identity stays cheap. */
function keptDuty(before: AddressDuty, duty: AddressDuty | null | undefined): AddressDuty {
  if (duty === undefined || duty === null || duty === before) return before;
  const isSame =
    duty.interfaceName === before.interfaceName &&
    duty.isTentative === before.isTentative &&
    isSamePrefix(duty.prefix, before.prefix) &&
    duty.order.length === before.order.length &&
    duty.order.every((name, index) => name === before.order[index]);
  return isSame ? before : duty;
}

/** Who stops is no owner, even when nobody else could be. */
function ownerHere(turn: Turn, duty: AddressDuty): string | undefined {
  const { state, rules, services, liveness } = turn;
  const terms = services.liveness === liveness ? services : { liveness, isSpread: services.isSpread };
  const owner = ownerAmong(duty, terms);
  const isStopping = services.isSpread && state.lifecycle !== 'running';
  if (owner !== rules.node || !isStopping) return owner;
  const others = { ...duty, order: duty.order.filter((name) => name !== rules.node) };
  return ownerAmong(others, { liveness, isSpread: services.isSpread });
}

function mayAnswer(turn: Turn, address: string, duty: AddressDuty, site: Site | undefined): boolean {
  return (
    turn.liveness.hasStanding &&
    site?.isUsable === true &&
    isHost(duty.prefix) &&
    !turn.services.used.has(address) &&
    !isControlPlane(turn.rules, turn.state, address)
  );
}

function formerOwner(
  turn: Turn,
  before: ServiceEntry,
  next: string | undefined,
): Pick<ServiceEntry, 'former' | 'formerSince' | 'isFormerFirst'> {
  const { owner, former, formerSince, isFormerFirst } = before;
  const isKept = owner === undefined || owner === turn.rules.node || owner === next;
  if (isKept) return { former, formerSince, isFormerFirst };
  return { former: owner, formerSince: before.ownerSince, isFormerFirst: before.isOwnerFirst };
}

function follow(turn: Turn, address: string, entry: ServiceEntry, before: ServiceEntry): ServiceEntry {
  if (entry.isMine && !before.isMine) return gain(turn, address, entry, before);
  if (!entry.isMine && before.isMine) return lose(turn, address, entry);
  if (entry.isMine) return consentLate(turn, entry);
  return entry;
}

/**
 * By the number of all addresses, which the other side knows as well; each is given up as soon as its next owner is heard. A
 * stop has to be over before the process is ended: what it leaves behind answers on for minutes.
 */
function yieldMs({ services, state }: Turn): number {
  if (state.lifecycle !== 'running') return YIELD_MS;
  return Math.min(YIELD_MAX_MS, YIELD_MS + Math.max(0, services.entries.size - YIELD_FEW) * YIELD_EACH_MS);
}

function gain(turn: Turn, address: string, entry: ServiceEntry, before: ServiceEntry): ServiceEntry {
  const { now } = turn;
  const decision = gainOf(turn, address, entry, before);
  if (before.move !== 0) settleOne(turn, before.move, true);
  const hasConsent = turn.services.isSpread ? isConsenting(turn, entry) : turn.hasConsent;
  return {
    ...entry,
    // Listened for from now on, driven when it is its turn.
    ifindex: entry.vip === undefined ? siteOf(turn, entry)?.ifindex : entry.ifindex,
    consentUntil: hasConsent && decision.cause !== 'assigned' ? after(now, yieldMs(turn)) : undefined,
    yieldUntil: undefined,
    dueAt: now,
    move: joinMove(turn, decision),
  };
}

function gainOf(turn: Turn, address: string, { former }: ServiceEntry, before: ServiceEntry): Decision {
  const { liveness, services, rules } = turn;
  const gained = (cause: Decision['cause']): Decision => ({ kind: 'gained', cause, other: former });
  const isFound = before.vip !== undefined || inShards(services.found, address) !== undefined;
  if (isFound && (before.owner === undefined || !services.hasStood)) return gained('adopted');
  if (!services.isSpread) return gained('leading');
  if (before.owner === rules.node) return { kind: 'gained', cause: 'regained', other: undefined };
  if (former === undefined || before.owner === undefined) return gained('assigned');
  if (liveness.lost.includes(former)) return gained('node-lost');
  return gained(liveness.draining.includes(former) ? 'node-draining' : 'reordered');
}

/**
 * The former owner is heard, and says that it goes: it answers on until it hears us. That is its to say once the kernel of
 * whoever had the address before, if anybody had, has surely forgotten it.
 */
function isConsenting(turn: Turn, { former, formerSince, isFormerFirst }: ServiceEntry): boolean {
  const { liveness, rules, state, now, vipRules } = turn;
  const isForgotten = isFormerFirst || now >= after(formerSince, vipRules.lifetimeSeconds * 1000 + KERNEL_LATE_MS);
  if (!isForgotten) return false;
  if (former === undefined || liveness.lost.includes(former) || !liveness.draining.includes(former)) return false;
  const { view } = state.peers;
  return isHeard(viewRules(rules), view, former, now) || isOtherDraining(view, former, now);
}

/** The duty may come before the word of who goes: asking the wire, we learn that there is no need to. */
function consentLate(turn: Turn, entry: ServiceEntry): ServiceEntry {
  const phase = entry.vip?.phase;
  const isWaiting = phase === 'probing' || phase === 'conflict';
  if (!isWaiting || entry.consentUntil !== undefined || !turn.services.isSpread) return entry;
  if (!isConsenting(turn, entry)) return entry;
  return { ...entry, consentUntil: after(turn.now, yieldMs(turn)), vip: undefined, dueAt: turn.now };
}

function lose(turn: Turn, address: string, entry: ServiceEntry): ServiceEntry {
  const { liveness, now, state } = turn;
  const cause = lossOf(turn, address, entry);
  if (entry.move !== 0) settleOne(turn, entry.move, true);
  const isYielding =
    cause === 'node-draining' && entry.owner !== undefined && liveness.hasStanding && entry.vip?.phase === 'holding';
  const isAnything = entry.vip !== undefined && (entry.vip.isPresent || entry.vip.phase === 'claiming');
  const other = entry.owner === turn.rules.node ? undefined : entry.owner;
  return {
    ...entry,
    consentUntil: undefined,
    yieldUntil: isYielding && state.kernel !== undefined ? after(now, yieldMs(turn)) : undefined,
    dueAt: now,
    move: isAnything ? joinMove(turn, { kind: 'lost', cause, other }) : 0,
  };
}

function lossOf(turn: Turn, address: string, entry: ServiceEntry): Decision['cause'] {
  const { services, rules, state, liveness } = turn;
  if (!entry.isWanted) return 'removed';
  const isOwner = entry.owner === rules.node;
  if (!services.isSpread && (!isOwner || !liveness.hasStanding)) return 'not-leading';
  if (isOwner && !liveness.hasStanding) return 'standing-lost';
  if (isOwner) return services.used.has(address) ? 'conflict' : 'interface-lost';
  return isLeaving(state) ? 'node-draining' : 'reordered';
}

/** Questions about tentative addresses, what was found in the kernel, and whether there is anything to do now. */
function attend(turn: Turn, address: string, entry: ServiceEntry, site: Site | undefined): ServiceEntry {
  const { now, services } = turn;
  const isElsewhere = entry.isMine && entry.vip !== undefined && entry.ifindex !== site?.ifindex;
  const isFound = entry.vip === undefined && inShards(services.found, address) !== undefined;
  const isTentative = entry.isWanted && entry.duty.isTentative;
  const isToAsk = isTentative && entry.inquiry === undefined && !isAnswered(turn, address, site);
  const isAskedInVain = !isTentative && (entry.inquiry !== undefined || turn.inquiries.map.has(address));
  const isDue = isElsewhere || isFound || isToAsk || isAskedInVain;
  return isDue && entry.dueAt > now ? { ...entry, dueAt: now } : entry;
}

function isAnswered(turn: Turn, address: string, site: Site | undefined): boolean {
  const answer = turn.inquiries.map.get(address);
  return answer !== undefined && (answer.kind !== 'unaskable' || site?.isUsable !== true);
}

function isSameEntry(a: ServiceEntry, b: ServiceEntry): boolean {
  return (
    a.duty === b.duty &&
    a.isWanted === b.isWanted &&
    a.owner === b.owner &&
    a.former === b.former &&
    a.isMine === b.isMine &&
    a.vip === b.vip &&
    a.consentUntil === b.consentUntil &&
    a.yieldUntil === b.yieldUntil &&
    a.dueAt === b.dueAt &&
    a.move === b.move
  );
}
