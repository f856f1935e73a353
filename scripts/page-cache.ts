/** What of a file the kernel has in memory. */

import { spawnSync } from 'node:child_process';

/**
 * Reads the file from disk again the next time, as after a boot. An executable written just before is in the page cache in
 * pieces of up to 2 MiB, which Linux maps whole: it seems 15 to 25 MiB larger than it is on a node (docs/benchmarks/idle.md).
 * posix_fadvise(2) POSIX_FADV_DONTNEED, by way of dd (coreutils).
 */
export function dropFromCache(path: string): void {
  // What isn't written yet can't be dropped.
  const synced = spawnSync('sync', [path]);
  const dropped = spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0']);
  if (synced.status === 0 && dropped.status === 0) return;
  throw new Error(`${path} stays in the page cache: ${String(synced.stderr)}${String(dropped.stderr)}`);
}
