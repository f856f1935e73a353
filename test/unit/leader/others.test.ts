import { describe, expect, it } from 'vitest';
import { monotonic } from '../../../src/base/time.ts';
import {
  countMissingOther,
  followOthers,
  hearOther,
  isOtherDraining,
  isOtherLost,
  memberHash,
  MISSES_MAX,
  missesOf,
  OTHER_GRACE_MS,
  othersDeadline,
  paceOf,
  voterMajorityLostAt,
} from '../../../src/leader/others.ts';
import {
  ageView,
  changeVoters,
  hearHeartbeat,
  isHeard,
  startView,
  type Heartbeat,
  type ViewRules,
  type ViewState,
} from '../../../src/leader/view.ts';

const VOTER: ViewRules = { self: 'a', intervalMs: 100, multiplier: 3 };
const MEMBER: ViewRules = { ...VOTER, self: 'x' };

function beat(sender: string, change: Partial<Heartbeat> = {}): Heartbeat {
  return {
    sender,
    incarnation: `${sender}-1`,
    sequence: 1,
    epoch: 1,
    hears: 0b111,
    supports: undefined,
    term: 3,
    isApiWorking: true,
    isEligible: true,
    isDraining: false,
    isHolding: false,
    isLeading: false,
    isProvisional: false,
    priority: 100,
    misses: [],
    intervalMs: 100,
    ...change,
  };
}

/** Voters a, b and c; x and y without a vote, as `self` sees them from 0 on. */
function viewOf(self: 'a' | 'x'): ViewState {
  const voters = ['a', 'b', 'c'].map((name) => ({ name, addresses: ['192.0.2.1'], port: 6460 }));
  const view = changeVoters(startView(), { epoch: 1, voters }, monotonic(0));
  return followOthers(view, self === 'a' ? ['x', 'y'] : ['y'], monotonic(0));
}

function heard(view: ViewState, at: number, ...beats: readonly Heartbeat[]): ViewState {
  return beats.reduce((state, one) => hearOther(VOTER, state, one, monotonic(at)).view, view);
}

function told(rules: ViewRules, view: ViewState, at: number, ...beats: readonly Heartbeat[]): ViewState {
  return beats.reduce((state, one) => hearHeartbeat(rules, state, one, monotonic(at)).view, view);
}

