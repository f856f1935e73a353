import { describe, expect, it } from 'vitest';
import { monotonic } from '../../../src/base/time.ts';
import {
  ageView,
  changeVoters,
  hasSupport,
  hearHeartbeat,
  hearsBitmap,
  hearsMajority,
  isMissedByMajority,
  isOverdue,
  majorityLostAt,
  majorityOf,
  replacedBy,
  startView,
  succession,
  type Heartbeat,
  type ViewRules,
  type ViewState,
} from '../../../src/leader/view.ts';

const RULES: ViewRules = { self: 'a', intervalMs: 100, multiplier: 3 };
const WELL = { isEligible: true, isDraining: false, isApiWorking: true, priority: 100 };

function beat(sender: string, change: Partial<Heartbeat> = {}): Heartbeat {
  return {
    sender,
    incarnation: `${sender}-1`,
    sequence: 1,
    epoch: 1,
    hears: 0b111,
    supports: undefined,
    term: 3,
    isHolding: false,
    isLeading: false,
    isProvisional: false,
    misses: [],
    intervalMs: 100,
    ...WELL,
    ...change,
  };
}

function viewOf(names: string, epoch = 1): ViewState {
  const voters = names.split('').map((name) => ({ name, addresses: [`10.0.0.${name.charCodeAt(0)}`], port: 6460 }));
  return changeVoters(startView(), { epoch, voters }, monotonic(-1000));
}

function heard(view: ViewState, at: number, ...beats: readonly Heartbeat[]): ViewState {
  return beats.reduce((state, one) => hearHeartbeat(RULES, state, one, monotonic(at)).view, view);
}

describe('a heartbeat', () => {
  it('is taken from voters only, and never from oneself', () => {
    const view = viewOf('abc');
    expect(hearHeartbeat(RULES, view, beat('z'), monotonic(0)).verdict).toBe('stranger');
    expect(hearHeartbeat(RULES, view, beat('a'), monotonic(0)).verdict).toBe('own');
    expect(hearHeartbeat(RULES, view, beat('b'), monotonic(0)).verdict).toBe('taken');
  });

  it('changes nothing when its sequence does not grow, and begins anew with an incarnation', () => {
    const view = heard(viewOf('abc'), 0, beat('b', { sequence: 7 }));
    const replay = hearHeartbeat(RULES, view, beat('b', { sequence: 7 }), monotonic(200));
    expect(replay.verdict).toBe('replayed');
    expect(hearsBitmap(RULES, replay.view, monotonic(300))).toBe(0b001);
    const anew = hearHeartbeat(RULES, view, beat('b', { sequence: 1, incarnation: 'b-2' }), monotonic(200));
    expect(anew.verdict).toBe('taken');
  });

  it('is missed after exactly multiplier intervals, and overdue after one and a half', () => {
    const view = heard(viewOf('abc'), 1000, beat('b'));
    expect(isOverdue(RULES, view, 'b', monotonic(1149))).toBe(false);
    expect(isOverdue(RULES, view, 'b', monotonic(1150))).toBe(true);
    expect(hearsBitmap(RULES, view, monotonic(1299))).toBe(0b011);
    expect(hearsBitmap(RULES, view, monotonic(1300))).toBe(0b001);
  });

  it('counts as heard that much longer ago when the clocks jumped', () => {
    const view = ageView(heard(viewOf('abc'), 1000, beat('b')), 200);
    expect(hearsBitmap(RULES, view, monotonic(1100))).toBe(0b001);
  });
});

describe('a majority', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [9, 5],
  ])('of %i voters is %i', (count, majority) => {
    expect(majorityOf(count)).toBe(majority);
  });

  it('is heard with oneself counted', () => {
    expect(hearsMajority(RULES, viewOf('a'), monotonic(0))).toBe(true);
    expect(hearsMajority(RULES, viewOf('abc'), monotonic(0))).toBe(false);
    expect(hearsMajority(RULES, heard(viewOf('abc'), 0, beat('b')), monotonic(10))).toBe(true);
    expect(hearsMajority(RULES, heard(viewOf('abcde'), 0, beat('b')), monotonic(10))).toBe(false);
  });

  it('is nobody’s who is not a voter', () => {
    expect(hearsMajority(RULES, heard(viewOf('bcd'), 0, beat('b'), beat('c')), monotonic(10))).toBe(false);
    expect(isMissedByMajority(RULES, heard(viewOf('bcd'), 0, beat('b', { hears: 0 })), 'c', monotonic(10))).toBe(false);
  });
});

describe('missing the holder', () => {
  it('takes a majority: our own ears and the bitmaps of those we hear', () => {
    const view = heard(viewOf('abc'), 0, beat('b', { hears: 0b011 }));
    expect(isMissedByMajority(RULES, view, 'c', monotonic(10))).toBe(true);
    const another = heard(viewOf('abc'), 0, beat('b', { hears: 0b111 }));
    expect(isMissedByMajority(RULES, another, 'c', monotonic(10))).toBe(false);
  });

  it('does not count the word of a voter that is itself silent, or speaks of another voter set', () => {
    const stale = heard(viewOf('abc'), 0, beat('b', { hears: 0b011 }));
    expect(isMissedByMajority(RULES, stale, 'c', monotonic(300))).toBe(false);
    const foreign = heard(viewOf('abc'), 0, beat('b', { hears: 0b011, epoch: 2 }));
    expect(isMissedByMajority(RULES, foreign, 'c', monotonic(10))).toBe(false);
  });

  it('counts the others even while we hear the holder ourselves', () => {
    const view = heard(viewOf('abcde'), 0, beat('e'), ...['b', 'c', 'd'].map((name) => beat(name, { hears: 0b01111 })));
    expect(isMissedByMajority(RULES, view, 'e', monotonic(10))).toBe(true);
  });

  it('never concerns a holder that sends no heartbeats, or ourselves', () => {
    const view = heard(viewOf('abc'), 0, beat('b', { hears: 0 }), beat('c', { hears: 0 }));
    expect(isMissedByMajority(RULES, view, 'kube-vip', monotonic(10))).toBe(false);
    expect(isMissedByMajority(RULES, view, 'a', monotonic(10))).toBe(false);
  });
});

