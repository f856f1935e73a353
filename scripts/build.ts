/**
 * Makes the single executable: `dist/holdfast` for this machine's architecture, and `dist/holdfast-<arch>` for others.
 *
 *     npm run build [-- x64 arm64 …]            default: this machine's architecture
 *
 * What is in it: Node as npm ships it, without its symbol tables; one bundle of src; the native addon; and, as an asset
 * that is only parsed when a kubeconfig with a credential plugin is met, @kubernetes/client-node. Everything comes from
 * what `npm ci` installed (Node for another architecture from the package that package-lock.json pins for it), so that
 * the same commit gives the same octets.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { build, type Metafile, type OutputFile, type Plugin } from 'esbuild';

import manifest from '../package.json' with { type: 'json' };
import { stripped } from './elf.ts';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

export const ARCHITECTURES = ['x64', 'arm64'] as const;
export type Arch = (typeof ARCHITECTURES)[number];

/** https://nodejs.org/api/single-executable-applications.html */
const SEA_FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/**
 * V8 for a daemon that does little and often.
 *
 * Young generation small: there is little garbage, and pauses stay short. One of 8 MB would spare a sixth of the processor
 * time that a thousand Services take when they are made at once, and take 10 MB: too much where five thousand are served.
 * Old generation: five thousand Services hold some 50 MB, half as much again between two collections. This is three times
 * that, for those with two addresses each, and no leak grows beyond it unseen.
 *
 * No optimizing compilers: what runs a few times a second gains nothing by them, and the pages of their code, their
 * threads' heaps and what they compile are 7 MB and a tenth of the processor time (measured at idle: 4.5 and 4.1 ms/s). A
 * thousand Services made at once cost as much processor time with them and 30 MB more (bench:services, each tried).
 */
export const EXEC_ARGV = [
  '--max-semi-space-size=2',
  '--max-old-space-size=256',
  '--no-opt',
  '--no-maglev',
  '--disable-warning=ExperimentalWarning',
];

/** The daemon's bundle, as stack traces name it. */
const MAIN = 'holdfast.cjs';

const CLIENT_NODE = '@kubernetes/client-node';
const CLIENT_NODE_ASSET = 'client-node.cjs';

/** Turns the one dynamic import of client-node into a load of its asset. */
const clientNodeAsAsset: Plugin = {
  name: 'client-node-as-asset',
  setup(bundler) {
    bundler.onResolve({ filter: new RegExp(`^${CLIENT_NODE}$`) }, ({ kind, path }) =>
      kind === 'dynamic-import' ? { path, namespace: 'asset' } : { errors: [{ text: `${path} must be import()ed` }] },
    );
    bundler.onLoad({ filter: /.*/, namespace: 'asset' }, () => ({
      loader: 'js',
      contents: `
        const { compileFunction } = require('node:vm');
        const { getAsset } = require('node:sea');
        const filename = '${CLIENT_NODE_ASSET}';
        compileFunction(getAsset(filename, 'utf8'), ['module', 'exports', 'require'], { filename })
          (module, exports, require);`,
    }));
  },
};

const bundling = {
  bundle: true,
  write: false,
  metafile: true,
  platform: 'node',
  format: 'cjs',
  target: 'node24',
  // Names stay: a stack trace from the field must be readable.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  absWorkingDir: root,
} as const;

interface Bundle {
  readonly code: Uint8Array;
  readonly metafile: Metafile;
}

export async function bundleMain(entry: string): Promise<Bundle> {
  const result = await build({
    ...bundling,
    entryPoints: [entry],
    outfile: 'holdfast.cjs',
    plugins: [clientNodeAsAsset],
    define: {
      HOLDFAST_VERSION: JSON.stringify(manifest.version),
      HOLDFAST_COMMIT: JSON.stringify(commit()),
      // Source trees only; the executable takes the addon from its assets.
      'import.meta.dirname': '""',
      'import.meta.filename': '""',
      'import.meta.main': 'true',
    },
  });
  return toBundle(result);
}

