import { describe, expect, it } from 'vitest';
import { HANDOVER_ANNOTATION } from '../../../src/leader/lease-write.ts';
import { VOTERS_ANNOTATION } from '../../../src/leader/voters.ts';
import { ETH0, LOOPBACK, prefixOf } from '../../sim/kernel.ts';
import { record } from '../leader/script.ts';
import { NodeScript, RULES, VIP4 } from './script.ts';
import { ServiceScript } from './services-script.ts';

/** Node 'a' follows 'b', who holds the control plane's address; 'c' is the third voter. */
function follower(): ServiceScript {
  return new ServiceScript(['a', 'b', 'c'], { sources: RULES.sources, services: { isEnabled: false } }).ready();
}

/** Whom each write of the Lease names. */
function writes(script: ServiceScript): readonly string[] {
  return script.log.flatMap(({ effect }) => (effect.kind === 'lease.update' ? [effect.lease.holder] : []));
}

function announced(script: ServiceScript): number {
  return script.effects('frame.send').filter(({ purpose }) => purpose === 'announce').length;
}

describe('a holder whose process is gone', () => {
  it('loses the Lease after a second and a half, its kernel answering on, and the address when that ends', () => {
    const script = follower();
    script.beating.delete('b');
    script.missed.add('b');
    const goneAt = script.now;
    script.answer(goneAt + 1500, VIP4);
    expect(writes(script), 'not while it may only be slow').toEqual([]);
    script.answer(goneAt + 2300, VIP4);
    expect(writes(script)).toEqual(['a']);
    script.accept(script.now);
    script.answer(goneAt + 2600, VIP4);
    expect(script.holds(), 'its kernel answers').toBe(false);
    const silentFrom = script.now;
    script.go(silentFrom + 40);
    expect(script.holds()).toBe(true);
  });

  it('keeps the Lease while a majority still hears it, however it looks from here', () => {
    const script = follower();
    script.beating.delete('b');
    script.says.set('c', { hears: 0b111 });
    script.go(script.now + 2300);
    expect(writes(script)).toEqual([]);
  });
});

describe('a holder that let go and is heard', () => {
  it('is replaced after two seconds, and not by who only waits for the wire', () => {
    const script = follower();
    script.says.set('b', { isHolding: false, isLeading: true });
    script.go(script.now + 3000);
    expect(writes(script), 'it is about to hold').toEqual([]);
    script.says.set('b', { isHolding: false, isLeading: false });
    script.says.set('c', { hears: 0b101 });
    const begun = script.now;
    script.go(begun + 1900);
    expect(writes(script)).toEqual([]);
    script.go(begun + 2600);
    expect(writes(script)).toEqual(['a']);
  });
});

describe('a handover', () => {
  it('is announced again when the former holder has let go, and is no conflict before', () => {
    const script = follower();
    script.beat('b', { isHolding: true });
    const voters = ['a', 'b', 'c'].map((name, index) => ({ name, addresses: [`192.0.2.${index + 1}`], port: 6460 }));
    const annotations = {
      [HANDOVER_ANNOTATION]: 'b/4',
      [VOTERS_ANNOTATION]: JSON.stringify({ epoch: 1, voters }),
    };
    script.observe(script.now, record('a', '2000', { transitions: 4, annotations }));
    script.accept(script.now + 2);
    expect(script.holds(), 'with consent, at once').toBe(true);
    script.use(script.now + 5, VIP4);
    expect(script.logs()).not.toContain('address conflict');
    script.go(script.now + 300);
    const before = announced(script);
    script.go(script.now + 100);
    expect(announced(script), 'the burst of the claim is over').toBe(before);
    script.says.set('b', { isHolding: false, isLeading: false });
    script.go(script.now + 100);
    expect(announced(script)).toBeGreaterThan(before);
  });

  it('makes no conflict of the successor who announces before the answer to our write', () => {
    const script = new ServiceScript(['a', 'b', 'c'], { sources: RULES.sources, services: { isEnabled: false } });
    script.hold();
    script.holder = 'a';
    script.says.set('b', { isApiWorking: true });
    const lease = script.state.election.observed?.lease;
    const voters = ['a', 'b', 'c'].map((name, index) => ({ name, addresses: [`192.0.2.${index + 1}`], port: 6460 }));
    const annotations = { ...lease?.annotations, [VOTERS_ANNOTATION]: JSON.stringify({ epoch: 1, voters }) };
    script.observe(script.now, record('a', '2000', { ...lease, annotations, resourceVersion: '2000' }));
    for (let turn = 0; turn < 5; turn += 1) {
      script.go(script.now + 100);
      if (script.state.election.pending !== undefined) script.accept(script.now);
    }
    const written = writes(script).length;
    script.at(script.now, { kind: 'drain', isDraining: true, source: 'operator' });
    expect(writes(script).slice(written), 'named, and not answered').toEqual(['b']);
    script.use(script.now + 1, VIP4);
    expect(script.logs()).not.toContain('address conflict');
    expect(script.holds(), 'until the other says that it does').toBe(true);
  });
});

describe('a heartbeat of another', () => {
  it('is answered with our own when that is nearly due, and not before', () => {
    const script = follower();
    const sent = (): number => script.effects('heartbeat.send').at(-1)?.at ?? 0;
    // On the beat of the others the next is due just before theirs; one step aside, they come first.
    script.until(script.now + 30);
    script.beat('b', { isDraining: true });
    const last = sent();
    script.until(last + 70);
    script.beat('c');
    expect(sent(), 'a quarter of the interval before at most').toBe(last);
    script.until(last + 80);
    script.beat('c');
    expect(sent()).toBe(last + 80);
  });
});

describe('a leftover that the kernel refuses to delete', () => {
  it('is tried again after a second', () => {
    const script = new NodeScript();
    script.start();
    script.observe(1, record('b', '7'));
    script.isKernelObeying = false;
    const stray = { ifindex: LOOPBACK, prefix: prefixOf(`${VIP4}/32`), protocol: undefined };
    const deletes = (): number => script.effects('address.delete').filter(({ ifindex }) => ifindex === LOOPBACK).length;
    script.outside(10, (kernel) => kernel.add({ ...stray, validSeconds: Number.POSITIVE_INFINITY }));
    expect(deletes()).toBe(1);
    script.at(12, {
      kind: 'effect.failed',
      effect: 'address.delete',
      ifindex: LOOPBACK,
      address: VIP4,
      code: 'NETLINK_FAILED',
      message: 'refused',
    });
    script.until(1000);
    expect(deletes()).toBe(1);
    script.until(1020);
    expect(deletes()).toBe(2);
    expect(script.state.kernel?.links.has(ETH0)).toBe(true);
  });
});
