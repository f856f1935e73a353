/**
 * The UDP sockets of the heartbeats, one per address family, bound to one port on every address. Octets in, octets out:
 * what they mean is src/protocol/heartbeat, who may be believed src/runtime/heartbeats.ts.
 *
 * Datagrams leave with TTL and hop limit 255. While every peer is on this link, whatever arrives with less was forwarded
 * by a router and is dropped in the kernel (setOnLink). Buffers are small and emptied with a bound, so that a flood costs
 * the loop little; each datagram comes with how long it waited in the buffer, for one that waited long says nothing of now.
 *
 * Nothing here throws into the loop once the sockets are open: what fails is counted.
 */

import { constants } from 'node:os';

import { ByteReader, ByteWriter, viewOf } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { ipFromBytes, type Family, type Ip } from '../base/ip.ts';
import { ON_LINK_HOPS, onLinkFilter } from '../protocol/bpf/hop-limit-filter.ts';
import { errnoName } from './errno.ts';
import type { Netfd } from './netfd.ts';

/** linux/socket.h, linux/in.h, linux/in6.h, asm-generic/socket.h. */
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_SNDBUF = 7;
const SO_PRIORITY = 12;
const SO_TIMESTAMPNS = 35;
const SO_MEMINFO = 55;
const SOL_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const SOL_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
/** DSCP CS6, network control (RFC 4594 §3.2), as the routing protocols' keepalives. */
const TRAFFIC_CLASS = 0xc0;
/** TC_PRIO_CONTROL of linux/pkt_sched.h; no privilege needed up to 6. */
const PRIORITY_CONTROL = 6;
/** Place of SK_MEMINFO_DROPS among the u32 of SO_MEMINFO (linux/sock_diag.h). */
const MEMINFO_DROPS_OFFSET = 32;
const MEMINFO_BYTES = 36;
/** struct cmsghdr of 64-bit Linux (16 octets), and as much of struct timespec as says something. */
const TIMESTAMP_BYTES = 28;

/** A second of heartbeats from more peers than there may be, at the shortest interval. */
const BUFFER_BYTES = 128 << 10;
/** Datagrams per wake-up and family: under a flood the event loop still gets its turn. */
const DRAIN_MAX = 64;

const { EAGAIN, EADDRINUSE, EAFNOSUPPORT, EADDRNOTAVAIL } = constants.errno;

export interface ReceivedDatagram {
  /** The octets; the receiver's to keep. What is longer than the capacity is cut one octet behind it. */
  readonly data: Uint8Array;
  readonly family: Family;
  /** The sender's address, worked out when asked for. */
  readonly from: () => Ip;
  /** How long ago the kernel received it, ms by the wall clock: 0 when that was set back meanwhile. */
  readonly waitedMs: number;
}

/** Where to send, as the kernel takes it. */
export interface HeartbeatTarget {
  readonly family: Family;
  readonly socketAddress: Uint8Array;
}

export interface HeartbeatSocketOptions {
  readonly port: number;
  /** Octets of the longest datagram wanted. */
  readonly capacity: number;
  readonly onDatagram: (datagram: ReceivedDatagram) => void;
  /** Default Date.now: the clock of the kernel's receive times. */
  readonly wallClock?: () => number;
}

export interface HeartbeatSocketCounters {
  readonly sent: number;
  readonly received: number;
  /** By errno name; sending again is the next heartbeat's. */
  readonly sendFailures: Readonly<Record<string, number>>;
  /** Dropped by the kernel: forwarded by a router (setOnLink), or the buffer was full. */
  readonly dropped: number;
}

export interface HeartbeatSocket {
  /** The families there is a socket for. */
  readonly families: readonly Family[];
  /** Sends to a place made by heartbeatTarget; false when the kernel refused. */
  send(datagram: Uint8Array, target: HeartbeatTarget): boolean;
  /** Whether only datagrams that no router forwarded are received. At first: no. */
  setOnLink(isOnLink: boolean): void;
  counters(): HeartbeatSocketCounters;
  close(): void;
}

