/** Reads the vectors of this folder. */

import { readFileSync } from 'node:fs';

export interface VectorFile {
  readonly kernel: string;
  readonly tool: string;
  readonly vectors: ReadonlyMap<string, readonly Uint8Array[]>;
}

export function readVectors(file: string): VectorFile {
  const json: { kernel: string; tool: string; vectors: { name: string; datagrams: string[] }[] } = JSON.parse(
    readFileSync(new URL(`${file}.json`, import.meta.url), 'utf8'),
  );
  const vectors = new Map<string, readonly Uint8Array[]>();
  for (const { name, datagrams } of json.vectors) {
    vectors.set(
      name,
      datagrams.map((hex) => new Uint8Array(Buffer.from(hex, 'hex'))),
    );
  }
  return { kernel: json.kernel, tool: json.tool, vectors };
}
