/**
 * Who is alive, as a majority sees it. Each voter tells every other, a few times a second, whom it hears; from that every
 * one of them computes the same three answers without asking the API: do I belong to a majority, does a majority call the
 * holder silent, and who comes next. Pure: heartbeats arrive decoded and authenticated (protocol/heartbeat), time beside them.
 *
 * What this deliberately isn't: an election. Where the API answers, the compare-and-swap decides; where it doesn't, a
 * claim needs a majority that both misses the holder and names the claimant, and is provisional until the API ratifies it.
 */

import { NEVER, after, monotonic, type MonotonicMs } from '../base/time.ts';

/** The bitmap of a heartbeat has this many bits; more candidates than that take part without a vote (others.ts). */
export const VOTERS_MAX = 9;

const NEVER_HEARD = monotonic(Number.NEGATIVE_INFINITY);

/** A heartbeat that comes half an interval late is a reason to look at the wire. */
const OVERDUE_INTERVALS = 1.5;
/** What a sender says of its interval is believed up to this. */
const INTERVAL_MAX_MS = 2000;

export interface Voter {
  readonly name: string;
  /** Where its heartbeats are sent to: IP texts, the first reachable family first. */
  readonly addresses: readonly string[];
  readonly port: number;
}

/** Written by the leader into the election Lease; a voter's bit is its place in `voters`. */
export interface VoterSet {
  readonly epoch: number;
  readonly voters: readonly Voter[];
}

/** What a candidate says of itself; everything but sequence and bitmap changes rarely. */
export interface Heartbeat {
  readonly sender: string;
  /** Another value after each start of the sender. */
  readonly incarnation: string;
  /** Grows with each datagram of an incarnation. */
  readonly sequence: number;
  /** Epoch of the voter set that `hears` and `supports` speak of. */
  readonly epoch: number;
  /** Bit i: the sender hears voter i. */
  readonly hears: number;
  /** Whom the sender would have take over, as a voter's place; undefined = nobody. */
  readonly supports: number | undefined;
  /** leaseTransitions of the newest Lease that the sender knows. */
  readonly term: number;
  readonly isApiWorking: boolean;
  readonly isEligible: boolean;
  readonly isDraining: boolean;
  /** It answers for the addresses now. */
  readonly isHolding: boolean;
  /** It acts as the holder: it answers, or is about to. */
  readonly isLeading: boolean;
  /** It holds without the API having said so: who has the Lease comes before it. */
  readonly isProvisional: boolean;
  readonly priority: number;
  /** Members without a vote that the sender, a voter, misses: see memberHash. */
  readonly misses: readonly number[];
  /** How often its sender sends to whom this was sent; 0 where it doesn't say, ms. */
  readonly intervalMs: number;
}

export interface ViewRules {
  readonly self: string;
  readonly intervalMs: number;
  /** Heartbeats missed until a voter counts as silent. */
  readonly multiplier: number;
}

interface Peer {
  readonly heartbeat: Heartbeat;
  readonly heardAt: MonotonicMs;
  /** It isn't heard any more after this. */
  readonly silentMs: number;
  /** Since when it has said that it neither answers nor is about to; undefined while it does. */
  readonly idleSince: MonotonicMs | undefined;
}

/** A member without a vote; see others.ts. */
export interface Other {
  readonly hash: number;
  readonly knownAt: MonotonicMs;
  readonly heartbeat: Heartbeat | undefined;
  readonly heardAt: MonotonicMs | undefined;
  /** It isn't heard any more after this. */
  readonly silentMs: number;
}

export interface ViewState {
  readonly set: VoterSet | undefined;
  /** When this node took the set in: who has only just been named can't be missed yet. */
  readonly setAt: MonotonicMs;
  /** Voters that were heard. */
  readonly peers: ReadonlyMap<string, Peer>;
  /** Everybody who is registered and has no vote, but ourselves. */
  readonly others: ReadonlyMap<string, Other>;
}

export function startView(): ViewState {
  return { set: undefined, setAt: monotonic(0), peers: new Map(), others: new Map() };
}

export function isVoter({ self }: ViewRules, { set }: ViewState): boolean {
  return set?.voters.some(({ name }) => name === self) === true;
}

export function changeOthers(view: ViewState, others: ViewState['others']): ViewState {
  return { ...view, others };
}

export type HeartbeatVerdict = 'taken' | 'own' | 'stranger' | 'replayed';

