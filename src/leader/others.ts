/**
 * Members without a vote. A majority is asked of at most VOTERS_MAX voters; every other member only has to be known to
 * live. It exchanges heartbeats with the voters alone (members × voters datagrams, not members squared), and each voter names
 * in its own those that it misses: whom a majority of the voters misses is lost, for everybody who hears the voters.
 *
 *     member ── heartbeat, each `pace` intervals ──▶ every voter ── heartbeat: "I miss …" ──▶ every voter and member
 *
 * Nothing here elects anybody: a member without a vote may hold addresses of Services, and has standing for that while it
 * hears a majority of the voters and isn't told that a majority misses it.
 */

import { after, NEVER, type MonotonicMs } from '../base/time.ts';
import { sha256Text } from '../base/sha256.ts';
import {
  changeOthers,
  isHeard,
  isVoter,
  majorityOf,
  silenceOf,
  type Heartbeat,
  type HeartbeatVerdict,
  type Other,
  type ViewRules,
  type ViewState,
} from './view.ts';

/** Missed ones that one heartbeat names; of more those that fell silent last. */
export const MISSES_MAX = 64;
/** Members without a vote that may beat in each interval; with twice as many each beats in every second one. */
const OTHERS_PER_INTERVAL = 16;
/** So that an echo still proves something (runtime/heartbeat-peer.ts). */
const PACE_MAX = 10;
/** Who has never been heard can't be missed before it had time for being proven. */
export const OTHER_GRACE_MS = 3000;

/** Every how many intervals a voter and a member without a vote hear of each other. */
export function paceOf(others: number): number {
  return Math.min(PACE_MAX, Math.max(1, Math.ceil(others / OTHERS_PER_INTERVAL)));
}

/** What a heartbeat calls a member it misses: the first 32 bits of its name's SHA-256. */
export function memberHash(name: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = sha256Text(name);
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** Takes in who is registered and has no vote. `names` without ourselves. */
export function followOthers(view: ViewState, names: readonly string[], now: MonotonicMs): ViewState {
  if (names.length === view.others.size && names.every((name) => view.others.has(name))) return view;
  const others = new Map<string, Other>();
  for (const name of names) {
    const other: Other = {
      hash: memberHash(name),
      knownAt: now,
      heartbeat: undefined,
      heardAt: undefined,
      silentMs: OTHER_GRACE_MS,
    };
    others.set(name, view.others.get(name) ?? other);
  }
  return changeOthers(view, others);
}

/** Takes an authenticated heartbeat of a member without a vote. */
export function hearOther(
  rules: ViewRules,
  view: ViewState,
  heartbeat: Heartbeat,
  now: MonotonicMs,
): { readonly view: ViewState; readonly verdict: HeartbeatVerdict } {
  const known = view.others.get(heartbeat.sender);
  if (known === undefined) return { view, verdict: 'stranger' };
  const last = known.heartbeat;
  if (last?.incarnation === heartbeat.incarnation && heartbeat.sequence <= last.sequence) {
    return { view, verdict: 'replayed' };
  }
  const silentMs = silenceOf(rules, heartbeat);
  const others = new Map(view.others);
  others.set(heartbeat.sender, { ...known, heartbeat, heardAt: now, silentMs });
  return { view: changeOthers(view, others), verdict: 'taken' };
}

/** When a member without a vote falls, or fell, silent for a voter. */
function silentAt({ heardAt, knownAt, silentMs }: Other): MonotonicMs {
  return after(heardAt ?? knownAt, silentMs);
}

const NOBODY: readonly number[] = [];

/** Whom of the members without a vote this voter misses, as its heartbeat names them; in the order of their silence, the last first. */
export function missesOf(rules: ViewRules, view: ViewState, now: MonotonicMs): readonly number[] {
  if (view.others.size === 0 || !isVoter(rules, view)) return NOBODY;
  const missed = [...view.others.values()].filter((other) => now >= silentAt(other));
  if (missed.length === 0) return NOBODY;
  return missed
    .sort((a, b) => silentAt(b) - silentAt(a) || a.hash - b.hash)
    .slice(0, MISSES_MAX)
    .map(({ hash }) => hash);
}

/** How many voters miss the member without a vote, ourselves counted where we vote. Whatever voter set they speak of. */
export function countMissingOther(rules: ViewRules, view: ViewState, name: string, now: MonotonicMs): number {
  const known = view.others.get(name);
  const hash = known?.hash ?? memberHash(name);
  let count = known !== undefined && isVoter(rules, view) && now >= silentAt(known) ? 1 : 0;
  view.set?.voters.forEach((voter) => {
    if (voter.name === rules.self || !isHeard(rules, view, voter.name, now)) return;
    if (view.peers.get(voter.name)?.heartbeat.misses.includes(hash) === true) count += 1;
  });
  return count;
}

/** Whether a majority of the voters misses the member without a vote. */
export function isOtherLost(rules: ViewRules, view: ViewState, name: string, now: MonotonicMs): boolean {
  const voters = view.set?.voters.length ?? 0;
  return voters > 0 && countMissingOther(rules, view, name, now) >= majorityOf(voters);
}

/** Whether the member without a vote is heard here, and said so last. A registration may be behind: it is no consent. */
export function isOtherDraining(view: ViewState, name: string, now: MonotonicMs): boolean {
  const other = view.others.get(name);
  return other?.heardAt !== undefined && other.heartbeat?.isDraining === true && now < silentAt(other);
}

/** Whether we, without a vote, hear a majority of the voters; since when not, as far as that can be said. */
export function voterMajorityLostAt(view: ViewState, now: MonotonicMs): MonotonicMs | undefined {
  const ends = (view.set?.voters ?? []).map(({ name }) => {
    const peer = view.peers.get(name);
    return peer === undefined ? view.setAt : after(peer.heardAt, peer.silentMs);
  });
  const last = ends.sort((a, b) => b - a)[majorityOf(ends.length) - 1];
  return last !== undefined && now < last ? undefined : (last ?? view.setAt);
}

/** When the next member without a vote falls silent, unless it is heard again. */
export function othersDeadline(rules: ViewRules, view: ViewState, now: MonotonicMs): MonotonicMs {
  let next = NEVER;
  if (!isVoter(rules, view)) return next;
  view.others.forEach((other) => {
    const at = silentAt(other);
    if (at > now && at < next) next = at;
  });
  return next;
}
