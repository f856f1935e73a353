/**
 * Assembles the container image without a container engine: `dist/holdfast-image-<arch>.tar`, and beside it the
 * executable's and its libraries' bill of materials, `dist/holdfast-image-<arch>.cdx.json`.
 *
 *     npm run image [-- x64 arm64 … --ref ghcr.io/holdfast/holdfast:v0.1.0]
 *     ctr -n k8s.io images import dist/holdfast-image-x64.tar
 *
 * In it: /holdfast, the shared libraries it names (found by reading ELF headers, taken from this machine; for another
 * architecture from its cross libraries, on Debian libc6-, libstdc++6- and libgcc-s1-arm64-cross), a minimal /etc and
 * an empty /tmp. No shell, no certificates (a kubeconfig brings its own). The same commit on the same machine gives the
 * same octets: times are the commit's, or SOURCE_DATE_EPOCH.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';

import manifest from '../package.json' with { type: 'json' };
import { DEFAULT_IMAGE } from '../src/cli/manifest.ts';
import { addonFile, ARCHITECTURES, buildExecutable, commit, isArch, type Arch } from './build.ts';
import { needsOf } from './elf.ts';
import { imageArchive } from './oci.ts';
import { billOfMaterials, type SharedLibrary } from './sbom.ts';
import type { TarEntry } from './tar.ts';

const root = join(import.meta.dirname, '..');

/** What `holdfast manifest` of this version names. */
const DEFAULT_REFERENCE = `${DEFAULT_IMAGE}:v${manifest.version}`;

const goArch = { x64: 'amd64', arm64: 'arm64' } as const;

/** Where libraries are looked for, and where the dynamic linker of the same origin looks for them in the image. */
const libraryFolders: Readonly<Record<Arch, readonly (readonly [from: string, to: string])[]>> = {
  x64: [
    ['/lib/x86_64-linux-gnu', '/lib/x86_64-linux-gnu'],
    ['/usr/x86_64-linux-gnu/lib', '/lib/x86_64-linux-gnu'],
    ['/lib64', '/lib64'],
  ],
  arm64: [
    ['/lib/aarch64-linux-gnu', '/lib/aarch64-linux-gnu'],
    ['/usr/aarch64-linux-gnu/lib', '/lib/aarch64-linux-gnu'],
    ['/usr/aarch64-linux-gnu/sys-root/lib64', '/lib64'],
    ['/lib64', '/lib64'],
  ],
};

interface Library extends SharedLibrary {
  readonly from: string;
}

