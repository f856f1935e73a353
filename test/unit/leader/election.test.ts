import { describe, expect, it } from 'vitest';
import type { ElectionOutput } from '../../../src/leader/election-state.ts';
import { isSettled } from '../../../src/leader/election.ts';
import { INCARNATION_ANNOTATION, WITHDRAWN_ANNOTATION } from '../../../src/leader/lease-write.ts';
import { ElectionScript, kinds, record } from './script.ts';

function eligible(script = new ElectionScript()): ElectionScript {
  script.at(0, { kind: 'eligible', isEligible: true });
  return script;
}

function gain(outputs: readonly ElectionOutput[]): Extract<ElectionOutput, { kind: 'gained' }> {
  const found = outputs.find((output) => output.kind === 'gained');
  if (found === undefined) throw new Error(`no gain among ${kinds(outputs).join()}`);
  return found;
}

/** A 'following' candidate that has seen another's Lease at 0. */
function followerOf(holder: string): ElectionScript {
  const script = eligible();
  script.observe(0, record(holder, '7'));
  return script;
}

/** When tenure ends by the Lease unless it is renewed. */
function tenureEnd(script: ElectionScript): number {
  return script.state.renewedAt + script.rules.renewDeadlineMs;
}

describe('acquiring', () => {
  it('attempts nothing before it has seen the Lease', () => {
    expect(eligible().until(60_000)).toEqual([]);
  });

  it('attempts nothing while the node is not eligible', () => {
    const script = new ElectionScript();
    script.observe(0, undefined);
    expect(script.until(60_000)).toEqual([]);
  });

  it('creates a Lease that does not exist, within 20 ms', () => {
    const script = eligible();
    script.observe(0, undefined);
    const [created] = script.until(20);
    expect(created?.output).toMatchObject({ kind: 'lease.create', stamp: 'acquire', lease: { holder: 'a' } });
    expect(gain(script.accept(25))).toMatchObject({ cause: 'created', consent: false, previousHolder: '' });
  });

  it('takes a free Lease within 20 ms and knows whether its former holder has withdrawn', () => {
    const script = eligible();
    script.observe(0, record('', '7', { durationMs: 1000 }));
    const [update] = script.until(20);
    expect(update?.output).toMatchObject({ kind: 'lease.update', stamp: 'acquire', lease: { resourceVersion: '7' } });
    expect(gain(script.accept(25))).toMatchObject({ cause: 'free', consent: false });
  });

  it('leaves the Lease of another alone until its duration has passed on our own clock (client-go observed time)', () => {
    const script = followerOf('b');
    expect(script.until(4999)).toEqual([]);
    const [update] = script.until(5100);
    expect(update?.output).toMatchObject({ kind: 'lease.update', stamp: 'acquire', lease: { transitions: 4 } });
    expect(update?.at).toBeGreaterThanOrEqual(5000);
    expect(gain(script.accept(5110))).toMatchObject({ cause: 'expired', previousHolder: 'b' });
  });

  it("counts the holder's duration, not ours", () => {
    const script = eligible();
    script.observe(0, record('b', '7', { durationMs: 15_000 }));
    expect(script.until(14_999)).toEqual([]);
    expect(script.until(15_100)).toHaveLength(1);
  });

  it('starts counting anew with each change of the record', () => {
    const script = followerOf('b');
    script.observe(4000, record('b', '8'));
    expect(script.until(8999)).toEqual([]);
    expect(script.until(9100)).toHaveLength(1);
  });

  it('does not start counting anew when somebody labels the Lease, but swaps on its new version', () => {
    const script = followerOf('b');
    const { renewTime } = record('b', '7');
    script.observe(4000, record('b', '8', { renewTime, labels: { touched: 'yes' } }));
    expect(script.until(5100)).toMatchObject([
      { output: { lease: { resourceVersion: '8', labels: { touched: 'yes' } } } },
    ]);
  });

  it('does not start counting anew when the same record is seen again', () => {
    const script = followerOf('b');
    script.observe(4000, record('b', '7'));
    expect(script.until(5100)).toHaveLength(1);
  });

  it('never compares the times that other machines wrote', () => {
    const script = eligible();
    script.observe(0, record('b', '7', { renewTime: '1999-01-01T00:00:00.000000Z' }));
    expect(script.until(4999)).toEqual([]);
  });

  it('takes its own Lease back at once after a restart', () => {
    const script = eligible();
    script.observe(0, record('a', '7', { annotations: { [INCARNATION_ANNOTATION]: 'a-0' } }));
    expect(script.sent()).toMatchObject({ kind: 'lease.update', stamp: 'renew', lease: { transitions: 3 } });
    expect(gain(script.accept(5))).toMatchObject({ cause: 'own' });
  });

  it('spreads candidates that see the same expiry', () => {
    const times = [1, 2, 3, 4, 5].map((seed) => {
      const script = eligible(new ElectionScript({}, seed));
      script.observe(0, record('b', '7'));
      return script.until(5100)[0]?.at;
    });
    expect(new Set(times).size).toBe(5);
  });

  it('has one call under way at a time', () => {
    const script = followerOf('b');
    expect(script.until(30_000)).toHaveLength(1);
  });
});

