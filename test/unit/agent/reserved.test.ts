import { describe, expect, it } from 'vitest';
import { CONTROL_PLANE_ANNOTATION } from '../../../src/agent/reserved.ts';
import { monotonic } from '../../../src/base/time.ts';
import { HANDOVER_ANNOTATION } from '../../../src/leader/lease-write.ts';
import { readVoters, VOTERS_ANNOTATION, wantedVoters } from '../../../src/leader/voters.ts';
import { record } from '../leader/script.ts';
import { NodeScript, VIP4 } from './script.ts';
import { ServiceScript } from './services-script.ts';

const NOTE = { [CONTROL_PLANE_ANNOTATION]: VIP4 };

function holders(script: NodeScript): readonly string[] {
  return script.log.flatMap(({ effect }) => (effect.kind === 'lease.update' ? [effect.lease.holder] : []));
}

/** Answers for Services, and has no address of the control plane. */
function servant(): NodeScript {
  const script = new NodeScript({ sources: [], services: { isEnabled: true } });
  script.start();
  return script;
}

describe('a Lease on which the last leader noted an address of the control plane', () => {
  it('is never taken by a node that has none, released, expired or seen for the first time', () => {
    const script = servant();
    script.observe(1, record('', '7', { annotations: NOTE }));
    script.until(5000);
    script.observe(5000, record('b', '8', { annotations: NOTE }));
    script.until(60_000);
    expect(holders(script)).toEqual([]);
  });

  it('is taken by one that has', () => {
    const script = new NodeScript();
    script.start();
    script.observe(1, record('', '7', { annotations: NOTE }));
    script.until(1000);
    expect(holders(script)).toEqual(['a']);
  });

  it('that nobody leads for a minute is a problem, with what to type where the note is void', () => {
    const script = servant();
    script.observe(1, record('b', '7', { annotations: NOTE, durationMs: 5000 }));
    script.until(64_000);
    expect([...script.state.problems.keys()]).toEqual([]);
    script.at(65_100, { kind: 'tick' });
    const problem = script.state.problems.get('LEASE_RESERVED');
    expect(problem?.remedy).toContain('annotate lease plndr-cp-lock holdfast.io/control-plane-');
    script.observe(66_000, record('', '9'));
    script.until(70_000);
    expect(holders(script)).toEqual(['a']);
  });

  it('carries what the present leader holds', () => {
    const script = new NodeScript().hold();
    script.serve(3000);
    const last = script.log.flatMap(({ effect }) => (effect.kind === 'lease.update' ? [effect.lease] : [])).at(-1);
    expect(last?.annotations[CONTROL_PLANE_ANNOTATION]).toBe(VIP4);
  });
});

describe('a node without an address of the control plane that leads', () => {
  it('hands over to one that has, once that is heard', () => {
    const script = new ServiceScript();
    script.holder = 'a';
    script.start();
    script.renew();
    script.at(1, {
      kind: 'members.observed',
      members: ['a', 'b', 'c'].map((name, index) => ({
        name,
        addresses: [`192.0.2.${index + 1}`],
        port: 6460,
        isLeaving: false,
        isServicesOnly: name !== 'b',
      })),
    });
    script.beating.delete('b');
    for (let turn = 0; turn < 20; turn += 1) {
      script.go(script.now + 100);
      if (script.state.election.pending !== undefined) script.accept(script.now);
    }
    expect(new Set(holders(script)), 'it leads, for want of anybody').toEqual(new Set(['a']));
    script.beating.add('b');
    script.says.set('b', { isApiWorking: true });
    script.go(script.now + 500);
    const last = script.log.flatMap(({ effect }) => (effect.kind === 'lease.update' ? [effect.lease] : [])).at(-1);
    expect(last?.holder).toBe('b');
    expect(last?.annotations[HANDOVER_ANNOTATION]).toBeDefined();
  });
});

describe('the voters', () => {
  const member = (name: string, isServicesOnly: boolean) => ({
    name,
    addresses: ['192.0.2.9'],
    port: 6460,
    isLeaving: false,
    isServicesOnly,
  });

  it('are first of all who may hold the address of the control plane, however late they come', () => {
    const workers = Array.from({ length: 12 }, (_, index) => member(`w${String(index).padStart(2, '0')}`, true));
    const [self] = workers;
    if (self === undefined) throw new Error('no worker');
    const options = { lastSeenAt: new Map(), now: monotonic(0) };
    const first = wantedVoters({ ...options, self, present: undefined, members: workers });
    expect(first.voters.map(({ name }) => name)).toEqual(workers.slice(0, 9).map(({ name }) => name));
    const masters = ['m1', 'm2', 'm3'].map((name) => member(name, false));
    const [leader] = masters;
    if (leader === undefined) throw new Error('no leader');
    const later = wantedVoters({ ...options, self: leader, present: first, members: [...workers, ...masters] });
    expect(later.voters.map(({ name }) => name)).toEqual(['m1', 'm2', 'm3', 'w00', 'w01', 'w02', 'w03', 'w04', 'w05']);
    const again = wantedVoters({ ...options, self: leader, present: later, members: [...masters, ...workers] });
    expect(again).toBe(later);
  });

  it('keep their places while there is room', () => {
    const options = { lastSeenAt: new Map(), now: monotonic(0) };
    const worker = member('w', true);
    const present = wantedVoters({ ...options, self: worker, present: undefined, members: [] });
    const both = wantedVoters({ ...options, self: worker, present, members: [member('m', false)] });
    expect(both.voters.map(({ name }) => name)).toEqual(['w', 'm']);
    expect(readVoters(record('a', '1', { annotations: { [VOTERS_ANNOTATION]: JSON.stringify(both) } }))).toEqual(both);
  });
});
