import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ipFromBytes } from '../../../src/base/ip.ts';
import { metricsMarkdown } from '../../../src/observe/metrics-doc.ts';
import { METRICS } from '../../../src/observe/metrics-table.ts';
import { openMetrics, type Metrics } from '../../../src/observe/metrics.ts';
import type { StatusReport } from '../../../src/observe/status-model.ts';
import { followerReport, sampleReport } from './sample-report.ts';

function open(report: () => StatusReport = sampleReport, droppedLogLines = () => 0): Metrics {
  return openMetrics({ version: '1.2.3', node: 'node-a', leaseName: 'plndr-cp-lock', report, droppedLogLines });
}

/** Series → value, as a scrape shows them. */
async function scrape(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const { text } = await metrics.scrape();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

const vip = ipFromBytes(Uint8Array.of(10, 0, 0, 100));

describe("kube-vip's names", () => {
  it('say who leads, at every moment and not after the fact', async () => {
    let report = sampleReport();
    const metrics = open(() => report);
    const series = 'kube_vip_is_leader{node="node-a",lease_name="plndr-cp-lock"}';
    expect((await scrape(metrics)).get(series)).toBe(1);
    report = followerReport();
    expect((await scrape(metrics)).get(series)).toBe(0);
    report = sampleReport({ tenure: { isHeld: false, leftMs: 0, reason: 'renewal late' } });
    expect((await scrape(metrics)).get(series)).toBe(0);
  });

  it('have a build info of 1 (kube-vip never sets it)', async () => {
    const series = 'kube_vip_build_info{version="1.2.3",build="holdfast",node="node-a"}';
    expect((await scrape(open())).get(series)).toBe(1);
  });

  it('count a transition when this node becomes the leader, and begin at 0', async () => {
    const metrics = open();
    const series = 'kube_vip_leader_election_transitions_total{lease_name="plndr-cp-lock"}';
    expect((await scrape(metrics)).get(series)).toBe(0);
    metrics.observeMove({ kind: 'gained', cause: 'lease-expired', timings: {} });
    metrics.observeMove({ kind: 'lost', cause: 'renewal-late', timings: {} });
    expect((await scrape(metrics)).get(series)).toBe(1);
  });

  it('count the addresses by interface and family', async () => {
    const found = await scrape(open());
    expect(found.get('kube_vip_vip_addresses{interface="eth0",family="ipv4"}')).toBe(1);
    expect(found.get('kube_vip_vip_addresses{interface="eth0",family="ipv6"}')).toBe(1);
  });
});

describe('state at the scrape', () => {
  it('has one role, the tenure left in seconds, and the readiness checks', async () => {
    const found = await scrape(open());
    expect(found.get('holdfast_node_role{role="leader"}')).toBe(1);
    expect(found.get('holdfast_node_role{role="follower"}')).toBe(0);
    expect(found.get('holdfast_leader_tenure_seconds{lease="kube-system/plndr-cp-lock"}')).toBe(2.2);
    expect(found.get('holdfast_leader_lease_transitions{lease="kube-system/plndr-cp-lock"}')).toBe(12);
    expect(found.get('holdfast_node_ready{check="interface"}')).toBe(1);
  });

  it('forgets an address that is gone and a problem that is solved', async () => {
    let report = sampleReport({ problems: [{ code: 'API_FORBIDDEN', message: 'm', remedy: 'r' }] });
    const metrics = open(() => report);
    const before = await scrape(metrics);
    expect(before.get('holdfast_vip_address_held{address="fd00::100",interface="eth0"}')).toBe(1);
    expect(before.get('holdfast_node_problem{code="API_FORBIDDEN"}')).toBe(1);
    report = sampleReport({ addresses: sampleReport().addresses.slice(0, 1) });
    const after = await scrape(metrics);
    expect(after.has('holdfast_vip_address_held{address="fd00::100",interface="eth0"}')).toBe(false);
    expect(after.has('holdfast_node_problem{code="API_FORBIDDEN"}')).toBe(false);
    expect(after.get('holdfast_vip_address_held{address="10.0.0.100",interface="eth0"}')).toBe(1);
  });

  it('has the process: CPU that only grows, memory, start', async () => {
    const metrics = open();
    const first = await scrape(metrics);
    const second = await scrape(metrics);
    const cpu = 'process_cpu_seconds_total';
    expect(second.get(cpu)).toBeGreaterThanOrEqual(first.get(cpu) ?? Number.NaN);
    expect(second.get('process_resident_memory_bytes')).toBeGreaterThan(1 << 20);
    expect(Math.abs((second.get('process_start_time_seconds') ?? 0) - Date.now() / 1000)).toBeLessThan(3600);
  });

  it('has the dropped log lines as a total', async () => {
    let dropped = 3;
    const metrics = open(sampleReport, () => dropped);
    expect((await scrape(metrics)).get('holdfast_log_lines_dropped_total')).toBe(3);
    dropped = 5;
    expect((await scrape(metrics)).get('holdfast_log_lines_dropped_total')).toBe(5);
  });
});

describe('what happens', () => {
  it('counts frames by purpose, and requests to the kernel by address', async () => {
    const metrics = open();
    const frame = { kind: 'frame.send', ifindex: 2, frame: new Uint8Array(42), address: vip } as const;
    for (const purpose of ['announce', 'announce', 'probe', 'defend'] as const) {
      metrics.observeEffect({ ...frame, purpose });
    }
    metrics.observeEffect({
      kind: 'address.add',
      ifindex: 2,
      prefix: { ip: vip, length: 32 },
      validSeconds: 3,
      scope: 'global',
    });
    const found = await scrape(metrics);
    expect(found.get('holdfast_vip_announcements_total{address="10.0.0.100"}')).toBe(2);
    expect(found.get('holdfast_vip_probes_total{address="10.0.0.100"}')).toBe(1);
    expect(found.get('holdfast_vip_defences_total{address="10.0.0.100"}')).toBe(1);
    expect(found.get('holdfast_vip_operations_total{address="10.0.0.100",operation="add"}')).toBe(1);
    expect(found.get('holdfast_agent_effects_total{kind="frame.send"}')).toBe(4);
  });

  it('counts events, kernel refusals by code, and clock jumps', async () => {
    const metrics = open();
    metrics.observeEvent({ kind: 'tick' });
    metrics.observeEvent({ kind: 'clock.jumped', byMs: 9000 });
    metrics.observeEvent({
      kind: 'effect.failed',
      effect: 'address.add',
      ifindex: 2,
      address: '10.0.0.100',
      code: 'NETLINK_FAILED',
      message: 'EPERM',
    });
    const found = await scrape(metrics);
    expect(found.get('holdfast_agent_events_total{kind="tick"}')).toBe(1);
    expect(found.get('holdfast_clock_jumps_total')).toBe(1);
    expect(found.get('holdfast_vip_failures_total{effect="address.add",code="NETLINK_FAILED"}')).toBe(1);
  });

  it('times each phase of a move in seconds', async () => {
    const metrics = open();
    metrics.observeMove({ kind: 'gained', cause: 'lease-expired', timings: { lease: 12, announced: 142 } });
    const found = await scrape(metrics);
    const name = 'holdfast_leader_move_duration_seconds';
    expect(found.get('holdfast_leader_moves_total{kind="gained",cause="lease-expired"}')).toBe(1);
    expect(found.get(`${name}_sum{kind="gained",phase="announced"}`)).toBe(0.142);
    expect(found.get(`${name}_bucket{le="0.1",kind="gained",phase="announced"}`)).toBe(0);
    expect(found.get(`${name}_bucket{le="0.2",kind="gained",phase="announced"}`)).toBe(1);
  });

  it('counts requests by outcome and times them, watches apart', async () => {
    const metrics = open();
    metrics.observeRequest({ verb: 'update', resource: 'leases', outcome: 'ok', durationMs: 8 });
    metrics.observeRequest({ verb: 'update', resource: 'leases', outcome: 'timeout', durationMs: 2000 });
    metrics.observeRequest({ verb: 'watch', resource: 'leases', outcome: 'ok', durationMs: 300_000 });
    metrics.observeWatchRestart('leases', 'ended');
    metrics.observeTurn(3);
    metrics.observeDrop('arp', 'too-short');
    const found = await scrape(metrics);
    expect(found.get('holdfast_kube_requests_total{verb="update",resource="leases",outcome="timeout"}')).toBe(1);
    expect(found.get('holdfast_kube_request_duration_seconds_count{verb="update",resource="leases"}')).toBe(2);
    expect(found.has('holdfast_kube_request_duration_seconds_count{verb="watch",resource="leases"}')).toBe(false);
    expect(found.get('holdfast_kube_watch_restarts_total{resource="leases",reason="ended"}')).toBe(1);
    expect(found.get('holdfast_loop_lateness_seconds_count')).toBe(1);
    expect(found.get('holdfast_vip_drops_total{protocol="arp",reason="too-short"}')).toBe(1);
  });
});

describe('the table', () => {
  it('keeps the naming rule: holdfast_<subsystem>_<noun>, totals for counters, seconds and bytes for units', () => {
    const entries = Object.entries(METRICS);
    expect(entries.length).toBeGreaterThan(30);
    for (const [name, { type, help }] of entries) {
      expect(name).toMatch(
        /^(holdfast_(node|leader|vip|services|kube|agent|loop|clock|log|build)_[a-z_]+|kube_vip_[a-z_]+|process_[a-z_]+)$/,
      );
      expect(name.endsWith('_total')).toBe(type === 'counter');
      if (type === 'histogram') expect(name).toMatch(/_seconds$/);
      expect(help).toMatch(/\.$/);
    }
  });

  it('is served whole: every metric has its HELP and TYPE, in a form promtool accepts by these rules', async () => {
    const { text, contentType } = await open().scrape();
    expect(contentType).toContain('version=0.0.4');
    for (const [name, { type }] of Object.entries(METRICS)) {
      expect(text).toContain(`# HELP ${name} `);
      expect(text).toContain(`# TYPE ${name} ${type}`);
    }
  });

  it('is what docs/metrics.md says, row by row (run `npm run docs` when it is not)', () => {
    expect(readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')).toBe(metricsMarkdown());
  });
});
