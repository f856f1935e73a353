import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import { viewOf } from '../../../../src/base/bytes.ts';
import { icmpv6Checksum } from '../../../../src/protocol/ip/checksum.ts';
import {
  duplicateAddressProbeFrame,
  neighborSolicitationFrame,
  unsolicitedAdvertisementFrame,
} from '../../../../src/protocol/ndp/frames.ts';
import { decodeNdpFrame, encodeNdpPacket, type NdpFrame } from '../../../../src/protocol/ndp/ndp.ts';
import { frame, hex, readFrames, toHex } from '../../../vectors/neighbor/vectors.ts';
import { ip, mac } from '../../base/values.ts';

const MAC_A = mac('02:00:00:00:00:0a');
const MAC_B = mac('02:00:00:00:00:0b');
const MAC_C = mac('02:00:00:00:00:0c');
const A = ip('fd99::a');
const B = ip('fd99::b');
const UNSPECIFIED = ip('::');
const ALL = ip('ff02::1');

/** Offsets in an untagged frame. */
const HOP_LIMIT = 14 + 7;
const DESTINATION = 14 + 24;
const MESSAGE = 14 + 40;

describe('a neighbor discovery message', () => {
  const unsolicited = {
    kind: 'advertisement',
    target: B,
    isRouter: false,
    isSolicited: false,
    isOverride: true,
  } as const;
  const cases: readonly { readonly name: string; readonly value: NdpFrame }[] = [
    {
      name: 'ndp solicitation',
      value: {
        sourceMac: MAC_A,
        source: A,
        destination: ip('ff02::1:ff00:b'),
        message: { kind: 'solicitation', target: B, sourceMac: MAC_A },
      },
    },
    {
      name: 'ndp solicited advertisement',
      value: {
        sourceMac: MAC_B,
        source: B,
        destination: A,
        message: { ...unsolicited, isSolicited: true, targetMac: MAC_B },
      },
    },
    {
      name: 'ndp duplicate address probe',
      value: {
        sourceMac: MAC_A,
        source: UNSPECIFIED,
        destination: ip('ff02::1:ff00:a'),
        message: { kind: 'solicitation', target: A, sourceMac: undefined },
      },
    },
    {
      name: 'ndp duplicate address probe with nonce',
      value: {
        sourceMac: MAC_A,
        source: UNSPECIFIED,
        destination: ip('ff02::1:ff00:b'),
        message: { kind: 'solicitation', target: B, sourceMac: undefined },
      },
    },
    {
      name: 'ndp defence',
      value: { sourceMac: MAC_B, source: B, destination: ALL, message: { ...unsolicited, targetMac: MAC_B } },
    },
    {
      name: 'ndp unsolicited advertisement',
      value: { sourceMac: MAC_C, source: B, destination: ALL, message: { ...unsolicited, targetMac: MAC_C } },
    },
  ];
  // We neither send nor keep the nonce of RFC 7527.
  const encodable = cases.filter(({ name }) => !name.endsWith('nonce'));

  it.each(cases)('is decoded from what the kernel sends: $name', ({ name, value }) => {
    expect(decodeNdpFrame(frame(name))).toEqual({ ok: true, value });
  });

  it.each(encodable)('is encoded as the kernel does, checksum included: $name', ({ name, value }) => {
    expect(toHex(encodeNdpPacket(value))).toBe(toHex(frame(name).subarray(14)));
  });

  it('was compared with every captured NDP frame', () => {
    const captured = [...readFrames().keys()].filter((name) => name.startsWith('ndp'));
    expect(captured).toEqual(cases.map(({ name }) => name));
    expect(encodable).toHaveLength(5);
  });

  it.each([
    ['isRouter', 0x8000_0000],
    ['isSolicited', 0x4000_0000],
    ['isOverride', 0x2000_0000],
  ] as const)('has the flag %s in its place (RFC 4861 §4.4)', (name, bit) => {
    const flags = { isRouter: false, isSolicited: false, isOverride: false, [name]: true };
    const message = { kind: 'advertisement', target: B, targetMac: undefined, ...flags } as const;
    const packet = encodeNdpPacket({ source: B, destination: A, message });
    expect(viewOf(packet).getUint32(44)).toBe(bit);
    const framed = Uint8Array.from([...hex('02000000000a 02000000000b 86dd'), ...packet]);
    expect(decodeNdpFrame(framed)).toMatchObject({ ok: true, value: { message } });
  });

  it('may be followed by padding, and come with an 802.1Q tag', () => {
    const plain = frame('ndp duplicate address probe');
    expect(decodeNdpFrame(Uint8Array.from([...plain, 0xa5, 0xa5]))).toEqual(decodeNdpFrame(plain));
    const tagged = Uint8Array.from([...plain.subarray(0, 12), ...hex('8100 0000'), ...plain.subarray(12)]);
    expect(decodeNdpFrame(tagged)).toEqual(decodeNdpFrame(plain));
  });

  it('is refused at every truncation', () => {
    for (const name of ['ndp solicitation', 'ndp solicited advertisement']) {
      const whole = frame(name);
      for (let length = 0; length < whole.length; length += 1) {
        const reason = length < 14 ? 'ethernet-truncated' : 'ipv6-truncated';
        expect(decodeNdpFrame(whole.subarray(0, length))).toMatchObject({ ok: false, reason });
      }
    }
  });

  it('is refused at every truncation that the IPv6 header admits to', () => {
    for (const name of ['ndp solicitation', 'ndp solicited advertisement']) {
      for (let length = 0; length < 32; length += 1) {
        const decoded = decodeNdpFrame(repaired(frame(name), (bytes) => bytes.subarray(0, MESSAGE + length)));
        if (length === 24) expect(decoded).toMatchObject({ ok: true });
        else expect(decoded).toMatchObject({ ok: false, reason: length < 24 ? 'ndp-truncated' : 'ndp-option-length' });
      }
    }
  });

  it('is about IPv6 only', () => {
    const message = { kind: 'solicitation', target: ip('10.0.0.1'), sourceMac: undefined } as const;
    expect(() => encodeNdpPacket({ source: UNSPECIFIED, destination: ALL, message })).toThrow(InvariantError);
  });
});

