/**
 * Heartbeats between network namespaces: two candidates and an attacker on one segment, and a sender behind a router.
 * What is lost, delayed, cut, forged or replayed on a real link, over both families, and keys that change in real time.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Prefix } from '../../src/base/ip.ts';
import type { Heartbeat, Voter } from '../../src/leader/view.ts';
import { SILENT_LOG, type LogFields } from '../../src/observe/log.ts';
import { openHeartbeats, type Heartbeats } from '../../src/runtime/heartbeats.ts';
import { heartbeatTarget, openHeartbeatSocket, type HeartbeatSocket } from '../../src/system/heartbeat-socket.ts';
import { ip } from '../unit/base/values.ts';
import { BEAT, CLUSTER, KEY, KEY_2 } from '../unit/runtime/station.ts';
import { inNamespace, netfd } from './namespace.ts';
import { waitFor } from './process.ts';

/** Switch and router, two candidates, an attacker beside them, a sender behind the router. */
const NAMES = ['sw', 'n1', 'n2', 'evil', 'far'] as const;
type Name = (typeof NAMES)[number];
const HOSTS: Readonly<Record<Exclude<Name, 'sw' | 'far'>, number>> = { n1: 11, n2: 12, evil: 66 };
const PORT = 6460;
const INTERVAL_MS = 50;
/** Longer than a busy machine keeps a datagram waiting. */
const SILENT_AFTER_MS = 5000;
const ON_LINK: readonly Prefix[] = [
  { ip: ip('10.78.0.1'), length: 24 },
  { ip: ip('fd78::1'), length: 64 },
];
const N2 = heartbeatTarget(ip('10.78.0.12'), PORT);
const N2_IPV6 = heartbeatTarget(ip('fd78::12'), PORT);

function space(name: Name): string {
  return `hf-i-${name}-${process.pid}`;
}

function run(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function setting(name: Name, path: string, value: string): void {
  inNamespace(space(name), () => writeFileSync(`/proc/sys/net/${path}`, value));
}

function plug(name: Name, port: string, ipv4: string, ipv6: string): void {
  const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', space(name)];
  run('-n', space('sw'), 'link', 'add', port, ...peer);
  run('-n', space('sw'), 'link', 'set', port, 'up');
  run('-n', space(name), 'address', 'add', ipv4, 'dev', 'eth0');
  run('-n', space(name), 'address', 'add', ipv6, 'dev', 'eth0', 'nodad');
  for (const link of ['lo', 'eth0']) run('-n', space(name), 'link', 'set', link, 'up');
}

beforeAll(async () => {
  for (const name of NAMES) run('netns', 'add', space(name));
  run('-n', space('sw'), 'link', 'add', 'br0', 'type', 'bridge');
  run('-n', space('sw'), 'address', 'add', '10.78.0.1/24', 'dev', 'br0');
  run('-n', space('sw'), 'address', 'add', 'fd78::1/64', 'dev', 'br0', 'nodad');
  run('-n', space('sw'), 'link', 'set', 'br0', 'up');
  for (const [name, host] of Object.entries(HOSTS) as readonly [Exclude<Name, 'sw' | 'far'>, number][]) {
    plug(name, `p-${name}`, `10.78.0.${host}/24`, `fd78::${host}/64`);
    run('-n', space('sw'), 'link', 'set', `p-${name}`, 'master', 'br0');
    run('-n', space(name), 'route', 'add', 'default', 'via', '10.78.0.1');
    run('-n', space(name), '-6', 'route', 'add', 'default', 'via', 'fd78::1');
  }
  plug('far', 'p-far', '10.79.0.2/24', 'fd79::2/64');
  run('-n', space('sw'), 'address', 'add', '10.79.0.1/24', 'dev', 'p-far');
  run('-n', space('sw'), 'address', 'add', 'fd79::1/64', 'dev', 'p-far', 'nodad');
  run('-n', space('far'), 'route', 'add', 'default', 'via', '10.79.0.1');
  run('-n', space('far'), '-6', 'route', 'add', 'default', 'via', 'fd79::1');
  setting('sw', 'ipv4/ip_forward', '1');
  setting('sw', 'ipv6/conf/all/forwarding', '1');
  await routed();
});

/** Resolves once the router forwards both families. */
async function routed(): Promise<void> {
  const got = new Set<string>();
  const open = (name: Name): HeartbeatSocket =>
    inNamespace(space(name), () =>
      openHeartbeatSocket(netfd(), { port: PORT, capacity: 64, onDatagram: ({ family }) => got.add(family) }),
    );
  const [here, far] = [open('n2'), open('far')];
  await waitFor('the router', () => {
    for (const target of [N2, N2_IPV6]) far.send(Uint8Array.of(1), target);
    return got.size === 2;
  });
  here.close();
  far.close();
}

afterAll(() => {
  for (const name of NAMES) run('netns', 'delete', space(name));
});

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close();
});

