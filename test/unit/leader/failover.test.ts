import { describe, expect, it } from 'vitest';
import { ALONE, type Assessment } from '../../../src/leader/tenure.ts';
import { HANDOVER_ANNOTATION, INCARNATION_ANNOTATION } from '../../../src/leader/lease-write.ts';
import { ElectionScript, kinds, record } from './script.ts';

/** Three voters, everybody well. */
const WELL: Assessment = { ...ALONE, voterCount: 3, hearsMajority: true, isHeldElsewhere: true, isApiElsewhere: true };
/** The holder is gone: two of three miss it, nobody answers for the address, and we are next. */
const GONE: Assessment = {
  ...WELL,
  isHeldElsewhere: false,
  holder: 'c',
  isHolderMissed: true,
  isNext: true,
  hasSupport: true,
  isWireSilent: true,
};
const OUTAGE: Assessment = { ...WELL, isApiElsewhere: false };

function follower(): ElectionScript {
  const script = new ElectionScript();
  script.assessment = WELL;
  script.at(0, { kind: 'eligible', isEligible: true });
  script.observe(0, record('c', '50'));
  return script;
}

describe('deposing a silent holder', () => {
  it('is a CAS at once, long before the Lease expires', () => {
    const script = follower();
    expect(script.assess(300, GONE)).toMatchObject([{ kind: 'lease.update', lease: { holder: 'a', transitions: 4 } }]);
    expect(script.accept(310)).toMatchObject([
      { kind: 'gained', cause: 'silent', isProvisional: false, consent: false },
    ]);
  });

  it('comes before the wire is silent when the holder has been missed for long, but never without the API then', () => {
    const script = follower();
    const lost = { ...GONE, isWireSilent: false, isHolderLost: true };
    expect(script.assess(300, lost)).toMatchObject([{ kind: 'lease.update', lease: { holder: 'a' } }]);
    expect(script.until(700), 'nothing is claimed provisionally while a kernel answers').toEqual([]);
    expect(script.accept(800)).toMatchObject([{ kind: 'gained', cause: 'silent', isProvisional: false }]);
  });

  it('is about the holder that was missed, not about one that has taken the Lease in the same moment', () => {
    const script = follower();
    script.assess(300, GONE);
    expect(script.fail(305, 'conflict')).toMatchObject([{ kind: 'lease.read' }]);
    expect(script.observe(310, record('b', '51'), 'read')).toEqual([]);
    expect(script.until(311)).toEqual([]);
  });

  it('is given back when its write comes through after this node was told to go', () => {
    const script = follower();
    script.assess(300, GONE);
    script.assessment = OUTAGE;
    script.at(310, { kind: 'eligible', isEligible: false });
    script.fail(2300, 'timeout');
    const late = script.observe(2400, record('a', '60', { transitions: 4 }));
    expect(late).toMatchObject([{ kind: 'lease.update', lease: { holder: '' } }]);
  });

  it.each([
    ['another is heard to hold', { isHeldElsewhere: true }],
    ['the majority doesn’t miss it', { isHolderMissed: false }],
    ['somebody answers on the wire', { isWireSilent: false }],
    ['another is next', { isNext: false }],
    ['we hear no majority ourselves', { hearsMajority: false }],
  ])('does not happen while %s', (_, change) => {
    const script = follower();
    script.assessment = { ...GONE, ...change };
    expect(script.until(4900)).toEqual([]);
  });

  it('is provisional when nobody answers the CAS within the patience, and ratified by the late answer', () => {
    const script = follower();
    script.assess(300, GONE);
    const claimed = script.until(400);
    expect(claimed).toMatchObject([{ at: 400, output: { kind: 'gained', cause: 'silent', isProvisional: true } }]);
    script.assessment = { ...OUTAGE, isHeldElsewhere: false };
    expect(script.accept(750)).toMatchObject([{ kind: 'ratified', afterMs: 350 }]);
    expect(script.state.provisionalSince).toBeUndefined();
  });

  it('is never provisional without the support of a majority', () => {
    const script = follower();
    script.assess(300, { ...GONE, hasSupport: false });
    expect(script.until(2000)).toEqual([]);
    expect(script.state.phase).toBe('following');
  });

  it('is provisional at once when no API server can be reached', () => {
    const script = follower();
    script.assess(300, GONE);
    expect(script.fail(305, 'unreachable')).toMatchObject([{ kind: 'gained', isProvisional: true }]);
  });

  it('ends at once when the Lease turns out to be another’s', () => {
    const script = follower();
    script.assess(300, GONE);
    script.fail(305, 'unreachable');
    expect(kinds(script.observe(700, record('b', '60')))).toContain('lost');
  });

  it('survives the lost holder’s last renewal, which we had not seen, but not a second one', () => {
    const script = follower();
    script.assess(300, GONE);
    script.fail(305, 'unreachable');
    expect(kinds(script.observe(700, record('c', '60')))).toEqual(['lease.update']);
    expect(script.state.phase).toBe('leading');
    script.fail(710, 'conflict');
    expect(kinds(script.read(720, record('c', '70')))).toContain('lost');
  });
});