describe('a member without a vote', () => {
  it('is called by the first 32 bits of the SHA-256 of its name', () => {
    // printf node-12 | sha256sum
    expect(memberHash('node-12').toString(16).padStart(8, '0')).toBe('d54ad197');
  });

  it('is missed after as many of its own intervals as a voter is of its', () => {
    const view = heard(viewOf('a'), 1000, beat('x', { intervalMs: 400 }), beat('y'));
    expect(missesOf(VOTER, view, monotonic(1299))).toEqual([]);
    expect(missesOf(VOTER, view, monotonic(1300))).toEqual([memberHash('y')]);
    expect(missesOf(VOTER, view, monotonic(2200))).toEqual([memberHash('x'), memberHash('y')]);
    expect(othersDeadline(VOTER, view, monotonic(1000))).toBe(1300);
    expect(othersDeadline(VOTER, view, monotonic(1300))).toBe(2200);
  });

  it("is not believed an interval that nobody's clock should wait for, nor one of nothing", () => {
    const slow = heard(viewOf('a'), 1000, beat('x', { intervalMs: 60_000 }), beat('y', { intervalMs: 0 }));
    expect(missesOf(VOTER, slow, monotonic(1300))).toEqual([memberHash('y')]);
    expect(missesOf(VOTER, slow, monotonic(7000))).toContain(memberHash('x'));
  });

  it('is given time to be heard at first, and is not forgotten with each change of the others', () => {
    const view = viewOf('a');
    expect(missesOf(VOTER, view, monotonic(OTHER_GRACE_MS - 1))).toEqual([]);
    expect(missesOf(VOTER, view, monotonic(OTHER_GRACE_MS))).toHaveLength(2);
    const known = heard(view, 1000, beat('x'));
    const changed = followOthers(known, ['x', 'z'], monotonic(1200));
    expect(changed.others.get('x')).toBe(known.others.get('x'));
    expect(followOthers(changed, ['z', 'x'], monotonic(1300))).toBe(changed);
  });

  it('is heard by its number and incarnation, and by nobody who does not know it', () => {
    const view = heard(viewOf('a'), 1000, beat('x', { sequence: 7 }));
    expect(hearOther(VOTER, view, beat('x', { sequence: 7 }), monotonic(1100)).verdict).toBe('replayed');
    expect(hearOther(VOTER, view, beat('x', { incarnation: 'x-2' }), monotonic(1100)).verdict).toBe('taken');
    expect(hearOther(VOTER, view, beat('z'), monotonic(1100)).verdict).toBe('stranger');
  });

  it('counts as heard that much longer ago when the clocks jumped', () => {
    const view = ageView(heard(viewOf('a'), 1000, beat('x'), beat('y')), 200);
    expect(missesOf(VOTER, view, monotonic(1100))).toHaveLength(2);
  });

  it('is lost when a majority of the voters misses it, whoever asks', () => {
    const misses = [memberHash('x')];
    const alive = heard(viewOf('a'), 1000, beat('x'), beat('y'));
    const one = told(VOTER, alive, 1100, beat('b', { misses }), beat('c'));
    expect([
      countMissingOther(VOTER, one, 'x', monotonic(1200)),
      isOtherLost(VOTER, one, 'x', monotonic(1200)),
    ]).toEqual([1, false]);
    // Our own ears are the second; c has said nothing else, and is still heard.
    expect(isOtherLost(VOTER, told(VOTER, one, 1250, beat('b', { misses, sequence: 2 })), 'x', monotonic(1300))).toBe(
      true,
    );
    const elsewhere = told(MEMBER, viewOf('x'), 1000, beat('b', { misses: [memberHash('y')] }), beat('c'));
    expect(isOtherLost(MEMBER, elsewhere, 'y', monotonic(1100))).toBe(false);
    const both = told(MEMBER, elsewhere, 1100, beat('c', { sequence: 2, misses: [memberHash('y')] }));
    expect(isOtherLost(MEMBER, both, 'y', monotonic(1200))).toBe(true);
    expect(isOtherLost(MEMBER, both, 'y', monotonic(1400)), 'what nobody says any more counts no more').toBe(false);
  });

  it('is missed whatever voter set the voters speak of', () => {
    const view = told(
      VOTER,
      viewOf('a'),
      1000,
      ...['b', 'c'].map((name) => beat(name, { epoch: 2, misses: [memberHash('x')] })),
    );
    expect(isOtherLost(VOTER, view, 'x', monotonic(1100))).toBe(true);
  });

  it('says by itself that it goes; its silence says nothing', () => {
    const view = heard(viewOf('a'), 1000, beat('x', { isDraining: true }), beat('y'));
    expect([isOtherDraining(view, 'x', monotonic(1100)), isOtherDraining(view, 'y', monotonic(1100))]).toEqual([
      true,
      false,
    ]);
    expect(isOtherDraining(view, 'x', monotonic(1300))).toBe(false);
  });
});

describe('a node without a vote', () => {
  it('hears a majority of the voters for as long as they said they need', () => {
    const view = told(MEMBER, viewOf('x'), 1000, beat('a', { intervalMs: 300 }), beat('b', { intervalMs: 300 }));
    expect(isHeard(MEMBER, view, 'a', monotonic(1899))).toBe(true);
    expect(voterMajorityLostAt(view, monotonic(1899))).toBeUndefined();
    expect(voterMajorityLostAt(view, monotonic(1900))).toBe(1900);
    expect(voterMajorityLostAt(viewOf('x'), monotonic(500)), 'none heard yet').toBe(0);
  });

  it('misses nobody: that is for the voters to say', () => {
    expect(missesOf(MEMBER, viewOf('x'), monotonic(10_000))).toEqual([]);
    expect(othersDeadline(MEMBER, viewOf('x'), monotonic(0))).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('many members without a vote', () => {
  it('beat less often, so that no voter has to take more than sixteen an interval', () => {
    expect([0, 1, 16, 17, 91, 160, 500].map(paceOf)).toEqual([1, 1, 1, 2, 6, 10, 10]);
  });

  it('are named in a heartbeat as far as they fit, those that fell silent last', () => {
    const names = Array.from({ length: MISSES_MAX + 6 }, (_, index) => `node-${index}`);
    const known = followOthers(viewOf('a'), names, monotonic(0));
    const view = heard(known, 5000, ...names.map((name) => beat(name)));
    const later = heard(view, 6000, ...names.slice(0, 6).map((name) => beat(name, { sequence: 2 })));
    const misses = missesOf(VOTER, later, monotonic(9000));
    expect(misses).toHaveLength(MISSES_MAX);
    expect(new Set(misses.slice(0, 6))).toEqual(new Set(names.slice(0, 6).map(memberHash)));
  });
});
