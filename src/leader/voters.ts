/**
 * The voter set: who counts when a majority is asked. Candidates register themselves (a member Lease each); the leader
 * alone decides which of them vote, and writes that with an epoch as an annotation of the election Lease, so that only a
 * CAS by the holder changes it and a minority can't shrink it to make itself a majority.
 */

import { after, type MonotonicMs } from '../base/time.ts';
import type { LeaseRecord } from './lease-record.ts';
import { VOTERS_MAX, type Voter, type VoterSet } from './view.ts';

/** A candidate as it registered itself. */
export interface Member extends Voter {
  /** Leaves in order: counted out at once. */
  readonly isLeaving: boolean;
  /** It has no address of the control plane to hold, and votes where there is room; absent: it has one. */
  readonly isServicesOnly?: boolean | undefined;
}

/** On the election Lease: JSON of a VoterSet. */
export const VOTERS_ANNOTATION = 'holdfast.io/voters';

/** A voter that nobody has heard for this long is dropped from the set; a returning one is added again at once. */
export const VOTER_FORGET_MS = 300_000;
/** Ports and addresses of one voter; more are ignored. */
const ADDRESSES_MAX = 4;

/** The set written into a Lease; undefined when there is none, or it can't be read. */
export function readVoters(lease: LeaseRecord | undefined): VoterSet | undefined {
  const text = lease?.annotations[VOTERS_ANNOTATION];
  if (text === undefined) return undefined;
  try {
    return checkVoters(JSON.parse(text));
  } catch {
    return undefined; // somebody's text, not ours: as good as none, and the next leader writes it anew
  }
}

function checkVoters(value: unknown): VoterSet | undefined {
  if (typeof value !== 'object' || value === null || !('epoch' in value) || !('voters' in value)) return undefined;
  const { epoch, voters } = value;
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 1 || epoch > 0xffff_ffff) return undefined;
  if (!Array.isArray(voters) || voters.length > VOTERS_MAX) return undefined;
  const checked = voters.flatMap((voter: unknown) => checkVoter(voter) ?? []);
  return checked.length === voters.length ? { epoch, voters: checked } : undefined;
}

function checkVoter(value: unknown): Voter | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!('name' in value) || !('addresses' in value) || !('port' in value)) return undefined;
  const { name, addresses, port } = value;
  if (typeof name !== 'string' || name === '' || !Array.isArray(addresses) || typeof port !== 'number') {
    return undefined;
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const texts = addresses.filter((address: unknown): address is string => typeof address === 'string');
  return { name, addresses: texts.slice(0, ADDRESSES_MAX), port };
}

export function writeVoters(set: VoterSet): string {
  const voters = set.voters.map(({ name, addresses, port }) => ({ name, addresses, port }));
  return JSON.stringify({ epoch: set.epoch, voters });
}

/** Those who may hold the control plane's address first, else in the order given. */
function firstServing(voters: readonly Voter[], servants: ReadonlySet<string>): readonly Voter[] {
  return voters.toSorted((a, b) => Number(servants.has(a.name)) - Number(servants.has(b.name)));
}

/**
 * The set the leader wants: itself and every registered member that is not leaving and has been heard lately (or has only
 * just registered), who may hold the control plane's address before who only answers for Services, and present voters
 * before newcomers; at most so many. The present set when nothing changes.
 */
export function wantedVoters(options: {
  readonly self: Member;
  readonly present: VoterSet | undefined;
  readonly members: readonly Member[];
  /** When each was last heard, or first seen as a member. */
  readonly lastSeenAt: ReadonlyMap<string, MonotonicMs>;
  readonly now: MonotonicMs;
  /** How many vote at most; default VOTERS_MAX, which is the limit. */
  readonly votersMax?: number | undefined;
}): VoterSet {
  const { self, present, members, lastSeenAt, now, votersMax = VOTERS_MAX } = options;
  const isAlive = (name: string): boolean => {
    const at = lastSeenAt.get(name);
    return at === undefined || now < after(at, VOTER_FORGET_MS);
  };
  const others = members.filter((member) => member.name !== self.name && !member.isLeaving && isAlive(member.name));
  const byName = new Map<string, Voter>(
    [...others, self].map(({ name, addresses, port }) => [name, { name, addresses, port }]),
  );
  const kept = (present?.voters ?? []).flatMap((voter) => byName.get(voter.name) ?? []);
  const keptNames = new Set(kept.map((voter) => voter.name));
  const added = [...byName.values()]
    .filter((voter) => !keptNames.has(voter.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const servants = new Set(members.flatMap(({ name, isServicesOnly }) => (isServicesOnly === true ? name : [])));
  if (self.isServicesOnly === true) servants.add(self.name);
  const all = [...kept, ...added];
  // Only where not all have room: a place is a bit in each bitmap, and stays where it is.
  const chosen = (all.length <= votersMax ? all : firstServing(all, servants)).slice(0, votersMax);
  const voters = chosen.some((voter) => voter.name === self.name) ? chosen : [...chosen.slice(0, votersMax - 1), self];
  const isSame = present !== undefined && JSON.stringify(present.voters) === JSON.stringify(voters);
  return isSame ? present : { epoch: (present?.epoch ?? 0) + 1, voters };
}
