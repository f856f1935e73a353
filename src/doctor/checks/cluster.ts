/** The cluster as the API shows it: Nodes, elections, rights, clocks. */

import { asObject, asText, asTextMap } from '../../base/json.ts';
import { electionLease } from '../../config/election-lease.ts';
import { rangeContains } from '../../services/address-range.ts';
import { unknownOf } from '../fact.ts';
import type { Right } from '../facts.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { kubeVipLeases } from './controllers.ts';
import { ingressOf, isOn, setting, type Subject } from '../subject.ts';

const EXCLUDED_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';
/** kube/members.ts. */
const MEMBER_LABEL = 'holdfast.io/member-of';
/** Certificates and tokens are checked to the second, and API servers allow some. */
const SKEW_MAX_MS = 2000;
const SHOWN_MAX = 8;

export function checkApi({ facts }: Subject): readonly Finding[] {
  const code = 'API_UNREACHABLE';
  const { api } = facts.cluster;
  return api.isKnown ? [fine(code, `${api.value} answers`)] : [unsure(code, api)];
}

/** An address that moves, taken for a node's own: by the kubelet, or by a network plugin that asked for "the first one". */
export function checkNodeAddresses({ facts, vips, nodes, services, pools }: Subject): readonly Finding[] {
  const code = 'NODE_ADDRESS_IS_VIP';
  const pooled = services.isKnown
    ? ingressOf(services.value).filter((ip) =>
        pools.pools.some(({ ranges }) => ranges.some((range) => rangeContains(range, ip))),
      )
    : [];
  const moving = new Map([
    ...pooled.map(({ text }) => [text, 'the address of a Service'] as const),
    ...vips.ips.map(({ text }) => [text, 'a virtual IP'] as const),
  ]);
  if (!nodes.isKnown) return [unsure(code, nodes)];
  const wrong = nodes.value.flatMap(({ name, addresses }) =>
    addresses.flatMap(({ text }) => {
      const what = moving.get(text);
      return what === undefined
        ? []
        : [failing(code, `status.addresses of node ${name} has ${text}, ${what}`, { node: name })];
    }),
  );
  const fineText = `none of ${moving.size} moving addresses is among those of ${nodes.value.length} nodes`;
  const isAllKnown = vips.ips.length > 0 || facts.settings.isGiven;
  return conclude(code, {
    wrong,
    unknown: [
      ...unknownOf(services),
      ...pools.unread,
      ...(isAllKnown ? [] : unknownOf({ isKnown: false, why: 'no virtual IP is known', remedy: 'Set address.' })),
    ],
    fine: fineText,
  });
}

export function checkExclusion({ facts, nodes, isServing }: Subject): readonly Finding[] {
  const code = 'NODES_ALL_EXCLUDED';
  if (!isServing) return [fine(code, 'svc_enable is off')];
  if (isOn(facts, 'svc_ignore_exclude_label')) return [fine(code, 'svc_ignore_exclude_label is on')];
  if (!nodes.isKnown) return [unsure(code, nodes)];
  const excluded = nodes.value.filter(({ labels }) => labels[EXCLUDED_LABEL] !== undefined).map(({ name }) => name);
  const shown = excluded.slice(0, SHOWN_MAX).join(', ');
  const isAll = nodes.value.length > 0 && excluded.length === nodes.value.length;
  return conclude(code, {
    wrong: isAll ? [failing(code, `all ${excluded.length} nodes have the label: ${shown}`)] : [],
    unknown: [],
    fine: `${excluded.length} of ${nodes.value.length} nodes have the label${shown === '' ? '' : ` (${shown})`}`,
  });
}