/**
 * Opens and binds the sockets in the network namespace of the calling thread. A kernel without one family serves the other.
 *
 * @throws HoldfastError PORT_IN_USE, or LISTEN_FAILED with the errno's name.
 */
export function openHeartbeatSocket(netfd: Netfd, options: HeartbeatSocketOptions): HeartbeatSocket {
  return new UdpHeartbeatSocket(netfd, options);
}

export function heartbeatTarget(address: Ip, port: number): HeartbeatTarget {
  return { family: address.family, socketAddress: socketAddress(address, port) };
}

class UdpHeartbeatSocket implements HeartbeatSocket {
  readonly #netfd: Netfd;
  readonly #options: HeartbeatSocketOptions;
  readonly #fds = new Map<Family, number>();
  readonly #sendFailures: Record<string, number> = {};
  #sent = 0;
  #received = 0;
  #dropped = 0;
  #isOnLink = false;

  constructor(netfd: Netfd, options: HeartbeatSocketOptions) {
    this.#netfd = netfd;
    this.#options = options;
    try {
      for (const family of ['ipv4', 'ipv6'] as const) this.#open(family);
      if (this.#fds.size === 0) throw this.#failure(-EAFNOSUPPORT, 'opening a UDP socket');
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get families(): readonly Family[] {
    return [...this.#fds.keys()];
  }

  send(datagram: Uint8Array, target: HeartbeatTarget): boolean {
    const fd = this.#fds.get(target.family);
    const result = fd === undefined ? -EAFNOSUPPORT : this.#netfd.send(fd, datagram, target.socketAddress);
    if (result >= 0) {
      this.#sent += 1;
      return true;
    }
    const name = errnoName(result);
    this.#sendFailures[name] = (this.#sendFailures[name] ?? 0) + 1;
    return false;
  }

  setOnLink(isOnLink: boolean): void {
    if (this.#isOnLink === isOnLink) return;
    this.#isOnLink = isOnLink;
    for (const [family, fd] of this.#fds) {
      // Refused only for want of memory; the tag is checked with the filter and without.
      this.#netfd.attachFilter(fd, isOnLink ? onLinkFilter(family) : new Uint8Array(0));
    }
  }

  counters(): HeartbeatSocketCounters {
    let dropped = this.#dropped;
    for (const fd of this.#fds.values()) dropped += this.#drops(fd);
    return { sent: this.#sent, received: this.#received, sendFailures: { ...this.#sendFailures }, dropped };
  }

  close(): void {
    for (const fd of this.#fds.values()) {
      this.#dropped += this.#drops(fd);
      this.#netfd.close(fd);
    }
    this.#fds.clear();
  }

  #open(family: Family): void {
    const fd = this.#netfd.socket(family === 'ipv4' ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    if (fd === -EAFNOSUPPORT) return;
    this.#check(fd, 'opening a UDP socket');
    this.#fds.set(family, fd);
    this.#configure(family, fd);
    const bound = this.#netfd.bind(fd, socketAddress(anyAddress(family), this.#options.port));
    if (bound === -EADDRNOTAVAIL && family === 'ipv6') {
      // IPv6 is compiled in but disabled (net.ipv6.conf.all.disable_ipv6).
      this.#netfd.close(fd);
      this.#fds.delete(family);
      return;
    }
    this.#check(bound, `binding UDP port ${this.#options.port}`);
    this.#check(
      this.#netfd.watch(fd, () => this.#drain(family)),
      'watching a UDP socket',
    );
  }

  #configure(family: Family, fd: number): void {
    const isIpv6 = family === 'ipv6';
    if (isIpv6) this.#check(this.#netfd.setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, hostU32(1)), 'setting IPV6_V6ONLY');
    const hops = this.#netfd.setsockopt(
      fd,
      isIpv6 ? SOL_IPV6 : SOL_IP,
      isIpv6 ? IPV6_UNICAST_HOPS : IP_TTL,
      hostU32(ON_LINK_HOPS),
    );
    this.#check(hops, 'setting the hop limit');
    // Helpful where they are obeyed, and nothing is lost where not.
    this.#netfd.setsockopt(fd, isIpv6 ? SOL_IPV6 : SOL_IP, isIpv6 ? IPV6_TCLASS : IP_TOS, hostU32(TRAFFIC_CLASS));
    this.#netfd.setsockopt(fd, SOL_SOCKET, SO_PRIORITY, hostU32(PRIORITY_CONTROL));
    this.#netfd.setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, hostU32(1));
    this.#netfd.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, hostU32(BUFFER_BYTES));
    this.#netfd.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, hostU32(BUFFER_BYTES));
  }

  #drain(family: Family): void {
    for (let count = 0; count < DRAIN_MAX; count += 1) {
      const fd = this.#fds.get(family);
      if (fd === undefined) return;
      const received = this.#netfd.receive(fd, this.#options.capacity + 1);
      if (received === -EAGAIN) return;
      // An error that was pending on the socket (a refused send, a link that went down) is taken off it by this.
      if (typeof received === 'number') continue;
      this.#received += 1;
      this.#options.onDatagram({
        data: received.data,
        family,
        from: () => addressOf(family, received.from),
        waitedMs: this.#waitedMs(received.control),
      });
    }
  }