describe('a new voter set', () => {
  it('gives everybody time to be heard before anybody is missed', () => {
    const view = changeVoters(startView(), viewOf('abc').set ?? { epoch: 1, voters: [] }, monotonic(0));
    expect(hearsBitmap(RULES, view, monotonic(299))).toBe(0b111);
    expect(hearsBitmap(RULES, view, monotonic(300))).toBe(0b001);
    expect(isMissedByMajority(RULES, heard(view, 0, beat('b', { hears: 0b011 })), 'c', monotonic(299))).toBe(false);
    expect(isMissedByMajority(RULES, heard(view, 10, beat('b', { hears: 0b011 })), 'c', monotonic(300))).toBe(true);
  });
});

describe('succession', () => {
  it('prefers a working API, then priority, then the place in the set', () => {
    const view = heard(viewOf('abc'), 0, beat('b', { priority: 200 }), beat('c'));
    expect(succession(RULES, view, WELL, monotonic(10))).toEqual(['b', 'a', 'c']);
    const ill = heard(viewOf('abc'), 0, beat('b', { priority: 200, isApiWorking: false }), beat('c'));
    expect(succession(RULES, ill, WELL, monotonic(10))).toEqual(['a', 'c', 'b']);
  });

  it('leaves out who is silent or unable, and takes who is being drained last', () => {
    const view = heard(
      viewOf('abcd'),
      0,
      beat('b', { isDraining: true, priority: 200 }),
      beat('c', { isEligible: false }),
    );
    expect(succession(RULES, view, WELL, monotonic(10))).toEqual(['a', 'b']);
    expect(succession(RULES, view, { ...WELL, isEligible: false }, monotonic(10))).toEqual(['b']);
  });
});

describe('support', () => {
  it('is a majority that names us, ourselves counted', () => {
    expect(hasSupport(RULES, heard(viewOf('abc'), 0, beat('b', { supports: 0 })), monotonic(10))).toBe(true);
    expect(hasSupport(RULES, heard(viewOf('abc'), 0, beat('b', { supports: 1 })), monotonic(10))).toBe(false);
    expect(hasSupport(RULES, heard(viewOf('abc'), 0, beat('b')), monotonic(10))).toBe(false);
  });
});

describe('being replaced', () => {
  it('is to hear a holder of a later term', () => {
    const view = heard(viewOf('abc'), 0, beat('b', { isHolding: true, term: 4 }));
    const own = (term: number): { term: number; isProvisional: boolean } => ({ term, isProvisional: false });
    expect(replacedBy(RULES, view, own(3), monotonic(10))).toBe('b');
    expect(replacedBy(RULES, view, own(4), monotonic(10))).toBeUndefined();
    expect(replacedBy(RULES, heard(viewOf('abc'), 0, beat('b', { term: 9 })), own(3), monotonic(10))).toBeUndefined();
  });

  it('is, of two that claimed without the API in one term, to be the later by place', () => {
    const view = heard(viewOf('abc'), 0, beat('b', { isHolding: true, isProvisional: true, term: 4 }));
    const provisional = { term: 4, isProvisional: true };
    expect(replacedBy({ ...RULES, self: 'c' }, view, provisional, monotonic(10))).toBe('b');
    expect(replacedBy(RULES, view, provisional, monotonic(10))).toBeUndefined();
    const ratified = heard(viewOf('abc'), 0, beat('b', { isHolding: true, term: 4 }));
    expect(replacedBy(RULES, ratified, provisional, monotonic(10))).toBe('b');
  });
});

describe('since when no majority has been heard', () => {
  const set = { epoch: 1, voters: ['a', 'b', 'c'].map((name) => ({ name, addresses: [], port: 1 })) };
  const heard = (sender: string, at: number, view: ViewState): ViewState =>
    hearHeartbeat(RULES, view, beat(sender), monotonic(at)).view;

  it('is when the last heartbeat that made one up stopped counting, not when it is noticed', () => {
    const view = heard('c', 1200, heard('b', 1000, changeVoters(startView(), set, monotonic(0))));
    expect(majorityLostAt(RULES, view, monotonic(1400))).toBeUndefined();
    expect(majorityLostAt(RULES, view, monotonic(9000))).toBe(1500);
  });

  it('moves back with time that our clock did not count', () => {
    const view = heard('b', 1000, changeVoters(startView(), set, monotonic(0)));
    expect(majorityLostAt(RULES, ageView(view, 800), monotonic(1010))).toBe(500);
  });

  it('is not before the voter set was taken in, and unknown to who has no vote', () => {
    const view = changeVoters(startView(), set, monotonic(700));
    expect(majorityLostAt(RULES, view, monotonic(800))).toBe(700);
    expect(majorityLostAt({ ...RULES, self: 'z' }, view, monotonic(800))).toBeUndefined();
  });
});
