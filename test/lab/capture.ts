/**
 * What goes over the wire about an address: every ARP packet and every neighbour solicitation and advertisement that
 * enters a port of the lab's switch, with the time and the port, which is the node that sent it whatever it claims. An
 * asker can be started beside it that keeps asking who has the address, as a newcomer on the segment would, so that
 * answers show who answers when. Decoded here by hand, apart from the product's own codecs (RFC 826, RFC 4861 §4.3, §4.4).
 */

import { parseIp, ipFromBytes, type Ip } from '../../src/base/ip.ts';
import { macFromBytes } from '../../src/base/mac.ts';
import { nowMs } from './clock.ts';
import type { Lab, LabNode } from './lab.ts';
import { expectNoErrno, inNamespace, netfd } from './namespace.ts';

export interface NeighbourFrame {
  readonly atMs: number;
  /** Name of the node (or `client`) whose port it came in by. */
  readonly from: string;
  readonly kind: 'arp-request' | 'arp-reply' | 'solicitation' | 'advertisement';
  /** Source of the Ethernet frame. */
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** Address the frame is about: ARP's target (or sender, where they are the same), the message's target address. */
  readonly address: string;
  /** ARP's sender address, or the IPv6 source. */
  readonly sender: string;
  /** Sender hardware address, or the link-layer address option. */
  readonly hardware: string | undefined;
  /** Nobody asked: ARP with sender = target, or an advertisement without the solicited flag. */
  readonly isGratuitous: boolean;
  readonly bytes: Uint8Array;
}

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0003;
const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
const PACKET_OUTGOING = 4;
const FRAME_BYTES = 2048;
/** Frames kept; the oldest are dropped first. */
const FRAMES_MAX = 100_000;

export class Capture {
  readonly frames: NeighbourFrame[] = [];
  readonly #lab: Lab;
  readonly #fd: number;
  /** Interface index of a switch port → its name, as far as seen. */
  readonly #ports = new Map<number, string>();
  #asker: NodeJS.Timeout | undefined;
  #askFd: number | undefined;

