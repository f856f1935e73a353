/**
 * Moving a few addresses at a time to nodes that have less than their share: owners stay (owner.ts), so a node that came
 * (back) would have nothing until another is lost. Only the leader does this, on the record (assignment.ts).
 *
 * A move lessens Σ count² / weight, or it isn't made (Webster's method of apportionment): between nodes of equal weight
 * the difference must be two or more, so what is balanced within one stays, and moving ends. An address goes only to nodes
 * that may answer for it, and among these to preferred ones; one that a node of lesser preference has moves first.
 */

import type { Ip } from '../base/ip.ts';
import { compareIps } from './address-range.ts';
import type { Assignment } from './assignment.ts';
import type { NodeFacts, Ownership } from './model.ts';
import { compareNames, compareScores, rendezvousMemo, rendezvousScore, type RendezvousMemo } from './rendezvous.ts';

/** At once, however many were asked for. */
export const MOVES_MAX = 1_000;

export interface RebalanceOptions {
  /** 0: none. */
  readonly movesMax: number;
  /** For the weights. */
  readonly nodes: readonly NodeFacts[];
  readonly memo?: RendezvousMemo;
}

/** An address, with where it may be. */
interface Item {
  readonly address: Ip;
  readonly node: string;
  /** Eligible and of the highest preference there is. */
  readonly targets: readonly string[];
  /** Of these the first by rendezvous. */
  readonly first: string;
}

interface Balance {
  readonly weights: ReadonlyMap<string, number>;
  /** How many addresses each node has. */
  readonly counts: Map<string, number>;
  /** Those that weren't moved yet: by the node that has them, then by where they are first in line, in numeric order. */
  readonly held: Map<string, Map<string, Item[]>>;
  readonly moves: Map<string, string>;
}

/** The record after at most `movesMax` moves; the very same record when there is nothing to move. */
export function rebalance(
  assignment: Assignment,
  ownerships: readonly Ownership[],
  { movesMax, nodes, memo = rendezvousMemo() }: RebalanceOptions,
): Assignment {
  const limit = Math.min(movesMax, MOVES_MAX);
  if (!(limit >= 1)) return assignment;
  const weights = new Map(nodes.map(({ node, weight }) => [node.name, weight]));
  const items = ownerships.flatMap((ownership) => itemOf(ownership, { assignment, weights, memo }) ?? []);
  items.sort((a, b) => compareIps(a.address, b.address));
  const balance: Balance = { weights, counts: new Map(), held: new Map(), moves: new Map() };
  for (const item of items) {
    for (const node of item.targets) balance.counts.set(node, balance.counts.get(node) ?? 0);
    balance.counts.set(item.node, (balance.counts.get(item.node) ?? 0) + 1);
  }
  for (const item of items) {
    if (item.targets.includes(item.node)) hold(balance, item);
    else if (balance.moves.size < limit) move(balance, item, item.first);
  }
  while (balance.moves.size < limit) {
    const step = bestStep(balance);
    if (step === undefined) break;
    move(balance, step.item, step.to);
  }
  return balance.moves.size === 0 ? assignment : new Map([...assignment, ...balance.moves]);
}

function itemOf(
  { address, node, candidates }: Ownership,
  { assignment, weights, memo }: { assignment: Assignment; weights: ReadonlyMap<string, number>; memo: RendezvousMemo },
): Item | undefined {
  const eligible = candidates.filter(({ isEligible }) => isEligible);
  const assigned = assignment.get(address.text);
  const owner = eligible.some((each) => each.node === assigned) ? assigned : node;
  const preference = eligible.reduce((most, each) => Math.max(most, each.preference), 0);
  const targets = eligible.filter((each) => each.preference === preference).map((each) => each.node);
  const scoreOf = (name: string): number => rendezvousScore(name, weights.get(name) ?? 0, address.text, memo);
  const scores = targets.map((name) => ({ name, score: scoreOf(name) }));
  scores.sort((a, b) => compareScores(a.score, b.score) || compareNames(a.name, b.name));
  const [first] = scores;
  return owner === undefined || first === undefined ? undefined : { address, node: owner, targets, first: first.name };
}

function hold({ held }: Balance, item: Item): void {
  const byFirst = held.get(item.node) ?? new Map<string, Item[]>();
  held.set(item.node, byFirst);
  const items = byFirst.get(item.first);
  if (items === undefined) byFirst.set(item.first, [item]);
  else items.push(item);
}

/** An address moves once; it isn't looked at again. */
function move({ counts, held, moves }: Balance, item: Item, to: string): void {
  counts.set(item.node, (counts.get(item.node) ?? 0) - 1);
  counts.set(to, (counts.get(to) ?? 0) + 1);
  const items = held.get(item.node)?.get(item.first);
  if (items?.includes(item) === true) items.splice(items.indexOf(item), 1);
  moves.set(item.address.text, to);
}

/** From the fullest node that can give: an address to where it is first in line, else any to the emptiest node. */
function bestStep(balance: Balance): { readonly item: Item; readonly to: string } | undefined {
  const names = [...balance.counts.keys()].sort(compareNames);
  const donors = names.toSorted((a, b) => compareScores(lossOf(balance, a), lossOf(balance, b)));
  const receivers = names.toSorted((a, b) => compareScores(gainOf(balance, b), gainOf(balance, a)));
  for (const donor of donors) {
    const byFirst = balance.held.get(donor);
    const improving = receivers.filter((to) => to !== donor && gainOf(balance, to) < lossOf(balance, donor));
    if (byFirst === undefined || improving.length === 0) continue;
    for (const to of improving) {
      const [item] = byFirst.get(to) ?? [];
      if (item !== undefined) return { item, to };
    }
    for (const to of improving) {
      const item = anyFor(to, byFirst, donor);
      if (item !== undefined) return { item, to };
    }
  }
  return undefined;
}

/** An address that may go there, if possible one that isn't first in line where it is. */
function anyFor(to: string, byFirst: ReadonlyMap<string, readonly Item[]>, donor: string): Item | undefined {
  for (const [first, items] of byFirst) {
    const item = first === donor ? undefined : items.find(({ targets }) => targets.includes(to));
    if (item !== undefined) return item;
  }
  return byFirst.get(donor)?.find(({ targets }) => targets.includes(to));
}

/** By how much Σ count² / weight would grow with one more, halved. */
function gainOf({ counts, weights }: Balance, node: string): number {
  return ((counts.get(node) ?? 0) + 0.5) / (weights.get(node) ?? 0);
}

/** By how much it would shrink with one less, halved. */
function lossOf({ counts, weights }: Balance, node: string): number {
  return ((counts.get(node) ?? 0) - 0.5) / (weights.get(node) ?? 0);
}
