import { describe, expect, it } from 'vitest';
import {
  hasConsent,
  INCARNATION_ANNOTATION,
  isNewerRecord,
  leaseToAcquire,
  leaseToRelease,
  WITHDRAWN_ANNOTATION,
} from '../../../src/leader/lease-write.ts';
import { record, RULES } from './script.ts';

describe('leaseToAcquire', () => {
  it('creates a Lease with our identity, duration and incarnation, no transition counted', () => {
    const lease = leaseToAcquire({ ...RULES, annotations: { team: 'x' } }, undefined);
    expect(lease).toMatchObject({ holder: 'a', durationMs: 5000, transitions: 0, resourceVersion: '' });
    expect(lease.annotations).toEqual({ team: 'x', [INCARNATION_ANNOTATION]: 'a-1' });
  });

  it('counts a change of holder as a transition, a free Lease included (client-go leaderelection)', () => {
    expect(leaseToAcquire(RULES, record('b', '7')).transitions).toBe(4);
    expect(leaseToAcquire(RULES, record('', '7')).transitions).toBe(4);
  });

  it('counts no transition when it renews', () => {
    expect(leaseToAcquire(RULES, record('a', '7')).transitions).toBe(3);
  });

  it('keeps labels and annotations of others, and the version it compares and swaps on', () => {
    const known = record('b', '7', { annotations: { theirs: '1' }, labels: { app: 'x' } });
    const lease = leaseToAcquire(RULES, known);
    expect(lease.annotations).toEqual({ theirs: '1', [INCARNATION_ANNOTATION]: 'a-1' });
    expect(lease.labels).toEqual({ app: 'x' });
    expect(lease.resourceVersion).toBe('7');
  });

  it('drops the word of a former holder that it has withdrawn', () => {
    const known = record('', '7', { annotations: { [WITHDRAWN_ANNOTATION]: 'b' } });
    expect(leaseToAcquire(RULES, known).annotations).not.toHaveProperty(WITHDRAWN_ANNOTATION);
  });
});

describe('leaseToRelease', () => {
  it('empties the holder and leaves one second of duration (client-go leaderelection release)', () => {
    expect(leaseToRelease(RULES, record('a', '7'), true)).toMatchObject({
      holder: '',
      durationMs: 1000,
      transitions: 3,
      resourceVersion: '7',
    });
  });
});

describe('hasConsent', () => {
  const released = leaseToRelease(RULES, record('a', '7'), true);

  it('is the word of the last holder in a free Lease', () => {
    expect(hasConsent(released, 'c')).toBe(true);
    expect(hasConsent({ ...released, holder: 'b' }, 'c')).toBe(false);
    expect(hasConsent(undefined, 'c')).toBe(false);
  });

  it('is not given by a release without a confirmed withdrawal, an older word included', () => {
    const known = record('a', '9', { annotations: released.annotations });
    expect(hasConsent(leaseToRelease(RULES, known, false), 'c')).toBe(false);
  });

  it('does not outlive the next holder, who may keep annotations he does not know (client-go)', () => {
    expect(hasConsent({ ...released, transitions: released.transitions + 1 }, 'c')).toBe(false);
  });
});

describe('isNewerRecord', () => {
  it('compares resource versions as decimal numbers of any length', () => {
    expect(isNewerRecord(record('a', '9'), record('a', '10'))).toBe('newer');
    expect(isNewerRecord(record('a', '10'), record('a', '9'))).toBe('older');
    expect(isNewerRecord(record('a', '90071992547409931'), record('a', '90071992547409932'))).toBe('newer');
  });

  it('does not compare what is no decimal number, or what does not exist', () => {
    expect(isNewerRecord(record('a', 'x1'), record('a', 'x2'))).toBe('unknown');
    expect(isNewerRecord(undefined, record('a', '2'))).toBe('unknown');
    expect(isNewerRecord(record('a', '2'), undefined)).toBe('unknown');
  });
});