/** Members say which Lease they are elected on. */
export function checkLeases(subject: Subject): readonly Finding[] {
  const { facts } = subject;
  const code = 'LEASES_DIFFER';
  const { leases } = facts.cluster;
  if (!leases.isKnown) return [unsure(code, leases)];
  const members = new Map<string, string[]>();
  for (const raw of leases.value) {
    const metadata = asObject(raw['metadata']);
    const election = asTextMap(metadata?.['labels'])[MEMBER_LABEL];
    const holder = asText(asObject(raw['spec'])?.['holderIdentity']) ?? asText(metadata?.['name']) ?? '?';
    if (election === undefined) continue;
    const key = `${asText(metadata?.['namespace']) ?? ''}/${election}`;
    members.set(key, [...(members.get(key) ?? []), holder]);
  }
  const { namespace = setting(facts, 'cp_namespace'), name } = electionLease(facts.settings.parsed.values);
  const own = `${namespace}/${name}`;
  if (facts.settings.isGiven && members.size > 0 && !members.has(own)) {
    members.set(own, [`${setting(facts, 'vip_nodename')} (by its settings)`]);
  }
  const texts = [...members].map(([lease, names]) => `${lease}: ${names.slice(0, SHOWN_MAX).join(', ')}`);
  const beside = subject.isControlPlane ? kubeVipLeases(subject) : { wrong: [], unknown: [] };
  const evidence = `candidates are elected on ${members.size} Leases: ${texts.join('; ')}`;
  return conclude(code, {
    wrong: [...(members.size > 1 ? [warning(code, evidence, { lease: [...members.keys()][0] })] : []), ...beside.wrong],
    unknown: beside.unknown,
    fine: members.size === 0 ? 'no candidate has registered yet' : `all candidates are elected on ${texts.join('')}`,
  });
}

/** One finding for each resource that is refused, with all verbs of it. */
export function checkRights({ facts }: Subject): readonly Finding[] {
  const code = 'API_FORBIDDEN';
  const { rights } = facts.cluster;
  if (!rights.isKnown) return [unsure(code, rights)];
  const refused = rights.value.filter(({ isAllowed }) => isAllowed.isKnown && !isAllowed.value);
  const groups = Map.groupBy(
    refused,
    ({ group, resource, name, namespace }) => `${group}/${resource}/${name}/${namespace}`,
  );
  const wrong = [...groups.values()].flatMap(([right, ...others]): readonly Finding[] => {
    if (right === undefined) return [];
    const verb = [right, ...others].map((each) => each.verb).join(', ');
    const resource = resourceText(right);
    const namespace = right.namespace === '' ? 'the cluster' : `namespace ${right.namespace}`;
    const evidence = `these credentials may not ${verb} ${resource} in ${namespace}`;
    const context = { verb, resource, namespace };
    // Custom resources matter where they are used.
    const isCustom = right.group.endsWith('metallb.io') || right.group.endsWith('cilium.io');
    return [isCustom ? warning(code, evidence, context) : failing(code, evidence, context)];
  });
  return conclude(code, {
    wrong,
    unknown: unknownOf(...rights.value.map(({ isAllowed }) => isAllowed)),
    fine: `all ${rights.value.length} things Holdfast does at the API are allowed`,
  });
}

function resourceText({ group, resource, name }: Right): string {
  return `${group === '' ? resource : `${resource}.${group}`}${name === '' ? '' : `/${name}`}`;
}

export function checkClock({ facts }: Subject): readonly Finding[] {
  const code = 'CLOCK_SKEW';
  const { clock } = facts.cluster;
  if (!clock.isKnown) return [unsure(code, clock)];
  const { offsetMs, toleranceMs, endpoint } = clock.value;
  const direction = offsetMs > 0 ? 'ahead of' : 'behind';
  const evidence = `this node's clock is ${(Math.abs(offsetMs) / 1000).toFixed(1)} s ${direction} that of ${endpoint}`;
  const isWrong = Math.abs(offsetMs) > SKEW_MAX_MS + toleranceMs;
  return conclude(code, {
    wrong: isWrong ? [warning(code, evidence)] : [],
    unknown: [],
    fine: `this node's clock is within ${((SKEW_MAX_MS + toleranceMs) / 1000).toFixed(1)} s of that of ${endpoint}`,
  });
}
