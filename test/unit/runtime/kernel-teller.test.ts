import { describe, expect, it } from 'vitest';

import type { AgentEvent } from '../../../src/agent/event.ts';
import type { KernelChange } from '../../../src/protocol/netlink/records.ts';
import { BUNDLE_MAX, kernelTeller } from '../../../src/runtime/kernel-teller.ts';

const SNAPSHOT = { links: [], addresses: [], defaultRoutes: [] };

function gone(index: number): KernelChange {
  return { kind: 'link-gone', index, name: `eth${index}` };
}

function heard(isBundling: boolean): { readonly events: AgentEvent[]; readonly tell: (change: KernelChange) => void } {
  const events: AgentEvent[] = [];
  const tell = kernelTeller((event) => void events.push(event), { dump: () => SNAPSHOT, isBundling });
  return { events, tell };
}

function changesIn(events: readonly AgentEvent[]): readonly KernelChange[] {
  return events.flatMap((event) => {
    if (event.kind === 'kernel.changed') return [event.change];
    return event.kind === 'kernel.changes' ? event.changes : [];
  });
}

async function turn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}

describe('kernel notifications', () => {
  it('are told each by itself where addresses are few', () => {
    const { events, tell } = heard(false);
    [1, 2].forEach((index) => tell(gone(index)));
    expect(events.map(({ kind }) => kind)).toEqual(['kernel.changed', 'kernel.changed']);
  });

  it('that are read in one go are told in one event, and in portions where there are thousands', async () => {
    const { events, tell } = heard(true);
    const all = Array.from({ length: 2 * BUNDLE_MAX + 1 }, (_, index) => gone(index));
    all.forEach(tell);
    expect(events).toEqual([]);
    await Promise.resolve();
    expect(changesIn(events)).toHaveLength(BUNDLE_MAX);
    await turn();
    await turn();
    expect(events.map(({ kind }) => kind)).toEqual(['kernel.changes', 'kernel.changes', 'kernel.changed']);
    expect(changesIn(events)).toEqual(all);
  });

  it('in the middle of which some were lost give way to what is read anew', async () => {
    const { events, tell } = heard(true);
    Array.from({ length: 2 * BUNDLE_MAX }, (_, index) => gone(index)).forEach(tell);
    await Promise.resolve();
    tell({ kind: 'overrun' });
    await turn();
    expect(events.map(({ kind }) => kind)).toEqual(['kernel.changes', 'kernel.dumped']);
  });

  it('of a moment are told together also behind a portion that waits', async () => {
    const { events, tell } = heard(true);
    const all = Array.from({ length: BUNDLE_MAX + 2 }, (_, index) => gone(index));
    all.slice(0, -1).forEach(tell);
    await Promise.resolve();
    tell(all.at(-1) ?? gone(0));
    await turn();
    await turn();
    expect(changesIn(events)).toEqual(all);
  });
});
