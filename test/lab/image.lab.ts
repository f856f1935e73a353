/**
 * The image as it is shipped: the same octets from two builds, and an executable that runs from a read-only root with
 * nothing in it but the image's contents. (A real containerd and kubelet run it in the kubeadm lab.)
 */

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { ARCHITECTURES, isArch } from '../../scripts/build.ts';
import { buildImage, type ImageResult } from '../../scripts/image.ts';

const arch = isArch(process.arch) ? process.arch : ARCHITECTURES[0];
let folder: string;
let root: string;
let first: ImageResult;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-image-'));
  root = join(folder, 'root');
  mkdirSync(join(folder, 'one'));
  mkdirSync(root);
  first = await buildImage({ arch, folder: join(folder, 'one') });
  unpack();
});

afterAll(() => rmSync(folder, { recursive: true }));

/** The layers one over the other, as a container runtime does it. */
function unpack(): void {
  execFileSync('tar', ['-xf', first.archive, '-C', folder]);
  const [docker] = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
  for (const layer of docker.Layers) execFileSync('tar', ['-xzf', join(folder, layer), '-C', root]);
}

/**
 * Runs `holdfast` in a read-only root of its own, with NET_ADMIN and NET_RAW and a network of its own, until it ends or
 * its output matches `enough`.
 */
async function run(args: readonly string[], enough: RegExp, mounts = '', environment: Record<string, string> = {}) {
  const script = `
    mount --bind ${root} ${root}
    mount -o remount,bind,ro ${root}
    mount -t proc proc ${root}/proc
    ${mounts}
    exec setpriv --bounding-set=-all,+net_admin,+net_raw,+sys_chroot --inh-caps=-all --no-new-privs \
      chroot ${root} /holdfast "$@"`;
  const child = spawn(
    'unshare',
    ['--mount', '--net', '--pid', '--fork', '--kill-child', 'sh', '-ec', script, 'sh', ...args],
    { env: { PATH: process.env['PATH'] ?? '', ...environment }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const read = (chunk: Buffer): void => {
    output += chunk.toString();
    if (enough.test(output)) child.kill('SIGKILL');
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  await new Promise((resolve) => child.once('close', resolve));
  return { output, code: child.exitCode };
}

it('is the same from two builds', async () => {
  mkdirSync(join(folder, 'two'));
  const second = await buildImage({ arch, folder: join(folder, 'two') });
  const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
  expect(digest(second.archive)).toBe(digest(first.archive));
  expect(digest(second.sbom)).toBe(digest(first.sbom));
});

it('has in it what is needed and nothing else', () => {
  expect(readdirSync(root).filter((name) => !name.startsWith('lib'))).toEqual([
    'dev',
    'etc',
    'holdfast',
    'proc',
    'run',
    'sys',
    'tmp',
  ]);
  const names = first.libraries.map((path) => /([^/]+?)[-.][^/]*$/.exec(path)?.[1] ?? path);
  expect(new Set(names)).toEqual(new Set(['ld', 'libc', 'libdl', 'libgcc_s', 'libm', 'libpthread', 'libstdc++']));
});

const never = /(?!)/;

it('runs', async () => {
  const { output, code } = await run(['version'], never);
  expect(output).toMatch(/^holdfast \d.*\n$/);
  expect(code).toBe(0);
});

const settings = { cp_enable: 'true', vip_arp: 'true', address: '192.0.2.10', vip_interface: 'lo' };

it('says where the addon could not be put when the whole root is read-only', async () => {
  const { output, code } = await run(['manager'], never, '', settings);
  expect(output).toContain('NATIVE_ADDON_UNLOADABLE');
  expect(output).toContain('/tmp: EROFS; /run: EROFS; /dev: EROFS');
  expect(output).toContain('emptyDir');
  expect(code).toBe(1);
});

it('takes the addon through /tmp and goes on to what else is missing', async () => {
  const mounts = `mount -t tmpfs -o nosuid,nodev tmpfs ${root}/tmp`;
  const { output } = await run(['manager'], /KUBECONFIG_MISSING/, mounts, settings);
  expect(output).toContain('KUBECONFIG_MISSING');
  expect(output).not.toContain('NATIVE_ADDON');
});

it('takes it through /dev, where every container has a small tmpfs, when nothing is mounted for it', async () => {
  const mounts = `mount -t tmpfs -o nosuid,strictatime,mode=755,size=65536k tmpfs ${root}/dev`;
  const { output } = await run(['manager'], /KUBECONFIG_MISSING/, mounts, settings);
  expect(output).toContain('KUBECONFIG_MISSING');
  expect(output).not.toContain('NATIVE_ADDON');
});