describe('what the watch says', () => {
  it('does not believe a record older than the one it knows', () => {
    const script = eligible();
    script.observe(0, record('b', '12'));
    script.observe(1000, record('', '11'));
    expect(script.until(4999)).toEqual([]);
    expect(script.state.observed?.lease?.resourceVersion).toBe('12');
  });

  it('ignores, while leading, its own write arriving late', () => {
    const script = new ElectionScript().lead();
    const mine = script.state.observed?.lease;
    expect(script.observe(50, mine)).toEqual([]);
    expect(script.state.phase).toBe('leading');
  });

  it('loses the lead when a newer record names another', () => {
    const script = new ElectionScript().lead();
    expect(script.observe(50, record('b', '200'))).toMatchObject([{ kind: 'lost', cause: 'superseded', holder: 'b' }]);
  });

  it('asks the API, while leading, when the Lease is said to be gone, and creates it again', () => {
    const script = new ElectionScript().lead();
    expect(kinds(script.observe(50, undefined))).toEqual(['lease.read']);
    expect(kinds(script.fail(60, 'not-found'))).toEqual(['lease.create']);
    expect(script.accept(70)).toEqual([]);
    expect(script.state.phase).toBe('leading');
  });

  it('ends with its tenure when the deleted Lease cannot be read', () => {
    const script = new ElectionScript().lead();
    const end = tenureEnd(script);
    script.observe(50, undefined);
    script.fail(1000, 'timeout');
    while (script.now < end) {
      if (script.state.pending !== undefined) script.fail(Math.min(end, script.now + 300), 'unreachable');
      else script.until(Math.min(end, script.now + 100));
    }
    expect(script.log.filter(({ output }) => output.kind === 'lost')).toMatchObject([
      { at: end, output: { cause: 'tenure-ended' } },
    ]);
  });

  it('creates a deleted Lease as a follower too', () => {
    const script = followerOf('b');
    script.observe(100, undefined);
    expect(script.until(120)).toMatchObject([{ output: { kind: 'lease.create' } }]);
  });

  it('believes a read that goes back (a restored etcd)', () => {
    const script = followerOf('b');
    script.until(5100);
    script.fail(5110, 'conflict');
    script.observe(5120, record('c', '3'), 'read');
    expect(script.state.observed?.lease).toMatchObject({ holder: 'c', resourceVersion: '3' });
    expect(script.until(10_119)).toEqual([]);
    expect(script.until(10_220)).toHaveLength(1);
  });
});

