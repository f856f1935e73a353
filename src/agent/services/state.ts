/**
 * This node's share of Service addresses as a value: the addresses there are and whom this node takes for the owner of
 * each, its own ones with their vip machines, who of the nodes counts as lost or draining, what the wire answered about
 * addresses not given yet, and the latest moves. Read by the runtime after each turn, through read.ts.
 */

import type { Ip } from '../../base/ip.ts';
import { NEVER, type MonotonicMs } from '../../base/time.ts';
import type { AddressDuty } from '../../services/duty.ts';
import type { VipState } from '../../vip/vip-state.ts';
import type { AgentState, KernelView } from '../state.ts';
import type { Found } from './found.ts';
import type { Departed } from './liveness.ts';
import { emptyShards, type Shards } from './shards.ts';
import type { Sites } from './site.ts';

/** In AgentRules; undefined there: no Services. */
export interface ServicesRules {
  readonly isEnabled: boolean;
}

/** Who of the nodes may answer, as this node sees it now. The same object for as long as nothing of it changes. */
export interface Liveness {
  /** Missed by a majority, or, with fewer than three voters, by the leader that we are. Sorted. */
  readonly lost: readonly string[];
  /** Draining or stopping by their own last word, this node included. Sorted. */
  readonly draining: readonly string[];
  /** Who leads: this node by its tenure, another by the Lease or, the API being away, by what it is heard to say. */
  readonly leader: string | undefined;
  /** Whether this node may answer for what it owns. */
  readonly hasStanding: boolean;
}

export interface ServiceEntry {
  readonly duty: AddressDuty;
  /** False: no longer in the duty, and on its way off this node. */
  readonly isWanted: boolean;
  /** Whom this node took for the owner when it last looked; undefined: nobody. */
  readonly owner: string | undefined;
  /** The last owner that was somebody else. */
  readonly former: string | undefined;
  /** When the owner, and the former one, became it, as this node saw it; NEVER before there was one. */
  readonly ownerSince: MonotonicMs;
  readonly formerSince: MonotonicMs;
  /** Nobody had it before the owner, or the former one: it was given while this node looked on, and the wire asked then. */
  readonly isOwnerFirst: boolean;
  readonly isFormerFirst: boolean;
  /** This node is the owner and can answer for it. */
  readonly isMine: boolean;
  /** While this node has to do with the address: it holds or claims it, or its kernel still has it. */
  readonly vip: VipState | undefined;
  /** Where it does. */
  readonly ifindex: number | undefined;
  /** The former owner said that it goes: until then we needn't ask the wire, and bear with its answers. */
  readonly consentUntil: MonotonicMs | undefined;
  /** We go, and answer on until then unless the next owner is heard. */
  readonly yieldUntil: MonotonicMs | undefined;
  /** What the wire is being asked about a tentative address. */
  readonly inquiry: Inquiring | undefined;
  /** When the wire was last found silent while the address was tentative. */
  readonly silentAt: MonotonicMs | undefined;
  /** Something was decided about it, and is yet to be done. */
  readonly dueAt: MonotonicMs;
  /** Number of the move it is part of; 0: none. */
  readonly move: number;
}

/** Questions about an address that isn't anybody's yet. */
export interface Inquiring {
  readonly ifindex: number;
  readonly sent: number;
  readonly nextAt: MonotonicMs;
}

/** What the wire answered. 'unaskable': this node has no usable interface for the address. */
export type InquiryAnswer =
  | { readonly kind: 'silent'; readonly at: MonotonicMs }
  | { readonly kind: 'used'; readonly at: MonotonicMs; readonly mac: string }
  | { readonly kind: 'unaskable'; readonly at: MonotonicMs };

export type ServiceMoveCause =
  /** New here, or nobody had it. */
  | 'assigned'
  /** This node can again what it couldn't for a while. */
  | 'regained'
  /** Found on this node at start. */
  | 'adopted'
  | 'node-lost'
  | 'node-draining'
  /** The order of its candidates changed: endpoints, labels, rebalancing, a former owner that can't any more. */
  | 'reordered'
  | 'leading'
  | 'not-leading'
  | 'removed'
  | 'standing-lost'
  | 'interface-lost'
  | 'conflict';

export type ServiceMovePhase = 'wire' | 'kernel' | 'announced' | 'total';

/** One decision about any number of addresses. */
export interface ServiceMove {
  readonly number: number;
  readonly kind: 'gained' | 'lost';
  readonly cause: ServiceMoveCause;
  /** The other node: former owner of what was gained, next of what was lost. undefined: nobody, or not known. */
  readonly other: string | undefined;
  readonly at: MonotonicMs;
  readonly count: number;
  /** Not yet announced, or not yet gone from the kernel. */
  readonly pending: number;
  /** ms after `at` at which the last address so far got there. */
  readonly timings: Readonly<Partial<Record<ServiceMovePhase, number>>>;
  readonly isComplete: boolean;
}

