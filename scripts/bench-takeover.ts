/**
 * Shows what goes over the wire when a virtual IP moves: three nodes with a real API, every ARP packet, neighbour
 * solicitation and advertisement and every heartbeat captured at the switch, with times; one takeover each of a lost
 * node, a crashed process, and a planned handover. Writes docs/benchmarks/takeover.md.
 *
 *     npm run bench:takeover -- [--print] [--pcap FILE]
 *
 * --pcap has tcpdump write the same frames to a file (Lease writes are TLS to the API servers and not among them).
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import type { NeighbourFrame } from '../test/lab/capture.ts';
import { nowMs, sleep } from '../test/lab/clock.ts';
import { Cluster } from '../test/lab/cluster.ts';
import { managersOf } from '../test/lab/contender.ts';
import { HeartbeatCapture, type CapturedHeartbeat } from '../test/lab/heartbeat-capture.ts';
import { everybodyHeard } from '../test/lab/everybody-heard.ts';
import { namespacePrivilege } from '../test/lab/namespace.ts';
import type { LabProcess } from '../test/lab/process.ts';
import { play, SCENARIOS, type ScenarioName } from '../test/lab/scenarios.ts';
import { about } from './bench-report.ts';

const FILE = join(import.meta.dirname, '..', 'docs', 'benchmarks', 'takeover.md');
/** The default of vip_heartbeat_port. */
const HEARTBEAT_PORT = 6460;
/** Shown: from this long before the event … */
const BEFORE_MS = 150;
/** … until this long after the last address was held. */
const AFTER_MS = 1500;
const LINES_MAX = 120;
/** A kernel answers a probe at once. */
const ANSWER_MS = 5;
/** Questions are asked every 10 ms while a holder is suspected, every 100 ms at most. */
const SERIES_MS = 150;

interface Line {
  readonly atMs: number;
  readonly from: string;
  readonly text: string;
}

interface Shown {
  readonly name: ScenarioName;
  readonly from: string;
  readonly to: string;
  readonly outageMs: readonly number[];
  readonly lines: readonly Line[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { print: { type: 'boolean', default: false }, pcap: { type: 'string' } },
  });
  if (namespacePrivilege().kind !== 'root') {
    console.error('This needs root.');
    return 3;
  }
  const cluster = await Cluster.create({ api: 'real', prefix: 'hf-take' });
  const heartbeats = new HeartbeatCapture(cluster.lab, HEARTBEAT_PORT);
  const dump = values.pcap === undefined ? undefined : startDump(cluster, values.pcap);
  try {
    const candidates = managersOf(cluster, { isAtDefaults: true });
    for (const node of cluster.lab.nodes) await candidates.start(node);
    await cluster.reachable();
    const shown: Shown[] = [];
    for (const name of ['power', 'crash', 'stop'] as const) {
      await everybodyHeard(cluster);
      // Whatever the last start announced is over.
      await sleep(3000);
      const result = await play(cluster, name, {}, candidates);
      const untilMs = result.startMs + result.heldAfterMs + AFTER_MS;
      const lines = linesOf(cluster, heartbeats, result.startMs, untilMs);
      const outageMs = result.outages.map(({ longestMs }) => longestMs);
      console.error(`${name}: ${result.from} → ${result.to}, ${outageMs.map(Math.round).join(' and ')} ms`);
      shown.push({ name, from: result.from, to: result.to, outageMs, lines });
    }
    const text = page(shown);
    if (values.print) {
      console.log(text);
      return 0;
    }
    mkdirSync(dirname(FILE), { recursive: true });
    writeFileSync(FILE, text);
    return 0;
  } finally {
    await dump?.stop();
    heartbeats.close();
    await cluster.close();
  }
}

function startDump(cluster: Cluster, file: string): LabProcess {
  const filter = `arp or (icmp6 and (ip6[40] == 135 or ip6[40] == 136)) or udp port ${HEARTBEAT_PORT}`;
  return cluster.lab.spawn('switch', ['tcpdump', '-i', 'br0', '-U', '-w', file, filter], { name: 'tcpdump' });
}

