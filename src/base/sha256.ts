/**
 * SHA-256 (FIPS 180-4), for folders that may not import node:crypto: placing addresses by hash, tens of thousands of short
 * texts at once (half a microsecond each, in a workspace that is used again). What it hashes is public; nothing here is
 * wiped, so it is not for keys.
 */

/** Octets of a digest. */
export const SHA256_BYTES = 32;

const BLOCK_BYTES = 64;
/** §5.1.1: the octet with the one bit, and the length in 64 bits. */
const PADDING_BYTES_MIN = 9;

/** FIPS 180-4 §4.2.2: of the cube roots of the first 64 primes, the first 32 bits behind the point. */
const ROUND_CONSTANTS = Int32Array.from([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
]);

/** FIPS 180-4 §5.3.3: of the square roots of the first 8 primes. */
const INITIAL = Int32Array.from([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]);

/** Memory to compute in; whoever hashes often keeps one. */
export interface Sha256Workspace {
  readonly state: Int32Array;
  readonly schedule: Int32Array;
  /** The last one or two blocks of a message, with the padding. */
  readonly tail: Uint8Array;
}

export function sha256Workspace(): Sha256Workspace {
  return { state: new Int32Array(8), schedule: new Int32Array(64), tail: new Uint8Array(2 * BLOCK_BYTES) };
}

/** The digest as 32 octets. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return digestOf(hashBytes(sha256Workspace(), bytes));
}

/** The digest of the text's UTF-8 octets (lone surrogates as U+FFFD, as TextEncoder has it). */
export function sha256Text(text: string): Uint8Array {
  return digestOf(sha256TextWords(text, sha256Workspace()));
}

/** The same as eight words, most significant first. They are the workspace's: good until it is used again. */
export function sha256TextWords(text: string, workspace: Sha256Workspace): Int32Array {
  if (!putAscii(workspace.tail, text)) return hashBytes(workspace, new TextEncoder().encode(text));
  workspace.state.set(INITIAL);
  return hashTail(workspace, text.length, text.length);
}

function digestOf(words: Int32Array): Uint8Array {
  const digest = new Uint8Array(SHA256_BYTES);
  const view = new DataView(digest.buffer);
  for (const [index, word] of words.entries()) view.setInt32(4 * index, word);
  return digest;
}

/** False when a character isn't an octet, or there are more than the tail holds with its padding. */
function putAscii(tail: Uint8Array, text: string): boolean {
  if (text.length > tail.length - PADDING_BYTES_MIN) return false;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return false;
    tail[index] = unit;
  }
  return true;
}

function hashBytes(workspace: Sha256Workspace, bytes: Uint8Array): Int32Array {
  workspace.state.set(INITIAL);
  const rest = bytes.length % BLOCK_BYTES;
  const whole = bytes.length - rest;
  for (let at = 0; at < whole; at += BLOCK_BYTES) compress(workspace, bytes, at);
  workspace.tail.set(bytes.subarray(whole));
  return hashTail(workspace, rest, bytes.length);
}

/** Pads the `filled` octets of the tail (§5.1.1) and takes them in; `length` is the whole message's, in octets. */
function hashTail(workspace: Sha256Workspace, filled: number, length: number): Int32Array {
  const { state, tail } = workspace;
  const end = filled + PADDING_BYTES_MIN <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  tail.fill(0, filled, end);
  tail[filled] = 0x80;
  let left = length * 8;
  for (let index = end - 1; left > 0; index--) {
    tail[index] = left % 256;
    left = Math.floor(left / 256);
  }
  for (let at = 0; at < end; at += BLOCK_BYTES) compress(workspace, tail, at);
  return state;
}

/** §6.2.2 for the block at `at`. Letters are the standard's; `?? 0` is for the compiler: no index is out of bounds. */
function compress({ state, schedule }: Sha256Workspace, bytes: Uint8Array, at: number): void {
  for (let t = 0, from = at; t < 16; t++, from += 4) {
    const high = ((bytes[from] ?? 0) << 24) | ((bytes[from + 1] ?? 0) << 16);
    schedule[t] = high | ((bytes[from + 2] ?? 0) << 8) | (bytes[from + 3] ?? 0);
  }
  for (let t = 16; t < 64; t++) {
    const w15 = schedule[t - 15] ?? 0;
    const w2 = schedule[t - 2] ?? 0;
    const s0 = ((w15 >>> 7) | (w15 << 25)) ^ ((w15 >>> 18) | (w15 << 14)) ^ (w15 >>> 3);
    const s1 = ((w2 >>> 17) | (w2 << 15)) ^ ((w2 >>> 19) | (w2 << 13)) ^ (w2 >>> 10);
    schedule[t] = (((schedule[t - 16] ?? 0) + s0) | 0) + (((schedule[t - 7] ?? 0) + s1) | 0);
  }

  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  let e = state[4] ?? 0;
  let f = state[5] ?? 0;
  let g = state[6] ?? 0;
  let h = state[7] ?? 0;
  for (let t = 0; t < 64; t++) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 =
      (((((h + sum1) | 0) + ((e & f) ^ (~e & g))) | 0) + (((ROUND_CONSTANTS[t] ?? 0) + (schedule[t] ?? 0)) | 0)) | 0;
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
  state[4] = (state[4] ?? 0) + e;
  state[5] = (state[5] ?? 0) + f;
  state[6] = (state[6] ?? 0) + g;
  state[7] = (state[7] ?? 0) + h;
}
