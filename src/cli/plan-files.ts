/**
 * The files `holdfast plan -f` names: a file, a directory (its *.yaml, *.yml and *.json, not those below it, as `kubectl
 * apply -f` has it), or `-` for standard input. Texts come out in the order of their names, so that the order on the
 * command line means nothing.
 */

import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { TEXT_MAX, type PlanText } from './plan-documents.ts';

export interface PlanFiles {
  readonly texts: readonly PlanText[];
  /** One sentence for each file that can't be read. */
  readonly failures: readonly string[];
}

const STANDARD_INPUT = '-';
const CHUNK = 1 << 16;

export function readFiles(paths: readonly string[]): PlanFiles {
  const failures: string[] = [];
  const attempt = <T>(path: string, read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch (error) {
      failures.push(`${nameOf(path)} cannot be read: ${reasonOf(error)}`);
      return otherwise;
    }
  };
  const files = paths.flatMap((path) => attempt(path, () => filesOf(path, failures), []));
  const texts = [...new Set(files)].sort().flatMap((path) => attempt(path, () => [readFile(path)], []));
  return { texts, failures: failures.sort() };
}

function filesOf(path: string, failures: string[]): readonly string[] {
  if (path === STANDARD_INPUT) return [path];
  if (!statSync(path).isDirectory()) return [normalize(path)];
  const entries = readdirSync(path, { withFileTypes: true });
  const names = entries.filter((entry) => !entry.isDirectory() && /\.(ya?ml|json)$/.test(entry.name));
  if (names.length === 0) failures.push(`${path} has no file *.yaml, *.yml or *.json`);
  return names.map(({ name }) => join(path, name));
}

function readFile(path: string): PlanText {
  const descriptor = path === STANDARD_INPUT ? 0 : openSync(path, 'r');
  try {
    return { name: nameOf(path), text: decode(readAll(descriptor)) };
  } finally {
    if (descriptor !== 0) closeSync(descriptor);
  }
}

/** All octets, up to one more chunk than may be used: a file's size may be unknown (a pipe) or grow. */
function readAll(descriptor: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length <= TEXT_MAX) {
    const chunk = new Uint8Array(CHUNK);
    const count = readSome(descriptor, chunk);
    if (count === 0) break;
    chunks.push(chunk.subarray(0, count));
    length += count;
  }
  return Buffer.concat(chunks);
}

/** Standard input may be a pipe that is read without waiting (O_NONBLOCK is its other end's to set): then wait for it. */
function readSome(descriptor: number, chunk: Uint8Array): number {
  for (;;) {
    try {
      return readSync(descriptor, chunk);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EMPTY_PIPE_WAIT_MS);
    }
  }
}

const EMPTY_PIPE_WAIT_MS = 5;

function decode(octets: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(octets);
  } catch {
    throw new Error('it is no text in UTF-8');
  }
}

function nameOf(path: string): string {
  return path === STANDARD_INPUT ? 'standard input' : path;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'permission denied';
  return error.message;
}
