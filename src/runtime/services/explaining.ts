/**
 * How it stands with one Service, step by step: whose it is, which address it has and whence, where that may be answered
 * for, who of the nodes could and why the others can't, who does and why, what that one holds and has announced, who
 * answers on the wire, and where it goes from there. Each step says whether it is well, and what to do where it isn't. Pure.
 */

import { ERRORS, fillRemedy } from '../../base/errors.ts';
import type { ExplanationStep } from '../../observe/explain.ts';
import { countByNode, endpointsOf, type EndpointIndex } from '../../services/endpoints.ts';
import type { Allocation, Ownership, Reason, ServiceObject } from '../../services/model.ts';
import { ALLOCATED, codeOfReason } from '../../services/status.ts';
import { bad, good, unsure, wrong } from '../explanation-steps.ts';
import { holdingSteps, kubeProxySaid, wireSteps } from '../explaining-wire.ts';
import type { Testimony } from '../testimony.ts';
import type { ServicesView } from './view.ts';

export interface ExplainFacts {
  readonly view: ServicesView;
  readonly endpoints: EndpointIndex;
  /** As each node published it; undefined: it can't be seen there, or nothing is known of the node. */
  readonly isKubeProxyHealthy: (node: string) => boolean | undefined;
}

/** By address. One that isn't in it was not asked about. */
export type Testimonies = ReadonlyMap<string, Testimony>;

/** Nodes told of one by one. */
const CANDIDATES_MAX = 20;
const NODES_MAX = 10;

/** The addresses of the Service that somebody may answer for, with who does. */
export function ownershipsOf(key: string, { view }: ExplainFacts): readonly Ownership[] {
  const allocation = view.plan?.allocations.find((each) => each.service.key === key);
  return (allocation?.addresses ?? []).flatMap(({ text }) => view.owners.get(text) ?? []);
}

export function serviceSteps(key: string, facts: ExplainFacts, said: Testimonies): readonly ExplanationStep[] {
  const service = facts.view.services.find((each) => each.key === key);
  return service === undefined ? [missing(key, facts.view)] : stepsOf(service, facts, said);
}

function missing(key: string, { isSynced }: ServicesView): ExplanationStep {
  if (!isSynced) {
    return unsure('service', 'the objects have not been read yet', 'Look at `holdfast status`: api, problems.');
  }
  return bad(
    'service',
    `there is no Service ${key} of type LoadBalancer`,
    'Check namespace and name: `kubectl get service -A`.',
  );
}

function stepsOf(service: ServiceObject, facts: ExplainFacts, said: Testimonies): readonly ExplanationStep[] {
  const { plan } = facts.view;
  const foreign = plan?.foreign.find((each) => each.service.key === service.key);
  if (!service.isLoadBalancer) return [bad('class', 'it is not of type LoadBalancer any more', '')];
  if (foreign !== undefined) return [wrongFor(service, 'class', `it is none of ours: ${foreign.message}`, foreign)];
  const className = service.loadBalancerClass ?? 'no class';
  const refused = plan?.refused.find((each) => each.service.key === service.key);
  const own = good('class', `it is ours (${className})`);
  const allocation = plan?.allocations.find((each) => each.service.key === service.key);
  const wishes = (refused?.reasons ?? []).map((reason) => wrongFor(service, 'request', reason.message, reason));
  if (service.ingress.length === 0) return [own, ...wishes, ...pendingSteps(service, facts)];
  return [own, ...wishes, ...allocationSteps(service, allocation), ...addressSteps(service, allocation, facts, said)];
}

/** Only the leader plans for Services without an address; elsewhere its word in the status is the answer. */
function pendingSteps(service: ServiceObject, { view }: ExplainFacts): readonly ExplanationStep[] {
  const pending = view.plan?.pending.find((each) => each.service.key === service.key);
  if (view.isLeading && pending !== undefined) {
    return pending.reasons.map((reason) => {
      const of = reason.pool === '' ? '' : `${reason.pool}: `;
      return wrongFor(service, 'allocation', `${of}${reason.message} (${reason.code})`, reason);
    });
  }
  const condition = service.conditions.find(({ type }) => type === ALLOCATED);
  if (condition?.status === 'False') {
    const code = codeOfReason(condition.reason);
    // A remedy that names things needs more than the condition says.
    const isWhole = code !== undefined && !ERRORS[code].remedy.includes('{');
    if (isWhole) return [wrong('allocation', condition.message, code)];
    return [bad('allocation', condition.message, `Ask the leader's node, or see ${ALLOCATED}.`)];
  }
  return [
    unsure(
      'allocation',
      'it has no address yet',
      'The leader gives one within a second or two: ask again, on its node.',
    ),
  ];
}

