import { describe, expect, it } from 'vitest';
import { attributesOf, type RequestLine } from '../../../src/kube/request-attributes.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

describe('attributesOf', () => {
  it.each<[RequestLine, string]>([
    [{ method: 'GET', path: LEASES }, 'list leases kube-system'],
    [{ method: 'GET', path: LEASES, query: { limit: 250 } }, 'list leases kube-system'],
    [{ method: 'GET', path: LEASES, query: { watch: 1 } }, 'watch leases kube-system'],
    [{ method: 'GET', path: LEASES, query: { watch: false } }, 'list leases kube-system'],
    [{ method: 'GET', path: `${LEASES}/plndr-cp-lock` }, 'get leases kube-system'],
    [{ method: 'POST', path: LEASES }, 'create leases kube-system'],
    [{ method: 'PUT', path: `${LEASES}/plndr-cp-lock` }, 'update leases kube-system'],
    [{ method: 'PATCH', path: '/api/v1/nodes/n1' }, 'patch nodes '],
    [{ method: 'DELETE', path: '/api/v1/namespaces/default/events/x' }, 'delete events default'],
    [{ method: 'PATCH', path: '/api/v1/namespaces/default/services/web/status' }, 'patch services/status default'],
    [{ method: 'GET', path: '/api/v1/namespaces' }, 'list namespaces '],
    [{ method: 'GET', path: '/api/v1/namespaces/kube-system' }, 'get namespaces '],
    [{ method: 'GET', path: '/apis/coordination.k8s.io/v1' }, 'get other '],
    [{ method: 'GET', path: '/readyz' }, 'get other '],
    [{ method: 'GET', path: '/' }, 'get other '],
    [{ method: 'GET', path: '' }, 'get other '],
  ])('of %j', (request, expected) => {
    const { verb, resource, namespace } = attributesOf(request);
    expect(`${verb} ${resource} ${namespace}`).toBe(expected);
  });
});
