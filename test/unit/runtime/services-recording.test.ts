/** What the leader writes into the record of owners when nodes are lost. */

import { describe, expect, it } from 'vitest';

import { assert } from '../../../src/base/assert.ts';
import { parseIp } from '../../../src/base/ip.ts';
import { LOST_FOR_GOOD_MS, Recording, type RecordParts } from '../../../src/runtime/services/recording.ts';
import { settleOwnerships } from '../../../src/runtime/services/settle.ts';
import type { Assignment } from '../../../src/services/assignment.ts';
import type { Ownership, ServiceObject } from '../../../src/services/model.ts';
import { decodeService } from '../../../src/services/objects/service.ts';

function ownership(text: string, line: readonly string[]): Ownership {
  const parsed = parseIp(text);
  assert(parsed.ok, text);
  return {
    address: parsed.value,
    services: ['default/web'],
    node: line[0],
    candidates: line.map((node) => ({
      node,
      isEligible: true,
      code: '',
      reason: '',
      interfaceName: 'eth0',
      preference: 0,
    })),
    reasons: [],
  };
}

function web(host: string): ReadonlyMap<string, ServiceObject> {
  const { value } = decodeService({
    metadata: { name: 'web', namespace: 'default', uid: 'u', annotations: { 'kube-vip.io/vipHost': host } },
    spec: { type: 'LoadBalancer' },
  });
  assert(value !== undefined, 'a proper Service');
  return new Map([[value.key, value]]);
}

const PLANNED = [ownership('192.0.2.10', ['n1', 'n2', 'n3'])];
const PRESENT: Assignment = new Map([['192.0.2.10', 'n1']]);

function parts(lost: readonly string[], host = 'n1'): RecordParts {
  return {
    ownerships: PLANNED,
    settled: settleOwnerships(PLANNED, { isSpread: true, lost, draining: [], leader: 'n2' }),
    lost,
    byKey: web(host),
    nodes: [],
    rebalancePerMinute: 0,
  };
}

describe('the record', () => {
  it('is the very same one while nothing is new', () => {
    expect(new Recording(0).next(parts([]), PRESENT, 1)).toEqual({ assignment: PRESENT, wakeAt: undefined });
    expect(new Recording(0).next(parts([]), PRESENT, 1).assignment).toBe(PRESENT);
  });

  it('leaves a lost node what nobody else has said to have, until it has been lost for long', () => {
    const recording = new Recording(0);
    expect(recording.next(parts(['n1']), PRESENT, 100)).toEqual({
      assignment: PRESENT,
      wakeAt: 100 + LOST_FOR_GOOD_MS,
    });
    const late = recording.next(parts(['n1']), PRESENT, 100 + LOST_FOR_GOOD_MS);
    expect(late.assignment.get('192.0.2.10')).toBe('n2');
  });

  it('leaves it to it where nothing was recorded yet, too', () => {
    expect(new Recording(0).next(parts(['n1']), new Map(), 100).assignment.get('192.0.2.10')).toBe('n1');
  });

  it('names the next one as soon as that has said so', () => {
    expect(new Recording(0).next(parts(['n1'], 'n2'), PRESENT, 100).assignment.get('192.0.2.10')).toBe('n2');
  });

  it('counts anew for a node that was heard in between', () => {
    const recording = new Recording(0);
    recording.next(parts(['n1']), PRESENT, 0);
    recording.next(parts([]), PRESENT, LOST_FOR_GOOD_MS - 1);
    expect(recording.next(parts(['n1']), PRESENT, LOST_FOR_GOOD_MS).assignment).toBe(PRESENT);
  });
});
