/**
 * A table of thousands that many small changes don't copy: split by hash of its key, so that a change copies one part of
 * it, and each part knows when the first of its entries is due. A turn makes its changes in a draft; only the parts that
 * it touches are copied, once. What is not due and not touched is not looked at. Pure.
 */

import { NEVER, type MonotonicMs } from '../../base/time.ts';

export interface Shards<Value> {
  readonly parts: readonly Part<Value>[];
  readonly size: number;
  /** When the first entry of all is due. */
  readonly dueAt: MonotonicMs;
}

interface Part<Value> {
  readonly entries: ReadonlyMap<string, Value>;
  readonly dueAt: MonotonicMs;
}

/** Of 5,000 entries a part has twenty. A power of two. */
const PARTS = 256;

export function emptyShards<Value>(): Shards<Value> {
  const empty: Part<Value> = { entries: new Map(), dueAt: NEVER };
  return { parts: Array.from({ length: PARTS }, () => empty), size: 0, dueAt: NEVER };
}

/** FNV-1a over the code units, its halves folded together: 32 bits, any of which may be used. */
export function hashOf(key: string): number {
  let hash = 0x811c_9dc5;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x0100_0193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

function partOf(key: string): number {
  return hashOf(key) & (PARTS - 1);
}

export function inShards<Value>(table: Shards<Value>, key: string): Value | undefined {
  return table.parts[partOf(key)]?.entries.get(key);
}

export function* eachOfShards<Value>(table: Shards<Value>): Generator<readonly [string, Value], void, void> {
  if (table.size === 0) return;
  for (const { entries } of table.parts) yield* entries;
}

/** Changes under way. Made, changed and finished within one turn; never kept. */
export interface Draft<Value> {
  readonly before: Shards<Value>;
  readonly copies: Map<number, Map<string, Value>>;
}

export function draftOf<Value>(before: Shards<Value>): Draft<Value> {
  return { before, copies: new Map() };
}

export function inDraft<Value>(draft: Draft<Value>, key: string): Value | undefined {
  const part = partOf(key);
  return (draft.copies.get(part) ?? draft.before.parts[part]?.entries)?.get(key);
}

/** Puts the value at `key`; undefined removes it. What is there already makes no copy. */
export function putInDraft<Value>(draft: Draft<Value>, key: string, value: Value | undefined): void {
  const part = partOf(key);
  const present = draft.copies.get(part);
  const entries = present ?? draft.before.parts[part]?.entries;
  if (entries?.get(key) === value) return;
  const copy = present ?? new Map(entries);
  draft.copies.set(part, copy);
  if (value === undefined) copy.delete(key);
  else copy.set(key, value);
}

export function* eachOfDraft<Value>(draft: Draft<Value>): Generator<readonly [string, Value], void, void> {
  for (const [part, { entries }] of draft.before.parts.entries()) yield* draft.copies.get(part) ?? entries;
}

/**
 * The keys of entries that are due, at most `limit` of them; parts in which nothing is due are not looked into. The part
 * that has waited longest comes first: with more due than is done in a turn, nobody waits for ever.
 */
export function dueInDraft<Value>(
  draft: Draft<Value>,
  due: { readonly deadlineOf: (value: Value) => MonotonicMs; readonly now: MonotonicMs; readonly limit: number },
): readonly string[] {
  const keys: string[] = [];
  if (draft.before.dueAt > due.now && draft.copies.size === 0) return keys;
  const parts: { readonly entries: ReadonlyMap<string, Value>; readonly dueAt: MonotonicMs }[] = [];
  draft.before.parts.forEach((part, index) => {
    const copy = draft.copies.get(index);
    if (copy !== undefined) parts.push({ entries: copy, dueAt: part.dueAt });
    else if (part.dueAt <= due.now) parts.push(part);
  });
  // NEVER among them: no difference of two would say which is first.
  parts.sort((a, b) => (a.dueAt < b.dueAt ? -1 : a.dueAt > b.dueAt ? 1 : 0));
  for (const { entries } of parts) {
    for (const [key, value] of entries) {
      if (due.deadlineOf(value) > due.now) continue;
      if (keys.length >= due.limit) return keys;
      keys.push(key);
    }
  }
  return keys;
}

/** The table with the changes in it; the same one when there are none. */
export function finishDraft<Value>(
  draft: Draft<Value>,
  deadlineOf: (value: Value) => MonotonicMs = () => NEVER,
): Shards<Value> {
  if (draft.copies.size === 0) return draft.before;
  const parts = [...draft.before.parts];
  let { size } = draft.before;
  draft.copies.forEach((entries, index) => {
    size += entries.size - (parts[index]?.entries.size ?? 0);
    let dueAt = NEVER;
    entries.forEach((value) => {
      const deadline = deadlineOf(value);
      if (deadline < dueAt) dueAt = deadline;
    });
    parts[index] = { entries, dueAt };
  });
  let dueAt = NEVER;
  parts.forEach((part) => {
    if (part.dueAt < dueAt) dueAt = part.dueAt;
  });
  return { parts, size, dueAt };
}
