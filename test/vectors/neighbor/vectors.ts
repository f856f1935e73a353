/** Reads the captured frames of this folder, and octets written as hex. */

import { readFileSync } from 'node:fs';

/** Frames in the file: a test whose vectors are gone must fail, not pass with none. */
export const FRAME_COUNT = 9;

export function readFrames(): ReadonlyMap<string, Uint8Array> {
  const file: { frames: { name: string; hex: string }[] } = JSON.parse(
    readFileSync(new URL('linux-6.18.json', import.meta.url), 'utf8'),
  );
  return new Map(file.frames.map(({ name, hex: text }) => [name, hex(text)]));
}

/** The captured frame of that name. */
export function frame(name: string): Uint8Array {
  const found = readFrames().get(name);
  if (found === undefined) throw new Error(`there is no captured frame "${name}"`);
  return found;
}

/** Octets from hex digits; white space, colons and line ends are skipped. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/[\s:]/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hex: ${text}`);
  return Uint8Array.from(digits.match(/../g) ?? [], (octet) => Number.parseInt(octet, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => octet.toString(16).padStart(2, '0')).join('');
}
