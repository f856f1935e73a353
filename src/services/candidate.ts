/**
 * Which nodes may answer for an address, and of each other one the first thing that is against it, in this order:
 *
 *    1 label node.kubernetes.io/exclude-from-external-load-balancers (its presence; ignoresExcludeLabel)
 *    2 condition NetworkUnavailable                      7 no advertisement covers the address, or selects the node
 *    3 taint node.kubernetes.io/out-of-service           8 no interface for the address
 *    4 drained, or cordoned                              9 no carrier on it
 *    5 weight 0                                         10 kube-proxy isn't healthy
 *    6 Holdfast isn't heard there                       11 no endpoint that it could send traffic to
 *                                                       12 not the leader, while svc_election is false
 *
 * An address that somebody has answered for needs no advertisement while its pool is settling (pools/settling.ts); and where
 * the one that would cover it can't be read, who has the address keeps it, and nobody else takes it.
 *
 * What isn't known is against nobody. A node that is only cordoned answers when no other node may: an address doesn't go
 * dark because every node is being patched, or the only one is. Where not even that helps one without a healthy kube-proxy
 * answers: its rules stay in the kernel, and where every kube-proxy is gone something else stands in for it.
 *
 * Endpoints: each Service with local traffic only needs one on the node. Of the other Services one at least needs one
 * anywhere, or says that it doesn't (allowsNoEndpoints): sharing an address with a Service that has no Pods harms nobody.
 *
 * A survey remembers what doesn't depend on the address, so that thousands of addresses cost little: candidates are shared
 * between addresses for which the same is true.
 */

import type { ErrorCode } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import {
  coverageBook,
  coverageOf,
  coverageOnNode,
  EVERYWHERE,
  namesOf,
  unclearFor,
  type Coverage,
  type CoverageBook,
} from './advertisement.ts';
import { VIP_HOST_ANNOTATION } from './annotations.ts';
import {
  chooseInterface,
  configuredWish,
  interfaceWish,
  nodeNetwork,
  type InterfaceChoice,
  type InterfaceWish,
  type NodeNetwork,
} from './answering-interface.ts';
import { endpointNeed, endpointRefusal, type EndpointNeed } from './endpoint-need.ts';
import type { EndpointIndex } from './endpoints.ts';
import type { Advertisement, Candidate, NodeFacts, Reason, ServiceAddress, ServiceRules } from './model.ts';
import { compareNames } from './rendezvous.ts';

export const EXCLUDE_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** Every code a candidate may carry; '' is the eligible one's. */
export const CANDIDATE_CODES = [
  'NODE_EXCLUDED',
  'NODE_NETWORK_UNAVAILABLE',
  'NODE_DRAINING',
  'NODE_WEIGHT_ZERO',
  'NODE_NO_STANDING',
  'NO_ADVERTISEMENT',
  'ADVERTISEMENT_NOT_L2',
  'NODE_NOT_SELECTED',
  'NODE_NO_INTERFACE',
  'NODE_NO_CARRIER',
  'NODE_KUBE_PROXY',
  'NO_ENDPOINTS',
  'NO_LOCAL_ENDPOINT',
  'NODE_NOT_LEADER',
] as const satisfies readonly ErrorCode[];

/** No node has this name (RFC 1123). */
export const UNKNOWN_LEADER = '?';

/** What decides, the same on every node. */
export interface CandidateContext {
  readonly nodes: readonly NodeFacts[];
  readonly advertisements: readonly Advertisement[];
  /** undefined: not known (no EndpointSlice among the documents), which excludes nothing. */
  readonly endpoints: EndpointIndex | undefined;
  readonly rules: ServiceRules;
  /** Who leads; UNKNOWN_LEADER offline, where anybody might; undefined: nobody does. Looked at only while !rules.isSpread. */
  readonly leader: string | undefined;
  /** vip_servicesinterface: for addresses that nobody says anything of; undefined or 'auto': whose subnet holds it. */
  readonly defaultInterface?: string | undefined;
  /** Address → the node that had it last, as recorded. */
  readonly assignment?: ReadonlyMap<string, string>;
}

