/**
 * Raw objects → what is planned from: everything decoded, with every problem found on the way. What only a running cluster
 * knows (interfaces, carrier, health) stays unknown, which is held against nobody.
 */

import { asObject, asText, asTextMap, metadataText, type JsonObject } from '../base/json.ts';
import { familyBits, type Prefix } from '../base/ip.ts';
import { decodeMember, MEMBER_LABEL } from '../kube/members.ts';
import { nextAssignment, type Assignment } from '../services/assignment.ts';
import { UNKNOWN_LEADER } from '../services/candidate.ts';
import { indexEndpoints } from '../services/endpoints.ts';
import type { Decoding, NodeFacts, NodeObject, ObjectProblem, ServiceObject } from '../services/model.ts';
import { nodeWeight } from '../services/node-weight.ts';
import { decodeConfigMap } from '../services/objects/config-map.ts';
import { decodeEndpointSlice } from '../services/objects/endpoint-slice.ts';
import { decodeNamespace } from '../services/objects/namespace.ts';
import { decodeNode } from '../services/objects/node.ts';
import { objectRef } from '../services/objects/object-ref.ts';
import { decodeService } from '../services/objects/service.ts';
import { planMemo, planServices, type Plan, type PlanInput, type PlanMemo } from '../services/plan.ts';
import { assemblePools, NO_POOLS, type AssembledPools } from '../services/pools/assemble.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../services/pools/cilium.ts';
import { parseSvcPools } from '../services/pools/environment.ts';
import { readKubeVipPools } from '../services/pools/kube-vip.ts';
import { decodeBgpAdvertisement, decodeIpAddressPool, decodeL2Advertisement } from '../services/pools/metallb.ts';
import { reservationProblems, reservationsOf } from '../services/reservation.ts';
import { labelOf } from '../services/selector.ts';
import type { PlanKind, PlanObjects } from './plan-objects.ts';
import type { PlanSettings } from './plan-settings.ts';

/** kube-vip writes there who answers. */
const VIP_HOST = 'kube-vip.io/vipHost';

export interface ReadInput {
  readonly input: PlanInput;
  /** Knows the allocation already. */
  readonly memo: PlanMemo;
  readonly problems: readonly ObjectProblem[];
  /** Some Service is so wrong that nothing of it can be used. */
  readonly isServiceRefused: boolean;
  /** What else must be known to read the plan rightly; each a sentence. */
  readonly notes: readonly string[];
}

export function readPlanInput(objects: PlanObjects, settings: PlanSettings): ReadInput {
  const problems: ObjectProblem[] = [];
  const all = <T>(kind: PlanKind, decode: (raw: unknown) => Decoding<T>): readonly T[] =>
    objects.ofKind(kind).flatMap((raw) => keep(decode(raw), problems));
  const services = all('Service', decodeService);
  const nodes = readNodes(objects, all('Node', decodeNode), problems);
  const slices = all('EndpointSlice', decodeEndpointSlice);
  const hasSlices = objects.ofKind('EndpointSlice').length > 0;
  const { pools, unread, problems: poolProblems, ...read } = readPools(objects, settings, nodes, problems);
  const reservations = reservationsOf({
    nodes: nodes.map(({ node }) => node),
    vips: settings.controlPlane,
    gateways: [],
    subnets: [],
    clusterCidrs: clusterIps(services),
  });
  problems.push(...poolProblems, ...reservationProblems(pools, reservations));
  const leader = settings.rules.isSpread ? undefined : leaderOf(objects.ofKind('Lease'), settings.leases);
  const input: PlanInput = {
    services,
    namespaces: all('Namespace', decodeNamespace),
    pools,
    advertisements: [...read.advertisements, ...unread],
    reservations,
    quarantined: new Map(),
    rules: settings.rules,
    nodes,
    endpoints: hasSlices ? indexEndpoints(slices) : undefined,
    leader: leader ?? UNKNOWN_LEADER,
    assignment: new Map(),
  };
  const memo = planMemo();
  return {
    input: { ...input, assignment: vipHosts(planServices({ ...input, nodes: [] }, memo)) },
    memo,
    problems,
    isServiceRefused: objects.isServiceRefused || services.length < objects.ofKind('Service').length,
    notes: notesOf({ settings, leader, hasSlices, hasNodes: nodes.length > 0 }),
  };
}

/** The input once these nodes are drained: whoever has an address keeps it, but for them. */
export function withDrained(input: PlanInput, now: Plan, drained: readonly string[]): PlanInput {
  const assignment = nextAssignment(input.assignment, now.ownerships);
  const nodes = input.nodes.map((facts) =>
    drained.includes(facts.node.name) ? { ...facts, isDraining: true } : facts,
  );
  // A leader that is drained hands over, and nobody can say to whom.
  const leader = drained.includes(input.leader ?? '') ? UNKNOWN_LEADER : input.leader;
  return { ...input, nodes, assignment, leader };
}

