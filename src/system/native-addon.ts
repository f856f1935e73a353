/**
 * Finds and loads the native addon (native/netfd.c). From a source tree it is a prebuilt file beside the sources; in the
 * single executable it is an asset, which the dynamic linker only takes from a file: it is written to the first folder
 * that can be written and executed from, loaded, and deleted again. In a container with a read-only root that is an
 * emptyDir at TMPDIR, /tmp or /run, or else /dev, which every container runtime mounts as a small tmpfs of its own
 * without noexec (/dev/shm has it).
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';

import { HoldfastError } from '../base/errors.ts';
import type { Netfd } from './netfd.ts';

/** Name of the addon among the single executable's assets (scripts/build.ts). */
export const ADDON_ASSET = 'netfd.node';

export interface LoadOptions {
  /** Folders to extract to, in order. Default: $TMPDIR, /tmp, /run, /dev. */
  readonly folders?: readonly string[];
  /** The addon's octets; default: the executable's asset. Undefined in a source tree, where the file is loaded in place. */
  readonly image?: Uint8Array;
  /** The prebuilt file to load when there is no image. */
  readonly file?: string;
}

/**
 * Loads the addon into this thread. Each call gives an instance of its own (a worker calls it itself).
 *
 * @throws HoldfastError NATIVE_ADDON_MISSING: no build for this platform and architecture.
 * @throws HoldfastError NATIVE_ADDON_UNLOADABLE: it could not be extracted, or the linker refused it; the message names
 *   every place that was tried and why it failed.
 */
export function loadNetfd(options: LoadOptions = {}): Netfd {
  const image = options.image ?? (isSea() ? new Uint8Array(getRawAsset(ADDON_ASSET)) : undefined);
  if (image !== undefined) return loadExtracted(image, options.folders ?? defaultFolders());
  return loadInPlace(options.file ?? prebuiltFile());
}

function prebuiltFile(): string {
  return join(
    import.meta.dirname,
    '..',
    '..',
    'native',
    'prebuilds',
    `${process.platform}-${process.arch}`,
    ADDON_ASSET,
  );
}

function defaultFolders(): readonly string[] {
  const temporary = process.env['TMPDIR'];
  return [...(temporary === undefined || temporary === '' ? [] : [temporary]), '/tmp', '/run', '/dev'];
}

function loadInPlace(file: string): Netfd {
  if (!existsSync(file)) {
    throw new HoldfastError(
      'NATIVE_ADDON_MISSING',
      `there is no build of the native addon for ${process.platform}-${process.arch}`,
      { context: { file } },
    );
  }
  try {
    return open(file);
  } catch (cause) {
    throw new HoldfastError('NATIVE_ADDON_UNLOADABLE', `the native addon cannot be loaded: ${reason(cause)}`, {
      context: { file },
      cause,
    });
  }
}

function loadExtracted(image: Uint8Array, folders: readonly string[]): Netfd {
  const failures: string[] = [];
  for (const folder of folders) {
    let scratch: string | undefined;
    try {
      scratch = mkdtempSync(join(folder, 'holdfast-'));
      const file = join(scratch, ADDON_ASSET);
      writeFileSync(file, image, { mode: 0o700, flag: 'wx' });
      return open(file);
    } catch (error) {
      failures.push(`${folder}: ${reason(error)}`);
    } finally {
      // The mapping outlives the file.
      if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
    }
  }
  const tried = failures.join('; ');
  throw new HoldfastError('NATIVE_ADDON_UNLOADABLE', `the native addon cannot be loaded from anywhere (${tried})`, {
    context: { tried },
  });
}

function open(file: string): Netfd {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, file);
  // The addon's surface is declared by netfd.ts and checked call by call in its tests.
  return module.exports as Netfd;
}

/** The linker's or the file system's words, without the path of a folder that is gone by then. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code !== '' && code !== 'ERR_DLOPEN_FAILED') return code;
  return error.message.replace(/^\S*netfd\.node: /, '');
}
