/**
 * The native addon's surface: some twenty system calls on file descriptors, nothing else. Every call answers a value
 * ≥ 0, or a negative errno (`-11` is EAGAIN); nothing throws but for arguments of the wrong type. All protocol knowledge
 * stays in TypeScript. See native/netfd.c.
 */

export interface ReceivedDatagram {
  /** Octets received; a copy that the caller owns. */
  readonly data: Uint8Array;
  /** Raw sockaddr of the sender as the kernel wrote it. */
  readonly from: Uint8Array;
  /** MSG_* flags of the received datagram (MSG_TRUNC = 0x20). */
  readonly flags: number;
  /** Control messages: raw msg_control octets. */
  readonly control: Uint8Array;
}

export interface Netfd {
  /** socket(2), with SOCK_CLOEXEC | SOCK_NONBLOCK added. Returns the descriptor. */
  socket(domain: number, type: number, protocol: number): number;
  /**
   * close(2), after unwatch. Only descriptors that socket() made are closed (else -9, EBADF); those left over at the end
   * of the process or worker are closed then.
   */
  close(fd: number): number;
  /** Gives a descriptor of socket() away to somebody who closes it himself, such as `new net.Socket({ fd })`. */
  release(fd: number): number;
  /** bind(2) / connect(2) with a raw sockaddr. */
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  /** getsockname(2): raw sockaddr, or a negative errno. */
  getsockname(fd: number): Uint8Array | number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** getsockopt(2): up to `length` octets, or a negative errno. */
  getsockopt(fd: number, level: number, name: number, length: number): Uint8Array | number;
  /** Attaches a classic BPF program: 8 octets per instruction (struct sock_filter, native byte order). Empty detaches. */
  attachFilter(fd: number, program: Uint8Array): number;
  /** send(2) (no address) or sendto(2). Returns octets sent. */
  send(fd: number, data: Uint8Array, address?: Uint8Array): number;
  /** recvmsg(2) with a buffer of `capacity` octets; a negative errno when nothing is there (-11) or on failure. */
  receive(fd: number, capacity: number): ReceivedDatagram | number;
  /**
   * Calls `onReadable` on the event loop whenever fd is readable or has an error pending, until unwatch or close; the
   * reader must receive() until a negative answer, which also takes the error (-100 ENETDOWN, -105 ENOBUFS) off the
   * socket. One watch per fd (else -17, EEXIST). What the callback throws becomes an uncaughtException.
   */
  watch(fd: number, onReadable: () => void): number;
  unwatch(fd: number): number;
  /** if_nametoindex(3) / if_indextoname(3). */
  interfaceIndex(name: string): number;
  interfaceName(index: number): string | number;
  /** CLOCK_MONOTONIC and CLOCK_BOOTTIME in milliseconds with fraction. */
  clockMonotonic(): number;
  clockBoottime(): number;
  /** setns(2) of the calling thread into the network namespace that the open file `fd` names (tests only). */
  setns(fd: number): number;
  mlockall(): number;
  /**
   * Unmaps the executable's code and constants (madvise(2), MADV_DONTNEED): what is still used comes back page by page
   * from the page cache, what only start-up needed (most of Node) counts no longer as resident. Microseconds.
   */
  trim(): number;
}
