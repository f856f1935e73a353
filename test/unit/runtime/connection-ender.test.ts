/** Ends what an address left behind: which connections, how many at a time, and what is told. The kernel is scripted. */

import { beforeEach, describe, expect, test, vi } from 'vitest';

import { parseIp, type Ip } from '../../../src/base/ip.ts';
import type { Log } from '../../../src/observe/log.ts';
import { encodeU32 } from '../../../src/protocol/netlink/attribute.ts';
import { encodeMessage } from '../../../src/protocol/netlink/message.ts';
import { ADDRESSES_MAX, openConnectionEnder, type ConnectionEnder } from '../../../src/runtime/connection-ender.ts';
import { openTickler } from '../../../src/runtime/tickler.ts';
import type { Netfd } from '../../../src/system/netfd.ts';
import { openRawSocket } from '../../../src/system/raw-socket.ts';
import { openSockDiag } from '../../../src/system/sock-diag.ts';

const [AF_INET, AF_INET6, NETLINK_SOCK_DIAG] = [2, 10, 4];
const [NLMSG_ERROR, NLMSG_DONE, SOCK_DIAG_BY_FAMILY, SOCK_DESTROY] = [2, 3, 20, 21];
const [EPERM, ENOENT, EAGAIN, EPROTONOSUPPORT, EOPNOTSUPP] = [1, 2, 11, 93, 95];
const VIP = '10.0.0.100';
const VIP6 = 'fd00::100';

interface Connection {
  readonly family: number;
  readonly local: readonly [address: string, port: number];
  readonly remote: readonly [address: string, port: number];
  /** Default: established. */
  readonly state?: number;
}

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

function v4(local: Connection['local'], remote: Connection['remote']): Connection {
  return { family: AF_INET, local, remote };
}

function v6(local: Connection['local'], remote: Connection['remote']): Connection {
  return { family: AF_INET6, local, remote };
}

/** The kernel's sockets; a record's first cookie octets are the socket's index. */
class ScriptedSockets {
  readonly connections: readonly Connection[];
  readonly ended: number[] = [];
  /** Datagrams to be received. */
  readonly #queue: Uint8Array[] = [];
  dumps = 0;
  /** Dumps have no end. */
  isSilent = false;
  open = 0;
  /** errno by message type; 0: as it should be. */
  refuses: Readonly<Record<number, number>> = {};
  opensWith = 0;
  onDestroy: () => void = () => undefined;
  now = 0;

  constructor(connections: readonly Connection[]) {
    this.connections = connections;
  }

  readonly netfd = {
    socket: (domain: number, _type: number, protocol: number) => {
      expect([domain, protocol]).toEqual([16, NETLINK_SOCK_DIAG]);
      if (this.opensWith < 0) return this.opensWith;
      this.open += 1;
      return 7;
    },
    close: () => {
      this.open -= 1;
      return 0;
    },
    bind: () => 0,
    setsockopt: () => 0,
    send: (_fd: number, data: Uint8Array) => {
      this.#answer(data);
      return data.length;
    },
    receive: () => {
      const data = this.#queue.shift();
      if (data === undefined) return -EAGAIN;
      return { data, from: new Uint8Array(12), flags: 0, control: new Uint8Array(0) };
    },
    clockMonotonic: () => (this.now += 1),
  } as Partial<Netfd> as Netfd;

  #answer(request: Uint8Array): void {
    const view = new DataView(request.buffer);
    const [type, sequence] = [view.getUint16(4, true), view.getUint32(8, true)];
    const refused = this.refuses[type] ?? 0;
    const acknowledge = (errno: number): void => {
      const body = new Uint8Array([...encodeU32(-errno >>> 0), ...request.subarray(0, 16)]);
      this.#queue.push(encodeMessage({ type: NLMSG_ERROR, flags: 0x100, sequence }, body, []));
    };
    if (refused !== 0) return acknowledge(refused);
    if (type === SOCK_DESTROY) {
      const index = view.getUint32(16 + 8 + 40, true);
      this.onDestroy();
      if (this.ended.includes(index)) return acknowledge(ENOENT);
      this.ended.push(index);
      return acknowledge(0);
    }
    this.dumps += 1;
    for (const [index, connection] of this.connections.entries()) {
      if (connection.family !== request[16] || this.ended.includes(index)) continue;
      const record = encodeMessage({ type: SOCK_DIAG_BY_FAMILY, flags: 2, sequence }, recordOf(connection, index), []);
      this.#queue.push(record);
    }
    if (this.isSilent) return;
    this.#queue.push(encodeMessage({ type: NLMSG_DONE, flags: 2, sequence }, encodeU32(0), []));
  }
}

