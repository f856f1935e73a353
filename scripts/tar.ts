/**
 * Tar archives in the ustar format (POSIX.1-2017, pax, "ustar Interchange Format") with nothing of this machine in them:
 * no owner, no time but the one given, entries in the order given. The same entries give the same octets.
 */

export type TarEntry =
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly octets: Uint8Array }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

const BLOCK = 512;
const typeFlags = { file: '0', link: '2', folder: '5' } as const;

/** @param seconds Unix time of every entry. */
export function tar(entries: readonly TarEntry[], seconds: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    parts.push(header(entry, seconds));
    if (entry.kind !== 'file') continue;
    parts.push(entry.octets, new Uint8Array(-entry.octets.length & (BLOCK - 1)));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return Buffer.concat(parts);
}

function header(entry: TarEntry, seconds: number): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const path = entry.kind === 'folder' ? `${entry.path}/` : entry.path;
  const target = entry.kind === 'link' ? entry.target : '';
  if (path.length > 100 || target.length > 100) throw new Error(`${path}: too long for a tar header`);
  const octal = (value: number, at: number, digits: number) =>
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  block.write(path, 0, 'latin1');
  octal(entry.kind === 'link' ? 0o777 : entry.mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(entry.kind === 'file' ? entry.octets.length : 0, 124, 11);
  octal(seconds, 136, 11);
  block.write(typeFlags[entry.kind], 156, 'latin1');
  block.write(target, 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, octet) => total + octet, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