describe('a refused write', () => {
  it('reads the Lease after a conflict, and waits for what it finds', () => {
    const script = followerOf('b');
    script.until(5100);
    expect(kinds(script.fail(5110, 'conflict'))).toEqual(['lease.read']);
    expect(script.observe(5120, record('b', '9'), 'read')).toEqual([]);
    expect(script.until(10_119)).toEqual([]);
  });

  it('reads after "already exists" and "not found"', () => {
    const script = eligible();
    script.observe(0, undefined);
    script.until(20);
    expect(kinds(script.fail(30, 'already-exists'))).toEqual(['lease.read']);
    script.observe(40, record('b', '9'), 'read');
    script.until(5140);
    expect(kinds(script.fail(5150, 'not-found'))).toEqual(['lease.read']);
    script.fail(5160, 'not-found');
    expect(script.until(5660)).toMatchObject([{ output: { kind: 'lease.create' } }]);
  });

  it('loses the lead when the read shows another holder', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    expect(kinds(script.fail(1110, 'conflict'))).toEqual(['lease.read']);
    expect(script.observe(1120, record('b', '200'), 'read')).toMatchObject([{ kind: 'lost', cause: 'superseded' }]);
  });

  it('renews over a change by others that leaves us the holder', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    script.fail(1110, 'conflict');
    const ours = record('a', '200', { labels: { touched: 'yes' } });
    expect(script.observe(1120, ours, 'read')).toMatchObject([
      { kind: 'lease.update', stamp: 'renew', lease: { resourceVersion: '200', labels: { touched: 'yes' } } },
    ]);
    script.accept(1130);
    expect(script.state.phase).toBe('leading');
  });

  it.each(['timeout', 'unreachable', 'server-error', 'throttled', 'forbidden'] as const)(
    'tries again half a second after "%s"',
    (failure) => {
      const script = followerOf('b');
      script.until(5100);
      script.fail(5200, failure);
      expect(script.until(5699)).toEqual([]);
      expect(script.until(5700)).toHaveLength(1);
    },
  );
});

describe('tenure', () => {
  it('renews every retry period, counted from the sending', () => {
    const script = new ElectionScript().lead();
    const sentAt = script.state.renewedAt;
    const [renewal] = script.until(1100);
    expect(renewal).toMatchObject({ at: sentAt + 1000, output: { kind: 'lease.update', stamp: 'renew' } });
  });

  it('counts from the sending of the last good renewal, not from its answer', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    const sentAt = script.state.pending?.sentAt ?? Number.NaN;
    script.accept(sentAt + 900);
    expect(tenureEnd(script)).toBe(sentAt + 3000);
  });

  it('ends after the renew deadline without a good renewal', () => {
    const script = new ElectionScript().lead();
    const end = tenureEnd(script);
    const told = script.until(60_000).filter(({ output }) => output.kind === 'lost');
    expect(told).toEqual([{ at: end, output: { kind: 'lost', cause: 'tenure-ended', holder: 'a' } }]);
  });

  it('ends before anything else is looked at when an event comes too late (a frozen process)', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    const late = tenureEnd(script) + 7000;
    script.until(tenureEnd(script) - 1);
    // The loop was stuck: no tick at the deadline, the answer is the first event.
    const outputs = jump(script, late);
    expect(kinds(outputs)[0]).toBe('lost');
    expect(kinds(outputs)).not.toContain('gained');
  });

  it('goes on trying to get its own Lease back', () => {
    const script = new ElectionScript().lead();
    const end = tenureEnd(script);
    script.until(1100);
    script.fail(end + 100, 'timeout');
    expect(script.until(end + 600)).toMatchObject([{ output: { kind: 'lease.update', lease: { holder: 'a' } } }]);
    expect(gain(script.accept(end + 610))).toMatchObject({ cause: 'own', previousHolder: 'a' });
  });

  it('is regained by an answer that is late, but still within the renew deadline of its sending', () => {
    const script = new ElectionScript().lead();
    script.until(1000);
    script.fail(1100, 'server-error');
    script.until(2900);
    const end = tenureEnd(script);
    const sentAt = script.state.pending?.sentAt ?? Number.NaN;
    script.until(end);
    expect(script.state.phase).toBe('following');
    expect(gain(script.accept(end + 50))).toMatchObject({ cause: 'late-answer', sentAt });
  });

  it('is given back when the answer is too old to act on', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    const sentAt = script.state.pending?.sentAt ?? Number.NaN;
    const outputs = script.accept(sentAt + 3000);
    expect(outputs).toMatchObject([{ kind: 'lease.update', lease: { holder: '' } }]);
    expect(kinds(script.accept(sentAt + 3010))).toEqual(['released']);
  });

  it('is over at once when the clocks jumped beyond it', () => {
    const script = new ElectionScript().lead();
    const outputs = script.at(100, { kind: 'clock.jumped', byMs: 4000 });
    expect(outputs).toMatchObject([{ kind: 'lost', cause: 'clock-jumped' }, { kind: 'lease.update' }]);
  });

  it('is shortened by a smaller jump, and by each of several', () => {
    const script = new ElectionScript().lead();
    const end = tenureEnd(script);
    expect(script.at(100, { kind: 'clock.jumped', byMs: 1000 })).not.toContainEqual(
      expect.objectContaining({ kind: 'lost' }),
    );
    expect(tenureEnd(script)).toBe(end - 1000);
    const outputs = script.at(200, { kind: 'clock.jumped', byMs: 1900 });
    expect(outputs).toContainEqual({ kind: 'lost', cause: 'clock-jumped', holder: 'a' });
  });

  it('counts a renewal under way during a jump from its sending in true time', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    const sentAt = script.state.pending?.sentAt ?? Number.NaN;
    script.at(1100, { kind: 'clock.jumped', byMs: 500 });
    script.accept(1110);
    expect(tenureEnd(script)).toBe(sentAt - 500 + 3000);
  });

  it('says in its deadline when it ends, even while a call is under way', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    expect(script.state.pending).toBeDefined();
    expect(script.deadline).toBe(tenureEnd(script));
  });
});

