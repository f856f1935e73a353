/**
 * The other candidates as this node lives with them: takes their heartbeats, registers itself, follows and (while leading)
 * writes the voter set. What it makes of them is assessment.ts, what it tells them beat.ts.
 */

import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import { readVoters, VOTERS_ANNOTATION, wantedVoters, writeVoters, type Member } from '../leader/voters.ts';
import { followOthers, hearOther, othersDeadline } from '../leader/others.ts';
import { ageView, changeVoters, hearHeartbeat, idleSince, isVoter, viewDeadline } from '../leader/view.ts';
import { IDLE_HOLDER_MS, isDraining, isLeaseStale, suspectLeaseAt, WRITE_PROOF_MS } from './assessment.ts';
import { viewRules } from './view-rules.ts';
import { beatSpacingMs } from './beat.ts';
import type { Effect } from './effect.ts';
import type { AgentEvent } from './event.ts';
import { servesOnly } from './eligibility.ts';
import { isOurs } from './kernel-view.ts';
import { withPeers, type AgentRules, type AgentState, type KernelView } from './state.ts';

/** A registration that failed, or a test write while the Lease is stale, is repeated after this. */
const REGISTER_RETRY_MS = 1000;
/** As long as this nobody is heard before it is told as a problem: a cluster that starts takes some seconds. */
const UNHEARD_AFTER_MS = 15_000;

/** Takes in what others said, and notes when nobody says anything. */
export function hearPeers(rules: AgentRules, before: AgentState, event: AgentEvent, now: MonotonicMs): AgentState {
  const state = takePeers(rules, before, event, now);
  const { view, isUnheard } = state.peers;
  let lastAt: number = view.setAt;
  let hasOthers = false;
  view.set?.voters.forEach(({ name }) => {
    if (name === rules.node) return;
    hasOthers = true;
    lastAt = Math.max(lastAt, view.peers.get(name)?.heardAt ?? lastAt);
  });
  const isSilent = hasOthers && now >= lastAt + UNHEARD_AFTER_MS;
  return isSilent === isUnheard ? state : withPeers(state, { isUnheard: isSilent });
}

function takePeers(rules: AgentRules, state: AgentState, event: AgentEvent, now: MonotonicMs): AgentState {
  const peers = state.peers;
  switch (event.kind) {
    case 'heartbeat.received': {
      const hear = peers.view.others.has(event.heartbeat.sender) ? hearOther : hearHeartbeat;
      const heard = hear(viewRules(rules), peers.view, event.heartbeat, now);
      if (heard.verdict !== 'taken') return state;
      const lastSeenAt = new Map(peers.lastSeenAt).set(event.heartbeat.sender, now);
      return withPeers(state, { view: heard.view, lastSeenAt });
    }
    case 'members.observed': {
      const lastSeenAt = new Map(peers.lastSeenAt);
      for (const member of event.members) if (!lastSeenAt.has(member.name)) lastSeenAt.set(member.name, now);
      return withOthers(rules, withPeers(state, { members: event.members, lastSeenAt }), now);
    }
    case 'member.registered':
      return withPeers(state, {
        writeProvedAt: event.isOk ? now : undefined,
        registered: event.isOk ? peers.registering : '',
        registering: '',
        registerAt: after(now, REGISTER_RETRY_MS),
      });
    case 'clock.jumped':
      return withPeers(state, { view: ageView(peers.view, event.byMs) });
    default:
      return state;
  }
}

/** Who is registered and has no vote in the present set. */
function withOthers(rules: AgentRules, state: AgentState, now: MonotonicMs): AgentState {
  const { members, view } = state.peers;
  const voters = new Set(view.set?.voters.map(({ name }) => name));
  const isOther = (name: string): boolean => name !== rules.node && !voters.has(name);
  const names = view.set === undefined ? [] : members.flatMap(({ name }) => (isOther(name) ? name : []));
  const followed = followOthers(view, names, now);
  return followed === view ? state : withPeers(state, { view: followed });
}

/** Follows the holder and the voter set that the newest Lease known carries. */
export function followVoters(rules: AgentRules, before: AgentState, now: MonotonicMs): AgentState {
  const lease = before.election.observed?.lease;
  const holder = lease?.holder ?? '';
  const state = holder === before.peers.named.holder ? before : withPeers(before, { named: { holder, since: now } });
  const text = lease?.annotations[VOTERS_ANNOTATION];
  if (text === undefined || text === state.peers.votersText) return state;
  const set = readVoters(lease);
  const view = set === undefined ? state.peers.view : changeVoters(state.peers.view, set, now);
  return withOthers(rules, withPeers(state, { votersText: text, view }), now);
}

/** The voter set to write with the next renewal, as an annotation; nothing unless we lead by the Lease. */
export function votersToWrite(
  rules: AgentRules,
  state: AgentState,
  now: MonotonicMs,
): Readonly<Record<string, string>> | undefined {
  const { election, peers } = state;
  const isDue =
    election.phase === 'leading' && election.provisionalSince === undefined && election.pending === undefined;
  // Who is not registered could not register: perhaps the others can't either, and a set of one would be a lie.
  const isRegistered = peers.registered !== '';
  if (!rules.heartbeat.isEnabled || !isRegistered || !isDue || now < election.nextAttemptAt) return undefined;
  const self = selfAsMember(rules, state);
  if (self === undefined) return undefined;
  const wanted = wantedVoters({
    self,
    present: peers.view.set,
    members: peers.members,
    lastSeenAt: peers.lastSeenAt,
    now,
    votersMax: rules.heartbeat.votersMax,
  });
  return { [VOTERS_ANNOTATION]: writeVoters(wanted) };
}

