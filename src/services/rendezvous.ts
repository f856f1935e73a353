/**
 * Weighted rendezvous hashing: each pair of node and address draws a number, and the nodes stand in line for the address
 * by what they drew. No state is needed to agree, a node that leaves moves only what it held, and a node that joins takes
 * its share and nothing else (Thaler and Ravishankar 1998; the weighting is the logarithmic one of Mosko 2015).
 *
 * The draw is SHA-256 of `node#address`, as MetalLB has it (layer2_controller.go): with equal weights the order is
 * MetalLB's, ascending octets of the digest. Weighted, the score is -weight / ln(u) with u = 1 - d / 2⁵³ of the digest's
 * first 53 bits d, highest first: a node of weight 2 is first twice as often as one of weight 1. Ties go by name.
 */

import { sha256TextWords, sha256Workspace, type Sha256Workspace } from '../base/sha256.ts';

/** What is remembered at most, in draws of 8 octets: 4,000 addresses on 100 nodes. Then everything is forgotten at once. */
export const DRAWS_MAX = 500_000;

/** A row has room for so many nodes, or twice or four times as many, … */
const COLUMNS_MIN = 4;

/** Draws made before. Whoever decides again and again keeps one; it changes how long that takes, and nothing else. */
export interface RendezvousMemo {
  /** The place of each node in a row. */
  readonly columns: Map<string, number>;
  /** By address; NaN: not drawn yet. */
  readonly rows: Map<string, number[]>;
  readonly workspace: Sha256Workspace;
}

export function rendezvousMemo(): RendezvousMemo {
  return { columns: new Map(), rows: new Map(), workspace: sha256Workspace() };
}

export interface Entrant {
  readonly name: string;
  /** Relative share; what isn't above 0 is never in line. */
  readonly weight: number;
}

/** Those with a weight, first in line first. */
export function rendezvousOrder(
  address: string,
  entrants: readonly Entrant[],
  memo: RendezvousMemo = rendezvousMemo(),
): readonly string[] {
  return entrants
    .filter(({ weight }) => weight > 0)
    .map(({ name, weight }) => ({ name, score: rendezvousScore(name, weight, address, memo) }))
    .sort((a, b) => compareScores(a.score, b.score) || compareNames(a.name, b.name))
    .map(({ name }) => name);
}

/** Above 0, and at times Infinity; 0 for a node without weight. (Four plain parameters: it is the innermost loop.) */
export function rendezvousScore(node: string, weight: number, address: string, memo: RendezvousMemo): number {
  return weight > 0 ? weight / drawOf(node, address, memo) : 0;
}

/** Highest first. Not by subtraction: of two infinite scores neither is before the other. */
export function compareScores(a: number, b: number): number {
  return a === b ? 0 : a > b ? -1 : 1;
}

/** By code units, which is the same everywhere. */
export function compareNames(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** -ln(u) from 0 to 36.8, exponentially distributed: the least is first. */
function drawOf(node: string, address: string, memo: RendezvousMemo): number {
  const column = columnOf(node, memo);
  const row = rowOf(address, column, memo);
  const known = row[column] ?? Number.NaN;
  if (!Number.isNaN(known)) return known;
  const words = sha256TextWords(`${node}#${address}`, memo.workspace);
  const bits = ((words[0] ?? 0) >>> 0) * 2 ** 21 + ((words[1] ?? 0) >>> 11);
  const draw = -Math.log1p(-bits / 2 ** 53);
  row[column] = draw;
  return draw;
}

function columnOf(node: string, memo: RendezvousMemo): number {
  const known = memo.columns.get(node);
  if (known !== undefined) return known;
  if (roomFor(memo.columns.size + 1) * memo.rows.size > DRAWS_MAX) forget(memo);
  const column = memo.columns.size;
  memo.columns.set(node, column);
  return column;
}

/** A plain list: of what a typed one takes, most is about its buffer. */
function rowOf(address: string, column: number, memo: RendezvousMemo): number[] {
  const known = memo.rows.get(address);
  if (known !== undefined && column < known.length) return known;
  if (known === undefined && roomFor(memo.columns.size) * (memo.rows.size + 1) > DRAWS_MAX) memo.rows.clear();
  const row = Array.from({ length: roomFor(column + 1) }, (_, index) => known?.[index] ?? Number.NaN);
  memo.rows.set(address, row);
  return row;
}

function roomFor(columns: number): number {
  return Math.max(COLUMNS_MIN, 2 ** Math.ceil(Math.log2(columns)));
}

/** Nodes that are gone are forgotten here as well. */
function forget(memo: RendezvousMemo): void {
  memo.columns.clear();
  memo.rows.clear();
}
