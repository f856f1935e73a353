/**
 * From probes to outages. A probe is good when it is answered in time; an outage begins when the first bad probe is sent
 * and ends when the first answer to any probe of the outage arrives. (Not when the first good one is sent: while a
 * neighbour is being resolved the client's kernel keeps probes back and sends them all at once afterwards, so probes sent
 * in the dark are answered too, only late.)
 */

export interface Sample {
  readonly sentMs: number;
  readonly answeredMs: number | undefined;
  /** Who answered. */
  readonly by: string | undefined;
}

export interface Outage {
  readonly startMs: number;
  /** Infinity while it lasts. */
  readonly durationMs: number;
  /** Probes sent in it that were never answered. */
  readonly lost: number;
  /** Who answered last before it, and first after it. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/**
 * Outages among samples in the order of sending. `graceMs`: an answer later than this is as good as none. Samples sent
 * less than that before `untilMs` and not answered yet are undecided, and left out.
 */
export function findOutages(samples: readonly Sample[], graceMs: number, untilMs: number): readonly Outage[] {
  const decided = samples.filter((sample) => sample.answeredMs !== undefined || sample.sentMs <= untilMs - graceMs);
  const outages: Outage[] = [];
  for (let index = 0; index < decided.length; index += 1) {
    const first = decided[index];
    if (first === undefined || isGood(first, graceMs)) continue;
    const answer = earliestAnswer(decided, index);
    const endMs = answer?.answeredMs ?? Number.POSITIVE_INFINITY;
    let next = index;
    let lost = 0;
    for (; next < decided.length && (decided[next]?.sentMs ?? 0) < endMs; next += 1) {
      if (decided[next]?.answeredMs === undefined) lost += 1;
    }
    outages.push({
      startMs: first.sentMs,
      durationMs: endMs - first.sentMs,
      lost,
      from: decided.slice(0, index).findLast((sample) => isGood(sample, graceMs))?.by,
      to: answer?.by,
    });
    index = next - 1;
  }
  return outages;
}

export interface OutageSummary {
  readonly longestMs: number;
  readonly totalMs: number;
  readonly lost: number;
  readonly outages: readonly Outage[];
  readonly probes: number;
}

/** Sums up the outages that began at `fromMs` or later; the samples before it say who answered until then. */
export function summarise(
  samples: readonly Sample[],
  graceMs: number,
  untilMs: number,
  fromMs = Number.NEGATIVE_INFINITY,
): OutageSummary {
  const outages = findOutages(samples, graceMs, untilMs).filter((outage) => outage.startMs >= fromMs);
  return {
    longestMs: Math.max(0, ...outages.map((outage) => outage.durationMs)),
    totalMs: outages.reduce((sum, outage) => sum + outage.durationMs, 0),
    lost: outages.reduce((sum, outage) => sum + outage.lost, 0),
    outages,
    probes: samples.filter((sample) => sample.sentMs >= fromMs).length,
  };
}

function isGood(sample: Sample, graceMs: number): boolean {
  return sample.answeredMs !== undefined && sample.answeredMs - sample.sentMs <= graceMs;
}

function earliestAnswer(samples: readonly Sample[], from: number): Sample | undefined {
  let earliest: Sample | undefined;
  for (let index = from; index < samples.length; index += 1) {
    const sample = samples[index];
    if (sample?.answeredMs === undefined) continue;
    // No probe sent after the earliest answer so far can have been answered before it.
    if (earliest?.answeredMs !== undefined && sample.sentMs > earliest.answeredMs) break;
    if (sample.answeredMs < (earliest?.answeredMs ?? Number.POSITIVE_INFINITY)) earliest = sample;
  }
  return earliest;
}
