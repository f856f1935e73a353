/**
 * The packet socket on a real veth pair: what is on the wire octet for octet (seen by a second packet socket and by
 * tcpdump), what the kernel makes of our frames, what the filter lets through, and what happens when the link goes.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { HoldfastError } from '../../src/base/errors.ts';
import { arpProbeFrame, gratuitousArpFrame } from '../../src/protocol/arp/frames.ts';
import { decodeArpFrame } from '../../src/protocol/arp/arp.ts';
import {
  assemble,
  at,
  BPF_JEQ_K,
  BPF_LD_H_ABS,
  BPF_LD_W_ABS,
  BPF_RET_K,
  jump,
  op,
} from '../../src/protocol/bpf/assembler.ts';
import { EXACT_MAX, neighborFilter } from '../../src/protocol/bpf/neighbor-filter.ts';
import { encodeEthernetFrame } from '../../src/protocol/ethernet/ethernet.ts';
import { multicastMac, solicitedNodeGroup } from '../../src/protocol/ip/multicast.ts';
import {
  duplicateAddressProbeFrame,
  neighborSolicitationFrame,
  unsolicitedAdvertisementFrame,
} from '../../src/protocol/ndp/frames.ts';
import { decodeNdpFrame } from '../../src/protocol/ndp/ndp.ts';
import {
  GROUPS_MAX,
  openPacketSocket,
  type PacketSocket,
  type PacketSocketOptions,
} from '../../src/system/packet-socket.ts';
import { ip, mac } from '../unit/base/values.ts';
import { toHex } from '../vectors/neighbor/vectors.ts';
import { inNamespace, netfd } from './namespace.ts';
import { LabProcess, waitFor } from './process.ts';

const LEFT = `hf-b-left-${process.pid}`;
const RIGHT = `hf-b-right-${process.pid}`;
const MAC_LEFT = mac('02:00:00:00:00:0a');
const MAC_RIGHT = mac('02:00:00:00:00:0b');
const MAC_OTHER = mac('02:00:00:00:00:0c');
const EVERYTHING = assemble([op(BPF_RET_K, 0x40000)]);
/** All but the kernels' MLD reports, which come when they like: to 33:33:00:00:00:16 (RFC 3810 §5.2.14). */
const EVERYTHING_SENT = assemble([
  op(BPF_LD_W_ABS, 0),
  jump(BPF_JEQ_K, 0x3333_0000, { ifFalse: 'keep' }),
  op(BPF_LD_H_ABS, 4),
  jump(BPF_JEQ_K, 0x0016, { ifFalse: 'keep' }),
  op(BPF_RET_K, 0),
  at('keep'),
  op(BPF_RET_K, 0x40000),
]);
const EXPERIMENTAL = 0x88b5; // IEEE 802, Local Experimental Ethertype 1
const V4 = ip('10.99.0.50');
const V6 = ip('fd99::50');
const open: { close(): void }[] = [];

