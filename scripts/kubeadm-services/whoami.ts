/**
 * The DNS question that the lab's web server (CoreDNS with its plugins whoami and nsid) answers with two facts: which node
 * it runs on (NSID, RFC 5001) and from which address it was asked (an A or AAAA record in the additional section).
 */

import { ipFromBytes } from '../../src/base/ip.ts';

export interface Whoami {
  readonly id: number;
  /** What NSID says. */
  readonly node: string | undefined;
  /** The asker's address as the server saw it. */
  readonly seen: string | undefined;
}

const HEADER_BYTES = 12;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const TYPE_OPT = 41;
const OPTION_NSID = 3;
/** Records looked at in one message; what comes after them isn't. */
const RECORDS_MAX = 32;

/** `whoami.test. A`, with EDNS(0) and an empty NSID option, which asks for one. */
export function encodeQuestion(id: number): Buffer {
  const head = Buffer.from('000000000001000000000001', 'hex');
  head.writeUInt16BE(id);
  const name = Buffer.from('\u0006whoami\u0004test\u0000', 'latin1');
  const question = Buffer.from('00010001', 'hex');
  // Root, OPT, 1232 octets, no flags, one option of four octets: NSID, empty.
  const options = Buffer.from('00002904d000000000000400030000', 'hex');
  return Buffer.concat([head, name, question, options]);
}

/** undefined: it isn't an answer, or one that ends early. */
export function decodeAnswer(message: Buffer): Whoami | undefined {
  if (message.length < HEADER_BYTES || (message.readUInt8(2) & 0x80) === 0) return undefined;
  const questions = message.readUInt16BE(4);
  const ordinary = message.readUInt16BE(6) + message.readUInt16BE(8);
  const records = ordinary + message.readUInt16BE(10);
  if (questions > 1 || records > RECORDS_MAX) return undefined;
  let node: string | undefined;
  let seen: string | undefined;
  let offset: number | undefined = HEADER_BYTES;
  if (questions === 1) {
    offset = endOfName(message, offset);
    if (offset === undefined || offset + 4 > message.length) return undefined;
    offset += 4;
  }
  for (let index = 0; index < records; index += 1) {
    const start: number | undefined = endOfName(message, offset);
    if (start === undefined || start + 10 > message.length) return undefined;
    const end: number = start + 10 + message.readUInt16BE(start + 8);
    if (end > message.length) return undefined;
    const type = message.readUInt16BE(start);
    const data = message.subarray(start + 10, end);
    if (type === TYPE_OPT) node = nsidOf(data);
    const isAddress = (type === TYPE_A && data.length === 4) || (type === TYPE_AAAA && data.length === 16);
    if (isAddress && index >= ordinary) seen = ipFromBytes(data).text;
    offset = end;
  }
  return { id: message.readUInt16BE(0), node, seen };
}

/** Where the name that begins at `offset` ends (RFC 1035 §4.1.4); a pointer is an end. */
function endOfName(message: Buffer, offset: number): number | undefined {
  for (let at = offset; at < message.length;) {
    const length = message.readUInt8(at);
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
  return undefined;
}

function nsidOf(options: Buffer): string | undefined {
  for (let at = 0; at + 4 <= options.length;) {
    const end = at + 4 + options.readUInt16BE(at + 2);
    if (options.readUInt16BE(at) === OPTION_NSID && end <= options.length) return options.toString('utf8', at + 4, end);
    at = end;
  }
  return undefined;
}
