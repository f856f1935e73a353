import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import {
  ARP_REPLY,
  ARP_REQUEST,
  decodeArpFrame,
  decodeArpPacket,
  encodeArpPacket,
} from '../../../../src/protocol/arp/arp.ts';
import {
  arpAnnouncement,
  arpProbeFrame,
  arpRequestFrame,
  gratuitousArpFrame,
} from '../../../../src/protocol/arp/frames.ts';
import { frame, FRAME_COUNT, hex, readFrames } from '../../../vectors/neighbor/vectors.ts';
import { ip, mac } from '../../base/values.ts';

/**
 * The octets of kube-vip's own Test_arpMessage_bytes_golden (reply), and the request as Test_gratuitousARP_ethernet wants
 * it (pkg/vip/arp_linux_test.go).
 */
const KUBE_VIP = { mac: mac('aa:bb:cc:dd:ee:ff'), ip: ip('10.0.0.1') };
const KUBE_VIP_REPLY = hex('0001 0800 06 04 0002 aabbccddeeff 0a000001 aabbccddeeff 0a000001');
const KUBE_VIP_REQUEST = hex('0001 0800 06 04 0001 aabbccddeeff 0a000001 ffffffffffff 0a000001');
const BROADCAST_HEADER = hex('ffffffffffff aabbccddeeff 0806');

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe('an ARP packet', () => {
  const cases = [
    {
      name: 'arp request',
      packet: {
        operation: ARP_REQUEST,
        senderMac: mac('02:00:00:00:00:0a'),
        senderIp: ip('10.99.0.1'),
        targetMac: mac('00:00:00:00:00:00'),
        targetIp: ip('10.99.0.2'),
      },
    },
    {
      name: 'arp reply',
      packet: {
        operation: ARP_REPLY,
        senderMac: mac('02:00:00:00:00:0b'),
        senderIp: ip('10.99.0.2'),
        targetMac: mac('02:00:00:00:00:0a'),
        targetIp: ip('10.99.0.1'),
      },
    },
    {
      name: 'arp announcement',
      packet: {
        operation: ARP_REQUEST,
        senderMac: mac('02:00:00:00:00:0c'),
        senderIp: ip('10.99.0.77'),
        targetMac: mac('00:00:00:00:00:00'),
        targetIp: ip('10.99.0.77'),
      },
    },
  ] as const;

  it.each(cases)('is decoded from what the kernel sends: $name', ({ name, packet }) => {
    expect(decodeArpFrame(frame(name))).toEqual({ ok: true, value: packet });
  });

  it.each(cases)('is encoded as the kernel does: $name', ({ name, packet }) => {
    expect(encodeArpPacket(packet)).toEqual(frame(name).subarray(14));
  });

  it('was compared with every captured ARP frame', () => {
    const captured = [...readFrames().keys()];
    expect(captured).toHaveLength(FRAME_COUNT);
    expect(captured.filter((name) => name.startsWith('arp'))).toEqual(cases.map(({ name }) => name));
  });

  it('may be followed by padding', () => {
    const padded = join(frame('arp reply'), new Uint8Array(18).fill(0xa5));
    expect(padded).toHaveLength(60);
    expect(decodeArpFrame(padded)).toEqual(decodeArpFrame(frame('arp reply')));
  });

  it('may come with an 802.1Q tag', () => {
    const untagged = frame('arp reply');
    const tagged = join(untagged.subarray(0, 12), hex('8100 0000'), untagged.subarray(12));
    expect(decodeArpFrame(tagged)).toEqual(decodeArpFrame(untagged));
  });

  it.each([
    ['InfiniBand (RFC 4391 §9)', '0020 0800 06 04 0001', 'arp-hardware-type', 0],
    ['AppleTalk', '0001 809b 06 04 0001', 'arp-protocol-type', 2],
    ['a hardware address of 20 octets', '0001 0800 14 04 0001', 'arp-address-length', 4],
    ['a protocol address of 16 octets', '0001 0800 06 10 0001', 'arp-address-length', 4],
    ['reverse ARP (RFC 903)', '0001 0800 06 04 0003', 'arp-operation', 6],
    ['operation 0', '0001 0800 06 04 0000', 'arp-operation', 6],
  ])('is refused for %s', (_, start, reason, offset) => {
    const packet = join(hex(start), KUBE_VIP_REPLY.subarray(8));
    expect(decodeArpPacket(packet)).toEqual({ ok: false, reason, offset });
    expect(decodeArpFrame(join(BROADCAST_HEADER, packet))).toEqual({ ok: false, reason, offset: offset + 14 });
  });

  it('is not looked for under another EtherType', () => {
    expect(decodeArpFrame(frame('ndp defence'))).toEqual({ ok: false, reason: 'not-arp', offset: 12 });
  });

  it('is refused at every truncation', () => {
    const whole = frame('arp reply');
    for (let length = 0; length < whole.length; length += 1) {
      const decoded = decodeArpFrame(whole.subarray(0, length));
      expect(decoded).toMatchObject({ ok: false, reason: length < 14 ? 'ethernet-truncated' : 'arp-truncated' });
    }
  });

  it('copies what it decodes, so that the frame may be overwritten', () => {
    const received = Uint8Array.from(frame('arp reply'));
    const decoded = decodeArpFrame(received);
    received.fill(0);
    expect(decoded).toEqual(decodeArpFrame(frame('arp reply')));
  });

  it('is about IPv4 only', () => {
    const sender = { operation: ARP_REQUEST, senderMac: KUBE_VIP.mac, targetMac: KUBE_VIP.mac } as const;
    expect(() => encodeArpPacket({ ...sender, senderIp: ip('fd00::1'), targetIp: ip('10.0.0.1') })).toThrow(
      InvariantError,
    );
    expect(() => encodeArpPacket({ ...sender, senderIp: ip('10.0.0.1'), targetIp: ip('fd00::1') })).toThrow(
      InvariantError,
    );
  });
});

