import { describe, expect, test } from 'vitest';

import { HoldfastError } from '../../../src/base/errors.ts';
import { parseIp, type Prefix } from '../../../src/base/ip.ts';
import { encodeU32 } from '../../../src/protocol/netlink/attribute.ts';
import { encodeMessage } from '../../../src/protocol/netlink/message.ts';
import type { KernelChange } from '../../../src/protocol/netlink/records.ts';
import { openKernel, type Kernel } from '../../../src/system/kernel.ts';
import type { Netfd, ReceivedDatagram } from '../../../src/system/netfd.ts';
import { readVectors } from '../../vectors/netlink/vectors.ts';

const EAGAIN = -11;
const ENOBUFS = -105;
const EPERM = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const { vectors } = readVectors('linux-6.18');

type Arrival = Uint8Array | number | ReceivedDatagram;

/** A scripted kernel: what each socket receives, in order. The first socket is the one for requests. */
class ScriptedKernel {
  readonly sent: Uint8Array[] = [];
  readonly closed: number[] = [];
  readonly queues = new Map<number, Arrival[]>();
  /** What the kernel answers to the request with this sequence number. */
  answer: (sequence: number) => readonly Arrival[] = () => [];
  wake: () => void = () => undefined;
  now = 0;
  #fds = 2;

  readonly netfd = {
    socket: () => (this.#fds += 1),
    close: (fd: number) => this.closed.push(fd),
    bind: () => 0,
    setsockopt: () => 0,
    attachFilter: () => 0,
    send: (fd: number, data: Uint8Array) => {
      this.sent.push(data);
      this.queue(fd, ...this.answer(new DataView(data.buffer).getUint32(8, true)));
      return data.length;
    },
    receive: (fd: number) => {
      this.now += 0.01;
      const next = this.queues.get(fd)?.shift() ?? EAGAIN;
      return next instanceof Uint8Array
        ? { data: next, from: new Uint8Array(12), flags: 0, control: new Uint8Array(0) }
        : next;
    },
    watch: (_: number, callback: () => void) => {
      this.wake = callback;
      return 0;
    },
    clockMonotonic: () => (this.now += 1),
  } as Partial<Netfd> as Netfd;

  queue(fd: number, ...arrivals: readonly Arrival[]): void {
    this.queues.set(fd, [...(this.queues.get(fd) ?? []), ...arrivals]);
  }
}

function acknowledge(sequence: number, errno = 0): Uint8Array {
  return encodeMessage({ type: NLMSG_ERROR, flags: 0, sequence }, encodeU32(-errno, 0, 0, 0, 0), []);
}

function done(sequence: number, flags = 0): Uint8Array {
  return encodeMessage({ type: NLMSG_DONE, flags, sequence }, encodeU32(0), []);
}

function prefix(text: string, length: number): Prefix {
  const ip = parseIp(text);
  if (!ip.ok) throw new Error(text);
  return { ip: ip.value, length };
}

const ADD = { ifindex: 5, prefix: prefix('10.0.0.1', 32), validSeconds: 3, scope: 'global' } as const;

function start(): { readonly script: ScriptedKernel; readonly kernel: Kernel } {
  const script = new ScriptedKernel();
  return { script, kernel: openKernel(script.netfd) };
}

function caught(act: () => unknown): HoldfastError {
  try {
    act();
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('requests', () => {
  test('an answer to another sequence number is not ours', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [
      acknowledge(sequence - 1, EPERM),
      acknowledge(sequence + 1, EPERM),
      acknowledge(sequence),
    ];
    kernel.addAddress(ADD);
    expect(script.sent).toHaveLength(1);
  });

  test('an answer of another process is not the kernel’s', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [
      {
        data: acknowledge(sequence, EPERM),
        from: Uint8Array.of(16, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0),
        flags: 0,
        control: new Uint8Array(0),
      },
      acknowledge(sequence),
    ];
    kernel.addAddress(ADD);
    expect(kernel.counters().foreign).toBe(1);
  });

  test('EPERM is a missing capability', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [acknowledge(sequence, EPERM)];
    const error = caught(() => kernel.addAddress(ADD));
    expect(error.code).toBe('CAPABILITY_MISSING');
    expect(error.message).toBe('adding 10.0.0.1/32 to interface 5: EPERM');
    expect(error.remedy).toContain('NET_ADMIN');
  });

  test.each([99, 19, 6])('deleting what is not there (errno %i) is false', (errno) => {
    const { script, kernel } = start();
    script.answer = (sequence) => [acknowledge(sequence, errno)];
    expect(kernel.deleteAddress(ADD)).toBe(false);
  });

  test('no answer at all ends after half a second, and the next request has a socket of its own', () => {
    const { script, kernel } = start();
    const error = caught(() => kernel.addAddress(ADD));
    expect(error.code).toBe('NETLINK_FAILED');
    expect(error.message).toContain('ETIMEDOUT');
    expect(script.closed).toEqual([3]);
    script.answer = (sequence) => [acknowledge(sequence)];
    kernel.addAddress(ADD);
    expect(script.queues.has(4)).toBe(true);
  });

  test.each([
    ['a datagram that is no netlink', new Uint8Array(5), 'EBADMSG (message-header-truncated)'],
    ['a lost answer', ENOBUFS, 'ENOBUFS (the answer was lost)'],
  ])('%s', (_, arrival, words) => {
    const { script, kernel } = start();
    script.answer = () => [arrival];
    expect(caught(() => kernel.addAddress(ADD)).message).toContain(words);
  });
});

