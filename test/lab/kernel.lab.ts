/**
 * rtnetlink against the kernel of this machine: a pair of interfaces in a network namespace, changed by Holdfast and, as
 * the stranger, by `ip`. Every wait is for a notification.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { HoldfastError } from '../../src/base/errors.ts';
import { formatPrefix, parseIp, type Prefix } from '../../src/base/ip.ts';
import {
  HOLDFAST_ADDRESS_PROTOCOL,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
} from '../../src/protocol/netlink/constants.ts';
import type { InterfaceAddress, KernelChange, Link } from '../../src/protocol/netlink/records.ts';
import { openKernel, type Kernel, type KernelOptions } from '../../src/system/kernel.ts';
import { writeSysctl } from '../../src/system/sysctl.ts';
import { inNamespace, netfd } from './namespace.ts';

const NAMESPACE = `hf-kernel-${process.pid}-n1`;
const V4 = prefix('10.9.0.50/32');
const V6 = prefix('fd99::50/128');
const SENTINEL = prefix('127.0.0.77/32');
const BOTH = [
  ['ipv4', V4],
  ['ipv6', V6],
] as const;

function prefix(text: string): Prefix {
  const [address = '', length] = text.split('/');
  const ip = parseIp(address);
  if (!ip.ok) throw new Error(text);
  return { ip: ip.value, length: Number(length) };
}

function ip(command: string): string {
  return execFileSync('ip', ['-n', NAMESPACE, ...command.split(' ')], { encoding: 'utf8' });
}

/** Many commands in one process of `ip`. */
function ipBatch(commands: readonly string[]): void {
  execFileSync('ip', ['-n', NAMESPACE, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** A watched kernel, and what it reported so far. */
class Watched {
  readonly kernel: Kernel;
  readonly changes: KernelChange[] = [];
  #notify: () => void = () => undefined;

  constructor(options: KernelOptions = {}) {
    this.kernel = inNamespace(NAMESPACE, () => {
      const kernel = openKernel(netfd(), options);
      kernel.watch((change) => {
        this.changes.push(change);
        this.#notify();
      });
      return kernel;
    });
  }

  /** The first change since `from` that `accepts`; fails after `withinMs`. */
  async next(accepts: (change: KernelChange) => boolean, from = 0, withinMs = 5000): Promise<KernelChange> {
    const late = AbortSignal.timeout(withinMs);
    for (;;) {
      const found = this.changes.slice(from).find(accepts);
      if (found !== undefined) return found;
      await new Promise<void>((resolve, reject) => {
        this.#notify = resolve;
        late.addEventListener('abort', () => reject(new Error(`no such change within ${withinMs} ms`)));
        if (late.aborted) reject(new Error(`no such change within ${withinMs} ms`));
      });
    }
  }

  /** Waits until everything the kernel has to say is said: makes a change of our own, and waits until it is reported. */
  async settle(): Promise<void> {
    const from = this.changes.length;
    ip(`addr add ${formatPrefix(SENTINEL)} dev lo`);
    ip(`addr del ${formatPrefix(SENTINEL)} dev lo`);
    await this.next((change) => isGone(change, SENTINEL), from);
  }

  link(name: string): Link {
    const found = this.kernel.dump().links.find((link) => link.name === name);
    if (found === undefined) throw new Error(`no link ${name}`);
    return found;
  }

  address(wanted: Prefix): InterfaceAddress | undefined {
    return this.kernel.dump().addresses.find((address) => isSame(address, wanted));
  }
}

function isSame(address: InterfaceAddress, wanted: Prefix): boolean {
  return formatPrefix(address.prefix) === formatPrefix(wanted);
}

function isHere(change: KernelChange, wanted: Prefix): boolean {
  return change.kind === 'address' && isSame(change.address, wanted);
}

function isGone(change: KernelChange, wanted: Prefix): boolean {
  return change.kind === 'address-gone' && isSame(change.address, wanted);
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

const open: Kernel[] = [];

function watched(options: KernelOptions = {}): Watched {
  const one = new Watched(options);
  open.push(one.kernel);
  return one;
}

beforeEach(() => {
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  ipBatch(['link set lo up', 'link add eth0 type veth peer name peer0', 'link set eth0 up', 'link set peer0 up']);
});

afterEach(() => {
  for (const kernel of open.splice(0)) kernel.close();
  execFileSync('ip', ['netns', 'del', NAMESPACE]);
});

describe.each(BOTH)('an address of %s', (family, wanted) => {
  test('is there when addAddress returns: ours, deprecated, with a lifetime and without a route', async () => {
    const node = watched();
    const ifindex = node.link('eth0').index;
    node.kernel.addAddress({ ifindex, prefix: wanted, validSeconds: 30, scope: 'global' });
    const address = node.address(wanted);
    expect(address).toMatchObject({ ifindex, protocol: HOLDFAST_ADDRESS_PROTOCOL, preferredSeconds: 0, scope: 0 });
    expect(address?.validSeconds).toBeGreaterThanOrEqual(29);
    expect(address?.validSeconds).toBeLessThanOrEqual(30);
    expect((address?.flags ?? 0) & (IFA_F_DEPRECATED | IFA_F_TENTATIVE)).toBe(IFA_F_DEPRECATED);
    await node.next((change) => isHere(change, wanted));
    expect(ip('-4 route show') + ip('-6 route show')).not.toContain(wanted.ip.text);
  });

  test('with the prefix of a network brings no route for that network', () => {
    const node = watched();
    const ifindex = node.link('eth0').index;
    const network = { ...wanted, length: 24 };
    node.kernel.addAddress({ ifindex, prefix: network, validSeconds: 30, scope: 'global' });
    expect(node.address(network)).toBeDefined();
    const routes = ip('-4 route show') + ip('-6 route show');
    expect(routes).not.toContain('10.9.0.0/24');
    expect(routes).not.toContain('fd99');
  });

  test('a renewal is one notification, and nothing goes', async () => {
    const node = watched();
    const request = { ifindex: node.link('eth0').index, prefix: wanted, validSeconds: 30, scope: 'global' } as const;
    node.kernel.addAddress(request);
    await node.next((change) => isHere(change, wanted));
    await node.settle();
    const from = node.changes.length;
    for (let renewal = 0; renewal < 5; renewal += 1) node.kernel.addAddress({ ...request, validSeconds: 60 + renewal });
    await node.settle();
    const since = node.changes.slice(from);
    const ours = since.filter((change) => isHere(change, wanted) || isGone(change, wanted));
    expect(ours.map((change) => change.kind)).toEqual(Array.from({ length: 5 }, () => 'address'));
    expect(since.filter((change) => !('address' in change))).toEqual([]);
    expect(node.address(wanted)?.validSeconds).toBeGreaterThan(60);
  });

  test('goes within a second after its lifetime, and the kernel says so', async () => {
    const node = watched();
    const started = netfd().clockMonotonic();
    node.kernel.addAddress({ ifindex: node.link('eth0').index, prefix: wanted, validSeconds: 1, scope: 'global' });
    await node.next((change) => isGone(change, wanted));
    const elapsed = netfd().clockMonotonic() - started;
    expect(elapsed).toBeGreaterThanOrEqual(1000);
    expect(elapsed).toBeLessThan(5000);
    expect(node.address(wanted)).toBeUndefined();
  });

  test('is deleted exactly: not with another prefix length, not twice, not from an interface that is none', async () => {
    const node = watched();
    const ifindex = node.link('eth0').index;
    ip(`addr add ${wanted.ip.text}/24 dev eth0${family === 'ipv6' ? ' nodad' : ''}`);
    const other = { ...wanted, length: 24 };
    expect(node.kernel.deleteAddress({ ifindex, prefix: wanted })).toBe(false);
    expect(node.address(other)).toBeDefined();
    expect(node.kernel.deleteAddress({ ifindex: 4711, prefix: other })).toBe(false);
    expect(node.kernel.deleteAddress({ ifindex, prefix: other })).toBe(true);
    expect(node.address(other)).toBeUndefined();
    expect(node.kernel.deleteAddress({ ifindex, prefix: other })).toBe(false);
    await node.next((change) => isGone(change, other));
  });

  test('made permanent or deleted by somebody else is reported', async () => {
    const node = watched();
    node.kernel.addAddress({ ifindex: node.link('eth0').index, prefix: wanted, validSeconds: 30, scope: 'global' });
    ip(`addr replace ${formatPrefix(wanted)} dev eth0`);
    await node.next(
      (change) =>
        change.kind === 'address' &&
        isSame(change.address, wanted) &&
        change.address.validSeconds === Number.POSITIVE_INFINITY,
    );
    ip(`addr del ${formatPrefix(wanted)} dev eth0`);
    await node.next((change) => isGone(change, wanted));
  });

  test('as kube-vip adds one (valid for ever, never preferred) is deprecated, whatever lifetime the kernel reports', () => {
    ip(`addr add ${formatPrefix(wanted)} dev eth0 preferred_lft 0`);
    const found = watched().address(wanted);
    expect(found).toMatchObject({ preferredSeconds: 0, validSeconds: Number.POSITIVE_INFINITY });
  });

  test('on lo with scope host', () => {
    const node = watched();
    node.kernel.addAddress({ ifindex: 1, prefix: wanted, validSeconds: 30, scope: 'host' });
    // The kernel gives IPv6 addresses the scope of their prefix, whatever was asked for.
    expect(node.address(wanted)).toMatchObject({ ifindex: 1, scope: family === 'ipv4' ? 254 : 0 });
  });

  test('refused says why: no such interface', () => {
    const node = watched();
    const request = { ifindex: 4711, prefix: wanted, validSeconds: 30, scope: 'global' } as const;
    const error = caught(() => node.kernel.addAddress(request));
    expect(error.code).toBe('NETLINK_FAILED');
    expect(error.message).toContain(`adding ${formatPrefix(wanted)} to interface 4711: ENODEV`);
  });

  test('refused for want of NET_ADMIN; looking is allowed', () => {
    const source = new URL('../../src/', import.meta.url).href;
    const script = `
      import { loadNetfd } from '${source}system/native-addon.ts';
      import { openKernel } from '${source}system/kernel.ts';
      import { missingCapabilities } from '${source}system/capabilities.ts';
      import { parseIp } from '${source}base/ip.ts';
      const kernel = openKernel(loadNetfd());
      kernel.watch(() => undefined);
      const links = kernel.dump().links.length;
      const result = { links, missing: missingCapabilities(['NET_ADMIN', 'NET_RAW']) };
      const prefix = { ip: parseIp('${wanted.ip.text}').value, length: ${wanted.length} };
      for (const act of ['addAddress', 'deleteAddress']) {
        try { kernel[act]({ ifindex: 1, prefix, validSeconds: 3, scope: 'global' }); result[act] = 'done'; }
        catch (error) { result[act] = error.code + ' ' + error.context.capability; }
      }
      kernel.close();
      console.log(JSON.stringify(result));`;
    const bounded = ['setpriv', '--bounding-set', '-net_admin', process.execPath, '--input-type=module', '-e', script];
    const child = spawnSync('ip', ['netns', 'exec', NAMESPACE, ...bounded], { encoding: 'utf8' });
    expect(child.stderr).toBe('');
    expect(JSON.parse(child.stdout)).toEqual({
      links: 3,
      missing: ['NET_ADMIN'],
      addAddress: 'CAPABILITY_MISSING NET_ADMIN',
      deleteAddress: 'CAPABILITY_MISSING NET_ADMIN',
    });
  });
});

describe('two prefix lengths of one address', () => {
  test('in IPv4 are two addresses: replacing adds the second', () => {
    const node = watched();
    ip('addr add 10.9.0.50/24 dev eth0');
    node.kernel.addAddress({ ifindex: node.link('eth0').index, prefix: V4, validSeconds: 30, scope: 'global' });
    expect(node.address(prefix('10.9.0.50/24'))?.validSeconds).toBe(Number.POSITIVE_INFINITY);
    expect(node.address(V4)?.protocol).toBe(HOLDFAST_ADDRESS_PROTOCOL);
  });

  test('in IPv6 are one: replacing takes the old one over, with its length', () => {
    const node = watched();
    ip('addr add fd99::50/64 dev eth0 nodad');
    node.kernel.addAddress({ ifindex: node.link('eth0').index, prefix: V6, validSeconds: 30, scope: 'global' });
    expect(node.address(V6)).toBeUndefined();
    const taken = node.address(prefix('fd99::50/64'));
    expect(taken?.protocol).toBe(HOLDFAST_ADDRESS_PROTOCOL);
    expect(taken?.validSeconds).toBeLessThanOrEqual(30);
  });
});

describe('an IPv4 address with the prefix length of its network', () => {
  const network = prefix('10.9.0.50/24');
  const own = prefix('10.9.0.1/24');

  test('takes those added after it along when it goes', async () => {
    const node = watched();
    const ifindex = node.link('eth0').index;
    node.kernel.addAddress({ ifindex, prefix: network, validSeconds: 30, scope: 'global' });
    ip('addr add 10.9.0.1/24 dev eth0');
    expect((node.address(own)?.flags ?? 0) & IFA_F_SECONDARY).toBe(IFA_F_SECONDARY);
    node.kernel.deleteAddress({ ifindex, prefix: network });
    await node.next((change) => isGone(change, own));
  });

  test('does not with promote_secondaries, and a /32 never does', () => {
    const node = watched();
    const ifindex = node.link('eth0').index;
    inNamespace(NAMESPACE, () => writeSysctl('net/ipv4/conf/eth0/promote_secondaries', '1'));
    for (const wanted of [network, V4]) {
      node.kernel.addAddress({ ifindex, prefix: wanted, validSeconds: 30, scope: 'global' });
    }
    ip('addr add 10.9.0.1/24 dev eth0');
    node.kernel.deleteAddress({ ifindex, prefix: network });
    inNamespace(NAMESPACE, () => writeSysctl('net/ipv4/conf/eth0/promote_secondaries', '0'));
    node.kernel.deleteAddress({ ifindex, prefix: V4 });
    expect(node.address(own)).toBeDefined();
  });
});

test('the kernel’s words are in the message: IPv6 is disabled on the interface', () => {
  const node = watched();
  execFileSync('ip', ['netns', 'exec', NAMESPACE, 'sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=1']);
  const ifindex = node.link('eth0').index;
  const error = caught(() => node.kernel.addAddress({ ifindex, prefix: V6, validSeconds: 3, scope: 'global' }));
  expect(error.message).toMatch(/: EACCES \(.*IPv6 is disabled on this device/);
  expect(node.kernel.deleteAddress({ ifindex, prefix: V6 })).toBe(false);
});

describe('links', () => {
  test('report down, up, and the carrier that the other end takes away', async () => {
    const node = watched();
    const { index } = node.link('eth0');
    const steps = [
      ['link set peer0 down', true, false],
      ['link set peer0 up', true, true],
      ['link set eth0 down', false, false],
      ['link set eth0 up', true, true],
    ] as const;
    for (const [command, isUp, hasCarrier] of steps) {
      const from = node.changes.length;
      ip(command);
      await node.next(
        (change) =>
          change.kind === 'link' &&
          change.link.index === index &&
          change.link.isUp === isUp &&
          change.link.hasCarrier === hasCarrier &&
          (change.link.operState === 6) === hasCarrier,
        from,
      );
    }
  });

  test('deleted and made anew under the same name: another index, the address gone', async () => {
    const node = watched();
    const old = node.link('eth0').index;
    node.kernel.addAddress({ ifindex: old, prefix: V4, validSeconds: 30, scope: 'global' });
    ip('link del eth0');
    ip('link add eth0 type veth peer name peer0');
    await node.next((change) => change.kind === 'link' && change.link.name === 'eth0' && change.link.index !== old);
    const addressGone = node.changes.findIndex((change) => isGone(change, V4));
    const linkGone = node.changes.findIndex((change) => change.kind === 'link-gone' && change.index === old);
    expect(node.changes[linkGone]).toEqual({ kind: 'link-gone', index: old, name: 'eth0' });
    expect(addressGone).toBeGreaterThanOrEqual(0);
    expect(addressGone).toBeLessThan(linkGone);
    expect(node.kernel.deleteAddress({ ifindex: old, prefix: V4 })).toBe(false);
    expect(node.link('eth0').index).not.toBe(old);
  });

  test('a bridge and its port; leaving the bridge is not leaving the machine', async () => {
    const node = watched();
    ip('link add br0 type bridge');
    ip('link set peer0 master br0');
    const bridge = node.link('br0');
    expect(bridge.linkKind).toBe('bridge');
    expect(node.link('peer0')).toMatchObject({ linkKind: 'veth', master: bridge.index });
    ip('link set peer0 nomaster');
    await node.settle();
    expect(node.changes.filter((change) => change.kind === 'link-gone')).toEqual([]);
    expect(node.link('peer0').master).toBeUndefined();
  });

  test('of kinds this kernel has', () => {
    const node = watched();
    ip('link add mac0 link eth0 type macvlan');
    ip('link add ifb9 type ifb');
    expect([node.link('mac0').linkKind, node.link('ifb9').linkKind]).toEqual(['macvlan', 'ifb']);
    expect(node.link('lo')).toMatchObject({ linkKind: undefined, hardwareType: 772, mtu: 65_536 });
  });
});

describe('default routes', () => {
  test('of a namespace that never had a route: none', () => {
    const empty = `${NAMESPACE}empty`;
    execFileSync('ip', ['netns', 'add', empty]);
    try {
      const kernel = inNamespace(empty, () => openKernel(netfd()));
      open.push(kernel);
      expect(kernel.dump()).toMatchObject({ links: [{ name: 'lo' }], addresses: [], defaultRoutes: [] });
    } finally {
      execFileSync('ip', ['netns', 'del', empty]);
    }
  });

  test('of both families are dumped and notified, others are neither', async () => {
    const node = watched();
    expect(node.kernel.dump().defaultRoutes).toEqual([]);
    ipBatch([
      'addr add 10.9.0.1/24 dev eth0',
      'addr add fd99::1/64 dev eth0 nodad',
      'route add 192.0.2.0/24 via 10.9.0.2',
      'route add 2001:db8::/32 via fd99::2',
      'route add default via 10.9.0.2 table 1000',
      'route add default via 10.9.0.2 metric 50',
      'route add default via fd99::2 metric 60',
    ]);
    const ifindex = node.link('eth0').index;
    const [v4, v6] = node.kernel.dump().defaultRoutes;
    expect(v4).toMatchObject({ family: 'ipv4', gateway: { text: '10.9.0.2' }, ifindex, metric: 50, table: 254 });
    expect(v6).toMatchObject({ family: 'ipv6', gateway: { text: 'fd99::2' }, ifindex, metric: 60, table: 254 });
    ip('route del default via fd99::2');
    await node.settle();
    const routes = node.changes.flatMap((change) =>
      'route' in change ? [`${change.kind} ${change.route.metric}`] : [],
    );
    expect(routes).toEqual(['route 50', 'route 60', 'route-gone 60']);
  });

  test('five thousand other routes do not even reach the socket', async () => {
    const node = watched({ receiveBufferBytes: 16_384 });
    ip('addr add 10.9.0.1/24 dev eth0');
    ipBatch(
      Array.from({ length: 5000 }, (_, index) => `route add 172.${16 + (index >> 8)}.${index & 255}.0/24 via 10.9.0.2`),
    );
    await node.settle();
    expect(node.kernel.counters()).toMatchObject({ overruns: 0, malformed: 0 });
    expect(node.kernel.dump().defaultRoutes).toEqual([]);
  });
});

describe('many', () => {
  const four = Array.from({ length: 500 }, (_, index) => `10.${10 + (index >> 8)}.${index & 255}.1/32`);
  const six = Array.from({ length: 500 }, (_, index) => `fd98::${(index + 1).toString(16)}/128`);

  test('five hundred addresses of each family in one dump', () => {
    const node = watched();
    ipBatch([
      ...four.map((text) => `addr add ${text} dev eth0`),
      ...six.map((text) => `addr add ${text} dev eth0 nodad`),
    ]);
    const seen = new Set(node.kernel.dump().addresses.map((address) => formatPrefix(address.prefix)));
    expect([...four, ...six].filter((text) => !seen.has(text))).toEqual([]);
  });

  test('more changes than the socket holds: an overrun, once, and the dump that follows is right', async () => {
    const node = watched({ receiveBufferBytes: 4096 });
    // One process of `ip`, while our event loop stands still.
    ipBatch(four.map((text) => `addr add ${text} dev eth0`));
    await node.next((change) => change.kind === 'overrun');
    const seen = new Set(node.kernel.dump().addresses.map((address) => formatPrefix(address.prefix)));
    expect(four.filter((text) => !seen.has(text))).toEqual([]);
    expect(node.changes.filter((change) => change.kind === 'overrun')).toHaveLength(1);
    expect(node.kernel.counters().overruns).toBeGreaterThanOrEqual(1);

    const from = node.changes.length;
    ip('addr del 10.10.0.1/32 dev eth0');
    await node.next((change) => isGone(change, prefix('10.10.0.1/32')), from);
  });

  test('requests and dumps are right while somebody else changes addresses all the time', async () => {
    const node = watched();
    const ifindex = node.link('eth0').index;
    const stranger = spawn('ip', ['-n', NAMESPACE, '-batch', '-'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const lines = four.map((text) => `addr add ${text} dev peer0`).join('\n');
    const churn = Array.from({ length: 20 }, () => `${lines}\naddr flush dev peer0 scope global\n`).join('');
    stranger.stdin.end(churn);
    const ended = new Promise<number | null>((resolve) => stranger.on('close', resolve));
    let rounds = 0;
    for (let isOver = false; !isOver; rounds += 1) {
      for (const [, wanted] of BOTH) {
        node.kernel.addAddress({ ifindex, prefix: wanted, validSeconds: 30, scope: 'global' });
        expect(node.address(wanted)).toBeDefined();
      }
      isOver = (await Promise.race([ended, turn('running')])) !== 'running';
    }
    expect(await ended).toBe(0);
    expect(rounds).toBeGreaterThan(20);
    expect(node.kernel.counters()).toMatchObject({ malformed: 0, foreign: 0 });
  });
});
