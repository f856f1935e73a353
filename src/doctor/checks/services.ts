/** Services that wait for an address, or for a node that answers for theirs: what is said of each, by whoever says it. */

import type { ErrorCode } from '../../base/errors.ts';
import type { ServiceObject } from '../../services/model.ts';
import { ALLOCATED, ANNOUNCED } from '../../services/status.ts';
import { conclude, fine, unsure, warning, type Finding } from '../finding.ts';
import { setting, type Subject } from '../subject.ts';

/** Told of one code; how many more there are is said with the last. */
const TOLD_MAX = 8;

export function checkServicesPending(subject: Subject): readonly Finding[] {
  const code = 'SERVICE_PENDING';
  const { services, isServing } = subject;
  if (!services.isKnown) return [unsure(code, services)];
  const balanced = balancedOf(services.value);
  const pending = balanced.filter(({ ingress, hasForeignIngress }) => ingress.length === 0 && !hasForeignIngress);
  if (!isServing) {
    return [fine(code, `svc_enable is off: ${pending.length} Services without an address are left to others`)];
  }
  return conclude(code, {
    wrong: told(code, pending, (service) => `has no address: ${pendingText(service, subject)}`),
    unknown: [],
    fine: `all ${balanced.length} Services of type LoadBalancer have an address`,
  });
}

export function checkServicesSilent({ services, isServing }: Subject): readonly Finding[] {
  const code = 'SERVICE_SILENT';
  if (!services.isKnown) return [unsure(code, services)];
  if (!isServing) return [fine(code, 'svc_enable is off: no Service is answered for by Holdfast')];
  const served = balancedOf(services.value).filter(({ ingress }) => ingress.length > 0);
  const silent = served.filter((service) => conditionOf(service, ANNOUNCED)?.status === 'False');
  return conclude(code, {
    wrong: told(code, silent, (service) => lineOf(conditionOf(service, ANNOUNCED)?.message ?? '')),
    unknown: [],
    fine: `no Service says that nobody answers for it (${served.length} have an address)`,
  });
}

function balancedOf(services: readonly ServiceObject[]): readonly ServiceObject[] {
  return services.filter(({ isLoadBalancer, isBeingDeleted }) => isLoadBalancer && !isBeingDeleted);
}

function told(
  code: ErrorCode,
  services: readonly ServiceObject[],
  text: (service: ServiceObject) => string,
): readonly Finding[] {
  return services.slice(0, TOLD_MAX).map((service, index) => {
    const isLast = index === TOLD_MAX - 1 && services.length > TOLD_MAX;
    const more = isLast ? ` (and ${services.length - TOLD_MAX} more Services)` : '';
    return warning(code, `${service.key}: ${text(service)}${more}`, { service: service.key });
  });
}

function pendingText(service: ServiceObject, { facts }: Subject): string {
  const said = conditionOf(service, ALLOCATED);
  if (said !== undefined) return lineOf(said.message);
  const { loadBalancerClass } = service;
  const own = setting(facts, 'lb_class_name');
  if (loadBalancerClass !== undefined && loadBalancerClass !== own) {
    return `its class is ${loadBalancerClass}, and Holdfast serves ${own === '' ? 'those without one' : own}`;
  }
  return 'nobody has said why, so that no Holdfast with svc_enable leads in this cluster, or it leaves this Service alone';
}

function conditionOf(service: ServiceObject, type: string): ServiceObject['conditions'][number] | undefined {
  return service.conditions.find((condition) => condition.type === type);
}

function lineOf(message: string): string {
  return message.split('\n').join(' ');
}
