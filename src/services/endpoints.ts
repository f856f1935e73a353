/**
 * How many endpoints can serve a Service, and on which nodes: all its EndpointSlices together (kube-vip looks at the last
 * one only), of both families (as MetalLB does): a Pod of a dual-stack Service is in two slices and counts twice, so the
 * number says "some" or "none", and no more.
 *
 * An index is a value: `replaceSlices` gives the next one and shares with it what didn't change. It holds what it was given
 * and has no limit of its own: slices come from the API, at most 1,000 endpoints each.
 */

import { exactList } from '../base/lists.ts';
import { eachInSteps, finish, type Steps } from '../base/steps.ts';
import type { EndpointSliceObject } from './model.ts';

export interface EndpointCount {
  readonly total: number;
  readonly slices: readonly EndpointSliceObject[];
}

export interface EndpointIndex {
  /** By the slice's key. */
  readonly slices: ReadonlyMap<string, EndpointSliceObject>;
  /** By the Service's key: its slices, at least one. */
  readonly services: ReadonlyMap<string, EndpointCount>;
}

const NONE: EndpointCount = Object.freeze({ total: 0, slices: [] });

/** Of slices with the same key the last one counts. */
export function indexEndpoints(slices: Iterable<EndpointSliceObject>): EndpointIndex {
  const byKey = new Map<string, EndpointSliceObject>();
  for (const slice of slices) byKey.set(slice.key, slice);
  const byService = Map.groupBy(byKey.values(), ({ service }) => service);
  const services = new Map<string, EndpointCount>();
  for (const [service, own] of byService) services.set(service, countSlices(own));
  return { slices: byKey, services };
}

/** The index after one slice came, changed or (undefined) went. */
export function replaceSlice(index: EndpointIndex, key: string, slice: EndpointSliceObject | undefined): EndpointIndex {
  return replaceSlices(index, [[key, slice]]);
}

/** As replaceSlice, for many at once: the index is copied once, and only the Services concerned are counted again. */
export function replaceSlices(index: EndpointIndex, changes: readonly SliceChange[]): EndpointIndex {
  return finish(replaceSlicesInSteps(index, changes));
}

type SliceChange = readonly [key: string, slice: EndpointSliceObject | undefined];

export function* replaceSlicesInSteps(index: EndpointIndex, changes: readonly SliceChange[]): Steps<EndpointIndex> {
  const slices = new Map(index.slices);
  const concerned = new Map<string, Map<string, EndpointSliceObject>>();
  const slicesOf = (service: string): Map<string, EndpointSliceObject> => {
    const open = concerned.get(service);
    if (open !== undefined) return open;
    const own = new Map(index.services.get(service)?.slices.map((slice) => [slice.key, slice]));
    concerned.set(service, own);
    return own;
  };
  yield* eachInSteps(changes, ([key, slice]) => {
    const former = slices.get(key);
    if (former !== undefined) slicesOf(former.service).delete(key);
    if (slice === undefined) {
      slices.delete(key);
    } else {
      slices.set(key, slice);
      slicesOf(slice.service).set(key, slice);
    }
  });
  const services = new Map(index.services);
  yield* eachInSteps([...concerned], ([service, own]) => {
    if (own.size === 0) services.delete(service);
    else services.set(service, countSlices([...own.values()]));
  });
  return { slices, services };
}

/** Of the Service (namespace/name). */
export function endpointsOf(index: EndpointIndex, service: string): EndpointCount {
  return index.services.get(service) ?? NONE;
}

/** How many on each node that has some; those without a node are in the total alone. Of few Services anybody wants to know. */
export function countByNode({ slices }: EndpointCount): ReadonlyMap<string, number> {
  const byNode = new Map<string, number>();
  for (const { endpoints } of slices) {
    for (const { node, canServe } of endpoints) {
      if (canServe && node !== undefined) byNode.set(node, (byNode.get(node) ?? 0) + 1);
    }
  }
  return byNode;
}

function countSlices(slices: readonly EndpointSliceObject[]): EndpointCount {
  let total = 0;
  for (const { endpoints } of slices) for (const { canServe } of endpoints) if (canServe) total += 1;
  return { slices: exactList(slices), total };
}
