import { describe, expect, it } from 'vitest';
import { monotonic } from '../../../src/base/time.ts';
import { DEFEND_INTERVAL_MS, isIdle, type VipOutput } from '../../../src/vip/vip-state.ts';
import { BURST_OFFSETS_MS } from '../../../src/vip/vip.ts';
import { kinds, VipScript } from './script.ts';

function validSeconds(outputs: readonly VipOutput[]): readonly number[] {
  return outputs.flatMap((output) => (output.kind === 'add' ? [output.validSeconds] : []));
}

describe('claiming', () => {
  it('probes three times, 40 ms apart, and adds the address when nobody answers (RFC 5227 §2.1.1)', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    script.until(200);
    expect(script.times('probe')).toEqual([0, 40, 80]);
    expect(script.times('add')).toEqual([120]);
    expect(script.log.find(({ output }) => output.kind === 'silent')).toEqual({
      at: 120,
      output: { kind: 'silent', afterMs: 120 },
    });
  });

  it('announces only once the kernel reports the address', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold' });
    script.until(400);
    expect(script.times('announce')).toEqual([]);
    expect(kinds(script.at(401, { kind: 'present', isPresent: true }))).toEqual(['up', 'announce', 'announced']);
  });

  it('adds at once, without a probe, with the consent of the former holder', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    expect(script.times('probe')).toEqual([]);
    expect(script.times('add')).toEqual([0]);
  });

  it('adopts an address that is there already: renews its lifetime, announces, removes nothing', () => {
    const script = new VipScript({}, 'by hand');
    script.at(0, { kind: 'present', isPresent: true });
    script.log.length = 0;
    script.wish = { ...script.wish, verdict: 'undecided' };
    script.state = { ...script.state, phase: 'idle' };
    const outputs = script.wishAt(1, { verdict: 'hold' });
    expect(kinds(outputs)).toEqual(['add', 'up', 'announce', 'announced']);
    expect(script.state.phase).toBe('holding');
  });

  it('tries to add again a second after the kernel refused, and never spins', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    script.at(36, { kind: 'failed' });
    script.until(3500);
    expect(script.times('add')).toEqual([0, 1036, 2036, 3036]);
  });

  it('adds nothing while less than a second of lifetime may be given', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold', hasConsent: true, lifetimeLimit: monotonic(900) });
    expect(script.times('add')).toEqual([]);
    script.wishAt(1000, { lifetimeLimit: monotonic(5500) });
    expect(script.until(1050).map(({ output }) => output.kind)).toContain('add');
  });

  it('stops probing when it is no longer wanted', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    script.wishAt(50, { verdict: 'drop' });
    expect(script.state.phase).toBe('idle');
    script.until(5000);
    expect(script.times('add')).toEqual([]);
    expect(script.deadline).toBe(Number.POSITIVE_INFINITY);
  });

  it('asks for a present address in IPv6 as in IPv4', () => {
    const script = new VipScript({}, 'prompt', '2001:db8::10');
    script.wishAt(0, { verdict: 'hold' });
    script.until(200);
    expect(script.state.phase).toBe('holding');
    expect(script.times('probe')).toEqual([0, 40, 80]);
  });
});

describe('an address that is answered', () => {
  it('is not claimed: it waits for the one who answers to fall silent', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    expect(script.rival(10)).toContainEqual(expect.objectContaining({ kind: 'waiting' }));
    for (let at = 50; at <= 2000; at += 40) script.rival(at);
    expect(script.times('add')).toEqual([]);
    script.until(2200);
    expect(script.times('add')).toHaveLength(1);
  });

  it('needs as many unanswered probes as a first claim after each answer', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    script.rival(10);
    script.rival(100);
    const [added = 0] = script
      .until(400)
      .filter(({ output }) => output.kind === 'add')
      .map(({ at }) => at);
    expect(added - 100).toBeGreaterThanOrEqual(120 - 40);
    expect(script.times('probe').filter((at) => at > 100 && at < added).length).toBeGreaterThanOrEqual(2);
  });

  it('is reported as a conflict with its MAC once a former holder could no longer be it', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    for (let at = 10; at <= 8000; at += 40) script.rival(at);
    const conflicts = script.log.filter(({ output }) => output.kind === 'conflict');
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]?.output).toMatchObject({ mac: { text: '02:00:00:00:00:99' }, while: 'claiming' });
    expect(conflicts[0]?.at).toBeGreaterThan(5000);
  });

  it('is looked at once a second from then on', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    for (let at = 10; at <= 20_000; at += 40) script.rival(at);
    const slow = script.times('probe').filter((at) => at > 10_000);
    expect(slow.length).toBeLessThanOrEqual(11);
  });

  it('is claimed after the conflict timeout with policy "defend"', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    for (let at = 10; at <= 40_000 && script.state.phase !== 'holding'; at += 40) script.rival(at);
    expect(script.times('add')[0]).toBeGreaterThan(30_000);
    expect(script.times('add')[0]).toBeLessThan(31_500);
  });

  it('is claimed after the conflict timeout even when two strangers take turns', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold' });
    for (let at = 10; at <= 40_000 && script.state.phase !== 'holding'; at += 80) {
      script.rival(at, '02:00:00:00:00:98');
      script.rival(at + 40, '02:00:00:00:00:99');
    }
    expect(script.times('add')[0]).toBeLessThan(31_500);
  });

  it('is left alone for ever with policy "yield"', () => {
    const script = new VipScript({ conflictPolicy: 'yield' });
    script.wishAt(0, { verdict: 'hold' });
    for (let at = 10; at <= 120_000; at += 40) script.rival(at);
    expect(script.times('add')).toEqual([]);
    script.until(125_000);
    expect(script.state.phase).toBe('holding');
  });
});

