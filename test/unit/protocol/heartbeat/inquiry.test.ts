import { describe, expect, it } from 'vitest';

import { DATAGRAM_MAX, TAG_LENGTH } from '../../../../src/protocol/heartbeat/heartbeat.ts';
import {
  decodeInquiry,
  encodeInquiry,
  HEARD_MAX,
  isInquiry,
  OTHER_MACS_MAX,
  type InquiryBody,
  type InquiryDatagram,
  type InquiryReply,
} from '../../../../src/protocol/heartbeat/inquiry.ts';
import { hex } from '../../../vectors/neighbor/vectors.ts';
import { ip, mac } from '../../base/values.ts';

const V4 = ip('192.0.2.10');
const V6 = ip('2001:db8::10');
const TAG = new Uint8Array(TAG_LENGTH).fill(0xee);

function inquiry(body: InquiryBody, number = 7): InquiryDatagram {
  return {
    clusterId: hex('0123456789abcdef 0123456789abcdef'),
    incarnation: hex('a0a1a2a3a4a5a6a7'),
    number,
    echoIncarnation: 0xb0b1b2b3,
    echoSequence: 41,
    keyId: 0x630dcd29,
    sender: 'cp-1.example',
    body,
  };
}

function answer(address: typeof V4, reply: InquiryReply): InquiryDatagram {
  return inquiry({ kind: 'answer', address, reply });
}

const HEAD = '0123456789abcdef0123456789abcdef a0a1a2a3a4a5a6a7';
const ECHO = 'b0b1b2b3 00000029 630dcd29 0c 63702d312e6578616d706c65';
const TO_V4 = '04 c000020a';
const TO_V6 = '06 20010db8000000000000000000000010';

/** Written by Python 3.11's struct (">4sBB", octets, ">III" and so on). */
const VECTORS: readonly (readonly [string, InquiryDatagram, string])[] = [
  [
    'what the wire says of an IPv4 address',
    inquiry({ kind: 'question', question: { subject: 'wire', address: V4 } }),
    `48466971 01 01 ${HEAD} 00000007 ${ECHO} 02 ${TO_V4}`,
  ],
  [
    'what is held of an IPv6 address',
    inquiry({ kind: 'question', question: { subject: 'holding', address: V6 } }, 8),
    `48466971 01 01 ${HEAD} 00000008 ${ECHO} 01 ${TO_V6}`,
  ],
  [
    'held and announced',
    answer(V4, {
      kind: 'held',
      phase: 'holding',
      interfaceName: 'eth0',
      mac: mac('02:00:00:00:77:0b'),
      sinceSeconds: 12,
      announcements: 7,
      lastAnnouncedSecondsAgo: 3,
      rival: undefined,
      isKubeProxyHealthy: true,
      otherMacs: [mac('02:00:00:00:78:0b'), mac('02:00:00:00:79:0b')],
    }),
    `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V4} 01 05 04 65746830 02000000770b 0000000c 00000007 00000003 000000000000 01 02 02000000780b 02000000790b`,
  ],
  [
    'being claimed, never announced, with a rival',
    answer(V6, {
      kind: 'held',
      phase: 'claiming',
      interfaceName: 'eth0',
      mac: undefined,
      sinceSeconds: 0,
      announcements: 0,
      lastAnnouncedSecondsAgo: undefined,
      rival: mac('02:00:00:00:77:0c'),
      isKubeProxyHealthy: false,
      otherMacs: [],
    }),
    `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V6} 01 04 04 65746830 000000000000 00000000 00000000 ffffffff 02000000770c 02 00`,
  ],
  [
    'two answered on the wire',
    answer(V4, {
      kind: 'wire',
      interfaceName: 'eth0',
      mac: mac('02:00:00:00:77:0c'),
      listenedMs: 240,
      heard: [
        { mac: mac('02:00:00:00:77:0b'), afterMicros: 412 },
        { mac: mac('02:00:00:00:77:66'), afterMicros: 1650 },
      ],
      otherMacs: [mac('02:00:00:00:78:0c')],
    }),
    `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V4} 02 04 65746830 02000000770c 00f0 02 02000000770b 0000019c 020000007766 00000672 01 02000000780c`,
  ],
  [
    'nobody answered on the wire',
    answer(V6, {
      kind: 'wire',
      interfaceName: 'eth0',
      mac: mac('02:00:00:00:77:0c'),
      listenedMs: 700,
      heard: [],
      otherMacs: [],
    }),
    `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V6} 02 04 65746830 02000000770c 02bc 00 00`,
  ],
  [
    'could not ask',
    answer(V4, { kind: 'unaskable', reason: 'no-carrier', interfaceName: 'eth0' }),
    `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V4} 03 02 04 65746830`,
  ],
  ['does not hold it', answer(V4, { kind: 'not-held' }), `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V4} 04`],
  [
    'is asked too often',
    answer(V4, { kind: 'refused', reason: 'busy' }),
    `48466971 01 02 ${HEAD} 00000007 ${ECHO} ${TO_V4} 05 02`,
  ],
];

