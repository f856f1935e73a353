/**
 * The custom resource definitions of other projects, as an API server takes them: generated from the Go types in the
 * projects' own published Go modules by the tool that they use for it themselves (controller-gen). For MetalLB the result
 * is, but for the tool's version in an annotation, what its release ships in config/crd/bases. Each module is pinned to a
 * version and to its hash as go.sum has it; nothing of it is in this repository.
 *
 *     scripts/with-node scripts/definitions.ts [SET]…      default: all
 *
 * prints `SET=FOLDER` lines. Kept beside the binaries of scripts/assets.ts. Of Cilium there is one version: the packages
 * of newer ones can't be loaded, because the module proxy refuses a module that they import (github.com/cilium/statedb).
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

import { assetsFolder, CONTROLLER_GEN_VERSION, provideAsset } from './assets.ts';
import { AssetUnavailable, findGo, lock, moduleFiles } from './go-command.ts';

interface Source {
  readonly module: string;
  readonly version: string;
  /** The hash of the module's files (go.sum's line without /go.mod). */
  readonly sum: string;
  /** Packages with the types, within the module. */
  readonly packages: readonly string[];
  /** Begins the names of those kept. */
  readonly plurals: readonly string[];
}

const METALLB = {
  module: 'go.universe.tf/metallb',
  packages: ['api/v1beta1', 'api/v1beta2'],
  plurals: [''],
} as const;

const SOURCES = {
  'metallb-0.13': { ...METALLB, version: '0.13.5', sum: 'h1:SYaiJDn5tNRUeM7VFwA6zdb8KvYaTf7pGFwdq2lhuGs=' },
  'metallb-0.14': { ...METALLB, version: '0.14.9', sum: 'h1:FYLII4Rpnju8pLY79H0BIoJVQI4mmEzeO9BJ0X44HX8=' },
  'metallb-0.15': { ...METALLB, version: '0.15.2', sum: 'h1:r7KDgJtk3KZe3qb36zRVrVCYHxLR03nPGT+qFXOomJM=' },
  'metallb-0.16': { ...METALLB, version: '0.16.2', sum: 'h1:RCSAGoZmqcvTg0e56+Okbwz8iTuQVX30JpKX5mYEPUM=' },
  'cilium-1.15': {
    module: 'github.com/cilium/cilium',
    version: '1.15.19',
    sum: 'h1:paLLN6chvDJiW9FB31c2KHdtFbkFB6QsVxgvLHN9XHs=',
    packages: ['pkg/k8s/apis/cilium.io/v2alpha1'],
    plurals: ['ciliumloadbalancerippools', 'ciliuml2announcementpolicies'],
  },
} as const satisfies Readonly<Record<string, Source>>;

export type DefinitionSet = keyof typeof SOURCES;
export const DEFINITION_SETS: readonly DefinitionSet[] = [
  'metallb-0.13',
  'metallb-0.14',
  'metallb-0.15',
  'metallb-0.16',
  'cilium-1.15',
];
/** What a set has at least: without them the API server of a test would know nothing of pools. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  metallb: ['bgpadvertisements', 'bgppeers', 'communities', 'ipaddresspools', 'l2advertisements'],
  cilium: ['ciliuml2announcementpolicies', 'ciliumloadbalancerippools'],
};

export function versionOf(set: DefinitionSet): string {
  return SOURCES[set].version;
}

/**
 * A folder with the set's definitions, one a file, generated now if it isn't there.
 *
 * @throws AssetUnavailable when Go is missing or too old, the module can't be had or has another hash, or something is
 * missing in what came out.
 */
export async function provideDefinitions(
  set: DefinitionSet,
  say: (line: string) => void = console.error,
): Promise<string> {
  const folder = join(assetsFolder(), 'definitions', `${set}-${SOURCES[set].version}-by-${CONTROLLER_GEN_VERSION}`);
  if (existsSync(folder)) return folder;
  const generator = await provideAsset('controller-gen', say);
  mkdirSync(dirname(folder), { recursive: true });
  const release = await lock(`${folder}.lock`, set, say);
  try {
    if (!existsSync(folder)) await generate(set, { generator, folder, say });
  } finally {
    release();
  }
  return folder;
}

interface Generation {
  readonly generator: string;
  readonly folder: string;
  readonly say: (line: string) => void;
}

async function generate(set: DefinitionSet, { generator, folder, say }: Generation): Promise<void> {
  const source: Source = SOURCES[set];
  const { module, version, sum } = source;
  const go = findGo(`the definitions ${set}`);
  const packages = source.packages.map((name) => `${module}/${name}`);
  const work = `${folder}.${process.pid}`;
  say(`definitions: generating ${set} from ${module} v${version}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const files = {
      ...moduleFiles('definitions', packages, [`require ${module} v${version}`]),
      // The go command refuses a module whose hash is not this one.
      'go.sum': `${module} v${version} ${sum}\n`,
    };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(work, file), text);
    await go.run(['list', '-mod=mod', '-tags=imports', '-deps', '.'], work, (seconds) =>
      say(`definitions: ${set}: loading for ${seconds} s`),
    );
    const paths = packages.map((name) => `paths=${name}`);
    const { status, stderr } = spawnSync(generator, ['crd', ...paths, 'output:crd:artifacts:config=out'], {
      cwd: work,
      encoding: 'utf8',
      env: {
        ...process.env,
        CGO_ENABLED: '0',
        GOFLAGS: '-mod=mod',
        PATH: `${dirname(go.command)}${delimiter}${process.env['PATH'] ?? ''}`,
      },
    });
    if (status !== 0) throw new AssetUnavailable(`controller-gen for ${set} failed:\n${stderr.slice(-4000)}`);
    select(set, join(work, 'out'));
    renameSync(join(work, 'out'), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Leaves what is wanted. */
function select(set: DefinitionSet, folder: string): void {
  const source: Source = SOURCES[set];
  const isWanted = (file: string): boolean => source.plurals.some((plural) => file.includes(`_${plural}`));
  for (const file of readdirSync(folder)) if (!isWanted(file)) rmSync(join(folder, file));
  const names = readdirSync(folder).map((file) => /^ {2}name: ([a-z0-9]+)\./m.exec(textOf(join(folder, file)))?.[1]);
  const missing = EXPECTED[set.split('-')[0] ?? '']?.filter((plural) => !names.includes(plural)) ?? [];
  if (missing.length > 0) throw new AssetUnavailable(`${set}: no definition came out of ${missing.join(', ')}`);
}

function textOf(path: string): string {
  return readFileSync(path, 'utf8');
}

function isDefinitionSet(name: string): name is DefinitionSet {
  return DEFINITION_SETS.some((set) => set === name);
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !isDefinitionSet(name));
  if (unknown.length > 0) {
    console.error(`definitions: no set is called ${unknown.join(', ')}; there are ${DEFINITION_SETS.join(', ')}`);
    return 2;
  }
  try {
    for (const set of names.length > 0 ? names.filter(isDefinitionSet) : DEFINITION_SETS) {
      console.log(`${set}=${await provideDefinitions(set)}`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof AssetUnavailable)) throw error;
    console.error(`definitions: ${error.message}`);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