/** Steps at `at` without the ticks before it, as a process does that was frozen. */
function jump(script: ElectionScript, at: number): readonly ElectionOutput[] {
  const from = script.log.length;
  Object.defineProperty(script, 'deadline', { get: () => Number.POSITIVE_INFINITY, configurable: true });
  script.accept(at);
  Reflect.deleteProperty(script, 'deadline');
  return script.log.slice(from).map(({ output }) => output);
}

describe('releasing', () => {
  it('stops renewing when it resigns, and releases only once its addresses are withdrawn', () => {
    const script = new ElectionScript().lead();
    script.at(100, { kind: 'eligible', isEligible: false });
    expect(script.at(100, { kind: 'resign' })).toEqual([]);
    expect(script.until(1500)).toEqual([]);
    const outputs = script.at(1500, { kind: 'withdrawn', isConfirmed: true });
    expect(outputs).toMatchObject([{ kind: 'lease.update', lease: { holder: '', durationMs: 1000 } }]);
    expect(script.accept(1510)).toEqual([{ kind: 'released', isWritten: true }]);
    expect(isSettled(script.state)).toBe(true);
  });

  it('waits for the renewal under way', () => {
    const script = new ElectionScript().lead();
    script.until(1100);
    script.at(1100, { kind: 'eligible', isEligible: false });
    script.at(1100, { kind: 'resign' });
    expect(script.at(1101, { kind: 'withdrawn', isConfirmed: true })).toEqual([]);
    expect(isSettled(script.state)).toBe(false);
    expect(script.accept(1110)).toMatchObject([{ kind: 'lease.update', lease: { holder: '' } }]);
  });

  it('gives back a Lease whose acquisition was under way when the node stopped being eligible', () => {
    const script = eligible();
    script.observe(0, undefined);
    script.until(20);
    script.at(21, { kind: 'eligible', isEligible: false });
    script.at(21, { kind: 'resign' });
    const outputs = script.accept(30);
    expect(kinds(outputs)).toEqual(['lease.update']);
    expect(outputs).toMatchObject([{ lease: { holder: '' } }]);
    expect(kinds(script.accept(40))).toEqual(['released']);
  });

  it('ignores "withdrawn" unless it has resigned', () => {
    const script = new ElectionScript().lead();
    expect(script.at(100, { kind: 'withdrawn', isConfirmed: true })).toEqual([]);
    expect(script.state.phase).toBe('leading');
  });

  it('lets the Lease lapse when the API does not answer the release', () => {
    const script = new ElectionScript().lead();
    resignAt(script, 100);
    expect(script.fail(200, 'timeout')).toEqual([{ kind: 'released', isWritten: false }]);
    expect(isSettled(script.state)).toBe(true);
  });

  it('reads after a conflict and releases what still names it', () => {
    const script = new ElectionScript().lead();
    resignAt(script, 100);
    expect(kinds(script.fail(110, 'conflict'))).toEqual(['lease.read']);
    expect(script.observe(120, record('a', '300'), 'read')).toMatchObject([
      { kind: 'lease.update', lease: { holder: '', resourceVersion: '300' } },
    ]);
  });

  it('is done when somebody else has the Lease already', () => {
    const script = new ElectionScript().lead();
    resignAt(script, 100);
    script.fail(110, 'conflict');
    expect(script.observe(120, record('b', '300'), 'read')).toEqual([{ kind: 'released', isWritten: true }]);
  });

  it('never releases a Lease that another process of its name holds', () => {
    const script = new ElectionScript().lead();
    resignAt(script, 100);
    script.fail(110, 'conflict');
    const theirs = record('a', '300', { annotations: { [INCARNATION_ANNOTATION]: 'a-2' } });
    expect(kinds(script.observe(120, theirs, 'read'))).not.toContain('lease.update');
    expect(isSettled(script.state)).toBe(true);
  });

  it('attempts nothing afterwards while it is not eligible', () => {
    const script = new ElectionScript().lead();
    resignAt(script, 100);
    script.accept(110);
    expect(script.until(60_000)).toEqual([]);
  });
});