describe('holding', () => {
  it('announces in a burst, then at the refresh interval', () => {
    const script = new VipScript().hold();
    script.until(12_000);
    const [first = 0, ...rest] = script.times('announce');
    const burst = BURST_OFFSETS_MS.slice(1);
    expect(rest.slice(0, burst.length).map((at) => at - first)).toEqual(burst);
    const last = rest[burst.length - 1] ?? 0;
    expect((rest[burst.length] ?? 0) - last).toBe(3000);
  });

  it('announces again after a change of the path', () => {
    const script = new VipScript().hold();
    script.until(9000);
    expect(kinds(script.at(9100, { kind: 'reannounce' }))).toContain('announce');
    expect(script.until(9300).filter(({ output }) => output.kind === 'announce')).toHaveLength(2);
  });

  it('renews the kernel lifetime every second', () => {
    const script = new VipScript().hold();
    script.until(5200);
    const adds = script.times('add');
    expect(adds).toEqual([120, 1120, 2120, 3120, 4120, 5120]);
  });

  it('never gives a lifetime beyond the limit', () => {
    const script = new VipScript().hold();
    script.wish = { ...script.wish, lifetimeLimit: monotonic(4000) };
    const given = script
      .until(10_000)
      .flatMap(({ at, output }) => (output.kind === 'add' ? [at + output.validSeconds * 1000] : []));
    expect(given.length).toBeGreaterThan(0);
    expect(Math.max(...given)).toBeLessThanOrEqual(4000);
  });

  it('renews a short lifetime before it ends: three renewals fit into what was given', () => {
    const script = new VipScript();
    script.wishAt(0, { verdict: 'hold', hasConsent: true, lifetimeLimit: monotonic(1900) });
    const [given = 0] = validSeconds(script.log.map(({ output }) => output));
    expect(given).toBe(1);
    script.wish = { ...script.wish, lifetimeLimit: monotonic(2900) };
    expect(script.until(400).filter(({ output }) => output.kind === 'add')).toHaveLength(1);
  });

  it('renews the lifetime at once when the clocks jumped', () => {
    const script = new VipScript().hold();
    script.wish = { ...script.wish, lifetimeLimit: monotonic(2500) };
    expect(validSeconds(script.at(300, { kind: 'clock-jumped' }))).toEqual([2]);
  });

  it('puts the address back at once when somebody deletes it, without a probe', () => {
    const script = new VipScript().hold();
    const probes = script.times('probe').length;
    expect(kinds(script.at(1500, { kind: 'present', isPresent: false }))).toEqual([
      'restored',
      'add',
      'up',
      'announce',
      'announced',
    ]);
    expect(script.times('probe')).toHaveLength(probes);
  });

  it('keeps lifetimes and announcements apart from a refused renewal', () => {
    const script = new VipScript().hold();
    const before = script.deadline;
    script.at(201, { kind: 'failed' });
    expect(script.deadline).toBe(before);
  });
});

