/**
 * The embedded API server as a program:
 *
 *     node test/embedded-api/main.ts --listen 127.0.0.1:6443 --kubeconfig-out FILE [--tls] [--name NAME …]
 *         [--server URL] [--bookmark-interval MS]
 *
 * Prints `listening on URL` once it answers, and serves until it is told to stop. SIGUSR2 takes it away as a dead API
 * server (connections refused, watches cut, everything stored kept) and brings it back, saying `paused N`, `resumed N`.
 * --name adds a name or address to the
 * TLS certificate; --server is what the kubeconfig says instead of the address listened on.
 */

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { EmbeddedApi } from './server.ts';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:0' },
    'kubeconfig-out': { type: 'string' },
    tls: { type: 'boolean', default: false },
    name: { type: 'string', multiple: true, default: [] },
    server: { type: 'string' },
    'bookmark-interval': { type: 'string', default: '60000' },
  },
});

const separator = values.listen.lastIndexOf(':');
const host = values.listen.slice(0, separator).replace(/^\[|\]$/g, '');
const api = new EmbeddedApi({
  host,
  port: Number(values.listen.slice(separator + 1)),
  bookmarkIntervalMs: Number(values['bookmark-interval']),
  ...(values.tls ? { tls: { names: [...new Set([host, 'kubernetes', ...values.name])] } } : {}),
});
await api.start();
const server = values.server ?? api.url;
if (values['kubeconfig-out'] !== undefined) {
  writeFileSync(values['kubeconfig-out'], api.kubeconfig('kubernetes-admin', ['system:masters'], server), {
    mode: 0o600,
  });
}
console.log(`listening on ${api.url}`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    void api.stop().then(() => process.exit(0));
  });
}

let toggles = 0;
// While it is away nothing else keeps the process.
setInterval(() => {}, 60_000);
process.on('SIGUSR2', () => {
  toggles += 1;
  const count = toggles;
  const isPause = count % 2 === 1;
  void (isPause ? api.stop() : api.start()).then(() => console.log(`${isPause ? 'paused' : 'resumed'} ${count}`));
});