/** Everything on one line of time; heartbeats that say what the one before said are counted only. */
function linesOf(cluster: Cluster, heartbeats: HeartbeatCapture, startMs: number, untilMs: number): readonly Line[] {
  const fromMs = startMs - BEFORE_MS;
  const isShown = ({ atMs }: { readonly atMs: number }): boolean => atMs >= fromMs && atMs <= untilMs;
  const neighbours = cluster.capture.frames
    .filter(isShown)
    .filter((frame) => cluster.vips.includes(frame.address) || cluster.vips.includes(frame.sender))
    .map((frame, index, all) => ({ atMs: frame.atMs, from: frame.from, text: textOf(frame, all.slice(0, index)) }));
  const changes = cluster.vips.flatMap((vip) =>
    cluster.holders.since(vip, startMs).map(({ atMs, holders }, index) => ({
      atMs,
      from: '',
      text: `*${index === 0 ? 'the event; ' : ''}${vip} is on ${holders.join(' and ') || 'no node'}*`,
    })),
  );
  const said = [...cluster.managers].flatMap(([node, manager]) =>
    manager.lines
      .filter((line) => isShown(line) && line.text.startsWith('{'))
      .map(({ atMs, text }) => ({ atMs, from: node, text: logged(text) }))
      .filter(({ text }) => text !== ''),
  );
  const beats = beatLines(heartbeats.beats, fromMs, startMs, untilMs);
  return merged(
    [...neighbours, ...changes, ...said, ...beats].toSorted((a, b) => a.atMs - b.atMs),
    startMs,
  );
}

/** Equal lines, each within SERIES_MS of the one before, are one series: the first, with a count and the last's time. */
function merged(lines: readonly Line[], startMs: number): readonly Line[] {
  const series: { line: Line; count: number; lastMs: number }[] = [];
  for (const line of lines) {
    const found = series.findLast(({ line: first }) => first.from === line.from && first.text === line.text);
    if (found !== undefined && line.atMs - found.lastMs < SERIES_MS) {
      found.count += 1;
      found.lastMs = line.atMs;
    } else {
      series.push({ line, count: 1, lastMs: line.atMs });
    }
  }
  return series.map(({ line, count, lastMs }) => {
    const until = lastMs - line.atMs < 5 ? '' : `, the last at ${(lastMs - startMs).toFixed(1)} ms`;
    return count === 1 ? line : { ...line, text: `${line.text} (${count} times${until})` };
  });
}

/** What the product logged about the move, in a few words; times in ms. */
function logged(text: string): string {
  // One line of the product's JSON log.
  const { msg, cause, timings } = JSON.parse(text) as {
    readonly msg?: string;
    readonly cause?: string;
    readonly timings?: Readonly<Record<string, number>>;
  };
  if (msg === undefined || !/lease|virtual ip|suspect/.test(msg)) return '';
  const times = Object.entries(timings ?? {}).map(([name, ms]) => `${name} ${Math.round(ms)}`);
  return `*logs "${msg}"${cause === undefined ? '' : `, ${cause}`}${times.length === 0 ? '' : `: ${times.join(', ')} ms`}*`;
}

function textOf(frame: NeighbourFrame, before: readonly NeighbourFrame[]): string {
  const to = /^(ff:ff|33:33)/.test(frame.destinationMac) ? 'to all' : 'to one';
  if (frame.kind === 'arp-request' && frame.sender === '0.0.0.0') return `ARP probe, ${to}: who has ${frame.address}?`;
  if (frame.kind === 'solicitation' && frame.sender === '::') return `NDP probe, ${to}: who has ${frame.address}?`;
  if (frame.kind === 'arp-request' && !frame.isGratuitous) return `ARP request, ${to}: who has ${frame.address}?`;
  if (frame.kind === 'solicitation') return `solicitation, ${to}: who has ${frame.address}?`;
  // A probe has no address to be answered at: the answer goes to all nodes, unsolicited in form (RFC 4861 §7.2.4).
  const probe = before.findLast(({ kind, address }) => kind === 'solicitation' && address === frame.address);
  if (frame.kind === 'advertisement' && probe?.sender === '::' && frame.atMs - probe.atMs < ANSWER_MS) {
    return `advertisement in answer to a probe, ${to}: ${frame.address} is at ${frame.hardware ?? frame.sourceMac}`;
  }
  if (frame.isGratuitous) {
    const kind = frame.kind === 'advertisement' ? 'unsolicited advertisement' : `gratuitous ARP (${frame.kind})`;
    return `**announcement**, ${kind}, ${to}: ${frame.address} is at ${frame.hardware ?? frame.sourceMac}`;
  }
  const kind = frame.kind === 'advertisement' ? 'advertisement' : 'ARP reply';
  const address = frame.kind === 'advertisement' ? frame.address : frame.sender;
  return `${kind}, ${to}: ${address} is at ${frame.hardware ?? frame.sourceMac}`;
}

