import { describe, expect, it } from 'vitest';
import { arpProbeFrame } from '../../../src/protocol/arp/frames.ts';
import { duplicateAddressProbeFrame } from '../../../src/protocol/ndp/frames.ts';
import { frameDrop } from '../../../src/runtime/frame-drop.ts';
import { ip, mac } from '../base/values.ts';

const MAC = mac('02:00:00:00:00:01');
const ARP = arpProbeFrame({ mac: MAC, ip: ip('192.0.2.10') });
const NDP = duplicateAddressProbeFrame({ mac: MAC, target: ip('2001:db8::10') });

describe('frameDrop', () => {
  it('is nothing for a frame that means something', () => {
    expect(frameDrop(ARP)).toBeUndefined();
    expect(frameDrop(NDP)).toBeUndefined();
  });

  it('names protocol and reason of one that does not', () => {
    expect(frameDrop(ARP.subarray(0, 30))).toEqual({ protocol: 'arp', reason: 'arp-truncated' });
    const spoilt = Uint8Array.from(NDP, (octet, index) => (index === NDP.length - 1 ? octet ^ 1 : octet));
    expect(frameDrop(spoilt)).toEqual({ protocol: 'ndp', reason: 'ndp-checksum' });
    expect(frameDrop(new Uint8Array(5))).toMatchObject({ reason: 'ethernet-truncated' });
  });
});
