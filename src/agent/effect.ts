/**
 * Everything privileged or outward that the process can do: one union on one page. Effects are performed in order;
 * address and frame effects are synchronous system calls, lease effects are sent and answered later by an event.
 */

import type { Ip, Prefix } from '../base/ip.ts';
import type { LeaseRecord } from '../leader/lease-record.ts';
import type { Member } from '../leader/voters.ts';
import type { Heartbeat, Voter } from '../leader/view.ts';

export type Effect =
  /** Reads the Lease once; answered by lease.observed or lease.failed. */
  | { readonly kind: 'lease.read'; readonly attempt: number }
  /**
   * Creates the Lease, or compare-and-swaps it on lease.resourceVersion. The performer writes the wall time of sending
   * into renewTime, and with stamp 'acquire' into acquireTime too.
   */
  | {
      readonly kind: 'lease.create' | 'lease.update';
      readonly attempt: number;
      readonly lease: LeaseRecord;
      readonly stamp: 'acquire' | 'renew';
    }
  /** One heartbeat to each of these; the performer adds sender, incarnation, sequence, echo and tag. */
  | {
      readonly kind: 'heartbeat.send';
      readonly to: readonly Voter[];
      readonly beat: Omit<Heartbeat, 'sender' | 'incarnation' | 'sequence'>;
    }
  /** Writes this node's member Lease; answered by member.registered. */
  | { readonly kind: 'member.register'; readonly member: Member }
  /** RTM_NEWADDR with NLM_F_REPLACE: adds the address or renews its lifetime. */
  | {
      readonly kind: 'address.add';
      readonly ifindex: number;
      readonly prefix: Prefix;
      readonly validSeconds: number;
      readonly scope: 'global' | 'host';
    }
  | { readonly kind: 'address.delete'; readonly ifindex: number; readonly prefix: Prefix }
  /**
   * These addresses of ours have left the kernel ('left'), or VIPs of the control plane have come ('arrived'): TCP connections
   * of this machine that had one as their own end can't go on, nor can those to the machine that had it before, and nobody
   * would tell their processes. They are ended, beside the loop; best effort.
   */
  | { readonly kind: 'connections.end'; readonly addresses: readonly Ip[]; readonly cause: 'left' | 'arrived' }
  | {
      readonly kind: 'frame.send';
      readonly ifindex: number;
      readonly frame: Uint8Array;
      readonly purpose: 'announce' | 'probe' | 'defend';
      readonly address: Ip;
    }
  /** Listen on the interface for frames about these addresses; an empty list stops listening. */
  | { readonly kind: 'capture.set'; readonly ifindex: number; readonly addresses: readonly Ip[] }
  | { readonly kind: 'name.resolve'; readonly name: string }
  /** A Kubernetes Event about the election Lease; best effort, rate-limited by the performer. */
  | {
      readonly kind: 'event.record';
      readonly type: 'Normal' | 'Warning';
      readonly reason: string;
      readonly message: string;
    }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly msg: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** Everything is withdrawn and released: the process may end. */
  | { readonly kind: 'exit'; readonly code: number };
