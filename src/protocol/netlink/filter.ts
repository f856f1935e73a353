/**
 * A classic BPF program for the notification socket: of the routes, only unicast default routes of the main table get
 * into its queue. Without it a routing daemon that installs a full table would overrun the socket, and every overrun costs
 * a dump. Works because the kernel sends each notification as a datagram of its own.
 *
 * Instructions are struct sock_filter of linux/filter.h (code, jump if true, jump if false, constant), in host order. BPF
 * loads multi-octet values big-endian, so nlmsg_type is compared with its octets swapped.
 */

import { RT_TABLE_MAIN, RTM_DELROUTE, RTM_NEWROUTE, RTN_UNICAST } from './constants.ts';
import { MESSAGE_HEADER_BYTES, viewOf } from './message.ts';
import {
  ROUTE_DESTINATION_LENGTH_OFFSET,
  ROUTE_SOURCE_LENGTH_OFFSET,
  ROUTE_TABLE_OFFSET,
  ROUTE_TYPE_OFFSET,
} from './route.ts';

/** linux/bpf_common.h. */
const BPF_LDH_ABS = 0x28;
const BPF_LDB_ABS = 0x30;
const BPF_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const ACCEPT_ALL = 0xffff_ffff;
const TYPE_OFFSET = 4;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, constant: number];

/** The program, 8 octets per instruction, as Netfd.attachFilter takes it. */
export function encodeNotificationFilter(): Uint8Array {
  const program: readonly Instruction[] = [
    [BPF_LDH_ABS, 0, 0, TYPE_OFFSET],
    [BPF_JEQ_K, 1, 0, swap(RTM_NEWROUTE)],
    [BPF_JEQ_K, 0, 8, swap(RTM_DELROUTE)],
    [BPF_LDB_ABS, 0, 0, MESSAGE_HEADER_BYTES + ROUTE_DESTINATION_LENGTH_OFFSET],
    [BPF_JEQ_K, 0, 7, 0],
    [BPF_LDB_ABS, 0, 0, MESSAGE_HEADER_BYTES + ROUTE_SOURCE_LENGTH_OFFSET],
    [BPF_JEQ_K, 0, 5, 0],
    [BPF_LDB_ABS, 0, 0, MESSAGE_HEADER_BYTES + ROUTE_TABLE_OFFSET],
    [BPF_JEQ_K, 0, 3, RT_TABLE_MAIN],
    [BPF_LDB_ABS, 0, 0, MESSAGE_HEADER_BYTES + ROUTE_TYPE_OFFSET],
    [BPF_JEQ_K, 0, 1, RTN_UNICAST],
    [BPF_RET_K, 0, 0, ACCEPT_ALL],
    [BPF_RET_K, 0, 0, 0],
  ];
  const bytes = new Uint8Array(program.length * 8);
  const view = viewOf(bytes);
  program.forEach(([code, ifTrue, ifFalse, constant], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setUint32(index * 8 + 4, constant, true);
  });
  return bytes;
}

function swap(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}
