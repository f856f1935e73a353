/**
 * The record of owners: which node has each address. The leader alone writes it, beside the Lease, and every node reads
 * it: it is what makes an owner stay (owner.ts). Without it, or for addresses it doesn't name, the hash decides, on every
 * node alike: losing the record may move addresses once, and never makes two owners.
 *
 * As text, JSON:  {"version":1,"nodes":["n1","n2"],"ipv4":"2rvxttA1B1A","ipv6":""}   (10.0.0.1 to 10.0.0.3)
 * Of each family the addresses ascend: a number in base 36 (0-9a-z) by how much, from the one before (the first from 0),
 * then the place of its node in the list as capitals (A is 0, Z 25, BA 26). Neighbours on few nodes take two octets each.
 */

import { familyBits, parseIp, type Family, type Ip } from '../base/ip.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import { isObject, parseJson } from '../base/json.ts';
import { eachInSteps, finish, STRIDE, type Steps } from '../base/steps.ts';
import { compareIps, ipAt, ipValue } from './address-range.ts';
import type { Ownership } from './model.ts';

/** The text of an address → the name of a node. */
export type Assignment = ReadonlyMap<string, string>;

/** Half of what the annotations of an object may hold together (apimachinery: 256 KiB). Addresses beyond it are left out. */
export const ASSIGNMENT_TEXT_MAX = 131_072;
/** More are left out when writing, the last ones in numeric order; a text with more is refused. */
export const ASSIGNMENT_ADDRESSES_MAX = 16_384;
/** As many nodes as Kubernetes supports. */
const NODES_MAX = 5_000;
/** RFC 1123: a node's name. */
const NAME_MAX = 253;

const VERSION = 1;
const DIGITS = 36;
const CAPITALS = 26;
const CODE_A = 65;
const CODE_Z = 90;
/** 36²⁵ is more than 2¹²⁸. */
const GAP_DIGITS_MAX = 25;
/** 36¹⁰ is less than 2⁵³. */
const SAFE_DIGITS = 10;

/**
 * The record after these ownerships, which must be all there are: who has none any more is dropped. An address that nobody
 * may answer for at the moment keeps its former owner, so that it stays there when it can be served again. The very same
 * record when nothing changes.
 */
export function nextAssignment(previous: Assignment, ownerships: readonly Ownership[]): Assignment {
  const next = new Map<string, string>();
  for (const { address, node } of ownerships) {
    const owner = node ?? previous.get(address.text);
    if (owner !== undefined) next.set(address.text, owner);
  }
  const isSame = next.size === previous.size && [...next].every(([address, node]) => previous.get(address) === node);
  return isSame ? previous : next;
}

export function encodeAssignment(assignment: Assignment): string {
  return finish(encodeAssignmentInSteps(assignment));
}

export function* encodeAssignmentInSteps(assignment: Assignment): Steps<string> {
  const entries: { readonly address: Ip; readonly node: string }[] = [];
  yield* eachInSteps([...assignment], ([text, node]) => {
    const parsed = parseIp(text);
    if (parsed.ok) entries.push({ address: parsed.value, node });
  });
  entries.sort((a, b) => compareIps(a.address, b.address));
  yield;
  const places = new Map<string, number>();
  const families = { ipv4: '', ipv6: '' };
  const former = { ipv4: 0n, ipv6: 0n };
  let left = ASSIGNMENT_TEXT_MAX - textOf([], families).length;
  for (const { address, node } of entries.slice(0, ASSIGNMENT_ADDRESSES_MAX)) {
    const place = places.get(node) ?? places.size;
    const value = ipValue(address);
    const token = (value - former[address.family]).toString(DIGITS) + capitals(place);
    left -= token.length + (place === places.size ? JSON.stringify(node).length + 1 : 0);
    if (left < 0 || place === NODES_MAX) break;
    places.set(node, place);
    families[address.family] += token;
    former[address.family] = value;
  }
  return textOf([...places.keys()], families);
}