function allocationSteps(service: ServiceObject, allocation: Allocation | undefined): readonly ExplanationStep[] {
  const texts = service.ingress.map(({ text }) => text).join(', ');
  if (allocation === undefined) {
    return [unsure('allocation', `its status has ${texts}, which is not planned for yet`, '')];
  }
  const pool = allocation.pool === '' ? 'no pool' : `pool ${allocation.pool}`;
  const main = good('allocation', `${texts} of ${pool}`);
  return [main, ...allocation.shortcomings.map((reason) => wrongFor(service, 'allocation', reason.message, reason))];
}

function addressSteps(
  service: ServiceObject,
  allocation: Allocation | undefined,
  facts: ExplainFacts,
  said: Testimonies,
): readonly ExplanationStep[] {
  const count = endpointsOf(facts.endpoints, service.key);
  const policy = `externalTrafficPolicy ${service.trafficPolicy}`;
  const endpoints =
    count.total > 0
      ? good('endpoints', `can serve on ${nodesOf(countByNode(count))}, ${policy}`)
      : bad('endpoints', `none can serve, ${policy}`, 'Make the Pods ready: `kubectl get endpointslices`.');
  const addresses = (allocation?.addresses ?? []).flatMap(({ text }) => {
    const ownership = facts.view.owners.get(text);
    return ownership === undefined
      ? [unsure('owner', `${text} is not in the status yet: it is being asked for on the wire`, '')]
      : [...ownershipSteps(ownership), ...onTheWire(service, ownership, facts, said.get(text))];
  });
  return [endpoints, ...addresses];
}

function ownershipSteps({ address, node, candidates, reasons, why }: Ownership): readonly ExplanationStep[] {
  const told = candidates.slice(0, CANDIDATES_MAX).map(({ node: name, isEligible, code, reason }) => ({
    isOk: isEligible,
    step: 'candidate',
    detail: `${name} ${reason}${code === '' ? '' : ` (${code})`}`,
    code,
    next: '',
  }));
  const owner =
    node === undefined
      ? reasons.map((reason) =>
          wrong('owner', `nobody answers for ${address.text}: ${reason.message}`, reason.code, reason.context ?? {}),
        )
      : [good('owner', `${node} answers for ${address.text}: ${why ?? 'it is first in line'}`)];
  return [...told, ...owner];
}

/** From the owner's interface to a Pod. */
function onTheWire(
  service: ServiceObject,
  { address, node }: Ownership,
  facts: ExplainFacts,
  testimony: Testimony | undefined,
): readonly ExplanationStep[] {
  if (testimony === undefined) {
    return [unsure('wire', `nobody was asked about ${address.text}: too much is asked for at once`, 'Ask again.')];
  }
  const seen = [...holdingSteps(testimony), ...wireSteps(testimony)];
  if (node === undefined) return seen;
  const isHealthy = kubeProxySaid(testimony) ?? facts.isKubeProxyHealthy(node);
  return [...seen, kubeProxyStep(node, isHealthy), ...backendSteps(service, node, facts)];
}

function kubeProxyStep(node: string, isHealthy: boolean | undefined): ExplanationStep {
  if (isHealthy === true) return good('kube-proxy', `it is well on ${node}`);
  if (isHealthy === false) return wrong('kube-proxy', `it is not well on ${node}`, 'NODE_KUBE_PROXY');
  const next = `Where there is one, look at it on ${node}: \`curl http://127.0.0.1:10256/healthz\`.`;
  return unsure('kube-proxy', `none is seen on ${node}: nothing answers on port 10256`, next);
}

/** Which endpoints traffic reaches from the owner; that there are none at all has been said. */
function backendSteps(service: ServiceObject, node: string, { endpoints }: ExplainFacts): readonly ExplanationStep[] {
  const count = endpointsOf(endpoints, service.key);
  if (count.total === 0) return [];
  const byNode = countByNode(count);
  if (byNode.has(node)) return [good('backend', `on ${node} itself there are endpoints`)];
  if (service.trafficPolicy === 'Local') {
    return [wrong('backend', `no endpoint on ${node}, and traffic stays there`, 'NO_LOCAL_ENDPOINT')];
  }
  return [good('backend', `none on ${node} itself: kube-proxy there sends on to ${nodesOf(byNode)}`)];
}

/** Not how many: only whether a node has some is kept of them (kube/object-pruning.ts). */
function nodesOf(byNode: ReadonlyMap<string, number>): string {
  const names = [...byNode.keys()].sort();
  const rest = names.length > NODES_MAX ? ` and ${names.length - NODES_MAX} more nodes` : '';
  return names.length === 0 ? 'no node that is named' : `${names.slice(0, NODES_MAX).join(', ')}${rest}`;
}

function wrongFor(
  service: ServiceObject,
  step: string,
  detail: string,
  { code, context }: Pick<Reason, 'code' | 'context'>,
): ExplanationStep {
  const next = fillRemedy(ERRORS[code].remedy, { object: `Service ${service.key}`, ...context });
  return { isOk: false, step, detail, code, next };
}
