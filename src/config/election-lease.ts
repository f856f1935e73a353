/**
 * Which Lease the election is held on: vip_leasename, or svc_leasename where Services alone are served. One election
 * serves both where both are on: two Leases could name two leaders that give one address twice.
 */

import type { Values } from './resolve.ts';
import type { OptionName } from './schema.ts';

export interface LeasePlace {
  /** undefined: where cp_namespace says. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** The setting that names the Lease. */
export function leaseSetting(values: Pick<Values, 'cp_enable' | 'svc_enable'>): OptionName & `${string}_leasename` {
  return values.cp_enable.value !== 'true' && values.svc_enable.value === 'true' ? 'svc_leasename' : 'vip_leasename';
}

export function electionLease(values: Values): LeasePlace {
  const [name = '', namespace] = values[leaseSetting(values)].value.split('/').reverse();
  return { namespace, name };
}
