/**
 * Does what has been decided about one address: drives its vip machine (vip/vip.ts) by the wish that follows from the
 * decision, or asks the wire about a tentative one, and turns what comes out into effects. What the kernel reports
 * decides, as everywhere.
 */

import { assert } from '../../base/assert.ts';
import { ERRORS, fillRemedy } from '../../base/errors.ts';
import type { Mac } from '../../base/mac.ts';
import { after, monotonic, NEVER } from '../../base/time.ts';
import { startVip, type VipEvent, type VipOutput, type VipState, type VipWish } from '../../vip/vip-state.ts';
import { stepVip } from '../../vip/vip.ts';
import { announcementFrames, probeFrame } from '../../vip/wire.ts';
import { isLoopback } from '../kernel-view.ts';
import { logEffect } from '../note.ts';
import { isHost } from './found.ts';
import { inquire } from './inquire.ts';
import { noteProgress, settleOne } from './moves.ts';
import { hashOf, inShards } from './shards.ts';
import { SERVICE_RIVALS_MAX, type ServiceEntry } from './state.ts';
import { entryOf, putEntry, siteOf, tally, type Turn } from './turn.ts';

/** Who has taken over with consent bears with the former owner's answers for this much longer. */
const SUCCEEDING_MS = 500;
/** The wire, found silent so lately, needn't be asked again: the address was asked for before it was given. */
const ASKED_FRESH_MS = 2000;
/** Renewals of fewer need no spreading. */
const SPREAD_MIN = 60;
/** Of many, those whose renewals fall into the same step are renewed together. */
const RENEWAL_STEP_MS = 250;

const NONE: readonly VipEvent[] = [];
const TICK: VipEvent = { kind: 'tick' };

export function drive(turn: Turn, address: string, events: readonly VipEvent[] = NONE): void {
  const found = entryOf(turn, address);
  if (found === undefined) return;
  turn.driven += 1;
  const asked = inquire(turn, address, { ...found, dueAt: NEVER });
  const yielded = endYield(turn, asked, events);
  const placed = place(turn, address, yielded);
  if (placed.vip === undefined) {
    finish(turn, address, placed);
    return;
  }
  const first = stepEntry(turn, address, placed, events);
  const isMoved = isDone(first) && first.isMine;
  const again = isMoved ? place(turn, address, { ...first, vip: undefined, ifindex: undefined }) : first;
  finish(turn, address, isMoved && again.vip !== undefined ? stepEntry(turn, address, again, NONE) : again);
}

/** Who comes was heard on the wire, or doesn't come. */
function endYield(turn: Turn, entry: ServiceEntry, events: readonly VipEvent[]): ServiceEntry {
  const { yieldUntil } = entry;
  if (yieldUntil === undefined) return entry;
  const isOver = turn.now >= yieldUntil || events.some(({ kind }) => kind === 'rival');
  return isOver ? { ...entry, yieldUntil: undefined } : entry;
}

/** Gives the entry a machine if it needs one: to claim, or to be rid of what is there. */
function place(turn: Turn, address: string, entry: ServiceEntry): ServiceEntry {
  const { kernel } = turn.state;
  const isGone = entry.ifindex !== undefined && kernel?.links.has(entry.ifindex) !== true;
  const kept: ServiceEntry = isGone ? { ...entry, vip: undefined, ifindex: undefined, yieldUntil: undefined } : entry;
  if (kept.vip !== undefined) return kept;
  const site = kept.isMine ? siteOf(turn, kept) : undefined;
  const ifindex = site?.ifindex ?? inShards(turn.services.found, address)?.find((one) => isHost(one.prefix))?.ifindex;
  return ifindex === undefined ? kept : { ...kept, ifindex, vip: startVip(kept.duty.prefix, turn.now) };
}