/** The frame changed, with payload length and checksum made right again. */
function repaired(original: Uint8Array, change: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(change(Uint8Array.from(original)));
  const view = viewOf(bytes);
  view.setUint16(14 + 4, bytes.length - MESSAGE);
  if (bytes.length < MESSAGE + 4) return bytes;
  view.setUint16(MESSAGE + 2, 0);
  const [source, destination] = [bytes.subarray(22, 38), bytes.subarray(DESTINATION, MESSAGE)].map((octets) => ({
    family: 'ipv6' as const,
    text: '',
    bytes: octets,
  }));
  if (source === undefined || destination === undefined) throw new Error('both addresses are there');
  view.setUint16(MESSAGE + 2, icmpv6Checksum(source, destination, bytes.subarray(MESSAGE)));
  return bytes;
}

function put(offset: number, octets: ArrayLike<number>): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    bytes.set(octets, offset);
    return bytes;
  };
}

function withOptions(original: Uint8Array, options: string): Uint8Array {
  return repaired(original, (bytes) => Uint8Array.from([...bytes.subarray(0, MESSAGE + 24), ...hex(options)]));
}

describe('the checks of RFC 4861 §7.1', () => {
  const solicitation = frame('ndp solicitation');
  const advertisement = frame('ndp solicited advertisement');
  const probe = frame('ndp duplicate address probe');

  it('finds the repaired frame unchanged, so that what follows tests one thing each', () => {
    for (const original of [solicitation, advertisement, probe]) {
      expect(repaired(original, (bytes) => bytes)).toEqual(original);
    }
  });

  it.each([0, 1, 64, 254])('refuses the hop limit %i', (hopLimit) => {
    for (const original of [solicitation, advertisement, probe]) {
      const routed = repaired(original, put(HOP_LIMIT, [hopLimit]));
      expect(decodeNdpFrame(routed)).toEqual({ ok: false, reason: 'ndp-hop-limit', offset: HOP_LIMIT });
    }
  });

  it('refuses a wrong checksum, whichever bit is flipped', () => {
    for (let at = MESSAGE + 2; at < solicitation.length; at += 1) {
      for (let bit = 1; bit < 0x100; bit *= 2) {
        const flipped = Uint8Array.from(solicitation);
        flipped[at] = (flipped[at] ?? 0) ^ bit;
        expect(decodeNdpFrame(flipped)).toEqual({ ok: false, reason: 'ndp-checksum', offset: MESSAGE + 2 });
      }
    }
  });

  it('refuses a code', () => {
    const coded = repaired(solicitation, put(MESSAGE + 1, [1]));
    expect(decodeNdpFrame(coded)).toEqual({ ok: false, reason: 'ndp-code', offset: MESSAGE + 1 });
  });

  it('refuses a multicast target', () => {
    for (const original of [solicitation, advertisement]) {
      const group = repaired(original, put(MESSAGE + 8, [0xff, 0x02]));
      expect(decodeNdpFrame(group)).toEqual({ ok: false, reason: 'ndp-target-multicast', offset: MESSAGE + 8 });
    }
  });

  it.each([
    ['an option of length zero', '0101 02000000000a 0e00 000000000000', MESSAGE + 32],
    ['an option that reaches beyond the message', '0102 02000000000a', MESSAGE + 24],
    ['half an option header', '0101 02000000000a 0e', MESSAGE + 32],
  ])('refuses %s (§4.6)', (_, options, offset) => {
    expect(decodeNdpFrame(withOptions(solicitation, options))).toEqual({
      ok: false,
      reason: 'ndp-option-length',
      offset,
    });
  });

  it('skips unknown options by their length (§4.6)', () => {
    const decoded = decodeNdpFrame(withOptions(solicitation, 'fe02 0101010101010101010101010101 0101 02000000000b'));
    expect(decoded).toMatchObject({ ok: true, value: { message: { sourceMac: MAC_B } } });
  });

  it('takes the first of several link-layer addresses, none of another length, none of the other kind', () => {
    for (const [options, sourceMac] of [
      ['0101 02000000000b 0101 02000000000c', MAC_B],
      ['0102 02000000000b 0000000000000000', undefined],
      ['0201 02000000000b', undefined],
    ] as const) {
      const decoded = decodeNdpFrame(withOptions(solicitation, options));
      expect(decoded).toMatchObject({ ok: true, value: { message: { sourceMac } } });
    }
  });

  it('refuses a solicitation from :: with a source link-layer address', () => {
    expect(decodeNdpFrame(withOptions(probe, '0101 02000000000a'))).toMatchObject({
      ok: false,
      reason: 'ndp-unspecified-source',
    });
  });

  it('refuses a solicitation from :: to anything but a solicited-node group', () => {
    for (const destination of [A, ALL]) {
      const misled = repaired(probe, put(DESTINATION, destination.bytes));
      expect(decodeNdpFrame(misled)).toMatchObject({ ok: false, reason: 'ndp-unspecified-source' });
    }
  });

  it('refuses an advertisement to a group that claims to be solicited', () => {
    const claimed = repaired(advertisement, put(DESTINATION, ALL.bytes));
    expect(decodeNdpFrame(claimed)).toMatchObject({ ok: false, reason: 'ndp-solicited-multicast' });
  });

  it.each([
    ['another EtherType', 'not-ipv6', 12, put(12, [0x08, 0x00])],
    ['another version', 'ipv6-version', 14, put(14, [0x40])],
    ['another next header', 'not-icmpv6', 20, put(20, [17])],
    ['an echo request', 'not-neighbor-discovery', 54, put(54, [128])],
    ['a router advertisement', 'not-neighbor-discovery', 54, put(54, [134])],
    ['a redirect', 'not-neighbor-discovery', 54, put(54, [137])],
    ['no ICMPv6 message at all', 'ndp-truncated', 54, (bytes: Uint8Array) => bytes.subarray(0, 54)],
  ])('does not take %s for neighbor discovery', (_, reason, offset, change) => {
    expect(decodeNdpFrame(repaired(solicitation, change))).toEqual({ ok: false, reason, offset });
  });
});

