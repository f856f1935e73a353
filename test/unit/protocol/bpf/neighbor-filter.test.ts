import { describe, expect, it } from 'vitest';

import { InvariantError } from '../../../../src/base/assert.ts';
import { isSameIp, type Ip } from '../../../../src/base/ip.ts';
import type { Mac } from '../../../../src/base/mac.ts';
import { nextRandom, seed } from '../../../../src/base/random.ts';
import { arpAnnouncement, arpProbeFrame, gratuitousArpFrame } from '../../../../src/protocol/arp/frames.ts';
import { decodeArpFrame } from '../../../../src/protocol/arp/arp.ts';
import { INSTRUCTION_LENGTH } from '../../../../src/protocol/bpf/assembler.ts';
import {
  EXACT_MAX,
  filteredPrefixes,
  isNeighborFilterExact,
  neighborFilter,
} from '../../../../src/protocol/bpf/neighbor-filter.ts';
import {
  duplicateAddressProbeFrame,
  neighborSolicitationFrame,
  unsolicitedAdvertisementFrame,
} from '../../../../src/protocol/ndp/frames.ts';
import { decodeNdpFrame } from '../../../../src/protocol/ndp/ndp.ts';
import { frame, hex, readFrames } from '../../../vectors/neighbor/vectors.ts';
import { ip, mac } from '../../base/values.ts';
import {
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  PACKET_OUTGOING,
  runFilter,
} from './interpreter.ts';

const MAC = mac('02:00:00:00:00:0a');
const V4 = ip('10.99.0.77');
const V6 = ip('fd99::b');
const FILTER = neighborFilter({ ipv4: [V4], ipv6: [V6] });

function passes(program: Uint8Array, bytes: Uint8Array): boolean {
  return runFilter(program, bytes) > 0;
}

/** Every kind of frame about the address. */
function framesAbout(address: Ip, sender: Mac = MAC): readonly Uint8Array[] {
  if (address.family === 'ipv4') {
    return [
      arpProbeFrame({ mac: sender, ip: address }),
      arpAnnouncement({ mac: sender, ip: address }),
      gratuitousArpFrame({ form: 'reply', mac: sender, ip: address }),
      gratuitousArpFrame({ form: 'request', mac: sender, ip: address }),
    ];
  }
  return [
    duplicateAddressProbeFrame({ mac: sender, target: address }),
    unsolicitedAdvertisementFrame({ mac: sender, target: address }),
    neighborSolicitationFrame({ mac: sender, source: ip('fe80::1'), target: address }),
  ];
}

