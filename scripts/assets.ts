/**
 * Foreign software that tests run against, built from its public Go modules at pinned versions and kept outside the
 * repository: kube-apiserver, etcd, kubectl, the client-go election peer of test/conformance/client-go-peer, what else a
 * real kubeadm cluster consists of (scripts/kubeadm.ts), the generator of custom resource definitions
 * (scripts/definitions.ts), and on request MetalLB's programs, which the benchmarks can be run against.
 *
 *     scripts/assets [NAME]…      default: kube-apiserver etcd kubectl client-go-peer
 *
 * prints `NAME=PATH` lines. The folder is ${XDG_CACHE_HOME:-~/.cache}/holdfast/assets/<hash of the recipe>; a build is
 * renamed into place only when the new binary has said its version, so that an interrupted one leaves nothing half done.
 * KUBEBUILDER_ASSETS=dir (the convention of Kubernetes' own envtest) is honoured for the binaries which that folder has.
 * The distribution's etcd is no substitute: 3.4 answers this API server's watches with "Too large resource version".
 */

import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { ask, AssetUnavailable, findGo, GO_VERSION_MIN, lock, moduleFiles, type Go } from './go-command.ts';

export { AssetUnavailable } from './go-command.ts';

export const KUBERNETES_VERSION = '1.36.3';
export const ETCD_VERSION = '3.6.8';
export const CONTAINERD_VERSION = '2.2.9';
/** What kubeadm of this Kubernetes version asks for (its constant CoreDNSVersion). */
export const COREDNS_VERSION = '1.14.2';
export const CONTROLLER_GEN_VERSION = '0.20.1';
/** The newest whose programs can be built: 0.16 needs a version of frr-k8s that the module proxy refuses. */
export const METALLB_VERSION = '0.15.2';

/** What a kubeadm cluster needs besides. `pause` is the program that keeps a pod's namespaces. */
export const CLUSTER_ASSETS = [
  'kubeadm',
  'kubelet',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'coredns',
  'pause',
] as const;
export const ASSETS = [
  'kube-apiserver',
  'etcd',
  'kubectl',
  'client-go-peer',
  'controller-gen',
  'metallb-controller',
  'metallb-speaker',
  ...CLUSTER_ASSETS,
] as const;
export type Asset = (typeof ASSETS)[number];
export const DEFAULT_ASSETS: readonly Asset[] = ['kube-apiserver', 'etcd', 'kubectl', 'client-go-peer'];

