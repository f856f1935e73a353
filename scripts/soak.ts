/**
 * Lets a cluster stand for a long time while other work keeps the machine's cores busy, and tells whether the addresses ever
 * moved: three nodes in network namespaces on the embedded API, Holdfast at its defaults, as many spinning processes as the
 * machine has cores (and --load more). Writes docs/benchmarks/soak.json.
 *
 *     npm run soak -- [--minutes 30] [--load N] [--print]
 *
 * Exit code 1 when an address was ever anywhere but on its first holder.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { nowMs, sleep } from '../test/lab/clock.ts';
import { Cluster } from '../test/lab/cluster.ts';

const SPIN = 'for (let i = 0; ; i += 1) if (i > 1e9) i = 0;';
/** Unset, that is: Holdfast's defaults instead of the lab's 5/3/1 s. */
const DEFAULTS = { vip_leaseduration: '', vip_renewdeadline: '', vip_retryperiod: '' };

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      load: { type: 'string', default: String(cpus().length) },
      print: { type: 'boolean', default: false },
    },
  });
  const cluster = await Cluster.create({ api: 'embedded', prefix: 'hf-soak', env: DEFAULTS });
  const spinners: ChildProcess[] = [];
  try {
    for (const node of cluster.lab.nodes) await cluster.startCandidate(node);
    const holder = await cluster.settled();
    await sleep(10_000);
    for (let index = 0; index < Number(values.load); index += 1) {
      spinners.push(spawn(process.execPath, ['-e', SPIN], { stdio: 'ignore' }));
    }
    const beginMs = nowMs();
    const loads: number[] = [];
    console.error(`${holder.name} holds ${cluster.vips.join(' and ')}; ${spinners.length} processes spin`);
    for (let minute = 1; minute <= Number(values.minutes); minute += 1) {
      await sleep(60_000);
      const moves = movesOf(cluster, beginMs);
      loads.push(Math.round((loadavg()[0] ?? 0) * 10) / 10);
      console.error(`${minute} min: ${moves.length} changes of holder, load ${loads.at(-1)}`);
    }
    const moves = movesOf(cluster, beginMs);
    const overlapMs = Math.max(...cluster.vips.map((vip) => cluster.holders.longestOverlapMs(vip, beginMs)));
    const outages = await Promise.all(cluster.vips.map((vip) => cluster.prober.summary(vip, beginMs)));
    const report = {
      command: `npm run soak -- --minutes ${values.minutes} --load ${values.load}`,
      machine: `${cpus().length} cores (${cpus()[0]?.model.trim()}), Linux ${release()}`,
      minutes: Number(values.minutes),
      spinningProcesses: spinners.length,
      loadAverages: loads,
      holder: holder.name,
      changesOfHolder: moves,
      longestOverlapMs: overlapMs,
      // A prober and an echo that get no processor lose probes too: these are no outages of the address.
      longestUnansweredMs: outages.map((outage) => Math.round(outage.longestMs)),
    };
    const text = `${JSON.stringify(report, undefined, 2)}\n`;
    console.log(text);
    if (moves.length > 0) console.log(cluster.logs(60));
    if (!values.print) {
      const folder = join(import.meta.dirname, '..', 'docs', 'benchmarks');
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'soak.json'), text);
    }
    return moves.length === 0 ? 0 : 1;
  } finally {
    for (const spinner of spinners) spinner.kill('SIGKILL');
    await cluster.close();
  }
}

/** What changed after the state at the beginning. */
function movesOf(cluster: Cluster, sinceMs: number): readonly string[] {
  return cluster.vips.flatMap((vip) =>
    cluster.holders
      .since(vip, sinceMs)
      .filter((change) => change.atMs > sinceMs)
      .map(
        (change) =>
          `${Math.round((change.atMs - sinceMs) / 1000)} s: ${vip} on ${change.holders.join('+') || 'nobody'}`,
      ),
  );
}

process.exitCode = await main();
