import { expect, it } from 'vitest';

import { EVERY_SERVICE, type LabelSelector, type ServiceScope } from '../../../src/services/model.ts';
import { scopeRefusal, selectsService } from '../../../src/services/scope.ts';
import { decodeSelector } from '../../../src/services/selector.ts';

function selector(raw: unknown): LabelSelector {
  const decoded = decodeSelector(raw);
  if (!decoded.ok) throw new Error(decoded.detail);
  return decoded.value;
}

const labelled = (labels: Record<string, string>) => selector({ matchLabels: labels });
const scope = (parts: Partial<ServiceScope>): ServiceScope => ({ ...EVERY_SERVICE, ...parts });
const web = { namespace: 'shop', name: 'web', labels: { app: 'web' } };
const shop = { 'kubernetes.io/metadata.name': 'shop', env: 'prod' };

it.each([
  ['nothing is asked', {}, undefined],
  ['its namespace is named', { namespaces: ['a', 'shop'] }, undefined],
  ['other namespaces are named', { namespaces: ['a'] }, 'namespace'],
  ['no namespace is named', { namespaces: [] }, 'namespace'],
  ['its namespace is excepted', { exceptNamespaces: ['shop'] }, 'namespace'],
  ['its namespace is named and excepted', { namespaces: ['shop'], exceptNamespaces: ['shop'] }, 'namespace'],
  ['other namespaces are excepted', { exceptNamespaces: ['a'] }, undefined],
  ['its namespace has the labels', { namespaceSelectors: [labelled({ env: 'prod' })] }, undefined],
  ['its namespace has other labels', { namespaceSelectors: [labelled({ env: 'test' })] }, 'namespace'],
  ['one of two selectors fits', { namespaceSelectors: [labelled({ env: 'x' }), labelled({ env: 'prod' })] }, undefined],
  ['it is named, not selected', { namespaces: ['shop'], namespaceSelectors: [labelled({ env: 'x' })] }, undefined],
  ['it is selected, not named', { namespaces: ['a'], namespaceSelectors: [labelled({ env: 'prod' })] }, undefined],
  ['it is neither', { namespaces: ['a'], namespaceSelectors: [labelled({ env: 'x' })] }, 'namespace'],
  ['it has the labels', { serviceSelectors: [labelled({ app: 'web' })] }, undefined],
  [
    'one of two service selectors fits',
    { serviceSelectors: [labelled({ app: 'x' }), labelled({ app: 'web' })] },
    undefined,
  ],
  ['it has other labels', { serviceSelectors: [labelled({ app: 'x' })] }, 'selector'],
  ['only the namespace fits', { namespaces: ['shop'], serviceSelectors: [labelled({ app: 'x' })] }, 'selector'],
  ['only the labels fit', { namespaces: ['a'], serviceSelectors: [labelled({ app: 'web' })] }, 'namespace'],
] as const)('when %s', (_, parts, refusal) => {
  expect(scopeRefusal(scope(parts), web, shop)).toBe(refusal);
});

it('the pseudo labels of Cilium stand for namespace and name, and win over labels of that name', () => {
  const inShop = labelled({ 'io.kubernetes.service.namespace': 'shop' });
  const isWeb = labelled({ 'io.kubernetes.service.name': 'web', app: 'web' });
  const disguised = { ...web, name: 'other', labels: { app: 'web', 'io.kubernetes.service.name': 'web' } };
  expect(scopeRefusal(scope({ serviceSelectors: [inShop] }), web, shop)).toBeUndefined();
  expect(scopeRefusal(scope({ serviceSelectors: [isWeb] }), web, shop)).toBeUndefined();
  expect(scopeRefusal(scope({ serviceSelectors: [isWeb] }), disguised, shop)).toBe('selector');
  const elsewhere = selector({
    matchExpressions: [{ key: 'io.kubernetes.service.namespace', operator: 'NotIn', values: ['shop'] }],
  });
  expect(selectsService([elsewhere], web)).toBe(false);
  expect(selectsService([], web)).toBe(true);
});

it('of a namespace that is not known, only the name is: nothing is concluded from labels it seems to lack', () => {
  const only = (raw: unknown) => scopeRefusal(scope({ namespaceSelectors: [selector(raw)] }), web, undefined);
  expect(only({ matchLabels: { 'kubernetes.io/metadata.name': 'shop' } })).toBeUndefined();
  expect(only({ matchLabels: { 'kubernetes.io/metadata.name': 'a' } })).toBe('namespace');
  expect(only({ matchLabels: { env: 'prod' } })).toBe('namespace');
  expect(only({ matchExpressions: [{ key: 'env', operator: 'NotIn', values: ['test'] }] })).toBe('namespace');
  expect(only({ matchExpressions: [{ key: 'env', operator: 'DoesNotExist' }] })).toBe('namespace');
  const notA = { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['a'] };
  expect(only({ matchExpressions: [notA] })).toBeUndefined();
  expect(only({})).toBeUndefined();
});