async function bundleClientNode(): Promise<Bundle> {
  const result = await build({
    ...bundling,
    stdin: { contents: `export { KubeConfig } from '${CLIENT_NODE}';`, resolveDir: root },
    outfile: CLIENT_NODE_ASSET,
    define: { 'import.meta.url': '"file:///holdfast"' },
  });
  return toBundle(result);
}

function toBundle({ outputFiles: [file], metafile }: { outputFiles: OutputFile[]; metafile: Metafile }): Bundle {
  if (file === undefined) throw new Error('esbuild wrote nothing');
  return { code: file.contents, metafile };
}

/** Abbreviated commit, with "-modified" when src differs from it; '' outside a git checkout. */
export function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const isModified = git('status', '--porcelain', '--', 'src', 'native', 'package-lock.json') !== '';
    return git('rev-parse', '--short=10', 'HEAD') + (isModified ? '-modified' : '');
  } catch {
    return '';
  }
}

/** Node's executable for `arch`: installed with the project for this machine, fetched by npm for another. */
export function nodeBinary(arch: Arch): string {
  const name = `node-linux-${arch}` as const;
  const installed = join(root, 'node_modules', name, 'bin', 'node');
  if (existsSync(installed)) return installed;
  const version = manifest.optionalDependencies[name];
  const folder = join(root, '.cache', 'node', `${name}-${version}`);
  const fetched = join(folder, 'package', 'bin', 'node');
  if (existsSync(fetched)) return fetched;
  mkdirSync(folder, { recursive: true });
  console.log(`fetching ${name}@${version}`);
  const answer = execFileSync('npm', ['pack', '--json', '--silent', `${name}@${version}`], {
    cwd: folder,
    encoding: 'utf8',
  });
  // npm's own format: one entry per package asked for.
  const [packed] = JSON.parse(answer) as { filename: string; integrity: string }[];
  const locked = lockedIntegrity(name);
  if (packed === undefined || packed.integrity !== locked) {
    throw new Error(
      `${name}@${version} is not what package-lock.json pins (${packed?.integrity} instead of ${locked})`,
    );
  }
  execFileSync('tar', ['-xzf', packed.filename], { cwd: folder });
  rmSync(join(folder, packed.filename));
  return fetched;
}

function lockedIntegrity(name: string): string | undefined {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { integrity?: string }>;
  };
  return lock.packages[`node_modules/${name}`]?.integrity;
}

export function addonFile(arch: Arch): string {
  const file = join(root, 'native', 'prebuilds', `linux-${arch}`, 'netfd.node');
  if (!existsSync(file)) throw new Error(`${file} is missing: npm run build:native -- ${arch}`);
  return file;
}

export function outputPath(arch: Arch): string {
  return join(dist, arch === process.arch ? 'holdfast' : `holdfast-${arch}`);
}

export interface BuildOptions {
  readonly arch: Arch;
  /** Default: src/main.ts. */
  readonly entry?: string;
  readonly output?: string;
}

export interface Built {
  readonly path: string;
  readonly bytes: number;
  /** Octets of src and of each package in the daemon's bundle. */
  readonly contents: Readonly<Record<string, number>>;
  /** The packages whose code is in the executable, client-node's included, as package-lock.json names them. */
  readonly packages: readonly string[];
}

export async function buildExecutable(options: BuildOptions): Promise<Built> {
  const path = options.output ?? outputPath(options.arch);
  mkdirSync(dirname(path), { recursive: true });
  const main = await bundleMain(options.entry ?? join(root, 'src', 'main.ts'));
  const client = await bundleClientNode();
  // A folder of its own, so that two builds at once don't meet, beside the result, which is then renamed into place.
  const scratch = mkdtempSync(join(dirname(path), '.build-'));
  try {
    writeFileSync(join(scratch, MAIN), main.code);
    writeFileSync(join(scratch, CLIENT_NODE_ASSET), client.code);
    const executable = assemble(options.arch, scratch);
    chmodSync(executable, 0o755);
    renameSync(executable, path);
  } finally {
    rmSync(scratch, { recursive: true });
  }
  if (options.arch === process.arch && options.entry === undefined) checkItRuns(path);
  const packages = new Set([...packagesOf(main.metafile), ...packagesOf(client.metafile)]);
  return { path, bytes: statSync(path).size, contents: contentsOf(main.metafile), packages: [...packages] };
}