function stepEntry(turn: Turn, address: string, entry: ServiceEntry, events: readonly VipEvent[]): ServiceEntry {
  const { vip, ifindex } = entry;
  if (vip === undefined || ifindex === undefined) return entry;
  const isPresent = isFoundAt(turn, address, ifindex);
  const presence: readonly VipEvent[] = isPresent === vip.isPresent ? NONE : [{ kind: 'present', isPresent }];
  const all = [...presence, ...events];
  const wish = wishFor(turn, entry);
  let state = vip;
  let { move } = entry;
  for (const event of all.length === 0 ? [TICK] : all) {
    const rival = event.kind === 'rival' ? event.mac : state.rival?.mac;
    const isOutranked = rival !== undefined && isOutrankedBy(turn, entry, rival);
    const stepped = stepVip(turn.vipRules, state, isOutranked ? { ...wish, isOutranked } : wish, event, turn.now);
    for (const output of stepped.outputs) move = perform(turn, { ...entry, vip: stepped.state, move }, output);
    const isClaim = state.phase !== 'holding' && stepped.outputs.some(({ kind }) => kind === 'add');
    state = isClaim ? withOwnRhythm(turn, address, stepped.state) : stepped.state;
  }
  return { ...entry, vip: state, move };
}

/**
 * Two nodes that each believe an address to be theirs (what they know of the cluster differs: one doesn't reach the API) hear
 * each other announce it. The one whose MAC comes first keeps it, whoever is right: one answer is better than two.
 */
function isOutrankedBy({ services, state }: Turn, { ifindex, consentUntil }: ServiceEntry, mac: Mac): boolean {
  const own = ifindex === undefined ? undefined : state.kernel?.links.get(ifindex)?.mac;
  const isAgreed = consentUntil !== undefined;
  return own !== undefined && !isAgreed && services.fellows.has(mac.text) && mac.text < own.text;
}

/** Whether the kernel has it there. */
export function isFoundAt(turn: Turn, address: string, ifindex: number): boolean {
  const found = inShards(turn.services.found, address);
  return found !== undefined && found.some((one) => one.ifindex === ifindex && isHost(one.prefix));
}

function wishFor(turn: Turn, entry: ServiceEntry): VipWish {
  const { now, services, state } = turn;
  const { consentUntil, silentAt, yieldUntil } = entry;
  const isAsked = silentAt !== undefined && now < after(silentAt, ASKED_FRESH_MS);
  const isHandingOver = !services.isSpread && state.election.handover?.isWritten === true;
  return {
    verdict: verdictFor(turn, entry),
    hasConsent: isAsked || (consentUntil !== undefined && now < consentUntil),
    lifetimeLimit: NEVER,
    isYielding: isHandingOver || (yieldUntil !== undefined && now < yieldUntil),
    isHolderLost: false,
    isSucceeding: consentUntil !== undefined && now < after(consentUntil, SUCCEEDING_MS),
  };
}

function verdictFor(turn: Turn, entry: ServiceEntry): VipWish['verdict'] {
  const { now, liveness, services, state, rules } = turn;
  const site = siteOf(turn, entry);
  // What is on its way out goes first: another may have claimed it since.
  const isLeaving = entry.vip?.phase === 'withdrawing';
  if (entry.isMine) return entry.ifindex === site?.ifindex && !isLeaving ? 'hold' : 'drop';
  const isYielding = entry.yieldUntil !== undefined && now < entry.yieldUntil;
  if (isYielding && liveness.hasStanding && site?.isUsable === true && entry.ifindex === site.ifindex) return 'hold';
  // Found at start, while it isn't known yet whether we may: its lifetime bounds how long that takes.
  const isOurs = entry.owner === rules.node && entry.ifindex === site?.ifindex;
  return isOurs && !services.hasStood && !liveness.hasStanding && state.lifecycle === 'running' ? 'undecided' : 'drop';
}

/**
 * Claimed together, a thousand addresses would be renewed together for ever: each begins at a moment of its own. But those
 * that are near are renewed in one turn: the process wakes a few times a second and not for each.
 */
function withOwnRhythm(turn: Turn, address: string, vip: VipState): VipState {
  if (turn.counts.own < SPREAD_MIN || vip.lifetimeAt === NEVER) return vip;
  const fraction = (hashOf(address) + 1) / 0x1_0000_0000;
  const at = after(turn.now, (vip.lifetimeAt - turn.now) * fraction);
  return { ...vip, lifetimeAt: monotonic(Math.max(turn.now, Math.floor(at / RENEWAL_STEP_MS) * RENEWAL_STEP_MS)) };
}

