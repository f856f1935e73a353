/** Why nobody answers for an address, out of what is against each node. */

import type { Ip } from '../base/ip.ts';
import type { Candidate, Reason } from './model.ts';

/** What all nodes have in common goes by its own code: whoever sees that much need not look at each. */
export function nobodyReason(address: Ip, candidates: readonly Candidate[]): Reason {
  const codes = new Set(candidates.map(({ code }) => code));
  const [code = '', ...others] = codes;
  const message = `no node may answer for ${address.text}: ${nodesText(candidates)}`;
  return { pool: '', code: code === '' || others.length > 0 ? 'NO_CANDIDATE' : code, message };
}

/** More are counted, not named. */
const NODES_SHOWN_MAX = 3;
const REASONS_SHOWN_MAX = 5;

/** `n1, n2: are …; n3: …`: nodes with the same reason together. */
function nodesText(candidates: readonly Candidate[]): string {
  if (candidates.length === 0) return 'no node is known';
  const groups = [...Map.groupBy(candidates, ({ reason }) => reason)];
  const texts = groups.slice(0, REASONS_SHOWN_MAX).map(([reason, nodes]) => {
    const names = nodes.slice(0, NODES_SHOWN_MAX).map(({ node }) => node);
    const more = nodes.length - names.length;
    return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}: ${reason}`;
  });
  const more = groups.length - texts.length;
  return more > 0 ? `${texts.join('; ')}; and ${more} other reasons` : texts.join('; ');
}