interface Station {
  readonly beats: Heartbeats;
  readonly heard: { readonly heartbeat: Heartbeat; readonly at: number }[];
  readonly drops: Map<string, number>;
  readonly lines: LogFields[];
  /** Sends at the interval until the test ends. */
  sendTo(voter: Voter): void;
  /** The longest time without a heartbeat since a moment, ms. */
  longestGap(from: number): number;
}

function station(name: 'n1' | 'n2', prefixes: readonly Prefix[] = ON_LINK): Station {
  const heard: Station['heard'] = [];
  const drops = new Map<string, number>();
  const lines: LogFields[] = [];
  const beats = inNamespace(space(name), () =>
    openHeartbeats({
      netfd: netfd(),
      self: name,
      port: PORT,
      silentAfterMs: SILENT_AFTER_MS,
      log: { ...SILENT_LOG, warn: (_msg, fields) => void lines.push(fields ?? {}) },
      onHeartbeat: (heartbeat) => heard.push({ heartbeat, at: performance.now() }),
      onDrop: (reason, count) => drops.set(reason, (drops.get(reason) ?? 0) + count),
      ownPrefixes: () => prefixes,
    }),
  );
  beats.setKeys([KEY]);
  beats.setClusterId(CLUSTER);
  closers.push(() => beats.close());
  return {
    beats,
    heard,
    drops,
    lines,
    sendTo: (voter) => {
      const to = [voter];
      const timer = setInterval(() => beats.send(to, BEAT), INTERVAL_MS);
      closers.push(() => clearInterval(timer));
    },
    longestGap: (from) => {
      const moments = [from, ...heard.map(({ at }) => at).filter((at) => at > from), performance.now()];
      return Math.max(...moments.slice(1).map((at, index) => at - (moments[index] ?? at)));
    },
  };
}

function voter(name: 'n1' | 'n2', addresses = [`10.78.0.${HOSTS[name]}`, `fd78::${HOSTS[name]}`]): Voter {
  return { name, addresses, port: PORT };
}

/** Two that hear each other. */
async function pair(prefixes?: readonly Prefix[]): Promise<readonly [Station, Station]> {
  const [a, b] = [station('n1', prefixes), station('n2', prefixes)];
  a.sendTo(voter('n2'));
  b.sendTo(voter('n1'));
  await waitFor('both hear each other', () => a.heard.length > 0 && b.heard.length > 0);
  for (const one of [a, b]) one.drops.clear();
  return [a, b];
}

/** A sender of its own in a namespace, and a place for what n1 would send to it. */
function outsider(name: 'evil' | 'far'): { readonly socket: HeartbeatSocket; readonly seen: Uint8Array[] } {
  const seen: Uint8Array[] = [];
  const socket = inNamespace(space(name), () =>
    openHeartbeatSocket(netfd(), { port: PORT, capacity: 2048, onDatagram: ({ data }) => seen.push(data) }),
  );
  closers.push(() => socket.close());
  return { socket, seen };
}

/** A datagram that n1 made for n2 and that has not reached it. */
async function stolen(a: Station, evil: ReturnType<typeof outsider>): Promise<Uint8Array> {
  const before = evil.seen.length;
  a.beats.send([voter('n2', [`10.78.0.${HOSTS.evil}`])], BEAT);
  await waitFor('a stolen datagram', () => evil.seen.length > before);
  return evil.seen.at(-1) ?? new Uint8Array(0);
}

function count(station: Station, reason: string): number {
  return station.drops.get(reason) ?? 0;
}

describe('two candidates on one segment', () => {
  it('hear each other at the interval over both families, and drop nothing', async () => {
    const [a, b] = await pair();
    const from = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    for (const one of [a, b]) {
      expect(one.heard.filter(({ at }) => at > from).length).toBeGreaterThanOrEqual(12);
      expect([...one.drops]).toEqual([]);
    }
  });

  it.each([
    ['IPv4', '10.78.0.'],
    ['IPv6', 'fd78::'],
  ])('go on hearing each other without %s', async (_, prefix) => {
    const [, b] = await pair();
    const from = performance.now();
    run('-n', space('n1'), 'route', 'add', 'blackhole', `${prefix}12`);
    closers.push(() => run('-n', space('n1'), 'route', 'del', 'blackhole', `${prefix}12`));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(b.longestGap(from)).toBeLessThan(SILENT_AFTER_MS); // a busy machine, not a lost family
    expect(b.heard.filter(({ at }) => at > from).length).toBeGreaterThanOrEqual(12);
  });

  it('change their key without a gap, the one that sees it late included', { timeout: 40_000 }, async () => {
    const [a, b] = await pair();
    const from = performance.now();
    a.beats.setKeys([KEY_2, KEY]);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    b.beats.setKeys([KEY_2, KEY]);
    await new Promise((resolve) => setTimeout(resolve, 11_000));
    for (const one of [a, b]) one.beats.setKeys([KEY_2]);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    for (const one of [a, b]) {
      expect([...one.drops]).toEqual([]);
      expect(one.longestGap(from)).toBeLessThan(SILENT_AFTER_MS);
    }
    // By now they send with the new key: whoever has only the former is not heard.
    const evil = outsider('evil');
    const datagram = await stolen(a, evil);
    const old = inNamespace(space('evil'), () => datagram.slice());
    old.set([0x72, 0xcd, 0x6e, 0x84], 56); // id of the former key: sha256 of thirty-two octets 01
    evil.socket.send(old, N2);
    await waitFor('a drop', () => count(b, 'forged') + count(b, 'unknown-key') === 1);
  });
});

