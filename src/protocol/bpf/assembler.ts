/**
 * A small assembler for classic BPF (McCanne and Jacobson 1993; linux/filter.h): instructions and labels in, the octets
 * that SO_ATTACH_FILTER takes out. Only what the filters of this project use. Jumps go forwards and, as the
 * architecture has it, at most 255 instructions far when they are conditional.
 */

import { assert } from '../../base/assert.ts';
import { ByteWriter } from '../../base/bytes.ts';

/** Octets of struct sock_filter. */
export const INSTRUCTION_LENGTH = 8;
/** BPF_MAXINSNS of linux/bpf_common.h. */
export const INSTRUCTIONS_MAX = 4096;

/** Codes of linux/bpf_common.h. A is the accumulator, X the index register, k the instruction's constant. */
export const BPF_LD_W_ABS = 0x20;
export const BPF_LD_H_ABS = 0x28;
export const BPF_LD_B_ABS = 0x30;
export const BPF_AND_K = 0x54;
export const BPF_XOR_X = 0xac;
export const BPF_TAX = 0x07;
export const BPF_JEQ_K = 0x15;
export const BPF_JGT_K = 0x25;
export const BPF_RET_K = 0x06;

/**
 * Pseudo-offsets of BPF_LD_*_ABS that read what the kernel knows of the packet instead of its octets: SKF_AD_OFF plus
 * SKF_AD_PKTTYPE, SKF_AD_VLAN_TAG, SKF_AD_VLAN_TAG_PRESENT (linux/filter.h).
 */
const SKF_AD_OFF = 0xffff_f000;
export const OFFSET_PACKET_TYPE = SKF_AD_OFF + 4;
export const OFFSET_VLAN_TAG = SKF_AD_OFF + 44;
export const OFFSET_VLAN_TAG_PRESENT = SKF_AD_OFF + 48;

/** One instruction, or the name of a place. A jump without a label goes on with the next instruction. */
export type Line =
  | { readonly code: number; readonly k: number; readonly ifTrue?: string; readonly ifFalse?: string }
  | { readonly label: string };

/** A label line. */
export function at(label: string): Line {
  return { label };
}

/** A load, an operation or a return. */
export function op(code: number, k = 0): Line {
  return { code, k };
}

/** A conditional jump on A and k. */
export function jump(code: number, k: number, to: { readonly ifTrue?: string; readonly ifFalse?: string }): Line {
  return { code, k, ...to };
}

/** The program in host order, which is little-endian on every machine Holdfast is built for. */
export function assemble(lines: readonly Line[]): Uint8Array {
  const places = new Map<string, number>();
  let count = 0;
  for (const line of lines) {
    if ('label' in line) places.set(line.label, count);
    else count += 1;
  }
  assert(
    count > 0 && count <= INSTRUCTIONS_MAX,
    `a BPF program has 1 to ${INSTRUCTIONS_MAX} instructions, not ${count}`,
  );
  const writer = new ByteWriter(count * INSTRUCTION_LENGTH);
  let index = 0;
  for (const line of lines) {
    if ('label' in line) continue;
    index += 1;
    writer
      .u16le(line.code)
      .u8(distance(places, line.ifTrue, index))
      .u8(distance(places, line.ifFalse, index))
      .u32le(line.k);
  }
  return writer.finish();
}

/** Instructions to skip from `next` on. */
function distance(places: ReadonlyMap<string, number>, label: string | undefined, next: number): number {
  if (label === undefined) return 0;
  const place = places.get(label);
  assert(place !== undefined, `the BPF program has the label ${label}`);
  assert(place >= next && place - next <= 0xff, `the jump to ${label} goes forwards by at most 255 instructions`);
  return place - next;
}
