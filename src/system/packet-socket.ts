/**
 * A packet socket on one interface: sends whole Ethernet frames, and hands over those received frames that a classic BPF
 * program in the kernel passes. What the frames mean is src/protocol; which ones are wanted is the filter's to say.
 *
 * The filter is attached before the socket is bound, so no frame passes unfiltered. The socket takes every EtherType
 * (ETH_P_ALL) and not ARP and IPv6 by name, because those come after traffic control: a CNI's program there may eat them.
 *
 * Solicitations for an address that is not (yet) ours go to a multicast group that neither the interface nor a switch with
 * MLD snooping delivers unasked: setGroups joins it with the hardware, and with the network through MLD where the
 * interface has IPv6.
 */

import { close as closeFile } from 'node:fs';
import { constants } from 'node:os';

import { assert } from '../base/assert.ts';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import { MAC_LENGTH, macFromBytes, type Mac } from '../base/mac.ts';
import { ETHERNET_HEADER_LENGTH } from '../protocol/ethernet/ethernet.ts';
import { isIpv6Multicast, multicastMac } from '../protocol/ip/multicast.ts';
import { errnoName } from './errno.ts';
import type { Netfd } from './netfd.ts';

/** linux/socket.h, linux/if_ether.h, linux/if_arp.h, linux/if_packet.h, linux/in6.h. */
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const ETH_P_ALL = 3;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const SOL_IPV6 = 41;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_DROP_MEMBERSHIP = 2;
const PACKET_STATISTICS = 6;
/** Since Linux 4.20. */
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_MULTICAST = 0;
const PACKET_MR_ALLMULTI = 2;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_DROP_MEMBERSHIP = 21;
const MSG_TRUNC = 0x20;

/** struct sockaddr_ll: size, and where sll_hatype is. */
const SOCKADDR_BYTES = 20;
const SOCKADDR_HARDWARE_OFFSET = 8;
/** sll_halen, and where sll_addr is. */
const SOCKADDR_LENGTH_OFFSET = 11;
const SOCKADDR_MAC_OFFSET = 12;

/** ARP takes 28 octets, neighbor discovery seldom a hundred; a longer frame than this is dropped and counted. */
const FRAME_BYTES_MAX = 2048;
/** Frames, and ms, per wake-up: under a storm the event loop still gets its turn. */
const DRAIN_MAX = 64;
const DRAIN_MS_MAX = 4;
/**
 * Groups that are joined one by one (the kernel's default memory for a socket's options holds about 350); of more, all
 * multicast is taken from the interface, and MLD is left alone.
 */
export const GROUPS_MAX = 256;

const { EAGAIN, ENETDOWN } = constants.errno;

export interface PacketSocketOptions {
  readonly ifindex: number;
  /** Classic BPF program (protocol/bpf). */
  readonly filter: Uint8Array;
  /** IPv6 multicast groups to hear beside what the interface hears anyway. Default: all multicast. */
  readonly groups?: readonly Ip[];
  /** Gets each frame that passes; the octets are its to keep. */
  readonly onFrame: (frame: Uint8Array) => void;
  /**
   * Called at most once, when the socket can't be read any more; it can still be closed. An interface that goes down is no
   * error: reception resumes when it is up again. One that is deleted falls silent; rtnetlink tells of that.
   */
  readonly onError: (error: HoldfastError) => void;
}

/** Since the socket was opened. */
export interface PacketSocketCounters {
  readonly framesSent: number;
  readonly sendFailures: number;
  readonly framesReceived: number;
  /** Frames longer than any we could want. */
  readonly framesTruncated: number;
  /** Frames that passed the filter but found the socket's queue full. */
  readonly framesDropped: number;
  /** Times the interface went down. */
  readonly linkDowns: number;
}

export interface PacketSocket {
  /**
   * Sends one frame, Ethernet header first.
   * @throws HoldfastError FRAME_SEND_FAILED with the errno's name in message and context.
   */
  send(frame: Uint8Array): void;
  /** Replaces the filter at once; frames that already passed the old one are still delivered. @throws as opening. */
  setFilter(program: Uint8Array): void;
  /** Joins these groups and leaves those joined before. @throws as opening. */
  setGroups(groups: readonly Ip[]): void;
  counters(): PacketSocketCounters;
  /** The interface's hardware address as it is now; undefined when it has none of six octets, or is gone. */
  hardwareAddress(): Mac | undefined;
  /** No callback comes after this. */
  close(): void;
}

/**
 * Opens the socket in the network namespace of the calling thread. The interface may be down.
 *
 * @throws HoldfastError CAPABILITY_MISSING: NET_RAW is missing.
 * @throws HoldfastError INTERFACE_UNSUITABLE: the interface does not carry Ethernet frames.
 * @throws HoldfastError CAPTURE_FAILED: anything else, with the errno's name.
 */
