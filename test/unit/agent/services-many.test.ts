/** A node's share of thousands of Service addresses: what a turn costs, and that the loop has its breath. */

import { SERVICES_DEADLINE_MS, SHUTDOWN_DEADLINE_MS } from '../../../src/agent/step.ts';
import { describe, expect, it } from 'vitest';

import { isFrameAwaited } from '../../../src/agent/services/read.ts';
import { PORTION } from '../../../src/agent/services/step.ts';
import { BURST_OFFSETS_MS } from '../../../src/vip/vip.ts';
import { ADDRESS_PROTOCOL, ETH0 } from '../../sim/kernel.ts';
import { manyDuties, ServiceScript } from './services-script.ts';

/** Counts how often an entry of the table is read. */
class CountingMap<Key, Value> extends Map<Key, Value> {
  static reads = 0;

  override get(key: Key): Value | undefined {
    CountingMap.reads += 1;
    return super.get(key);
  }

  override forEach(callback: (value: Value, key: Key, map: Map<Key, Value>) => void): void {
    super.forEach((value, key, map) => {
      CountingMap.reads += 1;
      callback(value, key, map);
    });
  }

  override *[Symbol.iterator](): MapIterator<[Key, Value]> {
    for (const entry of super.entries()) {
      CountingMap.reads += 1;
      yield entry;
    }
    return undefined;
  }
}

/** The node with tables that count, from here on. */
function counting(node: ServiceScript): ServiceScript {
  const { services } = node.state;
  const parts = services.entries.parts.map((part) => ({ ...part, entries: new CountingMap([...part.entries]) }));
  node.state = { ...node.state, services: { ...services, entries: { ...services.entries, parts } } };
  CountingMap.reads = 0;
  return node;
}