describe('a conflict while holding', () => {
  it('is answered by one defence and reported with the MAC (RFC 5227 §2.4)', () => {
    const script = new VipScript().hold();
    expect(script.rival(1000)).toMatchObject([
      { kind: 'defend' },
      { kind: 'conflict', while: 'holding', mac: { text: '02:00:00:00:00:99' } },
    ]);
  });

  it('is not defended again within DEFEND_INTERVAL, ten seconds (RFC 5227 §1.1)', () => {
    const script = new VipScript().hold();
    script.rival(1000);
    script.rival(2000);
    script.rival(1000 + DEFEND_INTERVAL_MS - 1);
    expect(script.times('defend')).toEqual([1000]);
    script.rival(1000 + DEFEND_INTERVAL_MS);
    expect(script.times('defend')).toEqual([1000, 1000 + DEFEND_INTERVAL_MS]);
    expect(script.times('conflict')).toEqual([1000]);
  });

  it('keeps the address with policy "defend" (RFC 5227 §2.4 c)', () => {
    const script = new VipScript().hold();
    for (let at = 1000; at < 60_000; at += 500) script.rival(at);
    expect(script.state.phase).toBe('holding');
    expect(script.times('delete')).toEqual([]);
  });

  it('gives the address up at the second conflict with policy "yield" (RFC 5227 §2.4 b)', () => {
    const script = new VipScript({ conflictPolicy: 'yield' }).hold();
    script.rival(1000);
    expect(kinds(script.rival(2000))).toEqual(['delete', 'yielded']);
    expect(script.state.phase).toBe('conflict');
    script.until(5000);
    expect(script.times('add').filter((at) => at > 2000 && at < 3120)).toEqual([]);
  });

  it('is nobody’s business any more while a successor takes over, but keeps a claim waiting all the same', () => {
    const holder = new VipScript().hold();
    holder.wish = { ...holder.wish, isYielding: true };
    expect(holder.rival(1000)).toEqual([]);
    const claimant = new VipScript();
    claimant.wishAt(0, { verdict: 'hold', isYielding: true });
    for (let at = 10; at <= 2000; at += 40) claimant.rival(at);
    expect(claimant.times('add')).toEqual([]);
  });

  it('is not defended against, nor a conflict, in the moment in which the address is let go of', () => {
    const holder = new VipScript({}, 'by hand');
    holder.wishAt(0, { verdict: 'hold' });
    holder.at(150, { kind: 'present', isPresent: true });
    expect(holder.state.phase).toBe('holding');
    holder.wish = { ...holder.wish, verdict: 'drop' };
    expect(kinds(holder.rival(151))).toEqual(['delete']);
  });

  it('is told again at once, and is no conflict, while the former holder lets go as agreed', () => {
    const script = new VipScript().hold();
    script.wish = { ...script.wish, isSucceeding: true };
    expect(kinds(script.rival(1000))).toEqual(['announce']);
    expect(kinds(script.rival(1004)), 'not more often than every 10 ms').toEqual([]);
    script.wish = { ...script.wish, isSucceeding: false };
    expect(kinds(script.rival(2000))).toEqual(['defend', 'conflict']);
  });

  it('is a first conflict again, with policy "yield", ten seconds later', () => {
    const script = new VipScript({ conflictPolicy: 'yield' }).hold();
    script.rival(1000);
    script.rival(1000 + DEFEND_INTERVAL_MS);
    expect(script.state.phase).toBe('holding');
  });
});

describe('withdrawing', () => {
  it('deletes the address at once and is idle when the kernel confirms', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    script.at(5, { kind: 'present', isPresent: true });
    expect(kinds(script.wishAt(1000, { verdict: 'drop' }))).toEqual(['delete']);
    expect(isIdle(script.state)).toBe(false);
    expect(kinds(script.at(1003, { kind: 'present', isPresent: false }))).toEqual(['down']);
    expect(isIdle(script.state)).toBe(true);
  });

  it('deletes again every second while the kernel still reports it', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    script.at(5, { kind: 'present', isPresent: true });
    script.wishAt(1000, { verdict: 'drop' });
    script.until(3500);
    expect(script.times('delete')).toEqual([1000, 2000, 3000]);
  });

  it('deletes a claim whose report is still on its way', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    expect(kinds(script.wishAt(1, { verdict: 'drop' }))).toEqual(['delete']);
    script.at(2, { kind: 'present', isPresent: true });
    expect(kinds(script.at(3, { kind: 'present', isPresent: false }))).toEqual(['down']);
  });

  it('is done a second after a claim that never showed', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    script.wishAt(1, { verdict: 'drop' });
    script.until(1100);
    expect(script.state.phase).toBe('idle');
  });

  it('calls an address that vanishes with the wish withdrawn, not put back', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    script.at(5, { kind: 'present', isPresent: true });
    script.until(1000);
    script.wish = { ...script.wish, verdict: 'drop' };
    expect(kinds(script.at(1000, { kind: 'present', isPresent: false }))).toEqual(['delete', 'down']);
    expect(script.state.phase).toBe('idle');
  });

  it('removes what it finds without being wanted, and leaves what is undecided', () => {
    const script = new VipScript({}, 'by hand');
    script.wish = { ...script.wish, verdict: 'undecided' };
    expect(script.at(0, { kind: 'present', isPresent: true })).toEqual([]);
    expect(script.until(5000)).toEqual([]);
    expect(isIdle(script.state)).toBe(false);
    expect(kinds(script.wishAt(5000, { verdict: 'drop' }))).toEqual(['delete']);
  });

  it('removes an address that appears while probing', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold' });
    script.at(10, { kind: 'present', isPresent: true });
    expect(kinds(script.wishAt(20, { verdict: 'drop' }))).toEqual(['delete']);
  });

  it('is turned into a claim again when the address is wanted before it is gone', () => {
    const script = new VipScript({}, 'by hand');
    script.wishAt(0, { verdict: 'hold', hasConsent: true });
    script.at(5, { kind: 'present', isPresent: true });
    script.wishAt(1000, { verdict: 'drop', hasConsent: false });
    script.wishAt(1001, { verdict: 'hold' });
    script.at(1002, { kind: 'present', isPresent: false });
    script.at(1003, { kind: 'present', isPresent: true });
    expect(script.state.phase).toBe('holding');
  });
});
