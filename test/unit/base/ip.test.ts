import { expect, it } from 'vitest';

import { ipFromBytes, parseIp } from '../../../src/base/ip.ts';

it.each([
  ['192.0.2.1', 'ipv4', '192.0.2.1', [192, 0, 2, 1]],
  ['0.0.0.0', 'ipv4', '0.0.0.0', [0, 0, 0, 0]],
  ['255.255.255.255', 'ipv4', '255.255.255.255', [255, 255, 255, 255]],
  ['2001:DB8:0:0:0:0:0:1', 'ipv6', '2001:db8::1', [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
  ['::', 'ipv6', '::', Array.from({ length: 16 }, () => 0)],
  ['64:ff9b::192.0.2.33', 'ipv6', '64:ff9b::c000:221', [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 33]],
])('reads %s, and writes it one way only (RFC 5952)', (text, family, canonical, bytes) => {
  expect(parseIp(text)).toEqual({ ok: true, value: { family, text: canonical, bytes: Uint8Array.from(bytes) } });
});

it.each([
  ['192.0.2.01', 'leading-zero'],
  ['010.0.2.1', 'leading-zero'],
  ['64:ff9b::192.0.2.033', 'leading-zero'],
  ['64:ff9b::0192.0.2.33', 'leading-zero'],
  ['192.0.2.256', 'not-an-address'],
  ['192.0.2', 'not-an-address'],
  ['192.0.2.1.1', 'not-an-address'],
  [' 192.0.2.1', 'not-an-address'],
  ['192.0.2.99999999999999999999', 'not-an-address'],
  ['0x7f.0.0.1', 'not-an-address'],
  ['2130706433', 'not-an-address'],
  ['example.org', 'not-an-address'],
  ['', 'not-an-address'],
  [':', 'not-an-address'],
  ['2001:db8::1::', 'not-an-address'],
  ['2001:db8::12345', 'not-an-address'],
  ['fe80::1%eth0', 'zone'],
  ['::ffff:192.0.2.1', 'ipv4-mapped'],
  ['::ffff:c000:201', 'ipv4-mapped'],
  ['0:0:0:0:0:FFFF:c000:0201', 'ipv4-mapped'],
])('refuses %s as %s', (text, reason) => {
  expect(parseIp(text)).toEqual({ ok: false, reason, detail: text });
});

it('copies the octets it is given, whatever kind of array they are in', () => {
  for (const octets of [Uint8Array.of(192, 0, 2, 1), Buffer.from([192, 0, 2, 1])]) {
    const made = ipFromBytes(octets);
    octets[0] = 10;
    expect(made.bytes).toEqual(Uint8Array.of(192, 0, 2, 1));
  }
});