describe('an attacker on the segment', () => {
  it('changes nothing, and what it sends is counted and named', async () => {
    const [a, b] = await pair();
    const evil = outsider('evil');
    const datagram = await stolen(a, evil);
    const changed = (offset: number, ...octets: readonly number[]): Uint8Array => {
      const copy = Uint8Array.from(datagram);
      copy.set(octets, offset);
      return copy;
    };
    const attacks: readonly (readonly [string, Uint8Array])[] = [
      ['forged', changed(7, 0xff)],
      ['truncated', datagram.subarray(0, 80)],
      ['future-version', changed(4, 9, 9, 9)],
      ['foreign-cluster', changed(8, 0xee)],
      ['unknown-key', changed(56, 0xee)],
      ['not-heartbeat', new TextEncoder().encode('M-SEARCH * HTTP/1.1\r\n\r\n')],
      ['oversized', new Uint8Array(1400)],
    ];
    for (const [reason, octets] of attacks) {
      for (const target of [N2, N2_IPV6]) evil.socket.send(octets, target);
      await waitFor(reason, () => count(b, reason) === 2);
    }
    // Recorded, and sent again and again while the real one goes on.
    const from = performance.now();
    for (let times = 0; times < 20; times += 1) evil.socket.send(datagram, N2);
    await waitFor('replays', () => count(b, 'replayed') >= 19);
    await waitFor('heartbeats meanwhile', () => b.heard.filter(({ at }) => at > from).length >= 3);
    expect(b.heard.every(({ heartbeat }) => heartbeat.sender === 'n1' && !heartbeat.isDraining)).toBe(true);
    const named = b.lines.map((line) => `${line.reason} ${line.peer}`);
    expect(new Set(named).size).toBe(named.length);
    for (const [reason] of attacks) expect(named).toContain(`${reason} 10.78.0.66`);
    expect(named).toContain('replayed n1');
  });

  it('can flood without a heartbeat being missed for long', async () => {
    const [, b] = await pair();
    const evil = outsider('evil');
    const from = performance.now();
    const junk = new Uint8Array(400).fill(7);
    for (let burst = 0; burst < 40; burst += 1) {
      for (let times = 0; times < 250; times += 1) evil.socket.send(junk, N2);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    expect(b.longestGap(from)).toBeLessThan(SILENT_AFTER_MS);
    expect(count(b, 'not-heartbeat')).toBeGreaterThan(1000);
    expect(b.lines.filter((line) => line.reason === 'not-heartbeat')).toHaveLength(1);
  });
});

describe('a datagram that a router has forwarded', () => {
  it('is dropped by the kernel while all peers are on the link, whatever it says', async () => {
    const [a, b] = await pair();
    const evil = outsider('evil');
    const far = outsider('far');
    // Changed in its flags, so that being looked at can't go unnoticed.
    const datagram = (await stolen(a, evil)).with(7, 0xff);
    for (const target of [N2, N2_IPV6]) far.socket.send(datagram, target);
    // b's own rounds read the kernel's count.
    await waitFor('the count', () => count(b, 'by-kernel') === 2, { deadlineMs: 20_000 });
    expect([...b.drops.keys()]).toEqual(['by-kernel']);
    // The very same one from the segment itself is looked at.
    evil.socket.send(datagram, N2);
    await waitFor('a look', () => count(b, 'forged') === 1);
  });

  it('is looked at where peers are not on the link', async () => {
    const [a, b] = await pair([{ ip: ip('10.78.0.11'), length: 32 }]);
    const evil = outsider('evil');
    const far = outsider('far');
    far.socket.send((await stolen(a, evil)).with(7, 0xff), N2);
    await waitFor('a look at it', () => count(b, 'forged') === 1);
  });
});
