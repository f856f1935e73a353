/**
 * Text → the Kubernetes objects in it, as `kubectl apply -f` would find them: YAML with any number of documents, JSON, and
 * lists (`kind: List` and the API's own `ServiceList`). Nothing of an object is believed but that it is a mapping with
 * apiVersion and kind. Texts are hostile: size, number, nesting and aliases have limits, and whatever can't be read is
 * named with its document and line.
 *
 * What is no YAML makes the whole input unreadable: nobody can say what it was meant to hold. What is YAML but no object of
 * Kubernetes is a misfit, and in nobody's way (kubectl applies the others as well).
 */

import { LineCounter, parseAllDocuments, type Document } from 'yaml';
import { asArray, asText, isObject, type JsonObject } from '../base/json.ts';

/** One text as given: `name` is what people call it (a path, or `standard input`). */
export interface PlanText {
  readonly name: string;
  readonly text: string;
}

export interface PlanDocument {
  /** `pools.yaml, document 2`, `all.json, item 17`. */
  readonly where: string;
  /** The text's name, for telling two of the same object apart. */
  readonly source: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: JsonObject;
}

export interface PlanDocuments {
  readonly documents: readonly PlanDocument[];
  /** What is no object of Kubernetes. */
  readonly misfits: readonly Misfit[];
  /** One sentence for each thing that can't be read; any of them makes the whole input unreadable. */
  readonly failures: readonly string[];
}

export interface Misfit {
  readonly where: string;
  /** Of a mapping, which may at least have a kind or a name. */
  readonly raw: JsonObject | undefined;
  /** What it is instead: "not a Kubernetes object, but a text". */
  readonly saying: string;
}

/** YAML costs some 80 times its size in memory and 0.4 s a megabyte (measured), JSON hardly more than itself. */
export const YAML_DOCUMENT_MAX = 16 * 1024 * 1024;
export const TEXT_MAX = 256 * 1024 * 1024;
export const OBJECTS_MAX = 200_000;
/** Lists in lists; the API knows none. */
const LIST_DEPTH_MAX = 4;
/** Objects in objects; schemas in CustomResourceDefinitions go to some 60. */
const NESTING_MAX = 256;
/** yaml's own count, which multiplies: ten anchors that each repeat the former one ten times are over it. */
const ALIAS_MAX = 100;
export const FAILURES_MAX = 20;
/** Misfits that are told; how many more there are is told in one more. */
export const MISFITS_MAX = 100;

/** Documents of `texts`, in their order. */
export function readDocuments(texts: readonly PlanText[]): PlanDocuments {
  const reading: Reading = { documents: [], misfits: [], failures: [] };
  for (const text of texts) readText(text, reading);
  return reading;
}

interface Reading {
  readonly documents: PlanDocument[];
  readonly misfits: Misfit[];
  readonly failures: string[];
}

function fail(reading: Reading, message: string): void {
  if (reading.failures.length < FAILURES_MAX) reading.failures.push(message);
  else reading.failures[FAILURES_MAX] = 'and more, which are not shown';
}

function leaveOut(reading: Reading, { where }: Place, saying: string, raw?: JsonObject): void {
  const { misfits } = reading;
  if (misfits.length < MISFITS_MAX) misfits.push({ where, raw, saying });
  else misfits[MISFITS_MAX] = { where, raw: undefined, saying: 'and more that is no object: it is not shown' };
}

function readText(input: PlanText, reading: Reading): void {
  const { name, text } = input;
  if (text.length > TEXT_MAX) {
    fail(reading, `${name} is of ${megabytes(text.length)}, and ${megabytes(TEXT_MAX)} are read at most`);
    return;
  }
  if (/^\s*[{[]/.test(text.slice(0, 1000))) {
    const values = parseJson(text) ?? parseJsonStream(text);
    if (values !== undefined) {
      for (const [index, value] of values.entries()) {
        const where = values.length === 1 ? name : `${name}, document ${index + 1}`;
        addValue(value, { where, source: name }, reading);
      }
      return;
    }
  }
  let count = 0;
  let line = 1;
  for (const piece of splitDocuments(text)) {
    count += readPiece(piece, { name, before: count, firstLine: line }, reading);
    line += newlines(piece);
  }
}

/** The value, in a list since JSON may be null; undefined when it is no JSON, or nested too deeply for the parser. */
function parseJson(text: string): readonly [unknown] | undefined {
  try {
    return [JSON.parse(text) as unknown];
  } catch {
    return undefined;
  }
}

/** JSON objects one after the other, as several `kubectl get -o json` into one file leave them. */
function parseJsonStream(text: string): readonly unknown[] | undefined {
  const values: unknown[] = [];
  let start = 0;
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}]/gs)) {
    if (token === '{') depth += 1;
    if (token !== '}') continue;
    depth -= 1;
    if (depth > 0) continue;
    const value = parseJson(text.slice(start, index + 1));
    if (value === undefined) return undefined;
    values.push(value[0]);
    start = index + 1;
  }
  return values.length > 0 && text.slice(start).trim() === '' ? values : undefined;
}

/**
 * The text at its lines `---`, each piece but the first beginning with its own: so that a file of thousands of documents
 * isn't held as one syntax tree. What stands before the first one (comments, directives) is of no document.
 */
