/** The runtime's packet sockets on a real veth pair: what they hear, what they ask of the interface, how they come back. */

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { HoldfastError } from '../../src/base/errors.ts';
import type { LogFields } from '../../src/observe/log.ts';
import { duplicateAddressProbeFrame, unsolicitedAdvertisementFrame } from '../../src/protocol/ndp/frames.ts';
import { gratuitousArpFrame } from '../../src/protocol/arp/frames.ts';
import { openPacketSockets, type PacketSockets } from '../../src/runtime/packet-sockets.ts';
import type { Netfd } from '../../src/system/netfd.ts';
import { openPacketSocket, type PacketSocket } from '../../src/system/packet-socket.ts';
import { ip, mac } from '../unit/base/values.ts';
import { inNamespace, netfd } from './namespace.ts';

const LEFT = `hf-l-left-${process.pid}`;
const RIGHT = `hf-l-right-${process.pid}`;
const MAC_LEFT = mac('02:00:00:00:00:0a');
const MAC_RIGHT = mac('02:00:00:00:00:0b');
const V4 = ip('10.99.0.50');
const V6 = ip('fd99::1:50');
const EIO = 5;
const LATE_INDEX = 4711;
const opened: { close(): void }[] = [];

function ipTool(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function index(namespace: string): number {
  return inNamespace(namespace, () => netfd().interfaceIndex('eth0'));
}

beforeAll(() => {
  ipTool('netns', 'add', LEFT);
  ipTool('netns', 'add', RIGHT);
  const right = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', RIGHT, 'address', MAC_RIGHT.text];
  ipTool('-n', LEFT, 'link', 'add', 'eth0', 'address', MAC_LEFT.text, ...right);
  for (const namespace of [LEFT, RIGHT]) ipTool('-n', namespace, 'link', 'set', 'eth0', 'up');
});

afterEach(() => {
  for (const resource of opened.splice(0)) resource.close();
  vi.useRealTimers();
});

afterAll(() => {
  ipTool('netns', 'delete', LEFT);
  ipTool('netns', 'delete', RIGHT);
});

/** The sockets of LEFT, what they heard and what they logged. */
class Ears {
  readonly sockets: PacketSockets;
  readonly frames: Uint8Array[] = [];
  readonly lines: { readonly msg: string; readonly fields: LogFields }[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(syscalls: Netfd = netfd()) {
    const note = (msg: string, fields: LogFields = {}): void => {
      this.lines.push({ msg, fields });
      this.#wake();
    };
    const log = { debug: note, info: note, warn: note, error: note, child: () => log };
    this.sockets = openPacketSockets({
      netfd: syscalls,
      log,
      onFrame: (_, frame) => {
        this.frames.push(frame);
        this.#wake();
      },
    });
    opened.push(this.sockets);
  }

  /** The test's time limit ends the waiting. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** A socket of RIGHT, to send with. */
function mouth(): PacketSocket {
  const socket = inNamespace(RIGHT, () =>
    openPacketSocket(netfd(), {
      ifindex: netfd().interfaceIndex('eth0'),
      filter: Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0), // BPF_RET 0
      groups: [],
      onFrame: () => undefined,
      onError: (error) => expect.fail(error.message),
    }),
  );
  opened.push(socket);
  return socket;
}

function isAllMulticast(): boolean {
  const [, flags = ''] =
    /promiscuity \d+\s+allmulti (\d+)/.exec(ipTool('-n', LEFT, '-d', 'link', 'show', 'eth0')) ?? [];
  return flags !== '0';
}

describe('openPacketSockets', () => {
  it('hears who asks for an IPv6 address by its group alone, and not itself come back', async () => {
    const ears = new Ears();
    inNamespace(LEFT, () => ears.sockets.listen(index(LEFT), [V4, V6]));
    expect(ipTool('-n', LEFT, 'maddr', 'show', 'dev', 'eth0')).toContain('33:33:ff:01:00:50');
    expect(isAllMulticast()).toBe(false);
    const other = mouth();
    const probe = duplicateAddressProbeFrame({ mac: MAC_RIGHT, target: V6 });
    other.send(gratuitousArpFrame({ form: 'request', mac: MAC_LEFT, ip: V4 }));
    other.send(unsolicitedAdvertisementFrame({ mac: MAC_LEFT, target: V6 }));
    other.send(probe);
    await ears.until(() => ears.frames.length > 0);
    expect(ears.frames.map((frame) => Buffer.from(frame).toString('hex'))).toEqual([
      Buffer.from(probe).toString('hex'),
    ]);
    ears.sockets.listen(index(LEFT), []);
    expect(ipTool('-n', LEFT, 'maddr', 'show', 'dev', 'eth0')).not.toContain('33:33:ff:01:00:50');
  });

  it('hands on of many addresses only what is about one of them, though the filter lets more pass', async () => {
    const ears = new Ears();
    const many = Array.from({ length: 150 }, (_, index) => ip(`10.98.${index}.2`));
    inNamespace(LEFT, () => ears.sockets.listen(index(LEFT), many));
    const other = mouth();
    const used = (text: string): Uint8Array => gratuitousArpFrame({ form: 'request', mac: MAC_RIGHT, ip: ip(text) });
    for (const text of ['10.98.0.1', '10.98.7.3', '10.98.149.3', '10.98.149.2']) other.send(used(text));
    await ears.until(() => ears.frames.length > 0);
    expect(ears.frames.map((frame) => Buffer.from(frame).toString('hex'))).toEqual([
      Buffer.from(used('10.98.149.2')).toString('hex'),
    ]);
  });

  it('hears of an address that comes to many, wherever it is', async () => {
    const ears = new Ears();
    const many = Array.from({ length: 150 }, (_, index) => ip(`10.98.${index}.2`));
    const late = [ip('10.98.7.77'), ip('10.96.1.1'), ip('fd99::7')];
    const other = mouth();
    for (let count = 0; count <= late.length; count += 1) {
      inNamespace(LEFT, () => ears.sockets.listen(index(LEFT), [...many, ...late.slice(0, count)]));
      for (const one of late.slice(0, 2)) {
        other.send(gratuitousArpFrame({ form: 'request', mac: MAC_RIGHT, ip: one }));
      }
      other.send(duplicateAddressProbeFrame({ mac: MAC_RIGHT, target: ip('fd99::7') }));
      const [first = V4] = many;
      other.send(gratuitousArpFrame({ form: 'reply', mac: MAC_RIGHT, ip: first }));
      const isLast = (frame: Uint8Array): boolean => frame[21] === 2 && frame.length === 42;
      await ears.until(() => ears.frames.some(isLast));
      expect(ears.frames.splice(0)).toHaveLength(count + 1);
    }
  });

  it('listens again after a socket failed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let failures = 1;
    const broken = Object.create(netfd(), {
      receive: {
        value: (fd: number, size: number) => (failures-- > 0 ? -EIO : netfd().receive(fd, size)),
      },
    }) as Netfd; // parsed boundary: the addon with one call replaced
    const ears = new Ears(broken);
    inNamespace(LEFT, () => ears.sockets.listen(index(LEFT), [V4]));
    const other = mouth();
    other.send(gratuitousArpFrame({ form: 'request', mac: MAC_RIGHT, ip: V4 }));
    await ears.until(() => ears.lines.length > 0);
    const [failed] = ears.lines;
    expect(failed?.fields).toMatchObject({ code: 'CAPTURE_FAILED', reason: 'reading a packet socket: EIO' });
    expect(failed?.fields.remedy).toContain('errno');
    inNamespace(LEFT, () => void vi.advanceTimersByTime(1000));
    expect(ears.lines[1]?.msg).toBe('frames are received again');
    const again = gratuitousArpFrame({ form: 'reply', mac: MAC_RIGHT, ip: V4 });
    other.send(again);
    await ears.until(() => ears.frames.length > 0);
    expect(ears.frames).toEqual([again]);
  });

  it('tries again, less and less often, until the interface can be listened to', () => {
    vi.useFakeTimers();
    const ears = new Ears();
    const listen = (): void => inNamespace(LEFT, () => ears.sockets.listen(LATE_INDEX, [V4]));
    expect(listen).toThrow(HoldfastError);
    const pass = (ms: number): void => inNamespace(LEFT, () => void vi.advanceTimersByTime(ms));
    pass(1000 + 2000 + 4000);
    expect(ears.lines.map(({ msg }) => msg)).toEqual(['frames cannot be received, trying again']);
    ipTool('-n', LEFT, 'link', 'add', 'late0', 'index', String(LATE_INDEX), 'type', 'veth');
    pass(7999);
    expect(ears.lines).toHaveLength(1);
    pass(1);
    expect(ears.lines[1]).toEqual({
      msg: 'frames are received again',
      fields: { component: 'vip', ifindex: LATE_INDEX },
    });
    ipTool('-n', LEFT, 'link', 'delete', 'late0');
  });

  it('stops trying when nothing is wanted any more', () => {
    vi.useFakeTimers();
    const ears = new Ears();
    expect(() => ears.sockets.listen(LATE_INDEX, [V4])).toThrow(HoldfastError);
    expect(vi.getTimerCount()).toBe(1);
    ears.sockets.listen(LATE_INDEX, []);
    expect(vi.getTimerCount()).toBe(0);
    expect(() => ears.sockets.listen(LATE_INDEX, [V4])).toThrow(HoldfastError);
    ears.sockets.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