describe('frames', () => {
  it('advertises unsolicited as the kernel does (RFC 4861 §7.2.6)', () => {
    const sent = unsolicitedAdvertisementFrame({ mac: MAC_C, target: B });
    expect(toHex(sent)).toBe(toHex(frame('ndp unsolicited advertisement')));
  });

  it('advertises from a given source, as a router, to one neighbor', () => {
    const source = ip('fe80::ff:fe00:c');
    const sent = unsolicitedAdvertisementFrame({
      mac: MAC_C,
      target: B,
      source,
      isRouter: true,
      to: { ip: A, mac: MAC_A },
    });
    expect(sent.subarray(0, 6)).toEqual(MAC_A.bytes);
    expect(decodeNdpFrame(sent)).toMatchObject({
      ok: true,
      value: { source, destination: A, message: { isRouter: true, isSolicited: false, isOverride: true } },
    });
  });

  it('probes for duplicates as the kernel does (RFC 4862 §5.4.2)', () => {
    const sent = duplicateAddressProbeFrame({ mac: MAC_A, target: A });
    expect(toHex(sent)).toBe(toHex(frame('ndp duplicate address probe')));
  });

  it('solicits as the kernel does (RFC 4861 §7.2.2)', () => {
    const sent = neighborSolicitationFrame({ mac: MAC_A, source: A, target: B });
    expect(toHex(sent)).toBe(toHex(frame('ndp solicitation')));
  });

  it('solicits one neighbor directly (RFC 4861 §7.3.3)', () => {
    const sent = neighborSolicitationFrame({ mac: MAC_A, source: A, target: B, to: MAC_B });
    expect(sent.subarray(0, 6)).toEqual(MAC_B.bytes);
    expect(decodeNdpFrame(sent)).toMatchObject({ ok: true, value: { source: A, destination: B } });
  });
});