  constructor(lab: Lab) {
    this.#lab = lab;
    this.#fd = inNamespace(lab.switchNamespace, () => netfd().socket(AF_PACKET, SOCK_RAW, networkOrder(ETH_P_ALL)));
    expectNoErrno(this.#fd, 'packet socket');
    expectNoErrno(netfd().attachFilter(this.#fd, neighbourFilter()), 'filter');
    expectNoErrno(
      netfd().watch(this.#fd, () => this.#drain()),
      'watch',
    );
  }

  /** Frames about one address since a moment. */
  about(address: string, fromMs = 0): readonly NeighbourFrame[] {
    return this.frames.filter((frame) => frame.atMs >= fromMs && frame.address === address);
  }

  /** Announcements nobody asked for: gratuitous ARP and unsolicited advertisements. */
  announcements(address: string, fromMs = 0): readonly NeighbourFrame[] {
    return this.about(address, fromMs).filter(
      (frame) => frame.isGratuitous && frame.sender !== '0.0.0.0' && frame.kind !== 'solicitation',
    );
  }

  /** Answers to somebody's question: who claims the address towards whom. */
  answers(address: string, fromMs = 0): readonly NeighbourFrame[] {
    return this.frames.filter(
      (frame) =>
        frame.atMs >= fromMs &&
        !frame.isGratuitous &&
        ((frame.kind === 'arp-reply' && frame.sender === address) ||
          (frame.kind === 'advertisement' && frame.address === address)),
    );
  }

  /**
   * Keeps asking for the addresses from the switch's own address, every `everyMs`, by broadcast (multicast). An ordinary
   * question, not an RFC 5227 probe: nobody is provoked to defend.
   */
  ask(addresses: readonly string[], everyMs = 10): void {
    const { fd, ifindex, mac } = inNamespace(this.#lab.switchNamespace, () => {
      const socket = netfd().socket(AF_PACKET, SOCK_RAW, 0);
      return { fd: socket, ifindex: netfd().interfaceIndex('br0'), mac: this.#lab.switchMac() };
    });
    expectNoErrno(fd, 'packet socket');
    this.#askFd = fd;
    const to = linkLayerAddress(ifindex);
    const questions = addresses.map((text) => {
      const target = parseIp(text);
      const source = parseIp(text.includes(':') ? this.#lab.switchIpv6 : this.#lab.switchIpv4);
      if (!target.ok || !source.ok) throw new Error(`${text} is no address`);
      return question(mac, source.value, target.value);
    });
    this.#asker = setInterval(() => {
      for (const frame of questions) netfd().send(fd, frame, to);
    }, everyMs);
  }

  /**
   * The longest time, ms, over which two or more nodes answered for the address in turns: from the first answer of the
   * newcomer to the last of the one before. Answers of `apart` (nodes behind a cut, when they come back) don't count.
   */
  longestSharedMs(address: string, fromMs: number, apart: readonly string[] = []): number {
    const spans = new Map<string, { first: number; last: number }>();
    for (const { from, atMs } of this.answers(address, fromMs)) {
      if (apart.includes(from)) continue;
      const span = spans.get(from);
      if (span === undefined) spans.set(from, { first: atMs, last: atMs });
      else span.last = atMs;
    }
    let longest = 0;
    for (const [a, one] of spans) {
      for (const [b, other] of spans) {
        if (a < b) longest = Math.max(longest, Math.min(one.last, other.last) - Math.max(one.first, other.first));
      }
    }
    return longest;
  }

  close(): void {
    clearInterval(this.#asker);
    if (this.#askFd !== undefined) netfd().close(this.#askFd);
    netfd().close(this.#fd);
  }

  #drain(): void {
    for (;;) {
      const datagram = netfd().receive(this.#fd, FRAME_BYTES);
      if (typeof datagram === 'number') return;
      const atMs = nowMs();
      const from = Buffer.from(datagram.from);
      // struct sockaddr_ll (packet(7)): ifindex at 4, packet type at 10.
      if (from.length < 12 || from[10] === PACKET_OUTGOING) continue;
      const member = this.#memberOf(from.readInt32LE(4));
      if (member === undefined) continue;
      const frame = decodeNeighbourFrame(Buffer.from(datagram.data));
      if (frame === undefined) continue;
      this.frames.push({ atMs, from: member.name, ...frame });
      if (this.frames.length > FRAMES_MAX) this.frames.shift();
    }
  }

  #memberOf(ifindex: number): LabNode | undefined {
    let port = this.#ports.get(ifindex);
    if (port === undefined) {
      const name = inNamespace(this.#lab.switchNamespace, () => netfd().interfaceName(ifindex));
      if (typeof name === 'number') return undefined;
      port = name;
      this.#ports.set(ifindex, port);
    }
    return [...this.#lab.nodes, this.#lab.client].find((member) => member.port === port);
  }
}

/** An ARP packet, or a neighbour solicitation or advertisement; undefined for anything else. */
export function decodeNeighbourFrame(bytes: Buffer): Omit<NeighbourFrame, 'atMs' | 'from'> | undefined {
  if (bytes.length < 42) return undefined;
  const head = { sourceMac: mac(bytes, 6), destinationMac: mac(bytes, 0), bytes };
  const type = bytes.readUInt16BE(12);
  if (type === ETH_P_ARP) {
    const operation = bytes.readUInt16BE(20);
    const sender = ip(bytes, 28, 4);
    const target = ip(bytes, 38, 4);
    return {
      ...head,
      kind: operation === 1 ? 'arp-request' : 'arp-reply',
      address: target,
      sender,
      hardware: mac(bytes, 22),
      isGratuitous: sender === target,
    };
  }
  // Ethernet 14, IPv6 40, then type, code, checksum, flags, target: 24 octets at least.
  if (type !== ETH_P_IPV6 || bytes.length < 78 || bytes[20] !== 58) return undefined;
  const message = bytes[54];
  if (message !== 135 && message !== 136) return undefined;
  const isSolicited = ((bytes[58] ?? 0) & 0x40) !== 0;
  return {
    ...head,
    kind: message === 135 ? 'solicitation' : 'advertisement',
    address: ip(bytes, 62, 16),
    sender: ip(bytes, 22, 16),
    hardware: bytes.length >= 86 && (bytes[78] === 1 || bytes[78] === 2) ? mac(bytes, 80) : undefined,
    isGratuitous: message === 136 && !isSolicited,
  };
}

function mac(bytes: Buffer, offset: number): string {
  return macFromBytes(bytes.subarray(offset, offset + 6)).text;
}

function ip(bytes: Buffer, offset: number, length: number): string {
  return ipFromBytes(bytes.subarray(offset, offset + length)).text;
}

/** Who has `target`? Asked by broadcast, or by the solicited-node multicast group. */
function question(sourceMac: Buffer, source: Ip, target: Ip): Buffer {
  if (target.family === 'ipv4') {
    const type = Buffer.from([0x08, 0x06]);
    // Ethernet, IPv4, 6 and 4 octets, request.
    const fixed = Buffer.from('0001080006040001', 'hex');
    const ethernet = Buffer.concat([Buffer.alloc(6, 0xff), sourceMac, type]);
    return Buffer.concat([ethernet, fixed, sourceMac, source.bytes, Buffer.alloc(6), target.bytes]);
  }
  const group = Buffer.concat([Buffer.from('ff0200000000000000000001ff', 'hex'), target.bytes.subarray(13)]);
  const groupMac = Buffer.concat([Buffer.from([0x33, 0x33]), group.subarray(12)]);
  const solicitation = Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]);
  const body = Buffer.concat([solicitation, target.bytes, Buffer.from([1, 1]), sourceMac]);
  const pseudo = Buffer.concat([source.bytes, group, Buffer.from([0, 0, 0, body.length, 0, 0, 0, 58]), body]);
  body.writeUInt16BE(checksum(pseudo), 2);
  const header = Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, body.length, 58, 255]), source.bytes, group]);
  return Buffer.concat([groupMac, sourceMac, Buffer.from([0x86, 0xdd]), header, body]);
}

/** The Internet checksum (RFC 1071) of an even number of octets. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset + 1 < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** struct sockaddr_ll for sending on an interface. */
export function linkLayerAddress(ifindex: number): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeInt32LE(ifindex, 4);
  return address;
}

function networkOrder(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

/** Classic BPF: ARP, or IPv6 with ICMPv6 type 135 or 136 as its first header. */
function neighbourFilter(): Uint8Array {
  const program: readonly (readonly [number, number, number, number])[] = [
    [0x28, 0, 0, 12], // ldh ethertype
    [0x15, 6, 0, ETH_P_ARP], // jeq arp → accept
    [0x15, 0, 6, ETH_P_IPV6], // jeq ipv6, else drop
    [0x30, 0, 0, 20], // ldb next header
    [0x15, 0, 4, 58], // jeq icmpv6, else drop
    [0x30, 0, 0, 54], // ldb type
    [0x15, 1, 0, 135], // jeq solicitation → accept
    [0x15, 0, 1, 136], // jeq advertisement, else drop
    [0x06, 0, 0, FRAME_BYTES], // accept
    [0x06, 0, 0, 0], // drop
  ];
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, jt, jf, k]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k, index * 8 + 4);
  }
  return bytes;
}
