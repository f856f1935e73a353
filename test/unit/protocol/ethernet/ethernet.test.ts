import { describe, expect, it } from 'vitest';

import { decodeEthernetHeader, encodeEthernetFrame } from '../../../../src/protocol/ethernet/ethernet.ts';
import { hex } from '../../../vectors/neighbor/vectors.ts';
import { mac } from '../../base/values.ts';

const HEADER = { destination: mac('ff:ff:ff:ff:ff:ff'), source: mac('02:00:00:00:00:0a'), etherType: 0x0806 };
const FRAME = hex('ffffffffffff 02000000000a 0806 2a2b');

describe('Ethernet II', () => {
  it('encodes destination, source, EtherType and payload (IEEE 802.3 §3.2)', () => {
    expect(encodeEthernetFrame(HEADER, Uint8Array.of(0x2a, 0x2b))).toEqual(FRAME);
  });

  it('decodes what it encodes', () => {
    expect(decodeEthernetHeader(FRAME)).toEqual({ ok: true, value: { ...HEADER, vlan: undefined, length: 14 } });
  });

  it('reads through one 802.1Q tag, leaving out its priority (IEEE 802.1Q §9.6)', () => {
    const tagged = hex('ffffffffffff 02000000000a 8100 b064 0806 2a2b');
    expect(decodeEthernetHeader(tagged)).toEqual({ ok: true, value: { ...HEADER, vlan: 100, length: 18 } });
  });

  it('keeps the EtherType of a second tag, which nobody asks for', () => {
    const stacked = hex('ffffffffffff 02000000000a 8100 0001 8100 0002 0806');
    expect(decodeEthernetHeader(stacked)).toMatchObject({ ok: true, value: { etherType: 0x8100, vlan: 1 } });
  });

  it('refuses an IEEE 802.3 length where the EtherType should be', () => {
    expect(decodeEthernetHeader(hex('0180c2000000 02000000000a 0026 4242'))).toEqual({
      ok: false,
      reason: 'not-ethernet-ii',
      offset: 12,
    });
  });

  it('refuses every truncation, with and without a tag', () => {
    for (const whole of [FRAME.subarray(0, 14), hex('ffffffffffff 02000000000a 8100 0064 0806')]) {
      for (let length = 0; length < whole.length; length += 1) {
        const decoded = decodeEthernetHeader(whole.subarray(0, length));
        expect(decoded).toMatchObject({ ok: false, reason: 'ethernet-truncated' });
      }
    }
  });
});
