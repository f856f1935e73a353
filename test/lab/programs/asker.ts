/**
 * Runs on the lab's client: asks the wire for each of many addresses (ARP, neighbour solicitation) until somebody else's
 * machine answers, and reports who was first and when: a line of JSON, [[address, ms, MAC]…], for those of the last few
 * milliseconds. What is announced is asked for at once and then again each RETRY_MS; all others in turn, a few at a time,
 * lest the questions be the load.
 *
 *     node asker.ts FILE INTERFACE IPV4 IPV6 [MAC…]     FILE: a JSON list of addresses; MAC: whose answers don't count
 */

import { readFileSync } from 'node:fs';

import { ipFromBytes, parseIp, type Ip } from '../../../src/base/ip.ts';
import { MAC_BROADCAST, MAC_ZERO, macFromBytes, type Mac } from '../../../src/base/mac.ts';
import { encodeArpPacket, ARP_REQUEST } from '../../../src/protocol/arp/arp.ts';
import { encodeEthernetFrame, ETHERTYPE_ARP } from '../../../src/protocol/ethernet/ethernet.ts';
import { neighborSolicitationFrame } from '../../../src/protocol/ndp/frames.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { openPacketSocket } from '../../../src/system/packet-socket.ts';
import { nowMs } from '../clock.ts';

/** Of one that was announced. */
const RETRY_MS = 10;
const RETRIES_MAX = 50;
/** Those that were not: so many a tick, and each not oftener than this. */
const TICK_MS = 4;
const PER_TICK = 2;
const AGAIN_MS = 40;
const REPORT_MS = 20;
/** Classic BPF: everything passes (BPF_RET | BPF_K, all octets). */
const EVERYTHING = Uint8Array.of(0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff);

interface Wanted {
  readonly text: string;
  readonly question: Uint8Array;
  askedAt: number;
  /** Questions left because of an announcement. */
  retries: number;
}

const [file = '', interfaceName = '', ipv4 = '', ipv6 = '', ...ignored] = process.argv.slice(2);
const netfd = loadNetfd();
const found: [string, number, string][] = [];
const wanted = new Map<string, Wanted>();
const announced = new Set<Wanted>();

const ifindex = netfd.interfaceIndex(interfaceName);
const socket = openPacketSocket(netfd, {
  ifindex,
  filter: EVERYTHING,
  onFrame: (frame) => hear(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)),
  onError: (error) => {
    throw error;
  },
});
const own = socket.hardwareAddress();
if (own === undefined) throw new Error(`${interfaceName} has no hardware address`);

// The file is the lab's own.
for (const text of JSON.parse(readFileSync(file, 'utf8')) as readonly string[]) {
  const ip = addressOf(text);
  wanted.set(keyOf(ip.bytes), { text: ip.text, question: questionFor(ip, own), askedAt: 0, retries: 0 });
}
let turn = wanted.values();
console.log('ready');

setInterval(() => {
  const now = nowMs();
  for (const each of announced) {
    if (each.retries === 0) announced.delete(each);
    else if (now - each.askedAt >= RETRY_MS) ask(each);
  }
  for (let count = 0; count < PER_TICK && wanted.size > 0; count += 1) {
    let next = turn.next();
    if (next.done === true) {
      turn = wanted.values();
      next = turn.next();
    }
    if (next.done !== true && now - next.value.askedAt >= AGAIN_MS) ask(next.value);
  }
}, TICK_MS);

setInterval(() => {
  if (found.length > 0) console.log(JSON.stringify(found.splice(0)));
}, REPORT_MS);

function ask(each: Wanted): void {
  each.askedAt = nowMs();
  each.retries = Math.max(0, each.retries - 1);
  try {
    socket.send(each.question);
  } catch {
    // The queue is full, or the cable is out: asked again.
  }
}

function hear(frame: Buffer): void {
  const heard = frame.readUInt16BE(12) === 0x0806 ? hearArp(frame) : hearNeighbor(frame);
  if (heard === undefined || ignored.includes(heard.mac)) return;
  const each = wanted.get(heard.key);
  if (each === undefined) return;
  if (heard.isAnswer) {
    wanted.delete(heard.key);
    announced.delete(each);
    found.push([each.text, nowMs(), heard.mac]);
  } else if (each.retries === 0) {
    each.retries = RETRIES_MAX;
    announced.add(each);
    ask(each);
  }
}

interface Heard {
  readonly key: string;
  readonly mac: string;
  /** To us, after our question; else an announcement. */
  readonly isAnswer: boolean;
}

function hearArp(frame: Buffer): Heard | undefined {
  if (frame.length < 42) return undefined;
  const isAnswer = frame.readUInt16BE(20) === 2 && isToUs(frame);
  return { key: keyOf(frame.subarray(28, 32)), mac: macFromBytes(frame.subarray(22, 28)).text, isAnswer };
}

/** An advertisement (ICMPv6 type 136); the solicited flag is 0x40. */
function hearNeighbor(frame: Buffer): Heard | undefined {
  if (frame.length < 78 || frame.readUInt16BE(12) !== 0x86dd || frame[20] !== 58 || frame[54] !== 136) return undefined;
  const isAnswer = ((frame[58] ?? 0) & 0x40) !== 0 && isToUs(frame);
  return { key: keyOf(frame.subarray(62, 78)), mac: macFromBytes(frame.subarray(6, 12)).text, isAnswer };
}

function isToUs(frame: Buffer): boolean {
  return own !== undefined && frame.subarray(0, 6).equals(own.bytes);
}

function questionFor(ip: Ip, mac: Mac): Uint8Array {
  if (ip.family === 'ipv6') return neighborSolicitationFrame({ mac, source: addressOf(ipv6), target: ip });
  const senderIp = addressOf(ipv4);
  const packet = { operation: ARP_REQUEST, senderMac: mac, senderIp, targetMac: MAC_ZERO, targetIp: ip } as const;
  return encodeEthernetFrame(
    { destination: MAC_BROADCAST, source: mac, etherType: ETHERTYPE_ARP },
    encodeArpPacket(packet),
  );
}

function addressOf(text: string): Ip {
  const ip = parseIp(text);
  if (!ip.ok) throw new Error(`${text} is no address`);
  return ip.value;
}

function keyOf(bytes: Uint8Array): string {
  return ipFromBytes(bytes).text;
}
