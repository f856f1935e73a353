import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../src/kube/line-splitter.ts';

const TEXT = Buffer.from('{"a":"ü"}\n\n{"b":"二"}\nrest');

describe('LineSplitter', () => {
  it('gives the same lines for every way of cutting the stream in three', () => {
    for (let first = 0; first <= TEXT.length; first += 1) {
      for (let second = first; second <= TEXT.length; second += 1) {
        const splitter = new LineSplitter(100);
        const parts = [TEXT.subarray(0, first), TEXT.subarray(first, second), TEXT.subarray(second)];
        const lines = parts.flatMap((part) => splitter.push(part)?.map((line) => line.toString()) ?? ['overflow']);
        expect(lines).toEqual(['{"a":"ü"}', '', '{"b":"二"}']);
      }
    }
  });

  it('gives up on a line that outgrows the limit, complete or not', () => {
    expect(new LineSplitter(4).push(Buffer.from('12345'))).toBeUndefined();
    expect(new LineSplitter(4).push(Buffer.from('12345\n'))).toBeUndefined();
    expect(new LineSplitter(4).push(Buffer.from('1234\n1234\n'))).toHaveLength(2);
  });
});
