/**
 * What the cluster's objects say about addresses of Services, boiled down to what the agent of one node has to know: which
 * addresses there are, and who may answer for each, best first. Made by the runtime from a Plan; an event to the agent.
 * Who of them lives, the agent knows better: the owner is the first in `order` that does.
 */

import type { Prefix } from '../base/ip.ts';

export interface ServiceDuty {
  /** Of each address, in numeric order, IPv4 first. */
  readonly addresses: readonly AddressDuty[];
  /** svc_election: false means that the election's leader answers for all, wherever it is in `order`. */
  readonly isSpread: boolean;
  /** MACs (`Mac.text`) of the nodes that may answer: of two of them that do, one lets go. */
  readonly fellows: ReadonlySet<string>;
}

export interface AddressDuty {
  readonly prefix: Prefix;
  /** Nodes that may answer, best first: the one that has it comes first while it may. */
  readonly order: readonly string[];
  /** Where this node would answer; undefined: nowhere. */
  readonly interfaceName: string | undefined;
  /**
   * Not given to anybody yet: the allocator only asks the wire whether somebody has it (RFC 5227 §2.1.1), and the answer is
   * in the agent's state (ServicesState.inquiries).
   */
  readonly isTentative: boolean;
}

export const NO_DUTY: ServiceDuty = { addresses: [], isSpread: false, fellows: new Set() };