describe('dump', () => {
  test('an inconsistent one is made again', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [done(sequence, sequence <= 3 ? NLM_F_DUMP_INTR : 0)];
    expect(kernel.dump()).toEqual({ links: [], addresses: [], defaultRoutes: [] });
    expect(script.sent).toHaveLength(3 + 4);
    expect(kernel.counters().dumpRetries).toBe(3);
  });

  test('one that never gets consistent fails', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [done(sequence, NLM_F_DUMP_INTR)];
    expect(caught(() => kernel.dump()).code).toBe('NETLINK_FAILED');
    expect(script.sent).toHaveLength(20);
  });

  test('a routing table that does not exist has no routes', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [sequence <= 2 ? done(sequence) : acknowledge(sequence, 2)];
    expect(kernel.dump().defaultRoutes).toEqual([]);
  });

  test('another refusal is an error', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [acknowledge(sequence, 12)];
    expect(caught(() => kernel.dump()).message).toBe('listing links: ENOMEM');
  });

  test('a message in it that can’t be decoded is counted, the rest is used', () => {
    const { script, kernel } = start();
    script.answer = (sequence) => [
      encodeMessage({ type: 20, flags: 2, sequence }, Uint8Array.of(2, 32), []),
      done(sequence),
    ];
    expect(kernel.dump().addresses).toEqual([]);
    expect(kernel.counters().malformed).toBe(4);
  });
});

describe('notifications', () => {
  function watching(): { readonly script: ScriptedKernel; readonly kernel: Kernel; readonly seen: KernelChange[] } {
    const { script, kernel } = start();
    const seen: KernelChange[] = [];
    kernel.watch((change) => seen.push(change));
    return { script, kernel, seen };
  }

  const added = vectors.get('ipv4 address added')?.at(0) ?? new Uint8Array(0);

  test('at most 64 datagrams a wake-up', () => {
    const { script, seen } = watching();
    script.queue(4, ...Array.from({ length: 100 }, () => added));
    script.wake();
    expect(seen).toHaveLength(64);
    script.wake();
    expect(seen).toHaveLength(100);
  });

  test('an overrun is reported once the queue is empty, and what was queued is not', () => {
    const { script, kernel, seen } = watching();
    script.queue(4, added, ENOBUFS, ...Array.from({ length: 5000 }, () => added), ENOBUFS, added);
    script.wake();
    expect(seen.map((change) => change.kind)).toEqual(['address']);
    script.wake();
    expect(seen.map((change) => change.kind)).toEqual(['address', 'overrun']);
    expect(kernel.counters().overruns).toBe(2);
    script.queue(4, added);
    script.wake();
    expect(seen.map((change) => change.kind)).toEqual(['address', 'overrun', 'address']);
  });

  test.each([
    ['a datagram that was cut off', { data: added, from: new Uint8Array(12), flags: 0x20, control: new Uint8Array(0) }],
    ['a datagram that is no netlink', added.slice(0, 20)],
    ['a message that can’t be decoded', encodeMessage({ type: 20, flags: 0, sequence: 0 }, Uint8Array.of(2, 32), [])],
  ])('%s counts as lost', (_, arrival) => {
    const { script, kernel, seen } = watching();
    script.queue(4, arrival);
    script.wake();
    expect(seen).toEqual([{ kind: 'overrun' }]);
    expect(kernel.counters().malformed).toBe(1);
  });

  test('what another process sends is no notification', () => {
    const { script, kernel, seen } = watching();
    script.queue(4, {
      data: added,
      from: Uint8Array.of(16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0),
      flags: 0,
      control: new Uint8Array(0),
    });
    script.wake();
    expect(seen).toEqual([]);
    expect(kernel.counters().foreign).toBe(1);
  });

  test('a listener may close the kernel', () => {
    const script = new ScriptedKernel();
    const kernel = openKernel(script.netfd);
    const seen: KernelChange[] = [];
    kernel.watch((change) => {
      seen.push(change);
      kernel.close();
    });
    script.queue(4, added, added);
    script.wake();
    expect(seen).toHaveLength(1);
    expect(script.closed).toEqual([3, 4]);
  });
});
