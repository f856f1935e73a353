/**
 * From what the cluster and the nodes say to who should have what: brings the plan's input together, each part of it the
 * same value while it says the same, so that what didn't change isn't worked out anew. Who gives addresses plans for all
 * Services; the others only for those that have one, since what they would give is nobody's.
 */

import { isDeepStrictEqual } from 'node:util';
import { familyBits, type Ip, type Prefix } from '../../base/ip.ts';
import { isSameValues } from '../../base/lists.ts';
import type { Steps } from '../../base/steps.ts';
import type { ServicesConfig } from '../../config/config.ts';
import type { Assignment } from '../../services/assignment.ts';
import { UNKNOWN_LEADER } from '../../services/candidate.ts';
import type { EndpointIndex } from '../../services/endpoints.ts';
import type {
  NodeFacts,
  NodeObject,
  ObjectProblem,
  Pool,
  Quarantine,
  Reservation,
  ServiceObject,
  ServiceRules,
} from '../../services/model.ts';
import { planInSteps, planMemo, type Plan, type PlanInput, type PlanMemo } from '../../services/plan.ts';
import { addToIndex, ownerIn, type Indexed } from '../../services/range-index.ts';
import { reservationProblems, reservationsOf } from '../../services/reservation.ts';
import type { BookedObjects } from './object-book.ts';
import type { PublishedFacts } from './published-facts.ts';

export interface PlanningInput {
  readonly booked: BookedObjects;
  /** The Services as they should be taken (giving.ts); all of them, or those that have an address. */
  readonly services: readonly ServiceObject[];
  readonly nodes: readonly NodeFacts[];
  /** By node, of those that published something. */
  readonly published: ReadonlyMap<string, PublishedFacts>;
  /** undefined: they may not be read, which excludes nothing. */
  readonly endpoints: EndpointIndex | undefined;
  readonly vips: readonly Ip[];
  readonly quarantined: ReadonlyMap<string, Quarantine>;
  readonly assignment: Assignment;
}

export class Planning {
  /** Of pools against what is reserved. */
  problems: readonly ObjectProblem[] = [];
  readonly #rules: ServiceRules;
  readonly #defaultInterface: string | undefined;
  readonly #memo: PlanMemo = planMemo();
  #reservations: readonly Reservation[] = [];
  #from: readonly unknown[] = [];
  #poolIndex: { readonly pools: readonly Pool[]; readonly index: readonly Indexed<Pool>[] } = { pools: [], index: [] };
  #problemsOf: readonly unknown[] = [];

  /** `isLed`: the leader answers for all addresses. */
  constructor(config: ServicesConfig, isLed: boolean) {
    this.#rules = {
      className: config.className,
      isClassLegacy: config.isClassLegacy,
      isClassOnly: config.isClassOnly,
      namespace: config.namespace,
      // Who leads is the agent's to know, and changes nothing in the plan: settle.ts.
      isSpread: true,
      isLed,
      ignoresExcludeLabel: config.ignoresExcludeLabel,
    };
    this.#defaultInterface = config.interfaceName;
  }

  plan(input: PlanningInput): Steps<Plan> {
    const { booked, services, nodes, quarantined, assignment, endpoints } = input;
    this.#reserve(input);
    const planInput: PlanInput = {
      services,
      namespaces: booked.namespaces,
      pools: booked.pools,
      reservations: this.#reservations,
      quarantined,
      rules: this.#rules,
      advertisements: booked.advertisements,
      nodes,
      endpoints,
      leader: UNKNOWN_LEADER,
      assignment,
      defaultInterface: this.#defaultInterface,
    };
    return planInSteps(planInput, this.#memo);
  }

  #reserve({ booked, vips, published, nodes }: PlanningInput): void {
    const from = [booked.services, booked.nodes, booked.pools, vips, nodes, published];
    if (isSameValues(from, this.#from)) return;
    this.#from = from;
    const subnets = new Map<string, Prefix>();
    for (const facts of published.values()) {
      for (const { prefixes } of facts.interfaces) {
        for (const prefix of prefixes) subnets.set(`${prefix.ip.text}/${prefix.length}`, prefix);
      }
    }
    const gateways = new Map(
      [...published.values()].flatMap(({ gateways: ips }) => ips.map((ip) => [ip.text, ip] as const)),
    );
    const reservations = reservationsOf({
      nodes: nodes.map(({ node }) => withInterfaces(node, published.get(node.name))),
      vips,
      gateways: [...gateways.values()],
      subnets: [...subnets.values()],
      clusterCidrs: this.#clusterIps(booked),
    });
    if (!isDeepStrictEqual(reservations, this.#reservations)) this.#reservations = reservations;
    const concerned = [booked.pools, this.#reservations];
    if (isSameValues(concerned, this.#problemsOf)) return;
    this.#problemsOf = concerned;
    this.problems = reservationProblems(booked.pools, this.#reservations);
  }

  /** The Service CIDR stands in no object that everybody may read; what was taken from it does, where a pool has it too. */
  #clusterIps({ services, pools }: BookedObjects): readonly Prefix[] {
    if (this.#poolIndex.pools !== pools) {
      const index: Indexed<Pool>[] = [];
      for (const pool of pools) addToIndex(index, pool.ranges, pool);
      this.#poolIndex = { pools, index };
    }
    const { index } = this.#poolIndex;
    return services.flatMap(({ clusterIps }) =>
      clusterIps.filter((ip) => ownerIn(index, ip) !== undefined).map((ip) => hostPrefix(ip)),
    );
  }
}

/** Not every address of a node's interfaces is in its Node. */
function withInterfaces(node: NodeObject, published: PublishedFacts | undefined): NodeObject {
  const ips = (published?.interfaces ?? []).flatMap(({ prefixes }) => prefixes.map(({ ip }) => ip));
  const all = new Map([...node.addresses, ...ips].map((ip) => [ip.text, ip]));
  return { ...node, addresses: [...all.values()] };
}

function hostPrefix(ip: Ip): Prefix {
  return { ip, length: familyBits(ip.family) };
}