function beatLines(
  beats: readonly CapturedHeartbeat[],
  fromMs: number,
  startMs: number,
  untilMs: number,
): readonly Line[] {
  const lines: Line[] = [];
  for (const from of new Set(beats.map((beat) => beat.from))) {
    const own = beats.filter((beat) => beat.from === from && beat.atMs >= fromMs && beat.atMs <= untilMs);
    let before: string | undefined;
    let unchanged = 0;
    for (const { atMs, beat, length } of own) {
      const says = statement(beat);
      if (says === before) {
        unchanged += 1;
        continue;
      }
      const skipped = unchanged === 0 ? '' : ` (after ${unchanged} that said the same as before)`;
      lines.push({ atMs, from, text: `heartbeat, ${length} octets: ${says}${skipped}` });
      before = says;
      unchanged = 0;
    }
    const last = own.at(-1);
    if (last !== undefined && last.atMs < startMs + 500 && last.atMs < untilMs - 500) {
      lines.push({ atMs: last.atMs, from, text: '**the last heartbeat of this node**' });
    }
  }
  return lines;
}

function statement(beat: CapturedHeartbeat['beat']): string {
  const heard = beat.hears.toString(2).replaceAll('0', '').length;
  return [
    `hears ${heard} of the voters, itself counted`,
    ...(beat.isHolding ? ['holds'] : []),
    ...(beat.isApiWorking ? ['its API works'] : ['no API']),
    ...(beat.isEligible ? [] : ['not eligible']),
    ...(beat.isDraining ? ['drains'] : []),
    ...(beat.supports === undefined ? [] : [`is for voter ${beat.supports}`]),
    `term ${beat.term}`,
  ].join(', ');
}

function page(shown: readonly Shown[]): string {
  const { versions, machine } = about();
  return `# A takeover on the wire

Every ARP packet, neighbour solicitation and advertisement about the two virtual IPs and every heartbeat that entered a
port of the switch, from ${BEFORE_MS} ms before the event until ${AFTER_MS} ms after the addresses were held: three nodes in network
namespaces, a real etcd and kube-apiserver on each, Holdfast ${versions['holdfast']} at its defaults. ${machine}. Made by
\`npm run bench:takeover\`. Times are milliseconds from the event, taken where the frame enters the switch, by a machine
that does everything else too: a frame may be milliseconds older. Heartbeats that say what the one before said are only
counted; a series of the same frame is one line. Lines in *italics* are no frames: a kernel's word on who
has an address, and the product's log. The compare-and-swap of the Lease is TLS to an API server and not shown.

${shown.map(section).join('\n')}`;
}

function section({ name, from, to, outageMs, lines }: Shown): string {
  const startMs = lines.find(({ text }) => text.startsWith('*the event'))?.atMs ?? nowMs();
  const rows = lines
    .slice(0, LINES_MAX)
    .map(({ atMs, from: sender, text }) => `| ${(atMs - startMs).toFixed(1)} | ${sender} | ${text} |`);
  const left = lines.length > LINES_MAX ? `\n${lines.length - LINES_MAX} more lines are left out.\n` : '';
  return `## ${SCENARIOS[name].title}

From ${from} to ${to}; the client's outage: ${outageMs.map((ms) => `${Math.round(ms)} ms`).join(' (IPv4), ')} (IPv6).

| ms | from | what |
|---|---|---|
${rows.join('\n')}
${left}`;
}

process.exitCode = await main();
