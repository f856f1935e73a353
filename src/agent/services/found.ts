/**
 * What the kernel has at places of Service addresses, kept apart from the node's ordinary addresses and its control-plane
 * VIPs: thousands of them change in one turn, and nothing else has to be looked at for that. A Service address is known by
 * its shape (a host prefix, deprecated, or our mark), or by being held here. Pure.
 */

import { familyBits, type Prefix } from '../../base/ip.ts';
import type { InterfaceAddress, KernelChange } from '../../protocol/netlink/records.ts';
import type { AgentEvent } from '../event.ts';
import { addressKey, looksLikeVip } from '../kernel-view.ts';
import type { AgentRules, AgentState, KernelView } from '../state.ts';
import {
  draftOf,
  eachOfDraft,
  emptyShards,
  finishDraft,
  inDraft,
  inShards,
  putInDraft,
  type Draft,
  type Shards,
} from './shards.ts';

export type Found = Shards<readonly InterfaceAddress[]>;

/** The event without what it says of Service addresses, and the state that has taken that in. */
export interface Parted {
  readonly event: AgentEvent;
  readonly found: Found;
}

export function partKernelNews(rules: AgentRules, state: AgentState, event: AgentEvent): Parted {
  const { found } = state.services;
  switch (event.kind) {
    case 'kernel.dumped': {
      const draft = draftOf<readonly InterfaceAddress[]>(emptyShards());
      const ordinary = event.snapshot.addresses.filter((address) => !takeAddress(rules, state, draft, address));
      return {
        event: { ...event, snapshot: { ...event.snapshot, addresses: ordinary } },
        found: finishDraft(draft),
      };
    }
    case 'kernel.changed':
      return state.kernel === undefined ? { event, found } : partChanges(rules, state, [event.change]);
    case 'kernel.changes':
      return state.kernel === undefined ? { event, found } : partChanges(rules, state, event.changes);
    default:
      return { event, found };
  }
}

function partChanges(rules: AgentRules, state: AgentState, changes: readonly KernelChange[]): Parted {
  const draft = draftOf(state.services.found);
  const rest: KernelChange[] = [];
  for (const change of changes) {
    switch (change.kind) {
      case 'address': {
        const isTaken = takeAddress(rules, state, draft, change.address);
        if (!isTaken) {
          forget(draft, change.address);
          rest.push(change);
        } else if (isOrdinary(state.kernel, change.address)) {
          rest.push({ kind: 'address-gone', address: change.address });
        }
        break;
      }
      case 'address-gone':
        forget(draft, change.address);
        if (isOrdinary(state.kernel, change.address)) rest.push(change);
        break;
      case 'link-gone':
        forgetLink(draft, change.index);
        rest.push(change);
        break;
      default:
        rest.push(change);
    }
  }
  const [only] = rest;
  const event: AgentEvent =
    only !== undefined && rest.length === 1
      ? { kind: 'kernel.changed', change: only }
      : { kind: 'kernel.changes', changes: rest };
  return { event: rest.length === 0 ? { kind: 'tick' } : event, found: finishDraft(draft) };
}

function isOrdinary(kernel: KernelView | undefined, address: InterfaceAddress): boolean {
  return kernel?.addresses.has(addressKey(address.ifindex, address.prefix.ip, address.prefix.length)) === true;
}

/** Puts it with the found ones if it is a Service's. */
function takeAddress(
  rules: AgentRules,
  state: AgentState,
  draft: Draft<readonly InterfaceAddress[]>,
  address: InterfaceAddress,
): boolean {
  const { ip } = address.prefix;
  if (isControlPlane(rules, state, ip.text)) return false;
  const isShaped = isHost(address.prefix) && looksLikeVip(address);
  if (!isShaped && address.protocol !== rules.addressProtocol && !isHeldHere(state, address)) return false;
  const known = inDraft(draft, ip.text) ?? [];
  const index = known.findIndex((one) => isSamePlace(one, address));
  const former = known[index];
  // A renewal changes nothing but the lifetime, by which nothing here is decided.
  if (former !== undefined && isSameFor(former, address)) return true;
  putInDraft(draft, ip.text, index < 0 ? [...known, address] : known.with(index, address));
  return true;
}

function isSameFor(a: InterfaceAddress, b: InterfaceAddress): boolean {
  return (
    a.protocol === b.protocol &&
    a.preferredSeconds === b.preferredSeconds &&
    Number.isFinite(a.validSeconds) === Number.isFinite(b.validSeconds)
  );
}

/** Whether the address is one of the control plane's VIPs, which come first. */
export function isControlPlane(rules: AgentRules, state: Pick<AgentState, 'vips'>, text: string): boolean {
  return state.vips.has(text) || rules.sources.some((source) => source.kind === 'ip' && source.ip.text === text);
}

export function isHost({ ip, length }: Prefix): boolean {
  return length === familyBits(ip.family);
}

/** Somebody may have taken mark and shape from an address that we hold. */
function isHeldHere(state: AgentState, address: InterfaceAddress): boolean {
  const entry = inShards(state.services.entries, address.prefix.ip.text);
  if (entry?.vip === undefined || entry.ifindex !== address.ifindex || !isHost(address.prefix)) return false;
  const { phase } = entry.vip;
  return phase === 'claiming' || phase === 'holding' || phase === 'withdrawing';
}

function isSamePlace(a: InterfaceAddress, b: InterfaceAddress): boolean {
  return a.ifindex === b.ifindex && a.prefix.length === b.prefix.length;
}

function forget(draft: Draft<readonly InterfaceAddress[]>, address: InterfaceAddress): void {
  const key = address.prefix.ip.text;
  const known = inDraft(draft, key);
  if (known === undefined) return;
  const rest = known.filter((one) => !isSamePlace(one, address));
  if (rest.length !== known.length) putInDraft(draft, key, rest.length === 0 ? undefined : rest);
}

function forgetLink(draft: Draft<readonly InterfaceAddress[]>, ifindex: number): void {
  const gone: InterfaceAddress[] = [];
  for (const [, known] of eachOfDraft(draft)) gone.push(...known.filter((one) => one.ifindex === ifindex));
  for (const address of gone) forget(draft, address);
}

/** Addresses of which kernel changes speak: what has to be looked at after them. */
export function addressesIn(event: AgentEvent): readonly string[] {
  const changes =
    event.kind === 'kernel.changed' ? [event.change] : event.kind === 'kernel.changes' ? event.changes : [];
  return changes.flatMap((change) =>
    change.kind === 'address' || change.kind === 'address-gone' ? [change.address.prefix.ip.text] : [],
  );
}