export function openPacketSocket(netfd: Netfd, options: PacketSocketOptions): PacketSocket {
  return new AfPacketSocket(netfd, options);
}

class AfPacketSocket implements PacketSocket {
  readonly #netfd: Netfd;
  readonly #options: PacketSocketOptions;
  readonly #fd: number;
  /** Holds the MLD memberships; undefined where the kernel has no IPv6. */
  #groupFd: number | undefined;
  /** Joined one by one, by text; undefined while all multicast is taken. */
  #groups: ReadonlyMap<string, Ip> | undefined = new Map();
  #isOpen = true;
  #framesSent = 0;
  #sendFailures = 0;
  #framesReceived = 0;
  #framesTruncated = 0;
  #framesDropped = 0;
  #linkDowns = 0;

  constructor(netfd: Netfd, options: PacketSocketOptions) {
    this.#netfd = netfd;
    this.#options = options;
    // Protocol 0: not a frame is queued before bind.
    this.#fd = this.#check(netfd.socket(AF_PACKET, SOCK_RAW, 0), 'opening a packet socket');
    try {
      this.#configure();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #configure(): void {
    const { ifindex, filter, groups } = this.#options;
    this.setFilter(filter);
    const groupFd = this.#netfd.socket(AF_INET6, SOCK_DGRAM, 0);
    if (groupFd >= 0) this.#groupFd = groupFd;
    // Spares the kernel a copy of every frame sent. Older ones don't know it; there the filter sorts those out.
    this.#netfd.setsockopt(this.#fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, hostU32(1));
    if (groups === undefined) this.#takeAllMulticast();
    else this.setGroups(groups);
    const bound = this.#netfd.bind(this.#fd, linkAddress(ifindex, ETH_P_ALL));
    this.#check(bound, `binding a packet socket to interface ${ifindex}`);
    this.#expectEthernet();
    this.#check(this.#netfd.watch(this.#fd, this.#drain), 'watching a packet socket');
  }

  send(frame: Uint8Array): void {
    assert(this.#isOpen, 'a closed packet socket sends nothing');
    const { ifindex } = this.#options;
    const etherType = new ByteReader(frame, ETHERNET_HEADER_LENGTH - 2).u16();
    const result = this.#netfd.send(this.#fd, frame, linkAddress(ifindex, etherType));
    if (result >= 0) {
      this.#framesSent += 1;
      return;
    }
    this.#sendFailures += 1;
    const errno = errnoName(result);
    throw new HoldfastError('FRAME_SEND_FAILED', `sending a frame through interface ${ifindex}: ${errno}`, {
      context: { ifindex, errno },
    });
  }

  setFilter(program: Uint8Array): void {
    assert(this.#isOpen && program.length > 0, 'an open packet socket always has a filter');
    this.#check(this.#netfd.attachFilter(this.#fd, program), 'filtering a packet socket');
  }

  setGroups(groups: readonly Ip[]): void {
    assert(this.#isOpen && groups.every(isIpv6Multicast), 'an open packet socket joins IPv6 multicast groups');
    const wanted = new Map(groups.map((group) => [group.text, group]));
    if (wanted.size > GROUPS_MAX) {
      this.#takeAllMulticast();
      return;
    }
    const joined = this.#groups ?? new Map<string, Ip>();
    for (const [text, group] of wanted) if (!joined.has(text)) this.#join(group);
    for (const [text, group] of joined) if (!wanted.has(text)) this.#leave(group);
    if (this.#groups === undefined) this.#membership(PACKET_DROP_MEMBERSHIP, PACKET_MR_ALLMULTI);
    this.#groups = wanted;
  }

  counters(): PacketSocketCounters {
    if (this.#isOpen) this.#readDrops();
    return {
      framesSent: this.#framesSent,
      sendFailures: this.#sendFailures,
      framesReceived: this.#framesReceived,
      framesTruncated: this.#framesTruncated,
      framesDropped: this.#framesDropped,
      linkDowns: this.#linkDowns,
    };
  }

  hardwareAddress(): Mac | undefined {
    assert(this.#isOpen, 'a closed packet socket has no interface');
    const address = this.#netfd.getsockname(this.#fd);
    if (typeof address === 'number') return undefined;
    if (new ByteReader(address, SOCKADDR_LENGTH_OFFSET).u8() !== MAC_LENGTH) return undefined;
    return macFromBytes(new ByteReader(address, SOCKADDR_MAC_OFFSET).bytes(MAC_LENGTH));
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#readDrops();
    this.#isOpen = false;
    // Memberships and the filter go with their socket.
    this.#closeAside(this.#fd);
    if (this.#groupFd !== undefined) this.#closeAside(this.#groupFd);
  }

  /**
   * In another thread: who closes a packet socket waits until no processor is at it any more (synchronize_net), some ten
   * milliseconds, and hundreds on a machine that is busy. Nobody could do anything about a failure.
   */
  #closeAside(fd: number): void {
    if (this.#netfd.release(fd) >= 0) closeFile(fd, () => undefined);
  }

  readonly #drain = (): void => {
    const until = performance.now() + DRAIN_MS_MAX;
    for (let count = 0; count < DRAIN_MAX && this.#isOpen; count += 1) {
      if (performance.now() >= until) return;
      const received = this.#netfd.receive(this.#fd, FRAME_BYTES_MAX);
      if (received === -EAGAIN) return;
      if (received === -ENETDOWN) {
        this.#linkDowns += 1;
      } else if (typeof received === 'number') {
        this.#netfd.unwatch(this.#fd);
        this.#options.onError(this.#failure(received, 'reading a packet socket'));
        return;
      } else if ((received.flags & MSG_TRUNC) !== 0) {
        this.#framesTruncated += 1;
      } else {
        this.#framesReceived += 1;
        this.#options.onFrame(received.data);
      }
    }
  };

  /** Only Ethernet has the header that filter and frames are made for. */
  #expectEthernet(): void {
    const { ifindex } = this.#options;
    const address = this.#netfd.getsockname(this.#fd);
    if (typeof address === 'number') throw this.#failure(address, 'reading the address of a packet socket');
    const hardware = new ByteReader(address, SOCKADDR_HARDWARE_OFFSET).u16le();
    if (hardware === ARPHRD_ETHER || hardware === ARPHRD_LOOPBACK) return;
    const message = `interface ${ifindex} has hardware type ${hardware}, not Ethernet`;
    throw new HoldfastError('INTERFACE_UNSUITABLE', message, { context: { ifindex, hardware } });
  }

  #takeAllMulticast(): void {
    if (this.#groups === undefined) return;
    this.#check(this.#membership(PACKET_ADD_MEMBERSHIP, PACKET_MR_ALLMULTI), 'taking all multicast');
    for (const group of this.#groups.values()) this.#leave(group);
    this.#groups = undefined;
  }

  #join(group: Ip): void {
    const result = this.#membership(PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, multicastMac(group).bytes);
    this.#check(result, `joining ${group.text} on interface ${this.#options.ifindex}`);
    // For the switches. An interface without IPv6 refuses, and has no MLD to speak either.
    if (this.#groupFd !== undefined) {
      this.#netfd.setsockopt(this.#groupFd, SOL_IPV6, IPV6_ADD_MEMBERSHIP, this.#groupRequest(group));
    }
  }

  /** A membership that is gone already (with its interface) needs no leaving. */
  #leave(group: Ip): void {
    this.#membership(PACKET_DROP_MEMBERSHIP, PACKET_MR_MULTICAST, multicastMac(group).bytes);
    if (this.#groupFd !== undefined) {
      this.#netfd.setsockopt(this.#groupFd, SOL_IPV6, IPV6_DROP_MEMBERSHIP, this.#groupRequest(group));
    }
  }

  /** struct packet_mreq. */
  #membership(option: number, type: number, address: Uint8Array = new Uint8Array(0)): number {
    const request = new ByteWriter(16)
      .u32le(this.#options.ifindex)
      .u16le(type)
      .u16le(address.length)
      .bytes(address)
      .zeros(8 - address.length)
      .finish();
    return this.#netfd.setsockopt(this.#fd, SOL_PACKET, option, request);
  }

  /** struct ipv6_mreq. */
  #groupRequest(group: Ip): Uint8Array {
    return new ByteWriter(20).bytes(group.bytes).u32le(this.#options.ifindex).finish();
  }

  /** struct tpacket_stats; reading it sets the kernel's counters to zero. */
  #readDrops(): void {
    const statistics = this.#netfd.getsockopt(this.#fd, SOL_PACKET, PACKET_STATISTICS, 8);
    if (typeof statistics !== 'number') this.#framesDropped += new ByteReader(statistics, 4).u32le();
  }

  #check(result: number, doing: string): number {
    if (result < 0) throw this.#failure(result, doing);
    return result;
  }

  #failure(errno: number, doing: string): HoldfastError {
    const name = errnoName(errno);
    const message = `${doing}: ${name}`;
    if (name === 'EPERM') {
      return new HoldfastError('CAPABILITY_MISSING', message, { context: { capability: 'NET_RAW', errno: name } });
    }
    return new HoldfastError('CAPTURE_FAILED', message, { context: { ifindex: this.#options.ifindex, errno: name } });
  }
}

/** struct sockaddr_ll; family and index in host order, the EtherType in network order. */
function linkAddress(ifindex: number, etherType: number): Uint8Array {
  return new ByteWriter(SOCKADDR_BYTES).u16le(AF_PACKET).u16(etherType).u32le(ifindex).zeros(12).finish();
}

function hostU32(value: number): Uint8Array {
  return new ByteWriter(4).u32le(value).finish();
}