describe('thousands of addresses', () => {
  const many = manyDuties(5000, ['b', 'a', 'c']);

  it('are not looked at by a turn that is about none of them', () => {
    const node = new ServiceScript().ready();
    node.duty(600, many);
    node.go(1000);
    counting(node).go(3000);
    expect(CountingMap.reads).toBe(0);
    node.use(3000, '10.0.1.7');
    expect(CountingMap.reads).toBeLessThan(100);
  });

  it('held, cost a turn only what is due', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1000, ['a']));
    node.go(6000);
    expect(node.state.services.counts.held).toBe(1000);
    const turns = 20;
    counting(node);
    for (let turn = 0; turn < turns; turn += 1) node.beat('b');
    expect(CountingMap.reads).toBe(0);
  });

  it('of others are announced to everybody, and no news here but while they are asked about, claimed or held', () => {
    const node = new ServiceScript().ready();
    const [own, other] = [...manyDuties(1, ['a', 'b']), ...manyDuties(2, ['b', 'a']).slice(1)];
    if (own === undefined || other === undefined) throw new Error('two duties');
    const texts = [own, other].map(({ prefix }) => prefix.ip.text);
    const awaited = (): readonly boolean[] => texts.map((text) => isFrameAwaited(node.state, text));
    node.duty(600, [own, { ...other, order: [], isTentative: true }]);
    node.go(620);
    expect(awaited(), 'claimed; asked about').toEqual([true, true]);
    node.go(1000);
    node.duty(1000, [own, other]);
    node.go(2000);
    expect(awaited(), 'held; of another').toEqual([true, false]);
    expect(isFrameAwaited(node.state, '192.0.2.99'), 'none of the Services’').toBe(true);
  });

  it('of a lost node move as one decision, in portions that let the loop breathe', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1000, ['c', 'a']));
    node.go(1000);
    node.beating.delete('c');
    node.missed.add('c');
    node.go(2500);
    expect(node.state.services.counts).toEqual({ own: 1000, held: 1000, involved: 1000 });
    expect(node.moves()).toEqual([{ kind: 'gained', cause: 'node-lost', other: 'c', count: 1000, isComplete: true }]);
    const told = node.effects('log').filter(({ msg }) => msg === 'service addresses taken over');
    expect(told.map(({ fields }) => fields)).toEqual([
      { cause: 'node-lost', from: 'c', count: 1000, durationMs: expect.any(Number) as number },
    ]);
    // Asking the wire takes some 90 ms of one address; the rest are portions, a millisecond apart.
    expect(node.state.services.moves[0]?.timings.total).toBeLessThan(160);
    const probes = node.effects('frame.send').filter(({ purpose }) => purpose === 'probe');
    const perTurn = Map.groupBy(probes, ({ at }) => at);
    // Two turns may fall on one millisecond.
    expect(Math.max(...[...perTurn.values()].map((turn) => turn.length))).toBeLessThanOrEqual(2 * PORTION);
    const captures = node.effects('capture.set');
    expect(captures, 'one filter for all').toHaveLength(1);
  });

  it('that are due wait for the tick while other events come, each of which would else drive a portion', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1000, ['a']));
    const before = node.effects('frame.send').length;
    for (let count = 0; count < 20; count += 1) node.beat('b');
    expect(node.effects('frame.send')).toHaveLength(before);
    node.go(node.now + 3);
    expect(node.effects('frame.send').length).toBeGreaterThan(before);
  });

  it('are driven as few at a time as the tick says', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1000, ['a']));
    const probes = (): number => node.effects('frame.send').filter(({ purpose }) => purpose === 'probe').length;
    const before = probes();
    node.at(node.now, { kind: 'tick', portion: 7 });
    expect(probes() - before).toBe(7);
    node.at(node.now, { kind: 'tick' });
    expect(probes() - before).toBe(7 + PORTION);
  });

  it('are taken over with consent however long it takes to drive them all', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1500, ['b', 'a']));
    node.go(60_000);
    node.says.set('b', { isDraining: true });
    node.beat('b');
    node.portion = 1;
    while (node.state.services.counts.held < 1500 && node.now < 64_000) node.go(node.now + 100);
    expect(node.now - 60_000, 'more than is waited for a few').toBeGreaterThan(1_000);
    expect(node.state.services.counts.held).toBe(1500);
    expect(node.effects('frame.send').filter(({ purpose }) => purpose === 'probe')).toEqual([]);
  });

  it('are yielded for longer than a few, and no longer than a stop may take', () => {
    const held = (count: number): number => {
      const node = new ServiceScript().ready();
      node.duty(600, manyDuties(count, ['a', 'b']));
      node.go(10_000);
      node.at(10_000, { kind: 'drain', isDraining: true, source: 'operator' });
      while (node.state.services.counts.held > 0 && node.now < 20_000) node.go(node.now + 100);
      return node.now - 10_000;
    };
    expect(held(10)).toBeLessThanOrEqual(1_100);
    expect(held(500)).toBeGreaterThan(1_700);
    expect(held(4_000)).toBeGreaterThan(4_000);
    expect(held(4_000)).toBeLessThan(6_000);
  });

  it('are not waited for longer than a few by who stops: it may be killed with all of them in its kernel', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(4_000, ['a', 'b']));
    node.go(10_000);
    node.at(10_000, { kind: 'shutdown' });
    node.go(10_900);
    expect(node.state.services.counts.held).toBe(4_000);
    while (node.state.lifecycle !== 'stopped' && node.now < 20_000) node.go(node.now + 100);
    expect(node.now - 10_000).toBeLessThan(1_500);
  });

  it('are all gone before a process that stops ends, however long that takes', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(2600, ['a', 'b']));
    node.go(10_000);
    expect(node.state.services.counts.held).toBe(2600);
    node.at(10_000, { kind: 'shutdown' });
    node.portion = 1;
    while (node.state.lifecycle !== 'stopped' && node.now < 20_000) node.go(node.now + 100);
    expect(node.now - 10_000).toBeGreaterThan(SHUTDOWN_DEADLINE_MS);
    expect(node.now - 10_000).toBeLessThan(SERVICES_DEADLINE_MS);
    expect(node.state.services.counts).toEqual({ own: 0, held: 0, involved: 0 });
  });

  it('are announced four times each, and a few as often as the one of a control plane', () => {
    const announced = (count: number): number => {
      const node = new ServiceScript().ready();
      node.duty(600, manyDuties(count, ['a']));
      node.go(8_000);
      const frames = node.effects('frame.send').filter(({ purpose }) => purpose === 'announce');
      return frames.length / 2 / count;
    };
    expect(announced(200)).toBe(4);
    expect(announced(10)).toBeGreaterThanOrEqual(BURST_OFFSETS_MS.length);
  });

  it('live longer in the kernel, so that a second sees some sixty renewals however many there are', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(600, ['a']));
    node.go(22_000);
    const renewals = node.effects('address.add').filter(({ at }) => at > 12_000);
    expect(renewals.length / 10).toBeLessThan(75);
    expect(renewals.length / 10).toBeGreaterThan(40);
    expect(new Set(renewals.map(({ validSeconds }) => validSeconds))).toEqual(new Set([30]));
    const busiest = Map.groupBy(renewals, ({ at }) => Math.floor(at / 1000));
    expect(Math.max(...[...busiest.values()].map((second) => second.length))).toBeLessThan(120);
    // Those of a quarter of a second together: the process wakes for four times as many, and not for each.
    const wakeUps = new Set(renewals.map(({ at }) => at)).size;
    expect(wakeUps / 10).toBeLessThan(10);
  });

  it('are dropped together when standing is lost', () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1000, ['a']));
    node.go(5000);
    node.beating.clear();
    node.go(7000);
    expect(node.state.services.counts).toEqual({ own: 0, held: 0, involved: 0 });
    expect(node.moves().at(-1)).toMatchObject({ kind: 'lost', cause: 'standing-lost', count: 1000, isComplete: true });
  });

  it('that a dead node’s kernel still answers for are asked for some hundred times a second, not thousands', () => {
    const node = new ServiceScript().ready();
    const duties = manyDuties(200, ['c', 'a']);
    node.duty(600, duties);
    node.go(1000);
    node.beating.delete('c');
    node.missed.add('c');
    let seen = node.log.length;
    while (node.now < 6000) {
      node.go(node.now + 5);
      const asked = node.log
        .slice(seen)
        .flatMap(({ effect }) => (effect.kind === 'frame.send' ? [effect.address.text] : []));
      seen = node.log.length;
      for (const address of asked) node.use(node.now, address);
    }
    expect(node.state.services.counts.held).toBe(0);
    const probes = node.effects('frame.send').filter(({ at }) => at >= 3000);
    expect(probes.length / 3).toBeLessThan(500);
    expect(node.logs().filter((msg) => msg.includes('another machine'))).toHaveLength(1);
    node.go(7000);
    expect(node.state.services.counts.held).toBe(200);
  });

  it('reported by the kernel in one bundle, are taken in at once', () => {
    const node = new ServiceScript().ready();
    node.isKernelObeying = false;
    const duties = manyDuties(500, ['a']);
    node.duty(600, duties);
    node.go(760);
    const changes = duties.map(({ prefix }) => ({
      kind: 'address' as const,
      address: {
        ifindex: ETH0,
        prefix,
        scope: 0,
        flags: 0,
        protocol: ADDRESS_PROTOCOL,
        validSeconds: 25,
        preferredSeconds: 0,
      },
    }));
    const { kernel } = node.state;
    node.at(765, { kind: 'kernel.changes', changes });
    expect(node.state.services.counts.held).toBe(500);
    expect(node.state.kernel, 'the rest of the kernel is as it was').toBe(kernel);
  });
});
