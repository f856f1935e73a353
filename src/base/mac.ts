/** Ethernet hardware addresses (IEEE 802 EUI-48) as canonical lower-case text with their six octets. */

import { ok, refused, type Outcome } from './outcome.ts';

export interface Mac {
  readonly text: string;
  readonly bytes: Uint8Array;
}

export const MAC_LENGTH = 6;

const HEX: readonly string[] = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'));

/** A Mac from six octets; the octets are copied. Throws RangeError on any other length. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== MAC_LENGTH) throw new RangeError(`a MAC has 6 octets, not ${bytes.length}`);
  const copy = new Uint8Array(bytes);
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = copy;
  return { text: `${HEX[a]}:${HEX[b]}:${HEX[c]}:${HEX[d]}:${HEX[e]}:${HEX[f]}`, bytes: copy };
}

/** Parses `aa:bb:cc:dd:ee:ff` (either case, `:` or `-`). */
export function parseMac(text: string): Outcome<Mac, 'not-a-mac'> {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return refused('not-a-mac', text);
  return ok(macFromBytes(Uint8Array.from(text.split(/[:-]/), (octet) => Number.parseInt(octet, 16))));
}

export const MAC_BROADCAST: Mac = macFromBytes(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
export const MAC_ZERO: Mac = macFromBytes(new Uint8Array(MAC_LENGTH));

export function isSameMac(a: Mac, b: Mac): boolean {
  return a.text === b.text;
}
