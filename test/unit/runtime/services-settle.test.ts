/** Plans that meet who lives: owners as written down, and what the agent is told. */

import { describe, expect, it } from 'vitest';

import { assert } from '../../../src/base/assert.ts';
import { parseIp, type Ip } from '../../../src/base/ip.ts';
import { DutyMaker, type DutyOptions } from '../../../src/runtime/services/duty-of-plan.ts';
import { settleOwnerships, type Standing } from '../../../src/runtime/services/settle.ts';
import type { Candidate, Ownership } from '../../../src/services/model.ts';

function ip(text: string): Ip {
  const parsed = parseIp(text);
  assert(parsed.ok, text);
  return parsed.value;
}

function candidate(node: string): Candidate {
  return { node, isEligible: true, code: '', reason: 'answers on eth0', interfaceName: 'eth0', preference: 0 };
}

function ownership(address: string, line: readonly string[]): Ownership {
  return {
    address: ip(address),
    services: ['default/web'],
    node: line[0],
    candidates: line.map(candidate),
    reasons: [],
    why: 'it is first by hash',
  };
}

const PLANNED = [ownership('192.0.2.10', ['n1', 'n2', 'n3']), ownership('192.0.2.11', ['n2', 'n3', 'n1'])];
const CALM: Standing = { isSpread: true, lost: [], draining: [], leader: 'n1' };

function ownersOf(standing: Partial<Standing>): readonly (string | undefined)[] {
  return settleOwnerships(PLANNED, { ...CALM, ...standing }).map(({ node }) => node);
}

describe('owners as they are', () => {
  it('are those of the plan, the same value, while all live', () => {
    expect(settleOwnerships(PLANNED, CALM)).toBe(PLANNED);
  });

  it('are the next in line where the first is lost, and nothing else moves', () => {
    const settled = settleOwnerships(PLANNED, { ...CALM, lost: ['n1'] });
    expect(settled.map(({ node }) => node)).toEqual(['n2', 'n2']);
    expect(settled[0]?.candidates[0]?.node).toBe('n2');
    expect(settled[0]?.candidates.find(({ node }) => node === 'n1')?.code).toBe('NODE_NO_STANDING');
    expect(settled[1]?.why).toBe('it is first by hash');
  });

  it('are drained nodes only where nobody else is left', () => {
    expect(ownersOf({ draining: ['n1'] })).toEqual(['n2', 'n2']);
    expect(ownersOf({ draining: ['n1', 'n2', 'n3'] })).toEqual(['n1', 'n2']);
    expect(ownersOf({ draining: ['n1', 'n2'], lost: ['n3'] })).toEqual(['n1', 'n2']);
  });

  it('are nobody, in words, where all are lost', () => {
    const [first] = settleOwnerships(PLANNED, { ...CALM, lost: ['n1', 'n2', 'n3'] });
    expect(first?.node).toBeUndefined();
    expect(first?.reasons).toEqual([
      expect.objectContaining({
        code: 'NODE_NO_STANDING',
        message: expect.stringContaining('n3: is not heard') as string,
      }),
    ]);
  });

  it('are the leader without spreading, or nobody', () => {
    expect(ownersOf({ isSpread: false, leader: 'n3' })).toEqual(['n3', 'n3']);
    expect(ownersOf({ isSpread: false, leader: 'n9' })).toEqual([undefined, undefined]);
    expect(ownersOf({ isSpread: false, leader: undefined })).toEqual([undefined, undefined]);
  });
});

describe('the duty', () => {
  const interfaces = [{ name: 'eth0', hasCarrier: true, prefixes: [{ ip: ip('192.0.2.1'), length: 24 }] }];
  const options: DutyOptions = {
    node: 'n2',
    ownerships: PLANNED,
    confirmed: new Set(['192.0.2.10', '192.0.2.11']),
    tentative: [],
    interfaces,
    isSpread: true,
    fellows: new Set(),
  };

  it('has each address in a status with all who may answer in order, whoever of them lives', () => {
    const { addresses } = new DutyMaker().make(options);
    expect(addresses.map(({ prefix, order }) => [prefix.ip.text, prefix.length, ...order])).toEqual([
      ['192.0.2.10', 32, 'n1', 'n2', 'n3'],
      ['192.0.2.11', 32, 'n2', 'n3', 'n1'],
    ]);
    expect(addresses.every(({ interfaceName, isTentative }) => interfaceName === 'eth0' && !isTentative)).toBe(true);
  });

  it('has nothing that stands in no status, but to ask for', () => {
    const { addresses } = new DutyMaker().make({
      ...options,
      confirmed: new Set(['192.0.2.11']),
      tentative: [ip('192.0.2.10'), ip('203.0.113.1')],
    });
    expect(
      addresses.map(({ prefix, isTentative, interfaceName, order }) => [
        prefix.ip.text,
        isTentative,
        interfaceName,
        order.length,
      ]),
    ).toEqual([
      ['192.0.2.10', true, 'eth0', 0],
      ['192.0.2.11', false, 'eth0', 3],
      ['203.0.113.1', true, undefined, 0],
    ]);
  });

  it('is the same value while it says the same, and of what changed only that is new', () => {
    const maker = new DutyMaker();
    const before = maker.make(options);
    expect(maker.make({ ...options, ownerships: PLANNED.map((each) => ({ ...each })) })).toBe(before);
    const [, second] = PLANNED;
    assert(second !== undefined, 'there are two');
    const after = maker.make({ ...options, ownerships: [ownership('192.0.2.10', ['n3', 'n2']), second] });
    expect(after).not.toBe(before);
    expect(after.addresses[0]?.order).toEqual(['n3', 'n2']);
    expect(after.addresses[1]).toBe(before.addresses[1]);
    expect(maker.make({ ...options, ownerships: [second] }).addresses).toHaveLength(1);
  });
});
