/**
 * What one node says about itself: the value behind `holdfast status`, its `--json`, /readyz and the state metrics. Built
 * by the runtime from the agent's state whenever somebody asks (nothing is kept up to date for it), rendered and judged
 * by pure functions elsewhere (status-text.ts, health.ts).
 *
 * Ages (`…AgoMs`, `sinceMs`, `leftMs`) are differences on the node's own monotonic clock at the moment of the report;
 * only `at`, `startedAt` and `moves[].at` are wall time, for people. `undefined` fields are absent in the JSON.
 * The JSON is an interface: fields are added, never renamed; a change of meaning raises `schema`.
 */

import type { ServicesStatus } from './services-model.ts';
import type { MoveCause as AgentMoveCause } from '../agent/state.ts';

export const STATUS_SCHEMA = 1;

export type Role = 'starting' | 'follower' | 'leader' | 'stopping';

export interface StatusReport {
  readonly schema: number;
  readonly version: string;
  /** Lease identity of this node (`vip_nodename`). */
  readonly node: string;
  /** RFC 3339, wall clock of this node. */
  readonly at: string;
  readonly startedAt: string;
  readonly uptimeMs: number;
  readonly role: Role;
  readonly tenure: TenureStatus;
  readonly lease: LeaseStatus;
  readonly api: ApiStatus;
  /** undefined: the configured interface does not exist (a problem says so), or none is chosen yet. */
  readonly interface: InterfaceStatus | undefined;
  readonly addresses: readonly AddressStatus[];
  /** Oldest first; the agent keeps the last 64. */
  readonly moves: readonly Move[];
  /** The other voters, as heard from here; empty without heartbeats. */
  readonly peers: readonly PeerStatus[];
  readonly problems: readonly Problem[];
  /** Absent where Services are left alone. */
  readonly services?: ServicesStatus;
}

/** Whether this node may hold the addresses now, for how long without a further renewal, and by what right or why not. */
export interface TenureStatus {
  readonly isHeld: boolean;
  /** Time until tenure ends unless renewed; 0 when it isn't held. */
  readonly leftMs: number;
  /** One clause for people: "renewed 0.8 s ago", "node-b holds the Lease", "no answer from the API". */
  readonly reason: string;
}

export interface LeaseStatus {
  readonly namespace: string;
  readonly name: string;
  /** spec.holderIdentity as last observed: '' = released; undefined = no Lease seen (yet). */
  readonly holder: string | undefined;
  readonly durationMs: number | undefined;
  /** spec.leaseTransitions. */
  readonly transitions: number | undefined;
  /** As written by the holder's clock; shown, never compared. */
  readonly renewTime: string | undefined;
  /** How long ago this node saw the record change. */
  readonly observedAgoMs: number | undefined;
  readonly watch: {
    readonly isSynced: boolean;
    readonly lastEventAgoMs: number | undefined;
  };
}

export interface ApiStatus {
  /** URL in use, or tried last. */
  readonly endpoint: string;
  /** The last call succeeded, or a watch stream is open. */
  readonly isReachable: boolean;
  readonly lastSuccessAgoMs: number | undefined;
  readonly lastFailure: { readonly kind: string; readonly message: string; readonly agoMs: number } | undefined;
}

export interface InterfaceStatus {
  readonly name: string;
  readonly index: number;
  /** IFF_UP. */
  readonly isUp: boolean;
  /** IFF_LOWER_UP. */
  readonly hasCarrier: boolean;
  /** vip_allow_interface_not_up: being down is no reason to be unready. */
  readonly isAllowedDown: boolean;
  readonly mac: string | undefined;
}

export interface PeerStatus {
  readonly name: string;
  readonly isHeard: boolean;
  /** undefined: never. */
  readonly heardAgoMs: number | undefined;
  /** What it says of itself. */
  readonly isHolding: boolean;
  readonly isApiWorking: boolean;
  readonly isDraining: boolean;
}

export type AddressState =
  /** Not ours to hold now. */
  | 'idle'
  /** Asking the wire whether anybody answers (RFC 5227 §2.1.1). */
  | 'probing'
  /** Somebody else answers: not claimed, or given up. */
  | 'conflict'
  /** Asked of the kernel, not yet reported by it. */
  | 'claiming'
  | 'holding'
  /** Deleted, not yet reported gone. */
  | 'withdrawing';

export interface AddressStatus {
  /** `address/length`. */
  readonly address: string;
  readonly state: AddressState;
  /** How long it has been in this state. */
  readonly sinceMs: number;
  /** The kernel lifetime put on it at each renewal, whole seconds. */
  readonly lifetimeSeconds: number;
  /** Announcements (ARP or NDP frames) sent for it since the process started. */
  readonly announcements: number;
  readonly lastAnnouncedAgoMs: number | undefined;
  /** Whoever else answers, or answered last, for the address. */
  readonly conflict: { readonly mac: string; readonly sinceMs: number } | undefined;
}

export type MoveKind =
  /** This node took the addresses. */
  | 'gained'
  /** A restarted process took over addresses that its predecessor left, without removing them. */
  | 'adopted'
  /** This node gave them up because it had to. */
  | 'lost'
  /** This node gave them up in order (stop, drain). */
  | 'released'
  /** Another node is the holder now, as seen from here. */
  | 'observed';

/** Why moves happen, each as the end of "… because ". One that is missing here is shown as its word. */
export const MOVE_CAUSES: Readonly<Record<string, string>> = {
  'lease-free': 'there was no Lease yet',
  'lease-released': 'the Lease was free',
  'lease-expired': 'the former holder stopped renewing the Lease',
  'holder-silent': 'a majority no longer heard the former holder, and nobody answered for the addresses',
  'handed-over': 'the former holder handed the addresses over',
  'lease-ours': 'the Lease already named this node',
  'lease-taken': 'the Lease names another node',
  'renewal-late': 'the Lease could not be renewed before the renew deadline',
  'clock-jumped': 'the clocks jumped: the machine was suspended or its time was set',
  'interface-lost': 'the interface went away or down',
  'carrier-lost': 'the interface lost its carrier',
  'address-conflict': 'another machine answers for the address',
  'name-changed': 'the DNS name resolves to other addresses',
  replaced: 'another node holds the addresses under a later Lease',
  isolated: 'this node heard no majority and got no answer from the API',
  drain: 'the node is being drained',
  'api-unhealthy': "this node's API server is ill and another's is well",
  preempted: 'a node of higher priority is well again',
  shutdown: 'the process was told to stop',
} satisfies Record<AgentMoveCause, string>;

export interface Move {
  /** RFC 3339, wall clock of this node. */
  readonly at: string;
  readonly kind: MoveKind;
  /** A word of MOVE_CAUSES. */
  readonly cause: string;
  /** Former and new holder, where known; '' = nobody. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Phase → milliseconds after the move began, in the order they were reached: lease, wire, kernel, announced, … */
  readonly timings: Readonly<Record<string, number>>;
}

/** Something an operator should know now; gone from the list when it is. */
export interface Problem {
  /** A code of base/errors.ts. */
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}
