/** Whether a pool, or an advertisement, is for a Service: by its namespace and by labels. See ServiceScope. */

import { labelOf, matchesLookup, matchesSelector } from './selector.ts';
import type { LabelSelector, Labels, ServiceScope } from './model.ts';

/** What of a Service is looked at. */
export interface ScopedService {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
}

/** The label that every Namespace has, set by the API server. */
export const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/**
 * Which part of the scope the Service doesn't fit; undefined: it fits. `namespaceLabels` undefined: the Namespace isn't
 * known (yet). Then only its name is, and nothing may be concluded from labels it seems not to have.
 */
export function scopeRefusal(
  scope: ServiceScope,
  service: ScopedService,
  namespaceLabels: Labels | undefined,
): 'namespace' | 'selector' | undefined {
  if (scope.exceptNamespaces.includes(service.namespace)) return 'namespace';
  if (!fitsNamespace(scope, service.namespace, namespaceLabels)) return 'namespace';
  return selectsService(scope.serviceSelectors, service) ? undefined : 'selector';
}

/** Whether one of the selectors matches, or there is none. Cilium's pseudo labels are understood. */
export function selectsService(selectors: readonly LabelSelector[], service: ScopedService): boolean {
  if (selectors.length === 0) return true;
  const lookup = (key: string): string | undefined => {
    if (key === 'io.kubernetes.service.namespace') return service.namespace;
    if (key === 'io.kubernetes.service.name') return service.name;
    return labelOf(service.labels, key);
  };
  return selectors.some((selector) => matchesLookup(selector, lookup));
}

function fitsNamespace(scope: ServiceScope, namespace: string, labels: Labels | undefined): boolean {
  const { namespaces, namespaceSelectors } = scope;
  if (namespaces === undefined && namespaceSelectors.length === 0) return true;
  if (namespaces?.includes(namespace) === true) return true;
  if (labels !== undefined) return namespaceSelectors.some((selector) => matchesSelector(selector, labels));
  const known = { [NAMESPACE_NAME_LABEL]: namespace };
  return namespaceSelectors.some((selector) => !needsAbsence(selector) && matchesSelector(selector, known));
}

/** Whether the selector asks for a label to be absent, or other than something, besides the one that is known. */
function needsAbsence({ matchExpressions }: LabelSelector): boolean {
  return matchExpressions.some(
    ({ key, operator }) => key !== NAMESPACE_NAME_LABEL && (operator === 'NotIn' || operator === 'DoesNotExist'),
  );
}