function resignAt(script: ElectionScript, at: number): void {
  script.at(at, { kind: 'eligible', isEligible: false });
  script.at(at, { kind: 'resign' });
  script.at(at, { kind: 'withdrawn', isConfirmed: true });
}

describe('consent', () => {
  it('is written with a release whose withdrawal the kernel confirmed, and understood by the next holder', () => {
    const leaver = new ElectionScript().lead();
    resignAt(leaver, 100);
    leaver.accept(110);
    const released = leaver.state.observed?.lease;
    expect(released?.annotations).toHaveProperty(WITHDRAWN_ANNOTATION);
    const next = eligible(new ElectionScript({ identity: 'b', incarnation: 'b-1' }));
    next.observe(0, released);
    next.until(20);
    expect(gain(next.accept(25))).toMatchObject({ cause: 'free', consent: true });
  });

  it('is not written when the kernel has not confirmed that the addresses are gone', () => {
    const script = new ElectionScript().lead();
    script.at(100, { kind: 'eligible', isEligible: false });
    script.at(100, { kind: 'resign' });
    const outputs = script.at(600, { kind: 'withdrawn', isConfirmed: false });
    expect(outputs).toMatchObject([{ kind: 'lease.update', lease: { holder: '' } }]);
    expect(JSON.stringify(outputs)).not.toContain(WITHDRAWN_ANNOTATION);
  });

  it('is not written for a Lease given back because its acquisition came too late', () => {
    const script = eligible();
    script.observe(0, record('', '7', { annotations: { [WITHDRAWN_ANNOTATION]: 'b/3' } }));
    script.until(20);
    const outputs = script.accept(5000);
    expect(outputs).toMatchObject([{ kind: 'lease.update', lease: { holder: '' } }]);
    expect(JSON.stringify(outputs)).not.toContain(WITHDRAWN_ANNOTATION);
  });

  it('is void once somebody who does not know the annotation (client-go) held the Lease in between', () => {
    const leaver = new ElectionScript().lead();
    resignAt(leaver, 100);
    leaver.accept(110);
    const released = leaver.state.observed?.lease;
    if (released === undefined) throw new Error('the Lease was released');
    // client-go keeps annotations: it acquires with one more transition, and releases with the same number.
    const afterOther = { ...released, holder: '', transitions: released.transitions + 1, resourceVersion: '300' };
    const next = eligible(new ElectionScript({ identity: 'b', incarnation: 'b-1' }));
    next.observe(0, afterOther);
    next.until(20);
    expect(gain(next.accept(25))).toMatchObject({ cause: 'free', consent: false });
  });
});

