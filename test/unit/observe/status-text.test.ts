import { describe, expect, it } from 'vitest';
import { durationText } from '../../../src/observe/duration-text.ts';
import { renderStatus } from '../../../src/observe/status-text.ts';
import { MOVE_CAUSES, type StatusReport } from '../../../src/observe/status-model.ts';
import { followerReport, sampleReport } from './sample-report.ts';

function render(report: StatusReport): string {
  return renderStatus(report, { isColored: false, movesMax: 8 });
}

describe('the status at 3 a.m.', () => {
  it('begins with who holds the addresses, since when and why', () => {
    expect(render(sampleReport())).toMatch(
      /^node-a {2}healthy {2}holdfast 1\.2\.3, up 1 d, 2026-03-01T03:00:00\.000Z\n\nThis node holds 10\.0\.0\.100, fd00::100,\nsince 2026-03-01T02:00:00\.000Z \(1 h ago\), because the former holder stopped renewing the Lease\.\n/,
    );
  });

  it('is as a whole what an operator reads', () => {
    const lines = render(sampleReport())
      .split('\n')
      .map((line) => line.trimEnd());
    expect(lines).toMatchInlineSnapshot(`
      [
        "node-a  healthy  holdfast 1.2.3, up 1 d, 2026-03-01T03:00:00.000Z",
        "",
        "This node holds 10.0.0.100, fd00::100,",
        "since 2026-03-01T02:00:00.000Z (1 h ago), because the former holder stopped renewing the Lease.",
        "",
        "role       leader",
        "tenure     held, ends in 2.2 s unless renewed: renewed 0.8 s ago",
        "lease      kube-system/plndr-cp-lock held by node-a (this node), 5 s long, changed 800 ms ago, 12 transitions, watched",
        "api        https://10.0.0.5:6443 answers, last 800 ms ago",
        "interface  eth0 (index 2), up, carrier, 02:00:00:00:00:05",
        "ready      yes",
        "",
        "ADDRESS        STATE    SINCE  LIFETIME  ANNOUNCED",
        "10.0.0.100/32  holding  1 h    3 s       1.2 s ago (1207×)",
        "fd00::100/128  holding  1 h    3 s       1.2 s ago (1207×)",
        "",
        "Last moves (1 of 1, newest first)",
        "WHEN                               WHAT                WHY                                           TOOK",
        "2026-03-01T02:00:00.000Z  1 h ago  gained from node-b  the former holder stopped renewing the Lease  lease 12 ms, wire 130 ms, kernel 141 ms, announced 142 ms",
        "",
      ]
    `);
  });

  it('names the holder on a node that stands by', () => {
    expect(render(followerReport())).toContain('node-b holds 10.0.0.100, fd00::100; this node stands by.');
  });

  it('says that nobody holds a released Lease, and that a named node without tenure does not hold', () => {
    const report = followerReport();
    expect(render(followerReport({ lease: { ...report.lease, holder: '' } }))).toContain('Nobody holds 10.0.0.100');
    expect(render(followerReport({ lease: { ...report.lease, holder: undefined } }))).toContain('no Lease seen');
    const own = followerReport({
      lease: { ...report.lease, holder: 'node-a' },
      tenure: { isHeld: false, leftMs: 0, reason: 'renewal late' },
    });
    expect(render(own)).toContain('may not hold 10.0.0.100, fd00::100: renewal late');
  });

  it('does not claim that a leader holds what it is still probing for', () => {
    const [first, second] = sampleReport().addresses;
    if (first === undefined || second === undefined) throw new Error('the sample has two addresses');
    const report = sampleReport({ addresses: [first, { ...second, state: 'probing' }] });
    expect(render(report)).toContain('does not hold every address');
  });

  it('shows a problem with what to type next, and a conflict with its MAC', () => {
    const report = sampleReport({
      problems: [{ code: 'API_FORBIDDEN', message: 'leases is forbidden', remedy: 'Apply `holdfast manifest rbac`.' }],
      addresses: sampleReport().addresses.map((address) => ({
        ...address,
        conflict: { mac: '02:00:00:00:00:99', sinceMs: 61_000 },
      })),
    });
    const text = render(report);
    expect(text).toMatch(/^node-a {2}DEGRADED/);
    expect(text).toContain('API_FORBIDDEN: leases is forbidden\n  remedy: Apply `holdfast manifest rbac`.\n');
    expect(text).toContain('02:00:00:00:00:99 answers too, for 1 min 1 s');
  });

  it('shows the newest moves first, and how many there are', () => {
    const [move] = sampleReport().moves;
    if (move === undefined) throw new Error('the sample has a move');
    const moves = Array.from({ length: 12 }, (_, index) => ({ ...move, at: `2026-03-01T02:00:${10 + index}.000Z` }));
    const text = renderStatus(sampleReport({ moves }), { isColored: false, movesMax: 3 });
    expect(text).toContain('Last moves (3 of 12, newest first)');
    const listed = text.slice(text.indexOf('Last moves')).match(/T02:00:\d\d/g);
    expect(listed).toEqual(['T02:00:21', 'T02:00:20', 'T02:00:19']);
  });

  it("cannot be made to redraw the reader's terminal by what others wrote", () => {
    const tricks = ['\u001b[2J', '\u0007', '\u202e'];
    const report = followerReport({ lease: { ...sampleReport().lease, holder: `evil${tricks.join('')}node` } });
    const text = render(report);
    expect(text).toContain('evil');
    for (const trick of tricks) expect(text).not.toContain(trick.slice(0, 1));
  });

  it('is coloured only when asked', () => {
    expect(renderStatus(sampleReport(), { isColored: true, movesMax: 8 })).toContain('\u001b[');
    expect(render(sampleReport())).not.toContain('\u001b[');
  });

  it('has words for every cause', () => {
    expect(Object.keys(MOVE_CAUSES).length).toBeGreaterThan(10);
    for (const words of Object.values(MOVE_CAUSES)) expect(words).toMatch(/^[a-z].*[^.]$/);
  });
});

describe('durations', () => {
  it.each([
    [-5, '0 ms'],
    [0, '0 ms'],
    [12.4, '12 ms'],
    [999, '999 ms'],
    [1000, '1.0 s'],
    [9999, '10.0 s'],
    [10_000, '10 s'],
    [60_000, '1 min'],
    [130_000, '2 min 10 s'],
    [3_600_000, '1 h'],
    [3_661_000, '1 h 1 min'],
    [273_600_000, '3 d 4 h'],
    [259_261_000, '3 d'],
  ])('%d ms is %s', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });
});
