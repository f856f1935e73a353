/**
 * How it stands with one Service, step by step: whose it is, which address it has and whence, where that may be answered
 * for, who of the nodes could and why the others can't, who does and why, and what this node itself sees of that. Each
 * step says whether it is well, and what to do where it isn't. Pure.
 */

import { ERRORS, fillRemedy } from '../../base/errors.ts';
import type { Explanation, ExplanationStep } from '../../observe/explain.ts';
import { endpointsOf, type EndpointIndex } from '../../services/endpoints.ts';
import type { Allocation, Ownership, Reason, ServiceObject } from '../../services/model.ts';
import { ALLOCATED } from '../../services/status.ts';
import type { ServicesView } from './view.ts';

export interface ExplainFacts {
  readonly node: string;
  readonly view: ServicesView;
  readonly endpoints: EndpointIndex;
  readonly now: number;
}

/** Nodes told of one by one. */
const CANDIDATES_MAX = 20;

export function explainService(key: string, facts: ExplainFacts): Explanation {
  const service = facts.view.services.find((each) => each.key === key);
  const steps = service === undefined ? [missing(key, facts.view)] : stepsOf(service, facts);
  return { service: key, node: facts.node, steps };
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

function stepsOf(service: ServiceObject, facts: ExplainFacts): readonly ExplanationStep[] {
  const { plan } = facts.view;
  const foreign = plan?.foreign.find((each) => each.service.key === service.key);
  if (!service.isLoadBalancer) return [bad('class', 'it is not of type LoadBalancer any more', '')];
  if (foreign !== undefined) {
    return [bad('class', `it is none of ours: ${foreign.message}`, remedyOf(foreign, service))];
  }
  const className = service.loadBalancerClass ?? 'no class';
  const refused = plan?.refused.find((each) => each.service.key === service.key);
  const own = good('class', `it is ours (${className})`);
  const allocation = plan?.allocations.find((each) => each.service.key === service.key);
  const wishes = (refused?.reasons ?? []).map((reason) => bad('request', reason.message, remedyOf(reason, service)));
  if (service.ingress.length === 0) return [own, ...wishes, ...pendingSteps(service, facts)];
  return [own, ...wishes, ...allocationSteps(service, allocation), ...addressSteps(service, allocation, facts)];
}

/** Only the leader plans for Services without an address; elsewhere its word in the status is the answer. */
function pendingSteps(service: ServiceObject, { view }: ExplainFacts): readonly ExplanationStep[] {
  const pending = view.plan?.pending.find((each) => each.service.key === service.key);
  if (view.isLeading && pending !== undefined) {
    return pending.reasons.map((reason) => {
      const of = reason.pool === '' ? '' : `${reason.pool}: `;
      return bad('allocation', `${of}${reason.message} (${reason.code})`, remedyOf(reason, service));
    });
  }
  const said = service.conditions.find(({ type }) => type === ALLOCATED);
  if (said?.status === 'False') return [bad('allocation', said.message, `Ask the leader's node, or see ${ALLOCATED}.`)];
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
  return [
    main,
    ...allocation.shortcomings.map((reason) => bad('allocation', reason.message, remedyOf(reason, service))),
  ];
}

function addressSteps(
  service: ServiceObject,
  allocation: Allocation | undefined,
  facts: ExplainFacts,
): readonly ExplanationStep[] {
  const { total, byNode } = endpointsOf(facts.endpoints, service.key);
  const nodes = [...byNode].map(([node, count]) => `${node}: ${count}`).join(', ');
  const some = `${total} endpoints can serve${nodes === '' ? '' : ` (${nodes})`}, externalTrafficPolicy ${service.trafficPolicy}`;
  const endpoints =
    total > 0 ? good('endpoints', some) : bad('endpoints', some, 'Make the Pods ready: `kubectl get endpointslices`.');
  const addresses = (allocation?.addresses ?? []).flatMap(({ text }) => {
    const ownership = facts.view.owners.get(text);
    return ownership === undefined
      ? [unsure('owner', `${text} is not in the status yet: it is being asked for on the wire`, '')]
      : ownershipSteps(ownership, facts);
  });
  return [endpoints, ...addresses];
}

function ownershipSteps(ownership: Ownership, facts: ExplainFacts): readonly ExplanationStep[] {
  const { address, node, candidates, reasons, why } = ownership;
  const told = candidates.slice(0, CANDIDATES_MAX).map(({ node: name, isEligible, code, reason }) => ({
    isOk: isEligible,
    step: 'candidate',
    detail: `${name} ${reason}${code === '' ? '' : ` (${code})`}`,
    next: '',
  }));
  const owner =
    node === undefined
      ? reasons.map((reason) =>
          bad('owner', `nobody answers for ${address.text}: ${reason.message}`, remedyText(reason)),
        )
      : [good('owner', `${node} answers for ${address.text}: ${why ?? 'it is first in line'}`)];
  return [...told, ...owner, ...hereSteps(ownership, facts)];
}

/** What only the owner's own process sees. */
function hereSteps({ address, node }: Ownership, { node: self, view, now }: ExplainFacts): readonly ExplanationStep[] {
  if (node === undefined) return [];
  if (node !== self) {
    return [unsure('here', `this is ${self}`, `Ask on ${node} for interface, announcements and rivals.`)];
  }
  const holding = view.holdings.get(address.text);
  if (holding === undefined) {
    return [bad('here', `${address.text} is not on this node yet`, 'Look at `holdfast status`.')];
  }
  const on = holding.interfaceName ?? 'no interface';
  const last =
    holding.lastAnnouncedAt === undefined ? 'never' : `${Math.round((now - holding.lastAnnouncedAt) / 1000)} s ago`;
  const words = `${holding.phase} on ${on} for ${Math.round((now - holding.since) / 1000)} s, announced ${holding.announcements} times, last ${last}`;
  const steps = [holding.phase === 'holding' ? good('here', words) : bad('here', words, 'Look at `holdfast status`.')];
  if (holding.rival !== undefined) {
    const remedy = fillRemedy(ERRORS.ADDRESS_QUARANTINED.remedy, { mac: holding.rival });
    steps.push(bad('wire', `${holding.rival} answers for ${address.text} too`, remedy));
  }
  return steps;
}

function remedyOf({ code, context }: Pick<Reason, 'code' | 'context'>, service: ServiceObject): string {
  return fillRemedy(ERRORS[code].remedy, { object: `Service ${service.key}`, ...context });
}

function remedyText({ code, context }: Reason): string {
  return fillRemedy(ERRORS[code].remedy, context ?? {});
}

function good(step: string, detail: string): ExplanationStep {
  return { isOk: true, step, detail, next: '' };
}

function bad(step: string, detail: string, next: string): ExplanationStep {
  return { isOk: false, step, detail, next };
}

function unsure(step: string, detail: string, next: string): ExplanationStep {
  return { isOk: undefined, step, detail, next };
}