  #waitedMs(control: Uint8Array): number {
    const receivedAt = receiveTime(control);
    if (receivedAt === undefined) return 0;
    return Math.max(0, (this.#options.wallClock ?? Date.now)() - receivedAt);
  }

  #drops(fd: number): number {
    const memory = this.#netfd.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, MEMINFO_BYTES);
    if (typeof memory === 'number' || memory.length < MEMINFO_BYTES) return 0; // before Linux 4.12
    return new ByteReader(memory, MEMINFO_DROPS_OFFSET).u32le();
  }

  #check(result: number, doing: string): void {
    if (result < 0) throw this.#failure(result, doing);
  }

  #failure(errno: number, doing: string): HoldfastError {
    const { port } = this.#options;
    const name = errnoName(errno);
    const context = { setting: 'vip_heartbeat_port', what: `\`ss -lunp sport = :${port}\` names it`, errno: name };
    const code = errno === -EADDRINUSE ? 'PORT_IN_USE' : 'LISTEN_FAILED';
    return new HoldfastError(code, `${doing} (vip_heartbeat_port): ${name}`, { context });
  }
}

/** When the kernel received the datagram, ms since the epoch: struct timespec of the control message SCM_TIMESTAMPNS. */
function receiveTime(control: Uint8Array): number | undefined {
  if (control.length < TIMESTAMP_BYTES) return undefined;
  // By a plain view: this is done for every datagram.
  const view = viewOf(control);
  if (view.getUint32(8, true) !== SOL_SOCKET || view.getUint32(12, true) !== SO_TIMESTAMPNS) return undefined;
  const seconds = view.getUint32(20, true) * 2 ** 32 + view.getUint32(16, true);
  return seconds * 1000 + view.getUint32(24, true) / 1e6;
}

/** struct sockaddr_in (netinet/in.h), or sockaddr_in6 without scope: peers are never named by link-local addresses. */
function socketAddress(address: Ip, port: number): Uint8Array {
  if (address.family === 'ipv4') {
    return new ByteWriter(16).u16le(AF_INET).u16(port).bytes(address.bytes).zeros(8).finish();
  }
  return new ByteWriter(28).u16le(AF_INET6).u16(port).zeros(4).bytes(address.bytes).zeros(4).finish();
}

function addressOf(family: Family, socketAddressBytes: Uint8Array): Ip {
  const reader = new ByteReader(socketAddressBytes, family === 'ipv4' ? 4 : 8);
  return ipFromBytes(reader.bytes(family === 'ipv4' ? 4 : 16));
}

function anyAddress(family: Family): Ip {
  return ipFromBytes(new Uint8Array(family === 'ipv4' ? 4 : 16));
}

function hostU32(value: number): Uint8Array {
  return new ByteWriter(4).u32le(value).finish();
}