export function splitDocuments(text: string): readonly string[] {
  const starts = Array.from(text.matchAll(/^---(?=\s|$)/gm), ({ index }) => index);
  return [0, ...starts].map((from, place) => text.slice(from, starts[place])).filter((piece) => piece !== '');
}

interface Piece {
  readonly name: string;
  /** Documents of the text before it. */
  readonly before: number;
  readonly firstLine: number;
}

/** Reads one piece and returns how many documents it had (more than one only where `...` ends one). */
function readPiece(text: string, piece: Piece, reading: Reading): number {
  const first = `${piece.name}, document ${piece.before + 1} (line ${piece.firstLine})`;
  if (text.length > YAML_DOCUMENT_MAX) {
    const sizes = `${megabytes(text.length)} of YAML in one document, and ${megabytes(YAML_DOCUMENT_MAX)} are read at most`;
    fail(reading, `${first}: ${sizes}; JSON (\`kubectl get … -o json\`) may be of ${megabytes(TEXT_MAX)}`);
    return 1;
  }
  const lines = new LineCounter();
  let documents: readonly Document.Parsed[];
  try {
    const parsed = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      merge: true,
      logLevel: 'silent',
    });
    documents = Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    fail(reading, `${first}: not YAML: ${failureText(error)}`);
    return 1;
  }
  for (const [index, document] of documents.entries()) {
    const number = piece.before + index + 1;
    const [problem] = document.errors;
    const at = problem === undefined ? document.range[0] : problem.pos[0];
    const line = piece.firstLine + lines.linePos(at).line - 1;
    const where = `${piece.name}, document ${number}`;
    if (problem !== undefined) {
      fail(reading, `${where}, line ${line}: not YAML: ${failureText(problem)}`);
      continue;
    }
    const value = toValue(document);
    if (value.ok) addValue(value.value, { where, source: piece.name }, reading);
    else leaveOut(reading, { where: `${where}, line ${line}`, source: piece.name }, value.reason);
  }
  return documents.length;
}

type Converted = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly reason: string };

function toValue(document: Document.Parsed): Converted {
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: ALIAS_MAX }) as unknown };
  } catch (error) {
    const isBomb = error instanceof ReferenceError && error.message.startsWith('Excessive alias');
    const reason = isBomb ? 'its aliases (*name) repeat each other too often to be read' : failureText(error);
    return { ok: false, reason };
  }
}

/** What a parser threw or found, on one line; a RangeError is its stack, which yaml may catch itself. */
function failureText(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  if (error instanceof RangeError || message.startsWith('Maximum call stack')) return 'nested too deeply';
  return message.split('\n')[0] || 'it cannot be read';
}

interface Place {
  readonly where: string;
  readonly source: string;
}

/** An object, the objects of a list, or nothing for an empty document. */
function addValue(value: unknown, place: Place, reading: Reading, depth = 0): void {
  if (value === null || value === undefined) return;
  if (!isObject(value)) {
    leaveOut(reading, place, `not a Kubernetes object, but ${describe(value)}`);
    return;
  }
  const kind = asText(value['kind']);
  const apiVersion = asText(value['apiVersion']);
  if (kind === undefined || apiVersion === undefined) {
    const missing = kind === undefined ? 'kind' : 'apiVersion';
    leaveOut(reading, place, `not a Kubernetes object: it has no ${missing}`, value);
    return;
  }
  if (kind === 'List' && !Array.isArray(value['items'] ?? [])) {
    leaveOut(reading, place, 'a List whose items are no list', value);
    return;
  }
  if (kind.endsWith('List') && Array.isArray(value['items'])) {
    addItems(value, { kind, apiVersion }, place, reading, depth);
    return;
  }
  if (reading.documents.length >= OBJECTS_MAX) {
    fail(reading, `${place.where}: more than ${OBJECTS_MAX} objects, which are read at most`);
    return;
  }
  if (isDeep(value, NESTING_MAX)) {
    leaveOut(reading, place, `nested more than ${NESTING_MAX} deep (or an alias contains itself)`);
    return;
  }
  reading.documents.push({ ...place, apiVersion, kind, raw: value });
}

/** Items of a ServiceList have neither kind nor apiVersion of their own: the list's name tells. */
function addItems(
  list: JsonObject,
  type: { readonly kind: string; readonly apiVersion: string },
  place: Place,
  reading: Reading,
  depth: number,
): void {
  if (depth >= LIST_DEPTH_MAX) {
    leaveOut(reading, place, `lists in more than ${LIST_DEPTH_MAX} lists`);
    return;
  }
  const kind = type.kind.slice(0, -'List'.length);
  const own = kind === '' ? {} : { kind, apiVersion: type.apiVersion };
  for (const [index, item] of asArray(list['items']).entries()) {
    const isBare = isObject(item) && item['kind'] === undefined;
    addValue(
      isBare ? { ...own, ...item } : item,
      { ...place, where: `${place.where}, item ${index + 1}` },
      reading,
      depth + 1,
    );
  }
}

/** Whether something in it is more than `left` deep. What contains itself is endlessly deep. */
function isDeep(value: unknown, left: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left === 0 || Object.values(value).some((child) => isDeep(child, left - 1));
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list (a Kubernetes list has kind: List and items)';
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`;
}

function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

function megabytes(length: number): string {
  return `${Math.ceil(length / (1024 * 1024))} MiB`;
}
