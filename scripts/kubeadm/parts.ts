/**
 * What a kubeadm cluster is made of, collected in one folder that the machines mount: binaries built from their public
 * Go modules (assets.ts), runc, the CNI plugins and iptables out of Debian's packages (unpacked, never installed), and an
 * image archive for each name of `kubeadm config images list`. Kept in ${XDG_CACHE_HOME:-~/.cache}/holdfast/kubeadm.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';

import { AssetUnavailable, CLUSTER_ASSETS, KUBERNETES_VERSION, provideAsset, type Asset } from '../assets.ts';
import { needsOf } from '../elf.ts';
import { imageArchive } from '../oci.ts';
import type { TarEntry } from '../tar.ts';

export interface Parts {
  /** bin/, cni/. */
  readonly folder: string;
  readonly images: readonly string[];
  /** Reference of the image that containerd starts every pod with. */
  readonly pauseReference: string;
  /** For the report: program → what it says of itself. */
  readonly versions: Readonly<Record<string, string>>;
}

const BINARIES: readonly Asset[] = ['kubectl', 'kube-apiserver', 'etcd', ...CLUSTER_ASSETS];

const PACKAGES = ['runc', 'containernetworking-plugins', 'iptables'];
const LIBRARY_PACKAGES = [
  'libxtables12',
  'libip4tc2',
  'libip6tc2',
  'libnftnl11',
  'libmnl0',
  'libnetfilter-conntrack3',
  'libnfnetlink0',
  'libseccomp2',
];
const LIBRARY_FOLDERS = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib64', 'lib64'];

export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'holdfast', 'kubeadm');
}

/** @throws AssetUnavailable when something can't be had here. */
export async function provideParts(say: (line: string) => void): Promise<Parts> {
  if (process.arch !== 'x64') throw new AssetUnavailable('the kubeadm lab has only been made for x64');
  const folder = join(cacheFolder(), 'parts');
  mkdirSync(join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'images'), { recursive: true });
  const binaries = new Map<string, string>();
  for (const name of BINARIES) binaries.set(name, await provideAsset(name, say));
  for (const [name, path] of binaries) place(path, join(folder, 'bin', name));
  const debian = provideDebian(join(folder, 'debian'), say);
  place(join(debian, 'usr/sbin/runc'), join(folder, 'bin/runc'));
  mkdirSync(join(folder, 'cni'), { recursive: true });
  for (const plugin of readdirSync(join(debian, 'usr/lib/cni'))) {
    place(join(debian, 'usr/lib/cni', plugin), join(folder, 'cni', plugin));
  }
  const references = ask(join(folder, 'bin/kubeadm'), [
    'config',
    'images',
    'list',
    '--kubernetes-version',
    `v${KUBERNETES_VERSION}`,
  ])
    .split('\n')
    .filter((line) => line.includes('/'));
  const pauseReference = references.find((reference) => reference.includes('/pause:'));
  if (pauseReference === undefined) {
    throw new AssetUnavailable(`kubeadm names no pause image in ${references.join(', ')}`);
  }
  const images = references.map((reference) => provideImage(reference, folder, debian, say));
  return { folder, images, pauseReference, versions: versionsOf(folder) };
}

/** A file that machines see below their own mount: a hard link where it can be one, else a copy; new when `from` is. */
function place(from: string, to: string): void {
  const source = realpathSync(from);
  const [was, is] = [statSync(to, { throwIfNoEntry: false }), statSync(source)];
  if (was !== undefined && was.size === is.size && was.mtimeMs >= is.mtimeMs) return;
  const fresh = `${to}.${process.pid}`;
  try {
    linkSync(source, fresh);
  } catch {
    copyFileSync(source, fresh);
  }
  renameSync(fresh, to);
}

