/** Who is at the other end of a unix socket, as the kernel saw it when they connected (unix(7), SO_PEERCRED). */

import type { Socket } from 'node:net';
import { ByteReader } from '../base/bytes.ts';
import type { Netfd } from './netfd.ts';

/** asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid. */
const CREDENTIALS_BYTES = 12;
const USER_OFFSET = 4;

/** The user id of the peer's process; undefined when the kernel doesn't say (the socket is no unix socket, or closed). */
export function peerUser(netfd: Pick<Netfd, 'getsockopt'>, socket: Socket): number | undefined {
  // Node keeps the descriptor in the socket's handle and has no public accessor for it.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = handle?.fd;
  if (typeof fd !== 'number' || fd < 0) return undefined;
  const credentials = netfd.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, CREDENTIALS_BYTES);
  if (typeof credentials === 'number' || credentials.length !== CREDENTIALS_BYTES) return undefined;
  return new ByteReader(credentials, USER_OFFSET).u32le();
}
