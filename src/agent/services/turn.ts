/**
 * One turn's work on Service addresses: what it goes by, and what it changes, gathered so that each table is copied once.
 * Lives for the turn only; step.ts begins and finishes it.
 */

import { earliest, NEVER, type MonotonicMs } from '../../base/time.ts';
import { vipDeadline, type VipRules } from '../../vip/vip-state.ts';
import type { AddressDuty } from '../../services/duty.ts';
import type { Effect } from '../effect.ts';
import type { AgentRules, AgentState } from '../state.ts';
import { inDraft, putInDraft, type Draft } from './shards.ts';
import type { Site, Sites } from './site.ts';
import type {
  InquiryAnswer,
  Liveness,
  ServiceCounts,
  ServiceEntry,
  ServiceMove,
  ServiceRival,
  ServicesState,
} from './state.ts';

export interface Turn {
  readonly rules: AgentRules;
  /** With `services` as they are to be judged by: liveness, sites and what is used here are of now. */
  readonly state: AgentState;
  readonly services: ServicesState;
  readonly liveness: Liveness;
  readonly sites: Sites;
  readonly vipRules: VipRules;
  /** The election was gained with the former holder's consent in this turn. */
  readonly hasConsent: boolean;
  readonly now: MonotonicMs;
  readonly entries: Draft<ServiceEntry>;
  readonly effects: Effect[];
  /** How often a machine was driven: so much work for system calls. */
  driven: number;
  /** What happened how often. */
  readonly tally: Map<string, number>;
  /** By number; those that this turn changed. */
  readonly moves: Map<number, ServiceMove>;
  counts: ServiceCounts;
  readonly inquiries: Changes<InquiryAnswer>;
  readonly strays: Changes<MonotonicMs>;
  duties: ReadonlySet<AddressDuty>;
  rivals: ReadonlyMap<string, ServiceRival>;
  isNews: boolean;
  isWatchGrown: boolean;
  isWatchShrunk: boolean;
}

/** A map that is copied when it is first changed. */
export interface Changes<Value> {
  map: ReadonlyMap<string, Value>;
  copy: Map<string, Value> | undefined;
}

export function changesOf<Value>(map: ReadonlyMap<string, Value>): Changes<Value> {
  return { map, copy: undefined };
}

/** Puts the value at `key`; undefined removes it. */
export function change<Value>(changes: Changes<Value>, key: string, value: Value | undefined): void {
  changes.copy ??= new Map(changes.map);
  changes.map = changes.copy;
  if (value === undefined) changes.copy.delete(key);
  else changes.copy.set(key, value);
}

/** When an entry wants to be driven next. */
export function entryDeadline({ dueAt, vip, yieldUntil, inquiry }: ServiceEntry): MonotonicMs {
  return earliest(
    dueAt,
    vip === undefined ? NEVER : vipDeadline(vip),
    yieldUntil ?? NEVER,
    inquiry === undefined ? NEVER : inquiry.nextAt,
  );
}

export function entryOf(turn: Turn, address: string): ServiceEntry | undefined {
  return inDraft(turn.entries, address);
}

export function siteOf(turn: Turn, { duty }: Pick<ServiceEntry, 'duty'>): Site | undefined {
  return duty.interfaceName === undefined ? undefined : turn.sites.get(duty.interfaceName);
}

/** Puts the entry, or removes it, and keeps count. */
export function putEntry(turn: Turn, address: string, entry: ServiceEntry | undefined): void {
  const before = entryOf(turn, address);
  if (before === entry) return;
  putInDraft(turn.entries, address, entry);
  const { own, held, involved } = turn.counts;
  turn.counts = {
    own: own + one(entry?.isMine) - one(before?.isMine),
    held: held + one(isHeld(entry)) - one(isHeld(before)),
    involved: involved + one(entry?.vip !== undefined) - one(before?.vip !== undefined),
  };
  if (isOtherwise(before, entry)) turn.isNews = true;
  const was = watchedIndex(before);
  const is = watchedIndex(entry);
  if (was === is) return;
  if (is !== undefined) turn.isWatchGrown = true;
  else turn.isWatchShrunk = true;
}

/** Whether others would want to hear of it. */
function isOtherwise(before: ServiceEntry | undefined, entry: ServiceEntry | undefined): boolean {
  return (
    isHeld(before) !== isHeld(entry) ||
    before?.isMine !== entry?.isMine ||
    before?.owner !== entry?.owner ||
    before?.ifindex !== entry?.ifindex ||
    before?.vip?.rival?.mac.text !== entry?.vip?.rival?.mac.text
  );
}

function isHeld(entry: ServiceEntry | undefined): boolean {
  return entry?.vip?.phase === 'holding';
}

function one(is: boolean | undefined): number {
  return is === true ? 1 : 0;
}

/** Where frames about the address are of interest. */
export function watchedIndex(entry: ServiceEntry | undefined): number | undefined {
  if (entry?.inquiry !== undefined) return entry.inquiry.ifindex;
  return entry?.vip !== undefined || entry?.isMine === true ? entry.ifindex : undefined;
}

export function tally(turn: Turn, name: string, count = 1): void {
  turn.tally.set(name, (turn.tally.get(name) ?? 0) + count);
}
