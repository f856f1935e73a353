import { describe, expect, it } from 'vitest';
import { monotonic, NEVER, type MonotonicMs } from '../../../src/base/time.ts';
import {
  checkLive,
  checkReady,
  isDegraded,
  isPassed,
  LOOP_OVERDUE_MAX_MS,
  type CheckName,
} from '../../../src/observe/health.ts';
import { openHeartbeat } from '../../../src/observe/heartbeat.ts';
import type { StatusReport } from '../../../src/observe/status-model.ts';
import { followerReport, sampleReport } from './sample-report.ts';

function failed(report: StatusReport): readonly CheckName[] {
  return checkReady(report)
    .filter((check) => !check.isOk)
    .map((check) => check.name);
}

const good = sampleReport();
const unreachable: StatusReport['api'] = {
  ...good.api,
  isReachable: false,
  lastFailure: { kind: 'timeout', message: 'no answer within 2 s', agoMs: 500 },
};

describe('readiness', () => {
  it('is there for a leader and for a follower in good health', () => {
    expect(failed(good)).toEqual([]);
    expect(failed(followerReport())).toEqual([]);
  });

  it('fails by name: before the start is over, and once it stops', () => {
    expect(failed(sampleReport({ role: 'starting' }))).toEqual(['started']);
    expect(failed(sampleReport({ role: 'stopping' }))).toEqual(['not-stopping']);
  });

  it('fails without the interface, with it down or without carrier, unless that is allowed', () => {
    const link = { name: 'eth0', index: 2, isUp: false, hasCarrier: false, isAllowedDown: false, mac: undefined };
    expect(failed(sampleReport({ interface: undefined }))).toEqual(['interface']);
    expect(failed(sampleReport({ interface: link }))).toEqual(['interface']);
    expect(failed(sampleReport({ interface: { ...link, isUp: true } }))).toEqual(['interface']);
    expect(failed(sampleReport({ interface: { ...link, isUp: true, hasCarrier: true } }))).toEqual([]);
    expect(failed(sampleReport({ interface: { ...link, isAllowedDown: true } }))).toEqual([]);
  });

  it('fails for a follower that does not reach the API or does not watch the Lease', () => {
    const lease = { ...good.lease, watch: { isSynced: false, lastEventAgoMs: undefined } };
    expect(failed(followerReport({ api: unreachable }))).toEqual(['api']);
    expect(failed(followerReport({ lease }))).toEqual(['lease-watch']);
  });

  it('holds through an API outage while tenure is held by other means', () => {
    const lease = { ...good.lease, watch: { isSynced: false, lastEventAgoMs: 9000 } };
    expect(failed(sampleReport({ api: unreachable, lease }))).toEqual([]);
  });

  it('says why: the last failure of the API is in the detail', () => {
    const detail = checkReady(followerReport({ api: unreachable })).find((check) => check.name === 'api')?.detail;
    expect(detail).toContain('no answer within 2 s');
  });
});

describe('degraded', () => {
  it('is a node with a problem or a conflict, though it may be ready', () => {
    const conflict = { mac: '02:00:00:00:00:99', sinceMs: 10 };
    expect(isDegraded(good)).toBe(false);
    expect(isDegraded(sampleReport({ problems: [{ code: 'API_FORBIDDEN', message: 'm', remedy: 'r' }] }))).toBe(true);
    expect(isDegraded(sampleReport({ addresses: good.addresses.map((address) => ({ ...address, conflict })) }))).toBe(
      true,
    );
  });
});

describe('liveness', () => {
  function pulseAt(start: number): { beat: ReturnType<typeof openHeartbeat>; set: (ms: number) => void } {
    let clock: MonotonicMs = monotonic(start);
    return {
      beat: openHeartbeat(() => clock),
      set: (ms) => {
        clock = monotonic(ms);
      },
    };
  }

  it('does not ask an idle loop to turn', () => {
    const { beat, set } = pulseAt(0);
    beat.turned(NEVER);
    set(3_600_000);
    expect(beat.read()).toEqual({ turnedAgoMs: 3_600_000, overdueMs: 0 });
    expect(isPassed(checkLive(beat.read()))).toBe(true);
  });

  it('fails once a deadline is missed by more than the limit, and recovers with the next turn', () => {
    const { beat, set } = pulseAt(0);
    beat.turned(monotonic(2000));
    set(2000 + LOOP_OVERDUE_MAX_MS);
    expect(isPassed(checkLive(beat.read()))).toBe(true);
    set(2001 + LOOP_OVERDUE_MAX_MS);
    expect(checkLive(beat.read())).toEqual([{ name: 'loop', isOk: false, detail: 'turned 7.0 s ago, 5.0 s overdue' }]);
    beat.turned(monotonic(20_000));
    expect(isPassed(checkLive(beat.read()))).toBe(true);
  });

  it('counts a loop that never turned as stuck', () => {
    const { beat, set } = pulseAt(1000);
    set(1001 + LOOP_OVERDUE_MAX_MS);
    expect(isPassed(checkLive(beat.read()))).toBe(false);
  });

  it('counts a deadline that was past already from the turn that set it', () => {
    const { beat, set } = pulseAt(0);
    set(10_000);
    beat.turned(monotonic(0));
    expect(beat.read().overdueMs).toBe(0);
  });
});