export type AssignmentReason = 'too-long' | 'not-json' | 'version' | 'nodes' | 'addresses';

/** All of decodeAssignmentInSteps. */
export function decodeAssignment(text: string): Outcome<Assignment, AssignmentReason> {
  return finish(decodeAssignmentInSteps(text));
}

/** Refuses what it doesn't understand wholly: half a record would move addresses. */
export function* decodeAssignmentInSteps(text: string): Steps<Outcome<Assignment, AssignmentReason>> {
  if (text.length > ASSIGNMENT_TEXT_MAX) return refused('too-long');
  const value = parseJson(text);
  if (!isObject(value)) return refused('not-json');
  if (value['version'] !== VERSION) return refused('version');
  const { nodes, ipv4, ipv6 } = value;
  if (!isNodeTable(nodes)) return refused('nodes');
  const assignment = new Map<string, string>();
  const isRead =
    (yield* readFamily(ipv4, 'ipv4', nodes, assignment)) && (yield* readFamily(ipv6, 'ipv6', nodes, assignment));
  return isRead ? ok(assignment) : refused('addresses');
}

function textOf(nodes: readonly string[], { ipv4, ipv6 }: Readonly<Record<Family, string>>): string {
  return JSON.stringify({ version: VERSION, nodes, ipv4, ipv6 });
}

function isNodeTable(nodes: unknown): nodes is readonly string[] {
  if (!Array.isArray(nodes) || nodes.length > NODES_MAX) return false;
  return nodes.every((name: unknown) => typeof name === 'string' && name !== '' && name.length <= NAME_MAX);
}

function capitals(place: number): string {
  let text = '';
  for (let left = place; text === '' || left > 0; left = Math.floor(left / CAPITALS)) {
    text = String.fromCharCode(CODE_A + (left % CAPITALS)) + text;
  }
  return text;
}

/** Adds what the text says to `into`; false at the first thing in it that makes no sense. */
function* readFamily(
  text: unknown,
  family: Family,
  nodes: readonly string[],
  into: Map<string, string>,
): Steps<boolean> {
  if (typeof text !== 'string') return false;
  const end = 1n << BigInt(familyBits(family));
  let value = 0n;
  let isFirst = true;
  for (let at = 0; at < text.length; isFirst = false) {
    const afterGap = skip(text, at, (code) => code < CODE_A || code > CODE_Z);
    const afterPlace = skip(text, afterGap, (code) => code >= CODE_A && code <= CODE_Z);
    const gap = readGap(text.slice(at, afterGap));
    const node = nodes[readPlace(text.slice(afterGap, afterPlace))];
    if (gap === undefined || node === undefined || (gap === 0n && !isFirst)) return false;
    value += gap;
    if (value >= end || into.size === ASSIGNMENT_ADDRESSES_MAX) return false;
    into.set(ipAt(family, value).text, node);
    at = afterPlace;
    if (into.size % STRIDE === 0) yield;
  }
  return true;
}

function skip(text: string, from: number, isPart: (code: number) => boolean): number {
  let at = from;
  while (at < text.length && isPart(text.charCodeAt(at))) at += 1;
  return at;
}

function readGap(digits: string): bigint | undefined {
  if (digits.length > GAP_DIGITS_MAX || !/^(0|[1-9a-z][0-9a-z]*)$/.test(digits)) return undefined;
  let gap = 0n;
  for (let at = 0; at < digits.length; at += SAFE_DIGITS) {
    const part = digits.slice(at, at + SAFE_DIGITS);
    gap = gap * BigInt(DIGITS ** part.length) + BigInt(Number.parseInt(part, DIGITS));
  }
  return gap;
}

/** -1, which is no place, for none and for too many. */
function readPlace(text: string): number {
  if (text.length === 0 || text.length > 4) return -1;
  let place = 0;
  for (let at = 0; at < text.length; at++) place = place * CAPITALS + (text.charCodeAt(at) - CODE_A);
  return place;
}