function recordOf({ family, local, remote, state = 1 }: Connection, index: number): Uint8Array {
  const record = new Uint8Array(72);
  const view = new DataView(record.buffer);
  record[0] = family;
  record[1] = state;
  view.setUint16(4, local[1]);
  view.setUint16(6, remote[1]);
  record.set(octets(family, local[0]), 8);
  record.set(octets(family, remote[0]), 24);
  view.setUint32(44, index, true);
  return record;
}

function octets(family: number, text: string): Uint8Array {
  const { bytes } = ip(text);
  return family === AF_INET || bytes.length === 16
    ? bytes
    : Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes);
}

/** Takes packets with their destination. */
class ScriptedWire {
  readonly sent: string[] = [];
  readonly open = new Set<number>();

  readonly netfd = {
    socket: (domain: number, type: number, protocol: number) => {
      expect([domain, type, protocol]).toEqual([AF_INET, 3, 255]);
      this.open.add(9);
      return 9;
    },
    close: (fd: number) => Number(this.open.delete(fd)),
    send: (_fd: number, packet: Uint8Array, to: Uint8Array = new Uint8Array()) => {
      const [from, port] = [packet.subarray(12, 16).join('.'), (packet[20] ?? 0) * 256 + (packet[21] ?? 0)];
      this.sent.push(`${from}:${port} ${to.subarray(4, 8).join('.')}`);
      return packet.length;
    },
  } as Partial<Netfd> as Netfd;
}

let raw: ScriptedWire;
let lines: string[];
let counts: Map<string, number>;

beforeEach(() => {
  raw = new ScriptedWire();
  lines = [];
  counts = new Map();
});

function openFor(kernel: ScriptedSockets): ConnectionEnder {
  const write =
    (level: string) =>
    (msg: string, fields: object = {}): void =>
      void lines.push(`${level} ${msg} ${JSON.stringify({ ...fields, durationMs: undefined })}`);
  const log = { info: write('info'), warn: write('warn') } as Partial<Log> as Log;
  return openConnectionEnder({
    tickler: openTickler({ open: () => openRawSocket(raw.netfd), log, againMs: 1 }),
    open: () => openSockDiag(kernel.netfd),
    log,
    onEnded: (address, count) => void counts.set(address, (counts.get(address) ?? 0) + count),
  });
}

async function endedOf(
  connections: readonly Connection[],
  ...addresses: readonly string[]
): Promise<readonly number[]> {
  const kernel = new ScriptedSockets(connections);
  const ender = openFor(kernel);
  ender.end(addresses.map(ip));
  await ender.settled();
  expect(kernel.open, 'sockets left open').toBe(0);
  return kernel.ended.toSorted((a, b) => a - b);
}

describe('which connections', () => {
  test('both ends of one within this node, of either family and IPv4 in IPv6', async () => {
    const connections = [
      v4([VIP, 40_001], [VIP, 6443]),
      v6([VIP, 6443], [VIP, 40_001]),
      v6([VIP6, 40_002], [VIP6, 6443]),
      v6([VIP6, 6443], [VIP6, 40_002]),
    ];
    expect(await endedOf(connections, VIP, VIP6)).toEqual([0, 1, 2, 3]);
    expect([...counts]).toEqual([
      [VIP, 2],
      [VIP6, 2],
    ]);
    expect(lines).toEqual([
      `info connections of addresses that moved ended {"component":"vip","vip":"${VIP} ${VIP6}","addresses":2,"count":4}`,
    ]);
  });

  test('the end here of one with another machine', async () => {
    expect(await endedOf([v6([VIP, 6443], ['10.0.0.3', 50_000])], VIP)).toEqual([0]);
  });

  test('both ends of one that another address of this node made', async () => {
    const connections = [v4(['10.0.0.1', 40_003], [VIP, 6443]), v6([VIP, 6443], ['10.0.0.1', 40_003])];
    expect(await endedOf(connections, VIP)).toEqual([0, 1]);
  });

  test('not one to it whose other end is on another machine: the new holder’s', async () => {
    const connections = [
      v4(['10.0.0.1', 40_003], [VIP, 6443]),
      v6([VIP, 6443], ['10.0.0.1', 40_004]),
      v6([VIP, 6444], ['10.0.0.1', 40_003]),
    ];
    expect(await endedOf(connections, VIP)).toEqual([1, 2]);
  });

  test('none of other addresses, though the kernel names them', async () => {
    const others = [v4(['10.0.0.1', 40_003], ['10.0.0.1', 6443]), v6(['fd00::1', 1], ['fd00::1', 2])];
    expect(await endedOf([...others, v4([VIP, 1], [VIP, 2])], VIP, VIP6)).toEqual([2]);
    expect(await endedOf(others, VIP)).toEqual([]);
    expect(lines.length).toBe(1);
  });

  test('not those of an address that came back meanwhile', async () => {
    const count = 200;
    const connections = Array.from({ length: count }, (_, index) => v4([VIP, index + 1], ['10.0.0.9', 1]));
    const kernel = new ScriptedSockets(connections);
    const ender = openFor(kernel);
    kernel.onDestroy = () => {
      if (kernel.ended.length === 9) ender.keep(ip(VIP));
    };
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(kernel.ended.length).toBe(10);
    ender.end([ip(VIP)]);
    ender.keep(ip(VIP));
    await ender.settled();
    expect(kernel.ended.length).toBe(10);
  });
});

