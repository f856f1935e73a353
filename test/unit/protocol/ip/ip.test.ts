import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import { icmpv6Checksum } from '../../../../src/protocol/ip/checksum.ts';
import { decodeIpv6Packet, encodeIpv6Packet } from '../../../../src/protocol/ip/ipv6.ts';
import {
  ALL_NODES,
  isIpv6Multicast,
  isSolicitedNodeGroup,
  multicastMac,
  solicitedNodeGroup,
} from '../../../../src/protocol/ip/multicast.ts';
import { frame, hex } from '../../../vectors/neighbor/vectors.ts';
import { ip } from '../../base/values.ts';

const CAPTURED = frame('ndp solicited advertisement').subarray(14);

describe('an IPv6 packet', () => {
  it('is encoded as the kernel does (RFC 8200 §3)', () => {
    const header = { source: ip('fd99::b'), destination: ip('fd99::a'), nextHeader: 58, hopLimit: 255 };
    expect(encodeIpv6Packet(header, CAPTURED.subarray(40))).toEqual(CAPTURED);
    expect(decodeIpv6Packet(CAPTURED)).toEqual({ ok: true, value: { ...header, payload: CAPTURED.subarray(40) } });
  });

  it('is decoded whatever its traffic class and flow label', () => {
    const marked = Uint8Array.from(CAPTURED);
    marked.set(hex('6e0b eef1'));
    expect(decodeIpv6Packet(marked)).toEqual(decodeIpv6Packet(CAPTURED));
  });

  it('ends where its header says, not where the padding does', () => {
    const padded = Uint8Array.from([...CAPTURED, 0xa5, 0xa5]);
    expect(decodeIpv6Packet(padded)).toEqual(decodeIpv6Packet(CAPTURED));
  });

  it('is refused at every truncation', () => {
    for (let length = 0; length < CAPTURED.length; length += 1) {
      expect(decodeIpv6Packet(CAPTURED.subarray(0, length))).toMatchObject({ ok: false, reason: 'ipv6-truncated' });
    }
  });

  it('is refused with another version', () => {
    const other = Uint8Array.from(CAPTURED);
    other[0] = 0x45;
    expect(decodeIpv6Packet(other)).toEqual({ ok: false, reason: 'ipv6-version', offset: 0 });
  });

  it('has IPv6 addresses', () => {
    const header = { source: ip('10.0.0.1'), destination: ip('fd99::a'), nextHeader: 58, hopLimit: 255 };
    expect(() => encodeIpv6Packet(header, new Uint8Array(0))).toThrow(InvariantError);
  });
});

describe('the ICMPv6 checksum (RFC 4443 §2.3)', () => {
  const [source, destination] = [ip('fd99::b'), ip('fd99::a')];

  it('is the one that the kernel computes', () => {
    const message = Uint8Array.from(CAPTURED.subarray(40));
    message.fill(0, 2, 4);
    expect(icmpv6Checksum(source, destination, message)).toBe(0x1aab);
  });

  it('is 0 over a message that carries the right one, and only then', () => {
    const message = Uint8Array.from(CAPTURED.subarray(40));
    expect(icmpv6Checksum(source, destination, message)).toBe(0);
    message[8] = 0xfc;
    expect(icmpv6Checksum(source, destination, message)).not.toBe(0);
  });

  it('takes the last octet of an odd length as the high half of a word (RFC 1071 §1)', () => {
    const even = icmpv6Checksum(source, destination, hex('8000 0000 1200'));
    // The pseudo-header's length differs by one, and so does the complement.
    expect(icmpv6Checksum(source, destination, hex('8000 0000 12'))).toBe(even + 1);
  });

  it('folds every carry', () => {
    const ones = ip('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff');
    // 16 words of ones, 2 of ones in the message, length 4 and next header 58: 0x12002c, folded to 0x3e.
    expect(icmpv6Checksum(ones, ones, hex('ffff ffff'))).toBe(0xffff - 62);
    // 0x10000 folds once, 0x1ffff twice; both to 1.
    expect(icmpv6Checksum(ip('::'), ip('::'), hex('ffc2 0000'))).toBe(0xfffe);
    expect(icmpv6Checksum(ip('::'), ip('::'), hex('ffff ffc2'))).toBe(0xfffe);
  });
});

describe('multicast', () => {
  it('maps a group to 33:33 and its last four octets (RFC 2464 §7)', () => {
    expect(multicastMac(ALL_NODES).text).toBe('33:33:00:00:00:01');
    expect(multicastMac(ip('ff02::1:ff28:9c5a')).text).toBe('33:33:ff:28:9c:5a');
  });

  it('names the solicited-node group of RFC 4291 §2.7.1', () => {
    expect(solicitedNodeGroup(ip('4037::01:800:200e:8c6c')).text).toBe('ff02::1:ff0e:8c6c');
  });

  it('tells solicited-node groups and multicast from other addresses', () => {
    const texts = ['ff02::1:ff0e:8c6c', 'ff02::1:fe0e:8c6c', 'ff02::1', 'fe80::1', '10.0.0.1'];
    expect(texts.map((text) => isSolicitedNodeGroup(ip(text)))).toEqual([true, false, false, false, false]);
    expect(texts.map((text) => isIpv6Multicast(ip(text)))).toEqual([true, true, true, false, false]);
  });

  it('is not for what has no group', () => {
    expect(() => solicitedNodeGroup(ip('10.0.0.1'))).toThrow(InvariantError);
    expect(() => multicastMac(ip('fd99::a'))).toThrow(InvariantError);
  });
});
