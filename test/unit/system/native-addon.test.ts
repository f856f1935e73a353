/**
 * The native addon: that the checked-in files fit the source, that the loader finds a place for it or says what it
 * tried, and what each call does that needs no privileges (packet sockets: test/lab/netfd.lab.ts).
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { HoldfastError } from '../../../src/base/errors.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const prebuilds = join(root, 'native', 'prebuilds');
const ownBuild = join(prebuilds, `linux-${process.arch}`, 'netfd.node');
const foreignBuild = join(prebuilds, `linux-${process.arch === 'x64' ? 'arm64' : 'x64'}`, 'netfd.node');
const loaderUrl = new URL('../../../src/system/native-addon.ts', import.meta.url).href;

const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const EAGAIN = -11;
const EBADF = -9;
const EEXIST = -17;
const EINVAL = -22;
const ENOENT = -2;
const ECONNREFUSED = -111;
const MSG_TRUNC = 0x20;

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** The descriptor that lists the folder is gone when it is read. */
function readlink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
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

describe('the checked-in builds', () => {
  const manifest = JSON.parse(readFileSync(join(prebuilds, 'manifest.json'), 'utf8')) as Record<
    string,
    { source: string; file: string; compiler: string }
  >;

  it('exist for both architectures', () => {
    expect(Object.keys(manifest).sort()).toEqual(['linux-arm64', 'linux-x64']);
  });

  it.each(Object.entries(manifest))(
    '%s is made from the present netfd.c (else: npm run build:native)',
    (name, build) => {
      expect(build.source).toBe(sha256(join(root, 'native', 'netfd.c')));
      expect(build.file).toBe(sha256(join(prebuilds, name, 'netfd.node')));
    },
  );

  it('have every call that the interface declares, and no other', () => {
    const declared = readFileSync(join(root, 'src', 'system', 'netfd.ts'), 'utf8').split('interface Netfd {')[1] ?? '';
    const names = [...declared.matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1] ?? '');
    expect(names.length).toBeGreaterThan(15);
    expect(Object.keys(loadNetfd()).sort()).toEqual(names.sort());
  });
});