function run(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function ipIn(namespace: string, ...args: readonly string[]): string {
  return run('-n', namespace, ...args);
}

function index(namespace: string, name: string): number {
  return inNamespace(namespace, () => netfd().interfaceIndex(name));
}

/**
 * Waits until IPv6 is ready on the link: its multicast route comes with the kernel's next look at carriers, up to a second
 * after the carrier, and what comes before it has no route.
 */
async function ready(): Promise<void> {
  for (const namespace of [LEFT, RIGHT]) {
    await waitFor('IPv6', () =>
      ipIn(namespace, '-6', 'route', 'show', 'table', 'local', 'dev', 'eth0').includes('ff00::/8'),
    );
  }
}

/** Sets LEFT's link up again; the kernel took its IPv6 address away when it went down. */
async function linkUp(): Promise<void> {
  ipIn(LEFT, 'link', 'set', 'eth0', 'up');
  ipIn(LEFT, 'address', 'replace', 'fd99::1/64', 'dev', 'eth0', 'nodad');
  await ready();
}

beforeAll(async () => {
  run('netns', 'add', LEFT);
  run('netns', 'add', RIGHT);
  const right = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', RIGHT, 'address', MAC_RIGHT.text];
  ipIn(LEFT, 'link', 'add', 'eth0', 'address', MAC_LEFT.text, ...right);
  for (const [namespace, host] of [
    [LEFT, '1'],
    [RIGHT, '2'],
  ] as const) {
    // Only what the tests ask for is to be on the wire: no link-local address and hence no router solicitations.
    inNamespace(namespace, () => writeFileSync('/proc/sys/net/ipv6/conf/eth0/addr_gen_mode', '1'));
    ipIn(namespace, 'address', 'add', `10.99.0.${host}/24`, 'dev', 'eth0');
    ipIn(namespace, 'address', 'add', `fd99::${host}/64`, 'dev', 'eth0', 'nodad');
    ipIn(namespace, 'link', 'set', 'lo', 'up');
    ipIn(namespace, 'link', 'set', 'eth0', 'up');
  }
  await ready();
});

afterEach(() => {
  for (const resource of open.splice(0)) resource.close();
});

afterAll(() => {
  run('netns', 'delete', LEFT);
  run('netns', 'delete', RIGHT);
});

/** An open socket and the frames it hands over. */
class Ear {
  readonly socket: PacketSocket;
  readonly frames: Uint8Array[] = [];
  readonly errors: HoldfastError[] = [];
  #wake: () => void = () => undefined;

  constructor(namespace: string, options: Partial<PacketSocketOptions> = {}) {
    this.socket = inNamespace(namespace, () =>
      openPacketSocket(netfd(), {
        ifindex: netfd().interfaceIndex('eth0'),
        filter: EVERYTHING_SENT,
        onFrame: (frame) => {
          this.frames.push(frame);
          this.#wake();
        },
        onError: (error) => this.errors.push(error),
        ...options,
      }),
    );
    open.push(this.socket);
  }

  /** The next frame; the test's time limit ends the waiting. */
  async next(): Promise<Uint8Array> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame !== undefined) return frame;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Frames up to the one that ends the test, which is sent last and passes every filter used here. */
  async until(last: Uint8Array): Promise<readonly Uint8Array[]> {
    const before: Uint8Array[] = [];
    for (;;) {
      const frame = await this.next();
      if (toHex(frame) === toHex(last)) return before;
      before.push(frame);
    }
  }
}