/** Takes one authenticated heartbeat, or says why it changes nothing. */
export function hearHeartbeat(
  rules: ViewRules,
  view: ViewState,
  heartbeat: Heartbeat,
  now: MonotonicMs,
): { readonly view: ViewState; readonly verdict: HeartbeatVerdict } {
  if (heartbeat.sender === rules.self) return { view, verdict: 'own' };
  const isOfVoter = view.set?.voters.some((voter) => voter.name === heartbeat.sender) === true;
  if (!isOfVoter) return { view, verdict: 'stranger' };
  const known = view.peers.get(heartbeat.sender)?.heartbeat;
  if (known !== undefined && known.incarnation === heartbeat.incarnation && heartbeat.sequence <= known.sequence) {
    return { view, verdict: 'replayed' };
  }
  const isActing = heartbeat.isHolding || heartbeat.isLeading;
  const idleSince = isActing ? undefined : (view.peers.get(heartbeat.sender)?.idleSince ?? now);
  // Voters know each other's interval; who has no vote is told theirs.
  const silentMs = isVoter(rules, view) ? silentAfterMs(rules) : silenceOf(rules, heartbeat);
  const peers = new Map(view.peers).set(heartbeat.sender, { heartbeat, heardAt: now, silentMs, idleSince });
  return { view: { ...view, peers }, verdict: 'taken' };
}

/**
 * Takes the voter set of the newest Lease known. Which Lease is the newest the election knows: an epoch that went back
 * (somebody cleared the annotation) is taken too. Peers that left the set are forgotten.
 */
export function changeVoters(view: ViewState, set: VoterSet, now: MonotonicMs): ViewState {
  const names = new Set(set.voters.map((voter) => voter.name));
  return { ...view, set, setAt: now, peers: new Map([...view.peers].filter(([name]) => names.has(name))) };
}

/** Silence after which a voter isn't heard any more, ms. */
export function silentAfterMs(rules: ViewRules): number {
  return rules.intervalMs * rules.multiplier;
}

/** The same by the interval that a sender names. */
export function silenceOf(rules: ViewRules, { intervalMs }: Pick<Heartbeat, 'intervalMs'>): number {
  return rules.multiplier * Math.min(INTERVAL_MAX_MS, Math.max(rules.intervalMs, intervalMs));
}

export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** Whether `name` was heard lately (oneself always is). */
export function isHeard(rules: ViewRules, view: ViewState, name: string, now: MonotonicMs): boolean {
  if (name === rules.self) return true;
  const peer = view.peers.get(name);
  return peer !== undefined && now < after(peer.heardAt, peer.silentMs);
}

/** Whether `name` is silent; who has never been heard, only once the voter set is old enough for that to mean something. */
export function isMissing(rules: ViewRules, view: ViewState, name: string, now: MonotonicMs): boolean {
  if (isHeard(rules, view, name, now)) return false;
  return view.peers.has(name) || now >= after(view.setAt, silentAfterMs(rules));
}

/** Since when `name` has been heard to say that it isn't the holder; undefined while it says it is, or isn't known. */
export function idleSince(view: ViewState, name: string): MonotonicMs | undefined {
  return view.peers.get(name)?.idleSince;
}

/** The bitmap of whom we hear, or can't miss yet; `idle`, a holder that doesn't hold, is as good as unheard. */
export function hearsBitmap(rules: ViewRules, view: ViewState, now: MonotonicMs, idle?: string): number {
  let bitmap = 0;
  view.set?.voters.forEach((voter, place) => {
    if (voter.name !== idle && !isMissing(rules, view, voter.name, now)) bitmap |= 1 << place;
  });
  return bitmap;
}

/** Whether a majority of the voter set, ourselves counted, is heard. False without a voter set or outside of it. */
export function hearsMajority(rules: ViewRules, view: ViewState, now: MonotonicMs): boolean {
  const voters = view.set?.voters ?? [];
  if (!voters.some((voter) => voter.name === rules.self)) return false;
  let heard = 0;
  voters.forEach((voter) => {
    if (isHeard(rules, view, voter.name, now)) heard += 1;
  });
  return heard >= majorityOf(voters.length);
}

/**
 * Since when no majority has been heard: when the last heartbeat that made one up stopped counting, which may be long before
 * this process looks (it stood still). undefined while one is heard, or without a voter set that names us.
 */
