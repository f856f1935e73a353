/** Whether these credentials may do what Holdfast does: each rule of `holdfast manifest rbac`, asked of the API one by one. */

import type { V1PolicyRule } from '@kubernetes/client-node';
import { asObject } from '../base/json.ts';
import { rbacManifests } from '../config/manifest/rbac.ts';
import type { Values } from '../config/resolve.ts';
import { derive, known, type Fact } from '../doctor/fact.ts';
import type { Right } from '../doctor/facts.ts';
import type { Api } from './api.ts';

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
/** Asked at the same time. */
const BATCH = 8;

type Wanted = Omit<Right, 'isAllowed'>;

export async function surveyRights(api: Api, values: Values): Promise<Fact<readonly Right[]>> {
  const wanted = rightsOf(values);
  const rights: Right[] = [];
  for (let start = 0; start < wanted.length; start += BATCH) {
    const answers = await Promise.all(wanted.slice(start, start + BATCH).map((right) => reviewed(api, right)));
    const [first] = answers;
    // Nobody answers, or knows no reviews: one reason says it for all.
    if (start === 0 && first?.isAllowed.isKnown === false) return first.isAllowed;
    rights.push(...answers);
  }
  return known(rights);
}

/** The generated Role and ClusterRole, rule by rule. */
export function rightsOf(values: Values): readonly Wanted[] {
  const found = new Map<string, Wanted>();
  for (const document of rbacManifests(values, { name: 'holdfast', isRoleOnly: false, isBoundInNamespace: false })) {
    const rules = 'rules' in document ? (document.rules ?? []) : [];
    const namespace = document.kind === 'Role' ? (document.metadata?.namespace ?? '') : '';
    for (const rule of rules) {
      for (const right of rightsOfRule(rule)) {
        found.set(JSON.stringify({ ...right, namespace }), { ...right, namespace });
      }
    }
  }
  return [...found.values()];
}

function rightsOfRule(rule: V1PolicyRule): readonly Omit<Wanted, 'namespace'>[] {
  const { apiGroups = [], resources = [], resourceNames = [''], verbs } = rule;
  const named = resourceNames.flatMap((name) => verbs.map((verb) => ({ name, verb })));
  const kinds = apiGroups.flatMap((group) => resources.map((resource) => ({ group, resource })));
  return kinds.flatMap((kind) => named.map((each) => ({ ...kind, ...each })));
}

async function reviewed(api: Api, right: Wanted): Promise<Right> {
  const [resource = '', subresource = ''] = right.resource.split('/');
  const { verb, group, name, namespace } = right;
  const review = await api.review(REVIEWS, {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb, group, resource, subresource, name, namespace } },
  });
  return { ...right, isAllowed: derive(review, (body) => asObject(body['status'])?.['allowed'] === true) };
}
