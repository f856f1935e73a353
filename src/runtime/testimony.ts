/**
 * What the nodes say about one address: its owner, what it holds; and up to ASKED_MAX others, who answers for it on the wire.
 * All are asked at once. Who can't be asked is named with the reason: nothing is left out silently.
 */

import type { Ip } from '../base/ip.ts';
import type { InquiryReply, Question } from '../protocol/heartbeat/inquiry.ts';
import type { Inquired } from './inquiries.ts';
import type { Witness } from './witness.ts';

export interface Testimony {
  readonly address: Ip;
  /** undefined: nobody should answer. */
  readonly owner: string | undefined;
  /** What the owner says; undefined where there is none. */
  readonly holding: Inquired | undefined;
  /** This node first. */
  readonly asked: readonly { readonly node: string; readonly says: Inquired }[];
  /** Why nobody but the owner was asked; '' when somebody was. */
  readonly unasked: string;
}

/** Who there is to be asked, as this node hears it now. */
export interface Neighbors {
  readonly self: string;
  /** This node takes part in heartbeats. */
  readonly isHeartbeating: boolean;
  /** Itself included; empty before the set is known. */
  readonly voters: readonly string[];
  /** Voters first; members without a vote are heard by voters only. */
  readonly heard: readonly string[];
}

export interface TestimonyOptions {
  readonly neighbors: Neighbors;
  /** This node itself. */
  readonly witness: Witness;
  /** Another; never rejects. */
  readonly inquire: (name: string, question: Question) => Promise<Inquired>;
}

/** Nodes that ask the wire at once. */
export const ASKED_MAX = 3;

/** Never rejects. */
export async function takeTestimony(
  address: Ip,
  owner: string | undefined,
  { neighbors, witness, inquire }: TestimonyOptions,
): Promise<Testimony> {
  const { self } = neighbors;
  const ask = (name: string, question: Question): Promise<Inquired> =>
    name === self ? witness(question).then((reply: InquiryReply) => ({ ok: true, reply })) : inquire(name, question);
  const others = neighbors.heard.filter((name) => name !== self && name !== owner);
  const askers = [...(self === owner ? [] : [self]), ...others].slice(0, ASKED_MAX);
  const [holding, asked] = await Promise.all([
    owner === undefined ? undefined : ask(owner, { subject: 'holding', address }),
    Promise.all(askers.map(async (node) => ({ node, says: await ask(node, { subject: 'wire' as const, address }) }))),
  ]);
  return { address, owner, holding, asked, unasked: askers.length > 0 ? '' : whyNobody(neighbors) };
}

/** This node is the owner, and would only ask itself. */
function whyNobody({ self, isHeartbeating, voters }: Neighbors): string {
  if (!isHeartbeating) return 'heartbeats are off (vip_heartbeat), and only by them is another node asked';
  if (voters.length === 0) return 'this node does not know yet who else there is';
  if (voters.length === 1 && voters.includes(self)) return `${self} is the only node`;
  const names = voters.filter((name) => name !== self).join(', ');
  return `${self} hears none of the others (${names})`;
}
