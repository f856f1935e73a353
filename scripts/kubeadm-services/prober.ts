/**
 * Runs on the lab's client and asks each address what a user would: HTTP over a new connection and DNS over UDP from a new
 * port, both every 20 ms, and DNS over TCP every 200 ms. One JSON object a line and probe, on the lab's clock:
 * {kind, target, sent, answered?, by?, seen?, error?}; `by` is the node of the Pod that answered, `seen` the address that
 * it was asked from (whoami.ts).
 *
 *     node prober.ts ADDRESS…
 */

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

import { nowMs } from '../../test/lab/clock.ts';
import { decodeAnswer, encodeQuestion, type Whoami } from './whoami.ts';

const EVERY_MS = 20;
const TCP_EVERY_MS = 200;
/** The first SYN is repeated after one second: what takes that long was lost. */
const TIMEOUT_MS = 900;
const HTTP_PORT = 80;
const DNS_PORT = 53;

type Finish = (outcome: { readonly error?: string; readonly answer?: Whoami | 'ok' }) => void;

let count = 0;

/** Prints one line when the probe is over, and ends it by then at the latest. */
function probe(kind: string, target: string, start: (finish: Finish) => () => void): void {
  const sent = nowMs();
  let isOver = false;
  const finish: Finish = ({ error, answer }) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    close();
    if (answer === undefined) console.log(JSON.stringify({ kind, target, sent, error }));
    else {
      const { node: by, seen } = answer === 'ok' ? {} : answer;
      console.log(JSON.stringify({ kind, target, sent, answered: nowMs(), by, seen }));
    }
  };
  const timer = setTimeout(() => finish({ error: 'ETIMEDOUT' }), TIMEOUT_MS);
  const close = start(finish);
}

function askHttp(target: string): void {
  probe('http', target, (finish) => {
    const socket = connect({ host: target, port: HTTP_PORT });
    socket.on('connect', () => socket.write(`GET /health HTTP/1.0\r\nHost: ${target}\r\n\r\n`));
    socket.on('data', (octets) => {
      const [, status] = octets.toString('latin1').split(' ', 2);
      finish(status === '200' ? { answer: 'ok' } : { error: `HTTP ${status}` });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message }));
    socket.on('close', () => finish({ error: 'closed' }));
    return () => socket.destroy();
  });
}

function askUdp(target: string): void {
  probe('udp', target, (finish) => {
    const id = nextId();
    const socket = createSocket('udp4');
    socket.on('message', (message) => {
      const answer = decodeAnswer(message);
      if (answer?.id === id) finish({ answer });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message }));
    socket.connect(DNS_PORT, target, () => socket.send(encodeQuestion(id)));
    return () => socket.close();
  });
}

function askTcp(target: string): void {
  probe('tcp', target, (finish) => {
    const question = encodeQuestion(nextId());
    const length = Buffer.alloc(2);
    length.writeUInt16BE(question.length);
    const socket = connect({ host: target, port: DNS_PORT });
    socket.on('connect', () => socket.write(Buffer.concat([length, question])));
    let octets = Buffer.alloc(0);
    socket.on('data', (more) => {
      octets = Buffer.concat([octets, more]);
      const answer = octets.length > 2 ? decodeAnswer(octets.subarray(2)) : undefined;
      if (answer !== undefined) finish({ answer });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message }));
    socket.on('close', () => finish({ error: 'closed' }));
    return () => socket.destroy();
  });
}

function nextId(): number {
  count = (count + 1) & 0xffff;
  return count;
}

const targets = process.argv.slice(2);
setInterval(() => {
  for (const target of targets) askHttp(target);
}, EVERY_MS);
setInterval(() => {
  for (const target of targets) askUdp(target);
}, EVERY_MS);
setInterval(() => {
  for (const target of targets) askTcp(target);
}, TCP_EVERY_MS);
process.on('SIGTERM', () => process.exit(0));