describe('the neighbor filter', () => {
  it('passes of the captured frames exactly those about its addresses', () => {
    const passed = [...readFrames()].filter(([, bytes]) => passes(FILTER, bytes)).map(([name]) => name);
    expect(passed).toEqual([
      'arp announcement',
      'ndp solicitation',
      'ndp solicited advertisement',
      'ndp duplicate address probe with nonce',
      'ndp defence',
      'ndp unsolicited advertisement',
    ]);
  });

  it('passes an ARP packet whose sender or target is the address', () => {
    const [asSender, asTarget] = [ip('10.99.0.2'), ip('10.99.0.1')].map((own) =>
      neighborFilter({ ipv4: [own], ipv6: [] }),
    );
    expect(asSender !== undefined && passes(asSender, frame('arp reply'))).toBe(true);
    expect(asTarget !== undefined && passes(asTarget, frame('arp reply'))).toBe(true);
    expect(passes(FILTER, frame('arp reply'))).toBe(false);
  });

  it('keeps the whole frame', () => {
    expect(runFilter(FILTER, frame('ndp defence'))).toBeGreaterThan(9000);
  });

  it('drops everything when there are no addresses', () => {
    const none = neighborFilter({ ipv4: [], ipv6: [] });
    expect(
      [...readFrames().values(), ...framesAbout(V4), ...framesAbout(V6)].filter((bytes) => passes(none, bytes)),
    ).toEqual([]);
    const onlyIpv6 = neighborFilter({ ipv4: [], ipv6: [V6] });
    expect(framesAbout(V4).some((bytes) => passes(onlyIpv6, bytes))).toBe(false);
    expect(framesAbout(V6).every((bytes) => passes(onlyIpv6, bytes))).toBe(true);
  });

  it.each([
    ['to this host', PACKET_HOST, true],
    ['broadcast', PACKET_BROADCAST, true],
    ['multicast', PACKET_MULTICAST, true],
    ['to another host', PACKET_OTHERHOST, false],
    ['sent by this host', PACKET_OUTGOING, false],
  ])('treats a frame %s as it should', (_, packetType, expected) => {
    for (const bytes of [...framesAbout(V4), ...framesAbout(V6)]) {
      expect(runFilter(FILTER, bytes, { packetType }) > 0).toBe(expected);
    }
  });

  it('drops what came with a VLAN tag, but for a tag that only is a priority (VLAN 0)', () => {
    for (const bytes of [...framesAbout(V4), ...framesAbout(V6)]) {
      const outcome = (vlanTag: number) => runFilter(FILTER, bytes, { packetType: PACKET_BROADCAST, vlanTag }) > 0;
      expect([0x0000, 0xe000, 0x0001, 0xe064, 0x0fff].map(outcome)).toEqual([true, true, false, false, false]);
      const inBand = Uint8Array.from([...bytes.subarray(0, 12), ...hex('8100 0064'), ...bytes.subarray(12)]);
      expect(passes(FILTER, inBand)).toBe(false);
    }
  });

  it('drops what comes back from its own MAC, and only that', () => {
    const filter = neighborFilter({ ipv4: [V4], ipv6: [V6], ownMac: MAC });
    for (const address of [V4, V6]) {
      expect(framesAbout(address, MAC).some((bytes) => passes(filter, bytes))).toBe(false);
      for (const other of ['02:00:00:00:00:0b', '03:00:00:00:00:0a']) {
        expect(framesAbout(address, mac(other)).every((bytes) => passes(filter, bytes))).toBe(true);
      }
    }
  });

  it.each([
    ['hop limit 254', 21, 254],
    ['another next header', 20, 17],
    ['a router advertisement', 54, 134],
    ['a redirect', 54, 137],
    ['another EtherType', 13, 0xde],
  ])('drops a neighbor discovery frame with %s', (_, offset, value) => {
    for (const bytes of framesAbout(V6)) {
      bytes[offset] = value;
      expect(passes(FILTER, bytes)).toBe(false);
    }
  });

  it.each([
    ['another hardware type', 15, 6],
    ['another protocol type', 16, 0x86],
    ['another hardware address length', 18, 20],
    ['another protocol address length', 19, 16],
  ])('drops an ARP frame with %s', (_, offset, value) => {
    for (const bytes of framesAbout(V4)) {
      bytes[offset] = value;
      expect(passes(FILTER, bytes)).toBe(false);
    }
  });

  it('drops every truncation that cuts off what it looks at', () => {
    for (const [address, end] of [
      [V4, 42],
      [V6, 78],
    ] as const) {
      for (const bytes of framesAbout(address)) {
        for (let length = 0; length < end; length += 1) {
          // An ARP sender that is ours is seen before the target is missing.
          const isSenderThere = address === V4 && length >= 32 && !isZero(bytes.subarray(28, 32));
          expect(passes(FILTER, bytes.subarray(0, length))).toBe(isSenderThere);
        }
      }
    }
  });

  it('agrees with the decoders on frames with random changes', () => {
    const own = [V4, V6];
    let state = seed(1);
    const below = (limit: number): number => {
      const [value, next] = nextRandom(state);
      state = next;
      return Math.floor(value * limit);
    };
    const seen = { passed: 0, dropped: 0 };
    const originals = [...framesAbout(V4), ...framesAbout(V6), ...readFrames().values()];
    for (let round = 0; round < 10_000; round += 1) {
      const bytes = Uint8Array.from(originals[below(originals.length)] ?? []);
      for (let changes = below(3); changes > 0; changes -= 1) bytes[below(bytes.length)] = below(256);
      const isPassed = passes(FILTER, bytes);
      seen[isPassed ? 'passed' : 'dropped'] += 1;
      // Whatever a decoder finds about our addresses has passed; the filter does not check all that the decoder does.
      if (isAbout(bytes, own)) expect(isPassed).toBe(true);
      else if (isPassed) expect(isRefused(bytes)).toBe(true);
    }
    expect(seen.passed).toBeGreaterThan(2500);
    expect(seen.dropped).toBeGreaterThan(500);
  });

  it('keeps families apart', () => {
    expect(() => neighborFilter({ ipv4: [V6], ipv6: [] })).toThrow(InvariantError);
    expect(() => neighborFilter({ ipv4: [], ipv6: [V4] })).toThrow(InvariantError);
  });
});

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((octet) => octet === 0);
}