export function majorityLostAt(rules: ViewRules, view: ViewState, now: MonotonicMs): MonotonicMs | undefined {
  const voters = view.set?.voters ?? [];
  if (!voters.some((voter) => voter.name === rules.self) || hearsMajority(rules, view, now)) return undefined;
  const others = voters.filter((voter) => voter.name !== rules.self);
  const ends = others.map(({ name }) => {
    const peer = view.peers.get(name);
    return peer === undefined ? NEVER_HEARD : after(peer.heardAt, peer.silentMs);
  });
  const last = ends.sort((a, b) => b - a)[majorityOf(voters.length) - 2];
  return Math.max(view.setAt, last ?? view.setAt) as MonotonicMs;
}

interface Present {
  readonly view: ViewState;
  readonly rules: ViewRules;
  readonly from: MonotonicMs;
  /** When the first of them falls silent. */
  readonly until: MonotonicMs;
  readonly heartbeats: readonly Heartbeat[];
}

/** Every question below is asked of the same few: who is present is remembered with the view, while that stays so. */
const LAST: { present: Present | undefined } = { present: undefined };

/** Heartbeats of the other voters that are heard now and speak of the present voter set. */
function present(rules: ViewRules, view: ViewState, now: MonotonicMs): readonly Heartbeat[] {
  const known = LAST.present;
  if (known?.view === view && known.rules === rules && now >= known.from && now < known.until) return known.heartbeats;
  const heartbeats: Heartbeat[] = [];
  let until = NEVER;
  view.set?.voters.forEach(({ name }) => {
    const peer = name === rules.self ? undefined : view.peers.get(name);
    if (peer === undefined || peer.heartbeat.epoch !== view.set?.epoch) return;
    const silentAt = after(peer.heardAt, peer.silentMs);
    if (now >= silentAt) return;
    heartbeats.push(peer.heartbeat);
    if (silentAt < until) until = silentAt;
  });
  LAST.present = { view, rules, from: now, until, heartbeats };
  return heartbeats;
}

/**
 * The first heartbeat of those that are heard now, voters by place and then members without a vote, for which this holds.
 * Who has a later voter set than we says as much of itself as any: whoever became leader, perhaps without a vote, wrote one.
 */
function findHeard(view: ViewState, now: MonotonicMs, holds: (heartbeat: Heartbeat) => boolean): Heartbeat | undefined {
  for (const { name } of view.set?.voters ?? []) {
    const peer = view.peers.get(name);
    if (peer !== undefined && now < after(peer.heardAt, peer.silentMs) && holds(peer.heartbeat)) return peer.heartbeat;
  }
  for (const { heartbeat, heardAt, silentMs } of view.others.values()) {
    if (heartbeat === undefined || heardAt === undefined || now >= after(heardAt, silentMs)) continue;
    if (holds(heartbeat)) return heartbeat;
  }
  return undefined;
}

/**
 * Whether a majority of the voter set misses `target`: by its own ears for us where we have a vote, by their bitmaps for the
 * others. False when `target` is no voter: no bitmap speaks of it. `isIdle`: we hear it say that it doesn't hold what it
 * should (which may be ourselves).
 */
export function isMissedByMajority(
  rules: ViewRules,
  view: ViewState,
  target: string,
  now: MonotonicMs,
  isIdle = false,
): boolean {
  const voters = view.set?.voters ?? [];
  const place = voters.findIndex((voter) => voter.name === target);
  if (place < 0 || (target === rules.self && !isIdle)) return false;
  let votes = isVoter(rules, view) && (isIdle || isMissing(rules, view, target, now)) ? 1 : 0;
  for (const heartbeat of present(rules, view, now)) {
    if (heartbeat.sender !== target && (heartbeat.hears & (1 << place)) === 0) votes += 1;
  }
  return votes >= majorityOf(voters.length);
}

/** Who of the living can serve, best first: not draining, with a working API, by priority, then by place. `self` says what we'd put into a heartbeat of our own. */
export function succession(
  rules: ViewRules,
  view: ViewState,
  self: Pick<Heartbeat, 'isEligible' | 'isDraining' | 'isApiWorking' | 'priority'>,
  now: MonotonicMs,
): readonly string[] {
  const heartbeats = present(rules, view, now);
  const names: string[] = [];
  const said: Standing[] = [];
  view.set?.voters.forEach(({ name }) => {
    const says = name === rules.self ? self : heartbeats.find((heartbeat) => heartbeat.sender === name);
    if (says?.isEligible !== true) return;
    // Equals stay in the order of their places. No more than VOTERS_MAX, and this is asked in every turn.
    let place = said.length;
    for (let other = said[place - 1]; other !== undefined && isBetter(says, other); other = said[place - 1]) place -= 1;
    names.splice(place, 0, name);
    said.splice(place, 0, says);
  });
  return names;
}