describe('loading from an image', () => {
  const image = readFileSync(ownBuild);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('leaves nothing behind', () => {
    expect(loadNetfd({ image, folders: [folder] }).interfaceIndex('lo')).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('goes on to the next folder when one cannot be written', () => {
    const netfd = loadNetfd({ image, folders: [join(folder, 'absent'), '/proc', folder] });
    expect(netfd.interfaceName(1)).toBe('lo');
  });

  it('names every folder and reason when none will do, and what to mount', () => {
    const error = failure(() => loadNetfd({ image, folders: [join(folder, 'absent'), '/dev/null'] }));
    expect(error.code).toBe('NATIVE_ADDON_UNLOADABLE');
    expect(error.message).toContain(`${folder}/absent: ENOENT; /dev/null: ENOTDIR`);
    expect(error.remedy).toContain('emptyDir');
  });

  it('says in the words of the linker why an image will not load', () => {
    const error = failure(() => loadNetfd({ image: image.subarray(0, 40), folders: [folder] }));
    expect(error.message).toContain('file too short');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses a build of another architecture', () => {
    const error = failure(() => loadNetfd({ image: readFileSync(foreignBuild), folders: [folder] }));
    expect(error.code).toBe('NATIVE_ADDON_UNLOADABLE');
  });
});

describe('loading in place', () => {
  it('says what to do when there is no build', () => {
    const error = failure(() => loadNetfd({ file: '/nowhere/netfd.node' }));
    expect(error.code).toBe('NATIVE_ADDON_MISSING');
    expect(error.remedy).toContain('npm run build:native');
  });
});

describe('calls', () => {
  const netfd = loadNetfd();
  const opened: number[] = [];

  function open(domain: number, type: number, protocol = 0): number {
    const fd = netfd.socket(domain, type, protocol);
    expect(fd).toBeGreaterThan(0);
    opened.push(fd);
    return fd;
  }

  /** struct sockaddr_in of 127.0.0.1; port 0 lets the kernel choose. */
  function loopback(port: number): Uint8Array {
    return new Uint8Array([AF_INET, 0, port >> 8, port & 0xff, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  }

  /** A UDP socket on a port of the kernel's choice, and its address. */
  function openBound(): { fd: number; address: Uint8Array } {
    const fd = open(AF_INET, SOCK_DGRAM);
    expect(netfd.bind(fd, loopback(0))).toBe(0);
    const address = netfd.getsockname(fd);
    if (typeof address === 'number') throw new Error(`getsockname: ${address}`);
    return { fd, address };
  }

  afterEach(() => {
    for (const fd of opened.splice(0)) netfd.close(fd);
  });

  it('answers a negative errno where the kernel refuses', () => {
    expect(netfd.socket(99, SOCK_DGRAM, 0)).toBe(-97);
    expect(netfd.interfaceIndex('hf-absent')).toBe(-19);
    expect(netfd.interfaceIndex('a-name-longer-than-fifteen')).toBe(-19);
    expect(netfd.interfaceName(999_999)).toBe(-6);
    expect(netfd.setns(999)).toBe(EBADF);
  });

  it('throws only for an argument of the wrong type', () => {
    const wrong = netfd as unknown as Record<string, (...values: unknown[]) => unknown>;
    expect(() => wrong['socket']?.('inet', 1, 0)).toThrow(TypeError);
    expect(() => wrong['socket']?.(2.5, 1, 0)).toThrow(TypeError);
    expect(() => wrong['close']?.(Number.NaN)).toThrow(TypeError);
    expect(() => wrong['close']?.(2 ** 40)).toThrow(TypeError);
    expect(() => wrong['bind']?.(3, 'address')).toThrow(TypeError);
    expect(() => wrong['bind']?.(3, new Uint16Array(8))).toThrow(TypeError);
    expect(() => wrong['send']?.(3, new Uint8Array(1), null)).toThrow(TypeError);
    expect(() => wrong['watch']?.(3)).toThrow(TypeError);
    expect(() => wrong['interfaceIndex']?.(1)).toThrow(TypeError);
  });

  it('makes descriptors that do not block and do not survive an exec', () => {
    const fd = open(AF_INET, SOCK_DGRAM);
    const flags = /flags:\s+0(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
    expect(Number.parseInt(flags, 8) & 0o2004000).toBe(0o2004000);
    expect(netfd.receive(fd, 100)).toBe(EAGAIN);
  });

  it('sends and receives a datagram with its sender', () => {
    const left = openBound();
    const right = openBound();
    expect(netfd.send(left.fd, new Uint8Array([1, 2, 3]), right.address)).toBe(3);
    const datagram = netfd.receive(right.fd, 1500);
    expect(datagram).toEqual({
      data: new Uint8Array([1, 2, 3]),
      from: left.address,
      flags: 0,
      control: new Uint8Array(0),
    });
    expect(netfd.connect(right.fd, left.address)).toBe(0);
    expect(netfd.send(right.fd, new Uint8Array(0))).toBe(0);
    expect(netfd.receive(left.fd, 1500)).toMatchObject({ data: new Uint8Array(0), from: right.address });
  });

  it('gives each datagram memory of its own, and says when one was cut short', () => {
    const { fd, address } = openBound();
    netfd.send(fd, new Uint8Array([1, 1, 1]), address);
    netfd.send(fd, new Uint8Array([2, 2, 2]), address);
    const first = netfd.receive(fd, 3);
    const second = netfd.receive(fd, 2);
    expect(first).toMatchObject({ data: new Uint8Array([1, 1, 1]), flags: 0 });
    expect(second).toMatchObject({ data: new Uint8Array([2, 2]), flags: MSG_TRUNC });
  });

  it('gives control messages as the kernel wrote them', () => {
    const { fd, address } = openBound();
    const SOL_IP = 0;
    const IP_RECVTTL = 12;
    const IP_TTL = 2;
    expect(netfd.setsockopt(fd, SOL_IP, IP_RECVTTL, new Uint8Array([1, 0, 0, 0]))).toBe(0);
    expect(netfd.setsockopt(fd, SOL_IP, IP_TTL, new Uint8Array([77, 0, 0, 0]))).toBe(0);
    netfd.send(fd, new Uint8Array(1), address);
    const datagram = netfd.receive(fd, 100);
    if (typeof datagram === 'number') throw new Error(`receive: ${datagram}`);
    // struct cmsghdr { size_t len = 20; int level = 0; int type = IP_TTL; } and an int. The kernel skips what aligns the next
    // one and doesn't write it (CMSG_ALIGN): that is whatever was there.
    const written = [20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 77, 0, 0, 0];
    expect([...datagram.control.subarray(0, 20)]).toEqual(written);
    expect(datagram.control).toHaveLength(24);
  });

  it('refuses sizes beyond its limits', () => {
    const fd = open(AF_INET, SOCK_DGRAM);
    expect(netfd.receive(fd, -1)).toBe(EINVAL);
    expect(netfd.receive(fd, (1 << 20) + 1)).toBe(EINVAL);
    expect(netfd.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, 4097)).toBe(EINVAL);
  });

  it('sets and reads socket options', () => {
    const fd = open(AF_INET, SOCK_DGRAM);
    expect(netfd.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, new Uint8Array([0, 0x40, 0, 0]))).toBe(0);
    // The kernel doubles the size (socket(7)).
    expect(netfd.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, 4)).toEqual(new Uint8Array([0, 0x80, 0, 0]));
    expect(netfd.getsockopt(fd, SOL_SOCKET, 9999, 4)).toBe(-92);
  });

  it('attaches and detaches a packet filter', () => {
    const { fd, address } = openBound();
    const dropAll = new Uint8Array([0x06, 0, 0, 0, 0, 0, 0, 0]);
    expect(netfd.attachFilter(fd, dropAll.subarray(1))).toBe(EINVAL);
    expect(netfd.attachFilter(fd, dropAll)).toBe(0);
    netfd.send(fd, new Uint8Array([1]), address);
    expect(netfd.receive(fd, 10)).toBe(EAGAIN);
    expect(netfd.attachFilter(fd, new Uint8Array(0))).toBe(0);
    netfd.send(fd, new Uint8Array([2]), address);
    expect(netfd.receive(fd, 10)).toMatchObject({ data: new Uint8Array([2]) });
  });

  it('closes and releases only what it opened itself', () => {
    const fd = netfd.socket(AF_INET, SOCK_DGRAM, 0);
    expect(netfd.close(fd)).toBe(0);
    expect(netfd.close(fd)).toBe(EBADF);
    const file = openSync('/proc/self/stat', 'r');
    expect(netfd.close(file)).toBe(EBADF);
    closeSync(file);
    const given = netfd.socket(AF_INET, SOCK_DGRAM, 0);
    expect(netfd.release(given)).toBe(0);
    expect(netfd.close(given)).toBe(EBADF);
    closeSync(given);
  });

  it('reads the monotonic and the boot time clock', () => {
    const before = Number(process.hrtime.bigint() / 1000n) / 1000;
    expect(netfd.clockMonotonic()).toBeGreaterThanOrEqual(before);
    expect(netfd.clockMonotonic()).toBeLessThan(before + 1000);
    expect(netfd.clockBoottime()).toBeGreaterThanOrEqual(before);
  });

  it('trims the mappings of the executable, which goes on', () => {
    const resident = () => Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
    const before = resident();
    expect(netfd.trim()).toBe(0);
    expect(resident()).toBeLessThan(before * 0.9);
    expect(new Intl.NumberFormat('de').format(1234.5)).toBe('1.234,5'); // code and data not used until now
  });

  it('watches a netlink socket until unwatched, once each', async () => {
    const fd = open(AF_NETLINK, SOCK_RAW);
    expect(netfd.bind(fd, new Uint8Array([AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))).toBe(0);
    // struct nlmsghdr (RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence 7) and an empty struct ifinfomsg.
    const request = new Uint8Array(32);
    request.set([32, 0, 0, 0, 18, 0, 1, 3, 7, 0, 0, 0]);
    const answer = new Promise<Uint8Array>((resolve) => {
      const onReadable = () => {
        const datagram = netfd.receive(fd, 65_536);
        expect(netfd.unwatch(fd)).toBe(0);
        if (typeof datagram !== 'number') resolve(datagram.data);
      };
      expect(netfd.watch(fd, onReadable)).toBe(0);
      expect(netfd.watch(fd, onReadable)).toBe(EEXIST);
    });
    expect(netfd.send(fd, request)).toBe(32);
    const message = await answer;
    expect([message[4], message[5]]).toEqual([16, 0]); // RTM_NEWLINK
    expect(netfd.unwatch(fd)).toBe(ENOENT);
    expect(netfd.watch(fd, () => {})).toBe(0); // again after unwatch; closed while watched by afterEach
  });

  it('goes on watching after a socket error, which the reader sees', async () => {
    const listener = openBound();
    const closed = openBound();
    netfd.close(closed.fd);
    expect(netfd.connect(listener.fd, closed.address)).toBe(0);
    const seen: (number | undefined)[] = [];
    const provoke = () => netfd.send(listener.fd, new Uint8Array([1])); // answered by ICMP port unreachable
    await new Promise<void>((resolve) => {
      netfd.watch(listener.fd, () => {
        const datagram = netfd.receive(listener.fd, 100);
        seen.push(typeof datagram === 'number' ? datagram : undefined);
        if (seen.length === 2) resolve();
        else provoke();
      });
      provoke();
    });
    expect(seen).toEqual([ECONNREFUSED, ECONNREFUSED]);
  });
});

describe('the end of an environment', () => {
  const socketCount = () => {
    const names = readdirSync('/proc/self/fd').map((fd) => readlink(`/proc/self/fd/${fd}`));
    return names.filter((name) => name.startsWith('socket:')).length;
  };

  it('turns an exception in a callback into an uncaughtException and goes on', () => {
    const script = `
      const { loadNetfd } = await import(${JSON.stringify(loaderUrl)});
      const netfd = loadNetfd();
      const fd = netfd.socket(2, 2, 0);
      netfd.bind(fd, new Uint8Array([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
      const own = netfd.getsockname(fd);
      let count = 0;
      process.on('uncaughtException', (error) => {
        console.log(error.message);
        if (count === 2) netfd.close(fd);
        else netfd.send(fd, new Uint8Array(1), own);
      });
      netfd.watch(fd, () => {
        netfd.receive(fd, 10);
        count += 1;
        Promise.resolve().then(() => console.log('microtask', count));
        throw new Error('thrown ' + count);
      });
      netfd.send(fd, new Uint8Array(1), own);`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 4_000,
    });
    expect(output.trim().split('\n').sort()).toEqual(['microtask 1', 'microtask 2', 'thrown 1', 'thrown 2']);
  });

  it('closes what a terminated worker left open and watched', async () => {
    const script = `
      const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(loaderUrl)}).then(({ loadNetfd }) => {
        const netfd = loadNetfd();
        for (let i = 0; i < 50; i += 1) {
          const fd = netfd.socket(2, 2, 0);
          if (i % 2 === 0) netfd.watch(fd, () => {});
          if (i % 4 === 0) netfd.unwatch(fd);
        }
        parentPort.postMessage(netfd.socket(2, 2, 0));
      });`;
    const run = async () => {
      const worker = new Worker(script, { eval: true });
      await new Promise((resolve) => worker.once('message', resolve));
      const during = socketCount();
      await worker.terminate();
      return during;
    };
    await run(); // whatever Node itself opens for its first worker
    const before = socketCount();
    const during = await run();
    expect(during).toBeGreaterThan(before + 50);
    expect(socketCount()).toBe(before);
  });
});