function keep<T>({ value, problems }: Decoding<T>, found: ObjectProblem[]): readonly T[] {
  found.push(...problems);
  return value === undefined ? [] : [value];
}

function readPools(
  objects: PlanObjects,
  settings: PlanSettings,
  nodes: readonly NodeFacts[],
  problems: ObjectProblem[],
): AssembledPools {
  const { namespace, name } = settings.configMap;
  const namesakes = objects.ofKind('ConfigMap').filter((raw) => metadataText(raw, 'name') === name);
  const [own] = namesakes.filter((raw) => (metadataText(raw, 'namespace') ?? 'default') === namespace);
  if (own === undefined) problems.push(...namesakes.map((raw) => elsewhere(raw, namespace)));
  const [configMap] = own === undefined ? [] : keep(decodeConfigMap(own), problems);
  return assemblePools({
    environment: parseSvcPools(settings.pools),
    kubeVip: configMap === undefined ? NO_POOLS : readKubeVipPools(configMap),
    pools: [
      ...objects.ofKind('IPAddressPool').map(decodeIpAddressPool),
      ...objects.ofKind('CiliumLoadBalancerIPPool').map(decodeCiliumPool),
    ],
    advertisements: [
      ...objects.ofKind('L2Advertisement').map(decodeL2Advertisement),
      ...objects.ofKind('BGPAdvertisement').map(decodeBgpAdvertisement),
      ...objects.ofKind('CiliumL2AnnouncementPolicy').map(decodeCiliumPolicy),
    ],
    nodes: nodes.map(({ node }) => node),
  });
}

/** A ConfigMap of the right name in another namespace, while the right one has none: somebody waits for its pools. */
function elsewhere(raw: JsonObject, namespace: string): ObjectProblem {
  const object = objectRef('ConfigMap', raw);
  return {
    object,
    code: 'POOL_SHADOWED',
    message: `it is not read: kube-vip's pools are those of the ConfigMap of that name in the namespace ${namespace}`,
    remedy: `Move it to the namespace ${namespace}, or set svc_configmap_namespace to the one it is in.`,
  };
}

/** Where there are member Leases, Holdfast runs on those nodes and no other; a member that leaves is as good as drained. */
function readNodes(
  objects: PlanObjects,
  nodes: readonly NodeObject[],
  problems: ObjectProblem[],
): readonly NodeFacts[] {
  const members = new Map(
    objects
      .ofKind('Lease')
      .filter((raw) => labelOf(asTextMap(asObject(raw['metadata'])?.['labels']), MEMBER_LABEL) !== undefined)
      .flatMap((raw) => decodeMember(raw) ?? [])
      .map((member) => [member.name, member]),
  );
  return nodes.map((node) => {
    const weight = nodeWeight(node);
    problems.push(...weight.problems);
    return {
      node,
      interfaces: undefined,
      isKubeProxyHealthy: undefined,
      isDraining: members.get(node.name)?.isLeaving ?? false,
      hasStanding: members.size === 0 || members.has(node.name) ? undefined : false,
      weight: weight.value,
    };
  });
}

/** A cluster's Service CIDR stands in no object; the addresses taken from it do. */
function clusterIps(services: readonly ServiceObject[]): readonly Prefix[] {
  return services.flatMap(({ clusterIps: ips }) => ips.map((ip) => ({ ip, length: familyBits(ip.family) })));
}

function leaderOf(leases: readonly JsonObject[], names: readonly string[]): string | undefined {
  const holders = new Map(
    leases.map((raw) => {
      const metadata = asObject(raw['metadata']);
      const key = `${asText(metadata?.['namespace']) ?? 'default'}/${asText(metadata?.['name']) ?? ''}`;
      return [key, asText(asObject(raw['spec'])?.['holderIdentity'])];
    }),
  );
  return names.map((name) => holders.get(name)).find((holder) => holder !== undefined);
}

/** Address → the node kube-vip says answers for it; of Services on one address the oldest one's word counts. */
function vipHosts({ allocations }: Plan): Assignment {
  const assignment = new Map<string, string>();
  for (const { service, addresses } of allocations) {
    const host = labelOf(service.annotations, VIP_HOST) ?? '';
    for (const { text } of host === '' ? [] : addresses) if (!assignment.has(text)) assignment.set(text, host);
  }
  return assignment;
}

function notesOf(known: {
  readonly settings: PlanSettings;
  readonly leader: string | undefined;
  readonly hasSlices: boolean;
  readonly hasNodes: boolean;
}): readonly string[] {
  if (!known.hasNodes) return [];
  const notes: string[] = [];
  if (!known.settings.rules.isSpread) {
    notes.push(
      known.leader === undefined
        ? 'svc_election is off: the leader answers for every address. Who leads is not among the documents: one node is presumed to.'
        : `svc_election is off: the leader, ${known.leader}, answers for every address.`,
    );
  }
  if (!known.hasSlices) notes.push('No EndpointSlice among the documents: whether Pods can serve is not asked.');
  return notes;
}
