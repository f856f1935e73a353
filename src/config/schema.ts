/**
 * The schema table: every setting there is, in the order in which documents and manifests show them. See `option.ts` for
 * what a row says; facts about kube-vip's settings are those of its version 1.2.3.
 */

import type { Option } from './option.ts';
import { ADDRESS_OPTIONS } from './schema/address.ts';
import { API_OPTIONS, HEARTBEAT_OPTIONS, OBSERVE_OPTIONS } from './schema/api.ts';
import { BALANCER_OPTIONS } from './schema/balancer.ts';
import { BGP_OPTIONS, ROUTING_OPTIONS } from './schema/bgp.ts';
import { ELECTION_OPTIONS, SAFETY_OPTIONS } from './schema/election.ts';
import { SERVICES_OPTIONS } from './schema/services.ts';

const ROWS = [
  ...ADDRESS_OPTIONS,
  ...ELECTION_OPTIONS,
  ...SAFETY_OPTIONS,
  ...API_OPTIONS,
  ...OBSERVE_OPTIONS,
  ...HEARTBEAT_OPTIONS,
  ...SERVICES_OPTIONS,
  ...BALANCER_OPTIONS,
  ...BGP_OPTIONS,
  ...ROUTING_OPTIONS,
] as const;

export type OptionName = (typeof ROWS)[number]['name'];

export interface NamedOption extends Option {
  readonly name: OptionName;
}

export const OPTIONS: readonly NamedOption[] = ROWS;
