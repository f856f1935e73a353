/**
 * The regular expressions by which Cilium's policies name interfaces, matched in time that is bounded whatever the
 * expression: JavaScript's own engine backtracks, and `(a*)*b` would stop the loop. An interface has 15 characters, so the
 * places a part can begin and end at are a set of 16 bits, and matching is one pass over the expression per set.
 *
 * Read is what Go's RE2 has and an interface can need: characters, `.`, `[a-z]`, `[^a-z]`, `\d \w \s` and their opposites,
 * `^ $`, `( )`, `(?: )`, `|`, `* + ?` and `{m,n}`. An expression matches anywhere in the name, as in Cilium. Anything else
 * (flags, names, look-around, POSIX classes) is refused with a reason.
 */

import { ok, refused, type Outcome } from '../../base/outcome.ts';

/** Characters of an expression. */
export const PATTERN_LENGTH_MAX = 256;
/** Groups and repetitions inside one another: each level may multiply the work by the number of places. */
const DEPTH_MAX = 3;
/** Linux: IFNAMSIZ less the final zero. A longer name is no interface's and matches nothing. */
const NAME_LENGTH_MAX = 15;
/** {m,n}: more than any name has. */
const REPEAT_MAX = 99;

export type PatternReason =
  | 'too-long'
  | 'too-deep'
  | 'not-supported'
  | 'unbalanced'
  | 'nothing-to-repeat'
  | 'bad-range';

type Node =
  | { readonly kind: 'one'; readonly has: (char: string) => boolean }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number };

export interface InterfacePattern {
  readonly text: string;
  readonly node: Node;
}

export function parsePattern(text: string): Outcome<InterfacePattern, PatternReason> {
  if (text.length > PATTERN_LENGTH_MAX) return refused('too-long');
  const reader: Reader = { text, at: 0, reason: undefined };
  const node = readChoice(reader, 0);
  if (reader.reason === undefined && reader.at < text.length) reader.reason = 'unbalanced';
  return reader.reason === undefined ? ok({ text, node }) : refused(reader.reason, text);
}

/** Whether the expression matches somewhere in the name; false for a name no interface can have. */
export function matchesPattern({ node }: InterfacePattern, name: string): boolean {
  if (name.length > NAME_LENGTH_MAX) return false;
  const everywhere = 2 ** (name.length + 1) - 1;
  return ends(node, name, everywhere) !== 0;
}

/** As matchesPattern for text that parsePattern accepts; what it refuses matches nothing. */
export function matchesInterface(pattern: string, name: string): boolean {
  const parsed = parsePattern(pattern);
  return parsed.ok && matchesPattern(parsed.value, name);
}

/** Bit n of a set of places is before the character n. Where the part can end, having begun at one of `starts`. */
function ends(node: Node, name: string, starts: number): number {
  if (starts === 0) return 0;
  switch (node.kind) {
    case 'one': {
      let places = 0;
      for (let index = 0; index < name.length; index++) {
        if ((starts & (1 << index)) !== 0 && node.has(name.charAt(index))) places |= 1 << (index + 1);
      }
      return places;
    }
    case 'start':
      return starts & 1;
    case 'end':
      return starts & (1 << name.length);
    case 'all':
      return node.parts.reduce((places, part) => ends(part, name, places), starts);
    case 'any':
      return node.parts.reduce((places, part) => places | ends(part, name, starts), 0);
    case 'repeat':
      return repeatEnds(node, name, starts);
  }
}

function repeatEnds(
  { part, least, most }: Extract<Node, { readonly kind: 'repeat' }>,
  name: string,
  starts: number,
): number {
  let places = starts;
  // The part goes forward or stays. More turns than there are characters, and some turn stayed: one more changes nothing.
  for (let count = 0; count < least && count <= name.length; count++) {
    const reached = ends(part, name, places);
    if (reached === places) break;
    places = reached;
  }
  // A turn adds a place or is the last.
  for (let count = least, fresh = places; count < most && fresh !== 0; count++) {
    fresh = ends(part, name, fresh) & ~places;
    places |= fresh;
  }
  return places;
}

interface Reader {
  readonly text: string;
  at: number;
  /** The first thing that is wrong; reading ends with it. */
  reason: PatternReason | undefined;
}

function readChoice(reader: Reader, depth: number): Node {
  if (depth > DEPTH_MAX) reader.reason ??= 'too-deep';
  const parts = [readSequence(reader, depth)];
  while (reader.reason === undefined && reader.text[reader.at] === '|') {
    reader.at += 1;
    parts.push(readSequence(reader, depth));
  }
  return { kind: 'any', parts };
}

