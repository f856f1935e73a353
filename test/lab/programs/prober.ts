/**
 * Runs on the lab's client: sends a small UDP probe to each target every few milliseconds and reports what was sent and
 * what came back, in batches, one JSON object a line: {target, first, sent: [ms…], got: [[number, ms, name]…]}.
 *
 *     node prober.ts INTERVAL_MS PORT ADDRESS…
 */

import { createSocket, type Socket } from 'node:dgram';

import { nowMs } from '../clock.ts';

const BATCH_MS = 20;
/** Octets of a probe: its number. */
const PROBE_BYTES = 8;

interface Target {
  readonly address: string;
  readonly socket: Socket;
  first: number;
  sent: number[];
  got: [number, number, string][];
}

const [interval = '2', port = '7', ...addresses] = process.argv.slice(2);
const targets = addresses.map((address): Target => {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const target: Target = { address, socket, first: 0, sent: [], got: [] };
  socket.on('message', (message) => {
    const at = nowMs();
    if (message.length < PROBE_BYTES) return;
    target.got.push([message.readDoubleBE(0), at, message.subarray(PROBE_BYTES).toString()]);
  });
  // Unreachable for a while is what a prober is for.
  socket.on('error', () => {});
  socket.bind();
  return target;
});

function send(target: Target): void {
  const probe = Buffer.allocUnsafe(PROBE_BYTES);
  probe.writeDoubleBE(target.first + target.sent.length);
  target.sent.push(nowMs());
  target.socket.send(probe, Number(port), target.address, () => {});
}

function report(): void {
  for (const target of targets) {
    const { address, first, sent, got } = target;
    console.log(JSON.stringify({ target: address, first, sent, got, at: nowMs() }));
    target.first += sent.length;
    target.sent = [];
    target.got = [];
  }
}

setInterval(() => {
  for (const target of targets) send(target);
}, Number(interval));
setInterval(report, BATCH_MS);
process.on('SIGTERM', () => {
  report();
  process.exit(0);
});
