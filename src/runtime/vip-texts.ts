/** The virtual IPs as texts, as far as they are known: the API client must never dial them, whatever they are called. */

import type { AddressSource, AgentState } from '../agent/state.ts';

/** Literals, names, and what the names were last resolved to; each once. */
export function vipTexts(sources: readonly AddressSource[], names: AgentState['names']): readonly string[] {
  const texts = sources.flatMap((source) => {
    if (source.kind === 'ip') return [source.ip.text];
    return [source.name, ...(names.get(source.name)?.addresses ?? []).map((ip) => ip.text)];
  });
  return [...new Set(texts)];
}
