/**
 * The whole node as one value: what it was configured to do (rules, constant) and what it knows (state). Everything that
 * is decided, is decided from these two, an event and the time.
 */

import type { Ip } from '../base/ip.ts';
import type { ErrorCode } from '../base/errors.ts';
import { seed } from '../base/random.ts';
import type { MonotonicMs } from '../base/time.ts';
import { startElection, type ElectionRules, type ElectionState } from '../leader/election-state.ts';
import type { Member } from '../leader/voters.ts';
import { startView, type ViewState } from '../leader/view.ts';
import type { InterfaceAddress, Link, Route } from '../protocol/netlink/records.ts';
import type { Effect } from './effect.ts';
import { startServices, type ServicesRules, type ServicesState } from './services/state.ts';
import type { VipRules, VipState } from '../vip/vip-state.ts';

/** One entry of `address`: a literal, or a name that is resolved again and again. */
export type AddressSource =
  | { readonly kind: 'ip'; readonly ip: Ip; readonly prefixLength: number }
  | {
      readonly kind: 'name';
      readonly name: string;
      readonly families: 'first' | 'ipv4' | 'ipv6' | 'dual';
      readonly prefixLengths: { readonly ipv4: number; readonly ipv6: number };
    };

export interface AgentRules {
  readonly node: string;
  readonly leaseNamespace: string;
  readonly leaseName: string;
  readonly election: ElectionRules;
  readonly vip: VipRules;
  readonly sources: readonly AddressSource[];
  /** undefined: the interface of the default route. */
  readonly interfaceName: string | undefined;
  readonly allowInterfaceNotUp: boolean;
  readonly loopbackGlobalScope: boolean;
  readonly nameRefreshMs: number;
  readonly heartbeat: HeartbeatRules;
  /** Looks at the local API server in a row that make it count as well, or as ill. */
  readonly apiHealth: { readonly rise: number; readonly fall: number };
  /** rtnetlink address protocol (IFA_PROTO) that marks an address as ours. */
  readonly addressProtocol: number;
  /** undefined: this process has nothing to do with Services. */
  readonly services?: ServicesRules | undefined;
}

export interface HeartbeatRules {
  readonly isEnabled: boolean;
  readonly intervalMs: number;
  readonly multiplier: number;
  readonly port: number;
  /** 0–255; the higher is preferred as successor, and with isPreempting also as holder. */
  readonly priority: number;
  readonly isPreempting: boolean;
  /** How many candidates vote at most; undefined: VOTERS_MAX. */
  readonly votersMax?: number | undefined;
}

/** The other candidates, as they are known here. */
export interface PeersState {
  readonly view: ViewState;
  /** The annotation that `view.set` was read from. */
  readonly votersText: string;
  readonly members: readonly Member[];
  readonly lastSeenAt: ReadonlyMap<string, MonotonicMs>;
  readonly lastBeat: Extract<Effect, { kind: 'heartbeat.send' }>['beat'] | undefined;
  readonly lastBeatAt: MonotonicMs;
  readonly nextBeatAt: MonotonicMs;
  /** The same to members without a vote. */
  readonly lastToOthersAt: MonotonicMs;
  readonly nextToOthersAt: MonotonicMs;
  /** Something changed since the last heartbeat, which was too recent for another. */
  readonly isNewsWaiting: boolean;
  /** This node's registration as last written, and as being written; '' = none. */
  readonly registered: string;
  readonly registering: string;
  readonly registerAt: MonotonicMs;
  /** When a write to the API last succeeded that wasn't the Lease's. */
  readonly writeProvedAt: MonotonicMs | undefined;
  /** The holder that the Lease names, and since when we have known it to. */
  readonly named: { readonly holder: string; readonly since: MonotonicMs };
  /** Nobody of the others has been heard for UNHEARD_AFTER_MS. */
  readonly isUnheard: boolean;
  readonly isDrainedByOperator: boolean;
  readonly isDrainedByNode: boolean;
}

export interface Suspicion {
  readonly holder: string;
  readonly noticedAt: MonotonicMs;
  /** When a majority first missed the holder, and when the wire first fell silent. */
  readonly majorityAt?: MonotonicMs;
  /** Since when a majority has missed the holder without a break. */
  readonly missedSince?: MonotonicMs | undefined;
  readonly wireAt?: MonotonicMs;
}

/** What the kernel reports, kept up to date by notifications. Keys: link index; `${ifindex}/${address}/${length}`. */
export interface KernelView {
  readonly links: ReadonlyMap<number, Link>;
  readonly addresses: ReadonlyMap<string, InterfaceAddress>;
  readonly defaultRoutes: readonly Route[];
}

export interface ResolvedName {
  readonly addresses: readonly Ip[];
  readonly nextAt: MonotonicMs;
  readonly isAsked: boolean;
  readonly failure: string | undefined;
}

export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

export type MoveCause =
  | 'lease-free'
  | 'lease-released'
  | 'lease-expired'
  | 'holder-silent'
  | 'handed-over'
  | 'lease-ours'
  | 'lease-taken'
  | 'renewal-late'
  | 'clock-jumped'
  | 'interface-lost'
  | 'carrier-lost'
  | 'address-conflict'
  | 'name-changed'
  | 'replaced'
  | 'isolated'
  | 'drain'
  | 'api-unhealthy'
  | 'preempted'
  | 'shutdown';