export const SERVICE_MOVES_MAX = 64;

/** Another machine that answers for addresses of ours. */
export interface ServiceRival {
  readonly mac: string;
  readonly firstHeardAt: MonotonicMs;
  readonly lastHeardAt: MonotonicMs;
  /** One of the addresses it was heard to use. */
  readonly address: string;
  /** Told as a conflict, not only waited for. */
  readonly isReported: boolean;
}

export const SERVICE_RIVALS_MAX = 64;

export interface ServicesState {
  /** Grows whenever something below that others react to does: what is held and where, liveness, inquiries, rivals. */
  readonly version: number;
  /** The first duty has come: what of ours isn't in it goes. */
  readonly isDutyKnown: boolean;
  readonly isSpread: boolean;
  /** See ServiceDuty. */
  readonly fellows: ReadonlySet<string>;
  /** By IP text. */
  readonly entries: Shards<ServiceEntry>;
  /** Of the addresses in the duty, as it last came: nothing is to be decided where it is the very same. */
  readonly duties: ReadonlySet<AddressDuty>;
  /** What the kernel has at places of Service addresses, by IP text. */
  readonly found: Found;
  readonly liveness: Liveness;
  /** This node has had standing since it knew its duty: what it found at start is decided on. */
  readonly hasStood: boolean;
  /** Who was lost or draining when it ceased to be a member, and the names of the members as last seen. */
  readonly departed: ReadonlyMap<string, Departed>;
  readonly memberNames: readonly string[];
  /** Answers about tentative addresses, by IP text, while these are in the duty. */
  readonly inquiries: ReadonlyMap<string, InquiryAnswer>;
  /** How many addresses this node is the owner of, answers for, and has anything to do with. */
  readonly counts: ServiceCounts;
  /** The last ones, oldest first. */
  readonly moves: readonly ServiceMove[];
  /** Who else answers for addresses of ours, by MAC. */
  readonly rivals: ReadonlyMap<string, ServiceRival>;
  /** Addresses of the duty that are ordinary ones of this node (ADDRESS_IN_USE_HERE). */
  readonly used: ReadonlySet<string>;
  /** Interfaces that the duty names, and those of them that there are. */
  readonly interfaceNames: ReadonlySet<string>;
  readonly sites: Sites;
  /** Addresses of ours that nobody wants: when to delete each again unless it is gone. */
  readonly strays: ReadonlyMap<string, MonotonicMs>;
  /** What is listened for, by interface index. */
  readonly watched: ReadonlyMap<number, readonly Ip[]>;
  /** When to stop listening for what is no longer of interest. */
  readonly watchAt: MonotonicMs;
  /** What the capture was last set to: for control-plane VIPs, and for these. */
  readonly captured: {
    readonly vips: ReadonlyMap<number, readonly Ip[]>;
    readonly watched: ReadonlyMap<number, readonly Ip[]>;
  };
  /** Some voter misses this node: whom others answered for us meanwhile has to be told again. */
  readonly isMissed: boolean;
  /** Since when a majority of the voters has said so. */
  readonly missedSince: MonotonicMs | undefined;
  /** What `sites`, `used` and `found` were last compared with. */
  readonly seen: {
    readonly links: KernelView['links'] | undefined;
    readonly addresses: KernelView['addresses'] | undefined;
    readonly vips: AgentState['vips'] | undefined;
  };
}

export interface ServiceCounts {
  readonly own: number;
  readonly held: number;
  readonly involved: number;
}

export const NO_LIVENESS: Liveness = { lost: [], draining: [], leader: undefined, hasStanding: false };

export function startServices(): ServicesState {
  return {
    version: 0,
    isDutyKnown: false,
    isSpread: true,
    fellows: new Set(),
    entries: emptyShards(),
    duties: new Set(),
    found: emptyShards(),
    liveness: NO_LIVENESS,
    departed: new Map(),
    memberNames: [],
    hasStood: false,
    inquiries: new Map(),
    counts: { own: 0, held: 0, involved: 0 },
    moves: [],
    rivals: new Map(),
    used: new Set(),
    interfaceNames: new Set(),
    sites: new Map(),
    strays: new Map(),
    watched: new Map(),
    watchAt: NEVER,
    captured: { vips: new Map(), watched: new Map() },
    isMissed: false,
    missedSince: undefined,
    seen: { links: undefined, addresses: undefined, vips: undefined },
  };
}
