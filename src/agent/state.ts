/**
 * The whole node as one value: what it was configured to do (rules, constant) and what it knows (state). Everything that
 * is decided, is decided from these two, an event and the time.
 */

import type { Ip } from '../base/ip.ts';
import type { ErrorCode } from '../base/errors.ts';
import { seed } from '../base/random.ts';
import type { MonotonicMs } from '../base/time.ts';
import { startElection, type ElectionRules, type ElectionState } from '../leader/election.ts';
import type { InterfaceAddress, Link, Route } from '../protocol/netlink/records.ts';
import type { VipRules, VipState } from '../vip/vip.ts';

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
  /** rtnetlink address protocol (IFA_PROTO) that marks an address as ours. */
  readonly addressProtocol: number;
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
  | 'lease-ours'
  | 'lease-taken'
  | 'renewal-late'
  | 'clock-jumped'
  | 'interface-lost'
  | 'carrier-lost'
  | 'address-conflict'
  | 'name-changed'
  | 'shutdown';

/** Steps of a move that are timed, in ms after `at` (of a gain: the sending of the write that won the Lease). */
export type MovePhase = 'lease' | 'wire' | 'kernel' | 'announced' | 'released' | 'total';

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
  readonly names: ReadonlyMap<string, ResolvedName>;
  /** What the capture was last set to, as text; '' = off. */
  readonly capture: string;
  readonly captureIndex: number | undefined;
  readonly hasConsent: boolean;
  /** An address found at start has been decided on: from now on what isn't wanted goes. */
  readonly hasDecided: boolean;
  /** Since when this node has been the holder by the Lease. */
  readonly leadingSince: MonotonicMs | undefined;
  readonly moves: readonly Move[];
  /** By code and subject, so that each is reported once. */
  readonly problems: ReadonlyMap<string, Problem>;
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
    names: new Map(),
    capture: '',
    captureIndex: undefined,
    hasConsent: false,
    hasDecided: false,
    leadingSince: undefined,
    moves: [],
    problems: new Map(),
    counters: {},
  };
}

/** The link the addresses belong on, when it exists. */
export function vipLink(state: AgentState): Link | undefined {
  return state.ifindex === undefined ? undefined : state.kernel?.links.get(state.ifindex);
}
