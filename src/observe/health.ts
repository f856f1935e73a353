/**
 * What /livez, /readyz and `holdfast status` judge by: named checks, each a pure function of the status report. Live is
 * whether the main loop turns, and nothing else: restarting the process cures only that, and an API outage must never
 * restart the process that keeps a VIP up through it. Ready is whether this node could do its part if it were asked to.
 */

import type { StatusReport } from './status-model.ts';

/** The main loop counts as stuck when a deadline was missed by more than this. */
export const LOOP_OVERDUE_MAX_MS = 5000;

export interface LoopPulse {
  /** Since the loop last finished a turn. */
  readonly turnedAgoMs: number;
  /** By how much the deadline it set itself then is missed; 0 = it isn't. */
  readonly overdueMs: number;
}

export type CheckName = 'loop' | 'started' | 'interface' | 'api' | 'lease-watch' | 'not-stopping';

export interface Check {
  readonly name: CheckName;
  readonly isOk: boolean;
  /** Why it failed, or what it saw. */
  readonly detail: string;
}

export function isPassed(checks: readonly Check[]): boolean {
  return checks.every((check) => check.isOk);
}

export function checkLive(pulse: LoopPulse): readonly Check[] {
  const isOk = pulse.overdueMs <= LOOP_OVERDUE_MAX_MS;
  const turned = `turned ${seconds(pulse.turnedAgoMs)} ago`;
  return [{ name: 'loop', isOk, detail: isOk ? turned : `${turned}, ${seconds(pulse.overdueMs)} overdue` }];
}

export function checkReady(report: StatusReport): readonly Check[] {
  return [
    checkStarted(report),
    checkInterface(report),
    checkApi(report),
    checkLeaseWatch(report),
    checkStopping(report),
  ];
}

/** Whether somebody should look: not ready, or any problem or conflict, reported by name. */
export function isDegraded(report: StatusReport): boolean {
  return (
    report.problems.length > 0 ||
    report.addresses.some((address) => address.conflict !== undefined) ||
    !isPassed(checkReady(report))
  );
}

function checkStarted(report: StatusReport): Check {
  const isOk = report.role !== 'starting';
  return {
    name: 'started',
    isOk,
    detail: isOk ? `role ${report.role}` : 'the kernel or the Lease has not been read yet',
  };
}

function checkInterface(report: StatusReport): Check {
  const link = report.interface;
  const name = 'interface';
  if (link === undefined) return { name, isOk: false, detail: 'the configured interface does not exist' };
  if (link.isUp && link.hasCarrier) return { name, isOk: true, detail: `${link.name} is up` };
  const fault = link.isUp ? `${link.name} has no carrier` : `${link.name} is down`;
  return link.isAllowedDown
    ? { name, isOk: true, detail: `${fault}, as vip_allow_interface_not_up allows` }
    : { name, isOk: false, detail: fault };
}

/** Tenure by other means than the API (a majority of voters) is as good: that is what keeps the VIP up in an API outage. */
function checkApi(report: StatusReport): Check {
  const name = 'api';
  if (report.api.isReachable) return { name, isOk: true, detail: `${report.api.endpoint} answers` };
  const failure = report.api.lastFailure;
  const unreachable = `no answer from ${report.api.endpoint === '' ? 'the API' : report.api.endpoint}${failure === undefined ? '' : `: ${failure.message}`}`;
  if (report.tenure.isHeld) return { name, isOk: true, detail: `${unreachable}; tenure: ${report.tenure.reason}` };
  return { name, isOk: false, detail: unreachable };
}

function checkLeaseWatch(report: StatusReport): Check {
  const name = 'lease-watch';
  const lease = `${report.lease.namespace}/${report.lease.name}`;
  if (report.lease.watch.isSynced) return { name, isOk: true, detail: `watching ${lease}` };
  if (report.tenure.isHeld) {
    return { name, isOk: true, detail: `not watching ${lease}; tenure: ${report.tenure.reason}` };
  }
  return { name, isOk: false, detail: `${lease} is not being watched` };
}

function checkStopping(report: StatusReport): Check {
  const isOk = report.role !== 'stopping';
  return { name: 'not-stopping', isOk, detail: isOk ? 'running' : 'the process is stopping' };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