describe('tenure while no API server takes writes', () => {
  it('goes on beyond the renew deadline while a majority is heard, none of whom reports the API as working', () => {
    const script = new ElectionScript().lead();
    script.assessment = OUTAGE;
    script.failForever('unreachable', 20_000);
    expect(script.state.phase).toBe('leading');
  });

  it('bears a deaf moment, and ends when no majority is heard for a second', () => {
    const script = new ElectionScript().lead();
    script.assessment = OUTAGE;
    script.failForever('unreachable', 10_000);
    script.assess(10_000, { ...OUTAGE, hearsMajority: false });
    script.failForever('unreachable', 10_900);
    script.assess(10_900, OUTAGE);
    script.failForever('unreachable', 12_000);
    expect(script.state.phase).toBe('leading');
    script.assess(12_000, { ...OUTAGE, hearsMajority: false });
    script.failForever('unreachable', 13_100);
    expect(script.state.phase).toBe('following');
  });

  it('is not given by a set of one voter: that says nothing of who can’t register', () => {
    const script = new ElectionScript().lead();
    script.assessment = { ...OUTAGE, voterCount: 1 };
    script.failForever('unreachable', 4000);
    expect(script.state.phase).toBe('following');
  });

  it('ends with the renew deadline without heartbeats', () => {
    const script = new ElectionScript().lead();
    script.failForever('unreachable', 4000);
    expect(script.state.phase).toBe('following');
  });

  it('ends when a voter goes on reporting the API as working', () => {
    const script = new ElectionScript().lead();
    script.assessment = WELL;
    script.failForever('unreachable', 7000);
    expect(script.state.phase).toBe('following');
  });

  it('asks the API at once when no majority is heard, and ends within a second when that can’t be reached', () => {
    const script = new ElectionScript().lead();
    script.assessment = WELL;
    expect(kinds(script.assess(200, { ...WELL, hearsMajority: false }))).toEqual(['lease.update']);
    script.failForever('unreachable', 1199);
    expect(script.state.phase).toBe('leading');
    expect(script.until(1200)).toContainEqual({ at: 1200, output: { kind: 'lost', cause: 'isolated', holder: 'a' } });
  });

  it('ends within a second for who hears no majority and gets no answer', () => {
    const script = new ElectionScript().lead();
    script.assess(200, { ...WELL, hearsMajority: false });
    expect(script.until(1200).at(-1)).toMatchObject({ at: 1200, output: { kind: 'lost', cause: 'isolated' } });
  });

  it('goes on for who hears no majority but reaches the API', () => {
    const script = new ElectionScript().lead();
    script.assess(200, { ...WELL, hearsMajority: false });
    script.accept(220);
    expect(script.until(900).filter(({ output }) => output.kind === 'lost')).toEqual([]);
    expect(script.state.phase).toBe('leading');
  });

  it('ends when a voter holds the addresses under a later term', () => {
    const script = new ElectionScript().lead();
    expect(script.assess(200, { ...WELL, replacedBy: 'b' })).toMatchObject([{ kind: 'lost', cause: 'replaced' }]);
  });

  it('leaves the Lease to a holder that is heard and holds, however old it looks', () => {
    const script = follower();
    expect(script.until(20_000)).toEqual([]);
    expect(kinds(script.assess(20_000, { ...WELL, isHeldElsewhere: false }))).toEqual(['lease.update']);
  });
});

describe('a planned handover', () => {
  it('writes the successor’s name and says who handed over, then renews no more', () => {
    const script = new ElectionScript().lead();
    const [sent] = script.at(200, { kind: 'hand-over', to: 'b' });
    expect(sent).toMatchObject({ kind: 'lease.update', stamp: 'acquire', lease: { holder: 'b', transitions: 1 } });
    const annotations = sent?.kind === 'lease.update' ? sent.lease.annotations : {};
    expect(annotations[HANDOVER_ANNOTATION]).toBe('a/1');
    expect(annotations[INCARNATION_ANNOTATION]).toBeUndefined();
    expect(script.accept(210)).toMatchObject([{ kind: 'handed-over', to: 'b', isWritten: true }]);
    expect(script.until(1500)).toEqual([]);
    expect(script.state.phase).toBe('leading');
  });

  it('waits for a renewal under way', () => {
    const script = new ElectionScript().lead();
    script.until(1050);
    expect(script.state.pending?.purpose).toBe('renew');
    expect(script.at(1050, { kind: 'hand-over', to: 'b' })).toEqual([]);
    expect(script.accept(1100)).toMatchObject([{ kind: 'lease.update', lease: { holder: 'b' } }]);
  });

  it('is given up when it can’t be written', () => {
    const script = new ElectionScript().lead();
    script.at(200, { kind: 'hand-over', to: 'b' });
    expect(script.fail(210, 'timeout')[0]).toMatchObject({ kind: 'handed-over', isWritten: false });
  });

  it('is taken up by the successor at once, without a probe', () => {
    const script = new ElectionScript();
    script.assessment = WELL;
    script.at(0, { kind: 'eligible', isEligible: true });
    script.observe(0, record('c', '50'));
    const handed = record('a', '51', { transitions: 4, annotations: { [HANDOVER_ANNOTATION]: 'c/4' } });
    expect(script.observe(100, handed)).toMatchObject([
      { kind: 'lease.update', lease: { holder: 'a', transitions: 4 } },
    ]);
    expect(script.accept(110)).toMatchObject([
      { kind: 'gained', cause: 'handed-over', consent: true, previousHolder: 'c' },
    ]);
  });
});
