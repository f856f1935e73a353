import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import { internetChecksum } from '../../../../src/protocol/ip/checksum.ts';
import { encodeTickle } from '../../../../src/protocol/ip/tickle.ts';

const FROM = { address: Uint8Array.of(10, 5, 0, 100), port: 6443 };
const TO = { address: Uint8Array.of(10, 5, 0, 3), port: 42_828 };

describe('a tickle', () => {
  it('is an acknowledgement of nothing, from the address that left', () => {
    // Laid out by hand after RFC 791 §3.1 and RFC 9293 §3.1; both sums by Python's struct, one word after another.
    expect(Buffer.from(encodeTickle(FROM, TO)).toString('hex')).toBe(
      ['4500002800004000', '40062660', '0a050064', '0a050003'].join('') +
        ['192ba74c', '00000000', '00000000', '50100400', 'd6ec0000'].join(''),
    );
  });

  it('has sums that add up', () => {
    const packet = encodeTickle(FROM, TO);
    expect(internetChecksum(packet.subarray(0, 20))).toBe(0);
    const pseudoHeader = Uint8Array.of(...FROM.address, ...TO.address, 0, 6, 0, 20);
    expect(internetChecksum(pseudoHeader, packet.subarray(20))).toBe(0);
  });

  it('is of IPv4 alone', () => {
    expect(() => encodeTickle({ address: new Uint8Array(16), port: 1 }, TO)).toThrow(InvariantError);
  });
});