type Standing = Pick<Heartbeat, 'isDraining' | 'isApiWorking' | 'priority'>;

function isBetter(a: Standing, b: Standing): boolean {
  if (a.isDraining !== b.isDraining) return b.isDraining;
  if (a.isApiWorking !== b.isApiWorking) return a.isApiWorking;
  return a.priority > b.priority;
}

/** Whether a majority of the voter set, ourselves counted, names us as the one to take over. */
export function hasSupport(rules: ViewRules, view: ViewState, now: MonotonicMs): boolean {
  const voters = view.set?.voters ?? [];
  const place = voters.findIndex((voter) => voter.name === rules.self);
  if (place < 0) return false;
  const votes = present(rules, view, now).filter((heartbeat) => heartbeat.supports === place).length + 1;
  return votes >= majorityOf(voters.length);
}

/** Whether anybody who is heard reports the API as working. */
export function isApiWorkingElsewhere(view: ViewState, now: MonotonicMs): boolean {
  return findHeard(view, now, ({ isApiWorking }) => isApiWorking) !== undefined;
}

/** Whether anybody else who is heard answers for the addresses. */
export function isHeldElsewhere(view: ViewState, now: MonotonicMs): boolean {
  return holding(view, now) !== undefined;
}

/**
 * Somebody who is heard, holds the addresses and knows a later term than ours: we have been replaced. Who claimed without
 * the API may find another of the same term: the one with the Lease, or one behind another majority of its time; of two
 * such the first by place goes on.
 */
export function replacedBy(
  rules: ViewRules,
  view: ViewState,
  own: { readonly term: number; readonly isProvisional: boolean },
  now: MonotonicMs,
): string | undefined {
  const places = view.set?.voters.map((voter) => voter.name) ?? [];
  const place = places.indexOf(rules.self);
  const isFirst = (name: string): boolean => places.includes(name) && places.indexOf(name) < place;
  return findHeard(
    view,
    now,
    ({ isHolding, isProvisional, term, sender }) =>
      isHolding && (term > own.term || (own.isProvisional && term === own.term && (!isProvisional || isFirst(sender)))),
  )?.sender;
}

/** Who is heard to answer for the addresses: the first voter by place, or a member without a vote. */
export function holding(view: ViewState, now: MonotonicMs): string | undefined {
  return findHeard(view, now, ({ isHolding }) => isHolding)?.sender;
}

/** Time passed that our clock did not count: everybody was heard that much longer ago. */
export function ageView(view: ViewState, byMs: number): ViewState {
  const aged = [...view.peers].map(([name, peer]): [string, Peer] => [
    name,
    { ...peer, heardAt: after(peer.heardAt, -byMs) },
  ]);
  const others = [...view.others].map(([name, other]): [string, Other] => {
    const { heardAt } = other;
    return [name, { ...other, heardAt: heardAt === undefined ? undefined : after(heardAt, -byMs) }];
  });
  return { ...view, peers: new Map(aged), others: new Map(others) };
}

/** Whether `name` should have been heard by now: its first heartbeat is overdue. */
export function isOverdue(rules: ViewRules, view: ViewState, name: string, now: MonotonicMs): boolean {
  const peer = view.peers.get(name);
  return peer === undefined || now >= after(peer.heardAt, rules.intervalMs * OVERDUE_INTERVALS);
}

/** When the next voter becomes overdue, or falls silent, unless it is heard again. */
export function viewDeadline(rules: ViewRules, view: ViewState, now: MonotonicMs): MonotonicMs {
  let next = NEVER;
  const note = (end: MonotonicMs): void => {
    if (end > now && end < next) next = end;
  };
  view.peers.forEach(({ heardAt, silentMs }) => {
    note(after(heardAt, rules.intervalMs * OVERDUE_INTERVALS));
    note(after(heardAt, silentMs));
  });
  if (view.set !== undefined) note(after(view.setAt, silentAfterMs(rules)));
  return next;
}