/** A context looked at once for many addresses: good until anything in it changes. */
export interface Survey {
  readonly context: CandidateContext;
  readonly book: CoverageBook;
  /** By name, each once. */
  readonly nodes: readonly SurveyedNode[];
  readonly weights: ReadonlyMap<string, number>;
  readonly posts: Map<Coverage, readonly Post[]>;
  /** By their words: equal wishes are one object. */
  readonly wishes: Map<string, InterfaceWish>;
  readonly defaultWish: InterfaceWish | undefined;
}

interface SurveyedNode {
  readonly facts: NodeFacts;
  readonly name: string;
  /** The first of checks 1 to 6 that it fails. */
  readonly refusal: Candidate | undefined;
  /** Of these it fails the cordon alone. */
  readonly isCordonedOnly: boolean;
}

/** A node under one coverage, and what was found out about it there. */
interface Post {
  readonly node: SurveyedNode;
  /** Check 7. */
  readonly refusal: Candidate | undefined;
  readonly network: NodeNetwork;
  readonly preference: number;
  readonly byWish: Map<InterfaceWish, InterfaceChoice>;
  /** Checks 8 to 12, but for endpoints. */
  readonly byChoice: Map<InterfaceChoice, Candidate>;
  /** The same without check 10. */
  readonly byChoiceUnproxied: Map<InterfaceChoice, Candidate>;
}

/** What has to be known of one address. */
interface Matter {
  readonly address: Ip;
  readonly wish: InterfaceWish | 'auto' | undefined;
  readonly need: EndpointNeed;
}

export function surveyOf(context: CandidateContext): Survey {
  const byName = new Map(context.nodes.map((facts) => [facts.node.name, facts]));
  const nodes = [...byName.values()]
    .sort((a, b) => compareNames(a.node.name, b.node.name))
    .map((facts) => surveyNode(facts, context.rules));
  return {
    context,
    book: coverageBook(context.advertisements),
    nodes,
    weights: new Map(nodes.map(({ name, facts }) => [name, facts.weight])),
    posts: new Map(),
    wishes: new Map(),
    defaultWish: configuredWish(context.defaultInterface),
  };
}

/** All nodes by name, each with one reason. */
export function candidatesFor(address: ServiceAddress, survey: Survey): readonly Candidate[] {
  const candidates = advertisedCandidates(address, survey);
  return candidates.some(({ isEligible }) => isEligible) ? candidates : withKeeper(candidates, address, survey);
}

/** As the advertisements say that can be read. */
function advertisedCandidates(address: ServiceAddress, survey: Survey): readonly Candidate[] {
  const coverage = coverageFor(address, survey);
  if (coverage.kind === 'refused') {
    const { code, message } = coverage.reason;
    return survey.nodes.map(({ name, refusal, isCordonedOnly }) =>
      refusal === undefined || isCordonedOnly ? refused(name, code, message) : refusal,
    );
  }
  const matter = matterOf(address, survey);
  const posts = postsOf(coverage, survey);
  const candidates = posts.map((post) => post.node.refusal ?? judge(post, matter, survey));
  if (candidates.some(({ isEligible }) => isEligible)) return candidates;
  for (const [place, post] of posts.entries()) {
    if (post.node.isCordonedOnly) candidates[place] = judge(post, matter, survey);
  }
  if (candidates.some(({ isEligible }) => isEligible)) return candidates;
  for (const [place, post] of posts.entries()) {
    if (candidates[place]?.code === 'NODE_KUBE_PROXY') candidates[place] = judge(post, matter, survey, true);
  }
  return candidates;
}

/** Who has answered for the address may go on where the advertisement that would say so can't be read. */
function withKeeper(candidates: readonly Candidate[], address: ServiceAddress, survey: Survey): readonly Candidate[] {
  const { context, book } = survey;
  const unclear = unclearFor(address, book);
  const owner = unclear.length === 0 ? undefined : lastOwner(address, context);
  if (owner === undefined) return candidates;
  const isAnybody = context.rules.isLed === true || !context.rules.isSpread;
  const matter = matterOf(address, survey);
  return postsOf(EVERYWHERE, survey).map((post, place) => {
    const candidate = candidates[place] ?? judge(post, matter, survey);
    if (!UNADVERTISED.has(candidate.code) || (candidate.node !== owner && !isAnybody)) return candidate;
    const judged = judge(post, matter, survey, true);
    if (!judged.isEligible) return judged;
    return { ...judged, reason: `${judged.reason}; goes on answering, since ${namesOf(unclear)} can't be read` };
  });
}

