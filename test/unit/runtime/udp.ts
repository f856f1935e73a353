/** UDP on loopback for tests: ports nobody has, and a man in the middle who keeps what he sees. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** A port that is free in both families, below the range that the kernel hands out by itself. */
export async function freeUdpPort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const socket = createSocket({ type: 'udp6', ipv6Only: false });
    const isFree = await new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(false));
      socket.bind(port, '::', () => resolve(true));
    });
    await new Promise<void>((resolve) => (isFree ? socket.close(() => resolve()) : resolve()));
    if (isFree) return port;
  }
}

/** Stands between two senders: each sends to `port`, and `relay` says what goes on to where. */
export interface Middleman {
  readonly port: number;
  /** Datagrams that came, oldest first. */
  readonly seen: Uint8Array[];
  /** What to do with each; default nothing. */
  onDatagram: (datagram: Uint8Array) => void;
  send(datagram: Uint8Array, port: number): void;
  close(): void;
}

export async function openMiddleman(address = '127.0.0.1', port = 0): Promise<Middleman> {
  const socket: Socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(port, address);
  await once(socket, 'listening');
  socket.setTTL(255);
  const middleman: Middleman = {
    port: socket.address().port,
    seen: [],
    onDatagram: () => undefined,
    send: (datagram, to) => socket.send(datagram, to, address),
    close: () => socket.close(),
  };
  socket.on('message', (message) => {
    const datagram = Uint8Array.from(message);
    middleman.seen.push(datagram);
    middleman.onDatagram(datagram);
  });
  return middleman;
}
