/**
 * All tests, as far as this machine can run them: unit, simulation and fuzzing anywhere; the lab where network namespaces
 * can be made (as root, or in a user namespace); conformance where the foreign software can be built or is there. What
 * can't run is named with its reason; in CI (CI=true) that is a failure, and so is a skipped test. The last line is
 * `N passed, N failed`, over all suites.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { namespacePrivilege, userNamespaceArgv } from '../test/lab/namespace.ts';
import { AssetUnavailable, DEFAULT_ASSETS, provideAsset } from './assets.ts';
import { DEFINITION_SETS, provideDefinitions } from './definitions.ts';

const HELP = `Usage: scripts/test [--only SUITE]… [--quick]

  --only    unit, lab or conformance; may be repeated
  --quick   only what needs neither root nor foreign software

Foreign software (kube-apiserver, etcd, the definitions of MetalLB and Cilium) is built on first use, which takes some
minutes and needs Go; KUBEBUILDER_ASSETS names a folder that has the binaries already.`;

interface Suite {
  readonly name: 'unit' | 'lab' | 'conformance';
  readonly projects: readonly string[];
  /** Whether it needs network namespaces; whether it needs foreign software. */
  readonly needs: readonly ('namespaces' | 'assets')[];
}

const SUITES: readonly Suite[] = [
  { name: 'unit', projects: ['unit', 'sim', 'fuzz'], needs: [] },
  { name: 'lab', projects: ['lab'], needs: ['namespaces'] },
  { name: 'conformance', projects: ['conformance'], needs: ['namespaces', 'assets'] },
];

/** Simulated clusters that are played here, where a minute more is no matter. */
const SIM_SEEDS = '2000';

/** Lab tests that a user namespace is not enough for, and what they do there that it may not. */
const ROOT_ONLY: Readonly<Record<string, string>> = {
  'test/lab/netfd.lab.ts': 'goes back into the namespace that the process came from',
  'test/lab/packet-socket.lab.ts': 'opens /dev/net/tun, and has tcpdump change its user',
  'test/lab/image.lab.ts': 'mounts the image read-only',
};

interface Result {
  readonly passed: number;
  readonly failed: number;
  /** Names of tests that were skipped. */
  readonly skipped: readonly string[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const wanted = values.quick ? ['unit'] : values.only;
  const unknown = wanted?.find((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown !== undefined) {
    console.error(`test: no suite is called ${unknown}\n\n${HELP}`);
    return 2;
  }
  const notRun: string[] = [];
  const results: Result[] = [];
  for (const suite of SUITES.filter(({ name }) => wanted?.includes(name) ?? true)) {
    const obstacle = await findObstacle(suite);
    if (obstacle !== undefined) {
      notRun.push(`${suite.name}: ${obstacle}`);
      continue;
    }
    const isNested = suite.needs.includes('namespaces') && namespacePrivilege().kind === 'user-namespace';
    const excluded = isNested && suite.name === 'lab' ? Object.entries(ROOT_ONLY) : [];
    for (const [file, why] of excluded) notRun.push(`${file}: needs root: ${why}`);
    results.push(await runSuite(suite, { isNested, excluded: excluded.map(([file]) => file) }));
  }
  for (const { skipped } of results) notRun.push(...skipped.map((name) => `${name}: skipped by the test itself`));
  for (const text of notRun) console.log(`not run: ${text}`);
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  const isIncomplete = process.env['CI'] === 'true' && notRun.length > 0;
  if (isIncomplete) console.log('In CI everything has to run: what was not run counts as failed.');
  console.log(`${passed} passed, ${failed + (isIncomplete ? notRun.length : 0)} failed`);
  return failed === 0 && !isIncomplete && passed > 0 ? 0 : 1;
}

/** Why the suite can't run here; undefined when it can. Builds what it needs. */
async function findObstacle(suite: Suite): Promise<string | undefined> {
  if (suite.needs.includes('namespaces')) {
    const privilege = namespacePrivilege();
    if (privilege.kind === 'none') return privilege.reason;
  }
  if (!suite.needs.includes('assets')) return undefined;
  try {
    for (const asset of DEFAULT_ASSETS) await provideAsset(asset);
    for (const set of DEFINITION_SETS) await provideDefinitions(set);
    return undefined;
  } catch (error) {
    if (error instanceof AssetUnavailable) return error.message;
    throw error;
  }
}

interface Surroundings {
  /** In a user namespace. */
  readonly isNested: boolean;
  readonly excluded: readonly string[];
}

async function runSuite(suite: Suite, { isNested, excluded }: Surroundings): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  const report = join(folder, 'report.json');
  try {
    console.log(`\n== ${suite.name}`);
    const vitest = join(import.meta.dirname, '..', 'node_modules', 'vitest', 'vitest.mjs');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const projects = suite.projects.flatMap((project) => ['--project', project]);
    const exclusions = excluded.map((file) => `--exclude=${file}`);
    const argv = [process.execPath, vitest, 'run', ...reporters, ...projects, ...exclusions];
    const code = await run(isNested ? userNamespaceArgv(argv) : argv);
    return readReport(report, suite.name, code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(argv: readonly string[]): Promise<number> {
  const [command = '', ...args] = argv;
  const env = { HOLDFAST_SIM_SEEDS: SIM_SEEDS, ...process.env };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', cwd: join(import.meta.dirname, '..'), env });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

/** The parts of vitest's JSON report (Jest's format) that are read here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

function readReport(path: string, suite: string, exitCode: number): Result {
  let report: Report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8')) as Report;
  } catch {
    console.log(`${suite}: vitest ended with ${exitCode} and left no report`);
    return { passed: 0, failed: 1, skipped: [] };
  }
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const count = (status: string): number => tests.filter((test) => test.status === status).length;
  // A file that couldn't be loaded, or whose set-up failed, has failed without a failed test in it.
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = count('failed') + broken;
  const skipped = tests.filter((test) => !['passed', 'failed'].includes(test.status)).map((test) => test.fullName);
  // Something outside of any test went wrong (an unhandled rejection): vitest says so by its exit code alone.
  return { passed: count('passed'), failed: failed === 0 && exitCode !== 0 ? 1 : failed, skipped };
}

process.exitCode = await main();