describe('where the address has come', () => {
  const former = v4(['10.0.0.1', 40_001], [VIP, 6443]);

  async function endedAsFormer(...connections: readonly Connection[]): Promise<readonly number[]> {
    const kernel = new ScriptedSockets(connections);
    const ender = openFor(kernel);
    ender.endFormer([ip(VIP)]);
    await ender.settled();
    return kernel.ended;
  }

  test('connections of this node with who had it before end, and nobody is tickled', async () => {
    const mapped = v6(['10.0.0.1', 40_002], [VIP, 6443]);
    expect(await endedAsFormer(former, mapped)).toEqual([0, 1]);
    expect([raw.sent, [...counts]]).toEqual([[], [[VIP, 2]]]);
  });

  test('those with this node stay, and what others have with it, and what is just beginning', async () => {
    const here = [v4(['10.0.0.1', 40_001], [VIP, 6443]), v6([VIP, 6443], ['10.0.0.1', 40_001])];
    const self = [v4([VIP, 40_003], [VIP, 6443]), v6([VIP, 6443], [VIP, 40_003])];
    const beginning = { ...v4(['10.0.0.1', 40_004], [VIP, 6443]), state: 2 };
    expect(await endedAsFormer(...here, ...self, beginning, v6([VIP, 6443], ['10.0.0.3', 1]))).toEqual([]);
  });

  test('it may leave again before they were looked for: then they may be the new holder’s', async () => {
    const kernel = new ScriptedSockets([former]);
    const ender = openFor(kernel);
    ender.endFormer([ip(VIP)]);
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(kernel.ended).toEqual([]);
  });
});

describe('a client on another machine', () => {
  const remote = v6([VIP, 6443], ['10.0.0.3', 50_000]);
  const said = `${VIP}:6443 10.0.0.3`;

  test('is tickled in the name of the end here, and again; over IPv6 the kernel tells it', async () => {
    expect(await endedOf([remote, v6([VIP6, 6443], ['fd00::3', 50_000])], VIP, VIP6)).toEqual([0, 1]);
    expect(raw.sent).toEqual([said]);
    await vi.waitUntil(() => raw.sent.length > 1);
    expect([raw.sent, [...raw.open]]).toEqual([[said, said], []]);
  });

  test('is not who has both ends here, nor who is closing', async () => {
    const closing = { ...remote, state: 4 };
    const connections = [v4(['10.0.0.1', 40_003], [VIP, 6443]), v6([VIP, 6443], ['10.0.0.1', 40_003]), closing];
    expect(await endedOf(connections, VIP)).toEqual([0, 1, 2]);
    expect(raw.sent).toEqual([]);
  });

  test('is not tickled again when the address has come back', async () => {
    const ender = openFor(new ScriptedSockets([remote]));
    ender.end([ip(VIP)]);
    await ender.settled();
    ender.keep(ip(VIP));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(raw.sent).toEqual([said]);
  });
});