/** Unpacks Debian's packages; the folder that stands for `/`. */
function provideDebian(folder: string, say: (line: string) => void): string {
  const root = join(folder, 'root');
  if (existsSync(root)) return root;
  say(`kubeadm: fetching ${PACKAGES.join(', ')} from the distribution`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const wanted = [...PACKAGES, ...LIBRARY_PACKAGES];
  const download = (): boolean => spawnSync('apt-get', ['download', ...wanted], { cwd: folder }).status === 0;
  if (!download() && (spawnSync('apt-get', ['update']).status !== 0 || !download())) {
    throw new AssetUnavailable(`apt-get could not download ${wanted.join(' ')}: this lab needs Debian 12 or newer`);
  }
  const fresh = `${root}.${process.pid}`;
  for (const archive of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
    execFileSync('dpkg', ['-x', join(folder, archive), fresh]);
  }
  renameSync(fresh, root);
  return root;
}

/** The archive of one of kubeadm's images: its binary, and what that needs. */
function provideImage(reference: string, folder: string, debian: string, say: (line: string) => void): string {
  const name = basename(reference).split(':')[0] ?? '';
  const binary = join(folder, 'bin', name);
  const { size, mtimeMs } = statSync(binary);
  const key = createHash('sha256')
    .update(JSON.stringify([reference, size, mtimeMs]))
    .digest('hex')
    .slice(0, 12);
  const path = join(folder, 'images', `${name}-${key}.tar`);
  if (existsSync(path)) return path;
  say(`kubeadm: packing ${reference}`);
  const where = name === 'pause' || name === 'coredns' ? name : `usr/local/bin/${name}`;
  const tools = name === 'kube-proxy' ? iptablesFiles(debian) : [];
  const archive = imageArchive({
    reference,
    architecture: 'amd64',
    layers: [withFolders([{ kind: 'file', path: where, mode: 0o755, octets: readFileSync(binary) }, ...tools])],
    // The manifests of kubeadm name a command for all but these two.
    entrypoint: where === name ? [`/${name}`] : [],
    command: [],
    environment: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    created: 0,
    annotations: {},
  });
  for (const old of readdirSync(join(folder, 'images'))) {
    if (old.startsWith(`${name}-`)) rmSync(join(folder, 'images', old));
  }
  writeFileSync(`${path}.${process.pid}`, archive);
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

/** Adds the folders that the files lie in. */
export function withFolders(files: readonly TarEntry[]): readonly TarEntry[] {
  const folders = new Set<string>();
  for (const { path } of files) {
    for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) folders.add(folder);
  }
  const entries = [...folders].toSorted().map((path): TarEntry => ({ kind: 'folder', path, mode: 0o755 }));
  return [{ kind: 'folder', path: 'tmp', mode: 0o1777 }, ...entries, ...files];
}

/** iptables on nftables with every extension, its libraries, and the names it is called by. */
function iptablesFiles(debian: string): readonly TarEntry[] {
  const program = 'usr/sbin/xtables-nft-multi';
  const extensions = 'usr/lib/x86_64-linux-gnu/xtables';
  const files = new Map<string, Uint8Array>([[program, readFileSync(join(debian, program))]]);
  for (const name of readdirSync(join(debian, extensions)).filter((each) => each.endsWith('.so'))) {
    files.set(`${extensions}/${name}`, readFileSync(join(debian, extensions, name)));
  }
  for (const [path, octets] of librariesOf([...files.values()], debian)) files.set(path, octets);
  const links = ['iptables', 'ip6tables'].flatMap((command) =>
    ['', '-save', '-restore'].map((suffix): TarEntry => {
      return { kind: 'link', path: `usr/sbin/${command}${suffix}`, target: basename(program) };
    }),
  );
  return [...[...files].map(([path, octets]): TarEntry => ({ kind: 'file', path, mode: 0o755, octets })), ...links];
}

/** The shared libraries of some files and theirs, out of the packages or else of this machine: path in the image → octets. */
function librariesOf(files: readonly Uint8Array[], debian: string): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const first = needsOf(files[0] ?? new Uint8Array());
  const wanted = files.flatMap((file) => needsOf(file).libraries);
  for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
    const isLinker = basename(first.interpreter ?? '') === name;
    const path =
      isLinker && first.interpreter !== undefined ? first.interpreter.slice(1) : `usr/lib/x86_64-linux-gnu/${name}`;
    if (found.has(path)) continue;
    const source = [debian, '/']
      .flatMap((root) => LIBRARY_FOLDERS.map((folder) => join(root, folder, name)))
      .find((each) => existsSync(each));
    if (source === undefined) throw new AssetUnavailable(`${name}, which iptables needs, is in none of the packages`);
    const octets = readFileSync(source);
    found.set(path, octets);
    wanted.push(...needsOf(octets).libraries);
  }
  return found;
}

function versionsOf(folder: string): Readonly<Record<string, string>> {
  const version = (name: string, ...args: string[]): string =>
    ask(join(folder, 'bin', name), args)
      .split('\n')[0]
      ?.trim() ?? '';
  return {
    kubeadm: version('kubeadm', 'version', '-o', 'short'),
    kubelet: version('kubelet', '--version').replace('Kubernetes ', ''),
    'kube-apiserver': version('kube-apiserver', '--version').replace('Kubernetes ', ''),
    etcd: version('etcd', '--version').replace('etcd Version: ', ''),
    containerd: version('containerd', '--version').split(' ')[2] ?? '',
    runc: version('runc', '--version').replace('runc version ', ''),
    coredns: version('coredns', '-version').replace('CoreDNS-', ''),
  };
}

function ask(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
