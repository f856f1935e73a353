/**
 * The candidates' heartbeats on the wire: every UDP datagram to their port that enters a port of the lab's switch, with
 * the time and the port, which is the node that sent it. What is in them is read with the product's own codec; whether
 * the tag is right, nobody here knows.
 */

import { decodeHeartbeat, type HeartbeatDatagram } from '../../src/protocol/heartbeat/heartbeat.ts';
import { nowMs } from './clock.ts';
import type { Lab, LabNode } from './lab.ts';
import { expectNoErrno, inNamespace, netfd } from './namespace.ts';

export interface CapturedHeartbeat {
  readonly atMs: number;
  /** Node whose port it came in by. */
  readonly from: string;
  /** Node it was sent to, by its hardware address. */
  readonly to: string;
  /** Octets of the Ethernet frame. */
  readonly length: number;
  readonly beat: HeartbeatDatagram;
}

const AF_PACKET = 17;
const SOCK_RAW = 3;
/** ETH_P_ALL, in network order. */
const EVERY_PROTOCOL = 0x0300;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const PROTOCOL_UDP = 17;
const PACKET_OUTGOING = 4;
const FRAME_BYTES = 2048;
const ETHERNET = 14;
const IPV6 = 40;
const UDP = 8;
/** Kept; the oldest go first: ten minutes of three nodes. */
const BEATS_MAX = 50_000;

export class HeartbeatCapture {
  readonly beats: CapturedHeartbeat[] = [];
  readonly #lab: Lab;
  readonly #fd: number;

  constructor(lab: Lab, port: number) {
    this.#lab = lab;
    this.#fd = inNamespace(lab.switchNamespace, () => netfd().socket(AF_PACKET, SOCK_RAW, EVERY_PROTOCOL));
    expectNoErrno(this.#fd, 'packet socket');
    expectNoErrno(netfd().attachFilter(this.#fd, filter(port)), 'filter');
    expectNoErrno(
      netfd().watch(this.#fd, () => this.#drain()),
      'watch',
    );
  }

  close(): void {
    netfd().close(this.#fd);
  }

  #drain(): void {
    for (;;) {
      const datagram = netfd().receive(this.#fd, FRAME_BYTES);
      if (typeof datagram === 'number') return;
      const atMs = nowMs();
      const address = Buffer.from(datagram.from);
      // struct sockaddr_ll (packet(7)): ifindex at 4, packet type at 10.
      if (address.length < 12 || address[10] === PACKET_OUTGOING) continue;
      const from = this.#nodeAt(address.readInt32LE(4));
      const frame = Buffer.from(datagram.data);
      const beat = payloadOf(frame);
      if (from === undefined || beat === undefined) continue;
      const to = this.#lab.nodes.find(({ mac }) => frame.toString('hex', 0, 6) === mac.replaceAll(':', ''));
      this.beats.push({ atMs, from: from.name, to: to?.name ?? '', length: frame.length, beat });
      if (this.beats.length > BEATS_MAX) this.beats.shift();
    }
  }

  /** Asked each time: a node that was off comes back at another port number. */
  #nodeAt(ifindex: number): LabNode | undefined {
    const name = inNamespace(this.#lab.switchNamespace, () => netfd().interfaceName(ifindex));
    return this.#lab.nodes.find(({ port }) => port === name);
  }
}

function payloadOf(frame: Buffer): HeartbeatDatagram | undefined {
  const isIpv6 = frame.readUInt16BE(12) === ETH_P_IPV6;
  const header = isIpv6 ? IPV6 : ((frame[ETHERNET] ?? 0) & 0x0f) * 4;
  const decoded = decodeHeartbeat(frame.subarray(ETHERNET + header + UDP));
  return decoded.ok ? decoded.value.beat : undefined;
}

/** Classic BPF: UDP to `port`, in IPv4 with whatever options, or as the first header in IPv6. */
function filter(port: number): Uint8Array {
  const program: readonly (readonly [number, number, number, number])[] = [
    [0x28, 0, 0, 12], // ldh ethertype
    [0x15, 0, 4, ETH_P_IPV6], // jeq ipv6, else IPv4
    [0x30, 0, 0, 20], // ldb next header
    [0x15, 0, 9, PROTOCOL_UDP], // jeq udp, else drop
    [0x28, 0, 0, ETHERNET + IPV6 + 2], // ldh destination port
    [0x15, 6, 7, port], // jeq port → accept, else drop
    [0x15, 0, 6, ETH_P_IP], // jeq ipv4, else drop
    [0x30, 0, 0, 23], // ldb protocol
    [0x15, 0, 4, PROTOCOL_UDP], // jeq udp, else drop
    [0xb1, 0, 0, ETHERNET], // ldx 4 × (ihl)
    [0x48, 0, 0, ETHERNET + 2], // ldh [x + destination port]
    [0x15, 0, 1, port], // jeq port → accept, else drop
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