describe('a watch that is faster than the answer', () => {
  it('does not hide whom the Lease was taken from, nor his consent', () => {
    const script = eligible();
    script.observe(0, record('', '7', { annotations: { [WITHDRAWN_ANNOTATION]: 'b/3' } }));
    script.until(20);
    const sent = script.sent();
    if (sent.kind === 'lease.read') throw new Error('a write is under way');
    const stored = { ...sent.lease, resourceVersion: '101' };
    expect(script.observe(22, stored)).toEqual([]);
    expect(gain(script.at(24, { kind: 'lease.written', attempt: sent.attempt, lease: stored }))).toMatchObject({
      cause: 'free',
      consent: true,
    });
  });

  it('says that the Lease is handed over, whatever becomes of the answer: it is never taken back', () => {
    const script = new ElectionScript().lead();
    const handing = script.at(100, { kind: 'hand-over', to: 'b' });
    expect(handing).toMatchObject([{ kind: 'lease.update', lease: { holder: 'b', transitions: 1 } }]);
    const sent = script.sent();
    if (sent.kind === 'lease.read') throw new Error('a write is under way');
    expect(script.observe(110, { ...sent.lease, resourceVersion: '200' })).toEqual([
      { kind: 'handed-over', to: 'b', isWritten: true },
    ]);
    expect(script.fail(1600, 'timeout')).toEqual([]);
    expect(script.until(2900).map(({ output }) => output.kind)).toEqual([]);
    expect(script.state.handover).toEqual({ to: 'b', isWritten: true });
  });

  it('is believed when it shows that our write has been replaced since', () => {
    const script = eligible();
    script.observe(0, undefined);
    script.until(20);
    script.observe(22, record('b', '105'));
    expect(kinds(script.accept(24))).not.toContain('gained');
    expect(script.state.phase).toBe('following');
    expect(script.until(5021)).toEqual([]);
  });
});

describe('two processes of one name', () => {
  it('gives way to a new process with its identity, and says so once', () => {
    const script = new ElectionScript().lead();
    const theirs = record('a', '200', { annotations: { [INCARNATION_ANNOTATION]: 'a-2' } });
    expect(script.observe(50, theirs)).toMatchObject([
      { kind: 'impostor' },
      { kind: 'lost', cause: 'duplicate-identity' },
    ]);
    const again = { ...theirs, resourceVersion: '201' };
    expect(kinds(script.observe(1000, again))).not.toContain('impostor');
  });

  it("then waits for the other's expiry before it contends again", () => {
    const script = new ElectionScript().lead();
    script.observe(50, record('a', '200', { annotations: { [INCARNATION_ANNOTATION]: 'a-2' } }));
    expect(script.until(5049).map(({ output }) => output.kind)).toEqual([]);
    expect(script.until(5150)).toHaveLength(1);
  });
});

describe('answers out of order', () => {
  it('ignores the answer of a call that is not the one under way', () => {
    const script = new ElectionScript().lead();
    const stale = script.sent().attempt - 1;
    expect(script.at(50, { kind: 'lease.failed', attempt: stale, failure: 'conflict', message: '' })).toEqual([]);
    expect(script.at(50, { kind: 'lease.written', attempt: stale, lease: record('a', '9') })).toEqual([]);
    expect(script.state.observed?.lease?.resourceVersion).not.toBe('9');
  });
});
