/** Listening for others who use our addresses: on while this node claims or holds, off otherwise (a quiet node is idle). */

import type { Ip } from '../base/ip.ts';
import type { Effect } from './effect.ts';
import { isLoopback } from './kernel-view.ts';
import { isServing } from './services/step.ts';
import { vipLink, type AgentRules, type AgentState } from './state.ts';

interface Captured {
  readonly state: AgentState;
  readonly effects: readonly Effect[];
}

export function captureEffects(rules: AgentRules, state: AgentState): Captured {
  return isServing(rules) ? captureAll(state) : captureVips(state);
}

function captureVips(state: AgentState): Captured {
  const link = vipLink(state);
  const isListening = link !== undefined && !isLoopback(link) && isBusy(state);
  if (!isListening && state.capture === '') return { state, effects: [] };
  const addresses: readonly Ip[] = isListening ? [...state.vips.values()].map((vip) => vip.prefix.ip) : [];
  const ifindex = isListening ? link.index : undefined;
  const wanted = ifindex === undefined ? '' : `${ifindex} ${addresses.map((ip) => ip.text).join(' ')}`;
  if (wanted === state.capture) return { state, effects: [] };
  const effects: Effect[] = [];
  if (state.captureIndex !== undefined && state.captureIndex !== ifindex) {
    effects.push({ kind: 'capture.set', ifindex: state.captureIndex, addresses: [] });
  }
  if (ifindex !== undefined) effects.push({ kind: 'capture.set', ifindex, addresses });
  return { state: { ...state, capture: wanted, captureIndex: ifindex }, effects };
}

function isBusy(state: AgentState): boolean {
  for (const vip of state.vips.values()) if (vip.phase !== 'idle') return true;
  return false;
}

/** Those of control-plane VIPs and of Services together, interface by interface. */
function captureAll(state: AgentState): Captured {
  const vips = captureVips(state);
  const { captured, watched } = state.services;
  const isSame = vips.effects.length === 0 && watched === captured.watched;
  if (isSame) return vips;
  const ours = new Map(captured.vips);
  for (const effect of vips.effects) {
    if (effect.kind !== 'capture.set') continue;
    if (effect.addresses.length === 0) ours.delete(effect.ifindex);
    else ours.set(effect.ifindex, effect.addresses);
  }
  const effects: Effect[] = [];
  const all = new Set([...captured.vips.keys(), ...captured.watched.keys(), ...ours.keys(), ...watched.keys()]);
  for (const ifindex of all) {
    const isKept =
      ours.get(ifindex) === captured.vips.get(ifindex) && watched.get(ifindex) === captured.watched.get(ifindex);
    const link = state.kernel?.links.get(ifindex);
    if (isKept || (link !== undefined && isLoopback(link))) continue;
    const addresses = [...(ours.get(ifindex) ?? []), ...(watched.get(ifindex) ?? [])];
    effects.push({ kind: 'capture.set', ifindex, addresses });
  }
  const services = { ...state.services, captured: { vips: ours, watched } };
  return { state: { ...vips.state, services }, effects };
}
