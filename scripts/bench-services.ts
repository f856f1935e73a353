/**
 * What Services cost and how fast they are: 10, 100, 1,000 and 5,000 of them made at once on three nodes in network
 * namespaces. How long until a machine outside gets an answer (ARP, neighbour discovery) for each address, what the
 * processes cost then while nothing happens, which requests they make, and how long a lost node's share is away. Writes
 * docs/benchmarks/services.md and .json.
 *
 *     npm run bench:services -- [--counts 10,100,1000,5000] [--families ipv4,ipv4+ipv6] [--beside 10,100,1000]
 *                               [--seconds 20] [--executable FILE] [--profiles FOLDER] [--only PROGRAM] [--print]
 *
 * Holdfast is the executable, built for this, before the embedded API. When executables of others are named (KUBE_VIP_BIN,
 * METALLB_CONTROLLER_BIN with METALLB_SPEAKER_BIN), all of them are measured side by side, one after the other, before real
 * API servers, with the numbers of Services that --beside says. Needs root (or user namespaces).
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import type { Family } from '../src/base/ip.ts';
import type { ApiKind } from '../test/lab/cluster.ts';
import { isStartedOver, namespacePrivilege, startOverInUserNamespace } from '../test/lab/namespace.ts';
import { Holdfast } from './bench-services-holdfast.ts';
import { otherPrograms } from './bench-services-others.ts';
import { servicesDocument } from './bench-services-report.ts';
import { run, type Program, type Row } from './bench-services-run.ts';
import { buildExecutable, isArch } from './build.ts';
import { dropFromCache } from './page-cache.ts';

const FOLDER = join(import.meta.dirname, '..', 'docs', 'benchmarks');
/** For an answer from every address: a minute, and as long again for each thousand. */
const PATIENCE_MS = 60_000;

interface Job {
  readonly program: () => Program;
  readonly api: ApiKind;
  readonly count: number;
  readonly families: readonly Family[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      counts: { type: 'string', default: '10,100,1000,5000' },
      families: { type: 'string', default: 'ipv4,ipv4+ipv6' },
      beside: { type: 'string', default: '10,100,1000' },
      seconds: { type: 'string', default: '20' },
      executable: { type: 'string' },
      profiles: { type: 'string' },
      only: { type: 'string', default: '' },
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
  let failures = 0;
  try {
    for (const { program, ...job } of jobs(values, holdfast)) {
      const one = program();
      if (!one.name.startsWith(values.only)) continue;
      console.error(`${one.name}: ${job.count} Services, ${job.families.join('+')}, ${job.api} API`);
      const windowMs = Number(values.seconds) * 1000;
      const patienceMs = PATIENCE_MS * (1 + job.count / 1000);
      try {
        const row = await run({ program: one, ...job, windowMs, patienceMs });
        console.error(JSON.stringify(row));
        rows.push(row);
      } catch (error) {
        // An hour of others isn't to be lost for it; the page lacks the row.
        console.error(error);
        failures += 1;
      }
    }
  } finally {
    holdfast.close();
    rmSync(folder, { recursive: true, force: true });
  }
  publish(rows, begun, values.print);
  return failures === 0 ? 0 : 1;
}

function jobs(
  values: { readonly counts: string; readonly families: string; readonly beside: string },
  holdfast: Holdfast,
): readonly Job[] {
  const stacks = values.families.split(',').map((text) => text.split('+').filter(isFamily));
  const alone = numbers(values.counts).flatMap((count) =>
    stacks.map((families): Job => ({ program: () => holdfast, api: 'embedded', count, families })),
  );
  const others = otherPrograms();
  if (others.length === 0) return alone;
  const beside = numbers(values.beside).flatMap((count) =>
    [() => holdfast, ...others].map((program): Job => ({ program, api: 'real', count, families: ['ipv4'] })),
  );
  return [...alone, ...beside];
}

function isFamily(text: string): text is Family {
  return text === 'ipv4' || text === 'ipv6';
}

function numbers(text: string): readonly number[] {
  return text.split(',').filter(Boolean).map(Number);
}

async function built(folder: string): Promise<string> {
  if (!isArch(process.arch)) throw new Error(`there is no Node for linux-${process.arch}`);
  const { path } = await buildExecutable({ arch: process.arch, output: join(folder, 'holdfast') });
  dropFromCache(path);
  return path;
}

function publish(rows: readonly Row[], begun: number, isPrinted: boolean): void {
  const load = `load ${begun.toFixed(1)} → ${(loadavg()[0] ?? 0).toFixed(1)}`;
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, Linux ${release()}, ${process.arch}, ${load}`;
  const text = servicesDocument(rows, machine);
  if (isPrinted) return console.log(text);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'services.json'), `${JSON.stringify({ machine, rows }, null, 2)}\n`);
  writeFileSync(join(FOLDER, 'services.md'), text);
}

process.exitCode = await main();
