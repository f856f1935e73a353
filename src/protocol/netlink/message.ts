/**
 * Netlink framing: struct nlmsghdr and the alignment rules of linux/netlink.h. Netlink speaks the byte order of the host;
 * every machine Holdfast is built for (x86-64, AArch64) is little-endian, so this codec is too.
 *
 * Payloads are views into the datagram, not copies: decode them before the datagram's memory is used again.
 */

import { assert } from '../../base/assert.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';

/** Octets of struct nlmsghdr. */
export const MESSAGE_HEADER_BYTES = 16;

export interface NetlinkMessage {
  /** nlmsg_type: NLMSG_* or RTM_*. */
  readonly type: number;
  /** nlmsg_flags: NLM_F_*. */
  readonly flags: number;
  /** nlmsg_seq: of the request this answers; 0 in a notification nobody asked for. */
  readonly sequence: number;
  /** nlmsg_pid: port of the socket that asked; 0 for the kernel. */
  readonly port: number;
  readonly payload: Uint8Array;
}

export type MessageReason = 'message-header-truncated' | 'message-length';

/**
 * The messages of one datagram. A message whose length reaches beyond the datagram, or does not even cover its header,
 * refuses the whole datagram: what follows it can't be told apart any more. Only the last one's padding may be missing.
 */
export function decodeMessages(datagram: Uint8Array): Decoded<readonly NetlinkMessage[], MessageReason> {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset < datagram.length) {
    const left = datagram.length - offset;
    if (left < MESSAGE_HEADER_BYTES) return malformed('message-header-truncated', offset);
    const length = view.getUint32(offset, true);
    if (length < MESSAGE_HEADER_BYTES || length > left) return malformed('message-length', offset);
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      port: view.getUint32(offset + 12, true),
      payload: datagram.subarray(offset + MESSAGE_HEADER_BYTES, offset + length),
    });
    offset += align(length);
  }
  return ok(messages);
}

export interface MessageHeader {
  readonly type: number;
  readonly flags: number;
  /** 1 … 2³²−1, chosen by the sender; the answer carries it. */
  readonly sequence: number;
}

/** One message: header, the fixed structure of its type, and attributes already encoded (each padded to four octets). */
export function encodeMessage(header: MessageHeader, body: Uint8Array, attributes: readonly Uint8Array[]): Uint8Array {
  const length = MESSAGE_HEADER_BYTES + body.length + attributes.reduce((sum, attribute) => sum + attribute.length, 0);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  view.setUint32(0, length, true);
  view.setUint16(4, header.type, true);
  view.setUint16(6, header.flags, true);
  view.setUint32(8, header.sequence, true);
  bytes.set(body, MESSAGE_HEADER_BYTES);
  let offset = MESSAGE_HEADER_BYTES + body.length;
  for (const attribute of attributes) {
    assert(offset % 4 === 0, 'a netlink attribute starts on a multiple of four octets');
    bytes.set(attribute, offset);
    offset += attribute.length;
  }
  return bytes;
}

/** NLMSG_ALIGN and NLA_ALIGN: up to the next multiple of four. */
export function align(length: number): number {
  return (length + 3) & ~3;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
