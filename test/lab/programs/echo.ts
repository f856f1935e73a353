/**
 * Runs on a node of the lab: answers UDP probes on every address of the node, whichever come and go, with its name. (A
 * wildcard socket replies from the node's own address; the prober goes by the content.)
 *
 *     node echo.ts NAME PORT
 */

import { createSocket } from 'node:dgram';

const [name = '', port = '7'] = process.argv.slice(2);
const suffix = Buffer.from(name);

for (const [type, address] of [
  ['udp4', '0.0.0.0'],
  ['udp6', '::'],
] as const) {
  const socket = createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (message, from) => {
    socket.send([message, suffix], from.port, from.address, () => {});
  });
  socket.on('error', (error) => console.error(error.message));
  socket.bind(Number(port), address);
}
console.log('ready');