function failure(action: () => unknown): HoldfastError {
  try {
    action();
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

function neighbor(namespace: string, address: string): string {
  return ipIn(namespace, 'neigh', 'show', 'to', address, 'dev', 'eth0').trim();
}

describe('sending', () => {
  const frames = {
    'gratuitous request': gratuitousArpFrame({ form: 'request', mac: MAC_LEFT, ip: V4 }),
    'gratuitous reply': gratuitousArpFrame({ form: 'reply', mac: MAC_LEFT, ip: V4 }),
    'ARP probe': arpProbeFrame({ mac: MAC_LEFT, ip: V4 }),
    'unsolicited advertisement': unsolicitedAdvertisementFrame({ mac: MAC_LEFT, target: V6 }),
    'duplicate address probe': duplicateAddressProbeFrame({ mac: MAC_LEFT, target: V6 }),
    solicitation: neighborSolicitationFrame({ mac: MAC_LEFT, source: ip('fd99::1'), target: V6 }),
  };

  it('puts exactly the frame on the wire', async () => {
    const [left, right] = [new Ear(LEFT), new Ear(RIGHT)];
    for (const frame of Object.values(frames)) {
      left.socket.send(frame);
      expect(toHex(await right.next())).toBe(toHex(frame));
    }
    expect(left.socket.counters()).toMatchObject({ framesSent: 6, sendFailures: 0, framesReceived: 0 });
    expect(right.socket.counters()).toMatchObject({ framesSent: 0, framesReceived: 6 });
  });

  it('is understood by tcpdump, checksums included', async () => {
    const probe = spawnSync('tcpdump', ['--version']);
    if (probe.error !== undefined) throw new Error('tcpdump is not installed (package tcpdump)');
    // -p: a promiscuous interface would be another test.
    const argv = ['ip', 'netns', 'exec', RIGHT, 'tcpdump', '-p', '-n', '-e', '-vv', '-l', '-c', '6', '-i', 'eth0'];
    const capture = new LabProcess([...argv, 'arp or icmp6']);
    open.push({ close: () => capture.kill() });
    await capture.waitForLine(/listening on eth0/);
    const left = new Ear(LEFT);
    for (const frame of Object.values(frames)) left.socket.send(frame);
    expect(await capture.ended).toMatchObject({ code: 0 });
    const text = capture.lines
      .filter(({ stream }) => stream === 'stdout')
      .map((line) => line.text.replace(/^\d\d:\d\d:\d\d\.\d+ /, ''))
      .join('\n');
    expect(text).toContain('Request who-has 10.99.0.50 (ff:ff:ff:ff:ff:ff) tell 10.99.0.50');
    expect(text).toContain('Reply 10.99.0.50 is-at 02:00:00:00:00:0a');
    expect(text).toContain('Request who-has 10.99.0.50 tell 0.0.0.0');
    expect(text).toContain(
      'fd99::50 > ff02::1: [icmp6 sum ok] ICMP6, neighbor advertisement, length 32, tgt is fd99::50',
    );
    expect(text).toContain('Flags [override]');
    expect(text).toContain(
      ':: > ff02::1:ff00:50: [icmp6 sum ok] ICMP6, neighbor solicitation, length 24, who has fd99::50',
    );
    expect(text).toContain('fd99::1 > ff02::1:ff00:50: [icmp6 sum ok] ICMP6, neighbor solicitation, length 32');
    expect(text.match(/hlim 255/g)).toHaveLength(3);
  });

  it.each([
    ['gratuitous request', V4, frames['gratuitous request']],
    ['gratuitous reply', V4, frames['gratuitous reply']],
    ['unsolicited advertisement', V6, frames['unsolicited advertisement']],
  ])('moves what a neighbor has cached, by %s', async (_, address, frame) => {
    ipIn(RIGHT, 'neigh', 'replace', address.text, 'lladdr', MAC_OTHER.text, 'dev', 'eth0', 'nud', 'stale');
    expect(neighbor(RIGHT, address.text)).toContain(MAC_OTHER.text);
    const [left, right] = [new Ear(LEFT), new Ear(RIGHT)];
    left.socket.send(frame);
    await right.next();
    expect(neighbor(RIGHT, address.text)).toContain(MAC_LEFT.text);
  });

  it.each([
    ['ARP', V4, frames['ARP probe']],
    ['duplicate address', V6, frames['duplicate address probe']],
  ])('moves nothing by an %s probe', async (_, address, frame) => {
    ipIn(RIGHT, 'neigh', 'replace', address.text, 'lladdr', MAC_OTHER.text, 'dev', 'eth0', 'nud', 'stale');
    const [left, right] = [new Ear(LEFT), new Ear(RIGHT)];
    left.socket.send(frame);
    await right.next();
    expect(neighbor(RIGHT, address.text)).toContain(MAC_OTHER.text);
  });

  it('says which errno the kernel answers', async () => {
    const left = new Ear(LEFT);
    ipIn(LEFT, 'link', 'set', 'eth0', 'down');
    const down = failure(() => left.socket.send(frames['ARP probe']));
    await linkUp();
    expect(down).toMatchObject({ code: 'FRAME_SEND_FAILED', context: { errno: 'ENETDOWN' } });
    const tooLong = encodeEthernetFrame(
      { destination: MAC_RIGHT, source: MAC_LEFT, etherType: EXPERIMENTAL },
      new Uint8Array(3000),
    );
    expect(failure(() => left.socket.send(tooLong))).toMatchObject({ context: { errno: 'EMSGSIZE' } });
    expect(left.socket.counters().sendFailures).toBe(2);
  });
});

describe('probing a machine that has the address', () => {
  it('hears its kernel answer an ARP probe (RFC 5227 §2.1.1)', async () => {
    const target = ip('10.99.0.2');
    const left = new Ear(LEFT, { filter: neighborFilter({ ipv4: [target], ipv6: [], ownMac: MAC_LEFT }) });
    left.socket.send(arpProbeFrame({ mac: MAC_LEFT, ip: target }));
    const answer = decodeArpFrame(await left.next());
    expect(answer).toMatchObject({ ok: true, value: { operation: 2, senderMac: MAC_RIGHT, senderIp: target } });
  });

  it('hears its kernel defend an IPv6 address (RFC 4862 §5.4.4)', async () => {
    const target = ip('fd99::2');
    const left = new Ear(LEFT, { filter: neighborFilter({ ipv4: [], ipv6: [target], ownMac: MAC_LEFT }), groups: [] });
    left.socket.send(duplicateAddressProbeFrame({ mac: MAC_LEFT, target }));
    const answer = decodeNdpFrame(await left.next());
    expect(answer).toMatchObject({
      ok: true,
      value: { source: target, message: { kind: 'advertisement', targetMac: MAC_RIGHT, isOverride: true } },
    });
  });
});

describe('receiving', () => {
  it('hears through the filter only what others say of its addresses, and never itself', async () => {
    const filter = neighborFilter({ ipv4: [V4], ipv6: [V6] });
    const [left, right] = [new Ear(LEFT, { filter }), new Ear(RIGHT)];
    const about = [
      arpProbeFrame({ mac: MAC_RIGHT, ip: V4 }),
      gratuitousArpFrame({ form: 'reply', mac: MAC_RIGHT, ip: V4, to: MAC_LEFT }),
      duplicateAddressProbeFrame({ mac: MAC_RIGHT, target: V6 }),
      unsolicitedAdvertisementFrame({ mac: MAC_RIGHT, target: V6 }),
    ];
    const other = [
      arpProbeFrame({ mac: MAC_RIGHT, ip: ip('10.99.0.51') }),
      gratuitousArpFrame({ form: 'reply', mac: MAC_RIGHT, ip: V4, to: MAC_OTHER }),
      duplicateAddressProbeFrame({ mac: MAC_RIGHT, target: ip('fd99::51') }),
      tagged(arpProbeFrame({ mac: MAC_RIGHT, ip: V4 }), 100),
      tagged(duplicateAddressProbeFrame({ mac: MAC_RIGHT, target: V6 }), 100),
    ];
    left.socket.send(gratuitousArpFrame({ form: 'reply', mac: MAC_LEFT, ip: V4 }));
    for (const [position, frame] of about.entries()) {
      const stranger = other[position];
      if (stranger !== undefined) right.socket.send(stranger);
      right.socket.send(frame);
    }
    const last = gratuitousArpFrame({ form: 'request', mac: MAC_RIGHT, ip: V4 });
    for (const stranger of other) right.socket.send(stranger);
    right.socket.send(last);
    expect((await left.until(last)).map(toHex)).toEqual(about.map(toHex));
  });

  it('is spared what this machine itself sends, by whatever socket', async () => {
    const [left, sender, right] = [new Ear(LEFT), new Ear(LEFT), new Ear(RIGHT)];
    sender.socket.send(arpProbeFrame({ mac: MAC_LEFT, ip: V4 }));
    const last = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    right.socket.send(last);
    expect(await left.until(last)).toEqual([]);
  });

  it('hears a frame whose VLAN tag is only a priority', async () => {
    const [left, right] = [new Ear(LEFT, { filter: neighborFilter({ ipv4: [V4], ipv6: [] }) }), new Ear(RIGHT)];
    const frame = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    right.socket.send(tagged(frame, 0));
    expect(toHex(await left.next())).toBe(toHex(frame));
  });

  it('changes its filter while it is open', async () => {
    const [left, right] = [new Ear(LEFT, { filter: neighborFilter({ ipv4: [], ipv6: [] }) }), new Ear(RIGHT)];
    const [first, second] = [arpProbeFrame({ mac: MAC_RIGHT, ip: V4 }), arpProbeFrame({ mac: MAC_OTHER, ip: V4 })];
    right.socket.send(first);
    left.socket.setFilter(neighborFilter({ ipv4: [V4], ipv6: [] }));
    right.socket.send(second);
    expect(toHex(await left.next())).toBe(toHex(second));
    expect(left.socket.counters().framesReceived).toBe(1);
  });

  it('has its filter before it is bound: of a flood not one frame slips in', async () => {
    const flood = new Worker(FLOOD, {
      eval: true,
      workerData: {
        loader: new URL('../../src/system/native-addon.ts', import.meta.url).href,
        namespace: `/run/netns/${RIGHT}`,
        frame: arpProbeFrame({ mac: MAC_RIGHT, ip: ip('10.99.0.51') }),
      },
    });
    open.push({ close: () => void flood.terminate() });
    await once(flood, 'message');
    const last = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    const right = new Ear(RIGHT, { filter: neighborFilter({ ipv4: [], ipv6: [] }) });
    for (let round = 0; round < 100; round += 1) {
      const left = new Ear(LEFT, { filter: neighborFilter({ ipv4: [V4], ipv6: [] }) });
      right.socket.send(last);
      expect(await left.until(last)).toEqual([]);
      left.socket.close();
    }
    const everything = new Ear(LEFT);
    await everything.next();
    await flood.terminate();
  });

  it('gives the event loop its turn under a storm, and counts what it lost', async () => {
    let sinceTurn = 0;
    let longest = 0;
    const left = new Ear(LEFT, {
      onFrame: () => {
        sinceTurn += 1;
        longest = Math.max(longest, sinceTurn);
      },
    });
    const right = new Ear(RIGHT, { filter: neighborFilter({ ipv4: [], ipv6: [] }) });
    const frame = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    for (let count = 0; count < 3000; count += 1) right.socket.send(frame);
    let isOver = false;
    const turn = (): void => {
      sinceTurn = 0;
      if (!isOver) setImmediate(turn);
    };
    turn();
    await waitFor('the socket to be empty', () => {
      const before = left.socket.counters().framesReceived;
      return new Promise<boolean>((resolve) => {
        setImmediate(() =>
          setImmediate(() => resolve(before > 64 && left.socket.counters().framesReceived === before)),
        );
      });
    });
    isOver = true;
    expect(longest).toBeLessThanOrEqual(64);
    expect(left.socket.counters().framesDropped).toBeGreaterThan(0);
  });

  it('says nothing more once it is closed, in the middle of a wake-up too', async () => {
    let heard = 0;
    const left = new Ear(LEFT, {
      onFrame: () => {
        heard += 1;
        left.socket.close();
      },
    });
    const [right, witness] = [new Ear(RIGHT), new Ear(LEFT)];
    const frame = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    for (let count = 0; count < 3; count += 1) right.socket.send(frame);
    for (let count = 0; count < 3; count += 1) await witness.next();
    expect(heard).toBe(1);
    expect(left.socket.counters().framesReceived).toBe(1);
  });

  it('drops a frame that is longer than any it could want', async () => {
    for (const namespace of [LEFT, RIGHT]) ipIn(namespace, 'link', 'set', 'eth0', 'mtu', '4000');
    const [left, right] = [new Ear(LEFT), new Ear(RIGHT)];
    const header = { destination: MAC_LEFT, source: MAC_RIGHT, etherType: EXPERIMENTAL };
    right.socket.send(encodeEthernetFrame(header, new Uint8Array(3000)));
    const last = encodeEthernetFrame(header, new Uint8Array(46));
    right.socket.send(last);
    expect(await left.until(last)).toEqual([]);
    expect(left.socket.counters()).toMatchObject({ framesTruncated: 1, framesReceived: 1 });
    for (const namespace of [LEFT, RIGHT]) ipIn(namespace, 'link', 'set', 'eth0', 'mtu', '1500');
  });

  it('takes filters of any number of addresses where the kernel grants least memory for them', () => {
    const least = '20480'; // net.core.optmem_max before Linux 6.7
    const setting = '/proc/sys/net/core/optmem_max';
    inNamespace(LEFT, () => {
      const usual = readFileSync(setting, 'utf8');
      writeFileSync(setting, least);
      try {
        for (const count of [EXACT_MAX, 1000]) {
          const addresses = Array.from({ length: count }, (_, at) => ip(`172.16.${at >> 8}.${at & 0xff}`));
          const groups = Array.from({ length: count }, (_, at) => ip(`fd99:${at.toString(16)}::${at.toString(16)}`));
          const filter = neighborFilter({ ipv4: addresses, ipv6: groups, ownMac: MAC_LEFT });
          const left = new Ear(LEFT, { filter, groups: groups.slice(0, GROUPS_MAX).map(solicitedNodeGroup) });
          for (let times = 0; times < 3; times += 1) left.socket.setFilter(filter);
        }
      } finally {
        writeFileSync(setting, usual);
      }
    });
  });
});

/** Sends one frame over and over until it is terminated. */
const FLOOD = `
  const { workerData, parentPort } = require('node:worker_threads');
  const { openSync } = require('node:fs');
  import(workerData.loader).then(({ loadNetfd }) => {
    const netfd = loadNetfd();
    if (netfd.setns(openSync(workerData.namespace, 'r')) < 0) throw new Error('setns');
    const fd = netfd.socket(17, 3, 0);
    const address = new Uint8Array(20);
    new DataView(address.buffer).setUint16(0, 17, true);
    new DataView(address.buffer).setUint16(2, 0x0806);
    new DataView(address.buffer).setInt32(4, netfd.interfaceIndex('eth0'), true);
    const burst = () => {
      for (let count = 0; count < 200; count += 1) netfd.send(fd, workerData.frame, address);
      setImmediate(burst);
    };
    burst();
    parentPort.postMessage('flooding');
  });
`;

describe('multicast groups', () => {
  const group = solicitedNodeGroup(V6);
  const memberships = (): string => ipIn(LEFT, 'maddr', 'show', 'dev', 'eth0');
  const takesAll = (): boolean => {
    const flags = run('netns', 'exec', LEFT, 'cat', '/sys/class/net/eth0/flags').trim();
    return (Number(flags) & 0x200) !== 0; // IFF_ALLMULTI
  };
  /** A socket is closed in another thread. */
  const allAreLeft = (): Promise<unknown> =>
    waitFor('every group is left', () => {
      const joined = memberships();
      return !joined.includes(group.text) && !joined.includes(multicastMac(group).text) && !takesAll();
    });

  beforeEach(async () => void (await allAreLeft()));

  it('are joined with the hardware and by MLD, and left again', async () => {
    const [left, right] = [new Ear(LEFT, { groups: [] }), new Ear(RIGHT, { filter: EVERYTHING })];
    expect(memberships()).not.toContain(group.text);
    left.socket.setGroups([group]);
    expect(memberships()).toContain(multicastMac(group).text);
    expect(memberships()).toContain(group.text);
    expect(takesAll()).toBe(false);
    // The MLDv2 report (RFC 3810 §5.2) to ff02::16 names the group.
    const isReport = (frame: Uint8Array): boolean =>
      toHex(frame).startsWith('333300000016') && toHex(frame).includes(toHex(group.bytes));
    while (!isReport(await right.next()));
    left.socket.setGroups([]);
    expect(memberships()).not.toContain(group.text);
    expect(memberships()).not.toContain(multicastMac(group).text);
  });

  it('are left when the socket is closed', async () => {
    const left = new Ear(LEFT, { groups: [group] });
    expect(memberships()).toContain(group.text);
    left.socket.close();
    await allAreLeft();
  });

  it('give way to all multicast when there are too many, or none were named', async () => {
    const many = Array.from({ length: GROUPS_MAX + 1 }, (_, at) => solicitedNodeGroup(ip(`fd99::${at.toString(16)}`)));
    const left = new Ear(LEFT, { groups: [group] });
    expect(takesAll()).toBe(false);
    left.socket.setGroups(many);
    expect(takesAll()).toBe(true);
    expect(memberships()).not.toContain(group.text);
    left.socket.setGroups(many.slice(1));
    expect(takesAll()).toBe(false);
    expect(memberships().match(/inet6 ff02::1:ff/g)?.length).toBeGreaterThanOrEqual(GROUPS_MAX);
    left.socket.close();
    await allAreLeft();
    const deaf = new Ear(LEFT);
    expect(takesAll()).toBe(true);
    deaf.socket.close();
    await allAreLeft();
  });

  it('are joined with the hardware where the interface has no IPv6', () => {
    const setting = '/proc/sys/net/ipv6/conf/eth1/disable_ipv6';
    ipIn(LEFT, 'link', 'add', 'eth1', 'mtu', '1000', 'type', 'veth', 'peer', 'name', 'eth2'); // too small for IPv6
    inNamespace(LEFT, () => expect(() => readFileSync(setting)).toThrow());
    const left = new Ear(LEFT, { ifindex: index(LEFT, 'eth1'), groups: [group] });
    expect(ipIn(LEFT, 'maddr', 'show', 'dev', 'eth1')).toContain(multicastMac(group).text);
    left.socket.setGroups([]);
    expect(ipIn(LEFT, 'maddr', 'show', 'dev', 'eth1')).not.toContain(multicastMac(group).text);
    ipIn(LEFT, 'link', 'delete', 'eth1');
  });
});

describe('an interface that changes', () => {
  it('goes down and up again without an error, and is heard again', async () => {
    const [left, right] = [new Ear(LEFT, { groups: [solicitedNodeGroup(V6)] }), new Ear(RIGHT)];
    ipIn(LEFT, 'link', 'set', 'eth0', 'down');
    await waitFor('the socket to see it', () => left.socket.counters().linkDowns === 1);
    await linkUp();
    const frame = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    right.socket.send(frame);
    await left.until(frame);
    expect(left.errors).toEqual([]);
    expect(ipIn(LEFT, 'maddr', 'show', 'dev', 'eth0')).toContain('ff02::1:ff00:50');
  });

  it('may be down when the socket is opened', async () => {
    ipIn(LEFT, 'link', 'set', 'eth0', 'down');
    const [left, right] = [new Ear(LEFT), new Ear(RIGHT)];
    await linkUp();
    const frame = arpProbeFrame({ mac: MAC_RIGHT, ip: V4 });
    right.socket.send(frame);
    await left.until(frame);
    expect(left.errors).toEqual([]);
  });

  it('is deleted: sending says so, receiving falls silent', async () => {
    ipIn(LEFT, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth2');
    ipIn(LEFT, 'link', 'set', 'eth1', 'up');
    const left = new Ear(LEFT, { ifindex: index(LEFT, 'eth1'), groups: [solicitedNodeGroup(V6)] });
    ipIn(LEFT, 'link', 'delete', 'eth1');
    await waitFor('the socket to see it', () => left.socket.counters().linkDowns === 1);
    const gone = failure(() => left.socket.send(arpProbeFrame({ mac: MAC_LEFT, ip: V4 })));
    expect(gone).toMatchObject({ code: 'FRAME_SEND_FAILED', context: { errno: 'ENXIO' } });
    left.socket.setGroups([]);
    expect(left.errors).toEqual([]);
  });
});

describe('opening', () => {
  it('is refused for an interface that is not there', () => {
    const missing = failure(() => new Ear(LEFT, { ifindex: 4711 }));
    expect(missing).toMatchObject({ code: 'CAPTURE_FAILED', context: { ifindex: 4711, errno: 'ENODEV' } });
  });

  it('is refused for an interface that carries no Ethernet frames', () => {
    ipIn(LEFT, 'tuntap', 'add', 'dev', 'tun0', 'mode', 'tun');
    const tunnel = failure(() => new Ear(LEFT, { ifindex: index(LEFT, 'tun0') }));
    expect(tunnel).toMatchObject({ code: 'INTERFACE_UNSUITABLE' });
    ipIn(LEFT, 'tuntap', 'delete', 'dev', 'tun0', 'mode', 'tun');
  });

  it('leaves no descriptor behind when it is refused', async () => {
    const count = (): number => readdirSync('/proc/self/fd').length;
    const before = count();
    for (let times = 0; times < 10; times += 1) failure(() => new Ear(LEFT, { ifindex: 4711, groups: [] }));
    await waitFor('all are closed', () => count() === before);
  });

  it('names the capability that is missing', () => {
    const source = (path: string): string => new URL(`../../src/${path}`, import.meta.url).href;
    const script = `
      import { loadNetfd } from '${source('system/native-addon.ts')}';
      import { openPacketSocket } from '${source('system/packet-socket.ts')}';
      try {
        openPacketSocket(loadNetfd(), { ifindex: 1, filter: new Uint8Array(8), onFrame() {}, onError() {} });
      } catch (error) {
        console.log(error.code, error.remedy);
      }
    `;
    // A user namespace of its own has no power over the network it came from.
    const argv = ['--user', '--', process.execPath, '--input-type=module', '-e', script];
    const answer = execFileSync('unshare', argv, { encoding: 'utf8' });
    expect(answer).toContain('CAPABILITY_MISSING Add NET_RAW');
  });
});

function tagged(frame: Uint8Array, tag: number): Uint8Array {
  return Uint8Array.from([...frame.subarray(0, 12), 0x81, 0x00, tag >> 8, tag & 0xff, ...frame.subarray(12)]);
}
