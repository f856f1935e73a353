import { describe, expect, it } from 'vitest';
import { monotonic } from '../../../src/base/time.ts';
import { startVip, type VipEvent, type VipState, type VipWish } from '../../../src/vip/vip-state.ts';
import { isWireSilent, stepVip } from '../../../src/vip/vip.ts';
import { ip, mac } from '../base/values.ts';
import { RULES } from './script.ts';

const SUSPECT: VipWish = {
  verdict: 'suspect',
  hasConsent: false,
  lifetimeLimit: monotonic(0),
  isYielding: false,
  isHolderLost: false,
  isSucceeding: false,
};
const RIVAL: VipEvent = { kind: 'rival', mac: mac('02:00:00:00:00:02') };

/** Suspects from 0 to `until`, the holder answering at these moments; then the first moment at which the wire is silent. */
function silentAt(answers: readonly number[], until = 2000): number | undefined {
  let state: VipState = startVip({ ip: ip('10.0.0.50'), length: 32 }, monotonic(0));
  for (let at = 0; at <= until; at += 1) {
    const events: readonly VipEvent[] = answers.includes(at) ? [RIVAL] : [{ kind: 'tick' }];
    for (const event of events) state = stepVip(RULES, state, SUSPECT, event, monotonic(at)).state;
    if (at > Math.max(0, ...answers) && isWireSilent(RULES, state, monotonic(at))) return at;
  }
  return undefined;
}

describe('the silence of a holder that is suspected', () => {
  it('takes a tenth of a second when it never answered', () => {
    expect(silentAt([])).toBe(100);
  });

  it('takes three of its gaps when it answered every 10 ms: a kernel whose lifetime ended', () => {
    const answers = Array.from({ length: 20 }, (_, index) => 2 + index * 10);
    const last = answers.at(-1) ?? 0;
    expect(silentAt(answers)).toBeGreaterThanOrEqual(last + 30);
    expect(silentAt(answers)).toBeLessThanOrEqual(last + 40);
  });

  it('takes longer where answers come late: a machine whose cores are busy', () => {
    const answers = [5, 65, 120, 190];
    expect(silentAt(answers)).toBeGreaterThanOrEqual(190 + 3 * 70);
  });

  it('takes half a second at most', () => {
    expect(silentAt([5, 405])).toBeLessThanOrEqual(405 + 500 + 10);
  });

  it('does not grow by the time this process stood still: the answers may lie in its own socket', () => {
    let state: VipState = startVip({ ip: ip('10.0.0.50'), length: 32 }, monotonic(0));
    const at = (now: number, event: VipEvent): void => {
      state = stepVip(RULES, state, SUSPECT, event, monotonic(now)).state;
    };
    for (let now = 0; now <= 100; now += 10) {
      at(now, { kind: 'tick' });
      at(now + 1, RIVAL);
    }
    at(110, { kind: 'tick' });
    expect(isWireSilent(RULES, state, monotonic(500)), 'asleep from 110 on').toBe(false);
    at(500, { kind: 'tick' });
    expect(isWireSilent(RULES, state, monotonic(505))).toBe(false);
    at(506, RIVAL);
    for (let now = 510; now <= 580; now += 10) at(now, { kind: 'tick' });
    expect(isWireSilent(RULES, state, monotonic(586)), 'and its own sleep taught it nothing').toBe(true);
  });
});

describe('the wait for the kernel of a process that is gone', () => {
  it('is asked every 4 ms, and what slower questions taught of its gaps counts no more', () => {
    let state: VipState = startVip({ ip: ip('10.0.0.50'), length: 32 }, monotonic(0));
    const at = (now: number, wish: VipWish, event: VipEvent): number => {
      const stepped = stepVip(RULES, state, wish, event, monotonic(now));
      state = stepped.state;
      return stepped.outputs.filter(({ kind }) => kind === 'probe').length;
    };
    for (let now = 0; now < 100; now += 10) {
      at(now, SUSPECT, { kind: 'tick' });
      at(now + 9, SUSPECT, RIVAL);
    }
    const hold: VipWish = { ...SUSPECT, verdict: 'hold', isHolderLost: true, lifetimeLimit: monotonic(60_000) };
    let probes = 0;
    for (let now = 100; now < 140; now += 1) {
      probes += at(now, hold, { kind: 'tick' });
      if (now % 4 === 1) at(now, hold, RIVAL);
    }
    expect(probes).toBeGreaterThanOrEqual(9);
    for (let now = 140; now <= 155; now += 1) at(now, hold, { kind: 'tick' });
    expect(state.phase, 'claimed 18 ms after the last answer, at 137').toBe('claiming');
  });
});