/** The executable's libraries and theirs, and the dynamic linker where the executable says it is. */
function librariesOf(executable: Uint8Array, arch: Arch): readonly Library[] {
  const { interpreter, libraries } = needsOf(executable);
  if (interpreter === undefined) throw new Error('the executable names no dynamic linker');
  const found = new Map<string, Library>();
  const wanted = [...libraries];
  for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
    if (found.has(name)) continue;
    const library = findLibrary(name, arch, basename(interpreter) === name ? interpreter : undefined);
    found.set(name, library);
    wanted.push(...needsOf(library.octets).libraries);
    // Before glibc 2.34 names are looked up by modules that no header mentions.
    if (name === 'libc.so.6' && !Buffer.from(library.octets).includes('_nss_dns_gethostbyname4_r')) {
      wanted.push('libnss_files.so.2', 'libnss_dns.so.2');
    }
  }
  return [...found.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function findLibrary(name: string, arch: Arch, path: string | undefined): Library {
  for (const [from, to] of libraryFolders[arch]) {
    const file = join(from, name);
    if (!existsSync(file)) continue;
    return { path: path ?? join(to, name), from: file, octets: readFileSync(file), origin: originOf(file) };
  }
  const cross = ['libc6', 'libstdc++6', 'libgcc-s1'].map((each) => `${each}-${goArch[arch]}-cross`).join(' ');
  throw new Error(`${name} for ${arch} is not on this machine (Debian: apt-get install ${cross})`);
}

/** The Debian package that a file belongs to; undefined on other distributions. */
function originOf(file: string): SharedLibrary['origin'] {
  const ask = (...args: string[]) => {
    const { status, stdout } = spawnSync('dpkg-query', args, { encoding: 'utf8' });
    return status === 0 ? stdout : undefined;
  };
  // Installed under one name, listed under another: /lib is a link to /usr/lib on some machines.
  const real = realpathSync(file);
  for (const path of [file, real, real.replace(/^\/usr/, '')]) {
    const name = ask('-S', path)?.split(':')[0];
    const version = name === undefined ? undefined : ask('-W', '-f', '${Version}', name);
    if (name !== undefined && version !== undefined) return { name, version };
  }
  return undefined;
}

function file(path: string, octets: Uint8Array | string, mode: number): TarEntry {
  return { kind: 'file', path, mode, octets: typeof octets === 'string' ? Buffer.from(octets) : octets };
}

/** Everything but the executable: this layer stays the same from version to version. */
function baseLayer(libraries: readonly Library[]): readonly TarEntry[] {
  const files = [
    file('etc/passwd', 'root:x:0:0:root:/:/holdfast\nnobody:x:65534:65534:nobody:/:/holdfast\n', 0o644),
    file('etc/group', 'root:x:0:\nnogroup:x:65534:\n', 0o644),
    // /etc/hosts before DNS, which a node that is still booting may not have.
    file('etc/nsswitch.conf', 'hosts: files dns\n', 0o644),
    ...libraries.map(({ path, octets }) => file(path.slice(1), octets, 0o755)),
  ];
  const folders = new Set<string>();
  for (const { path } of files) {
    for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) folders.add(folder);
  }
  const entries: TarEntry[] = [...folders].map((path) => ({ kind: 'folder', path, mode: 0o755 }));
  // What a container runtime mounts on, so that it needn't make them.
  for (const path of ['dev', 'proc', 'run', 'sys']) entries.push({ kind: 'folder', path, mode: 0o755 });
  entries.push({ kind: 'folder', path: 'tmp', mode: 0o1777 }, ...files);
  return entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** SOURCE_DATE_EPOCH (reproducible-builds.org), else when the commit was made; 0 outside a git checkout. */
function creationTime(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  try {
    return Number(
      execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  } catch {
    return 0;
  }
}

export interface ImageOptions {
  readonly arch: Arch;
  readonly reference?: string;
  /** Folder of the results; default: dist. */
  readonly folder?: string;
}

export interface ImageResult {
  readonly archive: string;
  readonly sbom: string;
  readonly bytes: number;
  readonly libraries: readonly string[];
}

export async function buildImage(options: ImageOptions): Promise<ImageResult> {
  const { arch, reference = DEFAULT_REFERENCE, folder = join(root, 'dist') } = options;
  const built = await buildExecutable({
    arch,
    ...(options.folder === undefined ? {} : { output: join(folder, 'holdfast') }),
  });
  const executable = readFileSync(built.path);
  const libraries = librariesOf(executable, arch);
  const created = creationTime();
  const archive = imageArchive({
    reference,
    architecture: goArch[arch],
    layers: [baseLayer(libraries), [file('holdfast', executable, 0o755)]],
    entrypoint: ['/holdfast'],
    command: ['manager'],
    // `crictl exec … holdfast status`
    environment: ['PATH=/'],
    created,
    annotations: {
      title: 'holdfast',
      description: manifest.description,
      version: manifest.version,
      revision: commit(),
      licenses: manifest.license,
      created: new Date(created * 1000).toISOString(),
    },
  });
  const sbom = billOfMaterials({
    arch,
    created,
    executable,
    packages: built.packages,
    addon: readFileSync(addonFile(arch)),
    libraries,
  });
  const path = join(folder, `holdfast-image-${arch}.tar`);
  const sbomPath = join(folder, `holdfast-image-${arch}.cdx.json`);
  writeFileSync(path, archive);
  writeFileSync(sbomPath, sbom);
  return { archive: path, sbom: sbomPath, bytes: archive.length, libraries: libraries.map((each) => each.path) };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { ref: { type: 'string' } }, allowPositionals: true });
  for (const arch of positionals.length > 0 ? positionals : [process.arch]) {
    if (!isArch(arch)) throw new Error(`unknown architecture ${arch} (${ARCHITECTURES.join(', ')})`);
    const reference = values.ref ?? DEFAULT_REFERENCE;
    const result = await buildImage({ arch, reference });
    console.log(`${relative(process.cwd(), result.archive)}: ${(result.bytes / 1e6).toFixed(1)} MB, ${reference}`);
    console.log(`  with ${result.libraries.join(' ')}`);
    console.log(relative(process.cwd(), result.sbom));
  }
}

if (import.meta.main) await main();
