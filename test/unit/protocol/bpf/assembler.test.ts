import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import { assemble, at, BPF_JEQ_K, BPF_LD_H_ABS, BPF_RET_K, jump, op } from '../../../../src/protocol/bpf/assembler.ts';
import { hex } from '../../../vectors/neighbor/vectors.ts';
import { runFilter } from './interpreter.ts';

describe('the BPF assembler', () => {
  it('assembles the ARP filter of Documentation/networking/filter.rst', () => {
    // As listed there: ldh [12]; jne #0x806, drop; ret #-1; drop: ret #0
    const program = assemble([
      op(BPF_LD_H_ABS, 12),
      jump(BPF_JEQ_K, 0x806, { ifFalse: 'drop' }),
      op(BPF_RET_K, 0xffff_ffff),
      at('drop'),
      op(BPF_RET_K, 0),
    ]);
    expect(program).toEqual(hex('2800 00 00 0c000000  1500 00 01 06080000  0600 00 00 ffffffff  0600 00 00 00000000'));
    expect(runFilter(program, hex('ffffffffffff 02000000000a 0806'))).toBe(0xffff_ffff);
    expect(runFilter(program, hex('ffffffffffff 02000000000a 0800'))).toBe(0);
    expect(runFilter(program, hex('ffffffffffff 02000000000a 08'))).toBe(0);
  });

  it('refuses a jump to nowhere, backwards, or too far', () => {
    const go = jump(BPF_JEQ_K, 0, { ifTrue: 'there' });
    const end = op(BPF_RET_K, 0);
    const filler = (length: number) => Array.from({ length }, () => op(BPF_LD_H_ABS, 0));
    expect(() => assemble([go, end])).toThrow(InvariantError);
    expect(() => assemble([at('there'), go, end])).toThrow(InvariantError);
    expect(() => assemble([go, ...filler(256), at('there'), end])).toThrow(InvariantError);
    expect(runFilter(assemble([op(BPF_LD_H_ABS, 0), go, ...filler(255), at('there'), end]), hex('0000'))).toBe(0);
  });

  it('refuses a program that is empty or longer than the kernel takes', () => {
    expect(() => assemble([])).toThrow(InvariantError);
    expect(() => assemble(Array.from({ length: 4097 }, () => op(BPF_RET_K, 0)))).toThrow(InvariantError);
  });
});
