import { describe, expect, test } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import { parseIp, type Prefix } from '../../../../src/base/ip.ts';
import { encodeAddAddress, encodeAddressDump, encodeDeleteAddress } from '../../../../src/protocol/netlink/address.ts';
import { encodeLinkDump } from '../../../../src/protocol/netlink/link.ts';
import { encodeMainRouteDump } from '../../../../src/protocol/netlink/route.ts';
import { readVectors } from '../../../vectors/netlink/vectors.ts';

const { vectors } = readVectors('iproute2-6.1');
const V0 = 3;
/** `proto` came to `ip` later than 6.1: our requests are its, followed by IFA_PROTO 0x48 in a padded attribute. */
const PROTO = '05000b0048000000';

function prefix(text: string): Prefix {
  const [address = '', length] = text.split('/');
  const ip = parseIp(address);
  if (!ip.ok) throw new Error(text);
  return { ip: ip.value, length: Number(length) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function vector(name: string): { readonly body: string; readonly sequence: number; readonly length: number } {
  const bytes = vectors.get(name)?.at(0);
  if (bytes === undefined) throw new Error(name);
  const view = new DataView(bytes.buffer);
  return { body: hex(bytes).slice(8), sequence: view.getUint32(8, true), length: bytes.length };
}

describe('requests', () => {
  test('five vectors of iproute2 were found', () => {
    expect(vectors.size).toBe(5);
  });

  test.each([
    ['ipv4 add', '10.9.0.50/32', V0, 'global'],
    ['ipv6 add', 'fd99::50/128', V0, 'global'],
    ['ipv4 add scope host', '10.9.0.51/32', 1, 'host'],
  ] as const)('%s: what `ip addr replace … noprefixroute` sends, and the mark', (name, text, ifindex, scope) => {
    const golden = vector(name);
    const encoded = encodeAddAddress(golden.sequence, { ifindex, prefix: prefix(text), validSeconds: 30, scope });
    expect(hex(encoded).slice(8)).toBe(golden.body + PROTO);
    expect(new DataView(encoded.buffer).getUint32(0, true)).toBe(golden.length + 8);
    expect(encoded.length).toBe(golden.length + 8);
  });

  test.each([
    ['ipv4 delete', '10.9.0.50/32'],
    ['ipv6 delete', 'fd99::50/128'],
  ] as const)('%s: what `ip addr del` sends', (name, text) => {
    const golden = vector(name);
    const encoded = encodeDeleteAddress(golden.sequence, { ifindex: V0, prefix: prefix(text) });
    expect(hex(encoded).slice(8)).toBe(golden.body);
    expect(encoded.length).toBe(golden.length);
  });

  // Laid out by hand after struct nlmsghdr, ifaddrmsg, ifinfomsg and rtmsg; the vectors hold a kernel's answers to them.
  test.each([
    ['addresses', encodeAddressDump(9), '18000000 16000103 09000000 00000000 00000000 00000000'],
    [
      'links',
      encodeLinkDump(16),
      '28000000 12000103 10000000 00000000 00000000 00000000 00000000 00000000 08001d00 08000000',
    ],
    ['ipv4 routes', encodeMainRouteDump(14, 'ipv4'), '1c000000 1a000103 0e000000 00000000 02000000 fe000001 00000000'],
    ['ipv6 routes', encodeMainRouteDump(15, 'ipv6'), '1c000000 1a000103 0f000000 00000000 0a000000 fe000001 00000000'],
  ])('dump of %s', (_, encoded, golden) => {
    expect(hex(encoded)).toBe(golden.replaceAll(' ', ''));
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 0xffff_ffff])('no lifetime of %s', (validSeconds) => {
    const request = { ifindex: V0, prefix: prefix('10.0.0.1/32'), validSeconds, scope: 'global' } as const;
    expect(() => encodeAddAddress(1, request)).toThrow(InvariantError);
  });

  test('no prefix longer than its address, no interface 0', () => {
    expect(() => encodeDeleteAddress(1, { ifindex: V0, prefix: prefix('10.0.0.1/33') })).toThrow(InvariantError);
    expect(() => encodeDeleteAddress(1, { ifindex: 0, prefix: prefix('10.0.0.1/32') })).toThrow(InvariantError);
  });
});