function reasonOf(datagram: Uint8Array): string {
  const decoded = decodeInquiry(datagram);
  return decoded.ok ? 'ok' : decoded.reason;
}

/** The first vector with octets from `offset` on replaced. */
function changed(offset: number, ...octets: readonly number[]): Uint8Array {
  const copy = Uint8Array.from([...hex(VECTORS[0]?.[2] ?? ''), ...TAG]);
  copy.set(octets, offset);
  return copy;
}

describe('an inquiry', () => {
  it('has nine vectors', () => expect(VECTORS.length).toBe(9));

  it.each(VECTORS)('is written octet for octet: %s', (_, value, octets) => {
    expect(encodeInquiry(value)).toEqual(hex(octets));
  });

  it.each(VECTORS)('is read octet for octet: %s', (_, value, octets) => {
    const covered = hex(octets);
    const datagram = Uint8Array.from([...covered, ...TAG]);
    expect(isInquiry(datagram)).toBe(true);
    expect(decodeInquiry(datagram)).toEqual({ ok: true, value: { inquiry: value, covered, tag: TAG } });
  });

  it.each(VECTORS)('is refused when cut anywhere, and when there is more behind it: %s', (_, __, octets) => {
    const datagram = Uint8Array.from([...hex(octets), ...TAG]);
    for (let length = 0; length < datagram.length; length += 1) {
      expect([length, reasonOf(datagram.subarray(0, length))]).toEqual([length, 'truncated']);
    }
    expect(reasonOf(Uint8Array.from([...datagram, 0]))).toBe('bad-length');
  });

  it('is none with the magic of a heartbeat, and a heartbeat is none', () => {
    expect(reasonOf(changed(3, 0x62))).toBe('not-inquiry');
    expect(isInquiry(changed(3, 0x62))).toBe(false);
    expect(isInquiry(new Uint8Array(0))).toBe(false);
  });

  it.each([
    ['other-version', 4, [2]],
    ['bad-kind', 5, [3]],
    ['bad-kind', 5, [0]],
    ['bad-length', 46, [0]],
    ['bad-name', 47, [0x20]],
    ['bad-body', 59, [3]],
    ['bad-body', 59, [0]],
    ['bad-body', 60, [5]],
  ] as const)('is refused as %s with other octets at %i', (reason, offset, octets) => {
    expect(reasonOf(changed(offset, ...octets))).toBe(reason);
  });

  it('is refused when it is longer than any', () => {
    expect(reasonOf(new Uint8Array(DATAGRAM_MAX + 1))).toBe('oversized');
  });

  it('stays within a datagram with the longest names, and leaves out whom there is no room for', () => {
    const one = { mac: mac('02:00:00:00:77:66'), afterMicros: 2 ** 40 };
    const heard = Array.from({ length: HEARD_MAX + 2 }, () => one);
    const reply = {
      kind: 'wire',
      interfaceName: 'ä-very-long-interface',
      mac: one.mac,
      listenedMs: 1e9,
      heard,
      otherMacs: Array.from({ length: OTHER_MACS_MAX + 1 }, () => one.mac),
    } as const;
    const written = encodeInquiry({ ...answer(V6, reply), sender: 'x'.repeat(253) });
    expect(written.length + TAG_LENGTH).toBeLessThanOrEqual(DATAGRAM_MAX);
    const decoded = decodeInquiry(Uint8Array.from([...written, ...TAG]));
    const said =
      decoded.ok && decoded.value.inquiry.body.kind === 'answer' ? decoded.value.inquiry.body.reply : undefined;
    expect(said).toEqual({
      ...reply,
      interfaceName: '?-very-long-int',
      listenedMs: 0xffff,
      heard: heard.slice(0, HEARD_MAX).map(() => ({ ...one, afterMicros: 0xffff_ffff })),
      otherMacs: reply.otherMacs.slice(0, OTHER_MACS_MAX),
    });
  });

  it('needs a name of printable ASCII', () => {
    const [, value] = VECTORS[0] ?? [];
    if (value === undefined) throw new Error('no vector');
    for (const sender of ['', 'x'.repeat(254), 'knöten']) {
      expect(() => encodeInquiry({ ...value, sender })).toThrow(RangeError);
    }
  });
});