describe('how many', () => {
  test('addresses of one turn of the loop cost one dump a family', async () => {
    const addresses = Array.from({ length: 3000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
    const connections = addresses.map((address) => v4([address, 443], ['10.0.0.9', 1]));
    const kernel = new ScriptedSockets(connections);
    const ender = openFor(kernel);
    for (let from = 0; from < addresses.length; from += 256) ender.end(addresses.slice(from, from + 256).map(ip));
    await ender.settled();
    expect([kernel.ended.length, kernel.dumps]).toEqual([3000, 2]);
    expect(lines.length).toBe(1);
    expect(lines[0]?.length).toBeLessThan(250);
  });

  test(`addresses wait at a time: ${ADDRESSES_MAX}`, async () => {
    const kernel = new ScriptedSockets([v4(['10.255.0.1', 1], ['10.0.0.9', 1])]);
    const ender = openFor(kernel);
    ender.end(Array.from({ length: ADDRESSES_MAX }, (_, index) => ip(`10.1.${index >> 8}.${index & 255}`)));
    ender.end([ip('10.255.0.1')]);
    await ender.settled();
    expect(kernel.ended).toEqual([]);
  });

  test('the loop has its turns in between', async () => {
    const connections = Array.from({ length: 2000 }, (_, index) => v4([VIP, index + 1], ['10.0.0.9', 1]));
    const kernel = new ScriptedSockets(connections);
    const ender = openFor(kernel);
    ender.end([ip(VIP)]);
    let most = 0;
    let before = 0;
    let isOver = false;
    const look = (): void => {
      most = Math.max(most, kernel.ended.length - before);
      before = kernel.ended.length;
      if (!isOver) setImmediate(look);
    };
    look();
    await ender.settled();
    isOver = true;
    expect(kernel.ended.length).toBe(2000);
    expect(most).toBeLessThanOrEqual(64);
  });
});

describe('a kernel that can’t', () => {
  test.each([
    ['end sockets (without CONFIG_INET_DIAG_DESTROY)', { [SOCK_DESTROY]: EOPNOTSUPP }, 0],
    ['let us end sockets', { [SOCK_DESTROY]: EPERM }, 0],
    ['list them (without inet_diag)', { [SOCK_DIAG_BY_FAMILY]: ENOENT }, 0],
    ['be asked (without sock_diag)', {}, -EPROTONOSUPPORT],
  ])('%s is told once, and asked no more', async (_, refuses, opensWith) => {
    const kernel = new ScriptedSockets([v4([VIP, 1], [VIP, 2]), v4([VIP, 2], [VIP, 1])]);
    kernel.refuses = refuses;
    kernel.opensWith = opensWith;
    const ender = openFor(kernel);
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(lines.map((line) => line.slice(0, 61))).toEqual([
      'warn connections of an address that moved could not be ended ',
    ]);
    expect(lines[0]).toContain('"code":"CONNECTIONS_NOT_ENDED"');
    expect(lines[0]).toContain('"isLasting":true');
    kernel.refuses = {};
    kernel.opensWith = 0;
    ender.end([ip(VIP)]);
    await ender.settled();
    expect([kernel.ended, lines.length, kernel.open]).toEqual([[], 1, 0]);
  });

  test('answer this time is asked again next time', async () => {
    const kernel = new ScriptedSockets([v4([VIP, 1], [VIP, 2])]);
    const ENOMEM = 12;
    kernel.refuses = { [SOCK_DIAG_BY_FAMILY]: ENOMEM };
    const ender = openFor(kernel);
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(lines[0]).toContain('"isLasting":false');
    kernel.refuses = {};
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(kernel.ended).toEqual([0]);
  });

  test('goes silent amid an answer is waited for no longer than a second', async () => {
    const kernel = new ScriptedSockets([v4([VIP, 1], [VIP, 2])]);
    kernel.isSilent = true;
    const ender = openFor(kernel);
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(lines[0]).toContain('ETIMEDOUT');
    expect(lines[0]).toContain('"isLasting":false');
  });

  test('find the other end, which the reset of the first has ended, has nothing to tell', async () => {
    const kernel = new ScriptedSockets([v4([VIP, 1], [VIP, 2])]);
    kernel.refuses = { [SOCK_DESTROY]: ENOENT };
    const ender = openFor(kernel);
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(lines).toEqual([]);
    kernel.refuses = {};
    ender.end([ip(VIP)]);
    await ender.settled();
    expect(kernel.ended).toEqual([0]);
  });
});
