/**
 * Runs on the lab's client: makes a new TLS connection to each target every few milliseconds, as a new kubectl would,
 * verifying the server's certificate against the CA and the address asked. One JSON object a line and attempt:
 * {target, sent, answered?, by?, error?}; `by` is the first DNS name in the certificate.
 *
 *     node tls-prober.ts INTERVAL_MS TIMEOUT_MS CA_FILE URL…
 */

import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';

import { nowMs } from '../clock.ts';

const [interval = '50', timeout = '1000', caFile = '', ...urls] = process.argv.slice(2);
const ca = readFileSync(caFile, 'utf8');

function attempt(url: URL): void {
  const sent = nowMs();
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = connect({ host, port: Number(url.port), ca });
  let isOver = false;
  const finish = (outcome: object): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    socket.destroy();
    console.log(JSON.stringify({ target: url.href, sent, ...outcome }));
  };
  const timer = setTimeout(() => finish({ error: 'ETIMEDOUT' }), Number(timeout));
  socket.on('secureConnect', () => {
    const by = /DNS:([^,]+)/.exec(socket.getPeerCertificate().subjectaltname ?? '')?.[1];
    finish({ answered: nowMs(), by });
  });
  socket.on('error', (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message }));
}

setInterval(() => {
  for (const url of urls) attempt(new URL(url));
}, Number(interval));
process.on('SIGTERM', () => process.exit(0));