/** Check 7 is what it fails. */
const UNADVERTISED: ReadonlySet<string> = new Set(['NO_ADVERTISEMENT', 'ADVERTISEMENT_NOT_L2', 'NODE_NOT_SELECTED']);

function matterOf(address: ServiceAddress, survey: Survey): Matter {
  return {
    address: address.address,
    wish: knownWish(interfaceWish(address), survey),
    need: endpointNeed(address, survey.context.endpoints),
  };
}

/** Why no node at all may answer, whatever the nodes are like. */
export function addressRefusals(address: ServiceAddress, survey: Survey): readonly Reason[] {
  const coverage = coverageFor(address, survey);
  const { refusal } = endpointNeed(address, survey.context.endpoints);
  return [...(coverage.kind === 'refused' ? [coverage.reason] : []), ...(refusal === undefined ? [] : [refusal])];
}

/** An address that is answered for loses nothing while its pool is settling: it is as if nobody knew the pool. */
function coverageFor(address: ServiceAddress, { book, context }: Survey): Coverage {
  const coverage = coverageOf(address, book);
  if (coverage.kind !== 'refused' || address.pool?.isSettling !== true) return coverage;
  return lastOwner(address, context) === undefined ? coverage : EVERYWHERE;
}

/** Who answered for the address: as recorded, else as it said itself on one of its Services. */
function lastOwner({ address, allocations }: ServiceAddress, { assignment }: CandidateContext): string | undefined {
  const recorded = assignment?.get(address.text);
  if (recorded !== undefined) return recorded;
  const hosts = allocations.map(({ service }) => service.annotations[VIP_HOST_ANNOTATION] ?? '');
  return hosts.find((host) => host !== '');
}

function surveyNode(facts: NodeFacts, rules: ServiceRules): SurveyedNode {
  const { name } = facts.node;
  const refusal = nodeRefusal(facts, rules);
  const uncordoned = { ...facts, node: { ...facts.node, isCordoned: false } };
  const isCordonedOnly = facts.node.isCordoned && nodeRefusal(uncordoned, rules) === undefined;
  return { facts, name, refusal, isCordonedOnly };
}

/** Checks 1 to 6. */
function nodeRefusal(facts: NodeFacts, rules: ServiceRules): Candidate | undefined {
  const { node } = facts;
  const refuse = (code: ErrorCode, reason: string): Candidate => refused(node.name, code, reason);
  if (!rules.ignoresExcludeLabel && Object.hasOwn(node.labels, EXCLUDE_LABEL)) {
    return refuse('NODE_EXCLUDED', `has the label ${EXCLUDE_LABEL}`);
  }
  if (node.isNetworkUnavailable) return refuse('NODE_NETWORK_UNAVAILABLE', 'has the condition NetworkUnavailable');
  if (node.isOutOfService) return refuse('NODE_DRAINING', 'has the taint node.kubernetes.io/out-of-service');
  if (facts.isDraining) return refuse('NODE_DRAINING', 'is being drained');
  if (node.isCordoned) return refuse('NODE_DRAINING', 'is cordoned (spec.unschedulable)');
  if (!(facts.weight > 0)) return refuse('NODE_WEIGHT_ZERO', 'has weight 0 (annotation holdfast.io/weight)');
  if (facts.hasStanding === false) return refuse('NODE_NO_STANDING', 'has no Holdfast that is heard in time');
  return undefined;
}

function refused(node: string, code: ErrorCode, reason: string): Candidate {
  return { node, isEligible: false, code, reason, interfaceName: undefined, preference: 0 };
}

type Covered = Exclude<Coverage, { kind: 'refused' }>;

function postsOf(coverage: Covered, survey: Survey): readonly Post[] {
  const known = survey.posts.get(coverage);
  if (known !== undefined) return known;
  const posts = survey.nodes.map((node) => postOf(coverage, node));
  survey.posts.set(coverage, posts);
  return posts;
}

