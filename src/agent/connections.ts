/**
 * Which addresses have just left this node, so that connections with them are ended: withdrawn, lost with their link or
 * their lifetime, deleted by somebody, removed as a leftover. Only the kernel's report counts, and only of addresses that
 * were ours; one that is still on another interface, or that this very turn puts back, has not left. A VIP that isn't here
 * when this process first looks may have left while none of us ran: that is the same.
 *
 * And which VIPs of the control plane have just come here: this node's clients of them spoke to another machine until now.
 * (Not so with addresses of Services: kube-proxy leads their connections to Pods, wherever the address is.) Pure.
 */

import type { Ip } from '../base/ip.ts';
import type { InterfaceAddress, KernelChange } from '../protocol/netlink/records.ts';
import type { Effect } from './effect.ts';
import type { AgentEvent } from './event.ts';
import { addressKey, isOurs, looksLikeVip } from './kernel-view.ts';
import { eachOfShards, inShards } from './services/shards.ts';
import type { AgentRules, AgentState } from './state.ts';

const NONE: readonly never[] = [];

/** `happened`: the event as it came, with what it says of Services; `effects`: what this turn does about addresses. */
export function connectionEffects(
  rules: AgentRules,
  turn: { readonly before: AgentState; readonly after: AgentState; readonly happened: AgentEvent },
  effects: readonly (readonly Effect[])[],
): readonly Effect[] {
  const left = leftAddresses(rules, turn, effects);
  const arrived = arrivedAddresses(turn.before, turn.after);
  if (left.length === 0 && arrived.length === 0) return NONE;
  const ends: Effect[] = [];
  if (left.length > 0) ends.push({ kind: 'connections.end', addresses: left, cause: 'left' });
  if (arrived.length > 0) ends.push({ kind: 'connections.end', addresses: arrived, cause: 'arrived' });
  return ends;
}

/** VIPs that the kernel didn't have, and now reports as held. */
function arrivedAddresses(before: AgentState, after: AgentState): readonly Ip[] {
  if (before.vips === after.vips) return NONE;
  return [...after.vips].flatMap(([text, vip]) =>
    vip.isPresent && before.vips.get(text)?.isPresent !== true ? [vip.prefix.ip] : [],
  );
}

function leftAddresses(
  rules: AgentRules,
  turn: { readonly before: AgentState; readonly after: AgentState; readonly happened: AgentEvent },
  effects: readonly (readonly Effect[])[],
): readonly Ip[] {
  const reported = goneAddresses(turn.before, turn.happened);
  const isFirstLook = turn.before.kernel === undefined && turn.after.kernel !== undefined;
  if (reported.length === 0 && !isFirstLook) return NONE;
  const here = addressesHere(turn.after, effects);
  const left = new Map<string, Ip>();
  if (isFirstLook) {
    turn.after.vips.forEach(({ prefix }, text) => {
      if (!here.has(text)) left.set(text, prefix.ip);
    });
  }
  for (const address of reported) {
    const { ip } = address.prefix;
    if (left.has(ip.text) || here.has(ip.text) || inShards(turn.after.services.found, ip.text) !== undefined) continue;
    if (wasOurs(rules, turn.before, address)) left.set(ip.text, ip);
  }
  return [...left.values()];
}

/** What the event says is no longer there. */
function goneAddresses(before: AgentState, happened: AgentEvent): readonly InterfaceAddress[] {
  switch (happened.kind) {
    case 'kernel.changed':
      return goneBy(before, happened.change);
    case 'kernel.changes':
      return happened.changes.flatMap((change) => goneBy(before, change));
    case 'kernel.dumped': {
      const found = new Set(happened.snapshot.addresses.map(placeOf));
      return knownAddresses(before).filter((address) => !found.has(placeOf(address)));
    }
    default:
      return NONE;
  }
}

function goneBy(before: AgentState, change: KernelChange): readonly InterfaceAddress[] {
  if (change.kind === 'address-gone') return [change.address];
  if (change.kind !== 'link-gone') return NONE;
  return knownAddresses(before).filter(({ ifindex }) => ifindex === change.index);
}

function knownAddresses({ kernel, services }: AgentState): readonly InterfaceAddress[] {
  const known = [...(kernel?.addresses.values() ?? [])];
  for (const [, found] of eachOfShards(services.found)) known.push(...found);
  return known;
}

function placeOf({ ifindex, prefix }: InterfaceAddress): string {
  return addressKey(ifindex, prefix.ip, prefix.length);
}

/** Texts of the node's addresses (those of Services are kept apart), and of what is being put back. */
function addressesHere(after: AgentState, effects: readonly (readonly Effect[])[]): ReadonlySet<string> {
  const here = new Set<string>();
  for (const { prefix } of after.kernel?.addresses.values() ?? []) here.add(prefix.ip.text);
  for (const part of effects) {
    for (const effect of part) if (effect.kind === 'address.add') here.add(effect.prefix.ip.text);
  }
  return here;
}

/** It carries our mark, we were holding it, or it was at a place of ours in the shape that only we leave. */
function wasOurs(rules: AgentRules, { vips, services }: AgentState, address: InterfaceAddress): boolean {
  if (address.protocol === rules.addressProtocol) return true;
  const { text } = address.prefix.ip;
  const entry = inShards(services.entries, text);
  const vip = vips.get(text) ?? entry?.vip;
  return vip === undefined ? entry !== undefined && looksLikeVip(address) : isOurs(rules, vip, address);
}