function isAbout(bytes: Uint8Array, own: readonly Ip[]): boolean {
  const isOwn = (found: Ip): boolean => own.some((address) => isSameIp(address, found));
  const arp = decodeArpFrame(bytes);
  if (arp.ok) return isOwn(arp.value.senderIp) || isOwn(arp.value.targetIp);
  const ndp = decodeNdpFrame(bytes);
  return ndp.ok && isOwn(ndp.value.message.target);
}

function isRefused(bytes: Uint8Array): boolean {
  return !decodeArpFrame(bytes).ok && !decodeNdpFrame(bytes).ok;
}

describe('the neighbor filter for many addresses', () => {
  const ipv4 = (count: number, step: number): readonly Ip[] =>
    Array.from({ length: count }, (_, index) => ip([10, ...octets3(index * step)].join('.')));
  const ipv6 = (count: number, step: number): readonly Ip[] =>
    Array.from({ length: count }, (_, index) =>
      ip(`fd99:${(index * 7919).toString(16).slice(-4)}::${(index * step).toString(16).slice(-4)}`),
    );

  it.each([1, 2, 50, EXACT_MAX])('passes each of %i and no other', (count) => {
    const options = { ipv4: ipv4(count, 1), ipv6: ipv6(count, 1) };
    const filter = neighborFilter({ ...options, ownMac: mac('02:00:00:00:00:ff') });
    expect(isNeighborFilterExact(options)).toBe(true);
    for (const address of [...options.ipv4, ...options.ipv6]) {
      expect(framesAbout(address).every((bytes) => passes(filter, bytes))).toBe(true);
    }
    for (const address of [...ipv4(count + 50, 1).slice(count), ip('11.0.0.0'), ip('fd99::f:0'), ip('fe80::1')]) {
      expect(framesAbout(address).some((bytes) => passes(filter, bytes))).toBe(false);
    }
  });

  it.each([
    [EXACT_MAX + 1, 1],
    [1000, 1],
    [1000, 256],
    [1000, 4099],
    [5000, 3301],
  ])('passes each of %i that are %i apart, within the size the kernel grants', (count, step) => {
    const options = { ipv4: ipv4(count, step), ipv6: ipv6(count, step) };
    const filter = neighborFilter({ ...options, ownMac: mac('02:00:00:00:00:ff') });
    expect(isNeighborFilterExact(options)).toBe(false);
    // net.core.optmem_max is 20,480 octets on older kernels; old and new program, translated, must fit in together.
    expect(filter.length / INSTRUCTION_LENGTH).toBeLessThan(400);
    const all = [...options.ipv4, ...options.ipv6];
    expect(all.filter((address) => !framesAbout(address).every((bytes) => passes(filter, bytes)))).toEqual([]);
  });

  it('says which further addresses it passes as it is', () => {
    const options = { ipv4: ipv4(1000, 4), ipv6: ipv6(300, 1) };
    const filter = neighborFilter(options);
    const prefixes = filteredPrefixes([...options.ipv4, ...options.ipv6]);
    const others = [...ipv4(3000, 7), ip('11.0.0.1'), ip('fd99::1'), ip('2001:db8::1'), ...ipv6(400, 3)];
    const passed = others.map((address) => framesAbout(address).some((bytes) => passes(filter, bytes)));
    expect(others.map((address) => prefixes.has(address))).toEqual(passed);
    expect(new Set(passed).size).toBe(2);
  });

  it('still drops strangers when its addresses are a pool', () => {
    const filter = neighborFilter({ ipv4: ipv4(1000, 1), ipv6: [] });
    for (const address of ['10.1.0.0', '11.0.0.1', '192.0.2.1']) {
      expect(framesAbout(ip(address)).some((bytes) => passes(filter, bytes))).toBe(false);
    }
  });

  it('counts an address once', () => {
    const options = { ipv4: Array.from({ length: 500 }, () => V4), ipv6: [] };
    expect(isNeighborFilterExact(options)).toBe(true);
    expect(neighborFilter(options)).toEqual(neighborFilter({ ipv4: [V4], ipv6: [] }));
  });
});

function octets3(value: number): readonly number[] {
  return [(value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff];
}
