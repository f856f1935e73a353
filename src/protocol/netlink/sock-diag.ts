/**
 * NETLINK_SOCK_DIAG for TCP (sock_diag(7), linux/inet_diag.h): list the sockets of a family that have one of some
 * addresses at either end, and end one of them (SOCK_DESTROY). A dump shows the sockets of the asking socket's network
 * namespace only.
 *
 * An AF_INET6 socket may have IPv4 addresses, as ::ffff:a.b.c.d: they are decoded as IPv4's, and a condition on an IPv4
 * address matches them in the kernel too.
 */

import type { Ip } from '../../base/ip.ts';
import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { encodeAttribute } from './attribute.ts';
import { AF_INET, AF_INET6, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from './constants.ts';
import { encodeMessage, viewOf } from './message.ts';

/** linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, linux/in.h. */
export const NETLINK_SOCK_DIAG = 4;
export const SOCK_DIAG_BY_FAMILY = 20;
export const SOCK_DESTROY = 21;
const INET_DIAG_REQ_BYTECODE = 1;
const INET_DIAG_BC_JMP = 1;
const INET_DIAG_BC_S_COND = 7;
const INET_DIAG_BC_D_COND = 8;
const IPPROTO_TCP = 6;

/** net/tcp_states.h: numbers of the states of a TCP connection. */
export const TCP_ESTABLISHED = 1;
export const TCP_SYN_SENT = 2;
export const TCP_SYN_RECV = 3;
export const TCP_FIN_WAIT1 = 4;
export const TCP_FIN_WAIT2 = 5;
export const TCP_CLOSE_WAIT = 8;
export const TCP_LAST_ACK = 9;
export const TCP_CLOSING = 11;

/** Every connection but one in TIME_WAIT, which is over; and no listening socket. */
export const CONNECTION_STATES: readonly number[] = [
  TCP_ESTABLISHED,
  TCP_SYN_SENT,
  TCP_SYN_RECV,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_CLOSE_WAIT,
  TCP_LAST_ACK,
  TCP_CLOSING,
];

/** Addresses that one dump can be filtered by in the kernel, which tries the conditions one after another. */
export const CONDITIONS_MAX = 64;

/** Octets of struct inet_diag_sockid, inet_diag_req_v2, inet_diag_msg, inet_diag_bc_op and inet_diag_hostcond. */
const SOCKET_ID_BYTES = 48;
const REQUEST_BYTES = 56;
const RECORD_BYTES = 72;
const OPERATION_BYTES = 4;
const CONDITION_BYTES = 8;
/** In struct inet_diag_sockid: source and destination address; in a request or record, the id itself. */
const SOURCE_OFFSET = 4;
const DESTINATION_OFFSET = 20;
const REQUEST_ID_OFFSET = 8;
const RECORD_ID_OFFSET = 4;
const MAPPED_PREFIX: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

export type SocketFamily = 'AF_INET' | 'AF_INET6';

/** One end of a connection: 4 or 16 octets of address, and its port. */
export interface Endpoint {
  readonly address: Uint8Array;
  readonly port: number;
}

export interface TcpSocket {
  readonly family: SocketFamily;
  /** TCP_* of net/tcp_states.h. */
  readonly state: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** struct inet_diag_sockid with the kernel's cookie: exactly this socket, and no later one with the same ports. */
  readonly id: Uint8Array;
}

export type SocketReason = 'socket-truncated';

/**
 * Asks for the TCP sockets of `family` in one of `states` that have one of `addresses` at either end; with more of them
 * than CONDITIONS_MAX, for all sockets in these states: who asks looks at what comes in any case.
 */
export function encodeSocketDump(
  sequence: number,
  request: {
    readonly family: SocketFamily;
    readonly states: readonly number[];
    readonly addresses: readonly Ip[];
  },
): Uint8Array {
  const { family, states, addresses } = request;
  const body = new Uint8Array(REQUEST_BYTES);
  body[0] = family === 'AF_INET' ? AF_INET : AF_INET6;
  body[1] = IPPROTO_TCP;
  viewOf(body).setUint32(
    4,
    states.reduce((bits, state) => bits | (1 << state), 0),
    true,
  );
  const isFiltered = addresses.length > 0 && addresses.length <= CONDITIONS_MAX;
  const attributes = isFiltered ? [encodeAttribute(INET_DIAG_REQ_BYTECODE, encodeConditions(addresses))] : [];
  return encodeMessage({ type: SOCK_DIAG_BY_FAMILY, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence }, body, attributes);
}

/** Ends the connection of a socket that a dump reported: both the process and, where it can be reached, the peer learn it. */
export function encodeSocketDestroy(sequence: number, socket: Pick<TcpSocket, 'family' | 'id'>): Uint8Array {
  const body = new Uint8Array(REQUEST_BYTES);
  body[0] = socket.family === 'AF_INET' ? AF_INET : AF_INET6;
  body[1] = IPPROTO_TCP;
  body.set(socket.id.subarray(0, SOCKET_ID_BYTES), REQUEST_ID_OFFSET);
  return encodeMessage({ type: SOCK_DESTROY, flags: NLM_F_REQUEST | NLM_F_ACK, sequence }, body, []);
}

/** The socket of a dump's SOCK_DIAG_BY_FAMILY payload; undefined for families other than IPv4 and IPv6. */
export function decodeSocket(payload: Uint8Array): Decoded<TcpSocket | undefined, SocketReason> {
  if (payload.length < RECORD_BYTES) return malformed('socket-truncated', 0);
  const family = payload[0] === AF_INET ? 'AF_INET' : payload[0] === AF_INET6 ? 'AF_INET6' : undefined;
  if (family === undefined) return ok(undefined);
  // A copy: it is used again after the datagram's memory may have been.
  const id = payload.slice(RECORD_ID_OFFSET, RECORD_ID_OFFSET + SOCKET_ID_BYTES);
  const view = viewOf(id);
  return ok({
    family,
    state: payload[1] ?? 0,
    local: { address: addressAt(id, SOURCE_OFFSET, family), port: view.getUint16(0) },
    remote: { address: addressAt(id, DESTINATION_OFFSET, family), port: view.getUint16(2) },
    id,
  });
}

function addressAt(id: Uint8Array, offset: number, family: SocketFamily): Uint8Array {
  const address = id.subarray(offset, offset + 16);
  if (family === 'AF_INET') return address.subarray(0, 4);
  return MAPPED_PREFIX.every((octet, index) => address[index] === octet) ? address.subarray(12) : address;
}

/**
 * A program for the kernel's small interpreter (inet_diag_bc_run): accept who has one of the addresses at either end. Each
 * condition that holds goes on to the jump behind it, and from jump to jump to the end, which is acceptance; one that
 * fails skips that jump; the last one fails to beyond the end, which is refusal.
 */
function encodeConditions(addresses: readonly Ip[]): Uint8Array {
  const conditions = addresses.flatMap((address) => [
    encodeCondition(INET_DIAG_BC_S_COND, address),
    encodeCondition(INET_DIAG_BC_D_COND, address),
  ]);
  const jumps = conditions.length - 1;
  const length = conditions.reduce((sum, condition) => sum + condition.length, jumps * OPERATION_BYTES);
  const program = new Uint8Array(length);
  let offset = 0;
  conditions.forEach((condition, index) => {
    if (index > 0) {
      program.set(encodeOperation(INET_DIAG_BC_JMP, OPERATION_BYTES, condition.length + OPERATION_BYTES), offset);
      offset += OPERATION_BYTES;
    }
    program.set(condition, offset);
    offset += condition.length;
  });
  return program;
}

function encodeCondition(code: number, { family, bytes }: Ip): Uint8Array {
  const length = OPERATION_BYTES + CONDITION_BYTES + bytes.length;
  const condition = new Uint8Array(length);
  condition.set(encodeOperation(code, length, length + OPERATION_BYTES), 0);
  condition[OPERATION_BYTES] = family === 'ipv4' ? AF_INET : AF_INET6;
  condition[OPERATION_BYTES + 1] = bytes.length * 8;
  viewOf(condition).setInt32(OPERATION_BYTES + 4, -1, true); // any port
  condition.set(bytes, OPERATION_BYTES + CONDITION_BYTES);
  return condition;
}

/** struct inet_diag_bc_op: how far to go on if it holds, and if it doesn't. */
function encodeOperation(code: number, ifTrue: number, ifFalse: number): Uint8Array {
  const operation = new Uint8Array(OPERATION_BYTES);
  operation[0] = code;
  operation[1] = ifTrue;
  viewOf(operation).setUint16(2, ifFalse, true);
  return operation;
}
