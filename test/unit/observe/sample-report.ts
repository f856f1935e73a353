/** A status report to begin with: a leader in good health, holding one IPv4 and one IPv6 address. */

import { STATUS_SCHEMA, type StatusReport } from '../../../src/observe/status-model.ts';

export function sampleReport(changes: Partial<StatusReport> = {}): StatusReport {
  return {
    schema: STATUS_SCHEMA,
    version: '1.2.3',
    node: 'node-a',
    at: '2026-03-01T03:00:00.000Z',
    startedAt: '2026-02-28T03:00:00.000Z',
    uptimeMs: 86_400_000,
    role: 'leader',
    tenure: { isHeld: true, leftMs: 2200, reason: 'renewed 0.8 s ago' },
    lease: {
      namespace: 'kube-system',
      name: 'plndr-cp-lock',
      holder: 'node-a',
      durationMs: 5000,
      transitions: 12,
      renewTime: '2026-03-01T02:59:59.200000Z',
      observedAgoMs: 800,
      watch: { isSynced: true, lastEventAgoMs: 800 },
    },
    api: {
      endpoint: 'https://10.0.0.5:6443',
      isReachable: true,
      lastSuccessAgoMs: 800,
      lastFailure: undefined,
    },
    interface: { name: 'eth0', index: 2, isUp: true, hasCarrier: true, isAllowedDown: false, mac: '02:00:00:00:00:05' },
    addresses: [
      {
        address: '10.0.0.100/32',
        state: 'holding',
        sinceMs: 3_600_000,
        lifetimeSeconds: 3,
        announcements: 1207,
        lastAnnouncedAgoMs: 1200,
        conflict: undefined,
      },
      {
        address: 'fd00::100/128',
        state: 'holding',
        sinceMs: 3_600_000,
        lifetimeSeconds: 3,
        announcements: 1207,
        lastAnnouncedAgoMs: 1200,
        conflict: undefined,
      },
    ],
    moves: [
      {
        at: '2026-03-01T02:00:00.000Z',
        kind: 'gained',
        cause: 'lease-expired',
        from: 'node-b',
        to: 'node-a',
        timings: { lease: 12, wire: 130, kernel: 141, announced: 142 },
      },
    ],
    peers: [],
    problems: [],
    ...changes,
  };
}

/** The same node standing by for node-b, never having held anything. */
export function followerReport(changes: Partial<StatusReport> = {}): StatusReport {
  const report = sampleReport();
  return sampleReport({
    role: 'follower',
    tenure: { isHeld: false, leftMs: 0, reason: 'node-b holds the Lease' },
    lease: { ...report.lease, holder: 'node-b' },
    addresses: report.addresses.map((address) => ({
      ...address,
      state: 'idle' as const,
      announcements: 0,
      lastAnnouncedAgoMs: undefined,
    })),
    moves: [],
    ...changes,
  });
}
