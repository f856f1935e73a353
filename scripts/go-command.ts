/**
 * The go command as the scripts use it to have foreign software from its public Go modules: found, asked for its version,
 * run niced; and the lock under which two processes don't make the same thing at once.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The go directive of Kubernetes 1.36: older toolchains refuse to build it. */
export const GO_VERSION_MIN = [1, 26] as const;
/** How long to wait for another process that builds the same binary, ms: a cold build takes three to eight minutes. */
const OTHER_BUILD_MAX_MS = 20 * 60_000;

/** An asset that cannot be had here, and what to do about it. */
export class AssetUnavailable extends Error {
  override readonly name = 'AssetUnavailable';
}

export function moduleFiles(
  name: string,
  imports: readonly string[],
  lines: readonly string[],
): Record<string, string> {
  const head = [`module holdfast/assets/${name}`, `go ${GO_VERSION_MIN.join('.')}.0`];
  return {
    'go.mod': `${[...head, ...lines].join('\n\n')}\n`,
    'imports.go': `//go:build imports\n\npackage imports\n\n${imports.map((path) => `import _ "${path}"`).join('\n')}\n`,
  };
}

export interface Go {
  readonly version: string;
  /** The command itself: a path, or a name that PATH has. */
  readonly command: string;
  /** Runs the go command niced in `folder`, calling `progress` twice a minute. Throws AssetUnavailable when it fails. */
  readonly run: (args: readonly string[], folder: string, progress: (seconds: number) => void) => Promise<void>;
  /** Downloads a module and gives the text of its go.mod. */
  readonly download: (module: string) => Promise<string>;
}

export function findGo(wanted: string): Go {
  const needed = `Go ${GO_VERSION_MIN.join('.')} or newer is needed to build ${wanted}`;
  const elsewhere = 'or set KUBEBUILDER_ASSETS to a folder that has kube-apiserver and etcd';
  const command = ['go', '/usr/local/go/bin/go'].find((candidate) => ask(candidate, ['version']) !== '');
  if (command === undefined) {
    throw new AssetUnavailable(`${needed}, and there is no go command: install it, ${elsewhere}`);
  }
  const version = ask(command, ['version']).split(' ')[2] ?? '';
  const [major = 0, minor = 0] = version.replace(/^go/, '').split('.').map(Number);
  if (major < GO_VERSION_MIN[0] || (major === GO_VERSION_MIN[0] && minor < GO_VERSION_MIN[1])) {
    throw new AssetUnavailable(`${needed}, and this is ${version}: install a newer one, ${elsewhere}`);
  }
  const environment = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '' };
  return {
    version,
    command,
    run: (args, folder, progress) => runNiced(command, args, { folder, environment, progress }),
    download: async (module) => {
      const text = execFileSync(command, ['mod', 'download', '-json', module], { encoding: 'utf8', env: environment });
      const parsed: unknown = JSON.parse(text);
      if (typeof parsed !== 'object' || parsed === null || !('GoMod' in parsed) || typeof parsed.GoMod !== 'string') {
        throw new AssetUnavailable(`go mod download ${module} names no go.mod`);
      }
      return readFileSync(parsed.GoMod, 'utf8');
    },
  };
}

interface NicedRun {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly progress: (seconds: number) => void;
}

function runNiced(command: string, args: readonly string[], options: NicedRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('nice', ['-n', '15', command, ...args], {
      cwd: options.folder,
      env: options.environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const started = performance.now();
    const ticker = setInterval(() => options.progress(Math.round((performance.now() - started) / 1000)), 30_000);
    let tail = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      tail = (tail + text).slice(-4000);
    });
    child.on('error', (error) => {
      clearInterval(ticker);
      reject(new AssetUnavailable(`nice ${command}: ${error.message}`));
    });
    child.on('close', (code) => {
      clearInterval(ticker);
      if (code === 0) resolve();
      else reject(new AssetUnavailable(`go ${args[0] ?? ''} failed (${code ?? 'killed'}):\n${tail}`));
    });
  });
}

/** What a command prints, both streams, or '' when it can't be run. */
export function ask(command: string, args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return `${stdout ?? ''}${stderr ?? ''}`;
}

/** Holds a lock folder; one whose owner is no longer alive is taken over. */
export async function lock(path: string, name: string, say: (line: string) => void): Promise<() => void> {
  const deadline = performance.now() + OTHER_BUILD_MAX_MS;
  for (let waited = false; ; waited = true) {
    try {
      mkdirSync(path);
      writeFileSync(join(path, 'pid'), String(process.pid));
      return () => rmSync(path, { recursive: true, force: true });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    if (isAbandoned(path)) {
      rmSync(path, { recursive: true, force: true });
      continue;
    }
    if (performance.now() > deadline) {
      throw new AssetUnavailable(`another process has been building ${name} for too long`);
    }
    if (!waited) say(`assets: another process is building ${name}: waiting for it`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function isAbandoned(path: string): boolean {
  try {
    const pid = Number(readFileSync(join(path, 'pid'), 'utf8'));
    return !existsSync(`/proc/${pid}`);
  } catch {
    // Made a moment ago, and its owner has yet to write who it is.
    return existsSync(path) && Date.now() - statSync(path).mtimeMs > 10_000;
  }
}
