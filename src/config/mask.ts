/** What may be shown: values and peers with every secret replaced. */

import { formatBgpPeers, type BgpPeer } from './bgp-peers.ts';
import type { ParsedConfig } from './parse.ts';
import type { Values } from './resolve.ts';
import { OPTIONS, type OptionName } from './schema.ts';

export const MASK = '***';

const SECRETS: ReadonlySet<OptionName> = new Set(
  OPTIONS.filter((option) => option.isSecret === true).map((option) => option.name),
);

/** `parsed.values` with secrets replaced by `***`; of bgp_peers only the passwords, when it can be read. */
export function maskValues(parsed: Pick<ParsedConfig, 'values' | 'bgpPeers'>): Values {
  const masked = { ...parsed.values };
  for (const name of SECRETS) {
    const { value, source } = parsed.values[name];
    if (value === '') continue;
    const isReadable = name === 'bgp_peers' && parsed.bgpPeers.length > 0;
    masked[name] = { value: isReadable ? formatBgpPeers(parsed.bgpPeers, MASK) : MASK, source };
  }
  return masked;
}

export function maskPeers(peers: readonly BgpPeer[]): readonly BgpPeer[] {
  return peers.map((peer) => (peer.password === '' ? peer : { ...peer, password: MASK }));
}
