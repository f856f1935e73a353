/**
 * What is known of each node for the plan: its Node object, and what its Holdfast registered about itself. Who is lost or
 * drained the agent knows better, and says so by itself (settle.ts); the plan keeps them in line. Members without a vote
 * are there only where there are as many voters as there may be: else who is alive is one of them.
 */

import { isDeepStrictEqual } from 'node:util';
import type { RegisteredMember } from '../../kube/members.ts';
import { VOTERS_MAX } from '../../leader/view.ts';
import type { NodeFacts, NodeObject, ObjectProblem } from '../../services/model.ts';
import { nodeWeight } from '../../services/node-weight.ts';
import { decodeFacts, type PublishedFacts } from './published-facts.ts';

export interface NodeBookInput {
  readonly self: string;
  /** This node's, as its kernel says: nobody has to write it down first. */
  readonly own: PublishedFacts;
  readonly nodes: readonly NodeObject[];
  readonly members: readonly RegisteredMember[];
  readonly voters: readonly string[];
  /** False: nobody registers, and nothing is known of the others but their Nodes. */
  readonly isHeartbeating: boolean;
}

export class NodeBook {
  facts: readonly NodeFacts[] = [];
  problems: readonly ObjectProblem[] = [];
  /** MACs of all other nodes; the same set while nothing in it changes. */
  fellows: ReadonlySet<string> = new Set();
  /** What each member published, as text and read. */
  readonly #published = new Map<string, { readonly text: string; readonly facts: PublishedFacts | undefined }>();
  #all: ReadonlyMap<string, PublishedFacts> = new Map();
  #input: NodeBookInput | undefined;

  /** The same list while nothing in it changes. */
  update(input: NodeBookInput): readonly NodeFacts[] {
    const before = this.#input;
    const isSame =
      before !== undefined &&
      before.own === input.own &&
      before.nodes === input.nodes &&
      before.members === input.members &&
      before.isHeartbeating === input.isHeartbeating &&
      isDeepStrictEqual(before.voters, input.voters);
    if (isSame) return this.facts;
    this.#input = input;
    const objects = new Map(input.nodes.map((node) => [node.name, node]));
    const members = new Map(input.members.map((member) => [member.name, member]));
    for (const name of this.#published.keys()) if (!members.has(name)) this.#published.delete(name);
    const names = new Set([...objects.keys(), ...members.keys(), input.self]);
    const problems: ObjectProblem[] = [];
    const facts = [...names].sort().map((name) => {
      const node = objects.get(name) ?? unknownNode(name);
      const weight = nodeWeight(node);
      problems.push(...weight.problems);
      return { ...this.#factsOf(node, members.get(name), input), weight: weight.value };
    });
    if (!isDeepStrictEqual(facts, this.facts)) this.facts = facts;
    const all = this.#collect(input);
    if (!isDeepStrictEqual(all, this.#all)) this.#all = all;
    const fellows = macsOf(all, input.self);
    if (!isDeepStrictEqual(fellows, this.fellows)) this.fellows = fellows;
    this.problems = problems;
    return this.facts;
  }

  /** By node; another value only when a node's facts are. */
  get published(): ReadonlyMap<string, PublishedFacts> {
    return this.#all;
  }

  #collect({ self, own }: NodeBookInput): ReadonlyMap<string, PublishedFacts> {
    const all = new Map<string, PublishedFacts>();
    for (const [name, { facts }] of this.#published) if (facts !== undefined) all.set(name, facts);
    return all.set(self, own);
  }

  #factsOf(
    node: NodeObject,
    member: RegisteredMember | undefined,
    { self, own, voters, isHeartbeating }: NodeBookInput,
  ): Omit<NodeFacts, 'weight'> {
    if (node.name === self) {
      const { interfaces, isKubeProxyHealthy } = own;
      return { node: uncordoned(node), interfaces, isKubeProxyHealthy, isDraining: false, hasStanding: true };
    }
    const published = this.#read(member);
    const interfaces = published?.interfaces;
    const isKubeProxyHealthy = published?.isKubeProxyHealthy;
    if (!isHeartbeating) {
      return { node, interfaces, isKubeProxyHealthy, isDraining: false, hasStanding: undefined };
    }
    if (member === undefined || published === undefined) {
      return { node, interfaces, isKubeProxyHealthy, isDraining: false, hasStanding: false };
    }
    const isHeard = voters.includes(node.name) || voters.length >= VOTERS_MAX;
    return { node: uncordoned(node), interfaces, isKubeProxyHealthy, isDraining: false, hasStanding: isHeard };
  }

  #read(member: RegisteredMember | undefined): PublishedFacts | undefined {
    if (member?.facts === undefined) return undefined;
    const { name, facts: text } = member;
    const known = this.#published.get(name);
    if (known?.text === text) return known.facts;
    const facts = decodeFacts(text);
    this.#published.set(name, { text, facts });
    return facts;
  }
}

function macsOf(all: ReadonlyMap<string, PublishedFacts>, self: string): ReadonlySet<string> {
  const others = [...all].filter(([name]) => name !== self);
  return new Set(others.flatMap(([, { interfaces }]) => interfaces.flatMap(({ mac }) => mac ?? [])));
}

/** Who is cordoned says so in its heartbeats, and stays in line: who takes over must know whom it takes over from. */
function uncordoned(node: NodeObject): NodeObject {
  return node.isCordoned ? { ...node, isCordoned: false } : node;
}

/** Of a member whose Node is not there, or may not be read. */
function unknownNode(name: string): NodeObject {
  return {
    name,
    labels: {},
    annotations: {},
    addresses: [],
    podCidrs: [],
    isReady: true,
    isNetworkUnavailable: false,
    isCordoned: false,
    isOutOfService: false,
  };
}
