/**
 * Runs a classic BPF program on a frame as the kernel does (linux/filter.h, net/core/filter.c), for the codes that the
 * project's filters use; any other fails the test that runs it. A load beyond the frame ends the program with 0.
 */

import { ByteReader } from '../../../../src/base/bytes.ts';
import {
  BPF_AND_K,
  BPF_JEQ_K,
  BPF_JGT_K,
  BPF_LD_B_ABS,
  BPF_LD_H_ABS,
  BPF_LD_W_ABS,
  BPF_RET_K,
  BPF_TAX,
  BPF_XOR_X,
  INSTRUCTION_LENGTH,
  OFFSET_PACKET_TYPE,
  OFFSET_VLAN_TAG,
  OFFSET_VLAN_TAG_PRESENT,
} from '../../../../src/protocol/bpf/assembler.ts';

/** linux/if_packet.h. */
export const PACKET_HOST = 0;
export const PACKET_BROADCAST = 1;
export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;
export const PACKET_OUTGOING = 4;

/** What the kernel knows of a frame beside its octets. */
export interface FrameKnowledge {
  readonly packetType: number;
  /** Tag control information of the 802.1Q tag that was taken off. */
  readonly vlanTag?: number;
}

const RECEIVED: FrameKnowledge = { packetType: PACKET_BROADCAST };

/** Octets of the frame that the program keeps; 0 = dropped. */
export function runFilter(program: Uint8Array, frame: Uint8Array, knowledge: FrameKnowledge = RECEIVED): number {
  let accumulator = 0;
  let index = 0;
  let counter = 0;
  for (;;) {
    const reader = new ByteReader(program, counter * INSTRUCTION_LENGTH);
    const [code, ifTrue, ifFalse, k] = [reader.u16le(), reader.u8(), reader.u8(), reader.u32le()];
    if (reader.isOverrun) throw new Error(`the program runs off its end at instruction ${counter}`);
    counter += 1;
    switch (code) {
      case BPF_LD_W_ABS:
      case BPF_LD_H_ABS:
      case BPF_LD_B_ABS: {
        const loaded = load(code, k, frame, knowledge);
        if (loaded === undefined) return 0;
        accumulator = loaded;
        break;
      }
      case BPF_AND_K:
        accumulator = (accumulator & k) >>> 0;
        break;
      case BPF_XOR_X:
        accumulator = (accumulator ^ index) >>> 0;
        break;
      case BPF_TAX:
        index = accumulator;
        break;
      case BPF_JEQ_K:
        counter += accumulator === k ? ifTrue : ifFalse;
        break;
      case BPF_JGT_K:
        counter += accumulator > k ? ifTrue : ifFalse;
        break;
      case BPF_RET_K:
        return k;
      default:
        throw new Error(`instruction ${counter - 1} has the unknown code 0x${code.toString(16)}`);
    }
  }
}

function load(code: number, k: number, frame: Uint8Array, knowledge: FrameKnowledge): number | undefined {
  if (k === OFFSET_PACKET_TYPE) return knowledge.packetType;
  if (k === OFFSET_VLAN_TAG) return knowledge.vlanTag ?? 0;
  if (k === OFFSET_VLAN_TAG_PRESENT) return knowledge.vlanTag === undefined ? 0 : 1;
  if (k >= 0xfff0_0000) throw new Error(`unknown pseudo-offset 0x${k.toString(16)}`);
  const reader = new ByteReader(frame, k);
  const value = code === BPF_LD_W_ABS ? reader.u32() : code === BPF_LD_H_ABS ? reader.u16() : reader.u8();
  return reader.isOverrun ? undefined : value;
}
