/** What a node says of Services in its status report: counts, pools, the addresses it answers for, the latest moves. */

export interface ServicesStatus {
  /** All objects were seen once, and nothing says that they are out of date. */
  readonly isSynced: boolean;
  readonly isCurrent: boolean;
  /** This node gives addresses, and writes who has them. */
  readonly isAllocating: boolean;
  /** Whether this node may answer for addresses of its own now. */
  readonly hasStanding: boolean;
  /** Ours, by what became of them. */
  readonly served: number;
  readonly pending: number;
  /** Addresses of all Services; those this node is the owner of, and those of them it answers for. */
  readonly addresses: number;
  readonly owned: number;
  readonly held: number;
  /** Addresses nobody answers for. */
  readonly dark: number;
  readonly pools: readonly PoolStatus[];
  /** Addresses here, in no order; with more than ADDRESSES_SHOWN_MAX the rest is only counted in `held`. */
  readonly here: readonly ServiceAddressStatus[];
  /** Oldest first. */
  readonly moves: readonly ServiceMoveStatus[];
  /** What is wrong with objects, by code. */
  readonly configProblems: readonly { readonly code: string; readonly kind: string; readonly count: number }[];
  /** Writes to Services that wait for the API. */
  readonly writesWaiting: number;
}

export const ADDRESSES_SHOWN_MAX = 200;

export interface PoolStatus {
  readonly name: string;
  readonly family: 'ipv4' | 'ipv6';
  /** As a decimal: IPv6 pools are larger than a number may be. */
  readonly size: string;
  readonly used: number;
  readonly isClosed: boolean;
}

export interface ServiceAddressStatus {
  readonly address: string;
  readonly state: string;
  readonly sinceMs: number;
  readonly interface: string | undefined;
  readonly announcements: number;
  readonly lastAnnouncedAgoMs: number | undefined;
  /** MAC of whoever else answers. */
  readonly conflict: string | undefined;
  /** namespace/name of the Services on it. */
  readonly services: readonly string[];
}

export interface ServiceMoveStatus {
  /** RFC 3339, wall clock of this node. */
  readonly at: string;
  readonly kind: 'gained' | 'lost';
  readonly cause: string;
  /** The other node, where known. */
  readonly other: string | undefined;
  readonly count: number;
  readonly timings: Readonly<Record<string, number>>;
}