describe('a gratuitous ARP frame', () => {
  it('is the broadcast reply that kube-vip sends', () => {
    expect(gratuitousArpFrame({ form: 'reply', ...KUBE_VIP })).toEqual(join(BROADCAST_HEADER, KUBE_VIP_REPLY));
  });

  it('is the broadcast request that kube-vip sends', () => {
    expect(gratuitousArpFrame({ form: 'request', ...KUBE_VIP })).toEqual(join(BROADCAST_HEADER, KUBE_VIP_REQUEST));
  });

  it('goes to one neighbor when told so', () => {
    const sent = gratuitousArpFrame({ form: 'reply', ...KUBE_VIP, to: mac('02:00:00:00:00:0a') });
    expect(sent).toEqual(join(hex('02000000000a aabbccddeeff 0806'), KUBE_VIP_REPLY));
  });
});

describe('an ARP probe', () => {
  it('is a broadcast request from 0.0.0.0 with the target hardware address zero (RFC 5227 §2.1.1)', () => {
    expect(arpProbeFrame(KUBE_VIP)).toEqual(
      join(BROADCAST_HEADER, hex('0001 0800 06 04 0001 aabbccddeeff 00000000 000000000000 0a000001')),
    );
  });

  it('asks one machine when told so', () => {
    const probe = arpProbeFrame({ ...KUBE_VIP, to: mac('02:00:00:00:00:0a') });
    expect(probe.subarray(0, 6)).toEqual(hex('02000000000a'));
    expect(probe.subarray(6)).toEqual(arpProbeFrame(KUBE_VIP).subarray(6));
  });
});

it('asks as the kernel does (RFC 826)', () => {
  const request = arpRequestFrame({ mac: mac('02:00:00:00:00:0a'), source: ip('10.99.0.1'), target: ip('10.99.0.2') });
  expect(request).toEqual(frame('arp request'));
});

it('announces as the kernel does (RFC 5227 §2.3)', () => {
  const announcement = arpAnnouncement({ mac: mac('02:00:00:00:00:0c'), ip: ip('10.99.0.77') });
  expect(announcement).toEqual(frame('arp announcement'));
});
