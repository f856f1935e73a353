import { describe, expect, test } from 'vitest';

import { decodeAcknowledgement } from '../../../../src/protocol/netlink/ack.ts';
import { decodeAddress } from '../../../../src/protocol/netlink/address.ts';
import { decodeAttributes, encodeAttribute, encodeU32, readText } from '../../../../src/protocol/netlink/attribute.ts';
import { decodeChange } from '../../../../src/protocol/netlink/change.ts';
import { NLM_F_ACK_TLVS, NLMSG_DONE, NLMSG_ERROR } from '../../../../src/protocol/netlink/constants.ts';
import { decodeLink } from '../../../../src/protocol/netlink/link.ts';
import { decodeMessages, encodeMessage, type NetlinkMessage } from '../../../../src/protocol/netlink/message.ts';
import { decodeRoute } from '../../../../src/protocol/netlink/route.ts';
import { readVectors } from '../../../vectors/netlink/vectors.ts';

const ADDRESS_BODY = Uint8Array.of(2, 32, 0, 0, 10, 0, 0, 0);
const ROUTE_BODY = Uint8Array.of(2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0);
const LINK_BODY = Uint8Array.of(0, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

function message(type: number, flags: number, payload: Uint8Array): NetlinkMessage {
  return { type, flags, sequence: 1, port: 0, payload };
}

describe('framing', () => {
  test('several messages of one datagram, the last without its padding', () => {
    const odd = encodeMessage({ type: NLMSG_DONE, flags: 0, sequence: 1 }, new Uint8Array(1), []);
    const decoded = decodeMessages(join(odd, new Uint8Array(3), odd));
    expect(decoded).toMatchObject({ ok: true, value: [{ type: NLMSG_DONE }, { type: NLMSG_DONE, sequence: 1 }] });
  });

  test('nothing is no message', () => {
    expect(decodeMessages(new Uint8Array(0))).toEqual({ ok: true, value: [] });
  });

  test.each([
    ['shorter than a header', new Uint8Array(15), 'message-header-truncated', 0],
    ['a length of 0', new Uint8Array(16), 'message-length', 0],
    ['a length of 15', join(encodeU32(15), new Uint8Array(12)), 'message-length', 0],
    ['a length beyond the datagram', join(encodeU32(17), new Uint8Array(12)), 'message-length', 0],
    ['the longest length there is', join(encodeU32(0xffff_ffff), new Uint8Array(12)), 'message-length', 0],
    ['a second header cut off', join(encodeU32(16), new Uint8Array(12 + 4)), 'message-header-truncated', 16],
  ])('%s', (_, bytes, reason, offset) => {
    expect(decodeMessages(bytes)).toEqual({ ok: false, reason, offset });
  });
});

describe('attributes', () => {
  test('unknown types are kept by length, flag bits of the type ignored, the last of a kind counts', () => {
    const bytes = join(encodeAttribute(0x8000 | 7, Uint8Array.of(1)), encodeAttribute(7, Uint8Array.of(2, 3)));
    expect(decodeAttributes(bytes, 0, new Map())).toEqual({ ok: true, value: new Map([[7, Uint8Array.of(2, 3)]]) });
  });

  test.each([
    ['a header cut off', Uint8Array.of(4, 0, 1), 'attribute-header-truncated', 0],
    ['a length of 3', Uint8Array.of(3, 0, 1, 0), 'attribute-length', 0],
    ['a length of 0', Uint8Array.of(0, 0, 1, 0), 'attribute-length', 0],
    ['a length beyond the slice', Uint8Array.of(9, 0, 1, 0, 0, 0, 0, 0), 'attribute-length', 0],
    ['less than the policy asks for', Uint8Array.of(4, 0, 2, 0, 6, 0, 1, 0, 1, 1), 'attribute-too-short', 4],
  ])('%s', (_, bytes, reason, offset) => {
    expect(decodeAttributes(bytes, 0, new Map([[1, 4]]))).toEqual({ ok: false, reason, offset });
  });

  test('text ends at its NUL or with its octets', () => {
    expect(readText(Uint8Array.of(0x65, 0x74, 0x68, 0, 0x78))).toBe('eth');
    expect(readText(Uint8Array.of(0x65, 0x74))).toBe('et');
    expect(readText(Uint8Array.of(0xff))).toBe('�');
    expect(readText(new Uint8Array(0))).toBe('');
  });
});

describe('records', () => {
  test.each([
    ['an address without an address', ADDRESS_BODY, 'address-missing'],
    ['an IPv4 address of 16 octets', join(ADDRESS_BODY, encodeAttribute(1, new Uint8Array(16))), 'address-length'],
    ['a prefix length of 33', Uint8Array.of(2, 33, 0, 0, 1, 0, 0, 0), 'prefix-length'],
    ['a prefix length of 129', Uint8Array.of(10, 129, 0, 0, 1, 0, 0, 0), 'prefix-length'],
    ['a short cache info', join(ADDRESS_BODY, encodeAttribute(6, new Uint8Array(15))), 'attribute-too-short'],
    ['a short header', new Uint8Array(7), 'address-truncated'],
  ])('address: %s', (_, bytes, reason) => {
    expect(decodeAddress(bytes)).toMatchObject({ ok: false, reason });
  });

  test('an old kernel’s address: flags from the header, no protocol, forever', () => {
    const decoded = decodeAddress(
      join(Uint8Array.of(2, 24, 0x80, 0, 9, 0, 0, 0), encodeAttribute(1, Uint8Array.of(10, 0, 0, 1))),
    );
    expect(decoded).toMatchObject({
      ok: true,
      value: {
        ifindex: 9,
        flags: 0x80,
        protocol: undefined,
        validSeconds: Number.POSITIVE_INFINITY,
        preferredSeconds: Number.POSITIVE_INFINITY,
      },
    });
  });

  test('a deprecated address has no preferred lifetime left, also where the kernel reports an infinite one', () => {
    const forever = encodeAttribute(6, Uint8Array.from([...Array(8).fill(0xff), ...Array(8).fill(0)]));
    const flags = encodeAttribute(8, Uint8Array.of(0xa0, 0, 0, 0));
    const place = encodeAttribute(1, Uint8Array.of(10, 0, 0, 1));
    const decoded = decodeAddress(join(ADDRESS_BODY, place, flags, forever));
    expect(decoded).toMatchObject({ ok: true, value: { preferredSeconds: 0, validSeconds: Number.POSITIVE_INFINITY } });
  });

  test.each([
    ['a short header', new Uint8Array(11), 'route-truncated'],
    ['a gateway of 5 octets', join(ROUTE_BODY, encodeAttribute(5, new Uint8Array(5))), 'route-gateway'],
    ['a via of one octet', join(ROUTE_BODY, encodeAttribute(18, new Uint8Array(1))), 'route-gateway'],
    ['a via of no family', join(ROUTE_BODY, encodeAttribute(18, new Uint8Array(6))), 'route-gateway'],
    ['a destination that is missing', Uint8Array.of(2, 24, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0), 'route-destination'],
    ['a prefix length of 33', Uint8Array.of(2, 33, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0), 'prefix-length'],
    ['a next hop cut off', join(ROUTE_BODY, encodeAttribute(9, new Uint8Array(7))), 'next-hop-truncated'],
    ['a next hop of length 0', join(ROUTE_BODY, encodeAttribute(9, new Uint8Array(8))), 'next-hop-length'],
    [
      'a next hop too long',
      join(ROUTE_BODY, encodeAttribute(9, Uint8Array.of(9, 0, 0, 0, 1, 0, 0, 0))),
      'next-hop-length',
    ],
  ])('route: %s', (_, bytes, reason) => {
    expect(decodeRoute(bytes)).toMatchObject({ ok: false, reason });
  });

  test('a default route over two interfaces has neither of them, and one of a single next hop has its gateway', () => {
    const hop = (ifindex: number, last: number): Uint8Array =>
      join(Uint8Array.of(16, 0, 0, 0, ifindex, 0, 0, 0), encodeAttribute(5, Uint8Array.of(10, 0, 0, last)));
    const two = decodeRoute(join(ROUTE_BODY, encodeAttribute(9, join(hop(3, 1), hop(4, 2)))));
    expect(two).toMatchObject({ ok: true, value: { ifindex: undefined, gateway: undefined } });
    const one = decodeRoute(join(ROUTE_BODY, encodeAttribute(9, hop(3, 1))));
    expect(one).toMatchObject({ ok: true, value: { ifindex: 3, gateway: { text: '10.0.0.1' } } });
  });

  test.each([
    ['a short header', new Uint8Array(15), 'link-truncated'],
    ['index 0', new Uint8Array(16), 'link-index'],
    ['a short MTU', join(LINK_BODY, encodeAttribute(4, new Uint8Array(3))), 'attribute-too-short'],
    [
      'a broken nest',
      join(LINK_BODY, encodeAttribute(3, Uint8Array.of(0x61)), encodeAttribute(18, new Uint8Array(4))),
      'attribute-length',
    ],
  ])('link: %s', (_, bytes, reason) => {
    expect(decodeLink(bytes)).toMatchObject({ ok: false, reason });
  });

  test('a link’s hardware address counts when it has six octets (InfiniBand has twenty)', () => {
    const name = encodeAttribute(3, Uint8Array.of(0x69, 0x62, 0x30, 0));
    const infiniband = decodeLink(join(LINK_BODY, name, encodeAttribute(1, new Uint8Array(20))));
    expect(infiniband).toMatchObject({ ok: true, value: { name: 'ib0', mac: undefined } });
    const ethernet = decodeLink(join(LINK_BODY, name, encodeAttribute(1, Uint8Array.of(2, 0, 0, 0, 0, 1))));
    expect(ethernet).toMatchObject({ ok: true, value: { mac: { text: '02:00:00:00:00:01' } } });
  });

  test('messages of other families and wireless events are none of ours', () => {
    const multicast = join(Uint8Array.of(28, 32, 0, 0, 1, 0, 0, 0), encodeAttribute(1, new Uint8Array(4)));
    expect(decodeAddress(multicast)).toEqual({ ok: true, value: undefined });
    expect(decodeRoute(Uint8Array.of(28, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0))).toEqual({ ok: true, value: undefined });
    expect(decodeLink(LINK_BODY)).toEqual({ ok: true, value: undefined });
    expect(decodeChange(message(4711, 0, new Uint8Array(0)))).toEqual({ ok: true, value: undefined });
  });
});

describe('acknowledgements', () => {
  test.each([
    ['no error code', message(NLMSG_ERROR, 0, new Uint8Array(3))],
    ['extended, without the request’s header', message(NLMSG_ERROR, NLM_F_ACK_TLVS, new Uint8Array(19))],
    [
      'an echoed request longer than the message',
      message(NLMSG_ERROR, NLM_F_ACK_TLVS, join(encodeU32(0xffff_ffff, 0xffff_fff0), new Uint8Array(12))),
    ],
  ])('%s', (_, hostile) => {
    expect(decodeAcknowledgement(hostile)).toMatchObject({ ok: false, reason: 'acknowledgement-truncated' });
  });

  test('a dump that ends in an error says which, and why', () => {
    const text = encodeAttribute(1, new TextEncoder().encode('no such table\0'));
    const done = message(NLMSG_DONE, NLM_F_ACK_TLVS, join(encodeU32(0xffff_fffe), text));
    expect(decodeAcknowledgement(done)).toEqual({
      ok: true,
      value: { errno: 2, text: 'no such table', attributeOffset: undefined },
    });
  });
});

test('every truncation of every recorded message is refused or smaller, and never throws', () => {
  const datagrams = ['linux-6.18', 'linux-6.1'].flatMap((file) =>
    [...readVectors(file).vectors.values()].flatMap((recorded) => recorded.slice(0, 4)),
  );
  let truncations = 0;
  for (const datagram of datagrams) {
    const whole = decodeMessages(datagram);
    if (!whole.ok) throw new Error(whole.reason);
    for (const recorded of whole.value.slice(0, 2)) truncations += truncate(recorded);
  }
  expect(truncations).toBeGreaterThan(50_000);
});

/** Decodes every proper prefix of the payload, as a copy: reading past its end would be a RangeError. */
function truncate(recorded: NetlinkMessage): number {
  const isControl = recorded.type === NLMSG_ERROR || recorded.type === NLMSG_DONE;
  for (let length = 0; length < recorded.payload.length; length += 1) {
    const cut = { ...recorded, payload: recorded.payload.slice(0, length) };
    const decoded = isControl ? decodeAcknowledgement(cut) : decodeChange(cut);
    // Not an expect for each: those of tens of thousands take longer than the decoding.
    if (!decoded.ok && decoded.offset > length) throw new Error(`${decoded.reason} at ${decoded.offset} of ${length}`);
  }
  return recorded.payload.length;
}
