import { expect, test } from 'vitest';

import { decodeNeighbourFrame } from './capture.ts';
import { decodeAddressChanges } from './holders.ts';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

test('reads an ARP request and reply (RFC 826)', () => {
  const request = hex(
    `ffffffffffff 020000007764 0806 0001 0800 06 04 0001 020000007764 0a4d0064 000000000000 0a4d0032`,
  );
  expect(decodeNeighbourFrame(request)).toMatchObject({
    kind: 'arp-request',
    address: '10.77.0.50',
    sender: '10.77.0.100',
    sourceMac: '02:00:00:00:77:64',
    isGratuitous: false,
  });
  const gratuitous = hex(
    `ffffffffffff 02000000770b 0806 0001 0800 06 04 0002 02000000770b 0a4d0032 02000000770b 0a4d0032`,
  );
  expect(decodeNeighbourFrame(gratuitous)).toMatchObject({
    kind: 'arp-reply',
    address: '10.77.0.50',
    hardware: '02:00:00:00:77:0b',
    isGratuitous: true,
  });
});

test('reads a solicited and an unsolicited neighbour advertisement (RFC 4861 §4.4)', () => {
  const advertisement = (flags: string): Buffer =>
    hex(`333300000001 02000000770b 86dd 60000000 0020 3a ff
      fd770000000000000000000000000050 ff020000000000000000000000000001
      88 00 0000 ${flags}000000 fd770000000000000000000000000050 02 01 02000000770b`);
  expect(decodeNeighbourFrame(advertisement('20'))).toMatchObject({
    kind: 'advertisement',
    address: 'fd77::50',
    hardware: '02:00:00:00:77:0b',
    isGratuitous: true,
  });
  expect(decodeNeighbourFrame(advertisement('60'))).toMatchObject({ isGratuitous: false });
});

test('anything else, and anything cut short, is nothing', () => {
  const whole = hex(`ffffffffffff 020000007764 0806 0001 0800 06 04 0001 020000007764 0a4d0064 000000000000 0a4d0032`);
  for (let length = 0; length < whole.length; length += 1) {
    expect(decodeNeighbourFrame(whole.subarray(0, length))).toBeUndefined();
  }
  const udp = hex(`ffffffffffff 020000007764 0800 ${'45'.repeat(64)}`);
  expect(decodeNeighbourFrame(udp)).toBeUndefined();
});

test('reads addresses that came and went from rtnetlink (rtnetlink(7))', () => {
  const message = (type: string, attributes: string, family: string): string => {
    const body = `${family}2080fd02000000${attributes}`;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(16 + body.length / 2);
    return `${length.toString('hex')}${type}0000 00000000 00000000${body}`.replace(/\s/g, '');
  };
  // IFA_ADDRESS 10.77.0.51 is the peer's; IFA_LOCAL 10.77.0.50 is ours.
  const added = message('1400', '080001000a4d0033 080002000a4d0032', '02');
  const removed = message('1500', '14000100fd770000000000000000000000000050', '0a');
  expect(decodeAddressChanges(hex(added + removed))).toEqual([
    { address: '10.77.0.50', isPresent: true },
    { address: 'fd77::50', isPresent: false },
  ]);
  expect(decodeAddressChanges(hex(added).subarray(0, 20))).toEqual([]);
});