/** Check 7. */
function postOf(coverage: Covered, node: SurveyedNode): Post {
  const here = coverageOnNode(coverage, node.facts.node);
  const isSelected = here.kind === 'selected';
  return {
    node,
    refusal: isSelected ? undefined : refused(node.name, 'NODE_NOT_SELECTED', here.message),
    network: nodeNetwork(node.facts.interfaces, isSelected ? here.rules : []),
    preference: isSelected ? here.preference : 0,
    byWish: new Map(),
    byChoice: new Map(),
    byChoiceUnproxied: new Map(),
  };
}

/** Checks 7 to 12 of a node that passes 1 to 6, or is only cordoned. */
function judge(post: Post, { address, wish, need }: Matter, survey: Survey, isUnproxied = false): Candidate {
  if (post.refusal !== undefined) return post.refusal;
  const choice = choiceOf(post, address, wish ?? (post.network.rules.length === 0 ? survey.defaultWish : undefined));
  const judged = isUnproxied ? post.byChoiceUnproxied : post.byChoice;
  let candidate = judged.get(choice);
  if (candidate === undefined) {
    candidate = judgeChoice(post, choice, { context: survey.context, isUnproxied });
    judged.set(choice, candidate);
  }
  if (!candidate.isEligible && candidate.code !== 'NODE_NOT_LEADER') return candidate;
  const refusal = endpointRefusal(need, post.node.name);
  return refusal === undefined ? candidate : refused(post.node.name, refusal.code, refusal.message);
}

function choiceOf(post: Post, address: Ip, wish: InterfaceWish | 'auto' | undefined): InterfaceChoice {
  if (wish === undefined || wish === 'auto') return chooseInterface(post.network, address, undefined);
  let choice = post.byWish.get(wish);
  if (choice === undefined) {
    choice = chooseInterface(post.network, address, wish);
    post.byWish.set(wish, choice);
  }
  return choice;
}

/** Checks 8, 9, 10 and 12. */
function judgeChoice(
  { node, preference }: Post,
  choice: InterfaceChoice,
  { context, isUnproxied }: { readonly context: CandidateContext; readonly isUnproxied: boolean },
): Candidate {
  const refuse = (code: ErrorCode, reason: string): Candidate => refused(node.name, code, reason);
  if (choice.kind === 'missing') return refuse('NODE_NO_INTERFACE', choice.message);
  if (choice.kind === 'no-carrier') return refuse('NODE_NO_CARRIER', choice.message);
  const isIll = node.facts.isKubeProxyHealthy === false;
  if (isIll && !isUnproxied) return refuse('NODE_KUBE_PROXY', 'has no healthy kube-proxy');
  const { leader, rules, endpoints } = context;
  if (!rules.isSpread && leader !== UNKNOWN_LEADER && leader !== node.name) {
    const who = leader === undefined ? 'nobody leads at the moment' : `${leader} leads`;
    return refuse('NODE_NOT_LEADER', `may answer only while it leads (svc_election=false): ${who}`);
  }
  const parts = [
    ...(node.isCordonedOnly ? ['is cordoned, but no other node may answer'] : []),
    ...(isIll ? ['has no healthy kube-proxy, but no other node may answer'] : []),
    choice.kind === 'found' ? `answers on ${choice.name}, ${choice.how}` : unknownText(choice.name),
    ...(node.facts.node.isReady ? [] : ['its Node is not Ready']),
    ...(preference > 0 ? [`is preferred with weight ${preference}`] : []),
    ...(endpoints === undefined ? ['endpoints not known'] : []),
  ];
  const reason = parts.join('; ');
  return { node: node.name, isEligible: true, code: '', reason, interfaceName: choice.name, preference };
}

function unknownText(name: string | undefined): string {
  return name === undefined
    ? 'may answer; its interfaces are not known'
    : `answers on ${name}, if it has that interface`;
}

/** One object for equal wishes, so that what follows from them can be remembered. */
function knownWish(wish: InterfaceWish | 'auto' | undefined, { wishes }: Survey): InterfaceWish | 'auto' | undefined {
  if (wish === undefined || wish === 'auto') return wish;
  const key = `${wish.name} ${wish.from}`;
  const known = wishes.get(key);
  if (known === undefined) wishes.set(key, wish);
  return known ?? wish;
}
