/** Listening for others who use our addresses: on while this node claims or holds, off otherwise (a quiet node is idle). */

import type { Ip } from '../base/ip.ts';
import type { Effect } from './effect.ts';
import { isLoopback } from './kernel-view.ts';
import { vipLink, type AgentState } from './state.ts';

export function captureEffects(state: AgentState): { readonly state: AgentState; readonly effects: readonly Effect[] } {
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