/**
 * Steps of a move that are timed, in ms after `at`: of a gain from a silent holder, its last heartbeat; of another gain, the
 * sending of the write that won the Lease; of a loss, the decision.
 */
export type MovePhase =
  | 'noticed'
  | 'majority'
  | 'wire'
  | 'lease'
  | 'kernel'
  | 'announced'
  | 'ratified'
  | 'released'
  | 'total';

/** One change of who holds the addresses, as this node lived it. */
export interface Move {
  readonly kind: 'gained' | 'adopted' | 'lost' | 'released';
  readonly at: MonotonicMs;
  readonly cause: MoveCause;
  /** Former and new holder; '' = nobody, undefined = not known. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly timings: Readonly<Partial<Record<MovePhase, number>>>;
  readonly isComplete: boolean;
}

export interface AgentState {
  readonly startedAt: MonotonicMs;
  readonly lifecycle: 'running' | 'stopping' | 'stopped';
  readonly stoppingSince: MonotonicMs | undefined;
  readonly election: ElectionState;
  readonly kernel: KernelView | undefined;
  /** Index of the interface the addresses belong on, once it exists. */
  readonly ifindex: number | undefined;
  readonly vips: ReadonlyMap<string, VipState>;
  readonly services: ServicesState;
  readonly names: ReadonlyMap<string, ResolvedName>;
  readonly peers: PeersState;
  readonly apiHealth: {
    readonly lastAnswer: boolean | undefined;
    readonly streak: number;
    readonly isHealthy: boolean | undefined;
  };
  /** Since when the addresses have been on their way off this node in order. */
  readonly resigningSince: MonotonicMs | undefined;
  /** Since when a successor has been named in the Lease while we still answer. */
  readonly handoverSince: MonotonicMs | undefined;
  /** Since when a node of higher priority has been well, where preemption is asked for. */
  readonly preferredSince: MonotonicMs | undefined;
  /** Who handed over to us and still answers, as agreed, until it is heard to have let go; no longer than `until`. */
  readonly partner: { readonly name: string; readonly until: MonotonicMs } | undefined;
  /** We have the Lease of a holder whose process is gone, while its kernel may still answer. */
  readonly isFormerLost: boolean;
  /** What the present suspicion has shown so far, and when. */
  readonly suspicion: Suspicion | undefined;
  /** What the capture was last set to, as text; '' = off. */
  readonly capture: string;
  readonly captureIndex: number | undefined;
  readonly hasConsent: boolean;
  /** An address found at start has been decided on: from now on what isn't wanted goes. */
  readonly hasDecided: boolean;
  /** When to look for leftovers again, because the kernel refused to delete one. */
  readonly leftoversAt: MonotonicMs | undefined;
  /** Since when this node has been the holder by the Lease. */
  readonly leadingSince: MonotonicMs | undefined;
  readonly moves: readonly Move[];
  /** By code and subject, so that each is reported once. */
  readonly problems: ReadonlyMap<string, Problem>;
  /** What the kernel refused, and when that was last told: a refusal that repeats is told now and then. */
  readonly refusals: ReadonlyMap<string, MonotonicMs>;
  readonly counters: Readonly<Record<string, number>>;
}

export const MOVES_MAX = 64;

export function startAgent(randomSeed: number, now: MonotonicMs): AgentState {
  return {
    startedAt: now,
    lifecycle: 'running',
    stoppingSince: undefined,
    election: startElection(seed(randomSeed)),
    kernel: undefined,
    ifindex: undefined,
    vips: new Map(),
    services: startServices(),
    names: new Map(),
    peers: {
      view: startView(),
      votersText: '',
      members: [],
      lastSeenAt: new Map(),
      lastBeat: undefined,
      lastBeatAt: now,
      nextBeatAt: now,
      lastToOthersAt: now,
      nextToOthersAt: now,
      isNewsWaiting: false,
      registered: '',
      registering: '',
      registerAt: now,
      writeProvedAt: undefined,
      named: { holder: '', since: now },
      isUnheard: false,
      isDrainedByOperator: false,
      isDrainedByNode: false,
    },
    apiHealth: { lastAnswer: undefined, streak: 0, isHealthy: undefined },
    resigningSince: undefined,
    handoverSince: undefined,
    preferredSince: undefined,
    partner: undefined,
    isFormerLost: false,
    suspicion: undefined,
    capture: '',
    captureIndex: undefined,
    hasConsent: false,
    hasDecided: false,
    leftoversAt: undefined,
    leadingSince: undefined,
    moves: [],
    problems: new Map(),
    refusals: new Map(),
    counters: {},
  };
}

/** The link the addresses belong on, when it exists. */
export function vipLink(state: AgentState): Link | undefined {
  return state.ifindex === undefined ? undefined : state.kernel?.links.get(state.ifindex);
}

export function withPeers(state: AgentState, change: Partial<PeersState>): AgentState {
  return { ...state, peers: { ...state.peers, ...change } };
}