/** Waits for the signal to end, which a pod's first process does not get by default. */
const PAUSE_SOURCE = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Println("pause 1")
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
`;

interface Recipe {
  readonly version: string;
  /** What the go command builds. */
  readonly importPath: string;
  readonly ldflags: readonly string[];
  readonly tags?: readonly string[];
  /** What the finished binary must answer, and how it is asked. */
  readonly ask: readonly string[];
  readonly answer: string;
  /** Whether the version is part of the file's name, not of the folder's. */
  readonly isVersioned?: true;
  /** Files of the module to build in: name → text. */
  readonly module: (go: Go) => Promise<Readonly<Record<string, string>>>;
}

const peerFolder = join(import.meta.dirname, '..', 'test', 'conformance', 'client-go-peer');

const RECIPES: Readonly<Record<Asset, Recipe>> = {
  'kube-apiserver': kubernetesRecipe('kube-apiserver', ['--version'], `Kubernetes v${KUBERNETES_VERSION}`),
  kubectl: kubernetesRecipe('kubectl', ['version', '--client'], `Client Version: v${KUBERNETES_VERSION}`),
  etcd: {
    version: ETCD_VERSION,
    importPath: 'go.etcd.io/etcd/server/v3',
    ldflags: [],
    ask: ['--version'],
    answer: `etcd Version: ${ETCD_VERSION}`,
    module: () =>
      Promise.resolve(
        moduleFiles('etcd', ['go.etcd.io/etcd/server/v3'], [`require go.etcd.io/etcd/server/v3 v${ETCD_VERSION}`]),
      ),
  },
  'client-go-peer': {
    version: `0${KUBERNETES_VERSION.slice(1)}`,
    importPath: '.',
    ldflags: [],
    ask: ['-help'],
    answer: '-identity',
    module: () => Promise.resolve(readFolder(peerFolder)),
  },
  'controller-gen': {
    ...programRecipe('sigs.k8s.io/controller-tools', 'cmd/controller-gen', CONTROLLER_GEN_VERSION),
    ask: ['--version'],
    answer: `Version: v${CONTROLLER_GEN_VERSION}`,
  },
  'metallb-controller': {
    ...programRecipe('go.universe.tf/metallb', 'controller', METALLB_VERSION),
    ask: ['-help'],
    answer: '-webhook-mode',
  },
  'metallb-speaker': {
    ...programRecipe('go.universe.tf/metallb', 'speaker', METALLB_VERSION),
    ask: ['-help'],
    answer: '-ml-bindaddr',
  },
  kubeadm: kubernetesRecipe('kubeadm', ['version', '-o', 'short'], `v${KUBERNETES_VERSION}`),
  kubelet: kubernetesRecipe('kubelet', ['--version'], `Kubernetes v${KUBERNETES_VERSION}`),
  'kube-controller-manager': kubernetesRecipe(
    'kube-controller-manager',
    ['--version'],
    `Kubernetes v${KUBERNETES_VERSION}`,
  ),
  'kube-scheduler': kubernetesRecipe('kube-scheduler', ['--version'], `Kubernetes v${KUBERNETES_VERSION}`),
  'kube-proxy': kubernetesRecipe('kube-proxy', ['--version'], `Kubernetes v${KUBERNETES_VERSION}`),
  containerd: containerdRecipe('containerd', '--version'),
  'containerd-shim-runc-v2': containerdRecipe('containerd-shim-runc-v2', '-v'),
  ctr: containerdRecipe('ctr', '--version'),
  coredns: {
    version: COREDNS_VERSION,
    importPath: 'github.com/coredns/coredns',
    ldflags: [],
    ask: ['-version'],
    answer: `CoreDNS-${COREDNS_VERSION}`,
    module: () =>
      Promise.resolve(
        moduleFiles(
          'coredns',
          ['github.com/coredns/coredns'],
          [`require github.com/coredns/coredns v${COREDNS_VERSION}`],
        ),
      ),
  },
  pause: {
    version: '1',
    importPath: '.',
    ldflags: [],
    ask: ['version'],
    answer: 'pause 1',
    module: () =>
      Promise.resolve({
        'go.mod': `module holdfast/assets/pause\n\ngo ${GO_VERSION_MIN.join('.')}.0\n`,
        'main.go': PAUSE_SOURCE,
      }),
  },
};

/** Where built assets are kept; it depends on the recipe, so that a change of version never meets an old binary. */
export function assetsFolder(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const recipe = JSON.stringify([KUBERNETES_VERSION, ETCD_VERSION, process.arch, readFolder(peerFolder), 'recipe 1']);
  return join(base, 'holdfast', 'assets', createHash('sha256').update(recipe).digest('hex').slice(0, 16));
}

/** The path of an asset that is there already (KUBEBUILDER_ASSETS first), or undefined. */
export function findAsset(name: Asset): string | undefined {
  const given = process.env['KUBEBUILDER_ASSETS'];
  const folders = given === undefined || given === '' ? [assetsFolder()] : [given, assetsFolder()];
  return folders.map((folder) => join(folder, fileOf(name))).find(isExecutable);
}

/**
 * The path of an asset, built now if it isn't there.
 *
 * @throws AssetUnavailable when Go is missing or too old, or the build fails.
 */
export async function provideAsset(name: Asset, say: (line: string) => void = console.error): Promise<string> {
  const found = findAsset(name);
  if (found !== undefined) return found;
  const folder = assetsFolder();
  const path = join(folder, fileOf(name));
  const go = findGo(name);
  mkdirSync(folder, { recursive: true });
  const release = await lock(join(folder, `.${name}.lock`), name, say);
  try {
    if (!isExecutable(path)) await build(name, { go, folder, path, say });
  } finally {
    release();
  }
  return path;
}

function fileOf(name: Asset): string {
  const { version, isVersioned } = RECIPES[name];
  return isVersioned === true ? `${name}-${version}` : name;
}

interface Build {
  readonly go: Go;
  readonly folder: string;
  readonly path: string;
  readonly say: (line: string) => void;
}

async function build(name: Asset, options: Build): Promise<void> {
  const { go, folder, path, say } = options;
  const recipe = RECIPES[name];
  const source = join(folder, 'src', name);
  const fresh = join(folder, `.${name}.${process.pid}`);
  const started = performance.now();
  say(`assets: building ${name} ${recipe.version} from its Go modules (${go.version}, niced)`);
  rmSync(source, { recursive: true, force: true });
  mkdirSync(source, { recursive: true });
  for (const [file, text] of Object.entries(await recipe.module(go))) writeFileSync(join(source, file), text);
  const ldflags = ['-s', '-w', ...recipe.ldflags].join(' ');
  const tags = recipe.tags === undefined ? [] : ['-tags', recipe.tags.join(',')];
  await go.run(
    ['build', '-mod=mod', '-buildvcs=false', '-trimpath', ...tags, '-ldflags', ldflags, '-o', fresh, recipe.importPath],
    source,
    (seconds) => say(`assets: ${name}: building for ${seconds} s`),
  );
  const answer = ask(fresh, recipe.ask);
  if (!answer.includes(recipe.answer)) {
    throw new AssetUnavailable(`the ${name} just built says "${answer.trim()}", not "${recipe.answer}"`);
  }
  renameSync(fresh, path);
  rmSync(source, { recursive: true, force: true });
  say(`assets: ${name} ${recipe.version} built in ${Math.round((performance.now() - started) / 1000)} s`);
}

/** One of Kubernetes' own commands. Its module replaces every staging module by ./staging/…, which only works inside it. */
function kubernetesRecipe(command: string, question: readonly string[], answer: string): Recipe {
  const importPath = `k8s.io/kubernetes/cmd/${command}`;
  const tag = `v${KUBERNETES_VERSION}`;
  const stamps = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((owner) => [
    `-X ${owner}.gitVersion=${tag}`,
    `-X ${owner}.gitMajor=1`,
    `-X ${owner}.gitMinor=${KUBERNETES_VERSION.split('.')[1] ?? ''}`,
    `-X ${owner}.gitTreeState=clean`,
    `-X ${owner}.buildDate=1970-01-01T00:00:00Z`,
  ]);
  return {
    version: KUBERNETES_VERSION,
    importPath,
    ldflags: stamps,
    ask: question,
    answer,
    module: async (go) => {
      const module = await go.download(`k8s.io/kubernetes@${tag}`);
      const staging = [...module.matchAll(/^\t(k8s\.io\/[a-z-]+) => \.\/staging\/\S+$/gm)].map(
        (match) => match[1] ?? '',
      );
      if (staging.length === 0) throw new AssetUnavailable(`k8s.io/kubernetes ${tag} names no staging modules`);
      const published = `v0${KUBERNETES_VERSION.slice(1)}`;
      return moduleFiles(
        command,
        [importPath],
        [
          'godebug default=go1.26',
          `require k8s.io/kubernetes ${tag}`,
          ...staging.map((name) => `replace ${name} => ${name} ${published}`),
        ],
      );
    },
  };
}

/** A program of a module that replaces nothing. */
function programRecipe(
  module: string,
  command: string,
  version: string,
): Pick<Recipe, 'version' | 'importPath' | 'ldflags' | 'isVersioned' | 'module'> {
  const importPath = `${module}/${command}`;
  return {
    version,
    importPath,
    ldflags: [],
    isVersioned: true,
    module: () => Promise.resolve(moduleFiles('program', [importPath], [`require ${module} v${version}`])),
  };
}

function containerdRecipe(command: string, question: string): Recipe {
  const module = 'github.com/containerd/containerd/v2';
  const importPath = `${module}/cmd/${command}`;
  const version = `${module}/version`;
  return {
    version: CONTAINERD_VERSION,
    importPath,
    ldflags: [`-X ${version}.Version=v${CONTAINERD_VERSION}`, `-X ${version}.Package=${module}`],
    tags: ['no_btrfs', 'no_devmapper', 'no_zfs'],
    ask: [question],
    answer: `v${CONTAINERD_VERSION}`,
    module: () => Promise.resolve(moduleFiles(command, [importPath], [`require ${module} v${CONTAINERD_VERSION}`])),
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function readFolder(folder: string): Record<string, string> {
  const files = readdirSync(folder).toSorted();
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
}

function isAsset(name: string): name is Asset {
  return ASSETS.some((asset) => asset === name);
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !isAsset(name));
  if (unknown.length > 0) {
    console.error(`assets: no asset is called ${unknown.join(', ')}; there are ${ASSETS.join(', ')}`);
    return 2;
  }
  try {
    for (const name of names.length > 0 ? names.filter(isAsset) : DEFAULT_ASSETS) {
      console.log(`${name}=${await provideAsset(name)}`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof AssetUnavailable)) throw error;
    console.error(`assets: ${error.message}`);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
