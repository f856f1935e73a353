/**
 * What Services cost and how fast they are: 10, 100, 1,000 and 5,000 of them made at once on three nodes in network
 * namespaces. How long until a machine outside gets an answer (ARP, neighbour discovery) for each address, what the
 * processes cost then while nothing happens, which requests they make, and how long a lost node's share is away. Writes
 * docs/benchmarks/services.md and .json.
 *
 *     npm run bench:services -- [--counts 10,100,1000,5000] [--families ipv4|ipv4,ipv6] [--seconds 20]
 *                               [--api embedded|real] [--executable FILE] [--profiles FOLDER] [--print]
 *
 * Holdfast is the executable, built for this. Needs root (or user namespaces).
 */

import { mkdirSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import type { Family } from '../src/base/ip.ts';
import { isStartedOver, namespacePrivilege, startOverInUserNamespace } from '../test/lab/namespace.ts';
import { Holdfast } from './bench-services-holdfast.ts';
import { servicesDocument } from './bench-services-report.ts';
import { run, type Row } from './bench-services-run.ts';
import { buildExecutable, isArch } from './build.ts';

const FOLDER = join(import.meta.dirname, '..', 'docs', 'benchmarks');
/** For an answer from every address: a minute, and as long again for each thousand. */
const PATIENCE_MS = 60_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      counts: { type: 'string', default: '10,100,1000,5000' },
      families: { type: 'string', default: 'ipv4' },
      seconds: { type: 'string', default: '20' },
      api: { type: 'string', default: 'embedded' },
      executable: { type: 'string' },
      profiles: { type: 'string' },
      print: { type: 'boolean', default: false },
    },
  });
  const privilege = namespacePrivilege();
  if (privilege.kind === 'none') {
    console.error(`The benchmark can't run here: ${privilege.reason}.`);
    return 3;
  }
  if (privilege.kind === 'user-namespace' && !isStartedOver()) return startOverInUserNamespace();
  const begun = loadavg()[0] ?? 0;
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const holdfast = new Holdfast(values.executable ?? (await built(folder)), values.profiles);
  const rows: Row[] = [];
  try {
    for (const count of values.counts.split(',').map(Number)) {
      const families = values.families.split(',').filter((text): text is Family => text === 'ipv4' || text === 'ipv6');
      const row = await run({
        program: holdfast,
        count,
        families,
        api: values.api === 'real' ? 'real' : 'embedded',
        windowMs: Number(values.seconds) * 1000,
        patienceMs: PATIENCE_MS * (1 + count / 1000),
      });
      console.error(JSON.stringify(row));
      rows.push(row);
    }
  } finally {
    holdfast.close();
    rmSync(folder, { recursive: true, force: true });
  }
  publish(rows, { api: values.api, begun, isPrinted: values.print });
  return 0;
}

async function built(folder: string): Promise<string> {
  if (!isArch(process.arch)) throw new Error(`there is no Node for linux-${process.arch}`);
  const { path } = await buildExecutable({ arch: process.arch, output: join(folder, 'holdfast') });
  return path;
}

function publish(
  rows: readonly Row[],
  how: { readonly api: string; readonly begun: number; readonly isPrinted: boolean },
): void {
  const load = `load ${how.begun.toFixed(1)} → ${(loadavg()[0] ?? 0).toFixed(1)}`;
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, Linux ${release()}, ${process.arch}, ${load}`;
  const text = servicesDocument({ rows, api: how.api, machine });
  if (how.isPrinted) return console.log(text);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'services.json'), `${JSON.stringify({ machine, api: how.api, rows }, null, 2)}\n`);
  writeFileSync(join(FOLDER, 'services.md'), text);
}

process.exitCode = await main();