/** Says its version and nothing else: Node warns, for one, when it rejects the code cache. */
function checkItRuns(path: string): void {
  const { status, stdout, stderr } = spawnSync(path, ['version'], { encoding: 'utf8', env: {} });
  if (status !== 0 || stderr !== '') throw new Error(`${path} does not run as it should: ${stdout}${stderr}`);
}

/** Puts the bundles in `scratch` into a copy of Node there; returns its path. */
function assemble(arch: Arch, scratch: string): string {
  const at = (name: string) => join(scratch, name);
  const config = {
    // Relative: it is the file name in stack traces, and must not depend on where the project lies.
    main: MAIN,
    output: 'sea.blob',
    disableExperimentalSEAWarning: true,
    // The cache is V8's for one processor: only a machine of the same architecture can make it.
    useCodeCache: arch === process.arch,
    execArgv: EXEC_ARGV,
    assets: { 'netfd.node': addonFile(arch), [CLIENT_NODE_ASSET]: CLIENT_NODE_ASSET },
  };
  writeFileSync(at('sea.json'), JSON.stringify(config));
  // --random-seed: else the code cache has the hashes of one run in it, and no two builds are alike. The flags it will run
  // with: V8 rejects a cache that was made with others, says so on every start, and compiles anew.
  run(nodeBinary(ownArch()), ['--random-seed=1', ...EXEC_ARGV, '--experimental-sea-config', 'sea.json'], scratch);

  // Stripped before, not after: what postject adds would be taken for dispensable.
  writeFileSync(at('node'), stripped(readFileSync(nodeBinary(arch))));
  const postject = join(root, 'node_modules', '.bin', 'postject');
  run(postject, ['node', 'NODE_SEA_BLOB', 'sea.blob', '--sentinel-fuse', SEA_FUSE], scratch);
  return at('node');
}

/** Runs a tool whose chatter is of interest only when it fails. */
function run(command: string, args: readonly string[], cwd: string): void {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
}

function contentsOf({ outputs }: Metafile): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const output of Object.values(outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? input.split('/')[0] ?? input;
      sizes[name] = (sizes[name] ?? 0) + bytesInOutput;
    }
  }
  return sizes;
}

function packagesOf({ outputs }: Metafile): string[] {
  return Object.values(outputs)
    .flatMap(({ inputs }) => Object.keys(inputs))
    .flatMap((input) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
}

function ownArch(): Arch {
  if (!isArch(process.arch)) {
    throw new Error(`there is no Node for linux-${process.arch} (${ARCHITECTURES.join(', ')})`);
  }
  return process.arch;
}

export function isArch(text: string): text is Arch {
  return (ARCHITECTURES as readonly string[]).includes(text);
}

async function main(): Promise<void> {
  const wanted = process.argv.length > 2 ? process.argv.slice(2) : [process.arch];
  for (const arch of wanted) {
    if (!isArch(arch)) throw new Error(`unknown architecture ${arch} (${ARCHITECTURES.join(', ')})`);
    const { path, bytes, contents } = await buildExecutable({ arch });
    console.log(`${path}: ${(bytes / 1e6).toFixed(1)} MB`);
    const sizes = Object.entries(contents).toSorted((a, b) => b[1] - a[1]);
    for (const [name, size] of sizes) console.log(`  ${(size / 1024).toFixed(0).padStart(5)} KiB ${name}`);
  }
}

if (import.meta.main) await main();
