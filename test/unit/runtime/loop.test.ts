import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { monotonic } from '../../../src/base/time.ts';
import type { AgentEvent } from '../../../src/agent/event.ts';
import { startAgent } from '../../../src/agent/state.ts';
import { startLoop, type Loop } from '../../../src/runtime/loop.ts';
import { RULES } from '../agent/script.ts';
import { manyDuties, ServiceScript } from '../agent/services-script.ts';

const NAMED = {
  ...RULES,
  sources: [{ kind: 'name', name: 'api.example', families: 'first', prefixLengths: { ipv4: 32, ipv6: 128 } } as const],
  nameRefreshMs: 1000,
};

describe('the loop', () => {
  const events: AgentEvent[] = [];
  let loop: Loop;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] });
    events.length = 0;
    const now = (): ReturnType<typeof monotonic> => monotonic(performance.now());
    loop = startLoop({
      rules: NAMED,
      initial: startAgent(1, now()),
      now,
      perform: () => {},
      onTurn: (event) => void events.push(event),
    });
    loop.dispatch({ kind: 'name.failed', name: 'api.example', message: 'ESERVFAIL' });
  });
  afterEach(() => {
    loop.close();
    vi.useRealTimers();
  });

  function ticks(): number {
    return events.filter((event) => event.kind === 'tick').length;
  }

  it('ticks at its deadline, and not before, however many events leave that as it is', async () => {
    const { deadline } = loop;
    expect(ticks()).toBe(1);
    while (performance.now() < deadline - 100) {
      await vi.advanceTimersByTimeAsync(50);
      loop.dispatch({ kind: 'api.probed', isHealthy: true, message: '' });
      expect(loop.deadline).toBe(deadline);
    }
    expect(ticks()).toBe(1);
    await vi.advanceTimersByTimeAsync(150);
    expect(ticks()).toBe(2);
  });

  it('ticks at a deadline that an event brought forward', async () => {
    const before = loop.deadline;
    loop.dispatch({ kind: 'name.resolved', name: 'api.example', addresses: [] });
    expect(loop.deadline).toBeLessThan(before);
    await vi.advanceTimersByTimeAsync(Math.ceil(loop.deadline - performance.now()) + 1);
    expect(ticks()).toBe(2);
  });

  it('ticks no more once it is closed', async () => {
    loop.close();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(ticks()).toBe(1);
  });
});

describe('the loop with thousands of addresses', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ticks for what is due, however fast other events come in', async () => {
    const node = new ServiceScript().ready();
    node.duty(600, manyDuties(1000, ['a']));
    const from = performance.now();
    const ticked: number[] = [];
    const loop = startLoop({
      rules: node.rules,
      initial: node.state,
      now: () => monotonic(node.now + performance.now() - from),
      perform: () => undefined,
      onTurn: ({ kind }) => {
        if (kind === 'tick') ticked.push(performance.now());
      },
    });
    const before = ticked.length;
    for (let ms = 0; ms < 20; ms += 1) {
      loop.dispatch({ kind: 'api.probed', isHealthy: true, message: '' });
      await vi.advanceTimersByTimeAsync(1);
      loop.dispatch({ kind: 'api.probed', isHealthy: true, message: '' });
    }
    loop.close();
    expect(ticked.length - before).toBeGreaterThanOrEqual(5);
  });
});
