/**
 * How long the wire must be silent before it counts as silent. What is enough is learnt from the answers there were: a
 * machine whose cores are busy answers late, and three missing answers in 30 ms are nothing there. Time in which this
 * process itself stood still is neither silence nor slowness: the answers may lie in its own socket. Pure.
 */

import { after, type MonotonicMs } from '../base/time.ts';

/** What was asked in one round of questions, and what came back. */
export interface Inquiry {
  readonly probesSent: number;
  /** When an answer was last heard, and the longest time between two, ms. */
  readonly answeredAt: MonotonicMs | undefined;
  readonly longestGapMs: number;
  /** How much of the time since the last answer this process stood still, ms. */
  readonly deafMs: number;
}

/** Nothing asked, nothing heard: how each round of questions begins. */
export const UNASKED: Inquiry = { probesSent: 0, answeredAt: undefined, longestGapMs: 0, deafMs: 0 };

/**
 * While a holder is suspected: three unanswered probes are 30 ms, which is what a client waits between the end of a dead
 * holder's kernel lifetime and our claim. Who has waited long asks less often.
 */
const SUSPECT_PROBE_MS = 10;
const SUSPECT_PROBE_TIERS: readonly { readonly afterMs: number; readonly everyMs: number }[] = [
  { afterMs: 60_000, everyMs: 1000 },
  { afterMs: 5000, everyMs: 100 },
];
/** Whoever has the Lease of a holder whose process is gone waits for its kernel's lifetime to end, and for nothing else. */
const LOST_PROBE_MS = 4;
/** Somebody suspected who never answered is silent after this; one who did, after so many of his longest gaps, at most. */
const UNANSWERED_MS = 100;
const SILENCE_GAPS = 3;
const SILENCE_MAX_MS = 500;

/** How long after the last probe the next one is due, ms, when the suspicion has lasted this long. */
export function suspectProbeMs(lastedMs: number): number {
  return SUSPECT_PROBE_TIERS.find((tier) => lastedMs >= tier.afterMs)?.everyMs ?? SUSPECT_PROBE_MS;
}

/** The same for who may claim as soon as the wire is silent. */
export function claimProbeMs(isHolderLost: boolean): number {
  return isHolderLost ? LOST_PROBE_MS : SUSPECT_PROBE_MS;
}

/** An answer came. `since` is when the questions began, `dueAt` when this process wanted to be woken. */
export function answered(inquiry: Inquiry, since: MonotonicMs, dueAt: MonotonicMs, now: MonotonicMs): Inquiry {
  const gapMs = quietMs(inquiry, since, dueAt, now);
  return {
    ...inquiry,
    answeredAt: now,
    longestGapMs: Math.max(inquiry.longestGapMs, gapMs),
    deafMs: 0,
  };
}

/** A probe goes out, which was due at `dueAt`: what it is late by, this process stood still. */
export function asked(inquiry: Inquiry, dueAt: MonotonicMs, now: MonotonicMs): Inquiry {
  return { ...inquiry, probesSent: inquiry.probesSent + 1, deafMs: inquiry.deafMs + latenessMs(dueAt, now) };
}

/** Whether a suspected holder has been silent for long enough, enough probes having gone unanswered. */
export function isSilentSuspect(inquiry: Inquiry, since: MonotonicMs, dueAt: MonotonicMs, now: MonotonicMs): boolean {
  const silentMs = quietMs(inquiry, since, dueAt, now);
  if (inquiry.answeredAt === undefined) return silentMs >= UNANSWERED_MS;
  return silentMs >= Math.min(SILENCE_MAX_MS, SILENCE_GAPS * inquiry.longestGapMs);
}

/** The time since the last answer, without what this process stood still. */
function quietMs(inquiry: Inquiry, since: MonotonicMs, dueAt: MonotonicMs, now: MonotonicMs): number {
  return Math.max(0, now - (inquiry.answeredAt ?? since) - inquiry.deafMs - latenessMs(dueAt, now));
}

function latenessMs(dueAt: MonotonicMs, now: MonotonicMs): number {
  // A timer's own grain is a millisecond: only what is beyond it was a standstill.
  return now > after(dueAt, 2) ? now - dueAt : 0;
}
