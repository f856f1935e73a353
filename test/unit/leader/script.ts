/**
 * A script for the election: events at explicit times, outputs collected with the time they came at. Between two events
 * every deadline is honoured as the running loop would, and each step is checked for a deadline that stays in the past.
 */

import { expect } from 'vitest';
import { seed } from '../../../src/base/random.ts';
import { monotonic } from '../../../src/base/time.ts';
import {
  startElection,
  type ElectionEvent,
  type ElectionOutput,
  type ElectionRules,
  type ElectionState,
} from '../../../src/leader/election-state.ts';
import { electionDeadline, stepElection } from '../../../src/leader/election.ts';
import { ALONE, type Assessment } from '../../../src/leader/tenure.ts';
import type { LeaseRecord } from '../../../src/leader/lease-record.ts';
import { INCARNATION_ANNOTATION } from '../../../src/leader/lease-write.ts';

/** kube-vip's documented 5/3/1 s. */
export const RULES: ElectionRules = {
  identity: 'a',
  incarnation: 'a-1',
  leaseDurationMs: 5000,
  renewDeadlineMs: 3000,
  retryPeriodMs: 1000,
  annotations: {},
  claimPatienceMs: 100,
};

export interface Timed {
  readonly at: number;
  readonly output: ElectionOutput;
}

export function record(holder: string, resourceVersion: string, change: Partial<LeaseRecord> = {}): LeaseRecord {
  return {
    holder,
    durationMs: 5000,
    transitions: 3,
    acquireTime: '2026-01-01T00:00:00.000000Z',
    renewTime: `2026-01-01T00:00:00.${resourceVersion.padStart(6, '0')}Z`,
    annotations: holder === 'a' ? { [INCARNATION_ANNOTATION]: 'a-1' } : {},
    labels: {},
    resourceVersion,
    ...change,
  };
}

export class ElectionScript {
  state: ElectionState;
  readonly rules: ElectionRules;
  readonly log: Timed[] = [];
  /** What the others and the wire say; changed by tests between events. */
  assessment: Assessment = ALONE;
  #now = 0;
  #version = 100;

  constructor(change: Partial<ElectionRules> = {}, randomSeed = 1) {
    this.rules = { ...RULES, ...change };
    this.state = startElection(seed(randomSeed));
  }

  get deadline(): number {
    return electionDeadline(this.rules, this.state, this.assessment, monotonic(this.#now));
  }

  get now(): number {
    return this.#now;
  }

  /** Runs every deadline before `at`, then the event; answers what the event alone put out. */
  at(at: number, event: ElectionEvent): readonly ElectionOutput[] {
    this.until(at);
    return this.#step(event);
  }

  /** Runs every deadline up to and including `at`; answers what that put out. */
  until(at: number): readonly Timed[] {
    expect(at).toBeGreaterThanOrEqual(this.#now);
    const from = this.log.length;
    for (let ticks = 0; this.deadline <= at; ticks += 1) {
      expect(ticks, 'ticks before the next event').toBeLessThan(1000);
      this.#now = Math.max(this.#now, this.deadline);
      this.#step({ kind: 'tick' });
    }
    this.#now = at;
    return this.log.slice(from);
  }

  observe(at: number, lease: LeaseRecord | undefined, source: 'watch' | 'read' = 'watch'): readonly ElectionOutput[] {
    return this.at(at, { kind: 'lease.observed', source, lease });
  }

  /** The API accepts the write under way. */
  accept(at: number): readonly ElectionOutput[] {
    this.until(at);
    const sent = this.sent();
    if (sent.kind === 'lease.read') throw new Error('a read is under way, not a write');
    this.#version = Math.max(this.#version, Number(sent.lease.resourceVersion)) + 1;
    const renewTime = `2026-01-01T00:00:00.${String(this.#version).padStart(6, '0')}Z`;
    const lease = { ...sent.lease, renewTime, resourceVersion: String(this.#version) };
    return this.#step({ kind: 'lease.written', attempt: sent.attempt, lease });
  }

  fail(at: number, failure: Extract<ElectionEvent, { kind: 'lease.failed' }>['failure']): readonly ElectionOutput[] {
    this.until(at);
    return this.#step({ kind: 'lease.failed', attempt: this.sent().attempt, failure, message: failure });
  }

  /** From `at` on the others say this; answers what follows at once. */
  assess(at: number, assessment: Assessment): readonly ElectionOutput[] {
    this.until(at);
    this.assessment = assessment;
    return this.#step({ kind: 'tick' });
  }

  /** Answers every call with `failure`, 5 ms after it was sent, until `until`. */
  failForever(failure: Extract<ElectionEvent, { kind: 'lease.failed' }>['failure'], until: number): void {
    while (this.#now < until) {
      if (this.state.pending !== undefined) this.fail(Math.min(until, this.#now + 5), failure);
      else this.until(Math.min(until, Math.max(this.#now + 1, this.deadline)));
    }
  }

  read(at: number, lease: LeaseRecord | undefined): readonly ElectionOutput[] {
    return this.observe(at, lease, 'read');
  }

  /** The latest call that was sent. */
  sent(): Extract<ElectionOutput, { attempt: number }> {
    for (const { output } of this.log.toReversed()) if ('attempt' in output) return output;
    throw new Error('no call was sent');
  }

  /** From nothing to leading at 0: absent Lease, created at once, answered after 10 ms. */
  lead(): this {
    this.at(0, { kind: 'eligible', isEligible: true });
    this.observe(0, undefined);
    this.until(30);
    this.accept(40);
    expect(this.state.phase).toBe('leading');
    return this;
  }

  #step(event: ElectionEvent): readonly ElectionOutput[] {
    const stepped = stepElection(this.rules, this.state, this.assessment, event, monotonic(this.#now));
    this.state = stepped.state;
    expect(this.deadline, 'a deadline in the past would make the loop spin').toBeGreaterThan(this.#now);
    this.log.push(...stepped.outputs.map((output) => ({ at: this.#now, output })));
    return stepped.outputs;
  }
}

export function kinds(outputs: readonly ElectionOutput[]): readonly string[] {
  return outputs.map((output) => output.kind);
}
