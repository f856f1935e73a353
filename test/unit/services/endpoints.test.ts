import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  countByNode,
  endpointsOf,
  indexEndpoints,
  replaceSlice,
  replaceSlices,
  type EndpointIndex,
} from '../../../src/services/endpoints.ts';
import type { EndpointSliceObject } from '../../../src/services/model.ts';
import { decodeEndpointSlice } from '../../../src/services/objects/endpoint-slice.ts';
import { ENDPOINTS } from '../../vectors/owner/metallb-l2.ts';
import { slice } from './owner-facts.ts';

const countOf = (index: EndpointIndex, service: string): unknown => {
  const count = endpointsOf(index, service);
  return { total: count.total, ...Object.fromEntries(countByNode(count)) };
};

describe('endpoints that can serve', () => {
  it('are those that MetalLB counts: ready (or not said) or serving', () => {
    let checked = 0;
    for (const { conditions, counts } of ENDPOINTS) {
      const { value } = decodeEndpointSlice({
        metadata: { namespace: 'ns', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.244.0.1'], conditions, nodeName: 'n1' }],
      });
      const index = indexEndpoints(value === undefined ? [] : [value]);
      expect(endpointsOf(index, 'ns/web').total, JSON.stringify(conditions)).toBe(counts ? 1 : 0);
      checked += 1;
    }
    expect(checked).toBe(5);
  });

  it('are counted over all slices of a Service together, of both families', () => {
    const index = indexEndpoints([
      slice('ns/web', ['n1', 'n1', 'n2!'], 'ns/web-1'),
      { ...slice('ns/web', ['n3', '?'], 'ns/web-2'), family: 'ipv6' },
      slice('ns/other', ['n9'], 'ns/other-1'),
    ]);
    expect(countOf(index, 'ns/web')).toEqual({ total: 4, n1: 2, n3: 1 });
    expect(countOf(index, 'ns/none')).toEqual({ total: 0 });
  });

  it('are counted once when a slice comes twice', () => {
    expect(countOf(indexEndpoints([slice('ns/web', ['n1', 'n2']), slice('ns/web', ['n1'])]), 'ns/web')).toEqual({
      total: 1,
      n1: 1,
    });
  });

  it('follow one slice at a time: it comes, changes, goes to another Service, and goes', () => {
    const none = indexEndpoints([]);
    const come = replaceSlice(none, 's', slice('ns/a', ['n1'], 's'));
    const changed = replaceSlice(come, 's', slice('ns/a', ['n2', 'n2'], 's'));
    const other = replaceSlice(changed, 's', slice('ns/b', ['n2'], 's'));
    const gone = replaceSlice(other, 's', undefined);
    expect([none, come, changed, other, gone].map((index) => [countOf(index, 'ns/a'), countOf(index, 'ns/b')])).toEqual(
      [
        [{ total: 0 }, { total: 0 }],
        [{ total: 1, n1: 1 }, { total: 0 }],
        [{ total: 2, n2: 2 }, { total: 0 }],
        [{ total: 0 }, { total: 1, n2: 1 }],
        [{ total: 0 }, { total: 0 }],
      ],
    );
    expect(gone.services.size).toBe(0);
  });

  it('share what did not change with the former index', () => {
    const before = indexEndpoints([slice('ns/a', ['n1']), slice('ns/b', ['n2'])]);
    const after = replaceSlice(before, 'ns/a-1', slice('ns/a', ['n3']));
    expect(after.services.get('ns/b')).toBe(before.services.get('ns/b'));
    expect(countOf(before, 'ns/a')).toEqual({ total: 1, n1: 1 });
  });

  it('come out the same step by step and all at once', () => {
    const given = fc.record({
      key: fc.constantFrom('s1', 's2', 's3'),
      service: fc.constantFrom('ns/a', 'ns/b'),
      nodes: fc.option(fc.array(fc.constantFrom('n1', 'n2', 'n1!', '?'), { maxLength: 4 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(given, { maxLength: 12 }), (steps) => {
        const changes = steps.map(
          ({ key, service, nodes }) => [key, nodes === undefined ? undefined : slice(service, nodes, key)] as const,
        );
        const left = new Map<string, EndpointSliceObject>();
        for (const [key, each] of changes) {
          if (each === undefined) left.delete(key);
          else left.set(key, each);
        }
        const expected = indexEndpoints(left.values());
        const stepwise = changes.reduce((index, [key, each]) => replaceSlice(index, key, each), indexEndpoints([]));
        for (const index of [stepwise, replaceSlices(indexEndpoints([]), changes)]) {
          for (const of of ['ns/a', 'ns/b']) expect(countOf(index, of)).toEqual(countOf(expected, of));
          expect([...index.services.keys()].toSorted()).toEqual([...expected.services.keys()].toSorted());
          expect([...index.slices.keys()].toSorted()).toEqual([...expected.slices.keys()].toSorted());
        }
      }),
    );
  });
});
