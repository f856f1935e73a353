/** What people are told of their Services, and that it is told once. */

import { beforeEach, describe, expect, it } from 'vitest';

import { assert } from '../../../src/base/assert.ts';
import type { EventNote } from '../../../src/kube/event-recorder.ts';
import { SILENT_LOG } from '../../../src/observe/log.ts';
import { Teller } from '../../../src/runtime/services/teller.ts';
import type { ServiceObject } from '../../../src/services/model.ts';
import { decodeService } from '../../../src/services/objects/service.ts';
import type { ServiceDecision } from '../../../src/services/status.ts';
import { allocation, ip } from '../services/owner-facts.ts';

const ADDRESS = '192.0.2.10';

function service(uid: string, conditions: readonly object[] = []): ServiceObject {
  const { value } = decodeService({
    metadata: { name: 'web', namespace: 'shop', uid, resourceVersion: '7' },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }] },
    status: { conditions },
  });
  assert(value !== undefined, 'a proper Service');
  return value;
}

/** It has the address, and this node answers for it. */
function decision(of: ServiceObject, node: string): ServiceDecision {
  const candidates = [{ node, isEligible: true, code: '', reason: '', interfaceName: 'eth0', preference: 0 }] as const;
  const ownership = { address: ip(ADDRESS), services: [of.key], node, candidates, reasons: [] };
  const allocated = { ...allocation(of.key, [ADDRESS]), from: 'pool', service: of } as const;
  return { service: of, allocation: allocated, pending: undefined, ownerships: [ownership] };
}

describe('what is told of a Service', () => {
  let reasons: string[];
  let teller: Teller;

  beforeEach(() => {
    reasons = [];
    teller = new Teller({ events: { record: ({ reason }: EventNote) => void reasons.push(reason) }, log: SILENT_LOG });
  });

  it('is told once, and again what is new', () => {
    const web = service('one');
    teller.decided(decision(web, 'n1'));
    expect(reasons).toEqual(['AddressAllocated', 'Announced']);
    teller.decided(decision({ ...web, resourceVersion: '8' }, 'n1'));
    expect(reasons).toHaveLength(2);
    teller.decided(decision(web, 'n2'));
    expect(reasons).toEqual(['AddressAllocated', 'Announced', 'AddressMoved']);
  });

  it('is told of another Service of the same name from the beginning', () => {
    teller.decided(decision(service('one'), 'n1'));
    teller.decided(decision(service('two'), 'n1'));
    expect(reasons).toEqual(['AddressAllocated', 'Announced', 'AddressAllocated', 'Announced']);
  });

  it('is not told where its status says it, by the word of a former leader', () => {
    const said = [{ type: 'holdfast.io/Allocated', status: 'True', reason: 'Allocated', message: ADDRESS }];
    teller.decided(decision(service('one', said), 'n1'));
    expect(reasons).toEqual([]);
    teller.silence();
    teller.decided(decision(service('one'), 'n1'));
    expect(reasons).toHaveLength(2);
  });

  it('is news for one that was seen to be about to get its address, though its status says it by then', () => {
    const said = [{ type: 'holdfast.io/Allocated', status: 'True', reason: 'Allocated', message: ADDRESS }];
    teller.expects(service('one'));
    teller.decided(decision(service('one', said), 'n1'));
    expect(reasons).toEqual(['AddressAllocated', 'Announced']);
    teller.forget(() => false);
    teller.decided(decision(service('one'), 'n1'));
    expect(reasons).toHaveLength(4);
  });
});