function readSequence(reader: Reader, depth: number): Node {
  const parts: Node[] = [];
  for (;;) {
    const char = reader.text[reader.at];
    if (reader.reason !== undefined || char === undefined || char === '|' || char === ')') break;
    const part = readPart(reader, depth, char);
    parts.push(readRepetition(reader, part));
  }
  return { kind: 'all', parts };
}

function readPart(reader: Reader, depth: number, char: string): Node {
  reader.at += 1;
  switch (char) {
    case '^':
      return { kind: 'start' };
    case '$':
      return { kind: 'end' };
    case '.':
      return { kind: 'one', has: () => true };
    case '[':
      return readSet(reader);
    case '(':
      return readGroup(reader, depth);
    case '\\':
      return { kind: 'one', has: readEscape(reader) };
    case '*':
    case '+':
    case '?':
      reader.reason ??= 'nothing-to-repeat';
      break;
    default:
  }
  return { kind: 'one', has: (other) => other === char };
}

function readGroup(reader: Reader, depth: number): Node {
  if (reader.text.startsWith('?:', reader.at)) reader.at += 2;
  else if (reader.text[reader.at] === '?') reader.reason ??= 'not-supported';
  const node = readChoice(reader, depth + 1);
  if (reader.text[reader.at] === ')') reader.at += 1;
  else reader.reason ??= 'unbalanced';
  return node;
}

function readRepetition(reader: Reader, part: Node): Node {
  const rest = reader.text.slice(reader.at, reader.at + 8);
  const [counted, least, comma, most] = /^\{(\d{1,2})(,(\d{0,2}))?\}/.exec(rest) ?? [];
  let node = part;
  if (counted !== undefined) {
    const bound = comma === undefined ? least : most === '' ? String(REPEAT_MAX) : most;
    node = { kind: 'repeat', part, least: Number(least), most: Number(bound) };
    if (Number(bound) < Number(least)) reader.reason ??= 'bad-range';
    reader.at += counted.length;
  } else if (/^[*+?]/.test(rest)) {
    node = { kind: 'repeat', part, least: rest.startsWith('+') ? 1 : 0, most: rest.startsWith('?') ? 1 : REPEAT_MAX };
    reader.at += 1;
  } else {
    return part;
  }
  // Whether as little or as much as possible is taken doesn't matter for whether there is a match.
  if (reader.text[reader.at] === '?') reader.at += 1;
  if (/^[*+{]/.test(reader.text.slice(reader.at))) reader.reason ??= 'nothing-to-repeat';
  return node;
}

const CLASSES: Readonly<Record<string, (char: string) => boolean>> = {
  d: (char) => /\d/.test(char),
  D: (char) => /\D/.test(char),
  w: (char) => /\w/.test(char),
  W: (char) => /\W/.test(char),
  s: (char) => /\s/.test(char),
  S: (char) => /\S/.test(char),
};

/** Behind a backslash: a class of characters, or a character that means itself. */
function readEscape(reader: Reader): (char: string) => boolean {
  const escaped = reader.text[reader.at] ?? '';
  reader.at += 1;
  const found = Object.hasOwn(CLASSES, escaped) ? CLASSES[escaped] : undefined;
  if (found !== undefined) return found;
  if (escaped === '' || /[A-Za-z0-9]/.test(escaped)) reader.reason ??= 'not-supported';
  return (char) => char === escaped;
}

function readSet(reader: Reader): Node {
  const isNegated = reader.text[reader.at] === '^';
  if (isNegated) reader.at += 1;
  const members: ((char: string) => boolean)[] = [];
  for (let count = 0; reader.reason === undefined; count++) {
    const char = reader.text[reader.at];
    if (char === undefined) {
      reader.reason = 'unbalanced';
    } else if (char === ']' && count > 0) {
      reader.at += 1;
      break;
    } else {
      members.push(readMember(reader, char));
    }
  }
  return { kind: 'one', has: (char) => members.some((has) => has(char)) !== isNegated };
}

function readMember(reader: Reader, char: string): (char: string) => boolean {
  reader.at += 1;
  if (char === '\\') return readEscape(reader);
  if (char === '[' && reader.text[reader.at] === ':') reader.reason ??= 'not-supported';
  const last = reader.text[reader.at + 1];
  if (reader.text[reader.at] !== '-' || last === undefined || last === ']') return (other) => other === char;
  if (last === '\\' || last < char) reader.reason ??= 'bad-range';
  reader.at += 2;
  return (other) => other >= char && other <= last;
}