/** Registers this node when its addresses changed, and as a test write while the Lease of a holder we hear is stale. */
export function registerEffects(
  rules: AgentRules,
  state: AgentState,
  now: MonotonicMs,
): { readonly state: AgentState; readonly effects: readonly Effect[] } {
  const { peers } = state;
  if (!rules.heartbeat.isEnabled || peers.registering !== '' || now < peers.registerAt) return { state, effects: [] };
  const member = selfAsMember(rules, state);
  if (member === undefined || state.lifecycle !== 'running') return { state, effects: [] };
  const text = memberText(member);
  const isTest = state.election.phase === 'following' && isLeaseStale(rules, state, now);
  if (text === peers.registered && !isTest) return { state, effects: [] };
  return { state: withPeers(state, { registering: text }), effects: [{ kind: 'member.register', member }] };
}

type Place = Pick<AgentState, 'ifindex' | 'vips'>;

const OWN_ADDRESSES = new WeakMap<
  KernelView,
  Place & { readonly rules: AgentRules; readonly addresses: readonly string[] }
>();

/** This node as others should reach it. */
function selfAsMember(rules: AgentRules, state: AgentState): Member | undefined {
  const { kernel, ifindex, vips } = state;
  if (kernel === undefined) return undefined;
  const known = OWN_ADDRESSES.get(kernel);
  const isKnown = known !== undefined && known.rules === rules && known.ifindex === ifindex && known.vips === vips;
  const addresses = isKnown ? known.addresses : ownAddresses(rules, kernel, { ifindex, vips });
  if (!isKnown) OWN_ADDRESSES.set(kernel, { rules, ifindex, vips, addresses });
  if (addresses.length === 0) return undefined;
  const isServicesOnly = servesOnly(rules) ? { isServicesOnly: true } : {};
  return { name: rules.node, addresses, port: rules.heartbeat.port, isLeaving: isDraining(state), ...isServicesOnly };
}

/** This node's ordinary addresses on the interface of the VIPs, one per family. */
function ownAddresses(rules: AgentRules, kernel: KernelView, { ifindex, vips }: Place): readonly string[] {
  const link = ifindex === undefined ? undefined : kernel.links.get(ifindex);
  if (link === undefined) return [];
  const usable = [...kernel.addresses.values()].filter((found) => {
    const vip = vips.get(found.prefix.ip.text);
    return (
      found.ifindex === link.index &&
      found.scope === 0 &&
      found.preferredSeconds > 0 &&
      !(vip !== undefined && isOurs(rules, vip, found))
    );
  });
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => usable.find((found) => found.prefix.ip.family === family)?.prefix.ip.text ?? [],
  );
}

/** What says whether a registration still is as it was written; not JSON, which every turn would have to make. */
function memberText({ name, addresses, port, isLeaving }: Member): string {
  return `${name} ${addresses.join(' ')} ${port} ${isLeaving}`;
}

export function peersDeadline(rules: AgentRules, state: AgentState, now: MonotonicMs): MonotonicMs {
  if (!rules.heartbeat.isEnabled) return later(suspectLeaseAt(rules, state), now);
  const { peers, election } = state;
  const own = viewRules(rules);
  const hasVote = isVoter(own, peers.view);
  const hasPeers = (peers.view.set?.voters.length ?? 0) > (hasVote ? 1 : 0);
  const stale = election.observed === undefined ? NEVER : after(election.observed.at, rules.election.renewDeadlineMs);
  const proof = peers.writeProvedAt === undefined ? NEVER : after(peers.writeProvedAt, WRITE_PROOF_MS);
  const news = after(peers.lastBeatAt, beatSpacingMs(rules, peers.lastBeat));
  const idle = idleSince(peers.view, peers.named.holder);
  const idleAt = idle === undefined ? NEVER : after(Math.max(idle, peers.named.since) as MonotonicMs, IDLE_HOLDER_MS);
  return earliest(
    later(idleAt, now),
    viewDeadline(own, peers.view, now),
    othersDeadline(own, peers.view, now),
    hasVote && peers.view.others.size > 0 ? later(peers.nextToOthersAt, now) : NEVER,
    hasPeers ? later(peers.nextBeatAt, now) : NEVER,
    hasPeers && peers.isNewsWaiting ? later(news, now) : NEVER,
    later(stale, now),
    later(proof, now),
    peers.registering === '' ? later(peers.registerAt, now) : NEVER,
    later(suspectLeaseAt(rules, state), now),
  );
}

/** A moment already past has been acted on: only what lies ahead needs a tick. */
function later(at: MonotonicMs, now: MonotonicMs): MonotonicMs {
  return at > now ? at : NEVER;
}