/** What comes out of the machine; answers the number of the move the entry is still part of. */
function perform(turn: Turn, entry: ServiceEntry, output: VipOutput): number {
  const { move } = entry;
  tally(turn, output.kind);
  switch (output.kind) {
    case 'add':
      addAddress(turn, entry, output.validSeconds);
      return move;
    case 'delete':
      if (entry.ifindex !== undefined) {
        turn.effects.push({ kind: 'address.delete', ifindex: entry.ifindex, prefix: entry.duty.prefix });
      }
      return move;
    case 'probe':
    case 'announce':
    case 'defend':
      sendFrames(turn, entry, output.kind);
      return move;
    case 'silent':
      noteProgress(turn, move, 'wire');
      return move;
    case 'up':
      noteProgress(turn, move, 'kernel');
      return move;
    case 'announced':
      noteProgress(turn, move, 'announced');
      settleOne(turn, move);
      return 0;
    case 'down':
      noteProgress(turn, move, 'kernel');
      settleOne(turn, move);
      return 0;
    case 'waiting':
      noteRival(turn, entry, output.mac, false);
      return move;
    case 'conflict':
    case 'yielded':
      noteRival(turn, entry, output.mac, !turn.services.fellows.has(output.mac.text));
      return move;
    case 'restored':
    case 'lapsed':
      return move;
  }
}

function addAddress(turn: Turn, entry: ServiceEntry, validSeconds: number): void {
  const link = entry.ifindex === undefined ? undefined : turn.state.kernel?.links.get(entry.ifindex);
  if (link === undefined) return;
  const scope = isLoopback(link) && !turn.rules.loopbackGlobalScope ? 'host' : 'global';
  turn.effects.push({ kind: 'address.add', ifindex: link.index, prefix: entry.duty.prefix, validSeconds, scope });
}

function sendFrames(turn: Turn, entry: ServiceEntry, purpose: 'announce' | 'probe' | 'defend'): void {
  const link = entry.ifindex === undefined ? undefined : turn.state.kernel?.links.get(entry.ifindex);
  if (link === undefined || isLoopback(link)) return;
  const { mac } = link;
  assert(mac !== undefined, 'a usable link has a MAC');
  const { ip } = entry.duty.prefix;
  const made = purpose === 'probe' ? [probeFrame(mac, ip)] : announcementFrames(mac, ip);
  for (const frame of made) {
    turn.effects.push({ kind: 'frame.send', ifindex: link.index, frame, purpose, address: ip });
  }
}

/** Somebody else answers: told once for each of them, however many addresses it has; the runtime tells each Service. */
function noteRival(turn: Turn, entry: ServiceEntry, mac: Mac, isConflict: boolean): void {
  const address = entry.duty.prefix.ip.text;
  const known = turn.rivals.get(mac.text);
  const firstHeardAt = known?.firstHeardAt ?? turn.now;
  const isReported = known?.isReported === true || isConflict;
  const kept = [...turn.rivals].filter(([key]) => key !== mac.text).slice(1 - SERVICE_RIVALS_MAX);
  const rival = { mac: mac.text, firstHeardAt, lastHeardAt: turn.now, address, isReported };
  turn.rivals = new Map([...kept, [mac.text, rival]]);
  turn.isNews = true;
  if (known === undefined && !isConflict) {
    const fields = { address, mac: mac.text };
    turn.effects.push(logEffect('info', 'service address is still answered by another machine', fields));
  }
  if (!isConflict || known?.isReported === true) return;
  const remedy = fillRemedy(ERRORS.ADDRESS_CONFLICT.remedy, { address, mac: mac.text });
  const fields = { address, mac: mac.text, code: 'ADDRESS_CONFLICT', remedy };
  turn.effects.push(logEffect('error', 'service address conflict', fields));
}

/** Nothing of it is left here. */
function isDone({ vip }: ServiceEntry): boolean {
  return vip !== undefined && vip.phase === 'idle' && !vip.isPresent;
}

function finish(turn: Turn, address: string, entry: ServiceEntry): void {
  const isOver = isDone(entry) && !entry.isMine;
  if (entry.move !== 0 && (isOver || entry.vip === undefined)) settleOne(turn, entry.move, false);
  const isSettled = isOver || entry.vip === undefined;
  const done: ServiceEntry = isSettled ? { ...entry, vip: undefined, ifindex: undefined, move: 0 } : entry;
  putEntry(turn, address, done.isWanted || done.vip !== undefined ? done : undefined);
}
