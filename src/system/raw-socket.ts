/**
 * Sends IPv4 packets whose header is ours (raw(7), IPPROTO_RAW): with a source that is not, or no longer, an address of
 * this machine. Receives nothing. Needs NET_RAW.
 */

import { HoldfastError } from '../base/errors.ts';
import { errnoName } from './errno.ts';
import type { Netfd } from './netfd.ts';

/** linux/socket.h, linux/in.h. */
const AF_INET = 2;
const SOCK_RAW = 3;
const IPPROTO_RAW = 255;
/** Octets of struct sockaddr_in, and where its sin_addr is. */
const SOCKADDR_BYTES = 16;
const SOCKADDR_ADDRESS_OFFSET = 4;

export interface RawSocket {
  /** Best effort: a packet that can't leave is lost like one on the way. */
  send(packet: Uint8Array, destination: Uint8Array): void;
  close(): void;
}

/** @throws HoldfastError FRAME_SEND_FAILED when the socket can't be opened. */
export function openRawSocket(netfd: Netfd): RawSocket {
  const fd = netfd.socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (fd < 0) {
    const errno = errnoName(fd);
    throw new HoldfastError('FRAME_SEND_FAILED', `opening a raw socket: ${errno}`, { context: { errno } });
  }
  return {
    send: (packet, destination) => {
      const address = new Uint8Array(SOCKADDR_BYTES);
      new DataView(address.buffer).setUint16(0, AF_INET, true);
      address.set(destination, SOCKADDR_ADDRESS_OFFSET);
      netfd.send(fd, packet, address);
    },
    close: () => void netfd.close(fd),
  };
}
