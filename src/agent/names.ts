/**
 * Which addresses are wanted: literals as they stand, DNS names as last resolved. A name that stops resolving keeps what
 * it had; one that resolves to other addresses moves to them.
 */

import { familyBits, type Ip, type Prefix } from '../base/ip.ts';
import { after, earliest, NEVER, type MonotonicMs } from '../base/time.ts';
import type { Effect } from './effect.ts';
import type { AgentEvent } from './event.ts';
import type { AddressSource, AgentRules, AgentState, ResolvedName } from './state.ts';

type NameSource = Extract<AddressSource, { kind: 'name' }>;

const RETRY_MS = 2000;

export function nameDeadline(state: AgentState): MonotonicMs {
  let next = NEVER;
  state.names.forEach((name) => {
    if (!name.isAsked) next = earliest(next, name.nextAt);
  });
  return next;
}

export function stepNames(
  rules: AgentRules,
  state: AgentState,
  event: AgentEvent,
  now: MonotonicMs,
): { readonly state: AgentState; readonly effects: readonly Effect[] } {
  const effects: Effect[] = [];
  let names = state.names;
  for (const source of rules.sources) {
    if (source.kind !== 'name') continue;
    const known = names.get(source.name);
    const next = heard(rules, source, known, event, now);
    const isDue = !next.isAsked && now >= next.nextAt;
    if (isDue) effects.push({ kind: 'name.resolve', name: source.name });
    const stored = isDue ? { ...next, isAsked: true } : next;
    if (stored !== known) names = new Map(names).set(source.name, stored);
  }
  return { state: names === state.names ? state : { ...state, names }, effects };
}

function heard(
  rules: AgentRules,
  source: NameSource,
  known: ResolvedName | undefined,
  event: AgentEvent,
  now: MonotonicMs,
): ResolvedName {
  const name = known ?? { addresses: [], nextAt: now, isAsked: false, failure: undefined };
  if (event.kind === 'name.resolved' && event.name === source.name) {
    const chosen = chooseAddresses(source, event.addresses);
    const failure = chosen.length === 0 ? `no ${source.families} address` : undefined;
    const addresses = chosen.length === 0 ? name.addresses : chosen;
    return { addresses, nextAt: after(now, rules.nameRefreshMs), isAsked: false, failure };
  }
  if (event.kind === 'name.failed' && event.name === source.name) {
    return { ...name, nextAt: after(now, RETRY_MS), isAsked: false, failure: event.message };
  }
  return name;
}

/** kube-vip's dns_mode: the first answer, the first of one family, or the first of each. */
export function chooseAddresses(source: NameSource, answers: readonly Ip[]): readonly Ip[] {
  const ipv4 = answers.filter((ip) => ip.family === 'ipv4').slice(0, 1);
  const ipv6 = answers.filter((ip) => ip.family === 'ipv6').slice(0, 1);
  switch (source.families) {
    case 'first':
      return answers.slice(0, 1);
    case 'ipv4':
      return ipv4;
    case 'ipv6':
      return ipv6;
    case 'dual':
      return [...ipv4, ...ipv6];
  }
}

const WANTED = new WeakMap<
  AgentState['names'],
  { readonly rules: AgentRules; readonly prefixes: ReadonlyMap<string, Prefix> }
>();

/** Every address that configuration asks for now, by its text; worked out anew when a name changed. */
export function wantedPrefixes(rules: AgentRules, state: Pick<AgentState, 'names'>): ReadonlyMap<string, Prefix> {
  const known = WANTED.get(state.names);
  if (known?.rules === rules) return known.prefixes;
  const prefixes = findWanted(rules, state.names);
  WANTED.set(state.names, { rules, prefixes });
  return prefixes;
}

function findWanted(rules: AgentRules, names: AgentState['names']): ReadonlyMap<string, Prefix> {
  const wanted = new Map<string, Prefix>();
  for (const source of rules.sources) {
    if (source.kind === 'ip') {
      wanted.set(source.ip.text, { ip: source.ip, length: source.prefixLength });
      continue;
    }
    for (const ip of names.get(source.name)?.addresses ?? []) {
      wanted.set(ip.text, { ip, length: source.prefixLengths[ip.family] ?? familyBits(ip.family) });
    }
  }
  return wanted;
}
