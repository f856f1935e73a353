/**
 * Everything that can happen to a node. Time is not in here: `step(state, event, now)` gets it beside the event. Events
 * are plain data, so a run can be recorded and replayed.
 */

import type { ErrorCode } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import type { ApiFailureKind, LeaseRecord } from '../leader/lease-record.ts';
import type { Member } from '../leader/voters.ts';
import type { Heartbeat } from '../leader/view.ts';
import type { KernelChange, KernelSnapshot } from '../protocol/netlink/records.ts';
import type { ServiceDuty } from '../services/duty.ts';

export type { ApiFailureKind, Heartbeat, LeaseRecord, Member };

export type AgentEvent =
  /** A deadline came due. `portion`: of thousands of addresses that are due, so many at most; absent: as many as is usual. */
  | { readonly kind: 'tick'; readonly portion?: number }
  /**
   * The Lease as somebody saw it (undefined: it does not exist). A 'watch' may be behind what we already know; a 'read' is
   * a consistent GET, answering lease.read, and is believed even where it seems to go back.
   */
  | {
      readonly kind: 'lease.observed';
      readonly source: 'watch' | 'read';
      readonly lease: LeaseRecord | undefined;
    }
  /** Our create or update of attempt `attempt` succeeded; `lease` is what the API server stored. */
  | { readonly kind: 'lease.written'; readonly attempt: number; readonly lease: LeaseRecord }
  | {
      readonly kind: 'lease.failed';
      readonly attempt: number;
      readonly failure: ApiFailureKind;
      readonly message: string;
    }
  /** A heartbeat that was authenticated and proved to be fresh. */
  | { readonly kind: 'heartbeat.received'; readonly heartbeat: Heartbeat }
  /** Every candidate that has registered itself, as the watch of the member Leases shows them. */
  | { readonly kind: 'members.observed'; readonly members: readonly Member[] }
  /** The answer to member.register: whether this node could write to the API just now. */
  | { readonly kind: 'member.registered'; readonly isOk: boolean; readonly message: string }
  /** One look at this node's own API server (/livez, then /readyz). */
  | { readonly kind: 'api.probed'; readonly isHealthy: boolean; readonly message: string }
  /** An operator (or the node's cordon) wants this node to give its addresses away, or takes that back. */
  | { readonly kind: 'drain'; readonly isDraining: boolean; readonly source: 'operator' | 'node' }
  /** The whole kernel state: at start, and again after lost notifications. */
  | { readonly kind: 'kernel.dumped'; readonly snapshot: KernelSnapshot }
  | { readonly kind: 'kernel.changed'; readonly change: KernelChange }
  /** Several changes that were read together, in their order: what a thousand addresses cost one turn. */
  | { readonly kind: 'kernel.changes'; readonly changes: readonly KernelChange[] }
  /** A frame that passed the capture filter: ARP or ICMPv6 about one of our addresses, sent by somebody else. */
  | { readonly kind: 'frame.received'; readonly ifindex: number; readonly frame: Uint8Array }
  /** All that this node has to know of the addresses of Services, as it is now; the agent finds what changed. */
  | { readonly kind: 'services.duty'; readonly duty: ServiceDuty }
  | { readonly kind: 'name.resolved'; readonly name: string; readonly addresses: readonly Ip[] }
  | { readonly kind: 'name.failed'; readonly name: string; readonly message: string }
  /** The kernel refused an address or frame effect. */
  | {
      readonly kind: 'effect.failed';
      readonly effect: 'address.add' | 'address.delete' | 'frame.send' | 'capture.set';
      readonly ifindex: number;
      readonly address: string;
      readonly code: ErrorCode;
      readonly message: string;
    }
  /**
   * The clocks moved apart by this much more than the monotonic clock shows (suspend, a paused virtual machine, or wall
   * time set): what the kernel's lifetimes and our tenure measured may be too short by it.
   */
  | { readonly kind: 'clock.jumped'; readonly byMs: number }
  /** SIGTERM or SIGINT. */
  | { readonly kind: 'shutdown' };
